#include "dataplane/reception.h"

#include <gtest/gtest.h>

namespace culvert::dataplane {
namespace {

constexpr TimePoint kT0{1h};

TEST(Reception, AnEmptiedQueueIsHeardUntilTheBurstBegan)
{
    Reception r;
    r.received(0, true, kT0);
    EXPECT_EQ(r.heard_until(), kT0);
    r.received(5, true, kT0 + 1ms);
    EXPECT_EQ(r.heard_until(), kT0 + 1ms);
}

TEST(Reception, AQueueThatIsNeverEmptyIsHeardARingLater)
{
    Reception r;
    r.received(0, true, kT0);
    auto now = kT0;
    for (std::size_t n = 0; n + 64 < Reception::kRing; n += 64) {
        now += 10us;
        r.received(64, false, now);
        EXPECT_EQ(r.heard_until(), kT0);
    }
    r.received(64, false, now + 10us);
    EXPECT_EQ(r.heard_until(), kT0) << "the mark, set when it was last empty";
    const auto marked = now + 10us;
    for (std::size_t n = 0; n < Reception::kRing; n += 64) r.received(64, false, marked + 1ms);
    EXPECT_EQ(r.heard_until(), marked);
}

TEST(Reception, ADevicesStampTellsAtOnce)
{
    Reception r;
    r.received(64, false, kT0 + 9ms);
    r.stamped(kT0 + 3ms);
    EXPECT_EQ(r.heard_until(), kT0 + 3ms);
    r.stamped(kT0 + 1ms);
    EXPECT_EQ(r.heard_until(), kT0 + 3ms);
}

}  // namespace
}  // namespace culvert::dataplane
