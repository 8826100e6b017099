#include "dataplane/fib/tunnels.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

namespace culvert::fib {

namespace {

IpAddress ip(std::string_view text) { return *IpAddress::parse(text); }

struct NumberHash {
    std::size_t operator()(std::uint32_t n) const noexcept { return n % 7; }  // collides as often as it can
};

TEST(RcuMap, AgreesWithAMapUnderRandomEdits)
{
    Rcu rcu;
    Reclaimer reclaimer{rcu};
    RcuMap<std::uint32_t, std::uint64_t, NumberHash> map{reclaimer};
    std::map<std::uint32_t, std::uint64_t> reference;
    std::mt19937 random{7};
    for (int i = 0; i < 20000; ++i) {
        const auto key = random() % 200;
        if (random() % 3 == 0) {
            EXPECT_EQ(map.erase(key), reference.erase(key) == 1);
        } else {
            map.set(key, static_cast<std::uint64_t>(i));
            reference[key] = static_cast<std::uint64_t>(i);
        }
        const auto asked = random() % 200;
        const auto* found = map.find(asked);
        const auto known = reference.find(asked);
        ASSERT_EQ(found != nullptr, known != reference.end());
        if (found != nullptr) {
            ASSERT_EQ(*found, known->second);
        }
        ASSERT_EQ(map.size(), reference.size());
        if (i % 64 == 0) {
            reclaimer.seal();
            reclaimer.collect();
        }
    }
    std::size_t seen = 0;
    map.for_each([&](std::uint32_t key, std::uint64_t value) {
        ++seen;
        EXPECT_EQ(reference.at(key), value);
    });
    EXPECT_EQ(seen, reference.size());
}

class TunnelTableTest : public ::testing::Test {
protected:
    static api::SetTunnel gre(std::uint16_t id, std::string_view source, std::string_view destination)
    {
        return {.interface = InterfaceId{id},
                .outer_vrf = kDefaultVrf,
                .mode = api::TunnelMode::Gre,
                .source = ip(source),
                .destination = ip(destination)};
    }
    // The interface of what `remote` sends to `local`, 0 if nobody wants it.
    unsigned from(std::string_view remote, std::string_view local, std::optional<std::uint32_t> key = {},
                  VrfId vrf = kDefaultVrf) const
    {
        const auto* t = table.gre(vrf, ip(remote), ip(local), key.has_value(), key.value_or(0));
        return t != nullptr ? index(t->interface) : 0u;
    }

    Rcu rcu;
    Reclaimer reclaimer{rcu};
    TunnelTable table{reclaimer};
};

TEST_F(TunnelTableTest, FindsByAddressesKeyAndVrf)
{
    table.set(gre(1, "192.0.2.1", "192.0.2.2"));
    auto keyed = gre(2, "192.0.2.1", "192.0.2.2");
    keyed.has_key = true;
    keyed.key = 0;
    table.set(keyed);
    auto red = gre(3, "192.0.2.1", "192.0.2.2");
    red.outer_vrf = VrfId{5};
    table.set(red);
    table.set(gre(4, "2001:db8::1", "2001:db8::2"));
    EXPECT_EQ(from("192.0.2.2", "192.0.2.1"), 1u);
    EXPECT_EQ(from("192.0.2.2", "192.0.2.1", 0), 2u) << "a key of 0 is a key";
    EXPECT_EQ(from("192.0.2.2", "192.0.2.1", 1), 0u);
    EXPECT_EQ(from("192.0.2.2", "192.0.2.1", {}, VrfId{5}), 3u);
    EXPECT_EQ(from("2001:db8::2", "2001:db8::1"), 4u);
    EXPECT_EQ(from("192.0.2.1", "192.0.2.2"), 0u) << "the other way round";
    EXPECT_EQ(from("192.0.2.3", "192.0.2.1"), 0u);
}

TEST_F(TunnelTableTest, ATunnelThatMovesLeavesItsOldPlace)
{
    table.set(gre(1, "192.0.2.1", "192.0.2.2"));
    const auto generation = table.find(InterfaceId{1})->generation;
    table.set(gre(1, "192.0.2.1", "192.0.2.3"));
    EXPECT_EQ(from("192.0.2.2", "192.0.2.1"), 0u);
    EXPECT_EQ(from("192.0.2.3", "192.0.2.1"), 1u);
    EXPECT_EQ(table.find(InterfaceId{1})->generation, generation) << "it is still the same";
    // Another takes the place that it had; leaving again must not take it away.
    table.set(gre(2, "192.0.2.1", "192.0.2.3"));
    table.set(gre(1, "192.0.2.1", "192.0.2.4"));
    EXPECT_EQ(from("192.0.2.3", "192.0.2.1"), 2u);
    auto vti = gre(2, "192.0.2.1", "192.0.2.3");
    vti.mode = api::TunnelMode::Ipsec;
    table.set(vti);
    EXPECT_EQ(from("192.0.2.3", "192.0.2.1"), 0u) << "a VTI takes no GRE";
    EXPECT_TRUE(table.erase(InterfaceId{1}));
    EXPECT_FALSE(table.erase(InterfaceId{1}));
    EXPECT_EQ(from("192.0.2.4", "192.0.2.1"), 0u);
    table.set(gre(1, "192.0.2.1", "192.0.2.2"));
    EXPECT_NE(table.find(InterfaceId{1})->generation, generation);
}

TEST_F(TunnelTableTest, MultipointEndpointsComeMoveAndGo)
{
    auto hub = gre(1, "192.0.2.1", "0.0.0.0");
    hub.mode = api::TunnelMode::GreMultipoint;
    table.set(hub);
    table.set(gre(2, "192.0.2.1", "192.0.2.2"));
    EXPECT_EQ(from("192.0.2.2", "192.0.2.1"), 2u) << "point to point first";
    EXPECT_EQ(from("203.0.113.9", "192.0.2.1"), 1u);
    EXPECT_FALSE(table.set_endpoint({InterfaceId{2}, ip("10.0.0.2"), ip("192.0.2.9")})) << "not multipoint";
    EXPECT_FALSE(table.set_endpoint({InterfaceId{9}, ip("10.0.0.2"), ip("192.0.2.9")}));
    EXPECT_TRUE(table.set_endpoint({InterfaceId{1}, ip("10.0.0.2"), ip("192.0.2.9"), ProtectionId{3}}));
    EXPECT_TRUE(table.set_endpoint({InterfaceId{1}, ip("10.0.0.3"), ip("192.0.2.9"), ProtectionId{3}}));
    const auto* t = table.find(InterfaceId{1});
    EXPECT_EQ(t->endpoints->find(ip("10.0.0.2"))->address, ip("192.0.2.9"));
    EXPECT_EQ(*t->senders->find(ip("192.0.2.9")), ProtectionId{3});
    EXPECT_TRUE(table.set_endpoint({InterfaceId{1}, ip("10.0.0.2"), ip("192.0.2.8")}));
    EXPECT_NE(t->senders->find(ip("192.0.2.9")), nullptr) << "another next hop is still there";
    EXPECT_TRUE(table.erase_endpoint({InterfaceId{1}, ip("10.0.0.3")}));
    EXPECT_FALSE(table.erase_endpoint({InterfaceId{1}, ip("10.0.0.3")}));
    EXPECT_EQ(t->senders->find(ip("192.0.2.9")), nullptr);
    // It becomes point to point: its endpoints are gone, and nobody's packets are taken.
    table.set(gre(1, "192.0.2.1", "192.0.2.7"));
    EXPECT_EQ(table.find(InterfaceId{1})->endpoints, nullptr);
    EXPECT_EQ(from("203.0.113.9", "192.0.2.1"), 0u);
    EXPECT_FALSE(table.erase_endpoint({InterfaceId{1}, ip("10.0.0.2")}));
}

TEST_F(TunnelTableTest, ThousandsAreFoundAndForgotten)
{
    for (std::uint16_t i = 1; i <= 5000; ++i) {
        auto t = gre(i, "192.0.2.1", "192.0.2.2");
        t.has_key = true;
        t.key = i;
        table.set(t);
    }
    for (std::uint16_t i = 1; i <= 5000; ++i) EXPECT_EQ(from("192.0.2.2", "192.0.2.1", i), i);
    for (std::uint16_t i = 1; i <= 5000; i += 2) EXPECT_TRUE(table.erase(InterfaceId{i}));
    for (std::uint16_t i = 1; i <= 5000; ++i) EXPECT_EQ(from("192.0.2.2", "192.0.2.1", i), i % 2 == 0 ? i : 0u);
    EXPECT_EQ(table.size(), 2500u);
}

}  // namespace

}  // namespace culvert::fib
