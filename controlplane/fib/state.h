#pragma once

#include "base/check.h"
#include "controlplane/fib/programmer.h"

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <utility>
#include <vector>

// The inside of a Programmer: next hops, the groups that have them as members, and the prefixes that point to groups,
// each counted by reference; neighbours and peers, which say where next hops lead; and what waits for the dataplane's
// word to be gone.
namespace culvert::fibprog {

// A prefix's group may hold gateways that are two recursions away; a group that is the target of a `Via` one less, so
// that no packet walks over more than three groups (api: depth at most 3).
inline constexpr std::uint8_t kPrefixLimit = route::Tables::kMaxRecursion;

// What a next hop of the route table is one object for. Unused parts are zero.
struct HopKey {
    route::NexthopType type = route::NexthopType::Reject;
    VrfId vrf{kDefaultVrf};  // Gateway without interface, Host
    InterfaceId interface {
        kNoInterface
    };
    IpAddress address{};  // Gateway
    bool itself = false;  // Gateway
    friend auto operator<=>(const HopKey&, const HopKey&) = default;

    static HopKey of(const route::Nexthop& n) noexcept
    {
        HopKey key{n.type};
        key.itself = n.itself;
        const bool on_interface = n.type == route::NexthopType::Attached || n.type == route::NexthopType::Gateway;
        if (on_interface) key.interface = n.interface;
        if (n.type == route::NexthopType::Gateway) key.address = n.gateway;
        if (n.type == route::NexthopType::Host ||
            (n.type == route::NexthopType::Gateway && n.interface == kNoInterface))
            key.vrf = n.vrf;
        return key;
    }
    bool tracked() const noexcept { return type == route::NexthopType::Gateway && interface == kNoInterface; }
};

struct GroupKey {
    route::NexthopSetId set{};
    std::uint8_t limit = kPrefixLimit;  // members at most so many recursions away
    friend auto operator<=>(const GroupKey&, const GroupKey&) = default;
};

struct Member {
    NexthopId nexthop;
    std::uint16_t weight;
    friend bool operator==(const Member&, const Member&) = default;
};

using OnLink = std::pair<InterfaceId, IpAddress>;

// Where a neighbour's address is routed.
VrfId vrf_of(const InterfaceSpec& interface, const IpAddress& neighbor) noexcept;

struct Programmer::State {
    struct Group;
    struct Hop {
        HopKey key;
        NexthopId id{kNoNexthop};
        std::uint32_t refs = 0;
        std::uint32_t holds = 0;       // of refs, those of hold_gateway()
        std::uint32_t retirement = 0;  // the newest; older entries of retiring_ are void
        bool pushed = false;
        bool usable = false;
        bool down = false;    // usable, but whoever watches it says that it has failed
        bool failed = false;  // at least once: what returns to it does so at a pace
        std::uint8_t recursion = 0;
        const char* reason = "not resolved yet";
        api::SetNexthop word{};      // as pushed last
        Group* via = nullptr;        // holds a reference
        std::optional<OnLink> link;  // its place in by_link_
        std::set<Group*> groups;     // those that may have it as a member
    };
    struct Group {
        GroupKey key;
        GroupId id{kNoGroup};
        std::uint32_t refs = 0;
        std::uint32_t retirement = 0;
        std::vector<std::pair<Hop*, std::uint16_t>> hops;  // all of the set, with weights; holds references
        Group* backup = nullptr;      // holds a reference; shared with routes that have just its next hops
        std::set<Group*> fronts;      // whose backup this is
        std::vector<Member> members;  // as pushed last
        GroupId pushed_backup{kNoGroup};
        bool leads_somewhere = false;  // has a member that is usable and not down
    };
    struct SetUse {
        Group* group = nullptr;
        std::uint32_t prefixes = 0;
    };
    struct Neighbor {
        MacAddress mac{};
        VrfId vrf{};
        bool tracked = false;
        route::NexthopSetId set{route::kNoSet};  // its host route's; kNoSet: has none
    };
    struct Peer {
        api::SetPeer word{};
        std::set<IpPrefix> allowed;
        route::PrefixMap<std::uint32_t> sources;  // references
    };
    // An address that nobody has.
    struct Broadcast {
        std::uint32_t subnets = 0;
        route::NexthopSetId set{route::kNoSet};
    };
    struct HostKey {
        VrfId vrf;
        IpPrefix prefix;
        friend auto operator<=>(const HostKey&, const HostKey&) = default;
    };

    enum class Kind : std::uint8_t { Nexthop, Group, Interface, Peer, Vrf };
    struct Object {
        Kind kind;
        std::uint32_t id;
        friend auto operator<=>(const Object&, const Object&) = default;
    };
    // Nothing refers to it any more since the batch `generation`.
    struct Retiring {
        std::uint64_t generation;
        Object object;
        std::uint32_t retirement;
    };
    struct Freeing {
        std::uint64_t generation;
        Object object;
    };
    struct Releasing {
        std::uint64_t generation;
        Release release;
    };
    static constexpr std::uint64_t kOpen = ~std::uint64_t{0};  // the batch is not committed yet

    State(Sink& s, route::Tables& t) : sink(s), tables(t), client(t.add_client())
    {
        hops.resize(1);
        groups.resize(1);
        reject = acquire(HopKey{route::NexthopType::Reject});  // stands in where a group has no usable member
    }

    // ---- updates ----

    template <class Update>
    void push(const Update& update)
    {
        sink.push(update);
        pushed_any = true;
        ++updates;
    }

    template <class T>
    static std::uint32_t allocate(std::vector<T>& from, std::vector<std::uint32_t>& free_ids)
    {
        if (free_ids.empty()) {
            from.emplace_back();
            return static_cast<std::uint32_t>(from.size() - 1);
        }
        const std::uint32_t id = free_ids.back();
        free_ids.pop_back();
        return id;
    }

    void retire(Object object, std::uint32_t retirement) { retiring.push_back({kOpen, object, retirement}); }

    // ---- next hops (nexthops.cc) ----

    Hop* acquire(const HopKey& key);
    void release(Hop* hop);
    void set_link(Hop& hop, std::optional<OnLink> link);

    // `word` for an address on the link of an interface.
    void on_interface(Hop& hop, InterfaceId id, const IpAddress& address, api::SetNexthop& word);

    // Works out what a next hop is now, and tells the dataplane and the groups it is in if that is news.
    void update(Hop& hop);

    // Of a next hop that goes with its last route and is made anew when the route comes back. The oldest are forgotten.
    void remember_failure(const HopKey& key);
    void update_link(const OnLink& link);
    void update_gateway(const Gateway& gateway);
    void update_interface(InterfaceId id);
    void update_within(InterfaceId id, const IpPrefix& prefix);

    // ---- groups (groups.cc) ----

    // `like`: whose buckets a new group begins with.
    Group* acquire(const GroupKey& key, const Group* like = nullptr);
    void release(Group* group);

    // What the group's own next hops give: those that are good, or those that merely are not known to be useless.
    static std::vector<Member> members_of(const Group& group, bool down_too);

    // A group has the good ones of its next hops, else those of its backup, else whatever is left.
    void regroup(Group& group, const Group* like = nullptr);

    // ---- prefixes (programmer.cc) ----

    Group* use(route::NexthopSetId set, const Group* like = nullptr);
    void unuse(route::NexthopSetId set);
    void program(const route::Change& change);

    // ---- neighbours (neighbors.cc) ----

    // The group of an address that the route table has no route for: a neighbour's, or nobody's.
    const Group* host_route(VrfId vrf, const IpPrefix& prefix) const;
    // Says it anew to the dataplane, unless the route table has the say.
    void push_host_route(VrfId vrf, const IpPrefix& host);

    // A resolved neighbour has a host route while the longest match of its address is the subnet it is in. A route of
    // the table's for that very address is the stronger one.
    void judge_host_route(const OnLink& link, Neighbor& n);
    void track_neighbor(const OnLink& link, Neighbor& n);
    void forget_neighbor(std::map<OnLink, Neighbor>::iterator it);

    // The subnets of an interface that is up came (+1) or went (-1).
    void count_broadcasts(const InterfaceSpec& interface, int change);

    // Does a route have it as its gateway, other than its own host route?
    bool in_use(const OnLink& link) const;
    void raise_uses();

    // ---- WireGuard (peers.cc) ----

    PeerId peer_of(InterfaceId interface, const IpAddress& address) const;
    void count_source(PeerId id, Peer& peer, const IpPrefix& prefix, int change);
    void disallow(PeerId id, Peer& peer, const IpPrefix& prefix);

    // A removed peer may have had a million sources.
    void drop_orphans(std::size_t budget);

    // ---- the end of things (retirement.cc) ----

    bool referenced(Object object) const;

    // Interfaces, peers and VRFs that were removed go once no next hop names them.
    void look_after_removed();
    void erase(const Retiring& r);
    void free(const Object& object);
    void commit();

    // ---- path MTUs (path_mtu.cc) ----

    WayTo way_to(VrfId vrf, const IpAddress& address) const;
    void raise_path_mtus();

    Sink& sink;
    route::Tables& tables;
    route::ClientId client;
    std::vector<std::unique_ptr<Hop>> hops;      // by NexthopId
    std::vector<std::unique_ptr<Group>> groups;  // by GroupId
    std::map<HopKey, NexthopId> hop_ids;
    std::map<GroupKey, GroupId> group_ids;
    std::vector<std::uint32_t> free_hops, free_groups;
    std::size_t live_hops = 0, live_groups = 0;
    Hop* reject = nullptr;
    std::vector<SetUse> uses;                  // by NexthopSetId
    std::map<OnLink, std::set<Hop*>> by_link;  // Attached ones under the zero address

    std::map<InterfaceId, InterfaceSpec> interfaces;
    std::map<OnLink, Neighbor> neighbors;  // resolved ones
    std::set<OnLink> lost_neighbors;
    std::map<Gateway, BfdSessionId> sessions;
    std::set<HopKey> failed_gateways;
    std::deque<HopKey> failures_in_order;
    std::map<HostKey, OnLink> host_routes;
    std::map<HostKey, Broadcast> broadcasts;
    std::set<OnLink> used, use_touched;
    std::map<PeerId, Peer> peers;
    std::deque<std::pair<PeerId, route::PrefixMap<std::uint32_t>>> orphans;  // sources of peers that were removed
    std::map<InterfaceId, route::PrefixMap<PeerId>> allowed;
    std::set<VrfId> vrfs;
    struct Watched {
        std::size_t watchers = 0;
        std::optional<WayTo> last;
    };
    std::map<std::pair<VrfId, IpAddress>, Watched> watched_mtus;
    bool mtus_stale = false;

    std::set<Object> removed;
    std::deque<Retiring> retiring;
    std::deque<Freeing> freeing;
    std::deque<Releasing> releasing;
    std::deque<Event> events;
    bool pushed_any = false;
    std::uint64_t updates = 0;
};

}  // namespace culvert::fibprog
