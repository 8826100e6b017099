#pragma once

#include "base/result.h"
#include "base/time.h"

#include <string>
#include <vector>

namespace culvert::io {

// The CPUs that the process may run on.
std::vector<unsigned> allowed_cpus();

// For the calling thread. At most 15 characters ("culvert-w0").
void name_thread(const std::string& name);
Result<void, std::string> pin_thread(unsigned cpu);
// The calling thread before all normal ones (SCHED_FIFO, lowest priority), or like them again. False: it may not.
bool set_realtime(bool on) noexcept;
// That the calling thread has used.
Duration thread_cpu_time() noexcept;
// That it was ready to run while others had its CPU; 0 where the kernel doesn't count that. Reads a file: some
// microseconds.
Duration thread_wait_time() noexcept;
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
