#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace culvert::fib {

// Memory for table blocks, in units of 8 octets named by 32-bit handles. One stretch of address space is reserved at
// once and made usable in 2 MiB steps (huge pages are asked for), so addresses never move and a reader needs only
// base(). One thread allocates and frees; readers only read what was published to them.
//
// When much was freed and there is time, give_back() returns the pages on which nothing is left to the system; they are
// taken again before the arena grows.
class Arena {
public:
    using Handle = std::uint32_t;  // in units from base(); 0 is "none": the first units are a zeroed dummy block
    static constexpr std::size_t kUnit = 8;

    // `name` is what `show memory` calls it. `reserve` is the most it can ever hold, octets.
    Arena(std::string name, std::size_t reserve);
    ~Arena();
    Arena(const Arena&) = delete;
    Arena& operator=(const Arena&) = delete;

    const std::uint8_t* base() const noexcept { return base_; }
    std::uint8_t* at(Handle h) noexcept { return base_ + std::size_t{h} * kUnit; }
    const std::uint8_t* at(Handle h) const noexcept { return base_ + std::size_t{h} * kUnit; }

    // `octets` is rounded up to units. The memory is not cleared. Aborts when the system has no memory left; check
    // room() before taking on new work.
    Handle allocate(std::size_t octets);
    void free(Handle h, std::size_t octets);

    // Is give_back() worth its time? It reads every free block: some ten milliseconds after a full table went.
    bool spare() const noexcept { return freed_ >= kWorthwhile && committed() - used() > kStep; }
    void give_back();

    // Less than half in use: a rewrite of everything it holds is sure to fit beside the old state.
    bool room() const noexcept { return used() < reserve_ / 2; }

    const std::string& name() const noexcept { return name_; }
    // Octets handed out, and octets made usable less those given back; any thread.
    std::size_t used() const noexcept { return used_.load(std::memory_order_relaxed); }
    std::size_t committed() const noexcept { return committed_.load(std::memory_order_relaxed); }

private:
    // Every size up to kSmall units has a free list of its own; larger ones (direct roots) are few and share one.
    static constexpr std::size_t kSmall = 80;
    struct Large {
        Handle handle;
        std::uint32_t units;
    };

    // What goes back at once. No small block is larger, so none lies on more than two.
    static constexpr std::size_t kPage = 64 << 10;
    static constexpr std::size_t kPageUnits = kPage / kUnit;
    static constexpr std::size_t kStep = 2 << 20;        // one huge page on x86-64
    static constexpr std::size_t kWorthwhile = 1 << 20;  // octets to be freed before it is tried

    Handle extend(std::size_t units);
    Handle reuse_page(std::size_t units);
    void keep(Handle h, std::size_t units) noexcept;

    std::string name_;
    std::size_t reserve_;
    std::uint8_t* base_ = nullptr;
    std::size_t top_ = 0;   // octets made usable
    std::size_t next_ = 0;  // first unit never handed out
    // Pages that went back; and what is not handed out yet of the one that was taken again last, in units.
    std::vector<std::uint32_t> pages_;
    std::size_t page_next_ = 0, page_end_ = 0;
    std::size_t freed_ = 0;  // octets, since give_back()
    std::array<Handle, kSmall + 1> free_{};
    std::vector<Large> large_;
    std::atomic<std::size_t> used_{0};
    std::atomic<std::size_t> committed_{0};
};

}  // namespace culvert::fib
