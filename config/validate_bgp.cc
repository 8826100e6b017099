#include "config/validator.h"

#include <fmt/format.h>

#include <algorithm>

namespace culvert::config {

void Validator::bgp(const Bgp& bgp)
{
    const auto path = bgp_path(bgp.vrf);
    known_vrf(bgp.vrf, path, {});
    if (bgp.router_id && bgp.router_id->is_unspecified())
        wrong(path, "bgp router-id", "the router id can't be 0.0.0.0",
              "use one of the router's IPv4 addresses (RFC 6286)");
    for (const auto& [address, neighbor] : bgp.neighbors) this->neighbor(bgp, neighbor, path);
}

void Validator::neighbor(const Bgp& bgp, const BgpNeighbor& neighbor, const std::string& path)
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
                    wrong(path, statement, fmt::format("neighbor {} is this router's own address, on {}", name, ifname),
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

void Validator::link(const Bgp& bgp, const BgpNeighbor& neighbor, const std::string& path, const std::string& name)
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
    const auto own = std::ranges::find_if(interface.addresses,
                                          [](const auto& a) { return a.address.is_v6() && a.address.is_link_local(); });
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

void Validator::update_source(const Bgp& bgp, const BgpNeighbor& neighbor, const std::string& path,
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

}  // namespace culvert::config
