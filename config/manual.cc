#include "config/manual.h"

#include "config/exec_table.h"
#include "config/statements.h"

#include <fmt/format.h>

#include <array>

namespace culvert::config {
namespace {

constexpr std::array kBlocks{
    Node::Top,          Node::Dataplane,  Node::Failover,  Node::KeyChain,      Node::KeyChainKey, Node::ManualSa,
    Node::IpsecProfile, Node::Vrf,        Node::Interface, Node::WireguardPeer, Node::RouterBgp,   Node::BgpFamily,
    Node::Bfd,          Node::BfdProfile, Node::BfdPeer,   Node::LineVty,
};

// A pipe would end the table's cell.
std::string cell(std::string_view text)
{
    std::string out;
    for (const char c : text) {
        if (c == '|') out += '\\';
        out += c;
    }
    return out;
}

// What ? says of the variables of a statement.
std::string variables(Node node, std::string_view text)
{
    const Syntax syntax{text};
    std::string out;
    for (const auto& token : syntax.tokens()) {
        if (token.kind == TokenKind::Keyword || token.kind == TokenKind::Start || token.kind == TokenKind::End)
            continue;
        const auto item = fmt::format("`{}` {}", token.text, help_for(node, token));
        if (out.find(item) != out.npos) continue;
        if (!out.empty()) out += "; ";
        out += item;
    }
    return out;
}

std::string row(Node node, std::string_view syntax, std::string_view summary, std::string_view cost)
{
    const auto what = variables(node, syntax);
    auto text = fmt::format("| `{}` | {}", cell(shown(syntax)), cell(summary));
    if (!what.empty()) text += "<br>" + cell(what);
    return text + fmt::format(" |{}\n", cost.empty() ? std::string{} : fmt::format(" {} |", cost));
}

std::string_view form(const Statement& statement)
{
    if (statement.form != Form::Setting) return "-";
    switch (statement.cost) {
        case Cost::Apply: return "nothing";
        case Cost::Session: return "the session";
        case Cost::Restart: return "a restart";
    }
    return "";
}

}  // namespace

std::string configuration_manual()
{
    std::string out =
        "# Configuration\n\n"
        "Made from the table of statements that the parser reads (`config/*_statements.cc`); a test keeps it current. "
        "Do "
        "not\n"
        "edit it: `culvert --manual configuration` writes it.\n\n"
        "The words are FRR 8.4's where FRR has them. Every word may be abbreviated as long as the abbreviation is "
        "unique. `no` in\n"
        "front takes a statement back; what may then be left out is what says a value. `<a|b>` is one of several, "
        "`[a]` may be\n"
        "left out, `...` may come again. A line that begins with `!` or `#` is a comment, and so is what follows a `!` "
        "that\n"
        "stands alone, except in free text. A line that fits no statement of its block is tried in the blocks around "
        "it.\n"
        "Statements of `address-family ipv4 unicast` may stand in `router bgp` itself.\n\n"
        "\"Changing it costs\" says what a change of a running router does: nothing, the session of the neighbor, peer "
        "or\n"
        "instance it is about, or that it waits for a restart of culvertd.\n";
    for (const auto node : kBlocks) {
        out += fmt::format("\n## {}\n\n| statement | what it does | changing it costs |\n|---|---|---|\n",
                           info(node).title);
        for (const auto& statement : statements())
            if (statement.node == node) out += row(node, statement.syntax, statement.summary, form(statement));
    }
    return out;
}

std::string command_manual()
{
    std::string out =
        "# Commands\n\n"
        "Made from the table of commands that the parser reads (`config/exec.cc`); a test keeps it current. Do not "
        "edit it:\n"
        "`culvert --manual commands` writes it.\n\n"
        "Where FRR 8.4 has a command, its words, its columns and the keys and values of its JSON are culvert's too. "
        "Every word may\n"
        "be abbreviated as long as the abbreviation is unique.\n\n"
        "| command | what it does |\n|---|---|\n";
    for (const auto& command : exec_statements()) out += row(Node::Exec, command.syntax, command.summary, {});
    return out;
}

}  // namespace culvert::config
