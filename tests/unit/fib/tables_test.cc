#include "dataplane/fib/tables.h"

#include "dataplane/fib/fib_writer.h"

#include <gtest/gtest.h>

#include <thread>

namespace culvert::fib {
namespace {

constexpr VrfId kRed{7};
constexpr InterfaceId kEth{1}, kVlan{2}, kWg{3}, kWg2{4};
constexpr PortId kPort{0};
constexpr NexthopId kNear{1}, kFar{2};
constexpr GroupId kOnly{1}, kBoth{2};
constexpr PeerId kAlice{1}, kBob{2};

IpPrefix prefix(const char* text) { return *IpPrefix::parse(text); }
IpAddress address(const char* text) { return *IpAddress::parse(text); }
std::uint32_t v4(const char* text) { return Ipv4Address::parse(text)->value; }

api::SetInterface ethernet(InterfaceId id, std::uint16_t vlan = 0)
{
    api::SetInterface i{id, kDefaultVrf, api::InterfaceKind::Port, true};
    i.port = kPort;
    i.vlan = vlan;
    i.mac = *MacAddress::parse("02:00:00:00:00:01");
    return i;
}

class TablesTest : public ::testing::Test {
protected:
    Rcu rcu;
    Tables tables{rcu};
    api::FibChannel channel;
    FibWriter writer{channel, tables, rcu};

    void adjacency(NexthopId id, InterfaceId interface = kEth)
    {
        api::SetNexthop n{id, NexthopKind::Adjacency};
        n.interface = interface;
        n.resolved = true;
        n.gateway = address("192.0.2.1");
        n.mac = *MacAddress::parse("02:00:00:00:00:99");
        writer.apply(n);
    }
    void group(GroupId id, std::initializer_list<NexthopId> members, GroupId backup = kNoGroup)
    {
        writer.apply(api::SetGroup{id, static_cast<std::uint16_t>(members.size()), backup});
        std::uint16_t position = 0;
        for (const auto m : members) writer.apply(api::SetGroupMember{id, position++, 1, m});
    }
    void wireguard(InterfaceId id, std::uint16_t port, IpAddress source = {})
    {
        api::SetInterface i{id, kDefaultVrf, api::InterfaceKind::Wireguard, true};
        i.mtu = 1420;
        writer.apply(i);
        writer.apply(api::SetWireguard{id, kDefaultVrf, port, source});
    }
};

TEST_F(TablesTest, ARouteLeadsToItsNexthop)
{
    writer.apply(ethernet(kEth));
    adjacency(kNear);
    group(kOnly, {kNear});
    writer.apply(api::SetRoute{kDefaultVrf, prefix("10.0.0.0/8"), kOnly});
    writer.apply(api::SetRoute{kDefaultVrf, prefix("2001:db8::/32"), kOnly});

    const auto* vrf = tables.vrf(kDefaultVrf);
    EXPECT_EQ(vrf->lpm6.lookup(*Ipv6Address::parse("2001:db8::1")).group(), kOnly);
    const auto path = tables.pick(vrf->lpm4.lookup(v4("10.1.2.3")).group(), 12345);
    ASSERT_TRUE(path);
    EXPECT_EQ(path.nexthop->id, kNear);
    EXPECT_EQ(path.nexthop->port, kPort);
    EXPECT_EQ(path.nexthop->mtu, 1500);
    EXPECT_EQ(path.nexthop->source_mac.to_string(), "02:00:00:00:00:01");
    EXPECT_EQ(path.nexthop->destination_mac.to_string(), "02:00:00:00:00:99");
    EXPECT_EQ(writer.refused(), 0u);

    writer.apply(api::DeleteRoute{kDefaultVrf, prefix("10.0.0.0/8")});
    EXPECT_FALSE(vrf->lpm4.lookup(v4("10.1.2.3")).found());
}

TEST_F(TablesTest, NexthopsFollowTheirInterface)
{
    writer.apply(ethernet(kEth));
    adjacency(kNear);
    const auto generation = tables.nexthops().generation(kNear);

    auto changed = ethernet(kEth);
    changed.mtu = 9000;
    changed.mac = *MacAddress::parse("02:00:00:00:00:02");
    writer.apply(changed);
    EXPECT_EQ(tables.nexthops().find(kNear)->mtu, 9000);
    EXPECT_EQ(tables.nexthops().find(kNear)->source_mac.to_string(), "02:00:00:00:00:02");
    EXPECT_EQ(tables.nexthops().generation(kNear), generation);

    changed.up = false;
    writer.apply(changed);
    EXPECT_FALSE(tables.nexthops().live(kNear));
    changed.up = true;
    writer.apply(changed);
    EXPECT_TRUE(tables.nexthops().live(kNear));
    writer.apply(api::DeleteInterface{kEth});
    EXPECT_FALSE(tables.nexthops().live(kNear));
    EXPECT_TRUE(tables.nexthops().find(kNear));
}

TEST_F(TablesTest, VrfsAreApart)
{
    writer.apply(api::SetVrf{kRed});
    writer.apply(ethernet(kEth));
    adjacency(kNear);
    group(kOnly, {kNear});
    writer.apply(api::SetRoute{kRed, prefix("0.0.0.0/0"), kOnly});
    EXPECT_TRUE(tables.vrf(kRed)->lpm4.lookup(v4("8.8.8.8")).found());
    EXPECT_FALSE(tables.vrf(kDefaultVrf)->lpm4.lookup(v4("8.8.8.8")).found());
    writer.apply(api::DeleteVrf{kRed});
    EXPECT_FALSE(tables.vrf(kRed));
    writer.apply(api::DeleteVrf{kDefaultVrf});
    EXPECT_TRUE(tables.vrf(kDefaultVrf));
    EXPECT_EQ(writer.refused(Refusal::UnknownVrf), 1u);
}

TEST_F(TablesTest, FramesFindTheirInterface)
{
    writer.apply(ethernet(kEth));
    writer.apply(ethernet(kVlan, 100));
    EXPECT_EQ(tables.interface_of(kPort, 0), kEth);
    EXPECT_EQ(tables.interface_of(kPort, 100), kVlan);
    EXPECT_EQ(tables.interface_of(kPort, 101), kNoInterface);
    EXPECT_EQ(tables.interface_of(PortId{9}, 0), kNoInterface);
    EXPECT_EQ(tables.interface_of(kPort, 4096), kNoInterface);

    writer.apply(ethernet(kVlan, 200));
    EXPECT_EQ(tables.interface_of(kPort, 100), kNoInterface);
    EXPECT_EQ(tables.interface_of(kPort, 200), kVlan);
    // Another interface takes the place over before the first one goes.
    writer.apply(ethernet(kEth, 200));
    writer.apply(api::DeleteInterface{kVlan});
    EXPECT_EQ(tables.interface_of(kPort, 200), kEth);
    EXPECT_EQ(tables.interface_of(kPort, 0), kNoInterface);
}

TEST_F(TablesTest, AllowedIpsPickThePeer)
{
    wireguard(kWg, 51820);
    writer.apply(api::SetPeer{kAlice, kWg, *Endpoint::parse("198.51.100.7:51820")});
    writer.apply(api::SetPeer{kBob, kWg});
    writer.apply(api::SetAllowedIp{kWg, prefix("10.255.0.9/32"), kAlice});
    writer.apply(api::SetAllowedIp{kWg, prefix("10.255.0.0/24"), kBob});
    writer.apply(api::SetAllowedIp{kWg, prefix("fd00::/64"), kBob});
    EXPECT_EQ(tables.allowed_peer(kWg, v4("10.255.0.9")), kAlice);
    EXPECT_EQ(tables.allowed_peer(kWg, v4("10.255.0.8")), kBob);
    EXPECT_EQ(tables.allowed_peer(kWg, *Ipv6Address::parse("fd00::5")), kBob);
    EXPECT_EQ(tables.allowed_peer(kWg, v4("10.254.0.9")), kNoPeer);
    EXPECT_EQ(tables.allowed_peer(kEth, v4("10.255.0.9")), kNoPeer);
    EXPECT_EQ(tables.peer(kAlice)->endpoint.port, 51820);
    writer.apply(api::DeleteAllowedIp{kWg, prefix("10.255.0.9/32")});
    EXPECT_EQ(tables.allowed_peer(kWg, v4("10.255.0.9")), kBob);
    writer.apply(api::DeleteInterface{kWg});
    EXPECT_FALSE(tables.wireguard(kWg));
}

TEST_F(TablesTest, UdpPortsFindTheWireguardInterface)
{
    wireguard(kWg, 51820);
    wireguard(kWg2, 51820, address("192.0.2.2"));
    EXPECT_EQ(tables.wireguard_at(kDefaultVrf, 51820, address("192.0.2.1")), kWg);
    EXPECT_EQ(tables.wireguard_at(kDefaultVrf, 51820, address("192.0.2.2")), kWg2);
    EXPECT_EQ(tables.wireguard_at(kDefaultVrf, 51821, address("192.0.2.2")), kNoInterface);
    EXPECT_EQ(tables.wireguard_at(kRed, 51820, address("192.0.2.2")), kNoInterface);
    writer.apply(api::SetVrf{kRed});
    writer.apply(api::SetWireguard{kWg, kRed, 4500});
    EXPECT_EQ(tables.wireguard_at(kDefaultVrf, 51820, address("192.0.2.1")), kNoInterface);
    EXPECT_EQ(tables.wireguard_at(kRed, 4500, address("192.0.2.1")), kWg);
    writer.apply(api::DeleteInterface{kWg});
    EXPECT_EQ(tables.wireguard_at(kRed, 4500, address("192.0.2.1")), kNoInterface);
}

TEST_F(TablesTest, SourcesOfAPeer)
{
    wireguard(kWg, 51820);
    writer.apply(api::SetPeer{kAlice, kWg});
    EXPECT_FALSE(tables.source_allowed(kAlice, v4("10.0.0.1")));
    // From a short list to tries and back to nothing.
    for (std::uint32_t i = 0; i < 100; ++i) {
        const auto p4 = IpPrefix::make(Ipv4Address{0x0a000000u | i << 8}, 24);
        const auto p6 = IpPrefix::make(Ipv6Address::from_words(0x20010db800000000 | i, 0), 64);
        writer.apply(api::AddPeerSource{kAlice, p4});
        writer.apply(api::AddPeerSource{kAlice, p4});
        writer.apply(api::AddPeerSource{kAlice, p6});
        for (std::uint32_t j = 0; j < 100; ++j) {
            EXPECT_EQ(tables.source_allowed(kAlice, 0x0a000001u | j << 8), j <= i);
            EXPECT_EQ(tables.source_allowed(kAlice, Ipv6Address::from_words(0x20010db800000000 | j, 5)), j <= i);
        }
    }
    EXPECT_FALSE(tables.source_allowed(kBob, v4("10.0.0.1")));
    for (std::uint32_t i = 0; i < 100; ++i) {
        writer.apply(api::DeletePeerSource{kAlice, IpPrefix::make(Ipv4Address{0x0a000000u | i << 8}, 24)});
        writer.apply(
            api::DeletePeerSource{kAlice, IpPrefix::make(Ipv6Address::from_words(0x20010db800000000 | i, 0), 64)});
        EXPECT_FALSE(tables.source_allowed(kAlice, 0x0a000001u | i << 8));
    }
    EXPECT_EQ(writer.refused(), 0u);
    writer.apply(api::DeletePeerSource{kAlice, prefix("10.0.0.0/24")});
    EXPECT_EQ(writer.refused(Refusal::UnknownPrefix), 1u);
    writer.apply(api::AddPeerSource{kAlice, prefix("::/0")});
    EXPECT_TRUE(tables.source_allowed(kAlice, *Ipv6Address::parse("2001::1")));
    writer.apply(api::DeletePeer{kAlice});
    EXPECT_FALSE(tables.source_allowed(kAlice, *Ipv6Address::parse("2001::1")));
}

TEST_F(TablesTest, HostLinksAreToldByAnyThread)
{
    EXPECT_FALSE(tables.host_link(kRed));
    tables.set_host_link(kRed, true);
    EXPECT_TRUE(tables.host_link(kRed));
}

// ---- the writer ----------------------------------------------------------------------------------------------------

TEST_F(TablesTest, NothingUnknownIsApplied)
{
    adjacency(kNear, kEth);
    EXPECT_EQ(writer.refused(Refusal::UnknownInterface), 1u);
    writer.apply(api::SetRoute{kDefaultVrf, prefix("10.0.0.0/8"), kOnly});
    EXPECT_EQ(writer.refused(Refusal::UnknownGroup), 1u);
    EXPECT_FALSE(tables.vrf(kDefaultVrf)->lpm4.lookup(v4("10.0.0.1")).found());
    writer.apply(api::SetRoute{kRed, prefix("10.0.0.0/8"), kOnly});
    writer.apply(api::DeleteRoute{kDefaultVrf, prefix("10.0.0.0/8")});
    writer.apply(api::DeleteRoute{kDefaultVrf, IpPrefix{address("10.0.0.0"), 33}});
    writer.apply(api::DeleteNexthop{kFar});
    writer.apply(api::DeleteGroup{kOnly});
    writer.apply(api::DeletePeer{kAlice});
    writer.apply(api::SetPeer{kAlice, kWg});
    writer.apply(api::SetAllowedIp{kWg, prefix("10.0.0.0/8"), kAlice});
    writer.apply(api::AddPeerSource{kAlice, prefix("10.0.0.0/8")});
    writer.apply(api::ClearDown{api::DownKind::Nexthop, index(kNear), 1});
    writer.apply(api::SetWireguard{kWg, kDefaultVrf, 1});
    writer.apply(api::DeleteInterface{kEth});
    auto bad = ethernet(kEth, 4095);
    bad.vlan = 5000;
    writer.apply(bad);
    writer.apply(api::SetNexthop{NexthopId{0xffffffff}, NexthopKind::Blackhole});
    writer.apply(api::SetGroup{GroupId{0xffffffff}, 1});
    EXPECT_EQ(writer.refused(), 17u);
    EXPECT_EQ(writer.refused(Refusal::BadPrefix), 1u);
    EXPECT_EQ(writer.refused(Refusal::IdOutOfRange), 3u);
    // What readers may come with.
    EXPECT_FALSE(tables.nexthops().find(NexthopId{0xffffffff}));
    EXPECT_FALSE(tables.pick(GroupId{0xffffffff}, 1));
    EXPECT_EQ(tables.pick(kOnly, 1).miss, Path::Miss::Gone);
    EXPECT_FALSE(tables.peer(PeerId{0xffffffff}));
}

TEST_F(TablesTest, AGroupIsWholeOrAsBefore)
{
    writer.apply(ethernet(kEth));
    adjacency(kNear);
    adjacency(kFar);
    group(kOnly, {kNear});

    writer.apply(api::SetGroup{kOnly, 2});
    writer.apply(api::SetGroupMember{kOnly, 0, 1, kFar});
    EXPECT_EQ(tables.groups().members(kOnly).size(), 1u);  // the second has not come yet
    writer.apply(api::SetGroupMember{kOnly, 1, 1, kNear});
    EXPECT_EQ(tables.groups().members(kOnly).size(), 2u);

    writer.apply(api::SetGroupMember{kOnly, 1, 1, kNear});  // nobody announced it
    EXPECT_EQ(writer.refused(Refusal::StrayGroupMember), 1u);
    writer.apply(api::SetGroup{kBoth, 2});
    writer.apply(api::SetGroup{kOnly, 1});  // kBoth stays incomplete
    EXPECT_EQ(writer.refused(Refusal::StrayGroupMember), 2u);
    writer.apply(api::SetGroupMember{kOnly, 5, 1, kNear});
    EXPECT_EQ(writer.refused(Refusal::StrayGroupMember), 3u);
    writer.apply(api::SetGroupMember{kOnly, 0, 0, kNear});  // a weight of 0
    EXPECT_EQ(writer.refused(Refusal::BadGroup), 1u);
    writer.apply(api::SetGroup{kBoth, 65});
    EXPECT_EQ(writer.refused(Refusal::BadGroup), 2u);
    writer.apply(api::SetGroup{kBoth, 1});
    writer.apply(api::SetGroupMember{kBoth, 0, 1, NexthopId{77}});
    EXPECT_EQ(writer.refused(Refusal::UnknownNexthop), 1u);
    EXPECT_EQ(tables.groups().members(kOnly).size(), 2u);
    EXPECT_FALSE(tables.groups().exists(kBoth));
}

TEST_F(TablesTest, AGenerationIsAckedWhenEveryWorkerPassed)
{
    auto worker = rcu.register_reader();
    auto sleeper = rcu.register_reader();
    worker.online();
    channel.push(api::SetVrf{kRed});
    const auto generation = channel.commit();
    auto done = writer.step();
    EXPECT_TRUE(done.applied);
    EXPECT_TRUE(done.pending);
    EXPECT_EQ(channel.acked(), 0u);
    writer.step();
    EXPECT_EQ(channel.acked(), 0u);
    worker.quiescent();
    done = writer.step();
    EXPECT_EQ(channel.acked(), generation);
    EXPECT_FALSE(done.pending);
    // A worker that sleeps is not waited for.
    worker.offline();
    channel.commit();
    EXPECT_FALSE(writer.step().pending);
    EXPECT_EQ(channel.acked(), generation + 1);
}

TEST_F(TablesTest, ANexthopObeysItsPortsItsTunnelsAndItsSessionsWord)
{
    using api::DownKind;
    writer.apply(ethernet(kEth));
    wireguard(kWg, 51820);
    const BfdSessionId session{7};
    writer.apply(api::SetDownWord{session});
    adjacency(kNear);
    api::SetNexthop far{kFar, NexthopKind::WireguardPeer};
    far.interface = kWg;
    far.peer = kAlice;
    far.session = session;
    writer.apply(far);
    const auto fail = [&](DownKind kind, std::uint32_t id) {
        const auto epoch = tables.set_down(kind, id, tables.generation(kind, id), cause::kLink);
        EXPECT_TRUE(epoch) << static_cast<int>(kind);
        return epoch.value_or(0);
    };
    const auto live = [&](NexthopId id) { return tables.nexthops().live(id) != nullptr; };

    const auto port = fail(DownKind::Port, index(kPort));
    EXPECT_FALSE(live(kNear));
    EXPECT_TRUE(live(kFar));
    EXPECT_EQ(tables.nexthops().causes(kNear), cause::kLink);
    EXPECT_TRUE(tables.down(DownKind::Nexthop, index(kNear)).up());
    const auto tunnel = fail(DownKind::Interface, index(kWg));
    const auto bfd = fail(DownKind::Session, index(session));
    EXPECT_FALSE(live(kFar));
    writer.apply(api::ClearDown{DownKind::Interface, index(kWg), tunnel});
    EXPECT_FALSE(live(kFar));
    writer.apply(api::ClearDown{DownKind::Session, index(session), bfd - 1});
    EXPECT_EQ(writer.refused(Refusal::StaleClear), 1u);
    EXPECT_FALSE(live(kFar));
    writer.apply(api::ClearDown{DownKind::Session, index(session), bfd});
    EXPECT_TRUE(live(kFar));
    writer.apply(api::ClearDown{DownKind::Port, index(kPort), port});
    EXPECT_TRUE(live(kNear));
    EXPECT_EQ(writer.refused(), 0u);

    // A next hop that no session watches any more.
    fail(DownKind::Session, index(session));
    EXPECT_FALSE(live(kFar));
    far.session = kNoBfdSession;
    writer.apply(far);
    EXPECT_TRUE(live(kFar));
    writer.apply(api::DeleteDownWord{session});
    EXPECT_FALSE(tables.set_down(DownKind::Session, index(session), 1, cause::kBfd));
    writer.apply(api::DeleteDownWord{session});
    writer.apply(api::ClearDown{DownKind::Session, index(session), 1});
    EXPECT_EQ(writer.refused(Refusal::UnknownWord), 2u);
    // The id is used again: a new word, which is clear.
    writer.apply(api::SetDownWord{session});
    EXPECT_TRUE(tables.down(DownKind::Session, index(session)).up());
    writer.apply(api::SetDownWord{BfdSessionId{1 << 20}});
    writer.apply(api::SetDownWord{kNoBfdSession});
    EXPECT_EQ(writer.refused(Refusal::IdOutOfRange), 2u);
}

TEST_F(TablesTest, APortsWordLivesAsLongAsAnInterfaceIsOnIt)
{
    using api::DownKind;
    const auto generation = [&] { return tables.generation(DownKind::Port, index(kPort)); };
    EXPECT_FALSE(tables.set_down(DownKind::Port, index(kPort), generation(), cause::kLink));
    writer.apply(ethernet(kEth));
    const auto first = generation();
    writer.apply(ethernet(kVlan, 100));
    writer.apply(api::DeleteInterface{kEth});
    EXPECT_EQ(generation(), first);
    EXPECT_TRUE(tables.set_down(DownKind::Port, index(kPort), first, cause::kLink));
    // To another port and back.
    auto moved = ethernet(kVlan, 100);
    moved.port = PortId{1};
    writer.apply(moved);
    EXPECT_FALSE(tables.set_down(DownKind::Port, index(kPort), generation(), cause::kLink));
    EXPECT_TRUE(tables.set_down(DownKind::Port, 1, tables.generation(DownKind::Port, 1), cause::kLink));
    writer.apply(ethernet(kVlan, 100));
    EXPECT_NE(generation(), first);
    EXPECT_TRUE(tables.down(DownKind::Port, index(kPort)).up());
    adjacency(kNear, kVlan);
    EXPECT_TRUE(tables.nexthops().live(kNear));
    EXPECT_TRUE(tables.set_down(DownKind::Port, index(kPort), generation(), cause::kLink));
    EXPECT_FALSE(tables.nexthops().live(kNear));
    writer.apply(moved);  // to the port that failed above, and whose word began anew
    EXPECT_TRUE(tables.nexthops().live(kNear));
}

TEST_F(TablesTest, PacketsAreCountedAtTheWordTheyMet)
{
    using api::DownKind;
    writer.apply(ethernet(kEth));
    writer.apply(api::SetDownWord{BfdSessionId{1}});
    api::SetNexthop n{kNear, NexthopKind::Adjacency};
    n.interface = kEth;
    n.session = BfdSessionId{1};
    writer.apply(n);
    writer.apply(api::SetNexthop{kFar, NexthopKind::Blackhole});
    group(kBoth, {kFar});
    group(kOnly, {kNear}, kBoth);
    EXPECT_EQ(tables.pick(kOnly, 1).nexthop->id, kNear);
    tables.set_down(DownKind::Session, 1, tables.generation(DownKind::Session, 1), cause::kBfd);
    for (std::uint32_t hash = 0; hash < 5; ++hash) EXPECT_EQ(tables.pick(kOnly, hash).nexthop->id, kFar);
    EXPECT_EQ(tables.met_down(DownKind::Session, 1), 5u);
    EXPECT_EQ(tables.met_down(DownKind::Port, index(kPort)), 0u);
    tables.set_down(DownKind::Port, index(kPort), tables.generation(DownKind::Port, index(kPort)), cause::kLink);
    tables.pick(kOnly, 1);
    EXPECT_EQ(tables.met_down(DownKind::Port, index(kPort)), 1u);
    EXPECT_EQ(tables.met_down(DownKind::Nexthop, index(kNear)), 0u);
}

TEST_F(TablesTest, NothingIsFreedUnderAReader)
{
    writer.apply(ethernet(kEth));
    adjacency(kNear);
    auto worker = rcu.register_reader();
    worker.online();
    const auto* old = tables.nexthops().find(kNear);
    channel.push(api::DeleteNexthop{kNear});
    EXPECT_TRUE(writer.step().pending);
    EXPECT_FALSE(tables.nexthops().find(kNear));
    EXPECT_EQ(old->id, kNear);  // under ASan: still there
    worker.quiescent();
    EXPECT_FALSE(writer.step().pending);
}

TEST_F(TablesTest, TheThreadWakesWorksAndStops)
{
    std::jthread thread([this](const std::stop_token& stop) { writer.run(stop); });
    auto worker = rcu.register_reader();
    worker.online();
    for (int round = 0; round < 50; ++round) {
        channel.push(api::SetVrf{VrfId{static_cast<std::uint16_t>(round)}});
        const auto generation = channel.commit();
        while (channel.acked() < generation) {
            worker.quiescent();
            std::this_thread::yield();
        }
        EXPECT_TRUE(tables.vrf(VrfId{static_cast<std::uint16_t>(round)}));
        if (round == 25) worker.offline();
        if (round == 30) worker.online();
    }
}

TEST_F(TablesTest, ShowSaysWhatTheTablesSay)
{
    writer.apply(ethernet(kEth));
    adjacency(kNear);
    adjacency(kFar);
    group(kBoth, {kNear, kFar});
    writer.apply(api::SetRoute{kDefaultVrf, prefix("10.0.0.0/8"), kBoth});
    writer.apply(api::SetRoute{kDefaultVrf, prefix("2001:db8::/32"), kBoth});
    tables.nexthops().set_down(kFar, tables.nexthops().generation(kFar), cause::kBfd);

    const auto answer = writer.lookup(kDefaultVrf, address("10.1.2.3"));
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->prefix, prefix("10.0.0.0/8"));
    EXPECT_EQ(answer->group, kBoth);
    EXPECT_EQ(answer->members, (std::vector{kNear, kFar}));
    EXPECT_EQ(answer->down_causes, (std::vector<std::uint32_t>{0, cause::kBfd}));
    EXPECT_EQ(writer.lookup(kDefaultVrf, address("2001:db8::1"))->prefix, prefix("2001:db8::/32"));
    EXPECT_FALSE(writer.lookup(kDefaultVrf, address("11.0.0.0")));
    EXPECT_FALSE(writer.lookup(kRed, address("10.0.0.1")));
    for (const auto& m : writer.memory()) {
        if (m.arena == "lpm4" || m.arena == "lpm6-rib" || m.arena == "nexthops") {
            EXPECT_GT(m.used, 0u) << m.arena;
        }
        EXPECT_LE(m.used, m.reserved) << m.arena;
    }
}

}  // namespace
}  // namespace culvert::fib
