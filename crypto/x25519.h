#pragma once

#include "crypto/random.h"
#include "crypto/secret.h"

#include <array>
#include <cstdint>
#include <optional>

namespace culvert::crypto {

using PublicKey = std::array<std::uint8_t, 32>;

// A private key, clamped (RFC 7748 5).
Secret<32> generate_private_key(Random& random);

PublicKey public_key_of(const Secret<32>& private_key) noexcept;

// RFC 7748 6.1. None if the result is all zeros, which only a public key of low order gives.
std::optional<Secret<32>> x25519(const Secret<32>& private_key, const PublicKey& public_key) noexcept;

}  // namespace culvert::crypto
