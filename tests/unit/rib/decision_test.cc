#include "controlplane/rib/decision.h"

#include <gtest/gtest.h>

#include <array>

namespace culvert::rib {
namespace {

const IpAddress kLow = Ipv4Address{0x0a000001}, kHigh = Ipv4Address{0x0a000002};

// Two external paths that differ in nothing but the neighbour.
struct Pair {
    Candidate a, b;
    RibConfig config;

    Pair()
    {
        a.external = b.external = true;
        a.local_pref = b.local_pref = 100;
        a.path_length = b.path_length = 3;
        a.neighbor_as = b.neighbor_as = a.peer_as = b.peer_as = Asn{65001};
        a.router_id = b.router_id = {1};
        a.neighbor = &kLow;
        b.neighbor = &kHigh;
    }
    // The first is better for this reason, and the other way round.
    void expect(Reason reason) const
    {
        EXPECT_LT(compare(a, b, config).order, 0);
        EXPECT_GT(compare(b, a, config).order, 0);
        EXPECT_EQ(compare(a, b, config).reason, reason);
    }
};

TEST(Decision, HigherWeight)
{
    Pair p;
    p.a.weight = 1;
    p.b.local_pref = 200;
    p.expect(Reason::Weight);
}

TEST(Decision, HigherLocalPreference)
{
    Pair p;
    p.a.local_pref = 101;
    p.b.local = true;
    p.expect(Reason::LocalPref);
}

TEST(Decision, OwnBeforeLearned)
{
    Pair p;
    p.a.local = true;
    p.a.external = false;
    p.b.path_length = 0;
    p.expect(Reason::LocalRoute);
}

TEST(Decision, ShorterAsPathUnlessIgnored)
{
    Pair p;
    p.a.path_length = 2;
    p.b.origin = bgp::Origin::Igp;
    p.expect(Reason::AsPath);
    p.config.as_path_ignore = true;
    EXPECT_EQ(compare(p.a, p.b, p.config).reason, Reason::Origin);
}

TEST(Decision, LowerOrigin)
{
    Pair p;
    p.a.origin = bgp::Origin::Igp;
    p.b.origin = bgp::Origin::Egp;
    p.a.med = 9;
    p.expect(Reason::Origin);
}

TEST(Decision, LowerMedOfTheSameNeighbouringAsOnly)
{
    Pair p;
    p.a.med = 1;
    p.b.med = 2;
    p.b.igp_metric = 0;
    p.a.igp_metric = 5;
    p.expect(Reason::Med);
    p.b.neighbor_as = Asn{65002};
    EXPECT_EQ(compare(p.a, p.b, p.config).reason, Reason::IgpMetric);
    p.config.always_compare_med = true;
    p.expect(Reason::Med);
}

TEST(Decision, ExternalBeforeInternal)
{
    Pair p;
    p.b.external = false;
    p.a.igp_metric = 100;
    p.expect(Reason::PeerType);
}

TEST(Decision, LowerIgpMetric)
{
    Pair p;
    p.b.igp_metric = 1;
    p.b.current = true;
    p.expect(Reason::IgpMetric);
}

TEST(Decision, TheOlderOfExternalOnesUnlessRouterIdsAreCompared)
{
    Pair p;
    p.a.current = true;
    p.a.router_id = {2};
    p.expect(Reason::OlderPath);
    p.config.compare_routerid = true;
    EXPECT_GT(compare(p.a, p.b, p.config).order, 0);
    EXPECT_EQ(compare(p.a, p.b, p.config).reason, Reason::RouterId);
}

TEST(Decision, InternalPathsAreNotComparedByAge)
{
    Pair p;
    p.a.external = p.b.external = false;
    p.b.current = true;
    p.b.router_id = {2};
    p.expect(Reason::RouterId);
}

TEST(Decision, ShorterClusterList)
{
    Pair p;
    p.b.cluster_length = 1;
    p.a.neighbor = &kHigh;
    p.b.neighbor = &kLow;
    p.expect(Reason::ClusterLength);
}

TEST(Decision, LowerNeighbourAddress)
{
    Pair p;
    p.expect(Reason::NeighborIp);
}

TEST(Decision, OwnOnesBySource)
{
    Pair p;
    p.a.local = p.b.local = true;
    p.a.external = p.b.external = false;
    p.b.local_source = 1;
    p.expect(Reason::LocalConfigured);
}

TEST(Decision, EqualCostNeedsTheSameNeighbouringAsOrRelax)
{
    Pair p;
    EXPECT_TRUE(compare(p.a, p.b, p.config).equal_cost);
    p.b.peer_as = p.b.neighbor_as = Asn{65002};
    EXPECT_FALSE(compare(p.a, p.b, p.config).equal_cost);
    p.config.multipath_relax = true;
    EXPECT_TRUE(compare(p.a, p.b, p.config).equal_cost);
    p.b.igp_metric = 1;
    EXPECT_FALSE(compare(p.a, p.b, p.config).equal_cost);
}

TEST(Decision, InternalEqualCostNeedsTheSamePath)
{
    Pair p;
    p.a.external = p.b.external = false;
    p.a.as_path_hash = p.b.as_path_hash = 1;
    EXPECT_TRUE(compare(p.a, p.b, p.config).equal_cost);
    p.b.as_path_hash = 2;
    EXPECT_FALSE(compare(p.a, p.b, p.config).equal_cost);
}

// The classic: with MEDs of two neighbouring ASes, a walk through the list depends on its order.
TEST(Decision, DeterministicMedDoesNotDependOnTheOrder)
{
    std::array<Candidate, 3> c;
    for (std::size_t i = 0; i < 3; ++i) {
        c[i].external = true;
        c[i].local_pref = 100;
        c[i].path = static_cast<std::uint32_t>(i + 1);
        c[i].neighbor = &kLow;
        c[i].router_id = {static_cast<std::uint32_t>(i + 1)};
    }
    c[0].neighbor_as = Asn{1};
    c[0].med = 20;
    c[0].router_id = {1};
    c[1].neighbor_as = Asn{2};
    c[1].router_id = {2};
    c[2].neighbor_as = Asn{1};
    c[2].med = 10;
    c[2].router_id = {3};
    RibConfig config;
    std::array<std::size_t, 3> order{0, 1, 2};
    do {
        const std::array shuffled{c[order[0]], c[order[1]], c[order[2]]};
        EXPECT_EQ(shuffled[choose(shuffled, config).best].path, 2U);
    } while (std::next_permutation(order.begin(), order.end()));
}

TEST(Decision, TheReasonIsWhyBestBeatsSecond)
{
    std::array<Candidate, 3> c;
    for (auto& x : c) {
        x.external = true;
        x.neighbor = &kLow;
    }
    c[0].local_pref = 100;
    c[1].local_pref = 200;
    c[1].path_length = 4;
    c[2].local_pref = 200;
    c[2].path_length = 3;
    const auto choice = choose(c, {});
    EXPECT_EQ(choice.best, 2U);
    EXPECT_EQ(choice.second, 1U);
    EXPECT_EQ(choice.reason, Reason::AsPath);
}

TEST(Decision, ReasonsReadAsFrrs)
{
    EXPECT_EQ(to_string(Reason::FirstPath), "First path received");
    EXPECT_EQ(to_string(Reason::LocalPref), "Local Pref");
    EXPECT_EQ(to_string(Reason::NothingLeft), "Nothing left to compare");
}

}  // namespace
}  // namespace culvert::rib
