#include "dataplane/io/clock.h"

#include <gtest/gtest.h>

#include <ctime>

namespace culvert::io {
namespace {

TEST(TscClock, NeverGoesBackAndStaysWithTheKernelsClock)
{
    TscClock clock;
    TimePoint last = clock.now();
    const TimePoint end = monotonic_now() + 300ms;
    Duration worst{};
    while (monotonic_now() < end) {
        // Between two readings of the kernel's clock, so that a preemption doesn't count.
        const TimePoint before = monotonic_now();
        const TimePoint now = clock.now();
        const TimePoint after = monotonic_now();
        ASSERT_GE(now, last);
        last = now;
        if (now < before) worst = std::max(worst, before - now);
        if (now > after) worst = std::max(worst, now - after);
    }
    EXPECT_LT(worst, 50us);
    EXPECT_GT(clock.ticks_per_second(), 100'000'000U);
}

TEST(TscClock, IsRightAtOnceAfterALongSleep)
{
    TscClock clock;
    clock.now();
    const timespec pause{0, 120'000'000};
    nanosleep(&pause, nullptr);
    const TimePoint before = monotonic_now();
    const TimePoint now = clock.now();
    const TimePoint after = monotonic_now();
    EXPECT_GT(now, before - 1ms);
    EXPECT_LT(now, after + 1ms);
}

}  // namespace
}  // namespace culvert::io
