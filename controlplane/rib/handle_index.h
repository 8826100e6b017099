#pragma once

#include "base/item_pool.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <memory>

namespace culvert::rib {

// Finds handles of pools by a 64-bit hash of what they stand for, at nine to eleven octets each. Open addressing in
// shards that grow by a quarter and shrink by themselves, so that no insertion pays for the rehashing of the whole. The
// entries of a shard are sorted by a part of the hash, with gaps: a search that fails ends early, and a shard is
// rehashed in one pass. Fuller than two thirds, insertion moves too many.
class HandleIndex {
public:
    // The handle for which `same(handle)`; 0: none.
    template <class Same>
    std::uint32_t find(std::uint64_t hash, Same&& same) const
    {
        const Shard& s = shards_[hash >> kShardShift];
        if (s.count == 0) return 0;
        const auto tag = tag_of(hash);
        for (auto at = s.home(tag);; ++at) {
            const auto entry = s.entry(at);
            if (entry >> kHandleBits > tag || entry == 0) return 0;
            if (entry >> kHandleBits == tag && same(handle_of(entry))) return handle_of(entry);
        }
    }

    // Precondition: find() would not find it.
    void insert(std::uint64_t hash, std::uint32_t handle)
    {
        Shard& s = shards_[hash >> kShardShift];
        if ((s.count + 1) * 3 > s.capacity * 2) resize(s, std::max<std::uint32_t>(8, s.capacity + s.capacity / 4));
        while (!place(s, tag_of(hash) << kHandleBits | handle)) resize(s, s.capacity + s.capacity / 4);
        ++s.count;
    }

    // Precondition: it was inserted with this hash.
    void erase(std::uint64_t hash, std::uint32_t handle)
    {
        Shard& s = shards_[hash >> kShardShift];
        auto at = s.home(tag_of(hash));
        while (handle_of(s.entry(at)) != handle) ++at;
        // Those behind it that were pushed past their place move back.
        auto end = at + 1;
        while (s.entry(end) != 0 && s.home(s.entry(end) >> kHandleBits) < end) ++end;
        s.move(at, at + 1, end - at - 1);
        s.set(end - 1, 0);
        if (--s.count == 0)
            s = {};
        else if (s.capacity > 16 && s.count * 3 < s.capacity)
            resize(s, s.count * 3 / 2);
    }

    void prefetch(std::uint64_t hash) const noexcept
    {
        const Shard& s = shards_[hash >> kShardShift];
        __builtin_prefetch(s.slots.get() + s.home(tag_of(hash)) * kSlot);
    }

    std::size_t octets() const noexcept
    {
        std::size_t sum = 0;
        for (const auto& s : shards_)
            if (s.slots) sum += s.octets();
        return sum;
    }

private:
    static constexpr unsigned kHandleBits = ItemPool::kHandleBits;
    static constexpr unsigned kTagBits = 48 - kHandleBits;
    static constexpr unsigned kShardShift = 64 - 6;
    static constexpr std::uint32_t kTail = 16;  // slots for those that are pushed past the last place

    // A slot is six octets, the low ones first: tag << kHandleBits | handle, or 0 when it is free.
    static constexpr std::size_t kSlot = 6;

    struct Shard {
        std::unique_ptr<std::uint8_t[]> slots;  // slot_count() of them, the last one always free; and two octets more
        std::uint32_t capacity = 0;
        std::uint32_t count = 0;

        std::size_t home(std::uint64_t tag) const noexcept { return (tag * capacity) >> kTagBits; }
        std::size_t slot_count() const noexcept { return std::size_t{capacity} + kTail; }
        std::size_t octets() const noexcept { return slot_count() * kSlot + sizeof(std::uint64_t) - kSlot; }
        std::uint64_t entry(std::size_t at) const noexcept
        {
            std::uint64_t word;
            std::memcpy(&word, slots.get() + at * kSlot, sizeof word);
            return word & ((std::uint64_t{1} << 8 * kSlot) - 1);
        }
        void set(std::size_t at, std::uint64_t entry) noexcept { std::memcpy(slots.get() + at * kSlot, &entry, kSlot); }
        void move(std::size_t to, std::size_t from, std::size_t count) noexcept
        {
            std::memmove(slots.get() + to * kSlot, slots.get() + from * kSlot, count * kSlot);
        }
    };

    static std::uint64_t tag_of(std::uint64_t hash) noexcept { return hash & ((1U << kTagBits) - 1); }
    static std::uint32_t handle_of(std::uint64_t entry) noexcept
    {
        return static_cast<std::uint32_t>(entry) & ((1U << kHandleBits) - 1);
    }

    // False: no free slot up to the end.
    static bool place(Shard& s, std::uint64_t entry)
    {
        auto at = s.home(entry >> kHandleBits);
        while (s.entry(at) != 0 && s.entry(at) < entry) ++at;
        auto free = at;
        while (s.entry(free) != 0) ++free;
        if (free + 1 == s.slot_count()) return false;
        s.move(at + 1, at, free - at);
        s.set(at, entry);
        return true;
    }

    static void resize(Shard& s, std::uint32_t capacity)
    {
        for (;; capacity += capacity / 4) {
            Shard fresh{nullptr, capacity, s.count};
            fresh.slots = std::make_unique<std::uint8_t[]>(fresh.octets());
            std::size_t next = 0;
            bool fits = true;
            for (std::size_t from = 0; s.slots && fits && from < s.slot_count(); ++from) {
                const auto entry = s.entry(from);
                if (entry == 0) continue;
                next = std::max(next, fresh.home(entry >> kHandleBits));
                if (next + 1 == fresh.slot_count()) {
                    fits = false;
                    break;
                }
                fresh.set(next++, entry);
            }
            if (!fits) continue;
            s = std::move(fresh);
            return;
        }
    }

    std::array<Shard, 64> shards_;
};

}  // namespace culvert::rib
