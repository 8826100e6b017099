#include "tests/sim/bgp/world.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <iostream>

namespace culvert::bgp::sim {
namespace {

struct Pair {
    Pair(World& world, const SessionConfig& a, const SessionConfig& b)
        : speakers{std::make_unique<Speaker>(world, link, a, world.below(~0ULL)),
                   std::make_unique<Speaker>(world, link, b, world.below(~0ULL))}
    {
        speakers[0]->meet(*speakers[1]);
        speakers[1]->meet(*speakers[0]);
    }

    bool converged() const
    {
        const auto* transport = speakers[0]->established_transport();
        return transport && transport == speakers[1]->established_transport() && speakers[0]->open_transports() == 1 &&
               speakers[1]->open_transports() == 1;
    }
    std::string describe() const
    {
        std::string out;
        for (const auto& s : speakers) {
            out += std::string{to_string(s->session().state())} + " (" +
                   std::string{to_string(s->session().stats().last_reset)} +
                   (s->session().config().passive ? ", passive" : "") + ") ";
        }
        return out;
    }

    Link link;
    std::array<std::unique_ptr<Speaker>, 2> speakers;
};

std::pair<SessionConfig, SessionConfig> random_configs(World& world)
{
    SessionConfig a, b;
    a.local_as = b.peer_as = Asn{static_cast<std::uint32_t>(65001 + world.below(2) * 100000)};
    b.local_as = a.peer_as = world.chance(30) ? a.local_as : Asn{65003};
    a.router_id = Ipv4Address{static_cast<std::uint32_t>(1 + world.below(1000))};
    // RFC 6286: between different ASes identifiers may be equal.
    b.router_id = a.local_as != b.local_as && world.chance(20)
                      ? a.router_id
                      : Ipv4Address{static_cast<std::uint32_t>(2000 + world.below(1000))};
    if (world.chance(50)) std::swap(a.router_id, b.router_id);
    for (auto* c : {&a, &b}) {
        c->hold = std::chrono::seconds{world.chance(20) ? 3 : 9 + world.below(80)};
        c->connect_retry = std::chrono::seconds{1 + world.below(world.chance(20) ? 120 : 15)};
        c->ipv6_unicast = world.chance(50);
        c->extended_message = world.chance(50);
    }
    if (world.chance(20)) (world.chance(50) ? a : b).passive = true;
    return {a, b};
}

// Speakers do worse to each other than networks do to TCP.
void disturb(World& world, Pair& pair)
{
    switch (world.below(8)) {
        case 0: pair.link.parted_until = world.now() + world.between(100ms, 120s); break;
        case 1: pair.speakers[world.below(2)]->break_transports(); break;
        case 2: pair.speakers[world.below(2)]->restart(); break;
        case 3:
            pair.link.delay_high = world.between(1ms, 4s);
            pair.link.delay_low = pair.link.delay_high / (1 + static_cast<Duration::rep>(world.below(4)));
            break;
        case 4: pair.link.loss = static_cast<unsigned>(world.below(40)); break;
        case 5: pair.link.segment = 1 + world.below(world.chance(50) ? 30 : 5000); break;
        case 6: {
            auto& speaker = *pair.speakers[world.below(2)];
            speaker.stop({ResetReason::UserReset, cease::kAdministrativeReset, ""});
            world.after(world.between(1ms, 10s), [&speaker] { speaker.start(); });
            break;
        }
        case 7: {  // both ends at once: the way to a collision
            for (auto& speaker : pair.speakers)
                speaker->stop({ResetReason::UserReset, cease::kAdministrativeReset, ""});
            world.after(1s, [&pair] {
                for (auto& speaker : pair.speakers) speaker->start();
            });
            break;
        }
    }
}

// No loss: a hold time of 3 s does not survive two retransmissions in a row, nor should it.
void calm(Link& link) { link = {}; }

class SessionSim : public testing::TestWithParam<std::uint64_t> {};

TEST_P(SessionSim, EveryPairEndsEstablishedOnOneConnection)
{
    const auto seed = GetParam();
    SCOPED_TRACE("seed " + std::to_string(seed));
    World world{seed};
    std::vector<std::unique_ptr<Pair>> pairs;
    for (int i = 0; i < 12; ++i) {
        const auto [a, b] = random_configs(world);
        pairs.push_back(std::make_unique<Pair>(world, a, b));
        for (auto& speaker : pairs.back()->speakers)
            world.after(world.chance(50) ? Duration{} : world.between(0ms, 5s), [&speaker] { speaker->start(); });
    }

    const auto quiet_from = world.now() + 10min;
    for (auto& pair : pairs) {
        for (auto t = world.now() + world.between(1s, 30s); t < quiet_from; t += world.between(10ms, 60s))
            world.at(t, [&world, &pair] { disturb(world, *pair); });
    }
    world.run_until(quiet_from);
    for (auto& pair : pairs) calm(pair->link);

    // The longest waits: 240 s for an OPEN, or the last hold time; then ConnectRetry.
    world.run_until(quiet_from + 7min);
    std::vector<std::size_t> downs, received;
    for (const auto& pair : pairs) {
        EXPECT_TRUE(pair->converged()) << pair->describe();
        for (const auto& speaker : pair->speakers) {
            EXPECT_EQ(speaker->fault(), "");
            downs.push_back(speaker->downs());
            received.push_back(speaker->received());
        }
    }

    world.run_until(quiet_from + 10min);
    std::size_t n = 0;
    for (const auto& pair : pairs) {
        EXPECT_TRUE(pair->converged());
        for (const auto& speaker : pair->speakers) {
            EXPECT_EQ(speaker->fault(), "");
            EXPECT_EQ(speaker->downs(), downs[n]) << "an established session did not last";
            EXPECT_GT(speaker->received(), received[n]);
            ++n;
        }
    }
    EXPECT_LT(world.events(), 10'000'000U);
}

std::vector<std::uint64_t> seeds()
{
    if (const char* seed = std::getenv("CULVERT_SIM_SEED")) return {std::strtoull(seed, nullptr, 10)};
    std::vector<std::uint64_t> out;
    for (std::uint64_t seed = 1; seed <= 25; ++seed) out.push_back(seed);
    out.push_back(std::random_device{}());
    std::cout << "also with seed " << out.back() << " (CULVERT_SIM_SEED repeats one)\n";
    return out;
}

INSTANTIATE_TEST_SUITE_P(Seeds, SessionSim, testing::ValuesIn(seeds()));

// Both ends connect in the same instant, over every mix of delays: the window in which RFC 4271 6.8 matters.
TEST(SimultaneousOpen, SettlesOnOneConnectionAtOnce)
{
    World world{1};
    std::size_t collisions = 0;
    for (int round = 0; round < 2000; ++round) {
        auto [a, b] = random_configs(world);
        a.passive = b.passive = false;
        a.connect_retry = b.connect_retry = 10s;
        a.hold = b.hold = 90s;
        Pair pair{world, a, b};
        pair.link.delay_low = 1ms;
        pair.link.delay_high = world.chance(50) ? 1ms : 200ms;
        const auto start = world.now();
        const auto apart = world.chance(50) ? Duration{} : world.between(0ms, 300ms);
        pair.speakers[0]->start();
        world.after(apart, [&] { pair.speakers[1]->start(); });
        world.run_until(start + 15s);
        ASSERT_TRUE(pair.converged()) << "round " << round << ": " << pair.describe();
        for (auto& speaker : pair.speakers) {
            ASSERT_EQ(speaker->fault(), "");
            ASSERT_EQ(speaker->downs(), 0U) << "round " << round;
            collisions += speaker->session().stats().collisions;
            speaker->stop({ResetReason::NeighborDeleted, cease::kPeerDeconfigured, ""});
        }
        world.run_until(start + 10min);  // nothing of this round may be left in the queue
    }
    EXPECT_GT(collisions, 500U);
}

}  // namespace
}  // namespace culvert::bgp::sim
