#pragma once

#include "base/check.h"

#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>
#include <utility>
#include <vector>

namespace culvert {

// Items of one size under 32-bit handles that never move. Memory comes in chunks straight from the system and a chunk
// goes back as soon as its last item is freed, so that a withdrawn table leaves nothing behind. Handle 0 is none.
class ItemPool {
public:
    static constexpr unsigned kHandleBits = 26;  // no handle has more

    // `item_octets` >= 4; a chunk holds 2^`chunk_bits` items.
    ItemPool(std::size_t item_octets, unsigned chunk_bits) noexcept : item_octets_(item_octets), chunk_bits_(chunk_bits)
    {}
    ItemPool(ItemPool&& other) noexcept
        : item_octets_(other.item_octets_),
          chunk_bits_(other.chunk_bits_),
          chunks_(std::move(other.chunks_)),
          open_(std::move(other.open_)),
          used_(std::exchange(other.used_, 0)),
          mapped_(std::exchange(other.mapped_, 0))
    {
        other.chunks_.clear();
    }
    ItemPool& operator=(ItemPool&&) = delete;
    ~ItemPool()
    {
        for (auto& c : chunks_)
            if (c.items != nullptr) munmap(c.items, chunk_octets());
    }

    // Not initialised. 0: the pool is full.
    std::uint32_t allocate()
    {
        if (open_.empty() && !add_chunk()) return 0;
        const auto number = open_.back();
        Chunk& c = chunks_[number];
        std::uint32_t slot;
        if (c.free != kEnd) {
            slot = c.free;
            std::memcpy(&c.free, c.items + slot * item_octets_, sizeof c.free);
        } else {
            slot = c.fresh++;
        }
        ++c.used;
        ++used_;
        if (c.free == kEnd && c.fresh == capacity()) open_.pop_back();
        return (number << chunk_bits_) | slot;
    }

    // Keeps all octets of the item but the first four.
    void free(std::uint32_t handle)
    {
        const auto number = handle >> chunk_bits_;
        const auto slot = handle & (capacity() - 1);
        Chunk& c = chunks_[number];
        if (c.free == kEnd && c.fresh == capacity()) open_.push_back(number);
        std::memcpy(c.items + slot * item_octets_, &c.free, sizeof c.free);
        c.free = slot;
        --used_;
        if (--c.used == 0) release(number);
    }

    std::uint8_t* at(std::uint32_t handle) const noexcept
    {
        return chunks_[handle >> chunk_bits_].items + (handle & (capacity() - 1)) * item_octets_;
    }

    std::size_t used() const noexcept { return used_; }
    std::size_t mapped_octets() const noexcept { return mapped_; }
    // Handles are below it. fresh_end(h): the end of the handles of h's chunk that were ever given out; 0: none.
    std::uint32_t handle_end() const noexcept { return static_cast<std::uint32_t>(chunks_.size() << chunk_bits_); }
    std::uint32_t fresh_end(std::uint32_t handle) const noexcept
    {
        const Chunk& c = chunks_[handle >> chunk_bits_];
        return c.items == nullptr ? 0 : (handle & ~(capacity() - 1)) + c.fresh;
    }
    // Where to go on when everything below fresh_end(handle) was seen and `at` stands there (or the chunk is gone).
    std::uint32_t after_chunk(std::uint32_t at, std::uint32_t end) const noexcept
    {
        return next_chunk(at == end && end != 0 ? end - 1 : at);
    }
    std::uint32_t next_chunk(std::uint32_t handle) const noexcept
    {
        return ((handle >> chunk_bits_) + 1) << chunk_bits_;
    }

private:
    static constexpr std::uint32_t kEnd = std::numeric_limits<std::uint32_t>::max();

    struct Chunk {
        std::uint8_t* items = nullptr;
        std::uint32_t used = 0;
        std::uint32_t fresh = 0;  // slots from here on were never given out
        std::uint32_t free = kEnd;
    };

    std::uint32_t capacity() const noexcept { return 1U << chunk_bits_; }
    std::size_t chunk_octets() const noexcept { return (item_octets_ << chunk_bits_); }

    bool add_chunk()
    {
        std::uint32_t number = 0;
        while (number < chunks_.size() && chunks_[number].items != nullptr) ++number;
        if ((static_cast<std::size_t>(number) + 1) << chunk_bits_ > std::size_t{1} << kHandleBits) return false;
        void* memory =
            mmap(nullptr, chunk_octets(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (memory == MAP_FAILED) return false;
        if (number == chunks_.size()) chunks_.emplace_back();
        Chunk& c = chunks_[number];
        c.items = static_cast<std::uint8_t*>(memory);
        c.used = 0;
        c.fresh = number == 0 ? 1 : 0;
        c.free = kEnd;
        mapped_ += chunk_octets();
        open_.push_back(number);
        return true;
    }

    void release(std::uint32_t number)
    {
        Chunk& c = chunks_[number];
        munmap(c.items, chunk_octets());
        mapped_ -= chunk_octets();
        c.items = nullptr;
        std::erase(open_, number);
    }

    std::size_t item_octets_;
    unsigned chunk_bits_;
    std::vector<Chunk> chunks_;
    std::vector<std::uint32_t> open_;  // chunks with room
    std::size_t used_ = 0;
    std::size_t mapped_ = 0;
};

template <class T>
class Pool {
    static_assert(std::is_trivially_copyable_v<T> && sizeof(T) >= 4);

public:
    explicit Pool(unsigned chunk_bits) noexcept : items_(sizeof(T), chunk_bits) {}

    // Value-initialised. 0: full.
    std::uint32_t allocate()
    {
        const auto handle = items_.allocate();
        if (handle != 0) ::new (items_.at(handle)) T{};
        return handle;
    }
    void free(std::uint32_t handle) { items_.free(handle); }
    T& operator[](std::uint32_t handle) noexcept { return *reinterpret_cast<T*>(items_.at(handle)); }
    const T& operator[](std::uint32_t handle) const noexcept { return *reinterpret_cast<const T*>(items_.at(handle)); }
    const ItemPool& items() const noexcept { return items_; }
    std::size_t used() const noexcept { return items_.used(); }

private:
    ItemPool items_;
};

}  // namespace culvert
