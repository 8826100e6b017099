#include "dataplane/bfd/packet.h"
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

// Could a datagram of this protocol be a tunnel's? What is not is reassembled by the host.
bool may_be_tunnel(const fib::Tables& tables, VrfId vrf, wire::Protocol protocol) noexcept
{
    switch (protocol) {
        case wire::Protocol::Gre: return true;
        case wire::Protocol::Esp: return tables.takes_esp(vrf);
        case wire::Protocol::Udp: return tables.takes_esp(vrf) || tables.takes_wireguard(vrf);
        default: return false;
    }
}

// Is this an error of a router that one of our tunnels' packets was too large for? Whether we sent it at all is for the
// control plane to say, which knows our keys, SPIs and indices. The host hears of all others.
bool is_tunnel_too_big(const fib::Tables& tables, VrfId vrf, Bytes icmp, bool v6) noexcept
{
    if (icmp.size() < sizeof(wire::IcmpHeader)) return false;
    const bool too_big = v6 ? icmp[0] == wire::icmp6::kPacketTooBig
                            : icmp[0] == wire::icmp4::kUnreachable && icmp[1] == wire::icmp4::kFragmentationNeeded;
    if (!too_big) return false;
    const auto quoted = icmp.subspan(sizeof(wire::IcmpHeader));
    if (quoted.size() < (v6 ? sizeof(wire::Ipv6Header) : sizeof(wire::Ipv4Header)) || quoted[0] >> 4 != (v6 ? 6 : 4))
        return false;
    if (!v6 && std::size_t{4} * (quoted[0] & 0x0f) > quoted.size()) return false;
    const auto payload = v6 ? wire::find_payload6(quoted) : wire::find_payload4(quoted);
    if (payload.offset == 0) return false;
    if (payload.protocol != wire::Protocol::Udp) return may_be_tunnel(tables, vrf, payload.protocol);
    if (payload.offset + sizeof(wire::UdpHeader) > quoted.size()) return false;
    const auto& udp = *reinterpret_cast<const wire::UdpHeader*>(quoted.data() + payload.offset);
    const auto from = v6 ? IpAddress{reinterpret_cast<const wire::Ipv6Header*>(quoted.data())->source}
                         : IpAddress{Ipv4Address{reinterpret_cast<const wire::Ipv4Header*>(quoted.data())->source}};
    return tables.wireguard_at(vrf, udp.source, from) != kNoInterface || tables.takes_esp(vrf, udp.source);
}

// RFC 5881 4, RFC 5883 5. It is small: no fragment of one is worth waiting for.
bool is_bfd(rte_mbuf* m, const wire::Payload& payload) noexcept
{
    if (payload.protocol != wire::Protocol::Udp || payload.fragment || payload.offset == 0) return false;
    const std::uint16_t port = header_at<wire::UdpHeader>(m, payload.offset).destination;
    return port == bfd::kControlPort || port == bfd::kEchoPort || port == bfd::kMultihopPort;
}

void local_one(Context& ctx, rte_mbuf* m) noexcept
{
    auto& meta = metadata(m);
    const auto vrf = meta.path->vrf;
    const bool v6 = is_v6(m);
    const auto payload = v6 ? wire::find_payload6(data(m)) : wire::find_payload4(data(m));

    if (payload.fragment && may_be_tunnel(ctx.tables, vrf, payload.protocol)) [[unlikely]] {
        meta.vrf = vrf;
        meta.stage = Stage::Reassemble;
        return;
    }
    if (payload.protocol == wire::Protocol::Gre) {
        meta.vrf = vrf;
        meta.stage = Stage::DecapGre;
        return;
    }
    if (payload.protocol == wire::Protocol::Esp && payload.offset != 0 && ctx.tables.takes_esp(vrf)) {
        meta.vrf = vrf;
        meta.stage = Stage::DecapEsp;
        return;
    }
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
        if (ctx.tables.takes_esp(vrf, udp.destination)) {
            const std::size_t length = udp.length;
            if (length < sizeof udp || payload.offset + length > meta.length) return meta.end(Verdict::DropTruncated);
            meta.vrf = vrf;
            switch (esp::udp_content(data(m).subspan(payload.offset + sizeof udp, length - sizeof udp))) {
                case esp::UdpContent::Esp: meta.stage = Stage::DecapEsp; return;
                case esp::UdpContent::Keepalive: return meta.end(Verdict::NatKeepalive);
                case esp::UdpContent::Malformed: return meta.end(Verdict::DropEspMalformed);
                case esp::UdpContent::Ike: break;
            }
        }
    }
    if (payload.protocol == (v6 ? wire::Protocol::Icmpv6 : wire::Protocol::Icmp) && payload.offset != 0 &&
        is_tunnel_too_big(ctx.tables, vrf, data(m).subspan(payload.offset), v6)) [[unlikely]] {
        meta.vrf = vrf;
        return meta.end(ctx.punt_path_mtu.take(ctx.now) ? Verdict::PuntPathMtu : Verdict::DropPuntLimited);
    }
    if (ctx.bfd != nullptr && is_bfd(m, payload)) {
        meta.vrf = vrf;
        meta.stage = Stage::Bfd;
        return;
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
