#include "config/behaviour.h"
#include "config/statement_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

namespace culvert::config {
namespace {

std::string name_of(const StaticRoute& route)
{
    std::string text{route.prefix.family() == Family::Ipv4 ? "ip route " : "ipv6 route "};
    text += route.prefix.to_string();
    if (route.gateway) text += " " + route.gateway->to_string();
    if (!route.interface.empty()) text += " " + route.interface;
    switch (route.drop) {
        case StaticRoute::Drop::No: break;
        case StaticRoute::Drop::Null0: text += " Null0"; break;
        case StaticRoute::Drop::Blackhole: text += " blackhole"; break;
        case StaticRoute::Drop::Reject: text += " reject"; break;
    }
    return text;
}

Outcome static_route(Edit& edit)
{
    const auto& args = edit.args;
    StaticRoute route;
    if (args.given("net")) {
        const auto mask = Ipv4Address::parse(args.text("mask")).value().value;
        const auto length = std::popcount(mask);
        if (length != std::countl_one(mask))
            return edit.refuse(args.text("mask") + " is not a netmask", "write the prefix as A.B.C.D/M");
        route.prefix = IpPrefix::make(args.address("net").value(), length);
    } else {
        route.prefix = args.prefix("prefix").value();
    }
    route.gateway = args.address("gateway");
    route.interface = args.text("interface");
    if (args.has("Null0")) route.drop = StaticRoute::Drop::Null0;
    if (args.has("blackhole")) route.drop = StaticRoute::Drop::Blackhole;
    if (args.has("reject")) route.drop = StaticRoute::Drop::Reject;
    route.distance = static_cast<std::uint8_t>(args.number("distance").value_or(1));
    route.tag = static_cast<std::uint32_t>(args.number("tag").value_or(0));
    route.weight = static_cast<std::uint8_t>(args.number("weight").value_or(1));
    route.nexthop_vrf = args.text("nexthop_vrf");
    route.protected_only = args.has("protected");
    if (args.has("bfd"))
        route.bfd = StaticRouteBfd{
            .multihop = args.has("multi-hop"), .source = args.address("source"), .profile = args.text("profile")};
    if (route.weight != 1 && route.drop != StaticRoute::Drop::No)
        return edit.refuse("a route that drops shares no traffic", "leave `weight` out");
    if (route.bfd && !route.gateway) return edit.refuse("BFD needs somebody to speak with", "name a gateway");
    if (route.bfd && route.bfd->multihop && !route.bfd->source)
        return edit.refuse("a multihop session needs to know its own address", "bfd multi-hop source ADDRESS");
    if (route.bfd && route.bfd->source && route.bfd->source->family != route.gateway->family)
        return edit.refuse(fmt::format("{} is not of the gateway's family", route.bfd->source->to_string()));
    if (route.gateway && route.gateway->is_multicast())
        return edit.refuse(route.gateway->to_string() + " is a multicast address", "name a router's address");
    if (route.gateway && route.gateway->is_unspecified())
        return edit.refuse(route.gateway->to_string() + " is no gateway", "name a router's address, or an interface");

    const auto vrf_name = edit.position.node == Node::Vrf ? edit.position.vrf : vrf_or_default(args.text("vrf"));
    auto vrf = edit.model.vrfs.find(vrf_name);
    if (vrf == edit.model.vrfs.end()) {
        if (edit.no) return edit.refuse(fmt::format("there is no vrf {}", vrf_name));
        return edit.refuse(fmt::format("there is no vrf {}", vrf_name), fmt::format("say `vrf {}` before", vrf_name));
    }
    auto& routes = vrf->second.routes;
    const auto same = [&](const StaticRoute& other) {
        return other.prefix == route.prefix && other.gateway == route.gateway && other.interface == route.interface &&
               other.drop == route.drop &&
               (edit.no && !args.given("nexthop_vrf") ? true : other.nexthop_vrf == route.nexthop_vrf) &&
               (edit.no && !args.given("distance") ? true : other.distance == route.distance);
    };
    const auto before = routes.size();
    std::erase_if(routes, same);
    if (edit.no) {
        if (routes.size() == before) return edit.refuse("there is no such route", "`show running-config` lists them");
        return {};
    }
    routes.insert(std::ranges::upper_bound(routes, route), route);
    return {};
}

template <Family F>
void show_static_routes(const Statement& self, const View& view, Lines& out)
{
    for (const auto& route : view.vrf->routes) {
        if (route.prefix.family() != F) continue;
        auto text = name_of(route);
        if (route.tag != 0) text += fmt::format(" tag {}", route.tag);
        if (route.distance != 1) text += fmt::format(" {}", route.distance);
        if (route.weight != 1) text += fmt::format(" weight {}", route.weight);
        if (!route.nexthop_vrf.empty()) text += " nexthop-vrf " + route.nexthop_vrf;
        if (route.protected_only) text += " protected";
        if (route.bfd) {
            text += " bfd";
            if (route.bfd->multihop) text += " multi-hop";
            if (route.bfd->source) text += " source " + route.bfd->source->to_string();
            if (!route.bfd->profile.empty()) text += " profile " + route.bfd->profile;
        }
        out.text(self, view, text);
    }
}

// VRFs that a statement names before their own block come into being by it only in their own block: a slip in a name is
// found. The default VRF is always there.
Outcome vrf_block(Edit& edit)
{
    const auto name = vrf_or_default(edit.args.text("vrf"));
    if (edit.no) {
        if (name.empty()) return edit.refuse("the default vrf cannot be removed");
        if (edit.model.vrfs.erase(name) == 0) return edit.refuse(fmt::format("there is no vrf {}", name));
        return {};
    }
    edit.model.vrfs[name].name = name;
    edit.position.node = Node::Vrf;
    edit.position.vrf = name;
    return {};
}

void show_vrf_blocks(const Statement& self, const View& view, Lines& out)
{
    for (const auto& [name, vrf] : view.model->vrfs) {
        // What the default VRF's block says stands at the top, but for its namespace.
        if (name.empty() && vrf.netns.empty() && !vrf.protected_only) continue;
        View inside = view;
        inside.vrf = &vrf;
        out.block(self, "vrf " + (name.empty() ? "default" : name), Node::Vrf, inside, "exit-vrf");
    }
}

template <Family F>
void show_vrf_routes(const Statement& self, const View& view, Lines& out)
{
    if (!view.vrf->name.empty()) show_static_routes<F>(self, view, out);
}

template <Family F>
void show_default_routes(const Statement& self, const View& view, Lines& out)
{
    View inside = view;
    const auto it = view.model->vrfs.find("");
    if (it == view.model->vrfs.end()) return;
    inside.vrf = &it->second;
    show_static_routes<F>(self, inside, out);
}

#define ROUTE_OPTIONS "weight (1-255)$weight|protected|bfd [<multi-hop|source ADDRESS$source|profile WORD$profile>]..."
#define ROUTE_END \
    "[<tag (1-4294967295)$tag|(1-255)$distance|vrf VRF$vrf|nexthop-vrf VRF$nexthop_vrf|" ROUTE_OPTIONS ">]..."
#define VRF_ROUTE_END "[<tag (1-4294967295)$tag|(1-255)$distance|nexthop-vrf VRF$nexthop_vrf|" ROUTE_OPTIONS ">]..."
#define ROUTE4                                                      \
    "<A.B.C.D/M$prefix|A.B.C.D$net A.B.C.D$mask> <A.B.C.D$gateway " \
    "[IFNAME$interface]|Null0|blackhole|reject|IFNAME$interface> "
#define ROUTE6 "X:X::X:X/M$prefix <X:X::X:X$gateway [IFNAME$interface]|Null0|blackhole|reject|IFNAME$interface> "

constexpr Statement kStaticRoutes[] = {
    {Top,
     "ip route " ROUTE4 ROUTE_END,
     Setting,
     Cost::Apply,
     "A static IPv4 route; the same prefix with several gateways is multipath, shared by their weights (1 by default).",
     {static_route, show_default_routes<Family::Ipv4>}},
    {Top,
     "ipv6 route " ROUTE6 ROUTE_END,
     Setting,
     Cost::Apply,
     "A static IPv6 route; the same prefix with several gateways is multipath, shared by their weights (1 by default).",
     {static_route, show_default_routes<Family::Ipv6>}},
};

constexpr Statement kVrfs[] = {
    {Top,
     "vrf VRF$vrf",
     Setting,
     Cost::Apply,
     "A routing table of its own. Interfaces join it by their own `vrf`.",
     {vrf_block, show_vrf_blocks}},
    {Node::Vrf, "netns {WORD$netns}", Setting, Cost::Restart,
     "The named network namespace that carries the VRF's host link. Default: one without a name.", kValue<&Vrf::netns>},
    {Node::Vrf, "protected", Setting, Cost::Apply,
     "As if each route of the VRF said `protected`, but those of its own subnets.", kFlag<&Vrf::protected_only>},
    {Node::Vrf,
     "ip route " ROUTE4 VRF_ROUTE_END,
     Setting,
     Cost::Apply,
     "A static IPv4 route of this VRF.",
     {static_route, show_vrf_routes<Family::Ipv4>}},
    {Node::Vrf,
     "ipv6 route " ROUTE6 VRF_ROUTE_END,
     Setting,
     Cost::Apply,
     "A static IPv6 route of this VRF.",
     {static_route, show_vrf_routes<Family::Ipv6>}},
    {Node::Vrf, "exit-vrf", Leave, Cost::Apply, "Leaves the block.", kLeave},
};

}  // namespace

std::span<const Statement> static_route_statements() { return kStaticRoutes; }
std::span<const Statement> vrf_statements() { return kVrfs; }

}  // namespace culvert::config
