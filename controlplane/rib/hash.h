#pragma once

#include "base/bytes.h"

#include <cstdint>
#include <cstring>

namespace culvert::rib {

// Multiplies to 128 bits and folds: one round of wyhash's kind.
inline std::uint64_t fold(std::uint64_t a, std::uint64_t b) noexcept
{
    const auto product = static_cast<unsigned __int128>(a) * b;
    return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}

inline std::uint64_t hash_bytes(Bytes bytes, std::uint64_t seed) noexcept
{
    constexpr std::uint64_t kA = 0x9e3779b97f4a7c15ULL, kB = 0xd1b54a32d192ed03ULL;
    const auto* at = bytes.data();
    auto left = bytes.size();
    std::uint64_t h = seed ^ fold(left ^ kA, kB);
    for (; left >= 16; at += 16, left -= 16) {
        std::uint64_t a, b;
        std::memcpy(&a, at, 8);
        std::memcpy(&b, at + 8, 8);
        h = fold(a ^ kA ^ h, b ^ kB);
    }
    if (left > 0) {
        std::uint8_t tail[16] = {};
        std::memcpy(tail, at, left);
        std::uint64_t a, b;
        std::memcpy(&a, tail, 8);
        std::memcpy(&b, tail + 8, 8);
        h = fold(a ^ kA ^ h, b ^ kB);
    }
    return fold(h ^ kB, kA);
}

}  // namespace culvert::rib
