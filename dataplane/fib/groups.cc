#include "dataplane/fib/groups.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <new>
#include <utility>

namespace culvert::fib {
namespace {

constexpr std::size_t kBucketsPerMember = 64;  // one bucket too many or too few is then below 2 %
static_assert(GroupTable::kMaxMembers * kBucketsPerMember <= GroupTable::kMaxBuckets);
// How far off a share may be before flows of members that stay are moved: weights that say the same in other numbers
// differ by what was rounded away.
constexpr double kTolerance = 2;  // buckets
constexpr unsigned kRehashes = 8;
constexpr unsigned kMaxBackups = 4;
constexpr Duration kShortestMove = 1ms;  // between two looks at what is due to move
std::uint32_t rehash(std::uint32_t h) noexcept
{
    h = (h ^ (h >> 16)) * 0x7feb352du;
    h = (h ^ (h >> 15)) * 0x846ca68bu;
    return h ^ (h >> 16);
}

}  // namespace

struct GroupTable::Walk {
    // Next hops it may look at: bounds what groups within groups can cost when everything is down.
    unsigned budget = 1024;
    bool met = false;          // something that is down, which is counted once a packet
    bool last_resort = false;  // lost next hops will do

    // Groups that were found to lead nowhere, so that no member that leads to them again costs the same again.
    struct Dead {
        GroupId group;
        unsigned depth;
    };
    std::array<Dead, 32> dead;
    unsigned dead_count = 0;

    bool is_dead(GroupId id, unsigned depth) const noexcept
    {
        for (unsigned i = 0; i < dead_count; ++i)
            if (dead[i].group == id && dead[i].depth <= depth) return true;
        return false;
    }
    void bury(GroupId id, unsigned depth) noexcept
    {
        if (dead_count < dead.size()) dead[dead_count++] = {id, depth};
    }
};

GroupTable::Group* GroupTable::Group::make(std::span<const GroupMember> members, std::span<const std::uint8_t> buckets,
                                           GroupId backup)
{
    auto* g = new (::operator new(octets(members.size(), buckets.size()))) Group;
    g->backup = backup;
    g->mask = static_cast<std::uint32_t>(buckets.size() - 1);
    g->count = static_cast<std::uint32_t>(members.size());
    for (std::size_t i = 0; i < members.size(); ++i) {
        const_cast<NexthopId*>(g->nexthops())[i] = members[i].nexthop;
        const_cast<std::uint16_t*>(g->weights())[i] = members[i].weight;
    }
    std::memcpy(const_cast<std::uint8_t*>(g->buckets()), buckets.data(), buckets.size());
    return g;
}

GroupTable::~GroupTable()
{
    for (std::size_t i = 0; i < end_; ++i) {
        if (const auto* g = groups_[i].load(std::memory_order_relaxed)) ::operator delete(const_cast<Group*>(g));
    }
}

Path GroupTable::search(GroupId id, std::uint32_t flow_hash) const noexcept
{
    Walk walk;
    const auto path = pick(id, flow_hash, 0, walk);
    if (path.miss != Path::Miss::Down) return path;
    Walk again;
    again.met = true;
    again.last_resort = true;
    const auto last = pick(id, flow_hash, 0, again);
    return last ? last : path;
}

Path GroupTable::take(NexthopId id, std::uint32_t hash, unsigned depth, Walk& walk) const noexcept
{
    if (walk.budget == 0) return {.miss = Path::Miss::Down};
    --walk.budget;
    const auto* n = walk.last_resort ? nexthops_.live_or_lost(id) : nexthops_.live(id);
    if (!n) {
        if (!std::exchange(walk.met, true)) nexthops_.count_met(id);
        return {.miss = Path::Miss::Down};
    }
    if (n->kind != NexthopKind::Via) return {.nexthop = n, .miss = Path::Miss::None};
    if (depth == kMaxVia) return {.miss = Path::Miss::TooDeep};
    // Another hash for the inner group, or a flow's place in the outer one would decide its place in the inner one.
    auto path = pick(n->via, rehash(hash + depth + 1), depth + 1, walk);
    if (path && !path.via) path.via = n;
    return path;
}

Path GroupTable::pick(GroupId id, std::uint32_t hash, unsigned depth, Walk& walk) const noexcept
{
    if (walk.is_dead(id, depth)) return {.miss = Path::Miss::Down};
    const auto outermost = id;
    Path first{.miss = Path::Miss::Gone};
    for (unsigned backups = 0; backups <= kMaxBackups && id != kNoGroup && index(id) < kMaxGroups; ++backups) {
        const auto* g = groups_[index(id)].load(std::memory_order_acquire);
        if (!g) return first;
        auto path = take(g->of(hash), hash, depth, walk);
        if (path) [[likely]]
            return path;
        if (backups == 0) first = path.miss == Path::Miss::Gone ? Path{.miss = Path::Miss::Down} : path;

        if (g->count > 1) {
            // Other buckets first, because they know the weights; then every member, so that none that lives is missed.
            auto h = hash;
            for (unsigned i = 0; i < kRehashes; ++i) {
                h = rehash(h + 0x9e3779b9u);
                path = take(g->of(h), hash, depth, walk);
                if (path) return path;
            }
            for (std::uint32_t i = 0; i < g->count; ++i) {
                path = take(g->nexthops()[(h + i) % g->count], hash, depth, walk);
                if (path) return path;
            }
        }
        id = g->backup;
    }
    walk.bury(outermost, depth);
    return first;
}

namespace {

struct Share {
    double exact = 0;  // buckets it should have
    std::size_t now = 0;
    double missing() const noexcept { return exact - static_cast<double>(now); }
};

std::size_t buckets_for(std::span<const GroupMember> members) noexcept
{
    std::size_t total = 0, least = ~std::size_t{0};
    for (const auto& m : members) {
        total += m.weight;
        least = std::min<std::size_t>(least, m.weight);
    }
    const auto wanted = std::bit_ceil((total * kBucketsPerMember + least - 1) / least);
    return std::min(wanted, GroupTable::kMaxBuckets);
}

// Each member's share of `buckets`, in the ratio of the weights, but one at least.
std::vector<Share> shares_of(std::span<const GroupMember> members, std::size_t buckets)
{
    std::vector<Share> share(members.size());
    double weight = 0, left = static_cast<double>(buckets);  // of those whose share follows from the ratio
    for (const auto& m : members) weight += m.weight;
    for (bool all = false; !all;) {
        all = true;
        const double each = left / weight;
        for (std::size_t i = 0; i < members.size(); ++i) {
            if (share[i].exact != 0 || members[i].weight * each >= 1) continue;
            share[i].exact = 1;
            left -= 1;
            weight -= members[i].weight;
            all = false;
        }
    }
    for (std::size_t i = 0; i < members.size(); ++i)
        if (share[i].exact == 0) share[i].exact = members[i].weight * left / weight;
    return share;
}

// Each bucket's member. `old` are the buckets of before by place in the new members, kFree where that member is gone.
constexpr std::uint8_t kFree = 0xff;

std::vector<std::uint8_t> spread(std::vector<std::uint8_t> bucket, std::span<const GroupMember> members,
                                 bool only_removed)
{
    auto share = shares_of(members, bucket.size());
    for (const auto b : bucket)
        if (b != kFree) ++share[b].now;

    const auto by_missing = [](const Share& a, const Share& b) { return a.missing() < b.missing(); };
    const auto neediest = [&] {
        return static_cast<std::size_t>(std::max_element(share.begin(), share.end(), by_missing) - share.begin());
    };
    for (auto& b : bucket) {
        if (b != kFree) continue;
        const auto to = neediest();
        b = static_cast<std::uint8_t>(to);
        ++share[to].now;
    }
    // When members only went, the flows of the others stay where they are, even if that leaves one bucket of
    // unevenness.
    const auto is_off = [](const Share& s) { return s.now == 0 || std::abs(s.missing()) >= kTolerance; };
    if (only_removed || std::ranges::none_of(share, is_off)) return bucket;

    // Buckets to give away, of each member that has one too many: by turns, so that a member gives from all its range.
    for (;;) {
        const auto to = neediest();
        if (share[to].missing() < 1) return bucket;
        const auto from =
            static_cast<std::size_t>(std::min_element(share.begin(), share.end(), by_missing) - share.begin());
        const auto given = std::find(bucket.begin(), bucket.end(), static_cast<std::uint8_t>(from));
        *given = static_cast<std::uint8_t>(to);
        --share[from].now;
        ++share[to].now;
    }
}

}  // namespace

bool GroupTable::set(GroupId id, std::span<const GroupMember> members, Change change)
{
    const std::size_t i = index(id);
    if (i == 0 || i >= kMaxGroups || index(change.backup) >= kMaxGroups || index(change.like) >= kMaxGroups)
        return false;
    if (members.empty() || members.size() > kMaxMembers) return false;
    for (auto m = members.begin(); m != members.end(); ++m) {
        const auto same = [m](const GroupMember& o) { return o.nexthop == m->nexthop; };
        if (m->weight == 0 || std::any_of(members.begin(), m, same)) return false;
    }

    const auto* replaced = groups_[i].load(std::memory_order_relaxed);
    const auto* old = replaced ? replaced : groups_[index(change.like)].load(std::memory_order_relaxed);
    std::vector<std::uint8_t> buckets, target;
    if (members.size() == 1) {
        buckets.assign(1, 0);
    } else {
        const auto count = std::max(buckets_for(members), old ? std::size_t{old->mask} + 1 : std::size_t{1});
        buckets.assign(count, kFree);
        bool only_removed = old != nullptr;
        std::vector<std::uint8_t> place(old ? old->count : 0, kFree);  // of an old member among the new ones
        for (std::size_t n = 0; n < members.size(); ++n) {
            std::size_t o = 0;
            while (o < place.size() && old->nexthops()[o] != members[n].nexthop) ++o;
            if (o == place.size() || old->weights()[o] != members[n].weight) only_removed = false;
            if (o < place.size()) place[o] = static_cast<std::uint8_t>(n);
        }
        // A table that grows repeats itself, so every flow finds the member it had.
        if (old)
            for (std::size_t b = 0; b < count; ++b) buckets[b] = place[old->bucket(b & old->mask)];
        target = spread(buckets, members, only_removed);
        const bool wait = change.gradual && pace_ != 0;
        for (std::size_t b = 0; b < count; ++b)
            if (!wait || buckets[b] == kFree) buckets[b] = target[b];
    }

    auto* g = Group::make(members, buckets, change.backup);
    bytes_ += g->octets();
    if (!replaced) ++size_;
    end_ = std::max(end_, i + 1);
    groups_[i].store(g, std::memory_order_release);
    retire(replaced);
    moving_.erase(id);
    if (!target.empty() && target != buckets) moving_[id] = {std::move(target)};
    return true;
}

void GroupTable::set_pace(std::uint32_t buckets_a_second) { pace_ = buckets_a_second; }

TimePoint GroupTable::move_buckets(TimePoint now)
{
    const auto interval = pace_ == 0 ? Duration::zero() : Duration{std::chrono::seconds{1}} / pace_;
    auto next = kNever;
    for (auto it = moving_.begin(); it != moving_.end();) {
        auto& [id, m] = *it;
        const auto* g = groups_[index(id)].load(std::memory_order_relaxed);
        if (m.due == TimePoint{}) m.due = now + interval;
        for (; m.next < m.target.size(); ++m.next) {
            if (g->bucket(m.next) == m.target[m.next]) continue;
            if (m.due > now && pace_ != 0) break;
            g->set_bucket(m.next, m.target[m.next]);
            m.due += interval;
        }
        if (m.next == m.target.size()) {
            it = moving_.erase(it);
            continue;
        }
        next = std::min(next, m.due);
        ++it;
    }
    return next == kNever ? kNever : std::max(next, now + kShortestMove);
}

bool GroupTable::erase(GroupId id)
{
    if (!exists(id)) return false;
    moving_.erase(id);
    retire(groups_[index(id)].exchange(nullptr, std::memory_order_acq_rel));
    --size_;
    return true;
}

void GroupTable::retire(const Group* g)
{
    if (!g) return;
    bytes_ -= g->octets();
    reclaimer_.retire([](void*, std::uint64_t p) noexcept { ::operator delete(reinterpret_cast<void*>(p)); }, nullptr,
                      reinterpret_cast<std::uint64_t>(g), g->octets());
}

std::vector<GroupMember> GroupTable::members(GroupId id) const
{
    std::vector<GroupMember> out;
    if (!exists(id)) return out;
    const auto* g = groups_[index(id)].load(std::memory_order_acquire);
    for (std::uint32_t i = 0; i < g->count; ++i) out.push_back({g->nexthops()[i], g->weights()[i]});
    return out;
}

std::vector<std::uint8_t> GroupTable::buckets(GroupId id) const
{
    if (!exists(id)) return {};
    const auto* g = groups_[index(id)].load(std::memory_order_acquire);
    std::vector<std::uint8_t> out(g->mask + 1);
    for (std::size_t b = 0; b < out.size(); ++b) out[b] = g->bucket(b);
    return out;
}

}  // namespace culvert::fib
