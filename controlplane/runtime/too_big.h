#pragma once

#include "base/bytes.h"
#include "base/ip.h"

#include <cstdint>
#include <optional>

namespace culvert::runtime {

// What a router on the way said of a tunnel's packet: ICMP "fragmentation needed" (RFC 1191) or ICMPv6 "packet too big"
// (RFC 8201), with as much of the packet as it quoted. Only what proves that we sent it is kept.
struct TooBig {
    std::uint16_t mtu = 0;     // as it was told; 0: the router is older than RFC 1191
    std::uint16_t length = 0;  // of the packet that was too large
    IpAddress from{};          // of that packet: our address
    IpAddress to{};
    enum class Kind : std::uint8_t { Gre, Esp, Wireguard, UdpEsp } kind{};
    std::uint16_t from_port = 0, to_port = 0;  // Wireguard, UdpEsp
    std::optional<std::uint32_t> key;          // Gre, if it has one
    std::uint32_t number = 0;                  // SPI, or the receiver index of WireGuard
};
// `packet` is the whole ICMP packet from its IP header on. Nothing: it is something else, or too short to tell.
std::optional<TooBig> parse_too_big(Bytes packet);

// RFC 1191 7.1: what to try when the router did not say; smaller than `length`.
std::uint16_t plateau_below(std::uint16_t length) noexcept;

}  // namespace culvert::runtime
