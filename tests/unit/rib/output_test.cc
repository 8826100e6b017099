#include "tests/unit/rib/speaker.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace culvert::rib {
namespace {

constexpr std::uint32_t kNoExport = 0xffffff01, kNoAdvertise = 0xffffff02, kNoExportSubconfed = 0xffffff03;

TEST(RibOutput, NotBackToWhereItCameFrom)
{
    Speaker s;
    const auto a = s.peer(1, 65001), b = s.peer(2, 65002);
    s.announce(a, "192.0.2.0/24", {300});
    EXPECT_EQ(s.sent(a, "192.0.2.0/24"), nullptr);
    ASSERT_NE(s.sent(b, "192.0.2.0/24"), nullptr);
    EXPECT_EQ(s.sent(b, "192.0.2.0/24")->as_path.to_string(), "65000 65001 300");
    EXPECT_EQ(s.sent(b, "192.0.2.0/24")->next_hop, address("10.0.0.254"));
    s.announce(b, "192.0.2.0/24");
    EXPECT_EQ(s.sent(b, "192.0.2.0/24"), nullptr);
    EXPECT_NE(s.sent(a, "192.0.2.0/24"), nullptr);
}

TEST(RibOutput, InternalToInternalOnlyByReflection)
{
    Speaker s;
    PeerConfig client;
    client.families[0].route_reflector_client = true;
    const auto e = s.peer(1, 65001), i = s.peer(2, 65000), j = s.peer(3, 65000), c = s.peer(4, 65000, client);
    s.announce(i, "192.0.2.0/24", {300});
    EXPECT_NE(s.sent(e, "192.0.2.0/24"), nullptr);
    EXPECT_EQ(s.sent(j, "192.0.2.0/24"), nullptr);
    const auto* reflected = s.sent(c, "192.0.2.0/24");
    ASSERT_NE(reflected, nullptr);
    EXPECT_EQ(reflected->originator_id, s.links.at(i).context.router_id);
    EXPECT_EQ(reflected->cluster_list, std::vector{Speaker::open_config().router_id.value});
    EXPECT_EQ(reflected->next_hop, address("10.0.0.2"));
    EXPECT_EQ(reflected->local_pref, 100U);

    s.announce(c, "198.51.100.0/24", {300});
    EXPECT_NE(s.sent(i, "198.51.100.0/24"), nullptr);
    EXPECT_NE(s.sent(j, "198.51.100.0/24"), nullptr);
    // A client no more.
    client.families[0].route_reflector_client = false;
    client.address = Ipv4Address{0x0a000004};
    s.rib.reconfigure(c, client);
    EXPECT_EQ(s.sent(i, "198.51.100.0/24"), nullptr);
    EXPECT_EQ(s.sent(c, "192.0.2.0/24"), nullptr);
}

TEST(RibOutput, NotReflectedToItsOriginator)
{
    Speaker s;
    PeerConfig client;
    client.families[0].route_reflector_client = true;
    const auto i = s.peer(1, 65000), c = s.peer(2, 65000, client);
    auto a = s.from(i, {300});
    a.originator_id = s.links.at(c).context.router_id;
    a.cluster_list = {9};
    s.announce(i, "192.0.2.0/24", a);
    EXPECT_EQ(s.sent(c, "192.0.2.0/24"), nullptr);
    EXPECT_EQ(s.best("192.0.2.0/24"), i);
}

TEST(RibOutput, WellKnownCommunities)
{
    Speaker s;
    const auto a = s.peer(1, 65001), e = s.peer(2, 65002), i = s.peer(3, 65000);
    const auto announce = [&](const char* p, std::uint32_t community) {
        auto attributes = s.from(a, {300});
        attributes.communities = {community};
        s.announce(a, p, attributes);
    };
    announce("192.0.2.0/24", kNoExport);
    announce("192.0.3.0/24", kNoAdvertise);
    announce("192.0.4.0/24", kNoExportSubconfed);
    EXPECT_EQ(s.sent(e, "192.0.2.0/24"), nullptr);
    EXPECT_NE(s.sent(i, "192.0.2.0/24"), nullptr);
    EXPECT_EQ(s.sent(e, "192.0.3.0/24"), nullptr);
    EXPECT_EQ(s.sent(i, "192.0.3.0/24"), nullptr);
    EXPECT_EQ(s.sent(e, "192.0.4.0/24"), nullptr);
    EXPECT_NE(s.sent(i, "192.0.4.0/24"), nullptr);
    EXPECT_EQ(s.installed.size(), 3U);
}

TEST(RibOutput, NothingTwiceAndNoWithdrawalOfTheUnknown)
{
    Speaker s;
    const auto a = s.peer(1, 65001), b = s.peer(2, 65002);
    s.announce(a, "192.0.2.0/24", {300});
    s.settle();
    auto& seen = s.seen_by(b);
    EXPECT_EQ(seen.announced, 1U);
    // MED isn't passed on: what b would be sent is what it has.
    auto with_med = s.from(a, {300});
    with_med.med = 7;
    s.announce(a, "192.0.2.0/24", with_med);
    s.settle();
    EXPECT_EQ(seen.announced, 1U);
    // There and gone before b was written to.
    s.announce(a, "192.0.3.0/24", {300});
    s.withdraw(a, "192.0.3.0/24");
    s.settle();
    EXPECT_EQ(seen.announced, 1U);
    EXPECT_EQ(seen.withdrawn, 0U);
    EXPECT_EQ(s.rib.memory().prefixes, 1U);
    // Several changes, one word.
    for (std::uint32_t i = 0; i < 10; ++i) s.announce(a, "192.0.2.0/24", {300, 400 + i});
    s.settle();
    EXPECT_EQ(seen.announced, 2U);
    EXPECT_EQ(seen.routes.at(prefix("192.0.2.0/24")).as_path.to_string(), "65000 65001 300 409");
}

TEST(RibOutput, ANewNeighbourGetsAllThenEndOfRib)
{
    Speaker s;
    const auto a = s.peer(1, 65001);
    for (int i = 0; i < 1000; ++i)
        s.announce(a, "10." + std::to_string(i / 256) + "." + std::to_string(i % 256) + ".0/24", {300});
    s.announce(a, "2001:db8:1::/48", {300});
    s.settle();
    const auto b = s.peer(2, 65002);
    s.settle();
    const auto& seen = s.seen_by(b);
    EXPECT_EQ(seen.routes.size(), 1001U);
    EXPECT_EQ(seen.announced, 1001U);
    EXPECT_EQ(seen.markers, (std::vector<std::string>{"eor4", "eor6"}));
    EXPECT_EQ(s.rib.counts(b, Family::Ipv4).sent, 1000U);
}

TEST(RibOutput, EmptyTablesEndTheRibToo)
{
    Speaker s;
    const auto a = s.peer(1, 65001);
    EXPECT_TRUE(s.rib.pending(a));
    s.settle();
    EXPECT_EQ(s.seen_by(a).markers, (std::vector<std::string>{"eor4", "eor6"}));
    EXPECT_FALSE(s.rib.pending(a));
}

// However the prefixes came, the walk for a new neighbour packs them by attribute set.
TEST(RibOutput, PacksPerAttributeSet)
{
    Speaker s;
    const auto a = s.peer(1, 65001);
    for (int i = 0; i < 3000; ++i)
        s.announce(a, "10." + std::to_string(i / 256) + "." + std::to_string(i % 256) + ".0/24",
                   {300, 1000 + static_cast<std::uint32_t>(i) % 7});
    s.settle();
    const auto b = s.peer(2, 65002);
    std::vector<std::uint8_t> bytes;
    while (s.rib.pending(b)) s.rib.fill(b, bytes, 1 << 20, kT0);
    Received seen;
    seen.read(bytes, s.links.at(b).negotiated);
    EXPECT_EQ(seen.routes.size(), 3000U);
    EXPECT_EQ(seen.updates, 7U + 2U);  // 429 prefixes of 4 octets fit one message; two End-of-RIBs
    EXPECT_LE(*std::ranges::max_element(seen.lengths), 4096U);
}

TEST(RibOutput, FillKeepsToItsBound)
{
    Speaker s;
    const auto a = s.peer(1, 65001), b = s.peer(2, 65002);
    s.announce(a, "203.0.113.0/24", {300});
    s.settle();
    for (int i = 0; i < 3000; ++i)
        s.announce(a, "10." + std::to_string(i / 256) + "." + std::to_string(i % 256) + ".0/24",
                   {300, 1000 + static_cast<std::uint32_t>(i) % 50});
    Received seen = s.seen_by(b);
    std::size_t calls = 0;
    while (s.rib.pending(b)) {
        std::vector<std::uint8_t> bytes;
        s.rib.fill(b, bytes, 1000, kT0);
        EXPECT_LT(bytes.size(), 1000U + 2 * 4096U);
        seen.read(bytes, s.links.at(b).negotiated);
        ASSERT_LT(++calls, 1000U);
        // Changes in between, to what is sent, staged and neither.
        if (calls > 20) continue;
        const auto n = calls * 137 % 3000;
        s.withdraw(a, "10." + std::to_string(n / 256) + "." + std::to_string(n % 256) + ".0/24");
    }
    EXPECT_GT(calls, 3U);
    EXPECT_EQ(seen.routes.size(), s.rib.prefix_count(Family::Ipv4));
    EXPECT_EQ(s.rib.counts(b, Family::Ipv4).sent, seen.routes.size());
}

TEST(RibOutput, ANeighbourThatDoesNotReadCostsNoMemoryAndMissesNothing)
{
    Speaker s;
    const auto a = s.peer(1, 65001), slow = s.peer(2, 65002), fast = s.peer(3, 65003);
    s.announce(a, "203.0.113.0/24", {300});
    s.settle();
    Received seen = s.seen_by(slow);
    const auto serve = [&](PeerHandle p, bool keep) {
        std::vector<std::uint8_t> bytes;
        while (s.rib.pending(p)) s.rib.fill(p, bytes, 65536, kT0);
        if (keep) seen.read(bytes, s.links.at(p).negotiated);
    };
    for (std::uint32_t round = 0; round < 1200; ++round) {
        const auto base = round % 3 == 0 ? 0 : 100;
        for (int i = 0; i < 100; ++i) {
            const auto p = "10.0." + std::to_string((base + i) % 250) + ".0/24";
            if ((round + static_cast<std::uint32_t>(i)) % 11 == 0)
                s.withdraw(a, p);
            else
                s.announce(a, p, {300, 1000 + round});
        }
        while (s.rib.drain_routes(s) > 0) {}
        serve(fast, false);
        serve(a, false);
    }
    EXPECT_LT(s.rib.memory().octets, 12U << 20);
    serve(slow, true);
    EXPECT_EQ(seen.routes.size(), s.rib.prefix_count(Family::Ipv4));
    for (const auto& [p, attributes] : seen.routes)
        EXPECT_EQ(attributes.as_path, s.rib.advertised(fast, p)->as_path) << p.to_string();
}

TEST(RibOutput, RefreshSendsAgainBetweenMarkers)
{
    Speaker s;
    const auto a = s.peer(1, 65001), b = s.peer(2, 65002);
    s.announce(a, "192.0.2.0/24", {300});
    s.settle();
    auto& seen = s.seen_by(b);
    EXPECT_EQ(seen.announced, 1U);
    s.rib.on_refresh(b, Family::Ipv4);
    s.settle();
    EXPECT_EQ(seen.announced, 2U);
    EXPECT_EQ(seen.markers, (std::vector<std::string>{"eor4", "eor6"}));

    s.links.at(b).negotiated.enhanced_route_refresh = true;
    s.up(b);
    s.settle();
    s.rib.on_refresh(b, Family::Ipv4);
    s.settle();
    EXPECT_EQ(seen.announced, 2U);
    EXPECT_EQ(seen.markers, (std::vector<std::string>{"eor4", "eor6", "borr4", "eorr4"}));
    s.rib.clear_soft_out(b, Family::Ipv4);
    s.settle();
    EXPECT_EQ(seen.announced, 3U);
}

TEST(RibOutput, DefaultOriginate)
{
    Speaker s;
    PeerConfig c;
    c.address = Ipv4Address{0x0a000002};
    c.families[0].default_originate = true;
    const auto a = s.peer(1, 65001), b = s.peer(2, 65002, c);
    const auto* sent = s.sent(b, "0.0.0.0/0");
    ASSERT_NE(sent, nullptr);
    EXPECT_EQ(sent->as_path.to_string(), "65000");
    EXPECT_EQ(sent->next_hop, address("10.0.0.254"));
    EXPECT_EQ(s.sent(a, "0.0.0.0/0"), nullptr);
    EXPECT_FALSE(s.rib.find(prefix("0.0.0.0/0")));

    s.announce(a, "0.0.0.0/0", {300});  // the learned one is not what b gets
    EXPECT_EQ(s.sent(b, "0.0.0.0/0")->as_path.to_string(), "65000");
    s.withdraw(a, "0.0.0.0/0");
    EXPECT_NE(s.sent(b, "0.0.0.0/0"), nullptr);
    c.families[0].default_originate = false;
    s.rib.reconfigure(b, c);
    EXPECT_EQ(s.sent(b, "0.0.0.0/0"), nullptr);
}

TEST(RibOutput, DefaultOriginateNeedsNoPolicy)
{
    auto config = Speaker::open_config();
    config.ebgp_requires_policy = true;
    Speaker s{config};
    PeerConfig c;
    c.families[0].default_originate = true;
    const auto b = s.peer(2, 65002, c);
    EXPECT_NE(s.sent(b, "0.0.0.0/0"), nullptr);
}

class RejectLong final : public policy::Step {
public:
    policy::Verdict apply(const policy::Route& r) const override
    {
        r.attributes.med = r.prefix.length;
        return r.prefix.length > 24 ? policy::Verdict::Reject : policy::Verdict::Accept;
    }
    bool depends_on_prefix() const noexcept override { return true; }
};

TEST(RibOutput, ExportStepByPrefixAndItsChange)
{
    Speaker s;
    PeerConfig c;
    c.address = Ipv4Address{0x0a000002};
    c.families[0].export_step = std::make_shared<RejectLong>();
    const auto a = s.peer(1, 65001), b = s.peer(2, 65002, c);
    for (const char* p : {"192.0.2.0/24", "192.0.2.0/25", "192.0.0.0/16"}) s.announce(a, p, {300});
    EXPECT_EQ(s.sent(b, "192.0.2.0/25"), nullptr);
    EXPECT_EQ(s.sent(b, "192.0.2.0/24")->med, 24U);
    EXPECT_EQ(s.sent(b, "192.0.0.0/16")->med, 16U);
    c.families[0].export_step = nullptr;
    s.rib.reconfigure(b, c);
    EXPECT_NE(s.sent(b, "192.0.2.0/25"), nullptr);
    EXPECT_EQ(s.sent(b, "192.0.2.0/24")->med, std::nullopt);
    EXPECT_EQ(s.seen_by(b).withdrawn, 0U);
}

TEST(RibOutput, AdvertisementInterval)
{
    Speaker s;
    PeerConfig c;
    c.advertisement_interval = 5s;
    const auto a = s.peer(1, 65001), b = s.peer(2, 65002, c);
    s.settle();
    s.announce(a, "192.0.2.0/24", {300});
    s.settle();
    EXPECT_EQ(s.seen_by(b).announced, 1U);
    s.announce(a, "192.0.2.0/24", {300, 400});
    s.settle(kT0 + 4s);
    EXPECT_EQ(s.seen_by(b).announced, 1U);
    EXPECT_EQ(s.rib.next_deadline(), kT0 + 5s);
    s.settle(kT0 + 5s);
    EXPECT_EQ(s.seen_by(b).announced, 2U);
    EXPECT_EQ(s.rib.next_deadline(), kNever);
}

TEST(RibOutput, TwoOctetNeighbours)
{
    Speaker s;
    const auto a = s.peer(1, 65001), b = s.peer(2, 65002), c = s.peer(3, 65003);
    s.links.at(b).negotiated.four_octet_as = false;
    s.up(b);
    s.announce(a, "192.0.2.0/24", {4200000000});
    EXPECT_EQ(s.sent(b, "192.0.2.0/24")->as_path.to_string(), "65000 65001 4200000000");  // merged with AS4_PATH
    EXPECT_EQ(s.sent(c, "192.0.2.0/24")->as_path.to_string(), "65000 65001 4200000000");
    s.announce(b, "192.0.3.0/24", {4200000000});
    EXPECT_EQ(s.sent(c, "192.0.3.0/24")->as_path.to_string(), "65000 65002 4200000000");
}

TEST(RibOutput, NeighboursAlikeShareWhatIsEncoded)
{
    Speaker s;
    const auto a = s.peer(1, 65001);
    for (std::uint8_t n = 2; n < 12; ++n) s.peer(n, 65000U + n);
    for (std::uint32_t i = 0; i < 50; ++i) s.announce(a, "10.0." + std::to_string(i) + ".0/24", {300, 1000 + i});
    s.settle();
    EXPECT_EQ(s.rib.memory().sent_sets, 50U);
}

TEST(RibOutput, NothingIsLeftAfterEverybodyIsGone)
{
    Speaker s;
    std::vector<PeerHandle> peers;
    for (std::uint8_t n = 1; n < 6; ++n) peers.push_back(s.peer(n, 65000U + n));
    for (std::size_t i = 0; i < 2000; ++i)
        s.announce(peers[i % 5], "10." + std::to_string(i / 250) + "." + std::to_string(i % 250) + ".0/24",
                   {300, static_cast<std::uint32_t>(1000 + i % 13)});
    s.settle();
    for (const auto p : peers) s.rib.on_peer_down(p);
    s.settle();
    const auto m = s.rib.memory();
    EXPECT_EQ(m.prefixes, 0U);
    EXPECT_EQ(m.paths, 0U);
    EXPECT_EQ(m.attribute_sets, 0U);
    EXPECT_EQ(m.sent_sets, 0U);
    EXPECT_EQ(m.nexthops, 0U);
    EXPECT_TRUE(s.installed.empty());
    EXPECT_FALSE(s.rib.has_work());
}

}  // namespace
}  // namespace culvert::rib
