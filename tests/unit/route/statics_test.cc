#include "controlplane/route/statics.h"

#include <gtest/gtest.h>

namespace culvert::route {
namespace {

constexpr VrfId kVrf{0};
constexpr VrfId kRed{5};
constexpr InterfaceId kEth0{1};
constexpr InterfaceId kWg0{2};

IpPrefix prefix(const char* text) { return *IpPrefix::parse(text); }
IpAddress address(const char* text) { return *IpAddress::parse(text); }

struct StaticsTest : testing::Test {
    Tables tables;
    Interfaces interfaces{tables};
    Statics statics{tables, interfaces};

    void SetUp() override { eth0(true); }
    void eth0(bool up)
    {
        interfaces.set({kEth0, kVrf, api::InterfaceKind::Port, up, {*InterfaceAddress::parse("10.0.0.1/24")}});
        statics.on_interface(kEth0);
        settle();
    }
    void settle()
    {
        for (int i = 0; i < 20; ++i) {
            const bool more = tables.settle();
            if (!statics.run() && !more) return;
        }
        ADD_FAILURE() << "does not come to rest";
    }
    StaticRoute route(const char* p, const char* gateway, std::uint8_t distance = 1)
    {
        StaticRoute r;
        r.prefix = prefix(p);
        if (gateway != nullptr) r.gateway = address(gateway);
        r.distance = distance;
        return r;
    }
    std::vector<Nexthop> best(const char* p)
    {
        const auto entry = tables.find(kVrf, prefix(p));
        return entry ? entry->routes[0].set->nexthops : std::vector<Nexthop>{};
    }
};

TEST_F(StaticsTest, GatewaysShareByTheirWeights)
{
    auto heavy = route("192.0.2.0/24", "10.0.0.2");
    heavy.weight = 3;
    statics.add(heavy);
    statics.add(route("192.0.2.0/24", "10.0.0.3"));
    settle();
    ASSERT_EQ(best("192.0.2.0/24").size(), 2U);
    EXPECT_EQ(best("192.0.2.0/24")[0].weight, 3);
    EXPECT_EQ(best("192.0.2.0/24")[1].weight, 1);

    // Another weight: the new statement comes, then the old one goes. There is a route all the while.
    auto heavier = heavy;
    heavier.weight = 200;
    statics.add(heavier);
    statics.remove(heavy);
    ASSERT_EQ(best("192.0.2.0/24").size(), 2U);
    EXPECT_EQ(best("192.0.2.0/24")[0].weight, 200);
}

TEST_F(StaticsTest, ARouteIsActiveWhileItsGatewayResolves)
{
    statics.add(route("192.0.2.0/24", "10.0.0.2"));
    settle();
    ASSERT_EQ(best("192.0.2.0/24").size(), 1U);
    eth0(false);
    EXPECT_TRUE(best("192.0.2.0/24").empty());
    EXPECT_FALSE(statics.view(kVrf)[0].active);
    eth0(true);
    EXPECT_EQ(best("192.0.2.0/24").size(), 1U);
    statics.remove(route("192.0.2.0/24", "10.0.0.2"));
    EXPECT_TRUE(best("192.0.2.0/24").empty());
    EXPECT_TRUE(statics.view(kVrf).empty());
}

TEST_F(StaticsTest, AFloatingRouteTakesOver)
{
    StaticRoute drop = route("192.0.2.0/24", nullptr, 250);
    drop.drop = StaticRoute::Drop::Blackhole;
    statics.add(drop);
    statics.add(route("192.0.2.0/24", "10.0.0.2"));
    settle();
    EXPECT_EQ(best("192.0.2.0/24")[0].type, NexthopType::Gateway);
    eth0(false);
    EXPECT_EQ(best("192.0.2.0/24")[0].type, NexthopType::Blackhole);
}

TEST_F(StaticsTest, EqualDistancesShare)
{
    statics.add(route("192.0.2.0/24", "10.0.0.2"));
    statics.add(route("192.0.2.0/24", "10.0.0.3"));
    statics.add(route("192.0.2.0/24", "10.0.0.3"));
    statics.add(route("192.0.2.0/24", "172.16.0.1"));
    settle();
    EXPECT_EQ(best("192.0.2.0/24").size(), 2U) << "the third has no route";
}

TEST_F(StaticsTest, AGatewayInsideItsOwnRouteDoesNotFlap)
{
    statics.add(route("20.0.0.0/8", "10.0.0.2"));
    statics.add(route("20.0.0.0/8", "20.0.0.1"));
    settle();
    EXPECT_EQ(best("20.0.0.0/8").size(), 1U);
    EXPECT_STREQ(statics.view(kVrf)[1].reason, "it resolves only through itself");
}

TEST_F(StaticsTest, AnInterfaceRouteFollowsTheInterface)
{
    StaticRoute r = route("192.0.2.0/24", nullptr);
    r.interface = kEth0;
    statics.add(r);
    EXPECT_EQ(best("192.0.2.0/24")[0].type, NexthopType::Attached);
    eth0(false);
    EXPECT_TRUE(best("192.0.2.0/24").empty());
}

TEST_F(StaticsTest, AGatewayOnAPortMustBeInItsSubnetOnWireguardNot)
{
    StaticRoute r = route("192.0.2.0/24", "172.16.0.1");
    r.interface = kEth0;
    statics.add(r);
    EXPECT_STREQ(statics.view(kVrf)[0].reason, "the gateway is in no subnet of the interface");
    StaticRoute w = route("198.51.100.0/24", "172.16.0.1");
    w.interface = kWg0;
    statics.add(w);
    EXPECT_STREQ(statics.view(kVrf)[1].reason, "no such interface");
    interfaces.set({kWg0, kVrf, api::InterfaceKind::Wireguard, true, {*InterfaceAddress::parse("10.255.0.1/32")}});
    statics.on_interface(kWg0);
    EXPECT_EQ(best("198.51.100.0/24").size(), 1U);
}

TEST_F(StaticsTest, ALeakedRouteResolvesInTheOtherVrf)
{
    StaticRoute r = route("192.0.2.0/24", "10.0.0.2");
    r.vrf = kRed;
    r.nexthop_vrf = kVrf;
    statics.add(r);
    settle();
    const auto entry = tables.find(kRed, prefix("192.0.2.0/24"));
    ASSERT_TRUE(entry);
    EXPECT_EQ(entry->routes[0].set->nexthops[0].vrf, kVrf);
}

}  // namespace
}  // namespace culvert::route
