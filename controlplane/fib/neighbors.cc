#include "controlplane/fib/state.h"
#include "dataplane/api/link_scope.h"

#include <algorithm>

namespace culvert::fibprog {

using api::InterfaceKind;
using route::NexthopSetId;
using route::NexthopType;

VrfId vrf_of(const InterfaceSpec& interface, const IpAddress& neighbor) noexcept
{
    return neighbor.is_v6() && neighbor.is_link_local() ? api::link_vrf(interface.id) : interface.vrf;
}

auto Programmer::State::host_route(VrfId vrf, const IpPrefix& prefix) const -> const Group*
{
    if (!prefix.is_host()) return nullptr;
    const HostKey key{vrf, prefix};
    if (const auto it = host_routes.find(key); it != host_routes.end())
        return uses[index(neighbors.at(it->second).set)].group;
    const auto it = broadcasts.find(key);
    return it == broadcasts.end() ? nullptr : uses[index(it->second.set)].group;
}

void Programmer::State::push_host_route(VrfId vrf, const IpPrefix& host)
{
    if (tables.installed(vrf, host.address) != route::kNoSet) return;
    if (const Group* group = host_route(vrf, host); group != nullptr)
        push(api::SetRoute{vrf, host, group->id});
    else
        push(api::DeleteRoute{vrf, host});
}

void Programmer::State::count_broadcasts(const InterfaceSpec& interface, int change)
{
    if (!interface.up) return;
    for (const IpPrefix& subnet : interface.subnets) {
        if (subnet.family() != Family::Ipv4 || subnet.length > 30) continue;
        const auto first = subnet.address.v4().value;
        for (const auto address : {first, first | ~std::uint32_t{0} >> subnet.length}) {
            const HostKey key{interface.vrf, IpPrefix::host(Ipv4Address{address})};
            Broadcast& b = broadcasts[key];
            b.subnets += static_cast<std::uint32_t>(change);
            if ((b.subnets != 0) == (b.set != route::kNoSet)) continue;
            if (b.subnets != 0) {
                b.set = tables.intern({{{NexthopType::Broadcast}}, {}});
                use(b.set);
                push_host_route(key.vrf, key.prefix);
            } else {
                const NexthopSetId set = b.set;
                broadcasts.erase(key);
                push_host_route(key.vrf, key.prefix);
                unuse(set);
                tables.drop(set);
            }
        }
    }
}

void Programmer::State::judge_host_route(const OnLink& link, Neighbor& n)
{
    const auto [interface, address] = link;
    const auto it = interfaces.find(interface);
    bool wanted = false;
    if (n.tracked && it != interfaces.end() && it->second.up && vrf_of(it->second, address) == n.vrf) {
        const route::Resolution* r = tables.resolution(n.vrf, address);
        wanted = r != nullptr && r->reachable && r->direct && r->source == route::Source::Connected &&
                 std::any_of(r->nexthops.begin(), r->nexthops.end(),
                             [&](const auto& hop) { return hop.interface == interface; });
    }
    const IpPrefix host = IpPrefix::host(address);
    const HostKey key{n.vrf, host};
    if (wanted == (n.set != route::kNoSet)) return;
    if (wanted) {
        if (host_routes.contains(key)) return;  // the same subnet on another interface was first
        n.set = tables.intern({{{NexthopType::Gateway, interface, kDefaultVrf, address, 1, true}}, {}});
        host_routes[key] = link;
        use(n.set);
        push_host_route(n.vrf, host);
    } else {
        host_routes.erase(key);
        push_host_route(n.vrf, host);
        const NexthopSetId set = std::exchange(n.set, route::kNoSet);
        unuse(set);
        tables.drop(set);
    }
}

void Programmer::State::track_neighbor(const OnLink& link, Neighbor& n)
{
    const auto it = interfaces.find(link.first);
    const bool wanted = it != interfaces.end();
    if (n.tracked && (!wanted || vrf_of(it->second, link.second) != n.vrf)) {
        n.tracked = false;
        judge_host_route(link, n);
        tables.untrack(client, n.vrf, link.second);
    }
    if (wanted && !n.tracked) {
        n.vrf = vrf_of(it->second, link.second);
        n.tracked = true;
        tables.track(client, n.vrf, link.second);
        tables.resolve(n.vrf, link.second);
    }
    judge_host_route(link, n);
}

void Programmer::State::forget_neighbor(std::map<OnLink, Neighbor>::iterator it)
{
    Neighbor& n = it->second;
    if (n.tracked) {
        n.tracked = false;
        judge_host_route(it->first, n);
        tables.untrack(client, n.vrf, it->first.second);
    }
    const OnLink link = it->first;
    neighbors.erase(it);
    update_link(link);
}

bool Programmer::State::in_use(const OnLink& link) const
{
    const auto it = by_link.find(link);
    if (it == by_link.end()) return false;
    const auto interface = interfaces.find(link.first);
    if (interface == interfaces.end() || interface->second.kind != InterfaceKind::Port || !interface->second.up)
        return false;
    const auto neighbor = neighbors.find(link);
    const NexthopSetId own = neighbor == neighbors.end() ? route::kNoSet : neighbor->second.set;
    for (const Hop* hop : it->second) {
        if (hop->key.type != NexthopType::Gateway || hop->refs == 0) continue;
        if (hop->holds > 0) return true;
        for (const Group* group : hop->groups) {
            const std::uint32_t by_host_route =
                own != route::kNoSet && group->key == GroupKey{own} && uses[index(own)].prefixes == 1 ? 1 : 0;
            if (group->refs > by_host_route) return true;
        }
    }
    return false;
}

void Programmer::State::raise_uses()
{
    for (const OnLink& link : std::exchange(use_touched, {})) {
        if (link.second == IpAddress{}) continue;
        const bool now = in_use(link);
        if (now == used.contains(link)) continue;
        if (now)
            used.insert(link);
        else
            used.erase(link);
        events.push_back(NeighborUse{link.first, link.second, now});
    }
}

void Programmer::set_neighbor(InterfaceId interface, const IpAddress& address, std::optional<MacAddress> mac,
                              bool failed)
{
    State& s = *state_;
    const OnLink link{interface, address};
    const auto it = s.neighbors.find(link);
    if (mac) s.lost_neighbors.erase(link);
    if (!mac) {
        if (it != s.neighbors.end()) s.forget_neighbor(it);
        if (failed) s.releasing.push_back({State::kOpen, {interface, address, false}});
        return;
    }
    State::Neighbor& n = s.neighbors[link];
    n.mac = *mac;
    s.update_link(link);
    s.track_neighbor(link, n);
    s.releasing.push_back({State::kOpen, {interface, address, true}});
}

void Programmer::lose_neighbor(InterfaceId interface, const IpAddress& address)
{
    State& s = *state_;
    const OnLink link{interface, address};
    const auto it = s.neighbors.find(link);
    if (it == s.neighbors.end()) return;
    s.lost_neighbors.insert(link);
    s.forget_neighbor(it);
}

bool Programmer::uses_neighbor(InterfaceId interface, const IpAddress& address) const
{
    return state_->in_use({interface, address});
}

}  // namespace culvert::fibprog
