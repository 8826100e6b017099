#pragma once

#include "base/ids.h"

#include <atomic>
#include <cstdint>
#include <memory>

namespace culvert::node {

// Which worker most likely has the WireGuard session of a receiver index, or the SA of an SPI. A hint only: two indices
// may share a place, and the packet then goes round the workers. Any worker writes and reads.
class OwnerHints {
public:
    OwnerHints() : places_(std::make_unique<std::atomic<std::uint8_t>[]>(kPlaces)) {}

    void put(std::uint32_t index, WorkerId owner) noexcept
    {
        places_[index % kPlaces].store(culvert::index(owner), std::memory_order_relaxed);
    }
    WorkerId get(std::uint32_t index) const noexcept
    {
        return WorkerId{places_[index % kPlaces].load(std::memory_order_relaxed)};
    }

private:
    static constexpr std::size_t kPlaces = std::size_t{1} << 18;
    std::unique_ptr<std::atomic<std::uint8_t>[]> places_;
};

}  // namespace culvert::node
