// Lines made of the table of statements itself, at random: what the parser takes is rendered so that it loads again to
// the same, whatever came before it.
#include "config/diff.h"
#include "config/editor.h"
#include "config/parse.h"
#include "config/render.h"
#include "config/statements.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>
#include <span>
#include <string>
#include <vector>

namespace culvert::config {
namespace {

class Writer {
public:
    explicit Writer(std::uint64_t seed) : random_(seed) {}

    std::size_t below(std::size_t n) { return random_() % n; }

    // Any way through the syntax.
    std::string line(const Syntax& syntax)
    {
        std::string out;
        const auto& tokens = syntax.tokens();
        for (std::size_t at = 0, words = 0; words < 24; ++words) {
            const auto& next = tokens[at].next;
            // A list that may go on for ever ends sooner or later.
            at = next[below(next.size())];
            if (tokens[at].kind == TokenKind::End) break;
            out += (out.empty() ? "" : " ") + value(tokens[at]);
        }
        return out;
    }

private:
    template <std::size_t N>
    std::string one_of(const char* const (&values)[N])
    {
        return values[below(N)];
    }

    // Few of each, so that lines meet the objects of others.
    std::string value(const Token& t)
    {
        switch (t.kind) {
            case TokenKind::Keyword: return t.text;
            case TokenKind::Word: return one_of({"one", "two", "net_null0"});
            case TokenKind::Line: return one_of({"some text", "a ! b", "x"});
            case TokenKind::Interface: return one_of({"lo", "wan0", "lan0", "wan0.100", "wg0", "tunnel0", "eth7"});
            case TokenKind::Vrf: return one_of({"RED", "BLUE"});
            case TokenKind::File: return one_of({"/etc/culvert/key", "/var/log/culvert"});
            case TokenKind::Number:
                return std::to_string(t.min + below(std::min<std::uint64_t>(t.max - t.min, 70) + 1));
            case TokenKind::Ipv4:
            case TokenKind::RouterId: return one_of({"10.0.0.1", "10.0.0.2", "192.0.2.7"});
            case TokenKind::Ipv6: return one_of({"2001:db8::1", "2001:db8::2", "fe80::7"});
            case TokenKind::Address: return one_of({"10.0.0.1", "10.0.0.2", "2001:db8::1", "fe80::7"});
            case TokenKind::Peer: return one_of({"10.0.0.1", "10.0.0.2", "2001:db8::1", "fe80::7", "wan0", "lan0"});
            case TokenKind::Ipv4Prefix: return one_of({"10.1.0.0/16", "10.0.0.1/24", "0.0.0.0/0", "192.0.2.7/32"});
            case TokenKind::Ipv6Prefix: return one_of({"2001:db8:1::/48", "2001:db8::1/64", "::/0"});
            case TokenKind::Prefix: return one_of({"10.1.0.0/16", "2001:db8:1::/48", "0.0.0.0/0"});
            case TokenKind::Endpoint: return one_of({"192.0.2.7:51820", "[2001:db8::1]:51820"});
            case TokenKind::Key:
                return one_of(
                    {"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", "HxECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="});
            case TokenKind::Pci: return one_of({"0000:03:00.0", "0000:04:00.1"});
            case TokenKind::Cpus: return one_of({"1", "2,4-5"});
            case TokenKind::Size: return one_of({"64M", "1G"});
            case TokenKind::Start:
            case TokenKind::End: break;
        }
        return {};
    }

    std::mt19937_64 random_;
};

class Walker {
public:
    // `taken`: the statements that were understood so far, by other walkers too.
    Walker(std::uint64_t seed, std::set<const Statement*>& taken) : writer_(seed), taken_(taken) {}

    // One line for the block the editor is in, as often with `no` as an operator would, and sometimes out of it.
    void step()
    {
        const auto node = editor_.position().node;
        if (writer_.below(25) == 0 && node != Node::Top) {
            (void)editor_.apply("exit");
            return;
        }
        if (node == Node::Interface && writer_.below(8) == 0)
            (void)editor_.apply(kKinds[writer_.below(std::size(kKinds))]);
        const auto& rule = pick(rules(node));
        if (rule.statement->form == Form::Leave) return;
        const bool no = rule.statement->form == Form::Setting && writer_.below(6) == 0;
        const auto line = writer_.line(no ? rule.negated : rule.plain);
        const auto before = editor_.model();
        const auto done = editor_.apply((no ? "no " : "") + line);
        if (!done) {
            EXPECT_EQ(editor_.model(), before) << line << " was refused, and changed something";
            return;
        }
        EXPECT_EQ(done->changed, !(editor_.model() == before)) << line;
        EXPECT_EQ(diff(before, editor_.model()).empty(), editor_.model() == before) << line;
        // What is never said of a configuration has its meaning with `no`.
        if (!no || rule.statement->behaviour.render == nullptr) taken_.insert(rule.statement);
        last_ = (no ? "no " : "") + line;
        if (!done->changed) return;
        editor_.undo();
        EXPECT_EQ(editor_.model(), before) << line << " is not undone";
        (void)editor_.apply(last_);
    }

    const Model& model() const { return editor_.model(); }
    const std::string& last() const { return last_; }

private:
    // Any; as often one that was never understood yet: it wants to be met in the right place, and more than once.
    const Rule& pick(std::span<const Rule> all)
    {
        if (writer_.below(2) == 0) {
            std::vector<const Rule*> never;
            for (const auto& rule : all)
                if (rule.statement->form != Form::Leave && !taken_.contains(rule.statement)) never.push_back(&rule);
            if (!never.empty()) return *never[writer_.below(never.size())];
        }
        return all[writer_.below(all.size())];
    }

    // Most statements of an interface want to know first what it is.
    static constexpr const char* kKinds[] = {"tunnel mode wireguard", "tunnel mode gre ip",
                                             "tunnel mode gre multipoint", "no tunnel mode wireguard",
                                             "no tunnel mode gre ip"};

    Writer writer_;
    Editor editor_;
    std::set<const Statement*>& taken_;
    std::string last_;
};

TEST(Table, WhateverIsTypedLoadsAgainToTheSame)
{
    std::set<const Statement*> taken;
    for (std::uint64_t seed = 1; seed <= 40; ++seed) {
        SCOPED_TRACE(seed);
        Walker walker{seed, taken};
        for (int i = 0; i < 400; ++i) {
            walker.step();
            if (i % 10 != 9) continue;
            const auto text = render(walker.model());
            const auto again = parse(text, "rendered");
            for (const auto& d : again.diagnostics)
                FAIL() << d.to_string() << "\nlast: " << walker.last() << "\n" << text;
            ASSERT_TRUE(again.model == walker.model()) << "last: " << walker.last() << "\n"
                                                       << text << "\n--- came back as\n"
                                                       << render(again.model);
            ASSERT_TRUE(diff(again.model, walker.model()).empty());
        }
    }
    for (const auto& s : statements())
        EXPECT_TRUE(s.form == Form::Leave || taken.contains(&s)) << s.syntax << " never came up";
}

}  // namespace
}  // namespace culvert::config
