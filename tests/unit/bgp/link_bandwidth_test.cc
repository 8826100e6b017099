#include "controlplane/bgp/link_bandwidth.h"

#include <gtest/gtest.h>

#include <bit>
#include <limits>

namespace culvert::bgp {
namespace {

constexpr std::uint64_t community(unsigned type, unsigned asn, float rate)
{
    return std::uint64_t{type} << 48 | std::uint64_t{asn} << 32 | std::bit_cast<std::uint32_t>(rate);
}

TEST(LinkBandwidth, IsReadFromBothTypesAndWrittenAsItCame)
{
    // As FRR sends `set extcommunity bandwidth 100`: 12,500,000 octets a second of AS 65001.
    const auto b = link_bandwidth(0x0004fde94b3ebc20);
    ASSERT_TRUE(b);
    EXPECT_EQ(*b, (LinkBandwidth{Asn{65001}, 12.5e6F, true}));
    EXPECT_EQ(to_extended_community(*b), 0x0004fde94b3ebc20U);
    const auto inside = link_bandwidth(0x4004fde94b3ebc20);
    ASSERT_TRUE(inside);
    EXPECT_FALSE(inside->transitive);
    EXPECT_EQ(to_extended_community(*inside), 0x4004fde94b3ebc20U);
    EXPECT_EQ(to_extended_community({Asn{70000}, 1, true}), community(0x0004, 23456, 1));
}

TEST(LinkBandwidth, OtherCommunitiesAreNone)
{
    EXPECT_FALSE(link_bandwidth(0x0002fde94b3ebc20));  // a route target
    EXPECT_FALSE(link_bandwidth(0x0104fde94b3ebc20));  // subtype 4 of another type
    EXPECT_FALSE(link_bandwidth(0x4003fde94b3ebc20));
    EXPECT_TRUE(is_transitive(0x0104fde94b3ebc20));
    EXPECT_FALSE(is_transitive(0x4303fde94b3ebc20));
}

TEST(LinkBandwidth, WhatIsNoBandwidthSaysNothing)
{
    using Limits = std::numeric_limits<float>;
    for (const float rate : {Limits::quiet_NaN(), Limits::signaling_NaN(), -Limits::quiet_NaN(), Limits::infinity(),
                             -Limits::infinity(), -1.0F, -0.0F, 0.0F, 0.5F, Limits::denorm_min(), Limits::lowest()}) {
        const auto b = link_bandwidth(community(0x4004, 1, rate));
        ASSERT_TRUE(b);
        EXPECT_FALSE(b->usable()) << rate;
        PathAttributes a;
        a.extended_communities = {community(0x4004, 1, rate)};
        EXPECT_FALSE(link_bandwidth(a)) << rate;
        // It is passed on as it came.
        EXPECT_EQ(to_extended_community(*b), a.extended_communities[0]);
    }
    for (const float rate : {1.0F, 12.5e6F, Limits::max()})
        EXPECT_TRUE(link_bandwidth(community(0x4004, 1, rate))->usable()) << rate;
}

TEST(LinkBandwidth, OfSeveralTheFirstUsableCounts)
{
    PathAttributes a;
    EXPECT_FALSE(link_bandwidth(a));
    a.extended_communities = {community(0x0004, 1, -5), community(0x0004, 2, 7), community(0x4004, 1, 9)};
    EXPECT_EQ(link_bandwidth(a)->octets_a_second, 7);
}

}  // namespace
}  // namespace culvert::bgp
