#include "dataplane/node/ecn.h"
#include "dataplane/node/stages.h"
#include "dataplane/wire/ethernet.h"
#include "dataplane/wire/gre.h"
#include "dataplane/wire/payload.h"

namespace culvert::node {

namespace {

struct Outer {
    IpAddress source;
    IpAddress destination;
    std::uint16_t header;  // octets; 0: what GRE would be is not in the packet
    std::uint8_t ecn;
};

bool is_v6(rte_mbuf* m) noexcept { return header_at<std::uint8_t>(m, 0) >> 4 == 6; }

// Of a packet that has a whole header.
Outer look_at(rte_mbuf* m) noexcept
{
    if (is_v6(m)) {
        const auto& ip = ipv6(m);
        return {ip.source, ip.destination, wire::find_payload6(data(m)).offset,
                static_cast<std::uint8_t>(ip.traffic_class() & 3)};
    }
    const auto& ip = ipv4(m);
    return {Ipv4Address{ip.source}, Ipv4Address{ip.destination}, wire::find_payload4(data(m)).offset,
            static_cast<std::uint8_t>(ip.tos & 3)};
}

// A keepalive of the peer's: GRE from us to it that carries nothing. It goes back in the outer VRF, by ordinary
// forwarding.
bool is_probe(const fib::Tunnel& tunnel, rte_mbuf* m) noexcept
{
    if (tunnel.multipoint()) return false;
    const auto inner = look_at(m);
    const auto protocol = is_v6(m) ? ipv6(m).next_header : ipv4(m).protocol;
    if (protocol != static_cast<std::uint8_t>(wire::Protocol::Gre) || inner.header == 0) return false;
    if (!(inner.source == tunnel.source) || !(inner.destination == tunnel.destination)) return false;
    const auto gre = wire::parse_gre(data(m).subspan(inner.header));
    return gre.length != 0 && gre.protocol == wire::kGreNoProtocol;
}

// Packets of one tunnel come in runs.
class Run {
public:
    explicit Run(Context& ctx) noexcept : ctx_(ctx) {}
    ~Run() { count(); }

    void open(rte_mbuf* m) noexcept
    {
        auto& meta = metadata(m);
        const auto verdict = take(m, meta);
        if (verdict == Verdict::Forward) [[likely]]
            return;
        meta.end(verdict);
    }

private:
    Verdict take(rte_mbuf* m, Metadata& meta) noexcept
    {
        const auto outer = look_at(m);
        if (outer.header == 0) return Verdict::DropTruncated;
        const auto bytes = data(m).subspan(outer.header);
        const auto gre = wire::parse_gre(bytes);
        if (gre.length == 0) return Verdict::DropGreMalformed;
        const auto* tunnel = ctx_.tables.tunnels().gre(meta.vrf, outer.source, outer.destination,
                                                       gre.has(wire::GreHeader::kKey), gre.key);
        if (tunnel == nullptr) return Verdict::DropNoTunnel;
        enter(tunnel->interface);
        meta.input = interface_;  // what fails from here on failed on the tunnel
        meta.output = kNoInterface;

        if (protection_of(*tunnel, outer.source) != meta.protection) return Verdict::DropTunnelClear;
        if (gre.has(wire::GreHeader::kChecksum) ? !wire::gre_intact(bytes) : tunnel->checksum)
            return Verdict::DropGreChecksum;
        if (gre.protocol == wire::kGreNoProtocol && tunnel->keepalives) {
            ctx_.keepalive_received(interface_);
            return Verdict::GreKeepaliveReceived;
        }
        const bool v6 = gre.protocol == static_cast<std::uint16_t>(wire::EtherType::Ipv6);
        if (!v6 && gre.protocol != static_cast<std::uint16_t>(wire::EtherType::Ipv4)) return Verdict::DropGreProtocol;
        if (bytes.size() < gre.length + (v6 ? sizeof(wire::Ipv6Header) : sizeof(wire::Ipv4Header)))
            return Verdict::DropTruncated;
        if (bytes[gre.length] >> 4 != (v6 ? 6 : 4)) return Verdict::DropIpVersion;
        if (tunnel->sequence) {
            if (!gre.has(wire::GreHeader::kSequence)) return Verdict::DropGreSequence;
            const auto owner = ctx_.owner_of(interface_);
            if (owner != ctx_.self) {
                meta.owner = owner;
                meta.after = Stage::DecapGre;
                return Verdict::HandedOver;
            }
            if (!ctx_.gre.in_order(interface_, tunnel->generation, gre.sequence, ctx_.now))
                return Verdict::DropGreSequence;
        }
        if (known_ == nullptr) return Verdict::DropInterfaceDown;
        if (meta.encapsulations >= kMaxEncapsulations) return Verdict::DropNestedTooDeep;

        rte_pktmbuf_adj(m, static_cast<std::uint16_t>(outer.header + gre.length));
        const bool probe = tunnel->keepalives && is_probe(*tunnel, m);
        if (!known_->up && !probe) return Verdict::DropInterfaceDown;
        if (!decapsulate_ecn(m, outer.ecn)) return Verdict::DropEcn;
        ++meta.encapsulations;
        ++packets_;
        octets_ += m->data_len;
        meta.link_header = 0;
        meta.flags = 0;
        // What came encrypted is not answered in clear.
        if (probe && meta.protection != kNoProtection) meta.set(Flag::Protected);
        meta.flow_hash = 0;
        meta.peer = kNoPeer;
        meta.protection = kNoProtection;
        meta.vrf = probe ? tunnel->outer_vrf : known_->vrf;
        meta.length = m->data_len;
        meta.stage = v6 ? Stage::Ip6Input : Stage::Ip4Input;
        return Verdict::Forward;
    }

    void enter(InterfaceId interface) noexcept
    {
        if (interface == interface_) return;
        count();
        interface_ = interface;
        known_ = ctx_.tables.interface(interface);
    }

    static ProtectionId protection_of(const fib::Tunnel& tunnel, const IpAddress& sender) noexcept
    {
        if (!tunnel.multipoint()) return tunnel.protection;
        const auto* protection = tunnel.senders->find(sender);
        return protection != nullptr ? *protection : tunnel.protection;
    }

    void count() noexcept
    {
        if (packets_ == 0) return;
        auto& c = ctx_.counters.interface(interface_);
        c.rx_packets.add(packets_);
        c.rx_octets.add(octets_);
        packets_ = octets_ = 0;
    }

    Context& ctx_;
    InterfaceId interface_{kNoInterface};
    const fib::Interface* known_ = nullptr;
    std::uint64_t packets_ = 0;
    std::uint64_t octets_ = 0;
};

}  // namespace

void decap_gre(Context& ctx, Burst& burst) noexcept
{
    Run run{ctx};
    for (std::size_t i = 0; i < burst.size(); ++i) {
        burst.prefetch(i + kPrefetchAhead);
        run.open(burst[i]);
    }
}

}  // namespace culvert::node
