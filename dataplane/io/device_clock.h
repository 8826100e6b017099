#pragma once

#include "base/time.h"

#include <cstdint>
#include <optional>

namespace culvert::io {

// The clock of a device that stamps frames, mapped to ours. It drifts, is set anew, and counts in units of its own.
// Two ways to learn it: sync() when it can be read (rte_eth_read_clock, or the kernel's wall clock), observe() when it
// can only be seen in frames: of many, the one that was on its way for the shortest time tells most.
// What can't be trusted is no answer: the reader has a clock of its own to fall back on.
class DeviceClock {
public:
    // Nanoseconds a tick, as far as it is known beforehand; 0: not at all, and only sync() can tell.
    explicit DeviceClock(double nominal = 0) noexcept : nominal_(nominal), rate_(nominal) {}

    // Both clocks at one moment. Every kSync, or now and then.
    void sync(std::uint64_t ticks, TimePoint now) noexcept;
    // A stamp in a frame that was found at `now`.
    void observe(std::uint64_t ticks, TimePoint now) noexcept;

    // When that was; nothing when the clock isn't known well enough, or `ticks` can't be of a frame found at `now`.
    std::optional<TimePoint> at(std::uint64_t ticks, TimePoint now) const noexcept;

    static constexpr Duration kSync = 10ms;

private:
    static constexpr Duration kBaseline = 1s;    // the rate is measured over about so long
    static constexpr Duration kWindow = 100ms;   // observe() takes the best of each
    static constexpr Duration kLeap = 1ms;       // an error that is no drift
    static constexpr double kMostDrift = 0.001;  // against the nominal rate
    static constexpr Duration kOldest = 1s;      // no frame waits longer for us

    struct Pair {
        std::uint64_t ticks = 0;
        TimePoint time{};
    };
    double elapsed(std::uint64_t from, std::uint64_t to) const noexcept;  // nanoseconds
    void restart(Pair pair) noexcept;

    double nominal_;
    double rate_;
    int pairs_ = 0;  // since the last restart, at most 3
    Pair base_, next_base_, last_;
    bool window_open_ = false;
    TimePoint window_end_{};
    Pair best_;
};

}  // namespace culvert::io
