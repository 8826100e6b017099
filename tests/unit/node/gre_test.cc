#include "dataplane/wire/gre.h"

#include "tests/unit/node/pair.h"

#include <array>

namespace culvert::dataplane::test {

namespace {

constexpr InterfaceId kTunnel{10}, kOther{11};
constexpr std::size_t kOuter4 = 20, kOuter6 = 40;

struct Mix {
    Family outer;
    bool key, checksum, sequence;
};

class GreMix : public ::testing::WithParamInterface<Mix>, public Pair {};

TEST_P(GreMix, CarriesBothFamiliesBothWays)
{
    const auto mix = GetParam();
    gre(kTunnel, mix.outer, [&](api::SetTunnel& t) {
        t.has_key = mix.key;
        t.key = 0xdeadbeef;
        t.checksum = mix.checksum;
        t.sequence = mix.sequence;
    });
    routes(kTunnel);
    const auto header = mix.outer == Family::Ipv4 ? kOuter4 : kOuter6;
    const std::size_t length = 4 + 4u * (mix.key + mix.checksum + mix.sequence);
    std::uint32_t sequence = 0;
    for (const auto& in : {inner4(), inner6(), inner4(0), inner4(101)}) {
        a.from_lan(in);
        ASSERT_EQ(a.sent.size(), 1u);
        auto out = a.sent[0].packet();
        ASSERT_EQ(out.size(), header + length + in.size());
        if (mix.outer == Family::Ipv4) {
            EXPECT_TRUE(checksum4_intact(out));
            EXPECT_EQ(header4(out).protocol, 47);
            EXPECT_EQ(header4(out).ttl, 255);
            EXPECT_EQ(+header4(out).source, ip4("192.0.2.1").value);
            EXPECT_EQ(+header4(out).destination, ip4("192.0.2.2").value);
            EXPECT_EQ(std::size_t{header4(out).total_length}, out.size());
        } else {
            EXPECT_EQ(header6(out).next_header, 47);
            EXPECT_EQ(header6(out).hop_limit, 255);
            EXPECT_EQ(header6(out).source, ip6("2001:db8:2::1"));
            EXPECT_NE(header6(out).version_class_flow & 0xfffff, 0u) << "RFC 6438: a flow label for routers on the way";
        }
        const Bytes gre_bytes = Bytes{out}.subspan(header);
        const auto g = wire::parse_gre(gre_bytes);
        EXPECT_EQ(g.length, length);
        EXPECT_EQ(g.protocol, in[0] >> 4 == 6 ? 0x86dd : 0x0800);
        EXPECT_EQ(g.key, mix.key ? 0xdeadbeef : 0u);
        EXPECT_EQ(g.sequence, mix.sequence ? sequence++ : 0u);
        EXPECT_TRUE(!mix.checksum || wire::gre_intact(gre_bytes));
        relay();
        ASSERT_EQ(out_b.size(), 1u);
        EXPECT_EQ(out_b[0].packet(), forwarded(in));
        out_b.clear();
    }
    b.from_lan(packet(Udp4{.from = ip4("10.2.0.5"), .to = ip4("10.1.0.2")}));
    b.from_lan(packet(Udp6{.from = ip6("2001:db8:b::5"), .to = ip6("2001:db8:1::2")}));
    relay();
    EXPECT_EQ(out_a.size(), 2u);
    const auto& c = a.counters.interface(kTunnel);
    EXPECT_EQ(c.tx_packets.read(), 4u);
    EXPECT_EQ(c.tx_octets.read(), inner4().size() + inner6().size() + inner4(0).size() + inner4(101).size());
    EXPECT_EQ(c.rx_packets.read(), 2u);
    EXPECT_EQ(b.counters.interface(kTunnel).rx_packets.read(), 4u);
}

std::vector<Mix> every_mix()
{
    std::vector<Mix> out;
    for (const auto outer : {Family::Ipv4, Family::Ipv6})
        for (int i = 0; i < 8; ++i) out.push_back({outer, (i & 1) != 0, (i & 2) != 0, (i & 4) != 0});
    return out;
}
INSTANTIATE_TEST_SUITE_P(Options, GreMix, ::testing::ValuesIn(every_mix()));

class Gre : public Pair {
protected:
    // A GRE packet from A's wan to B's.
    static Octets gre_packet(std::uint16_t flags, std::uint16_t protocol, Bytes payload, std::uint32_t key = 0,
                             std::uint32_t sequence = 0, std::uint8_t tos = 0)
    {
        const auto length = wire::gre_length(flags);
        Octets out(20 + length + payload.size());
        header4(out) = {0x45, tos, static_cast<std::uint16_t>(out.size()), 7, 0, 64, 47, {}, 0, 0};
        header4(out).source = ip4("192.0.2.1").value;
        header4(out).destination = ip4("192.0.2.2").value;
        header4(out).compute_checksum();
        wire::put_gre(out.data() + 20, flags, protocol, key, sequence);
        std::copy(payload.begin(), payload.end(), out.begin() + 20 + static_cast<std::ptrdiff_t>(length));
        if ((flags & wire::GreHeader::kChecksum) != 0) wire::set_gre_checksum(MutableBytes{out}.subspan(20));
        return out;
    }
};

TEST_F(Gre, TtlTosAndDfFollowTheInnerPacketWhereTold)
{
    gre(kTunnel, Family::Ipv4);
    routes(kTunnel);
    const auto send = [&](Octets p) {
        a.sent.clear();
        a.from_lan(p);
        return a.sent.at(0).packet();
    };
    auto out = send(inner4(100, 0xb8, 0x4000));
    EXPECT_EQ(header4(out).tos, 0xb8);
    EXPECT_TRUE(header4(out).dont_fragment());
    out = send(inner4(100));
    EXPECT_FALSE(header4(out).dont_fragment());
    out = send(inner6(1232));
    EXPECT_FALSE(header4(out).dont_fragment()) << "1280 octets get through, in fragments if need be (RFC 2473 7.1)";
    out = send(inner6(1233));
    EXPECT_TRUE(header4(out).dont_fragment());

    gre(kTunnel, Family::Ipv4, [](api::SetTunnel& t) {
        t.ttl = 0;
        t.tos = 0x28;
        t.inherit_tos = false;
        t.copy_df = false;
    });
    out = send(packet(Udp4{.from = ip4("10.1.0.2"), .to = ip4("10.2.0.5"), .ttl = 9, .tos = 0xb9, .fragment = 0x4000}));
    EXPECT_EQ(header4(out).ttl, 8);
    EXPECT_EQ(header4(out).tos, 0x28 | 1) << "ECN is the inner packet's in any case";
    EXPECT_FALSE(header4(out).dont_fragment());
}

TEST_F(Gre, CongestionFollowsRfc6040)
{
    gre(kTunnel, Family::Ipv4);
    routes(kTunnel);
    constexpr int kDrop = -1;
    // RFC 6040 4.2, figure 4. Row: inner Not-ECT, ECT(1), ECT(0), CE. Column: outer, in the same order.
    constexpr int kOut[4][4] = {{0, 0, 0, kDrop}, {1, 1, 1, 3}, {2, 1, 2, 3}, {3, 3, 3, 3}};
    for (const auto family : {Family::Ipv4, Family::Ipv6}) {
        for (std::uint8_t in = 0; in < 4; ++in) {
            a.sent.clear();
            const auto tos = static_cast<std::uint8_t>(0x48 | in);
            const auto p = family == Family::Ipv4 ? inner4(100, tos) : inner6(100, tos);
            a.from_lan(p);
            auto out = a.sent.at(0).packet();
            EXPECT_EQ(header4(out).tos, tos) << "normal mode copies all of it";
            for (std::uint8_t o = 0; o < 4; ++o) {
                header4(out).tos = static_cast<std::uint8_t>(0x48 | o);
                header4(out).compute_checksum();
                b.sent.clear();
                to_b(out);
                if (kOut[in][o] == kDrop) {
                    EXPECT_EQ(b.sent.size(), 0u);
                    continue;
                }
                ASSERT_EQ(b.sent.size(), 1u);
                auto got = b.sent[0].packet();
                if (family == Family::Ipv4) {
                    EXPECT_EQ(header4(got).tos, 0x48 | kOut[in][o]) << +in << " " << +o;
                    EXPECT_TRUE(checksum4_intact(got));
                } else {
                    EXPECT_EQ(header6(got).traffic_class(), 0x48 | kOut[in][o]) << +in << " " << +o;
                }
            }
        }
    }
    EXPECT_EQ(b.count(Verdict::DropEcn), 2u);
}

TEST_F(Gre, RefusesWhatIsMalformedUnknownOrUnasked)
{
    gre(kTunnel, Family::Ipv4, [](api::SetTunnel& t) {
        t.has_key = true;
        t.key = 5;
    });
    routes(kTunnel);
    constexpr auto kKey = wire::GreHeader::kKey;
    const auto in = inner4();
    to_b(gre_packet(kKey, 0x0800, in, 5));
    EXPECT_EQ(b.sent.size(), 1u);
    to_b(gre_packet(kKey, 0x0800, in, 6));
    to_b(gre_packet(0, 0x0800, in));
    EXPECT_EQ(b.count(Verdict::DropNoTunnel), 2u);
    for (const std::uint16_t bad : {0x4000, 0x0800, 0x0400, 0x0001, 0x0007})
        to_b(gre_packet(static_cast<std::uint16_t>(kKey | bad), 0x0800, in, 5));
    EXPECT_EQ(b.count(Verdict::DropGreMalformed), 5u);
    to_b(gre_packet(kKey | 0x03f8, 0x0800, in, 5));
    EXPECT_EQ(b.sent.size(), 2u) << "RFC 2784 2.3: bits 6 to 12 are ignored";
    to_b(gre_packet(kKey, 0x6558, in, 5));
    EXPECT_EQ(b.count(Verdict::DropGreProtocol), 1u);
    to_b(gre_packet(kKey, 0x86dd, in, 5));
    EXPECT_EQ(b.count(Verdict::DropIpVersion), 1u);
    to_b(gre_packet(kKey, 0x0800, Bytes{in}.first(19), 5));
    to_b(gre_packet(kKey, 0x86dd, Bytes{in}.first(39), 5));
    EXPECT_EQ(b.count(Verdict::DropTruncated), 2u);
    // A header that is cut off.
    for (std::size_t cut = 0; cut < 8; ++cut) {
        auto p = gre_packet(kKey, 0x0800, {}, 5);
        p.resize(20 + cut);
        header4(p).total_length = static_cast<std::uint16_t>(p.size());
        header4(p).compute_checksum();
        to_b(p);
    }
    EXPECT_EQ(b.count(Verdict::DropTruncated), 3u) << "no octet of GRE at all";
    EXPECT_EQ(b.count(Verdict::DropGreMalformed), 12u);
    EXPECT_EQ(b.counters.interface(kTunnel).rx_drops.read(), 4u) << "those that are known to be the tunnel's";
}

TEST_F(Gre, ChecksumIsVerifiedAndAskedFor)
{
    gre(kTunnel, Family::Ipv4, [](api::SetTunnel& t) { t.checksum = true; });
    routes(kTunnel);
    auto p = gre_packet(wire::GreHeader::kChecksum, 0x0800, inner4());
    to_b(p);
    EXPECT_EQ(b.sent.size(), 1u);
    p.back() ^= 1;
    to_b(p);
    EXPECT_EQ(b.count(Verdict::DropGreChecksum), 1u);
    to_b(gre_packet(0, 0x0800, inner4()));
    EXPECT_EQ(b.count(Verdict::DropGreChecksum), 2u);
    // Not asked for, but there: it has to be right all the same.
    gre(kTunnel, Family::Ipv4);
    to_b(p);
    EXPECT_EQ(b.count(Verdict::DropGreChecksum), 3u);
    p.back() ^= 1;
    to_b(p);
    EXPECT_EQ(b.sent.size(), 2u);
}

TEST_F(Gre, SequenceNumbersOutOfOrderAreDropped)
{
    gre(kTunnel, Family::Ipv4, [](api::SetTunnel& t) { t.sequence = true; });
    routes(kTunnel);
    const auto send = [&](std::uint32_t sequence) {
        b.sent.clear();
        to_b(gre_packet(wire::GreHeader::kSequence, 0x0800, inner4(), 0, sequence));
        return b.sent.size() == 1;
    };
    EXPECT_TRUE(send(0xfffffffe)) << "the first one that comes";
    EXPECT_FALSE(send(0xfffffffe));
    EXPECT_TRUE(send(1)) << "modulo 2^32; what is missing may be lost";
    EXPECT_FALSE(send(0));
    EXPECT_FALSE(send(0x80000002)) << "more than half the space ahead is behind";
    EXPECT_TRUE(send(2));
    EXPECT_EQ(b.count(Verdict::DropGreSequence), 3u);
    to_b(gre_packet(0, 0x0800, inner4()));
    EXPECT_EQ(b.count(Verdict::DropGreSequence), 4u);
    // The peer has started anew.
    b.context.now += 2s;
    EXPECT_FALSE(send(0));
    b.context.now += 1s;
    EXPECT_TRUE(send(0));
    EXPECT_TRUE(send(1));
    EXPECT_FALSE(send(1));
}

TEST_F(Gre, SequenceNumbersHaveOneOwner)
{
    gre(kTunnel, Family::Ipv4, [](api::SetTunnel& t) { t.sequence = true; });
    routes(kTunnel);
    a.context.workers = 3;  // 10 % 3 is 1, and this is worker 0
    a.from_lan(inner4());
    EXPECT_EQ(a.count(Verdict::DropHandoverFull), 1u) << "the test's outlet takes nothing";
    EXPECT_EQ(a.sent.size(), 0u);
    a.context.workers = 5;
    a.from_lan(inner4());
    EXPECT_EQ(a.sent.size(), 1u);
}

TEST_F(Gre, AProtectedTunnelTakesNothingInClear)
{
    gre(kTunnel, Family::Ipv4, [](api::SetTunnel& t) { t.protection = ProtectionId{4}; });
    routes(kTunnel);
    to_b(gre_packet(0, 0x0800, inner4()));
    to_b(gre_packet(0, 0, {}));
    EXPECT_EQ(b.count(Verdict::DropTunnelClear), 2u);
    EXPECT_EQ(b.count(Verdict::GreKeepaliveReceived), 0u);
    EXPECT_EQ(b.sent.size(), 0u);
}

TEST_F(Gre, ProtectedPrefixesNeverLeaveInClear)
{
    gre(kTunnel, Family::Ipv4);
    gre(kOther, Family::Ipv4, [](api::SetTunnel& t) {
        t.has_key = true;
        t.protection = ProtectionId{4};
    });
    const auto send = [&] {
        const auto before = a.count(Verdict::DropProtectedClear);
        a.sent.clear();
        a.from_lan(inner4());
        a.from_lan(inner6());
        return a.count(Verdict::DropProtectedClear) - before;
    };
    routes(kTunnel);
    EXPECT_EQ(send(), 0u);
    a.apply(api::SetProtectedPrefix{kDefaultVrf, prefix("10.2.0.0/16")});
    EXPECT_EQ(send(), 1u) << "GRE without protection is clear text, its outer packet too";
    a.apply(api::SetProtectedPrefix{kDefaultVrf, prefix("2001:db8:b::/48")});
    EXPECT_EQ(send(), 2u);
    a.route_via("10.2.0.5/32", a.adjacency(kWanIf, "192.0.2.2", kPeerMac));
    EXPECT_EQ(send(), 2u) << "a longer prefix is no way round it";
    EXPECT_EQ(a.sent.size(), 0u);
    by_tunnel(a, kOther, "10.2.0.5/32");
    by_tunnel(a, kOther, "2001:db8:b::/48");
    EXPECT_EQ(send(), 0u);
    EXPECT_EQ(a.count(Verdict::DropEspNoSa), 2u) << "into the protected one, which has no SA";
    // The host's own packets, and those of another prefix.
    a.apply(api::DeleteRoute{kDefaultVrf, prefix("10.2.0.5/32")});
    a.from_host(inner4());
    EXPECT_EQ(a.count(Verdict::DropProtectedClear), 6u);
    a.from_lan(packet(Udp4{.from = ip4("10.1.0.2"), .to = ip4("198.51.100.1")}));
    EXPECT_EQ(a.sent.size(), 1u);
    // A tunnel's own packets are what encryption makes, even where everything is protected.
    a.apply(api::SetProtectedPrefix{kDefaultVrf, prefix("0.0.0.0/0")});
    api::Inject message{.kind = api::InjectKind::Packet, .vrf = kDefaultVrf, .interface = {}, .length = 0, .bytes = {}};
    const auto p = packet(Udp4{.from = ip4("192.0.2.1"), .to = ip4("192.0.2.2")});
    std::copy(p.begin(), p.end(), message.bytes.begin());
    message.length = static_cast<std::uint16_t>(p.size());
    a.inject(message);
    EXPECT_EQ(a.sent.size(), 2u);
    for (const auto* all : {"0.0.0.0/0", "10.2.0.0/16", "2001:db8:b::/48"})
        a.apply(api::DeleteProtectedPrefix{kDefaultVrf, prefix(all)});
    by_tunnel(a, kTunnel, "2001:db8:b::/48");
    EXPECT_EQ(send(), 0u);
    EXPECT_EQ(a.sent.size(), 2u);
}

TEST_F(Gre, KeepalivesComeBackEvenWhileTheTunnelIsDown)
{
    const auto probe = [&](Family family) {
        const bool v4 = family == Family::Ipv4;
        // Outer: A to B. Inner: B to A, GRE that carries nothing.
        Octets out(2 * ((v4 ? 20 : 40) + 4));
        const auto put = [&](std::size_t at, std::size_t size, std::string_view from, std::string_view to,
                             std::uint16_t protocol) {
            if (v4) {
                header4(out, at) = {0x45, 0xc0, static_cast<std::uint16_t>(size), 7, 0, 255, 47, {}, 0, 0};
                header4(out, at).source = ip4(from).value;
                header4(out, at).destination = ip4(to).value;
                header4(out, at).compute_checksum();
            } else {
                header6(out, at) = {
                    6u << 28 | 0xc0u << 20, static_cast<std::uint16_t>(size - 40), 47, 255, ip6(from), ip6(to)};
            }
            wire::put_gre(out.data() + at + (v4 ? 20 : 40), 0, protocol, 0, 0);
        };
        const auto *of_a = v4 ? "192.0.2.1" : "2001:db8:2::1", *of_b = v4 ? "192.0.2.2" : "2001:db8:2::2";
        put(0, out.size(), of_a, of_b, v4 ? 0x0800 : 0x86dd);
        put(out.size() / 2, out.size() / 2, of_b, of_a, 0);
        return out;
    };
    for (const auto family : {Family::Ipv4, Family::Ipv6}) {
        gre(kTunnel, family);
        for (auto* r : {&a, &b}) {
            auto i = *r->tables.interface(kTunnel);
            i.up = false;
            r->apply(i);
        }
        a.context.now += 1s;
        const auto before = a.count(Verdict::GreKeepaliveReceived);
        a.from_host(probe(family));
        relay();
        EXPECT_EQ(a.count(Verdict::GreKeepaliveReceived), before + 1);
        EXPECT_EQ(a.tunnel_activity[index(kTunnel)].keepalive_received.load(),
                  a.context.now.time_since_epoch().count());
        // Any other packet is refused.
        b.sent.clear();
        const auto refused = b.count(Verdict::DropInterfaceDown);
        if (family == Family::Ipv4) to_b(gre_packet(0, 0x0800, inner4()));
        EXPECT_EQ(b.count(Verdict::DropInterfaceDown), refused + (family == Family::Ipv4 ? 1 : 0));
        // `shutdown`: the peer shall see that we are gone.
        gre(kTunnel, family, [](api::SetTunnel& t) { t.keepalives = false; });
        for (auto* r : {&a, &b}) {
            auto i = *r->tables.interface(kTunnel);
            i.up = false;
            r->apply(i);
        }
        a.from_host(probe(family));
        relay();
        EXPECT_EQ(a.count(Verdict::GreKeepaliveReceived), before + 1);
    }
}

TEST_F(Gre, MultipointSendsWhereTheNextHopIs)
{
    a.route_via("198.51.100.7/32", a.adjacency(kWanIf, "198.51.100.7", kPeerMac));
    interface(a, kTunnel, 1476);
    a.apply(api::SetTunnel{.interface = kTunnel,
                           .outer_vrf = kDefaultVrf,
                           .mode = api::TunnelMode::GreMultipoint,
                           .ttl = 255,
                           .has_key = true,
                           .key = 9,
                           .source = ip("192.0.2.1")});
    a.apply(api::SetTunnelEndpoint{kTunnel, ip("10.255.0.2"), ip("192.0.2.2")});
    a.apply(api::SetTunnelEndpoint{kTunnel, ip("10.255.0.7"), ip("198.51.100.7")});
    by_tunnel(a, kTunnel, "10.255.0.0/24");
    by_tunnel(a, kTunnel, "10.2.0.0/16", "10.255.0.2");
    by_tunnel(a, kTunnel, "10.7.0.0/16", "10.255.0.7");
    by_tunnel(a, kTunnel, "10.8.0.0/16", "10.255.0.8");
    const auto to = [&](std::string_view destination) -> std::uint32_t {
        a.sent.clear();
        a.from_lan(packet(Udp4{.from = ip4("10.1.0.2"), .to = ip4(destination)}));
        if (a.sent.empty()) return 0;
        auto out = a.sent[0].packet();
        return header4(out).destination;
    };
    EXPECT_EQ(to("10.2.0.1"), ip4("192.0.2.2").value);
    EXPECT_EQ(to("10.7.0.1"), ip4("198.51.100.7").value);
    EXPECT_EQ(to("10.255.0.7"), ip4("198.51.100.7").value) << "without a gateway the destination is the next hop";
    EXPECT_EQ(to("10.8.0.1"), 0u);
    EXPECT_EQ(to("10.255.0.9"), 0u);
    EXPECT_EQ(a.count(Verdict::DropTunnelNoEndpoint), 2u);
    a.apply(api::SetTunnelEndpoint{kTunnel, ip("10.255.0.7"), ip("192.0.2.2")});
    EXPECT_EQ(to("10.7.0.1"), ip4("192.0.2.2").value) << "moved";
    a.apply(api::DeleteTunnelEndpoint{kTunnel, ip("10.255.0.7")});
    EXPECT_EQ(to("10.7.0.1"), 0u);

    // From anybody who has the key.
    for (const auto* from : {"192.0.2.2", "203.0.113.50"}) {
        auto p =
            gre_packet(wire::GreHeader::kKey, 0x0800, packet(Udp4{.from = ip4("10.2.0.5"), .to = ip4("10.1.0.2")}), 9);
        header4(p).source = ip4(from).value;
        header4(p).destination = ip4("192.0.2.1").value;
        header4(p).compute_checksum();
        a.sent.clear();
        a.from_wan(p);
        EXPECT_EQ(a.sent.size(), 1u) << from;
    }
    EXPECT_EQ(a.counters.interface(kTunnel).rx_packets.read(), 2u);
}

TEST_F(Gre, PointToPointComesBeforeMultipointAndEachHasItsOwnPlace)
{
    gre(kTunnel, Family::Ipv4);
    interface(b, kOther, 1476);
    b.apply(api::SetTunnel{.interface = kOther,
                           .outer_vrf = kDefaultVrf,
                           .mode = api::TunnelMode::GreMultipoint,
                           .source = ip("192.0.2.2")});
    to_b(gre_packet(0, 0x0800, inner4()));
    EXPECT_EQ(b.counters.interface(kTunnel).rx_packets.read(), 1u);
    b.apply(api::DeleteInterface{kTunnel});
    to_b(gre_packet(0, 0x0800, inner4()));
    EXPECT_EQ(b.counters.interface(kOther).rx_packets.read(), 1u);
    // The tunnel moves to another key: what fitted before does not any more.
    b.apply(api::SetTunnel{.interface = kOther,
                           .outer_vrf = kDefaultVrf,
                           .mode = api::TunnelMode::GreMultipoint,
                           .has_key = true,
                           .key = 1,
                           .source = ip("192.0.2.2")});
    to_b(gre_packet(0, 0x0800, inner4()));
    EXPECT_EQ(b.count(Verdict::DropNoTunnel), 1u);
    to_b(gre_packet(wire::GreHeader::kKey, 0x0800, inner4(), 1));
    EXPECT_EQ(b.counters.interface(kOther).rx_packets.read(), 2u);
}

TEST_F(Gre, ATunnelInItselfIsCut)
{
    gre(kTunnel, Family::Ipv4);
    routes(kTunnel);
    by_tunnel(a, kTunnel, "192.0.2.2/32");  // the far end is behind the tunnel
    a.from_lan(inner4());
    EXPECT_EQ(a.count(Verdict::DropTunnelLoop), 1u);
    // Control has seen it: nothing is encapsulated in the first place.
    gre(kTunnel, Family::Ipv4, [](api::SetTunnel& t) { t.loops = true; });
    a.from_lan(inner4());
    EXPECT_EQ(a.count(Verdict::DropTunnelLoop), 2u);
    EXPECT_EQ(a.counters.interface(kTunnel).tx_packets.read(), 1u);
    EXPECT_EQ(a.sent.size(), 0u);
}

TEST_F(Gre, TwoTunnelsInEachOtherEndAfterFourEncapsulations)
{
    gre(kTunnel, Family::Ipv4);
    gre(kOther, Family::Ipv4, [](api::SetTunnel& t) {
        t.destination = ip(t.source == ip("192.0.2.1") ? "198.51.100.9" : "192.0.2.1");
        t.has_key = true;
    });
    routes(kTunnel);
    by_tunnel(a, kOther, "192.0.2.2/32");
    by_tunnel(a, kTunnel, "198.51.100.9/32");
    a.from_lan(inner4());
    EXPECT_EQ(a.count(Verdict::DropNestedTooDeep), 1u);
    EXPECT_EQ(a.sent.size(), 0u);
}

TEST_F(Gre, WhatIsCutOnTheWayIsPutTogetherAtTheFarEnd)
{
    for (auto* r : {&a, &b}) {
        auto lan = r->lan();
        lan.mtu = 9000;
        r->set_lan(lan);
    }
    for (const auto family : {Family::Ipv4, Family::Ipv6}) {
        gre(kTunnel, family, {}, 9000);
        routes(kTunnel);
        auto w = a.wan();
        w.mtu = 1280;
        a.set_wan(w);
        for (const std::size_t payload : {100u, 1500u, 4000u}) {
            const auto in = family == Family::Ipv4 ? inner6(payload) : inner4(payload);
            a.from_lan(in);
            EXPECT_EQ(a.sent.size(), 1 + payload / 1280) << payload;
            relay();
            ASSERT_EQ(out_b.size(), 1u) << payload;
            EXPECT_EQ(out_b[0].packet(), forwarded(in));
            out_b.clear();
        }
    }
    EXPECT_EQ(b.context.reassembly.datagrams(), 0u);
    EXPECT_GT(b.count(Verdict::Reassembled), 0u);
}

TEST_F(Gre, AnErrorAboutOurPacketGoesToTheControlPlane)
{
    gre(kTunnel, Family::Ipv4);
    routes(kTunnel);
    a.from_lan(inner4(1000, 0, 0x4000));
    const auto ours = a.sent.at(0).packet();
    const auto too_big = [&](Bytes quoted, std::uint8_t type = 3, std::uint8_t code = 4) {
        Octets body(8 + quoted.size());
        *reinterpret_cast<wire::IcmpHeader*>(body.data()) = {type, code, {}, 900};
        std::copy(quoted.begin(), quoted.end(), body.begin() + 8);
        auto p = icmp4(ip4("203.0.113.9"), ip4("192.0.2.1"), type, code);
        p.resize(20 + body.size());
        header4(p).total_length = static_cast<std::uint16_t>(p.size());
        header4(p).compute_checksum();
        std::copy(body.begin(), body.end(), p.begin() + 20);
        return p;
    };
    const auto sent = a.sent.size();
    a.from_wan(too_big(Bytes{ours}.first(28)));
    auto punts = a.punts();
    ASSERT_EQ(punts.size(), 1u);
    EXPECT_EQ(punts[0].klass, api::PuntClass::PathMtu);
    EXPECT_EQ(punts[0].length, 20 + 8 + 28);
    EXPECT_EQ(a.count(Verdict::PuntPathMtu), 1u);
    // About the host's own packets, other errors, and what is cut off: the host's business.
    a.from_wan(too_big(Bytes{inner4()}.first(28)));
    a.from_wan(too_big(Bytes{ours}.first(28), 3, 1));
    for (const std::size_t cut : {0u, 10u, 20u}) a.from_wan(too_big(Bytes{ours}.first(cut)));
    EXPECT_EQ(a.host.size(), 5u);
    EXPECT_TRUE(a.punts().empty());
    EXPECT_EQ(a.sent.size(), sent);
    for (int i = 0; i < 100; ++i) a.from_wan(too_big(Bytes{ours}.first(28)));
    EXPECT_GT(a.count(Verdict::DropPuntLimited), 70u) << "a flood of them is no burden";
}

}  // namespace

}  // namespace culvert::dataplane::test
