#pragma once

#include "base/bytes.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace culvert::wireguard {

// The messages of WireGuard as they lie on the wire (paper, 5.4). Integers are little endian; the three octets after
// the type are zero.

enum class MessageType : std::uint8_t { Initiation = 1, Response = 2, CookieReply = 3, Data = 4 };

inline constexpr std::size_t kInitiationSize = 148;
inline constexpr std::size_t kResponseSize = 92;
inline constexpr std::size_t kCookieReplySize = 64;
inline constexpr std::size_t kDataHeaderSize = 16;
inline constexpr std::size_t kMaxHandshakeMessage = kInitiationSize;

using Mac = std::array<std::uint8_t, 16>;

struct Initiation {
    std::uint32_t sender = 0;
    std::array<std::uint8_t, 32> ephemeral{};
    std::array<std::uint8_t, 32 + 16> sealed_static{};
    std::array<std::uint8_t, 12 + 16> sealed_timestamp{};
    Mac mac1{};
    Mac mac2{};

    static std::optional<Initiation> decode(Bytes message) noexcept;
    void encode(std::span<std::uint8_t, kInitiationSize> out) const noexcept;
    friend bool operator==(const Initiation&, const Initiation&) = default;
};

struct Response {
    std::uint32_t sender = 0;
    std::uint32_t receiver = 0;
    std::array<std::uint8_t, 32> ephemeral{};
    std::array<std::uint8_t, 16> sealed_nothing{};
    Mac mac1{};
    Mac mac2{};

    static std::optional<Response> decode(Bytes message) noexcept;
    void encode(std::span<std::uint8_t, kResponseSize> out) const noexcept;
    friend bool operator==(const Response&, const Response&) = default;
};

struct CookieReply {
    std::uint32_t receiver = 0;
    std::array<std::uint8_t, 24> nonce{};
    std::array<std::uint8_t, 16 + 16> sealed_cookie{};

    static std::optional<CookieReply> decode(Bytes message) noexcept;
    void encode(std::span<std::uint8_t, kCookieReplySize> out) const noexcept;
    friend bool operator==(const CookieReply&, const CookieReply&) = default;
};

struct DataHeader {
    std::uint32_t receiver = 0;
    std::uint64_t counter = 0;

    // None if it is too short to hold a tag as well.
    static std::optional<DataHeader> decode(Bytes message) noexcept;
    void encode(std::span<std::uint8_t, kDataHeaderSize> out) const noexcept;
    friend bool operator==(const DataHeader&, const DataHeader&) = default;
};

// By the first four octets; none if they are no message of WireGuard.
std::optional<MessageType> type_of(Bytes message) noexcept;

// The part of an initiation or response that mac1 covers, and mac2 (which covers mac1).
Bytes covered_by_mac1(Bytes message) noexcept;
Bytes covered_by_mac2(Bytes message) noexcept;

}  // namespace culvert::wireguard
