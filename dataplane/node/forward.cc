#include "dataplane/node/flow.h"
#include "dataplane/node/interface_cache.h"
#include "dataplane/node/link_header.h"
#include "dataplane/node/match.h"
#include "dataplane/node/mss.h"
#include "dataplane/node/outer.h"
#include "dataplane/node/stages.h"
#include "dataplane/node/tally.h"
#include "dataplane/wire/payload.h"

#include <algorithm>
#include <array>
#include <span>

namespace culvert::node {

using fib::NexthopKind;

namespace {

struct Ip4 {
    static const auto& header(rte_mbuf* m) noexcept { return ipv4(m); }
    static std::uint8_t ttl(rte_mbuf* m) noexcept { return ipv4(m).ttl; }
    static void decrement_ttl(rte_mbuf* m) noexcept { ipv4(m).decrement_ttl(); }
    // RFC 791: cut unless the sender forbids it. Of a tunnel's outer packet that's us: its DF is for the routers on the
    // way. That the tunnel's MTU lags behind its path for a moment costs nobody a packet.
    static bool may_cut(rte_mbuf* m, const Metadata& meta) noexcept
    {
        return !ipv4(m).dont_fragment() || meta.has(Flag::Encrypted);
    }
    static std::uint16_t largest(const fib::Nexthop& n) noexcept { return n.mtu; }
    static IpAddress destination(rte_mbuf* m) noexcept { return Ipv4Address{ipv4(m).destination}; }
    using Key = std::uint32_t;
    static Key key(rte_mbuf* m) noexcept { return ipv4(m).destination; }
    static const fib::Lpm4& allowed(const fib::Wireguard& w) noexcept { return *w.allowed4; }
    static wire::Payload payload(rte_mbuf* m) noexcept { return wire::find_payload4(data(m)); }
    static std::uint16_t mss(const fib::Interface& i) noexcept { return i.mss4; }
};

struct Ip6 {
    static const auto& header(rte_mbuf* m) noexcept { return ipv6(m); }
    static std::uint8_t ttl(rte_mbuf* m) noexcept { return ipv6(m).hop_limit; }
    static void decrement_ttl(rte_mbuf* m) noexcept { --ipv6(m).hop_limit; }
    // RFC 8200 5: only the sender cuts, and of a tunnel's outer packet that's us.
    static bool may_cut(rte_mbuf*, const Metadata& meta) noexcept { return meta.has(Flag::Encrypted); }
    // RFC 2473 7.1: packets of IPv6's minimum size go through any tunnel. The outer packet is cut, if need be.
    static std::uint16_t largest(const fib::Nexthop& n) noexcept
    {
        const bool link = n.kind == NexthopKind::Adjacency || n.kind == NexthopKind::Glean;
        return link || n.mtu == 0 ? n.mtu : std::max(n.mtu, static_cast<std::uint16_t>(wire::kIpv6MinimumMtu));
    }
    static IpAddress destination(rte_mbuf* m) noexcept { return ipv6(m).destination; }
    using Key = Ipv6Address;
    static Key key(rte_mbuf* m) noexcept { return ipv6(m).destination; }
    static const fib::Lpm6& allowed(const fib::Wireguard& w) noexcept { return *w.allowed6; }
    static wire::Payload payload(rte_mbuf* m) noexcept { return wire::find_payload6(data(m)); }
    static std::uint16_t mss(const fib::Interface& i) noexcept { return i.mss6; }
};

// The smaller clamp of both interfaces; 0 is none.
template <class Ip>
std::uint16_t mss_of(const fib::Interface* in, const fib::Interface* out) noexcept
{
    const std::uint16_t a = in != nullptr ? Ip::mss(*in) : std::uint16_t{0};
    const std::uint16_t b = out != nullptr ? Ip::mss(*out) : std::uint16_t{0};
    return a == 0 || b == 0 ? std::max(a, b) : std::min(a, b);
}

template <class Ip>
void adjust_mss(rte_mbuf* m, std::uint16_t mss) noexcept
{
    const auto payload = Ip::payload(m);
    if (payload.protocol == wire::Protocol::Tcp && payload.offset != 0) clamp_mss(data(m).subspan(payload.offset), mss);
}

// Keeps the packet until the neighbour is known. Nothing in it was changed: it is looked up again.
void hold_for_neighbor(Context& ctx, rte_mbuf* m, Stage lookup_again, const IpAddress& neighbor) noexcept
{
    auto& meta = metadata(m);
    const HoldKey key{.interface = meta.path->interface, .address = neighbor};
    meta.after = lookup_again;
    // Patience counts from here: the packet may have waited for a handshake before.
    meta.received_at = ctx.now.time_since_epoch().count();
    meta.path = nullptr;
    const auto held = ctx.holds.hold(key, m, ctx.now);
    if (held.ask) ctx.raise(api::NeighborMiss{key.interface, neighbor});
    meta.end(held.taken ? Verdict::HoldNeighbor : Verdict::DropHoldFull);
    if (held.taken) ctx.counters.verdict(Verdict::HoldNeighbor);
}

// A VTI's packets are sealed as they are.
Verdict into_tunnel(Context& ctx, Metadata& meta, Stage& next) noexcept
{
    const auto* tunnel = ctx.tables.tunnel(meta.path->interface);
    if (tunnel == nullptr) return Verdict::DropInterfaceDown;
    if (tunnel->is_gre()) {
        next = Stage::EncapGre;
        return Verdict::Forward;
    }
    if (tunnel->loops) return Verdict::DropTunnelLoop;
    if (tunnel->protection == kNoProtection) return Verdict::DropEspNoSa;
    meta.protection = tunnel->protection;
    next = Stage::EncapEsp;
    return Verdict::Forward;
}

template <class Ip>
void forward_one(Context& ctx, rte_mbuf* m, InterfaceCache& inputs, InterfaceCache& outputs, Tally& sent,
                 Stage lookup_again) noexcept
{
    auto& meta = metadata(m);
    const auto& n = *meta.path;
    const bool from_us = meta.has(Flag::FromUs);
    if (!from_us) {
        if (meta.has(Flag::LinkScope)) return meta.end(Verdict::DropLinkLocal);
        if (Ip::ttl(m) <= 1) return meta.answer(Verdict::AnswerTimeExceeded, Verdict::DropTtlExpired);
    }
    const auto largest = Ip::largest(n);
    const bool cut = largest != 0 && meta.length > largest;
    if (cut && !Ip::may_cut(m, meta)) {
        meta.mtu = largest;
        return meta.answer(Verdict::AnswerTooBig, Verdict::DropTooBig);
    }

    auto next = Stage::Rewrite;
    switch (n.kind) {
        [[likely]] case NexthopKind::Adjacency:
            if (meta.has(Flag::Protected)) [[unlikely]]
                return meta.end(Verdict::DropProtectedClear);
            if (!n.resolved) return hold_for_neighbor(ctx, m, lookup_again, n.gateway);
            break;
        case NexthopKind::Glean:
            if (meta.has(Flag::Protected)) return meta.end(Verdict::DropProtectedClear);
            return hold_for_neighbor(ctx, m, lookup_again, Ip::destination(m));
        case NexthopKind::WireguardPeer:
            meta.peer = n.peer;
            next = Stage::EncapWireguard;
            break;
        case NexthopKind::Tunnel: {
            const auto verdict = into_tunnel(ctx, meta, next);
            if (verdict != Verdict::Forward) return meta.end(verdict);
            break;
        }
        default:  // WireguardLookup; lookup sends no other kind here
            if (meta.peer == kNoPeer) return meta.end(Verdict::DropWireguardNoPeer);
            next = Stage::EncapWireguard;
            break;
    }

    const auto* out = outputs.find(n.interface);
    if (meta.has(Flag::NeedsSource)) {
        if (out == nullptr || !finish_outer(m, *out)) return meta.end(Verdict::DropNoTunnelRoute);
        meta.clear(Flag::NeedsSource);
    }
    meta.output = n.interface;
    if (!from_us) Ip::decrement_ttl(m);
    // A tunnel's outer packets are told apart by the flow inside, which nobody sees once it is sealed. ESP looks
    // itself, where it matters.
    if (next != Stage::Rewrite && (cut || next != Stage::EncapEsp)) flow(ctx, m, Ip::header(m));
    if (const auto mss = mss_of<Ip>(inputs.find(meta.input), out); mss != 0 && !meta.has(Flag::Encrypted))
        adjust_mss<Ip>(m, mss);
    if (cut) [[unlikely]] {
        meta.mtu = largest;
        meta.after = next;
        meta.stage = Stage::Fragment;
        return;
    }
    if (next != Stage::Rewrite) {
        meta.stage = next;
        return;
    }
    // What is whole needs no stage of its own for the last of its headers.
    if (!put_link_header(m, n)) return meta.end(Verdict::DropNoBuffer);
    sent.add(n.interface, meta.length);
}

// Cryptokey routing: the peers of packets [first, end), whose next hop is the same WireGuard interface.
template <class Ip>
void find_peers(Context& ctx, Burst& burst, std::size_t first, std::size_t end) noexcept
{
    std::array<typename Ip::Key, kBurstMax> destinations;
    std::array<fib::Leaf, kBurstMax> leaves;
    for (auto i = first; i < end; ++i) destinations[i - first] = Ip::key(burst[i]);
    if (const auto* w = ctx.tables.wireguard(burst.meta(first).path->interface))
        match(Ip::allowed(*w), std::span<const typename Ip::Key>{destinations}.first(end - first), leaves);
    for (auto i = first; i < end; ++i) burst.meta(i).peer = leaves[i - first].peer();
}

template <class Ip>
void find_peers(Context& ctx, Burst& burst) noexcept
{
    for (std::size_t at = 0; at < burst.size();) {
        const auto* n = burst.meta(at).path;
        auto end = at + 1;
        while (end < burst.size() && burst.meta(end).path == n) ++end;
        if (n->kind == NexthopKind::WireguardLookup) find_peers<Ip>(ctx, burst, at, end);
        at = end;
    }
}

template <class Ip>
void forward(Context& ctx, Burst& burst, Stage lookup_again) noexcept
{
    InterfaceCache inputs{ctx.tables}, outputs{ctx.tables};
    Tally sent{ctx.counters, Tally::Way::Sent};
    find_peers<Ip>(ctx, burst);
    const auto held = ctx.holds.packets();
    for (std::size_t i = 0; i < burst.size(); ++i) forward_one<Ip>(ctx, burst[i], inputs, outputs, sent, lookup_again);
    if (ctx.holds.packets() != held) [[unlikely]]
        remove_held(burst);
}

}  // namespace

void forward_ipv4(Context& ctx, Burst& burst) noexcept { forward<Ip4>(ctx, burst, Stage::Lookup4); }
void forward_ipv6(Context& ctx, Burst& burst) noexcept { forward<Ip6>(ctx, burst, Stage::Lookup6); }

}  // namespace culvert::node
