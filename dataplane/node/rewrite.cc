#include "dataplane/node/room.h"
#include "dataplane/node/stages.h"
#include "dataplane/wire/ethernet.h"

namespace culvert::node {

namespace {

void put_vlan(rte_mbuf* m, wire::EthernetHeader& frame, std::uint16_t vlan) noexcept
{
    const std::uint16_t type = frame.ether_type;
    frame.ether_type = static_cast<std::uint16_t>(wire::EtherType::Vlan);
    header_at<wire::VlanHeader>(m, sizeof frame) = {vlan, type};
}

}  // namespace

void rewrite(Context& ctx, Burst& burst) noexcept
{
    InterfaceId interface {
        kNoInterface
    };
    std::uint64_t packets = 0, octets = 0;
    const auto count = [&] {
        if (packets == 0) return;
        auto& c = ctx.counters.interface(interface);
        c.tx_packets.add(packets);
        c.tx_octets.add(octets);
        packets = octets = 0;
    };
    for (std::size_t i = 0; i < burst.size(); ++i) {
        rte_mbuf* m = burst[i];
        auto& meta = metadata(m);
        const auto& n = *meta.path;
        const std::uint16_t type = header_at<std::uint8_t>(m, 0) >> 4 == 6
                                       ? static_cast<std::uint16_t>(wire::EtherType::Ipv6)
                                       : static_cast<std::uint16_t>(wire::EtherType::Ipv4);
        const std::size_t header = sizeof(wire::EthernetHeader) + (n.vlan != 0 ? sizeof(wire::VlanHeader) : 0);
        if (!make_room(m, header, 0)) {
            meta.end(Verdict::DropNoBuffer);
            continue;
        }
        if (n.interface != interface) [[unlikely]] {
            count();
            interface = n.interface;
        }
        ++packets;
        octets += meta.length;
        rte_pktmbuf_prepend(m, static_cast<std::uint16_t>(header));
        auto& frame = header_at<wire::EthernetHeader>(m, 0);
        frame.destination = n.destination_mac;
        frame.source = n.source_mac;
        frame.ether_type = type;
        if (n.vlan != 0) put_vlan(m, frame, n.vlan);
        meta.port = n.port;
        meta.stage = Stage::Transmit;
    }
    count();
}

}  // namespace culvert::node
