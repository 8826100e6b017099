#pragma once

#include "dataplane/node/burst.h"

namespace culvert::node {

// RFC 3168 5: the two low bits of the traffic class.
inline constexpr std::uint8_t kEcnNotCapable = 0, kEcnEct1 = 1, kEcnEct0 = 2, kEcnCe = 3;

// RFC 6040 4.1, normal mode, with CE of the inner header hidden as ECT(0), as the WireGuard of the Linux kernel does.
constexpr std::uint8_t outer_ecn(std::uint8_t inner) noexcept { return inner == kEcnCe ? kEcnEct0 : inner; }

inline std::uint8_t ecn(rte_mbuf* m) noexcept
{
    return header_at<std::uint8_t>(m, 0) >> 4 == 6 ? ipv6(m).traffic_class() & 3 : ipv4(m).tos & 3;
}

// RFC 6040 4.2: the tunnel was congested, and the inner packet can say so.
inline void mark_congestion(rte_mbuf* m) noexcept
{
    const auto inner = ecn(m);
    if (inner == kEcnNotCapable || inner == kEcnCe) return;
    if (header_at<std::uint8_t>(m, 0) >> 4 == 6) {
        auto& ip = ipv6(m);
        ip.version_class_flow = ip.version_class_flow | std::uint32_t{kEcnCe} << 20;
    } else {
        auto& ip = ipv4(m);
        const auto before = static_cast<std::uint16_t>(ip.version_ihl << 8 | ip.tos);
        ip.tos |= kEcnCe;
        ip.checksum.update(before, static_cast<std::uint16_t>(before | kEcnCe));
    }
}

}  // namespace culvert::node
