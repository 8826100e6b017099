#include "tests/sim/wireguard/world.h"

#include <gtest/gtest.h>

#include <cstdlib>

namespace culvert::sim {
namespace {

// CULVERT_SEED repeats a run that failed.
std::uint64_t seed(std::uint64_t usual)
{
    const char* const text = std::getenv("CULVERT_SEED");
    return text != nullptr ? std::strtoull(text, nullptr, 10) : usual;
}

TEST(WireguardSim, TheFirstPacketWaitsForTheHandshakeAndArrives)
{
    World world(seed(1));
    world.add_box();
    world.add_box();
    world.join(0, 1);
    world.send(0, 1);
    world.run_for(1s);
    EXPECT_EQ(world.received(), 1U);
    EXPECT_TRUE(world.is_up(0, 1));
    EXPECT_TRUE(world.is_up(1, 0));
}

TEST(WireguardSim, BothBeginAtOnceAndNothingWaitsForARetry)
{
    World world(seed(2));
    world.add_box();
    world.add_box();
    world.join(0, 1, true, true);
    for (int i = 0; i < 20; ++i) {
        world.send(0, 1);
        world.send(1, 0);
    }
    world.run_for(1s);
    EXPECT_EQ(world.received(), 40U);
}

// Ten minutes of traffic, five rekeys, a network that reorders but does not lose.
TEST(WireguardSim, RekeyLosesNothing)
{
    for (const bool both_ways : {false, true}) {
        World world(seed(both_ways ? 3 : 4));
        world.weather.jitter = 30ms;
        world.add_box();
        world.add_box();
        world.join(0, 1, true, true);
        const TimePoint end = world.now + 600s;
        world.stream(0, 1, 20ms, end);
        if (both_ways) world.stream(1, 0, 20ms, end);
        world.run_until(end + 1s);
        EXPECT_EQ(world.received(), world.sent());
        EXPECT_GE(world.box(0).engine().peer(World::id(1), world.now)->handshakes, 5U);
        EXPECT_LE(world.handshake_messages(), 20U) << "one handshake each 120 s";
        EXPECT_EQ(world.box(0).dropped_waiting + world.box(1).dropped_waiting, 0U);
    }
}

// As a test against other implementations has it: short lives of keys on one side alone, whoever began.
TEST(WireguardSim, ShortRekeyOnOneSideLosesNothing)
{
    for (const std::size_t first : {0U, 1U}) {
        for (const auto life : {1s, 2s, 3s, 10s}) {
            World world(seed(5 + first));
            world.weather.jitter = 5ms;
            world.add_box(1'700'000'000, life);
            world.add_box();
            world.join(0, 1);
            world.send(first, 1 - first);
            world.run_for(100ms);
            const TimePoint end = world.now + 60s;
            world.stream(0, 1, 20ms, end);
            world.stream(1, 0, 20ms, end);
            world.run_until(end + 1s);
            EXPECT_EQ(world.received(), world.sent()) << life.count();
            const auto handshakes = world.box(0).engine().peer(World::id(1), world.now)->handshakes;
            EXPECT_GE(handshakes, 60s / (life + std::min<Duration>(5s, life / 2) + 1s)) << life.count();
            EXPECT_LE(handshakes, 62s / life) << life.count();
        }
    }
}

// Only one side ever sends: the other must answer within ten seconds, or the first takes it for dead.
TEST(WireguardSim, OneWayTrafficIsKeptAliveByKeepalives)
{
    World world(seed(8));
    world.add_box();
    world.add_box();
    world.join(0, 1);
    const TimePoint end = world.now + 110s;
    world.stream(0, 1, 100ms, end);
    world.run_until(end);
    EXPECT_EQ(world.box(0).engine().peer(World::id(1), world.now)->initiations_sent, 1U);
    const auto keepalives = world.box(0).verdicts[api::Verdict::KeepaliveReceived];
    EXPECT_GE(keepalives, 9U);
    EXPECT_LE(keepalives, 12U);
}

TEST(WireguardSim, AQuietTunnelSaysNothing)
{
    World world(seed(9));
    world.add_box();
    world.add_box();
    world.join(0, 1);
    world.send(0, 1);
    world.run_for(20s);
    const auto before = world.datagrams();
    world.run_for(3600s);
    EXPECT_EQ(world.datagrams(), before);
    EXPECT_FALSE(world.is_up(0, 1));
    EXPECT_EQ(world.box(0).table().sessions(), 0U) << "keys are forgotten after three lives";
    EXPECT_EQ(world.box(1).table().sessions(), 0U);
    EXPECT_EQ(world.box(0).indices().size() + world.box(1).indices().size(), 0U);
    EXPECT_EQ(world.box(0).engine().next_deadline(), kNever) << "and there is nothing left to wake up for";
}

TEST(WireguardSim, PersistentKeepaliveHoldsTheTunnelUp)
{
    World world(seed(10));
    world.add_box();
    world.add_box();
    world.join(0, 1, false, false, 25s);
    world.run_for(1s);
    EXPECT_TRUE(world.is_up(0, 1)) << "it begins by itself";
    for (int i = 0; i < 60; ++i) {
        world.run_for(10s);
        EXPECT_TRUE(world.is_up(0, 1)) << i;
        EXPECT_TRUE(world.is_up(1, 0)) << i;
    }
}

TEST(WireguardSim, ComesBackAfterAPartition)
{
    World world(seed(11));
    world.add_box();
    world.add_box();
    world.join(0, 1);
    const TimePoint end = world.now + 1200s;
    world.stream(0, 1, 100ms, end);
    world.stream(1, 0, 100ms, end);
    world.run_for(30s);
    for (const auto length : {5s, 40s, 200s, 600s}) {
        world.cut(0, 1);
        world.run_for(length);
        world.heal(0, 1);
        const auto before = world.received();
        world.run_for(7s);  // a retry each 5 s
        EXPECT_GT(world.received(), before) << length.count();
        EXPECT_TRUE(world.is_up(0, 1)) << length.count();
        world.run_for(3s);
        const auto sent = world.sent();
        const auto received = world.received();
        world.run_for(10s);
        EXPECT_NEAR(static_cast<double>(world.received() - received), static_cast<double>(world.sent() - sent), 4);
    }
}

TEST(WireguardSim, FollowsAPeerThatMoves)
{
    World world(seed(12));
    world.add_box();
    world.add_box();
    world.join(0, 1, false);
    const TimePoint end = world.now + 100s;
    world.stream(0, 1, 50ms, end);
    world.stream(1, 0, 50ms, end);
    world.run_for(10s);
    const Endpoint elsewhere{Ipv4Address{0xcb007107}, 4711};
    world.move(0, elsewhere);
    world.run_for(1s);
    EXPECT_EQ(world.box(1).table().endpoint(World::id(0)), elsewhere);
    EXPECT_EQ(world.box(1).engine().peer(World::id(0), world.now)->endpoint, elsewhere);
    const auto lost = world.sent() - world.received();
    EXPECT_LE(lost, 6U) << "only what was on its way";
    world.run_until(end + 1s);
    EXPECT_LE(world.sent() - world.received(), lost);
    EXPECT_EQ(world.box(0).engine().peer(World::id(1), world.now)->initiations_sent, 1U) << "moving takes no handshake";
}

// A box that starts again has lost its keys but not its clock.
TEST(WireguardSim, APeerThatStartsAgainIsTakenBack)
{
    World world(seed(13));
    world.add_box();
    world.add_box();
    world.join(0, 1);
    world.stream(0, 1, 100ms, world.now + 100s);
    world.run_for(10s);
    // As after kill -9: the peer forgets, and says nothing of it.
    auto& forgetful = world.box(1);
    forgetful.apply(forgetful.engine().set_up(false, world.now), world.now);
    forgetful.apply(forgetful.engine().set_up(true, world.now), world.now);
    forgetful.pump(world.now);
    world.run_for(25s);  // 15 s of silence, and a handshake
    const auto before = world.received();
    world.run_for(5s);
    EXPECT_GE(world.received() - before, 49U);
}

TEST(WireguardSim, AClockThatIsWrongByYearsDoesNotMatter)
{
    World world(seed(14));
    world.add_box(10);             // 1970
    world.add_box(4'000'000'000);  // 2096
    world.join(0, 1);
    world.stream(0, 1, 100ms, world.now + 300s);
    world.run_for(301s);
    EXPECT_EQ(world.received(), world.sent());
}

// The date of the initiator jumps back while it runs; its timestamps go on growing all the same.
TEST(WireguardSim, AClockThatIsSetBackDoesNotMatter)
{
    World world(seed(15));
    world.add_box();
    world.add_box();
    world.join(0, 1);
    world.stream(0, 1, 100ms, world.now + 400s);
    world.run_for(30s);
    world.box(0).clock().set_date(1'000'000'000);
    world.run_for(371s);
    EXPECT_EQ(world.received(), world.sent());
}

class BadWeather : public testing::TestWithParam<std::uint64_t> {};

// Everything at once. The World checks that nothing comes twice, altered, or under a used counter.
TEST_P(BadWeather, PairNeverTakesAReplayAndComesBack)
{
    World world(seed(GetParam()));
    world.weather = {
        .loss = 100, .duplicates = 100, .replays = 50, .delay = 5ms, .jitter = 200ms, .worker_delay = 20ms};
    world.add_box(1'700'000'000, 7s);
    world.add_box(1'600'000'000);
    world.join(0, 1, true, true, 5s);
    world.stream(0, 1, 30ms, world.now + 300s);
    world.stream(1, 0, 40ms, world.now + 300s);
    world.run_for(100s);
    world.cut(0, 1);
    world.run_for(30s);
    world.heal(0, 1);
    world.move(1, {Ipv4Address{0xcb007108}, 999});
    world.run_for(200s);
    world.weather = {};
    world.run_for(60s);
    EXPECT_TRUE(world.is_up(0, 1));
    EXPECT_TRUE(world.is_up(1, 0));
    EXPECT_GT(world.received(), world.sent() / 2);
    const auto before = world.received();
    for (int i = 0; i < 10; ++i) {
        world.send(0, 1);
        world.send(1, 0);
        world.run_for(100ms);
    }
    EXPECT_EQ(world.received() - before, 20U);
    EXPECT_GT(world.box(0).verdicts[api::Verdict::DropWireguardReplay], 0U) << "or the weather was too good";
}

// One hub, many spokes that only know the hub, on one interface of it.
TEST_P(BadWeather, StarOfManyPeers)
{
    constexpr std::size_t kSpokes = 20;
    World world(seed(100 + GetParam()));
    world.weather = {.loss = 20, .duplicates = 20, .replays = 5, .delay = 5ms, .jitter = 20ms, .worker_delay = 1ms};
    world.add_box(1'700'000'000, 20s);
    for (std::size_t i = 1; i <= kSpokes; ++i) {
        world.add_box(1'000'000'000 * i);
        world.join(i, 0, false, i % 2 == 0, i % 3 == 0 ? 10s : 0s);
        world.stream(i, 0, 170ms, world.now + 200s);
        world.stream(0, i, 190ms, world.now + 200s);
    }
    world.run_for(90s);
    for (std::size_t i = 1; i <= kSpokes / 2; ++i) world.cut(0, i);
    world.run_for(60s);
    for (std::size_t i = 1; i <= kSpokes / 2; ++i) world.heal(0, i);
    world.run_for(40s);
    world.weather = {};
    for (std::size_t i = 1; i <= kSpokes; ++i) {
        EXPECT_TRUE(world.is_up(0, i)) << i;
        EXPECT_TRUE(world.is_up(i, 0)) << i;
    }
    world.run_for(12s);
    const auto sent = world.sent();
    const auto received = world.received();
    for (std::size_t i = 1; i <= kSpokes; ++i) {
        world.send(i, 0);
        world.send(0, i);
    }
    world.run_for(1s);
    EXPECT_EQ(world.received() - received, world.sent() - sent);
    EXPECT_LE(world.box(0).indices().size(), kSpokes * 10) << "indices don't pile up";
}

INSTANTIATE_TEST_SUITE_P(Seeds, BadWeather, testing::Range<std::uint64_t>(20, 26));

}  // namespace
}  // namespace culvert::sim
