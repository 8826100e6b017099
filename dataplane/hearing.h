#pragma once

#include "base/time.h"

#include <algorithm>
#include <atomic>
#include <cstdint>

namespace culvert::dataplane {

// How far reception of one worker has got, and of those that hand over to it: before a BFD session is said to be down,
// everything that came for it has been looked at. Others read heard(); the rest is of the worker's thread.
class Hearing {
public:
    // All that came in by our queues up to then has been looked at, or lies in the inbox of the worker that it is for.
    void heard_until(TimePoint t) noexcept { heard_.store(t.time_since_epoch().count(), std::memory_order_release); }
    TimePoint heard() const noexcept { return TimePoint{Duration{heard_.load(std::memory_order_acquire)}}; }

    // The least of the other workers', all of whose packets for us were taken.
    void others_heard_until(TimePoint t) noexcept { others_heard_ = t; }

    // Ours alone, and with that of the workers that hand over to us. One of them that is held up for long has no say.
    TimePoint own() const noexcept { return TimePoint{Duration{heard_.load(std::memory_order_relaxed)}}; }
    TimePoint with_others(TimePoint now) const noexcept
    {
        return std::min(own(), std::max(others_heard_, now - kLongestSilence));
    }

private:
    static constexpr Duration kLongestSilence = 20ms;  // of another worker that is waited for before a BFD verdict

    std::atomic<std::int64_t> heard_{0};
    TimePoint others_heard_{};
};

}  // namespace culvert::dataplane
