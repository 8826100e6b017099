#include "dataplane/node/outer.h"

#include "dataplane/wire/transport.h"

namespace culvert::node {

bool finish_outer(rte_mbuf* m, const fib::Interface& leaves_by) noexcept
{
    if (header_at<std::uint8_t>(m, 0) >> 4 == 6) {
        if (leaves_by.address6.is_unspecified()) return false;
        ipv6(m).source = leaves_by.address6;
    } else {
        if (leaves_by.address4.is_unspecified()) return false;
        ipv4(m).source = leaves_by.address4.value;
    }
    checksum_outer(m);
    return true;
}

void checksum_outer(rte_mbuf* m) noexcept
{
    if (header_at<std::uint8_t>(m, 0) >> 4 == 4) {
        ipv4(m).compute_checksum();  // UDP's own may be zero over IPv4, RFC 768
        return;
    }
    auto& udp = header_at<wire::UdpHeader>(m, sizeof(wire::Ipv6Header));
    udp.checksum = {};
    udp.checksum.set(
        pseudo_sum(ipv6(m), wire::Protocol::Udp, udp.length).add(data(m).subspan(sizeof(wire::Ipv6Header))));
    if (udp.checksum.is_zero()) udp.checksum.set_host(0xffff);  // RFC 8200 8.1: zero is not a checksum
}

}  // namespace culvert::node
