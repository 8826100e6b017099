#include "dataplane/io/clock.h"

#include <cpuid.h>

#include <ctime>

namespace culvert::io {
namespace {

constexpr std::int64_t kMeasureNs = 2'000'000;
constexpr std::int64_t kResyncNs = 10'000'000;
constexpr std::int64_t kBendNs = 100'000'000;  // an error is spread over this long
constexpr std::int64_t kLeapNs = 10'000'000;   // later than this: the machine slept
constexpr std::int64_t kMaxBend = 20;          // the rate bends by at most a twentieth

// CPUID 8000_0007h EDX bit 8: the TSC runs at a constant rate in all power states. A guest may hide it although the
// kernel's own clock is the TSC, so now() is right without it too (resync bounds the error); what is needed is a TSC.
bool has_tsc() noexcept
{
    unsigned a, b, c, d;
    return __get_cpuid(1, &a, &b, &c, &d) != 0 && (d & (1U << 4)) != 0;
}

struct Pair {
    std::uint64_t tsc;
    std::int64_t ns;
};

// Both clocks at one moment: the tightest of a few tries, so that a preemption between the reads doesn't count.
Pair read_both() noexcept
{
    Pair best{};
    std::uint64_t width = UINT64_MAX;
    for (int i = 0; i < 4; ++i) {
        const std::uint64_t before = TscClock::read_tsc();
        const std::int64_t ns = monotonic_now().time_since_epoch().count();
        const std::uint64_t after = TscClock::read_tsc();
        if (after - before < width) {
            width = after - before;
            best = {before + width / 2, ns};
        }
    }
    return best;
}

}  // namespace

TimePoint monotonic_now() noexcept
{
    timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return TimePoint{Duration{t.tv_sec * 1'000'000'000LL + t.tv_nsec}};
}

TscClock::TscClock() noexcept
{
    if (!has_tsc()) return;
    const Pair start = read_both();
    Pair end = start;
    while (end.ns - start.ns < kMeasureNs) end = read_both();
    if (end.tsc <= start.tsc) return;

    first_tsc_ = start.tsc;
    first_ns_ = start.ns;
    const auto ticks = end.tsc - start.tsc;
    const auto ns = static_cast<std::uint64_t>(end.ns - start.ns);
    ns_per_tick_ = static_cast<std::uint64_t>((static_cast<unsigned __int128>(ns) << kShift) / ticks);
    ticks_per_second_ = static_cast<std::uint64_t>(static_cast<unsigned __int128>(ticks) * 1'000'000'000U / ns);
    resync_after_ = ticks_per_second_ / (1'000'000'000U / kResyncNs);
    base_tsc_ = end.tsc;
    base_ns_ = end.ns;
    usable_ = ticks_per_second_ > 1'000'000;
}

void TscClock::resync() noexcept
{
    if (!usable_) return;
    const Pair real = read_both();
    const std::int64_t ours = at(real.tsc).time_since_epoch().count();
    const std::int64_t late = real.ns - ours;

    if (real.tsc <= first_tsc_ || late > kLeapNs) {
        // The TSC stood still or was set: measure afresh from here, at the rate known so far.
        first_tsc_ = real.tsc;
        first_ns_ = real.ns;
        base_tsc_ = real.tsc;
        base_ns_ = late > 0 ? real.ns : ours;
        return;
    }

    const auto ticks = real.tsc - first_tsc_;
    const auto elapsed = real.ns - first_ns_;
    std::uint64_t rate = ns_per_tick_;
    if (elapsed >= kMeasureNs) {
        rate = static_cast<std::uint64_t>((static_cast<unsigned __int128>(elapsed) << kShift) / ticks);
        ticks_per_second_ = static_cast<std::uint64_t>(static_cast<unsigned __int128>(ticks) * 1'000'000'000U /
                                                       static_cast<std::uint64_t>(elapsed));
    }

    auto bend = static_cast<std::int64_t>(static_cast<__int128>(rate) * late / kBendNs);
    const auto most = static_cast<std::int64_t>(rate) / kMaxBend;
    if (bend > most) bend = most;
    if (bend < -most) bend = -most;
    ns_per_tick_ = rate + static_cast<std::uint64_t>(bend);
    base_tsc_ = real.tsc;
    base_ns_ = ours;
}

}  // namespace culvert::io
