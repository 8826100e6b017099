#include "dataplane/bfd/timing_wheel.h"

#include "base/ip.h"

#include <gtest/gtest.h>

#include <map>

namespace culvert::bfd {
namespace {

constexpr TimePoint kT0{1h};

std::vector<std::uint32_t> due(TimingWheel& wheel, TimePoint now)
{
    std::vector<std::uint32_t> out;
    wheel.expire(now, [&](std::uint32_t node) { out.push_back(node); });
    return out;
}

TEST(TimingWheel, IsExactWithinATick)
{
    TimingWheel wheel;
    wheel.resize(2);
    wheel.set(0, kT0 + 10us);
    wheel.set(1, kT0 + 11us);
    EXPECT_EQ(wheel.next(), kT0 + 10us);
    EXPECT_TRUE(due(wheel, kT0 + 9us).empty());
    EXPECT_EQ(due(wheel, kT0 + 10us), std::vector<std::uint32_t>{0});
    EXPECT_EQ(wheel.next(), kT0 + 11us);
    EXPECT_EQ(due(wheel, kT0 + 11us), std::vector<std::uint32_t>{1});
    EXPECT_EQ(wheel.next(), kNever);
}

TEST(TimingWheel, WhatIsSetInThePastIsDueAtOnce)
{
    TimingWheel wheel;
    wheel.resize(1);
    wheel.set(0, kT0);
    due(wheel, kT0 + 1s);
    wheel.set(0, kT0);
    EXPECT_EQ(due(wheel, kT0 + 1s), std::vector<std::uint32_t>{0});
}

TEST(TimingWheel, NodesMayBeSetAndTakenAwayWhileOthersAreServed)
{
    TimingWheel wheel;
    wheel.resize(3);
    for (std::uint32_t i = 0; i < 3; ++i) wheel.set(i, kT0);
    int calls = 0;
    wheel.expire(kT0, [&](std::uint32_t node) {
        ++calls;
        wheel.set(node, kT0 + 1ms);
        wheel.set((node + 1) % 3, kNever);
    });
    EXPECT_EQ(calls, 3);
}

// Against a plain map, with deadlines from a microsecond to beyond many turns, in steps that skip some.
TEST(TimingWheel, AgreesWithAMap)
{
    TimingWheel wheel;
    constexpr std::uint32_t kNodes = 300;
    wheel.resize(kNodes);
    std::map<std::uint32_t, TimePoint> reference;
    TimePoint now = kT0;
    std::uint64_t state = 1;
    const auto random = [&](std::uint64_t n) { return mix(++state) % n; };
    for (int round = 0; round < 20'000; ++round) {
        for (int i = 0; i < 3; ++i) {
            const auto node = static_cast<std::uint32_t>(random(kNodes));
            if (random(8) == 0) {
                wheel.set(node, kNever);
                reference.erase(node);
            } else {
                const auto at = now + Duration{random(std::uint64_t{1000} << random(22))};
                wheel.set(node, at);
                reference[node] = at;
            }
        }
        TimePoint earliest = kNever;
        for (const auto& [node, at] : reference) earliest = std::min(earliest, at);
        ASSERT_LE(wheel.next(), earliest);
        now += Duration{random(std::uint64_t{1000} << random(19))};
        std::map<std::uint32_t, TimePoint> expected;
        std::erase_if(reference, [&](const auto& e) { return e.second <= now && expected.insert(e).second; });
        auto nodes = due(wheel, now);
        std::sort(nodes.begin(), nodes.end());
        std::vector<std::uint32_t> wanted;
        for (const auto& [node, at] : expected) wanted.push_back(node);
        ASSERT_EQ(nodes, wanted) << round;
        EXPECT_GT(wheel.next(), now);
    }
}

}  // namespace
}  // namespace culvert::bfd
