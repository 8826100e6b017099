#pragma once

#include "base/time.h"
#include "dataplane/api/wake.h"

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <limits>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace culvert::io {

// Sees to it that sleepers get up in time. A real-time thread that was woken waits all the same while its CPU is inside
// the kernel for an ordinary one, where the kernel isn't a preemptible one, or while the hypervisor doesn't run that
// CPU: 18 ms were seen with ordinary threads on the other CPU (docs/adr/0021). Two threads, each bound to a CPU of its
// own and before all sleepers, look after those that should be up by now, and take them to their own CPU for a moment.
class Rouser {
public:
    static constexpr Duration kPatience = 2ms;   // late by so much: it is taken elsewhere
    static constexpr Duration kLook = 5ms;       // at one that is up: it may go to sleep at any time
    static constexpr Duration kLongLook = 25ms;  // the longest between two looks at any

    // What a thread tells of its sleep.
    class Sleeper {
    public:
        Sleeper(Rouser& rouser, api::Wake& wake) noexcept : rouser_(rouser), wake_(wake) {}

        // All by the sleeper's own thread. Only while it is watched it is moved.
        void watch(bool on) noexcept;
        // It blocks, but at `due` it must be up.
        void begin(TimePoint due) noexcept { due_.store(due.time_since_epoch().count(), std::memory_order_release); }
        void end() noexcept { due_.store(kUp, std::memory_order_release); }

        // How often it was taken to another CPU. Any thread.
        std::uint64_t moves() const noexcept { return moves_.load(std::memory_order_relaxed); }

    private:
        friend class Rouser;
        static constexpr std::int64_t kUp = std::numeric_limits<std::int64_t>::max();

        Rouser& rouser_;
        api::Wake& wake_;
        std::atomic<std::int64_t> due_{kUp};
        std::atomic<bool> watched_{false};
        std::atomic<std::uint64_t> moves_{0};
        std::mutex mutex_;
        pid_t thread_ = 0;
        TimePoint moved_{};  // none: it may run everywhere
    };

    // `cpus`: where sleepers may run. With fewer than two nobody is looked after.
    explicit Rouser(std::vector<unsigned> cpus) noexcept : cpus_(std::move(cpus)) {}
    ~Rouser() { stop(); }
    Rouser(const Rouser&) = delete;
    Rouser& operator=(const Rouser&) = delete;

    // Before start().
    Sleeper& add(api::Wake& wake);
    void start();
    // When no sleeper is watched any more.
    void stop();

private:
    void run(unsigned cpu);
    // When to look again.
    TimePoint look(Sleeper& sleeper, unsigned cpu, TimePoint now) const noexcept;
    void let_go(Sleeper& sleeper) const noexcept;

    std::vector<unsigned> cpus_;
    std::vector<std::unique_ptr<Sleeper>> sleepers_;
    std::atomic<int> watched_{0};
    std::atomic<bool> stopping_{false};
    std::vector<std::thread> threads_;
};

}  // namespace culvert::io
