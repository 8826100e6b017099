#include "controlplane/route/interfaces.h"

#include "dataplane/api/link_scope.h"

namespace culvert::route {

namespace {

bool is_link_local(const InterfaceAddress& a) noexcept { return a.address.is_v6() && a.address.is_link_local(); }

VrfId vrf_of(const Interface& interface, const InterfaceAddress& a) noexcept
{
    return is_link_local(a) ? api::link_vrf(interface.id) : interface.vrf;
}

// The whole link is reached link-locally, whatever length the address was written with (RFC 4291 2.5.6).
IpPrefix subnet_of(const InterfaceAddress& a) noexcept
{
    return is_link_local(a) ? IpPrefix::make(a.address, 64) : a.subnet();
}

}  // namespace

void Interfaces::set(const Interface& interface)
{
    std::set<Key> touched;
    const auto known = interfaces_.find(interface.id);
    if (known != interfaces_.end()) {
        if (known->second == interface) return;
        take(known->second, touched);
    }
    interfaces_[interface.id] = interface;
    add(interface, touched);
    tables_.set_link(interface.id, interface.vrf, interface.up);
    for (const Key& key : touched) publish(key);
}

void Interfaces::remove(InterfaceId id)
{
    const auto known = interfaces_.find(id);
    if (known == interfaces_.end()) return;
    std::set<Key> touched;
    take(known->second, touched);
    interfaces_.erase(known);
    tables_.remove_link(id);
    for (const Key& key : touched) publish(key);
}

const Interface* Interfaces::find(InterfaceId id) const noexcept
{
    const auto it = interfaces_.find(id);
    return it == interfaces_.end() ? nullptr : &it->second;
}

bool Interfaces::is_own(VrfId vrf, const IpAddress& address) const noexcept
{
    return own_.contains({vrf, IpPrefix::host(address)});
}

bool Interfaces::on_link(InterfaceId id, const IpAddress& address) const noexcept
{
    const Interface* interface = find(id);
    if (interface == nullptr) return false;
    if (address.is_v6() && address.is_link_local()) return true;
    for (const InterfaceAddress& own : interface->addresses)
        if (own.subnet().contains(address)) return true;
    return false;
}

void Interfaces::add(const Interface& interface, std::set<Key>& touched)
{
    if (!interface.up) return;
    for (const InterfaceAddress& a : interface.addresses) {
        const VrfId vrf = vrf_of(interface, a);
        const Key own{vrf, IpPrefix::host(a.address)};
        own_[own].insert(interface.id);
        touched.insert(own);
        const Key subnet{vrf, subnet_of(a)};
        subnets_[subnet].insert(interface.id);
        touched.insert(subnet);
    }
}

void Interfaces::take(const Interface& interface, std::set<Key>& touched)
{
    const auto remove = [&](auto& from, const Key& key) {
        const auto it = from.find(key);
        if (it == from.end()) return;
        if (const auto one = it->second.find(interface.id); one != it->second.end()) it->second.erase(one);
        if (it->second.empty()) from.erase(it);
        touched.insert(key);
    };
    if (!interface.up) return;
    for (const InterfaceAddress& a : interface.addresses) {
        const VrfId vrf = vrf_of(interface, a);
        remove(own_, {vrf, IpPrefix::host(a.address)});
        remove(subnets_, {vrf, subnet_of(a)});
    }
}

void Interfaces::publish(const Key& key)
{
    const auto own = own_.find(key);
    if (own != own_.end()) {
        Route route{Source::Local, 0, 0, 0, {}, {}};
        route.nexthops.push_back({NexthopType::Host, *own->second.begin(), key.vrf, {}, 1});
        tables_.set(key.vrf, key.prefix, route);
    } else {
        tables_.remove(key.vrf, key.prefix, Source::Local);
    }

    const auto subnet = subnets_.find(key);
    if (subnet == subnets_.end()) {
        tables_.remove(key.vrf, key.prefix, Source::Connected);
        return;
    }
    Route route{Source::Connected, 0, 0, 0, {}, {}};
    if (own != own_.end()) {  // A/32: the subnet is the address
        route.nexthops.push_back({NexthopType::Host, *own->second.begin(), key.vrf, {}, 1});
    } else {
        for (auto it = subnet->second.begin(); it != subnet->second.end(); it = subnet->second.upper_bound(*it))
            route.nexthops.push_back({NexthopType::Attached, *it, key.vrf, {}, 1});
    }
    tables_.set(key.vrf, key.prefix, route);
}

}  // namespace culvert::route
