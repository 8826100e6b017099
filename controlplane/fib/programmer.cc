#include "controlplane/fib/programmer.h"

#include "controlplane/fib/state.h"

#include <algorithm>

namespace culvert::fibprog {

using api::InterfaceKind;
using route::NexthopSetId;
using route::NexthopType;

auto Programmer::State::use(NexthopSetId set, const Group* like) -> Group*
{
    if (index(set) >= uses.size()) uses.resize(std::max<std::size_t>(index(set) + 1, uses.size() * 2));
    if (uses[index(set)].prefixes++ == 0) {
        tables.hold(set);
        Group* group = acquire(GroupKey{set}, like);
        uses[index(set)].group = group;
    }
    return uses[index(set)].group;
}

void Programmer::State::unuse(NexthopSetId set)
{
    SetUse& u = uses[index(set)];
    CULVERT_CHECK(u.prefixes > 0);
    if (--u.prefixes > 0) return;
    release(std::exchange(u.group, nullptr));
    tables.drop(set);
}

void Programmer::State::program(const route::Change& change)
{
    if (change.before == change.after) return;
    if (change.after != route::kNoSet) {
        const Group* like = index(change.before) < uses.size() ? uses[index(change.before)].group : nullptr;
        push(api::SetRoute{change.vrf, change.prefix, use(change.after, like)->id});
    } else if (const Group* host = host_route(change.vrf, change.prefix); host != nullptr) {
        push(api::SetRoute{change.vrf, change.prefix, host->id});
    } else {
        push(api::DeleteRoute{change.vrf, change.prefix});
    }
    if (change.before != route::kNoSet) unuse(change.before);
}

Programmer::Programmer(Sink& sink, route::Tables& tables) : state_(std::make_unique<State>(sink, tables)) {}

Programmer::~Programmer() = default;

void Programmer::set_vrf(VrfId vrf)
{
    state_->removed.erase({State::Kind::Vrf, index(vrf)});
    state_->vrfs.insert(vrf);
    state_->push(api::SetVrf{vrf});
}

void Programmer::remove_vrf(VrfId vrf)
{
    if (state_->vrfs.erase(vrf) != 0) state_->removed.insert({State::Kind::Vrf, index(vrf)});
}

void Programmer::set_interface(const InterfaceSpec& spec)
{
    State& s = *state_;
    const auto [it, fresh] = s.interfaces.try_emplace(spec.id, spec);
    if (!fresh && it->second == spec) return;
    // The new ones first: what stays is not taken away in between.
    const InterfaceSpec before = std::exchange(it->second, spec);
    s.count_broadcasts(spec, 1);
    if (!fresh) s.count_broadcasts(before, -1);
    s.removed.erase({State::Kind::Interface, index(spec.id)});
    api::SetInterface word{spec.id, spec.vrf, spec.kind, spec.up, spec.port, spec.vlan, spec.mac, spec.mtu};
    word.address4 = spec.address4;
    word.address6 = spec.address6;
    if (spec.adjust_mss.kind == AdjustMss::Kind::Fixed) {
        word.mss4 = word.mss6 = spec.adjust_mss.value;
    } else if (spec.adjust_mss.kind == AdjustMss::Kind::Auto) {
        word.mss4 = spec.mtu > 40 ? static_cast<std::uint16_t>(spec.mtu - 40) : 0;
        word.mss6 = spec.mtu > 60 ? static_cast<std::uint16_t>(spec.mtu - 60) : 0;
    }
    s.push(word);
    s.mtus_stale = true;
    for (auto n = s.neighbors.lower_bound({spec.id, IpAddress{}}); n != s.neighbors.end() && n->first.first == spec.id;
         ++n)
        s.track_neighbor(n->first, n->second);
    s.update_interface(spec.id);
    for (auto l = s.by_link.lower_bound({spec.id, IpAddress{}}); l != s.by_link.end() && l->first.first == spec.id; ++l)
        s.use_touched.insert(l->first);
}

void Programmer::remove_interface(InterfaceId id)
{
    State& s = *state_;
    const auto it = s.interfaces.find(id);
    if (it == s.interfaces.end()) return;
    InterfaceSpec down = it->second;
    down.up = false;
    set_interface(down);  // silent at once; the object itself goes when no next hop names it
    for (auto n = s.neighbors.lower_bound({id, IpAddress{}}); n != s.neighbors.end() && n->first.first == id;)
        s.forget_neighbor(n++);
    std::erase_if(s.lost_neighbors, [id](const OnLink& link) { return link.first == id; });
    s.interfaces.erase(id);
    if (const auto a = s.allowed.find(id); a != s.allowed.end() && a->second.empty()) s.allowed.erase(a);
    s.update_interface(id);
    s.removed.insert({State::Kind::Interface, index(id)});
}

void Programmer::set_wireguard(const api::SetWireguard& wireguard) { state_->push(wireguard); }

void Programmer::set_tunnel(const api::SetTunnel& tunnel) { state_->push(tunnel); }

void Programmer::set_tunnel_endpoint(const api::SetTunnelEndpoint& endpoint) { state_->push(endpoint); }

void Programmer::remove_tunnel_endpoint(const api::DeleteTunnelEndpoint& endpoint) { state_->push(endpoint); }

void Programmer::set_protection(const api::SetProtection& protection) { state_->push(protection); }

void Programmer::remove_protection(ProtectionId id) { state_->push(api::DeleteProtection{id}); }

void Programmer::protect(VrfId vrf, const IpPrefix& prefix) { state_->push(api::SetProtectedPrefix{vrf, prefix}); }

void Programmer::unprotect(VrfId vrf, const IpPrefix& prefix) { state_->push(api::DeleteProtectedPrefix{vrf, prefix}); }

bool Programmer::run(std::size_t budget)
{
    State& s = *state_;
    s.tables.settle(budget);
    for (route::Event event; s.tables.next_event(s.client, event);) {
        const auto* tracking = std::get_if<route::TrackingEvent>(&event);
        if (tracking == nullptr) continue;
        s.mtus_stale = true;
        const auto hop = s.hop_ids.find(HopKey{NexthopType::Gateway, tracking->vrf, kNoInterface, tracking->address});
        if (hop != s.hop_ids.end()) s.update(*s.hops[index(hop->second)]);
        for (auto& [id, interface] : s.interfaces) {
            if (interface.kind != InterfaceKind::Port || vrf_of(interface, tracking->address) != tracking->vrf)
                continue;
            const auto n = s.neighbors.find({id, tracking->address});
            if (n != s.neighbors.end()) s.judge_host_route(n->first, n->second);
        }
    }
    // What the sink has no room for waits better here: there each route that waits is a search and an allocation.
    route::Change change;
    for (; budget > 0 && s.sink.backlog() == 0 && s.tables.next_change(change); --budget) {
        s.program(change);
        s.mtus_stale = true;
    }
    s.drop_orphans(budget);
    s.raise_uses();
    if (s.mtus_stale) s.raise_path_mtus();
    s.mtus_stale = false;
    s.look_after_removed();
    s.commit();
    return !s.orphans.empty() || s.tables.unsettled() || s.tables.has_event(s.client) || s.tables.changes_waiting() > 0;
}

bool Programmer::next_event(Event& event)
{
    if (state_->events.empty()) return false;
    event = state_->events.front();
    state_->events.pop_front();
    return true;
}

Programmer::Counts Programmer::counts() const noexcept
{
    return {state_->live_hops, state_->live_groups, state_->retiring.size(), state_->updates};
}

}  // namespace culvert::fibprog
