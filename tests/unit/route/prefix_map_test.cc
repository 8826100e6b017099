#include "controlplane/route/prefix_map.h"

#include <gtest/gtest.h>

#include <array>
#include <map>
#include <random>

namespace culvert::route {
namespace {

IpPrefix prefix(const char* text) { return *IpPrefix::parse(text); }
constexpr auto kAny = [](const IpPrefix&, int) { return true; };

TEST(PrefixMap, FindsTheLongestMatchThatIsAccepted)
{
    PrefixMap<int> map;
    map.insert(prefix("0.0.0.0/0"), 1);
    map.insert(prefix("10.0.0.0/8"), 2);
    map.insert(prefix("10.1.0.0/16"), 3);
    map.insert(prefix("10.1.2.0/24"), 4);
    const IpAddress a = *IpAddress::parse("10.1.2.3");
    EXPECT_EQ(map.longest_match(a, kAny), prefix("10.1.2.0/24"));
    EXPECT_EQ(map.longest_match(a, [](const IpPrefix& p, int) { return p.length < 16; }), prefix("10.0.0.0/8"));
    EXPECT_EQ(map.longest_match(*IpAddress::parse("11.0.0.1"), kAny), prefix("0.0.0.0/0"));
    EXPECT_EQ(map.longest_match(*IpAddress::parse("2001:db8::1"), kAny), std::nullopt);
}

// Against std::map, through splits, merges and both ways of growing.
template <class Draw>
void compare_with_reference(Draw draw, unsigned seed)
{
    std::mt19937 random(seed);
    PrefixMap<std::uint32_t> map;
    std::map<IpPrefix, std::uint32_t> reference;
    for (int phase = 0; phase < 4; ++phase) {
        for (std::uint32_t n = 0; n < 20000; ++n) {
            const IpPrefix p = draw(random, n);
            const bool grows = phase % 2 == 0;
            if ((random() % 4 != 0) == grows) {
                const auto [value, fresh] = map.insert(p, n);
                EXPECT_EQ(fresh, reference.try_emplace(p, n).second);
                EXPECT_EQ(*value, reference[p]);
            } else {
                EXPECT_EQ(map.erase(p), reference.erase(p) == 1);
            }
        }
        ASSERT_EQ(map.size(), reference.size());
        auto expected = reference.begin();
        for (const IpPrefix& from : {IpPrefix{Ipv4Address{}, 0}, IpPrefix{Ipv6Address{}, 0}})
            map.walk(from, [&](const IpPrefix& p, std::uint32_t v) {
                EXPECT_EQ(p, expected->first);
                EXPECT_EQ(v, expected->second);
                ++expected;
                return true;
            });
        EXPECT_TRUE(expected == reference.end());
        for (int i = 0; i < 2000; ++i) {
            const IpAddress a = IpPrefix::make(draw(random, static_cast<std::uint32_t>(random())).address, 128).address;
            std::optional<IpPrefix> longest;
            for (int length = max_length(a.family); length >= 0 && !longest; --length)
                if (reference.contains(IpPrefix::make(a, length))) longest = IpPrefix::make(a, length);
            EXPECT_EQ(map.longest_match(a, [](const IpPrefix&, std::uint32_t) { return true; }), longest);
        }
    }
    while (!reference.empty()) {
        EXPECT_TRUE(map.erase(reference.begin()->first));
        reference.erase(reference.begin());
    }
    EXPECT_TRUE(map.empty());
}

TEST(PrefixMap, IsARealMapForIpv4)
{
    compare_with_reference(
        [](std::mt19937& r, std::uint32_t) {
            const auto length = static_cast<int>(8 + r() % 25);
            return IpPrefix::make(Ipv4Address{static_cast<std::uint32_t>(r()) & 0x0f0fffff}, length);
        },
        7);
}

TEST(PrefixMap, IsARealMapForIpv6)
{
    compare_with_reference(
        [](std::mt19937& r, std::uint32_t) {
            const auto length = static_cast<int>(r() % 129);
            return IpPrefix::make(Ipv6Address::from_words(0x20010db8ULL << 32 | (r() & 0xff0ff), r() & 0xf), length);
        },
        8);
}

TEST(PrefixMap, IsARealMapForKeysThatComeInOrder)
{
    compare_with_reference([](std::mt19937&, std::uint32_t n) { return IpPrefix::make(Ipv4Address{n << 8}, 24); }, 9);
}

TEST(PrefixMap, AValueAndItsPrefixCostLittleMoreThanTheirSize)
{
    std::mt19937 random(1);
    PrefixMap<std::array<std::uint32_t, 3>> map;
    for (int i = 0; i < 200000; ++i)
        map.insert(IpPrefix::make(Ipv4Address{static_cast<std::uint32_t>(random())}, 24), {});
    EXPECT_LE(static_cast<double>(map.octets()) / static_cast<double>(map.size()), 20.0);
    PrefixMap<std::array<std::uint32_t, 3>> sorted;
    for (std::uint32_t i = 0; i < 200000; ++i) sorted.insert(IpPrefix::make(Ipv4Address{i << 8}, 24), {});
    EXPECT_LE(static_cast<double>(sorted.octets()) / static_cast<double>(sorted.size()), 18.5);
    // What shrinks by and by, here and there, does not keep its room.
    for (std::uint32_t i = 0; i < 200000; ++i)
        if (i % 8 != 0) sorted.erase(IpPrefix::make(Ipv4Address{i << 8}, 24));
    EXPECT_LE(static_cast<double>(sorted.octets()) / static_cast<double>(sorted.size()), 40.0);
}

}  // namespace
}  // namespace culvert::route
