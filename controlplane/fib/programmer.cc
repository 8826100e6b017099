#include "controlplane/fib/programmer.h"

#include "base/check.h"
#include "dataplane/api/link_scope.h"

#include <algorithm>
#include <deque>
#include <tuple>

namespace culvert::fibprog {

using api::InterfaceKind;
using api::NexthopKind;
using route::NexthopSet;
using route::NexthopSetId;
using route::NexthopType;

namespace {

// A prefix's group may hold gateways that are two recursions away; a group that is the target of a `Via` one less, so
// that no packet walks over more than three groups (api: depth at most 3).
constexpr std::uint8_t kPrefixLimit = route::Tables::kMaxRecursion;
constexpr std::size_t kMaxMembers = 64;
constexpr std::size_t kBacklogHigh = 1 << 17;
constexpr std::size_t kRememberedFailures = 4096;

bool same(const api::SetNexthop& a, const api::SetNexthop& b) noexcept
{
    return a.id == b.id && a.kind == b.kind && a.resolved == b.resolved && a.interface == b.interface &&
           a.vrf == b.vrf && a.via == b.via && a.peer == b.peer && a.mtu == b.mtu && a.gateway == b.gateway &&
           a.mac == b.mac && a.session == b.session && a.lost == b.lost;
}

bool same(const api::SetPeer& a, const api::SetPeer& b) noexcept
{
    return a.id == b.id && a.interface == b.interface && a.endpoint == b.endpoint;
}

// What a next hop of the route table is one object for. Unused parts are zero.
struct HopKey {
    NexthopType type = NexthopType::Reject;
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
        const bool on_interface = n.type == NexthopType::Attached || n.type == NexthopType::Gateway;
        if (on_interface) key.interface = n.interface;
        if (n.type == NexthopType::Gateway) key.address = n.gateway;
        if (n.type == NexthopType::Host || (n.type == NexthopType::Gateway && n.interface == kNoInterface))
            key.vrf = n.vrf;
        return key;
    }
    bool tracked() const noexcept { return type == NexthopType::Gateway && interface == kNoInterface; }
};

struct GroupKey {
    NexthopSetId set{};
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
VrfId vrf_of(const InterfaceSpec& interface, const IpAddress& neighbor) noexcept
{
    return neighbor.is_v6() && neighbor.is_link_local() ? api::link_vrf(interface.id) : interface.vrf;
}

}  // namespace

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
        NexthopSetId set{route::kNoSet};  // its host route's; kNoSet: has none
    };
    struct Peer {
        api::SetPeer word{};
        std::set<IpPrefix> allowed;
        route::PrefixMap<std::uint32_t> sources;  // references
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
        reject = acquire(HopKey{NexthopType::Reject});  // stands in where a group has no usable member
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

    // ---- next hops ----

    Hop* acquire(const HopKey& key)
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

    void release(Hop* hop)
    {
        CULVERT_CHECK(hop->refs > 0);
        if (--hop->refs == 0) retire({Kind::Nexthop, index(hop->id)}, ++hop->retirement);
    }

    void set_link(Hop& hop, std::optional<OnLink> link)
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

    // `word` for an address on the link of an interface.
    void on_interface(Hop& hop, InterfaceId id, const IpAddress& address, api::SetNexthop& word)
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

    // Works out what a next hop is now, and tells the dataplane and the groups it is in if that is news.
    void update(Hop& hop)
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

    // Of a next hop that goes with its last route and is made anew when the route comes back. The oldest are forgotten.
    void remember_failure(const HopKey& key)
    {
        if (!failed_gateways.insert(key).second) return;
        failures_in_order.push_back(key);
        if (failures_in_order.size() <= kRememberedFailures) return;
        failed_gateways.erase(failures_in_order.front());
        failures_in_order.pop_front();
    }

    void update_link(const OnLink& link)
    {
        const auto it = by_link.find(link);
        if (it == by_link.end()) return;
        const std::vector<Hop*> here(it->second.begin(), it->second.end());
        for (Hop* hop : here) update(*hop);
    }

    void update_gateway(const Gateway& gateway)
    {
        if (gateway.interface != kNoInterface) {
            update_link({gateway.interface, gateway.address});
            return;
        }
        const auto hop = hop_ids.find(HopKey{NexthopType::Gateway, gateway.vrf, kNoInterface, gateway.address});
        if (hop != hop_ids.end()) update(*hops[index(hop->second)]);
    }

    void update_interface(InterfaceId id)
    {
        std::vector<Hop*> here;
        for (auto it = by_link.lower_bound({id, IpAddress{}}); it != by_link.end() && it->first.first == id; ++it)
            here.insert(here.end(), it->second.begin(), it->second.end());
        for (Hop* hop : here) update(*hop);
    }

    void update_within(InterfaceId id, const IpPrefix& prefix)
    {
        std::vector<Hop*> here;
        for (auto it = by_link.lower_bound({id, prefix.address});
             it != by_link.end() && it->first.first == id && prefix.contains(it->first.second); ++it)
            here.insert(here.end(), it->second.begin(), it->second.end());
        for (Hop* hop : here) update(*hop);
    }

    // ---- groups ----

    // `like`: whose buckets a new group begins with.
    Group* acquire(const GroupKey& key, const Group* like = nullptr)
    {
        if (const auto it = group_ids.find(key); it != group_ids.end()) {
            Group* group = groups[index(it->second)].get();
            ++group->refs;
            return group;
        }
        const GroupId id{allocate(groups, free_groups)};
        groups[index(id)] = std::make_unique<Group>();
        Group* group = groups[index(id)].get();
        group->key = key;
        group->id = id;
        group->refs = 1;
        group_ids[key] = id;
        ++live_groups;
        tables.hold(key.set);
        const NexthopSet set = tables.nexthop_set(key.set);
        if (!set.backup.empty()) {
            const NexthopSetId backup = tables.intern({set.backup, {}});
            group->backup = acquire(GroupKey{backup, key.limit});
            group->backup->fronts.insert(group);
            tables.drop(backup);
        }
        for (const route::Nexthop& n : set.nexthops) {
            Hop* hop = acquire(HopKey::of(n));
            group->hops.emplace_back(hop, std::max<std::uint16_t>(n.weight, 1));
            hop->groups.insert(group);
            if (hop->link) use_touched.insert(*hop->link);
        }
        regroup(*group, like);
        return group;
    }

    void release(Group* group)
    {
        CULVERT_CHECK(group->refs > 0);
        if (--group->refs > 0) return;
        retire({Kind::Group, index(group->id)}, ++group->retirement);
        for (const auto& [hop, weight] : group->hops)
            if (hop->link) use_touched.insert(*hop->link);
    }

    // What the group's own next hops give: those that are good, or those that merely are not known to be useless.
    static std::vector<Member> members_of(const Group& group, bool down_too)
    {
        std::vector<Member> members;
        for (const auto& [hop, weight] : group.hops)
            if (hop->usable && (down_too || !hop->down) && hop->recursion <= group.key.limit &&
                members.size() < kMaxMembers)
                members.push_back({hop->id, weight});
        return members;
    }

    // A group has the good ones of its next hops, else those of its backup, else whatever is left.
    void regroup(Group& group, const Group* like = nullptr)
    {
        std::vector<Member> members = members_of(group, false);
        const bool leads = !members.empty();
        if (!leads && group.backup != nullptr) members = members_of(*group.backup, false);
        if (members.empty()) members = members_of(group, true);
        if (members.empty()) members.push_back({reject->id, 1});
        // A backup that leads nowhere would reject what an outer group may still have another way for.
        const GroupId backup =
            leads && group.backup != nullptr && group.backup->leads_somewhere ? group.backup->id : kNoGroup;
        const bool turned = std::exchange(group.leads_somewhere, leads) != leads;
        if (members != group.members || backup != group.pushed_backup) {
            const auto returns = [&](const Member& m) {
                const auto& before = like != nullptr ? like->members : group.members;
                return hops[index(m.nexthop)]->failed &&
                       std::none_of(before.begin(), before.end(),
                                    [&](const Member& old) { return old.nexthop == m.nexthop; });
            };
            api::SetGroup word{group.id, static_cast<std::uint16_t>(members.size()), backup};
            word.like = like != nullptr ? like->id : kNoGroup;
            word.gradual = std::any_of(members.begin(), members.end(), returns);
            group.members = std::move(members);
            group.pushed_backup = backup;
            push(word);
            for (std::uint16_t i = 0; i < group.members.size(); ++i)
                push(api::SetGroupMember{group.id, i, group.members[i].weight, group.members[i].nexthop});
        }
        // Those in front have this one's members in place of their own, or know it as a backup of use.
        const std::vector<Group*> fronts(group.fronts.begin(), group.fronts.end());
        for (Group* front : fronts)
            if (turned || !front->leads_somewhere) regroup(*front);
    }

    // ---- prefixes ----

    Group* use(NexthopSetId set, const Group* like = nullptr)
    {
        if (index(set) >= uses.size()) uses.resize(std::max<std::size_t>(index(set) + 1, uses.size() * 2));
        if (uses[index(set)].prefixes++ == 0) {
            tables.hold(set);
            Group* group = acquire(GroupKey{set}, like);
            uses[index(set)].group = group;
        }
        return uses[index(set)].group;
    }

    void unuse(NexthopSetId set)
    {
        SetUse& u = uses[index(set)];
        CULVERT_CHECK(u.prefixes > 0);
        if (--u.prefixes > 0) return;
        release(std::exchange(u.group, nullptr));
        tables.drop(set);
    }

    void program(const route::Change& change)
    {
        if (change.before == change.after) return;
        if (change.after != route::kNoSet) {
            const Group* like = index(change.before) < uses.size() ? uses[index(change.before)].group : nullptr;
            push(api::SetRoute{change.vrf, change.prefix, use(change.after, like)->id});
        } else if (const Neighbor* host = host_route(change.vrf, change.prefix); host != nullptr) {
            push(api::SetRoute{change.vrf, change.prefix, uses[index(host->set)].group->id});
        } else {
            push(api::DeleteRoute{change.vrf, change.prefix});
        }
        if (change.before != route::kNoSet) unuse(change.before);
    }

    // ---- neighbours ----

    const Neighbor* host_route(VrfId vrf, const IpPrefix& prefix) const
    {
        if (!prefix.is_host()) return nullptr;
        const auto it = host_routes.find({vrf, prefix});
        return it == host_routes.end() ? nullptr : &neighbors.at(it->second);
    }

    // A resolved neighbour has a host route while the longest match of its address is the subnet it is in. A route of
    // the table's for that very address is the stronger one.
    void judge_host_route(const OnLink& link, Neighbor& n)
    {
        const auto [interface, address] = link;
        const auto it = interfaces.find(interface);
        bool wanted = false;
        if (n.tracked && it != interfaces.end() && it->second.up && vrf_of(it->second, address) == n.vrf) {
            const route::Resolution* r = tables.resolution(n.vrf, address);
            wanted = r != nullptr && r->reachable && r->direct && r->source == route::Source::Connected &&
                     std::any_of(r->nexthops.begin(), r->nexthops.end(),
                                 [&](const auto& hop) { return hop.interface == interface; });
        }
        const IpPrefix host = IpPrefix::host(address);
        const HostKey key{n.vrf, host};
        if (wanted == (n.set != route::kNoSet)) return;
        const bool ours = tables.installed(n.vrf, host) == route::kNoSet;
        if (wanted) {
            if (host_routes.contains(key)) return;  // the same subnet on another interface was first
            n.set = tables.intern({{{NexthopType::Gateway, interface, kDefaultVrf, address, 1, true}}, {}});
            host_routes[key] = link;
            const Group* group = use(n.set);
            if (ours) push(api::SetRoute{n.vrf, host, group->id});
        } else {
            host_routes.erase(key);
            if (ours) push(api::DeleteRoute{n.vrf, host});
            const NexthopSetId set = std::exchange(n.set, route::kNoSet);
            unuse(set);
            tables.drop(set);
        }
    }

    void track_neighbor(const OnLink& link, Neighbor& n)
    {
        const auto it = interfaces.find(link.first);
        const bool wanted = it != interfaces.end();
        if (n.tracked && (!wanted || vrf_of(it->second, link.second) != n.vrf)) {
            n.tracked = false;
            judge_host_route(link, n);
            tables.untrack(client, n.vrf, link.second);
        }
        if (wanted && !n.tracked) {
            n.vrf = vrf_of(it->second, link.second);
            n.tracked = true;
            tables.track(client, n.vrf, link.second);
            tables.resolve(n.vrf, link.second);
        }
        judge_host_route(link, n);
    }

    void forget_neighbor(std::map<OnLink, Neighbor>::iterator it)
    {
        Neighbor& n = it->second;
        if (n.tracked) {
            n.tracked = false;
            judge_host_route(it->first, n);
            tables.untrack(client, n.vrf, it->first.second);
        }
        const OnLink link = it->first;
        neighbors.erase(it);
        update_link(link);
    }

    // Does a route have it as its gateway, other than its own host route?
    bool in_use(const OnLink& link) const
    {
        const auto it = by_link.find(link);
        if (it == by_link.end()) return false;
        const auto interface = interfaces.find(link.first);
        if (interface == interfaces.end() || interface->second.kind != InterfaceKind::Port || !interface->second.up)
            return false;
        const auto neighbor = neighbors.find(link);
        const NexthopSetId own = neighbor == neighbors.end() ? route::kNoSet : neighbor->second.set;
        for (const Hop* hop : it->second) {
            if (hop->key.type != NexthopType::Gateway || hop->refs == 0) continue;
            if (hop->holds > 0) return true;
            for (const Group* group : hop->groups) {
                const std::uint32_t by_host_route =
                    own != route::kNoSet && group->key == GroupKey{own} && uses[index(own)].prefixes == 1 ? 1 : 0;
                if (group->refs > by_host_route) return true;
            }
        }
        return false;
    }

    void raise_uses()
    {
        for (const OnLink& link : std::exchange(use_touched, {})) {
            if (link.second == IpAddress{}) continue;
            const bool now = in_use(link);
            if (now == used.contains(link)) continue;
            if (now)
                used.insert(link);
            else
                used.erase(link);
            events.push_back(NeighborUse{link.first, link.second, now});
        }
    }

    // ---- WireGuard ----

    PeerId peer_of(InterfaceId interface, const IpAddress& address) const
    {
        const auto it = allowed.find(interface);
        if (it == allowed.end()) return kNoPeer;
        const auto prefix = it->second.longest_match(address, [](const IpPrefix&, PeerId) { return true; });
        return prefix ? *it->second.find(*prefix) : kNoPeer;
    }

    void count_source(PeerId id, Peer& peer, const IpPrefix& prefix, int change)
    {
        if (change > 0) {
            const auto [count, fresh] = peer.sources.insert(prefix, 0);
            *count += static_cast<std::uint32_t>(change);
            if (fresh) push(api::AddPeerSource{id, prefix});
            return;
        }
        std::uint32_t* count = peer.sources.find(prefix);
        const auto less = static_cast<std::uint32_t>(-change);
        CULVERT_CHECK(less == 0 || (count != nullptr && *count >= less));
        if (less == 0 || (*count -= less) > 0) return;
        peer.sources.erase(prefix);
        push(api::DeletePeerSource{id, prefix});
    }

    void disallow(PeerId id, Peer& peer, const IpPrefix& prefix)
    {
        auto& map = allowed[peer.word.interface];
        map.erase(prefix);
        peer.allowed.erase(prefix);
        push(api::DeleteAllowedIp{peer.word.interface, prefix});
        count_source(id, peer, prefix, -1);
    }

    // ---- the end of things ----

    bool referenced(Object object) const
    {
        for (const auto& hop : hops) {
            if (!hop) continue;
            const auto& w = hop->word;
            switch (object.kind) {
                case Kind::Interface:
                    if (index(w.interface) == object.id) return true;
                    break;
                case Kind::Peer:
                    if (w.kind == NexthopKind::WireguardPeer && index(w.peer) == object.id) return true;
                    break;
                case Kind::Vrf:
                    if ((w.kind == NexthopKind::Local || w.kind == NexthopKind::Via) && index(w.vrf) == object.id)
                        return true;
                    break;
                case Kind::Nexthop:
                case Kind::Group: break;
            }
        }
        return object.kind == Kind::Peer && std::any_of(orphans.begin(), orphans.end(), [&](const auto& orphan) {
                   return index(orphan.first) == object.id;
               });
    }

    // A removed peer may have had a million sources.
    void drop_orphans(std::size_t budget)
    {
        while (!orphans.empty() && budget > 0) {
            auto& [peer, sources] = orphans.front();
            std::vector<IpPrefix> some;
            for (const IpPrefix& from : {IpPrefix{Ipv4Address{}, 0}, IpPrefix{Ipv6Address{}, 0}})
                sources.walk(from, [&](const IpPrefix& prefix, std::uint32_t) {
                    if (some.size() == budget) return false;
                    some.push_back(prefix);
                    return true;
                });
            for (const IpPrefix& prefix : some) {
                sources.erase(prefix);
                push(api::DeletePeerSource{peer, prefix});
            }
            budget -= some.size();
            if (sources.empty()) orphans.pop_front();
        }
    }

    // Interfaces, peers and VRFs that were removed go once no next hop names them.
    void look_after_removed()
    {
        for (auto it = removed.begin(); it != removed.end();) {
            if (referenced(*it)) {
                ++it;
                continue;
            }
            retire(*it, 0);
            it = removed.erase(it);
        }
    }

    void erase(const Retiring& r)
    {
        switch (r.object.kind) {
            case Kind::Nexthop: {
                Hop* hop = hops[r.object.id].get();
                if (hop == nullptr || hop->refs > 0 || hop->retirement != r.retirement) return;
                push(api::DeleteNexthop{hop->id});
                if (hop->key.tracked()) tables.untrack(client, hop->key.vrf, hop->key.address);
                set_link(*hop, std::nullopt);
                if (hop->via != nullptr) release(hop->via);
                hop_ids.erase(hop->key);
                hops[r.object.id].reset();
                --live_hops;
                break;
            }
            case Kind::Group: {
                Group* group = groups[r.object.id].get();
                if (group == nullptr || group->refs > 0 || group->retirement != r.retirement) return;
                push(api::DeleteGroup{group->id});
                for (const auto& [hop, weight] : group->hops) {
                    hop->groups.erase(group);
                    if (hop->link) use_touched.insert(*hop->link);
                    release(hop);
                }
                if (group->backup != nullptr) {
                    group->backup->fronts.erase(group);
                    release(group->backup);
                }
                tables.drop(group->key.set);
                group_ids.erase(group->key);
                groups[r.object.id].reset();
                --live_groups;
                break;
            }
            case Kind::Interface:
                if (interfaces.contains(InterfaceId{static_cast<std::uint16_t>(r.object.id)})) return;
                push(api::DeleteInterface{InterfaceId{static_cast<std::uint16_t>(r.object.id)}});
                break;
            case Kind::Peer:
                if (peers.contains(PeerId{r.object.id})) return;
                push(api::DeletePeer{PeerId{r.object.id}});
                break;
            case Kind::Vrf:
                if (vrfs.contains(VrfId{static_cast<std::uint16_t>(r.object.id)})) return;
                push(api::DeleteVrf{VrfId{static_cast<std::uint16_t>(r.object.id)}});
                break;
        }
        freeing.push_back({kOpen, r.object});
    }

    void free(const Object& object)
    {
        switch (object.kind) {
            case Kind::Nexthop: free_hops.push_back(object.id); break;
            case Kind::Group: free_groups.push_back(object.id); break;
            case Kind::Interface:
                events.push_back(InterfaceGone{InterfaceId{static_cast<std::uint16_t>(object.id)}});
                break;
            case Kind::Peer: events.push_back(PeerGone{PeerId{object.id}}); break;
            case Kind::Vrf: events.push_back(VrfGone{VrfId{static_cast<std::uint16_t>(object.id)}}); break;
        }
    }

    void commit()
    {
        const auto open = [](const auto& queue) { return !queue.empty() && queue.back().generation == kOpen; };
        if (!pushed_any && !open(retiring) && !open(freeing) && !open(releasing)) return;
        const std::uint64_t generation = sink.commit();
        pushed_any = false;
        const auto close = [&](auto& queue) {
            for (auto it = queue.rbegin(); it != queue.rend() && it->generation == kOpen; ++it)
                it->generation = generation;
        };
        close(retiring);
        close(freeing);
        close(releasing);
    }

    WayTo way_to(VrfId vrf, const IpAddress& address) const
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

    void raise_path_mtus()
    {
        for (auto& [key, watched] : watched_mtus) {
            const auto now = way_to(key.first, key.second);
            if (watched.last == now) continue;
            watched.last = now;
            events.push_back(PathMtuChanged{key.first, key.second, now.mtu});
        }
    }

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
    it->second = spec;
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

void Programmer::set_neighbor(InterfaceId interface, const IpAddress& address, std::optional<MacAddress> mac,
                              bool failed)
{
    State& s = *state_;
    const OnLink link{interface, address};
    const auto it = s.neighbors.find(link);
    if (mac) s.lost_neighbors.erase(link);
    if (!mac) {
        if (it != s.neighbors.end()) s.forget_neighbor(it);
        if (failed) s.releasing.push_back({State::kOpen, {interface, address, false}});
        return;
    }
    State::Neighbor& n = s.neighbors[link];
    n.mac = *mac;
    s.update_link(link);
    s.track_neighbor(link, n);
    s.releasing.push_back({State::kOpen, {interface, address, true}});
}

bool Programmer::uses_neighbor(InterfaceId interface, const IpAddress& address) const
{
    return state_->in_use({interface, address});
}

void Programmer::set_wireguard(const api::SetWireguard& wireguard) { state_->push(wireguard); }

void Programmer::set_tunnel(const api::SetTunnel& tunnel) { state_->push(tunnel); }
void Programmer::set_tunnel_endpoint(const api::SetTunnelEndpoint& endpoint) { state_->push(endpoint); }
void Programmer::remove_tunnel_endpoint(const api::DeleteTunnelEndpoint& endpoint) { state_->push(endpoint); }
void Programmer::set_protection(const api::SetProtection& protection) { state_->push(protection); }
void Programmer::remove_protection(ProtectionId id) { state_->push(api::DeleteProtection{id}); }
void Programmer::protect(VrfId vrf, const IpPrefix& prefix) { state_->push(api::SetProtectedPrefix{vrf, prefix}); }
void Programmer::unprotect(VrfId vrf, const IpPrefix& prefix) { state_->push(api::DeleteProtectedPrefix{vrf, prefix}); }

void Programmer::set_peer(const api::SetPeer& peer, const std::vector<IpPrefix>& allowed_ips)
{
    State& s = *state_;
    s.removed.erase({State::Kind::Peer, index(peer.id)});
    const auto [it, fresh] = s.peers.try_emplace(peer.id);
    State::Peer& p = it->second;
    const InterfaceId interface = peer.interface;
    std::set<IpPrefix> touched;
    if (!fresh && p.word.interface != interface) {
        const InterfaceId old = p.word.interface;
        for (const IpPrefix& prefix : std::set<IpPrefix>{p.allowed}) {
            s.disallow(peer.id, p, prefix);
            s.update_within(old, prefix);
        }
    }
    if (fresh || !same(p.word, peer)) s.push(peer);
    p.word = peer;

    const std::set<IpPrefix> wanted(allowed_ips.begin(), allowed_ips.end());
    for (const IpPrefix& prefix : std::set<IpPrefix>{p.allowed}) {
        if (wanted.contains(prefix)) continue;
        s.disallow(peer.id, p, prefix);
        touched.insert(prefix);
    }
    auto& map = s.allowed[interface];
    for (const IpPrefix& prefix : wanted) {
        if (p.allowed.contains(prefix)) continue;
        if (const PeerId* other = map.find(prefix); other != nullptr) {
            State::Peer& loser = s.peers.at(*other);
            const PeerId loser_id = *other;
            loser.allowed.erase(prefix);
            s.count_source(loser_id, loser, prefix, -1);
        }
        *map.insert(prefix, peer.id).first = peer.id;
        p.allowed.insert(prefix);
        s.push(api::SetAllowedIp{interface, prefix, peer.id});
        s.count_source(peer.id, p, prefix, 1);
        touched.insert(prefix);
    }
    for (const IpPrefix& prefix : touched) s.update_within(interface, prefix);
}

void Programmer::remove_peer(PeerId id)
{
    State& s = *state_;
    const auto it = s.peers.find(id);
    if (it == s.peers.end()) return;
    State::Peer& p = it->second;
    const InterfaceId interface = p.word.interface;
    const std::set<IpPrefix> had = p.allowed;
    for (const IpPrefix& prefix : had) s.disallow(id, p, prefix);
    if (!p.sources.empty()) s.orphans.emplace_back(id, std::move(p.sources));
    s.peers.erase(it);
    for (const IpPrefix& prefix : had) s.update_within(interface, prefix);
    s.removed.insert({State::Kind::Peer, index(id)});
}

void Programmer::peer_source(PeerId id, const IpPrefix& prefix, int change)
{
    const auto it = state_->peers.find(id);
    if (it != state_->peers.end()) state_->count_source(id, it->second, prefix, change);
}

PeerId Programmer::peer_of(InterfaceId interface, const IpAddress& address) const
{
    return state_->peer_of(interface, address);
}

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
    if (s.sink.backlog() < kBacklogHigh) {
        route::Change change;
        for (; budget > 0 && s.tables.next_change(change); --budget) {
            s.program(change);
            s.mtus_stale = true;
        }
    }
    s.drop_orphans(budget);
    s.raise_uses();
    if (s.mtus_stale) s.raise_path_mtus();
    s.mtus_stale = false;
    s.look_after_removed();
    s.commit();
    return !s.orphans.empty() || s.tables.unsettled() || s.tables.has_event(s.client) || s.tables.changes_waiting() > 0;
}

void Programmer::on_acked()
{
    State& s = *state_;
    const std::uint64_t acked = s.sink.acked();
    const auto due = [&](const auto& queue) {
        return !queue.empty() && queue.front().generation != State::kOpen && queue.front().generation <= acked;
    };
    for (; due(s.freeing); s.freeing.pop_front()) s.free(s.freeing.front().object);
    for (; due(s.releasing); s.releasing.pop_front()) s.events.push_back(s.releasing.front().release);
    while (due(s.retiring)) {
        const State::Retiring r = s.retiring.front();
        s.retiring.pop_front();
        s.erase(r);
    }
}

bool Programmer::next_event(Event& event)
{
    if (state_->events.empty()) return false;
    event = state_->events.front();
    state_->events.pop_front();
    return true;
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

// ---- failures

void Programmer::lose_neighbor(InterfaceId interface, const IpAddress& address)
{
    State& s = *state_;
    const OnLink link{interface, address};
    const auto it = s.neighbors.find(link);
    if (it == s.neighbors.end()) return;
    s.lost_neighbors.insert(link);
    s.forget_neighbor(it);
}

void Programmer::set_session(const Gateway& gateway, BfdSessionId session)
{
    State& s = *state_;
    if (session == kNoBfdSession)
        s.sessions.erase(gateway);
    else
        s.sessions[gateway] = session;
    s.update_gateway(gateway);
}

NexthopId Programmer::hold_gateway(const Gateway& gateway)
{
    State& s = *state_;
    auto* hop = s.acquire(HopKey{NexthopType::Gateway, kDefaultVrf, gateway.interface, gateway.address});
    ++hop->holds;
    if (hop->link) s.use_touched.insert(*hop->link);
    return hop->id;
}

void Programmer::release_gateway(const Gateway& gateway)
{
    State& s = *state_;
    const auto it = s.hop_ids.find(HopKey{NexthopType::Gateway, kDefaultVrf, gateway.interface, gateway.address});
    CULVERT_CHECK(it != s.hop_ids.end());
    auto* hop = s.hops[index(it->second)].get();
    CULVERT_CHECK(hop->holds > 0);
    --hop->holds;
    if (hop->link) s.use_touched.insert(*hop->link);
    s.release(hop);
}

void Programmer::set_down_word(BfdSessionId session) { state_->push(api::SetDownWord{session}); }

void Programmer::delete_down_word(BfdSessionId session)
{
    State& s = *state_;
    std::vector<Gateway> obey;
    for (const auto& [gateway, of] : s.sessions)
        if (of == session) obey.push_back(gateway);
    for (const Gateway& gateway : obey) set_session(gateway, kNoBfdSession);
    s.push(api::DeleteDownWord{session});
}

void Programmer::set_gateway_down(const Gateway& gateway, const char* reason)
{
    state_->tables.set_gateway_down(gateway.vrf, gateway.interface, gateway.address, reason);
    state_->update_gateway(gateway);
}

void Programmer::clear_down(api::DownKind kind, std::uint32_t id, std::uint32_t epoch)
{
    state_->push(api::ClearDown{kind, id, epoch});
}

void Programmer::set_pace(std::uint32_t buckets_a_second) { state_->push(api::SetFailoverPace{buckets_a_second}); }

std::optional<Gateway> Programmer::gateway_of(NexthopId id) const
{
    const State& s = *state_;
    if (index(id) >= s.hops.size() || !s.hops[index(id)]) return std::nullopt;
    const State::Hop& hop = *s.hops[index(id)];
    if (hop.key.type != NexthopType::Gateway) return std::nullopt;
    if (hop.link) return Gateway{kDefaultVrf, hop.link->first, hop.link->second};
    return Gateway{hop.key.vrf, kNoInterface, hop.key.address};
}

std::vector<NexthopId> Programmer::nexthops_of(const Gateway& gateway) const
{
    const State& s = *state_;
    std::vector<NexthopId> out;
    if (gateway.interface != kNoInterface) {
        const auto here = s.by_link.find({gateway.interface, gateway.address});
        if (here != s.by_link.end())
            for (const State::Hop* hop : here->second) out.push_back(hop->id);
    } else if (const auto hop =
                   s.hop_ids.find(HopKey{NexthopType::Gateway, gateway.vrf, kNoInterface, gateway.address});
               hop != s.hop_ids.end()) {
        out.push_back(hop->second);
    }
    return out;
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

Programmer::Counts Programmer::counts() const noexcept
{
    return {state_->live_hops, state_->live_groups, state_->retiring.size(), state_->updates};
}

}  // namespace culvert::fibprog
