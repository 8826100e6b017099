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

inline void set_ecn(rte_mbuf* m, std::uint8_t to) noexcept
{
    if (header_at<std::uint8_t>(m, 0) >> 4 == 6) {
        auto& ip = ipv6(m);
        ip.version_class_flow = (ip.version_class_flow & ~(std::uint32_t{3} << 20)) | std::uint32_t{to} << 20;
    } else {
        auto& ip = ipv4(m);
        const auto before = static_cast<std::uint16_t>(ip.version_ihl << 8 | ip.tos);
        ip.tos = static_cast<std::uint8_t>((ip.tos & ~3) | to);
        ip.checksum.update(before, static_cast<std::uint16_t>((before & ~3) | to));
    }
}

// RFC 6040 4.2: the tunnel was congested, and the inner packet can say so.
inline void mark_congestion(rte_mbuf* m) noexcept
{
    const auto inner = ecn(m);
    if (inner == kEcnNotCapable || inner == kEcnCe) return;
    set_ecn(m, kEcnCe);
}

// RFC 6040 4.2, figure 4: the inner packet takes over what the path of the outer one said. False: it was congested, and
// the inner packet can't say so: it is to be dropped.
inline bool decapsulate_ecn(rte_mbuf* m, std::uint8_t outer) noexcept
{
    if (outer == kEcnNotCapable || outer == kEcnEct0) return true;
    const auto inner = ecn(m);
    if (outer == kEcnCe) {
        if (inner == kEcnNotCapable) return false;
        mark_congestion(m);
    } else if (inner == kEcnEct0) {
        set_ecn(m, kEcnEct1);
    }
    return true;
}

}  // namespace culvert::node
