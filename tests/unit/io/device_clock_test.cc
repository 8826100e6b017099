#include "dataplane/io/device_clock.h"

#include "base/ip.h"

#include <gtest/gtest.h>

#include <cmath>

namespace culvert::io {
namespace {

constexpr TimePoint kT0{1h};

// A clock of `tick` nanoseconds that runs too fast by `drift`.
struct Device {
    double tick = 1;
    double drift = 0;
    std::uint64_t origin = 1'700'000'000'000'000'000;

    std::uint64_t at(TimePoint t) const
    {
        return origin + static_cast<std::uint64_t>(static_cast<double>((t - kT0).count()) * (1 + drift) / tick);
    }
};

double error_us(const DeviceClock& clock, const Device& device, TimePoint t, TimePoint now)
{
    const auto mapped = clock.at(device.at(t), now);
    return mapped ? std::abs(static_cast<double>((*mapped - t).count())) / 1000 : 1e9;
}

TEST(DeviceClock, KnowsNothingAtFirst)
{
    DeviceClock clock{1};
    EXPECT_FALSE(clock.at(5, kT0));
    clock.sync(5, kT0);
    EXPECT_FALSE(clock.at(5, kT0));
}

TEST(DeviceClock, FollowsADriftingClockThatCanBeRead)
{
    for (const double tick : {1.0, 6.4}) {
        for (const double drift : {-200e-6, 0.0, 50e-6, 200e-6}) {
            const Device device{.tick = tick, .drift = drift};
            DeviceClock clock{tick == 1 ? 1.0 : 0.0};  // the other kind doesn't say how fast it ticks
            std::uint64_t noise = 0;
            for (auto t = kT0; t < kT0 + 5s; t += DeviceClock::kSync) {
                // A reading takes up to a microsecond.
                clock.sync(device.at(t), t + Duration{mix(++noise) % 1000});
                if (t < kT0 + 100ms) continue;
                EXPECT_LT(error_us(clock, device, t + 7ms, t + 8ms), 3) << tick << ' ' << drift;
            }
        }
    }
}

TEST(DeviceClock, AClockThatIsSetAnewIsLearnedAnew)
{
    Device device;
    DeviceClock clock{1};
    auto t = kT0;
    for (; t < kT0 + 1s; t += 10ms) clock.sync(device.at(t), t);
    for (const auto step : {Duration{-1h}, Duration{5ms}, Duration{1h}}) {
        device.origin += static_cast<std::uint64_t>(step.count());
        const auto mapped = clock.at(device.at(t), t);
        EXPECT_TRUE(!mapped || *mapped <= t) << "never the future";
        for (int i = 0; i < 40; ++i, t += 10ms) clock.sync(device.at(t), t);
        EXPECT_LT(error_us(clock, device, t - 5ms, t), 3);
    }
}

// net_pcap's: microseconds, a clock that can't be read, frames that are found some time after they came.
TEST(DeviceClock, IsSeenThroughTheFramesWhenItCannotBeRead)
{
    for (const double drift : {-100e-6, 100e-6}) {
        const Device device{.tick = 1000, .drift = drift, .origin = 1'700'000'000'000'000};
        DeviceClock clock{1000};
        std::uint64_t noise = 0;
        for (auto t = kT0; t < kT0 + 5s; t += 500us) {
            const auto delay = Duration{20'000 + mix(++noise) % 2'000'000};
            clock.observe(device.at(t), t + delay);
            if (t < kT0 + 1s) continue;
            EXPECT_LT(error_us(clock, device, t, t + delay), 120)
                << "the shortest delay, a tick, and the drift of a window";
        }
    }
}

TEST(DeviceClock, StampsThatStandStillAreNoClock)
{
    DeviceClock clock{1000};
    for (auto t = kT0; t < kT0 + 3s; t += 1ms) {
        clock.observe(42, t);
        EXPECT_FALSE(clock.at(42, t));
    }
}

TEST(DeviceClock, WhatIsTooOldOrOfTheFutureIsNoAnswer)
{
    const Device device;
    DeviceClock clock{1};
    for (auto t = kT0; t < kT0 + 3s; t += 10ms) clock.sync(device.at(t), t);
    const auto now = kT0 + 3s;
    EXPECT_FALSE(clock.at(device.at(now - 1100ms), now));
    EXPECT_FALSE(clock.at(device.at(now + 2ms), now));
    EXPECT_EQ(clock.at(device.at(now + 10us), now), now);
    EXPECT_TRUE(clock.at(device.at(now - 300ms), now));
}

}  // namespace
}  // namespace culvert::io
