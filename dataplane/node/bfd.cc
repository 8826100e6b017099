#include "dataplane/node/bfd_speaker.h"
#include "dataplane/node/stages.h"
#include "dataplane/node/udp.h"
#include "dataplane/wire/payload.h"
#include "dataplane/wire/transport.h"

namespace culvert::node {

namespace {

// RFC 768: zero is none, which IPv6 doesn't allow (RFC 8200 8.1).
bool udp_intact(rte_mbuf* m, std::size_t at) noexcept
{
    const auto& udp = header_at<wire::UdpHeader>(m, at);
    const std::uint16_t length = udp.length;
    const auto octets = Bytes{data(m)}.subspan(at, length);
    if (header_at<std::uint8_t>(m, 0) >> 4 == 6)
        return !udp.checksum.is_zero() && pseudo_sum(ipv6(m), wire::Protocol::Udp, length).add(octets).intact();
    return udp.checksum.is_zero() || pseudo_sum(ipv4(m), wire::Protocol::Udp, length).add(octets).intact();
}

// Who runs the session (api::Dataplane::bfd_owner, told from the packet): what a tunnel's owner has opened is the
// owner's; all else is of the worker with the ports' queue 0.
WorkerId owner(const Context& ctx, const Metadata& meta, bool multihop) noexcept
{
    if (multihop) return WorkerId{};
    const auto* input = ctx.tables.interface(meta.input);
    if (input == nullptr) return WorkerId{};
    if (input->kind == api::InterfaceKind::Wireguard) return ctx.self;
    const auto* tunnel = input->kind == api::InterfaceKind::Tunnel ? ctx.tables.tunnel(meta.input) : nullptr;
    return tunnel != nullptr && tunnel->protection != kNoProtection ? ctx.owner_of(tunnel->protection) : WorkerId{};
}

void bfd_one(Context& ctx, rte_mbuf* m) noexcept
{
    auto& meta = metadata(m);
    const bool v6 = header_at<std::uint8_t>(m, 0) >> 4 == 6;
    const auto at = (v6 ? wire::find_payload6(data(m)) : wire::find_payload4(data(m))).offset;
    if (at + sizeof(wire::UdpHeader) > meta.length) return meta.end(Verdict::DropTruncated);
    const std::size_t length = header_at<wire::UdpHeader>(m, at).length;
    if (length < sizeof(wire::UdpHeader) || at + length > meta.length) return meta.end(Verdict::DropTruncated);
    const auto d = datagram(m);

    const bool multihop = d.to.port == bfd::kMultihopPort;
    if (const auto to = owner(ctx, meta, multihop); to != ctx.self) {
        meta.owner = to;
        meta.after = Stage::Bfd;
        meta.set(Flag::Control);
        return meta.end(Verdict::HandedOver);
    }
    if (!udp_intact(m, at)) return meta.end(Verdict::DropBfdMalformed);

    const bfd::Arrival arrival{.vrf = meta.vrf,
                               .interface = meta.input,
                               .from = d.from.address,
                               .to = d.to.address,
                               .ttl = v6 ? ipv6(m).hop_limit : ipv4(m).ttl,
                               .multihop = multihop,
                               .stamp = TimePoint{Duration{meta.received_at}},
                               .source = meta.stamped_by};
    auto& engine = ctx.bfd->engine();
    meta.end(d.to.port == bfd::kEchoPort ? engine.on_echo(d.payload, arrival, ctx.now)
                                         : engine.on_packet(d.payload, arrival, ctx.now));
}

}  // namespace

// What an engine sends in answer is queued for its stage.
void take_bfd(Context& ctx, Burst& burst) noexcept
{
    for (std::size_t i = 0; i < burst.size(); ++i) bfd_one(ctx, burst[i]);
}

}  // namespace culvert::node
