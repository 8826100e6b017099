#include "dataplane/node/keepalive_sender.h"

#include "dataplane/node/outer.h"
#include "dataplane/wire/ethernet.h"
#include "dataplane/wire/gre.h"

namespace culvert::node {

namespace {

constexpr std::uint8_t kInternetworkControl = 6 << 5;
constexpr std::uint8_t kTtl = 255;

// GRE and IP in front of what is all of `m`.
void put(rte_mbuf* m, const fib::Tunnel& tunnel, std::uint16_t protocol, const IpAddress& from, const IpAddress& to,
         std::uint16_t id) noexcept
{
    const auto flags = static_cast<std::uint16_t>((tunnel.checksum ? wire::GreHeader::kChecksum : 0) |
                                                  (tunnel.has_key ? wire::GreHeader::kKey : 0));
    rte_pktmbuf_prepend(m, static_cast<std::uint16_t>(wire::gre_length(flags)));
    wire::put_gre(rte_pktmbuf_mtod(m, std::uint8_t*), flags, protocol, tunnel.key, 0);
    if (tunnel.checksum) wire::set_gre_checksum(data(m));
    OuterIp{tunnel.outer_vrf, wire::Protocol::Gre, from, to}.put(m,
                                                                 {.id = id, .tos = kInternetworkControl, .ttl = kTtl});
}

}  // namespace

void KeepaliveSender::apply(const api::SetTunnelKeepalive& keepalive)
{
    if (index(keepalive.tunnel) >= ctx_.tunnel_activity.size()) return;
    engine_.apply(keepalive, ctx_.now);
    if (keepalive.period == 0)
        ctx_.tunnel_activity[index(keepalive.tunnel)].keepalives_sent.store(0, std::memory_order_relaxed);
}

// As IOS sends it: a GRE packet to the far end that holds a GRE packet back to us, which carries nothing (protocol 0).
// The far end forwards it as any other packet; it need not know of keepalives.
bool KeepaliveSender::send(InterfaceId id) noexcept
{
    const auto* tunnel = ctx_.tables.tunnel(id);
    // Those of a protected tunnel are not asked: the answer would come back in clear.
    if (tunnel == nullptr || !tunnel->is_gre() || tunnel->multipoint() || !tunnel->keepalives ||
        tunnel->protection != kNoProtection)
        return false;
    rte_mbuf* m = rte_pktmbuf_alloc(ctx_.pool);
    if (m == nullptr) {
        ctx_.counters.verdict(Verdict::DropNoBuffer);
        return false;
    }
    auto& meta = begin(m, ctx_.now);
    meta.set(Flag::Control);
    meta.output = id;
    meta.flow_hash = 1;  // there is no inner flow to tell apart
    const auto fragment = static_cast<std::uint16_t>(ctx_.next_fragment_id++);
    put(m, *tunnel, wire::kGreNoProtocol, tunnel->destination, tunnel->source, fragment);
    const auto inner = tunnel->source.is_v6() ? wire::EtherType::Ipv6 : wire::EtherType::Ipv4;
    put(m, *tunnel, static_cast<std::uint16_t>(inner), tunnel->source, tunnel->destination, fragment);
    ctx_.emit(m);
    auto& sent = ctx_.tunnel_activity[index(id)].keepalives_sent;
    sent.store(sent.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    return true;
}

void KeepaliveSender::went_down(InterfaceId tunnel, TimePoint since, TimePoint at) noexcept
{
    ctx_.tunnel_down(tunnel, since, at);
}

void KeepaliveSender::alive(InterfaceId tunnel) noexcept { ctx_.tunnel_alive(tunnel); }

TimePoint KeepaliveSender::last_answer(InterfaceId tunnel) const noexcept
{
    return TimePoint{Duration{ctx_.tunnel_activity[index(tunnel)].keepalive_received.load(std::memory_order_relaxed)}};
}

void KeepaliveSender::missed(InterfaceId tunnel, unsigned in_a_row) noexcept
{
    ctx_.tunnel_activity[index(tunnel)].keepalives_missed.store(in_a_row, std::memory_order_relaxed);
}

}  // namespace culvert::node
