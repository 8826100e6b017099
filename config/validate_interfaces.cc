#include "config/validator.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

namespace culvert::config {

void Validator::interface(const Interface& interface)
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
        wrong(path, "bfd interval", fmt::format("{} is a loopback: there is nobody to speak BFD with", interface.name),
              "`no bfd interval`; a session from its address is `peer ADDRESS multihop local-address ADDRESS`");
}

void Validator::subinterface(const Interface& interface, const Subinterface& sub, const std::string& path)
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

std::string Validator::statement_of(const InterfaceAddress& address)
{
    return (address.address.is_v4() ? "ip address " : "ipv6 address ") + address.to_string();
}

void Validator::addresses()
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

void Validator::fit_for_an_interface(const Interface& interface, const InterfaceAddress& address,
                                     const std::string& statement)
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

void Validator::overlaps(const std::string& vrf, std::vector<Placed>& all)
{
    std::map<IpAddress, const Placed*> seen;
    for (const auto& p : all) {
        const auto [it, fresh] = seen.emplace(p.address.address, &p);
        if (fresh) continue;
        const auto& first = *it->second;
        wrong(interface_path(p.interface->name), p.statement,
              fmt::format("{} is on interface {} of {} already{}", p.address.address.to_string(), first.interface->name,
                          vrf_name(vrf), at_line(interface_path(first.interface->name), first.statement)),
              "give each interface an address of its own, or another vrf");
    }
    std::erase_if(all, [](const Placed& p) { return p.address.length == max_length(p.address.address.family); });
    std::ranges::stable_sort(all, {}, [](const Placed& p) { return p.address.subnet(); });
    std::vector<const Placed*> around;
    for (const auto& p : all) {
        while (!around.empty() && !around.back()->address.subnet().contains(p.address.subnet())) around.pop_back();
        const auto other = std::ranges::find_if(around, [&](const Placed* o) { return o->interface != p.interface; });
        if (other != around.end() && (*other)->address.address != p.address.address)
            wrong(interface_path(p.interface->name), p.statement,
                  fmt::format("subnet {} overlaps {} of interface {} in {}{}", p.address.subnet().to_string(),
                              (*other)->address.subnet().to_string(), (*other)->interface->name, vrf_name(vrf),
                              at_line(interface_path((*other)->interface->name), (*other)->statement)),
                  "use subnets that do not overlap, or another vrf");
        around.push_back(&p);
    }
}

void Validator::devices()
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

}  // namespace culvert::config
