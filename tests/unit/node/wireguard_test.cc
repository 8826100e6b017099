#include "tests/unit/node/pair.h"

namespace culvert::dataplane::test {

namespace {

class Tunnel : public Pair {
protected:
    Tunnel()
    {
        tunnel(a, "10.255.0.1");
        tunnel(b, "10.255.0.2");
        peer(a, kBehindB);
        peer(b, kBehindA);
        routes(kWg, api::NexthopKind::WireguardLookup);
    }

    static void tunnel(Router& r, std::string_view address)
    {
        r.apply(api::SetInterface{.id = kWg,
                                  .vrf = kDefaultVrf,
                                  .kind = api::InterfaceKind::Wireguard,
                                  .up = true,
                                  .mtu = 1420,
                                  .address4 = ip4(address),
                                  .address6 = ip6("fd00::1")});
        r.apply(api::SetWireguard{.interface = kWg, .outer_vrf = kDefaultVrf, .listen_port = kPort});
    }
    static void peer(Router& r, std::span<const char* const> prefixes)
    {
        r.apply(api::SetPeer{.id = kPeer, .interface = kWg});
        for (const auto* p : prefixes) {
            r.apply(api::SetAllowedIp{kWg, prefix(p), kPeer});
            r.apply(api::AddPeerSource{kPeer, prefix(p)});
        }
    }
    void endpoints(std::string_view of_a, std::string_view of_b)
    {
        a.command(api::MovePeer{kPeer, {ip(of_b), kPort}});
        b.command(api::MovePeer{kPeer, {ip(of_a), kPort}});
    }
};

TEST_F(Tunnel, CarriesPacketsBothWays)
{
    endpoints("192.0.2.1", "192.0.2.2");
    handshake();
    EXPECT_EQ(outer.size(), 1u) << "nothing waited: an empty message proves the key";
    EXPECT_EQ(b.count(Verdict::KeepaliveReceived), 1u);
    EXPECT_EQ(b.events_of<api::KeysProven>().size(), 1u);

    auto in = inner4();
    a.from_lan(in);
    ASSERT_EQ(a.sent.size(), 1u);
    auto outer = a.sent[0].packet();
    EXPECT_TRUE(checksum4_intact(outer));
    EXPECT_EQ(+header4(outer).source, ip4("192.0.2.1").value) << "the address of the interface it leaves by";
    EXPECT_EQ(+header4(outer).destination, ip4("192.0.2.2").value);
    EXPECT_EQ(+header4(outer).fragment, 0) << "DF is not set";
    EXPECT_EQ(header4(outer).ttl, 64);
    EXPECT_EQ(outer.size(), 20 + 8 + 16 + (in.size() + 15) / 16 * 16 + 16);
    const auto& udp = *reinterpret_cast<const wire::UdpHeader*>(outer.data() + 20);
    EXPECT_EQ(+udp.source, kPort);
    EXPECT_EQ(+udp.destination, kPort);
    EXPECT_EQ(std::size_t{udp.length}, outer.size() - 20);
    EXPECT_TRUE(udp.checksum.is_zero());

    relay();
    ASSERT_EQ(out_b.size(), 1u);
    header4(in).ttl = 62;  // both routers forward
    header4(in).compute_checksum();
    EXPECT_EQ(out_b[0].packet(), in);

    b.from_lan(packet(Udp4{.from = ip4("10.2.0.5"), .to = ip4("10.1.0.2")}));
    relay();
    EXPECT_EQ(out_a.size(), 1u);
    b.from_lan(packet(Udp6{.from = ip6("2001:db8:b::5"), .to = ip6("2001:db8:1::2")}));
    relay();
    EXPECT_EQ(out_a.size(), 2u);

    const auto& wg_a = a.counters.interface(kWg);
    EXPECT_EQ(wg_a.tx_packets.read(), 1u);
    EXPECT_EQ(wg_a.tx_octets.read(), in.size());
    EXPECT_EQ(wg_a.rx_packets.read(), 2u);
}

TEST_F(Tunnel, CarriesPacketsOverIpv6WithAChecksum)
{
    endpoints("2001:db8:2::1", "2001:db8:2::2");
    handshake();
    a.from_lan(inner4());
    ASSERT_EQ(a.sent.size(), 1u);
    auto outer = a.sent[0].packet();
    EXPECT_EQ(header6(outer).source, ip6("2001:db8:2::1"));
    EXPECT_TRUE(transport6_intact(outer));
    EXPECT_FALSE(outer[46] == 0 && outer[47] == 0);
    relay();
    EXPECT_EQ(out_b.size(), 1u);
}

TEST_F(Tunnel, UsesTheConfiguredSource)
{
    a.local("203.0.113.1");
    a.apply(api::SetWireguard{
        .interface = kWg, .outer_vrf = kDefaultVrf, .listen_port = kPort, .source = ip("203.0.113.1")});
    endpoints("192.0.2.1", "192.0.2.2");
    handshake();
    a.from_lan(inner4());
    ASSERT_EQ(a.sent.size(), 1u);
    auto outer = a.sent[0].packet();
    EXPECT_EQ(+header4(outer).source, ip4("203.0.113.1").value);
    EXPECT_TRUE(checksum4_intact(outer));
}

TEST_F(Tunnel, PacketsWaitForTheHandshakeInOrder)
{
    endpoints("192.0.2.1", "192.0.2.2");
    for (std::uint16_t i = 0; i < 140; ++i)
        a.from_lan(packet(Udp4{.from = ip4("10.1.0.2"), .to = ip4("10.2.0.5"), .id = i}));
    EXPECT_EQ(a.count(Verdict::HoldHandshake), 128u);
    EXPECT_EQ(a.count(Verdict::DropHoldFull), 12u);
    EXPECT_EQ(a.sent.size(), 0u);
    EXPECT_EQ(a.events_of<api::HandshakeWanted>().size(), 1u);
    handshake();
    EXPECT_EQ(outer.size(), 128u) << "the packets prove the key: no empty message";
    ASSERT_EQ(out_b.size(), 128u);
    for (std::uint16_t i = 0; i < 128; ++i) {
        auto p = out_b[i].packet();
        EXPECT_EQ(+header4(p).id, i);
        EXPECT_EQ(header4(p).ttl, 62);
    }
}

TEST_F(Tunnel, WaitingForAHandshakeEnds)
{
    endpoints("192.0.2.1", "192.0.2.2");
    a.from_lan(inner4());
    a.advance(19s);
    EXPECT_EQ(a.count(Verdict::DropHoldExpired), 0u);
    a.advance(2s);
    EXPECT_EQ(a.count(Verdict::DropHoldExpired), 1u);
    a.from_lan(inner4());
    a.command(api::ForgetKeys{kPeer, true});
    EXPECT_EQ(a.count(Verdict::DropHoldExpired), 2u);
}

TEST_F(Tunnel, OuterPacketsWaitForTheNeighbor)
{
    endpoints("192.0.2.1", "192.0.2.2");
    handshake();
    a.command(api::MovePeer{kPeer, {ip("192.0.2.50"), kPort}});
    a.from_lan(inner4());
    a.from_lan(inner4());
    EXPECT_EQ(a.events_of<api::NeighborMiss>().size(), 1u);
    a.route_via("192.0.2.50/32", a.adjacency(kWanIf, "192.0.2.50", kPeerMac));
    a.command(api::ReleaseHeld{kWanIf, ip("192.0.2.50"), true});
    ASSERT_EQ(a.sent.size(), 2u) << "not mistaken for a tunnel in itself";
    auto outer = a.sent[0].packet();
    EXPECT_EQ(+header4(outer).source, ip4("192.0.2.1").value);
    EXPECT_TRUE(checksum4_intact(outer));
}

TEST_F(Tunnel, RefusesInnerSourcesThatThePeerMayNotUse)
{
    endpoints("192.0.2.1", "192.0.2.2");
    handshake();
    a.from_lan(packet(Udp4{.from = ip4("172.16.0.1"), .to = ip4("10.2.0.5")}));
    a.from_lan(packet(Udp6{.from = ip6("2001:db8:99::1"), .to = ip6("2001:db8:b::5")}));
    relay();
    EXPECT_EQ(out_b.size(), 0u);
    EXPECT_EQ(b.count(Verdict::DropWireguardSource), 2u);
    EXPECT_EQ(b.counters.interface(kWg).rx_drops.read(), 2u);
    // `routes bgp`: a prefix more.
    b.apply(api::AddPeerSource{kPeer, prefix("172.16.0.0/12")});
    a.from_lan(packet(Udp4{.from = ip4("172.16.0.1"), .to = ip4("10.2.0.5")}));
    relay();
    EXPECT_EQ(out_b.size(), 1u);
}

TEST_F(Tunnel, DropsReplaysForgeriesAndRubbish)
{
    endpoints("192.0.2.1", "192.0.2.2");
    handshake();
    a.from_lan(inner4());
    const auto good = a.sent.at(0).frame;
    a.sent.clear();
    b.receive(kWan, good);
    b.receive(kWan, good);
    EXPECT_EQ(b.count(Verdict::DropWireguardReplay), 1u);
    auto forged = good;
    forged.back() ^= 1;
    forged[14 + 28 + 8] = 77;  // the counter: not a replay
    b.receive(kWan, forged);
    EXPECT_EQ(b.count(Verdict::DropWireguardAuth), 1u);
    auto unknown = good;
    unknown[14 + 28 + 4] = 99;
    b.receive(kWan, unknown);
    EXPECT_EQ(b.count(Verdict::DropWireguardIndex), 1u);
    auto rubbish = good;
    rubbish[14 + 28] = 9;
    b.receive(kWan, rubbish);
    EXPECT_EQ(b.count(Verdict::DropWireguardMalformed), 1u);
    const auto empty = packet(Udp4{.from = ip4("192.0.2.1"), .to = ip4("192.0.2.2"), .to_port = kPort, .payload = 0});
    to_b(empty);
    EXPECT_EQ(b.count(Verdict::DropWireguardMalformed), 2u);
    auto lying = packet(Udp4{.from = ip4("192.0.2.1"), .to = ip4("192.0.2.2"), .to_port = kPort});
    lying[25] = 200;  // UDP length
    to_b(lying);
    EXPECT_EQ(b.count(Verdict::DropTruncated), 1u);
    EXPECT_EQ(b.sent.size(), 1u);
}

TEST_F(Tunnel, HandshakesGoToTheControlPlane)
{
    auto p = packet(
        Udp4{.from = ip4("192.0.2.1"), .to = ip4("192.0.2.2"), .from_port = 4242, .to_port = kPort, .payload = 148});
    std::fill(p.begin() + 28, p.end(), 0);
    p[28] = 1;
    to_b(p);
    const auto punts = b.punts();
    ASSERT_EQ(punts.size(), 1u);
    EXPECT_EQ(punts[0].klass, api::PuntClass::WireguardHandshake);
    EXPECT_EQ(punts[0].interface, kWg);
    EXPECT_EQ(punts[0].from, (Endpoint{ip("192.0.2.1"), 4242}));
    EXPECT_EQ(punts[0].to, (Endpoint{ip("192.0.2.2"), kPort}));
    EXPECT_EQ(punts[0].length, 148);
    EXPECT_EQ(punts[0].bytes[0], 1);
}

TEST_F(Tunnel, LearnsWhereThePeerIs)
{
    endpoints("192.0.2.1", "192.0.2.2");
    handshake();
    a.from_lan(inner4());
    auto f = a.sent.at(0).frame;
    f[14 + 15] = 77;  // NAT: another address and port
    auto p = Octets(f.begin() + 14, f.end());
    header4(p).compute_checksum();
    p[20] = 0x12;
    to_b(p);
    const auto moved = b.events_of<api::EndpointMoved>();
    ASSERT_EQ(moved.size(), 1u);
    EXPECT_EQ(moved[0].endpoint.address, ip4("192.0.2.77"));
}

TEST_F(Tunnel, TooBigForTheTunnelIsAnswered)
{
    endpoints("192.0.2.1", "192.0.2.2");
    handshake();
    for (std::size_t size = 1393; size <= 1480; ++size) {
        a.sent.clear();
        auto in =
            packet(Udp4{.from = ip4("10.1.0.2"), .to = ip4("10.2.0.5"), .payload = size - 28, .fragment = 0x4000});
        ASSERT_EQ(in.size(), size);
        a.from_lan(in);
        ASSERT_EQ(a.sent.size(), 1u) << size;
        if (size <= 1420) {
            EXPECT_EQ(a.sent[0].port, kWan);
            EXPECT_LE(a.sent[0].packet().size(), 1480u) << "padding stops at the tunnel's MTU";
        } else {
            EXPECT_EQ(a.sent[0].port, kLan);
            const auto out = a.sent[0].packet();
            EXPECT_EQ(out[26] << 8 | out[27], 1420);
            EXPECT_TRUE(transport4_intact(out));
        }
    }
}

TEST_F(Tunnel, OuterPacketIsFragmentedByUs)
{
    endpoints("192.0.2.1", "192.0.2.2");
    handshake();
    auto w = a.wan();
    w.mtu = 1300;
    a.set_wan(w);
    a.from_lan(inner4(1300));
    EXPECT_EQ(a.sent.size(), 2u);
    a.sent.clear();
    a.command(api::MovePeer{kPeer, {ip("2001:db8:2::2"), kPort}});
    a.from_lan(inner4(1300));
    ASSERT_EQ(a.sent.size(), 2u);
    auto first = a.sent[0].packet(), second = a.sent[1].packet();
    EXPECT_EQ(header6(first).next_header, 44);
    EXPECT_LE(first.size(), 1300u);
    const auto& f1 = *reinterpret_cast<const wire::Ipv6FragmentHeader*>(first.data() + 40);
    const auto& f2 = *reinterpret_cast<const wire::Ipv6FragmentHeader*>(second.data() + 40);
    EXPECT_EQ(+f1.offset_flags, 1);
    EXPECT_EQ(std::size_t{f2.offset_flags}, first.size() - 48);
    EXPECT_EQ(+f1.id, +f2.id);
    // Put together it is the packet that was sealed.
    Octets whole(first.begin(), first.begin() + 40);
    whole.insert(whole.end(), first.begin() + 48, first.end());
    whole.insert(whole.end(), second.begin() + 48, second.end());
    header6(whole).next_header = 17;
    header6(whole).payload_length = static_cast<std::uint16_t>(whole.size() - 40);
    EXPECT_TRUE(transport6_intact(whole));
}

TEST_F(Tunnel, CongestionGoesThroughBothEnds)
{
    endpoints("192.0.2.1", "192.0.2.2");
    handshake();
    struct Case {
        std::uint8_t inner, outer;
    };
    for (const auto c : {Case{0, 0}, Case{1, 1}, Case{2, 2}, Case{3, 2}}) {
        a.sent.clear();
        a.from_lan(inner4(100, static_cast<std::uint8_t>(0xb8 | c.inner)));
        auto outer = a.sent.at(0).packet();
        EXPECT_EQ(header4(outer).tos, c.outer) << "no DSCP shows outside";
        // A router on the way marks it, RFC 6040 4.2.
        header4(outer).tos = 3;
        header4(outer).compute_checksum();
        out_b.clear();
        b.sent.clear();
        to_b(outer);
        ASSERT_EQ(b.sent.size(), 1u);
        auto p = b.sent[0].packet();
        EXPECT_EQ(header4(p).tos, 0xb8 | (c.inner == 0 ? 0 : 3));
        EXPECT_TRUE(checksum4_intact(p));
    }
}

TEST_F(Tunnel, ATunnelInItselfIsCut)
{
    endpoints("192.0.2.1", "10.2.0.9");  // the far end is behind the tunnel
    a.command(keys(true));
    EXPECT_EQ(a.count(Verdict::DropTunnelLoop), 1u) << "the keepalive";
    a.from_lan(inner4());
    EXPECT_EQ(a.count(Verdict::DropTunnelLoop), 2u);
    EXPECT_EQ(a.sent.size(), 0u);
}

TEST_F(Tunnel, NoPeerNoEndpointNoRoute)
{
    a.route("203.0.113.0/24", {.id = {}, .kind = api::NexthopKind::WireguardLookup, .interface = kWg});
    a.from_lan(packet(Udp4{.from = ip4("10.1.0.2"), .to = ip4("203.0.113.1")}));
    EXPECT_EQ(a.count(Verdict::DropWireguardNoPeer), 1u);
    a.command(keys(true));
    a.from_lan(inner4());
    EXPECT_GE(a.count(Verdict::DropWireguardNoEndpoint), 1u);
    a.command(api::MovePeer{kPeer, {ip("233.252.0.1"), kPort}});
    a.command(api::MovePeer{kPeer, {ip("203.1.113.1"), kPort}});
    a.from_lan(inner4());
    EXPECT_EQ(a.count(Verdict::DropNoTunnelRoute), 1u);
    EXPECT_EQ(a.sent.size(), 0u);
}

TEST_F(Tunnel, KeepaliveOnDemand)
{
    endpoints("192.0.2.1", "192.0.2.2");
    handshake();
    a.command(api::SendKeepalive{kPeer});
    ASSERT_EQ(a.sent.size(), 1u);
    EXPECT_EQ(a.sent[0].packet().size(), 20u + 8 + 32);
    relay();
    EXPECT_EQ(b.count(Verdict::KeepaliveReceived), 2u);
}

}  // namespace

}  // namespace culvert::dataplane::test
