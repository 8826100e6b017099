#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

namespace culvert::esp {

// Which sequence numbers were seen (RFC 6479's ring of words, of any size). Numbers are whole, 64 bits, also where only
// 32 are on the wire: the receiver finds the rest (infer()). Number 0 is never sent and counts as seen.
//
// Only accept() changes anything, and only packets whose ICV is right get there.
class ReplayWindow {
public:
    static constexpr std::uint32_t kLargest = 65536;  // sequence numbers

    // `window` is rounded up to 64s, 64..kLargest; 0 takes repeated packets. `highest` was seen already, and all
    // before it.
    void reset(std::uint32_t window, bool esn, std::uint64_t highest);

    // RFC 4303 A2.2: the number whose lower half is `low`, the one nearest to the window. None: it would be before 0.
    std::optional<std::uint64_t> infer(std::uint32_t low) const noexcept
    {
        if (!esn_) return low;
        // The number that is at or above the lower edge of the window by less than 2^32.
        const std::uint64_t edge = highest_ >= reach_ ? highest_ - reach_ + 1 : 0;
        const std::uint64_t number = edge + static_cast<std::uint32_t>(low - static_cast<std::uint32_t>(edge));
        if (number >= edge) [[likely]]
            return number;
        return std::nullopt;  // beyond 2^64
    }

    // Would accept() take it?
    bool fresh(std::uint64_t number) const noexcept
    {
        if (number > highest_) return true;
        if (window_ == 0) return true;
        if (highest_ - number >= window_) return false;
        return (words_[word(number)] & bit(number)) == 0;
    }

    // Marks an authenticated number as seen. False if it was, or if it lies before the window.
    bool accept(std::uint64_t number) noexcept
    {
        if (!fresh(number)) return false;
        if (number > highest_) slide(number);
        if (window_ != 0) words_[word(number)] |= bit(number);
        return true;
    }

    std::uint64_t highest() const noexcept { return highest_; }
    std::uint32_t window() const noexcept { return window_; }
    void prefetch() const noexcept { __builtin_prefetch(&words_[word(highest_)]); }

private:
    std::size_t word(std::uint64_t number) const noexcept { return (number / 64) & mask_; }
    static constexpr std::uint64_t bit(std::uint64_t number) noexcept { return 1ULL << (number % 64); }
    void slide(std::uint64_t number) noexcept;

    std::uint64_t highest_ = 0;
    std::size_t mask_ = 0;  // words - 1, a power of two; one word more than the window at least
    std::unique_ptr<std::uint64_t[]> words_;
    std::uint32_t window_ = 0;
    std::uint32_t reach_ = 64;  // of infer(): the window, or what stands for it
    bool esn_ = false;
};

}  // namespace culvert::esp
