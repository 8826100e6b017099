#include "dataplane/node/ecn.h"
#include "dataplane/node/interface_cache.h"
#include "dataplane/node/outer.h"
#include "dataplane/node/outer_way.h"
#include "dataplane/node/room.h"
#include "dataplane/node/stages.h"
#include "dataplane/wire/ethernet.h"
#include "dataplane/wire/transport.h"

#include <array>
#include <cstring>

namespace culvert::node {

namespace {

constexpr std::uint8_t kInternetworkControl = 6 << 5;  // DSCP CS6
constexpr std::size_t kFront = wg::kDataHeader + sizeof(wire::UdpHeader) + sizeof(wire::Ipv6Header) + 18;
// Where the frame will begin, mostly: what is written there shall be near.
constexpr std::size_t kFrameHeaders =
    wg::kDataHeader + sizeof(wire::UdpHeader) + sizeof(wire::Ipv4Header) + sizeof(wire::EthernetHeader);
constexpr std::size_t kBack = wg::kMaxPadding + wg::kDataTrailer;

// The peer has no key that may send. An empty packet is not worth waiting for.
void hold_for_handshake(Context& ctx, rte_mbuf* m) noexcept
{
    auto& meta = metadata(m);
    if (m->data_len == 0) return meta.end(Verdict::DropWireguardKeyExpired);
    if (meta.fleeting) return meta.end(Verdict::DropBfdHandshake);
    meta.received_at = ctx.now.time_since_epoch().count();
    meta.after = Stage::EncapWireguard;
    meta.path = nullptr;
    const bool taken = ctx.holds.hold({.peer = meta.peer}, m, ctx.now).taken;
    meta.end(taken ? Verdict::HoldHandshake : Verdict::DropHoldFull);
    if (taken) ctx.counters.verdict(Verdict::HoldHandshake);
}

// Packets of one peer come in runs: what is the same for all of a run is looked up, and counted, once.
class Run {
public:
    explicit Run(Context& ctx) noexcept : ctx_(ctx), sent_(ctx.counters, Tally::Way::Sent), way_(ctx) {}

    // Of the packet's tunnel and peer from here on.
    void enter(InterfaceId tunnel, const wg::SealJob& job) noexcept
    {
        if (tunnel == tunnel_ && job.peer == peer_) [[likely]]
            return;
        tunnel_ = tunnel;
        peer_ = job.peer;
        const auto* w = ctx_.tables.wireguard(tunnel);
        known_ = w != nullptr;
        if (known_) headers_ = {w->outer_vrf, w->source, w->listen_port, job.to};
    }
    void send(rte_mbuf* m, const wg::SealJob& job, std::uint8_t ecn_bits) noexcept
    {
        auto& meta = metadata(m);
        if (!known_) return meta.end(Verdict::DropInterfaceDown);
        ++meta.encapsulations;
        meta.clear(Flag::Protected);
        if (job.length != 0) sent_.add(tunnel_, job.length);
        // The message begins kDataHeader before what was the packet, and ends behind its padding and tag.
        append(m, static_cast<std::uint16_t>(job.sealed_length - wg::kDataHeader - job.length));
        rte_pktmbuf_prepend(m, wg::kDataHeader);
        // DF stays clear: a router on the way may cut it, the inner sender doesn't know this path.
        // What goes first here is to go first on its way too, and in the far end's queue.
        const auto tos = static_cast<std::uint8_t>(ecn_bits | (meta.has(Flag::Control) ? kInternetworkControl : 0));
        headers_.put(m, {.id = static_cast<std::uint16_t>(ctx_.next_fragment_id++), .tos = tos});
        way_.send(m);
    }

private:
    Context& ctx_;
    InterfaceId tunnel_{kNoInterface};
    PeerId peer_{kNoPeer};
    bool known_ = false;
    OuterUdp headers_;
    Tally sent_;
    OuterWay way_;
};

}  // namespace

void encap_wireguard(Context& ctx, Burst& burst) noexcept
{
    auto& batch = ctx.loans.next(ctx);
    batch.craft = Craft::WireguardSeal;
    auto& packets = batch.packets;
    packets.clear();
    std::size_t kept = 0;
    InterfaceCache tunnels{ctx.tables};
    PeerId peer{kNoPeer};
    auto owner = ctx.owner_of(peer);  // a division: once a run
    for (std::size_t i = 0; i < burst.size(); ++i) {
        rte_mbuf* m = burst[i];
        auto& meta = burst.meta(i);
        if (meta.peer != peer) {
            peer = meta.peer;
            owner = ctx.owner_of(peer);
        }
        if (owner != ctx.self) {
            meta.owner = owner;
            meta.after = Stage::EncapWireguard;
            meta.end(Verdict::HandedOver);
        } else if (meta.encapsulations >= kMaxEncapsulations) {
            meta.end(Verdict::DropNestedTooDeep);
        } else if (!make_room(m, kFront, kBack)) {
            meta.end(Verdict::DropNoBuffer);
        } else {
            const auto* tunnel = tunnels.find(meta.output);
            auto& job = batch.wireguard_seals[packets.size()];
            job.peer = meta.peer;
            job.data = rte_pktmbuf_mtod(m, std::uint8_t*);
            job.length = m->data_len;
            job.mtu = tunnel != nullptr ? tunnel->mtu : std::uint16_t{0};
            rte_prefetch0(job.data - kFrameHeaders);
            batch.ecn[packets.size()] = m->data_len != 0 ? outer_ecn(ecn(m)) : kEcnNotCapable;
            packets.push(m);
            continue;
        }
        burst.data()[kept++] = m;
    }
    burst.set_size(kept);
    if (packets.empty()) return;
    ctx.peers.begin_seal(std::span{batch.wireguard_seals}.first(packets.size()), ctx.now, batch.wireguard);
    if (ctx.loans.lend(ctx, batch)) return;

    batch.run(ctx.peers.aead());
    end_encap_wireguard(ctx, batch);
    if (burst.empty())
        burst = packets;
    else
        for (std::size_t i = 0; i < packets.size(); ++i) ctx.emit(packets[i]);
}

void end_encap_wireguard(Context& ctx, Batch& batch) noexcept
{
    auto& packets = batch.packets;
    const auto& jobs = batch.wireguard_seals;
    bool held = false;
    Run run{ctx};
    for (std::size_t i = 0; i < packets.size(); ++i) {
        // The cipher has had the caches for itself.
        if (i + kPrefetchAhead < packets.size()) {
            rte_prefetch0(packets[i + kPrefetchAhead]);
            rte_prefetch0(&packets.meta(i + kPrefetchAhead));
            rte_prefetch0(jobs[i + kPrefetchAhead].data - kFrameHeaders);
        }
        rte_mbuf* m = packets[i];
        auto& meta = metadata(m);
        if (jobs[i].verdict == Verdict::Forward) [[likely]] {
            run.enter(meta.output, jobs[i]);
            run.send(m, jobs[i], batch.ecn[i]);
        } else if (jobs[i].verdict == Verdict::HoldHandshake) {
            hold_for_handshake(ctx, m);
            held = true;
        } else {
            meta.end(jobs[i].verdict);
        }
    }
    if (held) remove_held(packets);
}

}  // namespace culvert::node
