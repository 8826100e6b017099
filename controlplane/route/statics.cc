#include "controlplane/route/statics.h"

#include <algorithm>
#include <variant>

namespace culvert::route {

Statics::Statics(Tables& tables, const Interfaces& interfaces)
    : tables_(tables), interfaces_(interfaces), client_(tables.add_client())
{}

void Statics::add(const StaticRoute& route)
{
    const Key key{route.vrf, route.prefix};
    auto& statements = routes_[key];
    for (const Statement& s : statements)
        if (s.route == route) return;
    statements.push_back({route});
    if (tracked(route)) {
        const Gateway gateway{route.nexthop_vrf, *route.gateway};
        by_gateway_[gateway].insert(key);
        tables_.track(client_, gateway.vrf, gateway.address);
    }
    publish(key);
}

void Statics::remove(const StaticRoute& route)
{
    const Key key{route.vrf, route.prefix};
    const auto found = routes_.find(key);
    if (found == routes_.end()) return;
    if (std::erase_if(found->second, [&](const Statement& s) { return s.route == route; }) == 0) return;
    if (tracked(route)) {
        const Gateway gateway{route.nexthop_vrf, *route.gateway};
        const auto users = by_gateway_.find(gateway);
        users->second.erase(users->second.find(key));
        if (users->second.empty()) {
            by_gateway_.erase(users);
            resolutions_.erase(gateway);
        }
        tables_.untrack(client_, gateway.vrf, gateway.address);
    }
    publish(key);
    if (found->second.empty()) routes_.erase(found);
}

void Statics::on_interface(InterfaceId id)
{
    for (const auto& [key, statements] : routes_)
        if (std::any_of(statements.begin(), statements.end(), [&](const auto& s) { return s.route.interface == id; }))
            publish(key);
}

bool Statics::run()
{
    std::set<Key> touched;
    for (Event event; tables_.next_event(client_, event);) {
        auto* const tracking = std::get_if<TrackingEvent>(&event);
        if (tracking == nullptr) continue;
        const auto users = by_gateway_.find({tracking->vrf, tracking->address});
        if (users == by_gateway_.end()) continue;  // removed meanwhile
        resolutions_[users->first] = std::move(tracking->resolution);
        touched.insert(users->second.begin(), users->second.end());
    }
    for (const Key& key : touched) publish(key);
    return !touched.empty();
}

void Statics::judge(Statement& s) const
{
    const StaticRoute& r = s.route;
    s.active = s.down = false;
    s.reason = "";
    if (r.drop != StaticRoute::Drop::No) {
        s.active = true;
    } else if (r.interface != kNoInterface) {
        const Interface* interface = interfaces_.find(r.interface);
        if (interface == nullptr)
            s.reason = "no such interface";
        else if (!interface->up)
            s.reason = "the interface is down";
        else if (r.gateway && interface->kind != api::InterfaceKind::Wireguard &&
                 interface->kind != api::InterfaceKind::Tunnel && !interfaces_.on_link(r.interface, *r.gateway))
            s.reason = "the gateway is in no subnet of the interface";
        else
            s.active = true;
        if (s.active && r.gateway) s.down = tables_.gateway_down(r.nexthop_vrf, r.interface, *r.gateway) != nullptr;
    } else if (r.gateway) {
        const auto known = resolutions_.find({r.nexthop_vrf, *r.gateway});
        if (known == resolutions_.end())
            s.reason = "not resolved yet";
        else if (!known->second.reachable)
            s.reason = known->second.reason;
        else if (known->second.prefix == r.prefix && r.nexthop_vrf == r.vrf && !known->second.direct)
            s.reason = "it resolves only through itself";
        else if (known->second.recursion > Tables::kMaxRecursion)
            s.reason = "too many routes on the way";
        else
            s.active = true;
        if (s.active) s.down = known->second.down;
    } else {
        s.reason = "neither gateway nor interface";
    }
}

void Statics::publish(const Key& key)
{
    auto& statements = routes_[key];
    const Statement* first = nullptr;
    for (Statement& s : statements) {
        judge(s);
        // What has failed stands behind all that has not, and still counts when it is all there is.
        if (s.active &&
            (first == nullptr || std::pair{s.down, s.route.distance} < std::pair{first->down, first->route.distance}))
            first = &s;
    }
    if (first == nullptr) {
        tables_.remove(key.vrf, key.prefix, Source::Static);
        return;
    }
    Route route{Source::Static, first->route.distance, 0, first->route.tag, {}, {}};
    for (const Statement& s : statements) {
        const StaticRoute& r = s.route;
        if (!s.active || r.distance != route.distance || s.down != first->down) continue;
        Nexthop n;
        n.interface = r.interface;
        n.vrf = r.nexthop_vrf;
        n.weight = r.weight;
        if (r.drop == StaticRoute::Drop::Blackhole)
            n.type = NexthopType::Blackhole;
        else if (r.drop == StaticRoute::Drop::Reject)
            n.type = NexthopType::Reject;
        else if (r.gateway)
            n.gateway = *r.gateway;
        else
            n.type = NexthopType::Attached;
        route.nexthops.push_back(n);
    }
    // A prefix is either forwarded or dropped: dropping statements count only where no other of their distance is.
    const auto drops = [](const Nexthop& n) {
        return n.type == NexthopType::Blackhole || n.type == NexthopType::Reject;
    };
    if (!std::all_of(route.nexthops.begin(), route.nexthops.end(), drops)) std::erase_if(route.nexthops, drops);
    std::sort(route.nexthops.begin(), route.nexthops.end());
    route.nexthops.erase(std::unique(route.nexthops.begin(), route.nexthops.end()), route.nexthops.end());
    tables_.set(key.vrf, key.prefix, route);
}

bool Statics::uses(InterfaceId interface, const IpAddress& gateway) const
{
    return std::any_of(routes_.begin(), routes_.end(), [&](const auto& item) {
        return std::any_of(item.second.begin(), item.second.end(), [&](const Statement& s) {
            return s.route.interface == interface && s.route.gateway == gateway;
        });
    });
}

std::vector<Statics::View> Statics::view(VrfId vrf) const
{
    std::vector<View> views;
    for (const auto& [key, statements] : routes_)
        if (key.vrf == vrf)
            for (const Statement& s : statements) views.push_back({s.route, s.active, s.reason});
    return views;
}

}  // namespace culvert::route
