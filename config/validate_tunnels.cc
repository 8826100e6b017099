#include "config/validator.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <tuple>

namespace culvert::config {

// ---- WireGuard ----

template <class T>
void Validator::tunnel_source(const Interface& interface, const T& tunnel, const std::string& path)
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

void Validator::tunnels()
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

void Validator::peers(const Interface& interface, const Wireguard& tunnel)
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

// ---- GRE and IPsec ----

IpAddress Validator::source_of(const Tunnel& tunnel, Family family) const
{
    if (tunnel.source_address) return *tunnel.source_address;
    const auto it = model_.interfaces.find(tunnel.source_interface);
    if (it != model_.interfaces.end())
        for (const auto& a : it->second.addresses)
            if (a.address.family == family && !a.address.is_link_local()) return a.address;
    return family == Family::Ipv4 ? IpAddress{Ipv4Address{}} : IpAddress{Ipv6Address{}};
}

Family Validator::outer_family(const Tunnel& tunnel)
{
    if (tunnel.mode == Tunnel::Mode::GreIpv6 || tunnel.mode == Tunnel::Mode::IpsecIpv6) return Family::Ipv6;
    if (!tunnel.is_multipoint()) return Family::Ipv4;
    if (tunnel.source_address) return tunnel.source_address->family;
    return tunnel.nhrp_map.empty() ? Family::Ipv4 : tunnel.nhrp_map.begin()->second.family;
}

std::string_view Validator::name_of(Family family) { return family == Family::Ipv4 ? "IPv4" : "IPv6"; }

void Validator::gre_and_ipsec()
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

void Validator::tunnel_ends(const Interface& interface, const Tunnel& tunnel, Family family, const std::string& path)
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

void Validator::tunnel_options(const Tunnel& tunnel, const std::string& path)
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

void Validator::nhrp_maps(const Interface& interface, const Tunnel& tunnel, Family family, const std::string& path)
{
    if (tunnel.nhrp_map.empty()) return;
    if (!tunnel.is_multipoint()) {
        wrong(path, tunnel.nhrp_map.begin()->first.is_v4() ? "ip nhrp map" : "ipv6 nhrp map",
              "next hops are mapped on a multipoint tunnel only", "say `tunnel mode gre multipoint`");
        return;
    }
    for (const auto& [nexthop, endpoint] : tunnel.nhrp_map) {
        const auto statement = fmt::format("{} nhrp map {}", nexthop.is_v4() ? "ip" : "ipv6", nexthop.to_string());
        const bool on_link = std::ranges::any_of(interface.addresses,
                                                 [&, &n = nexthop](const auto& a) { return a.subnet().contains(n); });
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

void Validator::protection(const Interface& interface, const Tunnel& tunnel, const std::string& path,
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

}  // namespace culvert::config
