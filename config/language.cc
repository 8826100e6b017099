#include "config/language.h"

#include "config/exec_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <numeric>

namespace culvert::config {
namespace {

// Commands as statements that change nothing, so that matching and help know one kind of row.
const std::vector<Statement>& commands()
{
    static const std::vector<Statement> kRows = [] {
        std::vector<Statement> rows;
        for (const auto& command : exec_statements())
            rows.push_back({Node::Exec, command.syntax, Form::Plain, Cost::Apply, command.summary, {}});
        return rows;
    }();
    return kRows;
}

using RuleMap = std::map<Node, std::vector<Rule>>;

const RuleMap& all_rules()
{
    static const RuleMap kRules = [] {
        RuleMap map;
        for (const auto& statement : statements())
            map[statement.node].push_back({&statement, Syntax{statement.syntax}, Syntax{statement.syntax, true}});
        for (const auto& statement : commands())
            map[Node::Exec].push_back({&statement, Syntax{statement.syntax}, Syntax{statement.syntax}});
        return map;
    }();
    return kRules;
}

struct Found {
    std::size_t row = 0;
    const Statement* statement = nullptr;
    Syntax::Match match;
};

struct Attempt {
    std::optional<Found> found;
    bool ambiguous = false;
    std::string other;  // what it could also be
    Syntax::Progress progress;
};

Attempt attempt(Node node, std::string_view line, std::span<const Word> words, bool no)
{
    Attempt out;
    const auto all = rules(node);
    const auto exact = exact_words(node, words, no);
    for (std::size_t row = 0; row < all.size(); ++row) {
        const auto& rule = all[row];
        if (no && rule.statement->form != Form::Setting) continue;
        auto match = (no ? rule.negated : rule.plain).match(line, words, &out.progress, exact);
        if (!match) continue;
        match->args.no = no;
        if (!out.found || match->score < out.found->match.score) {
            out.ambiguous = !match->other.empty();
            out.other = match->other;
            out.found = Found{row, rule.statement, std::move(*match)};
        } else if (match->score == out.found->match.score &&
                   match->args.canonical() != out.found->match.args.canonical()) {
            out.ambiguous = true;
            out.other = match->args.canonical();
        }
    }
    return out;
}

// Empty entries mean what absent ones mean; without them a model reads back equal to itself.
void tidy(Model& model, const Position& position)
{
    const auto it = model.bgp.find(position.vrf);
    if (it == model.bgp.end()) return;
    auto& bgp = it->second;
    std::erase_if(bgp.families, [](const auto& f) { return f.second == BgpFamily{}; });
    for (auto& [name, neighbor] : bgp.neighbors) {
        auto bare = neighbor;
        bare.families.clear();
        BgpNeighbor none;
        none.address = name.address;
        none.interface = name.interface;
        // Of a neighbor without any other statement `no neighbor X activate` would be the first line, which can't
        // make it.
        if (bare == none) {
            for (auto& [family, settings] : neighbor.families)
                if (settings.activate == false) settings.activate.reset();
        }
        std::erase_if(neighbor.families, [](const auto& f) { return f.second == BgpNeighborFamily{}; });
    }
    std::erase_if(bgp.neighbors, [](const auto& n) {
        BgpNeighbor none;
        none.address = n.first.address;
        none.interface = n.first.interface;
        return n.second == none;
    });
}

std::string list_of(const std::vector<const Token*>& tokens)
{
    std::vector<std::string> names;
    for (const auto* token : tokens)
        if (token->kind != TokenKind::End && std::ranges::find(names, token->text) == names.end())
            names.push_back(token->text);
    std::string out;
    for (std::size_t i = 0; i < names.size() && i < 8; ++i) {
        if (i > 0) out += i + 1 == names.size() ? " or " : ", ";
        out += names[i];
    }
    return names.size() > 8 ? out + ", ..." : out;
}

// Why no statement fitted, from where the words went furthest.
Diagnostic explain(Node node, std::string_view line, std::span<const Word> words, const Syntax::Progress& progress)
{
    Diagnostic d;
    d.kind = Diagnostic::Kind::Unknown;
    if (progress.words == words.size() && !words.empty()) {
        d.kind = Diagnostic::Kind::Incomplete;
        d.column = static_cast<unsigned>(line.size()) + 1;
        d.message = fmt::format("`{}` is not all", line);
        d.hint = "goes on with " + list_of(progress.expected);
        return d;
    }
    const auto& bad = words[progress.words];
    d.column = static_cast<unsigned>(bad.offset) + 1;
    const auto nearest = nearest_statement(node, line);
    if (progress.words == 0) {
        d.message = fmt::format("there is no statement `{}` here", bad.text);
        if (!nearest.empty()) d.hint = fmt::format("nearest: {}", nearest);
        return d;
    }
    d.message = fmt::format("`{}` does not belong here", bad.text);
    d.hint = "expected " + list_of(progress.expected);
    const bool only_variables =
        std::ranges::none_of(progress.expected, [](const Token* t) { return t->kind == TokenKind::Keyword; });
    if (!only_variables && !nearest.empty()) d.hint += fmt::format("; nearest: {}", nearest);
    if (list_of(progress.expected).empty()) d.hint = "the statement ends before it";
    return d;
}

}  // namespace

std::span<const Rule> rules(Node node)
{
    const auto it = all_rules().find(node);
    return it == all_rules().end() ? std::span<const Rule>{} : std::span<const Rule>{it->second};
}

Syntax::Exact exact_words(Node node, std::span<const Word> words, bool no)
{
    constexpr std::size_t kMost = 12;  // no statement has more keywords
    Syntax::Exact exact = 0;
    std::vector<const Token*> tokens;
    for (std::size_t i = 0; i < std::min(words.size(), kMost); ++i) {
        tokens.clear();
        for (const auto& rule : rules(node)) {
            if (no && rule.statement->form != Form::Setting) continue;
            (no ? rule.negated : rule.plain).after(words.first(i), tokens, exact);
        }
        if (tokens.empty()) break;
        const auto is_word = [&](const Token* t) { return t->kind == TokenKind::Keyword && t->text == words[i].text; };
        if (std::ranges::any_of(tokens, is_word)) exact |= Syntax::Exact{1} << i;
    }
    return exact;
}

std::size_t edit_distance(std::string_view a, std::string_view b)
{
    std::vector<std::size_t> row(b.size() + 1);
    std::iota(row.begin(), row.end(), std::size_t{0});
    for (std::size_t i = 1; i <= a.size(); ++i) {
        auto diagonal = row[0];
        row[0] = i;
        for (std::size_t j = 1; j <= b.size(); ++j) {
            const auto above = row[j];
            row[j] = std::min({above + 1, row[j - 1] + 1, diagonal + (a[i - 1] == b[j - 1] ? 0 : 1)});
            diagonal = above;
        }
    }
    return row.back();
}

std::string nearest_statement(Node node, std::string_view line)
{
    auto typed = split(line.substr(0, std::min<std::size_t>(line.size(), 256)));
    const bool no = !typed.empty() && typed.front().text == "no";
    if (no) typed.erase(typed.begin());
    if (typed.size() > 8) typed.resize(8);
    if (typed.empty()) return {};

    // Words of a line against words of a statement: a variable costs little, a slip what it is long, a strange word 4.
    std::string best;
    std::size_t best_cost = ~std::size_t{0};
    for (auto n = node; n != Node::Exec || n == node; n = info(n).parent) {
        for (const auto& rule : rules(n)) {
            if (rule.statement->form == Form::Leave) continue;
            const auto text = shown(rule.statement->syntax);
            const auto wanted = split(text);
            std::size_t cost = 0;
            for (std::size_t i = 0; i < std::max(typed.size(), wanted.size()); ++i) {
                if (i >= typed.size()) {
                    cost += 1;
                } else if (i >= wanted.size()) {
                    cost += 4;
                } else {
                    const auto word = wanted[i].text;
                    const bool variable = !word.empty() && !std::islower(static_cast<unsigned char>(word[0]));
                    const auto slip = edit_distance(typed[i].text.substr(0, 32), word);
                    if (variable)
                        cost += 1;
                    else if (slip == 0)
                        cost += 0;
                    else
                        cost += slip <= 2 && slip < word.size() ? slip : (i == 0 ? 6 : 3);
                }
            }
            if (cost < best_cost) {
                best_cost = cost;
                best = text;
            }
        }
        if (n == Node::Exec) break;
    }
    const auto limit = 4 + 3 * typed.size();
    if (best_cost > limit) return {};
    return no ? "no " + best : best;
}

namespace {

std::optional<Diagnostic> unreadable(std::string_view line)
{
    Diagnostic d;
    if (line.size() > kMaxLineLength) {
        d.message = fmt::format("the line is longer than {} characters", kMaxLineLength);
        d.hint = "a statement that takes a list may be written more than once";
        return d;
    }
    for (const char c : line) {
        if (static_cast<unsigned char>(c) >= ' ' || c == '\t' || c == '\r') continue;
        d.message = "a control character stands in the line";
        d.hint = "the file is to be plain text";
        return d;
    }
    return std::nullopt;
}

Diagnostic ambiguous(std::string_view line, const Attempt& tried)
{
    Diagnostic d;
    d.kind = Diagnostic::Kind::Ambiguous;
    d.message = fmt::format("`{}` may be `{}` or `{}`", line, tried.found->match.args.canonical(), tried.other);
    d.hint = "write the words out";
    return d;
}

}  // namespace

Result<MatchedLine, Diagnostic> match_line(Node node, std::string_view line)
{
    if (auto bad = unreadable(line)) return Error{*std::move(bad)};
    const auto words = split(line);
    if (words.empty()) {
        Diagnostic d;
        d.kind = Diagnostic::Kind::Incomplete;
        d.message = "nothing was typed";
        return Error{std::move(d)};
    }
    auto tried = attempt(node, line, words, false);
    if (tried.ambiguous) return Error{ambiguous(line, tried)};
    if (!tried.found) return Error{explain(node, line, words, tried.progress)};
    return MatchedLine{tried.found->row, std::move(tried.found->match.args)};
}

Result<AppliedLine, Diagnostic> apply_line(Model& model, Position& position, std::string_view line, bool from_top)
{
    if (auto bad = unreadable(line)) return Error{*std::move(bad)};
    auto all = split(line);
    if (all.empty() || all[0].text[0] == '!' || all[0].text[0] == '#') return AppliedLine{};
    const bool no = all[0].text == "no";
    const auto words = std::span<const Word>{all}.subspan(no ? 1 : 0);
    if (words.empty()) {
        Diagnostic d;
        d.kind = Diagnostic::Kind::Incomplete;
        d.message = "`no` is not all";
        d.hint = "goes on with the statement to take back";
        return Error{std::move(d)};
    }

    std::vector<Node> order;
    if (from_top && position.node != Node::Top) order.push_back(Node::Top);
    for (auto n = position.node; n != Node::Exec; n = info(n).parent) {
        order.push_back(n);
        // FRR takes IPv4's statements in `router bgp` itself.
        if (n == Node::RouterBgp && position.node == Node::RouterBgp) order.push_back(Node::BgpFamily);
    }

    Syntax::Progress furthest;
    Node furthest_in = position.node;
    for (std::size_t i = 0; i < order.size(); ++i) {
        const auto node = order[i];
        auto tried = attempt(node, line, words, no);
        // `exit` is about the block, wherever on the line it stands.
        if (i + 1 < order.size() && node == Node::Top && tried.found && tried.found->statement->form == Form::Leave)
            continue;
        if (tried.ambiguous) {
            // Abbreviations here, and a word as it stands in a block around: `key 2` below `key 1`.
            const auto is_exact = [&](Node outer) { return (exact_words(outer, words.first(1), no) & 1) != 0; };
            if (!is_exact(node) &&
                std::any_of(order.begin() + static_cast<std::ptrdiff_t>(i) + 1, order.end(), is_exact))
                continue;
            return Error{ambiguous(line.substr(words[0].offset), tried)};
        }
        if (!tried.found) {
            // What this block knows more words of; equally far, the inner block's word counts.
            if (tried.progress.words > furthest.words || furthest.expected.empty()) {
                furthest = tried.progress;
                furthest_in = node;
            }
            continue;
        }
        const auto& statement = *tried.found->statement;
        auto args = std::move(tried.found->match.args);
        Position at = position;
        if (statement.form != Form::Leave || node != Node::Top) at.node = node;
        if (node == Node::BgpFamily && position.node == Node::RouterBgp) at.family = Family::Ipv4;
        if (statement.form == Form::Leave) at = position;
        const auto inside = at.node;
        Edit edit{model, at, args};
        if (auto outcome = statement.behaviour.apply(edit); !outcome) {
            Diagnostic d;
            d.kind = Diagnostic::Kind::Refused;
            d.message = outcome.error().message;
            d.hint = outcome.error().hint;
            return Error{std::move(d)};
        }
        tidy(model, at);
        AppliedLine applied;
        applied.statement = &statement;
        applied.entered = at.node != inside && statement.form != Form::Leave && at.node != Node::Exec;
        applied.path = path_of(at);
        applied.canonical = args.canonical();
        // A line below `router bgp` that belongs to the address family does not move into it.
        if (node == Node::BgpFamily && position.node == Node::RouterBgp) at.node = Node::RouterBgp;
        position = at;
        return applied;
    }
    return Error{explain(furthest_in, line, all, [&] {
        auto progress = furthest;
        if (no) progress.words += 1;
        return progress;
    }())};
}

}  // namespace culvert::config
