#include "dataplane/node/flow_hash.h"

#include "dataplane/fib/groups.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <map>
#include <vector>

namespace culvert::node {
namespace {

struct Flow4 {
    std::uint32_t source = 0x0a000001, destination = 0x0a010001;
    std::uint8_t protocol = 17;
    std::uint16_t from = 1000, to = 2000;
};

std::uint32_t hash(const Flow4& f, std::uint64_t seed, const HashMask& mask = {}, std::uint16_t fragment = 0)
{
    std::array<std::uint8_t, 28> bytes{};
    wire::Ipv4Header ip{};
    ip.version_ihl = 0x45;
    ip.protocol = f.protocol;
    ip.fragment = fragment;
    ip.source = f.source;
    ip.destination = f.destination;
    std::memcpy(bytes.data(), &ip, sizeof ip);
    const be16 ports[2] = {f.from, f.to};
    std::memcpy(bytes.data() + 20, ports, 4);
    return flow_hash(*reinterpret_cast<const wire::Ipv4Header*>(bytes.data()), bytes.size(), seed, mask);
}

struct Flow6 {
    std::uint64_t source = 1, destination = 2;
    std::uint8_t protocol = 17;
    std::uint16_t from = 1000, to = 2000;
    std::uint32_t label = 0;
};

std::uint32_t hash(const Flow6& f, std::uint64_t seed, const HashMask& mask = {})
{
    std::array<std::uint8_t, 48> bytes{};
    wire::Ipv6Header ip{};
    ip.version_class_flow = 6u << 28 | f.label;
    ip.next_header = f.protocol;
    ip.source = Ipv6Address::from_words(0x20010db8ULL << 32, f.source);
    ip.destination = Ipv6Address::from_words(0x20010db8ULL << 32, f.destination);
    std::memcpy(bytes.data(), &ip, sizeof ip);
    const be16 ports[2] = {f.from, f.to};
    std::memcpy(bytes.data() + 40, ports, 4);
    return flow_hash(*reinterpret_cast<const wire::Ipv6Header*>(bytes.data()), bytes.size(), seed, mask);
}

constexpr std::uint64_t kSeed = 0x1234567890abcdef;

TEST(FlowHash, EachSelectedFieldCountsAndNoOther)
{
    const std::array<Flow4, 5> others{Flow4{.source = 0x0a000002}, Flow4{.destination = 0x0a010002},
                                      Flow4{.protocol = 6}, Flow4{.from = 1001}, Flow4{.to = 2001}};
    for (unsigned bits = 0; bits < 16; ++bits) {
        const api::HashFields fields{(bits & 1) != 0, (bits & 2) != 0, (bits & 4) != 0, (bits & 8) != 0, false};
        const auto mask = HashMask::of(fields);
        const std::array<bool, 5> counts{fields.source, fields.destination, fields.protocol, fields.ports,
                                         fields.ports};
        for (std::size_t i = 0; i < others.size(); ++i)
            EXPECT_EQ(hash(others[i], kSeed, mask) != hash(Flow4{}, kSeed, mask), counts[i]) << bits << " " << i;
    }
    EXPECT_EQ(hash(Flow4{}, kSeed), hash(Flow4{}, kSeed, HashMask::of({}))) << "the default is all of them";
}

TEST(FlowHash, Ipv6HasAFlowLabelToo)
{
    const std::array<Flow6, 6> others{Flow6{.source = 9},  Flow6{.destination = 9}, Flow6{.protocol = 6},
                                      Flow6{.from = 1001}, Flow6{.to = 2001},       Flow6{.label = 77}};
    for (unsigned bits = 0; bits < 32; ++bits) {
        const api::HashFields fields{(bits & 1) != 0, (bits & 2) != 0, (bits & 4) != 0, (bits & 8) != 0,
                                     (bits & 16) != 0};
        const auto mask = HashMask::of(fields);
        const std::array<bool, 6> counts{fields.source, fields.destination, fields.protocol,
                                         fields.ports,  fields.ports,       fields.flow_label};
        for (std::size_t i = 0; i < others.size(); ++i)
            EXPECT_EQ(hash(others[i], kSeed, mask) != hash(Flow6{}, kSeed, mask), counts[i]) << bits << " " << i;
    }
    EXPECT_EQ(hash(Flow6{.label = 1}, kSeed), hash(Flow6{}, kSeed)) << "not by default: hosts change it";
}

TEST(FlowHash, FragmentsOfADatagramStayTogether)
{
    constexpr std::uint16_t kMore = 0x2000;
    EXPECT_EQ(hash(Flow4{.from = 1}, kSeed, {}, kMore), hash(Flow4{.from = 2}, kSeed, {}, kMore | 10));
    EXPECT_NE(hash(Flow4{}, kSeed), 0u);
}

// A box with its own seed and a group of `n` equal members.
struct Box {
    fib::Rcu rcu;
    fib::Reclaimer reclaimer{rcu};
    fib::DownTable words;
    fib::NexthopTable nexthops{reclaimer, words};
    fib::GroupTable groups{nexthops, reclaimer};
    std::uint64_t seed;

    Box(std::uint64_t s, std::uint32_t n) : seed(s)
    {
        std::vector<fib::GroupMember> members;
        for (std::uint32_t i = 1; i <= n; ++i) {
            nexthops.set({NexthopId{i}, api::NexthopKind::Blackhole}, nullptr);
            members.push_back({NexthopId{i}, 1});
        }
        groups.set(GroupId{1}, members, kNoGroup);
    }
    std::uint32_t member(const Flow4& f) const { return index(groups.pick(GroupId{1}, hash(f, seed)).nexthop->id); }
};

std::vector<Flow4> flows(std::size_t count)
{
    std::vector<Flow4> out;
    for (std::uint32_t i = 0; i < count; ++i)
        out.push_back({.source = 0x0a000000 + i % 251, .from = static_cast<std::uint16_t>(1024 + i / 251)});
    return out;
}

// How far the fullest member is from its fair share. What chance alone does to so many flows is allowed for.
double imbalance(const Box& box, const std::vector<Flow4>& some, std::uint32_t members)
{
    std::map<std::uint32_t, double> share;
    for (const auto& f : some) ++share[box.member(f)];
    const double fair = static_cast<double>(some.size()) / members;
    double worst = share.size() == members ? 0 : 1;
    for (const auto& [member, n] : share) worst = std::max(worst, std::abs(n - fair) / fair);
    return worst;
}

TEST(FlowHash, FlowsAreSharedWithinTwoPercent)
{
    const auto some = flows(std::size_t{1} << 20);
    for (const std::uint32_t members : {2u, 3u, 5u, 8u, 64u}) {
        // Three standard deviations of a fair draw.
        const double chance = 3 * std::sqrt(members / static_cast<double>(some.size()));
        EXPECT_LE(imbalance(Box{kSeed, members}, some, members), 0.02 + chance) << members;
    }
}

TEST(FlowHash, TwoBoxesInARowDoNotPolarise)
{
    const auto all = flows(std::size_t{1} << 18);
    for (const std::uint32_t members : {2u, 4u, 8u}) {
        for (std::uint64_t seed = 1; seed <= 5; ++seed) {
            const Box first{mix(seed), members}, second{mix(seed + 1000), members};
            std::vector<Flow4> through;  // what the first one sends to the second
            for (const auto& f : all)
                if (first.member(f) == 1) through.push_back(f);
            const double chance = 4 * std::sqrt(members / static_cast<double>(through.size()));
            EXPECT_LE(imbalance(second, through, members), 0.02 + chance) << members << " seed " << seed;
            // The test would see it: with one seed for both, one member gets everything.
            const Box same{mix(seed), members};
            EXPECT_GT(imbalance(same, through, members), 0.9);
        }
    }
}

}  // namespace
}  // namespace culvert::node
