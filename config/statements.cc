#include "config/statements.h"

#include "config/behaviour.h"
#include "config/bfd_statements.h"
#include "config/tunnel_statements.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace culvert::config {
namespace {

Outcome ignore(Edit&) { return {}; }
constexpr Behaviour kIgnored{ignore, nullptr};

Outcome leave(Edit& edit)
{
    edit.position.node = info(edit.position.node).parent;
    return {};
}
constexpr Behaviour kLeave{leave, nullptr};

Outcome end(Edit& edit)
{
    edit.position.node = Node::Exec;
    return {};
}

// ---- top ----

Outcome frr_defaults(Edit& edit)
{
    edit.position.datacenter = edit.args.has("datacenter");
    return {};
}

constexpr std::array kLogLevels{
    std::pair{std::string_view{"debugging"}, LogLevel::Debug},
    std::pair{std::string_view{"informational"}, LogLevel::Info},
    std::pair{std::string_view{"notifications"}, LogLevel::Info},
    std::pair{std::string_view{"warnings"}, LogLevel::Warning},
    std::pair{std::string_view{"errors"}, LogLevel::Error},
    std::pair{std::string_view{"critical"}, LogLevel::Error},
    std::pair{std::string_view{"alerts"}, LogLevel::Error},
    std::pair{std::string_view{"emergencies"}, LogLevel::Error},
};

LogLevel level_of(const Args& args)
{
    for (const auto& [name, level] : kLogLevels)
        if (args.has(name)) return level;
    return LogLevel::Info;
}

std::string with_level(std::string line, LogLevel level)
{
    if (level == LogLevel::Info) return line;
    const auto it = std::ranges::find(kLogLevels, level, [](const auto& l) { return l.second; });
    return line + " " + std::string{it->first};
}

Outcome log_file(Edit& edit)
{
    edit.model.log = edit.no ? Log{} : Log{.file = edit.args.text("file"), .level = level_of(edit.args)};
    return {};
}

void show_log_file(const Statement& self, const View& view, Lines& out)
{
    const auto& log = view.model->log;
    if (!log.file.empty()) out.text(self, view, with_level("log file " + log.file, log.level));
}

Outcome log_stdout(Edit& edit)
{
    edit.model.log = edit.no ? Log{} : Log{.file = {}, .level = level_of(edit.args)};
    return {};
}

void show_log_stdout(const Statement& self, const View& view, Lines& out)
{
    const auto& log = view.model->log;
    if (log.file.empty() && log.level != LogLevel::Info) out.text(self, view, with_level("log stdout", log.level));
}

struct HashField {
    std::string_view word;
    bool LoadSharing::*member;
};
constexpr std::array kHashFields{
    HashField{"source", &LoadSharing::source},         HashField{"destination", &LoadSharing::destination},
    HashField{"protocol", &LoadSharing::protocol},     HashField{"ports", &LoadSharing::ports},
    HashField{"flow-label", &LoadSharing::flow_label},
};

template <auto Member>
Outcome load_sharing(Edit& edit)
{
    auto& sharing = edit.model.*Member;
    sharing = {};
    if (edit.no) return {};
    for (const auto& [word, member] : kHashFields) sharing.*member = edit.args.has(word);
    return {};
}

template <auto Member>
void show_load_sharing(const Statement& self, const View& view, Lines& out)
{
    const auto& sharing = view.model->*Member;
    if (sharing == LoadSharing{}) return;
    auto text = std::string{self.syntax.substr(0, self.syntax.find(" {"))};
    for (const auto& [word, member] : kHashFields)
        if (sharing.*member) text += fmt::format(" {}", word);
    out.text(self, view, text);
}

Outcome failover_block(Edit& edit)
{
    if (edit.no)
        edit.model.failover = {};
    else
        edit.position.node = Node::Failover;
    return {};
}

void show_failover_block(const Statement& self, const View& view, Lines& out)
{
    out.block(self, "failover", Node::Failover, view, "exit", false);
}

// ---- dataplane ----

Outcome dataplane_block(Edit& edit)
{
    if (edit.no)
        edit.model.dataplane = {};
    else
        edit.position.node = Node::Dataplane;
    return {};
}

void show_dataplane_block(const Statement& self, const View& view, Lines& out)
{
    out.block(self, "dataplane", Node::Dataplane, view, "exit", false);
}

Outcome workers(Edit& edit)
{
    auto& workers = edit.model.dataplane.workers;
    if (edit.no || edit.args.has("auto"))
        workers = Dataplane::WorkersAuto{};
    else if (const auto count = edit.args.number("count"))
        workers = Dataplane::WorkersCount{static_cast<unsigned>(*count)};
    else
        workers = Dataplane::WorkersPinned{parse_cpus(edit.args.text("cpus")).value()};
    return {};
}

void show_workers(const Statement& self, const View& view, Lines& out)
{
    const auto& workers = view.model->dataplane.workers;
    if (const auto* count = std::get_if<Dataplane::WorkersCount>(&workers))
        out.text(self, view, fmt::format("workers {}", count->count));
    else if (const auto* pinned = std::get_if<Dataplane::WorkersPinned>(&workers))
        out.text(self, view, "workers cpu " + cpus_to_string(pinned->cpus));
}

Outcome memory(Edit& edit)
{
    auto& dataplane = edit.model.dataplane;
    dataplane.memory = edit.args.has("hugepages")   ? Dataplane::Memory::HugePages
                       : edit.args.has("anonymous") ? Dataplane::Memory::Anonymous
                                                    : Dataplane::Memory::Auto;
    dataplane.memory_octets = edit.args.given("size") ? parse_size(edit.args.text("size")).value() : 0;
    if (edit.no) {
        dataplane.memory = Dataplane::Memory::Auto;
        dataplane.memory_octets = 0;
    }
    return {};
}

void show_memory(const Statement& self, const View& view, Lines& out)
{
    const auto& dataplane = view.model->dataplane;
    if (dataplane.memory == Dataplane::Memory::Auto && dataplane.memory_octets == 0) return;
    std::string line = dataplane.memory == Dataplane::Memory::Auto        ? "memory auto"
                       : dataplane.memory == Dataplane::Memory::HugePages ? "memory hugepages"
                                                                          : "memory anonymous";
    if (dataplane.memory_octets != 0) line += " " + size_to_string(dataplane.memory_octets);
    out.text(self, view, line);
}

Outcome poll(Edit& edit)
{
    edit.model.dataplane.poll_busy = !edit.no && edit.args.has("busy");
    return {};
}

void show_poll(const Statement& self, const View& view, Lines& out)
{
    if (view.model->dataplane.poll_busy) out.text(self, view, "poll busy");
}

// ---- routes and VRFs ----

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
    route.nexthop_vrf = args.text("nexthop_vrf");
    route.protected_only = args.has("protected");
    if (args.has("bfd"))
        route.bfd = StaticRouteBfd{
            .multihop = args.has("multi-hop"), .source = args.address("source"), .profile = args.text("profile")};
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

// ---- interfaces ----

bool is_loopback_name(std::string_view name)
{
    if (name == "lo") return true;
    if (!name.starts_with("loopback") || name.size() == 8) return false;
    return std::ranges::all_of(name.substr(8), [](char c) { return c >= '0' && c <= '9'; });
}

Outcome interface_block(Edit& edit)
{
    const auto name = edit.args.text("interface");
    if (edit.no) {
        if (edit.model.interfaces.erase(name) == 0) return edit.refuse("there is no interface " + name);
        return {};
    }
    auto& interface = edit.model.interfaces[name];
    if (interface.name.empty()) {
        interface.name = name;
        if (is_loopback_name(name)) interface.kind = Loopback{};
    }
    if (edit.args.has("vrf")) interface.vrf = vrf_or_default(edit.args.text("vrf"));
    edit.position.node = Node::Interface;
    edit.position.interface = name;
    return {};
}

void show_interface_blocks(const Statement& self, const View& view, Lines& out)
{
    for (const auto& [name, interface] : view.model->interfaces) {
        View inside = view;
        inside.interface = &interface;
        out.block(self, "interface " + name, Node::Interface, inside, "exit");
    }
}

// An interface is one thing: what would make it another is refused.
template <class Kind>
Outcome become(Edit& edit, Kind kind)
{
    auto* interface = edit.object<Interface>();
    if (!interface) return edit.refusal();
    if (edit.no) {
        if (std::holds_alternative<Kind>(interface->kind)) interface->kind = std::monostate{};
        return {};
    }
    if (!std::holds_alternative<std::monostate>(interface->kind) && !std::holds_alternative<Kind>(interface->kind))
        return edit.refuse(fmt::format("interface {} is {}", interface->name, kind_name(*interface)),
                           fmt::format("`no interface {}` first, or use another name", interface->name));
    interface->kind = std::move(kind);
    return {};
}

Outcome port(Edit& edit)
{
    Port port;
    port.kind = edit.args.has("kernel") ? Port::Kind::Kernel
                : edit.args.has("pci")  ? Port::Kind::Pci
                                        : Port::Kind::Vdev;
    port.device = edit.args.text("device");
    port.force = edit.args.has("force");
    return become(edit, std::move(port));
}

template <Port::Kind K>
void show_port(const Statement& self, const View& view, Lines& out)
{
    const auto* port = std::get_if<Port>(&view.interface->kind);
    if (!port || port->kind != K) return;
    auto text = std::string{self.syntax.substr(0, self.syntax.find('{'))} + port->device;
    if (port->force) text += " force";
    out.text(self, view, text);
}

Outcome encapsulation(Edit& edit)
{
    const auto& name = edit.position.interface;
    const auto dot = name.rfind('.');
    if (dot == name.npos || dot == 0)
        return edit.refuse(fmt::format("interface {} does not name the interface it is part of", name),
                           "name it PARENT.NUMBER, as wan0.100");
    return become(edit,
                  Subinterface{name.substr(0, dot), static_cast<std::uint16_t>(edit.args.number("vlan").value_or(0))});
}

void show_encapsulation(const Statement& self, const View& view, Lines& out)
{
    if (const auto* sub = std::get_if<Subinterface>(&view.interface->kind))
        out.statement(self, view, {std::to_string(sub->vlan)});
}

Outcome tunnel_mode_wireguard(Edit& edit)
{
    auto* interface = edit.object<Interface>();
    if (!edit.no && interface && std::holds_alternative<Wireguard>(interface->kind)) return {};
    return become(edit, Wireguard{});
}

void show_tunnel_mode_wireguard(const Statement& self, const View& view, Lines& out)
{
    if (std::holds_alternative<Wireguard>(view.interface->kind)) out.statement(self, view);
}

Outcome wireguard_peer_block(Edit& edit)
{
    auto* tunnel = edit.object<Wireguard>();
    if (!tunnel) return edit.refusal();
    const auto name = edit.args.text("name");
    if (edit.no) {
        if (tunnel->peers.erase(name) == 0) return edit.refuse("there is no peer " + name);
        return {};
    }
    tunnel->peers[name].name = name;
    edit.position.node = Node::WireguardPeer;
    edit.position.peer = name;
    return {};
}

void show_wireguard_peer_blocks(const Statement& self, const View& view, Lines& out)
{
    const auto* tunnel = view.object<Wireguard>();
    if (!tunnel) return;
    for (const auto& [name, peer] : tunnel->peers) {
        View inside = view;
        inside.peer = &peer;
        out.block(self, "wireguard peer " + name, Node::WireguardPeer, inside, "exit");
    }
}

Outcome public_key(Edit& edit)
{
    auto* peer = edit.object<WireguardPeer>();
    if (!peer) return edit.refusal();
    peer->public_key = edit.no ? Key32{} : decode_key(edit.args.text("key")).value();
    return {};
}

void show_public_key(const Statement& self, const View& view, Lines& out)
{
    if (view.peer->public_key != Key32{}) out.statement(self, view, {encode_key(view.peer->public_key)});
}

Outcome allowed_ips(Edit& edit)
{
    auto* peer = edit.object<WireguardPeer>();
    if (!peer) return edit.refusal();
    const auto named = edit.args.all("prefix");
    if (named.empty()) peer->allowed_ips.clear();
    for (const auto& text : named) {
        const auto prefix = IpPrefix::parse(text).value();
        std::erase(peer->allowed_ips, prefix);
        if (!edit.no) peer->allowed_ips.insert(std::ranges::upper_bound(peer->allowed_ips, prefix), prefix);
    }
    return {};
}

void show_allowed_ips(const Statement& self, const View& view, Lines& out)
{
    for (const auto& prefix : view.peer->allowed_ips) out.text(self, view, "allowed-ips " + prefix.to_string());
}

Outcome address(Edit& edit)
{
    auto* interface = edit.object<Interface>();
    if (!interface) return edit.refusal();
    auto& addresses = interface->addresses;
    if (!edit.args.given("address")) {
        const auto family = edit.args.has("ipv6") ? Family::Ipv6 : Family::Ipv4;
        std::erase_if(addresses, [&](const auto& a) { return a.address.family == family; });
        return {};
    }
    const auto address = InterfaceAddress::parse(edit.args.text("address")).value();
    const auto at = std::ranges::find(addresses, address);
    if (edit.no) {
        if (at == addresses.end())
            return edit.refuse(fmt::format("{} is not on {}", address.to_string(), interface->name));
        addresses.erase(at);
    } else if (at == addresses.end()) {
        // IPv4 before IPv6, each in the order typed: so they are shown, and so they come back.
        const auto place = address.address.is_v4()
                               ? std::ranges::find_if(addresses, [](const auto& a) { return a.address.is_v6(); })
                               : addresses.end();
        addresses.insert(place, address);
    }
    return {};
}

template <Family F>
void show_addresses(const Statement& self, const View& view, Lines& out)
{
    for (const auto& address : view.interface->addresses)
        if (address.address.family == F) out.statement(self, view, {address.to_string()});
}

Outcome adjust_mss(Edit& edit)
{
    auto* interface = edit.object<Interface>();
    if (!interface) return edit.refusal();
    if (edit.no) {
        interface->adjust_mss.reset();
        return {};
    }
    AdjustMss adjust;
    if (const auto mss = edit.args.number("mss")) adjust.value = static_cast<std::uint16_t>(*mss);
    interface->adjust_mss = adjust;
    return {};
}

void show_adjust_mss(const Statement& self, const View& view, Lines& out)
{
    const auto& adjust = view.interface->adjust_mss;
    if (!adjust) return;
    out.text(self, view, "ip tcp adjust-mss " + (adjust->value ? std::to_string(*adjust->value) : "auto"));
}

// ---- BGP ----

Outcome router_bgp_block(Edit& edit)
{
    const auto vrf = vrf_or_default(edit.args.text("vrf"));
    const auto asn = static_cast<Asn>(edit.args.number("asn").value_or(0));
    const auto it = edit.model.bgp.find(vrf);
    if (edit.no) {
        if (it == edit.model.bgp.end()) return edit.refuse("there is no such BGP instance");
        if (edit.args.given("asn") && it->second.asn != asn)
            return edit.refuse(fmt::format("BGP is running; AS is {}", index(it->second.asn)));
        edit.model.bgp.erase(it);
        return {};
    }
    if (it != edit.model.bgp.end() && it->second.asn != asn)
        return edit.refuse(fmt::format("BGP is already running; AS is {}", index(it->second.asn)),
                           fmt::format("`no router bgp {}` first", index(it->second.asn)));
    if (it == edit.model.bgp.end()) {
        auto& bgp = edit.model.bgp[vrf];
        bgp.asn = asn;
        bgp.vrf = vrf;
        if (edit.position.datacenter) {
            bgp.keepalive = Seconds{3};
            bgp.hold = Seconds{9};
            bgp.log_neighbor_changes = true;
            bgp.ebgp_requires_policy = false;
        }
    }
    edit.position.node = Node::RouterBgp;
    edit.position.vrf = vrf;
    return {};
}

void show_router_bgp_blocks(const Statement& self, const View& view, Lines& out)
{
    for (const auto& [vrf, bgp] : view.model->bgp) {
        View inside = view;
        inside.bgp = &bgp;
        auto header = fmt::format("router bgp {}", index(bgp.asn));
        if (!vrf.empty()) header += " vrf " + vrf;
        out.block(self, std::move(header), Node::RouterBgp, inside, "exit");
    }
}

Outcome refuse_hold(Edit& edit, std::uint64_t hold)
{
    if (hold == 0 || hold >= 3) return {};
    return edit.refuse("a hold time is 0 or at least 3 seconds", "RFC 4271 4.2");
}

Outcome timers_bgp(Edit& edit)
{
    auto* bgp = edit.object<Bgp>();
    if (!bgp) return edit.refusal();
    const auto keepalive = edit.args.number("keepalive").value_or(60);
    const auto hold = edit.args.number("hold").value_or(180);
    if (!edit.no)
        if (auto refused = refuse_hold(edit, hold); !refused) return refused;
    bgp->keepalive = edit.no ? Bgp{}.keepalive : Seconds{keepalive};
    bgp->hold = edit.no ? Bgp{}.hold : Seconds{hold};
    return {};
}

void show_timers_bgp(const Statement& self, const View& view, Lines& out)
{
    if (view.bgp->keepalive == Bgp{}.keepalive && view.bgp->hold == Bgp{}.hold) return;
    out.statement(self, view, {value_text(view.bgp->keepalive), value_text(view.bgp->hold)});
}

Outcome cluster_id(Edit& edit)
{
    auto* bgp = edit.object<Bgp>();
    if (!bgp) return edit.refusal();
    bgp->cluster_id.reset();
    if (edit.no) return {};
    if (const auto id = Ipv4Address::parse(edit.args.text("id")))
        bgp->cluster_id = id->value;
    else
        bgp->cluster_id = static_cast<std::uint32_t>(edit.args.number("number").value());
    return {};
}

void show_cluster_id(const Statement& self, const View& view, Lines& out)
{
    if (view.bgp->cluster_id) out.text(self, view, "bgp cluster-id " + Ipv4Address{*view.bgp->cluster_id}.to_string());
}

Outcome remote_as(Edit& edit)
{
    auto* neighbor = edit.object<BgpNeighbor>();
    if (!neighbor) return edit.refusal();
    if (edit.no) {
        edit.object<Bgp>()->neighbors.erase(neighbor->name());
        return {};
    }
    if (!neighbor->unnumbered() && (neighbor->address.is_unspecified() || neighbor->address.is_multicast()))
        return edit.refuse(neighbor->address.to_string() + " can't be a neighbor's address");
    neighbor->remote_as = {};
    if (edit.args.has("internal"))
        neighbor->remote_as.kind = RemoteAs::Kind::Internal;
    else if (edit.args.has("external"))
        neighbor->remote_as.kind = RemoteAs::Kind::External;
    else
        neighbor->remote_as = {RemoteAs::Kind::Number, static_cast<Asn>(edit.args.number("asn").value())};
    return {};
}

// `neighbor eth0 interface ...`, unnumbered, and `neighbor fe80::2 interface eth0`.
Outcome neighbor_interface(Edit& edit)
{
    auto* neighbor = edit.object<BgpNeighbor>();
    if (!neighbor) return edit.refusal();
    if (!neighbor->unnumbered())
        return edit.refuse(fmt::format("neighbor {} interface: which one?", neighbor->name().to_string()),
                           "neighbor ADDRESS interface IFNAME, or neighbor IFNAME interface remote-as external");
    if (edit.no) {
        edit.object<Bgp>()->neighbors.erase(neighbor->name());
        return {};
    }
    neighbor->v6only = edit.args.has("v6only");
    return edit.args.has("remote-as") ? remote_as(edit) : Outcome{};
}

Outcome neighbor_link(Edit& edit)
{
    auto* neighbor = edit.object<BgpNeighbor>();
    if (!neighbor) return edit.refusal();
    if (neighbor->unnumbered())
        return edit.refuse(fmt::format("neighbor {} is behind interface {}", neighbor->interface, neighbor->interface),
                           fmt::format("neighbor {} interface remote-as external", neighbor->interface));
    if (edit.no) {
        neighbor->interface.clear();
        return {};
    }
    if (!neighbor->address.is_v6() || !neighbor->address.is_link_local())
        return edit.refuse(
            fmt::format("{} is no link-local address: routes tell its interface", neighbor->address.to_string()),
            fmt::format("`neighbor {} update-source IFNAME` chooses the source address",
                        neighbor->address.to_string()));
    neighbor->interface = edit.args.text("interface");
    return {};
}

std::string neighbor_text(const View& view, std::string_view rest)
{
    return fmt::format("neighbor {} {}", view.neighbor->name().to_string(), rest);
}

void show_remote_as(const Statement& self, const View& view, Lines& out)
{
    const auto& neighbor = *view.neighbor;
    const auto& remote = neighbor.remote_as;
    std::string text = neighbor.unnumbered() ? neighbor.v6only ? "interface v6only" : "interface" : "";
    const auto said = [&](const std::string& as) { text += (text.empty() ? "remote-as " : " remote-as ") + as; };
    switch (remote.kind) {
        case RemoteAs::Kind::Unset: break;
        case RemoteAs::Kind::Number: said(std::to_string(index(remote.asn))); break;
        case RemoteAs::Kind::Internal: said("internal"); break;
        case RemoteAs::Kind::External: said("external"); break;
    }
    if (!text.empty()) out.text(self, view, neighbor_text(view, text));
}

void show_neighbor_link(const Statement& self, const View& view, Lines& out)
{
    const auto& neighbor = *view.neighbor;
    if (!neighbor.unnumbered() && !neighbor.interface.empty())
        out.text(self, view, neighbor_text(view, "interface " + neighbor.interface));
}

Outcome remove_neighbor(Edit& edit)
{
    if (!edit.no)
        return edit.refuse("`neighbor PEER` alone says nothing",
                           "neighbor ADDRESS remote-as <(1-4294967295)|internal|external>");
    auto* neighbor = edit.object<BgpNeighbor>();
    if (!neighbor) return edit.refusal();
    edit.object<Bgp>()->neighbors.erase(neighbor->name());
    return {};
}

Outcome neighbor_shutdown(Edit& edit)
{
    auto* neighbor = edit.object<BgpNeighbor>();
    if (!neighbor) return edit.refusal();
    neighbor->shutdown = !edit.no;
    neighbor->shutdown_message = edit.no ? std::string{} : edit.args.text("text");
    return {};
}

void show_neighbor_shutdown(const Statement& self, const View& view, Lines& out)
{
    if (!view.neighbor->shutdown) return;
    const auto& message = view.neighbor->shutdown_message;
    out.text(self, view, neighbor_text(view, message.empty() ? "shutdown" : "shutdown message " + message));
}

Outcome update_source(Edit& edit)
{
    auto* neighbor = edit.object<BgpNeighbor>();
    if (!neighbor) return edit.refusal();
    neighbor->update_source.clear();
    if (edit.no) return {};
    if (const auto address = edit.args.address("address")) {
        if (neighbor->unnumbered() || neighbor->address.is_link_local())
            return edit.refuse(fmt::format("neighbor {} is spoken to from the link-local address of its interface",
                                           neighbor->name().to_string()));
        if (address->family != neighbor->address.family)
            return edit.refuse(fmt::format("{} is not of the family of neighbor {}", address->to_string(),
                                           neighbor->address.to_string()));
        neighbor->update_source = address->to_string();
    } else {
        neighbor->update_source = edit.args.text("interface");
    }
    return {};
}

void show_update_source(const Statement& self, const View& view, Lines& out)
{
    if (!view.neighbor->update_source.empty())
        out.text(self, view, neighbor_text(view, "update-source " + view.neighbor->update_source));
}

Outcome ebgp_multihop(Edit& edit)
{
    auto* neighbor = edit.object<BgpNeighbor>();
    if (!neighbor) return edit.refusal();
    neighbor->ebgp_multihop.reset();
    if (edit.no) return {};
    if (neighbor->ttl_security_hops)
        return edit.refuse("ebgp-multihop and ttl-security exclude each other",
                           fmt::format("`no neighbor {} ttl-security` first", neighbor->name().to_string()));
    neighbor->ebgp_multihop = static_cast<std::uint8_t>(edit.args.number("hops").value_or(255));
    return {};
}

void show_ebgp_multihop(const Statement& self, const View& view, Lines& out)
{
    const auto& hops = view.neighbor->ebgp_multihop;
    if (hops)
        out.text(self, view,
                 neighbor_text(view, *hops == 255 ? "ebgp-multihop" : fmt::format("ebgp-multihop {}", *hops)));
}

Outcome ttl_security(Edit& edit)
{
    auto* neighbor = edit.object<BgpNeighbor>();
    if (!neighbor) return edit.refusal();
    neighbor->ttl_security_hops.reset();
    if (edit.no) return {};
    if (neighbor->ebgp_multihop)
        return edit.refuse("ttl-security and ebgp-multihop exclude each other",
                           fmt::format("`no neighbor {} ebgp-multihop` first", neighbor->name().to_string()));
    neighbor->ttl_security_hops = static_cast<std::uint8_t>(edit.args.number("hops").value());
    return {};
}

Outcome neighbor_timers(Edit& edit)
{
    auto* neighbor = edit.object<BgpNeighbor>();
    if (!neighbor) return edit.refusal();
    neighbor->keepalive.reset();
    neighbor->hold.reset();
    if (edit.no) return {};
    const auto hold = edit.args.number("hold").value();
    if (auto refused = refuse_hold(edit, hold); !refused) return refused;
    neighbor->keepalive = Seconds{edit.args.number("keepalive").value()};
    neighbor->hold = Seconds{hold};
    return {};
}

void show_neighbor_timers(const Statement& self, const View& view, Lines& out)
{
    const auto& n = *view.neighbor;
    if (n.keepalive && n.hold) out.statement(self, view, {value_text(*n.keepalive), value_text(*n.hold)});
}

// ---- BGP's address families ----

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

#define LEVELS "<emergencies|alerts|critical|errors|warnings|notifications|informational|debugging>"
#define ROUTE_BFD "protected|bfd [<multi-hop|source ADDRESS$source|profile WORD$profile>]..."
#define ROUTE_END "[<tag (1-4294967295)$tag|(1-255)$distance|vrf VRF$vrf|nexthop-vrf VRF$nexthop_vrf|" ROUTE_BFD ">]..."
#define VRF_ROUTE_END "[<tag (1-4294967295)$tag|(1-255)$distance|nexthop-vrf VRF$nexthop_vrf|" ROUTE_BFD ">]..."
#define MS "(10-60000)"
#define US "(3300-60000000)"
#define INTERVAL " {<" MS "$interval|microseconds " US "$interval_us>}"
// What a peer and a profile of BFD both take.
#define BFD_SETTINGS(node)                                                                                             \
    {node,                                                                                                             \
     "detect-multiplier {(1-255)$multiplier}",                                                                         \
     Setting,                                                                                                          \
     Cost::Apply,                                                                                                      \
     "After how many packets that did not come the peer is given up. Default: 3.",                                     \
     kValue<&BfdSettings::multiplier>},                                                                                \
        {node,                                                                                                         \
         "receive-interval" INTERVAL,                                                                                  \
         Setting,                                                                                                      \
         Cost::Apply,                                                                                                  \
         "How often the peer may send at most. Default: 300 milliseconds.",                                            \
         {bfd_receive_interval, show_bfd_receive_interval}},                                                           \
        {node,                                                                                                         \
         "transmit-interval" INTERVAL,                                                                                 \
         Setting,                                                                                                      \
         Cost::Apply,                                                                                                  \
         "How often we send at most; the slower end decides. Default: 300 milliseconds.",                              \
         {bfd_transmit_interval, show_bfd_transmit_interval}},                                                         \
        {node,                                                                                                         \
         "echo-mode",                                                                                                  \
         Setting,                                                                                                      \
         Cost::Apply,                                                                                                  \
         "Sends echo packets, which the peer's forwarding sends back. Not of multihop sessions.",                      \
         kFlag<&BfdSettings::echo_mode>},                                                                              \
        {node,                                                                                                         \
         "echo receive-interval {<disabled|" MS "$interval|microseconds " US "$interval_us>}",                         \
         Setting,                                                                                                      \
         Cost::Apply,                                                                                                  \
         "How often the peer may send echo packets for us to send back. Default: 50 milliseconds.",                    \
         {bfd_echo_receive_interval, show_bfd_echo_receive_interval}},                                                 \
        {node,                                                                                                         \
         "echo transmit-interval" INTERVAL,                                                                            \
         Setting,                                                                                                      \
         Cost::Apply,                                                                                                  \
         "How often we send echo packets. Default: 50 milliseconds.",                                                  \
         {bfd_echo_transmit_interval, show_bfd_echo_transmit_interval}},                                               \
        {node,                                                                                                         \
         "echo-interval" INTERVAL,                                                                                     \
         Setting,                                                                                                      \
         Cost::Apply,                                                                                                  \
         "FRR's older word for both intervals of echo packets.",                                                       \
         {bfd_echo_interval, nullptr}},                                                                                \
        {node,                                                                                                         \
         "minimum-ttl {(1-254)$ttl}",                                                                                  \
         Setting,                                                                                                      \
         Cost::Apply,                                                                                                  \
         "Multihop: packets with a lower TTL are dropped. Default: 254.",                                              \
         kValue<&BfdSettings::minimum_ttl>},                                                                           \
        {node,                                                                                                         \
         "passive-mode",                                                                                               \
         Setting,                                                                                                      \
         Cost::Apply,                                                                                                  \
         "Says nothing until the peer has spoken.",                                                                    \
         kFlag<&BfdSettings::passive>},                                                                                \
        {node,                                                                                                         \
         "demand-mode",                                                                                                \
         Setting,                                                                                                      \
         Cost::Apply,                                                                                                  \
         "Asks the peer to be silent while the session is up (RFC 5880 6.6). Something else has to see it fail then.", \
         kFlag<&BfdSettings::demand>},                                                                                 \
        {node,                                                                                                         \
         "authentication {<simple|md5|meticulous-md5|sha-1|meticulous-sha-1> keychain WORD$chain}",                    \
         Setting,                                                                                                      \
         Cost::Apply,                                                                                                  \
         "Takes only packets signed with a key of the chain, and signs with its first (RFC 5880 6.7).",                \
         {bfd_authentication, show_bfd_authentication}},                                                               \
    {                                                                                                                  \
        node, "shutdown", Setting, Cost::Apply, "Keeps the session down, and tells the peer.",                         \
            kFlag<&BfdSettings::shutdown>                                                                              \
    }
#define ROUTE4                                                      \
    "<A.B.C.D/M$prefix|A.B.C.D$net A.B.C.D$mask> <A.B.C.D$gateway " \
    "[IFNAME$interface]|Null0|blackhole|reject|IFNAME$interface> "
#define ROUTE6 "X:X::X:X/M$prefix <X:X::X:X$gateway [IFNAME$interface]|Null0|blackhole|reject|IFNAME$interface> "

constexpr auto Top = Node::Top;
constexpr auto Port_ = Node::Interface;
constexpr auto Peer = Node::WireguardPeer;
constexpr auto RouterBgp = Node::RouterBgp;
constexpr auto Af = Node::BgpFamily;
constexpr auto Sa = Node::ManualSa;
constexpr auto Setting = Form::Setting;
constexpr auto Plain = Form::Plain;
constexpr auto Leave = Form::Leave;
using N = BgpNeighbor;
using NF = BgpNeighborFamily;

// The order is that of the rendered configuration.
constexpr Statement kStatements[] = {
    {Top, "frr version LINE$version", Plain, Cost::Apply, "Read and kept nowhere: FRR writes it.", kIgnored},
    {Top,
     "frr defaults <traditional|datacenter>",
     Plain,
     Cost::Apply,
     "The defaults that `router bgp` below it starts with. They are written out by `show running-config`.",
     {frr_defaults, nullptr}},
    {Top, "hostname {WORD$hostname}", Setting, Cost::Apply, "The router's name, in prompts and to BGP neighbors.",
     kValue<&Model::hostname>},
    {Top,
     "log file {FILE$file} [" LEVELS "]",
     Setting,
     Cost::Apply,
     "Where log lines go, from which level. Default: standard error.",
     {log_file, show_log_file}},
    {Top,
     "log <stdout|stderr> [" LEVELS "]",
     Setting,
     Cost::Apply,
     "Log to standard error, from which level. Default: informational.",
     {log_stdout, show_log_stdout}},
    {Top, "service <integrated-vtysh-config|advanced-vty|password-encryption>", Setting, Cost::Apply,
     "Accepted because FRR writes it; there is one configuration anyway.", kIgnored},
    {Top, "<ip|ipv6> forwarding", Setting, Cost::Apply, "Accepted because FRR writes it; culvert always forwards.",
     kIgnored},

    {Top,
     "ip load-sharing fields {<source|destination|protocol|ports>...}",
     Setting,
     Cost::Apply,
     "Which fields of an IPv4 packet say what flow it belongs to, where traffic is spread over several paths. Default: "
     "all.",
     {load_sharing<&Model::load_sharing4>, show_load_sharing<&Model::load_sharing4>}},
    {Top,
     "ipv6 load-sharing fields {<source|destination|protocol|ports|flow-label>...}",
     Setting,
     Cost::Apply,
     "The same of IPv6. Default: all but the flow label.",
     {load_sharing<&Model::load_sharing6>, show_load_sharing<&Model::load_sharing6>}},

    {Top,
     "ip route " ROUTE4 ROUTE_END,
     Setting,
     Cost::Apply,
     "A static IPv4 route; the same prefix with several gateways is multipath.",
     {static_route, show_default_routes<Family::Ipv4>}},
    {Top,
     "ipv6 route " ROUTE6 ROUTE_END,
     Setting,
     Cost::Apply,
     "A static IPv6 route; the same prefix with several gateways is multipath.",
     {static_route, show_default_routes<Family::Ipv6>}},

    {Top,
     "dataplane",
     Setting,
     Cost::Restart,
     "How packets are moved: workers, memory, polling.",
     {dataplane_block, show_dataplane_block}},
    {Node::Dataplane,
     "workers {<auto|(1-64)$count|cpu CPUS$cpus>}",
     Setting,
     Cost::Restart,
     "How many threads move packets. `auto` and a number float over the CPUs, a list pins one to each. Default: auto.",
     {workers, show_workers}},
    {Node::Dataplane,
     "memory {<auto|hugepages|anonymous> [SIZE$size]}",
     Setting,
     Cost::Restart,
     "Where packets lie. Default: huge pages if the system has them, else anonymous memory; as much as is needed.",
     {memory, show_memory}},
    {Node::Dataplane,
     "poll {<adaptive|busy>}",
     Setting,
     Cost::Restart,
     "Whether an idle worker sleeps. `busy` needs workers pinned to CPUs of their own. Default: adaptive.",
     {poll, show_poll}},

    {Top,
     "failover",
     Setting,
     Cost::Apply,
     "How traffic returns to a path that had failed.",
     {failover_block, show_failover_block}},
    {Node::Failover, "hold-up {(0-3600000)$milliseconds}", Setting, Cost::Apply,
     "How long a path that came back has to stay before it is used again. Default: 2000.", kValue<&Failover::hold_up>},
    {Node::Failover, "buckets-a-second {(0-100000)$count}", Setting, Cost::Apply,
     "How many buckets of each group then move back to it in a second, until its share is full; 0: all at once. "
     "Default: 128.",
     kValue<&Failover::buckets_a_second>},

    {Top,
     "key chain WORD$name",
     Setting,
     Cost::Apply,
     "Keys of a protocol, by number.",
     {key_chain_block, show_key_chain_blocks}},
    {Node::KeyChain,
     "key (0-255)$key",
     Setting,
     Cost::Apply,
     "A key. The number goes with each packet, so both ends have to agree on it.",
     {key_block, show_key_blocks}},
    {Node::KeyChainKey, "key-file {FILE$file}", Setting, Cost::Apply, "The file with the key.",
     kSecretFile<&KeyChainKey::secret>},
    {Node::KeyChainKey, "key-string {LINE$key}", Setting, Cost::Apply, "The key itself.",
     kSecretValue<&KeyChainKey::secret>},
    {Node::KeyChainKey, "accept-only", Setting, Cost::Apply,
     "Packets signed with the key are taken, none are sent. Of the others the one with the lowest number is sent with: "
     "so a key is changed without a lost packet, by adding the new one accept-only at both ends first.",
     kFlag<&KeyChainKey::accept_only>},

    {Top,
     "crypto ipsec manual-sa WORD$name",
     Setting,
     Cost::Session,
     "Security associations, in and out, whose keys stand in files. **For tests and measurements only**: the keys are "
     "never renewed, a restart of either end begins again at sequence number 1 under the same key, and with it an "
     "attacker who recorded the traffic may read and forge it.",
     {manual_sa_block, show_manual_sa_blocks}},
    {Sa,
     "encryption {<aes-gcm-256|aes-gcm-128|chacha20-poly1305|aes-cbc-256|aes-cbc-128>}",
     Setting,
     Cost::Session,
     "The cipher. Default: aes-gcm-256.",
     {sa_encryption, show_sa_encryption}},
    {Sa,
     "integrity {<hmac-sha256|hmac-sha384|hmac-sha512>}",
     Setting,
     Cost::Session,
     "What authenticates packets: of aes-cbc, and of nothing else.",
     {sa_integrity, show_sa_integrity}},
    {Sa,
     "mode {<tunnel|transport>}",
     Setting,
     Cost::Session,
     "What of the packet is enciphered: all of it behind a header of its own, or (GRE only) what is behind the header. "
     "Default: tunnel.",
     {sa_mode, show_sa_mode}},
    {Sa, "local-address {ADDRESS$address}", Setting, Cost::Session,
     "Our end of the ESP packets. Default: the tunnel's source.", kValue<&ManualSa::local_address>},
    {Sa, "remote-address {ADDRESS$address}", Setting, Cost::Session,
     "The other end of the ESP packets. Default: the tunnel's destination.", kValue<&ManualSa::remote_address>},
    {Sa,
     "inbound {spi (256-4294967295)$spi <key-file FILE$file|key WORD$digits>}",
     Setting,
     Cost::Session,
     "What comes in: its index, and its keys in hexadecimal: the cipher's, its salt (4 octets, not of aes-cbc), then "
     "the integrity key (32, 48 or 64 octets).",
     {sa_inbound, show_sa_inbound}},
    {Sa,
     "outbound {spi (256-4294967295)$spi <key-file FILE$file|key WORD$digits>}",
     Setting,
     Cost::Session,
     "What goes out: its index, and its keys, which are others than those of what comes in.",
     {sa_outbound, show_sa_outbound}},
    {Sa, "esn", Setting, Cost::Session, "Extended sequence numbers of 64 bits (RFC 4304).", kFlag<&ManualSa::esn>},
    {Sa,
     "replay window {<(64-65536)$packets|disable>}",
     Setting,
     Cost::Session,
     "How far behind the newest a packet may come. Default: 1024.",
     {sa_replay_window, show_sa_replay_window}},
    {Sa,
     "udp-encapsulation [<local-port (1-65535)$local|remote-port (1-65535)$remote|keepalive (0-3600)$seconds>]...",
     Setting,
     Cost::Session,
     "ESP in UDP, for a NAT on the way (RFC 3948). Default ports: 4500; a keepalive after 20 silent seconds.",
     {sa_udp, show_sa_udp}},
    {Sa,
     "lifetime <seconds {(1-4294967295)$limit}|kilobytes {(1-18014398509481983)$limit}|packets "
     "{(1-18446744073709551615)$limit}>",
     Setting,
     Cost::Session,
     "When the keys are used up: nothing goes through after. A log line says so at nine tenths of it. Default: never, "
     "but for the sequence numbers' end.",
     {sa_lifetime, show_sa_lifetime}},
    {Sa,
     "df-bit {<copy|set|clear>}",
     Setting,
     Cost::Apply,
     "Don't Fragment of the outer IPv4 header: the inner one's, or always, or never. Default: copy.",
     {sa_df_bit, show_sa_df_bit}},
    {Sa,
     "dscp {<copy|(0-63)$dscp>}",
     Setting,
     Cost::Apply,
     "The outer header's DSCP: the inner one's, or a value. Default: copy.",
     {sa_dscp, show_sa_dscp}},
    {Sa, "ecn", Setting, Cost::Apply,
     "Congestion marks cross the tunnel (RFC 6040's normal mode). The default; without: compatibility mode.",
     kFlag<&ManualSa::ecn>},
    {Sa,
     "fragmentation {<before-encryption|after-encryption>}",
     Setting,
     Cost::Apply,
     "Where a packet is cut that would be too long. Default: before-encryption.",
     {sa_fragmentation, show_sa_fragmentation}},
    {Top,
     "crypto ipsec profile WORD$profile",
     Setting,
     Cost::Session,
     "How a tunnel is protected: what `tunnel protection` names.",
     {ipsec_profile_block, show_ipsec_profile_blocks}},
    {Node::IpsecProfile, "set manual-sa {WORD$name}", Setting, Cost::Session, "Protects with the keys of a manual SA.",
     kValue<&IpsecProfile::manual_sa>},

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

    {Top,
     "interface IFNAME$interface [vrf VRF$vrf]",
     Setting,
     Cost::Apply,
     "An interface of the router. `lo` and `loopbackN` are loopbacks; what any other is, its `port`, `encapsulation` "
     "or "
     "`tunnel mode` says.",
     {interface_block, show_interface_blocks}},
    {Port_, "description {LINE$text}", Setting, Cost::Apply, "A note for people.", kValue<&Interface::description>},
    {Port_,
     "port kernel {IFNAME$device [force]}",
     Setting,
     Cost::Apply,
     "A network device of the kernel, taken whole: the kernel's own stack does not answer on it while culvertd runs. "
     "`force` "
     "takes it even when the machine's default route uses it.",
     {port, show_port<Port::Kind::Kernel>}},
    {Port_,
     "port pci {PCI$device}",
     Setting,
     Cost::Apply,
     "A network card that is bound for userspace (vfio-pci).",
     {port, show_port<Port::Kind::Pci>}},
    {Port_,
     "port vdev {WORD$device}",
     Setting,
     Cost::Apply,
     "A virtual device of DPDK, with its arguments.",
     {port, show_port<Port::Kind::Vdev>}},
    {Port_,
     "encapsulation dot1q {(1-4094)$vlan}",
     Setting,
     Cost::Apply,
     "Makes an interface PARENT.NUMBER a VLAN of its parent.",
     {encapsulation, show_encapsulation}},
    {Port_,
     "tunnel mode wireguard",
     Setting,
     Cost::Apply,
     "Makes the interface a WireGuard tunnel.",
     {tunnel_mode_wireguard, show_tunnel_mode_wireguard}},
    {Port_,
     "tunnel mode {<gre <ip|ipv6|multipoint>|ipsec <ipv4|ipv6>>}",
     Setting,
     Cost::Session,
     "Makes the interface a GRE tunnel over IPv4 or IPv6, to one end or to many, or an IPsec tunnel. Any of them "
     "carries "
     "IPv4 and IPv6.",
     {tunnel_mode, show_tunnel_mode}},
    {Port_, "vrf {VRF$vrf}", Setting, Cost::Apply,
     "The VRF that the interface's packets are routed in. Default: the default VRF.", kVrf<&Interface::vrf>},
    {Port_,
     "tunnel source {<ADDRESS$address|IFNAME$interface>}",
     Setting,
     Cost::Session,
     "What the tunnel's own packets are sent from. Default: the address of the way to the peer.",
     {tunnel_source, show_tunnel_source}},
    {Port_,
     "tunnel vrf {VRF$vrf}",
     Setting,
     Cost::Session,
     "The VRF of the tunnel's own packets. Default: the default VRF.",
     {tunnel_vrf, show_tunnel_vrf}},
    {Port_, "tunnel destination {ADDRESS$address}", Setting, Cost::Session,
     "GRE and IPsec: the other end of the tunnel.", kValue<&Tunnel::destination>},
    {Port_, "tunnel key {(0-4294967295)$number}", Setting, Cost::Session,
     "GRE: a number that both ends put into each packet (RFC 2890); it is no secret.", kValue<&Tunnel::key>},
    {Port_, "tunnel checksum", Setting, Cost::Session, "GRE: a checksum, which is asked for on the way in too.",
     kFlag<&Tunnel::checksum>},
    {Port_, "tunnel sequence-datagrams", Setting, Cost::Session,
     "GRE: sequence numbers; what comes late is dropped (RFC 2890).", kFlag<&Tunnel::sequence>},
    {Port_,
     "tunnel ttl {<(1-255)$ttl|inherit>}",
     Setting,
     Cost::Apply,
     "GRE and IPsec: the TTL of the tunnel's own packets; `inherit`: the inner packet's. Default: 255.",
     {tunnel_ttl, show_tunnel_ttl}},
    {Port_, "tunnel tos {(0-255)$tos}", Setting, Cost::Apply,
     "GRE: the TOS octet of the tunnel's own packets. Default: the inner packet's DSCP, and ECN as RFC 6040 says.",
     kValue<&Tunnel::tos>},
    {Port_,
     "tunnel path-mtu-discovery [age-timer <(10-30)$minutes|infinite>]",
     Setting,
     Cost::Apply,
     "GRE and IPsec: the inner packet's Don't Fragment goes to the outer one, and what errors say of the way is "
     "believed for a while. The default, for 10 minutes.",
     {tunnel_path_mtu, show_tunnel_path_mtu}},
    {Port_,
     "keepalive [(1-32767)$seconds [(1-255)$retries]]",
     Setting,
     Cost::Apply,
     "GRE: asks the other end to send a packet back this often; the interface is down after so many that did not come. "
     "Default of both: 10, 3.",
     {tunnel_keepalive, show_tunnel_keepalive}},
    {Port_, "tunnel protection ipsec profile {WORD$profile}", Setting, Cost::Session,
     "GRE and IPsec: what is enciphered with. With it nothing leaves in clear, and nothing that comes in clear is "
     "taken.",
     kValue<&Tunnel::ipsec_profile>},
    {Port_,
     "ip nhrp map {A.B.C.D$nexthop ADDRESS$endpoint}",
     Setting,
     Cost::Apply,
     "GRE multipoint: which end of the tunnel a next hop is behind.",
     {nhrp_map, show_nhrp_map4}},
    {Port_,
     "ipv6 nhrp map {X:X::X:X$nexthop ADDRESS$endpoint}",
     Setting,
     Cost::Apply,
     "GRE multipoint: which end of the tunnel a next hop is behind.",
     {nhrp_map, show_nhrp_map6}},
    {Port_, "wireguard private-key-file {FILE$file}", Setting, Cost::Session,
     "The file with this end's private key, as `wg genkey` writes it, readable by nobody else.",
     kSecretFile<&Wireguard::private_key>},
    {Port_, "wireguard private-key {BASE64$key}", Setting, Cost::Session,
     "This end's private key itself. A file keeps it out of the configuration.", kSecretValue<&Wireguard::private_key>},
    {Port_, "wireguard listen-port {(1-65535)$port}", Setting, Cost::Session, "The UDP port. Default: 51820.",
     kValue<&Wireguard::listen_port>},
    {Port_, "wireguard rekey-after {(2-120)$seconds}", Setting, Cost::Apply,
     "After how many seconds a session gets new keys. Default: 120, as the protocol says.",
     kValue<&Wireguard::rekey_after>},
    {Port_,
     "ip address {A.B.C.D/M$address}",
     Setting,
     Cost::Apply,
     "An IPv4 address and the length of its subnet. The first one is the primary.",
     {address, show_addresses<Family::Ipv4>}},
    {Port_,
     "ipv6 address {X:X::X:X/M$address}",
     Setting,
     Cost::Apply,
     "An IPv6 address and the length of its subnet.",
     {address, show_addresses<Family::Ipv6>}},
    {Port_, "mtu {(68-65535)$octets}", Setting, Cost::Apply, "The link's MTU. Default: the device's.",
     kValue<&Interface::mtu>},
    {Port_, "ip mtu {(68-65535)$octets}", Setting, Cost::Apply,
     "The largest IP packet. Default: the link's MTU; of a tunnel, what its outer path leaves.",
     kValue<&Interface::ip_mtu>},
    {Port_,
     "ip tcp adjust-mss {<auto|(500-65495)$mss>}",
     Setting,
     Cost::Apply,
     "Lowers the segment size that TCP connections through the interface agree on; `auto`: to what the path takes.",
     {adjust_mss, show_adjust_mss}},
    {Port_,
     "bfd interval {<" MS "$transmit min_rx " MS "$receive|microseconds " US "$transmit_us min_rx " US
     "$receive_us> multiplier (1-255)$multiplier}",
     Setting,
     Cost::Apply,
     "The timers of BFD sessions over the interface that have none of their own. Where its subnet has but one other "
     "address (/30, /31, /127) there is a session with it.",
     {interface_bfd_interval, show_interface_bfd_interval}},
    {Port_, "bfd echo", Setting, Cost::Apply, "BFD sessions over the interface send echo packets.",
     kFlag<&Interface::bfd_echo>},
    {Port_, "link-detect", Setting, Cost::Apply, "Accepted because FRR writes it; a lost link is always seen.",
     kIgnored},
    {Port_, "shutdown", Setting, Cost::Apply, "Takes the interface out of use.", kFlag<&Interface::shutdown>},
    {Port_,
     "wireguard peer WORD$name",
     Setting,
     Cost::Apply,
     "The other end of a tunnel, under a name of your choice.",
     {wireguard_peer_block, show_wireguard_peer_blocks}},

    {Peer, "description {LINE$text}", Setting, Cost::Apply, "A note for people.", kValue<&WireguardPeer::description>},
    {Peer, "public-key {BASE64$key}", Setting, Cost::Session, "The peer's public key.", {public_key, show_public_key}},
    {Peer, "preshared-key-file {FILE$file}", Setting, Cost::Session,
     "The file with the key that both ends share beside the public ones.", kSecretFile<&WireguardPeer::preshared_key>},
    {Peer, "preshared-key {BASE64$key}", Setting, Cost::Session, "The preshared key itself.",
     kSecretValue<&WireguardPeer::preshared_key>},
    {Peer, "endpoint {ADDRESS:PORT$endpoint}", Setting, Cost::Apply,
     "Where the peer is at first; it is followed when it moves. Without it the peer has to call.",
     kValue<&WireguardPeer::endpoint>},
    {Peer,
     "allowed-ips {PREFIX$prefix...}",
     Setting,
     Cost::Apply,
     "What the peer may send from and what is sent to it. Each line adds.",
     {allowed_ips, show_allowed_ips}},
    {Peer, "persistent-keepalive {(1-65535)$seconds}", Setting, Cost::Apply,
     "Sends something this often, so that a NAT on the way keeps its state. Default: off.",
     kValue<&WireguardPeer::persistent_keepalive>},
    {Peer, "routes bgp", Setting, Cost::Apply, "The peer may also carry what BGP routes to it, and send from it.",
     kFlag<&WireguardPeer::routes_bgp>},

    {Top,
     "router bgp (1-4294967295)$asn [vrf VRF$vrf]",
     Setting,
     Cost::Session,
     "BGP in the default VRF or another.",
     {router_bgp_block, show_router_bgp_blocks}},
    {RouterBgp, "bgp router-id {A.B.C.D$id}", Setting, Cost::Session,
     "Default: the highest address of a loopback, else of an interface.", kValue<&Bgp::router_id>},
    {RouterBgp, "bgp log-neighbor-changes", Setting, Cost::Apply, "Log when a session comes up or goes down.",
     kFlag<&Bgp::log_neighbor_changes>},
    {RouterBgp, "bgp always-compare-med", Setting, Cost::Apply, "Compare MEDs of paths from different neighbor ASes.",
     kFlag<&Bgp::always_compare_med>},
    {RouterBgp, "bgp ebgp-requires-policy", Setting, Cost::Apply,
     "Without a policy nothing is taken from or given to an eBGP neighbor (RFC 8212). The default.",
     kFlag<&Bgp::ebgp_requires_policy>},
    {RouterBgp, "bgp default ipv4-unicast", Setting, Cost::Session,
     "Neighbors exchange IPv4 unicast unless they say otherwise. The default.", kFlag<&Bgp::default_ipv4_unicast>},
    {RouterBgp, "bgp default ipv6-unicast", Setting, Cost::Session,
     "Neighbors exchange IPv6 unicast unless they say otherwise.", kFlag<&Bgp::default_ipv6_unicast>},
    {RouterBgp, "bgp default local-preference {(0-4294967295)$preference}", Setting, Cost::Apply, "Default: 100.",
     kValue<&Bgp::default_local_preference>},
    {RouterBgp,
     "bgp cluster-id {<A.B.C.D$id|(1-4294967295)$number>}",
     Setting,
     Cost::Session,
     "The cluster that this route reflector stands in. Default: its router id.",
     {cluster_id, show_cluster_id}},
    {RouterBgp, "bgp deterministic-med", Setting, Cost::Apply,
     "Compare MEDs within each neighbor AS before anything else. The default.", kFlag<&Bgp::deterministic_med>},
    {RouterBgp, "bgp bestpath as-path ignore", Setting, Cost::Apply, "The length of the AS path does not count.",
     kFlag<&Bgp::bestpath_as_path_ignore>},
    {RouterBgp, "bgp bestpath as-path multipath-relax", Setting, Cost::Apply,
     "Multipath over AS paths of equal length but other ASes.", kFlag<&Bgp::bestpath_multipath_relax>},
    {RouterBgp, "bgp bestpath compare-routerid", Setting, Cost::Apply,
     "The lower router id wins before the older path.", kFlag<&Bgp::bestpath_compare_routerid>},
    {RouterBgp, "bgp bestpath med missing-as-worst", Setting, Cost::Apply,
     "A path without MED counts as the worst one.", kFlag<&Bgp::med_missing_as_worst>},
    {RouterBgp, "bgp fast-external-failover", Setting, Cost::Apply,
     "A session ends at once when its link does. The default.", kFlag<&Bgp::fast_external_failover>},
    {RouterBgp, "bgp network import-check", Setting, Cost::Apply,
     "A `network` is advertised only while there is a route to it. The default.", kFlag<&Bgp::network_import_check>},
    {RouterBgp,
     "timers bgp {(0-65535)$keepalive (0-65535)$hold}",
     Setting,
     Cost::Session,
     "Seconds between keepalives and until a silent neighbor is given up. Default: 60 and 180.",
     {timers_bgp, show_timers_bgp}},

    {RouterBgp,
     "neighbor PEER$peer remote-as {<(1-4294967295)$asn|internal|external>}",
     Setting,
     Cost::Session,
     "A neighbor and its AS. `no` removes the neighbor.",
     {remote_as, show_remote_as}},
    {RouterBgp,
     "neighbor PEER$peer",
     Setting,
     Cost::Session,
     "`no neighbor PEER` removes the neighbor.",
     {remove_neighbor, nullptr}},
    {RouterBgp,
     "neighbor PEER$peer interface [v6only] [remote-as <(1-4294967295)$asn|internal|external>]",
     Setting,
     Cost::Session,
     "An unnumbered neighbor, called by the interface that it is behind: router advertisements tell its link-local "
     "address. Only on ports.",
     {neighbor_interface, nullptr}},
    {RouterBgp,
     "neighbor PEER$peer interface {IFNAME$interface}",
     Setting,
     Cost::Session,
     "The interface that a neighbor with a link-local address is behind.",
     {neighbor_link, show_neighbor_link}},
    {RouterBgp, "neighbor PEER$peer local-as {(1-4294967295)$asn}", Setting, Cost::Session,
     "The AS that this neighbor sees us in.", kValue<&N::local_as>},
    {RouterBgp, "neighbor PEER$peer description {LINE$text}", Setting, Cost::Apply, "A note for people.",
     kValue<&N::description>},
    {RouterBgp,
     "neighbor PEER$peer shutdown [message LINE$text]",
     Setting,
     Cost::Session,
     "Keeps the session down; the message is told to the neighbor (RFC 9003).",
     {neighbor_shutdown, show_neighbor_shutdown}},
    {RouterBgp, "neighbor PEER$peer password-file {FILE$file}", Setting, Cost::Session,
     "The file with the TCP-MD5 key (RFC 2385).", kSecretFile<&N::password>},
    {RouterBgp, "neighbor PEER$peer password {LINE$key}", Setting, Cost::Session, "The TCP-MD5 key itself (RFC 2385).",
     kSecretValue<&N::password>},
    {RouterBgp, "neighbor PEER$peer passive", Setting, Cost::Session, "Waits for the neighbor to connect.",
     kFlag<&N::passive>},
    {RouterBgp, "neighbor PEER$peer port {(1-65535)$port}", Setting, Cost::Session,
     "The neighbor's TCP port. Default: 179.", kValue<&N::port>},
    {RouterBgp,
     "neighbor PEER$peer ebgp-multihop [(1-255)$hops]",
     Setting,
     Cost::Session,
     "The neighbor may be this many hops away. Default: 1; 255 when no number is given.",
     {ebgp_multihop, show_ebgp_multihop}},
    {RouterBgp,
     "neighbor PEER$peer ttl-security hops {(1-254)$hops}",
     Setting,
     Cost::Session,
     "Takes only packets that came at most this many hops (RFC 5082).",
     {ttl_security, show_value<&N::ttl_security_hops>}},
    {RouterBgp, "neighbor PEER$peer disable-connected-check", Setting, Cost::Session,
     "One hop, but not on a subnet of ours: between loopbacks.", kFlag<&N::disable_connected_check>},
    {RouterBgp,
     "neighbor PEER$peer update-source {<ADDRESS$address|IFNAME$interface>}",
     Setting,
     Cost::Session,
     "What the session is sent from. Default: the address of the interface on the way.",
     {update_source, show_update_source}},
    {RouterBgp, "neighbor PEER$peer advertisement-interval {(0-600)$seconds}", Setting, Cost::Apply,
     "At least this long between two updates of a prefix. Default: 0.", kValue<&N::advertisement_interval>},
    {RouterBgp,
     "neighbor PEER$peer timers {(0-65535)$keepalive (0-65535)$hold}",
     Setting,
     Cost::Session,
     "As `timers bgp`, for one neighbor.",
     {neighbor_timers, show_neighbor_timers}},
    {RouterBgp, "neighbor PEER$peer timers connect {(1-65535)$seconds}", Setting, Cost::Apply,
     "Seconds between attempts to connect. Default: 120.", kValue<&N::connect_retry>},
    {RouterBgp, "neighbor PEER$peer dont-capability-negotiate", Setting, Cost::Session, "Opens without capabilities.",
     kFlag<&N::dont_capability_negotiate>},

    {RouterBgp,
     "neighbor PEER$peer bfd profile {WORD$profile}",
     Setting,
     Cost::Apply,
     "The BFD profile of the neighbor's session.",
     {neighbor_bfd_profile, show_neighbor_bfd_profile}},
    {RouterBgp,
     "neighbor PEER$peer bfd check-control-plane-failure",
     Setting,
     Cost::Apply,
     "Says in BFD packets that ours outlives our control plane; and a BFD session that goes down while the neighbor's "
     "BGP "
     "restarts, and that does not say the same, is not acted on.",
     {neighbor_bfd_check, show_neighbor_bfd_check}},
    {RouterBgp,
     "neighbor PEER$peer bfd strict [hold-time (1-4294967295)$seconds]",
     Setting,
     Cost::Session,
     "BGP waits for BFD to be up before it starts, and starts anew after so many seconds (30) without it.",
     {neighbor_bfd_strict, show_neighbor_bfd_strict}},
    {RouterBgp,
     "neighbor PEER$peer bfd [(1-255)$multiplier " MS "$receive " MS "$transmit]",
     Setting,
     Cost::Apply,
     "Ends the BGP session as soon as BFD finds the neighbor gone.",
     {neighbor_bfd, show_neighbor_bfd}},

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

    {Top, "bfd", Setting, Cost::Apply, "Sessions and profiles of BFD (RFC 5880).", {bfd_block, show_bfd_block}},
    {Node::Bfd,
     "profile WORD$profile",
     Setting,
     Cost::Apply,
     "What several sessions share.",
     {bfd_profile_block, show_bfd_profile_blocks}},
    BFD_SETTINGS(Node::BfdProfile),
    {Node::Bfd,
     "peer ADDRESS$address [<multihop|local-address ADDRESS$source|interface IFNAME$interface|vrf VRF$vrf>]...",
     Setting,
     Cost::Apply,
     "A session. Its settings may stand in a profile; what stands here goes before.",
     {bfd_peer_block, show_bfd_peer_blocks}},
    {Node::BfdPeer, "profile {WORD$profile}", Setting, Cost::Apply, "Takes what is not set here from a profile.",
     kValue<&BfdPeer::profile>},
    BFD_SETTINGS(Node::BfdPeer),

    {Top,
     "line vty",
     Plain,
     Cost::Apply,
     "Accepted because FRR writes it.",
     {[](Edit& edit) -> Outcome {
          edit.position.node = Node::LineVty;
          return {};
      },
      nullptr}},
    {Node::LineVty, "exec-timeout (0-35791)$minutes [(0-2147483)$seconds]", Setting, Cost::Apply,
     "Accepted because FRR writes it.", kIgnored},
    {Top, "<exit|quit>", Leave, Cost::Apply, "Leaves the block; at the top, leaves configuring.", kLeave},
    {Top, "end", Leave, Cost::Apply, "Leaves configuring.", {end, nullptr}},
};

constexpr NodeInfo kNodes[] = {
    {Node::Exec, Node::Exec, "exec", "Commands"},
    {Node::Top, Node::Exec, "config", "Top level"},
    {Node::Dataplane, Node::Top, "config-dataplane", "dataplane"},
    {Node::Interface, Node::Top, "config-if", "interface NAME"},
    {Node::WireguardPeer, Node::Interface, "config-if-peer", "wireguard peer NAME"},
    {Node::Vrf, Node::Top, "config-vrf", "vrf NAME"},
    {Node::RouterBgp, Node::Top, "config-router", "router bgp ASN"},
    {Node::BgpFamily, Node::RouterBgp, "config-router-af", "address-family FAMILY"},
    {Node::Failover, Node::Top, "config-failover", "failover"},
    {Node::KeyChain, Node::Top, "config-keychain", "key chain NAME"},
    {Node::KeyChainKey, Node::KeyChain, "config-keychain-key", "key NUMBER"},
    {Node::ManualSa, Node::Top, "config-ipsec-sa", "crypto ipsec manual-sa NAME"},
    {Node::IpsecProfile, Node::Top, "config-ipsec-profile", "crypto ipsec profile NAME"},
    {Node::Bfd, Node::Top, "config-bfd", "bfd"},
    {Node::BfdProfile, Node::Bfd, "config-bfd-profile", "profile NAME"},
    {Node::BfdPeer, Node::Bfd, "config-bfd-peer", "peer ADDRESS"},
    {Node::LineVty, Node::Top, "config-line", "line vty"},
};

}  // namespace

std::string_view kind_name(const Interface& interface)
{
    constexpr std::array<std::string_view, 6> kNames{"nothing yet",        "a port",  "a loopback", "a subinterface",
                                                     "a WireGuard tunnel", "a tunnel"};
    return kNames[interface.kind.index()];
}

std::span<const Statement> statements() { return kStatements; }

const NodeInfo& info(Node node) { return *std::ranges::find(kNodes, node, &NodeInfo::node); }

Node node_of_mode(std::string_view mode)
{
    const auto* it = std::ranges::find(kNodes, mode, &NodeInfo::mode);
    return it == std::end(kNodes) ? Node::Exec : it->node;
}

std::string path_of(const Position& position)
{
    switch (position.node) {
        case Node::Exec:
        case Node::Top: return "";
        case Node::Dataplane: return "dataplane";
        case Node::Interface: return "interface " + position.interface;
        case Node::WireguardPeer:
            return fmt::format("interface {} / wireguard peer {}", position.interface, position.peer);
        case Node::Vrf: return "vrf " + position.vrf;
        case Node::RouterBgp:
        case Node::BgpFamily: {
            auto path = position.vrf.empty() ? std::string{"router bgp"} : "router bgp vrf " + position.vrf;
            if (position.node == Node::BgpFamily) path += position.family == Family::Ipv4 ? " / ipv4" : " / ipv6";
            return path;
        }
        case Node::Failover: return "failover";
        case Node::KeyChain: return "key chain " + position.name;
        case Node::KeyChainKey: return fmt::format("key chain {} / key {}", position.name, position.key);
        case Node::ManualSa: return "crypto ipsec manual-sa " + position.name;
        case Node::IpsecProfile: return "crypto ipsec profile " + position.name;
        case Node::Bfd: return "bfd";
        case Node::BfdProfile: return "bfd / profile " + position.name;
        case Node::BfdPeer:
            return "bfd / peer " + position.bfd_peer.peer.to_string() + bfd_peer_options(position.bfd_peer);
        case Node::LineVty: return "line vty";
    }
    return "";
}

}  // namespace culvert::config
