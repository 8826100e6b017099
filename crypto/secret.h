#pragma once

#include "base/bytes.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

namespace culvert::crypto {

// Overwrites with zeros in a way that no optimiser removes.
void wipe(void* at, std::size_t octets) noexcept;

// Compares in a time that depends on the length alone. Spans of different lengths are unequal.
bool equal_in_constant_time(Bytes a, Bytes b) noexcept;

// N octets that must not leak: zeroed when they go, never copied or printed by accident. clone() copies on purpose.
template <std::size_t N>
class Secret {
public:
    Secret() = default;  // all zeros
    explicit Secret(std::span<const std::uint8_t, N> octets) noexcept { std::memcpy(octets_.data(), octets.data(), N); }
    Secret(Secret&& other) noexcept { take(other); }
    Secret& operator=(Secret&& other) noexcept
    {
        if (this != &other) take(other);
        return *this;
    }
    Secret(const Secret&) = delete;
    Secret& operator=(const Secret&) = delete;
    ~Secret() { clear(); }

    Secret clone() const noexcept { return Secret{reveal()}; }
    void clear() noexcept { wipe(octets_.data(), N); }

    // The octets themselves: named so that each use can be found.
    std::span<const std::uint8_t, N> reveal() const noexcept { return octets_; }
    std::span<std::uint8_t, N> reveal_for_writing() noexcept { return octets_; }
    const std::uint8_t* data() const noexcept { return octets_.data(); }
    static constexpr std::size_t size() noexcept { return N; }

    // Constant time.
    bool is_zero() const noexcept { return *this == Secret{}; }
    friend bool operator==(const Secret& a, const Secret& b) noexcept
    {
        return equal_in_constant_time(a.octets_, b.octets_);
    }

private:
    void take(Secret& other) noexcept
    {
        octets_ = other.octets_;
        other.clear();
    }

    std::array<std::uint8_t, N> octets_{};
};

// Memory for keys: left out of core dumps and of forked children, kept from swap where the system allows it. Grows by
// chunks of pages, gives nothing back before it goes; then everything is zeroed. One thread.
class SecretArena {
public:
    explicit SecretArena(std::size_t chunk_octets = 64 * 1024) noexcept : chunk_octets_(chunk_octets) {}
    ~SecretArena();
    SecretArena(const SecretArena&) = delete;
    SecretArena& operator=(const SecretArena&) = delete;

    // Zeroed octets, aligned to `alignment` (a power of two up to a page). nullptr when the system has no memory.
    void* allocate(std::size_t octets, std::size_t alignment) noexcept;

    std::size_t used() const noexcept { return used_; }
    std::size_t reserved() const noexcept { return reserved_; }
    // False when a chunk could not be locked into memory (RLIMIT_MEMLOCK): keys might reach the swap.
    bool locked() const noexcept { return locked_; }

private:
    struct Chunk {
        std::uint8_t* at;
        std::size_t octets;
    };
    std::vector<Chunk> chunks_;
    std::size_t chunk_octets_;
    std::size_t fill_ = 0;  // of the last chunk
    std::size_t used_ = 0;
    std::size_t reserved_ = 0;
    bool locked_ = true;
};

// Objects with keys inside, in a SecretArena. What is released is zeroed and used again. One thread.
template <class T>
    requires std::is_trivially_destructible_v<T>
class SecretPool {
public:
    // nullptr when the system has no memory.
    T* acquire() noexcept
    {
        void* at = nullptr;
        if (free_ != nullptr) {
            at = free_;
            free_ = free_->next;
        } else {
            at = arena_.allocate(kOctets, kAlignment);
            if (at == nullptr) return nullptr;
        }
        ++in_use_;
        return ::new (at) T{};
    }
    void release(T* object) noexcept
    {
        wipe(object, kOctets);
        free_ = ::new (static_cast<void*>(object)) Free{free_};
        --in_use_;
    }

    std::size_t in_use() const noexcept { return in_use_; }
    const SecretArena& arena() const noexcept { return arena_; }

private:
    struct Free {
        Free* next;
    };
    static constexpr std::size_t kOctets = sizeof(T) > sizeof(Free) ? sizeof(T) : sizeof(Free);
    static constexpr std::size_t kAlignment = alignof(T) > alignof(Free) ? alignof(T) : alignof(Free);

    SecretArena arena_;
    Free* free_ = nullptr;
    std::size_t in_use_ = 0;
};

// For standard containers whose elements hold keys for a moment: zeroes what it gives back.
template <class T>
struct WipingAllocator {
    using value_type = T;

    WipingAllocator() = default;
    template <class U>
    WipingAllocator(const WipingAllocator<U>&) noexcept
    {}
    T* allocate(std::size_t n) { return std::allocator<T>{}.allocate(n); }
    void deallocate(T* at, std::size_t n) noexcept
    {
        wipe(at, n * sizeof(T));
        std::allocator<T>{}.deallocate(at, n);
    }
    friend bool operator==(WipingAllocator, WipingAllocator) noexcept { return true; }
};

}  // namespace culvert::crypto
