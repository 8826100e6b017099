#pragma once

#include "base/result.h"
#include "crypto/secret.h"

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace culvert::crypto {

struct KeyFileError {
    std::string message;  // names the file, what is wrong with it and the cure
};

// A WireGuard key: 32 octets in base64 (RFC 4648, padded: 44 characters), as `wg genkey` and `wg pubkey` write it. None
// if it is anything else. The time does not depend on the key.
std::optional<Secret<32>> parse_secret_key(std::string_view base64) noexcept;
std::optional<std::array<std::uint8_t, 32>> parse_public_key(std::string_view base64) noexcept;
std::string to_base64(const std::array<std::uint8_t, 32>& key);

// Reads one key from a regular file that only its owner may read. White space around the key is allowed. Blocks for as
// long as the file system takes.
Result<Secret<32>, KeyFileError> read_key_file(const std::string& path);

// The keys of an SA: up to 96 octets in hexadecimal, as `openssl rand -hex N` prints them. What is behind `octets` is
// zero. None if it is not exactly that many octets.
inline constexpr std::size_t kMaxHexKey = 96;
using HexKey = Secret<kMaxHexKey>;
std::optional<HexKey> parse_hex_key(std::string_view hex, std::size_t octets) noexcept;
Result<HexKey, KeyFileError> read_hex_key_file(const std::string& path, std::size_t octets);

}  // namespace culvert::crypto
