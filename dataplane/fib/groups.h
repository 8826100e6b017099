#pragma once

#include "base/ids.h"
#include "base/time.h"
#include "dataplane/fib/id_table.h"
#include "dataplane/fib/nexthops.h"
#include "dataplane/fib/rcu.h"

#include <atomic>
#include <concepts>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <vector>

namespace culvert::fib {

// Where a packet goes: the outcome of GroupTable::pick.
struct Path {
    enum class Miss : std::uint8_t {
        None,
        Gone,     // the group does not exist (any more)
        Down,     // every path is down, backups included
        TooDeep,  // more than three `via` groups in a row
    };
    const Nexthop* nexthop = nullptr;  // null: see miss. Valid until the reader's next quiescent state
    const Nexthop* via = nullptr;      // the last Via that was walked over: `via->vrf` is the egress VRF
    Miss miss = Miss::Gone;
    bool every_flow = false;  // takes it, not only this one

    explicit operator bool() const noexcept { return nexthop != nullptr; }
};

struct GroupMember {
    NexthopId nexthop{};
    std::uint16_t weight = 1;
    friend bool operator==(const GroupMember&, const GroupMember&) = default;
};

// Groups of next hops that share traffic. A group is a power-of-two table of buckets; a flow's hash picks a bucket, a
// bucket names a member. The member of the least weight has 64 or more, so that shares are within 2 % of the weights,
// as long as kMaxBuckets are enough for that; every member has one. Resilient: when a member goes only its buckets
// move; when one comes it takes its share and no more; when weights change, what they changed by.
class GroupTable {
public:
    static constexpr std::size_t kMaxGroups = 1 << 22;
    static constexpr std::size_t kMaxMembers = 64;
    static constexpr std::size_t kMaxBuckets = 4096;
    static constexpr unsigned kMaxVia = 3;

    GroupTable(const NexthopTable& nexthops, Reclaimer& reclaimer)
        : nexthops_(nexthops), groups_(kMaxGroups), reclaimer_(reclaimer)
    {}
    ~GroupTable();

    // ---- readers
    bool exists(GroupId id) const noexcept
    {
        return index(id) < kMaxGroups && groups_[index(id)].load(std::memory_order_acquire);
    }
    // The live next hop of a flow. If its bucket's member is down, another live member is taken, always the same one
    // for the same flow and state; if all are, the backup group; inner groups (`via`) and their backups before what is
    // outside. When nothing at all is live, a next hop that is only lost.
    Path pick(GroupId id, std::uint32_t flow_hash) const noexcept
    {
        return pick(id, [flow_hash] { return flow_hash; });
    }
    // `flow_hash` is std::uint32_t(): not asked for where there is nothing to choose.
    template <class FlowHash>
        requires std::invocable<FlowHash&>
    Path pick(GroupId id, FlowHash&& flow_hash) const noexcept
    {
        // Nearly always the bucket's own member is live and final.
        if (index(id) < kMaxGroups) [[likely]] {
            if (const auto* g = groups_[index(id)].load(std::memory_order_acquire)) [[likely]] {
                const bool one = g->count == 1;
                const auto* n = nexthops_.live(one ? *g->nexthops() : g->of(flow_hash()));
                if (n && n->kind != NexthopKind::Via) [[likely]]
                    return {.nexthop = n, .miss = Path::Miss::None, .every_flow = one};
            }
        }
        return search(id, flow_hash());
    }

    // ---- the writer
    struct Change {
        GroupId backup{kNoGroup};
        GroupId like{kNoGroup};  // of a new group: flows keep the members that they have in this one
        bool gradual = false;    // buckets of members that stay move by move_buckets(), not now
    };
    // 1..kMaxMembers members, each named once, weights >= 1. False: id or members out of range.
    bool set(GroupId id, std::span<const GroupMember> members, Change change);
    bool set(GroupId id, std::span<const GroupMember> members, GroupId backup)
    {
        return set(id, members, Change{backup});
    }
    // Buckets of each gradual group that move in a second. 0: at once.
    void set_pace(std::uint32_t buckets_a_second);
    // Moves what is due by now. When to call it again; kNever: nothing is left to move.
    TimePoint move_buckets(TimePoint now);
    std::size_t moving() const noexcept { return moving_.size(); }
    bool erase(GroupId id);
    // Of a group: its members as they were set, and each bucket's place in them. Empty when there is none.
    std::vector<GroupMember> members(GroupId id) const;
    std::vector<std::uint8_t> buckets(GroupId id) const;
    std::size_t size() const noexcept { return size_; }
    std::size_t bytes() const noexcept { return bytes_; }

private:
    // One allocation: the header, the members' next hops, their weights, the buckets.
    struct Group {
        GroupId backup;
        std::uint32_t mask;  // buckets - 1
        std::uint32_t count;

        static std::size_t octets(std::size_t members, std::size_t buckets) noexcept
        {
            return sizeof(Group) + members * (sizeof(NexthopId) + sizeof(std::uint16_t)) + buckets;
        }
        static Group* make(std::span<const GroupMember> members, std::span<const std::uint8_t> buckets, GroupId backup);

        std::size_t octets() const noexcept { return octets(count, std::size_t{mask} + 1); }
        const NexthopId* nexthops() const noexcept { return reinterpret_cast<const NexthopId*>(this + 1); }
        const std::uint16_t* weights() const noexcept
        {
            return reinterpret_cast<const std::uint16_t*>(nexthops() + count);
        }
        const std::uint8_t* buckets() const noexcept
        {
            return reinterpret_cast<const std::uint8_t*>(weights() + count);
        }
        // The writer moves buckets under the readers' eyes, one octet at a time.
        std::uint8_t bucket(std::size_t b) const noexcept { return __atomic_load_n(buckets() + b, __ATOMIC_RELAXED); }
        void set_bucket(std::size_t b, std::uint8_t to) const noexcept
        {
            __atomic_store_n(const_cast<std::uint8_t*>(buckets()) + b, to, __ATOMIC_RELAXED);
        }
        NexthopId of(std::uint32_t hash) const noexcept { return nexthops()[bucket(hash & mask)]; }
    };

    // The whole of pick().
    Path search(GroupId id, std::uint32_t flow_hash) const noexcept;
    // What one packet may still do on its way through the groups.
    struct Walk;
    Path pick(GroupId id, std::uint32_t hash, unsigned depth, Walk& walk) const noexcept;
    Path take(NexthopId id, std::uint32_t hash, unsigned depth, Walk& walk) const noexcept;
    void retire(const Group* g);

    // Where the buckets of a group are to go.
    struct Moving {
        std::vector<std::uint8_t> target;
        std::size_t next = 0;  // buckets below are where they belong
        TimePoint due{};       // when the next one moves; 0 before the first look at the clock
    };

    const NexthopTable& nexthops_;
    IdTable<std::atomic<const Group*>> groups_;
    Reclaimer& reclaimer_;
    std::size_t end_ = 0;  // one past the highest id ever used
    std::size_t size_ = 0;
    std::size_t bytes_ = 0;
    std::map<GroupId, Moving> moving_;
    std::uint32_t pace_ = 0;
};

}  // namespace culvert::fib
