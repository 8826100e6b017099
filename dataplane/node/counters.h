#pragma once

#include "base/ids.h"
#include "dataplane/api/dataplane.h"
#include "dataplane/api/verdict.h"

#include <array>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <memory>

namespace culvert::node {

// A number with one writer, read by other threads at any time.
class Count {
public:
    void add(std::uint64_t n) noexcept { value_.store(read() + n, std::memory_order_relaxed); }
    std::uint64_t read() const noexcept { return value_.load(std::memory_order_relaxed); }

private:
    std::atomic<std::uint64_t> value_{0};
};

struct InterfaceCount {
    Count rx_packets, rx_octets, rx_drops;
    Count tx_packets, tx_octets, tx_drops;
};

// What one worker counts. Its worker writes, control reads and sums.
class alignas(64) Counters {
public:
    Counters() noexcept : interfaces_(static_cast<InterfaceCount*>(std::calloc(kInterfaces, sizeof(InterfaceCount)))) {}

    void verdict(api::Verdict v, std::uint64_t n = 1) noexcept { verdicts_[static_cast<std::size_t>(v)].add(n); }
    std::uint64_t verdict_count(api::Verdict v) const noexcept { return verdicts_[static_cast<std::size_t>(v)].read(); }
    InterfaceCount& interface(InterfaceId id) noexcept { return interfaces_.get()[index(id)]; }
    const InterfaceCount& interface(InterfaceId id) const noexcept { return interfaces_.get()[index(id)]; }

private:
    static constexpr std::size_t kInterfaces = std::size_t{1} << 16;  // pages nobody counts in are never touched
    struct Free {
        void operator()(InterfaceCount* p) const noexcept { std::free(p); }
    };

    std::array<Count, api::kVerdictCount> verdicts_{};
    std::unique_ptr<InterfaceCount[], Free> interfaces_;
};

}  // namespace culvert::node
