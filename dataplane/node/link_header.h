#pragma once

#include "dataplane/fib/nexthops.h"
#include "dataplane/node/burst.h"
#include "dataplane/node/room.h"
#include "dataplane/wire/ethernet.h"

namespace culvert::node {

// Makes the IP packet `m` a whole frame for the port of `n`, an adjacency. False: it has no room for the header.
inline bool put_link_header(rte_mbuf* m, const fib::Nexthop& n) noexcept
{
    const auto type = header_at<std::uint8_t>(m, 0) >> 4 == 6 ? wire::EtherType::Ipv6 : wire::EtherType::Ipv4;
    const std::size_t header = sizeof(wire::EthernetHeader) + (n.vlan != 0 ? sizeof(wire::VlanHeader) : 0);
    if (!make_room(m, header, 0)) return false;
    rte_pktmbuf_prepend(m, static_cast<std::uint16_t>(header));
    auto& frame = header_at<wire::EthernetHeader>(m, 0);
    frame.destination = n.destination_mac;
    frame.source = n.source_mac;
    frame.ether_type = static_cast<std::uint16_t>(type);
    if (n.vlan != 0) [[unlikely]] {
        frame.ether_type = static_cast<std::uint16_t>(wire::EtherType::Vlan);
        header_at<wire::VlanHeader>(m, sizeof frame) = {n.vlan, static_cast<std::uint16_t>(type)};
    }
    auto& meta = metadata(m);
    meta.port = n.port;
    meta.stage = Stage::Transmit;
    return true;
}

}  // namespace culvert::node
