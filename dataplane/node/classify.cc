#include "dataplane/node/stages.h"
#include "dataplane/wire/ethernet.h"

#include <cstring>

namespace culvert::node {

namespace {

// Frames of one port mostly belong to one interface: looked up once for a run of them, counted once.
class Input {
public:
    Input(Context& ctx, PortId port) noexcept : ctx_(ctx), port_(port) {}
    ~Input() { count(); }

    const fib::Interface* find(std::uint16_t vlan) noexcept
    {
        if (vlan != vlan_) {
            count();
            vlan_ = vlan;
            id_ = ctx_.tables.interface_of(port_, vlan);
            interface_ = id_ == kNoInterface ? nullptr : ctx_.tables.interface(id_);
        }
        return interface_;
    }
    void add(std::size_t octets) noexcept
    {
        ++packets_;
        octets_ += octets;
    }

private:
    void count() noexcept
    {
        if (packets_ == 0) return;
        auto& c = ctx_.counters.interface(id_);
        c.rx_packets.add(packets_);
        c.rx_octets.add(octets_);
        packets_ = octets_ = 0;
    }

    Context& ctx_;
    PortId port_;
    std::uint16_t vlan_ = 0xffff;
    InterfaceId id_{kNoInterface};
    const fib::Interface* interface_ = nullptr;
    std::uint64_t packets_ = 0;
    std::uint64_t octets_ = 0;
};

void classify_one(Context& ctx, Input& input, rte_mbuf* m, std::size_t place) noexcept
{
    auto& meta = begin(m, ctx.now);
    meta.stamped_by = ctx.stamped_by;
    if (!ctx.stamps.empty()) meta.received_at = ctx.stamps[place];
    if (m->nb_segs != 1 || m->data_len < sizeof(wire::EthernetHeader)) return meta.end(Verdict::DropTruncated);
    const auto& frame = header_at<wire::EthernetHeader>(m, 0);
    const MacAddress destination = frame.destination;
    auto type = wire::EtherType{std::uint16_t{frame.ether_type}};
    std::uint16_t header = sizeof(wire::EthernetHeader);
    std::uint16_t vlan = 0;
    if (type == wire::EtherType::Vlan) [[unlikely]] {
        if (m->data_len < header + sizeof(wire::VlanHeader)) return meta.end(Verdict::DropTruncated);
        const auto& tag = header_at<wire::VlanHeader>(m, header);
        vlan = tag.vlan();  // 0 is a priority tag: as good as none
        type = wire::EtherType{std::uint16_t{tag.ether_type}};
        // The addresses move up over the tag, so that what is punted is a frame without one.
        auto* start = rte_pktmbuf_mtod(m, std::uint8_t*);
        std::memmove(start + sizeof(wire::VlanHeader), start, 2 * sizeof(MacAddress));
        header += sizeof(wire::VlanHeader);
    }

    const auto* interface = input.find(vlan);
    if (interface == nullptr) return meta.end(vlan != 0 ? Verdict::DropVlan : Verdict::DropInterfaceDown);
    meta.input = interface->id;
    meta.vrf = interface->vrf;
    if (!interface->up) return meta.end(Verdict::DropInterfaceDown);
    if (wire::is_group_address(destination)) [[unlikely]]
        meta.set(Flag::GroupFrame);
    else if (destination != interface->mac)
        return meta.end(Verdict::DropNotForUs);

    rte_pktmbuf_adj(m, header);
    meta.link_header = sizeof(wire::EthernetHeader);
    input.add(m->data_len);
    switch (type) {
        case wire::EtherType::Ipv4: meta.stage = Stage::Ip4Input; return;
        case wire::EtherType::Ipv6: meta.stage = Stage::Ip6Input; return;
        case wire::EtherType::Arp:
            return meta.end(ctx.punt_arp.take(ctx.now) ? Verdict::PuntArp : Verdict::DropPuntLimited);
        case wire::EtherType::Vlan: break;
    }
    meta.end(Verdict::DropEtherType);
}

}  // namespace

void classify(Context& ctx, Burst& burst, PortId port) noexcept
{
    Input input{ctx, port};
    for (std::size_t i = 0; i < 2 * kPrefetchAhead; ++i) burst.prefetch_mbuf(i);
    for (std::size_t i = 0; i < kPrefetchAhead; ++i) burst.prefetch(i);
    for (std::size_t i = 0; i < burst.size(); ++i) {
        burst.prefetch_mbuf(i + 2 * kPrefetchAhead);
        burst.prefetch(i + kPrefetchAhead);
        classify_one(ctx, input, burst[i], i);
    }
}

}  // namespace culvert::node
