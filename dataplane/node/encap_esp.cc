#include "dataplane/node/ecn.h"
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

    void send(rte_mbuf* m, const EspOutgoing& packet, const esp::SealJob& job) noexcept
    {
        auto& meta = metadata(m);
        enter(packet.protection);
        if (protection_ == nullptr) return meta.end(Verdict::DropEspNoSa);
        ++meta.encapsulations;
        meta.protection = kNoProtection;
        meta.clear(Flag::Protected);
        if (protection_->inner == api::EspInner::Ip) sent_.add(protection_->interface, job.length);
        append(m, static_cast<std::uint16_t>(job.sealed_length - packet.how->front - job.length));
        if (packet.how->mode == api::EspMode::Tunnel)
            tunnel(m, packet);
        else
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
    }

    void tunnel(rte_mbuf* m, const EspOutgoing& packet) noexcept
    {
        const auto& p = *protection_;
        const auto& how = *packet.how;
        rte_pktmbuf_prepend(m, how.front);
        const auto dscp = p.copy_dscp ? packet.tos & ~3 : p.dscp << 2;
        const auto ecn = p.ecn == api::EspEcn::Normal ? packet.tos & 3 : kEcnNotCapable;  // RFC 6040 4.1, 4.3
        const bool df = p.fragmentation == api::EspFragmentation::Before &&
                        (p.df == api::EspDf::Set || (p.df == api::EspDf::Copy && packet.dont_fragment));
        const OuterFields fields{.id = static_cast<std::uint16_t>(ctx_.next_fragment_id++),
                                 .tos = static_cast<std::uint8_t>(dscp | ecn),
                                 .ttl = p.ttl != 0 ? p.ttl : packet.ttl,
                                 .dont_fragment = df,
                                 .flow_label = metadata(m).flow_hash};  // RFC 6438
        if (&how != outer_of_) {
            outer_of_ = &how;
            if (how.udp)
                udp_ = {how.outer_vrf, how.local.address, how.local.port, how.remote};
            else
                ip_ = {how.outer_vrf, wire::Protocol::Esp, how.local.address, how.remote.address};
        }
        how.udp ? udp_.put(m, fields) : ip_.put(m, fields);
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
    const esp::Outbound* outer_of_ = nullptr;
    OuterIp ip_;
    OuterUdp udp_;
    Tally sent_;
    OuterWay way_;
};

}  // namespace

// 1. make each packet ready
// 2. seal all of them, here or elsewhere
// 3. outer headers, and the way out
void encap_esp(Context& ctx, Burst& burst) noexcept
{
    auto& batch = ctx.loans.next(ctx);
    batch.craft = Craft::EspSeal;
    auto& packets = batch.packets;
    packets.clear();
    std::size_t kept = 0;
    {
        Run run{ctx};
        for (std::size_t i = 0; i < burst.size(); ++i) {
            rte_mbuf* m = burst[i];
            const auto n = packets.size();
            const auto verdict = run.prepare(m, batch.outgoing[n], batch.seals[n]);
            if (verdict == Verdict::Forward) [[likely]] {
                packets.push(m);
            } else {
                metadata(m).end(verdict);
                burst.data()[kept++] = m;
            }
        }
    }
    burst.set_size(kept);
    if (packets.empty()) return;
    ctx.sas.begin_seal(std::span{batch.seals}.first(packets.size()), ctx.now, batch.work);
    if (ctx.loans.lend(ctx, batch)) return;

    ctx.sas.keep();
    batch.run(ctx.sas.aead());
    end_encap_esp(ctx, batch);
    ctx.sas.unkeep();
    if (burst.empty())
        burst = packets;
    else
        for (std::size_t i = 0; i < packets.size(); ++i) ctx.emit(packets[i]);
}

void end_encap_esp(Context& ctx, Batch& batch) noexcept
{
    Run run{ctx};
    auto& packets = batch.packets;
    for (std::size_t i = 0; i < packets.size(); ++i) {
        // The cipher has had the caches for itself.
        if (i + kPrefetchAhead < packets.size()) {
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

}  // namespace culvert::node
