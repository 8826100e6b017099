#include "dataplane/api/link_scope.h"
#include "tests/unit/node/node_test.h"

#include <functional>
#include <ostream>

namespace culvert::dataplane::test {

namespace {

class Input : public NodeTest {
protected:
    Router r;
};

const Udp4 kGood4{.from = {0x0a010002}, .to = {0xc6336401}};

TEST_F(Input, ForwardsIpv4)
{
    auto in = packet(kGood4);
    r.from_lan(in);
    ASSERT_EQ(r.sent.size(), 1u);
    EXPECT_EQ(r.sent[0].port, kWan);
    header4(in).ttl = 63;
    header4(in).compute_checksum();  // from scratch: the pipeline's was incremental
    EXPECT_EQ(r.sent[0].frame, frame(kPeerMac, kWanMac, in));
    EXPECT_EQ(r.count(Verdict::Sent), 1u);
    const auto& lan = r.counters.interface(kLanIf);
    const auto& wan = r.counters.interface(kWanIf);
    EXPECT_EQ(lan.rx_packets.read(), 1u);
    EXPECT_EQ(lan.rx_octets.read(), in.size());
    EXPECT_EQ(wan.tx_packets.read(), 1u);
    EXPECT_EQ(wan.tx_octets.read(), in.size());
}

TEST_F(Input, ForwardsIpv6)
{
    auto in = packet(Udp6{.from = ip6("2001:db8:1::2"), .to = ip6("2001:db8:f::1")});
    r.from_lan(in);
    ASSERT_EQ(r.sent.size(), 1u);
    header6(in).hop_limit = 63;
    EXPECT_EQ(r.sent[0].frame, frame(kPeerMac, kWanMac, in));
}

TEST_F(Input, BurstOfBothFamiliesKeepsEachFlowsOrder)
{
    std::vector<Octets> frames;
    for (std::uint16_t i = 0; i < 64; ++i) {
        if (i % 3 == 0)
            frames.push_back(
                frame(kLanMac, kHostMac,
                      packet(Udp6{.from = ip6("2001:db8:1::2"), .to = ip6("2001:db8:f::1"), .from_port = i})));
        else if (i % 7 == 0)
            frames.push_back(frame(kLanMac, kHostMac, packet(Udp4{.from = ip4("10.1.0.2"), .to = ip4("10.1.0.1")})));
        else
            frames.push_back(
                frame(kLanMac, kHostMac, packet(Udp4{.from = ip4("10.1.0.2"), .to = ip4("198.51.100.9"), .id = i})));
    }
    r.receive_all(kLan, frames);
    int last4 = -1, last6 = -1;
    for (auto& s : r.sent) {
        auto p = s.packet();
        auto& last = p[0] >> 4 == 6 ? last6 : last4;
        const int now = p[0] >> 4 == 6 ? p[40] << 8 | p[41] : int{header4(p).id};
        EXPECT_GT(now, last);
        last = now;
    }
    EXPECT_EQ(r.sent.size() + r.host.size(), 64u);
    EXPECT_GT(r.host.size(), 0u);
}

TEST_F(Input, CutsEthernetPadding)
{
    auto in = packet(Udp4{.from = kGood4.from, .to = kGood4.to, .payload = 2});
    auto f = frame(kLanMac, kHostMac, in);
    f.resize(60);
    r.receive(kLan, f);
    ASSERT_EQ(r.sent.size(), 1u);
    EXPECT_EQ(r.sent[0].frame.size(), 14 + in.size());
}

struct Bad {
    const char* name;
    Verdict verdict;
    std::function<Octets()> frame;
};
std::ostream& operator<<(std::ostream& out, const Bad& b) { return out << b.name; }

template <class F>
Octets broken4(F&& f)
{
    auto p = packet(kGood4);
    f(header4(p));
    header4(p).compute_checksum();
    return frame(kLanMac, kHostMac, wire::EtherType::Ipv4, p);
}
template <class F>
Octets broken6(F&& f)
{
    auto p = packet(Udp6{.from = ip6("2001:db8:1::2"), .to = ip6("2001:db8:f::1")});
    f(header6(p));
    return frame(kLanMac, kHostMac, wire::EtherType::Ipv6, p);
}
Octets to_itself4(const char* address)
{
    return frame(kLanMac, kHostMac, packet(Udp4{.from = ip4(address), .to = ip4(address)}));
}
Octets from4(const char* a)
{
    return broken4([&](auto& h) { h.source = ip4(a).value; });
}
Octets to4(const char* a)
{
    return broken4([&](auto& h) { h.destination = ip4(a).value; });
}
Octets from6(const char* a)
{
    return broken6([&](auto& h) { h.source = ip6(a); });
}
Octets to6(const char* a)
{
    return broken6([&](auto& h) { h.destination = ip6(a); });
}

class BadInput : public ::testing::WithParamInterface<Bad>, public NodeTest {};

TEST_P(BadInput, IsDroppedWithItsVerdict)
{
    Router r;
    r.receive(kLan, GetParam().frame());
    EXPECT_EQ(r.sent.size(), 0u);
    EXPECT_EQ(r.host.size(), 0u);
    EXPECT_EQ(r.punts().size(), 0u);
    for (std::size_t i = 0; i < api::kVerdictCount; ++i) {
        const auto v = static_cast<Verdict>(i);
        EXPECT_EQ(r.count(v), v == GetParam().verdict ? 1u : 0u) << api::text(v).name;
    }
}

INSTANTIATE_TEST_SUITE_P(
    Frames, BadInput,
    ::testing::Values(Bad{"RuntFrame", Verdict::DropTruncated, [] { return Octets(13, 0); }},
                      Bad{"NotOurMac", Verdict::DropNotForUs, [] { return frame(kPeerMac, kHostMac, packet(kGood4)); }},
                      Bad{"EtherType", Verdict::DropEtherType,
                          [] { return frame(kLanMac, kHostMac, wire::EtherType{0x88cc}, Octets(40)); }},
                      Bad{"Vlan", Verdict::DropVlan,
                          [] {
                              auto f = frame(kLanMac, kHostMac, packet(kGood4));
                              const Octets tag{0x81, 0x00, 0x00, 0x05};
                              f.insert(f.begin() + 12, tag.begin(), tag.end());
                              return f;
                          }},
                      Bad{"CutVlan", Verdict::DropTruncated,
                          [] {
                              auto f = frame(kLanMac, kHostMac, wire::EtherType::Vlan, Octets(3));
                              return f;
                          }},
                      Bad{"Short4", Verdict::DropTruncated,
                          [] { return frame(kLanMac, kHostMac, wire::EtherType::Ipv4, Octets(19, 0x45)); }},
                      Bad{"Version4", Verdict::DropIpVersion,
                          [] { return broken4([](auto& h) { h.version_ihl = 0x55; }); }},
                      Bad{"HeaderLength4", Verdict::DropIpHeader,
                          [] {
                              auto p = packet(kGood4);
                              header4(p).version_ihl = 0x44;
                              return frame(kLanMac, kHostMac, wire::EtherType::Ipv4, p);
                          }},
                      Bad{"OptionsBeyondEnd", Verdict::DropTruncated,
                          [] {
                              auto p = packet(kGood4);
                              p.resize(24);
                              header4(p).version_ihl = 0x4f;
                              return frame(kLanMac, kHostMac, wire::EtherType::Ipv4, p);
                          }},
                      Bad{"TotalLengthBelowHeader", Verdict::DropIpHeader,
                          [] { return broken4([](auto& h) { h.total_length = 19; }); }},
                      Bad{"TotalLengthBeyondFrame", Verdict::DropTruncated,
                          [] { return broken4([](auto& h) { h.total_length = 400; }); }},
                      Bad{"Checksum4", Verdict::DropIpChecksum,
                          [] {
                              auto p = packet(kGood4);
                              p[8] ^= 1;
                              return frame(kLanMac, kHostMac, wire::EtherType::Ipv4, p);
                          }},
                      Bad{"FromZero", Verdict::DropMartianSource, [] { return from4("0.0.0.0"); }},
                      Bad{"FromZeroNet", Verdict::DropMartianSource, [] { return from4("0.1.2.3"); }},
                      Bad{"FromLoopback", Verdict::DropMartianSource, [] { return from4("127.0.0.1"); }},
                      Bad{"FromMulticast", Verdict::DropMartianSource, [] { return from4("224.0.0.5"); }},
                      Bad{"FromClassE", Verdict::DropMartianSource, [] { return from4("240.0.0.1"); }},
                      Bad{"FromBroadcast", Verdict::DropMartianSource, [] { return from4("255.255.255.255"); }},
                      Bad{"FromUs", Verdict::DropOwnSource, [] { return from4("10.1.0.1"); }},
                      Bad{"FromOurOtherAddress", Verdict::DropOwnSource, [] { return from4("192.0.2.1"); }},
                      Bad{"FromUsToUs", Verdict::DropOwnSource, [] { return to_itself4("10.1.0.1"); }},
                      Bad{"ToZero", Verdict::DropMartianDestination, [] { return to4("0.0.0.0"); }},
                      Bad{"ToLoopback", Verdict::DropMartianDestination, [] { return to4("127.0.0.1"); }},
                      Bad{"ToClassE", Verdict::DropMartianDestination, [] { return to4("250.0.0.1"); }},
                      Bad{"ToBroadcast", Verdict::DropBroadcast, [] { return to4("255.255.255.255"); }},
                      Bad{"ToMulticast", Verdict::DropMulticast, [] { return to4("224.0.0.5"); }},
                      Bad{"UnicastInBroadcastFrame", Verdict::DropBroadcast,
                          [] { return frame(wire::kBroadcastMac, kHostMac, packet(kGood4)); }},
                      Bad{"FromLinkLocal4", Verdict::DropLinkLocal, [] { return from4("169.254.1.1"); }},
                      Bad{"Short6", Verdict::DropTruncated,
                          [] { return frame(kLanMac, kHostMac, wire::EtherType::Ipv6, Octets(39, 0x60)); }},
                      Bad{"Version6", Verdict::DropIpVersion,
                          [] { return broken6([](auto& h) { h.version_class_flow = 4u << 28; }); }},
                      Bad{"LengthBeyondFrame6", Verdict::DropTruncated,
                          [] { return broken6([](auto& h) { h.payload_length = 500; }); }},
                      Bad{"FromUnspecified6", Verdict::DropMartianSource, [] { return from6("::"); }},
                      Bad{"FromLoopback6", Verdict::DropMartianSource, [] { return from6("::1"); }},
                      Bad{"FromMulticast6", Verdict::DropMartianSource, [] { return from6("ff02::1"); }},
                      Bad{"FromMapped6", Verdict::DropMartianSource, [] { return from6("::ffff:10.1.0.2"); }},
                      Bad{"FromUs6", Verdict::DropOwnSource, [] { return from6("2001:db8:1::1"); }},
                      Bad{"ToUnspecified6", Verdict::DropMartianDestination, [] { return to6("::"); }},
                      Bad{"ToLoopback6", Verdict::DropMartianDestination, [] { return to6("::1"); }},
                      Bad{"ToMapped6", Verdict::DropMartianDestination, [] { return to6("::ffff:10.1.0.2"); }},
                      Bad{"ToMulticast6", Verdict::DropMulticast, [] { return to6("ff02::5"); }},
                      Bad{"FromLinkLocal6", Verdict::DropLinkLocal, [] { return from6("fe80::1"); }},
                      Bad{"DiscoveryFromAfar", Verdict::DropIpHeader,
                          [] {
                              return frame({{0x33, 0x33, 0xff, 0, 0, 1}}, kHostMac,
                                           icmp6(ip6("2001:db8:1::2"), ip6("ff02::1:ff00:1"), 135, 254));
                          }},
                      Bad{"UnicastInMulticastFrame6", Verdict::DropMulticast,
                          [] {
                              auto f = broken6([](auto&) {});
                              f[0] = 0x33;
                              return f;
                          }}),
    [](const auto& info) { return info.param.name; });

// What is this router's own is a matter of the VRF, and of the moment.
TEST_F(Input, AnAddressOfAnotherVrfOrOfThePastMayBeASource)
{
    const VrfId red{5};
    r.apply(api::SetVrf{red});
    r.local("10.7.0.1", red);
    r.from_lan(packet(Udp4{.from = ip4("10.7.0.1"), .to = ip4("198.51.100.1")}));
    EXPECT_EQ(r.count(Verdict::Sent), 1u);
    r.local("10.7.0.1");
    r.from_lan(packet(Udp4{.from = ip4("10.7.0.1"), .to = ip4("198.51.100.1")}));
    EXPECT_EQ(r.count(Verdict::DropOwnSource), 1u);
    r.apply(api::DeleteRoute{kDefaultVrf, prefix("10.7.0.1/32")});
    r.from_lan(packet(Udp4{.from = ip4("10.7.0.1"), .to = ip4("198.51.100.1")}));
    EXPECT_EQ(r.count(Verdict::Sent), 2u);
    r.from_host(packet(Udp4{.from = ip4("10.1.0.1"), .to = ip4("198.51.100.1")}));
    EXPECT_EQ(r.count(Verdict::Sent), 3u) << "from us indeed";
}

TEST_F(Input, TakesAVlanInterfaceAndAPriorityTag)
{
    auto sub = r.lan();
    sub.id = InterfaceId{9};
    sub.vlan = 100;
    r.apply(sub);
    const auto plain = frame(kLanMac, kHostMac, packet(kGood4));
    for (const std::uint8_t vlan : {100, 0}) {
        auto f = plain;
        const Octets tag{0x81, 0x00, 0xe0, vlan};
        f.insert(f.begin() + 12, tag.begin(), tag.end());
        r.receive(kLan, f);
    }
    EXPECT_EQ(r.sent.size(), 2u);
    EXPECT_EQ(r.counters.interface(InterfaceId{9}).rx_packets.read(), 1u);
    EXPECT_EQ(r.counters.interface(kLanIf).rx_packets.read(), 1u);

    // And out by it: the tag is put back.
    r.sent.clear();
    r.route_via("203.0.113.0/24", r.adjacency(InterfaceId{9}, "10.1.9.2", kHostMac));
    r.from_wan(packet(Udp4{.from = ip4("198.51.100.1"), .to = ip4("203.0.113.1")}));
    ASSERT_EQ(r.sent.size(), 1u);
    const auto& f = r.sent[0].frame;
    EXPECT_EQ(Octets(f.begin() + 12, f.begin() + 18), (Octets{0x81, 0x00, 0x00, 100, 0x08, 0x00}));
    EXPECT_TRUE(checksum4_intact(r.sent[0].packet(18)));
}

TEST_F(Input, DropsWhatComesByAnInterfaceThatIsDown)
{
    auto down = r.lan();
    down.up = false;
    r.set_lan(down);
    r.from_lan(packet(kGood4));
    EXPECT_EQ(r.count(Verdict::DropInterfaceDown), 1u);
    r.receive(PortId{50}, frame(kLanMac, kHostMac, packet(kGood4)));
    EXPECT_EQ(r.count(Verdict::DropInterfaceDown), 2u);
}

TEST_F(Input, PuntsArpWithItsFrame)
{
    const auto f = frame(wire::kBroadcastMac, kHostMac, wire::EtherType::Arp, Octets(28, 0xab));
    r.receive(kLan, f);
    const auto punts = r.punts();
    ASSERT_EQ(punts.size(), 1u);
    EXPECT_EQ(punts[0].klass, api::PuntClass::Arp);
    EXPECT_EQ(punts[0].interface, kLanIf);
    EXPECT_EQ(punts[0].at, r.context.now);
    EXPECT_EQ(Octets(punts[0].bytes.begin(), punts[0].bytes.begin() + punts[0].length), f);
    EXPECT_EQ(r.count(Verdict::PuntArp), 1u);
}

TEST_F(Input, PuntsTaggedArpWithoutTheTag)
{
    auto sub = r.lan();
    sub.id = InterfaceId{9};
    sub.vlan = 100;
    r.apply(sub);
    const auto plain = frame(wire::kBroadcastMac, kHostMac, wire::EtherType::Arp, Octets(28, 0xab));
    auto tagged = plain;
    const Octets tag{0x81, 0x00, 0x00, 100};
    tagged.insert(tagged.begin() + 12, tag.begin(), tag.end());
    r.receive(kLan, tagged);
    const auto punts = r.punts();
    ASSERT_EQ(punts.size(), 1u);
    EXPECT_EQ(punts[0].interface, InterfaceId{9});
    EXPECT_EQ(Octets(punts[0].bytes.begin(), punts[0].bytes.begin() + punts[0].length), plain);
}

TEST_F(Input, ArpFloodIsLimitedAndDataGoesOn)
{
    const auto f = frame(wire::kBroadcastMac, kHostMac, wire::EtherType::Arp, Octets(28, 0xab));
    for (int i = 0; i < 1000; ++i) r.receive(kLan, f);
    EXPECT_EQ(r.count(Verdict::PuntArp) + r.count(Verdict::DropPuntLimited), 1000u);
    EXPECT_EQ(r.count(Verdict::PuntArp), 256u);
    r.from_lan(packet(kGood4));
    EXPECT_EQ(r.sent.size(), 1u);
    r.punts();
    r.advance(1s);
    r.receive(kLan, f);
    EXPECT_EQ(r.punts().size(), 1u);
}

TEST_F(Input, PuntsNeighborDiscovery)
{
    // To the solicited-node group, to our link-local address, to our own address; from nobody (DAD).
    r.receive(kLan, frame({{0x33, 0x33, 0xff, 0, 0, 1}}, kHostMac,
                          icmp6(ip6("2001:db8:1::2"), ip6("ff02::1:ff00:1"), 135, 255)));
    r.receive(kLan, frame(kLanMac, kHostMac, icmp6(ip6("fe80::2"), ip6("fe80::1"), 136, 255)));
    r.receive(kLan, frame(kLanMac, kHostMac, icmp6(ip6("2001:db8:1::2"), ip6("2001:db8:1::1"), 136, 255)));
    r.receive(kLan, frame({{0x33, 0x33, 0xff, 0, 0, 1}}, kHostMac, icmp6(ip6("::"), ip6("ff02::1:ff00:1"), 135, 255)));
    EXPECT_EQ(r.count(Verdict::PuntNd), 4u);
    const auto punts = r.punts();
    ASSERT_EQ(punts.size(), 4u);
    for (const auto& p : punts) {
        EXPECT_EQ(p.klass, api::PuntClass::NeighborDiscovery);
        EXPECT_EQ(p.length, 14 + 40 + 24);
        EXPECT_EQ(p.bytes[12], 0x86);
    }
    EXPECT_EQ(r.host.size(), 0u);
}

TEST_F(Input, LinkLocalPacketsStayOnTheirLink)
{
    const auto link = api::link_vrf(kLanIf);
    r.apply(api::SetVrf{link});
    r.tables.set_host_link(link, true);
    r.local("fe80::1", link);
    r.route("fe80::/64", {.id = {}, .kind = api::NexthopKind::Glean, .interface = kLanIf}, link);

    const auto in = packet(Udp6{.from = ip6("fe80::2"), .to = ip6("fe80::1")});
    r.from_lan(in);
    ASSERT_EQ(r.host.size(), 1u);
    EXPECT_EQ(r.host[0].vrf, link) << "to the TUN of its interface";
    EXPECT_EQ(r.host[0].packet, in);
    r.from_wan(in);
    EXPECT_EQ(r.host.size(), 1u) << "the same address on another link is another address";
    r.from_lan(packet(Udp6{.from = ip6("fe80::2"), .to = ip6("fe80::3")}));
    EXPECT_EQ(r.count(Verdict::DropLinkLocal), 1u);
    EXPECT_TRUE(r.events_of<api::NeighborMiss>().empty());

    // What the host sends by its TUN is resolved on that interface.
    r.from_host(packet(Udp6{.from = ip6("fe80::1"), .to = ip6("fe80::2")}), link);
    const auto misses = r.events_of<api::NeighborMiss>();
    ASSERT_EQ(misses.size(), 1u);
    EXPECT_EQ(misses[0].interface, kLanIf);
    EXPECT_EQ(misses[0].address, IpAddress{ip6("fe80::2")});
    r.from_host(packet(Udp6{.from = ip6("fe80::1"), .to = ip6("2001:db8:f::1")}), link);
    EXPECT_TRUE(r.sent.empty()) << "nothing else is routed there";
    r.pipeline.shut_down();  // one waits for the neighbour
}

TEST_F(Input, DeliversWhatIsForThisBox)
{
    const auto in = packet(Udp4{.from = ip4("198.51.100.9"), .to = ip4("10.1.0.1"), .ttl = 1});
    r.from_wan(in);
    ASSERT_EQ(r.host.size(), 1u);
    EXPECT_EQ(r.host[0].packet, in) << "no TTL decrement on the way to the host link";
    EXPECT_EQ(r.count(Verdict::LocalDelivered), 1u);

    r.host_full = true;
    r.from_wan(in);
    EXPECT_EQ(r.count(Verdict::DropHostLinkFull), 1u);
    r.tables.set_host_link(kDefaultVrf, false);
    r.from_wan(in);
    EXPECT_EQ(r.count(Verdict::DropLocalProtocol), 1u);
}

TEST_F(Input, SendsWhatTheHostSends)
{
    auto in = packet(Udp4{.from = ip4("10.1.0.1"), .to = ip4("198.51.100.9"), .ttl = 1});
    r.from_host(in);
    ASSERT_EQ(r.sent.size(), 1u);
    EXPECT_EQ(r.sent[0].packet(), in) << "no TTL decrement on the way from the host link";
    EXPECT_FALSE(r.sent[0].control);

    // Routing protocols go first.
    r.from_host(packet(Udp4{.from = ip4("10.1.0.1"), .to = ip4("198.51.100.9"), .tos = 0xc0}));
    ASSERT_EQ(r.sent.size(), 2u);
    EXPECT_TRUE(r.sent[1].control);
    r.from_host(Octets(3, 0x45));
    EXPECT_EQ(r.count(Verdict::DropTruncated), 1u);
}

TEST_F(Input, InjectsFramesAndPackets)
{
    api::Inject arp{.kind = api::InjectKind::Frame, .vrf = kDefaultVrf, .interface = kLanIf};
    const auto f = frame(kHostMac, kLanMac, wire::EtherType::Arp, Octets(28, 1));
    arp.length = static_cast<std::uint16_t>(f.size());
    std::copy(f.begin(), f.end(), arp.bytes.begin());
    r.inject(arp);
    ASSERT_EQ(r.sent.size(), 1u);
    EXPECT_EQ(r.sent[0].frame, f);
    EXPECT_EQ(r.sent[0].port, kLan);
    EXPECT_TRUE(r.sent[0].control);

    const auto p = packet(Udp4{.from = ip4("192.0.2.1"), .to = ip4("198.51.100.9")});
    api::Inject out{.kind = api::InjectKind::Packet, .vrf = kDefaultVrf};
    out.length = static_cast<std::uint16_t>(p.size());
    std::copy(p.begin(), p.end(), out.bytes.begin());
    r.inject(out);
    ASSERT_EQ(r.sent.size(), 2u);
    EXPECT_EQ(r.sent[1].packet(), p);
    EXPECT_TRUE(r.sent[1].control);

    arp.interface = InterfaceId{77};
    r.inject(arp);
    EXPECT_EQ(r.count(Verdict::DropInterfaceDown), 1u);
    arp.length = 0;
    r.inject(arp);
    EXPECT_EQ(r.count(Verdict::DropTruncated), 1u);
}

TEST_F(Input, FullPortDropsWithAVerdict)
{
    r.transmit_full = true;
    r.from_lan(packet(kGood4));
    EXPECT_EQ(r.count(Verdict::DropTxFull), 1u);
    EXPECT_EQ(r.counters.interface(kWanIf).tx_drops.read(), 1u);
}

}  // namespace

}  // namespace culvert::dataplane::test
