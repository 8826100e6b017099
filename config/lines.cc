#include "config/bfd_statements.h"
#include "config/render.h"
#include "config/statements.h"

#include <fmt/format.h>

#include <algorithm>

namespace culvert::config {
namespace {

bool is_per_neighbor(const Statement& statement) { return statement.syntax.starts_with("neighbor PEER$peer"); }

Object object_of(Node node, const View& view)
{
    using Kind = Object::Kind;
    if (view.neighbor) return {Kind::Neighbor, view.bgp->vrf, {}, view.neighbor->name().to_string()};
    if (view.bgp) return {Kind::Bgp, view.bgp->vrf, {}, {}};
    if (view.peer) return {Kind::Peer, {}, view.interface->name, view.peer->name};
    if (view.interface) return {Kind::Interface, {}, view.interface->name, {}};
    if (view.vrf) return {Kind::Vrf, view.vrf->name, {}, {}};
    if (view.key_chain) return {Kind::KeyChain, {}, view.key_chain->name, {}};
    if (view.manual_sa) return {Kind::ManualSa, {}, view.manual_sa->name, {}};
    if (view.ipsec_profile) return {Kind::IpsecProfile, {}, view.ipsec_profile->name, {}};
    if (view.bfd_profile) return {Kind::BfdProfile, {}, view.bfd_profile->name, {}};
    if (view.bfd_peer)
        return {Kind::BfdPeer, view.bfd_peer->key.vrf, view.bfd_peer->key.peer.to_string(),
                bfd_peer_options(view.bfd_peer->key)};
    if (node == Node::Failover) return {Kind::Failover, {}, {}, {}};
    if (node == Node::Dataplane) return {Kind::Dataplane, {}, {}, {}};
    return {Kind::Global, {}, {}, {}};
}

}  // namespace

std::string RenderedLine::masked() const
{
    return secret_at == text.npos ? text : text.substr(0, secret_at) + std::string{kMaskedSecret};
}

void Lines::statement(const Statement& self, const View& view, std::vector<std::string> values, bool no)
{
    if (is_per_neighbor(self)) values.insert(values.begin(), view.neighbor->name().to_string());
    auto line = fill(self.syntax, values);
    text(self, view, no ? "no " + line : std::move(line));
}

void Lines::text(const Statement& self, const View& view, std::string text)
{
    auto object = object_of(self.node, view);
    if (self.syntax.starts_with("log ")) object = {Object::Kind::Log, {}, {}, {}};
    if (self.syntax.starts_with("ip route ") || self.syntax.starts_with("ipv6 route ")) {
        const auto begin = text.find(" route ") + 7;
        object = {Object::Kind::Route, view.vrf->name, text.substr(begin, text.find(' ', begin) - begin), {}};
        if (depth_ == 0 && !lines_.empty() && lines_.back().text != "!" &&
            lines_.back().object.kind != Object::Kind::Route)
            layout("!", view);
    }
    std::optional<Family> family;
    if (view.family) family = view.address_family;
    lines_.push_back({std::move(object), &self, family, depth_, std::move(text)});
}

void Lines::secret(const Statement& self, const View& view, std::string before, const std::string& value)
{
    const auto at = before.size();
    text(self, view, std::move(before) + value);
    lines_.back().secret_at = at;
}

void Lines::layout(std::string text, const View& view)
{
    lines_.push_back({object_of(Node::Top, view), nullptr, {}, depth_, std::move(text)});
}

void Lines::block(const Statement& self, std::string header, Node child, const View& view, std::string_view exit,
                  bool keep_empty)
{
    const auto begin = lines_.size();
    const bool first_in_block = self.node == Node::Bfd && !lines_.empty() && lines_.back().depth < depth_;
    const bool apart = self.node != Node::Interface && self.node != Node::KeyChain;
    if (apart && !lines_.empty() && lines_.back().text != "!" && !first_in_block) layout("!", view);
    // That a family's block is there at all says nothing beside its statements.
    const auto* statement = child == Node::BgpFamily ? nullptr : &self;
    lines_.push_back({object_of(child, view), statement, {}, depth_, std::move(header)});
    const auto body = lines_.size();
    ++depth_;
    node(child, view);
    --depth_;
    if (lines_.size() == body && !keep_empty) {
        lines_.resize(begin);
        return;
    }
    layout(std::string{exit}, view);
    if (depth_ == 0) layout("!", view);
}

void Lines::node(Node node, const View& view)
{
    const auto rows = rules(node);
    for (std::size_t i = 0; i < rows.size();) {
        if (!is_per_neighbor(*rows[i].statement)) {
            const auto& row = *rows[i++].statement;
            if (row.behaviour.render) row.behaviour.render(row, view, *this);
            continue;
        }
        // All that is said of one neighbor stands together.
        auto end = i;
        while (end < rows.size() && is_per_neighbor(*rows[end].statement)) ++end;
        for (const auto& [address, neighbor] : view.bgp->neighbors) {
            View inside = view;
            inside.neighbor = &neighbor;
            if (node == Node::BgpFamily) {
                const auto it = neighbor.families.find(view.address_family);
                inside.neighbor_family = it == neighbor.families.end() ? nullptr : &it->second;
            }
            for (auto row = i; row < end; ++row) {
                const auto& statement = *rows[row].statement;
                if (statement.behaviour.render) statement.behaviour.render(statement, inside, *this);
            }
        }
        i = end;
    }
}

std::vector<RenderedLine> render_lines(const Model& model)
{
    Lines lines;
    View view;
    view.model = &model;
    lines.node(Node::Top, view);
    return std::move(lines.lines_);
}

std::string render(const Model& model, const RenderOptions& options)
{
    std::string out;
    if (options.preamble) out += "Building configuration...\n\nCurrent configuration:\n!\n";
    if (options.heading) out += fmt::format("frr version {}\nfrr defaults traditional\n", kFrrVersion);
    for (const auto& line : render_lines(model)) {
        out.append(line.depth, ' ');
        out += options.mask_secrets ? line.masked() : line.text;
        out += '\n';
    }
    if (!out.empty() && !out.ends_with("\n!\n")) out += "!\n";
    return out + "end\n";
}

}  // namespace culvert::config
