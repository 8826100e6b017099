#pragma once

#include "base/bytes.h"
#include "base/ip.h"
#include "dataplane/wire/checksum.h"

#include <cstdint>

namespace culvert::wire {

// IANA "Assigned Internet Protocol Numbers"; extension headers of IPv6 are among them.
enum class Protocol : std::uint8_t {
    HopByHop = 0,
    Icmp = 1,
    Ipv4 = 4,
    Tcp = 6,
    Udp = 17,
    Ipv6 = 41,
    Routing = 43,
    Fragment = 44,
    Gre = 47,
    Esp = 50,
    Ah = 51,
    Icmpv6 = 58,
    NoNext = 59,
    DestinationOptions = 60,
    Mobility = 135,
};

// RFC 791 3.1.
struct Ipv4Header {
    std::uint8_t version_ihl;
    std::uint8_t tos;  // DSCP 6, ECN 2
    be16 total_length;
    be16 id;
    be16 fragment;  // reserved 1, DF 1, MF 1, offset 13 in units of 8 octets
    std::uint8_t ttl;
    std::uint8_t protocol;
    Checksum checksum;
    be32 source;
    be32 destination;

    static constexpr std::uint16_t kDontFragment = 0x4000;
    static constexpr std::uint16_t kMoreFragments = 0x2000;
    static constexpr std::uint16_t kOffsetMask = 0x1fff;

    std::size_t header_length() const noexcept { return std::size_t{4} * (version_ihl & 0x0f); }
    bool dont_fragment() const noexcept { return (fragment & kDontFragment) != 0; }
    bool is_fragment() const noexcept { return (fragment & (kMoreFragments | kOffsetMask)) != 0; }
    bool is_first_part() const noexcept { return (fragment & kOffsetMask) == 0; }
    // Of the header, options included. Nearly every header has none: that sum is five loads.
    Sum sum() const noexcept
    {
        const auto* bytes = reinterpret_cast<const std::uint8_t*>(this);
        Sum fixed;
        fixed.add_words<5>(bytes);
        if (header_length() <= 20) [[likely]]  // less: it is not valid, and has no options
            return fixed;
        Sum all = fixed;  // one that stays in a register where there is nothing to add
        return all.add({bytes + 20, header_length() - 20});
    }
    void compute_checksum() noexcept
    {
        checksum = {};
        checksum.set(sum());
    }
    // RFC 1624: only the word of TTL and protocol changes.
    void decrement_ttl() noexcept
    {
        const auto before = static_cast<std::uint16_t>(ttl << 8 | protocol);
        --ttl;
        checksum.update(before, static_cast<std::uint16_t>(before - 0x0100));
    }
};
static_assert(sizeof(Ipv4Header) == 20 && alignof(Ipv4Header) == 1);

// RFC 8200 3.
struct Ipv6Header {
    be32 version_class_flow;  // version 4, traffic class 8, flow label 20
    be16 payload_length;
    std::uint8_t next_header;
    std::uint8_t hop_limit;
    Ipv6Address source;
    Ipv6Address destination;

    std::uint8_t version() const noexcept { return static_cast<std::uint8_t>(version_class_flow >> 28); }
    std::uint8_t traffic_class() const noexcept { return static_cast<std::uint8_t>(version_class_flow >> 20); }
};
static_assert(sizeof(Ipv6Header) == 40 && alignof(Ipv6Header) == 1);

// RFC 8200 4.5.
struct Ipv6FragmentHeader {
    std::uint8_t next_header;
    std::uint8_t reserved;
    be16 offset_flags;  // offset 13, reserved 2, M 1
    be32 id;
};
static_assert(sizeof(Ipv6FragmentHeader) == 8);

inline constexpr std::size_t kIpv6MinimumMtu = 1280;  // RFC 8200 5

// The pseudo header of TCP, UDP (RFC 768, 9293 3.1) and of ICMPv6 (RFC 8200 8.1).
inline Sum pseudo_sum(const Ipv4Header& ip, Protocol protocol, std::uint16_t length) noexcept
{
    return Sum{}
        .add({reinterpret_cast<const std::uint8_t*>(&ip.source), 8})
        .add16(static_cast<std::uint8_t>(protocol))
        .add16(length);
}
inline Sum pseudo_sum(const Ipv6Header& ip, Protocol protocol, std::uint16_t length) noexcept
{
    return Sum{}.add({ip.source.octets.data(), 32}).add16(static_cast<std::uint8_t>(protocol)).add16(length);
}

}  // namespace culvert::wire
