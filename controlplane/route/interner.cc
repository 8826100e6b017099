#include "controlplane/route/state.h"

#include <algorithm>
#include <functional>

namespace culvert::route {
namespace {

std::uint64_t hash_nexthops(const std::vector<Nexthop>& nexthops, std::uint64_t h) noexcept
{
    for (const Nexthop& n : nexthops) {
        h = mix(h ^ std::hash<IpAddress>{}(n.gateway));
        h = mix(h ^ (std::uint64_t{index(n.interface)} << 40 | std::uint64_t{index(n.vrf)} << 24 |
                     std::uint64_t{n.weight} << 8 | static_cast<std::uint64_t>(n.type)));
    }
    return mix(h + nexthops.size());
}

}  // namespace

void normalise(std::vector<Nexthop>& nexthops)
{
    if (std::is_sorted(nexthops.begin(), nexthops.end(), std::less_equal<>{})) return;
    std::sort(nexthops.begin(), nexthops.end());
    nexthops.erase(std::unique(nexthops.begin(), nexthops.end()), nexthops.end());
}

std::uint64_t hash_set(const NexthopSet& s) noexcept { return hash_nexthops(s.backup, hash_nexthops(s.nexthops, 1)); }

NexthopSetId Tables::Interner::intern(NexthopSet&& set)
{
    if (const auto it = set_ids.find(set); it != set_ids.end()) {
        ++sets[*it].refs;
        return NexthopSetId{*it};
    }
    std::uint32_t id;
    if (free_sets.empty()) {
        id = static_cast<std::uint32_t>(sets.size());
        CULVERT_CHECK(id < kTopBit);
        sets.emplace_back();
    } else {
        id = free_sets.back();
        free_sets.pop_back();
    }
    sets[id] = {std::move(set), 1};
    set_ids.insert(id);
    return NexthopSetId{id};
}

RouteHandle Tables::Interner::acquire(const Route& route)
{
    NexthopSet set{route.nexthops, route.backup};
    normalise(set.nexthops);
    normalise(set.backup);
    const Body body{route.source, route.distance, route.metric, route.tag, intern(std::move(set))};
    const auto [it, fresh] = body_ids.try_emplace(body, 0);
    if (!fresh) {
        drop(body.set);  // the body has one already
        ++bodies[it->second].refs;
        return RouteHandle{it->second};
    }
    if (free_bodies.empty()) {
        it->second = static_cast<std::uint32_t>(bodies.size());
        CULVERT_CHECK(it->second < kTopBit);
        bodies.emplace_back();
    } else {
        it->second = free_bodies.back();
        free_bodies.pop_back();
    }
    bodies[it->second] = {body, 1};
    return RouteHandle{it->second};
}

void Tables::Interner::replace(Slot& slot, RouteHandle old, RouteHandle h)
{
    if ((slot.route & kTopBit) == 0 && (slot.route == 0 || RouteHandle{slot.route} == old)) {
        slot.route = index(h);
        return;
    }
    if ((slot.route & kTopBit) == 0) {
        std::uint32_t id;
        if (free_many.empty()) {
            id = static_cast<std::uint32_t>(many.size());
            many.emplace_back();
        } else {
            id = free_many.back();
            free_many.pop_back();
        }
        many[id] = {RouteHandle{slot.route}};
        slot.route = id | kTopBit;
    }
    const std::uint32_t id = slot.route & ~kTopBit;
    auto& routes = many[id];
    if (old != kNoRoute) std::erase(routes, old);
    if (h != kNoRoute) {
        const auto where = std::find_if(routes.begin(), routes.end(), [&](auto r) { return preferred(h, r); });
        routes.insert(where, h);
    }
    if (routes.size() == 1) {
        slot.route = index(routes.front());
        std::vector<RouteHandle>{}.swap(routes);
        free_many.push_back(id);
    }
}

}  // namespace culvert::route
