#include "config/validate.h"

#include "config/statements.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

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
                       "add `port kernel NETDEV`, `tunnel mode wireguard`, or `encapsulation dot1q VLAN`");
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

    void tunnel_source(const Interface& interface, const Wireguard& tunnel, const std::string& path)
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
