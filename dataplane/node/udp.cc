#include "dataplane/node/udp.h"

#include "dataplane/node/burst.h"
#include "dataplane/wire/payload.h"
#include "dataplane/wire/transport.h"

namespace culvert::node {

Datagram datagram(rte_mbuf* m) noexcept
{
    Datagram d;
    const auto all = data(m);
    std::size_t at;
    if (all[0] >> 4 == 6) {
        const auto& ip = ipv6(m);
        at = wire::find_payload6(all).offset;
        d.from.address = ip.source;
        d.to.address = ip.destination;
        d.ecn = ip.traffic_class() & 3;
    } else {
        const auto& ip = ipv4(m);
        at = ip.header_length();
        d.from.address = Ipv4Address{ip.source};
        d.to.address = Ipv4Address{ip.destination};
        d.ecn = ip.tos & 3;
    }
    const auto& udp = header_at<wire::UdpHeader>(m, at);
    d.from.port = udp.source;
    d.to.port = udp.destination;
    d.payload = all.subspan(at + sizeof udp, udp.length - sizeof udp);
    return d;
}

}  // namespace culvert::node
