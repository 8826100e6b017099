#include "controlplane/route/state.h"
#include "dataplane/api/link_scope.h"

#include <algorithm>

namespace culvert::route {
namespace {

constexpr unsigned kMaxEvaluationDepth = 8;  // of unsettled addresses that hang on each other
constexpr std::size_t kMaxResolvedNexthops = 64;

}  // namespace

bool operator==(const Resolution& a, const Resolution& b)
{
    if (!a.reachable || !b.reachable) return a.reachable == b.reachable && a.reason == b.reason;
    return a.direct == b.direct && a.down == b.down && a.prefix == b.prefix && a.source == b.source &&
           a.distance == b.distance && a.metric == b.metric && a.set == b.set && a.recursion == b.recursion &&
           a.nexthops == b.nexthops;
}

Tables::Tracked& Tables::tracked(VrfId id, const IpAddress& address, InterfaceId interface)
{
    Vrf& v = vrf(id);
    const auto [it, fresh] = v.tracked.try_emplace({address, interface});
    Tracked& t = it->second;
    if (fresh) {
        if (!v.filter) v.filter = std::make_unique<TrackedFilter>();
        v.filter->add(address);
        t.vrf = id;
        t.address = address;
        t.interface = interface;
        t.now.reason = "not resolved yet";
        mark(t);
    }
    return t;
}

void Tables::track(ClientId client, VrfId id, const IpAddress& address, bool connected_only, InterfaceId interface)
{
    Tracked& t = tracked(id, address, interface);
    for (Registration& r : t.clients) {
        if (r.client != client || r.connected_only != connected_only) continue;
        ++r.count;
        return;
    }
    t.clients.push_back({client, connected_only, true, 1});
    if (!t.dirty) tell(t, false);
}

void Tables::untrack(ClientId client, VrfId id, const IpAddress& address, bool connected_only, InterfaceId interface)
{
    Vrf& v = vrf(id);
    const auto it = v.tracked.find({address, interface});
    if (it == v.tracked.end()) return;
    Tracked& t = it->second;
    for (auto r = t.clients.begin(); r != t.clients.end(); ++r) {
        if (r->client != client || r->connected_only != connected_only) continue;
        if (--r->count == 0) t.clients.erase(r);
        break;
    }
    let_go(t);
}

const Resolution* Tables::resolution(VrfId id, const IpAddress& address, InterfaceId interface) const
{
    const Vrf* v = vrf_if(id);
    if (v == nullptr) return nullptr;
    const auto it = v->tracked.find({address, interface});
    return it == v->tracked.end() ? nullptr : &it->second.now;
}

void Tables::mark(Tracked& t)
{
    if (t.dirty) return;
    t.dirty = true;
    dirty_.push_back(&t);
}

void Tables::mark_covered(Vrf& v, const IpPrefix& prefix)
{
    if (v.tracked.empty() || !v.filter->may_hold(prefix)) return;
    for (auto it = v.tracked.lower_bound({prefix.address, kNoInterface});
         it != v.tracked.end() && prefix.contains(it->first.first); ++it)
        mark(it->second);
}

void Tables::mark_all()
{
    for (auto& v : vrfs_)
        if (v)
            for (auto& [key, t] : v->tracked) mark(t);
}

bool Tables::settle(std::size_t budget)
{
    while (!dirty_.empty() && budget-- > 0) {
        Tracked& t = *dirty_.front();
        dirty_.pop_front();
        t.dirty = false;
        if (!t.unused()) evaluate(t, 0);
        let_go(t);
    }
    return !dirty_.empty();
}

// An address that nobody asks for any more goes, and so may those it resolved through. One that lies in dirty_ or is
// being looked at goes when settle() is through with it.
void Tables::let_go(Tracked& t)
{
    if (!t.unused() || t.dirty || t.evaluating) return;
    const std::vector<Tracked*> inputs = std::move(t.inputs);
    Tracked* const gone = &t;
    interner_->drop(t.now.set);
    Vrf& v = vrf(t.vrf);
    v.filter->remove(t.address);
    v.tracked.erase({t.address, t.interface});
    // One by one: an input that also hangs on another one is held by its own mark until its turn.
    for (Tracked* input : inputs) {
        input->dependents.erase(gone);
        let_go(*input);
    }
}

void Tables::evaluate(Tracked& t, unsigned depth)
{
    t.evaluating = true;
    std::vector<Tracked*> inputs;
    Resolution fresh = compute(t, depth, inputs);

    std::sort(inputs.begin(), inputs.end());
    inputs.erase(std::unique(inputs.begin(), inputs.end()), inputs.end());
    std::swap(t.inputs, inputs);
    for (Tracked* old : inputs) {
        if (std::binary_search(t.inputs.begin(), t.inputs.end(), old)) continue;
        old->dependents.erase(&t);
        let_go(*old);
    }
    t.evaluating = false;

    const bool changed = !(fresh == t.now);
    interner_->hold(fresh.set);
    interner_->drop(t.now.set);
    t.now = std::move(fresh);
    t.evaluated = true;
    tell(t, changed);
    if (!changed) return;
    for (Tracked* dependent : t.dependents)
        if (dependent != &t) mark(*dependent);
}

void Tables::tell(Tracked& t, bool changed)
{
    for (Registration& r : t.clients) {
        if (!changed && !r.fresh) continue;
        r.fresh = false;
        TrackingEvent event{t.vrf, t.address, t.interface, r.connected_only, t.now};
        if (r.connected_only && t.now.reachable && !t.now.direct) {
            event.resolution = {};
            event.resolution.reason = "not directly connected";
        }
        clients_[index(r.client)].emplace_back(std::move(event));
    }
}

Resolution Tables::compute(Tracked& t, unsigned depth, std::vector<Tracked*>& inputs)
{
    const auto unreachable = [](const char* reason) {
        Resolution r;
        r.reason = reason;
        return r;
    };
    const auto attached = [&](InterfaceId interface) {
        return Nexthop{NexthopType::Gateway, interface, t.vrf, t.address, 1};
    };
    if (t.interface != kNoInterface) {
        if (!link_up(t.interface)) return unreachable("the interface is down");
        Resolution r;
        r.reachable = r.direct = true;
        r.prefix = IpPrefix::host(t.address);
        r.nexthops = {attached(t.interface)};
        r.down = gateway_down(t.vrf, t.interface, t.address) != nullptr;
        return r;
    }
    if (t.address.is_v6() && t.address.is_link_local() && !api::is_link_vrf(t.vrf))
        return unreachable("a link-local address needs an interface");

    const Interner& in = *interner_;
    const auto through_itself = [&](const NexthopSet& set) {
        return std::any_of(set.nexthops.begin(), set.nexthops.end(), [&](const Nexthop& n) {
            return n.type == NexthopType::Gateway && n.interface == kNoInterface && n.gateway == t.address &&
                   n.vrf == t.vrf;
        });
    };
    RouteHandle route{kNoRoute};
    bool default_skipped = false, itself_skipped = false;
    const auto prefix = longest_match(vrf(t.vrf), t.address, [&](const IpPrefix& p, const Slot& slot) {
        const RouteHandle best = in.best(slot);
        if (best == kNoRoute) return false;
        if (p.length == 0 && !resolve_via_default_) {
            default_skipped = true;
            return false;
        }
        if (through_itself(nexthop_set(in.body(best).set))) {
            itself_skipped = true;
            return false;
        }
        route = best;
        return true;
    });
    if (!prefix)
        return unreachable(itself_skipped    ? "it resolves only through itself"
                           : default_skipped ? "only the default route leads there"
                                             : "no route leads there");

    const Interner::Body body = in.body(route);
    const NexthopSet set = nexthop_set(body.set);
    Resolution r;
    r.prefix = *prefix;
    r.source = body.source;
    r.distance = body.distance;
    r.metric = body.metric;
    r.set = body.set;
    const char* reason = "its route has no next hop";
    std::vector<Nexthop> failed;  // ends that are down: of use only if there are no others
    bool direct_failed = false;
    for (const Nexthop& n : set.nexthops) {
        switch (n.type) {
            case NexthopType::Attached:
                if (!link_up(n.interface)) {
                    reason = "the interface is down";
                    break;
                }
                if (gateway_down(t.vrf, n.interface, t.address) != nullptr) {
                    direct_failed = true;
                    failed.push_back(attached(n.interface));
                    break;
                }
                r.direct = true;
                r.nexthops.push_back(attached(n.interface));
                break;
            case NexthopType::Host: reason = "it is an address of this router"; break;
            case NexthopType::Blackhole:
            case NexthopType::Reject:
            case NexthopType::Broadcast:
                r.recursion = std::max<std::uint8_t>(r.recursion, 1);
                r.nexthops.push_back(n);
                break;
            case NexthopType::Gateway: {
                if (n.interface != kNoInterface) {
                    if (!link_up(n.interface)) {
                        reason = "the interface is down";
                        break;
                    }
                    r.recursion = std::max<std::uint8_t>(r.recursion, 1);
                    (gateway_down(n.vrf, n.interface, n.gateway) ? failed : r.nexthops).push_back(n);
                    break;
                }
                Tracked& input = tracked(n.vrf, n.gateway, kNoInterface);
                inputs.push_back(&input);
                input.dependents.insert(&t);
                if (input.evaluating) {
                    reason = "its route runs in a circle";
                    break;
                }
                // Evaluated here and now, so that the first answer is the final one; it stays in dirty_ for settle().
                if (!input.evaluated || input.dirty) {
                    if (depth >= kMaxEvaluationDepth) {
                        mark(input);
                        reason = "too many routes on the way";
                        break;
                    }
                    evaluate(input, depth + 1);
                }
                if (!input.now.reachable) {
                    reason = input.now.reason;
                    break;
                }
                if (input.now.recursion + 1 > kMaxRecursion) {
                    reason = "too many routes on the way";
                    break;
                }
                r.recursion = std::max<std::uint8_t>(r.recursion, input.now.recursion + 1);
                auto& ends = input.now.down ? failed : r.nexthops;
                for (const Nexthop& end : input.now.nexthops)
                    if (ends.size() < kMaxResolvedNexthops) ends.push_back(end);
                break;
            }
        }
    }
    if (r.nexthops.empty() && !failed.empty()) {
        r.nexthops = std::move(failed);
        r.direct = direct_failed;
        r.down = true;
    }
    if (r.nexthops.empty()) return unreachable(reason);
    r.down |= gateway_down(t.vrf, kNoInterface, t.address) != nullptr;
    normalise(r.nexthops);
    r.reachable = true;
    return r;
}

Resolution Tables::resolve(VrfId id, const IpAddress& address, InterfaceId interface)
{
    Tracked& t = tracked(id, address, interface);
    if (t.dirty || !t.evaluated) evaluate(t, 0);
    return t.now;  // if nobody tracks it, settle() clears it away
}

// ---- interfaces ----

void Tables::set_link(InterfaceId interface, VrfId id, bool up)
{
    const auto [it, fresh] = links_.try_emplace(interface, Link{id, up});
    if (!fresh && it->second.vrf == id && it->second.up == up) return;
    it->second = {id, up};
    mark_all();
}

void Tables::remove_link(InterfaceId interface)
{
    if (links_.erase(interface) != 0) mark_all();
}

bool Tables::link_up(InterfaceId interface) const noexcept
{
    const auto it = links_.find(interface);
    return it != links_.end() && it->second.up;
}

// ---- failures ----

void Tables::set_gateway_down(VrfId id, InterfaceId interface, const IpAddress& address, const char* reason)
{
    const std::tuple key{interface == kNoInterface ? id : kDefaultVrf, interface, address};
    const auto was = down_.find(key);
    if ((was != down_.end()) == (reason != nullptr)) {
        if (reason != nullptr) was->second = reason;
        return;
    }
    if (reason != nullptr)
        down_[key] = reason;
    else
        down_.erase(was);
    // The address itself, and what resolves through a route that has it as its gateway on the interface; what hangs on
    // those follows by itself. Few things fail at a time, and few addresses are tracked.
    if (interface != kNoInterface) {
        mark_all();
        return;
    }
    Vrf& v = vrf(id);
    for (auto it = v.tracked.lower_bound({address, kNoInterface}); it != v.tracked.end() && it->first.first == address;
         ++it)
        mark(it->second);
}

const char* Tables::gateway_down(VrfId id, InterfaceId interface, const IpAddress& address) const noexcept
{
    if (down_.empty()) return nullptr;
    const auto it = down_.find({interface == kNoInterface ? id : kDefaultVrf, interface, address});
    return it == down_.end() ? nullptr : it->second;
}

}  // namespace culvert::route
