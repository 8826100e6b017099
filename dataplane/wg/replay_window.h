#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace culvert::wg {

// Which counters were seen (RFC 6479): a ring of words, so that sliding clears whole words and shifts nothing. The word
// that holds the newest counter is only partly ahead of the window, hence one word more than the window needs.
class ReplayWindow {
public:
    static constexpr std::size_t kWordBits = 64;
    static constexpr std::size_t kWords = 256;
    static constexpr std::uint64_t kWindow = (kWords - 1) * kWordBits;  // counters: 16,320

    // Would accept() take it?
    bool fresh(std::uint64_t counter) const noexcept
    {
        if (counter >= next_) return true;
        if (next_ - counter > kWindow) return false;
        return (words_[word(counter)] & bit(counter)) == 0;
    }

    // Marks an authenticated counter as seen. False if it was, or if it lies before the window.
    bool accept(std::uint64_t counter) noexcept
    {
        if (!fresh(counter)) return false;
        if (counter >= next_) slide(counter);
        words_[word(counter)] |= bit(counter);
        return true;
    }

    // One more than the greatest counter accepted.
    std::uint64_t next() const noexcept { return next_; }

private:
    static constexpr std::size_t word(std::uint64_t counter) noexcept { return (counter / kWordBits) % kWords; }
    static constexpr std::uint64_t bit(std::uint64_t counter) noexcept { return 1ULL << (counter % kWordBits); }

    void slide(std::uint64_t counter) noexcept
    {
        // A word is clean already where next_ lies inside it: clearing starts with the one after.
        const std::uint64_t first = next_ == 0 ? 0 : (next_ - 1) / kWordBits + 1;
        const std::uint64_t last = counter / kWordBits;
        if (last >= first && last - first >= kWords) {
            words_.fill(0);
        } else {
            for (std::uint64_t w = first; w <= last; ++w) words_[w % kWords] = 0;
        }
        next_ = counter + 1;
    }

    std::uint64_t next_ = 0;
    std::array<std::uint64_t, kWords> words_{};
};

}  // namespace culvert::wg
