#include "dataplane/api/wake.h"

#include "base/check.h"

#include <sys/eventfd.h>
#include <unistd.h>

namespace culvert::api {

Wake::Wake() : fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) { CULVERT_CHECK(fd_ >= 0); }

Wake::~Wake() { close(fd_); }

void Wake::signal() noexcept
{
    // The work's store and this load must not pass each other, or a sleeper that looked too early is never woken.
    std::atomic_thread_fence(std::memory_order_seq_cst);
    if (!armed_.load(std::memory_order_relaxed)) return;
    // One write wakes it. A sleeper that waits for a core stays armed, and a system call for each piece of work until
    // it runs would cost more than the work.
    if (!armed_.exchange(false, std::memory_order_relaxed)) return;
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto n = write(fd_, &one, sizeof one);
}

void Wake::disarm() noexcept
{
    armed_.store(false, std::memory_order_relaxed);
    std::uint64_t count;
    [[maybe_unused]] const auto n = read(fd_, &count, sizeof count);
}

}  // namespace culvert::api
