#include "dataplane/node/bfd_speaker.h"

#include "dataplane/wire/transport.h"

#include <cstring>

namespace culvert::node {

namespace {

constexpr std::uint8_t kInternetworkControl = 6 << 5;  // DSCP CS6, as routing protocols have it

// UDP and IP in front of the payload that is all of `m`. The checksum is complete.
void put_headers4(rte_mbuf* m, const Endpoint& from, const Endpoint& to, std::uint16_t id) noexcept
{
    const auto udp_length = static_cast<std::uint16_t>(sizeof(wire::UdpHeader) + m->data_len);
    rte_pktmbuf_prepend(m, sizeof(wire::Ipv4Header) + sizeof(wire::UdpHeader));
    auto& ip = ipv4(m);
    ip = {0x45,
          kInternetworkControl,
          m->data_len,
          id,
          wire::Ipv4Header::kDontFragment,
          bfd::kTtl,
          static_cast<std::uint8_t>(wire::Protocol::Udp),
          {},
          from.address.v4().value,
          to.address.v4().value};
    ip.compute_checksum();
    auto& udp = header_at<wire::UdpHeader>(m, sizeof ip);
    udp = {from.port, to.port, udp_length, {}};
    udp.checksum.set(pseudo_sum(ip, wire::Protocol::Udp, udp_length).add(Bytes{data(m)}.subspan(sizeof ip)));
    if (udp.checksum.is_zero()) udp.checksum.set_host(0xffff);
}

void put_headers6(rte_mbuf* m, const Endpoint& from, const Endpoint& to) noexcept
{
    const auto udp_length = static_cast<std::uint16_t>(sizeof(wire::UdpHeader) + m->data_len);
    rte_pktmbuf_prepend(m, sizeof(wire::Ipv6Header) + sizeof(wire::UdpHeader));
    auto& ip = ipv6(m);
    ip = {6U << 28 | std::uint32_t{kInternetworkControl} << 20,
          udp_length,
          static_cast<std::uint8_t>(wire::Protocol::Udp),
          bfd::kTtl,
          from.address.v6(),
          to.address.v6()};
    auto& udp = header_at<wire::UdpHeader>(m, sizeof ip);
    udp = {from.port, to.port, udp_length, {}};
    udp.checksum.set(pseudo_sum(ip, wire::Protocol::Udp, udp_length).add(Bytes{data(m)}.subspan(sizeof ip)));
    if (udp.checksum.is_zero()) udp.checksum.set_host(0xffff);
}

}  // namespace

BfdSpeaker::BfdSpeaker(Context& ctx, std::span<api::BfdActivity> activity, std::uint64_t seed)
    : ctx_(ctx), engine_(*this, activity, seed), generations_(activity.size())
{}

void BfdSpeaker::apply(const api::SetBfdSession& session)
{
    if (index(session.id) >= generations_.size()) return;
    generations_[index(session.id)] = ctx_.tables.generation(api::DownKind::Session, index(session.id));
    // An echo comes back with our own address as its source, which no WireGuard peer may use.
    auto wanted = session;
    const auto* interface = ctx_.tables.interface(session.interface);
    if (interface != nullptr && interface->kind == api::InterfaceKind::Wireguard) {
        wanted.echo = false;
        wanted.required_min_echo_rx = 0;
    }
    engine_.apply(wanted, ctx_.now);
}

void BfdSpeaker::apply(const api::DeleteBfdSession& session) { engine_.apply(session, ctx_.now); }

void BfdSpeaker::send_control(const api::SetBfdSession& s, std::uint16_t source_port, Bytes payload) noexcept
{
    send(s, {s.local, source_port}, {s.peer, s.multihop ? bfd::kMultihopPort : bfd::kControlPort}, payload);
}

// RFC 5881 4: to ourselves, by way of the peer.
void BfdSpeaker::send_echo(const api::SetBfdSession& s, std::uint16_t source_port, Bytes payload) noexcept
{
    send(s, {s.local, source_port}, {s.local, bfd::kEchoPort}, payload);
}

void BfdSpeaker::send(const api::SetBfdSession& s, const Endpoint& from, const Endpoint& to, Bytes payload) noexcept
{
    rte_mbuf* m = rte_pktmbuf_alloc(ctx_.pool);
    if (m == nullptr) return ctx_.counters.verdict(Verdict::DropNoBuffer);
    auto& meta = begin(m, ctx_.now);
    meta.set(Flag::FromUs);
    meta.set(Flag::Control);
    meta.fleeting = true;
    meta.vrf = s.vrf;
    append(m, static_cast<std::uint16_t>(payload.size()));
    std::memcpy(rte_pktmbuf_mtod(m, void*), payload.data(), payload.size());
    const bool v6 = to.address.is_v6();
    if (v6)
        put_headers6(m, from, to);
    else
        put_headers4(m, from, to, static_cast<std::uint16_t>(ctx_.next_fragment_id++));
    meta.length = m->data_len;

    if (s.multihop || s.nexthop == kNoNexthop) {
        meta.stage = v6 ? Stage::Lookup6 : Stage::Lookup4;
        return ctx_.emit(m);
    }
    // Straight to the next hop: who is asked whether a path lives must be asked by that path, and also while it is
    // marked down.
    const auto* n = ctx_.tables.nexthops().find(s.nexthop);
    const auto* interface = n != nullptr ? ctx_.tables.interface(n->interface) : nullptr;
    meta.path = n;
    meta.flow_hash = from.port;  // never 0: it is not computed
    if (n == nullptr)
        meta.end(Verdict::DropNexthopGone);
    else if (interface == nullptr || !interface->up)
        meta.end(Verdict::DropInterfaceDown);
    else
        meta.stage = v6 ? Stage::Forward6 : Stage::Forward4;
    ctx_.emit(m);
}

void BfdSpeaker::went_down(BfdSessionId session, TimePoint since, TimePoint at) noexcept
{
    const auto epoch =
        ctx_.tables.set_down(api::DownKind::Session, index(session), generations_[index(session)], fib::cause::kBfd);
    if (!epoch) return;
    ctx_.raise(api::WentDown{.kind = api::DownKind::Session,
                             .id = index(session),
                             .causes = fib::cause::kBfd,
                             .epoch = *epoch,
                             .since = since,
                             .at = at});
}

bool BfdSpeaker::changed(const api::BfdChanged& change) noexcept
{
    ctx_.told_control = true;
    return ctx_.link.events.push(change);
}

}  // namespace culvert::node
