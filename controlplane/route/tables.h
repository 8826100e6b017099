#pragma once

#include "base/ids.h"
#include "base/ip.h"
#include "base/time.h"
#include "controlplane/route/numbering.h"
#include "controlplane/route/prefix_map.h"
#include "controlplane/route/route.h"

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <tuple>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <variant>
#include <vector>

namespace culvert::route {

// Where packets go, without what brought us to send them there: routes that differ only in metric or tag share one.
struct NexthopSet {
    std::vector<Nexthop> nexthops;  // as Route's
    std::vector<Nexthop> backup;
    friend bool operator==(const NexthopSet&, const NexthopSet&) = default;
};

enum class NexthopSetId : std::uint32_t {};  // an interned NexthopSet
enum class RouteHandle : std::uint32_t {};   // an interned Route; what a million BGP prefixes share
enum class ClientId : std::uint8_t {};       // someone who is told of changes
inline constexpr NexthopSetId kNoSet{0};
inline constexpr RouteHandle kNoRoute{0};

// A prefix whose best route is not the one that was taken by next_change() last. kNoSet: no route.
struct Change {
    VrfId vrf{kDefaultVrf};
    IpPrefix prefix{};
    NexthopSetId before{kNoSet};
    NexthopSetId after{kNoSet};
};

// What an address is reached by. `reachable` false: `reason` says why, the rest is of no use.
struct Resolution {
    bool reachable = false;
    bool direct = false;      // on the link of an interface (or a WireGuard peer's), no other router in between
    bool down = false;        // there is a way, but whoever watches it says that it has failed: set_gateway_down()
    const char* reason = "";  // a literal
    IpPrefix prefix{};        // the route that resolves it
    Source source = Source::Connected;
    std::uint8_t distance = 0;
    std::uint32_t metric = 0;       // of that route: BGP's IGP metric
    NexthopSetId set{kNoSet};       // of that route; kNoSet for a link-local address
    std::uint8_t recursion = 0;     // 0: direct, 1: through a route whose next hops are direct, ...
    std::vector<Nexthop> nexthops;  // at the end of the recursion: each on an interface, or blackhole, reject
    friend bool operator==(const Resolution& a, const Resolution& b);
};

// `address` of `vrf` (a link-local one: of `interface`) is now reached as `resolution` says.
struct TrackingEvent {
    VrfId vrf{kDefaultVrf};
    IpAddress address{};
    InterfaceId interface {
        kNoInterface
    };
    bool connected_only = false;
    Resolution resolution;
};
// A best route of a subscribed source came, changed or went.
struct RedistributeEvent {
    VrfId vrf{kDefaultVrf};
    Source source = Source::Connected;
    IpPrefix prefix{};
    bool present = false;
    std::uint32_t metric = 0;
    std::uint32_t tag = 0;
    std::vector<Nexthop> nexthops;
};
// A watched prefix got its first route that is not BGP's, or lost the last.
struct PresenceEvent {
    VrfId vrf{kDefaultVrf};
    IpPrefix prefix{};
    bool present = false;
    std::uint32_t metric = 0;
};
using Event = std::variant<TrackingEvent, RedistributeEvent, PresenceEvent>;

// One route of a prefix, as `show ip route` prints it.
struct RouteView {
    Source source = Source::Static;
    std::uint8_t distance = 0;
    std::uint32_t metric = 0;
    std::uint32_t tag = 0;
    const NexthopSet* set = nullptr;
    bool selected = false;  // the best: it goes to the forwarding table
    bool queued = false;    // selected, but next_change() has not given it out yet
};
struct EntryView {
    IpPrefix prefix{};
    std::chrono::seconds since{};   // TimePoint of the last change of the best route, in seconds
    std::vector<RouteView> routes;  // best first
};

// The route table of every VRF: for each prefix the routes of all sources, the best of them by distance, then Source.
// Everything is on the control thread. Nothing happens by itself: changes queue up and are taken out in slices.
//
// Made for a full BGP table. A source that numbers its prefixes (numbering.h) is asked for them: what is kept here of
// such a prefix is 8 octets, found without a search, as long as no other source has a route for it. All others are kept
// by prefix: 17 octets of IPv4 or 29 of IPv6 and the slack of their chunk. So are those of a single address, because
// neighbours' host routes are weighed against them (installed()). Changes of a prefix that wait are one, but those of a
// numbered one wait one behind the other.
//
// Next-hop tracking is FRR's: an address resolves through the longest match that is not the default route (unless told
// so) and not a route through the address itself; recursion ends at an interface after at most kMaxRecursion steps.
// An address is looked at again only when the best route of a prefix that holds it changed, or an address that it
// resolves through did; a change of any other prefix costs one search in the sorted set of tracked addresses.
class Tables {
public:
    static constexpr std::uint8_t kMaxRecursion = 2;  // group, via group, via group, adjacency

    Tables();
    ~Tables();
    Tables(const Tables&) = delete;
    Tables& operator=(const Tables&) = delete;

    // What `since` of routes that change from here on will say. Any granularity below a second will do.
    void advance(TimePoint now) noexcept;

    // ---- routes ----

    // The word of route.source on `prefix`, in place of its last one. Distance 255 is kept but never selected.
    void set(VrfId vrf, const IpPrefix& prefix, const Route& route);
    void remove(VrfId vrf, const IpPrefix& prefix, Source source);
    // The same without hashing a Route for each prefix: acquire() once, set() as often as wanted, release() once.
    RouteHandle acquire(const Route& route);
    void release(RouteHandle handle);
    void set(VrfId vrf, const IpPrefix& prefix, RouteHandle handle);
    // The same of the source whose numbering the VRF has; `number` is the prefix's there.
    void set(VrfId vrf, const IpPrefix& prefix, RouteHandle handle, std::uint32_t number);
    void remove(VrfId vrf, const IpPrefix& prefix, Source source, std::uint32_t number);
    // False: the VRF has another one, and this source says 0 for a number. nullptr: from here on there is none;
    // precondition: no numbered route is left.
    bool set_numbering(VrfId vrf, const Numbering* numbering);
    // Removes every route of a VRF, of all sources.
    void clear(VrfId vrf);
    void set_resolve_via_default(bool on);  // `ip nht resolve-via-default`

    // ---- to the forwarding table ----

    // Takes out one changed prefix, oldest first; several changes of one prefix are one, and when they amount to none
    // `before` equals `after`. False: none waits. Both sets live at least until the next call; hold() keeps them (and
    // their ids) for longer.
    bool next_change(Change& change);
    std::size_t changes_waiting() const noexcept { return changed_.size(); }
    const NexthopSet& nexthop_set(NexthopSetId id) const;
    NexthopSetId intern(const NexthopSet& set);  // held once for the caller
    void hold(NexthopSetId id);
    void drop(NexthopSetId id);

    // ---- clients: next-hop tracking, redistribution, presence ----

    ClientId add_client();
    // Each track() wants its own untrack(). The first word comes as an event, as do all changes. `connected_only`:
    // reachable only when direct (eBGP without multihop). `interface` is for link-local addresses.
    void track(ClientId client, VrfId vrf, const IpAddress& address, bool connected_only = false,
               InterfaceId interface = kNoInterface);
    void untrack(ClientId client, VrfId vrf, const IpAddress& address, bool connected_only = false,
                 InterfaceId interface = kNoInterface);
    // Current routes come as events at once, changes as they happen.
    void redistribute(ClientId client, VrfId vrf, Family family, Source source);
    void stop_redistribute(ClientId client, VrfId vrf, Family family, Source source);
    // `network` with `bgp network import-check`: is there a route of this very prefix that BGP did not bring?
    void watch_prefix(ClientId client, VrfId vrf, const IpPrefix& prefix);
    void unwatch_prefix(ClientId client, VrfId vrf, const IpPrefix& prefix);

    // The newest word on a tracked address; nullptr if nobody tracks it. Its `set` lives until the next settle().
    const Resolution* resolution(VrfId vrf, const IpAddress& address, InterfaceId interface = kNoInterface) const;

    // Looks at up to `budget` tracked addresses that may have changed. True: there are more.
    bool settle(std::size_t budget = 512);
    bool unsettled() const noexcept { return !dirty_.empty(); }
    // The client's next event. False: none waits. Clients drain until false after settle().
    bool next_event(ClientId client, Event& event);
    bool has_event(ClientId client) const noexcept;

    // ---- interfaces, for those that resolve on a link (called by Interfaces) ----

    void set_link(InterfaceId interface, VrfId vrf, bool up);
    void remove_link(InterfaceId interface);
    bool link_up(InterfaceId interface) const noexcept;

    // ---- failures ----

    // The gateway on the link of `interface`, or wherever `address` of the VRF is (kNoInterface), has failed although
    // its route and link are there: BFD says so, or it no longer answers. `reason` is a literal; nullptr: it is back.
    void set_gateway_down(VrfId vrf, InterfaceId interface, const IpAddress& address, const char* reason);
    // Why it is down; nullptr: it isn't. With an interface the VRF does not matter.
    const char* gateway_down(VrfId vrf, InterfaceId interface, const IpAddress& address) const noexcept;

    // ---- questions ----

    struct LookupOptions {
        bool exclude_bgp = false;
        bool exclude_default = false;
    };
    // The best route of the longest prefix that holds `address`.
    std::optional<EntryView> lookup(VrfId vrf, const IpAddress& address, LookupOptions options) const;
    std::optional<EntryView> lookup(VrfId vrf, const IpAddress& address) const { return lookup(vrf, address, {}); }
    std::optional<EntryView> find(VrfId vrf, const IpPrefix& prefix) const;
    // What next_change() gave out last for the address alone: what is being forwarded by.
    NexthopSetId installed(VrfId vrf, const IpAddress& address) const;
    // Tracked addresses in order: `show ip nht`.
    void walk_tracked(VrfId vrf, const std::function<void(const TrackingEvent&)>& f) const;
    // What an address resolves to now, tracked or not. Not for hot paths.
    Resolution resolve(VrfId vrf, const IpAddress& address, InterfaceId interface = kNoInterface);

    std::size_t prefixes(VrfId vrf, Family family) const noexcept;
    std::size_t routes(VrfId vrf, Family family, Source source) const noexcept;
    std::size_t octets() const noexcept;  // of the prefix tables

private:
    friend class TableWalk;
    struct Slot;
    struct Vrf;
    struct Tracked;
    struct Interner;
    struct Registration;

    Vrf& vrf(VrfId id);
    const Vrf* vrf_if(VrfId id) const noexcept;
    void best_changed(Vrf& v, const IpPrefix& prefix, Slot& slot, RouteHandle before, RouteHandle after);
    void presence_changed(Vrf& v, const IpPrefix& prefix, bool present, std::uint32_t metric);
    void tell_redistribution(const Vrf& v, const IpPrefix& prefix, RouteHandle before, RouteHandle after);
    void numbered_changed(Vrf& v, const IpPrefix& prefix, std::uint32_t number, RouteHandle old, RouteHandle fresh);
    void adopt_numbered(Vrf& v, const IpPrefix& prefix, Slot& slot);
    std::optional<Slot> slot(const Vrf& v, const IpPrefix& prefix) const;
    template <class Accept>
    std::optional<IpPrefix> longest_match(const Vrf& v, const IpAddress& address, Accept&& accept) const;
    EntryView view(const IpPrefix& prefix, const Slot& slot) const;
    void erase_if_idle(Vrf& v, const IpPrefix& prefix, const Slot& slot);

    Tracked& tracked(VrfId vrf, const IpAddress& address, InterfaceId interface);
    void mark(Tracked& t);
    void mark_covered(Vrf& v, const IpPrefix& prefix);
    void mark_all();
    void evaluate(Tracked& t, unsigned depth);
    Resolution compute(Tracked& t, unsigned depth, std::vector<Tracked*>& inputs);
    void tell(Tracked& t, bool changed);
    void let_go(Tracked& t);

    // Of a numbered prefix with all that is to be said; else what is to be said is found out when it is said.
    struct Pending {
        VrfId vrf;
        std::uint32_t number;  // 0: none
        IpPrefix prefix;
        NexthopSetId before{kNoSet}, after{kNoSet};
    };
    struct Link {
        VrfId vrf;
        bool up;
    };

    std::unique_ptr<Interner> interner_;
    std::vector<std::unique_ptr<Vrf>> vrfs_;
    std::deque<Pending> changed_;
    NexthopSetId given_before_{kNoSet}, given_after_{kNoSet};  // kept for the caller of next_change()
    std::vector<std::deque<Event>> clients_;
    std::map<InterfaceId, Link> links_;
    // (kDefaultVrf, interface, address) or (VRF, kNoInterface, address)
    std::map<std::tuple<VrfId, InterfaceId, IpAddress>, const char*> down_;
    std::deque<Tracked*> dirty_;
    std::uint32_t now_ = 0;  // seconds
    bool resolve_via_default_ = false;
};

}  // namespace culvert::route
