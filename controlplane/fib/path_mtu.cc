#include "controlplane/fib/state.h"

#include <algorithm>

namespace culvert::fibprog {

using route::NexthopSet;
using route::NexthopType;

WayTo Programmer::State::way_to(VrfId vrf, const IpAddress& address) const
{
    WayTo way;
    const auto entry = tables.lookup(vrf, address);
    if (!entry) return way;
    auto& least = way.mtu;
    const auto count = [&](std::uint16_t mtu) { least = least == 0 ? mtu : std::min(least, mtu); };
    const auto by = [&](InterfaceId id) {
        const auto it = interfaces.find(id);
        if (it == interfaces.end() || !it->second.up) return;
        count(it->second.mtu);
        way.interfaces.insert(id);
    };
    for (const auto& route : entry->routes) {
        if (!route.selected) continue;
        const NexthopSet set = *route.set;
        for (const route::Nexthop& n : set.nexthops) {
            if (n.type == NexthopType::Host) {
                count(0xffff);
                way.here = true;
            } else if (n.interface != kNoInterface)
                by(n.interface);
            else if (n.type == NexthopType::Gateway)
                for (const auto& end : tables.resolve(n.vrf, n.gateway).nexthops) by(end.interface);
        }
    }
    return way;
}

void Programmer::State::raise_path_mtus()
{
    for (auto& [key, watched] : watched_mtus) {
        const auto now = way_to(key.first, key.second);
        if (watched.last == now) continue;
        watched.last = now;
        events.push_back(PathMtuChanged{key.first, key.second, now.mtu});
    }
}

WayTo Programmer::way_to(VrfId vrf, const IpAddress& address) const { return state_->way_to(vrf, address); }

std::uint16_t Programmer::path_mtu(VrfId vrf, const IpAddress& address) const { return way_to(vrf, address).mtu; }

void Programmer::watch_path_mtu(VrfId vrf, const IpAddress& address)
{
    auto& watched = state_->watched_mtus[{vrf, address}];
    ++watched.watchers;
    watched.last.reset();  // the new one wants its first word
    state_->mtus_stale = true;
}

void Programmer::unwatch_path_mtu(VrfId vrf, const IpAddress& address)
{
    const auto at = state_->watched_mtus.find({vrf, address});
    if (at != state_->watched_mtus.end() && --at->second.watchers == 0) state_->watched_mtus.erase(at);
}

}  // namespace culvert::fibprog
