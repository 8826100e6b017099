#pragma once

#include "dataplane/fib/tables.h"
#include "dataplane/node/burst.h"
#include "dataplane/wire/transport.h"

namespace culvert::node {

// Gives a tunnel's outer packet, whose source is zero, the one that its way out decides, and the checksums that depend
// on it. False: the interface has no address of that family.
bool finish_outer(rte_mbuf* m, const fib::Interface& leaves_by) noexcept;

// UDP's checksum of an IPv6 packet without extension headers, which IPv6 asks for.
void checksum_udp6(rte_mbuf* m) noexcept;

// What differs between the packets of one tunnel to one place.
struct OuterFields {
    std::uint16_t id = 0;          // IPv4
    std::uint8_t tos = 0;          // or traffic class: DSCP and ECN
    std::uint8_t ttl = 64;         // or hop limit
    bool dont_fragment = false;    // IPv4
    std::uint32_t flow_label = 0;  // IPv6: the low 20 bits
};

// The outer IP header of one tunnel to one place. What all of its packets share is made once.
class OuterIp {
public:
    OuterIp() = default;
    // `source` unspecified: finish_outer() gives one.
    OuterIp(VrfId vrf, wire::Protocol protocol, const IpAddress& source, const IpAddress& destination) noexcept;

    bool v6() const noexcept { return v6_; }
    bool own_source() const noexcept { return own_source_; }
    std::size_t size() const noexcept { return v6_ ? sizeof ip6_ : sizeof ip4_; }

    // In front of what is all of `m`, which has the room and goes on to the lookup in the tunnel's outer VRF.
    void put(rte_mbuf* m, const OuterFields& fields) const noexcept;

private:
    VrfId vrf_{};
    bool v6_ = false;
    bool own_source_ = false;
    wire::Ipv4Header ip4_{};
    wire::Ipv6Header ip6_{};
    wire::Sum sum4_{};  // of ip4_ with TTL, TOS, lengths and id zero
};

// UDP and IP in front of the messages of one tunnel to one place: WireGuard's, and ESP's (RFC 3948).
class OuterUdp {
public:
    OuterUdp() = default;
    OuterUdp(VrfId vrf, const IpAddress& source, std::uint16_t source_port, const Endpoint& to) noexcept;

    std::size_t size() const noexcept { return ip_.size() + sizeof udp_; }
    // As OuterIp::put(). The checksum of UDP over IPv4 is zero (RFC 768, RFC 3948 2.1).
    void put(rte_mbuf* m, const OuterFields& fields) const noexcept;

private:
    OuterIp ip_;
    wire::UdpHeader udp_{};
};

}  // namespace culvert::node
