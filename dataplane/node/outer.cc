#include "dataplane/node/outer.h"

#include "dataplane/node/outer_frame.h"

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
    flags_ = static_cast<std::uint8_t>(Flag::FromUs) | static_cast<std::uint8_t>(Flag::Encrypted);
    if (!own_source_) flags_ |= static_cast<std::uint8_t>(Flag::NeedsSource);
    if (v6_) {
        ip6_.next_header = static_cast<std::uint8_t>(protocol);
        if (own_source_) ip6_.source = source.v6();
        ip6_.destination = destination.v6();
    } else {
        ip4_.version_ihl = 0x45;
        ip4_.protocol = static_cast<std::uint8_t>(protocol);
        if (own_source_) ip4_.source = source.v4().value;
        ip4_.destination = destination.v4().value;
        sum4_ = ip4_.sum().words();
    }
}

OuterFrame::OuterFrame(const OuterIp& ip, const wire::UdpHeader* udp, const fib::Nexthop& n) noexcept
    : sum4_(ip.sum4()),
      over_ip_(static_cast<std::uint16_t>(ip.size() + (udp != nullptr ? sizeof *udp : 0))),
      v6_(ip.v6()),
      udp_(udp != nullptr),
      protocol_(ip.ip4().protocol)
{
    const auto type = v6_ ? wire::EtherType::Ipv6 : wire::EtherType::Ipv4;
    const wire::EthernetHeader link{n.destination_mac, n.source_mac, static_cast<std::uint16_t>(type)};
    std::memcpy(octets_.data(), &link, sizeof link);
    if (v6_)
        std::memcpy(octets_.data() + kLink, &ip.ip6(), sizeof ip.ip6());
    else
        std::memcpy(octets_.data() + kLink, &ip.ip4(), sizeof ip.ip4());
    if (udp != nullptr) std::memcpy(octets_.data() + kFront4, udp, sizeof *udp);
}

OuterUdp::OuterUdp(VrfId vrf, const IpAddress& source, std::uint16_t source_port, const Endpoint& to) noexcept
    : ip_(vrf, wire::Protocol::Udp, source, to.address), udp_{source_port, to.port, 0, {}}
{}

}  // namespace culvert::node
