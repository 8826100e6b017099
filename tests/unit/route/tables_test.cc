#include "controlplane/route/tables.h"

#include "controlplane/route/interfaces.h"
#include "controlplane/route/table_walk.h"
#include "dataplane/api/link_scope.h"

#include <gtest/gtest.h>

namespace culvert::route {
namespace {

constexpr VrfId kVrf{0};
constexpr InterfaceId kEth0{1};
constexpr InterfaceId kEth1{2};
constexpr InterfaceId kLo{3};

IpPrefix prefix(const char* text) { return *IpPrefix::parse(text); }
IpAddress address(const char* text) { return *IpAddress::parse(text); }
Nexthop via(const char* gateway) { return {NexthopType::Gateway, kNoInterface, kVrf, address(gateway), 1}; }

Route bgp(std::vector<Nexthop> nexthops, std::uint8_t distance = 20, std::uint32_t metric = 0)
{
    return {Source::Bgp, distance, metric, 0, std::move(nexthops), {}};
}
Route fixed(std::vector<Nexthop> nexthops, std::uint8_t distance = 1)
{
    return {Source::Static, distance, 0, 0, std::move(nexthops), {}};
}

struct TablesTest : testing::Test {
    Tables tables;
    Interfaces interfaces{tables};

    void SetUp() override
    {
        up(kEth0, {"10.0.0.1/24", "2001:db8::1/64", "fe80::1/64"});
        drain();
    }
    void up(InterfaceId id, std::vector<const char*> addresses, bool is_up = true,
            api::InterfaceKind kind = api::InterfaceKind::Port)
    {
        Interface i{id, kVrf, kind, is_up, {}};
        for (const char* a : addresses) i.addresses.push_back(*InterfaceAddress::parse(a));
        interfaces.set(i);
    }
    std::vector<Change> drain()
    {
        std::vector<Change> changes;
        for (Change c; tables.next_change(c);)
            if (c.before != c.after) changes.push_back(c);
        return changes;
    }
    std::vector<Event> events(ClientId client)
    {
        while (tables.settle()) {}
        std::vector<Event> all;
        for (Event e; tables.next_event(client, e);) all.push_back(std::move(e));
        return all;
    }
    std::optional<Resolution> last_word(ClientId client)
    {
        std::optional<Resolution> last;
        for (const Event& e : events(client))
            if (const auto* t = std::get_if<TrackingEvent>(&e)) last = t->resolution;
        return last;
    }
    Source best(const char* p) { return tables.find(kVrf, prefix(p))->routes.front().source; }
};

TEST_F(TablesTest, TheLowestDistanceIsTheBestAndTheNextTakesOver)
{
    const IpPrefix p = prefix("192.0.2.0/24");
    tables.set(kVrf, p, bgp({via("10.0.0.2")}));
    tables.set(kVrf, p, fixed({via("10.0.0.3")}, 250));
    EXPECT_EQ(best("192.0.2.0/24"), Source::Bgp);
    tables.set(kVrf, p, fixed({via("10.0.0.3")}, 1));
    EXPECT_EQ(best("192.0.2.0/24"), Source::Static);
    const auto changes = drain();
    ASSERT_EQ(changes.size(), 1U) << "several changes of a prefix are one";
    EXPECT_EQ(changes[0].before, kNoSet);
    EXPECT_EQ(tables.nexthop_set(changes[0].after).nexthops, std::vector{via("10.0.0.3")});

    tables.remove(kVrf, p, Source::Static);
    EXPECT_EQ(best("192.0.2.0/24"), Source::Bgp);
    tables.remove(kVrf, p, Source::Bgp);
    EXPECT_EQ(tables.find(kVrf, p), std::nullopt);
    const auto last = drain();
    ASSERT_EQ(last.size(), 1U);
    EXPECT_EQ(last[0].after, kNoSet);
    EXPECT_EQ(tables.prefixes(kVrf, Family::Ipv4), 2U) << "only the connected and the local route are left";
}

TEST_F(TablesTest, Distance255IsNeverUsed)
{
    tables.set(kVrf, prefix("192.0.2.0/24"), fixed({via("10.0.0.2")}, 255));
    EXPECT_TRUE(drain().empty());
    EXPECT_EQ(tables.lookup(kVrf, address("192.0.2.1")), std::nullopt);
}

TEST_F(TablesTest, AChangeThatIsTakenBackBeforeItWasTakenOutIsNone)
{
    tables.set(kVrf, prefix("192.0.2.0/24"), bgp({via("10.0.0.2")}));
    tables.remove(kVrf, prefix("192.0.2.0/24"), Source::Bgp);
    EXPECT_TRUE(drain().empty());
    EXPECT_EQ(tables.changes_waiting(), 0U);
    EXPECT_EQ(tables.prefixes(kVrf, Family::Ipv4), 2U);
}

TEST_F(TablesTest, AChangeOfTheMetricAloneIsNothingForTheDataplane)
{
    tables.set(kVrf, prefix("192.0.2.0/24"), bgp({via("10.0.0.2")}, 20, 5));
    drain();
    tables.set(kVrf, prefix("192.0.2.0/24"), bgp({via("10.0.0.2")}, 20, 6));
    EXPECT_TRUE(drain().empty());
    EXPECT_EQ(tables.find(kVrf, prefix("192.0.2.0/24"))->routes[0].metric, 6U);
}

TEST_F(TablesTest, InterfacesGiveConnectedAndLocalRoutesWhileUp)
{
    EXPECT_EQ(best("10.0.0.0/24"), Source::Connected);
    EXPECT_EQ(best("10.0.0.1/32"), Source::Local);
    EXPECT_EQ(best("2001:db8::/64"), Source::Connected);
    const auto link = api::link_vrf(kEth0);
    EXPECT_EQ(tables.find(kVrf, prefix("fe80::1/128")), std::nullopt) << "each link has its own";
    EXPECT_EQ(tables.find(kVrf, prefix("fe80::/64")), std::nullopt);
    EXPECT_EQ(tables.find(link, prefix("fe80::1/128"))->routes[0].source, Source::Local);
    EXPECT_EQ(tables.find(link, prefix("fe80::/64"))->routes[0].source, Source::Connected);
    EXPECT_TRUE(tables.resolve(link, address("fe80::2")).direct);
    EXPECT_FALSE(tables.resolve(kVrf, address("fe80::2")).reachable);
    EXPECT_TRUE(interfaces.is_own(kVrf, address("10.0.0.1")));
    up(kEth0, {"10.0.0.1/24", "2001:db8::1/64", "fe80::1/64"}, false);
    EXPECT_EQ(tables.prefixes(kVrf, Family::Ipv4), 2U) << "kept until the change was taken out";
    drain();
    EXPECT_EQ(tables.prefixes(kVrf, Family::Ipv4), 0U);
    EXPECT_EQ(tables.prefixes(kVrf, Family::Ipv6), 0U);
    EXPECT_FALSE(interfaces.is_own(kVrf, address("10.0.0.1")));
}

TEST_F(TablesTest, AHostAddressIsOneConnectedRouteToThisRouter)
{
    up(kLo, {"10.255.0.9/32"}, true, api::InterfaceKind::Loopback);
    const auto entry = tables.find(kVrf, prefix("10.255.0.9/32"));
    EXPECT_EQ(entry->routes[0].source, Source::Connected);
    EXPECT_EQ(entry->routes[0].set->nexthops[0].type, NexthopType::Host);
}

TEST_F(TablesTest, ASubnetOnTwoInterfacesStaysWhenOneGoes)
{
    up(kEth1, {"10.0.0.2/24"});
    EXPECT_EQ(tables.find(kVrf, prefix("10.0.0.0/24"))->routes[0].set->nexthops.size(), 2U);
    interfaces.remove(kEth0);
    const auto entry = tables.find(kVrf, prefix("10.0.0.0/24"));
    ASSERT_EQ(entry->routes[0].set->nexthops.size(), 1U);
    EXPECT_EQ(entry->routes[0].set->nexthops[0].interface, kEth1);
}

TEST_F(TablesTest, TrackingFollowsTheRouteThatResolvesAnAddress)
{
    const ClientId c = tables.add_client();
    tables.track(c, kVrf, address("10.255.0.9"));
    EXPECT_FALSE(last_word(c)->reachable);
    tables.set(kVrf, prefix("10.255.0.0/16"), bgp({via("10.0.0.2")}, 200, 30));
    auto r = last_word(c);
    ASSERT_TRUE(r && r->reachable);
    EXPECT_FALSE(r->direct);
    EXPECT_EQ(r->metric, 30U);
    EXPECT_EQ(r->recursion, 1);
    EXPECT_EQ(r->nexthops[0].interface, kEth0);
    EXPECT_EQ(r->nexthops[0].gateway, address("10.0.0.2"));

    tables.set(kVrf, prefix("10.255.0.9/32"), fixed({{NexthopType::Attached, kEth0, kVrf, {}, 1}}));
    r = last_word(c);
    ASSERT_TRUE(r && r->direct);
    EXPECT_EQ(r->prefix, prefix("10.255.0.9/32"));
    tables.remove(kVrf, prefix("10.255.0.9/32"), Source::Static);
    EXPECT_EQ(last_word(c)->prefix, prefix("10.255.0.0/16"));

    tables.set(kVrf, prefix("172.16.0.0/12"), bgp({via("10.0.0.2")}));
    EXPECT_FALSE(tables.unsettled()) << "an unrelated change touches nothing";
    up(kEth0, {"10.0.0.1/24"}, false);
    EXPECT_FALSE(last_word(c)->reachable) << "the inner gateway went";
    tables.untrack(c, kVrf, address("10.255.0.9"));
    while (tables.settle()) {}
    tables.walk_tracked(kVrf, [](const TrackingEvent&) { ADD_FAILURE(); });
    EXPECT_EQ(tables.resolution(kVrf, address("10.0.0.2")), nullptr) << "inner ones go with the outer";
}

TEST_F(TablesTest, TheDefaultRouteResolvesOnlyIfAsked)
{
    const ClientId c = tables.add_client();
    tables.set(kVrf, prefix("0.0.0.0/0"), fixed({via("10.0.0.2")}));
    tables.track(c, kVrf, address("203.0.113.1"));
    EXPECT_FALSE(last_word(c)->reachable);
    tables.set_resolve_via_default(true);
    EXPECT_TRUE(last_word(c)->reachable);
}

TEST_F(TablesTest, AnAddressDoesNotResolveThroughItself)
{
    const ClientId c = tables.add_client();
    tables.track(c, kVrf, address("192.0.2.1"));
    tables.set(kVrf, prefix("192.0.2.0/24"), bgp({via("192.0.2.1")}));
    EXPECT_FALSE(last_word(c)->reachable);
    tables.set(kVrf, prefix("192.0.0.0/16"), fixed({via("10.0.0.2")}));
    const auto r = last_word(c);
    ASSERT_TRUE(r && r->reachable);
    EXPECT_EQ(r->prefix, prefix("192.0.0.0/16")) << "the shorter route counts";
}

TEST_F(TablesTest, RoutesThatRunInACircleResolveNothing)
{
    const ClientId c = tables.add_client();
    tables.set(kVrf, prefix("20.0.0.0/8"), bgp({via("30.0.0.1")}));
    tables.set(kVrf, prefix("30.0.0.0/8"), bgp({via("20.0.0.1")}));
    tables.track(c, kVrf, address("20.0.0.1"));
    tables.track(c, kVrf, address("30.0.0.1"));
    for (int i = 0; i < 100 && tables.settle(); ++i) {}
    EXPECT_FALSE(tables.unsettled()) << "it must come to rest";
    EXPECT_FALSE(tables.resolution(kVrf, address("20.0.0.1"))->reachable);
    EXPECT_FALSE(tables.resolution(kVrf, address("30.0.0.1"))->reachable);
    // One of them gets firm ground.
    tables.set(kVrf, prefix("30.0.0.1/32"), fixed({via("10.0.0.2")}));
    for (int i = 0; i < 100 && tables.settle(); ++i) {}
    EXPECT_EQ(tables.resolution(kVrf, address("30.0.0.1"))->recursion, 1);
    EXPECT_EQ(tables.resolution(kVrf, address("20.0.0.1"))->recursion, 2);
    // And loses it again.
    tables.remove(kVrf, prefix("30.0.0.1/32"), Source::Static);
    for (int i = 0; i < 100 && tables.settle(); ++i) {}
    EXPECT_FALSE(tables.unsettled());
    EXPECT_FALSE(tables.resolution(kVrf, address("20.0.0.1"))->reachable);
    tables.untrack(c, kVrf, address("20.0.0.1"));
    tables.untrack(c, kVrf, address("30.0.0.1"));
}

TEST_F(TablesTest, RecursionHasAnEnd)
{
    tables.set(kVrf, prefix("20.0.0.0/8"), bgp({via("10.0.0.2")}));
    tables.set(kVrf, prefix("30.0.0.0/8"), bgp({via("20.0.0.1")}));
    tables.set(kVrf, prefix("40.0.0.0/8"), bgp({via("30.0.0.1")}));
    EXPECT_EQ(tables.resolve(kVrf, address("20.0.0.1")).recursion, 1);
    EXPECT_EQ(tables.resolve(kVrf, address("30.0.0.1")).recursion, 2);
    EXPECT_STREQ(tables.resolve(kVrf, address("40.0.0.1")).reason, "too many routes on the way");
}

TEST_F(TablesTest, ConnectedOnlyWantsADirectNeighbour)
{
    const ClientId c = tables.add_client();
    tables.set(kVrf, prefix("20.0.0.0/8"), fixed({via("10.0.0.2")}));
    tables.track(c, kVrf, address("20.0.0.1"), true);
    EXPECT_STREQ(last_word(c)->reason, "not directly connected");
    tables.track(c, kVrf, address("10.0.0.2"), true);
    EXPECT_TRUE(last_word(c)->direct);
}

TEST_F(TablesTest, ALinkLocalAddressIsReachedOnItsInterface)
{
    const ClientId c = tables.add_client();
    tables.track(c, kVrf, address("fe80::2"), true, kEth0);
    EXPECT_TRUE(last_word(c)->direct);
    up(kEth0, {"fe80::1/64"}, false);
    EXPECT_FALSE(last_word(c)->reachable);
}

TEST_F(TablesTest, ABlackholeResolves)
{
    tables.set(kVrf, prefix("192.0.2.1/32"), fixed({{NexthopType::Blackhole, kNoInterface, kVrf, {}, 1}}));
    const Resolution r = tables.resolve(kVrf, address("192.0.2.1"));
    ASSERT_TRUE(r.reachable);
    EXPECT_EQ(r.nexthops[0].type, NexthopType::Blackhole);
}

TEST_F(TablesTest, RedistributionTellsBestRoutesOfASource)
{
    const ClientId c = tables.add_client();
    tables.redistribute(c, kVrf, Family::Ipv4, Source::Connected);
    tables.redistribute(c, kVrf, Family::Ipv4, Source::Static);
    auto now = events(c);
    ASSERT_EQ(now.size(), 1U);
    EXPECT_EQ(std::get<RedistributeEvent>(now[0]).prefix, prefix("10.0.0.0/24"));
    tables.set(kVrf, prefix("192.0.2.0/24"), fixed({via("10.0.0.2")}, 5));
    tables.set(kVrf, prefix("192.0.2.0/24"), bgp({via("10.0.0.2")}, 20));
    EXPECT_EQ(events(c).size(), 1U);
    tables.set(kVrf, prefix("192.0.2.0/24"), fixed({via("10.0.0.2")}, 50));
    now = events(c);
    ASSERT_EQ(now.size(), 1U);
    EXPECT_FALSE(std::get<RedistributeEvent>(now[0]).present) << "BGP's is the best now";
    tables.stop_redistribute(c, kVrf, Family::Ipv4, Source::Static);
    tables.remove(kVrf, prefix("192.0.2.0/24"), Source::Bgp);
    EXPECT_TRUE(events(c).empty());
}

TEST_F(TablesTest, AWatchedPrefixIsPresentWhileARouteOtherThanBgpsIs)
{
    const ClientId c = tables.add_client();
    tables.watch_prefix(c, kVrf, prefix("192.0.2.0/24"));
    EXPECT_FALSE(std::get<PresenceEvent>(events(c).at(0)).present);
    tables.set(kVrf, prefix("192.0.2.0/24"), bgp({via("10.0.0.2")}));
    EXPECT_TRUE(events(c).empty());
    tables.set(kVrf, prefix("192.0.2.0/24"), fixed({via("10.0.0.2")}));
    EXPECT_TRUE(std::get<PresenceEvent>(events(c).at(0)).present);
    tables.remove(kVrf, prefix("192.0.2.0/24"), Source::Static);
    EXPECT_FALSE(std::get<PresenceEvent>(events(c).at(0)).present);
}

TEST_F(TablesTest, LookupCanLeaveOutBgpAndTheDefault)
{
    tables.set(kVrf, prefix("0.0.0.0/0"), fixed({via("10.0.0.2")}));
    tables.set(kVrf, prefix("20.0.0.0/8"), bgp({via("10.0.0.2")}));
    EXPECT_EQ(tables.lookup(kVrf, address("20.0.0.1"))->prefix, prefix("20.0.0.0/8"));
    EXPECT_EQ(tables.lookup(kVrf, address("20.0.0.1"), {.exclude_bgp = true})->prefix, prefix("0.0.0.0/0"));
    EXPECT_EQ(tables.lookup(kVrf, address("20.0.0.1"), {.exclude_bgp = true, .exclude_default = true}), std::nullopt);
}

TEST_F(TablesTest, AWalkSeesEveryEntryWhateverChangesOnItsWay)
{
    for (std::uint32_t i = 0; i < 1000; ++i)
        tables.set(kVrf, IpPrefix::make(Ipv4Address{(20U << 24) | i << 8}, 24), bgp({via("10.0.0.2")}));
    std::vector<IpPrefix> seen;
    TableWalk walk{tables, kVrf, IpPrefix{Ipv4Address{}, 0}};
    EXPECT_FALSE(walk.prepare());
    while (const auto entry = walk.next()) {
        seen.push_back(entry->prefix);
        tables.remove(kVrf, entry->prefix, Source::Bgp);
        if (entry->prefix.length == 24 && seen.size() % 100 == 0) drain();
    }
    EXPECT_EQ(seen.size(), 1002U);
    EXPECT_TRUE(std::is_sorted(seen.begin(), seen.end()));
}

TEST_F(TablesTest, ClearRemovesEverySourcesRoutes)
{
    tables.set(kVrf, prefix("20.0.0.0/8"), bgp({via("10.0.0.2")}));
    tables.set(kVrf, prefix("20.0.0.0/8"), fixed({via("10.0.0.2")}));
    drain();
    tables.clear(kVrf);
    tables.clear(api::link_vrf(kEth0));
    for (const Change& c : drain()) EXPECT_EQ(c.after, kNoSet);
    EXPECT_EQ(tables.prefixes(kVrf, Family::Ipv4), 0U);
    EXPECT_EQ(tables.octets(), 0U);
}

}  // namespace
}  // namespace culvert::route
