#include "dataplane/urgency.h"

#include "base/log.h"

#include <algorithm>
#include <thread>

namespace culvert::dataplane {

void Urgency::change(bool urgent, TimePoint now) noexcept
{
    urgent_ = urgent;
    realtime_ = io::set_realtime(urgent) && urgent;
    if (urgent && !realtime_)
        log::warning("worker", "{} may not use SCHED_FIFO (CAP_SYS_NICE): BFD may flap on a busy machine", thread_);
    if (sleeper_ != nullptr) sleeper_->watch(realtime_);
    begin_period(now);
}

void Urgency::rest(TimePoint due, fib::Rcu::Reader& reader, io::TscClock& clock) noexcept
{
    // What it had of the CPU, and what others of its kind had while it waited.
    const auto now = clock.now();
    if ((wanted() - wanted_) * kShares > (now - since_) * (kShares - 1)) {
        reader.offline();
        if (sleeper_ != nullptr) sleeper_->begin(std::max(due, now + kRest));
        std::this_thread::sleep_for(kRest);
        if (sleeper_ != nullptr) sleeper_->end();
        reader.online();
    }
    begin_period(clock.now());
}

void Urgency::begin_period(TimePoint now) noexcept
{
    since_ = now;
    wanted_ = wanted();
    rest_check_ = now - now.time_since_epoch() % kRestPeriod + kRestPeriod;
}

}  // namespace culvert::dataplane
