#pragma once

#include "base/time.h"
#include "dataplane/api/wake.h"

#include <cstdint>
#include <span>
#include <vector>

namespace culvert::io {

// What the sleeper asks of the worker around a sleep.
class IdleHooks {
public:
    virtual ~IdleHooks() = default;
    // Looked at once more after the wake descriptor is armed: anything queued in memory, or Port::pending().
    virtual bool work_waiting() noexcept = 0;
    virtual void going_to_sleep() noexcept = 0;  // RCU offline; hold no table pointer
    virtual void woken() noexcept = 0;           // RCU online
};

// The bounded adaptive rule. After `spins` polls that found nothing the worker sleeps on its ports' descriptors, its
// wake descriptor and a timer for the next deadline. Queues without a descriptor bound the sleep: 50 us at first, up to
// 1 ms as the silence lasts. With `busy` it never sleeps. Belongs to the worker's thread, but for its construction.
class Idle {
public:
    struct Options {
        bool busy = false;
        unsigned spins = 16;
    };

    Idle(api::Wake& wake, const Options& options);
    ~Idle();
    Idle(const Idle&) = delete;
    Idle& operator=(const Idle&) = delete;

    // The sleep set: a queue's wait_fds(). An empty span is a queue that must be polled.
    void add_queue(std::span<const int> fds);
    // With the same span as add_queue, before the descriptors are closed.
    void remove_queue(std::span<const int> fds);

    // After each poll round. `now` is when the round began; `deadline` (kNever: none) is when the next timer is due.
    // Sleeps at most until then, and not at all when it is nearer than a sleep is exact. True: it slept.
    bool after_round(bool found, TimePoint now, TimePoint deadline, IdleHooks& hooks) noexcept;

    std::uint64_t sleeps() const noexcept { return sleeps_; }

private:
    void set_timer(TimePoint at) noexcept;

    api::Wake& wake_;
    Options options_;
    int epoll_;
    int timer_;
    unsigned empty_rounds_ = 0;
    unsigned polled_queues_ = 0;
    TimePoint idle_since_{};
    TimePoint timer_at_ = kNever;
    std::uint64_t sleeps_ = 0;
};

}  // namespace culvert::io
