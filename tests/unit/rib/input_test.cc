#include "tests/unit/rib/speaker.h"

#include <gtest/gtest.h>

namespace culvert::rib {
namespace {

TEST(RibInput, TheBestPathIsInstalled)
{
    Speaker s;
    const auto a = s.peer(1, 65001), b = s.peer(2, 65002);
    s.announce(a, "192.0.2.0/24", {300, 400});
    s.announce(b, "192.0.2.0/24", {400});
    EXPECT_EQ(s.best("192.0.2.0/24"), b);
    EXPECT_EQ(s.reason("192.0.2.0/24"), Reason::AsPath);
    const auto& i = s.installed.at(prefix("192.0.2.0/24"));
    EXPECT_EQ(i.distance, 20);
    EXPECT_EQ(i.next_hops, std::vector{address("10.0.0.2")});

    s.withdraw(b, "192.0.2.0/24");
    EXPECT_EQ(s.best("192.0.2.0/24"), a);
    EXPECT_EQ(s.reason("192.0.2.0/24"), Reason::FirstPath);
    s.withdraw(a, "192.0.2.0/24");
    s.settle();
    EXPECT_TRUE(s.installed.empty());
    EXPECT_FALSE(s.rib.find(prefix("192.0.2.0/24")));
    EXPECT_EQ(s.rib.memory().prefixes, 0U);
    EXPECT_EQ(s.rib.memory().paths, 0U);
    EXPECT_EQ(s.rib.memory().attribute_sets, 0U);
    EXPECT_EQ(s.rib.memory().sent_sets, 0U);
}

TEST(RibInput, AnAnnouncementReplacesTheOneBefore)
{
    Speaker s;
    const auto a = s.peer(1, 65001);
    s.announce(a, "192.0.2.0/24", {300});
    s.settle();
    const auto before = s.route_changes;
    s.announce(a, "192.0.2.0/24", {300, 400});  // the same way to forward
    s.settle();
    EXPECT_EQ(s.route_changes, before);
    EXPECT_EQ(s.rib.find(prefix("192.0.2.0/24"))->paths.size(), 1U);
    auto with_med = s.from(a, {300});
    with_med.med = 5;
    s.announce(a, "192.0.2.0/24", with_med);
    s.settle();
    EXPECT_EQ(s.installed.at(prefix("192.0.2.0/24")).metric, 5U);
    EXPECT_EQ(s.rib.counts(a, Family::Ipv4).received, 1U);
}

TEST(RibInput, BothFamilies)
{
    Speaker s;
    const auto a = s.peer(1, 65001);
    s.announce(a, "2001:db8:1::/48", {300});
    EXPECT_EQ(s.best("2001:db8:1::/48"), a);
    EXPECT_EQ(s.installed.at(prefix("2001:db8:1::/48")).next_hops, std::vector{address("2001:db8::1")});
    EXPECT_EQ(s.rib.prefix_count(Family::Ipv6), 1U);
    EXPECT_EQ(s.rib.prefix_count(Family::Ipv4), 0U);
}

TEST(RibInput, OurAsInThePathIsALoop)
{
    Speaker s;
    PeerConfig twice;
    twice.families[0].allowas_in = 1;
    const auto a = s.peer(1, 65001), b = s.peer(2, 65002, twice);
    s.announce(a, "192.0.2.0/24", {65000});
    EXPECT_EQ(s.best("192.0.2.0/24"), kNoPeer);
    EXPECT_TRUE(s.rib.received(a, prefix("192.0.2.0/24"))->looped);
    EXPECT_EQ(s.rib.counts(a, Family::Ipv4).accepted, 0U);
    EXPECT_EQ(s.rib.counts(a, Family::Ipv4).received, 1U);
    s.announce(b, "192.0.2.0/24", {65000, 7});
    EXPECT_EQ(s.best("192.0.2.0/24"), b);
    s.announce(b, "192.0.2.0/24", {65000, 65000});
    EXPECT_EQ(s.best("192.0.2.0/24"), kNoPeer);
}

TEST(RibInput, OurRouterIdOrClusterIsALoop)
{
    Speaker s;
    const auto i = s.peer(1, 65000);
    auto a = s.from(i, {300});
    a.originator_id = Speaker::open_config().router_id;
    s.announce(i, "192.0.2.0/24", a);
    EXPECT_EQ(s.best("192.0.2.0/24"), kNoPeer);
    a.originator_id = Ipv4Address{5};
    a.cluster_list = {9, Speaker::open_config().router_id.value};
    s.announce(i, "192.0.2.0/24", a);
    EXPECT_EQ(s.best("192.0.2.0/24"), kNoPeer);
    a.cluster_list = {9};
    s.announce(i, "192.0.2.0/24", a);
    EXPECT_EQ(s.best("192.0.2.0/24"), i);
    EXPECT_EQ(s.installed.at(prefix("192.0.2.0/24")).distance, 200);
}

TEST(RibInput, ExternalNeighboursNeedPolicy)
{
    auto config = Speaker::open_config();
    config.ebgp_requires_policy = true;
    Speaker s{config};
    const auto a = s.peer(1, 65001), i = s.peer(2, 65000);
    s.announce(a, "192.0.2.0/24", {300});
    s.announce(i, "198.51.100.0/24", {300});
    EXPECT_EQ(s.best("192.0.2.0/24"), kNoPeer);
    EXPECT_TRUE(s.rib.received(a, prefix("192.0.2.0/24"))->rejected);
    EXPECT_EQ(s.best("198.51.100.0/24"), i);
    EXPECT_EQ(s.sent(a, "198.51.100.0/24"), nullptr);

    // The knob alone makes them usable, without a new session.
    config.ebgp_requires_policy = false;
    s.rib.configure(config);
    EXPECT_EQ(s.best("192.0.2.0/24"), a);
    EXPECT_NE(s.sent(a, "198.51.100.0/24"), nullptr);
    EXPECT_NE(s.sent(i, "192.0.2.0/24"), nullptr);
}

class Prefer final : public policy::Step {
public:
    explicit Prefer(std::uint32_t local_pref, std::optional<IpPrefix> reject = std::nullopt, std::uint32_t w = 0)
        : local_pref_(local_pref), reject_(reject), weight_(w)
    {}
    policy::Verdict apply(const policy::Route& r) const override
    {
        ++calls;
        if (reject_ && r.prefix == *reject_) return policy::Verdict::Reject;
        r.attributes.local_pref = local_pref_;
        if (weight_) r.weight = weight_;
        return policy::Verdict::Accept;
    }
    bool depends_on_prefix() const noexcept override { return reject_.has_value(); }
    mutable int calls = 0;

private:
    std::uint32_t local_pref_;
    std::optional<IpPrefix> reject_;
    std::uint32_t weight_;
};

TEST(RibInput, ImportStepChangesAttributesOnceASet)
{
    auto config = Speaker::open_config();
    config.ebgp_requires_policy = true;
    Speaker s{config};
    const auto step = std::make_shared<Prefer>(300);
    PeerConfig c;
    c.families[0].import_step = step;
    const auto a = s.peer(1, 65001, c);
    for (int i = 0; i < 100; ++i) s.announce(a, "192.0." + std::to_string(i) + ".0/24", {300});
    EXPECT_EQ(step->calls, 1);
    EXPECT_EQ(s.best("192.0.7.0/24"), a);
    EXPECT_EQ(s.rib.find(prefix("192.0.7.0/24"))->paths[0].attributes.local_pref, 300U);
    EXPECT_EQ(s.rib.received(a, prefix("192.0.7.0/24"))->attributes.local_pref, std::nullopt);
    for (int i = 0; i < 100; ++i) s.withdraw(a, "192.0." + std::to_string(i) + ".0/24");
    s.settle();
    EXPECT_EQ(s.rib.memory().attribute_sets, 0U);
}

TEST(RibInput, ImportStepMayRejectByPrefixAndSetTheWeight)
{
    Speaker s;
    PeerConfig c;
    c.families[0].import_step = std::make_shared<Prefer>(50, prefix("192.0.2.0/24"), 700);
    const auto a = s.peer(1, 65001, c), b = s.peer(2, 65002);
    for (const char* p : {"192.0.2.0/24", "192.0.3.0/24"}) {
        s.announce(a, p, {300});
        s.announce(b, p, {300});
    }
    EXPECT_EQ(s.best("192.0.2.0/24"), b);
    EXPECT_EQ(s.best("192.0.3.0/24"), a);
    EXPECT_EQ(s.reason("192.0.3.0/24"), Reason::Weight);
    EXPECT_EQ(s.rib.find(prefix("192.0.3.0/24"))->paths[0].weight, 700U);
}

TEST(RibInput, ANewImportStepRunsOverWhatIsThere)
{
    Speaker s;
    PeerConfig c;
    c.address = Ipv4Address{0x0a000001};
    const auto a = s.peer(1, 65001, c), b = s.peer(2, 65002);
    for (const auto p : {a, b}) s.announce(p, "192.0.2.0/24", {300});
    EXPECT_EQ(s.best("192.0.2.0/24"), a);
    c.families[0].import_step = std::make_shared<Prefer>(50);
    s.rib.reconfigure(a, c);
    EXPECT_EQ(s.best("192.0.2.0/24"), b);
    EXPECT_EQ(s.reason("192.0.2.0/24"), Reason::LocalPref);
    c.families[0].import_step = std::make_shared<Prefer>(50, prefix("192.0.2.0/24"));
    s.rib.reconfigure(a, c);
    s.settle();
    EXPECT_EQ(s.rib.counts(a, Family::Ipv4).accepted, 0U);
    c.families[0].import_step = nullptr;
    c.families[0].weight = 5;
    s.rib.reconfigure(a, c);
    EXPECT_EQ(s.best("192.0.2.0/24"), a);
    EXPECT_EQ(s.reason("192.0.2.0/24"), Reason::Weight);
    EXPECT_EQ(s.rib.counts(a, Family::Ipv4).accepted, 1U);
}

TEST(RibInput, LocalAsIsPrependedToWhatComesIn)
{
    Speaker s;
    PeerConfig c;
    c.local_as = Asn{64999};
    const auto a = s.peer(1, 65001, c);
    s.announce(a, "192.0.2.0/24", {300});
    EXPECT_EQ(s.rib.find(prefix("192.0.2.0/24"))->paths[0].attributes.as_path.to_string(), "64999 65001 300");
    s.announce(a, "192.0.3.0/24", {64999});
    EXPECT_EQ(s.best("192.0.3.0/24"), kNoPeer);
}

TEST(RibInput, NextHopsDecideWhatIsUsable)
{
    Speaker s;
    s.answer_nexthops = false;
    const auto a = s.peer(1, 65001), i = s.peer(2, 65000);
    s.announce(a, "192.0.2.0/24", {300});
    s.announce(i, "192.0.2.0/24", {300, 400});
    EXPECT_EQ(s.best("192.0.2.0/24"), kNoPeer);
    EXPECT_EQ(s.tracked, (std::set<IpAddress>{address("10.0.0.1"), address("10.0.0.2")}));

    s.rib.on_nexthop(address("10.0.0.2"), {true, false, 10});  // reached over others: good enough inside the AS
    EXPECT_EQ(s.best("192.0.2.0/24"), i);
    s.rib.on_nexthop(address("10.0.0.1"), {true, false, 10});  // but not for a neighbour on the link
    EXPECT_EQ(s.best("192.0.2.0/24"), i);
    s.rib.on_nexthop(address("10.0.0.1"), {true, true, 0});
    EXPECT_EQ(s.best("192.0.2.0/24"), a);
    s.rib.on_nexthop(address("10.0.0.1"), {});
    EXPECT_EQ(s.best("192.0.2.0/24"), i);
    EXPECT_FALSE(s.rib.received(a, prefix("192.0.2.0/24"))->valid);
    s.withdraw(a, "192.0.2.0/24");
    s.withdraw(i, "192.0.2.0/24");
    s.settle();
    EXPECT_TRUE(s.tracked.empty());
}

TEST(RibInput, MultihopNeighboursMayHaveNextHopsAnywhere)
{
    Speaker s;
    s.answer_nexthops = false;
    PeerConfig c;
    c.multihop = true;
    const auto a = s.peer(1, 65001, c);
    s.announce(a, "192.0.2.0/24", {300});
    s.settle();
    s.rib.on_nexthop(address("10.0.0.1"), {true, false, 10});
    EXPECT_EQ(s.best("192.0.2.0/24"), a);
}

TEST(RibInput, TheNearerNextHopWins)
{
    Speaker s;
    const auto a = s.peer(1, 65000), b = s.peer(2, 65000);
    for (const auto p : {a, b}) s.announce(p, "192.0.2.0/24", {300});
    s.settle();
    s.rib.on_nexthop(address("10.0.0.1"), {true, false, 20});
    s.rib.on_nexthop(address("10.0.0.2"), {true, false, 10});
    EXPECT_EQ(s.best("192.0.2.0/24"), b);
    EXPECT_EQ(s.reason("192.0.2.0/24"), Reason::IgpMetric);
    s.rib.on_nexthop(address("10.0.0.2"), {true, false, 30});
    EXPECT_EQ(s.best("192.0.2.0/24"), a);
}

TEST(RibInput, OurOwnAddressIsNoNextHop)
{
    Speaker s;
    const auto a = s.peer(1, 65001);
    s.announce(a, "192.0.2.0/24", {300});
    EXPECT_EQ(s.best("192.0.2.0/24"), a);
    s.rib.set_local_addresses({address("10.0.0.1")});
    EXPECT_EQ(s.best("192.0.2.0/24"), kNoPeer);
    s.rib.set_local_addresses({});
    EXPECT_EQ(s.best("192.0.2.0/24"), a);
}

TEST(RibInput, EqualPathsShareTraffic)
{
    auto config = Speaker::open_config();
    config.families[0].maximum_paths = 2;
    Speaker s{config};
    const auto a = s.peer(1, 65001), b = s.peer(2, 65001), c = s.peer(3, 65001), d = s.peer(4, 65002);
    for (const auto p : {c, b, a, d}) {
        s.announce(p, "192.0.2.0/24", {300});
        s.settle();
    }
    // The oldest is best; of the others of the same AS the one with the lowest router id.
    EXPECT_EQ(s.installed.at(prefix("192.0.2.0/24")).next_hops,
              (std::vector{address("10.0.0.3"), address("10.0.0.1")}));
    s.withdraw(c, "192.0.2.0/24");
    s.settle();
    EXPECT_EQ(s.installed.at(prefix("192.0.2.0/24")).next_hops.size(), 2U);
    s.withdraw(a, "192.0.2.0/24");
    s.withdraw(b, "192.0.2.0/24");
    s.settle();
    EXPECT_EQ(s.installed.at(prefix("192.0.2.0/24")).next_hops, std::vector{address("10.0.0.4")});
}

TEST(RibInput, MultipathRelaxAndOff)
{
    auto config = Speaker::open_config();
    config.multipath_relax = true;
    Speaker s{config};
    const auto a = s.peer(1, 65001), b = s.peer(2, 65002);
    for (const auto p : {a, b}) s.announce(p, "192.0.2.0/24", {300});
    s.settle();
    EXPECT_EQ(s.installed.at(prefix("192.0.2.0/24")).next_hops.size(), 2U);
    config.families[0].maximum_paths = 1;
    s.rib.configure(config);
    s.settle();
    EXPECT_EQ(s.installed.at(prefix("192.0.2.0/24")).next_hops.size(), 1U);
}

TEST(RibInput, TheBackupFollowsWhenAskedFor)
{
    auto config = Speaker::open_config();
    config.backup_paths = true;
    Speaker s{config};
    const auto a = s.peer(1, 65001), b = s.peer(2, 65002), c = s.peer(3, 65003);
    s.announce(a, "192.0.2.0/24", {300});
    s.announce(b, "192.0.2.0/24", {300, 400, 500});
    s.settle();
    EXPECT_EQ(s.installed.at(prefix("192.0.2.0/24")).backup, std::vector{address("10.0.0.2")});
    s.announce(c, "192.0.2.0/24", {300, 400});
    s.settle();
    EXPECT_EQ(s.installed.at(prefix("192.0.2.0/24")).backup, std::vector{address("10.0.0.3")});
    s.withdraw(c, "192.0.2.0/24");
    s.withdraw(b, "192.0.2.0/24");
    s.settle();
    EXPECT_TRUE(s.installed.at(prefix("192.0.2.0/24")).backup.empty());
}

TEST(RibInput, OwnRoutesWinAndAreNotInstalled)
{
    Speaker s;
    const auto a = s.peer(1, 65001);
    s.announce(a, "192.0.2.0/24", {300});
    s.settle();
    EXPECT_EQ(s.installed.size(), 1U);
    bgp::PathAttributes own;
    own.origin = bgp::Origin::Igp;
    s.rib.originate(prefix("192.0.2.0/24"), LocalSource::Network, own, kT0);
    s.settle();
    EXPECT_TRUE(s.installed.empty());
    auto view = s.rib.find(prefix("192.0.2.0/24"));
    EXPECT_EQ(view->paths[0].local, LocalSource::Network);
    EXPECT_EQ(view->paths[0].weight, 32768U);
    EXPECT_EQ(view->reason, Reason::Weight);
    s.rib.originate(prefix("192.0.2.0/24"), LocalSource::Connected, own, kT0);
    s.settle();
    view = s.rib.find(prefix("192.0.2.0/24"));
    EXPECT_EQ(view->reason, Reason::LocalConfigured);
    s.rib.withdraw(prefix("192.0.2.0/24"), LocalSource::Network);
    s.rib.withdraw(prefix("192.0.2.0/24"), LocalSource::Connected);
    s.settle();
    EXPECT_EQ(s.installed.size(), 1U);
}

TEST(RibInput, ANetworkWithoutARouteIsListedAndNoMore)
{
    Speaker s;
    const auto a = s.peer(1, 65001);
    bgp::PathAttributes own;
    own.origin = bgp::Origin::Igp;
    s.rib.originate(prefix("192.0.2.0/24"), LocalSource::MissingNetwork, own, kT0);
    s.settle();
    auto view = s.rib.find(prefix("192.0.2.0/24"));
    ASSERT_EQ(view->paths.size(), 1U);
    EXPECT_FALSE(view->paths[0].valid);
    EXPECT_FALSE(view->paths[0].best);
    EXPECT_EQ(view->paths[0].weight, 32768U);
    EXPECT_TRUE(view->advertised_to.empty());
    s.announce(a, "192.0.2.0/24", {300});
    s.settle();
    EXPECT_EQ(s.installed.size(), 1U) << "in spite of its weight";
    s.rib.originate(prefix("192.0.2.0/24"), LocalSource::Network, own, kT0);
    s.rib.withdraw(prefix("192.0.2.0/24"), LocalSource::MissingNetwork);
    s.settle();
    view = s.rib.find(prefix("192.0.2.0/24"));
    ASSERT_EQ(view->paths.size(), 2U);
    EXPECT_TRUE(view->paths[0].best);
    EXPECT_EQ(view->paths[0].local, LocalSource::Network);
}

TEST(RibInput, ASessionThatEndsTakesItsPathsAlong)
{
    Speaker s;
    const auto a = s.peer(1, 65001), b = s.peer(2, 65002);
    for (int i = 0; i < 3000; ++i) {
        const auto p = "10." + std::to_string(i / 256) + "." + std::to_string(i % 256) + ".0/24";
        s.announce(a, p, {300});
        if (i % 2) s.announce(b, p, {300, 400});
    }
    s.settle();
    EXPECT_EQ(s.installed.size(), 3000U);
    s.rib.on_peer_down(a);
    EXPECT_FALSE(s.rib.is_up(a));
    s.settle();
    EXPECT_EQ(s.installed.size(), 1500U);
    EXPECT_EQ(s.seen_by(b).routes.size(), 0U);
    EXPECT_EQ(s.rib.memory().prefixes, 1500U);
    EXPECT_EQ(s.rib.memory().paths, 1500U);
    EXPECT_EQ(s.tracked, std::set{address("10.0.0.2")});
}

TEST(RibInput, ASessionThatIsBackBeforeTheSweepKeepsItsNewPaths)
{
    Speaker s;
    const auto a = s.peer(1, 65001);
    for (int i = 0; i < 500; ++i)
        s.announce(a, "10.0." + std::to_string(i % 256) + "." + std::to_string(i / 256 * 128) + "/25", {300});
    s.settle();
    s.rib.on_peer_down(a);
    s.up(a);
    s.announce(a, "10.0.7.0/25", {300});
    s.announce(a, "203.0.113.0/24", {300});
    s.settle();
    EXPECT_EQ(s.installed.size(), 2U);
    EXPECT_EQ(s.best("10.0.7.0/25"), a);
    EXPECT_EQ(s.rib.counts(a, Family::Ipv4).received, 2U);
    EXPECT_EQ(s.rib.memory().paths, 2U);
}

TEST(RibInput, MaximumPrefixWarnsThenCries)
{
    Speaker s;
    PeerConfig c;
    c.families[0].maximum_prefix = {10, 50, false};
    const auto a = s.peer(1, 65001, c);
    for (int i = 0; i < 5; ++i) s.announce(a, "10.0." + std::to_string(i) + ".0/24", {300});
    EXPECT_TRUE(s.rib.take_events().empty());
    for (int i = 5; i < 10; ++i) s.announce(a, "10.0." + std::to_string(i) + ".0/24", {300});
    auto events = s.rib.take_events();
    ASSERT_EQ(events.size(), 1U);
    EXPECT_EQ(events[0].kind, Event::Kind::MaximumPrefixThreshold);
    EXPECT_EQ(events[0].count, 6U);
    for (int i = 0; i < 10; ++i) s.announce(a, "10.0." + std::to_string(i) + ".0/24", {300, 400});
    EXPECT_TRUE(s.rib.take_events().empty());  // the same prefixes
    s.announce(a, "10.0.10.0/24", {300});
    s.announce(a, "10.0.11.0/24", {300});
    events = s.rib.take_events();
    ASSERT_EQ(events.size(), 1U);
    EXPECT_EQ(events[0].kind, Event::Kind::MaximumPrefixExceeded);
    EXPECT_EQ(events[0].peer, a);
    EXPECT_FALSE(events[0].warning_only);
}

TEST(RibInput, FeasiblePathsAreReportedWhetherBestOrNot)
{
    Speaker s;
    PeerConfig c;
    c.address = Ipv4Address{0x0a000001};
    c.track_feasible = true;
    const auto a = s.peer(1, 65001, c), b = s.peer(2, 65002);
    s.announce(b, "192.0.2.0/24");
    s.announce(a, "192.0.2.0/24", {300, 400});
    s.announce(a, "192.0.3.0/24", {65000});
    s.settle();
    const std::set<std::pair<PeerHandle, IpPrefix>> one{{a, prefix("192.0.2.0/24")}};
    EXPECT_EQ(s.feasible, one);
    s.announce(a, "192.0.2.0/24", {65000});
    s.settle();
    EXPECT_TRUE(s.feasible.empty());
    s.announce(a, "192.0.2.0/24", {300});
    s.settle();
    EXPECT_EQ(s.feasible, one);

    // Asked for later, and no more.
    c.track_feasible = false;
    s.rib.reconfigure(a, c);
    s.settle();
    EXPECT_TRUE(s.feasible.empty());
    c.track_feasible = true;
    s.rib.reconfigure(a, c);
    s.settle();
    EXPECT_EQ(s.feasible, one);
    s.rib.on_peer_down(a);
    s.settle();
    EXPECT_TRUE(s.feasible.empty());
}

TEST(RibInput, EnhancedRefreshRemovesWhatIsNotSentAgain)
{
    Speaker s;
    const auto a = s.peer(1, 65001);
    for (const char* p : {"192.0.2.0/24", "192.0.3.0/24", "192.0.4.0/24"}) s.announce(a, p, {300});
    s.rib.on_refresh_begin(a, Family::Ipv4);
    s.announce(a, "192.0.2.0/24", {300});
    s.announce(a, "192.0.3.0/24", {300, 400});
    s.settle();
    EXPECT_EQ(s.installed.size(), 3U);
    s.rib.on_refresh_end(a, Family::Ipv4);
    s.settle();
    EXPECT_EQ(s.installed.size(), 2U);
    EXPECT_EQ(s.best("192.0.4.0/24"), kNoPeer);
    s.rib.on_refresh_begin(a, Family::Ipv4);
    s.rib.on_refresh_end(a, Family::Ipv4);
    s.settle();
    EXPECT_TRUE(s.installed.empty());
}

TEST(RibInput, TreatAsWithdraw)
{
    Speaker s;
    const auto a = s.peer(1, 65001);
    s.announce(a, "192.0.2.0/24", {300});
    const std::vector<std::uint8_t> nlri{24, 192, 0, 2};
    bgp::UpdateView bad;
    bad.action = bgp::Action::TreatAsWithdraw;
    bad.reach[0].nlri = {Family::Ipv4, nlri};
    s.rib.on_update(a, bad, kT0);
    EXPECT_EQ(s.best("192.0.2.0/24"), kNoPeer);
}

TEST(RibInput, EndOfRibIsRemembered)
{
    Speaker s;
    const auto a = s.peer(1, 65001);
    EXPECT_EQ(s.rib.end_of_rib_received(a, Family::Ipv4), false);
    bgp::UpdateView end;
    end.end_of_rib = Family::Ipv4;
    s.rib.on_update(a, end, kT0);
    EXPECT_EQ(s.rib.end_of_rib_received(a, Family::Ipv4), true);
    EXPECT_EQ(s.rib.end_of_rib_received(a, Family::Ipv6), false);
    s.rib.on_peer_down(a);
    EXPECT_EQ(s.rib.end_of_rib_received(a, Family::Ipv4), std::nullopt);
}

TEST(RibView, WalksInOrder)
{
    Speaker s;
    const auto a = s.peer(1, 65001);
    std::set<IpPrefix> expected;
    std::uint64_t state = 3;
    for (int i = 0; i < 2000; ++i) {
        state = mix(state + 0x9e3779b97f4a7c15ULL);
        const auto p = IpPrefix::make(Ipv4Address{static_cast<std::uint32_t>(state) % 0x40000000},
                                      static_cast<int>((state >> 32) % 25) + 8);
        expected.insert(p);
        s.announce(a, p.to_string(), {300});
    }
    Rib::Walk walk{s.rib, Family::Ipv4};
    while (walk.prepare(100)) {}
    for (const auto& p : expected) ASSERT_EQ(walk.next(), p);
    EXPECT_EQ(walk.next(), std::nullopt);
}

TEST(RibView, LongestMatch)
{
    Speaker s;
    const auto a = s.peer(1, 65001);
    for (const char* p : {"0.0.0.0/0", "10.0.0.0/8", "10.1.0.0/16", "2001:db8::/32"}) s.announce(a, p, {300});
    EXPECT_EQ(s.rib.longest_match(address("10.1.2.3"))->prefix, prefix("10.1.0.0/16"));
    EXPECT_EQ(s.rib.longest_match(address("10.2.2.3"))->prefix, prefix("10.0.0.0/8"));
    EXPECT_EQ(s.rib.longest_match(address("11.2.2.3"))->prefix, prefix("0.0.0.0/0"));
    EXPECT_EQ(s.rib.longest_match(address("2001:db8::1"))->prefix, prefix("2001:db8::/32"));
    EXPECT_FALSE(s.rib.longest_match(address("2001:db9::1")));
    s.withdraw(a, "10.1.0.0/16");
    EXPECT_EQ(s.rib.longest_match(address("10.1.2.3"))->prefix, prefix("10.0.0.0/8"));
}

TEST(RibView, ShowsAllPathsBestFirst)
{
    Speaker s;
    const auto a = s.peer(1, 65001), b = s.peer(2, 65002);
    s.announce(a, "192.0.2.0/24", {300, 400});
    Wire(s.links.at(b).negotiated).announce(s.rib, b, {prefix("192.0.2.0/24")}, s.from(b, {300}), kT0 + 90s);
    s.settle();
    const auto v = *s.rib.find(prefix("192.0.2.0/24"));
    ASSERT_EQ(v.paths.size(), 2U);
    EXPECT_TRUE(v.paths[0].best && v.paths[0].valid && !v.paths[1].best && v.paths[1].valid);
    EXPECT_EQ(v.paths[0].peer, b);
    EXPECT_EQ(v.paths[0].received_at, kT0 + 90s);
    EXPECT_TRUE(v.paths[0].next_hop.reachable);
    EXPECT_EQ(v.advertised_to, std::vector{a});
    EXPECT_EQ(s.rib.advertised(a, prefix("192.0.2.0/24"))->as_path.to_string(), "65000 65002 300");
    EXPECT_EQ(s.rib.advertised(b, prefix("192.0.2.0/24")), std::nullopt);
    EXPECT_EQ(s.rib.counts(a, Family::Ipv4).sent, 1U);
}

TEST(RibPeers, HandlesAreReusedOnlyAfterTheSweep)
{
    Speaker s;
    const auto a = s.peer(1, 65001);
    s.announce(a, "192.0.2.0/24", {300});
    s.settle();
    s.rib.remove_peer(a);
    s.links.erase(a);
    PeerConfig c;
    EXPECT_NE(s.rib.add_peer(c), a);
    s.settle();
    EXPECT_EQ(s.rib.add_peer(c), a);
    EXPECT_TRUE(s.installed.empty());
}

}  // namespace
}  // namespace culvert::rib
