#pragma once

#include "base/time.h"

#include <cstdint>

namespace culvert::io {

// CLOCK_MONOTONIC as a TimePoint: what the control plane uses.
TimePoint monotonic_now() noexcept;

// The same time from the TSC, at the cost of one rdtsc. One a thread. now() never goes back; resync() compares with
// CLOCK_MONOTONIC and bends the rate so that an error is gone a tenth of a second later, without a jump (only after a
// suspend, when it is late by more than 10 ms, it leaps ahead). On a machine whose TSC can't be trusted, now() asks the
// kernel.
class TscClock {
public:
    TscClock() noexcept;  // takes 2 ms: measures the rate

    TimePoint now() noexcept
    {
        if (!usable_) return monotonic_now();
        const std::uint64_t tsc = read_tsc();
        if (tsc - base_tsc_ > resync_after_) [[unlikely]]
            resync();
        return at(tsc);
    }
    // The time of a TSC value that was read just now.
    TimePoint at(std::uint64_t tsc) const noexcept
    {
        const auto delta = static_cast<std::int64_t>(tsc - base_tsc_);
        if (delta <= 0) return TimePoint{Duration{base_ns_}};
        return TimePoint{Duration{
            base_ns_ + static_cast<std::int64_t>((static_cast<unsigned __int128>(delta) * ns_per_tick_) >> kShift)}};
    }
    // now() calls it every 10 ms of TSC time; call it too after a long sleep.
    void resync() noexcept;

    std::uint64_t ticks_per_second() const noexcept { return ticks_per_second_; }
    static std::uint64_t read_tsc() noexcept { return __builtin_ia32_rdtsc(); }

private:
    static constexpr int kShift = 32;

    bool usable_ = false;
    std::uint64_t base_tsc_ = 0;
    std::int64_t base_ns_ = 0;
    std::uint64_t ns_per_tick_ = 0;   // with the bend that corrects the last error, 32.32
    std::uint64_t resync_after_ = 0;  // ticks
    std::uint64_t ticks_per_second_ = 0;
    std::uint64_t first_tsc_ = 0;  // the rate is measured from here on, ever more exactly
    std::int64_t first_ns_ = 0;
};

}  // namespace culvert::io
