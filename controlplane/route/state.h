#pragma once

#include "base/check.h"
#include "controlplane/route/numbered_routes.h"
#include "controlplane/route/tables.h"

#include <algorithm>
#include <array>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

// The inside of Tables: a slot for each prefix, the routes and sets of next hops that slots share, and the addresses
// that clients track.
namespace culvert::route {

inline constexpr std::uint32_t kTopBit = 1U << 31;

constexpr std::size_t at(Source s) noexcept { return static_cast<std::size_t>(s); }
constexpr std::size_t at(Family f) noexcept { return static_cast<std::size_t>(f); }
inline constexpr std::size_t kSources = 4;

std::uint64_t hash_set(const NexthopSet& s) noexcept;
void normalise(std::vector<Nexthop>& nexthops);  // sorted, each once

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

    NexthopSetId intern(NexthopSet&& set);
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

    RouteHandle acquire(const Route& route);
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
    RouteHandle usable(RouteHandle h) const noexcept { return h != kNoRoute && body(h).distance == 255 ? kNoRoute : h; }
    RouteHandle best(const Slot& slot) const noexcept
    {
        return usable((slot.route & kTopBit) != 0 ? many[slot.route & ~kTopBit].front() : RouteHandle{slot.route});
    }
    NexthopSetId set_of(RouteHandle h) const noexcept { return h == kNoRoute ? kNoSet : body(h).set; }
    // As if it were kept by prefix.
    Slot slot_of(const NumberedRoutes::Entry& entry) const noexcept
    {
        return {index(entry.route), index(set_of(usable(entry.route))), entry.when};
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
    void replace(Slot& slot, RouteHandle old, RouteHandle h);
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
    // A prefix is in one of both.
    PrefixMap<Slot> slots;
    std::array<NumberedRoutes, 2> numbered;
    const Numbering* numbering = nullptr;
    std::uint32_t numberings = 0;  // how often it was set
    std::array<std::array<std::size_t, kSources>, 2> counts{};
    std::set<IpPrefix> own;  // with a route that is not BGP's
    std::map<std::pair<IpAddress, InterfaceId>, Tracked> tracked;
    std::unique_ptr<TrackedFilter> filter;  // there once something was tracked
    std::array<std::array<std::vector<ClientId>, kSources>, 2> subscribers;
    std::map<IpPrefix, std::vector<ClientId>> watched;
};

// The longest prefix that holds `address` and whose slot `accept(prefix, slot)`s. That may be asked of more than one.
template <class Accept>
std::optional<IpPrefix> Tables::longest_match(const Vrf& v, const IpAddress& address, Accept&& accept) const
{
    const auto kept = v.slots.longest_match(address, accept);
    const NumberedRoutes& numbered = v.numbered[at(address.family)];
    if (numbered.size() == 0) return kept;
    const int shortest = kept ? kept->length + 1 : 0;
    for (int length = max_length(address.family) - 1; length >= shortest; --length) {
        if (!v.numbering->any_of_length(address.family, static_cast<std::uint8_t>(length))) continue;
        const auto prefix = IpPrefix::make(address, length);
        const auto* entry = numbered.find(v.numbering->number(prefix));
        if (entry != nullptr && accept(prefix, interner_->slot_of(*entry))) return prefix;
    }
    return kept;
}

}  // namespace culvert::route
