#pragma once

#include "base/time.h"
#include "dataplane/fib/rcu.h"
#include "dataplane/io/clock.h"
#include "dataplane/io/rouser.h"
#include "dataplane/io/thread.h"

#include <string>
#include <utility>

namespace culvert::dataplane {

// Of a thread with BFD sessions to serve: it goes before all others, for as long as it lets them live. A real-time
// thread that is never idle would lose its CPU for 50 ms of each second (sched_rt_runtime_us), so it rests by itself
// before that, for a moment (docs/adr/0021). Those of several culvertd that share a CPU rest at the same time, or none
// of them would leave it to others. A worker that never sleeps has a CPU of its own and needs none of this.
class Urgency {
public:
    // `sleeper`: null for a thread that nobody is to move.
    Urgency(std::string thread, io::Rouser::Sleeper* sleeper) : thread_(std::move(thread)), sleeper_(sleeper) {}

    // After each round that began at `now`. `due`: when the thread is to be up at the latest.
    void mind(bool urgent, TimePoint now, TimePoint due, fib::Rcu::Reader& reader, io::TscClock& clock) noexcept
    {
        if (urgent != urgent_) change(urgent, now);
        if (realtime_ && now >= rest_check_) rest(due, reader, clock);
    }

private:
    static constexpr Duration kRestPeriod = 10ms;
    static constexpr int kShares = 10;  // one of them is others'
    static constexpr Duration kRest = kRestPeriod / kShares;

    void change(bool urgent, TimePoint now) noexcept;
    void rest(TimePoint due, fib::Rcu::Reader& reader, io::TscClock& clock) noexcept;
    void begin_period(TimePoint now) noexcept;
    Duration wanted() noexcept { return io::thread_cpu_time() + waited_.read(); }

    std::string thread_;
    io::Rouser::Sleeper* sleeper_;
    io::WaitTime waited_;
    bool urgent_ = false;
    bool realtime_ = false;   // SCHED_FIFO
    TimePoint rest_check_{};  // a multiple of kRestPeriod
    TimePoint since_{};
    Duration wanted_{};  // of the CPU, until since_
};

}  // namespace culvert::dataplane
