#include "config/syntax.h"

#include "config/statements.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace culvert::config {
namespace {

std::optional<Syntax::Match> match(const Syntax& syntax, std::string_view line)
{
    const auto words = split(line);
    return syntax.match(line, words);
}

TEST(Syntax, TakesAbbreviatedKeywords)
{
    const Syntax syntax{"address-family <ipv4|ipv6> [unicast]"};
    EXPECT_EQ(match(syntax, "address-family ipv4 uni")->args.canonical(), "address-family ipv4 unicast");
    EXPECT_EQ(match(syntax, "add ipv6")->args.canonical(), "address-family ipv6");
    EXPECT_FALSE(match(syntax, "address-family ipv5"));
    EXPECT_FALSE(match(syntax, "address-family ipv4 unicast more"));
    EXPECT_FALSE(match(syntax, "address-family"));
}

TEST(Syntax, ChecksNumbersAgainstTheirRange)
{
    const Syntax syntax{"mtu (68-65535)$octets"};
    EXPECT_EQ(match(syntax, "mtu 1500")->args.number("octets"), 1500U);
    for (const auto* bad : {"mtu 67", "mtu 65536", "mtu -1", "mtu 1x", "mtu 99999999999999999999999"})
        EXPECT_FALSE(match(syntax, bad)) << bad;
}

TEST(Syntax, MayLeaveOutBracesBehindNo)
{
    const std::string_view text = "timers bgp {(0-65535)$k (0-65535)$h}";
    EXPECT_FALSE(match(Syntax{text}, "timers bgp"));
    EXPECT_TRUE((match(Syntax{text, true}, "timers bgp")));
    EXPECT_TRUE((match(Syntax{text, true}, "timers bgp 3 9")));
}

TEST(Syntax, PrefersTheWordThatIsMeant)
{
    const Syntax syntax{
        "route <ADDRESS$gateway [IFNAME$interface]|IFNAME$interface> [<tag (1-9)$tag|(1-255)$distance>]..."};
    const auto tag = match(syntax, "route 10.0.0.1 tag 5 20")->args;
    EXPECT_EQ(tag.number("tag"), 5U);
    EXPECT_EQ(tag.number("distance"), 20U);
    EXPECT_FALSE(tag.given("interface"));
    EXPECT_EQ(match(syntax, "route 10.0.0.1 wan0 7")->args.text("interface"), "wan0");
    EXPECT_EQ(match(syntax, "route wan0 tag 1")->args.text("interface"), "wan0");
}

TEST(Syntax, TakesTheRestOfTheLineAsItWasTyped)
{
    const Syntax syntax{"description LINE$text"};
    EXPECT_EQ(match(syntax, "desc  two  blanks ! and a mark  ")->args.text("text"), "two  blanks ! and a mark");
}

TEST(Syntax, EndsAtAComment)
{
    const Syntax syntax{"mtu (68-65535)$octets"};
    EXPECT_TRUE(match(syntax, "mtu 1500   ! the usual"));
    EXPECT_FALSE(match(syntax, "mtu 1500 the usual"));
}

TEST(Key, IsBase64OfExactly32Octets)
{
    std::array<std::uint8_t, 32> key{};
    for (std::size_t i = 0; i < key.size(); ++i) key[i] = static_cast<std::uint8_t>(i * 7);
    EXPECT_EQ(decode_key(encode_key(key)), key);
    EXPECT_EQ(encode_key({}), "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
    for (const auto* bad :
         {"", "AAAA", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
          "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB=", "*AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="})
        EXPECT_FALSE(decode_key(bad)) << bad;
}

TEST(Cpus, AreListsOfNumbersAndRanges)
{
    EXPECT_EQ(parse_cpus("1,3-5"), (std::vector<unsigned>{1, 3, 4, 5}));
    EXPECT_EQ(parse_cpus("5,1,1"), (std::vector<unsigned>{1, 5}));
    EXPECT_EQ(cpus_to_string({0, 1, 3, 4, 5, 9}), "0,1,3-5,9");
    for (const auto* bad : {"", ",", "1,", "5-3", "-1", "1-", "4096", "0-4000000000", "a"})
        EXPECT_FALSE(parse_cpus(bad)) << bad;
}

TEST(Size, HasAUnit)
{
    EXPECT_EQ(parse_size("512M"), 512U << 20);
    EXPECT_EQ(parse_size("3g"), std::uint64_t{3} << 30);
    EXPECT_EQ(size_to_string(1536U << 10), "1536K");
    for (const auto* bad : {"", "M", "0", "-1", "99999999999999G", "1T"}) EXPECT_FALSE(parse_size(bad)) << bad;
}

// ---- the table itself ----

template <class Check>
void for_each_token(Check check)
{
    for (const auto& statement : statements()) {
        const Syntax syntax{statement.syntax};
        for (const auto& token : syntax.tokens())
            if (token.kind != TokenKind::Start) check(statement, token);
    }
}

TEST(Statements, EveryWordHasHelp)
{
    for_each_token([](const Statement& statement, const Token& token) {
        EXPECT_FALSE(help_for(statement.node, token).empty())
            << statement.syntax << ": " << token.text << " $" << token.name;
    });
}

TEST(Statements, EveryOneIsWrittenOnceAndHasASummary)
{
    std::set<std::pair<Node, std::string_view>> seen;
    for (const auto& statement : statements()) {
        EXPECT_TRUE(seen.emplace(statement.node, statement.syntax).second) << statement.syntax;
        EXPECT_TRUE(statement.summary.ends_with('.')) << statement.syntax;
    }
}

TEST(Statements, VariablesAreSpelledRight)
{
    for_each_token([](const Statement& statement, const Token& token) {
        if (token.kind != TokenKind::Keyword || token.text == "Null0") return;
        EXPECT_TRUE(std::islower(static_cast<unsigned char>(token.text[0]))) << statement.syntax << ": " << token.text;
    });
}

}  // namespace
}  // namespace culvert::config
