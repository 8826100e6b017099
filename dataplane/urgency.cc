#include "dataplane/urgency.h"

#include "base/log.h"
#include "dataplane/io/thread.h"

#include <thread>

namespace culvert::dataplane {

void Urgency::change(bool urgent, TimePoint now) noexcept
{
    urgent_ = urgent;
    realtime_ = io::set_realtime(urgent) && urgent;
    if (urgent && !realtime_)
        log::warning("worker", "{} may not use SCHED_FIFO (CAP_SYS_NICE): BFD may flap on a busy machine", thread_);
    begin_period(now);
}

void Urgency::rest(fib::Rcu::Reader& reader, io::TscClock& clock) noexcept
{
    // What it had of the CPU, and what others of its kind had while it waited.
    const auto wanted = io::thread_cpu_time() + io::thread_wait_time() - wanted_;
    if (wanted * kShares > (clock.now() - since_) * (kShares - 1)) {
        reader.offline();
        std::this_thread::sleep_for(kRest);
        reader.online();
    }
    begin_period(clock.now());
}

void Urgency::begin_period(TimePoint now) noexcept
{
    since_ = now;
    wanted_ = io::thread_cpu_time() + io::thread_wait_time();
    rest_check_ = now - now.time_since_epoch() % kRestPeriod + kRestPeriod;
}

}  // namespace culvert::dataplane
