#include "dataplane/bfd/packet.h"
#include "dataplane/wire/payload.h"
#include "tests/unit/node/router.h"

#include <gtest/gtest.h>

#include <cstring>

namespace culvert::dataplane::test {
namespace {

using bfd::ControlPacket;
using enum api::BfdState;

constexpr BfdSessionId kSession{5};
constexpr std::uint32_t kOurs = 0x1234, kTheirs = 0x77;

class BfdNode : public ::testing::Test {
protected:
    BfdNode()
    {
        router.apply(api::SetDownWord{kSession});
        nexthop = router.adjacency(kWanIf, "192.0.2.2", kPeerMac);
        const NexthopId watched{90};
        router.apply(api::SetNexthop{.id = watched,
                                     .kind = api::NexthopKind::Adjacency,
                                     .resolved = true,
                                     .interface = kWanIf,
                                     .gateway = ip("192.0.2.2"),
                                     .mac = kPeerMac,
                                     .session = kSession});
        router.route_via("203.0.113.0/24", watched);
    }
    api::SetBfdSession settings()
    {
        api::SetBfdSession s{};
        s.id = kSession;
        s.discriminator = kOurs;
        s.interface = kWanIf;
        s.nexthop = nexthop;
        s.local = ip("192.0.2.1");
        s.peer = ip("192.0.2.2");
        s.desired_min_tx = s.required_min_rx = 50'000;
        return s;
    }
    static ControlPacket from_peer(api::BfdState state, std::uint32_t your = kOurs)
    {
        ControlPacket p;
        p.state = state;
        p.multiplier = 3;
        p.my_discriminator = kTheirs;
        p.your_discriminator = your;
        p.desired_min_tx = p.required_min_rx = 50'000;
        return p;
    }
    static Octets datagram(const ControlPacket& p, std::uint8_t ttl = 255, std::uint16_t port = bfd::kControlPort)
    {
        auto out = packet(Udp4{.from = ip4("192.0.2.2"),
                               .to = ip4("192.0.2.1"),
                               .from_port = 49152,
                               .to_port = port,
                               .payload = bfd::kMandatory,
                               .ttl = ttl});
        std::array<std::uint8_t, bfd::kMaxPacket> bytes{};
        bfd::encode(p, bfd::kMandatory, bytes);
        std::memcpy(out.data() + 28, bytes.data(), bfd::kMandatory);
        auto& u = *reinterpret_cast<wire::UdpHeader*>(out.data() + 20);
        u.checksum = {};
        u.checksum.set(pseudo_sum(header4(out), wire::Protocol::Udp, u.length).add(Bytes{out}.subspan(20)));
        return out;
    }
    void bring_up()
    {
        router.command(settings());
        router.from_wan(datagram(from_peer(Init)));
        router.from_wan(datagram(from_peer(Up)));
        ASSERT_EQ(router.bfd.engine().find(kSession)->state(), Up);
        router.sent.clear();
        router.events();
    }
    // Data that takes the watched next hop.
    std::size_t probe()
    {
        const auto before = router.sent.size();
        router.from_lan(packet(Udp4{.from = ip4("10.1.0.2"), .to = ip4("203.0.113.1")}));
        return router.sent.size() - before;
    }

    Router router;
    NexthopId nexthop{};
};

TEST_F(BfdNode, SpeaksAsRfc5881WantsIt)
{
    router.command(settings());
    router.advance(1s);
    ASSERT_FALSE(router.sent.empty());
    const auto& s = router.sent.front();
    EXPECT_EQ(s.port, kWan);
    EXPECT_TRUE(s.control) << "before data";
    auto p = s.packet();
    EXPECT_TRUE(checksum4_intact(p) && transport4_intact(p));
    const auto& h = header4(p);
    EXPECT_EQ(h.ttl, 255);
    EXPECT_EQ(h.tos, 0xc0);
    EXPECT_EQ(Ipv4Address{h.destination}, ip4("192.0.2.2"));
    const auto& u = *reinterpret_cast<const wire::UdpHeader*>(p.data() + 20);
    EXPECT_EQ(std::uint16_t{u.destination}, 3784);
    EXPECT_GE(std::uint16_t{u.source}, 49152);
    const auto control = bfd::decode(Bytes{p}.subspan(28));
    ASSERT_TRUE(control);
    EXPECT_EQ(control->my_discriminator, kOurs);
}

TEST_F(BfdNode, TheFlipIsInTheRoundThatSeesIt)
{
    bring_up();
    EXPECT_EQ(probe(), 1U);
    router.advance(149ms);
    EXPECT_EQ(probe(), 1U);
    router.sent.clear();
    router.advance(1ms);
    EXPECT_EQ(probe(), 0U);
    EXPECT_GE(router.count(Verdict::DropNexthopDown), 1U);
    const auto all = router.events();
    const api::WentDown* down = nullptr;
    for (const auto& e : all)
        if (const auto* d = std::get_if<api::WentDown>(&e)) down = d;
    ASSERT_NE(down, nullptr);
    EXPECT_EQ(down->kind, api::DownKind::Session);
    EXPECT_EQ(down->id, index(kSession));
    EXPECT_EQ(down->causes, fib::cause::kBfd);
    EXPECT_EQ(down->at - down->since, 150ms);
    EXPECT_FALSE(router.sent.empty()) << "the peer is told, by the path that is down";
}

TEST_F(BfdNode, GoesOnSpeakingOverAPathThatIsMarkedDown)
{
    bring_up();
    router.tables.set_down(api::DownKind::Session, index(kSession),
                           router.tables.generation(api::DownKind::Session, index(kSession)), fib::cause::kBfd);
    router.sent.clear();
    router.advance(50ms);
    EXPECT_FALSE(router.sent.empty());
}

TEST_F(BfdNode, FromFartherAwayIsDropped)
{
    router.command(settings());
    router.from_wan(datagram(from_peer(Down, 0), 254));
    EXPECT_EQ(router.count(Verdict::DropBfdTtl), 1U);
    router.from_wan(datagram(from_peer(Down, 0)));
    EXPECT_EQ(router.count(Verdict::BfdReceived), 1U);
    EXPECT_TRUE(router.host.empty()) << "the host link has no part in it";
}

TEST_F(BfdNode, ABadChecksumIsDropped)
{
    router.command(settings());
    auto p = datagram(from_peer(Down, 0));
    p.back() ^= 1;
    router.from_wan(p);
    EXPECT_EQ(router.count(Verdict::DropBfdMalformed), 1U);
}

TEST_F(BfdNode, MultihopLeavesByTheTables)
{
    auto s = settings();
    s.multihop = true;
    s.interface = kNoInterface;
    s.nexthop = kNoNexthop;
    s.minimum_ttl = 254;
    s.peer = ip("198.51.100.9");
    router.command(s);
    router.advance(1s);
    ASSERT_FALSE(router.sent.empty());
    auto p = router.sent.front().packet();
    EXPECT_EQ(Ipv4Address{header4(p).destination}, ip4("198.51.100.9"));
    EXPECT_EQ(std::uint16_t{reinterpret_cast<const wire::UdpHeader*>(p.data() + 20)->destination}, 4784);
}

TEST_F(BfdNode, APeersEchoGoesBackByForwarding)
{
    router.from_wan(packet(Udp4{.from = ip4("192.0.2.2"), .to = ip4("192.0.2.2"), .to_port = 3785, .ttl = 255}));
    ASSERT_EQ(router.sent.size(), 1U);
    auto p = router.sent.front().packet();
    EXPECT_EQ(router.sent.front().port, kWan);
    EXPECT_EQ(header4(p).ttl, 254);
}

TEST_F(BfdNode, OurEchoIsAddressedToUsAndJudged)
{
    auto s = settings();
    s.echo = true;
    router.command(s);
    router.from_wan(datagram(from_peer(Init)));
    auto up = from_peer(Up);
    up.required_min_echo_rx = 50'000;
    router.from_wan(datagram(up));
    router.sent.clear();
    router.advance(1ms);
    ASSERT_FALSE(router.sent.empty());
    auto p = router.sent.back().packet();
    EXPECT_EQ(std::uint32_t{header4(p).source}, std::uint32_t{header4(p).destination});
    --header4(p).ttl;
    header4(p).compute_checksum();
    router.from_wan(p);
    EXPECT_EQ(router.bfd_activity[index(kSession)].echo_received, 1U);
    router.from_wan(p);
    EXPECT_EQ(router.count(Verdict::DropBfdEcho), 1U);
}

TEST_F(BfdNode, Ipv6)
{
    auto s = settings();
    s.local = ip("2001:db8:2::1");
    s.peer = ip("2001:db8:2::2");
    s.nexthop = router.adjacency(kWanIf, "2001:db8:2::2", kPeerMac);
    router.command(s);
    router.advance(1s);
    ASSERT_FALSE(router.sent.empty());
    auto p = router.sent.front().packet();
    EXPECT_TRUE(transport6_intact(p));
    EXPECT_EQ(header6(p).hop_limit, 255);
    EXPECT_EQ(header6(p).traffic_class(), 0xc0);
}

}  // namespace
}  // namespace culvert::dataplane::test
