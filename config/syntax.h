#pragma once

#include "base/ip.h"

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

// How the tables write statements down, and how a typed line is compared with that.
//
//   neighbor ADDRESS$peer timers {(0-65535)$keepalive (0-65535)$hold}
//
//   word           a keyword, which may be abbreviated
//   WORD, LINE ... a variable (kVariables); (1-255) a number
//   $name          what the value is called; without it: the variable's own name
//   <a|b c>        one of several; [a|b c] one of several or nothing; {a b} may be left out behind `no`
//   x... ]...      once or more often
namespace culvert::config {

// A word of a line and where it begins.
struct Word {
    std::string_view text;
    std::size_t offset = 0;
};
std::vector<Word> split(std::string_view line);

enum class TokenKind : std::uint8_t {
    Start,
    End,
    Keyword,
    Word,        // anything without blanks
    Line,        // the rest of the line, blanks included
    Interface,   // 1 to 15 characters, no '/'
    Vrf,         // the same
    File,        // a path
    Number,      // (MIN-MAX)
    Ipv4,        // A.B.C.D
    Ipv6,        // X:X::X:X
    Address,     // either
    Peer,        // either, or an interface's name
    Ipv4Prefix,  // A.B.C.D/M
    Ipv6Prefix,  // X:X::X:X/M
    Prefix,      // either
    RouterId,    // A.B.C.D
    Endpoint,    // A.B.C.D:PORT or [X:X::X:X]:PORT
    Key,         // BASE64 of 32 octets
    Pci,         // 0000:03:00.0
    Cpus,        // 1,3-5
    Size,        // 512M
};

struct Token {
    TokenKind kind = TokenKind::Keyword;
    std::string text;  // as the table has it: "timers", "A.B.C.D", "(0-65535)"
    std::string name;  // what the value is called; a keyword's is itself
    std::uint64_t min = 0, max = 0;
    std::vector<std::uint16_t> next;
};

// The values of a line that fitted.
class Args {
public:
    struct Value {
        std::string_view name;  // of the token
        std::string text;       // a keyword is written out
        bool keyword = false;
        std::size_t offset = 0;
    };

    bool no = false;  // the line began with `no`
    std::vector<Value> values;

    bool has(std::string_view keyword) const;  // typed
    bool given(std::string_view variable) const { return find(variable) != nullptr; }
    // Of variables:
    std::string text(std::string_view name) const;  // empty: not typed
    std::optional<std::uint64_t> number(std::string_view name) const;
    std::optional<IpAddress> address(std::string_view name) const;
    std::optional<IpPrefix> prefix(std::string_view name) const;
    std::vector<std::string> all(std::string_view name) const;
    std::string canonical() const;  // the line with every keyword written out

private:
    const Value* find(std::string_view variable) const;
};

// One statement's syntax, compiled.
class Syntax {
public:
    // `negated`: for the form behind `no`, where {} is optional.
    explicit Syntax(std::string_view text, bool negated = false);

    struct Match {
        Args args;
        std::vector<std::uint8_t> score;  // a word each, lower is closer: compared in order
        std::string other;                // another reading that is just as close; empty: there is none
    };
    // How far the words went when they did not fit, over all statements asked.
    struct Progress {
        std::size_t words = 0;               // fitted
        std::vector<const Token*> expected;  // what could have stood next
        void reached(std::size_t count, const Token& token);
    };
    // Bit i: word i is a keyword as it stands, so it abbreviates none ("ip" is not "ipv6").
    using Exact = std::uint32_t;

    // The closest way in which all of the words fit.
    std::optional<Match> match(std::string_view line, std::span<const Word> words, Progress* progress = nullptr,
                               Exact exact = 0) const;

    // The tokens that may stand behind the words, End included.
    void after(std::span<const Word> words, std::vector<const Token*>& out, Exact exact = 0) const;

    const std::vector<Token>& tokens() const noexcept { return tokens_; }
    const std::string& text() const noexcept { return text_; }
    std::string first_word() const;  // empty: a variable

private:
    class Compiler;
    struct Search;
    void step(Search& search, std::uint16_t at, std::size_t word) const;
    void walk(std::span<const Word> words, std::uint16_t at, std::size_t word, Exact exact,
              std::vector<const Token*>& out) const;

    std::string text_;
    std::vector<Token> tokens_;  // the first is Start
};

// How well a word fits a token; nullopt: not at all. 0 an exact keyword, 2 a checked variable, 3 an abbreviation, 10
// any word.
std::optional<std::uint8_t> fits(const Token& token, std::string_view word);

// The syntax for people: without names, {} and the like.
std::string shown(std::string_view syntax);

// The syntax with its variables replaced in order. Only for syntaxes without alternatives.
std::string fill(std::string_view syntax, std::span<const std::string> values);

// Base64 with padding, exactly 32 octets.
std::optional<std::array<std::uint8_t, 32>> decode_key(std::string_view text);
std::string encode_key(const std::array<std::uint8_t, 32>& key);

// "1,3-5": sorted, unique, every one below 1024.
std::optional<std::vector<unsigned>> parse_cpus(std::string_view text);
std::string cpus_to_string(const std::vector<unsigned>& cpus);

// "512M", "2G", "1048576"; zero is none.
std::optional<std::uint64_t> parse_size(std::string_view text);
std::string size_to_string(std::uint64_t octets);

}  // namespace culvert::config
