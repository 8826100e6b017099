#include "dataplane/node/neighbor_discovery.h"

#include "dataplane/wire/transport.h"

namespace culvert::node {

bool is_neighbor_discovery(rte_mbuf* m) noexcept
{
    const auto& ip = ipv6(m);
    if (ip.next_header != static_cast<std::uint8_t>(wire::Protocol::Icmpv6)) return false;
    if (metadata(m).link_header == 0 || m->data_len < sizeof ip + sizeof(wire::IcmpHeader)) return false;
    const auto type = header_at<wire::IcmpHeader>(m, sizeof ip).type;
    return type >= wire::icmp6::kRouterSolicitation && type <= wire::icmp6::kRedirect;
}

Verdict punt_neighbor_discovery(Context& ctx, rte_mbuf* m) noexcept
{
    if (ipv6(m).hop_limit != 255) return Verdict::DropIpHeader;
    return ctx.punt_nd.take(ctx.now) ? Verdict::PuntNd : Verdict::DropPuntLimited;
}

}  // namespace culvert::node
