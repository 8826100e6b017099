#include "config/syntax.h"

#include "base/check.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>

namespace culvert::config {
namespace {

struct Variable {
    std::string_view text;
    TokenKind kind;
};
constexpr std::array kVariables{
    Variable{"WORD", TokenKind::Word},
    Variable{"LINE", TokenKind::Line},
    Variable{"IFNAME", TokenKind::Interface},
    Variable{"VRF", TokenKind::Vrf},
    Variable{"FILE", TokenKind::File},
    Variable{"A.B.C.D", TokenKind::Ipv4},
    Variable{"X:X::X:X", TokenKind::Ipv6},
    Variable{"ADDRESS", TokenKind::Address},
    Variable{"PEER", TokenKind::Peer},
    Variable{"A.B.C.D/M", TokenKind::Ipv4Prefix},
    Variable{"X:X::X:X/M", TokenKind::Ipv6Prefix},
    Variable{"PREFIX", TokenKind::Prefix},
    Variable{"ROUTER-ID", TokenKind::RouterId},
    Variable{"ADDRESS:PORT", TokenKind::Endpoint},
    Variable{"BASE64", TokenKind::Key},
    Variable{"PCI", TokenKind::Pci},
    Variable{"CPUS", TokenKind::Cpus},
    Variable{"SIZE", TokenKind::Size},
};

constexpr std::uint8_t kExact = 0, kChecked = 2, kAbbreviated = 3, kAnything = 10;

template <class T>
std::optional<T> decimal(std::string_view text)
{
    T value{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (text.empty() || error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
    return value;
}

bool is_name(std::string_view text)
{
    if (text.empty() || text.size() > 15 || text == "." || text == "..") return false;
    return std::ranges::all_of(text, [](char c) { return c > ' ' && c < 0x7f && c != '/' && c != ':' && c != '!'; });
}

// Not what only a slip makes no address.
bool is_interface_of_peer(std::string_view text)
{
    return is_name(text) && !std::isdigit(static_cast<unsigned char>(text.front()));
}

// domain:bus:device.function, the domain may be left out.
bool is_pci(std::string_view text)
{
    if (text.size() == 12 && text[4] == ':') {
        if (!std::ranges::all_of(text.substr(0, 4),
                                 [](char c) { return std::isxdigit(static_cast<unsigned char>(c)); }))
            return false;
        text.remove_prefix(5);
    }
    if (text.size() != 7 || text[2] != ':' || text[5] != '.') return false;
    for (const std::size_t i : {0, 1, 3, 4, 6})
        if (!std::isxdigit(static_cast<unsigned char>(text[i]))) return false;
    return true;
}

bool checked(const Token& token, std::string_view word)
{
    switch (token.kind) {
        case TokenKind::Number: {
            const auto value = decimal<std::uint64_t>(word);
            return value && *value >= token.min && *value <= token.max;
        }
        case TokenKind::RouterId:
        case TokenKind::Ipv4: return Ipv4Address::parse(word).has_value();
        case TokenKind::Ipv6: return Ipv6Address::parse(word).has_value();
        case TokenKind::Address: return IpAddress::parse(word).has_value();
        case TokenKind::Prefix: return IpPrefix::parse(word).has_value();
        case TokenKind::Ipv4Prefix: {
            const auto prefix = IpPrefix::parse(word);
            return prefix && prefix->family() == Family::Ipv4;
        }
        case TokenKind::Ipv6Prefix: {
            const auto prefix = IpPrefix::parse(word);
            return prefix && prefix->family() == Family::Ipv6;
        }
        case TokenKind::Endpoint: return Endpoint::parse(word).has_value();
        case TokenKind::Key: return decode_key(word).has_value();
        case TokenKind::Pci: return is_pci(word);
        case TokenKind::Cpus: return parse_cpus(word).has_value();
        case TokenKind::Size: return parse_size(word).has_value();
        default: return false;
    }
}

constexpr std::string_view kBase64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

bool is_exact(Syntax::Exact exact, std::size_t word) { return word < 32 && ((exact >> word) & 1) != 0; }

bool is_comment(std::string_view word) { return word == "!"; }

}  // namespace

std::vector<Word> split(std::string_view line)
{
    std::vector<Word> words;
    for (std::size_t at = 0; at < line.size();) {
        const auto begin = line.find_first_not_of(" \t\r", at);
        if (begin == line.npos) break;
        const auto end = std::min(line.find_first_of(" \t\r", begin), line.size());
        words.push_back({line.substr(begin, end - begin), begin});
        at = end;
    }
    return words;
}

std::optional<std::uint8_t> fits(const Token& token, std::string_view word)
{
    switch (token.kind) {
        case TokenKind::Keyword:
            if (word == token.text) return kExact;
            if (!word.empty() && std::string_view{token.text}.starts_with(word)) return kAbbreviated;
            return std::nullopt;
        case TokenKind::Word:
        case TokenKind::File:
        case TokenKind::Line: return kAnything;
        case TokenKind::Interface:
        case TokenKind::Vrf:
            if (!is_name(word)) return std::nullopt;
            return kAnything;
        case TokenKind::Peer:
            if (IpAddress::parse(word)) return kChecked;
            if (is_interface_of_peer(word)) return kAnything;
            return std::nullopt;
        case TokenKind::Start:
        case TokenKind::End: return std::nullopt;
        default:
            if (!checked(token, word)) return std::nullopt;
            return kChecked;
    }
}

bool Args::has(std::string_view keyword) const
{
    return std::ranges::any_of(values, [&](const Value& v) { return v.keyword && v.name == keyword; });
}

const Args::Value* Args::find(std::string_view name) const
{
    const auto it = std::ranges::find_if(values, [&](const Value& v) { return !v.keyword && v.name == name; });
    return it == values.end() ? nullptr : &*it;
}

std::string Args::text(std::string_view name) const
{
    const auto* value = find(name);
    return value ? value->text : std::string{};
}

std::optional<std::uint64_t> Args::number(std::string_view name) const
{
    const auto* value = find(name);
    return value ? decimal<std::uint64_t>(value->text) : std::nullopt;
}

std::optional<IpAddress> Args::address(std::string_view name) const
{
    const auto* value = find(name);
    return value ? IpAddress::parse(value->text) : std::nullopt;
}

std::optional<IpPrefix> Args::prefix(std::string_view name) const
{
    const auto* value = find(name);
    return value ? IpPrefix::parse(value->text) : std::nullopt;
}

std::vector<std::string> Args::all(std::string_view name) const
{
    std::vector<std::string> out;
    for (const auto& value : values)
        if (!value.keyword && value.name == name) out.push_back(value.text);
    return out;
}

std::string Args::canonical() const
{
    std::string out = no ? "no" : "";
    for (const auto& value : values) {
        if (!out.empty()) out += ' ';
        out += value.text;
    }
    return out;
}

// Reads the notation. The tables are ours, so a slip in one is a bug: it aborts, and a test compiles them all.
class Syntax::Compiler {
public:
    Compiler(std::string_view text, bool negated, std::vector<Token>& tokens)
        : text_(text), negated_(negated), tokens_(tokens)
    {}

    void run()
    {
        tokens_.push_back({.kind = TokenKind::Start});
        const auto tails = sequence({0});
        CULVERT_CHECK(at_ == text_.size());
        tokens_.push_back({.kind = TokenKind::End, .text = "<cr>"});
        link(tails, last());
    }

private:
    using Tails = std::vector<std::uint16_t>;

    std::uint16_t last() const { return static_cast<std::uint16_t>(tokens_.size() - 1); }
    void link(const Tails& tails, std::uint16_t to)
    {
        for (const auto t : tails) tokens_[t].next.push_back(to);
    }
    char peek() const { return at_ < text_.size() ? text_[at_] : 0; }
    bool take(std::string_view what)
    {
        if (!text_.substr(at_).starts_with(what)) return false;
        at_ += what.size();
        return true;
    }

    Tails sequence(Tails tails)
    {
        while (true) {
            while (take(" ")) {}
            const char c = peek();
            if (c == 0 || c == '|' || c == '>' || c == ']' || c == '}') return tails;
            if (c == '<')
                tails = group(std::move(tails), '>', false);
            else if (c == '[')
                tails = group(std::move(tails), ']', true);
            else if (c == '{')
                tails = group(std::move(tails), '}', negated_);
            else
                tails = token(tails);
        }
    }

    Tails group(Tails before, char close, bool optional)
    {
        ++at_;
        const auto first_next = tokens_[before.front()].next.size();
        Tails out;
        do {
            const auto tails = sequence(before);
            out.insert(out.end(), tails.begin(), tails.end());
        } while (take("|"));
        CULVERT_CHECK(peek() == close);
        ++at_;
        if (take("...")) {
            const auto& next = tokens_[before.front()].next;
            const Tails entries{next.begin() + static_cast<std::ptrdiff_t>(first_next), next.end()};
            for (const auto entry : entries) link(out, entry);
        }
        if (optional) out.insert(out.end(), before.begin(), before.end());
        return out;
    }

    Tails token(const Tails& tails)
    {
        const auto end = std::min(text_.find_first_of(" |<>[]{}", at_), text_.size());
        auto word = text_.substr(at_, end - at_);
        CULVERT_CHECK(!word.empty());
        at_ = end;
        const bool repeats = word.ends_with("...");
        if (repeats) word.remove_suffix(3);
        Token token;
        const auto dollar = word.find('$');
        token.text = word.substr(0, dollar);
        token.name = dollar == word.npos ? token.text : std::string{word.substr(dollar + 1)};
        classify(token);
        tokens_.push_back(std::move(token));
        const auto index = last();
        link(tails, index);
        if (repeats) tokens_[index].next.push_back(index);
        return {index};
    }

    static void classify(Token& token)
    {
        if (token.text.front() == '(') {
            const auto dash = token.text.find('-');
            token.kind = TokenKind::Number;
            token.min = decimal<std::uint64_t>(std::string_view{token.text}.substr(1, dash - 1)).value();
            token.max =
                decimal<std::uint64_t>(std::string_view{token.text}.substr(dash + 1, token.text.size() - dash - 2))
                    .value();
            return;
        }
        const auto* variable = std::ranges::find(kVariables, std::string_view{token.text}, &Variable::text);
        if (variable != kVariables.end()) token.kind = variable->kind;
    }

    std::string_view text_;
    std::size_t at_ = 0;
    bool negated_;
    std::vector<Token>& tokens_;
};

Syntax::Syntax(std::string_view text, bool negated) : text_(text) { Compiler{text, negated, tokens_}.run(); }

std::string Syntax::first_word() const
{
    const auto& first = tokens_[1];
    return first.kind == TokenKind::Keyword ? first.text : std::string{};
}

void Syntax::Progress::reached(std::size_t count, const Token& token)
{
    if (count < words) return;
    if (count > words) {
        words = count;
        expected.clear();
    }
    if (std::ranges::find(expected, &token) == expected.end()) expected.push_back(&token);
}

struct Syntax::Search {
    std::string_view line;
    std::span<const Word> words;
    Progress* progress;
    Exact exact;
    Match now;
    std::optional<Match> best;
};

void Syntax::step(Search& search, std::uint16_t at, std::size_t word) const
{
    const bool at_end = word == search.words.size() || is_comment(search.words[word].text);
    for (const auto next : tokens_[at].next) {
        const auto& token = tokens_[next];
        if (search.progress) search.progress->reached(word, token);
        if (token.kind == TokenKind::End) {
            if (!at_end) continue;
            if (!search.best || search.now.score < search.best->score) {
                search.best = search.now;
            } else if (search.now.score == search.best->score) {
                if (auto text = search.now.args.canonical(); text != search.best->args.canonical())
                    search.best->other = std::move(text);
            }
            continue;
        }
        if (word == search.words.size()) continue;
        const auto& typed = search.words[word];
        const auto score = fits(token, typed.text);
        if (!score || (*score == kAbbreviated && is_exact(search.exact, word))) continue;
        auto text = std::string{typed.text};
        auto after = word + 1;
        if (token.kind == TokenKind::Keyword) text = token.text;
        if (token.kind == TokenKind::Line) {
            text = search.line.substr(typed.offset);
            text.erase(text.find_last_not_of(" \t\r") + 1);
            after = search.words.size();
        }
        search.now.args.values.push_back({token.name, std::move(text), token.kind == TokenKind::Keyword, typed.offset});
        search.now.score.push_back(*score);
        step(search, next, after);
        search.now.args.values.pop_back();
        search.now.score.pop_back();
    }
}

std::optional<Syntax::Match> Syntax::match(std::string_view line, std::span<const Word> words, Progress* progress,
                                           Exact exact) const
{
    Search search{line, words, progress, exact, {}, {}};
    step(search, 0, 0);
    return std::move(search.best);
}

void Syntax::walk(std::span<const Word> words, std::uint16_t at, std::size_t word, Exact exact,
                  std::vector<const Token*>& out) const
{
    if (word == words.size()) {
        for (const auto next : tokens_[at].next)
            if (std::ranges::find(out, &tokens_[next]) == out.end()) out.push_back(&tokens_[next]);
        return;
    }
    for (const auto next : tokens_[at].next) {
        const auto score = fits(tokens_[next], words[word].text);
        if (!score || (*score == kAbbreviated && is_exact(exact, word))) continue;
        // Behind LINE nothing stands but more of it.
        walk(words, next, tokens_[next].kind == TokenKind::Line ? words.size() : word + 1, exact, out);
    }
}

void Syntax::after(std::span<const Word> words, std::vector<const Token*>& out, Exact exact) const
{
    walk(words, 0, 0, exact, out);
}

std::string shown(std::string_view syntax)
{
    std::string out;
    for (std::size_t i = 0; i < syntax.size(); ++i) {
        if (syntax[i] == '{' || syntax[i] == '}') continue;
        if (syntax[i] == '$') {
            while (i + 1 < syntax.size() &&
                   (std::isalnum(static_cast<unsigned char>(syntax[i + 1])) || syntax[i + 1] == '_'))
                ++i;
            continue;
        }
        out += syntax[i];
    }
    return out;
}

std::string fill(std::string_view syntax, std::span<const std::string> values)
{
    const Syntax compiled{syntax};
    std::string out;
    std::size_t used = 0;
    for (const auto& token : compiled.tokens()) {
        if (token.kind == TokenKind::Start || token.kind == TokenKind::End) continue;
        if (!out.empty()) out += ' ';
        if (token.kind == TokenKind::Keyword) {
            out += token.text;
            continue;
        }
        CULVERT_CHECK(used < values.size());
        out += values[used++];
    }
    CULVERT_CHECK(used == values.size());
    return out;
}

std::optional<std::array<std::uint8_t, 32>> decode_key(std::string_view text)
{
    if (text.size() != 44 || text.back() != '=') return std::nullopt;
    std::array<std::uint8_t, 32> key{};
    std::uint32_t bits = 0;
    std::size_t have = 0, at = 0;
    for (const char c : text.substr(0, 43)) {
        const auto digit = kBase64.find(c);
        if (digit == kBase64.npos) return std::nullopt;
        bits = (bits << 6) | static_cast<std::uint32_t>(digit);
        have += 6;
        if (have < 8) continue;
        have -= 8;
        key[at++] = static_cast<std::uint8_t>(bits >> have);
    }
    if ((bits & 3) != 0) return std::nullopt;  // 43 digits are 258 bits: the last two say nothing
    return key;
}

std::string encode_key(const std::array<std::uint8_t, 32>& key)
{
    std::string out;
    std::uint32_t bits = 0;
    std::size_t have = 0;
    for (const auto octet : key) {
        bits = (bits << 8) | octet;
        for (have += 8; have >= 6; have -= 6) out += kBase64[(bits >> (have - 6)) & 63];
    }
    out += kBase64[(bits << (6 - have)) & 63];
    return out + "=";
}

std::optional<std::vector<unsigned>> parse_cpus(std::string_view text)
{
    constexpr unsigned kMost = 1024;
    std::vector<unsigned> cpus;
    while (true) {
        const auto comma = text.find(',');
        const auto part = text.substr(0, comma);
        const auto dash = part.find('-');
        const auto first = decimal<unsigned>(part.substr(0, dash));
        const auto last = dash == part.npos ? first : decimal<unsigned>(part.substr(dash + 1));
        if (!first || !last || *last < *first || *last >= kMost) return std::nullopt;
        for (auto cpu = *first; cpu <= *last; ++cpu) cpus.push_back(cpu);
        if (cpus.size() > kMost) return std::nullopt;
        if (comma == text.npos) break;
        text.remove_prefix(comma + 1);
    }
    std::ranges::sort(cpus);
    cpus.erase(std::unique(cpus.begin(), cpus.end()), cpus.end());
    return cpus;
}

std::string cpus_to_string(const std::vector<unsigned>& cpus)
{
    std::string out;
    for (std::size_t i = 0; i < cpus.size();) {
        auto end = i;
        while (end + 1 < cpus.size() && cpus[end + 1] == cpus[end] + 1) ++end;
        if (!out.empty()) out += ',';
        out += std::to_string(cpus[i]);
        if (end > i) out += (end == i + 1 ? ',' : '-') + std::to_string(cpus[end]);
        i = end + 1;
    }
    return out;
}

std::optional<std::uint64_t> parse_size(std::string_view text)
{
    int shift = 0;
    if (!text.empty()) {
        switch (text.back()) {
            case 'K':
            case 'k': shift = 10; break;
            case 'M':
            case 'm': shift = 20; break;
            case 'G':
            case 'g': shift = 30; break;
            default: break;
        }
        if (shift != 0) text.remove_suffix(1);
    }
    const auto value = decimal<std::uint64_t>(text);
    if (!value || *value == 0 || *value > (std::numeric_limits<std::uint64_t>::max() >> shift)) return std::nullopt;
    return *value << shift;
}

std::string size_to_string(std::uint64_t octets)
{
    for (const auto& [shift, letter] : {std::pair{30, 'G'}, {20, 'M'}, {10, 'K'}})
        if (octets >> shift != 0 && (octets & ((std::uint64_t{1} << shift) - 1)) == 0)
            return std::to_string(octets >> shift) + letter;
    return std::to_string(octets);
}

}  // namespace culvert::config
