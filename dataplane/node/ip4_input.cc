#include "dataplane/node/own_source.h"
#include "dataplane/node/stages.h"

#include <array>

namespace culvert::node {

using wire::Ipv4Header;

namespace {

// By the first octet: which addresses need a second look. Nearly no packet has one.
constexpr auto kSpecial = [] {
    std::array<bool, 256> t{};
    t[0] = t[127] = t[169] = true;
    for (std::size_t i = 224; i < 256; ++i) t[i] = true;
    return t;
}();

// RFC 1812 5.3.7 and 4.2.2.11; RFC 3927 7.
Verdict check_addresses(Metadata& meta, Ipv4Address source, Ipv4Address destination) noexcept
{
    const bool ours = meta.has(Flag::FromUs);
    if (!ours && (source.value >> 24 == 0 || source.is_loopback() || source.is_multicast() || source.is_class_e()))
        return Verdict::DropMartianSource;
    if (destination.value == 0xffffffff) return Verdict::DropBroadcast;
    if (destination.value >> 24 == 0 || destination.is_loopback() || destination.is_class_e())
        return Verdict::DropMartianDestination;
    if (destination.is_multicast()) return Verdict::DropMulticast;
    if (source.is_link_local() || destination.is_link_local()) meta.set(Flag::LinkScope);
    return Verdict::Forward;
}

Verdict input(const Context& ctx, const fib::OwnAddresses& own, rte_mbuf* m, Metadata& meta) noexcept
{
    const std::size_t have = m->data_len;
    if (have < sizeof(Ipv4Header)) return Verdict::DropTruncated;
    const auto& ip = ipv4(m);
    if (ip.version_ihl != 0x45) [[unlikely]] {
        if (ip.version_ihl >> 4 != 4) return Verdict::DropIpVersion;
        if (ip.header_length() < sizeof(Ipv4Header)) return Verdict::DropIpHeader;
        if (ip.header_length() > have) return Verdict::DropTruncated;
    }
    const std::size_t length = ip.total_length;
    if (length < ip.header_length()) return Verdict::DropIpHeader;
    if (length > have) return Verdict::DropTruncated;
    if (!ip.sum().intact()) return Verdict::DropIpChecksum;
    if (length != have) trim(m, static_cast<std::uint16_t>(have - length));  // Ethernet's padding
    meta.length = static_cast<std::uint16_t>(length);

    const std::uint32_t source = ip.source, destination = ip.destination;
    if (kSpecial[source >> 24] || kSpecial[destination >> 24]) [[unlikely]] {
        const auto v = check_addresses(meta, {source}, {destination});
        if (v != Verdict::Forward) return v;
    }
    if (own.may_hold(source)) [[unlikely]]
        if (claims_our_address(ctx, m)) return Verdict::DropOwnSource;
    // RFC 1812 5.3.4: a link-layer broadcast must not become a unicast of ours.
    if (meta.has(Flag::GroupFrame)) [[unlikely]]
        return Verdict::DropBroadcast;
    return Verdict::Forward;
}

}  // namespace

void ip4_input(Context& ctx, Burst& burst) noexcept
{
    const auto& own = ctx.tables.own_addresses();
    for (std::size_t i = 0; i < burst.size(); ++i) {
        auto& meta = burst.meta(i);
        const auto v = input(ctx, own, burst[i], meta);
        meta.verdict = v;
        meta.stage = v == Verdict::Forward ? Stage::Lookup4 : Stage::End;
    }
}

}  // namespace culvert::node
