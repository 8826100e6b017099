#include "controlplane/route/tables.h"

#include "base/check.h"
#include "dataplane/api/link_scope.h"

#include <algorithm>
#include <array>

namespace culvert::route {

namespace {

constexpr std::uint32_t kTopBit = 1U << 31;
constexpr unsigned kMaxEvaluationDepth = 8;  // of unsettled addresses that hang on each other
constexpr std::size_t kMaxResolvedNexthops = 64;

std::uint64_t hash_nexthops(const std::vector<Nexthop>& nexthops, std::uint64_t h) noexcept
{
    for (const Nexthop& n : nexthops) {
        h = mix(h ^ std::hash<IpAddress>{}(n.gateway));
        h = mix(h ^ (std::uint64_t{index(n.interface)} << 40 | std::uint64_t{index(n.vrf)} << 24 |
                     std::uint64_t{n.weight} << 8 | static_cast<std::uint64_t>(n.type)));
    }
    return mix(h + nexthops.size());
}

std::uint64_t hash_set(const NexthopSet& s) noexcept { return hash_nexthops(s.backup, hash_nexthops(s.nexthops, 1)); }

void normalise(std::vector<Nexthop>& nexthops)
{
    if (std::is_sorted(nexthops.begin(), nexthops.end(), std::less_equal<>{})) return;
    std::sort(nexthops.begin(), nexthops.end());
    nexthops.erase(std::unique(nexthops.begin(), nexthops.end()), nexthops.end());
}

constexpr std::size_t at(Source s) noexcept { return static_cast<std::size_t>(s); }
constexpr std::size_t at(Family f) noexcept { return static_cast<std::size_t>(f); }
constexpr std::size_t kSources = 4;

}  // namespace

bool operator==(const Resolution& a, const Resolution& b)
{
    if (!a.reachable || !b.reachable) return a.reachable == b.reachable && a.reason == b.reason;
    return a.direct == b.direct && a.down == b.down && a.prefix == b.prefix && a.source == b.source &&
           a.distance == b.distance && a.metric == b.metric && a.set == b.set && a.recursion == b.recursion &&
           a.nexthops == b.nexthops;
}

// What a prefix costs besides its key.
struct Tables::Slot {
    std::uint32_t route = 0;      // a RouteHandle, or with the top bit an index into Interner::many
    std::uint32_t installed = 0;  // the NexthopSetId given out by next_change() last
    std::uint32_t when = 0;       // seconds of the best route's last change; top bit: waits in changed_

    bool queued() const noexcept { return (when & kTopBit) != 0; }
};

// Routes and their sets of next hops, each stored once, counted by reference.
struct Tables::Interner {
    struct Set {
        NexthopSet set;
        std::uint32_t refs = 0;
    };
    struct Body {
        Source source;
        std::uint8_t distance;
        std::uint32_t metric;
        std::uint32_t tag;
        NexthopSetId set;
        friend bool operator==(const Body&, const Body&) = default;
    };
    struct CountedBody {
        Body body{};
        std::uint32_t refs = 0;
    };
    struct BodyHash {
        std::size_t operator()(const Body& b) const noexcept
        {
            return mix(mix(std::uint64_t{b.metric} << 32 | b.tag) ^
                       (std::uint64_t{index_of(b.set)} << 16 | std::uint64_t{b.distance} << 8 | at(b.source)));
        }
        static std::uint32_t index_of(NexthopSetId id) noexcept { return static_cast<std::uint32_t>(id); }
    };
    struct SetHash {
        using is_transparent = void;
        const std::deque<Set>* sets;
        std::size_t operator()(std::uint32_t i) const noexcept { return hash_set((*sets)[i].set); }
        std::size_t operator()(const NexthopSet& s) const noexcept { return hash_set(s); }
    };
    struct SetEqual {
        using is_transparent = void;
        const std::deque<Set>* sets;
        bool operator()(std::uint32_t a, std::uint32_t b) const noexcept { return a == b; }
        bool operator()(const NexthopSet& a, std::uint32_t b) const noexcept { return a == (*sets)[b].set; }
        bool operator()(std::uint32_t a, const NexthopSet& b) const noexcept { return (*sets)[a].set == b; }
    };

    std::deque<Set> sets{1};  // [0] is kNoSet
    std::vector<std::uint32_t> free_sets;
    std::unordered_set<std::uint32_t, SetHash, SetEqual> set_ids{16, SetHash{&sets}, SetEqual{&sets}};
    std::vector<CountedBody> bodies{1};  // [0] is kNoRoute
    std::vector<std::uint32_t> free_bodies;
    std::unordered_map<Body, std::uint32_t, BodyHash> body_ids;
    // Prefixes with routes of several sources: best first.
    std::vector<std::vector<RouteHandle>> many;
    std::vector<std::uint32_t> free_many;
    // The route that set(Route) was called with last: a feed brings runs of the same.
    Route last;
    RouteHandle last_handle{kNoRoute};

    const Body& body(RouteHandle h) const noexcept { return bodies[index(h)].body; }

    NexthopSetId intern(NexthopSet&& set)
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
    void hold(NexthopSetId id) noexcept
    {
        if (id != kNoSet) ++sets[index(id)].refs;
    }
    void drop(NexthopSetId id)
    {
        if (id == kNoSet) return;
        Set& set = sets[index(id)];
        CULVERT_CHECK(set.refs > 0);
        if (--set.refs > 0) return;
        set_ids.erase(index(id));
        set.set = {};
        free_sets.push_back(index(id));
    }

    RouteHandle acquire(const Route& route)
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
    void hold(RouteHandle h) noexcept
    {
        if (h != kNoRoute) ++bodies[index(h)].refs;
    }
    void drop(RouteHandle h)
    {
        if (h == kNoRoute) return;
        CountedBody& counted = bodies[index(h)];
        CULVERT_CHECK(counted.refs > 0);
        if (--counted.refs > 0) return;
        drop(counted.body.set);
        body_ids.erase(counted.body);
        free_bodies.push_back(index(h));
    }

    bool preferred(RouteHandle a, RouteHandle b) const noexcept
    {
        const Body &x = body(a), &y = body(b);
        return std::pair{x.distance, x.source} < std::pair{y.distance, y.source};
    }
    RouteHandle best(const Slot& slot) const noexcept
    {
        const RouteHandle first =
            (slot.route & kTopBit) != 0 ? many[slot.route & ~kTopBit].front() : RouteHandle{slot.route};
        return first != kNoRoute && body(first).distance == 255 ? kNoRoute : first;
    }
    template <class F>
    void each(const Slot& slot, F&& f) const
    {
        if ((slot.route & kTopBit) != 0) {
            for (const RouteHandle h : many[slot.route & ~kTopBit]) f(h);
        } else if (slot.route != 0) {
            f(RouteHandle{slot.route});
        }
    }
    RouteHandle of_source(const Slot& slot, Source source) const noexcept
    {
        RouteHandle found{kNoRoute};
        each(slot, [&](RouteHandle h) {
            if (body(h).source == source) found = h;
        });
        return found;
    }
    // Puts `h` in the place of `old` (either may be none). The caller keeps the books of references.
    void replace(Slot& slot, RouteHandle old, RouteHandle h)
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
};

struct Tables::Registration {
    ClientId client;
    bool connected_only;
    bool fresh;  // has heard nothing yet
    std::uint32_t count;
};

// An address that a client tracks, or that a tracked address resolves through.
struct Tables::Tracked {
    VrfId vrf;
    IpAddress address;
    InterfaceId interface;
    Resolution now;  // holds a reference to now.set
    std::vector<Registration> clients;
    std::set<Tracked*> dependents;  // those that resolve through this
    std::vector<Tracked*> inputs;   // those this resolves through
    bool dirty = false;             // in dirty_
    bool evaluating = false;
    bool evaluated = false;

    bool unused() const noexcept { return clients.empty() && dependents.empty(); }
};

// Says quickly that no tracked address lies in a prefix, which is so for all but a few of a million. Counts addresses
// by a few of their leading bits (IPv4: the first 12, IPv6: the first 32, hashed).
class TrackedFilter {
public:
    void add(const IpAddress& a) { ++counts_[at(a.family)][slot(a)]; }
    void remove(const IpAddress& a) { --counts_[at(a.family)][slot(a)]; }
    bool may_hold(const IpPrefix& p) const noexcept
    {
        return p.length < (p.family() == Family::Ipv4 ? 12 : 32) || counts_[at(p.family())][slot(p.address)] != 0;
    }

private:
    static std::size_t slot(const IpAddress& a) noexcept
    {
        const std::uint64_t high = a.bits.high();
        return a.is_v4() ? high >> 52 : mix(high >> 32) & 0xfff;
    }
    std::array<std::array<std::uint32_t, 4096>, 2> counts_{};
};

struct Tables::Vrf {
    VrfId id;
    PrefixMap<Slot> slots;
    std::array<std::array<std::size_t, kSources>, 2> counts{};
    std::set<IpPrefix> own;  // with a route that is not BGP's
    std::map<std::pair<IpAddress, InterfaceId>, Tracked> tracked;
    std::unique_ptr<TrackedFilter> filter;  // there once something was tracked
    std::array<std::array<std::vector<ClientId>, kSources>, 2> subscribers;
    std::map<IpPrefix, std::vector<ClientId>> watched;
};

Tables::Tables() : interner_(std::make_unique<Interner>()) {}
Tables::~Tables() = default;

void Tables::advance(TimePoint now) noexcept
{
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(now.time_since_epoch()).count();
    now_ = static_cast<std::uint32_t>(seconds) & ~kTopBit;
}

Tables::Vrf& Tables::vrf(VrfId id)
{
    if (index(id) >= vrfs_.size()) vrfs_.resize(index(id) + 1U);
    auto& v = vrfs_[index(id)];
    if (!v) {
        v = std::make_unique<Vrf>();
        v->id = id;
    }
    return *v;
}

const Tables::Vrf* Tables::vrf_if(VrfId id) const noexcept
{
    return index(id) < vrfs_.size() ? vrfs_[index(id)].get() : nullptr;
}

// ---- routes ---------------------------------------------------------------------------------------------------------

RouteHandle Tables::acquire(const Route& route) { return interner_->acquire(route); }
void Tables::release(RouteHandle handle) { interner_->drop(handle); }

void Tables::set(VrfId id, const IpPrefix& prefix, const Route& route)
{
    Interner& in = *interner_;
    if (in.last_handle == kNoRoute || !(in.last == route)) {
        const RouteHandle handle = in.acquire(route);
        in.drop(in.last_handle);
        in.last_handle = handle;
        in.last = route;
    }
    set(id, prefix, in.last_handle);
}

void Tables::set(VrfId id, const IpPrefix& prefix, RouteHandle handle)
{
    Interner& in = *interner_;
    Vrf& v = vrf(id);
    const auto [slot, fresh] = v.slots.insert(prefix, Slot{});
    const Source source = in.body(handle).source;
    const RouteHandle old = fresh ? kNoRoute : in.of_source(*slot, source);
    if (old == handle) return;

    const RouteHandle before = fresh ? kNoRoute : in.best(*slot);
    in.hold(handle);
    in.replace(*slot, old, handle);
    if (old == kNoRoute) {
        ++v.counts[at(prefix.family())][at(source)];
        if (source != Source::Bgp && v.own.insert(prefix).second)
            presence_changed(v, prefix, true, in.body(handle).metric);
    }
    const RouteHandle after = in.best(*slot);
    if (before != after) best_changed(v, prefix, *slot, before, after);
    in.drop(old);
}

void Tables::remove(VrfId id, const IpPrefix& prefix, Source source)
{
    Interner& in = *interner_;
    Vrf& v = vrf(id);
    Slot* slot = v.slots.find(prefix);
    if (slot == nullptr) return;
    const RouteHandle old = in.of_source(*slot, source);
    if (old == kNoRoute) return;

    const RouteHandle before = in.best(*slot);
    in.replace(*slot, old, kNoRoute);
    --v.counts[at(prefix.family())][at(source)];
    if (source != Source::Bgp) {
        bool others = false;
        in.each(*slot, [&](RouteHandle h) { others |= in.body(h).source != Source::Bgp; });
        if (!others) {
            v.own.erase(prefix);
            presence_changed(v, prefix, false, 0);
        }
    }
    const RouteHandle after = in.best(*slot);
    if (before != after) best_changed(v, prefix, *slot, before, after);
    erase_if_idle(v, prefix, *slot);
    in.drop(old);
}

void Tables::clear(VrfId id)
{
    Vrf& v = vrf(id);
    std::vector<IpPrefix> all;
    all.reserve(v.slots.size());
    for (const IpPrefix& from : {IpPrefix{Ipv4Address{}, 0}, IpPrefix{Ipv6Address{}, 0}})
        v.slots.walk(from, [&](const IpPrefix& p, const Slot&) {
            all.push_back(p);
            return true;
        });
    for (const IpPrefix& p : all)
        for (const Source s : {Source::Connected, Source::Local, Source::Static, Source::Bgp}) remove(id, p, s);
}

void Tables::set_resolve_via_default(bool on)
{
    if (resolve_via_default_ == on) return;
    resolve_via_default_ = on;
    mark_all();
}

void Tables::best_changed(Vrf& v, const IpPrefix& prefix, Slot& slot, RouteHandle before, RouteHandle after)
{
    slot.when = (slot.when & kTopBit) | now_;
    const NexthopSetId set = after == kNoRoute ? kNoSet : interner_->body(after).set;
    if (!slot.queued() && index(set) != slot.installed) {
        slot.when |= kTopBit;
        changed_.push_back({v.id, prefix});
    }
    tell_redistribution(v, prefix, before, after);
    mark_covered(v, prefix);
}

void Tables::tell_redistribution(const Vrf& v, const IpPrefix& prefix, RouteHandle before, RouteHandle after)
{
    const auto& subscribers = v.subscribers[at(prefix.family())];
    const auto tell = [&](RouteHandle h, bool present) {
        const auto& body = interner_->body(h);
        for (const ClientId c : subscribers[at(body.source)]) {
            RedistributeEvent event{v.id, body.source, prefix, present, body.metric, body.tag, {}};
            if (present) event.nexthops = nexthop_set(body.set).nexthops;
            clients_[index(c)].emplace_back(std::move(event));
        }
    };
    const bool moved =
        before != kNoRoute && after != kNoRoute && interner_->body(before).source == interner_->body(after).source;
    if (before != kNoRoute && !moved) tell(before, false);
    if (after != kNoRoute) tell(after, true);
}

void Tables::presence_changed(Vrf& v, const IpPrefix& prefix, bool present, std::uint32_t metric)
{
    const auto it = v.watched.find(prefix);
    if (it == v.watched.end()) return;
    for (const ClientId c : it->second) clients_[index(c)].emplace_back(PresenceEvent{v.id, prefix, present, metric});
}

void Tables::erase_if_idle(Vrf& v, const IpPrefix& prefix, const Slot& slot)
{
    if (slot.route == 0 && slot.installed == 0 && !slot.queued()) v.slots.erase(prefix);
}

// ---- to the forwarding table ----------------------------------------------------------------------------------------

bool Tables::next_change(Change& change)
{
    interner_->drop(given_before_);
    given_before_ = kNoSet;
    if (changed_.empty()) return false;
    const Pending next = changed_.front();
    changed_.pop_front();

    Vrf& v = vrf(next.vrf);
    Slot* slot = v.slots.find(next.prefix);
    CULVERT_CHECK(slot != nullptr);
    const RouteHandle best = interner_->best(*slot);
    change = {next.vrf, next.prefix, NexthopSetId{slot->installed},
              best == kNoRoute ? kNoSet : interner_->body(best).set};
    slot->when &= ~kTopBit;
    slot->installed = index(change.after);
    interner_->hold(change.after);
    given_before_ = change.before;  // the slot's reference
    erase_if_idle(v, next.prefix, *slot);
    return true;
}

const NexthopSet& Tables::nexthop_set(NexthopSetId id) const { return interner_->sets[index(id)].set; }
NexthopSetId Tables::intern(const NexthopSet& set)
{
    NexthopSet normal = set;
    normalise(normal.nexthops);
    normalise(normal.backup);
    return interner_->intern(std::move(normal));
}
void Tables::hold(NexthopSetId id) { interner_->hold(id); }
void Tables::drop(NexthopSetId id) { interner_->drop(id); }

// ---- clients --------------------------------------------------------------------------------------------------------

ClientId Tables::add_client()
{
    clients_.emplace_back();
    CULVERT_CHECK(clients_.size() <= 256);
    return ClientId{static_cast<std::uint8_t>(clients_.size() - 1)};
}

bool Tables::next_event(ClientId client, Event& event)
{
    auto& queue = clients_[index(client)];
    if (queue.empty()) return false;
    event = std::move(queue.front());
    queue.pop_front();
    return true;
}

bool Tables::has_event(ClientId client) const noexcept { return !clients_[index(client)].empty(); }

void Tables::redistribute(ClientId client, VrfId id, Family family, Source source)
{
    Vrf& v = vrf(id);
    auto& subscribers = v.subscribers[at(family)][at(source)];
    if (std::find(subscribers.begin(), subscribers.end(), client) != subscribers.end()) return;
    const auto give = [&](const IpPrefix& p, const Slot& slot) {
        const RouteHandle best = interner_->best(slot);
        if (p.family() != family || best == kNoRoute) return;
        const auto& body = interner_->body(best);
        if (body.source != source) return;
        clients_[index(client)].emplace_back(
            RedistributeEvent{id, source, p, true, body.metric, body.tag, nexthop_set(body.set).nexthops});
    };
    if (source == Source::Bgp) {
        v.slots.walk(family == Family::Ipv4 ? IpPrefix{Ipv4Address{}, 0} : IpPrefix{Ipv6Address{}, 0},
                     [&](const IpPrefix& p, const Slot& slot) {
                         give(p, slot);
                         return true;
                     });
    } else {
        for (const IpPrefix& p : v.own) give(p, *v.slots.find(p));
    }
    subscribers.push_back(client);
}

void Tables::stop_redistribute(ClientId client, VrfId id, Family family, Source source)
{
    std::erase(vrf(id).subscribers[at(family)][at(source)], client);
}

void Tables::watch_prefix(ClientId client, VrfId id, const IpPrefix& prefix)
{
    Vrf& v = vrf(id);
    v.watched[prefix].push_back(client);
    PresenceEvent event{id, prefix, v.own.contains(prefix), 0};
    if (event.present)
        interner_->each(*v.slots.find(prefix), [&](RouteHandle h) {
            const auto& body = interner_->body(h);
            if (body.source != Source::Bgp) event.metric = body.metric;
        });
    clients_[index(client)].emplace_back(event);
}

void Tables::unwatch_prefix(ClientId client, VrfId id, const IpPrefix& prefix)
{
    Vrf& v = vrf(id);
    const auto it = v.watched.find(prefix);
    if (it == v.watched.end()) return;
    const auto mine = std::find(it->second.begin(), it->second.end(), client);
    if (mine != it->second.end()) it->second.erase(mine);
    if (it->second.empty()) v.watched.erase(it);
}

// ---- next-hop tracking ----------------------------------------------------------------------------------------------

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
    const auto prefix = vrf(t.vrf).slots.longest_match(t.address, [&](const IpPrefix& p, const Slot& slot) {
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

// ---- interfaces -----------------------------------------------------------------------------------------------------

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

// ---- failures -------------------------------------------------------------------------------------------------------

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

// ---- questions ------------------------------------------------------------------------------------------------------

EntryView Tables::view(const IpPrefix& prefix, const Slot& slot) const
{
    EntryView entry{prefix, std::chrono::seconds{slot.when & ~kTopBit}, {}};
    const RouteHandle best = interner_->best(slot);
    interner_->each(slot, [&](RouteHandle h) {
        const auto& body = interner_->body(h);
        entry.routes.push_back({body.source, body.distance, body.metric, body.tag, &nexthop_set(body.set), h == best,
                                h == best && slot.queued()});
    });
    return entry;
}

std::optional<EntryView> Tables::lookup(VrfId id, const IpAddress& address, LookupOptions options) const
{
    const Vrf* v = vrf_if(id);
    if (v == nullptr) return std::nullopt;
    const auto prefix = v->slots.longest_match(address, [&](const IpPrefix& p, const Slot& slot) {
        const RouteHandle best = interner_->best(slot);
        if (best == kNoRoute || (options.exclude_default && p.length == 0)) return false;
        return !options.exclude_bgp || interner_->body(best).source != Source::Bgp;
    });
    if (!prefix) return std::nullopt;
    return view(*prefix, *v->slots.find(*prefix));
}

std::optional<EntryView> Tables::find(VrfId id, const IpPrefix& prefix) const
{
    const Vrf* v = vrf_if(id);
    const Slot* slot = v == nullptr ? nullptr : v->slots.find(prefix);
    if (slot == nullptr || slot->route == 0) return std::nullopt;
    return view(prefix, *slot);
}

std::optional<std::pair<IpPrefix, NexthopSetId>> Tables::installed(VrfId id, const IpAddress& address) const
{
    const Vrf* v = vrf_if(id);
    if (v == nullptr) return std::nullopt;
    const auto prefix =
        v->slots.longest_match(address, [](const IpPrefix&, const Slot& s) { return s.installed != 0; });
    if (!prefix) return std::nullopt;
    return std::pair{*prefix, NexthopSetId{v->slots.find(*prefix)->installed}};
}

NexthopSetId Tables::installed(VrfId id, const IpPrefix& prefix) const
{
    const Vrf* v = vrf_if(id);
    const Slot* slot = v == nullptr ? nullptr : v->slots.find(prefix);
    return slot == nullptr ? kNoSet : NexthopSetId{slot->installed};
}

void Tables::walk(VrfId id, const IpPrefix& from, const std::function<bool(const EntryView&)>& f) const
{
    const Vrf* v = vrf_if(id);
    if (v == nullptr) return;
    v->slots.walk(from, [&](const IpPrefix& p, const Slot& slot) { return slot.route == 0 || f(view(p, slot)); });
}

void Tables::walk_tracked(VrfId id, const std::function<void(const TrackingEvent&)>& f) const
{
    const Vrf* v = vrf_if(id);
    if (v == nullptr) return;
    for (const auto& [key, t] : v->tracked)
        if (!t.clients.empty()) f({t.vrf, t.address, t.interface, false, t.now});
}

std::size_t Tables::prefixes(VrfId id, Family family) const noexcept
{
    const Vrf* v = vrf_if(id);
    return v == nullptr ? 0 : v->slots.size(family);
}

std::size_t Tables::routes(VrfId id, Family family, Source source) const noexcept
{
    const Vrf* v = vrf_if(id);
    return v == nullptr ? 0 : v->counts[at(family)][at(source)];
}

std::size_t Tables::octets() const noexcept
{
    std::size_t sum = 0;
    for (const auto& v : vrfs_)
        if (v) sum += v->slots.octets();
    return sum;
}

}  // namespace culvert::route
