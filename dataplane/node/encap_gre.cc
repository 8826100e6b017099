#include "dataplane/node/ecn.h"
#include "dataplane/node/outer.h"
#include "dataplane/node/outer_way.h"
#include "dataplane/node/room.h"
#include "dataplane/node/stages.h"
#include "dataplane/wire/ethernet.h"
#include "dataplane/wire/gre.h"

namespace culvert::node {

namespace {

constexpr std::size_t kFront = wire::kMaxGreHeader + sizeof(wire::Ipv6Header) + 18;

// What of the inner packet the outer one follows.
struct Inner {
    wire::EtherType type;
    std::uint8_t tos;
    std::uint8_t ttl;
    bool dont_fragment;
};

Inner look_at(rte_mbuf* m) noexcept
{
    if (header_at<std::uint8_t>(m, 0) >> 4 == 6) {
        const auto& ip = ipv6(m);
        // RFC 2473 7.1: what has IPv6's minimum size has to get through, in fragments if need be.
        return {wire::EtherType::Ipv6, ip.traffic_class(), ip.hop_limit, m->data_len > wire::kIpv6MinimumMtu};
    }
    const auto& ip = ipv4(m);
    return {wire::EtherType::Ipv4, ip.tos, ip.ttl, ip.dont_fragment()};
}

// Packets of one tunnel to one endpoint come in runs: what is the same for all of a run is looked up, and counted,
// once.
class Run {
public:
    explicit Run(Context& ctx) noexcept : ctx_(ctx), sent_(ctx.counters, Tally::Way::Sent), way_(ctx) {}

    void send(rte_mbuf* m) noexcept
    {
        auto& meta = metadata(m);
        const auto verdict = enter(meta, m);
        if (verdict != Verdict::Forward) [[unlikely]]
            return meta.end(verdict);
        if (tunnel_->sequence && owner_ != ctx_.self) {
            meta.owner = owner_;
            meta.after = Stage::EncapGre;
            return meta.end(Verdict::HandedOver);
        }
        if (meta.encapsulations >= kMaxEncapsulations) return meta.end(Verdict::DropNestedTooDeep);
        if (!make_room(m, kFront, 0)) return meta.end(Verdict::DropNoBuffer);

        ++meta.encapsulations;
        sent_.add(interface_, m->data_len);
        const auto inner = look_at(m);
        const auto sequence = tunnel_->sequence ? ctx_.gre.next(interface_, tunnel_->generation) : 0;
        rte_pktmbuf_prepend(m, header_);
        wire::put_gre(rte_pktmbuf_mtod(m, std::uint8_t*), flags_, static_cast<std::uint16_t>(inner.type), tunnel_->key,
                      sequence);
        if (tunnel_->checksum) wire::set_gre_checksum(data(m));
        const auto dscp = tunnel_->inherit_tos ? inner.tos : tunnel_->tos;
        outer_.put(m, {.id = static_cast<std::uint16_t>(ctx_.next_fragment_id++),
                       .tos = static_cast<std::uint8_t>((dscp & ~3) | (inner.tos & 3)),  // RFC 6040 4.1, normal mode
                       .ttl = tunnel_->ttl != 0 ? tunnel_->ttl : inner.ttl,
                       .dont_fragment = tunnel_->copy_df && inner.dont_fragment,
                       .flow_label = meta.flow_hash});  // RFC 6438
        if (protection_ != kNoProtection) {
            meta.protection = protection_;
            meta.stage = Stage::EncapEsp;
        } else {
            way_.send(m);
        }
    }

private:
    // Of the packet's tunnel and endpoint from here on.
    Verdict enter(const Metadata& meta, rte_mbuf* m) noexcept
    {
        if (meta.output != interface_ || tunnel_ == nullptr) {
            interface_ = meta.output;
            tunnel_ = ctx_.tables.tunnel(interface_);
            if (tunnel_ == nullptr) return Verdict::DropInterfaceDown;
            path_ = nullptr;
            owner_ = ctx_.owner_of(interface_);
            flags_ = static_cast<std::uint16_t>((tunnel_->checksum ? wire::GreHeader::kChecksum : 0) |
                                                (tunnel_->has_key ? wire::GreHeader::kKey : 0) |
                                                (tunnel_->sequence ? wire::GreHeader::kSequence : 0));
            header_ = static_cast<std::uint16_t>(wire::gre_length(flags_));
            protection_ = tunnel_->protection;
            if (!tunnel_->multipoint())
                outer_ = {tunnel_->outer_vrf, wire::Protocol::Gre, tunnel_->source, tunnel_->destination};
        }
        if (tunnel_->loops) return Verdict::DropTunnelLoop;
        return tunnel_->multipoint() ? find_endpoint(meta, m) : Verdict::Forward;
    }

    Verdict find_endpoint(const Metadata& meta, rte_mbuf* m) noexcept
    {
        if (meta.path == nullptr) return Verdict::DropNexthopGone;
        const bool gateway = !meta.path->gateway.is_unspecified();
        if (gateway && meta.path == path_) return Verdict::Forward;
        const bool v6 = header_at<std::uint8_t>(m, 0) >> 4 == 6;
        // Without a gateway the destination itself is on the tunnel's subnet.
        const auto nexthop = gateway ? meta.path->gateway
                             : v6    ? IpAddress{ipv6(m).destination}
                                     : IpAddress{Ipv4Address{ipv4(m).destination}};
        path_ = nullptr;
        const auto* endpoint = tunnel_->endpoints->find(nexthop);
        if (endpoint == nullptr || endpoint->address.family != tunnel_->source.family)
            return Verdict::DropTunnelNoEndpoint;
        path_ = meta.path;
        protection_ = endpoint->protection;
        outer_ = {tunnel_->outer_vrf, wire::Protocol::Gre, tunnel_->source, endpoint->address};
        return Verdict::Forward;
    }

    Context& ctx_;
    InterfaceId interface_{kNoInterface};
    const fib::Tunnel* tunnel_ = nullptr;
    const fib::Nexthop* path_ = nullptr;  // that the endpoint was found by
    WorkerId owner_{};
    ProtectionId protection_{kNoProtection};
    std::uint16_t flags_ = 0;
    std::uint16_t header_ = 0;
    OuterIp outer_;
    Tally sent_;
    OuterWay way_;
};

}  // namespace

void encap_gre(Context& ctx, Burst& burst) noexcept
{
    Run run{ctx};
    for (std::size_t i = 0; i < burst.size(); ++i) run.send(burst[i]);
}

}  // namespace culvert::node
