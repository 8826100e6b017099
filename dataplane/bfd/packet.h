#pragma once

#include "base/bytes.h"
#include "base/result.h"
#include "dataplane/api/bfd.h"

#include <cstddef>
#include <cstdint>
#include <span>

namespace culvert::bfd {

using api::BfdDiagnostic;
using api::BfdState;

inline constexpr std::uint16_t kControlPort = 3784;   // RFC 5881 4
inline constexpr std::uint16_t kEchoPort = 3785;      // RFC 5881 4
inline constexpr std::uint16_t kMultihopPort = 4784;  // RFC 5883 5
inline constexpr std::uint8_t kTtl = 255;             // RFC 5881 5

inline constexpr std::size_t kMandatory = 24;          // octets of the mandatory section
inline constexpr std::size_t kMaxAuthentication = 28;  // octets of the longest section that we know, SHA1's
inline constexpr std::size_t kMaxPacket = kMandatory + kMaxAuthentication;

// A BFD Control packet, RFC 5880 4.1, without what its digest is over.
struct ControlPacket {
    BfdState state = BfdState::Down;
    BfdDiagnostic diagnostic = BfdDiagnostic::None;
    bool poll = false;
    bool final = false;
    bool control_plane_independent = false;
    bool demand = false;
    std::uint8_t multiplier = 0;
    std::uint32_t my_discriminator = 0;
    std::uint32_t your_discriminator = 0;
    std::uint32_t desired_min_tx = 0;        // microseconds
    std::uint32_t required_min_rx = 0;       // microseconds
    std::uint32_t required_min_echo_rx = 0;  // microseconds
    // Received: all octets that the Length field covers, and of them the authentication section with its Auth Type and
    // Auth Len (empty: the A bit is clear).
    Bytes whole{};
    Bytes authentication{};
};

// Why RFC 5880 6.8.6 has a packet discarded before its session is even looked for.
enum class Defect : std::uint8_t {
    Truncated,          // Length is more than there is
    Version,            // not 1
    Length,             // less than the mandatory section, or than A asks for
    Multiplier,         // zero
    Multipoint,         // the M bit
    MyDiscriminator,    // zero
    YourDiscriminator,  // zero, although the state is neither Down nor AdminDown
    Authentication,     // Auth Len doesn't fit
};

Result<ControlPacket, Defect> decode(Bytes payload) noexcept;

// The mandatory section; `length` is of the whole packet, with the A bit set when it is longer than that.
void encode(const ControlPacket& packet, std::size_t length, std::span<std::uint8_t, kMaxPacket> out) noexcept;

// Our own echo packets. Their format is nobody's business but ours, RFC 5880 5.
struct EchoPacket {
    std::uint32_t discriminator = 0;
    std::uint32_t sequence = 0;
    std::uint64_t proof = 0;  // that it was us who sent it
};
inline constexpr std::size_t kEchoPacket = 24;

Result<EchoPacket, Defect> decode_echo(Bytes payload) noexcept;
void encode(const EchoPacket& packet, std::span<std::uint8_t, kEchoPacket> out) noexcept;

}  // namespace culvert::bfd
