#include "tests/unit/node/router.h"

#include "base/check.h"
#include "dataplane/wire/payload.h"

#include <cstring>

namespace culvert::dataplane::test {

io::PacketPool& pool(io::MemoryMode memory)
{
    struct Process {
        std::unique_ptr<io::Eal> eal;
        std::unique_ptr<io::PacketPool> pool;
    };
    static Process process = [memory] {
        Process p;
        auto eal = io::Eal::start({.memory = memory, .octets = std::size_t{96} << 20});
        CULVERT_CHECK(eal.has_value());
        p.eal = std::move(*eal);
        auto made = io::PacketPool::create("test", 2047);
        CULVERT_CHECK(made.has_value());
        p.pool = std::make_unique<io::PacketPool>(std::move(*made));
        return p;
    }();
    return *process.pool;
}

Ipv4Address ip4(std::string_view text) { return *Ipv4Address::parse(text); }
Ipv6Address ip6(std::string_view text) { return *Ipv6Address::parse(text); }
IpAddress ip(std::string_view text) { return *IpAddress::parse(text); }
IpPrefix prefix(std::string_view text) { return *IpPrefix::parse(text); }

wire::Ipv4Header& header4(Octets& packet, std::size_t at)
{
    return *reinterpret_cast<wire::Ipv4Header*>(packet.data() + at);
}
wire::Ipv6Header& header6(Octets& packet, std::size_t at)
{
    return *reinterpret_cast<wire::Ipv6Header*>(packet.data() + at);
}

namespace {

Octets ipv4_packet(Ipv4Address from, Ipv4Address to, wire::Protocol protocol, Bytes payload, std::uint8_t ttl = 64)
{
    Octets out(20 + payload.size());
    header4(out) = {0x45,       0,       static_cast<std::uint16_t>(out.size()), 7,
                    0,          ttl,     static_cast<std::uint8_t>(protocol),    {},
                    from.value, to.value};
    header4(out).compute_checksum();
    std::copy(payload.begin(), payload.end(), out.begin() + 20);
    return out;
}

Octets ipv6_packet(const Ipv6Address& from, const Ipv6Address& to, wire::Protocol protocol, Bytes payload,
                   std::uint8_t hop_limit = 64)
{
    Octets out(40 + payload.size());
    header6(out) = {
        6u << 28, static_cast<std::uint16_t>(payload.size()), static_cast<std::uint8_t>(protocol), hop_limit, from, to};
    std::copy(payload.begin(), payload.end(), out.begin() + 40);
    return out;
}

Octets udp(std::uint16_t from, std::uint16_t to, std::size_t payload)
{
    Octets out(8 + payload);
    *reinterpret_cast<wire::UdpHeader*>(out.data()) = {from, to, static_cast<std::uint16_t>(out.size()), {}};
    for (std::size_t i = 8; i < out.size(); ++i) out[i] = static_cast<std::uint8_t>(i);
    return out;
}

Octets tcp(std::uint16_t mss, std::size_t nops)
{
    const auto options = (nops + 4 + 3) / 4 * 4;
    Octets out(20 + options);
    *reinterpret_cast<wire::TcpHeader*>(out.data()) = {
        1000, 179, 1, 0, static_cast<std::uint8_t>(out.size() / 4 << 4), wire::TcpHeader::kSyn, 65000, {}, 0};
    for (std::size_t i = 0; i < nops; ++i) out[20 + i] = 1;
    out[20 + nops] = 2;
    out[21 + nops] = 4;
    out[22 + nops] = static_cast<std::uint8_t>(mss >> 8);
    out[23 + nops] = static_cast<std::uint8_t>(mss);
    return out;
}

}  // namespace

Octets packet(const Udp4& p)
{
    auto out = ipv4_packet(p.from, p.to, wire::Protocol::Udp, udp(p.from_port, p.to_port, p.payload), p.ttl);
    auto& h = header4(out);
    h.fragment = p.fragment;
    h.tos = p.tos;
    h.id = p.id;
    h.compute_checksum();
    auto& u = *reinterpret_cast<wire::UdpHeader*>(out.data() + 20);
    u.checksum.set(pseudo_sum(h, wire::Protocol::Udp, u.length).add(Bytes{out}.subspan(20)));
    return out;
}

Octets packet(const Udp6& p)
{
    auto out = ipv6_packet(p.from, p.to, wire::Protocol::Udp, udp(p.from_port, p.to_port, p.payload), p.hop_limit);
    auto& h = header6(out);
    h.version_class_flow = 6u << 28 | std::uint32_t{p.traffic_class} << 20;
    auto& u = *reinterpret_cast<wire::UdpHeader*>(out.data() + 40);
    u.checksum.set(pseudo_sum(h, wire::Protocol::Udp, u.length).add(Bytes{out}.subspan(40)));
    return out;
}

Octets packet(const IpAddress& from, const IpAddress& to, wire::Protocol protocol, Bytes payload, std::uint8_t ttl)
{
    return from.is_v4() ? ipv4_packet(from.v4(), to.v4(), protocol, payload, ttl)
                        : ipv6_packet(from.v6(), to.v6(), protocol, payload, ttl);
}

Octets tcp_syn(Ipv4Address from, Ipv4Address to, std::uint16_t mss, std::size_t nops)
{
    auto out = ipv4_packet(from, to, wire::Protocol::Tcp, tcp(mss, nops));
    auto& t = *reinterpret_cast<wire::TcpHeader*>(out.data() + 20);
    t.checksum.set(pseudo_sum(header4(out), wire::Protocol::Tcp, static_cast<std::uint16_t>(out.size() - 20))
                       .add(Bytes{out}.subspan(20)));
    return out;
}

Octets tcp_syn(const Ipv6Address& from, const Ipv6Address& to, std::uint16_t mss)
{
    auto out = ipv6_packet(from, to, wire::Protocol::Tcp, tcp(mss, 0));
    auto& t = *reinterpret_cast<wire::TcpHeader*>(out.data() + 40);
    t.checksum.set(pseudo_sum(header6(out), wire::Protocol::Tcp, static_cast<std::uint16_t>(out.size() - 40))
                       .add(Bytes{out}.subspan(40)));
    return out;
}

Octets icmp4(Ipv4Address from, Ipv4Address to, std::uint8_t type, std::uint8_t code)
{
    Octets body(36);
    auto& h = *reinterpret_cast<wire::IcmpHeader*>(body.data());
    h = {type, code, {}, 0};
    h.checksum.set(wire::Sum{}.add(body));
    return ipv4_packet(from, to, wire::Protocol::Icmp, body);
}

Octets icmp6(const Ipv6Address& from, const Ipv6Address& to, std::uint8_t type, std::uint8_t hop_limit)
{
    Octets body(24);
    *reinterpret_cast<wire::IcmpHeader*>(body.data()) = {type, 0, {}, 0};
    auto out = ipv6_packet(from, to, wire::Protocol::Icmpv6, body, hop_limit);
    auto& h = *reinterpret_cast<wire::IcmpHeader*>(out.data() + 40);
    h.checksum.set(pseudo_sum(header6(out), wire::Protocol::Icmpv6, 24).add(Bytes{out}.subspan(40)));
    return out;
}

Octets frame(const MacAddress& to, const MacAddress& from, wire::EtherType type, Bytes payload)
{
    Octets out(14 + payload.size());
    *reinterpret_cast<wire::EthernetHeader*>(out.data()) = {to, from, static_cast<std::uint16_t>(type)};
    if (!payload.empty()) std::memcpy(out.data() + 14, payload.data(), payload.size());
    return out;
}

Octets frame(const MacAddress& to, const MacAddress& from, Bytes packet)
{
    return frame(to, from, packet[0] >> 4 == 6 ? wire::EtherType::Ipv6 : wire::EtherType::Ipv4, packet);
}

bool checksum4_intact(Bytes packet) { return wire::Sum{}.add(packet.first(4u * (packet[0] & 15))).intact(); }

bool transport4_intact(Bytes packet)
{
    const auto& h = *reinterpret_cast<const wire::Ipv4Header*>(packet.data());
    const auto body = packet.subspan(h.header_length());
    if (h.protocol == static_cast<std::uint8_t>(wire::Protocol::Icmp)) return wire::Sum{}.add(body).intact();
    return pseudo_sum(h, wire::Protocol{h.protocol}, static_cast<std::uint16_t>(body.size())).add(body).intact();
}

bool transport6_intact(Bytes packet)
{
    const auto& h = *reinterpret_cast<const wire::Ipv6Header*>(packet.data());
    const auto body = packet.subspan(40);
    return pseudo_sum(h, wire::Protocol{h.next_header}, static_cast<std::uint16_t>(body.size())).add(body).intact();
}

rte_mbuf* buffer(Bytes bytes)
{
    rte_mbuf* m = rte_pktmbuf_alloc(pool().get());
    CULVERT_CHECK(m != nullptr);
    auto* to = rte_pktmbuf_append(m, static_cast<std::uint16_t>(bytes.size()));
    CULVERT_CHECK(to != nullptr);
    if (!bytes.empty()) std::memcpy(to, bytes.data(), bytes.size());
    return m;
}

Router::Router(std::uint32_t lan_address)
{
    context.bfd = &bfd;
    lan_ = {.id = kLanIf,
            .vrf = kDefaultVrf,
            .kind = api::InterfaceKind::Port,
            .up = true,
            .port = kLan,
            .mac = kLanMac,
            .address4 = {lan_address},
            .address6 = ip6("2001:db8:1::1")};
    wan_ = {.id = kWanIf,
            .vrf = kDefaultVrf,
            .kind = api::InterfaceKind::Port,
            .up = true,
            .port = kWan,
            .mac = kWanMac,
            .address4 = ip4("192.0.2.1"),
            .address6 = ip6("2001:db8:2::1")};
    apply(api::SetVrf{kDefaultVrf});
    apply(lan_);
    apply(wan_);
    const api::SetNexthop glean{.id = {}, .kind = api::NexthopKind::Glean, .interface = kLanIf};
    auto glean_wan = glean;
    glean_wan.interface = kWanIf;
    route("10.1.0.0/24", glean);
    route("2001:db8:1::/64", glean);
    route("192.0.2.0/24", glean_wan);
    route("2001:db8:2::/64", glean_wan);
    for (const auto* a : {"10.1.0.1", "192.0.2.1", "2001:db8:1::1", "2001:db8:2::1"}) local(a);
    route_via("10.1.0.2/32", adjacency(kLanIf, "10.1.0.2", kHostMac));
    route_via("2001:db8:1::2/128", adjacency(kLanIf, "2001:db8:1::2", kHostMac));
    const auto peer4 = adjacency(kWanIf, "192.0.2.2", kPeerMac);
    const auto peer6 = adjacency(kWanIf, "2001:db8:2::2", kPeerMac);
    route_via("192.0.2.2/32", peer4);
    route_via("198.51.100.0/24", peer4);
    route_via("2001:db8:2::2/128", peer6);
    route_via("2001:db8:f::/48", peer6);
    tables.set_host_link(kDefaultVrf, true);
}

Router::~Router() { pipeline.shut_down(); }

void Router::apply(const api::FibUpdate& update)
{
    writer.apply(update);
    CULVERT_CHECK(writer.refused() == 0);
}

void Router::route(std::string_view to, api::SetNexthop nexthop, VrfId vrf)
{
    nexthop.id = NexthopId{next_id_};
    apply(nexthop);
    apply(api::SetGroup{.id = GroupId{next_id_}, .member_count = 1});
    apply(api::SetGroupMember{.group = GroupId{next_id_}, .position = 0, .weight = 1, .nexthop = nexthop.id});
    apply(api::SetRoute{vrf, prefix(to), GroupId{next_id_}});
    ++next_id_;
}

void Router::local(std::string_view address, VrfId vrf)
{
    const auto a = ip(address);
    route(IpPrefix::host(a).to_string(), {.id = {}, .kind = api::NexthopKind::Local, .vrf = vrf}, vrf);
}

NexthopId Router::adjacency(InterfaceId interface, std::string_view gateway, const MacAddress& mac, bool resolved)
{
    const NexthopId id{next_id_++};
    apply(api::SetNexthop{.id = id,
                          .kind = api::NexthopKind::Adjacency,
                          .resolved = resolved,
                          .interface = interface,
                          .gateway = ip(gateway),
                          .mac = mac});
    return id;
}

void Router::route_via(std::string_view to, NexthopId nexthop)
{
    const GroupId group{next_id_++};
    apply(api::SetGroup{.id = group, .member_count = 1});
    apply(api::SetGroupMember{.group = group, .position = 0, .weight = 1, .nexthop = nexthop});
    apply(api::SetRoute{kDefaultVrf, prefix(to), group});
}

void Router::set_lan(const api::SetInterface& i)
{
    lan_ = i;
    apply(i);
}
void Router::set_wan(const api::SetInterface& i)
{
    wan_ = i;
    apply(i);
}

void Router::set_mtu(std::uint16_t mtu)
{
    auto lan = lan_, wan = wan_;
    lan.mtu = wan.mtu = mtu;
    set_lan(lan);
    set_wan(wan);
}

void Router::receive(PortId port, Bytes frame)
{
    rte_mbuf* m = buffer(frame);
    pipeline.frames(port, std::span{&m, 1});
    pipeline.settle();
}

void Router::receive_all(PortId port, const std::vector<Octets>& frames)
{
    std::vector<rte_mbuf*> burst;
    for (const auto& f : frames) burst.push_back(buffer(f));
    pipeline.frames(port, burst);
    pipeline.settle();
}

void Router::from_host(Bytes packet, VrfId vrf)
{
    rte_mbuf* m = buffer(packet);
    node::begin(m, context.now).vrf = vrf;
    pipeline.from_host(std::span{&m, 1});
    pipeline.settle();
}

void Router::command(const api::WorkerCommand& c)
{
    pipeline.command(c);
    pipeline.settle();
}

void Router::advance(Duration d)
{
    context.now += d;
    pipeline.speak(context.now, context.now);
    if (context.now >= pipeline.next_deadline()) pipeline.expire();
}

std::vector<api::WorkerEvent> Router::events()
{
    std::vector<api::WorkerEvent> out;
    link->events.consume_all([&](const api::WorkerEvent& e) { out.push_back(e); });
    return out;
}

std::vector<api::Punt> Router::punts()
{
    std::vector<api::Punt> out;
    link->punts.consume_all([&](const api::Punt& p) { out.push_back(p); });
    return out;
}

std::size_t Router::transmit(PortId port, bool control, std::span<rte_mbuf* const> frames) noexcept
{
    if (transmit_full) return 0;
    for (rte_mbuf* m : frames) {
        const auto bytes = node::data(m);
        sent.push_back({port, control, {bytes.begin(), bytes.end()}});
        rte_pktmbuf_free(m);
    }
    counters.verdict(Verdict::Sent, frames.size());
    return frames.size();
}

std::size_t Router::to_host(VrfId vrf, std::span<rte_mbuf* const> packets) noexcept
{
    if (host_full) return 0;
    for (rte_mbuf* m : packets) {
        const auto bytes = node::data(m);
        host.push_back({vrf, {bytes.begin(), bytes.end()}});
        rte_pktmbuf_free(m);
    }
    return packets.size();
}

std::size_t Router::hand_over(WorkerId, std::span<rte_mbuf* const>) noexcept { return 0; }

}  // namespace culvert::dataplane::test
