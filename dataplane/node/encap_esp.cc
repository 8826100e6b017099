#include "dataplane/node/ecn.h"
#include "dataplane/node/flow.h"
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

constexpr std::size_t kFront = esp::kMaxFront + sizeof(wire::UdpHeader) + sizeof(wire::Ipv6Header) + 18;
// Where the frame will begin, mostly: what is written there shall be near.
constexpr std::size_t kFrameHeaders = api::kEspHeader + 8 + sizeof(wire::Ipv4Header) + sizeof(wire::EthernetHeader);

bool is_v6(rte_mbuf* m) noexcept { return header_at<std::uint8_t>(m, 0) >> 4 == 6; }

// What of the inner packet a tunnel's outer one follows.
void look_at(rte_mbuf* m, EspOutgoing& packet) noexcept
{
    if (is_v6(m)) {
        const auto& ip = ipv6(m);
        packet.tos = ip.traffic_class();
        packet.ttl = ip.hop_limit;
        // RFC 2473 7.1: what has IPv6's minimum size has to get through, in fragments if need be.
        packet.dont_fragment = m->data_len > wire::kIpv6MinimumMtu;
    } else {
        const auto& ip = ipv4(m);
        packet.tos = ip.tos;
        packet.ttl = ip.ttl;
        packet.dont_fragment = ip.dont_fragment();
    }
}

// Of the packet that is to be sealed in tunnel mode.
std::uint32_t flow(const Context& ctx, const esp::SealJob& job) noexcept
{
    if (job.data[0] >> 4 == 6) return flow(ctx, *reinterpret_cast<const wire::Ipv6Header*>(job.data), job.length);
    return flow(ctx, *reinterpret_cast<const wire::Ipv4Header*>(job.data), job.length);
}

// UDP's checksum, which IPv6 asks for, covers the ciphertext.
bool sums_ciphertext(const esp::Outbound& how) noexcept { return how.udp && how.remote.address.is_v6(); }

// Packets of one protection come in runs: what is the same for all of a run is looked up, and counted, once. Of two
// passes, the first makes them ready for the cipher and the second gives them their outer headers.
class Run {
public:
    explicit Run(Context& ctx) noexcept : ctx_(ctx), sent_(ctx.counters, Tally::Way::Sent), way_(ctx) {}

    Verdict prepare(rte_mbuf* m, EspOutgoing& packet, esp::SealJob& job) noexcept
    {
        auto& meta = metadata(m);
        enter(meta.protection);
        if (protection_ == nullptr) return Verdict::DropEspNoSa;
        if (owner_ != ctx_.self) {
            meta.owner = owner_;
            meta.after = Stage::EncapEsp;
            return Verdict::HandedOver;
        }
        if (how_ == nullptr) return ctx_.sas.refuse(id_, ctx_.now);
        if (meta.encapsulations >= kMaxEncapsulations) return Verdict::DropNestedTooDeep;
        if (!make_room(m, kFront, esp::kMaxBack)) return Verdict::DropNoBuffer;

        const bool v6 = is_v6(m);
        packet.protection = id_;
        packet.how = how_;
        packet.header = 0;
        job.protection = id_;
        job.length = m->data_len;
        job.data = rte_pktmbuf_mtod(m, std::uint8_t*);
        if (how_->mode == api::EspMode::Tunnel) {
            look_at(m, packet);
            job.next_header = static_cast<std::uint8_t>(v6 ? wire::Protocol::Ipv6 : wire::Protocol::Ipv4);
        } else {
            // The header of GRE's outer packet, which has no options, makes room for ESP's.
            if (protection_->inner != api::EspInner::Gre) return Verdict::DropEspInner;
            packet.header = static_cast<std::uint8_t>(v6 ? sizeof(wire::Ipv6Header) : sizeof(wire::Ipv4Header));
            job.next_header = v6 ? ipv6(m).next_header : ipv4(m).protocol;
            const auto between = static_cast<std::uint16_t>(how_->front + (how_->udp ? sizeof(wire::UdpHeader) : 0));
            std::memmove(job.data - between, job.data, packet.header);
            rte_pktmbuf_prepend(m, between);
            job.data += packet.header;
            job.length -= packet.header;
        }
        rte_prefetch0(job.data - kFrameHeaders);
        return Verdict::Forward;
    }

    // The outer headers of what is ready for the cipher or has been through it, and the way out.
    void send(rte_mbuf* m, const EspOutgoing& packet, const esp::SealJob& job) noexcept
    {
        auto& meta = metadata(m);
        enter(packet.protection);
        if (protection_ == nullptr) return meta.end(Verdict::DropEspNoSa);
        ++meta.encapsulations;
        meta.protection = kNoProtection;
        meta.clear(Flag::Protected);
        if (count_) sent_.add(protection_->interface, job.length);
        if (packet.how->mode == api::EspMode::Tunnel) [[likely]]
            return tunnel(m, packet, job);
        append(m, static_cast<std::uint16_t>(job.sealed_length - packet.how->front - job.length));
        transport(m, packet);
        way_.send(m);
    }

private:
    void enter(ProtectionId id) noexcept
    {
        if (id == id_ && protection_ != nullptr) return;
        id_ = id;
        protection_ = ctx_.tables.protection(id);
        owner_ = ctx_.owner_of(id);
        how_ = ctx_.sas.sending(id);
        count_ = protection_ != nullptr && protection_->inner == api::EspInner::Ip;
        outer_of_ = nullptr;
    }

    void tunnel(rte_mbuf* m, const EspOutgoing& packet, const esp::SealJob& job) noexcept
    {
        const auto& how = *packet.how;
        if (&how != outer_of_) [[unlikely]]
            enter(how);
        const OuterFields fields{.id = static_cast<std::uint16_t>(ctx_.next_fragment_id++),
                                 .tos = static_cast<std::uint8_t>((packet.tos & tos_kept_) | tos_given_),
                                 .ttl = protection_->ttl != 0 ? protection_->ttl : packet.ttl,
                                 .dont_fragment = df_given_ || (df_kept_ && packet.dont_fragment)};
        way_.put(m, job.data - how.front, static_cast<std::uint16_t>(job.sealed_length), fields,
                 [&] { return flow(ctx_, job); });
    }

    // Tunnel mode: what all packets of the SA share.
    void enter(const esp::Outbound& how) noexcept
    {
        outer_of_ = &how;
        const auto& p = *protection_;
        tos_kept_ = static_cast<std::uint8_t>((p.copy_dscp ? ~3 : 0) | (p.ecn == api::EspEcn::Normal ? 3 : 0));
        tos_given_ = static_cast<std::uint8_t>(p.copy_dscp ? 0 : p.dscp << 2);  // RFC 6040 4.1, 4.3
        const bool whole = p.fragmentation == api::EspFragmentation::Before;
        df_given_ = whole && p.df == api::EspDf::Set;
        df_kept_ = whole && p.df == api::EspDf::Copy;
        if (how.udp) {
            udp_ = {how.outer_vrf, how.local.address, how.local.port, how.remote};
            way_.enter(udp_);
        } else {
            ip_ = {how.outer_vrf, wire::Protocol::Esp, how.local.address, how.remote.address};
            way_.enter(ip_);
        }
    }

    // The header that is there says what follows it now; in UDP, the ends are those that the SA knows.
    void transport(rte_mbuf* m, const EspOutgoing& packet) noexcept
    {
        const auto& how = *packet.how;
        auto& meta = metadata(m);
        meta.length = m->data_len;
        const auto protocol = static_cast<std::uint8_t>(how.udp ? wire::Protocol::Udp : wire::Protocol::Esp);
        const bool v6 = is_v6(m);
        if (how.udp) {
            auto& udp = header_at<wire::UdpHeader>(m, packet.header);
            udp = {how.local.port, how.remote.port, static_cast<std::uint16_t>(m->data_len - packet.header), {}};
        }
        if (v6) {
            auto& ip = ipv6(m);
            ip.next_header = protocol;
            ip.payload_length = static_cast<std::uint16_t>(m->data_len - sizeof ip);
            if (how.udp) {
                ip.source = how.local.address.v6();
                ip.destination = how.remote.address.v6();
                checksum_udp6(m);
            }
            meta.stage = Stage::Lookup6;
        } else {
            auto& ip = ipv4(m);
            ip.protocol = protocol;
            ip.total_length = m->data_len;
            if (protection_->fragmentation == api::EspFragmentation::After) ip.fragment = 0;
            if (how.udp) {
                ip.source = how.local.address.v4().value;
                ip.destination = how.remote.address.v4().value;
            }
            ip.compute_checksum();
            meta.stage = Stage::Lookup4;
        }
    }

    Context& ctx_;
    ProtectionId id_{kNoProtection};
    const fib::Protection* protection_ = nullptr;
    WorkerId owner_{};
    const esp::Outbound* how_ = nullptr;
    bool count_ = false;
    // Of a tunnel's outer packets.
    const esp::Outbound* outer_of_ = nullptr;
    std::uint8_t tos_kept_ = 0, tos_given_ = 0;
    bool df_given_ = false, df_kept_ = false;
    OuterIp ip_;
    OuterUdp udp_;
    Tally sent_;
    OuterWay way_;
};

// Once a packet is sealed nobody sees its flow.
void keep_flows(const Context& ctx, const Batch& batch) noexcept
{
    for (std::size_t i = 0; i < batch.packets.size(); ++i)
        if (auto& meta = batch.packets.meta(i);
            meta.flow_hash == 0 && batch.outgoing[i].how->mode == api::EspMode::Tunnel)
            meta.flow_hash = flow(ctx, batch.seals[i]);
}

// `after_cipher`: which has had the caches for itself.
void send_all(Context& ctx, Batch& batch, bool after_cipher) noexcept
{
    Run run{ctx};
    const auto& packets = batch.packets;
    const auto size = packets.size();
    const auto near = after_cipher ? size : 0;
    for (std::size_t i = 0; i < size; ++i) {
        if (i + kPrefetchAhead < near) {
            rte_prefetch0(packets[i + kPrefetchAhead]);
            rte_prefetch0(&packets.meta(i + kPrefetchAhead));
            rte_prefetch0(batch.seals[i + kPrefetchAhead].data - kFrameHeaders);
        }
        const auto& job = batch.seals[i];
        if (job.verdict == Verdict::Forward) [[likely]]
            run.send(packets[i], batch.outgoing[i], job);
        else
            packets.meta(i).end(job.verdict);
    }
}

}  // namespace

// 1. make each packet ready
// 2. seal all of them, here or elsewhere
// 3. outer headers, and the way out: before the cipher if it runs here, for what it leaves of the caches isn't these
//    packets' headers
void encap_esp(Context& ctx, Burst& burst) noexcept
{
    auto& batch = ctx.loans.next(ctx);
    batch.craft = Craft::EspSeal;
    auto& packets = batch.packets;
    packets.clear();
    std::size_t kept = 0;
    bool later = ctx.loans.may_lend(batch);
    {
        Run run{ctx};
        for (std::size_t i = 0; i < burst.size(); ++i) {
            rte_mbuf* m = burst[i];
            const auto n = packets.size();
            const auto verdict = run.prepare(m, batch.outgoing[n], batch.seals[n]);
            if (verdict == Verdict::Forward) [[likely]] {
                packets.push(m);
                later |= sums_ciphertext(*batch.outgoing[n].how);
            } else {
                metadata(m).end(verdict);
                burst.data()[kept++] = m;
            }
        }
    }
    burst.set_size(kept);
    if (packets.empty()) return;
    if (later) keep_flows(ctx, batch);
    ctx.sas.begin_seal(std::span{batch.seals}.first(packets.size()), ctx.now, batch.work);
    if (ctx.loans.lend(ctx, batch)) return;

    ctx.sas.keep();
    if (!later) send_all(ctx, batch, false);
    batch.run(ctx.sas.aead());
    if (later) send_all(ctx, batch, true);
    ctx.sas.unkeep();
    if (burst.empty())
        burst = packets;
    else
        for (std::size_t i = 0; i < packets.size(); ++i) ctx.emit(packets[i]);
}

void end_encap_esp(Context& ctx, Batch& batch) noexcept { send_all(ctx, batch, true); }

}  // namespace culvert::node
