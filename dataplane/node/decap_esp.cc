#include "dataplane/node/ecn.h"
#include "dataplane/node/stages.h"
#include "dataplane/wire/payload.h"
#include "dataplane/wire/transport.h"

#include <array>
#include <cstring>

namespace culvert::node {

namespace {

bool is_v6(rte_mbuf* m) noexcept { return header_at<std::uint8_t>(m, 0) >> 4 == 6; }

std::uint32_t spi_of(const esp::OpenJob& job) noexcept
{
    be32 spi;
    std::memcpy(&spi, job.data, sizeof spi);
    return spi;
}

// In place: what is made elsewhere and copied waits for its stores.
void set_v4(IpAddress& to, const be32& from) noexcept
{
    to.family = Family::Ipv4;
    to.bits = {};
    std::memcpy(to.bits.octets.data(), &from, sizeof from);
}

// The ESP packet in a packet that the local stage has checked.
void find_esp(rte_mbuf* m, esp::OpenJob& job, std::uint8_t& ecn_bits) noexcept
{
    const auto all = data(m);
    std::size_t at;
    std::uint8_t protocol;
    if (is_v6(m)) {
        const auto& ip = ipv6(m);
        const auto payload = wire::find_payload6(all);
        at = payload.offset;
        protocol = static_cast<std::uint8_t>(payload.protocol);
        job.to = ip.destination;
        ecn_bits = ip.traffic_class() & 3;
    } else {
        const auto& ip = ipv4(m);
        at = ip.header_length();
        protocol = ip.protocol;
        set_v4(job.to, ip.destination);
        ecn_bits = ip.tos & 3;
    }
    job.vrf = metadata(m).vrf;
    job.udp = protocol == static_cast<std::uint8_t>(wire::Protocol::Udp);
    std::size_t length = all.size() - at;
    if (job.udp) {
        const auto& udp = header_at<wire::UdpHeader>(m, at);
        if (is_v6(m))
            job.from.address = ipv6(m).source;
        else
            set_v4(job.from.address, ipv4(m).source);
        job.from.port = udp.source;
        length = udp.length - sizeof udp;
        at += sizeof udp;
    }
    job.data = all.data() + at;
    job.length = static_cast<std::uint32_t>(length);
}

// Packets of one protection come in runs.
class Run {
public:
    explicit Run(Context& ctx) noexcept : ctx_(ctx) {}
    ~Run() { count(); }

    // What is inside starts anew.
    Verdict enter(rte_mbuf* m, const esp::OpenJob& job, std::uint8_t outer_ecn) noexcept
    {
        auto& meta = metadata(m);
        if (job.protection != id_ || protection_ == nullptr) look_up(job.protection);
        if (protection_ == nullptr || interface_ == nullptr) return Verdict::DropInterfaceDown;
        meta.input = interface_->id;  // what fails from here on failed on the tunnel
        meta.output = kNoInterface;
        if (job.verdict != Verdict::Forward) return job.verdict;
        if (++meta.encapsulations > kMaxEncapsulations) return Verdict::DropNestedTooDeep;
        const bool v6 = is_v6(m);
        meta.link_header = 0;
        meta.flags = 0;
        meta.flow_hash = 0;
        meta.peer = kNoPeer;
        if (job.mode == api::EspMode::Transport) return gre_in_transport(m, meta, job, v6);

        m->data_off = static_cast<std::uint16_t>(job.inner - static_cast<std::uint8_t*>(m->buf_addr));
        m->data_len = static_cast<std::uint16_t>(job.inner_length);
        m->pkt_len = m->data_len;
        meta.length = m->data_len;
        if (protection_->inner == api::EspInner::Gre) return gre_in_tunnel(m, meta, outer_ecn);
        if (!interface_->up) return Verdict::DropInterfaceDown;
        if (!decapsulate_ecn(m, outer_ecn)) return Verdict::DropEcn;
        meta.protection = kNoProtection;
        meta.vrf = interface_->vrf;
        meta.stage = is_v6(m) ? Stage::Ip6Input : Stage::Ip4Input;
        ++packets_;
        octets_ += meta.length;
        return Verdict::Forward;
    }

private:
    void look_up(ProtectionId id) noexcept
    {
        count();
        id_ = id;
        protection_ = ctx_.tables.protection(id);
        interface_ = protection_ != nullptr ? ctx_.tables.interface(protection_->interface) : nullptr;
    }

    // GRE to its own stage, which asks whether it came by the tunnel's protection. Its ends are those that the keys
    // belong to, whatever a NAT made of the outer header (RFC 3948 3.1.2).
    Verdict gre_in_transport(rte_mbuf* m, Metadata& meta, const esp::OpenJob& job, bool v6) noexcept
    {
        constexpr auto kGre = static_cast<std::uint8_t>(wire::Protocol::Gre);
        if (protection_->inner != api::EspInner::Gre || job.next_header != kGre) return Verdict::DropEspInner;
        if (protection_->remote.is_v6() != v6) return Verdict::DropEspInner;
        const std::size_t header = v6 ? sizeof(wire::Ipv6Header) : ipv4(m).header_length();
        std::uint8_t* const to = job.inner - header;
        std::memmove(to, rte_pktmbuf_mtod(m, std::uint8_t*), header);
        rte_pktmbuf_adj(m, static_cast<std::uint16_t>(to - rte_pktmbuf_mtod(m, std::uint8_t*)));
        const std::size_t whole = header + job.inner_length;
        trim(m, static_cast<std::uint16_t>(m->data_len - whole));
        meta.length = m->data_len;
        if (v6) {
            auto& ip = ipv6(m);
            ip.next_header = kGre;
            ip.payload_length = static_cast<std::uint16_t>(job.inner_length);
            ip.source = protection_->remote.v6();
            ip.destination = protection_->local.v6();
        } else {
            auto& ip = ipv4(m);
            ip.protocol = kGre;
            ip.total_length = m->data_len;
            ip.source = protection_->remote.v4().value;
            ip.destination = protection_->local.v4().value;
            ip.compute_checksum();
        }
        return to_gre(meta);
    }

    // Nothing but the tunnel's own GRE comes out: a peer must not send into the outer VRF.
    Verdict gre_in_tunnel(rte_mbuf* m, Metadata& meta, std::uint8_t outer_ecn) noexcept
    {
        const auto payload = is_v6(m) ? wire::find_payload6(data(m)) : wire::find_payload4(data(m));
        if (payload.protocol != wire::Protocol::Gre) return Verdict::DropEspInner;
        const bool ours = is_v6(m) ? protection_->remote == IpAddress{ipv6(m).source} &&
                                         protection_->local == IpAddress{ipv6(m).destination}
                                   : protection_->remote == IpAddress{Ipv4Address{ipv4(m).source}} &&
                                         protection_->local == IpAddress{Ipv4Address{ipv4(m).destination}};
        if (!ours) return Verdict::DropEspInner;
        if (!decapsulate_ecn(m, outer_ecn)) return Verdict::DropEcn;
        const auto verdict = to_gre(meta);
        if (payload.fragment) meta.stage = Stage::Reassemble;
        return verdict;
    }

    Verdict to_gre(Metadata& meta) noexcept
    {
        meta.protection = id_;
        meta.vrf = protection_->outer_vrf;
        meta.stage = Stage::DecapGre;
        return Verdict::Forward;
    }

    void count() noexcept
    {
        if (packets_ == 0) return;
        auto& c = ctx_.counters.interface(interface_->id);
        c.rx_packets.add(packets_);
        c.rx_octets.add(octets_);
        packets_ = octets_ = 0;
    }

    Context& ctx_;
    ProtectionId id_{kNoProtection};
    const fib::Protection* protection_ = nullptr;
    const fib::Interface* interface_ = nullptr;
    std::uint64_t packets_ = 0;
    std::uint64_t octets_ = 0;
};

}  // namespace

// 1. find the ESP packet in each
// 2. open all of them, here or elsewhere
// 3. what is inside enters anew
void decap_esp(Context& ctx, Burst& burst) noexcept
{
    auto& batch = ctx.loans.next(ctx);
    batch.craft = Craft::EspOpen;
    for (std::size_t i = 0; i < burst.size(); ++i) {
        burst.prefetch(i + kPrefetchAhead);
        find_esp(burst[i], batch.opens[i], batch.ecn[i]);
    }
    batch.packets = burst;
    ctx.sas.begin_open(std::span{batch.opens}.first(burst.size()), batch.work);
    if (ctx.loans.lend(ctx, batch)) return burst.clear();

    ctx.sas.keep();
    batch.run(ctx.sas.aead());
    end_decap_esp(ctx, batch);
    ctx.sas.unkeep();
}

void end_decap_esp(Context& ctx, Batch& batch) noexcept
{
    ctx.sas.end_open(ctx.now, batch.work);

    auto& packets = batch.packets;
    Run run{ctx};
    for (std::size_t i = 0; i < packets.size(); ++i) {
        // The cipher has had the caches for itself.
        if (i + kPrefetchAhead < packets.size()) {
            rte_prefetch0(packets[i + kPrefetchAhead]);
            rte_prefetch0(&packets.meta(i + kPrefetchAhead));
        }
        auto& meta = packets.meta(i);
        const auto& job = batch.opens[i];
        if (job.protection != kNoProtection) [[likely]] {
            const auto verdict = run.enter(packets[i], job, batch.ecn[i]);
            if (verdict != Verdict::Forward) meta.end(verdict);
            continue;
        }
        if (job.verdict == Verdict::DropEspSpi && ctx.workers > 1) {
            const auto to = ctx.next_worker(meta, spi_of(job));
            if (to != ctx.self) {
                ++meta.hops;
                meta.owner = to;
                meta.after = Stage::DecapEsp;
                meta.end(Verdict::HandedOver);
                continue;
            }
        }
        meta.end(job.verdict);
    }
}

}  // namespace culvert::node
