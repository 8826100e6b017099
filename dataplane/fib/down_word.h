#pragma once

#include "dataplane/api/fib_update.h"

#include <atomic>
#include <cstdint>
#include <optional>

namespace culvert::fib {

namespace cause = api::cause;

struct DownState {
    std::uint32_t epoch = 0;   // grows with every failure that was reported
    std::uint32_t causes = 0;  // 0 is up

    bool up() const noexcept { return causes == 0; }
    friend bool operator==(DownState, DownState) = default;
};

// Whether a next hop, a tunnel, a port or what a BFD session watches may be used, in one atomic word, so that a failure
// takes effect in the poll round that sees it.
//   worker  only sets causes; every set makes a new epoch.
//   writer  alone clears, and only if no failure came after the epoch that control acted on.
//   reader  one load a packet.
// Ids are reused. A worker names the generation that it means, and a set for an older one is refused: the word and the
// generation are two loads, which is enough because a generation ends before a grace period and the next one begins
// after it, and a worker sets within one RCU section. Generations of what exists are odd.
// `Atomic` is std::atomic; the tests put in one whose every step the model checker schedules.
template <template <class> class Atomic>
class BasicDownWord {
public:
    DownState load() const noexcept { return unpack(word_.load(std::memory_order_acquire)); }
    bool up() const noexcept { return static_cast<std::uint32_t>(word_.load(std::memory_order_acquire)) == 0; }
    // Zero is up. For those who look at several words at once.
    std::uint32_t causes() const noexcept { return static_cast<std::uint32_t>(word_.load(std::memory_order_acquire)); }
    std::uint32_t generation() const noexcept { return generation_.load(std::memory_order_acquire); }
    static constexpr bool exists(std::uint32_t generation) noexcept { return (generation & 1) != 0; }

    // Worker. The epoch of this failure, to be told to control; nothing when `generation` is over.
    std::optional<std::uint32_t> set(std::uint32_t generation, std::uint32_t causes) noexcept
    {
        if (!exists(generation) || generation_.load(std::memory_order_acquire) != generation) return std::nullopt;
        auto old = word_.load(std::memory_order_relaxed);
        for (;;) {
            auto state = unpack(old);
            state.causes |= causes;
            ++state.epoch;
            if (word_.compare_exchange_weak(old, pack(state), std::memory_order_acq_rel, std::memory_order_relaxed))
                return state.epoch;
        }
    }

    // Writer. False when a later failure came: control will hear of that one and clear it by its own epoch.
    bool clear(std::uint32_t epoch) noexcept
    {
        auto old = word_.load(std::memory_order_relaxed);
        for (;;) {
            auto state = unpack(old);
            if (state.epoch != epoch) return false;
            state.causes = 0;
            if (word_.compare_exchange_weak(old, pack(state), std::memory_order_acq_rel, std::memory_order_relaxed))
                return true;
        }
    }

    // Writer: the id names a new thing from here on, which is up. The epoch goes on, so that no old clear fits it.
    std::uint32_t begin() noexcept
    {
        const auto next = (generation_.load(std::memory_order_relaxed) + 1) | 1;
        auto old = word_.load(std::memory_order_relaxed);
        while (!word_.compare_exchange_weak(old, pack({unpack(old).epoch + 1, 0}), std::memory_order_acq_rel,
                                            std::memory_order_relaxed)) {}
        generation_.store(next, std::memory_order_release);
        return next;
    }
    // Writer: the thing is deleted. No set of its generation takes effect once the grace period that follows is over.
    void end() noexcept
    {
        generation_.store((generation_.load(std::memory_order_relaxed) + 1) & ~1u, std::memory_order_release);
    }

private:
    static constexpr std::uint64_t pack(DownState s) noexcept { return std::uint64_t{s.epoch} << 32 | s.causes; }
    static constexpr DownState unpack(std::uint64_t w) noexcept
    {
        return {static_cast<std::uint32_t>(w >> 32), static_cast<std::uint32_t>(w)};
    }

    Atomic<std::uint64_t> word_;
    Atomic<std::uint32_t> generation_;
};

template <class T>
using PlainAtomic = std::atomic<T>;
using DownWord = BasicDownWord<PlainAtomic>;

}  // namespace culvert::fib
