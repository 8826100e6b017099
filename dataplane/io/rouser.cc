#include "dataplane/io/rouser.h"

#include "dataplane/io/clock.h"
#include "dataplane/io/thread.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <span>
#include <string>

namespace culvert::io {
namespace {

constexpr std::size_t kThreads = 2;

void allow(pid_t thread, std::span<const unsigned> cpus) noexcept
{
    cpu_set_t set;
    CPU_ZERO(&set);
    for (const unsigned cpu : cpus) CPU_SET(cpu, &set);
    sched_setaffinity(thread, sizeof set, &set);
}

}  // namespace

void Rouser::Sleeper::watch(bool on) noexcept
{
    if (watched_.load(std::memory_order_relaxed) == on) return;
    {
        const std::lock_guard hold{mutex_};
        thread_ = gettid();
        watched_.store(on, std::memory_order_relaxed);
        if (!on) rouser_.let_go(*this);
    }
    rouser_.watched_.fetch_add(on ? 1 : -1, std::memory_order_relaxed);
    if (on) rouser_.watched_.notify_all();
}

Rouser::Sleeper& Rouser::add(api::Wake& wake)
{
    return *sleepers_.emplace_back(std::make_unique<Sleeper>(*this, wake));
}

void Rouser::start()
{
    if (cpus_.size() < kThreads) return;
    for (std::size_t i = 0; i < kThreads; ++i) threads_.emplace_back([this, cpu = cpus_[i]] { run(cpu); });
}

void Rouser::stop()
{
    stopping_.store(true, std::memory_order_relaxed);
    watched_.fetch_add(1, std::memory_order_relaxed);
    watched_.notify_all();
    for (auto& thread : threads_) thread.join();
    threads_.clear();
}

void Rouser::run(unsigned cpu)
{
    name_thread("culvert-rouse" + std::to_string(cpu));
    exact_timers();
    if (!pin_thread(cpu)) return;  // that CPU went; the other thread goes on
    set_realtime(true, 1);         // without the right to it, sleepers are like others too
    while (true) {
        watched_.wait(0, std::memory_order_relaxed);
        if (stopping_.load(std::memory_order_relaxed)) return;
        const auto now = monotonic_now();
        auto next = now + kLongLook;
        for (const auto& sleeper : sleepers_) next = std::min(next, look(*sleeper, cpu, now));
        std::this_thread::sleep_for(next - monotonic_now());
    }
}

TimePoint Rouser::look(Sleeper& sleeper, unsigned cpu, TimePoint now) const noexcept
{
    if (!sleeper.watched_.load(std::memory_order_relaxed)) return kNever;
    // Held: the other one of us is busy with it.
    const std::unique_lock hold{sleeper.mutex_, std::try_to_lock};
    if (!hold || !sleeper.watched_.load(std::memory_order_relaxed)) return now + kPatience;

    const auto due = sleeper.due_.load(std::memory_order_acquire);
    const TimePoint late{Duration{due} + (due == Sleeper::kUp ? Duration{} : kPatience)};
    if (late > now) {
        if (sleeper.moved_ != TimePoint{}) let_go(sleeper);
        return due == Sleeper::kUp ? now + kLook : std::max(late, now + kPatience);
    }
    if (now - sleeper.moved_ >= kPatience) {
        sleeper.moved_ = now;
        sleeper.moves_.fetch_add(1, std::memory_order_relaxed);
        // It waits for a CPU: to this one's queue at once. Or its timer was on a CPU that stands still.
        allow(sleeper.thread_, {&cpu, 1});
        sleeper.wake_.signal();
    }
    return now + kPatience;
}

void Rouser::let_go(Sleeper& sleeper) const noexcept
{
    if (sleeper.moved_ == TimePoint{}) return;
    allow(sleeper.thread_, cpus_);
    sleeper.moved_ = {};
}

}  // namespace culvert::io
