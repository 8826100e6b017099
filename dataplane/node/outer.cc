#include "dataplane/node/outer.h"

namespace culvert::node {

// UDP's checksum, which IPv6 asks for; UDP over IPv4 may do without (RFC 768).
void checksum_udp6(rte_mbuf* m) noexcept
{
    auto& udp = header_at<wire::UdpHeader>(m, sizeof(wire::Ipv6Header));
    udp.checksum = {};
    udp.checksum.set(
        pseudo_sum(ipv6(m), wire::Protocol::Udp, udp.length).add(data(m).subspan(sizeof(wire::Ipv6Header))));
    if (udp.checksum.is_zero()) udp.checksum.set_host(0xffff);  // RFC 8200 8.1: zero is not a checksum
}

bool finish_outer(rte_mbuf* m, const fib::Interface& leaves_by) noexcept
{
    if (header_at<std::uint8_t>(m, 0) >> 4 == 6) {
        if (leaves_by.address6.is_unspecified()) return false;
        ipv6(m).source = leaves_by.address6;
        if (ipv6(m).next_header == static_cast<std::uint8_t>(wire::Protocol::Udp)) checksum_udp6(m);
    } else {
        if (leaves_by.address4.is_unspecified()) return false;
        auto& ip = ipv4(m);
        ip.source = leaves_by.address4.value;
        ip.checksum.include(leaves_by.address4.value);
    }
    return true;
}

OuterIp::OuterIp(VrfId vrf, wire::Protocol protocol, const IpAddress& source, const IpAddress& destination) noexcept
    : vrf_(vrf), v6_(destination.is_v6()), own_source_(!source.is_unspecified() && source.family == destination.family)
{
    if (v6_) {
        ip6_.next_header = static_cast<std::uint8_t>(protocol);
        if (own_source_) ip6_.source = source.v6();
        ip6_.destination = destination.v6();
    } else {
        ip4_.version_ihl = 0x45;
        ip4_.protocol = static_cast<std::uint8_t>(protocol);
        if (own_source_) ip4_.source = source.v4().value;
        ip4_.destination = destination.v4().value;
        sum4_ = ip4_.sum();
    }
}

void OuterIp::put(rte_mbuf* m, const OuterFields& f) const noexcept
{
    auto& meta = metadata(m);
    meta.flags &= static_cast<std::uint8_t>(Flag::Control) | static_cast<std::uint8_t>(Flag::Traced) |
                  static_cast<std::uint8_t>(Flag::Protected);
    meta.set(Flag::FromUs);
    meta.set(Flag::Encrypted);
    if (!own_source_) meta.set(Flag::NeedsSource);
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
        ip.checksum.set(wire::Sum{sum4_}
                            .add16(f.tos)
                            .add16(m->data_len)
                            .add16(f.id)
                            .add16(fragment)
                            .add16(static_cast<std::uint16_t>(f.ttl << 8)));
        meta.stage = Stage::Lookup4;
    }
    meta.length = m->data_len;
}

OuterUdp::OuterUdp(VrfId vrf, const IpAddress& source, std::uint16_t source_port, const Endpoint& to) noexcept
    : ip_(vrf, wire::Protocol::Udp, source, to.address), udp_{source_port, to.port, 0, {}}
{}

void OuterUdp::put(rte_mbuf* m, const OuterFields& fields) const noexcept
{
    rte_pktmbuf_prepend(m, sizeof udp_);
    auto& udp = header_at<wire::UdpHeader>(m, 0);
    udp = udp_;
    udp.length = m->data_len;
    ip_.put(m, fields);
    if (ip_.v6() && ip_.own_source()) checksum_udp6(m);
}

}  // namespace culvert::node
