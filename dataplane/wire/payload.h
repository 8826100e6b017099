#pragma once

#include "base/bytes.h"
#include "dataplane/wire/ip.h"

namespace culvert::wire {

// What an IP packet carries and where.
struct Payload {
    Protocol protocol = Protocol::NoNext;  // behind all of IPv6's extension headers
    std::uint16_t offset = 0;              // from the IP header; 0: not in this packet
    bool fragment = false;                 // of a larger datagram, the first one included
};

// `packet` starts with an IPv4 header that was checked, or with at least 40 octets of IPv6.
inline Payload find_payload4(Bytes packet) noexcept
{
    const auto& ip = *reinterpret_cast<const Ipv4Header*>(packet.data());
    const bool here = ip.is_first_part() && ip.header_length() < packet.size();
    return {Protocol{ip.protocol}, static_cast<std::uint16_t>(here ? ip.header_length() : 0), ip.is_fragment()};
}
// Goes over at most eight extension headers. A chain that is longer, or cut off, has no payload.
Payload find_payload6(Bytes packet) noexcept;

}  // namespace culvert::wire
