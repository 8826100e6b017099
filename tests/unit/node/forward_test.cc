#include "dataplane/node/mss.h"
#include "dataplane/wire/payload.h"
#include "tests/unit/node/node_test.h"

#include <map>
#include <set>

namespace culvert::dataplane::test {

namespace {

class Forward : public NodeTest {
protected:
    Router r;
    const Ipv4Address host4 = ip4("10.1.0.2");
    const Ipv4Address far4 = ip4("198.51.100.9");
    const Ipv6Address host6 = ip6("2001:db8:1::2");
    const Ipv6Address far6 = ip6("2001:db8:f::9");

    void wan_mtu(std::uint16_t mtu)
    {
        auto w = r.wan();
        w.mtu = mtu;
        r.set_wan(w);
    }
    // An ICMPv4 error to host4 about `about`: every octet of it.
    static Octets error4(Ipv4Address from, Ipv4Address to, std::uint8_t type, std::uint8_t code, std::uint32_t rest,
                         Bytes about, std::uint16_t id)
    {
        about = about.first(std::min<std::size_t>(about.size(), 548));
        Octets out(28 + about.size());
        std::copy(about.begin(), about.end(), out.begin() + 28);
        header4(out) = {0x45, 0xc0, static_cast<std::uint16_t>(out.size()), id, 0, 64, 1, {}, from.value, to.value};
        header4(out).compute_checksum();
        auto& icmp = *reinterpret_cast<wire::IcmpHeader*>(out.data() + 20);
        icmp = {type, code, {}, rest};
        icmp.checksum.set(wire::Sum{}.add(Bytes{out}.subspan(20)));
        return out;
    }
};

TEST_F(Forward, TimeExceededQuotesThePacketAsItCame)
{
    for (const std::uint8_t ttl : {0, 1}) {
        const auto in = packet(Udp4{.from = host4, .to = far4, .ttl = ttl});
        const auto id = static_cast<std::uint16_t>(r.context.next_fragment_id);
        r.sent.clear();
        r.from_lan(in);
        ASSERT_EQ(r.sent.size(), 1u);
        EXPECT_EQ(r.sent[0].frame, frame(kHostMac, kLanMac, error4(r.lan().address4, host4, 11, 0, 0, in, id)));
    }
    EXPECT_EQ(r.count(Verdict::AnswerTimeExceeded), 2u);
    EXPECT_EQ(r.count(Verdict::Sent), 2u);
}

TEST_F(Forward, TimeExceeded6)
{
    const auto in = packet(Udp6{.from = host6, .to = far6, .payload = 1400, .hop_limit = 1});
    r.from_lan(in);
    ASSERT_EQ(r.sent.size(), 1u);
    auto out = r.sent[0].packet();
    ASSERT_EQ(out.size(), 1280u) << "RFC 4443 2.4 (c)";
    EXPECT_EQ(header6(out).source, r.lan().address6);
    EXPECT_EQ(header6(out).destination, host6);
    EXPECT_EQ(header6(out).hop_limit, 64);
    EXPECT_EQ((Octets{out.begin() + 40, out.begin() + 42}), (Octets{3, 0}));
    EXPECT_TRUE(std::equal(out.begin() + 48, out.end(), in.begin()));
    EXPECT_TRUE(transport6_intact(out));
}

TEST_F(Forward, ErrorQuotesAtMost576Octets)
{
    const auto in = packet(Udp4{.from = host4, .to = far4, .payload = 1400, .ttl = 1});
    r.from_lan(in);
    ASSERT_EQ(r.sent.size(), 1u);
    auto out = r.sent[0].packet();
    EXPECT_EQ(out.size(), 576u);
    EXPECT_EQ(+header4(out).total_length, 576);
    EXPECT_TRUE(transport4_intact(out));
    EXPECT_TRUE(std::equal(out.begin() + 28, out.end(), in.begin()));
}

TEST_F(Forward, NoRouteIsAnswered)
{
    const auto in = packet(Udp4{.from = host4, .to = ip4("203.0.113.77")});
    const auto id = static_cast<std::uint16_t>(r.context.next_fragment_id);
    r.from_lan(in);
    ASSERT_EQ(r.sent.size(), 1u);
    EXPECT_EQ(r.sent[0].packet(), error4(r.lan().address4, host4, 3, 0, 0, in, id));
    r.sent.clear();
    r.from_lan(packet(Udp6{.from = host6, .to = ip6("2001:db8:77::1")}));
    ASSERT_EQ(r.sent.size(), 1u);
    EXPECT_EQ(r.sent[0].packet()[40], 1);
    EXPECT_EQ(r.sent[0].packet()[41], 0);
    EXPECT_EQ(r.count(Verdict::AnswerUnreachable), 2u);
}

TEST_F(Forward, RejectIsAnsweredAndBlackholeIsNot)
{
    r.route("203.0.113.0/25", {.id = {}, .kind = api::NexthopKind::Reject});
    r.route("203.0.113.128/25", {.id = {}, .kind = api::NexthopKind::Blackhole});
    r.from_lan(packet(Udp4{.from = host4, .to = ip4("203.0.113.1")}));
    r.from_lan(packet(Udp4{.from = host4, .to = ip4("203.0.113.200")}));
    ASSERT_EQ(r.sent.size(), 1u);
    EXPECT_EQ(r.sent[0].packet()[20], 3);
    EXPECT_EQ(r.sent[0].packet()[21], 1);
    EXPECT_EQ(r.count(Verdict::DropBlackhole), 1u);
}

// RFC 1812 4.3.2.7, 5.3.5.2: neither sent on, nor answered, not even with time exceeded.
TEST_F(Forward, ADirectedBroadcastIsNeitherForwardedNorAnswered)
{
    r.route("192.0.2.255/32", {.id = {}, .kind = api::NexthopKind::Broadcast});
    for (const std::uint8_t ttl : {1, 64}) {
        auto ping = icmp4(host4, ip4("192.0.2.255"), 8, 0);
        header4(ping).ttl = ttl;
        header4(ping).compute_checksum();
        r.from_lan(ping);
        r.from_lan(packet(Udp4{.from = host4, .to = ip4("192.0.2.255"), .payload = 3000, .ttl = ttl}));
    }
    r.from_host(packet(Udp4{.from = ip4("10.1.0.1"), .to = ip4("192.0.2.255")}));
    EXPECT_EQ(r.count(Verdict::DropDirectedBroadcast), 5u);
    EXPECT_TRUE(r.sent.empty());
    EXPECT_TRUE(r.host.empty());
}

TEST_F(Forward, ErrorsThatMayNotBeSentAreDrops)
{
    // About an ICMP error, a later fragment, an ICMPv6 error; but a ping may be answered.
    auto late = packet(Udp4{.from = host4, .to = far4, .ttl = 1, .fragment = 0x0010});
    auto error = icmp4(host4, far4, 3, 1);
    header4(error).ttl = 1;
    header4(error).compute_checksum();
    auto ping = icmp4(host4, far4, 8, 0);
    header4(ping).ttl = 1;
    header4(ping).compute_checksum();
    r.from_lan(late);
    r.from_lan(error);
    r.from_lan(icmp6(host6, far6, 1, 1));
    EXPECT_EQ(r.sent.size(), 0u);
    EXPECT_EQ(r.count(Verdict::DropTtlExpired), 3u);
    r.from_lan(ping);
    r.from_lan(icmp6(host6, far6, 128, 1));
    EXPECT_EQ(r.sent.size(), 2u);
}

TEST_F(Forward, ErrorsAreLimited)
{
    const auto in = packet(Udp4{.from = host4, .to = far4, .ttl = 1});
    for (int i = 0; i < 150; ++i) r.from_lan(in);
    EXPECT_EQ(r.sent.size(), 100u);
    EXPECT_EQ(r.count(Verdict::DropIcmpLimited), 50u);
    r.advance(10ms);
    for (int i = 0; i < 50; ++i) r.from_lan(in);
    EXPECT_EQ(r.sent.size(), 110u);
}

TEST_F(Forward, TooBigWithDfTellsTheMtu)
{
    wan_mtu(1400);
    const auto in = packet(Udp4{.from = host4, .to = far4, .payload = 1373, .fragment = 0x4000});
    ASSERT_EQ(in.size(), 1401u);
    const auto id = static_cast<std::uint16_t>(r.context.next_fragment_id);
    r.from_lan(in);
    ASSERT_EQ(r.sent.size(), 1u);
    EXPECT_EQ(r.sent[0].frame, frame(kHostMac, kLanMac, error4(r.lan().address4, host4, 3, 4, 1400, in, id)));
    EXPECT_EQ(r.count(Verdict::AnswerTooBig), 1u);
    r.from_lan(packet(Udp4{.from = host4, .to = far4, .payload = 1372, .fragment = 0x4000}));
    EXPECT_EQ(r.sent.size(), 2u);
    EXPECT_EQ(r.sent[1].port, kWan) << "1400 octets fit";
}

TEST_F(Forward, TooBig6)
{
    wan_mtu(1400);
    const auto in = packet(Udp6{.from = host6, .to = far6, .payload = 1353});
    ASSERT_EQ(in.size(), 1401u);
    r.from_lan(in);
    ASSERT_EQ(r.sent.size(), 1u);
    auto out = r.sent[0].packet();
    EXPECT_EQ((Octets{out.begin() + 40, out.begin() + 42}), (Octets{2, 0}));
    EXPECT_EQ((Octets{out.begin() + 44, out.begin() + 48}), (Octets{0, 0, 1400 >> 8, 1400 & 255}));
    EXPECT_TRUE(transport6_intact(out));
    EXPECT_EQ(out.size(), 1280u);
}

TEST_F(Forward, TooBigGoesBackIntoTheHostLink)
{
    wan_mtu(1300);
    const auto in = packet(Udp4{.from = ip4("192.0.2.1"), .to = far4, .payload = 1300, .fragment = 0x4000});
    r.from_host(in);
    EXPECT_EQ(r.sent.size(), 0u);
    ASSERT_EQ(r.host.size(), 1u);
    auto out = r.host[0].packet;
    EXPECT_EQ(+header4(out).source, ip4("192.0.0.8").value) << "not one of the host's own: it would not believe it";
    EXPECT_EQ(+header4(out).destination, ip4("192.0.2.1").value);
    EXPECT_EQ((Octets{out.begin() + 20, out.begin() + 22}), (Octets{3, 4}));
    EXPECT_EQ(out[26] << 8 | out[27], 1300);
    EXPECT_TRUE(transport4_intact(out));

    r.from_host(packet(Udp6{.from = ip6("2001:db8:2::1"), .to = far6, .payload = 1300}));
    ASSERT_EQ(r.host.size(), 2u);
    EXPECT_EQ(header6(r.host[1].packet).source, r.wan().address6);
    EXPECT_EQ(r.host[1].packet[40], 2);
}

// Puts IPv4 fragments together and checks that they fit, are whole and in order.
Octets reassemble(const std::vector<Sent>& sent, std::size_t mtu)
{
    Octets payload;
    for (std::size_t i = 0; i < sent.size(); ++i) {
        auto p = sent[i].packet();
        EXPECT_LE(p.size(), mtu);
        EXPECT_TRUE(checksum4_intact(p));
        auto& h = header4(p);
        EXPECT_EQ(std::size_t{h.total_length}, p.size());
        EXPECT_EQ((h.fragment & 0x1fff) * 8u, payload.size());
        EXPECT_EQ((h.fragment & 0x2000) != 0, i + 1 < sent.size());
        payload.insert(payload.end(), p.begin() + static_cast<std::ptrdiff_t>(h.header_length()), p.end());
    }
    return payload;
}

TEST_F(Forward, FragmentsWhatMayBeCut)
{
    for (const std::uint16_t mtu : {68, 576, 1000, 1399}) {
        wan_mtu(mtu);
        for (const std::size_t size : {1400, 1472, 1377}) {
            const auto in = packet(Udp4{.from = host4, .to = far4, .payload = size});
            r.sent.clear();
            r.from_lan(in);
            EXPECT_GT(r.sent.size(), 1u);
            EXPECT_EQ(reassemble(r.sent, mtu), Octets(in.begin() + 20, in.end()));
            for (auto& s : r.sent) {
                auto p = s.packet();
                EXPECT_EQ(header4(p).ttl, 63);
                EXPECT_EQ(+header4(p).id, 7);
                EXPECT_EQ(+header4(p).destination, far4.value);
            }
        }
    }
}

TEST_F(Forward, FragmentsAFragmentAndKeepsItsOffset)
{
    wan_mtu(576);
    r.from_lan(packet(Udp4{.from = host4, .to = far4, .payload = 992, .fragment = 0x2000 | 100}));
    ASSERT_EQ(r.sent.size(), 2u);
    auto first = r.sent[0].packet(), second = r.sent[1].packet();
    EXPECT_EQ(+header4(first).fragment, 0x2000 | 100);
    EXPECT_EQ(+header4(second).fragment, 0x2000 | (100 + 552 / 8)) << "more are to come behind the last piece too";
}

TEST_F(Forward, FragmentsCarryCopiedOptionsOnly)
{
    wan_mtu(576);
    auto in = packet(Udp4{.from = host4, .to = far4, .payload = 1000});
    // Router alert (copied, RFC 2113) and record route (not).
    const Octets options{0x94, 4, 0, 0, 7, 7, 4, 0, 0, 0, 0, 0};
    in.insert(in.begin() + 20, options.begin(), options.end());
    header4(in).version_ihl = 0x48;
    header4(in).total_length = static_cast<std::uint16_t>(in.size());
    header4(in).compute_checksum();
    r.from_lan(in);
    ASSERT_EQ(r.sent.size(), 2u);
    auto first = r.sent[0].packet(), second = r.sent[1].packet();
    EXPECT_EQ(header4(first).version_ihl, 0x48);
    EXPECT_EQ(header4(second).version_ihl, 0x46);
    EXPECT_EQ(Octets(second.begin() + 20, second.begin() + 24), Octets(options.begin(), options.begin() + 4));
    EXPECT_EQ(reassemble(r.sent, 576), Octets(in.begin() + 32, in.end()));
}

TEST_F(Forward, ClampsMssOfSynsBothWays)
{
    auto w = r.wan();
    w.mss4 = 1300;
    w.mss6 = 1280;
    r.set_wan(w);
    for (const std::size_t nops : {0, 1, 2, 3}) {
        r.sent.clear();
        r.from_lan(tcp_syn(host4, far4, 1460, nops));
        r.from_wan(tcp_syn(far4, host4, 1460, nops));
        ASSERT_EQ(r.sent.size(), 2u);
        for (auto& s : r.sent) {
            const auto p = s.packet();
            EXPECT_EQ(p[42 + nops] << 8 | p[43 + nops], 1300);
            EXPECT_TRUE(transport4_intact(p)) << nops;
        }
    }
    r.sent.clear();
    r.from_lan(tcp_syn(host6, far6, 1440));
    ASSERT_EQ(r.sent.size(), 1u);
    EXPECT_EQ(r.sent[0].packet()[62] << 8 | r.sent[0].packet()[63], 1280);
    EXPECT_TRUE(transport6_intact(r.sent[0].packet()));
    r.sent.clear();
    auto small = tcp_syn(host4, far4, 536);
    r.from_lan(small);
    EXPECT_EQ(r.sent[0].packet()[43], 536 & 255) << "a smaller one stays";
    EXPECT_TRUE(transport4_intact(r.sent[0].packet()));
}

TEST(Mss, BadOptionsAreLeftAlone)
{
    const auto syn = tcp_syn(Ipv4Address{1}, Ipv4Address{2}, 1460);
    const Octets segment(syn.begin() + 20, syn.end());
    for (std::size_t cut = 0; cut < segment.size(); ++cut) {
        Octets s(segment.begin(), segment.begin() + static_cast<std::ptrdiff_t>(cut));
        EXPECT_FALSE(node::clamp_mss(s, 1000)) << cut;
    }
    for (const std::uint8_t length : {0, 1, 3, 5, 200}) {
        auto s = segment;
        s[21] = length;
        const auto before = s;
        EXPECT_FALSE(node::clamp_mss(s, 1000));
        EXPECT_EQ(s, before);
    }
    auto ack = segment;
    ack[13] = 0x10;
    EXPECT_FALSE(node::clamp_mss(ack, 1000));
}

TEST_F(Forward, HoldsForANeighborAsksOnceAndReleasesInOrder)
{
    for (std::uint16_t i = 0; i < 5; ++i) r.from_lan(packet(Udp4{.from = host4, .to = ip4("192.0.2.77"), .id = i}));
    EXPECT_EQ(r.sent.size(), 0u);
    EXPECT_EQ(r.count(Verdict::HoldNeighbor), 5u);
    auto misses = r.events_of<api::NeighborMiss>();
    ASSERT_EQ(misses.size(), 1u);
    EXPECT_EQ(misses[0].interface, kWanIf);
    EXPECT_EQ(misses[0].address, ip("192.0.2.77"));

    r.advance(1s);
    r.from_lan(packet(Udp4{.from = host4, .to = ip4("192.0.2.77"), .id = 5}));
    EXPECT_EQ(r.events_of<api::NeighborMiss>().size(), 1u) << "asked again after a second";

    r.route_via("192.0.2.77/32", r.adjacency(kWanIf, "192.0.2.77", {{2, 0, 0, 0, 7, 7}}));
    r.command(api::ReleaseHeld{kWanIf, ip("192.0.2.77"), true});
    ASSERT_EQ(r.sent.size(), 6u);
    for (std::uint16_t i = 0; i < 6; ++i) {
        auto p = r.sent[i].packet();
        EXPECT_EQ(+header4(p).id, i);
        EXPECT_EQ(header4(p).ttl, 63) << "decremented once";
        EXPECT_EQ(r.sent[i].frame[5], 7);
    }
}

TEST_F(Forward, HoldsForAnUnresolvedAdjacencysGateway)
{
    r.route_via("203.0.113.0/24", r.adjacency(kWanIf, "192.0.2.9", {}, false));
    r.from_lan(packet(Udp4{.from = host4, .to = ip4("203.0.113.5")}));
    const auto misses = r.events_of<api::NeighborMiss>();
    ASSERT_EQ(misses.size(), 1u);
    EXPECT_EQ(misses[0].address, ip("192.0.2.9"));
    const auto in = packet(Udp4{.from = host4, .to = ip4("203.0.113.5")});
    const auto id = static_cast<std::uint16_t>(r.context.next_fragment_id);
    r.command(api::ReleaseHeld{kWanIf, ip("192.0.2.9"), false});
    ASSERT_EQ(r.sent.size(), 1u);
    EXPECT_EQ(r.sent[0].packet(), error4(r.lan().address4, host4, 3, 1, 0, in, id)) << "host unreachable";
}

TEST_F(Forward, AsksAtOnceForANeighborThatWasResolvedAndLostAgain)
{
    r.from_lan(packet(Udp4{.from = host4, .to = ip4("192.0.2.77")}));
    ASSERT_EQ(r.events_of<api::NeighborMiss>().size(), 1u);
    // Resolved, but the interface is made anew before anything was sent: nobody knows the address any more.
    r.command(api::ReleaseHeld{kWanIf, ip("192.0.2.77"), true});
    EXPECT_EQ(r.events_of<api::NeighborMiss>().size(), 1u) << "the released packet waits again, and asks";
    // What failed is not asked for again within the second.
    r.command(api::ReleaseHeld{kWanIf, ip("192.0.2.77"), false});
    r.from_lan(packet(Udp4{.from = host4, .to = ip4("192.0.2.77")}));
    EXPECT_EQ(r.events_of<api::NeighborMiss>().size(), 0u);
    r.advance(6s);
}

TEST_F(Forward, HoldIsBoundedAndExpires)
{
    for (int i = 0; i < 130; ++i) r.from_lan(packet(Udp4{.from = host4, .to = ip4("192.0.2.77")}));
    EXPECT_EQ(r.count(Verdict::HoldNeighbor), 128u);
    EXPECT_EQ(r.count(Verdict::DropHoldFull), 2u);
    r.advance(4900ms);
    EXPECT_EQ(r.count(Verdict::DropHoldExpired), 0u);
    r.advance(200ms);
    EXPECT_EQ(r.count(Verdict::DropHoldExpired), 128u);
    EXPECT_EQ(pool().in_use(), 0u);
    // In all, too: other addresses share the bound.
    for (std::uint32_t i = 0; i < 600; ++i)
        r.from_lan(packet(Udp4{.from = host4, .to = {ip4("192.0.2.100").value + i % 100}}));
    EXPECT_EQ(r.holds.packets(), 512u);
    r.pipeline.shut_down();
    EXPECT_EQ(r.count(Verdict::DropShutdown), 512u);
}

TEST_F(Forward, HoldTableForgetsKeysItWasAskedFor)
{
    for (std::uint32_t i = 0; i < 3000; ++i) {
        r.from_lan(packet(Udp6{.from = host6, .to = Ipv6Address::from_words(0x20010db800020000, 1000 + i)}));
        if (i % 500 == 499) r.advance(6s);
    }
    EXPECT_EQ(r.count(Verdict::HoldNeighbor), 3000u);
    r.advance(6s);
    r.advance(6s);
    EXPECT_EQ(r.pipeline.next_deadline(), kNever);
}

TEST_F(Forward, FlowsSpreadOverAGroupAndStay)
{
    const NexthopId a = r.adjacency(kWanIf, "192.0.2.10", {{2, 0, 0, 0, 2, 10}});
    const NexthopId b = r.adjacency(kWanIf, "192.0.2.11", {{2, 0, 0, 0, 2, 11}});
    r.apply(api::SetGroup{.id = GroupId{9000}, .member_count = 2});
    r.apply(api::SetGroupMember{.group = GroupId{9000}, .position = 0, .weight = 1, .nexthop = a});
    r.apply(api::SetGroupMember{.group = GroupId{9000}, .position = 1, .weight = 1, .nexthop = b});
    r.apply(api::SetRoute{kDefaultVrf, prefix("203.0.113.0/24"), GroupId{9000}});

    std::map<std::uint16_t, std::uint8_t> way;
    std::map<std::uint8_t, int> share;
    for (int round = 0; round < 2; ++round)
        for (std::uint16_t port = 1; port <= 400; ++port) {
            r.sent.clear();
            r.from_lan(packet(Udp4{.from = host4, .to = ip4("203.0.113.5"), .from_port = port}));
            ASSERT_EQ(r.sent.size(), 1u);
            const auto mac = r.sent[0].frame[5];
            if (round == 0)
                ++share[mac];
            else
                EXPECT_EQ(way[port], mac);
            way[port] = mac;
        }
    EXPECT_GT(share[10], 140);
    EXPECT_GT(share[11], 140);

    // Fragments of one datagram stay together, whatever their ports would say.
    std::set<std::uint8_t> ways;
    for (std::uint16_t port = 1; port <= 50; ++port) {
        r.sent.clear();
        r.from_lan(packet(
            Udp4{.from = host4, .to = ip4("203.0.113.5"), .from_port = port, .payload = 64, .fragment = 0x2000}));
        ways.insert(r.sent[0].frame[5]);
    }
    EXPECT_EQ(ways.size(), 1u);

    // A member that goes down: its flows move, the others stay.
    ASSERT_TRUE(r.tables.set_down(api::DownKind::Nexthop, index(a),
                                  r.tables.generation(api::DownKind::Nexthop, index(a)), fib::cause::kBfd));
    for (std::uint16_t port = 1; port <= 400; ++port) {
        r.sent.clear();
        r.from_lan(packet(Udp4{.from = host4, .to = ip4("203.0.113.5"), .from_port = port}));
        EXPECT_EQ(r.sent.at(0).frame[5], 11);
    }
    ASSERT_TRUE(r.tables.set_down(api::DownKind::Nexthop, index(b),
                                  r.tables.generation(api::DownKind::Nexthop, index(b)), fib::cause::kBfd));
    r.from_lan(packet(Udp4{.from = host4, .to = ip4("203.0.113.5")}));
    EXPECT_EQ(r.count(Verdict::DropNexthopDown), 1u);
}

TEST_F(Forward, VrfsAreApart)
{
    const VrfId red{5};
    r.apply(api::SetVrf{red});
    r.tables.set_host_link(red, true);
    auto sub = r.lan();
    sub.id = InterfaceId{9};
    sub.vlan = 7;
    sub.vrf = red;
    r.apply(sub);
    r.local("10.9.9.9", red);
    // Leaked: red reaches the default VRF's 198.51.100.0/24 through its group.
    const auto group = GroupId{9100};
    r.apply(api::SetGroup{.id = group, .member_count = 1});
    r.apply(api::SetGroupMember{
        .group = group, .position = 0, .weight = 1, .nexthop = r.adjacency(kWanIf, "192.0.2.2", kPeerMac)});
    r.route("198.51.100.0/24", {.id = {}, .kind = api::NexthopKind::Via, .vrf = kDefaultVrf, .via = group}, red);

    const auto tagged = [&](Bytes p) {
        auto f = frame(kLanMac, kHostMac, p);
        const Octets tag{0x81, 0x00, 0x00, 7};
        f.insert(f.begin() + 12, tag.begin(), tag.end());
        return f;
    };
    r.receive(kLan, tagged(packet(Udp4{.from = host4, .to = ip4("10.9.9.9")})));
    ASSERT_EQ(r.host.size(), 1u);
    EXPECT_EQ(r.host[0].vrf, red);
    r.receive(kLan, tagged(packet(Udp4{.from = host4, .to = far4})));
    ASSERT_EQ(r.sent.size(), 1u);
    EXPECT_EQ(r.sent[0].port, kWan);
    r.from_lan(packet(Udp4{.from = host4, .to = ip4("10.9.9.9")}));
    EXPECT_EQ(r.host.size(), 1u) << "not an address of the default VRF";
}

}  // namespace

}  // namespace culvert::dataplane::test
