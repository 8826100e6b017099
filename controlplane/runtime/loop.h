#pragma once

#include "base/time.h"

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <unordered_map>
#include <utility>
#include <vector>

namespace culvert::runtime {

// CLOCK_MONOTONIC, the epoch that the dataplane's mapped TSC has too.
TimePoint now() noexcept;

// The control thread's event loop: descriptors, timers, and work in slices. Everything runs on the thread that calls
// run(); handlers may add and remove descriptors and timers, their own included.
class Loop {
public:
    using FdHandler = std::function<void(std::uint32_t events)>;  // EPOLLIN, EPOLLOUT, ...
    using Handler = std::function<void()>;
    // Work that wants to go on gets the time at which it must return; true means "there is more".
    using SliceHandler = std::function<bool(TimePoint until)>;

    // Owns a registration: it ends with the object. The descriptor stays the caller's.
    class Watch {
    public:
        Watch() = default;
        Watch(Watch&& other) noexcept { *this = std::move(other); }
        Watch& operator=(Watch&& other) noexcept;
        ~Watch() { reset(); }
        void reset() noexcept;
        void set_events(std::uint32_t events);
        explicit operator bool() const noexcept { return loop_ != nullptr; }

    private:
        friend class Loop;
        Watch(Loop* loop, int fd) : loop_(loop), fd_(fd) {}
        Loop* loop_ = nullptr;
        int fd_ = -1;
    };

    // A deadline that can be moved; kNever turns it off.
    class Timer {
    public:
        Timer() = default;
        Timer(Loop& loop, Handler handler);
        Timer(const Timer&) = delete;
        Timer& operator=(const Timer&) = delete;
        Timer(Timer&&) = delete;
        ~Timer();
        void set(TimePoint at);
        TimePoint at() const noexcept { return at_; }

    private:
        friend class Loop;
        Loop* loop_ = nullptr;
        Handler handler_;
        TimePoint at_ = kNever;
        std::multimap<TimePoint, Timer*>::iterator place_;
    };

    Loop();
    ~Loop();
    Loop(const Loop&) = delete;
    Loop& operator=(const Loop&) = delete;

    [[nodiscard]] Watch watch(int fd, std::uint32_t events, FdHandler handler);
    // Runs once after the handlers of this turn, before the loop sleeps again.
    void post(Handler handler);
    // Called once a turn for as long as it says that there is more; no sleep in between.
    void set_slice(SliceHandler handler) { slice_ = std::move(handler); }
    void wake_slice() noexcept { slice_pending_ = true; }

    void run();
    void stop() noexcept { stopping_ = true; }

    Duration longest_turn() const noexcept { return longest_turn_; }

private:
    struct Entry {
        FdHandler handler;
        std::uint64_t serial;
    };

    void run_timers();
    void run_posted();

    int epoll_;
    bool stopping_ = false;
    bool slice_pending_ = false;
    std::uint64_t serial_ = 0;
    std::unordered_map<int, std::shared_ptr<Entry>> entries_;
    std::multimap<TimePoint, Timer*> timers_;
    std::vector<Handler> posted_;
    SliceHandler slice_;
    Duration longest_turn_{};
};

}  // namespace culvert::runtime
