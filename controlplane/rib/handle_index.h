#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <memory>

namespace culvert::rib {

// Finds handles by a 64-bit hash of what they stand for. Open addressing with linear probing, in shards that grow and
// shrink by themselves, so that no insertion pays for the rehashing of the whole.
class HandleIndex {
public:
    // The handle for which `same(handle)`; 0: none.
    template <class Same>
    std::uint32_t find(std::uint64_t hash, Same&& same) const
    {
        const Shard& s = shards_[hash >> kShardShift];
        if (s.count == 0) return 0;
        const auto tag = static_cast<std::uint32_t>(hash);
        for (std::uint32_t at = tag & s.mask;; at = (at + 1) & s.mask) {
            const Slot slot = s.slots[at];
            if (slot.handle == 0) return 0;
            if (slot.tag == tag && same(slot.handle)) return slot.handle;
        }
    }

    // Precondition: find() would not find it.
    void insert(std::uint64_t hash, std::uint32_t handle)
    {
        Shard& s = shards_[hash >> kShardShift];
        if (s.slots == nullptr || (s.count + 1) * 5 > (s.mask + 1) * 4) resize(s, s.slots ? (s.mask + 1) * 2 : 8);
        place(s, {static_cast<std::uint32_t>(hash), handle});
        ++s.count;
    }

    // Precondition: it was inserted with this hash.
    void erase(std::uint64_t hash, std::uint32_t handle)
    {
        Shard& s = shards_[hash >> kShardShift];
        auto at = static_cast<std::uint32_t>(hash) & s.mask;
        while (s.slots[at].handle != handle) at = (at + 1) & s.mask;
        // Whoever was pushed past the hole moves back into it.
        for (auto next = at;;) {
            next = (next + 1) & s.mask;
            const Slot slot = s.slots[next];
            if (slot.handle == 0) break;
            if (((next - slot.tag) & s.mask) >= ((next - at) & s.mask)) {
                s.slots[at] = slot;
                at = next;
            }
        }
        s.slots[at] = {};
        if (--s.count == 0) {
            s.slots.reset();
            s.mask = 0;
        } else if (s.mask > 15 && s.count * 8 < s.mask) {
            resize(s, (s.mask + 1) / 4);
        }
    }

    void prefetch(std::uint64_t hash) const noexcept
    {
        const Shard& s = shards_[hash >> kShardShift];
        __builtin_prefetch(s.slots.get() + (static_cast<std::uint32_t>(hash) & s.mask));
    }

    std::size_t octets() const noexcept
    {
        std::size_t sum = 0;
        for (const auto& s : shards_)
            if (s.slots) sum += (s.mask + 1ULL) * sizeof(Slot);
        return sum;
    }

private:
    struct Slot {
        std::uint32_t tag = 0;
        std::uint32_t handle = 0;
    };
    struct Shard {
        std::unique_ptr<Slot[]> slots;
        std::uint32_t mask = 0;
        std::uint32_t count = 0;
    };
    static constexpr unsigned kShardShift = 64 - 6;

    static void place(Shard& s, Slot slot)
    {
        auto at = slot.tag & s.mask;
        while (s.slots[at].handle != 0) at = (at + 1) & s.mask;
        s.slots[at] = slot;
    }

    static void resize(Shard& s, std::uint32_t capacity)
    {
        const auto old = std::move(s.slots);
        const std::uint32_t old_capacity = old ? s.mask + 1 : 0;
        s.slots = std::make_unique<Slot[]>(capacity);
        s.mask = capacity - 1;
        for (std::uint32_t i = 0; i < old_capacity; ++i)
            if (old[i].handle != 0) place(s, old[i]);
    }

    std::array<Shard, 64> shards_;
};

}  // namespace culvert::rib
