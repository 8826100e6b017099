#pragma once

#include "base/time.h"

#include <array>
#include <cstdint>
#include <vector>

namespace culvert::bfd {

// One deadline for each of a row of nodes, numbered from 0. Setting and taking away cost the same however many there
// are. Deadlines beyond one turn (134 ms) stay in their slot and are passed over once a turn.
class TimingWheel {
public:
    TimingWheel() noexcept { slots_.fill({}); }

    // Nodes 0..n-1 exist; those that are new have no deadline.
    void resize(std::size_t n)
    {
        nodes_.resize(n);
        due_.reserve(n);
    }

    void set(std::uint32_t node, TimePoint at) noexcept;  // kNever: takes it away
    TimePoint at(std::uint32_t node) const noexcept { return nodes_[node].at; }
    // Never later than the earliest deadline, and at the most once too early for each that was taken away.
    TimePoint next() const noexcept { return next_; }

    // Calls due(node) for each whose deadline is not after `now`; it has none then, and may be given one. due() may set
    // and take away any node's.
    template <class F>
    void expire(TimePoint now, F&& due)
    {
        if (now < next_) return;
        collect(now);
        for (const auto node : due_) due(node);
        next_ = earliest();
    }

private:
    static constexpr int kTickBits = 16;  // 65.5 us
    static constexpr std::uint32_t kSlots = 2048;
    static constexpr std::uint32_t kNone = 0xffffffff;
    static constexpr std::uint16_t kUnset = 0xffff;

    struct Node {
        TimePoint at = kNever;
        std::uint32_t next = kNone;
        std::uint32_t previous = kNone;
        std::uint16_t slot = kUnset;
    };
    struct Slot {
        std::uint32_t first = kNone;
        TimePoint earliest = kNever;  // or earlier, when that node was taken away
    };

    static std::int64_t tick(TimePoint t) noexcept { return t.time_since_epoch().count() >> kTickBits; }
    void collect(TimePoint now) noexcept;
    void mark(std::uint32_t slot, bool used) noexcept;
    void link(std::uint32_t node, std::uint32_t slot) noexcept;
    void unlink(std::uint32_t node) noexcept;
    TimePoint earliest() const noexcept;

    std::vector<Node> nodes_;
    std::array<Slot, kSlots> slots_;
    std::array<std::uint64_t, kSlots / 64> used_{};
    std::int64_t cursor_ = 0;         // ticks before it are done
    std::vector<std::uint32_t> due_;  // never grows past its capacity
    TimePoint next_ = kNever;
};

}  // namespace culvert::bfd
