#include "dataplane/node/ecn.h"
#include "dataplane/node/stages.h"
#include "dataplane/node/udp.h"
#include "dataplane/wire/transport.h"

#include <array>
#include <cstring>

namespace culvert::node {

namespace {

std::uint32_t receiver_index(Bytes message) noexcept
{
    std::uint32_t v;
    std::memcpy(&v, reinterpret_cast<const wire::WireguardDataHeader*>(message.data())->receiver_index, 4);
    return v;
}

// The inner packet starts anew, by the tunnel.
void enter(Context& ctx, rte_mbuf* m, const wg::OpenJob& job, std::uint8_t outer_ecn) noexcept
{
    auto& meta = metadata(m);
    rte_pktmbuf_adj(m, static_cast<std::uint16_t>(job.inner - rte_pktmbuf_mtod(m, std::uint8_t*)));
    trim(m, static_cast<std::uint16_t>(m->data_len - job.inner_length));
    meta.link_header = 0;
    meta.flags = 0;
    meta.flow_hash = 0;
    meta.peer = job.peer;
    meta.output = kNoInterface;
    meta.length = static_cast<std::uint16_t>(job.inner_length);

    const auto* peer = ctx.tables.peer(job.peer);
    const auto* tunnel = peer ? ctx.tables.interface(peer->interface) : nullptr;
    if (tunnel == nullptr || !tunnel->up) return meta.end(Verdict::DropInterfaceDown);
    meta.input = tunnel->id;
    meta.vrf = tunnel->vrf;
    auto& count = ctx.counters.interface(tunnel->id);
    count.rx_packets.add(1);
    count.rx_octets.add(job.inner_length);
    if (++meta.encapsulations > kMaxEncapsulations) return meta.end(Verdict::DropNestedTooDeep);

    const bool v6 = header_at<std::uint8_t>(m, 0) >> 4 == 6;
    const bool allowed = v6 ? ctx.tables.source_allowed(job.peer, ipv6(m).source)
                            : ctx.tables.source_allowed(job.peer, std::uint32_t{ipv4(m).source});
    if (!allowed) return meta.end(Verdict::DropWireguardSource);
    if (outer_ecn == kEcnCe) mark_congestion(m);
    meta.stage = v6 ? Stage::Ip6Input : Stage::Ip4Input;
}

}  // namespace

void decap_wireguard(Context& ctx, Burst& burst) noexcept
{
    auto& batch = ctx.loans.next(ctx);
    batch.craft = Craft::WireguardOpen;
    for (std::size_t i = 0; i < burst.size(); ++i) {
        const auto d = datagram(burst[i]);
        auto& job = batch.wireguard_opens[i];
        job.data = d.payload.data();
        job.length = static_cast<std::uint32_t>(d.payload.size());
        job.from = d.from;
        batch.ecn[i] = d.ecn;
    }
    batch.packets = burst;
    ctx.peers.begin_open(std::span{batch.wireguard_opens}.first(burst.size()), ctx.now, batch.wireguard);
    if (ctx.loans.lend(ctx, batch)) return burst.clear();

    batch.run(ctx.peers.aead());
    ctx.peers.keep();
    end_decap_wireguard(ctx, batch);
    ctx.peers.unkeep();
}

void end_decap_wireguard(Context& ctx, Batch& batch) noexcept
{
    ctx.peers.end_open(ctx.now, batch.wireguard);

    auto& packets = batch.packets;
    for (std::size_t i = 0; i < packets.size(); ++i) {
        auto& meta = packets.meta(i);
        const auto& job = batch.wireguard_opens[i];
        if (job.verdict == Verdict::Forward) {
            enter(ctx, packets[i], job, batch.ecn[i]);
            continue;
        }
        if (job.verdict == Verdict::DropWireguardIndex && ctx.workers > 1) {
            const auto to = ctx.next_worker(meta, receiver_index({job.data, job.length}));
            if (to != ctx.self) {
                ++meta.hops;
                meta.owner = to;
                meta.after = Stage::DecapWireguard;
                meta.end(Verdict::HandedOver);
                continue;
            }
        }
        meta.input = meta.output;  // what fails here failed on the tunnel
        meta.output = kNoInterface;
        meta.end(job.verdict);
    }
}

}  // namespace culvert::node
