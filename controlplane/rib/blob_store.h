#pragma once

#include "base/bytes.h"
#include "base/item_pool.h"

#include <array>
#include <bit>
#include <utility>

namespace culvert::rib {

// Byte strings under 32-bit handles, in pools by size (steps of 16 octets). Who stores one remembers its length.
class BlobStore {
public:
    BlobStore() : pools_(make(std::make_index_sequence<kClasses>{})) {}

    // 0: full.
    std::uint32_t put(Bytes bytes)
    {
        const std::size_t c = bytes.empty() ? 0 : (bytes.size() - 1) / kStep;
        if (c >= kClasses) return put_large(bytes);
        const auto item = pools_[c].allocate();
        if (item == 0) return 0;
        if (!bytes.empty()) std::memcpy(pools_[c].at(item), bytes.data(), bytes.size());
        return static_cast<std::uint32_t>(c << kItemBits) | item;
    }

    Bytes get(std::uint32_t blob, std::size_t length) const noexcept
    {
        const auto c = blob >> kItemBits, item = blob & kItemMask;
        return {c == kClasses ? large_[item].data() : pools_[c].at(item), length};
    }

    void drop(std::uint32_t blob)
    {
        const auto c = blob >> kItemBits, item = blob & kItemMask;
        if (c < kClasses) return pools_[c].free(item);
        large_octets_ -= large_[item].size();
        large_[item] = {};
        large_free_.push_back(item);
    }

    std::size_t octets() const noexcept
    {
        std::size_t sum = large_octets_;
        for (const auto& p : pools_) sum += p.mapped_octets();
        return sum;
    }

private:
    static constexpr std::size_t kStep = 16;
    static constexpr unsigned kItemBits = 26;
    static constexpr std::uint32_t kItemMask = (1U << kItemBits) - 1;
    static constexpr std::size_t kClasses = 63;  // up to 1,008 octets

    template <std::size_t... I>
    static std::array<ItemPool, kClasses> make(std::index_sequence<I...>)
    {
        // Chunks of at most 128 KiB.
        return {ItemPool((I + 1) * kStep, std::bit_width((131072 / kStep) / (I + 1)) - 1)...};
    }

    std::uint32_t put_large(Bytes bytes)
    {
        std::uint32_t item;
        if (large_free_.empty()) {
            if (large_.size() > kItemMask) return 0;
            item = static_cast<std::uint32_t>(large_.size());
            large_.emplace_back();
        } else {
            item = large_free_.back();
            large_free_.pop_back();
        }
        large_[item].assign(bytes.begin(), bytes.end());
        large_octets_ += bytes.size();
        return static_cast<std::uint32_t>(kClasses << kItemBits) | item;
    }

    std::array<ItemPool, kClasses> pools_;
    std::vector<std::vector<std::uint8_t>> large_;
    std::vector<std::uint32_t> large_free_;
    std::size_t large_octets_ = 0;
};

}  // namespace culvert::rib
