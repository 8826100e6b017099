#pragma once

#include "base/bytes.h"

#include <array>
#include <cstdint>
#include <span>

namespace culvert::crypto {

// One message at a time, for handshakes (libsodium). Bursts of packets go through AeadContext.

// RFC 8439. `sealed` has room for text and 16 octets of tag; `nonce` is the counter of Noise and WireGuard: 32 zero
// bits, then 64 bits in little endian.
void seal(std::span<const std::uint8_t, 32> key, std::uint64_t nonce, Bytes aad, Bytes text,
          MutableBytes sealed) noexcept;
// False, and `text` (sealed.size() - 16 octets) zeroed, if the tag is wrong or `sealed` is shorter than a tag.
[[nodiscard]] bool open(std::span<const std::uint8_t, 32> key, std::uint64_t nonce, Bytes aad, Bytes sealed,
                        MutableBytes text) noexcept;

// XChaCha20-Poly1305, with a random nonce of 24 octets: WireGuard's cookies.
using XNonce = std::array<std::uint8_t, 24>;
void xseal(std::span<const std::uint8_t, 32> key, const XNonce& nonce, Bytes aad, Bytes text,
           MutableBytes sealed) noexcept;
[[nodiscard]] bool xopen(std::span<const std::uint8_t, 32> key, const XNonce& nonce, Bytes aad, Bytes sealed,
                         MutableBytes text) noexcept;

}  // namespace culvert::crypto
