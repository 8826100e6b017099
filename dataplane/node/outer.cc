#include "dataplane/node/outer.h"

namespace culvert::node {

namespace {

constexpr std::uint8_t kOuterTtl = 64;
constexpr std::uint8_t kInternetworkControl = 6 << 5;  // DSCP CS6

// UDP's checksum, which IPv6 asks for; UDP over IPv4 may do without (RFC 768).
void checksum_udp6(rte_mbuf* m) noexcept
{
    auto& udp = header_at<wire::UdpHeader>(m, sizeof(wire::Ipv6Header));
    udp.checksum = {};
    udp.checksum.set(
        pseudo_sum(ipv6(m), wire::Protocol::Udp, udp.length).add(data(m).subspan(sizeof(wire::Ipv6Header))));
    if (udp.checksum.is_zero()) udp.checksum.set_host(0xffff);  // RFC 8200 8.1: zero is not a checksum
}

}  // namespace

bool finish_outer(rte_mbuf* m, const fib::Interface& leaves_by) noexcept
{
    if (header_at<std::uint8_t>(m, 0) >> 4 == 6) {
        if (leaves_by.address6.is_unspecified()) return false;
        ipv6(m).source = leaves_by.address6;
        checksum_udp6(m);
    } else {
        if (leaves_by.address4.is_unspecified()) return false;
        auto& ip = ipv4(m);
        ip.source = leaves_by.address4.value;
        ip.checksum.include(leaves_by.address4.value);
    }
    return true;
}

OuterHeaders::OuterHeaders(const fib::Wireguard& tunnel, const Endpoint& to) noexcept
    : vrf_(tunnel.outer_vrf),
      v6_(to.address.is_v6()),
      own_source_(!tunnel.source.is_unspecified() && tunnel.source.family == to.address.family),
      udp_{tunnel.listen_port, to.port, 0, {}}
{
    if (v6_) {
        ip6_.version_class_flow = 6u << 28;
        ip6_.next_header = static_cast<std::uint8_t>(wire::Protocol::Udp);
        ip6_.hop_limit = kOuterTtl;
        if (own_source_) ip6_.source = tunnel.source.v6();
        ip6_.destination = to.address.v6();
    } else {
        ip4_.version_ihl = 0x45;
        ip4_.ttl = kOuterTtl;  // a router on the way may cut it: the inner sender doesn't know this path
        ip4_.protocol = static_cast<std::uint8_t>(wire::Protocol::Udp);
        if (own_source_) ip4_.source = tunnel.source.v4().value;
        ip4_.destination = to.address.v4().value;
        sum4_ = ip4_.sum();
    }
}

void OuterHeaders::put(rte_mbuf* m, std::uint16_t id, std::uint8_t ecn_bits) const noexcept
{
    const auto udp_length = static_cast<std::uint16_t>(sizeof udp_ + m->data_len);
    auto& meta = metadata(m);
    meta.flags &= static_cast<std::uint8_t>(Flag::Control) | static_cast<std::uint8_t>(Flag::Traced);
    meta.set(Flag::FromUs);
    meta.set(Flag::Encrypted);
    if (!own_source_) meta.set(Flag::NeedsSource);
    // What goes first here is to go first on its way too, and in the far end's queue.
    const std::uint8_t tos = meta.has(Flag::Control) ? std::uint8_t(kInternetworkControl | ecn_bits) : ecn_bits;
    meta.vrf = vrf_;
    meta.link_header = 0;

    if (v6_) {
        rte_pktmbuf_prepend(m, sizeof ip6_ + sizeof udp_);
        auto& ip = ipv6(m);
        ip = ip6_;
        ip.version_class_flow = 6u << 28 | std::uint32_t{tos} << 20;
        ip.payload_length = udp_length;
        auto& udp = header_at<wire::UdpHeader>(m, sizeof ip6_);
        udp = udp_;
        udp.length = udp_length;
        if (own_source_) checksum_udp6(m);
        meta.stage = Stage::Lookup6;
    } else {
        rte_pktmbuf_prepend(m, sizeof ip4_ + sizeof udp_);
        auto& ip = ipv4(m);
        ip = ip4_;
        ip.tos = tos;
        ip.total_length = m->data_len;
        ip.id = id;
        ip.checksum.set(wire::Sum{sum4_}.add16(tos).add16(m->data_len).add16(id));
        auto& udp = header_at<wire::UdpHeader>(m, sizeof ip4_);
        udp = udp_;
        udp.length = udp_length;
        meta.stage = Stage::Lookup4;
    }
    meta.length = m->data_len;
}

}  // namespace culvert::node
