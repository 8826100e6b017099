#include "config/help.h"

#include "config/language.h"

#include <algorithm>

namespace culvert::config {
namespace {

// The words that are whole, and the begun one at the end (empty behind a blank).
struct Typed {
    std::vector<Word> whole;
    std::string_view begun;
};

Typed typed(std::string_view line)
{
    Typed out;
    out.whole = split(line);
    if (!out.whole.empty() && !line.ends_with(' ') && !line.ends_with('\t')) {
        out.begun = out.whole.back().text;
        out.whole.pop_back();
    }
    return out;
}

struct Candidate {
    Node node;
    const Token* token;
};

void gather(Node node, const Typed& typed, bool no, std::vector<Candidate>& out)
{
    const auto exact = exact_words(node, typed.whole, no);
    for (const auto& rule : rules(node)) {
        if (no && rule.statement->form != Form::Setting) continue;
        std::vector<const Token*> tokens;
        (no ? rule.negated : rule.plain).after(typed.whole, tokens, exact);
        for (const auto* token : tokens) out.push_back({node, token});
    }
}

std::vector<Candidate> candidates(Node node, Typed typed)
{
    std::vector<Candidate> out;
    const bool no = node != Node::Exec && !typed.whole.empty() && typed.whole.front().text == "no";
    if (no) typed.whole.erase(typed.whole.begin());
    if (node == Node::Exec) {
        gather(node, typed, false, out);
        return out;
    }
    for (auto n = node; n != Node::Exec; n = info(n).parent) {
        gather(n, typed, no, out);
        if (n != node) continue;
        // At the start of a line only the block's own statements are offered, and the ways out of it.
        if (typed.whole.empty() && n != Node::Top) {
            std::vector<Candidate> top;
            if (!no) gather(Node::Top, typed, false, top);
            for (const auto& c : top)
                if (c.token->text == "exit" || c.token->text == "end") out.push_back(c);
            break;
        }
    }
    return out;
}

bool shows(const Token& token, std::string_view begun)
{
    if (begun.empty()) return true;
    if (token.kind == TokenKind::End) return false;
    if (token.kind == TokenKind::Keyword) return token.text.starts_with(begun);
    if (fits(token, begun)) return true;
    // A begun address or number may still become one.
    if (token.kind == TokenKind::Number) return std::ranges::all_of(begun, [](char c) { return c >= '0' && c <= '9'; });
    return std::ranges::all_of(
        begun, [](char c) { return std::isxdigit(static_cast<unsigned char>(c)) || c == '.' || c == ':' || c == '/'; });
}

}  // namespace

std::vector<HelpLine> help(Node node, std::string_view line)
{
    const auto words = split(line);
    if (node != Node::Exec && words.size() + (line.ends_with(' ') ? 1 : 0) > 1 && words.front().text == "do")
        return help(Node::Exec, line.substr(words.front().offset + 2));
    const auto t = typed(line);
    std::vector<HelpLine> out;
    for (const auto& [from, token] : candidates(node, t))
        if (shows(*token, t.begun)) out.push_back({token->text, std::string{help_for(from, *token)}});
    if (node != Node::Exec && t.whole.empty()) {
        if (std::string_view{"no"}.starts_with(t.begun)) out.push_back({"no", std::string{word_help(node, "no")}});
        if (std::string_view{"do"}.starts_with(t.begun)) out.push_back({"do", "Run a command"});
    }
    // Keywords first, then variables, <cr> last.
    std::ranges::sort(out, [](const HelpLine& a, const HelpLine& b) {
        const auto rank = [](const HelpLine& h) {
            return h.word == "<cr>" ? 2 : std::islower(static_cast<unsigned char>(h.word[0])) ? 0 : 1;
        };
        return std::tuple{rank(a), std::string_view{a.word}} < std::tuple{rank(b), std::string_view{b.word}};
    });
    const auto rest = std::ranges::unique(out, {}, &HelpLine::word);
    out.erase(rest.begin(), rest.end());
    return out;
}

std::vector<std::string> complete(Node node, std::string_view line)
{
    const auto words = split(line);
    if (node != Node::Exec && words.size() + (line.ends_with(' ') ? 1 : 0) > 1 && words.front().text == "do")
        return complete(Node::Exec, line.substr(words.front().offset + 2));
    const auto t = typed(line);
    std::vector<std::string> out;
    for (const auto& [from, token] : candidates(node, t))
        if (token->kind == TokenKind::Keyword && token->text.starts_with(t.begun)) out.push_back(token->text);
    if (node != Node::Exec && t.whole.empty())
        for (const std::string_view word : {"no", "do"})
            if (word.starts_with(t.begun)) out.emplace_back(word);
    std::ranges::sort(out);
    const auto rest = std::ranges::unique(out);
    out.erase(rest.begin(), rest.end());
    return out;
}

}  // namespace culvert::config
