#include "controlplane/runtime/loop.h"

#include "base/check.h"

#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>

namespace culvert::runtime {
namespace {

// Nothing in the loop may take longer in one go (docs/architecture.md, threads).
constexpr auto kSlice = 4ms;

}  // namespace

TimePoint now() noexcept
{
    timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return TimePoint{std::chrono::seconds{t.tv_sec} + std::chrono::nanoseconds{t.tv_nsec}};
}

Loop::Watch& Loop::Watch::operator=(Watch&& other) noexcept
{
    if (this != &other) {
        reset();
        loop_ = std::exchange(other.loop_, nullptr);
        fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
}

void Loop::Watch::reset() noexcept
{
    if (!loop_) return;
    epoll_ctl(loop_->epoll_, EPOLL_CTL_DEL, fd_, nullptr);
    loop_->entries_.erase(fd_);
    loop_ = nullptr;
}

void Loop::Watch::set_events(std::uint32_t events)
{
    epoll_event e{};
    e.events = events;
    e.data.u64 = (loop_->entries_.at(fd_)->serial << 32) | static_cast<std::uint32_t>(fd_);
    CULVERT_CHECK(epoll_ctl(loop_->epoll_, EPOLL_CTL_MOD, fd_, &e) == 0);
}

Loop::Timer::Timer(Loop& loop, Handler handler) : loop_(&loop), handler_(std::move(handler)), place_(loop.timers_.end())
{}

Loop::Timer::~Timer()
{
    if (loop_) set(kNever);
}

void Loop::Timer::set(TimePoint at)
{
    if (at == at_) return;
    if (at_ != kNever) loop_->timers_.erase(place_);
    at_ = at;
    if (at != kNever) place_ = loop_->timers_.emplace(at, this);
}

Loop::Loop() : epoll_(epoll_create1(EPOLL_CLOEXEC)) { CULVERT_CHECK(epoll_ >= 0); }

Loop::~Loop() { close(epoll_); }

Loop::Watch Loop::watch(int fd, std::uint32_t events, FdHandler handler)
{
    epoll_event e{};
    e.events = events;
    // The serial tells a descriptor's new owner from events that are still queued for the old one.
    e.data.u64 = ((++serial_ & 0xffffffff) << 32) | static_cast<std::uint32_t>(fd);
    CULVERT_CHECK(epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &e) == 0);
    entries_[fd] = std::make_shared<Entry>(Entry{std::move(handler), serial_ & 0xffffffff});
    return {this, fd};
}

void Loop::post(Handler handler) { posted_.push_back(std::move(handler)); }

void Loop::run_timers()
{
    const auto at = now();
    while (!timers_.empty() && timers_.begin()->first <= at && !stopping_) {
        auto* timer = timers_.begin()->second;
        timers_.erase(timers_.begin());
        timer->at_ = kNever;
        timer->handler_();
    }
}

void Loop::run_posted()
{
    std::vector<Handler> handlers;
    handlers.swap(posted_);
    for (auto& h : handlers) h();
}

void Loop::run()
{
    std::array<epoll_event, 64> events;
    while (!stopping_) {
        std::int64_t wait_ms = -1;
        if (slice_pending_ || !posted_.empty()) {
            wait_ms = 0;
        } else if (!timers_.empty()) {
            const auto left = std::chrono::ceil<std::chrono::milliseconds>(timers_.begin()->first - now());
            wait_ms = std::clamp<std::int64_t>(left.count(), 0, 60'000);
        }
        const int n = epoll_wait(epoll_, events.data(), events.size(), static_cast<int>(wait_ms));
        const auto began = now();
        for (int i = 0; i < n && !stopping_; ++i) {
            const auto& event = events[static_cast<std::size_t>(i)];
            const auto fd = static_cast<int>(event.data.u64 & 0xffffffff);
            const auto at = entries_.find(fd);
            if (at == entries_.end() || at->second->serial != event.data.u64 >> 32) continue;
            const auto entry = at->second;  // survives its own removal
            entry->handler(event.events);
        }
        run_timers();
        run_posted();
        // What the slice itself asks for while it runs counts too.
        if (std::exchange(slice_pending_, false) && slice_ && slice_(now() + kSlice)) slice_pending_ = true;
        longest_turn_ = std::max(longest_turn_, now() - began);
    }
}

}  // namespace culvert::runtime
