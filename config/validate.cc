#include "config/validate.h"

#include "config/bfd_statements.h"
#include "config/statements.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <map>
#include <set>
#include <tuple>

namespace culvert::config {
namespace {

std::string interface_path(const std::string& name) { return "interface " + name; }
std::string bgp_path(const std::string& vrf) { return path_of({.node = Node::RouterBgp, .vrf = vrf}); }
std::string vrf_path(const std::string& vrf) { return vrf.empty() ? std::string{} : "vrf " + vrf; }
std::string vrf_name(const std::string& vrf) { return vrf.empty() ? "the default vrf" : "vrf " + vrf; }
std::string real_vrf(const std::string& vrf) { return vrf == "default" ? std::string{} : vrf; }
bool is_internal(const Bgp& bgp, const BgpNeighbor& neighbor)
{
    return neighbor.remote_as.kind == RemoteAs::Kind::Internal ||
           (neighbor.remote_as.kind == RemoteAs::Kind::Number && neighbor.remote_as.asn == bgp.asn);
}

class Validator {
public:
    Validator(const Model& model, const ValidateOptions& options) : model_(model), options_(options) {}

    std::vector<Diagnostic> run()
    {
        dataplane();
        vrfs();
        for (const auto& [name, interface] : model_.interfaces) this->interface(interface);
        addresses();
        devices();
        tunnels();
        gre_and_ipsec();
        for (const auto& [name, chain] : model_.key_chains) key_chain(chain);
        manual_sas();
        for (const auto& [name, profile] : model_.ipsec_profiles) ipsec_profile(profile);
        for (const auto& [name, profile] : model_.bfd_profiles)
            bfd_settings(profile.settings, path_of({.node = Node::BfdProfile, .name = name}));
        for (const auto& [key, peer] : model_.bfd_peers) bfd_peer(peer);
        for (const auto& [name, vrf] : model_.vrfs)
            for (const auto& route : vrf.routes) this->route(vrf, route);
        for (const auto& [vrf, bgp] : model_.bgp) this->bgp(bgp);
        std::ranges::stable_sort(found_, {}, &Diagnostic::line);
        return std::move(found_);
    }

private:
    // `statement`: how the line begins that is to blame.
    void add(Diagnostic::Kind kind, const std::string& path, const std::string& statement, std::string message,
             std::string hint)
    {
        Diagnostic d;
        d.kind = kind;
        d.file = options_.file;
        d.line = line(path, statement);
        d.message = std::move(message);
        d.hint = std::move(hint);
        found_.push_back(std::move(d));
    }
    void wrong(const std::string& path, const std::string& statement, std::string message, std::string hint)
    {
        add(Diagnostic::Kind::Refused, path, statement, std::move(message), std::move(hint));
    }
    void unfinished(const std::string& path, std::string message, std::string hint)
    {
        add(Diagnostic::Kind::Unfinished, path, {}, std::move(message), std::move(hint));
    }
    unsigned line(const std::string& path, const std::string& statement) const
    {
        return options_.sources ? options_.sources->line_of(path, statement) : 0;
    }
    std::string at_line(const std::string& path, const std::string& statement) const
    {
        const auto number = line(path, statement);
        return number == 0 ? std::string{} : fmt::format(" (line {})", number);
    }

    void known_vrf(const std::string& name, const std::string& path, const std::string& statement)
    {
        const auto vrf = real_vrf(name);
        if (vrf.empty() || model_.vrfs.contains(vrf)) return;
        wrong(path, statement, fmt::format("there is no vrf {}", vrf),
              fmt::format("add `vrf {}` at the top level", vrf));
    }

    void secret(const std::optional<Secret>& secret, const std::string& path, const std::string& statement)
    {
        if (!secret || !options_.check_secret) return;
        if (auto problem = options_.check_secret(*secret))  // it says the cure too
            wrong(path, statement, *problem, {});
    }

    void dataplane()
    {
        const auto& d = model_.dataplane;
        const auto* pinned = std::get_if<Dataplane::WorkersPinned>(&d.workers);
        if (pinned && !options_.cpus.empty()) {
            for (const auto cpu : pinned->cpus)
                if (std::ranges::find(options_.cpus, cpu) == options_.cpus.end())
                    wrong("dataplane", "workers", fmt::format("there is no CPU {} for workers", cpu),
                          fmt::format("name some of {}", cpus_to_string(options_.cpus)));
        }
        if (!d.poll_busy) return;
        if (!pinned) {
            wrong("dataplane", "poll busy", "`poll busy` would spin on CPUs that the control plane shares",
                  "pin the workers to CPUs of their own with `workers cpu LIST`, or use `poll adaptive`");
            return;
        }
        const auto shared = [&](unsigned cpu) { return std::ranges::find(pinned->cpus, cpu) == pinned->cpus.end(); };
        if (!options_.cpus.empty() && std::ranges::none_of(options_.cpus, shared))
            wrong("dataplane", "poll busy", "`poll busy` leaves no CPU to the control plane",
                  "take a CPU out of `workers cpu`, or use `poll adaptive`");
    }

    void vrfs()
    {
        std::map<std::string, std::string> namespaces;
        for (const auto& [name, vrf] : model_.vrfs) {
            if (vrf.netns.empty()) continue;
            const auto [it, fresh] = namespaces.emplace(vrf.netns, name);
            if (!fresh)
                wrong("vrf " + name, "netns", fmt::format("{} uses netns {} too", vrf_name(it->second), vrf.netns),
                      "a VRF needs a namespace of its own");
        }
    }

    void interface(const Interface& interface)
    {
        const auto path = interface_path(interface.name);
        if (std::holds_alternative<std::monostate>(interface.kind))
            unfinished(path, fmt::format("interface {} does not say what it is", interface.name),
                       "add `port kernel NETDEV`, a `tunnel mode`, or `encapsulation dot1q VLAN`");
        known_vrf(interface.vrf, path, "vrf");
        if (interface.mtu && interface.ip_mtu && *interface.ip_mtu > *interface.mtu)
            wrong(path, "ip mtu", fmt::format("`ip mtu {}` is more than `mtu {}`", *interface.ip_mtu, *interface.mtu),
                  "lower `ip mtu`, or raise `mtu`");
        const auto smallest = std::min(interface.ip_mtu.value_or(65535), interface.mtu.value_or(65535));
        const bool has_ipv6 = std::ranges::any_of(interface.addresses, [](const auto& a) { return a.address.is_v6(); });
        if (has_ipv6 && smallest < 1280)
            wrong(path, interface.ip_mtu ? "ip mtu" : "mtu",
                  fmt::format("interface {} has IPv6, which needs an MTU of 1280", interface.name),
                  "raise the MTU to 1280 at least (RFC 8200 5), or take the IPv6 address away");
        if (const auto* sub = std::get_if<Subinterface>(&interface.kind)) subinterface(interface, *sub, path);
        if (interface.bfd && std::holds_alternative<Loopback>(interface.kind))
            wrong(path, "bfd interval",
                  fmt::format("{} is a loopback: there is nobody to speak BFD with", interface.name),
                  "`no bfd interval`; a session from its address is `peer ADDRESS multihop local-address ADDRESS`");
    }

    void subinterface(const Interface& interface, const Subinterface& sub, const std::string& path)
    {
        const auto parent = model_.interfaces.find(sub.parent);
        if (parent == model_.interfaces.end()) {
            wrong(path, "encapsulation",
                  fmt::format("there is no interface {} that {} could be part of", sub.parent, interface.name),
                  fmt::format("add `interface {}` with its `port`", sub.parent));
            return;
        }
        if (!std::holds_alternative<Port>(parent->second.kind) &&
            !std::holds_alternative<std::monostate>(parent->second.kind))
            wrong(path, "encapsulation",
                  fmt::format("interface {} is {}; only a port carries VLANs", sub.parent, kind_name(parent->second)),
                  "name a port's interface before the dot");
        for (const auto& [name, other] : model_.interfaces) {
            const auto* twin = std::get_if<Subinterface>(&other.kind);
            if (twin && name < interface.name && twin->parent == sub.parent && twin->vlan == sub.vlan)
                wrong(path, "encapsulation", fmt::format("VLAN {} of {} is already {}", sub.vlan, sub.parent, name),
                      "give each subinterface a VLAN of its own");
        }
    }

    struct Placed {
        const Interface* interface;
        InterfaceAddress address;
        std::string statement;
    };

    static std::string statement_of(const InterfaceAddress& address)
    {
        return (address.address.is_v4() ? "ip address " : "ipv6 address ") + address.to_string();
    }

    void addresses()
    {
        std::map<std::string, std::vector<Placed>> placed;  // by VRF
        for (const auto& [name, interface] : model_.interfaces)
            for (const auto& address : interface.addresses) {
                const auto statement = statement_of(address);
                fit_for_an_interface(interface, address, statement);
                if (!address.address.is_link_local()) placed[interface.vrf].push_back({&interface, address, statement});
            }
        for (auto& [vrf, all] : placed) overlaps(vrf, all);
    }

    void fit_for_an_interface(const Interface& interface, const InterfaceAddress& address, const std::string& statement)
    {
        const auto& a = address.address;
        const auto path = interface_path(interface.name);
        if (a.is_unspecified() || a.is_multicast() || a.is_loopback() || (a.is_v4() && a.v4().is_class_e())) {
            wrong(path, statement, fmt::format("{} can't be an interface's address", a.to_string()),
                  "use a unicast address");
            return;
        }
        if (!a.is_v4() || address.length > 30) return;
        const auto host = a.v4().value & (0xffffffffU >> address.length);
        if (host == 0 || host == (0xffffffffU >> address.length))
            wrong(path, statement,
                  fmt::format("{} is the {} address of {}", a.to_string(), host == 0 ? "network" : "broadcast",
                              address.subnet().to_string()),
                  "use one between the first and the last");
    }

    // Sorted by prefix, a subnet stands right behind those that hold it: one pass with a stack finds every overlap.
    void overlaps(const std::string& vrf, std::vector<Placed>& all)
    {
        std::map<IpAddress, const Placed*> seen;
        for (const auto& p : all) {
            const auto [it, fresh] = seen.emplace(p.address.address, &p);
            if (fresh) continue;
            const auto& first = *it->second;
            wrong(interface_path(p.interface->name), p.statement,
                  fmt::format("{} is on interface {} of {} already{}", p.address.address.to_string(),
                              first.interface->name, vrf_name(vrf),
                              at_line(interface_path(first.interface->name), first.statement)),
                  "give each interface an address of its own, or another vrf");
        }
        std::erase_if(all, [](const Placed& p) { return p.address.length == max_length(p.address.address.family); });
        std::ranges::stable_sort(all, {}, [](const Placed& p) { return p.address.subnet(); });
        std::vector<const Placed*> around;
        for (const auto& p : all) {
            while (!around.empty() && !around.back()->address.subnet().contains(p.address.subnet())) around.pop_back();
            const auto other =
                std::ranges::find_if(around, [&](const Placed* o) { return o->interface != p.interface; });
            if (other != around.end() && (*other)->address.address != p.address.address)
                wrong(interface_path(p.interface->name), p.statement,
                      fmt::format("subnet {} overlaps {} of interface {} in {}{}", p.address.subnet().to_string(),
                                  (*other)->address.subnet().to_string(), (*other)->interface->name, vrf_name(vrf),
                                  at_line(interface_path((*other)->interface->name), (*other)->statement)),
                      "use subnets that do not overlap, or another vrf");
            around.push_back(&p);
        }
    }

    void devices()
    {
        std::map<std::string, std::string> users;
        for (const auto& [name, interface] : model_.interfaces) {
            const auto* port = std::get_if<Port>(&interface.kind);
            if (!port) continue;
            const auto [it, fresh] = users.emplace(port->device, name);
            if (!fresh)
                wrong(interface_path(name), "port",
                      fmt::format("{} is the port of interface {} already", port->device, it->second),
                      fmt::format("a port has one owner; VLANs of it are `interface {}.NUMBER`", it->second));
        }
    }

    void tunnels()
    {
        std::map<std::pair<std::string, std::uint16_t>, std::string> ports;
        for (const auto& [name, interface] : model_.interfaces) {
            const auto* tunnel = std::get_if<Wireguard>(&interface.kind);
            if (!tunnel) continue;
            const auto path = interface_path(name);
            known_vrf(tunnel->outer_vrf, path, "tunnel vrf");
            if (!tunnel->private_key)
                unfinished(path, fmt::format("interface {} has no private key", name),
                           "make one with `wg genkey`, and name it with `wireguard private-key-file FILE`");
            secret(tunnel->private_key, path,
                   tunnel->private_key && tunnel->private_key->file.empty() ? "wireguard private-key"
                                                                            : "wireguard private-key-file");
            tunnel_source(interface, *tunnel, path);
            const auto [it, fresh] = ports.emplace(std::pair{tunnel->outer_vrf, tunnel->listen_port}, name);
            if (!fresh)
                wrong(path, "wireguard listen-port",
                      fmt::format("interface {} listens on port {} in {} already", it->second, tunnel->listen_port,
                                  vrf_name(tunnel->outer_vrf)),
                      "give each tunnel a `wireguard listen-port` of its own");
            peers(interface, *tunnel);
        }
    }

    template <class T>
    void tunnel_source(const Interface& interface, const T& tunnel, const std::string& path)
    {
        if (!tunnel.source_interface.empty()) {
            const auto source = model_.interfaces.find(tunnel.source_interface);
            if (source == model_.interfaces.end())
                wrong(path, "tunnel source",
                      fmt::format("there is no interface {} to be the tunnel's source", tunnel.source_interface),
                      fmt::format("add `interface {}`, or name another", tunnel.source_interface));
            else if (source->first == interface.name)
                wrong(path, "tunnel source", fmt::format("{} can't be its own source", interface.name),
                      "name the interface that the tunnel runs over");
            else if (source->second.vrf != tunnel.outer_vrf)
                wrong(path, "tunnel source",
                      fmt::format("the source {} is in {}, the tunnel's packets in {}", tunnel.source_interface,
                                  vrf_name(source->second.vrf), vrf_name(tunnel.outer_vrf)),
                      source->second.vrf.empty() ? "`no tunnel vrf`"
                                                 : fmt::format("say `tunnel vrf {}`", source->second.vrf));
        }
        if (!tunnel.source_address) return;
        for (const auto& [name, other] : model_.interfaces)
            if (other.vrf == tunnel.outer_vrf)
                for (const auto& address : other.addresses)
                    if (address.address == *tunnel.source_address) return;
        wrong(path, "tunnel source",
              fmt::format("no interface of {} has the address {}", vrf_name(tunnel.outer_vrf),
                          tunnel.source_address->to_string()),
              "name an address of this router, or an interface");
    }

    // ---- GRE and IPsec ----

    bool is_own_address(const std::string& vrf, const IpAddress& address) const
    {
        return std::ranges::any_of(model_.interfaces, [&](const auto& i) {
            return i.second.vrf == vrf &&
                   std::ranges::any_of(i.second.addresses, [&](const auto& a) { return a.address == address; });
        });
    }

    // What the tunnel's packets are sent from, as far as the configuration says it; unspecified: it doesn't.
    IpAddress source_of(const Tunnel& tunnel, Family family) const
    {
        if (tunnel.source_address) return *tunnel.source_address;
        const auto it = model_.interfaces.find(tunnel.source_interface);
        if (it != model_.interfaces.end())
            for (const auto& a : it->second.addresses)
                if (a.address.family == family && !a.address.is_link_local()) return a.address;
        return family == Family::Ipv4 ? IpAddress{Ipv4Address{}} : IpAddress{Ipv6Address{}};
    }

    static Family outer_family(const Tunnel& tunnel)
    {
        if (tunnel.mode == Tunnel::Mode::GreIpv6 || tunnel.mode == Tunnel::Mode::IpsecIpv6) return Family::Ipv6;
        if (!tunnel.is_multipoint()) return Family::Ipv4;
        if (tunnel.source_address) return tunnel.source_address->family;
        return tunnel.nhrp_map.empty() ? Family::Ipv4 : tunnel.nhrp_map.begin()->second.family;
    }

    static std::string_view name_of(Family family) { return family == Family::Ipv4 ? "IPv4" : "IPv6"; }

    void gre_and_ipsec()
    {
        using Ends = std::tuple<std::string, bool, IpAddress, IpAddress, std::optional<std::uint32_t>>;
        std::map<Ends, std::string> ends;
        std::map<std::string, std::string> protected_by;  // manual SA -> interface
        for (const auto& [name, interface] : model_.interfaces) {
            const auto* tunnel = std::get_if<Tunnel>(&interface.kind);
            if (!tunnel) continue;
            const auto path = interface_path(name);
            const auto family = outer_family(*tunnel);
            known_vrf(tunnel->outer_vrf, path, "tunnel vrf");
            tunnel_ends(interface, *tunnel, family, path);
            tunnel_options(*tunnel, path);
            nhrp_maps(interface, *tunnel, family, path);
            protection(interface, *tunnel, path, protected_by);
            const auto source = source_of(*tunnel, family);
            const auto destination = tunnel->destination.value_or(IpAddress{});
            if (source.is_unspecified() || (!tunnel->destination && !tunnel->is_multipoint())) continue;
            const auto [it, fresh] =
                ends.emplace(Ends{tunnel->outer_vrf, tunnel->is_gre(), source, destination, tunnel->key}, name);
            if (!fresh)
                wrong(path, tunnel->is_gre() ? "tunnel key" : "tunnel destination",
                      fmt::format("interface {} is a tunnel between the same two ends{}", it->second,
                                  tunnel->is_gre() ? ", with the same key" : ""),
                      tunnel->is_gre() ? "give each a `tunnel key` of its own" : "give each a source of its own");
        }
    }

    void tunnel_ends(const Interface& interface, const Tunnel& tunnel, Family family, const std::string& path)
    {
        if (tunnel.source_interface.empty() && !tunnel.source_address)
            unfinished(path, fmt::format("interface {} does not say what its packets are sent from", interface.name),
                       "add `tunnel source <ADDRESS|IFNAME>`");
        tunnel_source(interface, tunnel, path);
        const auto mode = fmt::format("the tunnel runs over {}", name_of(family));
        if (tunnel.source_address && tunnel.source_address->family != family)
            wrong(path, "tunnel source", fmt::format("{}, and {} is not", mode, tunnel.source_address->to_string()),
                  "name an address of that family, or change `tunnel mode`");
        if (!tunnel.source_interface.empty() && model_.interfaces.contains(tunnel.source_interface) &&
            source_of(tunnel, family).is_unspecified())
            wrong(path, "tunnel source", fmt::format("{}, and {} has no address of it", mode, tunnel.source_interface),
                  fmt::format("give {} one, or name another source", tunnel.source_interface));
        if (tunnel.is_multipoint()) {
            if (tunnel.destination)
                wrong(path, "tunnel destination", "a multipoint tunnel has no one destination",
                      "map next hops with `ip nhrp map A.B.C.D ADDRESS`, or say `tunnel mode gre ip`");
            return;
        }
        if (!tunnel.destination) {
            unfinished(path, fmt::format("interface {} does not say where its other end is", interface.name),
                       "add `tunnel destination ADDRESS`");
            return;
        }
        const auto& destination = *tunnel.destination;
        if (destination.family != family)
            wrong(path, "tunnel destination", fmt::format("{}, and {} is not", mode, destination.to_string()),
                  "name an address of that family, or change `tunnel mode`");
        if (destination.is_unspecified() || destination.is_multicast() || destination.is_loopback())
            wrong(path, "tunnel destination", fmt::format("{} can't be a tunnel's other end", destination.to_string()),
                  "use a unicast address");
        else if (is_own_address(tunnel.outer_vrf, destination))
            wrong(path, "tunnel destination", fmt::format("{} is this router's own address", destination.to_string()),
                  "name the other router's address");
    }

    void tunnel_options(const Tunnel& tunnel, const std::string& path)
    {
        if (!tunnel.is_gre()) {
            const auto only_gre = [&](bool given, const char* statement) {
                if (given)
                    wrong(path, statement, fmt::format("`{}` is of GRE, and this is an IPsec tunnel", statement),
                          fmt::format("`no {}`, or `tunnel mode gre ip`", statement));
            };
            only_gre(tunnel.key.has_value(), "tunnel key");
            only_gre(tunnel.checksum, "tunnel checksum");
            only_gre(tunnel.sequence, "tunnel sequence-datagrams");
            only_gre(tunnel.tos.has_value(), "tunnel tos");
            only_gre(tunnel.keepalive.has_value(), "keepalive");
        }
        if (tunnel.is_multipoint() && tunnel.keepalive)
            wrong(path, "keepalive", "a multipoint tunnel has no one end to ask for keepalives",
                  "`no keepalive`; BFD sees a next hop of it fail");
    }

    void nhrp_maps(const Interface& interface, const Tunnel& tunnel, Family family, const std::string& path)
    {
        if (tunnel.nhrp_map.empty()) return;
        if (!tunnel.is_multipoint()) {
            wrong(path, tunnel.nhrp_map.begin()->first.is_v4() ? "ip nhrp map" : "ipv6 nhrp map",
                  "next hops are mapped on a multipoint tunnel only", "say `tunnel mode gre multipoint`");
            return;
        }
        for (const auto& [nexthop, endpoint] : tunnel.nhrp_map) {
            const auto statement = fmt::format("{} nhrp map {}", nexthop.is_v4() ? "ip" : "ipv6", nexthop.to_string());
            const bool on_link = std::ranges::any_of(
                interface.addresses, [&, &n = nexthop](const auto& a) { return a.subnet().contains(n); });
            if (!on_link && !nexthop.is_link_local())
                wrong(path, statement, fmt::format("{} is on no subnet of {}", nexthop.to_string(), interface.name),
                      "map next hops of the tunnel's own subnet");
            if (is_own_address(interface.vrf, nexthop))
                wrong(path, statement, fmt::format("{} is this router's own address", nexthop.to_string()),
                      "map the other routers' addresses");
            if (endpoint.family != family)
                wrong(path, statement,
                      fmt::format("the tunnel runs over {}, and {} is not", name_of(family), endpoint.to_string()),
                      "all ends of a tunnel are of one family");
            else if (endpoint.is_unspecified() || endpoint.is_multicast() || endpoint.is_loopback() ||
                     is_own_address(tunnel.outer_vrf, endpoint))
                wrong(path, statement, fmt::format("{} can't be a tunnel's other end", endpoint.to_string()),
                      "name the other router's address");
        }
    }

    void protection(const Interface& interface, const Tunnel& tunnel, const std::string& path,
                    std::map<std::string, std::string>& protected_by)
    {
        constexpr auto kStatement = "tunnel protection ipsec profile";
        if (tunnel.ipsec_profile.empty()) {
            if (!tunnel.is_gre())
                unfinished(path, fmt::format("the IPsec tunnel {} does not say what protects it", interface.name),
                           "add `tunnel protection ipsec profile NAME`");
            return;
        }
        const auto profile = model_.ipsec_profiles.find(tunnel.ipsec_profile);
        if (profile == model_.ipsec_profiles.end()) {
            wrong(path, kStatement, fmt::format("there is no IPsec profile {}", tunnel.ipsec_profile),
                  fmt::format("add `crypto ipsec profile {}`", tunnel.ipsec_profile));
            return;
        }
        const auto it = model_.manual_sas.find(profile->second.manual_sa);
        if (it == model_.manual_sas.end()) return;  // said of the profile
        const auto& sa = it->second;
        const auto [first, fresh] = protected_by.emplace(sa.name, interface.name);
        if (!fresh)
            wrong(path, kStatement, fmt::format("the manual SA {} protects {} already", sa.name, first->second),
                  "two tunnels under one key would use its sequence numbers twice; give each an SA of its own");
        if (!tunnel.is_gre() && sa.mode == EspMode::Transport)
            wrong(path, kStatement,
                  fmt::format("the manual SA {} is of transport mode; an IPsec tunnel needs tunnel mode", sa.name),
                  fmt::format("`mode tunnel` in `crypto ipsec manual-sa {}`, or `tunnel mode gre ip`", sa.name));
        if (tunnel.nhrp_map.size() > 1)
            wrong(path, kStatement,
                  fmt::format("the manual SA {} has one other end, the tunnel {}", sa.name, tunnel.nhrp_map.size()),
                  "protect a tunnel to one end, or map one next hop");
        const auto family = outer_family(tunnel);
        const auto check = [&](const std::optional<IpAddress>& end, const IpAddress& of_tunnel, const char* statement) {
            if (!end) return;
            const auto sa_path = path_of({.node = Node::ManualSa, .name = sa.name});
            if (sa.mode == EspMode::Transport && !of_tunnel.is_unspecified() && *end != of_tunnel)
                wrong(sa_path, statement,
                      fmt::format("{} is not the end {} of {}, which transport mode has", end->to_string(),
                                  of_tunnel.to_string(), interface.name),
                      fmt::format("`no {}`: the tunnel says it", statement));
            else if (sa.mode == EspMode::Tunnel && !tunnel.is_gre() && end->family != family)
                wrong(sa_path, statement,
                      fmt::format("the tunnel {} runs over {}, and {} is not", interface.name, name_of(family),
                                  end->to_string()),
                      "name an address of that family");
        };
        check(sa.local_address, source_of(tunnel, family), "local-address");
        check(sa.remote_address, tunnel.destination.value_or(IpAddress{}), "remote-address");
        if (sa.udp)
            for (const auto& [name, other] : model_.interfaces) {
                const auto* wireguard = std::get_if<Wireguard>(&other.kind);
                if (wireguard && wireguard->outer_vrf == tunnel.outer_vrf && wireguard->listen_port == sa.udp->local)
                    wrong(path_of({.node = Node::ManualSa, .name = sa.name}), "udp-encapsulation",
                          fmt::format("{} listens on UDP port {} already", name, sa.udp->local),
                          "use another `local-port`");
            }
    }

    void manual_sas()
    {
        std::map<std::uint32_t, std::string> spis;
        std::map<std::string, std::string> keys;
        for (const auto& [name, sa] : model_.manual_sas) {
            const auto path = path_of({.node = Node::ManualSa, .name = name});
            const bool aead = sa.cipher != EspCipher::AesCbc128 && sa.cipher != EspCipher::AesCbc256;
            if (aead && sa.integrity != EspIntegrity::None)
                wrong(path, "integrity", "the cipher authenticates packets itself", "`no integrity`");
            if (!aead && sa.integrity == EspIntegrity::None)
                unfinished(path, fmt::format("manual SA {}: aes-cbc alone does not authenticate packets", name),
                           "add `integrity hmac-sha256`, or use aes-gcm-256");
            if (sa.local_address && sa.remote_address && sa.local_address->family != sa.remote_address->family)
                wrong(path, "remote-address", "the two ends are of different families", "name two of one");
            if (sa.esn && sa.replay_window == 0)
                wrong(path, "esn", "extended sequence numbers can't be told without a replay window",
                      "`no replay window`, or `no esn` (RFC 4303 2.2.1)");
            direction(sa, sa.inbound, "inbound", path, keys);
            direction(sa, sa.outbound, "outbound", path, keys);
            if (sa.inbound.spi == 0) continue;
            const auto [it, fresh] = spis.emplace(sa.inbound.spi, name);
            if (!fresh)
                wrong(path, "inbound",
                      fmt::format("SPI {} is the inbound one of {} already", sa.inbound.spi, it->second),
                      "packets are told apart by it: use another, at the other end too");
        }
    }

    void direction(const ManualSa& sa, const ManualSa::Direction& direction, const char* statement,
                   const std::string& path, std::map<std::string, std::string>& keys)
    {
        if (!direction.key) {
            unfinished(path, fmt::format("manual SA {} has no {} keys", sa.name, statement),
                       fmt::format("add `{} spi NUMBER key-file FILE`", statement));
            return;
        }
        secret(direction.key, path, statement);
        const auto& key = *direction.key;
        const auto use = fmt::format("`{}` of {}", statement, sa.name);
        const auto [it, fresh] = keys.emplace(key.file.empty() ? key.value : key.file, use);
        if (!fresh)
            wrong(path, statement, fmt::format("{} has the same key", it->second),
                  "a key is for one direction of one SA: with a nonce used twice both packets are readable");
        if (!key.file.empty()) return;
        const bool hexadecimal =
            std::ranges::all_of(key.value, [](char c) { return std::isxdigit(static_cast<unsigned char>(c)) != 0; });
        if (!hexadecimal || key.value.size() != 2 * sa.key_octets())
            wrong(path, statement,
                  hexadecimal ? fmt::format("the key has {} octets", key.value.size() / 2)
                              : "the key is not in hexadecimal",
                  fmt::format("these algorithms need {0} octets: `openssl rand -hex {0}`", sa.key_octets()));
    }

    void ipsec_profile(const IpsecProfile& profile)
    {
        const auto path = path_of({.node = Node::IpsecProfile, .name = profile.name});
        if (profile.manual_sa.empty())
            unfinished(path, fmt::format("the IPsec profile {} does not say where keys come from", profile.name),
                       "add `set manual-sa NAME`");
        else if (!model_.manual_sas.contains(profile.manual_sa))
            wrong(path, "set manual-sa", fmt::format("there is no manual SA {}", profile.manual_sa),
                  fmt::format("add `crypto ipsec manual-sa {}`", profile.manual_sa));
    }

    // ---- BFD ----

    void key_chain(const KeyChain& chain)
    {
        for (const auto& [id, key] : chain.keys) {
            const auto path = path_of({.node = Node::KeyChainKey, .name = chain.name, .key = id});
            if (!key.secret)
                unfinished(path, fmt::format("key {} of {} has no secret", id, chain.name),
                           "add `key-string TEXT` or `key-file FILE`");
            secret(key.secret, path, key.secret && key.secret->file.empty() ? "key-string" : "key-file");
        }
    }

    void bfd_settings(const BfdSettings& settings, const std::string& path)
    {
        if (!settings.authentication) return;
        const auto& [type, name] = *settings.authentication;
        const auto it = model_.key_chains.find(name);
        if (it == model_.key_chains.end()) {
            wrong(path, "authentication", fmt::format("there is no key chain {}", name),
                  fmt::format("add `key chain {}`", name));
            return;
        }
        constexpr std::size_t kMost = 4;  // that a session takes at a time
        const auto& keys = it->second.keys;
        if (keys.size() > kMost)
            wrong(path, "authentication", fmt::format("key chain {} has {} keys", name, keys.size()),
                  fmt::format("a session takes {} at a time: remove old ones", kMost));
        if (std::ranges::none_of(keys, [](const auto& k) { return k.second.secret && !k.second.accept_only; }))
            wrong(path, "authentication", fmt::format("key chain {} has no key to sign with", name),
                  "add `key NUMBER` with a `key-string`, or take `accept-only` from one");
        const bool sha = type == BfdAuthenticationType::KeyedSha1 || type == BfdAuthenticationType::MeticulousKeyedSha1;
        const std::size_t most = sha ? 20 : 16;
        for (const auto& [id, key] : keys)
            if (key.secret && key.secret->file.empty() && key.secret->value.size() > most)
                wrong(path, "authentication",
                      fmt::format("key {} of {} has {} characters", id, name, key.secret->value.size()),
                      fmt::format("this authentication takes at most {} (RFC 5880 4.2 to 4.4)", most));
    }

    void known_bfd_profile(const std::string& name, const std::string& path, const std::string& statement)
    {
        if (name.empty() || model_.bfd_profiles.contains(name)) return;
        wrong(path, statement, fmt::format("there is no BFD profile {}", name),
              fmt::format("add `profile {}` below `bfd`", name));
    }

    void bfd_peer(const BfdPeer& peer)
    {
        const auto& key = peer.key;
        const auto name = key.peer.to_string();
        const auto path = path_of({.node = Node::BfdPeer, .bfd_peer = key});
        known_vrf(key.vrf, path, {});
        known_bfd_profile(peer.profile, path, "profile");
        bfd_settings(peer.settings, path);
        if (is_own_address(key.vrf, key.peer))
            wrong(path, {}, fmt::format("{} is this router's own address", name), "name the other router's address");
        if (key.local && !is_own_address(key.vrf, *key.local))
            wrong(path, {},
                  fmt::format("no interface of {} has the address {}", vrf_name(key.vrf), key.local->to_string()),
                  "name an address of this router");
        if (!key.interface.empty()) {
            const auto it = model_.interfaces.find(key.interface);
            if (it == model_.interfaces.end())
                wrong(path, {}, fmt::format("there is no interface {} that {} could be on", key.interface, name),
                      fmt::format("add `interface {}`, or name another", key.interface));
            else if (it->second.vrf != key.vrf)
                wrong(path, {},
                      fmt::format("interface {} is in {}, the peer in {}", key.interface, vrf_name(it->second.vrf),
                                  vrf_name(key.vrf)),
                      fmt::format("add `vrf {}`", it->second.vrf.empty() ? "default" : it->second.vrf));
        }
        if (key.multihop && peer.settings.echo_mode)
            wrong(path, "echo-mode", "a multihop session has no echo (RFC 5883 3)", "`no echo-mode`");
        if (!key.multihop && peer.settings.minimum_ttl)
            wrong(path, "minimum-ttl", "on one hop the TTL is always 255 (RFC 5881 5)",
                  "`no minimum-ttl`, or say `multihop` in the peer's line");
    }

    void peers(const Interface& interface, const Wireguard& tunnel)
    {
        std::map<Key32, std::string> keys;
        std::map<IpPrefix, std::string> allowed;
        for (const auto& [name, peer] : tunnel.peers) {
            const auto path = path_of({.node = Node::WireguardPeer, .interface = interface.name, .peer = name});
            if (peer.public_key == Key32{}) {
                unfinished(path, fmt::format("peer {} of {} has no public key", name, interface.name),
                           "add `public-key BASE64`");
            } else if (const auto [it, fresh] = keys.emplace(peer.public_key, name); !fresh) {
                wrong(path, "public-key", fmt::format("peer {} has the same public key", it->second),
                      "a key belongs to one peer");
            }
            secret(peer.preshared_key, path,
                   peer.preshared_key && peer.preshared_key->file.empty() ? "preshared-key" : "preshared-key-file");
            for (const auto& prefix : peer.allowed_ips) {
                const auto [it, fresh] = allowed.emplace(prefix, name);
                if (!fresh)
                    wrong(path, "allowed-ips",
                          fmt::format("{} is among the allowed-ips of peer {} already", prefix.to_string(), it->second),
                          "a prefix belongs to one peer of an interface; with `routes bgp` BGP decides");
            }
        }
    }

    static bool is_encrypted(const Interface& interface)
    {
        const auto* tunnel = std::get_if<Tunnel>(&interface.kind);
        return std::holds_alternative<Wireguard>(interface.kind) || (tunnel && !tunnel->ipsec_profile.empty());
    }

    void route(const Vrf& vrf, const StaticRoute& route)
    {
        const auto path = vrf_path(vrf.name);
        const std::string family = route.prefix.family() == Family::Ipv4 ? "ip route " : "ipv6 route ";
        auto statement = family + route.prefix.to_string();
        if (route.gateway)
            statement += " " + route.gateway->to_string();
        else if (!route.interface.empty())
            statement += " " + route.interface;
        if (line(path, statement) == 0) statement = family + route.prefix.to_string();
        known_vrf(route.nexthop_vrf, path, statement);
        const auto lookup = route.nexthop_vrf.empty() ? vrf.name : real_vrf(route.nexthop_vrf);
        if (!route.interface.empty()) {
            const auto it = model_.interfaces.find(route.interface);
            if (it == model_.interfaces.end())
                wrong(
                    path, statement,
                    fmt::format("there is no interface {} for the route {}", route.interface, route.prefix.to_string()),
                    fmt::format("add `interface {}`, or name another", route.interface));
            else if (it->second.vrf != lookup)
                wrong(path, statement,
                      fmt::format("interface {} is in {}, the route's next hop in {}", route.interface,
                                  vrf_name(it->second.vrf), vrf_name(lookup)),
                      fmt::format("add `nexthop-vrf {}`", it->second.vrf.empty() ? "default" : it->second.vrf));
        }
        if (route.bfd) {
            known_bfd_profile(route.bfd->profile, path, statement);
            if (route.bfd->source && !is_own_address(lookup, *route.bfd->source))
                wrong(path, statement,
                      fmt::format("no interface of {} has the address {}", vrf_name(lookup),
                                  route.bfd->source->to_string()),
                      "name an address of this router");
        }
        if ((route.protected_only || vrf.protected_only) && !route.interface.empty()) {
            const auto it = model_.interfaces.find(route.interface);
            if (it != model_.interfaces.end() && !is_encrypted(it->second))
                wrong(path, statement, fmt::format("the route is protected, and {} sends in clear", route.interface),
                      "name a WireGuard tunnel or one with `tunnel protection`, or take `protected` away");
        }
        if (!route.gateway) return;
        for (const auto& [name, interface] : model_.interfaces)
            if (interface.vrf == lookup)
                for (const auto& address : interface.addresses)
                    if (address.address == *route.gateway)
                        wrong(path, statement,
                              fmt::format("the gateway {} is this router's own address, on {}",
                                          route.gateway->to_string(), name),
                              "name the next router's address");
    }

    void bgp(const Bgp& bgp)
    {
        const auto path = bgp_path(bgp.vrf);
        known_vrf(bgp.vrf, path, {});
        if (bgp.router_id && bgp.router_id->is_unspecified())
            wrong(path, "bgp router-id", "the router id can't be 0.0.0.0",
                  "use one of the router's IPv4 addresses (RFC 6286)");
        for (const auto& [address, neighbor] : bgp.neighbors) this->neighbor(bgp, neighbor, path);
    }

    void neighbor(const Bgp& bgp, const BgpNeighbor& neighbor, const std::string& path)
    {
        const auto name = neighbor.name().to_string();
        const auto statement = "neighbor " + name + " ";
        link(bgp, neighbor, path, name);
        if (neighbor.remote_as.kind == RemoteAs::Kind::Unset)
            add(Diagnostic::Kind::Unfinished, path, statement, fmt::format("neighbor {} has no remote-as", name),
                fmt::format("add `neighbor {} {}remote-as <(1-4294967295)|internal|external>`", name,
                            neighbor.unnumbered() ? "interface " : ""));
        for (const auto& [ifname, interface] : model_.interfaces)
            if (interface.vrf == bgp.vrf)
                for (const auto& address : interface.addresses)
                    if (address.address == neighbor.address && !neighbor.address.is_link_local())
                        wrong(path, statement,
                              fmt::format("neighbor {} is this router's own address, on {}", name, ifname),
                              "name the neighbor's address");
        if (neighbor.local_as && *neighbor.local_as == bgp.asn)
            wrong(path, statement + "local-as", fmt::format("local-as {} is this router's AS anyway", index(bgp.asn)),
                  fmt::format("`no neighbor {} local-as`", name));
        if (neighbor.ebgp_multihop && is_internal(bgp, neighbor))
            wrong(path, statement + "ebgp-multihop",
                  fmt::format("neighbor {} is internal: it may be any number of hops away", name),
                  fmt::format("`no neighbor {} ebgp-multihop`", name));
        for (const auto& [family, settings] : neighbor.families)
            if (settings.route_reflector_client && neighbor.remote_as.kind != RemoteAs::Kind::Unset &&
                !is_internal(bgp, neighbor))
                wrong(bgp_path(bgp.vrf) + (family == Family::Ipv4 ? " / ipv4" : " / ipv6"),
                      statement + "route-reflector-client",
                      fmt::format("neighbor {} is external: only an internal one can be a client", name),
                      fmt::format("`no neighbor {} route-reflector-client`", name));
        secret(neighbor.password, path,
               statement + (neighbor.password && neighbor.password->file.empty() ? "password" : "password-file"));
        update_source(bgp, neighbor, path, statement + "update-source");
        if (neighbor.bfd) known_bfd_profile(neighbor.bfd->profile, path, statement + "bfd profile");
    }

    // The interface of a neighbor that is spoken to link-locally.
    void link(const Bgp& bgp, const BgpNeighbor& neighbor, const std::string& path, const std::string& name)
    {
        const auto statement = "neighbor " + name + " interface";
        const bool link_local = neighbor.address.is_v6() && neighbor.address.is_link_local();
        if (neighbor.interface.empty()) {
            if (link_local)
                add(Diagnostic::Kind::Unfinished, path, "neighbor " + name + " ",
                    fmt::format("neighbor {} is link-local, and nothing says on which interface", name),
                    fmt::format("add `neighbor {} interface IFNAME`", name));
            return;
        }
        const auto found = model_.interfaces.find(neighbor.interface);
        if (found == model_.interfaces.end()) {
            wrong(path, statement,
                  neighbor.unnumbered() ? fmt::format("{} is neither an address nor an interface", name)
                                        : fmt::format("there is no interface {}", neighbor.interface),
                  fmt::format("add `interface {}`", neighbor.interface));
            return;
        }
        const auto& interface = found->second;
        if (interface.vrf != bgp.vrf)
            wrong(path, statement, fmt::format("interface {} is in {}", interface.name, vrf_name(interface.vrf)),
                  fmt::format("name an interface of {}", vrf_name(bgp.vrf)));
        const bool port =
            std::holds_alternative<Port>(interface.kind) || std::holds_alternative<Subinterface>(interface.kind);
        if (port || std::holds_alternative<std::monostate>(interface.kind)) return;
        const auto own = std::ranges::find_if(
            interface.addresses, [](const auto& a) { return a.address.is_v6() && a.address.is_link_local(); });
        if (neighbor.unnumbered())
            wrong(path, statement,
                  fmt::format("interface {} is {}: no router advertisements come there", interface.name,
                              kind_name(interface)),
                  fmt::format("`neighbor fe80::X remote-as ...` and `neighbor fe80::X interface {}`", interface.name));
        else if (own == interface.addresses.end())
            wrong(path, statement,
                  fmt::format("interface {} is {}: it has no link-local address of its own accord", interface.name,
                              kind_name(interface)),
                  fmt::format("`ipv6 address fe80::1/64` on {}", interface.name));
        else if (own->address == neighbor.address)
            wrong(path, statement, fmt::format("neighbor {} is this router's own address, on {}", name, interface.name),
                  "name the neighbor's address");
    }

    void update_source(const Bgp& bgp, const BgpNeighbor& neighbor, const std::string& path,
                       const std::string& statement)
    {
        if (neighbor.update_source.empty()) return;
        if (const auto address = IpAddress::parse(neighbor.update_source)) {
            for (const auto& [name, interface] : model_.interfaces)
                if (interface.vrf == bgp.vrf)
                    for (const auto& own : interface.addresses)
                        if (own.address == *address) return;
            wrong(path, statement,
                  fmt::format("no interface of {} has the address {}", vrf_name(bgp.vrf), address->to_string()),
                  "name an address of this router, or an interface");
            return;
        }
        const auto it = model_.interfaces.find(neighbor.update_source);
        if (it == model_.interfaces.end())
            wrong(path, statement,
                  fmt::format("there is no interface {} to be the session's source", neighbor.update_source),
                  fmt::format("add `interface {}`, or name another", neighbor.update_source));
        else if (it->second.vrf != bgp.vrf)
            wrong(path, statement,
                  fmt::format("interface {} is in {}, this BGP in {}", it->first, vrf_name(it->second.vrf),
                              vrf_name(bgp.vrf)),
                  "name an interface of the same vrf");
    }

    const Model& model_;
    const ValidateOptions& options_;
    std::vector<Diagnostic> found_;
};

}  // namespace

std::vector<Diagnostic> validate(const Model& model, const ValidateOptions& options)
{
    return Validator{model, options}.run();
}

std::vector<Diagnostic> warnings(const Model& model, const ValidateOptions& options)
{
    std::vector<Diagnostic> out;
    for (const auto& [name, sa] : model.manual_sas) {
        Diagnostic d;
        d.file = options.file;
        if (options.sources) d.line = options.sources->line_of(path_of({.node = Node::ManualSa, .name = name}));
        d.message = fmt::format(
            "the keys of manual SA {} are never renewed, and a restart uses them again from the "
            "first sequence number on",
            name);
        d.hint = "for tests and measurements only";
        out.push_back(std::move(d));
    }
    return out;
}

Model effective(const Model& model)
{
    Model out = model;
    auto& interfaces = out.interfaces;
    std::erase_if(interfaces, [](const auto& i) {
        const auto* tunnel = std::get_if<Wireguard>(&i.second.kind);
        return std::holds_alternative<std::monostate>(i.second.kind) || (tunnel && !tunnel->private_key);
    });
    std::erase_if(interfaces, [&](const auto& i) {
        const auto* sub = std::get_if<Subinterface>(&i.second.kind);
        return sub && !interfaces.contains(sub->parent);
    });
    std::erase_if(out.manual_sas, [](const auto& s) {
        const bool cbc = s.second.cipher == EspCipher::AesCbc128 || s.second.cipher == EspCipher::AesCbc256;
        return !s.second.inbound.key || !s.second.outbound.key || (cbc && s.second.integrity == EspIntegrity::None);
    });
    std::erase_if(out.ipsec_profiles, [&](const auto& p) { return !out.manual_sas.contains(p.second.manual_sa); });
    // A tunnel that is to be protected, and can't be yet, is not there: it never sends in clear.
    const auto not_ready = [&](const auto& i) {
        const auto* tunnel = std::get_if<Tunnel>(&i.second.kind);
        if (!tunnel) return false;
        const bool has_source = tunnel->source_address || interfaces.contains(tunnel->source_interface);
        const bool protection_is_known =
            tunnel->ipsec_profile.empty() ? tunnel->is_gre() : out.ipsec_profiles.contains(tunnel->ipsec_profile);
        return !has_source || !protection_is_known || (!tunnel->destination && !tunnel->is_multipoint());
    };
    while (std::erase_if(interfaces, not_ready) > 0) {}  // one may be the source of another
    for (auto& [name, chain] : out.key_chains)
        std::erase_if(chain.keys, [](const auto& k) { return !k.second.secret; });
    std::set<std::string> sourceless;
    for (auto& [name, interface] : interfaces) {
        auto* tunnel = std::get_if<Wireguard>(&interface.kind);
        if (!tunnel) continue;
        std::erase_if(tunnel->peers, [](const auto& p) { return p.second.public_key == Key32{}; });
        if (!tunnel->source_interface.empty() && !interfaces.contains(tunnel->source_interface))
            sourceless.insert(name);
    }
    for (const auto& name : sourceless) interfaces.erase(name);
    for (auto& [name, vrf] : out.vrfs)
        std::erase_if(vrf.routes,
                      [&](const auto& r) { return !r.interface.empty() && !interfaces.contains(r.interface); });
    for (auto& [vrf, bgp] : out.bgp)
        std::erase_if(bgp.neighbors, [](const auto& n) {
            const auto& neighbor = n.second;
            return neighbor.remote_as.kind == RemoteAs::Kind::Unset ||
                   (neighbor.address.is_v6() && neighbor.address.is_link_local() && neighbor.interface.empty());
        });
    return out;
}

}  // namespace culvert::config
