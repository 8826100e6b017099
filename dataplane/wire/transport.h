#pragma once

#include "base/bytes.h"
#include "dataplane/wire/checksum.h"

#include <cstdint>

namespace culvert::wire {

// RFC 768.
struct UdpHeader {
    be16 source;
    be16 destination;
    be16 length;
    Checksum checksum;
};
static_assert(sizeof(UdpHeader) == 8);

// RFC 9293 3.1.
struct TcpHeader {
    be16 source;
    be16 destination;
    be32 sequence;
    be32 acknowledgment;
    std::uint8_t data_offset;  // high four bits, in words
    std::uint8_t flags;
    be16 window;
    Checksum checksum;
    be16 urgent;

    static constexpr std::uint8_t kSyn = 0x02;
    static constexpr std::uint8_t kOptionEnd = 0, kOptionNop = 1, kOptionMss = 2;

    std::size_t header_length() const noexcept { return std::size_t{4} * (data_offset >> 4); }
};
static_assert(sizeof(TcpHeader) == 20);

// RFC 792 and RFC 4443: type, code, checksum, then four octets that depend on the type.
struct IcmpHeader {
    std::uint8_t type;
    std::uint8_t code;
    Checksum checksum;
    be32 rest;  // fragmentation needed: next-hop MTU in the low half (RFC 1191 4); packet too big: MTU
};
static_assert(sizeof(IcmpHeader) == 8);

namespace icmp4 {
inline constexpr std::uint8_t kEchoReply = 0, kUnreachable = 3, kSourceQuench = 4, kRedirect = 5, kEcho = 8,
                              kTimeExceeded = 11, kParameterProblem = 12;
inline constexpr std::uint8_t kNetUnreachable = 0, kHostUnreachable = 1, kProtocolUnreachable = 2, kPortUnreachable = 3,
                              kFragmentationNeeded = 4, kProhibited = 13;
}  // namespace icmp4

namespace icmp6 {
inline constexpr std::uint8_t kUnreachable = 1, kPacketTooBig = 2, kTimeExceeded = 3, kParameterProblem = 4,
                              kEcho = 128, kEchoReply = 129, kRouterSolicitation = 133, kRouterAdvertisement = 134,
                              kNeighborSolicitation = 135, kNeighborAdvertisement = 136, kRedirect = 137;
inline constexpr std::uint8_t kNoRoute = 0, kProhibited = 1, kAddressUnreachable = 3, kPortUnreachable = 4;
}  // namespace icmp6

// WireGuard 5.4: the first octet tells the message; the next three are zero.
struct WireguardDataHeader {
    std::uint8_t type;
    std::uint8_t reserved[3];
    std::uint8_t receiver_index[4];  // little endian
    std::uint8_t counter[8];         // little endian

    static constexpr std::uint8_t kInitiation = 1, kResponse = 2, kCookieReply = 3, kData = 4;
};
static_assert(sizeof(WireguardDataHeader) == 16);

inline constexpr std::size_t kWireguardTag = 16;
// What a data message adds to the padded inner packet, without the outer IP header: UDP, header, tag.
inline constexpr std::size_t kWireguardOverhead = 8 + 16 + kWireguardTag;

}  // namespace culvert::wire
