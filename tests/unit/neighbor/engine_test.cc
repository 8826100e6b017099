#include "controlplane/neighbor/engine.h"

#include <gtest/gtest.h>

namespace culvert::neighbor {
namespace {

constexpr TimePoint kT0{1h};
constexpr InterfaceId kEth0{1};
constexpr MacAddress kOurs{{2, 0, 0, 0, 0, 1}};
constexpr MacAddress kA{{2, 0, 0, 0, 0, 0xa}};
constexpr MacAddress kB{{2, 0, 0, 0, 0, 0xb}};

IpAddress address(const char* text) { return *IpAddress::parse(text); }
const IpAddress kPeer4 = address("10.0.0.2");
const IpAddress kPeer6 = address("2001:db8::2");

Link link()
{
    Link l;
    l.id = kEth0;
    l.mac = kOurs;
    l.up = true;
    l.addresses = {*InterfaceAddress::parse("10.0.0.1/24"), *InterfaceAddress::parse("2001:db8::1/64")};
    return l;
}

struct EngineTest : testing::Test {
    Engine engine;
    void SetUp() override { engine.set_link(link(), kT0); }

    Output request(const IpAddress& from, const MacAddress& mac, const char* target, TimePoint now)
    {
        return engine.on_frame(
            kEth0, encode(kBroadcastMac, mac, Arp{Arp::Operation::Request, mac, from.v4(), {}, address(target).v4()}),
            now);
    }
    Output reply(const IpAddress& from, const MacAddress& mac, TimePoint now)
    {
        return engine.on_frame(
            kEth0, encode(kOurs, mac, Arp{Arp::Operation::Reply, mac, from.v4(), kOurs, address("10.0.0.1").v4()}),
            now);
    }
    Output advertise(const MacAddress& mac, bool solicited, bool override_cache, TimePoint now)
    {
        const auto to = solicited ? address("2001:db8::1").v6() : *Ipv6Address::parse("ff02::1");
        return engine.on_frame(
            kEth0,
            encode(kOurs, mac,
                   NeighborAdvertisement{kPeer6.v6(), to, kPeer6.v6(), false, solicited, override_cache, mac}),
            now);
    }
    State state(const IpAddress& a)
    {
        for (const EntryView& e : engine.entries(a.family, kT0))
            if (e.address == a) return e.state;
        ADD_FAILURE() << "no entry";
        return State::Failed;
    }
    std::size_t known() { return engine.entries(Family::Ipv4, kT0).size() + engine.entries(Family::Ipv6, kT0).size(); }
    static Message message(const Frame& f) { return *decode(f.bytes); }
};

TEST_F(EngineTest, AnnouncesItsAddressesWhenTheLinkComesUp)
{
    Engine fresh;
    const Output out = fresh.set_link(link(), kT0);
    ASSERT_EQ(out.frames.size(), 3U) << "IPv4, IPv6 and the link-local one";
    const Arp arp = std::get<Arp>(message(out.frames[0]).body);
    EXPECT_EQ(arp.sender, arp.target);
    EXPECT_TRUE(fresh.set_link(link(), kT0).frames.empty()) << "once";
    Link more = link();
    more.addresses.push_back(*InterfaceAddress::parse("10.0.1.1/24"));
    EXPECT_EQ(fresh.set_link(more, kT0).frames.size(), 1U);
}

TEST_F(EngineTest, AsksThreeTimesThenFailsAndHoldsDown)
{
    Output out = engine.on_miss(kEth0, kPeer4, kT0);
    ASSERT_EQ(out.frames.size(), 1U);
    const Message m = message(out.frames[0]);
    EXPECT_EQ(m.to, kBroadcastMac);
    EXPECT_EQ(std::get<Arp>(m.body), (Arp{Arp::Operation::Request, kOurs, address("10.0.0.1").v4(), {}, kPeer4.v4()}));
    EXPECT_TRUE(engine.on_miss(kEth0, kPeer4, kT0 + 500ms).frames.empty()) << "it is being asked for";
    EXPECT_EQ(engine.next_deadline(), kT0 + 1s);
    EXPECT_EQ(engine.on_time(kT0 + 1s).frames.size(), 1U);
    EXPECT_EQ(engine.on_time(kT0 + 2s).frames.size(), 1U);
    out = engine.on_time(kT0 + 3s);
    EXPECT_TRUE(out.frames.empty());
    ASSERT_EQ(out.events.size(), 1U);
    EXPECT_EQ(out.events[0].change, Change::Failed);
    out = engine.on_miss(kEth0, kPeer4, kT0 + 4s);
    EXPECT_TRUE(out.frames.empty()) << "held down";
    EXPECT_EQ(out.events.at(0).change, Change::Failed);
    engine.on_time(kT0 + 8s);
    EXPECT_EQ(known(), 0U);
    EXPECT_EQ(engine.next_deadline(), kNever);
    EXPECT_EQ(engine.on_miss(kEth0, kPeer4, kT0 + 9s).frames.size(), 1U);
}

TEST_F(EngineTest, AReplyResolves)
{
    engine.on_miss(kEth0, kPeer4, kT0);
    const Output out = reply(kPeer4, kA, kT0 + 1ms);
    ASSERT_EQ(out.events.size(), 1U);
    EXPECT_EQ(out.events[0].change, Change::Resolved);
    EXPECT_EQ(out.events[0].mac, kA);
    EXPECT_EQ(state(kPeer4), State::Reachable);
    EXPECT_EQ(engine.find(kEth0, kPeer4), kA);
}

TEST_F(EngineTest, SolicitsByMulticastAndLearnsFromTheAdvertisement)
{
    Output out = engine.on_miss(kEth0, kPeer6, kT0);
    ASSERT_EQ(out.frames.size(), 1U);
    const Message m = message(out.frames[0]);
    EXPECT_EQ(m.to, (MacAddress{{0x33, 0x33, 0xff, 0, 0, 2}}));
    const auto ns = std::get<NeighborSolicitation>(m.body);
    EXPECT_EQ(ns.source, address("2001:db8::1").v6());
    EXPECT_EQ(ns.link, kOurs);
    out = advertise(kA, true, true, kT0 + 1ms);
    EXPECT_EQ(out.events.at(0).change, Change::Resolved);
    EXPECT_EQ(state(kPeer6), State::Reachable);
}

TEST_F(EngineTest, AnswersForItsOwnAddressesAndLearnsWhoAsks)
{
    const Output out = request(kPeer4, kA, "10.0.0.1", kT0);
    ASSERT_EQ(out.frames.size(), 1U);
    const Message m = message(out.frames[0]);
    EXPECT_EQ(m.to, kA);
    EXPECT_EQ(std::get<Arp>(m.body), (Arp{Arp::Operation::Reply, kOurs, address("10.0.0.1").v4(), kA, kPeer4.v4()}));
    EXPECT_EQ(out.events.at(0).change, Change::Resolved);
    EXPECT_EQ(state(kPeer4), State::Stale) << "heard of, not proven";
    EXPECT_TRUE(request(kPeer4, kA, "10.0.0.99", kT0).frames.empty());
}

TEST_F(EngineTest, AnswersSolicitationsToo)
{
    for (const Ipv6Address target : {address("2001:db8::1").v6(), link_local(kOurs)}) {
        const NeighborSolicitation ns{kPeer6.v6(), solicited_node(target), target, kA};
        const Output out = engine.on_frame(kEth0, encode(multicast_mac(ns.destination), kA, ns), kT0);
        ASSERT_EQ(out.frames.size(), 1U);
        const auto na = std::get<NeighborAdvertisement>(message(out.frames[0]).body);
        EXPECT_EQ(message(out.frames[0]).to, kA);
        EXPECT_EQ(na.target, target);
        EXPECT_EQ(na.destination, kPeer6.v6());
        EXPECT_TRUE(na.router && na.solicited && na.override_cache);
        EXPECT_EQ(na.link, kOurs);
    }
}

TEST_F(EngineTest, DefendsItsAddressAgainstProbes)
{
    const Output v4 = request(address("0.0.0.0"), kA, "10.0.0.1", kT0);
    ASSERT_EQ(v4.frames.size(), 1U);
    const Ipv6Address target = address("2001:db8::1").v6();
    const NeighborSolicitation probe{{}, solicited_node(target), target, std::nullopt};
    const Output v6 = engine.on_frame(kEth0, encode(multicast_mac(probe.destination), kA, probe), kT0);
    ASSERT_EQ(v6.frames.size(), 1U);
    const auto na = std::get<NeighborAdvertisement>(message(v6.frames[0]).body);
    EXPECT_EQ(na.destination, *Ipv6Address::parse("ff02::1"));
    EXPECT_FALSE(na.solicited);
    EXPECT_EQ(known(), 0U);
}

TEST_F(EngineTest, AnswersForProxiedAddresses)
{
    Link l = link();
    l.proxied = {address("10.0.0.50")};
    engine.set_link(l, kT0);
    EXPECT_EQ(request(kPeer4, kA, "10.0.0.50", kT0).frames.size(), 1U);
}

TEST_F(EngineTest, WarnsWhenAnotherStationHasItsAddress)
{
    const Output out = request(address("10.0.0.1"), kA, "10.0.0.1", kT0);
    ASSERT_EQ(out.warnings.size(), 1U);
    EXPECT_EQ(engine.counters().duplicate, 1U);
    EXPECT_EQ(known(), 0U);
}

TEST_F(EngineTest, LearnsNothingFromThoseWhoCannotBeNeighbours)
{
    request(address("172.16.0.1"), kA, "10.0.0.1", kT0);
    EXPECT_EQ(engine.counters().off_link, 1U);
    request(address("10.0.0.255"), kA, "10.0.0.1", kT0);
    request(address("10.0.0.0"), kA, "10.0.0.1", kT0);
    EXPECT_EQ(engine.counters().off_link, 3U);
    request(kPeer4, {{3, 0, 0, 0, 0, 0xa}}, "10.0.0.1", kT0);
    request(kPeer4, kBroadcastMac, "10.0.0.1", kT0);
    EXPECT_EQ(engine.counters().bad_sender, 2U);
    EXPECT_EQ(reply(kPeer4, kA, kT0).events.size(), 0U) << "nobody asked";
    EXPECT_EQ(advertise(kA, true, true, kT0).events.size(), 0U);
    EXPECT_EQ(known(), 0U);
    EXPECT_EQ(engine.on_miss(kEth0, address("172.16.0.1"), kT0).events.at(0).change, Change::Failed);
    EXPECT_EQ(engine.on_miss(kEth0, address("10.0.0.1"), kT0).events.at(0).change, Change::Failed);
}

TEST_F(EngineTest, AnEntryInUseIsAskedAgainBeforeItIsForgotten)
{
    EXPECT_EQ(engine.set_in_use(kEth0, kPeer4, true, kT0).frames.size(), 1U) << "resolved ahead";
    reply(kPeer4, kA, kT0);
    EXPECT_EQ(engine.next_deadline(), kT0 + 45s);
    Output out = engine.on_time(kT0 + 45s);
    ASSERT_EQ(out.frames.size(), 1U);
    EXPECT_EQ(message(out.frames[0]).to, kA) << "by unicast";
    EXPECT_TRUE(out.events.empty());
    EXPECT_EQ(engine.find(kEth0, kPeer4), kA) << "used meanwhile";
    EXPECT_TRUE(reply(kPeer4, kA, kT0 + 46s).events.empty());
    EXPECT_EQ(state(kPeer4), State::Reachable);

    for (const auto t : {91s, 92s, 93s}) EXPECT_TRUE(engine.on_time(kT0 + t).events.empty());
    out = engine.on_time(kT0 + 94s);
    EXPECT_EQ(out.events.at(0).change, Change::Lost) << "a next hop uses it";
    EXPECT_EQ(out.events.at(0).since, kT0 + 46s) << "when it last answered";
    ASSERT_EQ(out.frames.size(), 1U) << "asked for by broadcast at once";
    EXPECT_EQ(message(out.frames[0]).to, kBroadcastMac);
    // It stays away, and is asked for again and again.
    for (auto t = 95s; t < 110s; t += 1s) engine.on_time(kT0 + t);
    EXPECT_NE(engine.next_deadline(), kNever);
    EXPECT_EQ(known(), 1U);
    engine.set_in_use(kEth0, kPeer4, false, kT0 + 110s);
    for (auto t = 110s; t < 130s; t += 1s) engine.on_time(kT0 + t);
    EXPECT_EQ(known(), 0U);
}

TEST_F(EngineTest, AnEntryThatNobodyUsesFades)
{
    engine.on_miss(kEth0, kPeer4, kT0);
    reply(kPeer4, kA, kT0);
    EXPECT_TRUE(engine.on_time(kT0 + 45s).frames.empty());
    EXPECT_EQ(state(kPeer4), State::Stale);
    EXPECT_EQ(engine.on_time(kT0 + 45s + 5min).frames.size(), 1U);
    engine.on_time(kT0 + 46s + 5min);
    engine.on_time(kT0 + 47s + 5min);
    EXPECT_EQ(engine.on_time(kT0 + 48s + 5min).events.at(0).change, Change::Expired);
    EXPECT_EQ(known(), 0U);
}

TEST_F(EngineTest, AMovedStationIsFollowed)
{
    engine.on_miss(kEth0, kPeer4, kT0);
    reply(kPeer4, kA, kT0);
    const Output out = request(kPeer4, kB, "10.0.0.2", kT0 + 1s);  // gratuitous
    ASSERT_EQ(out.events.size(), 1U);
    EXPECT_EQ(out.events[0].change, Change::Moved);
    EXPECT_EQ(out.events[0].mac, kB);
    EXPECT_EQ(engine.counters().moves, 1U);
}

TEST_F(EngineTest, AnAdvertisementWithoutOverrideDoesNotMoveAStation)
{
    engine.on_miss(kEth0, kPeer6, kT0);
    advertise(kA, true, true, kT0);
    EXPECT_TRUE(advertise(kB, false, false, kT0).events.empty());
    EXPECT_EQ(engine.find(kEth0, kPeer6), kA);
    EXPECT_EQ(state(kPeer6), State::Stale) << "but is reason to doubt (RFC 4861 7.2.5)";
    EXPECT_EQ(advertise(kB, false, true, kT0).events.at(0).change, Change::Moved);
}

TEST_F(EngineTest, TheTableIsBoundedAndGoodEntriesStay)
{
    Engine small{{}, {.entries = 4}};
    Link l = link();
    l.addresses = {*InterfaceAddress::parse("10.0.0.1/16")};
    small.set_link(l, kT0);
    small.on_miss(kEth0, kPeer4, kT0);
    small.on_frame(kEth0, encode(kOurs, kA, Arp{Arp::Operation::Reply, kA, kPeer4.v4(), kOurs, {0x0a000001}}), kT0);
    std::size_t failed = 0;
    for (std::uint32_t i = 0; i < 1000; ++i) {
        const Output out = small.on_miss(kEth0, Ipv4Address{0x0a000100 + i}, kT0 + i * 1ms);
        for (const Event& e : out.events) failed += e.change == Change::Failed;
    }
    EXPECT_EQ(small.entries(Family::Ipv4, kT0).size(), 4U);
    EXPECT_EQ(failed, 997U) << "the oldest unanswered one makes room, and those that wait for it are told";
    EXPECT_EQ(small.find(kEth0, kPeer4), kA);
}

TEST_F(EngineTest, SolicitationsAndAnswersAreLimited)
{
    Engine limited{{}, {.solicitations_per_second = 10, .answers_per_second = 5}};
    limited.set_link(link(), kT0);
    std::size_t sent = 0;
    for (std::uint32_t i = 2; i < 100; ++i)
        sent += limited.on_miss(kEth0, Ipv4Address{0x0a000000 + i}, kT0).frames.size();
    EXPECT_EQ(sent, 10U);
    sent = 0;
    const auto ask = encode(kBroadcastMac, kA, Arp{Arp::Operation::Request, kA, {0x0a000002}, {}, {0x0a000001}});
    for (int i = 0; i < 100; ++i) sent += limited.on_frame(kEth0, ask, kT0).frames.size();
    EXPECT_EQ(sent, 5U);
    EXPECT_GT(limited.counters().limited, 0U);
}

TEST_F(EngineTest, WhenTheLinkGoesWhatWasLearnedGoesAndWhatIsUsedComesBack)
{
    engine.set_in_use(kEth0, kPeer4, true, kT0);
    reply(kPeer4, kA, kT0);
    engine.on_miss(kEth0, kPeer6, kT0);
    advertise(kA, true, true, kT0);
    Link down = link();
    down.up = false;
    EXPECT_EQ(engine.set_link(down, kT0).events.size(), 2U);
    EXPECT_EQ(engine.find(kEth0, kPeer4), std::nullopt);
    EXPECT_TRUE(engine.on_time(kT0 + 1h).frames.empty());
    const Output up = engine.set_link(link(), kT0 + 2h);
    std::size_t asked = 0;
    for (const Frame& f : up.frames)
        if (const auto m = message(f); const auto* arp = std::get_if<Arp>(&m.body)) asked += arp->target == kPeer4.v4();
    EXPECT_EQ(asked, 1U);
}

TEST_F(EngineTest, AStaticEntryIsNeitherLearnedNorForgotten)
{
    EXPECT_EQ(engine.set_static(kEth0, kPeer4, kB, kT0).events.at(0).change, Change::Resolved);
    EXPECT_TRUE(request(kPeer4, kA, "10.0.0.1", kT0).events.empty());
    EXPECT_EQ(engine.find(kEth0, kPeer4), kB);
    EXPECT_EQ(engine.next_deadline(), kNever);
    engine.clear(std::nullopt, Family::Ipv4, kT0);
    EXPECT_EQ(known(), 1U);
    EXPECT_EQ(engine.remove_static(kEth0, kPeer4, kT0).events.at(0).change, Change::Expired);
    EXPECT_EQ(known(), 0U);
}

TEST_F(EngineTest, ClearForgetsWhatWasLearned)
{
    request(kPeer4, kA, "10.0.0.1", kT0);
    EXPECT_EQ(engine.clear(kEth0, Family::Ipv4, kT0).events.at(0).change, Change::Expired);
    EXPECT_EQ(known(), 0U);
}

struct UnnumberedTest : EngineTest {
    const Ipv6Address kTheirs = *Ipv6Address::parse("fe80::a");

    static Link unnumbered()
    {
        Link l = link();
        l.addresses = {{link_local(kOurs), 64}};
        l.advertise_router = true;
        return l;
    }
    Output hear(const Ipv6Address& from, const MacAddress& mac, std::uint16_t lifetime, TimePoint now)
    {
        const RouterAdvertisement ra{from, *Ipv6Address::parse("ff02::1"), 64, 0, lifetime, mac};
        return engine.on_frame(kEth0, encode(multicast_mac(ra.destination), mac, ra), now);
    }
    static std::vector<RouterAdvertisement> advertised(const Output& out)
    {
        std::vector<RouterAdvertisement> all;
        for (const auto& f : out.frames) {
            const auto m = message(f);
            if (const auto* ra = std::get_if<RouterAdvertisement>(&m.body)) all.push_back(*ra);
        }
        return all;
    }
};

TEST_F(UnnumberedTest, AdvertisesItselfThreeTimesQuicklyThenEveryTenSeconds)
{
    const auto first = advertised(engine.set_link(unnumbered(), kT0));
    ASSERT_EQ(first.size(), 1U);
    EXPECT_EQ(first[0], (RouterAdvertisement{link_local(kOurs), *Ipv6Address::parse("ff02::1"), 64, 0, 30, kOurs}));
    std::vector<Duration> at;
    for (auto t = 100ms; t <= 30s; t += 100ms)
        if (!advertised(engine.on_time(kT0 + t)).empty()) at.push_back(t);
    EXPECT_EQ(at, (std::vector<Duration>{3s, 6s, 16s, 26s}));
}

TEST_F(UnnumberedTest, SaysGoodbyeWhenTheStatementGoes)
{
    engine.set_link(unnumbered(), kT0);
    Link numbered = unnumbered();
    numbered.advertise_router = false;
    const auto last = advertised(engine.set_link(numbered, kT0 + 1s));
    ASSERT_EQ(last.size(), 1U);
    EXPECT_EQ(last[0].lifetime, 0);
    EXPECT_EQ(engine.next_deadline(), kNever);
}

TEST_F(UnnumberedTest, LearnsTheRouterAtTheFarEnd)
{
    engine.set_link(unnumbered(), kT0);
    const auto out = hear(kTheirs, kA, 30, kT0 + 1s);
    EXPECT_EQ(out.routers, std::vector{kEth0});
    EXPECT_EQ(engine.router(kEth0), kTheirs);
    EXPECT_EQ(engine.find(kEth0, kTheirs), kA) << "from the source link-layer address option";
    EXPECT_TRUE(hear(kTheirs, kA, 30, kT0 + 2s).routers.empty()) << "once";
}

TEST_F(UnnumberedTest, AnotherRouterComesWhenTheFirstHasGoneSilent)
{
    const auto other = *Ipv6Address::parse("fe80::b");
    engine.set_link(unnumbered(), kT0);
    hear(kTheirs, kA, 30, kT0);
    EXPECT_TRUE(hear(other, kB, 30, kT0 + 29s).routers.empty());
    EXPECT_EQ(engine.router(kEth0), kTheirs);
    EXPECT_EQ(hear(other, kB, 30, kT0 + 30s).routers, std::vector{kEth0});
    EXPECT_EQ(engine.router(kEth0), other);
}

TEST_F(UnnumberedTest, ForgetsTheRouterWithTheLink)
{
    engine.set_link(unnumbered(), kT0);
    hear(kTheirs, kA, 30, kT0);
    Link down = unnumbered();
    down.up = false;
    EXPECT_EQ(engine.set_link(down, kT0 + 1s).routers, std::vector{kEth0});
    EXPECT_EQ(engine.router(kEth0), std::nullopt);
    EXPECT_EQ(advertised(engine.set_link(unnumbered(), kT0 + 2s)).size(), 1U);
}

TEST_F(UnnumberedTest, NumberedLinksNeitherAdvertiseNorListen)
{
    EXPECT_TRUE(hear(kTheirs, kA, 30, kT0).routers.empty());
    EXPECT_EQ(engine.router(kEth0), std::nullopt);
    EXPECT_EQ(engine.counters().not_for_us, 1U);
}

TEST_F(UnnumberedTest, AnswersASolicitationNoSoonerThanThreeSecondsAfterTheLast)
{
    engine.set_link(unnumbered(), kT0);
    for (const auto t : {3s, 6s}) engine.on_time(kT0 + t);
    const RouterSolicitation rs{kTheirs, *Ipv6Address::parse("ff02::2"), kA};
    engine.on_frame(kEth0, encode(multicast_mac(rs.destination), kA, rs), kT0 + 7s);
    EXPECT_EQ(engine.next_deadline(), kT0 + 9s);
    engine.on_time(kT0 + 9s);
    engine.on_frame(kEth0, encode(multicast_mac(rs.destination), kA, rs), kT0 + 13s);
    EXPECT_EQ(advertised(engine.on_time(kT0 + 13s)).size(), 1U);
}

TEST_F(UnnumberedTest, BelievesNoRouterThatHasOurAddress)
{
    engine.set_link(unnumbered(), kT0);
    EXPECT_TRUE(hear(link_local(kOurs), kA, 30, kT0).routers.empty());
    EXPECT_EQ(engine.counters().duplicate, 1U);
}

}  // namespace
}  // namespace culvert::neighbor
