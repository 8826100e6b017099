#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace culvert::crypto {

// `octets` is a multiple of 8 that depends on the algorithm alone; the time does not depend on the contents.
inline bool tags_equal(const std::uint8_t* a, const std::uint8_t* b, std::size_t octets) noexcept
{
    std::uint64_t differ = 0;
    for (std::size_t at = 0; at < octets; at += 8) {
        std::uint64_t x, y;
        std::memcpy(&x, a + at, 8);
        std::memcpy(&y, b + at, 8);
        differ |= x ^ y;
    }
    return differ == 0;
}

}  // namespace culvert::crypto
