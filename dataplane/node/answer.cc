#include "dataplane/node/icmp_error.h"
#include "dataplane/node/stages.h"

namespace culvert::node {

namespace {

// RFC 7600 4.8: the source of an error from a router that has no better IPv4 address. Towards the host link it is the
// only one that works: the host takes an IPv4 packet from one of its own addresses for a forgery.
constexpr Ipv4Address kDummy4{0xc0000008};

const fib::Interface* nearest(const Context& ctx, const Metadata& meta) noexcept
{
    if (meta.input != kNoInterface) return ctx.tables.interface(meta.input);
    return ctx.tables.interface(meta.path != nullptr ? meta.path->interface : meta.output);
}

bool make_error(Context& ctx, rte_mbuf* m, const Metadata& meta, bool v6) noexcept
{
    const auto* interface = nearest(ctx, meta);
    if (v6) {
        if (interface == nullptr || interface->address6.is_unspecified()) return false;
        return make_icmp6_error(m, interface->address6);
    }
    const bool own = meta.input != kNoInterface && interface != nullptr && !interface->address4.is_unspecified();
    return make_icmp4_error(m, own ? interface->address4 : kDummy4, static_cast<std::uint16_t>(ctx.next_fragment_id++));
}

void answer_one(Context& ctx, rte_mbuf* m) noexcept
{
    auto& meta = metadata(m);
    if (!may_be_answered(m)) return meta.end(meta.otherwise);
    if (!ctx.icmp.take(ctx.now)) return meta.end(Verdict::DropIcmpLimited);
    const bool v6 = header_at<std::uint8_t>(m, 0) >> 4 == 6;
    if (!make_error(ctx, m, meta, v6)) return meta.end(meta.otherwise);
    ctx.counters.verdict(meta.verdict);

    // From here on it is a packet of ours, routed where the bad one was.
    const auto vrf = meta.vrf;
    auto& reply = begin(m, ctx.now);
    reply.vrf = vrf;
    reply.length = m->data_len;
    reply.set(Flag::FromUs);
    reply.stage = v6 ? Stage::Lookup6 : Stage::Lookup4;
}

}  // namespace

void answer(Context& ctx, Burst& burst) noexcept
{
    for (std::size_t i = 0; i < burst.size(); ++i) answer_one(ctx, burst[i]);
}

}  // namespace culvert::node
