#include "dataplane/node/own_source.h"

#include "dataplane/bfd/packet.h"
#include "dataplane/wire/payload.h"
#include "dataplane/wire/transport.h"

namespace culvert::node {

namespace {

bool is_v6(rte_mbuf* m) noexcept { return header_at<std::uint8_t>(m, 0) >> 4 == 6; }

IpAddress source(rte_mbuf* m) noexcept
{
    if (is_v6(m)) return ipv6(m).source;
    return Ipv4Address{ipv4(m).source};
}

IpAddress destination(rte_mbuf* m) noexcept
{
    if (is_v6(m)) return ipv6(m).destination;
    return Ipv4Address{ipv4(m).destination};
}

bool is_own(const Context& ctx, VrfId id, const IpAddress& a) noexcept
{
    const auto* vrf = ctx.tables.vrf(id);
    if (vrf == nullptr) return false;
    const auto leaf = a.is_v4() ? vrf->lpm4.lookup(a.v4().value) : vrf->lpm6.lookup(a.v6());
    if (!leaf.found()) return false;
    const auto path = ctx.tables.pick(leaf.group(), 0u);
    return path && path.nexthop->kind == fib::NexthopKind::Local;
}

// RFC 5881 4: it is from and to the sender, so that the neighbour forwards it back.
bool is_echo(rte_mbuf* m, const wire::Payload& payload) noexcept
{
    if (payload.protocol != wire::Protocol::Udp || payload.fragment || payload.offset == 0) return false;
    if (payload.offset + sizeof(wire::UdpHeader) > m->data_len) return false;
    const std::uint16_t port = header_at<wire::UdpHeader>(m, payload.offset).destination;
    return port == bfd::kEchoPort && source(m) == destination(m);
}

// Of what the tunnel carries, DecapGre lets only a keepalive be between the tunnel's own ends.
bool is_keepalive(const Context& ctx, rte_mbuf* m, const wire::Payload& payload) noexcept
{
    if (payload.protocol != wire::Protocol::Gre) return false;
    const auto* tunnel = ctx.tables.tunnel(metadata(m).input);
    return tunnel != nullptr && tunnel->source == source(m) && tunnel->destination == destination(m);
}

}  // namespace

bool claims_our_address(const Context& ctx, rte_mbuf* m) noexcept
{
    const auto& meta = metadata(m);
    if (meta.has(Flag::FromUs) || !is_own(ctx, meta.vrf, source(m))) return false;
    const auto payload = is_v6(m) ? wire::find_payload6(data(m)) : wire::find_payload4(data(m));
    return !is_echo(m, payload) && !is_keepalive(ctx, m, payload);
}

}  // namespace culvert::node
