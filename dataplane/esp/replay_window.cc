#include "dataplane/esp/replay_window.h"

#include <algorithm>

namespace culvert::esp {

void ReplayWindow::reset(std::uint32_t window, bool esn, std::uint64_t highest)
{
    window_ = (std::min(window, kLargest) + 63) / 64 * 64;
    reach_ = window_ == 0 ? 64 : window_;
    esn_ = esn;
    highest_ = highest;
    const std::size_t words = std::bit_ceil(std::size_t{window_} / 64 + 1);
    mask_ = words - 1;
    words_ = std::make_unique<std::uint64_t[]>(words);
    // Seen: `highest` and all before it. What lies behind it in its own word is to come.
    std::fill_n(words_.get(), words, ~std::uint64_t{0});
    words_[word(highest)] = bit(highest) | (bit(highest) - 1);
}

void ReplayWindow::slide(std::uint64_t number) noexcept
{
    const std::uint64_t steps = number / 64 - highest_ / 64;
    if (steps > mask_)
        std::fill_n(words_.get(), mask_ + 1, 0);
    else
        for (std::uint64_t w = highest_ / 64 + 1; w <= number / 64; ++w) words_[w & mask_] = 0;
    highest_ = number;
}

}  // namespace culvert::esp
