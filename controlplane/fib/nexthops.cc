#include "controlplane/fib/state.h"

#include <algorithm>

namespace culvert::fibprog {

using api::InterfaceKind;
using api::NexthopKind;
using route::NexthopType;

namespace {

bool same(const api::SetNexthop& a, const api::SetNexthop& b) noexcept
{
    return a.id == b.id && a.kind == b.kind && a.resolved == b.resolved && a.interface == b.interface &&
           a.vrf == b.vrf && a.via == b.via && a.peer == b.peer && a.mtu == b.mtu && a.gateway == b.gateway &&
           a.mac == b.mac && a.session == b.session && a.lost == b.lost;
}

constexpr std::size_t kRememberedFailures = 4096;

}  // namespace

auto Programmer::State::acquire(const HopKey& key) -> Hop*
{
    if (const auto it = hop_ids.find(key); it != hop_ids.end()) {
        Hop* hop = hops[index(it->second)].get();
        ++hop->refs;
        return hop;
    }
    const NexthopId id{allocate(hops, free_hops)};
    hops[index(id)] = std::make_unique<Hop>();
    Hop* hop = hops[index(id)].get();
    hop->key = key;
    hop->id = id;
    hop->refs = 1;
    hop_ids[key] = id;
    ++live_hops;
    if (key.tracked()) {
        tables.track(client, key.vrf, key.address);
        tables.resolve(key.vrf, key.address);  // now, not at the next settle(): a route waits for it
    }
    update(*hop);
    return hop;
}

void Programmer::State::release(Hop* hop)
{
    CULVERT_CHECK(hop->refs > 0);
    if (--hop->refs == 0) retire({Kind::Nexthop, index(hop->id)}, ++hop->retirement);
}

void Programmer::State::set_link(Hop& hop, std::optional<OnLink> link)
{
    if (hop.link == link) return;
    if (hop.link) {
        const auto it = by_link.find(*hop.link);
        it->second.erase(&hop);
        if (it->second.empty()) by_link.erase(it);
        use_touched.insert(*hop.link);
    }
    hop.link = link;
    if (link) {
        by_link[*link].insert(&hop);
        use_touched.insert(*link);
    }
}

void Programmer::State::on_interface(Hop& hop, InterfaceId id, const IpAddress& address, api::SetNexthop& word)
{
    const auto unusable = [&](const char* reason) {
        hop.usable = false;
        hop.reason = reason;
        word.kind = NexthopKind::Reject;
    };
    const auto it = interfaces.find(id);
    if (it == interfaces.end()) return unusable("no such interface");
    if (!it->second.up) return unusable("the interface is down");
    switch (it->second.kind) {
        case InterfaceKind::Loopback: return unusable("a loopback has no link");
        case InterfaceKind::Wireguard: {
            const PeerId peer = peer_of(id, address);
            if (peer == kNoPeer) return unusable("no peer's allowed-ips hold it");
            word.kind = NexthopKind::WireguardPeer;
            word.interface = id;
            word.peer = peer;
            return;
        }
        case InterfaceKind::Tunnel:
            word.kind = NexthopKind::Tunnel;
            word.interface = id;
            word.gateway = address;
            return;
        case InterfaceKind::Port: {
            word.kind = NexthopKind::Adjacency;
            word.interface = id;
            word.gateway = address;
            const auto neighbor = neighbors.find({id, address});
            if (neighbor != neighbors.end()) {
                word.resolved = true;
                word.mac = neighbor->second.mac;
            } else {
                word.lost = lost_neighbors.contains({id, address});
            }
            return;
        }
    }
}

void Programmer::State::update(Hop& hop)
{
    const bool was_usable = hop.usable, was_down = hop.down;
    const std::uint8_t was_recursion = hop.recursion;
    const HopKey& key = hop.key;
    api::SetNexthop word{hop.id, NexthopKind::Reject};
    std::optional<OnLink> link;
    Group* via = nullptr;
    hop.usable = true;
    hop.down = false;
    hop.recursion = 0;
    hop.reason = "";

    switch (key.type) {
        case NexthopType::Blackhole: word.kind = NexthopKind::Blackhole; break;
        case NexthopType::Broadcast: word.kind = NexthopKind::Broadcast; break;
        case NexthopType::Reject: break;
        case NexthopType::Host:
            word.kind = NexthopKind::Local;
            word.vrf = key.vrf;
            break;
        case NexthopType::Attached: {
            const auto it = interfaces.find(key.interface);
            if (it == interfaces.end() || !it->second.up) {
                hop.usable = false;
                hop.reason = it == interfaces.end() ? "no such interface" : "the interface is down";
            } else if (it->second.kind != InterfaceKind::Loopback) {
                word.kind = it->second.kind == InterfaceKind::Port     ? NexthopKind::Glean
                            : it->second.kind == InterfaceKind::Tunnel ? NexthopKind::Tunnel
                                                                       : NexthopKind::WireguardLookup;
                word.interface = key.interface;
            }  // the rest of a loopback's subnet is nowhere: rejected
            link = OnLink{key.interface, IpAddress{}};
            break;
        }
        case NexthopType::Gateway:
            if (key.interface != kNoInterface) {
                link = OnLink{key.interface, key.address};
                on_interface(hop, key.interface, key.address, word);
                break;
            }
            const route::Resolution* r = tables.resolution(key.vrf, key.address);
            if (r == nullptr || !r->reachable) {
                hop.usable = false;
                hop.reason = r == nullptr ? "not resolved yet" : r->reason;
            } else if (r->direct) {
                const InterfaceId id = r->nexthops.front().interface;
                link = OnLink{id, key.address};
                on_interface(hop, id, key.address, word);
            } else {
                hop.recursion = r->recursion;
                via = acquire(GroupKey{r->set, static_cast<std::uint8_t>(r->recursion - 1)});
                word.kind = NexthopKind::Via;
                word.vrf = key.vrf;
                word.via = via->id;
            }
            break;
    }

    if (key.type == NexthopType::Gateway && !key.itself) {
        const Gateway at =
            link ? Gateway{kDefaultVrf, link->first, link->second} : Gateway{key.vrf, kNoInterface, key.address};
        if (const auto session = sessions.find(at); session != sessions.end()) word.session = session->second;
        const char* reason = tables.gateway_down(at.vrf, at.interface, at.address);
        if (reason == nullptr && key.tracked()) {
            const route::Resolution* r = tables.resolution(key.vrf, key.address);
            if (r != nullptr && r->reachable && r->down) reason = "all ways to it have failed";
        }
        if (hop.usable && reason != nullptr) {
            hop.down = true;
            hop.reason = reason;
        }
        hop.failed |= hop.down || (was_usable && !hop.usable) || failed_gateways.contains(key);
        if (hop.failed) remember_failure(key);
    }

    set_link(hop, link);
    if (!hop.pushed || !same(hop.word, word)) {
        hop.word = word;
        hop.pushed = true;
        push(word);
    }
    std::swap(hop.via, via);
    if (via != nullptr) release(via);
    if (was_usable != hop.usable || was_down != hop.down || was_recursion != hop.recursion) {
        const std::vector<Group*> in(hop.groups.begin(), hop.groups.end());
        for (Group* group : in) regroup(*group);
    }
}

void Programmer::State::remember_failure(const HopKey& key)
{
    if (!failed_gateways.insert(key).second) return;
    failures_in_order.push_back(key);
    if (failures_in_order.size() <= kRememberedFailures) return;
    failed_gateways.erase(failures_in_order.front());
    failures_in_order.pop_front();
}

void Programmer::State::update_link(const OnLink& link)
{
    const auto it = by_link.find(link);
    if (it == by_link.end()) return;
    const std::vector<Hop*> here(it->second.begin(), it->second.end());
    for (Hop* hop : here) update(*hop);
}

void Programmer::State::update_gateway(const Gateway& gateway)
{
    if (gateway.interface != kNoInterface) {
        update_link({gateway.interface, gateway.address});
        return;
    }
    const auto hop = hop_ids.find(HopKey{NexthopType::Gateway, gateway.vrf, kNoInterface, gateway.address});
    if (hop != hop_ids.end()) update(*hops[index(hop->second)]);
}

void Programmer::State::update_interface(InterfaceId id)
{
    std::vector<Hop*> here;
    for (auto it = by_link.lower_bound({id, IpAddress{}}); it != by_link.end() && it->first.first == id; ++it)
        here.insert(here.end(), it->second.begin(), it->second.end());
    for (Hop* hop : here) update(*hop);
}

void Programmer::State::update_within(InterfaceId id, const IpPrefix& prefix)
{
    std::vector<Hop*> here;
    for (auto it = by_link.lower_bound({id, prefix.address});
         it != by_link.end() && it->first.first == id && prefix.contains(it->first.second); ++it)
        here.insert(here.end(), it->second.begin(), it->second.end());
    for (Hop* hop : here) update(*hop);
}

std::vector<GatewayView> Programmer::gateways() const
{
    std::vector<GatewayView> views;
    for (const auto& [key, id] : state_->hop_ids) {
        if (key.type != NexthopType::Gateway) continue;
        const State::Hop& hop = *state_->hops[index(id)];
        views.push_back({key.vrf, key.address, key.interface, id, hop.word.kind, hop.reason});
    }
    return views;
}

std::optional<api::SetNexthop> Programmer::nexthop(NexthopId id) const
{
    if (index(id) >= state_->hops.size() || !state_->hops[index(id)]) return std::nullopt;
    return state_->hops[index(id)]->word;
}

}  // namespace culvert::fibprog
