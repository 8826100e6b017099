#include "dataplane/node/ecn.h"
#include "dataplane/node/outer.h"
#include "dataplane/node/room.h"
#include "dataplane/node/stages.h"
#include "dataplane/wire/transport.h"

#include <array>
#include <cstring>

namespace culvert::node {

namespace {

constexpr std::uint8_t kOuterTtl = 64;
constexpr std::size_t kFront = wg::kDataHeader + sizeof(wire::UdpHeader) + sizeof(wire::Ipv6Header) + 18;
constexpr std::size_t kBack = wg::kMaxPadding + wg::kDataTrailer;

// UDP and IP in front of the sealed message, and on to the lookup in the tunnel's outer VRF.
void put_outer(Context& ctx, rte_mbuf* m, const wg::SealJob& job, const fib::Wireguard& tunnel,
               std::uint8_t ecn_bits) noexcept
{
    auto& meta = metadata(m);
    // The message begins kDataHeader before what was the packet, and ends behind its padding and tag.
    rte_pktmbuf_prepend(m, wg::kDataHeader + sizeof(wire::UdpHeader));
    rte_pktmbuf_append(m, static_cast<std::uint16_t>(job.sealed_length - (m->data_len - sizeof(wire::UdpHeader))));
    const auto udp_length = static_cast<std::uint16_t>(sizeof(wire::UdpHeader) + job.sealed_length);
    header_at<wire::UdpHeader>(m, 0) = {tunnel.listen_port, job.to.port, udp_length, {}};

    meta.flags &= static_cast<std::uint8_t>(Flag::Control) | static_cast<std::uint8_t>(Flag::Traced);
    meta.set(Flag::FromUs);
    meta.set(Flag::Encrypted);
    const bool own_source = !tunnel.source.is_unspecified() && tunnel.source.family == job.to.address.family;
    if (!own_source) meta.set(Flag::NeedsSource);
    if (job.to.address.is_v6()) {
        rte_pktmbuf_prepend(m, sizeof(wire::Ipv6Header));
        auto& ip = ipv6(m);
        ip.version_class_flow = 6u << 28 | std::uint32_t{ecn_bits} << 20;
        ip.payload_length = udp_length;
        ip.next_header = static_cast<std::uint8_t>(wire::Protocol::Udp);
        ip.hop_limit = kOuterTtl;
        ip.source = own_source ? tunnel.source.v6() : Ipv6Address{};
        ip.destination = job.to.address.v6();
        meta.stage = Stage::Lookup6;
    } else {
        rte_pktmbuf_prepend(m, sizeof(wire::Ipv4Header));
        auto& ip = ipv4(m);
        ip.version_ihl = 0x45;
        ip.tos = ecn_bits;
        ip.total_length = m->data_len;
        ip.id = static_cast<std::uint16_t>(ctx.next_fragment_id++);
        ip.fragment = 0;  // a router on the way may cut it: the inner sender doesn't know this path
        ip.ttl = kOuterTtl;
        ip.protocol = static_cast<std::uint8_t>(wire::Protocol::Udp);
        ip.checksum = {};
        ip.source = own_source ? tunnel.source.v4().value : 0;
        ip.destination = job.to.address.v4().value;
        meta.stage = Stage::Lookup4;
    }
    if (own_source) checksum_outer(m);
    meta.length = m->data_len;
    meta.vrf = tunnel.outer_vrf;
    meta.link_header = 0;
}

// The peer has no key that may send. An empty packet is not worth waiting for.
void hold_for_handshake(Context& ctx, rte_mbuf* m) noexcept
{
    auto& meta = metadata(m);
    if (m->data_len == 0) return meta.end(Verdict::DropWireguardKeyExpired);
    meta.received_at = ctx.now.time_since_epoch().count();
    meta.after = Stage::Encap;
    meta.path = nullptr;
    const bool taken = ctx.holds.hold({.peer = meta.peer}, m, ctx.now).taken;
    meta.end(taken ? Verdict::HoldHandshake : Verdict::DropHoldFull);
    if (taken) ctx.counters.verdict(Verdict::HoldHandshake);
}

}  // namespace

void encap_wireguard(Context& ctx, Burst& burst) noexcept
{
    std::array<wg::SealJob, kBurstMax> jobs;
    std::array<std::uint8_t, kBurstMax> ecn_bits;
    std::array<rte_mbuf*, kBurstMax> packets;
    std::size_t n = 0;
    for (std::size_t i = 0; i < burst.size(); ++i) {
        rte_mbuf* m = burst[i];
        auto& meta = burst.meta(i);
        const auto owner = ctx.owner_of(meta.peer);
        if (owner != ctx.self) {
            meta.owner = owner;
            meta.after = Stage::Encap;
            meta.end(Verdict::HandedOver);
            continue;
        }
        if (meta.encapsulations >= kMaxEncapsulations) {
            meta.end(Verdict::DropNestedTooDeep);
            continue;
        }
        if (!make_room(m, kFront, kBack)) {
            meta.end(Verdict::DropNoBuffer);
            continue;
        }
        const auto* tunnel = ctx.tables.interface(meta.output);
        jobs[n] = {};
        jobs[n].peer = meta.peer;
        jobs[n].data = rte_pktmbuf_mtod(m, std::uint8_t*);
        jobs[n].length = m->data_len;
        jobs[n].mtu = tunnel != nullptr ? tunnel->mtu : 0;
        ecn_bits[n] = m->data_len != 0 ? outer_ecn(ecn(m)) : kEcnNotCapable;
        packets[n++] = m;
    }

    ctx.peers.seal(std::span{jobs}.first(n), ctx.now);

    for (std::size_t i = 0; i < n; ++i) {
        rte_mbuf* m = packets[i];
        auto& meta = metadata(m);
        if (jobs[i].verdict == Verdict::HoldHandshake) {
            hold_for_handshake(ctx, m);
            continue;
        }
        if (jobs[i].verdict != Verdict::Forward) {
            meta.end(jobs[i].verdict);
            continue;
        }
        const auto* tunnel = ctx.tables.wireguard(meta.output);
        if (tunnel == nullptr) {
            meta.end(Verdict::DropInterfaceDown);
            continue;
        }
        ++meta.encapsulations;
        if (jobs[i].length != 0) {
            auto& count = ctx.counters.interface(meta.output);
            count.tx_packets.add(1);
            count.tx_octets.add(jobs[i].length);
        }
        put_outer(ctx, m, jobs[i], *tunnel, ecn_bits[i]);
    }
    remove_held(burst);
}

}  // namespace culvert::node
