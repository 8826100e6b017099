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
    rest_check_ = now + kRestPeriod;
    cpu_used_ = io::thread_cpu_time();
}

void Urgency::rest(fib::Rcu::Reader& reader, io::TscClock& clock) noexcept
{
    const auto used = io::thread_cpu_time();
    if (used - cpu_used_ > kRestPeriod - kRest) {
        reader.offline();
        std::this_thread::sleep_for(kRest);
        reader.online();
    }
    cpu_used_ = io::thread_cpu_time();
    rest_check_ = clock.now() + kRestPeriod;
}

}  // namespace culvert::dataplane
