#pragma once

#include "dataplane/node/context.h"
#include "dataplane/node/flow_hash.h"

#include <type_traits>

namespace culvert::node {

// The flow of the packet whose checked header is `ip`, under this worker's seed and fields.
template <class Header>
std::uint32_t flow(const Context& ctx, const Header& ip, std::size_t length) noexcept
{
    constexpr bool kV6 = std::is_same_v<Header, wire::Ipv6Header>;
    return flow_hash(ip, length, ctx.hash_seed, kV6 ? ctx.hash6 : ctx.hash4);
}

// The same, kept with the packet.
template <class Header>
std::uint32_t flow(const Context& ctx, rte_mbuf* m, const Header& ip) noexcept
{
    auto& meta = metadata(m);
    if (meta.flow_hash == 0) meta.flow_hash = flow(ctx, ip, meta.length);
    return meta.flow_hash;
}

}  // namespace culvert::node
