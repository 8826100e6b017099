#include "dataplane/node/neighbor_discovery.h"
#include "dataplane/node/stages.h"
#include "dataplane/wire/payload.h"
#include "dataplane/wire/transport.h"

namespace culvert::node {

namespace {

bool is_v6(rte_mbuf* m) noexcept { return header_at<std::uint8_t>(m, 0) >> 4 == 6; }

// WireGuard on `interface`: data goes on to be opened, handshakes to the control plane.
void wireguard(Context& ctx, Metadata& meta, InterfaceId interface, Bytes payload) noexcept
{
    meta.output = interface;
    const auto* w = ctx.tables.interface(interface);
    if (w == nullptr || !w->up) return meta.end(Verdict::DropInterfaceDown);
    if (wg::is_data(payload)) {
        meta.stage = Stage::DecapWireguard;
        return;
    }
    if (!wg::is_handshake(payload)) return meta.end(Verdict::DropWireguardMalformed);
    meta.end(ctx.punt_wireguard.take(ctx.now) ? Verdict::PuntWireguard : Verdict::DropPuntLimited);
}

void local_one(Context& ctx, rte_mbuf* m) noexcept
{
    auto& meta = metadata(m);
    const auto vrf = meta.path->vrf;
    const bool v6 = is_v6(m);
    const auto payload = v6 ? wire::find_payload6(data(m)) : wire::find_payload4(data(m));

    if (payload.protocol == wire::Protocol::Udp && !payload.fragment && payload.offset != 0) {
        if (payload.offset + sizeof(wire::UdpHeader) > meta.length) return meta.end(Verdict::DropTruncated);
        const auto& udp = header_at<wire::UdpHeader>(m, payload.offset);
        const auto to = v6 ? IpAddress{ipv6(m).destination} : IpAddress{Ipv4Address{ipv4(m).destination}};
        const auto interface = ctx.tables.wireguard_at(vrf, udp.destination, to);
        if (interface != kNoInterface) {
            const std::size_t length = udp.length;
            if (length < sizeof udp || payload.offset + length > meta.length) return meta.end(Verdict::DropTruncated);
            meta.vrf = vrf;
            return wireguard(ctx, meta, interface, data(m).subspan(payload.offset + sizeof udp, length - sizeof udp));
        }
    }
    if (v6 && is_neighbor_discovery(m)) return meta.end(punt_neighbor_discovery(ctx, m));
    meta.vrf = vrf;
    meta.end(ctx.tables.host_link(vrf) ? Verdict::LocalDelivered : Verdict::DropLocalProtocol);
}

}  // namespace

void local(Context& ctx, Burst& burst) noexcept
{
    for (std::size_t i = 0; i < burst.size(); ++i) {
        burst.prefetch(i + kPrefetchAhead);
        local_one(ctx, burst[i]);
    }
}

}  // namespace culvert::node
