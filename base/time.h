#pragma once

#include <chrono>
#include <cstdint>

namespace culvert {

using Duration = std::chrono::nanoseconds;

// The one time base: monotonic, nanoseconds. It has no now() here on purpose: engines are told the time. The clocks
// that read it live in controlplane/runtime and dataplane/io, and the simulator's in tests/sim.
struct MonotonicTime {
    using duration = Duration;
    using rep = duration::rep;
    using period = duration::period;
    using time_point = std::chrono::time_point<MonotonicTime>;
    static constexpr bool is_steady = true;
};

using TimePoint = MonotonicTime::time_point;

// "Nothing to wait for", as next_deadline() of an engine says it.
inline constexpr TimePoint kNever = TimePoint::max();

using namespace std::chrono_literals;

}  // namespace culvert
