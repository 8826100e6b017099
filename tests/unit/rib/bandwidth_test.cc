#include "controlplane/rib/bandwidth.h"

#include "controlplane/bgp/link_bandwidth.h"
#include "tests/unit/rib/speaker.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace culvert::rib {
namespace {

constexpr auto kPrefix = "192.0.2.0/24";

struct Multipath {
    explicit Multipath(BandwidthUse use = {}) : s(config(use)) {}

    static RibConfig config(BandwidthUse use)
    {
        auto c = Speaker::open_config();
        c.bandwidth = use;
        return c;
    }
    // As neighbour N, all in one AS. 0: without the community.
    void announce(PeerHandle p, float rate, bool transitive = false)
    {
        auto a = s.from(p, {300});
        if (rate != 0) a.extended_communities = {bgp::to_extended_community({Asn{65001}, rate, transitive})};
        s.announce(p, kPrefix, a);
    }
    std::map<IpAddress, int> weights()
    {
        s.settle();
        return s.installed.at(prefix(kPrefix)).weights;
    }
    std::optional<bgp::LinkBandwidth> told(PeerHandle p)
    {
        const auto* sent = s.sent(p, kPrefix);
        return sent ? bgp::link_bandwidth(*sent) : std::nullopt;
    }

    Speaker s;
    PeerHandle a = s.peer(1, 65001), b = s.peer(2, 65001), c = s.peer(3, 65001);
    IpAddress at_a = address("10.0.0.1"), at_b = address("10.0.0.2"), at_c = address("10.0.0.3");
};

using Weights = std::map<IpAddress, int>;

TEST(RibBandwidth, MultipathsShareByIt)
{
    Multipath m;
    m.announce(m.a, 100);
    m.announce(m.b, 200);
    m.announce(m.c, 300);
    EXPECT_EQ(m.weights(), (Weights{{m.at_a, 1666}, {m.at_b, 3333}, {m.at_c, 5000}}));
    // A new rate of a path that isn't the best is news too.
    m.announce(m.c, 100);
    EXPECT_EQ(m.weights(), (Weights{{m.at_a, 2500}, {m.at_b, 5000}, {m.at_c, 2500}}));
    m.s.withdraw(m.b, kPrefix);
    EXPECT_EQ(m.weights(), (Weights{{m.at_a, 5000}, {m.at_c, 5000}}));
    m.s.withdraw(m.a, kPrefix);
    EXPECT_EQ(m.weights(), (Weights{{m.at_c, 1}}));
}

TEST(RibBandwidth, OnePathWithoutItMakesAllEqual)
{
    Multipath m;
    m.announce(m.a, 100);
    m.announce(m.b, 200);
    m.announce(m.c, 0);
    EXPECT_EQ(m.weights(), (Weights{{m.at_a, 1}, {m.at_b, 1}, {m.at_c, 1}}));
    for (const float silly : {std::nanf(""), std::numeric_limits<float>::infinity(), -200.0F}) {
        m.announce(m.c, silly);
        EXPECT_EQ(m.weights(), (Weights{{m.at_a, 1}, {m.at_b, 1}, {m.at_c, 1}})) << silly;
    }
}

TEST(RibBandwidth, TheKnobSaysWhatOfThoseWithout)
{
    Multipath m{BandwidthUse::SkipMissing};
    m.announce(m.a, 100);
    m.announce(m.b, 300);
    m.announce(m.c, 0);
    EXPECT_EQ(m.weights(), (Weights{{m.at_a, 2500}, {m.at_b, 7500}}));
    m.s.rib.configure(Multipath::config(BandwidthUse::DefaultWeightForMissing));
    EXPECT_EQ(m.weights(), (Weights{{m.at_a, 2500}, {m.at_b, 7500}, {m.at_c, 100}}));
    m.announce(m.c, 400);
    EXPECT_EQ(m.weights(), (Weights{{m.at_a, 1250}, {m.at_b, 3750}, {m.at_c, 5000}}));
    m.s.rib.configure(Multipath::config(BandwidthUse::Ignore));
    EXPECT_EQ(m.weights(), (Weights{{m.at_a, 1}, {m.at_b, 1}, {m.at_c, 1}}));
    m.s.rib.configure(Multipath::config(BandwidthUse::SkipMissing));
    for (const auto p : {m.a, m.b, m.c}) m.announce(p, 0);
    EXPECT_EQ(m.weights(), (Weights{{m.at_a, 1}, {m.at_b, 1}, {m.at_c, 1}})) << "nobody has one: nobody is skipped";
}

TEST(RibBandwidth, TwoPathsToOneNextHopCountOnce)
{
    Multipath m;
    const auto via = [&](PeerHandle p, float rate) {
        auto a = m.s.from(p, {300});
        a.next_hop = address("10.0.0.9");
        a.extended_communities = {bgp::to_extended_community({Asn{65001}, rate, false})};
        m.s.announce(p, kPrefix, a);
    };
    via(m.a, 100);
    via(m.b, 100);
    m.announce(m.c, 100);
    EXPECT_EQ(m.weights(), (Weights{{address("10.0.0.9"), 5000}, {m.at_c, 5000}}));
}

TEST(RibBandwidth, WhoTakesOurNextHopIsToldWhatAllPathsCarry)
{
    Multipath m;
    const auto outside = m.s.peer(4, 65004), inside = m.s.peer(5, 65000);
    PeerConfig self;
    self.families[0].next_hop_self = true;
    const auto inside_self = m.s.peer(6, 65000, self);
    m.announce(m.a, 100, true);
    m.announce(m.b, 200, true);
    EXPECT_EQ(m.told(outside), (bgp::LinkBandwidth{kOwnAs, 300, true}));
    EXPECT_EQ(m.told(inside_self), (bgp::LinkBandwidth{kOwnAs, 300, true}));
    EXPECT_EQ(m.told(inside)->octets_a_second, 100) << "the best path's own next hop: its own rate";
    // A path that isn't the best changes it.
    m.announce(m.b, 500, true);
    EXPECT_EQ(m.told(outside), (bgp::LinkBandwidth{kOwnAs, 600, true}));
    m.announce(m.b, std::numeric_limits<float>::max(), true);
    m.announce(m.a, std::numeric_limits<float>::max(), true);
    EXPECT_EQ(m.told(outside)->octets_a_second, std::numeric_limits<float>::max());
    m.announce(m.a, 100, true);
    m.announce(m.b, 0);
    EXPECT_EQ(m.told(outside), (bgp::LinkBandwidth{Asn{65001}, 100, true})) << "not shared by it: left as it is";
    m.s.withdraw(m.b, kPrefix);
    EXPECT_EQ(m.told(outside), (bgp::LinkBandwidth{Asn{65001}, 100, true}));
}

TEST(RibBandwidth, TheNonTransitiveOneStaysInTheAs)
{
    Multipath m;
    const auto outside = m.s.peer(4, 65004), inside = m.s.peer(5, 65000);
    m.announce(m.a, 100);
    m.announce(m.b, 200);
    ASSERT_TRUE(m.s.sent(outside, kPrefix));
    EXPECT_TRUE(m.s.sent(outside, kPrefix)->extended_communities.empty());
    EXPECT_EQ(m.told(inside), (bgp::LinkBandwidth{Asn{65001}, 100, false}));
}

TEST(RibBandwidth, WeightsOfManyPathsKeepTheirRatio)
{
    std::vector<Bandwidth> paths;
    for (int i = 0; i < 64; ++i) paths.push_back({i % 2 == 0 ? 2e6F : 3e6F});
    ASSERT_TRUE(by_bandwidth(paths, {}));
    const auto whole = cumulative(paths);
    const auto two = weight_of(paths[0], whole, {}), three = weight_of(paths[1], whole, {});
    EXPECT_NEAR(three / static_cast<double>(two), 1.5, 0.02);
    EXPECT_EQ(weight_of({1}, 1e30, {}), 1) << "never nothing";
    EXPECT_EQ(weight_of({5}, 5, {}), kWholeWeight);
}

}  // namespace
}  // namespace culvert::rib
