#include "dataplane/api/link_scope.h"
#include "dataplane/node/neighbor_discovery.h"
#include "dataplane/node/own_source.h"
#include "dataplane/node/stages.h"

namespace culvert::node {

using wire::Ipv6Header;

namespace {

constexpr bool is_special(std::uint8_t first) noexcept { return first == 0 || first >= 0xfe; }

bool is_v4_mapped(const Ipv6Address& a) noexcept { return a.high() == 0 && a.low() >> 32 == 0xffff; }

// RFC 4291 2.5.2, 2.5.3, 2.5.6, 2.7; RFC 4861 6.1, 7.1: neighbour discovery comes from the link itself.
Verdict check_addresses(Context& ctx, rte_mbuf* m, Metadata& meta) noexcept
{
    const auto& ip = ipv6(m);
    const bool ours = meta.has(Flag::FromUs);
    const bool discovery = !ours && is_neighbor_discovery(m);
    // An address under duplicate detection is asked for from no address at all.
    if (ip.source.is_unspecified() && !discovery) return Verdict::DropMartianSource;
    if (!ours && (ip.source.is_multicast() || ip.source.is_loopback() || is_v4_mapped(ip.source)))
        return Verdict::DropMartianSource;
    if (ip.destination.is_unspecified() || ip.destination.is_loopback() || is_v4_mapped(ip.destination))
        return Verdict::DropMartianDestination;
    if (discovery && (ip.destination.is_multicast() || ip.destination.is_link_local()))
        return punt_neighbor_discovery(ctx, m);
    if (ip.destination.is_multicast()) return Verdict::DropMulticast;
    if (ip.source.is_link_local() || ip.destination.is_link_local()) meta.set(Flag::LinkScope);
    // RFC 4007 6: it means what it means on the link that it came by. The host's came with its link's VRF.
    if (ip.destination.is_link_local() && meta.input != kNoInterface &&
        ctx.tables.vrf(api::link_vrf(meta.input)) != nullptr)
        meta.vrf = api::link_vrf(meta.input);
    return Verdict::Forward;
}

Verdict input(Context& ctx, const fib::OwnAddresses& own, rte_mbuf* m, Metadata& meta) noexcept
{
    const std::size_t have = m->data_len;
    if (have < sizeof(Ipv6Header)) return Verdict::DropTruncated;
    const auto& ip = ipv6(m);
    if (ip.version() != 6) return Verdict::DropIpVersion;
    const std::size_t length = sizeof(Ipv6Header) + ip.payload_length;
    if (length > have) return Verdict::DropTruncated;
    if (length != have) trim(m, static_cast<std::uint16_t>(have - length));
    meta.length = static_cast<std::uint16_t>(length);

    if (is_special(ip.source.octets[0]) || is_special(ip.destination.octets[0])) [[unlikely]] {
        const auto v = check_addresses(ctx, m, meta);
        if (v != Verdict::Forward) return v;
    }
    if (own.may_hold(ip.source)) [[unlikely]]
        if (claims_our_address(ctx, m)) return Verdict::DropOwnSource;
    if (meta.has(Flag::GroupFrame)) [[unlikely]]
        return Verdict::DropMulticast;
    return Verdict::Forward;
}

}  // namespace

void ip6_input(Context& ctx, Burst& burst) noexcept
{
    const auto& own = ctx.tables.own_addresses();
    for (std::size_t i = 0; i < burst.size(); ++i) {
        burst.prefetch(i + kPrefetchAhead);
        auto& meta = burst.meta(i);
        const auto v = input(ctx, own, burst[i], meta);
        meta.verdict = v;
        meta.stage = v == Verdict::Forward ? Stage::Lookup6 : Stage::End;
    }
}

}  // namespace culvert::node
