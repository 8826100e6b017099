#include "controlplane/bgp/attributes.h"

#include <gtest/gtest.h>

namespace culvert::bgp {
namespace {

using Kind = AsPath::Kind;

AsPath path(std::vector<AsPath::Segment> segments) { return {std::move(segments)}; }

TEST(AsPath, CountsAsRfc4271And5065Say)
{
    const auto p = path(
        {{Kind::ConfedSequence, {Asn{9}, Asn{8}}}, {Kind::Sequence, {Asn{1}, Asn{2}}}, {Kind::Set, {Asn{3}, Asn{4}}}});
    EXPECT_EQ(p.length(), 3U);
    EXPECT_EQ(p.neighbor_as(), Asn{1});
    EXPECT_EQ(p.origin_as(), std::nullopt);  // a set has no one origin
    EXPECT_EQ(p.to_string(), "(9 8) 1 2 {3,4}");
    EXPECT_EQ(AsPath{}.length(), 0U);
    EXPECT_EQ(AsPath{}.neighbor_as(), std::nullopt);
    EXPECT_EQ(AsPath{}.to_string(), "");
    EXPECT_EQ(path({{Kind::Set, {Asn{1}}}}).neighbor_as(), std::nullopt);
    EXPECT_EQ(path({{Kind::Sequence, {Asn{1}, Asn{7}}}}).origin_as(), Asn{7});
}

TEST(AsPath, CountsOccurrences)
{
    const auto p = path({{Kind::Sequence, {Asn{1}, Asn{2}, Asn{1}}}, {Kind::Set, {Asn{1}}}});
    EXPECT_EQ(p.count(Asn{1}), 3U);
    EXPECT_EQ(p.count(Asn{5}), 0U);
}

TEST(AsPath, PrependsIntoTheLeadingSequenceWhileItHasRoom)
{
    AsPath p;
    p.prepend(Asn{1});
    p.prepend(Asn{2}, 2);
    EXPECT_EQ(p.to_string(), "2 2 1");
    EXPECT_EQ(p.segments.size(), 1U);

    auto set = path({{Kind::Set, {Asn{3}, Asn{4}}}});
    set.prepend(Asn{1});
    EXPECT_EQ(set.to_string(), "1 {3,4}");

    p.prepend(Asn{5}, 600);
    EXPECT_EQ(p.length(), 603U);
    for (const auto& segment : p.segments) EXPECT_LE(segment.asns.size(), 255U);
    EXPECT_EQ(p.neighbor_as(), Asn{5});
    EXPECT_EQ(p.origin_as(), Asn{1});
}

}  // namespace
}  // namespace culvert::bgp
