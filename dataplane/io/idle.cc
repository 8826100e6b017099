#include "dataplane/io/idle.h"

#include "base/check.h"
#include "dataplane/io/clock.h"

#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace culvert::io {
namespace {

constexpr Duration kShortestSleep = 20us;  // waking up takes about this long
constexpr Duration kShortestPoll = 50us;
constexpr Duration kLongestPoll = 1ms;

}  // namespace

Idle::Idle(api::Wake& wake, const Options& options)
    : wake_(wake),
      options_(options),
      epoll_(epoll_create1(EPOLL_CLOEXEC)),
      timer_(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK))
{
    CULVERT_CHECK(epoll_ >= 0 && timer_ >= 0);
    const int fds[] = {wake_.fd(), timer_};
    for (const int fd : fds) {
        epoll_event event{};
        event.events = EPOLLIN;
        event.data.fd = fd;
        CULVERT_CHECK(epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) == 0);
    }
}

Idle::~Idle()
{
    close(timer_);
    close(epoll_);
}

void Idle::add_queue(std::span<const int> fds)
{
    if (fds.empty()) ++polled_queues_;
    for (const int fd : fds) {
        epoll_event event{};
        event.events = EPOLLIN;
        event.data.fd = fd;
        // Queues of one DPDK port may share a descriptor.
        CULVERT_CHECK(epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) == 0 || errno == EEXIST);
    }
}

void Idle::remove_queue(std::span<const int> fds)
{
    if (fds.empty()) {
        CULVERT_CHECK(polled_queues_ > 0);
        --polled_queues_;
    }
    for (const int fd : fds) epoll_ctl(epoll_, EPOLL_CTL_DEL, fd, nullptr);
}

void Idle::set_timer(TimePoint at) noexcept
{
    if (at == timer_at_) return;
    timer_at_ = at;
    itimerspec spec{};
    if (at != kNever) {
        // A zero value would disarm the timer.
        const auto ns = std::max<std::int64_t>(at.time_since_epoch().count(), 1);
        spec.it_value.tv_sec = ns / 1'000'000'000;
        spec.it_value.tv_nsec = ns % 1'000'000'000;
    }
    timerfd_settime(timer_, TFD_TIMER_ABSTIME, &spec, nullptr);
}

bool Idle::after_round(bool found, TimePoint now, TimePoint deadline, IdleHooks& hooks) noexcept
{
    if (found) {
        empty_rounds_ = 0;
        return false;
    }
    if (options_.busy) return false;
    if (empty_rounds_ == 0) idle_since_ = now;
    if (empty_rounds_ <= options_.spins) ++empty_rounds_;
    if (empty_rounds_ <= options_.spins) return false;

    TimePoint until = deadline;
    if (polled_queues_ > 0)
        until = std::min(until, now + std::clamp((now - idle_since_) / 8, kShortestPoll, kLongestPoll));
    // The round itself took time: ask again, or a deadline that came near meanwhile would be slept over.
    if (until != kNever && until - monotonic_now() < kShortestSleep) return false;

    wake_.arm();
    if (hooks.work_waiting()) {
        wake_.disarm();
        return false;
    }
    set_timer(until);
    hooks.going_to_sleep();
    epoll_event events[8];
    epoll_wait(epoll_, events, 8, -1);
    hooks.woken();
    wake_.disarm();
    // A timer that has fired stays readable until it is set anew; the same deadline must not be taken as set.
    if (timer_at_ != kNever && timer_at_ <= monotonic_now()) {
        std::uint64_t fired;
        [[maybe_unused]] const auto n = read(timer_, &fired, sizeof fired);
        timer_at_ = kNever;
    }
    ++sleeps_;
    return true;
}

}  // namespace culvert::io
