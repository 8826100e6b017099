#include "controlplane/runtime/vrfs.h"

#include "base/check.h"
#include "base/log.h"

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

void Vrfs::sync_host_links()
{
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
