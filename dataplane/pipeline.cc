#include "dataplane/pipeline.h"

#include "dataplane/node/bfd_speaker.h"
#include "dataplane/node/outer.h"
#include "dataplane/node/stages.h"
#include "dataplane/node/udp.h"
#include "dataplane/wire/ethernet.h"
#include "dataplane/wire/transport.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace culvert::dataplane {

using api::Verdict;
using node::Burst;
using node::Flag;
using node::metadata;
using node::PacketList;
using node::Stage;

namespace {

constexpr auto kIsDrop = [] {
    std::array<bool, api::kVerdictCount> t{};
    for (std::size_t i = 0; i < t.size(); ++i) t[i] = api::is_drop(static_cast<Verdict>(i));
    return t;
}();

constexpr std::uint8_t kInternetworkControl = 6;  // IP precedence of routing protocols, RFC 791

Stage input_stage(rte_mbuf* m) noexcept
{
    const auto version = node::header_at<std::uint8_t>(m, 0) >> 4;
    return version == 6 ? Stage::Ip6Input : Stage::Ip4Input;  // which refuses any other version
}

bool is_control(rte_mbuf* m) noexcept
{
    if (m->data_len < sizeof(wire::Ipv4Header)) return false;
    const auto tos = input_stage(m) == Stage::Ip6Input ? node::ipv6(m).traffic_class() : node::ipv4(m).tos;
    return tos >> 5 >= kInternetworkControl;
}

// Calls f(first, count) for each run of equal keys.
template <class Key, class F>
void for_each_run(Burst& burst, Key&& key, F&& f) noexcept
{
    for (std::size_t at = 0; at < burst.size();) {
        auto end = at + 1;
        while (end < burst.size() && key(burst.meta(end)) == key(burst.meta(at))) ++end;
        f(at, end - at);
        at = end;
    }
}

}  // namespace

Pipeline::~Pipeline() { shut_down(); }

void Pipeline::frames(PortId port, std::span<rte_mbuf* const> frames) noexcept
{
    Burst burst;
    std::copy(frames.begin(), frames.end(), burst.data());
    burst.set_size(frames.size());
    node::classify(ctx_, burst, port);
    auto stage = Stage::End;
    if (advance(burst, stage)) run(burst, stage);
    drain();
}

void Pipeline::from_host(std::span<rte_mbuf* const> packets) noexcept
{
    for (rte_mbuf* m : packets) {
        auto& meta = metadata(m);
        meta.set(Flag::FromUs);
        if (m->data_len == 0 || m->nb_segs != 1)
            meta.end(Verdict::DropTruncated);
        else
            meta.stage = input_stage(m);
        if (is_control(m)) meta.set(Flag::Control);
        ctx_.emit(m);
    }
    drain();
}

void Pipeline::handed_over(std::span<rte_mbuf* const> packets) noexcept
{
    for (rte_mbuf* m : packets) {
        auto& meta = metadata(m);
        meta.stage = meta.after;
        meta.path = nullptr;
        ctx_.emit(m);
    }
    drain();
}

void Pipeline::inject(const api::Inject& inject) noexcept
{
    rte_mbuf* m = rte_pktmbuf_alloc(ctx_.pool);
    if (m == nullptr) return ctx_.counters.verdict(Verdict::DropNoBuffer);
    auto& meta = node::begin(m, ctx_.now);
    meta.set(Flag::FromUs);
    meta.set(Flag::Control);
    const auto length = std::min<std::size_t>(inject.length, api::kMaxInject);
    auto* to = rte_pktmbuf_append(m, static_cast<std::uint16_t>(length));
    if (to == nullptr || length == 0) return drop(m, Verdict::DropTruncated);
    std::memcpy(to, inject.bytes.data(), length);
    meta.vrf = inject.vrf;
    if (inject.kind == api::InjectKind::Packet) {
        meta.set(Flag::Encrypted);  // a tunnel's own message
        meta.stage = input_stage(m);
        ctx_.emit(m);
        return drain();
    }

    const auto* interface = ctx_.tables.interface(inject.interface);
    meta.output = inject.interface;
    if (interface == nullptr || !interface->up || interface->kind != api::InterfaceKind::Port)
        return drop(m, Verdict::DropInterfaceDown);
    if (length < sizeof(wire::EthernetHeader)) return drop(m, Verdict::DropTruncated);
    if (interface->vlan != 0) {
        constexpr std::size_t kAddresses = 2 * sizeof(MacAddress);
        rte_pktmbuf_prepend(m, sizeof(wire::VlanHeader));
        auto* frame = rte_pktmbuf_mtod(m, std::uint8_t*);
        std::memmove(frame, frame + sizeof(wire::VlanHeader), kAddresses);
        node::header_at<be16>(m, kAddresses) = static_cast<std::uint16_t>(wire::EtherType::Vlan);
        node::header_at<be16>(m, kAddresses + 2) = interface->vlan;
    }
    meta.port = interface->port;
    meta.stage = Stage::Transmit;
    ctx_.counters.interface(interface->id).tx_packets.add(1);
    ctx_.counters.interface(interface->id).tx_octets.add(length - sizeof(wire::EthernetHeader));
    ctx_.emit(m);
    drain();
}

void Pipeline::command(const api::WorkerCommand& command) noexcept
{
    if (const auto* keys = std::get_if<api::InstallKeys>(&command)) ctx_.hints.put(keys->local_index, ctx_.self);
    if (const auto* sa = std::get_if<api::InstallSa>(&command); sa && sa->direction == api::SaDirection::Inbound)
        ctx_.hints.put(sa->spi, ctx_.self);
    if (!ctx_.peers.apply(command, ctx_.now)) ctx_.sas.apply(command, ctx_.now);
    if (ctx_.bfd != nullptr) {
        if (const auto* session = std::get_if<api::SetBfdSession>(&command)) ctx_.bfd->apply(*session);
        if (const auto* session = std::get_if<api::DeleteBfdSession>(&command)) ctx_.bfd->apply(*session);
        if (const auto* session = std::get_if<api::ClearBfdActivity>(&command)) ctx_.bfd->engine().apply(*session);
        drain();
    }

    if (const auto* keepalive = std::get_if<api::SetTunnelKeepalive>(&command)) {
        keepalives_.apply(*keepalive);
    } else if (const auto* hash = std::get_if<api::SetFlowHash>(&command)) {
        (hash->family == Family::Ipv4 ? ctx_.hash4 : ctx_.hash6) = node::HashMask::of(hash->fields);
    } else if (const auto* forget = std::get_if<api::ForgetKeys>(&command)) {
        if (forget->drop_waiting) end_all(ctx_.holds.release({.peer = forget->peer}, false), Verdict::DropHoldExpired);
    } else if (const auto* release = std::get_if<api::ReleaseHeld>(&command)) {
        auto list =
            ctx_.holds.release({.interface = release->interface, .address = release->address}, release->resolved);
        if (release->resolved) return resume(list);
        while (!list.empty()) {
            rte_mbuf* m = list.pop();
            auto& meta = metadata(m);
            const bool v6 = input_stage(m) == Stage::Ip6Input;
            meta.output = release->interface;
            meta.answer(Verdict::AnswerUnreachable, Verdict::DropNeighborFailed,
                        v6 ? wire::icmp6::kAddressUnreachable : wire::icmp4::kHostUnreachable);
            ctx_.emit(m);
        }
        drain();
    }
}

void Pipeline::settle() noexcept
{
    ctx_.peers.take_ready([this](wg::Ready ready) {
        auto list = ctx_.holds.release({.peer = ready.peer}, true);
        if (list.empty()) {
            if (ready.must_send) keepalive(ready.peer);
            return;
        }
        while (!list.empty()) {
            rte_mbuf* m = list.pop();
            metadata(m).stage = metadata(m).after;
            ctx_.emit(m);
        }
    });
    drain();
    const auto lost = ctx_.peers.take_events([this](const api::WorkerEvent& event) {
        ctx_.told_control = true;
        return ctx_.link.events.push(event);
    });
    if (lost != 0) ctx_.link.lost_events.fetch_add(lost, std::memory_order_relaxed);
    settle_sas();
}

bool Pipeline::settle_loans(bool idle) noexcept
{
    if (ctx_.loans.empty()) return false;
    ctx_.loans.settle(ctx_, idle);
    drain();
    return true;
}

// A tunnel whose last SA has come to its end leads nowhere: packets take another way in this round.
void Pipeline::watch_protection(const api::WorkerEvent& event) noexcept
{
    const auto* ended = std::get_if<api::SaHardExpired>(&event);
    const auto* installed = std::get_if<api::SaInstalled>(&event);
    if (ended == nullptr && installed == nullptr) return;
    const auto id = ended != nullptr ? ended->protection : installed->protection;
    const auto* protection = ctx_.tables.protection(id);
    if (protection == nullptr) return;
    const bool sends = ctx_.sas.sending(id) != nullptr;
    if (ended != nullptr && ended->direction == api::SaDirection::Outbound && !sends)
        ctx_.tunnel_down(protection->interface, ctx_.now, ctx_.now);
    if (installed != nullptr && sends) ctx_.tunnel_alive(protection->interface);
}

// Events of the SAs, and keepalives of those that are silent.
void Pipeline::settle_sas() noexcept
{
    const auto lost = ctx_.sas.take_events([this](const api::WorkerEvent& event) {
        watch_protection(event);
        ctx_.told_control = true;
        return ctx_.link.events.push(event);
    });
    if (lost != 0) ctx_.link.lost_events.fetch_add(lost, std::memory_order_relaxed);
    ctx_.sas.take_keepalives([this](const esp::Keepalive& k) { nat_keepalive(k); });
    drain();
}

TimePoint Pipeline::speaks_at() const noexcept
{
    const auto bfd = ctx_.bfd != nullptr ? ctx_.bfd->engine().next_deadline() : kNever;
    return std::min(bfd, keepalives_.next_deadline());
}

bool Pipeline::speak(TimePoint now, TimePoint heard_until) noexcept
{
    if (now < speaks_at()) return false;
    ctx_.now = now;
    if (ctx_.bfd != nullptr) ctx_.bfd->engine().on_time(now, heard_until);
    keepalives_.on_time(now, heard_until);
    drain();
    return true;
}

bool Pipeline::say_goodbye(TimePoint now, Duration most) noexcept
{
    if (ctx_.bfd == nullptr) return true;
    if (!std::exchange(leaving_, true)) {
        ctx_.now = now;
        ctx_.bfd->engine().leave(now, most);
        drain();
    }
    return ctx_.bfd->engine().size() == 0;
}

void Pipeline::expire() noexcept
{
    ctx_.sas.expire(ctx_.now);
    settle_sas();
    PacketList late;
    ctx_.reassembly.expire(ctx_.now, late);
    while (!late.empty()) ctx_.emit(late.pop());
    end_all(ctx_.holds.expire(ctx_.now), Verdict::DropHoldExpired);
}

void Pipeline::shut_down() noexcept
{
    ctx_.loans.shut_down(ctx_);
    for (auto& queue : ctx_.queues) end_all(std::exchange(queue, {}), Verdict::DropShutdown);
    end_all(ctx_.reassembly.release_all(), Verdict::DropShutdown);
    end_all(ctx_.holds.release_all(), Verdict::DropShutdown);
}

void Pipeline::resume(PacketList list) noexcept
{
    while (!list.empty()) {
        rte_mbuf* m = list.pop();
        metadata(m).stage = metadata(m).after;
        ctx_.emit(m);
    }
    drain();
}

void Pipeline::end_all(PacketList list, Verdict verdict) noexcept
{
    while (!list.empty()) {
        rte_mbuf* m = list.pop();
        metadata(m).end(verdict);
        ctx_.emit(m);
    }
    drain();
}

void Pipeline::keepalive(PeerId peer) noexcept
{
    const auto* p = ctx_.tables.peer(peer);
    if (p == nullptr) return;
    rte_mbuf* m = rte_pktmbuf_alloc(ctx_.pool);
    if (m == nullptr) return ctx_.counters.verdict(Verdict::DropNoBuffer);
    auto& meta = node::begin(m, ctx_.now);
    meta.set(Flag::FromUs);
    meta.peer = peer;
    meta.output = p->interface;
    meta.flow_hash = 1;  // there is no inner flow to tell apart
    meta.stage = Stage::EncapWireguard;
    ctx_.emit(m);
}

void Pipeline::nat_keepalive(const esp::Keepalive& k) noexcept
{
    const auto* protection = ctx_.tables.protection(k.protection);
    if (protection == nullptr) return;
    rte_mbuf* m = rte_pktmbuf_alloc(ctx_.pool);
    if (m == nullptr) return ctx_.counters.verdict(Verdict::DropNoBuffer);
    auto& meta = node::begin(m, ctx_.now);
    node::append(m, 1);
    node::data(m)[0] = 0xff;
    meta.output = protection->interface;
    meta.flow_hash = 1;  // there is no inner flow to tell apart
    node::OuterUdp{k.outer_vrf, k.local.address, k.local.port, k.remote}.put(
        m, {.id = static_cast<std::uint16_t>(ctx_.next_fragment_id++)});
    ctx_.emit(m);
}

// Most bursts stay together: they go straight on. Else each packet is queued for its stage. A burst never passes
// packets that already wait for the same stage, so that a flow keeps its order.
bool Pipeline::advance(Burst& burst, Stage& stage) noexcept
{
    if (burst.empty()) return false;
    const auto first = burst.meta(0).stage;
    unsigned differ = 0;
    for (std::size_t i = 1; i < burst.size(); ++i)
        differ |= static_cast<unsigned>(burst.meta(i).stage) ^ static_cast<unsigned>(first);
    if (differ == 0 && ctx_.queues[static_cast<std::size_t>(first)].empty()) {
        stage = first;
        return true;
    }
    for (std::size_t i = 0; i < burst.size(); ++i) ctx_.emit(burst[i]);
    return false;
}

void Pipeline::run(Burst& burst, Stage stage) noexcept
{
    do {
        switch (stage) {
            case Stage::Ip4Input: node::ip4_input(ctx_, burst); break;
            case Stage::Ip6Input: node::ip6_input(ctx_, burst); break;
            case Stage::Lookup4: node::lookup_ipv4(ctx_, burst); break;
            case Stage::Lookup6: node::lookup_ipv6(ctx_, burst); break;
            case Stage::Local: node::local(ctx_, burst); break;
            case Stage::Bfd: node::take_bfd(ctx_, burst); break;
            case Stage::Reassemble: node::reassemble(ctx_, burst); break;
            case Stage::DecapEsp: node::decap_esp(ctx_, burst); break;
            case Stage::DecapGre: node::decap_gre(ctx_, burst); break;
            case Stage::DecapWireguard: node::decap_wireguard(ctx_, burst); break;
            case Stage::Forward4: node::forward_ipv4(ctx_, burst); break;
            case Stage::Forward6: node::forward_ipv6(ctx_, burst); break;
            case Stage::Answer: node::answer(ctx_, burst); break;
            case Stage::Fragment: node::fragment(ctx_, burst); break;
            case Stage::EncapGre: node::encap_gre(ctx_, burst); break;
            case Stage::EncapEsp: node::encap_esp(ctx_, burst); break;
            case Stage::EncapWireguard: node::encap_wireguard(ctx_, burst); break;
            case Stage::Rewrite: node::rewrite(ctx_, burst); break;
            case Stage::Transmit: return transmit(burst);
            case Stage::End: return finish(burst);
        }
    } while (advance(burst, stage));
}

// Every packet's way is bounded: encapsulations are counted, an answer is never answered, a fragment fits.
void Pipeline::drain() noexcept
{
    Burst burst;
    for (;;) {
        std::size_t at = 0;
        while (at < node::kStageCount && ctx_.queues[at].empty()) ++at;
        if (at == node::kStageCount) return;
        burst.clear();
        auto& queue = ctx_.queues[at];
        while (!queue.empty() && !burst.full()) burst.push(queue.pop());
        run(burst, static_cast<Stage>(at));
    }
}

void Pipeline::transmit(Burst& burst) noexcept
{
    const auto key = [](const node::Metadata& m) {
        return static_cast<std::uint32_t>(index(m.port)) << 1 | (m.has(Flag::Control) ? 1 : 0);
    };
    for_each_run(burst, key, [&](std::size_t at, std::size_t n) {
        const std::span<rte_mbuf* const> run{burst.data() + at, n};
        const auto port = burst.meta(at).port;
        const auto worker = outlet_.transmitter(port, ctx_.self);
        if (worker != ctx_.self) {
            for (rte_mbuf* m : run) {
                metadata(m).owner = worker;
                metadata(m).after = Stage::Transmit;
            }
            return hand_over(run);
        }
        const auto sent = outlet_.transmit(port, burst.meta(at).has(Flag::Control), run);
        for (rte_mbuf* m : run.subspan(sent)) drop(m, Verdict::DropTxFull);
    });
}

void Pipeline::finish(Burst& burst) noexcept
{
    const auto key = [](const node::Metadata& m) {
        const std::uint64_t control = m.has(Flag::Control) ? 1 : 0;  // what is handed over goes before data
        return control << 48 | static_cast<std::uint64_t>(m.verdict) << 32 |
               static_cast<std::uint64_t>(index(m.vrf)) << 8 | index(m.owner);
    };
    for_each_run(burst, key, [&](std::size_t at, std::size_t n) {
        const std::span<rte_mbuf* const> run{burst.data() + at, n};
        switch (burst.meta(at).verdict) {
            case Verdict::LocalDelivered: return deliver(run);
            case Verdict::HandedOver: return hand_over(run);
            case Verdict::PuntArp:
            case Verdict::PuntNd:
            case Verdict::PuntWireguard:
            case Verdict::PuntPathMtu:
                for (rte_mbuf* m : run) punt(m);
                return;
            default:
                for (rte_mbuf* m : run) drop(m, metadata(m).verdict);
        }
    });
}

void Pipeline::deliver(std::span<rte_mbuf* const> packets) noexcept
{
    const auto taken = outlet_.to_host(metadata(packets[0]).vrf, packets);
    ctx_.counters.verdict(Verdict::LocalDelivered, taken);
    for (rte_mbuf* m : packets.subspan(taken)) drop(m, Verdict::DropHostLinkFull);
}

void Pipeline::hand_over(std::span<rte_mbuf* const> packets) noexcept
{
    const auto taken = outlet_.hand_over(metadata(packets[0]).owner, packets);
    ctx_.counters.verdict(Verdict::HandedOver, taken);
    for (rte_mbuf* m : packets.subspan(taken)) drop(m, Verdict::DropHandoverFull);
}

// Copies the packet for the control plane, and frees it.
void Pipeline::punt(rte_mbuf* m) noexcept
{
    auto& meta = metadata(m);
    punt_.vrf = meta.vrf;
    punt_.at = TimePoint{Duration{meta.received_at}};
    punt_.from = punt_.to = {};
    Bytes bytes;
    if (meta.verdict == Verdict::PuntWireguard) {
        const auto d = node::datagram(m);
        punt_.klass = api::PuntClass::WireguardHandshake;
        punt_.interface = meta.output;
        punt_.from = d.from;
        punt_.to = d.to;
        bytes = d.payload;
    } else if (meta.verdict == Verdict::PuntPathMtu) {
        punt_.klass = api::PuntClass::PathMtu;
        punt_.interface = meta.input;
        bytes = node::data(m);
        bytes = bytes.first(std::min(bytes.size(), punt_.bytes.size()));
    } else {
        punt_.klass = meta.verdict == Verdict::PuntArp ? api::PuntClass::Arp : api::PuntClass::NeighborDiscovery;
        punt_.interface = meta.input;
        rte_pktmbuf_prepend(m, meta.link_header);
        bytes = node::data(m);
    }
    if (bytes.size() > punt_.bytes.size()) return drop(m, Verdict::DropTruncated);
    punt_.length = static_cast<std::uint16_t>(bytes.size());
    std::memcpy(punt_.bytes.data(), bytes.data(), bytes.size());
    if (!ctx_.link.punts.push(punt_)) return drop(m, Verdict::DropPuntFull);
    ctx_.told_control = true;
    ctx_.counters.verdict(meta.verdict);
    rte_pktmbuf_free(m);
}

// Counts and frees: drops, and what has no more to do (a keepalive that was opened).
void Pipeline::drop(rte_mbuf* m, Verdict verdict) noexcept
{
    const auto& meta = metadata(m);
    ctx_.counters.verdict(verdict);
    if (kIsDrop[static_cast<std::size_t>(verdict)]) {
        if (meta.output != kNoInterface)
            ctx_.counters.interface(meta.output).tx_drops.add(1);
        else if (meta.input != kNoInterface)
            ctx_.counters.interface(meta.input).rx_drops.add(1);
    }
    rte_pktmbuf_free(m);
}

}  // namespace culvert::dataplane
