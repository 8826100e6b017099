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

    VrfId vrf() const noexcept { return vrf_; }
    bool v6() const noexcept { return v6_; }
    bool own_source() const noexcept { return own_source_; }
    std::size_t size() const noexcept { return v6_ ? sizeof ip6_ : sizeof ip4_; }
    const wire::Ipv4Header& ip4() const noexcept { return ip4_; }
    const wire::Ipv6Header& ip6() const noexcept { return ip6_; }
    std::uint32_t sum4() const noexcept { return sum4_; }

    // In front of what is all of `m`, which has the room and goes on to the lookup in the tunnel's outer VRF.
    void put(rte_mbuf* m, const OuterFields& fields) const noexcept;

private:
    static constexpr auto kKeptFlags =
        static_cast<std::uint8_t>(static_cast<std::uint8_t>(Flag::Control) | static_cast<std::uint8_t>(Flag::Traced) |
                                  static_cast<std::uint8_t>(Flag::Protected));

    VrfId vrf_{};
    bool v6_ = false;
    bool own_source_ = false;
    std::uint8_t flags_ = 0;  // that each packet is given
    wire::Ipv4Header ip4_{};
    wire::Ipv6Header ip6_{};
    std::uint32_t sum4_ = 0;  // of the words of ip4_ with TTL, TOS, lengths and id zero
};

// UDP and IP in front of the messages of one tunnel to one place: WireGuard's, and ESP's (RFC 3948).
class OuterUdp {
public:
    OuterUdp() = default;
    OuterUdp(VrfId vrf, const IpAddress& source, std::uint16_t source_port, const Endpoint& to) noexcept;

    std::size_t size() const noexcept { return ip_.size() + sizeof udp_; }
    const OuterIp& ip() const noexcept { return ip_; }
    const wire::UdpHeader& udp() const noexcept { return udp_; }
    // As OuterIp::put(). The checksum of UDP over IPv4 is zero (RFC 768, RFC 3948 2.1).
    void put(rte_mbuf* m, const OuterFields& fields) const noexcept;

private:
    OuterIp ip_;
    wire::UdpHeader udp_{};
};

inline void OuterIp::put(rte_mbuf* m, const OuterFields& f) const noexcept
{
    auto& meta = metadata(m);
    meta.flags = static_cast<std::uint8_t>((meta.flags & kKeptFlags) | flags_);
    meta.vrf = vrf_;
    meta.link_header = 0;

    if (v6_) {
        const auto payload = m->data_len;
        rte_pktmbuf_prepend(m, sizeof ip6_);
        auto& ip = ipv6(m);
        ip = ip6_;
        ip.version_class_flow = 6u << 28 | std::uint32_t{f.tos} << 20 | (f.flow_label & 0xfffff);
        ip.payload_length = payload;
        ip.hop_limit = f.ttl;
        meta.stage = Stage::Lookup6;
    } else {
        rte_pktmbuf_prepend(m, sizeof ip4_);
        auto& ip = ipv4(m);
        ip = ip4_;
        const auto fragment = f.dont_fragment ? wire::Ipv4Header::kDontFragment : std::uint16_t{0};
        ip.tos = f.tos;
        ip.total_length = m->data_len;
        ip.id = f.id;
        ip.fragment = fragment;
        ip.ttl = f.ttl;
        ip.checksum.set_words(sum4_ + byteswap(std::uint16_t{f.tos}) + byteswap(m->data_len) + byteswap(f.id) +
                              byteswap(fragment) + f.ttl);  // the TTL is the first octet of its word
        meta.stage = Stage::Lookup4;
    }
    meta.length = m->data_len;
}

inline void OuterUdp::put(rte_mbuf* m, const OuterFields& fields) const noexcept
{
    rte_pktmbuf_prepend(m, sizeof udp_);
    auto& udp = header_at<wire::UdpHeader>(m, 0);
    udp = udp_;
    udp.length = m->data_len;
    ip_.put(m, fields);
    if (ip_.v6() && ip_.own_source()) checksum_udp6(m);
}

}  // namespace culvert::node
