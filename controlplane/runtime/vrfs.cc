#include "controlplane/runtime/vrfs.h"

#include "base/check.h"
#include "base/log.h"
#include "dataplane/api/link_scope.h"

namespace culvert::runtime {

Result<Vrfs::Prepared, SystemError> Vrfs::prepare(const config::Vrf& vrf)
{
    auto link = HostLink::open(kDefaultVrf, vrf.netns);
    if (!link) return Error{link.error()};
    return Prepared{vrf.name, vrf.netns, std::move(*link)};
}

void Vrfs::add(Prepared prepared)
{
    std::uint16_t id = 0;
    if (!prepared.name.empty()) {
        id = 1;
        while (names_.contains(VrfId{id}) || leaving_.contains(VrfId{id})) ++id;
    }
    names_.emplace(VrfId{id}, prepared.name);
    const auto [at, fresh] =
        vrfs_.emplace(prepared.name, Vrf{VrfId{id}, std::move(prepared.netns), std::move(prepared.link)});
    CULVERT_CHECK(fresh);
    core_.programmer.set_vrf(VrfId{id});
    core_.dataplane.attach_host_link(VrfId{id}, at->second.link.tun());
}

void Vrfs::remove(const std::string& name)
{
    const auto at = vrfs_.find(name);
    if (at == vrfs_.end()) return;
    const auto id = at->second.id;
    for (const auto interface : at->second.link.links()) core_.dataplane.detach_host_link(api::link_vrf(interface));
    core_.dataplane.detach_host_link(id);
    core_.tables.clear(id);
    core_.programmer.remove_vrf(id);
    leaving_.insert(id);
    names_.erase(id);
    std::erase_if(path_mtu_, [&](const auto& entry) { return entry.first.first == id; });
    vrfs_.erase(at);
}

void Vrfs::released(VrfId id) { leaving_.erase(id); }

std::optional<VrfId> Vrfs::id(const std::string& name) const
{
    const auto at = vrfs_.find(name);
    if (at == vrfs_.end()) return std::nullopt;
    return at->second.id;
}

const std::string& Vrfs::name(VrfId id) const
{
    static const std::string none;
    const auto at = names_.find(id);
    return at == names_.end() ? none : at->second;
}

const Namespace* Vrfs::ns(VrfId id) const
{
    const auto at = names_.find(id);
    return at == names_.end() ? nullptr : &vrfs_.at(at->second).link.ns();
}

std::uint32_t Vrfs::scope(VrfId id, InterfaceId interface) const
{
    const auto at = names_.find(id);
    return at == names_.end() ? 0 : vrfs_.at(at->second).link.scope(interface);
}

std::vector<std::string> Vrfs::names() const
{
    std::vector<std::string> out;
    for (const auto& [name, vrf] : vrfs_) out.push_back(name);
    return out;
}

void Vrfs::set_path_mtu(const Watched& watched)
{
    if (watched.mtu == 0)
        path_mtu_.erase({watched.vrf, watched.address});
    else
        path_mtu_[{watched.vrf, watched.address}] = watched.mtu;
}

bool Vrfs::sync_links(Vrf& vrf, const std::string& name, bool close)
{
    std::map<InterfaceId, HostLink::Link> wanted;
    for (const auto& entry : core_.interfaces.all()) {
        const auto& [id, interface] = entry;
        // One that moved here from another VRF comes when it has gone there.
        if (interface.vrf != vrf.id || (close && vrf.link.scope(id) == 0)) continue;
        HostLink::Link link;
        bool link_local = false;
        for (const auto& a : interface.addresses) {
            if (!a.address.is_v6() || !a.address.is_link_local()) continue;
            link_local = true;
            if (interface.up) link.addresses.insert(a.address);
        }
        if (!link_local) continue;
        link.name = interface.name;
        link.mtu = interface.mtu;
        wanted.emplace(id, std::move(link));
    }
    const auto changes = vrf.link.sync_links(wanted);
    for (const auto id : changes.closed) core_.dataplane.detach_host_link(api::link_vrf(id));
    for (const auto id : changes.opened) core_.dataplane.attach_host_link(api::link_vrf(id), vrf.link.link_tun(id));
    for (const auto& refused : changes.refused)
        log::warning("host-link", "vrf {}: {}", name.empty() ? "default" : name, refused.message);
    return !changes.closed.empty() || !changes.opened.empty();
}

void Vrfs::sync_host_links()
{
    bool changed = false;
    for (const bool close : {true, false})
        for (auto& [name, vrf] : vrfs_) changed |= sync_links(vrf, name, close);
    if (changed && scopes_changed) scopes_changed();

    for (auto& [name, vrf] : vrfs_) {
        std::set<IpAddress> addresses;
        std::map<IpPrefix, HostLink::Route> routes;
        bool v4 = false, v6 = false;
        for (const auto& [id, interface] : core_.interfaces.all()) {
            if (interface.vrf != vrf.id || !interface.up) continue;
            for (const auto& a : interface.addresses) {
                if (a.address.is_link_local()) continue;
                addresses.insert(a.address);
                (a.address.is_v4() ? v4 : v6) = true;
                // The kernel takes the subnet's own address as source, as every router's ping does.
                if (!a.subnet().is_host()) routes.try_emplace(a.subnet(), HostLink::Route{a.address, 0});
            }
        }
        if (v4) routes.try_emplace(IpPrefix{Ipv4Address{}, 0});
        if (v6) routes.try_emplace(IpPrefix{Ipv6Address{}, 0});
        for (const auto& [key, mtu] : path_mtu_) {
            if (key.first != vrf.id || addresses.contains(key.second)) continue;
            HostLink::Route route{{}, mtu};
            for (const auto& [prefix, subnet] : routes) {
                if (prefix.contains(key.second) && !subnet.source.is_unspecified()) route.source = subnet.source;
            }
            routes.insert_or_assign(IpPrefix::host(key.second), route);
        }
        for (const auto& refused : vrf.link.sync(addresses, routes))
            log::warning("host-link", "vrf {}: {}", name.empty() ? "default" : name, refused.message);
    }
}

}  // namespace culvert::runtime
