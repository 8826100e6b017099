#include "dataplane/io/device_clock.h"

#include <cmath>
#include <cstdlib>

namespace culvert::io {
namespace {

double difference(std::uint64_t from, std::uint64_t to) noexcept
{
    return static_cast<double>(static_cast<std::int64_t>(to - from));
}

}  // namespace

double DeviceClock::elapsed(std::uint64_t from, std::uint64_t to) const noexcept
{
    return difference(from, to) * rate_;
}

void DeviceClock::restart(Pair pair) noexcept
{
    base_ = next_base_ = last_ = pair;
    rate_ = nominal_;
    pairs_ = 1;
}

void DeviceClock::sync(std::uint64_t ticks, TimePoint now) noexcept
{
    const Pair pair{ticks, now};
    if (pairs_ == 0) return restart(pair);
    const auto ran = difference(base_.ticks, ticks);
    const auto took = now - base_.time;
    if (took <= Duration{}) return;
    if (ran <= 0) return restart(pair);  // it stood still, or was set back

    const double measured = static_cast<double>(took.count()) / ran;
    if (nominal_ != 0 && std::abs(measured / nominal_ - 1) > kMostDrift) {
        // Right after a start a single late reading makes this much.
        if (took > 10 * kSync) restart(pair);
        return;
    }
    if (pairs_ >= 2) {
        const double error = static_cast<double>((now - last_.time).count()) - elapsed(last_.ticks, ticks);
        if (std::abs(error) > static_cast<double>(kLeap.count())) return restart(pair);
    }
    // Before that, one reading's own error would be a large part of it.
    if (took >= kSync) rate_ = measured;
    last_ = pair;
    if (pairs_ < 3) ++pairs_;
    if (now - next_base_.time >= kBaseline) {
        base_ = next_base_;
        next_base_ = pair;
    }
}

void DeviceClock::observe(std::uint64_t ticks, TimePoint now) noexcept
{
    if (nominal_ == 0) return;
    if (!window_open_) {
        window_open_ = true;
        window_end_ = now + kWindow;
        best_ = {ticks, now};
        return;
    }
    // On its way for a shorter time than the best so far, as far as the nominal rate tells within a window.
    if (static_cast<double>((now - best_.time).count()) < difference(best_.ticks, ticks) * nominal_)
        best_ = {ticks, now};
    if (now < window_end_) return;
    window_open_ = false;
    sync(best_.ticks, best_.time);
}

std::optional<TimePoint> DeviceClock::at(std::uint64_t ticks, TimePoint now) const noexcept
{
    if (pairs_ < 3) return std::nullopt;
    const auto t = last_.time + Duration{static_cast<std::int64_t>(elapsed(last_.ticks, ticks))};
    // A reading's error may put a frame a little into the future.
    if (t > now) return t - now < kLeap ? std::optional{now} : std::nullopt;
    if (now - t > kOldest) return std::nullopt;
    return t;
}

}  // namespace culvert::io
