#include "config/behaviour.h"
#include "config/bgp_statements.h"
#include "config/statement_table.h"

#include <fmt/format.h>

namespace culvert::config {
namespace {

template <Family F>
Outcome family_block(Edit& edit)
{
    edit.position.node = Node::BgpFamily;
    edit.position.family = F;
    return {};
}

template <Family F>
void show_family_block(const Statement& self, const View& view, Lines& out)
{
    static const BgpFamily kNone;
    View inside = view;
    const auto it = view.bgp->families.find(F);
    inside.family = it == view.bgp->families.end() ? &kNone : &it->second;
    inside.address_family = F;
    out.block(self, F == Family::Ipv4 ? "address-family ipv4 unicast" : "address-family ipv6 unicast", Node::BgpFamily,
              inside, "exit-address-family", false);
}

Outcome network(Edit& edit)
{
    auto* family = edit.object<BgpFamily>();
    if (!family) return edit.refusal();
    const auto prefix = edit.args.prefix("prefix").value();
    if (prefix.family() != edit.position.family)
        return edit.refuse(fmt::format("{} is not of this address family", prefix.to_string()),
                           prefix.family() == Family::Ipv4 ? "say it below `address-family ipv4 unicast`"
                                                           : "say it below `address-family ipv6 unicast`");
    if (!edit.no)
        family->networks.insert(prefix);
    else if (family->networks.erase(prefix) == 0)
        return edit.refuse(fmt::format("network {} is not there", prefix.to_string()));
    return {};
}

void show_networks(const Statement& self, const View& view, Lines& out)
{
    for (const auto& prefix : view.family->networks) out.text(self, view, "network " + prefix.to_string());
}

Outcome redistribute(Edit& edit)
{
    auto* family = edit.object<BgpFamily>();
    if (!family) return edit.refusal();
    const auto source = edit.args.has("connected") ? RedistributeSource::Connected : RedistributeSource::Static;
    if (edit.no) {
        family->redistribute.erase(source);
        return {};
    }
    std::optional<std::uint32_t> metric;
    if (const auto given = edit.args.number("value")) metric = static_cast<std::uint32_t>(*given);
    family->redistribute[source] = metric;
    return {};
}

void show_redistribute(const Statement& self, const View& view, Lines& out)
{
    for (const auto& [source, metric] : view.family->redistribute) {
        std::string text = source == RedistributeSource::Connected ? "redistribute connected" : "redistribute static";
        if (metric) text += fmt::format(" metric {}", *metric);
        out.text(self, view, text);
    }
}

Outcome distance_bgp(Edit& edit)
{
    auto* family = edit.object<BgpFamily>();
    if (!family) return edit.refusal();
    family->distance = BgpFamily{}.distance;
    if (!edit.no)
        for (std::size_t i = 0; const auto* name : {"external", "internal", "local"})
            family->distance[i++] = static_cast<std::uint8_t>(edit.args.number(name).value());
    return {};
}

void show_distance_bgp(const Statement& self, const View& view, Lines& out)
{
    const auto& d = view.family->distance;
    if (d != BgpFamily{}.distance)
        out.statement(self, view, {std::to_string(d[0]), std::to_string(d[1]), std::to_string(d[2])});
}

Outcome activate(Edit& edit)
{
    auto* family = edit.object<BgpNeighborFamily>();
    if (!family) return edit.refusal();
    family->activate = !edit.no;
    return {};
}

void show_activate(const Statement& self, const View& view, Lines& out)
{
    const auto* family = view.neighbor_family;
    if (family && family->activate) out.statement(self, view, {}, !*family->activate);
}

Outcome next_hop_self(Edit& edit)
{
    auto* family = edit.object<BgpNeighborFamily>();
    if (!family) return edit.refusal();
    family->next_hop_self = !edit.no;
    family->next_hop_self_force = !edit.no && edit.args.has("force");
    return {};
}

void show_next_hop_self(const Statement& self, const View& view, Lines& out)
{
    const auto* family = view.neighbor_family;
    if (family && family->next_hop_self)
        out.text(self, view,
                 neighbor_text(view, family->next_hop_self_force ? "next-hop-self force" : "next-hop-self"));
}

Outcome maximum_prefix(Edit& edit)
{
    auto* family = edit.object<BgpNeighborFamily>();
    if (!family) return edit.refusal();
    const BgpNeighborFamily none;
    family->maximum_prefix = none.maximum_prefix;
    family->maximum_prefix_threshold = none.maximum_prefix_threshold;
    family->maximum_prefix_warning_only = none.maximum_prefix_warning_only;
    family->maximum_prefix_restart = none.maximum_prefix_restart;
    if (edit.no) return {};
    family->maximum_prefix = static_cast<std::uint32_t>(edit.args.number("limit").value());
    if (const auto threshold = edit.args.number("threshold"))
        family->maximum_prefix_threshold = static_cast<std::uint8_t>(*threshold);
    family->maximum_prefix_warning_only = edit.args.has("warning-only");
    if (const auto minutes = edit.args.number("minutes"))
        family->maximum_prefix_restart = static_cast<std::uint16_t>(*minutes);
    return {};
}

void show_maximum_prefix(const Statement& self, const View& view, Lines& out)
{
    const auto* family = view.neighbor_family;
    if (!family || !family->maximum_prefix) return;
    auto text = neighbor_text(view, fmt::format("maximum-prefix {}", *family->maximum_prefix));
    if (family->maximum_prefix_threshold != BgpNeighborFamily{}.maximum_prefix_threshold)
        text += fmt::format(" {}", family->maximum_prefix_threshold);
    if (family->maximum_prefix_warning_only) text += " warning-only";
    if (family->maximum_prefix_restart) text += fmt::format(" restart {}", *family->maximum_prefix_restart);
    out.text(self, view, text);
}

Outcome allowas_in(Edit& edit)
{
    auto* family = edit.object<BgpNeighborFamily>();
    if (!family) return edit.refusal();
    family->allowas_in.reset();
    if (!edit.no) family->allowas_in = static_cast<std::uint8_t>(edit.args.number("times").value_or(3));
    return {};
}

void show_allowas_in(const Statement& self, const View& view, Lines& out)
{
    const auto* family = view.neighbor_family;
    if (!family || !family->allowas_in) return;
    const auto times = *family->allowas_in;
    out.text(self, view, neighbor_text(view, times == 3 ? "allowas-in" : fmt::format("allowas-in {}", times)));
}

Outcome send_community(Edit& edit)
{
    auto* family = edit.object<BgpNeighborFamily>();
    if (!family) return edit.refusal();
    if (edit.no && (edit.args.has("extended") || edit.args.has("large") || edit.args.has("standard")))
        return edit.refuse("communities of one kind alone can't be kept back", "no neighbor ADDRESS send-community");
    family->send_community = !edit.no;
    return {};
}

void show_send_community(const Statement& self, const View& view, Lines& out)
{
    const auto* family = view.neighbor_family;
    if (family && !family->send_community) out.text(self, view, "no " + neighbor_text(view, "send-community"));
}

constexpr auto RouterBgp = Node::RouterBgp;
constexpr auto Af = Node::BgpFamily;
using NF = BgpNeighborFamily;

constexpr Statement kFamilies[] = {
    {RouterBgp,
     "address-family ipv4 [unicast]",
     Plain,
     Cost::Apply,
     "IPv4 unicast.",
     {family_block<Family::Ipv4>, show_family_block<Family::Ipv4>}},
    {RouterBgp,
     "address-family ipv6 [unicast]",
     Plain,
     Cost::Apply,
     "IPv6 unicast.",
     {family_block<Family::Ipv6>, show_family_block<Family::Ipv6>}},
    {Af,
     "distance bgp {(1-255)$external (1-255)$internal (1-255)$local}",
     Setting,
     Cost::Apply,
     "Administrative distances of routes from eBGP, from iBGP and of our own. Default: 20, 200, 200.",
     {distance_bgp, show_distance_bgp}},
    {Af, "network PREFIX$prefix", Setting, Cost::Apply, "Advertises the prefix.", {network, show_networks}},
    {Af,
     "redistribute <connected|static> [metric (0-4294967295)$value]",
     Setting,
     Cost::Apply,
     "Advertises the routes of another source, with this MED.",
     {redistribute, show_redistribute}},
    {Af,
     "neighbor PEER$peer activate",
     Setting,
     Cost::Session,
     "Exchanges this address family with the neighbor.",
     {activate, show_activate}},
    {Af, "neighbor PEER$peer route-reflector-client", Setting, Cost::Session,
     "The neighbor is a client of this route reflector (RFC 4456).", kFlag<&NF::route_reflector_client>},
    {Af,
     "neighbor PEER$peer next-hop-self [force]",
     Setting,
     Cost::Apply,
     "Advertises ourselves as the next hop; `force`: of reflected routes too.",
     {next_hop_self, show_next_hop_self}},
    {Af, "neighbor PEER$peer as-override", Setting, Cost::Apply,
     "Puts our AS in the place of the neighbor's own in AS paths.", kFlag<&NF::as_override>},
    {Af, "neighbor PEER$peer remove-private-AS", Setting, Cost::Apply, "Takes private ASes out of AS paths.",
     kFlag<&NF::remove_private_as>},
    {Af,
     "neighbor PEER$peer send-community [<standard|extended|large|both|all>]",
     Setting,
     Cost::Apply,
     "Sends communities. The default.",
     {send_community, show_send_community}},
    {Af, "neighbor PEER$peer default-originate", Setting, Cost::Apply, "Advertises a default route to the neighbor.",
     kFlag<&NF::default_originate>},
    {Af, "neighbor PEER$peer soft-reconfiguration inbound", Setting, Cost::Apply,
     "Keeps what the neighbor sent as it came.", kFlag<&NF::soft_reconfiguration_inbound>},
    {Af, "neighbor PEER$peer weight {(0-65535)$weight}", Setting, Cost::Apply,
     "The weight of routes from the neighbor.", kValue<&NF::weight>},
    {Af,
     "neighbor PEER$peer maximum-prefix {(1-4294967295)$limit [(1-100)$threshold] [<warning-only|restart "
     "(1-65535)$minutes>]}",
     Setting,
     Cost::Apply,
     "Ends the session when the neighbor sends more; warns at THRESHOLD percent (75).",
     {maximum_prefix, show_maximum_prefix}},
    {Af,
     "neighbor PEER$peer allowas-in [(1-10)$times]",
     Setting,
     Cost::Apply,
     "Takes paths that hold our own AS, this many times (3).",
     {allowas_in, show_allowas_in}},
    {Af, "maximum-paths {(1-64)$paths}", Setting, Cost::Apply,
     "Over how many eBGP paths to spread traffic. Default: 64.", kValue<&BgpFamily::maximum_paths>},
    {Af, "maximum-paths ibgp {(1-64)$paths}", Setting, Cost::Apply,
     "Over how many iBGP paths to spread traffic. Default: 64.", kValue<&BgpFamily::maximum_paths_ibgp>},
    {Af, "exit-address-family", Leave, Cost::Apply, "Leaves the block.", kLeave},
};

}  // namespace

std::span<const Statement> bgp_family_statements() { return kFamilies; }

}  // namespace culvert::config
