#pragma once

#include "base/result.h"
#include "base/time.h"

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

namespace culvert::io {

// The CPUs that the process may run on.
std::vector<unsigned> allowed_cpus();

// For the calling thread. At most 15 characters ("culvert-w0").
void name_thread(const std::string& name);
Result<void, std::string> pin_thread(unsigned cpu);
// The calling thread before all normal ones (SCHED_FIFO, `above` the lowest priority), or like them again. False: it
// may not.
bool set_realtime(bool on, int above = 0) noexcept;
// That the calling thread has used.
Duration thread_cpu_time() noexcept;
// That it was ready to run while others had its CPU; 0 where the kernel doesn't count that. Of the thread that asks
// first.
class WaitTime {
public:
    WaitTime() = default;
    ~WaitTime();
    WaitTime(const WaitTime&) = delete;
    WaitTime& operator=(const WaitTime&) = delete;
    Duration read() noexcept;

private:
    int fd_ = -1;
};
// Page faults of a thread of this process so far.
std::uint64_t thread_page_faults(pid_t thread);
// Timers of the calling thread fire when they are due, not up to 50 us later.
void exact_timers();

// Makes the calling thread known to DPDK, which gives it a cache of packet buffers. For workers and the host link.
class LcoreRegistration {
public:
    LcoreRegistration();
    ~LcoreRegistration();
    LcoreRegistration(const LcoreRegistration&) = delete;
    LcoreRegistration& operator=(const LcoreRegistration&) = delete;
    bool registered() const noexcept { return registered_; }

private:
    bool registered_;
};

}  // namespace culvert::io
