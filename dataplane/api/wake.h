#pragma once

#include <atomic>
#include <cstdint>

namespace culvert::api {

// Wakes a thread that sleeps on a descriptor. signal() costs one load while the other side is awake or woken already.
// The sleeper: arm(); look once more for work; sleep on fd(); disarm().
class Wake {
public:
    Wake();
    ~Wake();
    Wake(const Wake&) = delete;
    Wake& operator=(const Wake&) = delete;

    int fd() const noexcept { return fd_; }
    // From any thread, after the work was made visible.
    void signal() noexcept;
    void arm() noexcept { armed_.store(true, std::memory_order_seq_cst); }
    // Drains the descriptor.
    void disarm() noexcept;

private:
    int fd_;
    std::atomic<bool> armed_{false};
};

}  // namespace culvert::api
