#pragma once

#include "base/time.h"
#include "dataplane/fib/rcu.h"
#include "dataplane/io/clock.h"

#include <string>
#include <utility>

namespace culvert::dataplane {

// Of a thread with BFD sessions to serve: it goes before all others, for as long as it lets them live. A real-time
// thread that is never idle would lose its CPU for 50 ms of each second (sched_rt_runtime_us), so it rests by itself
// before that, for a moment (docs/adr/0021). Those of several culvertd that share a CPU rest at the same time, or none
// of them would leave it to others. A worker that never sleeps has a CPU of its own and needs none of this.
class Urgency {
public:
    explicit Urgency(std::string thread) : thread_(std::move(thread)) {}

    // After each round that began at `now`.
    void mind(bool urgent, TimePoint now, fib::Rcu::Reader& reader, io::TscClock& clock) noexcept
    {
        if (urgent != urgent_) change(urgent, now);
        if (realtime_ && now >= rest_check_) rest(reader, clock);
    }

private:
    static constexpr Duration kRestPeriod = 10ms;
    static constexpr int kShares = 10;  // one of them is others'
    static constexpr Duration kRest = kRestPeriod / kShares;

    void change(bool urgent, TimePoint now) noexcept;
    void rest(fib::Rcu::Reader& reader, io::TscClock& clock) noexcept;
    void begin_period(TimePoint now) noexcept;

    std::string thread_;
    bool urgent_ = false;
    bool realtime_ = false;   // SCHED_FIFO
    TimePoint rest_check_{};  // a multiple of kRestPeriod
    TimePoint since_{};
    Duration wanted_{};  // of the CPU, until since_
};

}  // namespace culvert::dataplane
