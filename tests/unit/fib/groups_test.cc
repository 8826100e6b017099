#include "dataplane/fib/groups.h"

#include "tests/unit/fib/random.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <numeric>

namespace culvert::fib {
namespace {

constexpr GroupId kGroup{5}, kBackup{6}, kInner{7};

class GroupTest : public ::testing::Test {
protected:
    Rcu rcu;
    Reclaimer reclaimer{rcu};
    DownTable words;
    NexthopTable nexthops{reclaimer, words};
    GroupTable groups{nexthops, reclaimer};

    GroupTest()
    {
        for (std::uint32_t i = 1; i <= 100; ++i) nexthops.set({NexthopId{i}, NexthopKind::Blackhole}, nullptr);
    }
    static std::vector<GroupMember> members(std::initializer_list<std::uint32_t> ids)
    {
        std::vector<GroupMember> out;
        for (const auto id : ids) out.push_back({NexthopId{id}, 1});
        return out;
    }
    void via(std::uint32_t id, GroupId group)
    {
        api::SetNexthop n{NexthopId{id}, NexthopKind::Via};
        n.via = group;
        n.vrf = VrfId{9};
        nexthops.set(n, nullptr);
    }
    std::uint32_t fail(std::uint32_t id)
    {
        return *nexthops.set_down(NexthopId{id}, nexthops.generation(NexthopId{id}), cause::kBfd);
    }
    std::uint32_t picked(std::uint32_t hash, GroupId group = kGroup) const
    {
        const auto path = groups.pick(group, hash);
        return path ? index(path.nexthop->id) : 0;
    }
    // Where each of many flows goes.
    std::vector<std::uint32_t> flows() const
    {
        std::vector<std::uint32_t> out(8192);
        for (std::uint32_t i = 0; i < out.size(); ++i) out[i] = picked(static_cast<std::uint32_t>(mix(i)));
        return out;
    }
    std::map<std::uint32_t, std::size_t> bucket_counts() const
    {
        std::map<std::uint32_t, std::size_t> out;
        for (const auto b : groups.buckets(kGroup)) ++out[index(groups.members(kGroup)[b].nexthop)];
        return out;
    }
};

TEST_F(GroupTest, RefusesWhatIsNotAGroup)
{
    EXPECT_FALSE(groups.set(kGroup, {}, kNoGroup));
    EXPECT_FALSE(groups.set(kNoGroup, members({1}), kNoGroup));
    EXPECT_FALSE(groups.set(kGroup, members({1, 1}), kNoGroup));
    EXPECT_FALSE(groups.set(kGroup, std::vector<GroupMember>(65), kNoGroup));
    EXPECT_FALSE(groups.set(kGroup, std::vector{GroupMember{NexthopId{1}, 0}}, kNoGroup));
    EXPECT_FALSE(groups.erase(kGroup));
    EXPECT_EQ(groups.pick(kGroup, 1).miss, Path::Miss::Gone);
}

TEST_F(GroupTest, SharesAreWithinTwoPercentOfTheWeights)
{
    for (std::uint32_t n = 1; n <= 64; ++n) {
        std::vector<GroupMember> m;
        for (std::uint32_t i = 1; i <= n; ++i) m.push_back({NexthopId{i}, 1});
        groups.erase(kGroup);
        ASSERT_TRUE(groups.set(kGroup, m, kNoGroup));
        const auto fair = static_cast<double>(groups.buckets(kGroup).size()) / n;
        for (const auto& [id, count] : bucket_counts()) EXPECT_NEAR(static_cast<double>(count), fair, 0.02 * fair) << n;
    }
    groups.erase(kGroup);
    groups.set(kGroup, std::vector{GroupMember{NexthopId{1}, 3}, GroupMember{NexthopId{2}, 1}}, kNoGroup);
    EXPECT_EQ(bucket_counts(), (std::map<std::uint32_t, std::size_t>{{1, 192}, {2, 64}}));

    Random random(8);
    for (int round = 0; round < 300; ++round) {
        std::vector<GroupMember> m;
        double total = 0;
        const auto n = 2 + random.below(63), range = 1 + random.below(10'000);
        for (std::uint32_t i = 1; i <= n; ++i) {
            m.push_back({NexthopId{i}, static_cast<std::uint16_t>(1 + random.below(range))});
            total += m.back().weight;
        }
        groups.erase(kGroup);
        ASSERT_TRUE(groups.set(kGroup, m, kNoGroup));
        const auto buckets = static_cast<double>(groups.buckets(kGroup).size());
        ASSERT_LE(buckets, GroupTable::kMaxBuckets);
        auto counts = bucket_counts();
        for (const auto& x : m) {
            const auto exact = buckets * x.weight / total;
            const auto has = static_cast<double>(counts[index(x.nexthop)]);
            ASSERT_GE(has, 1) << "a member without any traffic";
            // What the smallest are given beyond their share, the others lack.
            ASSERT_NEAR(has, exact, exact < 1 ? 1 : 1 + 0.02 * exact) << "weight " << x.weight << " of " << total;
            if (buckets < GroupTable::kMaxBuckets) {
                ASSERT_NEAR(has, exact, 0.02 * exact);
            }
        }
    }
}

TEST_F(GroupTest, ANewWeightMovesWhatItChangesByAndNoMore)
{
    const auto weighed = [&](std::uint16_t a, std::uint16_t b, std::uint16_t c) {
        return std::vector{GroupMember{NexthopId{1}, a}, GroupMember{NexthopId{2}, b}, GroupMember{NexthopId{3}, c}};
    };
    const auto moved = [&](const std::vector<std::uint32_t>& before, const std::vector<std::uint32_t>& after,
                           std::uint32_t to) {
        std::size_t count = 0;
        for (std::size_t i = 0; i < before.size(); ++i) {
            if (before[i] == after[i]) continue;
            ++count;
            EXPECT_EQ(after[i], to);
        }
        return static_cast<double>(count) / static_cast<double>(before.size());
    };
    groups.set(kGroup, weighed(1, 1, 2), kNoGroup);
    auto before = flows();
    groups.set(kGroup, weighed(1, 3, 2), kNoGroup);  // from a quarter to a half
    auto after = flows();
    EXPECT_NEAR(moved(before, after, 2), 0.25, 0.02);

    // The same ratio in other numbers, as percents or rounded, moves nothing.
    groups.set(kGroup, weighed(1667, 5000, 3333), kNoGroup);
    EXPECT_EQ(flows(), after);
    // Nor does a member that goes, though the shares of the others are written anew.
    groups.set(kGroup, std::vector{GroupMember{NexthopId{1}, 3333}, GroupMember{NexthopId{3}, 6667}}, kNoGroup);
    const auto rest = flows();
    for (std::size_t i = 0; i < rest.size(); ++i) ASSERT_TRUE(rest[i] == after[i] || after[i] == 2) << i;

    // At a pace, when there is one.
    const auto t0 = TimePoint{1h};
    groups.set_pace(100);
    groups.set(kGroup, weighed(1, 1, 2), kNoGroup);
    before = flows();
    groups.set(kGroup, weighed(1, 3, 2), {.gradual = true});
    EXPECT_EQ(flows(), before);
    for (auto now = groups.move_buckets(t0); now != kNever;) {
        const auto last = flows();
        now = groups.move_buckets(now);
        EXPECT_LE(moved(last, flows(), 2), 2.0 / static_cast<double>(groups.buckets(kGroup).size()));
    }
    EXPECT_NEAR(moved(before, flows(), 2), 0.25, 0.02);
}

TEST_F(GroupTest, WhenAMemberGoesOnlyItsFlowsMove)
{
    Random random(3);
    for (int round = 0; round < 200; ++round) {
        std::vector<GroupMember> m;
        const auto n = 2 + random.below(20);
        for (std::uint32_t i = 1; i <= n; ++i)
            m.push_back({NexthopId{i}, static_cast<std::uint16_t>(1 + random.below(3))});
        groups.set(kGroup, m, kNoGroup);
        while (m.size() > 1) {
            const auto before = flows();
            const auto gone = index(m[random.below(m.size())].nexthop);
            std::erase_if(m, [&](const GroupMember& x) { return index(x.nexthop) == gone; });
            groups.set(kGroup, m, kNoGroup);
            const auto after = flows();
            for (std::size_t i = 0; i < before.size(); ++i)
                ASSERT_TRUE(after[i] == before[i] || before[i] == gone) << "flow " << i;
        }
        reclaimer.seal();
        reclaimer.collect();
    }
}

TEST_F(GroupTest, AMemberThatComesTakesItsShareAndNoMore)
{
    groups.set(kGroup, members({1}), kNoGroup);
    std::vector<GroupMember> m = members({1});
    for (std::uint32_t id = 2; id <= 16; ++id) {
        const auto before = flows();
        m.push_back({NexthopId{id}, 1});
        groups.set(kGroup, m, kNoGroup);
        const auto after = flows();
        std::size_t moved = 0;
        for (std::size_t i = 0; i < before.size(); ++i) {
            if (after[i] == before[i]) continue;
            ++moved;
            ASSERT_EQ(after[i], id);
        }
        EXPECT_NEAR(static_cast<double>(moved), 8192.0 / id, 8192.0 / id * 0.2);
    }
    // Gone and back again: as fair as before.
    groups.set(kGroup, std::vector(m.begin() + 1, m.end()), kNoGroup);
    groups.set(kGroup, m, kNoGroup);
    const auto fair = static_cast<double>(groups.buckets(kGroup).size()) / 16;
    for (const auto& [id, count] : bucket_counts()) EXPECT_NEAR(static_cast<double>(count), fair, 1.5) << id;
}

TEST_F(GroupTest, ADownMembersFlowsGoToTheOthersAndComeBack)
{
    groups.set(kGroup, members({1, 2, 3, 4}), kNoGroup);
    const auto before = flows();
    const auto epoch = fail(2);
    const auto during = flows();
    std::map<std::uint32_t, std::size_t> taken_over;
    for (std::size_t i = 0; i < before.size(); ++i) {
        if (before[i] == 2) {
            ASSERT_NE(during[i], 2u);
            ++taken_over[during[i]];
        } else {
            ASSERT_EQ(during[i], before[i]);
        }
    }
    EXPECT_EQ(taken_over.size(), 3u);  // by all of the others
    for (const auto& [id, count] : taken_over) EXPECT_GT(count, 400u) << id;
    EXPECT_EQ(flows(), during);  // deterministic
    EXPECT_TRUE(nexthops.clear_down(NexthopId{2}, epoch));
    EXPECT_EQ(flows(), before);
}

TEST_F(GroupTest, TheLastLiveMemberIsAlwaysFound)
{
    std::vector<GroupMember> m;
    for (std::uint32_t i = 1; i <= 64; ++i) m.push_back({NexthopId{i}, 1});
    groups.set(kGroup, m, kNoGroup);
    for (std::uint32_t i = 1; i <= 64; ++i)
        if (i != 37) fail(i);
    for (const auto f : flows()) ASSERT_EQ(f, 37u);
}

TEST_F(GroupTest, TheBackupComesLast)
{
    groups.set(kBackup, members({9}), kNoGroup);
    groups.set(kGroup, members({1, 2}), kBackup);
    fail(1);
    EXPECT_EQ(picked(7), 2u);
    const auto epoch = fail(2);
    EXPECT_EQ(picked(7), 9u);
    fail(9);
    EXPECT_EQ(groups.pick(kGroup, 7).miss, Path::Miss::Down);
    nexthops.clear_down(NexthopId{2}, epoch);
    EXPECT_EQ(picked(7), 2u);
    // A backup that is its own backup ends too.
    groups.set(kBackup, members({9}), kBackup);
    fail(2);
    EXPECT_FALSE(groups.pick(kGroup, 7));
}

TEST_F(GroupTest, ViaWalksIntoTheInnerGroupAndItsBackupFirst)
{
    groups.set(kBackup, members({3}), kNoGroup);
    groups.set(kInner, members({1}), kBackup);
    via(50, kInner);
    groups.set(kGroup, members({50, 4}), kNoGroup);
    std::uint32_t hash = 0;
    while (picked(hash) == 4) ++hash;
    EXPECT_EQ(picked(hash), 1u);
    EXPECT_EQ(groups.pick(kGroup, hash).via->vrf, VrfId{9});
    fail(1);
    EXPECT_EQ(picked(hash), 3u);  // the inner backup
    fail(3);
    EXPECT_EQ(picked(hash), 4u);  // then the outer group's other member
    EXPECT_FALSE(groups.pick(kGroup, hash).via);
}

TEST_F(GroupTest, ViaEndsAtDepthThree)
{
    groups.set(GroupId{10}, members({1}), kNoGroup);
    for (std::uint32_t depth = 1; depth <= 4; ++depth) {
        via(50 + depth, GroupId{9 + depth});
        groups.set(GroupId{10 + depth}, members({50 + depth}), kNoGroup);
    }
    EXPECT_EQ(picked(1, GroupId{13}), 1u);
    EXPECT_EQ(groups.pick(GroupId{14}, 1).miss, Path::Miss::TooDeep);
    // A group that leads to itself ends too.
    via(60, kGroup);
    groups.set(kGroup, members({60}), kNoGroup);
    EXPECT_FALSE(groups.pick(kGroup, 1));
}

TEST_F(GroupTest, GroupsWithinGroupsAllDownCostALimitedWalk)
{
    std::vector<GroupMember> inner, middle, outer;
    for (std::uint32_t i = 1; i <= 30; ++i) inner.push_back({NexthopId{i}, 1});
    groups.set(GroupId{20}, inner, kNoGroup);
    for (std::uint32_t i = 31; i <= 60; ++i) via(i, GroupId{20}), middle.push_back({NexthopId{i}, 1});
    groups.set(GroupId{21}, middle, kNoGroup);
    for (std::uint32_t i = 61; i <= 90; ++i) via(i, GroupId{21}), outer.push_back({NexthopId{i}, 1});
    groups.set(GroupId{22}, outer, kNoGroup);
    for (std::uint32_t i = 1; i <= 30; ++i) fail(i);
    for (std::uint32_t h = 0; h < 1000; ++h) EXPECT_FALSE(groups.pick(GroupId{22}, h));
}

TEST_F(GroupTest, ABackupIsFoundBehindManyDeadGroups)
{
    std::vector<GroupMember> inner, outer;
    for (std::uint32_t i = 1; i <= 40; ++i) inner.push_back({NexthopId{i}, 1});
    groups.set(GroupId{20}, inner, kNoGroup);
    for (std::uint32_t i = 41; i <= 98; ++i) via(i, GroupId{20}), outer.push_back({NexthopId{i}, 1});
    groups.set(kBackup, members({99}), kNoGroup);
    groups.set(kGroup, outer, kBackup);
    for (std::uint32_t i = 1; i <= 40; ++i) fail(i);
    for (const auto f : flows()) ASSERT_EQ(f, 99u);
}

TEST_F(GroupTest, ANewGroupKeepsTheFlowsOfTheOneItIsLike)
{
    groups.set(kGroup, members({1, 2, 3}), kNoGroup);
    const auto before = flows();
    ASSERT_TRUE(groups.set(kBackup, members({1, 3}), {.like = kGroup}));
    for (std::uint32_t i = 0; i < before.size(); ++i) {
        const auto now = picked(static_cast<std::uint32_t>(mix(i)), kBackup);
        ASSERT_NE(now, 2u);
        ASSERT_TRUE(before[i] == 2 || now == before[i]);
    }
    // And back: who was not displaced stays.
    groups.erase(kGroup);
    ASSERT_TRUE(groups.set(kGroup, members({1, 2, 3}), {.like = kBackup}));
    for (std::uint32_t i = 0; i < before.size(); ++i) {
        const auto h = static_cast<std::uint32_t>(mix(i));
        ASSERT_TRUE(picked(h) == 2 || picked(h) == picked(h, kBackup));
    }
    const auto fair = static_cast<double>(groups.buckets(kGroup).size()) / 3;
    for (const auto& [id, count] : bucket_counts()) EXPECT_NEAR(static_cast<double>(count), fair, 1.5) << id;
}

TEST_F(GroupTest, AMemberThatReturnsGetsItsBucketsAtAPace)
{
    const auto t0 = TimePoint{1h};
    groups.set_pace(100);
    groups.set(kGroup, members({1, 2, 3, 4}), kNoGroup);
    groups.set(kGroup, members({1, 2, 3}), kNoGroup);
    groups.set(kGroup, members({1, 2, 3, 4}), {.gradual = true});
    EXPECT_FALSE(bucket_counts().contains(4));
    EXPECT_EQ(groups.moving(), 1u);
    auto next = groups.move_buckets(t0);
    EXPECT_EQ(next, t0 + 10ms);
    auto last = flows();
    for (auto now = next; next != kNever; now = next) {
        next = groups.move_buckets(now);
        const auto fresh = flows();
        std::size_t moved = 0;
        for (std::size_t i = 0; i < fresh.size(); ++i) {
            if (fresh[i] == last[i]) continue;
            ASSERT_EQ(fresh[i], 4u);
            ++moved;
        }
        EXPECT_LE(moved, fresh.size() / 256 * 2);  // one bucket of 256
        last = fresh;
        EXPECT_TRUE(next != kNever || now - t0 == 640ms) << (now - t0) / 1ms;
    }
    EXPECT_EQ(bucket_counts(), (std::map<std::uint32_t, std::size_t>{{1, 64}, {2, 64}, {3, 64}, {4, 64}}));
    EXPECT_EQ(groups.moving(), 0u);

    // A member that goes meanwhile waits for nobody: its buckets move now.
    groups.set(kGroup, members({1, 2, 3}), kNoGroup);
    groups.set(kGroup, members({1, 2, 3, 4}), {.gradual = true});
    groups.move_buckets(t0);
    groups.move_buckets(t0 + 100ms);
    groups.set(kGroup, members({2, 3, 4}), {.gradual = true});
    EXPECT_FALSE(bucket_counts().contains(1));
    while (groups.move_buckets(t0 + 1h) != kNever) {}
    const auto fair = static_cast<double>(groups.buckets(kGroup).size()) / 3;
    for (const auto& [id, count] : bucket_counts()) EXPECT_NEAR(static_cast<double>(count), fair, 1.5) << id;
    groups.erase(kGroup);
    EXPECT_EQ(groups.move_buckets(t0 + 2h), kNever);
}

TEST_F(GroupTest, APacketThatMeetsADownNextHopIsCountedOnce)
{
    groups.set(kGroup, members({1, 2, 3, 4}), kNoGroup);
    const auto before = flows();
    fail(1);
    const auto met = nexthops.met(NexthopId{1});
    EXPECT_EQ(met, 0u);
    flows();
    EXPECT_EQ(nexthops.met(NexthopId{1}), static_cast<std::uint32_t>(std::count(before.begin(), before.end(), 1u)));
    // Two down: each packet is counted at its own one.
    fail(2);
    flows();
    EXPECT_EQ(nexthops.met(NexthopId{2}), static_cast<std::uint32_t>(std::count(before.begin(), before.end(), 2u)));
}

TEST_F(GroupTest, ALostNextHopIsTheLastResort)
{
    api::SetInterface interface {
        InterfaceId{3}, kDefaultVrf, api::InterfaceKind::Port, true, PortId { 1 }
    };
    const auto adjacency = [&](std::uint32_t id, bool lost) {
        api::SetNexthop n{NexthopId{id}, NexthopKind::Adjacency};
        n.interface = interface.id;
        n.lost = lost;
        nexthops.set(n, &interface);
    };
    adjacency(1, true);
    adjacency(2, false);
    groups.set(kBackup, members({3}), kNoGroup);
    groups.set(kGroup, members({1, 2}), kBackup);
    for (const auto f : flows()) ASSERT_EQ(f, 2u);
    fail(2);
    for (const auto f : flows()) ASSERT_EQ(f, 3u);
    fail(3);
    for (const auto f : flows()) ASSERT_EQ(f, 1u);
    interface.up = false;
    nexthops.refresh(interface.id, &interface);
    EXPECT_EQ(groups.pick(kGroup, 1).miss, Path::Miss::Down);
    interface.up = true;
    nexthops.refresh(interface.id, &interface);
    EXPECT_EQ(picked(1), 1u);
    adjacency(1, false);
    EXPECT_TRUE(nexthops.live(NexthopId{1}));
}

TEST_F(GroupTest, MembersThatAreGoneCountAsDown)
{
    groups.set(kGroup, members({1, 2}), kNoGroup);
    nexthops.erase(NexthopId{1});
    for (const auto f : flows()) ASSERT_EQ(f, 2u);
    nexthops.erase(NexthopId{2});
    EXPECT_EQ(groups.pick(kGroup, 1).miss, Path::Miss::Down);
    groups.erase(kGroup);
    EXPECT_EQ(groups.size(), 0u);
    EXPECT_EQ(groups.bytes(), 0u);
}

}  // namespace
}  // namespace culvert::fib
