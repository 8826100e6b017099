#pragma once

#include "base/ids.h"
#include "controlplane/bgp/attributes.h"

#include <cstdint>
#include <optional>

namespace culvert::bgp {

// The link bandwidth extended community (draft-ietf-idr-link-bandwidth 2): types 0x00 and 0x40, subtype 0x04, an AS
// number of two octets, octets a second as an IEEE float of four.
struct LinkBandwidth {
    Asn asn{};
    float octets_a_second = 0;  // as it came: anything that 32 bits can say, also what is no number
    bool transitive = false;    // 0x00; what the draft began with, 0x40, ends at the border of the AS

    // Finite, and at least an octet a second: what is not says nothing about the path, as if it weren't there.
    bool usable() const noexcept;
    friend bool operator==(const LinkBandwidth&, const LinkBandwidth&) = default;
};

std::optional<LinkBandwidth> link_bandwidth(std::uint64_t extended_community) noexcept;  // nullopt: another community
// The first usable one of a path, in the order of their octets.
std::optional<LinkBandwidth> link_bandwidth(const PathAttributes& attributes) noexcept;
// An ASN of four octets goes as AS_TRANS.
std::uint64_t to_extended_community(const LinkBandwidth& bandwidth) noexcept;

// RFC 4360 3.1: bit 0x40 of the type. Does not cross the border of an AS.
constexpr bool is_transitive(std::uint64_t extended_community) noexcept
{
    return (extended_community >> 56 & 0x40) == 0;
}

}  // namespace culvert::bgp
