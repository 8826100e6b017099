#include "dataplane/bfd/engine.h"

#include "tests/unit/bfd/box.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace culvert::bfd::test {
namespace {

using enum BfdState;
using api::Verdict;

class BfdEngine : public testing::Test {
protected:
    Verdict packet(const ControlPacket& p, TimePoint at) { return packet(p, arrival(at), at); }
    Verdict packet(const ControlPacket& p, const Arrival& from, TimePoint at)
    {
        return box.engine.on_packet(wire(p), from, at);
    }
    void bring_up(const api::SetBfdSession& s = settings())
    {
        box.engine.apply(s, kT0);
        ASSERT_EQ(packet(from_peer(Init, s.discriminator), kT0), Verdict::BfdReceived);
        ASSERT_EQ(packet(from_peer(Up, s.discriminator), kT0), Verdict::BfdReceived);
        ASSERT_EQ(box.changes.back().state, Up);
    }
    void run(TimePoint until)
    {
        TimePoint at{};
        while (box.engine.next_deadline() <= until) {
            at = std::max(at + 1us, box.engine.next_deadline());
            box.engine.on_time(at, at);
        }
    }

    Box box;
};

TEST_F(BfdEngine, TheFirstPacketIsKnownByWhereItComesFrom)  // 6.3, RFC 5881 3
{
    box.engine.apply(settings(), kT0);
    const auto first = from_peer(Down, 0);
    auto from = arrival(kT0);
    from.interface = InterfaceId{4};
    EXPECT_EQ(packet(first, from, kT0), Verdict::DropBfdNoSession);
    from = arrival(kT0);
    from.vrf = VrfId{1};
    EXPECT_EQ(packet(first, from, kT0), Verdict::DropBfdNoSession);
    from = arrival(kT0);
    from.from = kOurs;
    EXPECT_EQ(packet(first, from, kT0), Verdict::DropBfdNoSession);
    from = arrival(kT0);
    from.multihop = true;
    EXPECT_EQ(packet(first, from, kT0), Verdict::DropBfdNoSession);
    EXPECT_EQ(packet(first, kT0), Verdict::BfdReceived);
    EXPECT_EQ(box.engine.find(BfdSessionId{1})->state(), Init);
}

TEST_F(BfdEngine, TheDiscriminatorNamesTheSessionAndTheRestMustAgree)
{
    box.engine.apply(settings(), kT0);
    EXPECT_EQ(packet(from_peer(Init, 0x1002), kT0), Verdict::DropBfdNoSession);
    auto from = arrival(kT0);
    from.interface = InterfaceId{4};
    EXPECT_EQ(packet(from_peer(Init), from, kT0), Verdict::DropBfdNoSession);
    EXPECT_EQ(box.activity[1].dropped_other, 1U);
    EXPECT_EQ(packet(from_peer(Init), kT0), Verdict::BfdReceived);
}

TEST_F(BfdEngine, AMultihopSessionTakesPacketsFromAnyInterface)
{
    auto s = settings();
    s.multihop = true;
    s.minimum_ttl = 250;
    box.engine.apply(s, kT0);
    auto from = arrival(kT0);
    from.multihop = true;
    from.ttl = 250;
    EXPECT_EQ(packet(from_peer(Down, 0), from, kT0), Verdict::BfdReceived);
    from.interface = InterfaceId{9};
    EXPECT_EQ(packet(from_peer(Init), from, kT0), Verdict::BfdReceived);
    from.ttl = 249;
    EXPECT_EQ(packet(from_peer(Up), from, kT0), Verdict::DropBfdTtl);
    EXPECT_EQ(box.activity[1].dropped_ttl, 1U);
}

TEST_F(BfdEngine, SingleHopAsksForTtl255)  // RFC 5881 5
{
    box.engine.apply(settings(), kT0);
    auto from = arrival(kT0);
    from.ttl = 254;
    EXPECT_EQ(packet(from_peer(Down, 0), from, kT0), Verdict::DropBfdTtl);
}

TEST_F(BfdEngine, AuthenticationIsAskedForAndCounted)
{
    auto s = settings();
    s.key_count = 1;
    s.keys[0] = key(api::BfdAuthentication::MeticulousKeyedMd5, 1, "k");
    box.engine.apply(s, kT0);
    EXPECT_EQ(packet(from_peer(Down, 0), kT0), Verdict::DropBfdAuth);
    EXPECT_EQ(box.activity[1].dropped_authentication, 1U);
}

TEST_F(BfdEngine, DefectsAreCountedAtTheSessionOfThatPath)
{
    box.engine.apply(settings(), kT0);
    auto p = from_peer(Up);
    p.multiplier = 0;
    EXPECT_EQ(packet(p, kT0), Verdict::DropBfdMalformed);
    EXPECT_EQ(box.activity[1].dropped_malformed, 1U);
}

TEST_F(BfdEngine, TheFlipComesBeforeAllElse)
{
    bring_up();
    const auto sent = box.sent.size();
    const auto told = box.changes.size();
    box.engine.on_time(kT0 + 150ms, kT0 + 150ms);
    ASSERT_EQ(box.downs.size(), 1U);
    EXPECT_EQ(box.downs[0].session, BfdSessionId{1});
    EXPECT_EQ(box.downs[0].since, kT0);
    EXPECT_EQ(box.downs[0].at, kT0 + 150ms);
    EXPECT_EQ(box.sent.size(), sent + 1) << "the peer is told at once";
    ASSERT_EQ(box.changes.size(), told + 1);
    EXPECT_EQ(box.changes.back().state, Down);
    EXPECT_EQ(box.changes.back().diagnostic, BfdDiagnostic::ControlDetectionTimeExpired);
    EXPECT_EQ(box.changes.back().last_packet, kT0);
    EXPECT_EQ(box.activity[1].session_up, 1U);
    EXPECT_EQ(box.activity[1].session_down, 1U);
}

TEST_F(BfdEngine, AStallOfOursTakesNobodyDown)
{
    bring_up();
    const auto late = kT0 + 400ms;
    box.engine.held_up(late, 390ms);
    EXPECT_EQ(box.activity[1].own_stalls, 1U);
    EXPECT_EQ(box.activity[1].longest_own_stall, Duration{390ms}.count());
    // The round after it finds the peer's packets in the queue, the first of them old; more are behind.
    packet(from_peer(Up), arrival(kT0 + 50ms), late);
    box.engine.on_time(late, kT0 + 50ms);
    packet(from_peer(Up), arrival(kT0 + 390ms), late);
    box.engine.on_time(late, late);
    EXPECT_TRUE(box.downs.empty());
    EXPECT_EQ(box.engine.find(BfdSessionId{1})->state(), Up);
    EXPECT_LE(box.engine.next_deadline(), kT0 + 540ms);
}

TEST_F(BfdEngine, NoStallIsCountedWhenNobodysTimeWasUp)
{
    bring_up();
    box.engine.held_up(kT0 + 149ms, 100ms);
    EXPECT_EQ(box.activity[1].own_stalls, 0U);
}

TEST_F(BfdEngine, WhatCannotBeToldIsToldLater)
{
    bring_up();
    box.deaf = true;
    box.engine.on_time(kT0 + 150ms, kT0 + 150ms);
    EXPECT_EQ(box.downs.size(), 1U) << "the flip needs nobody's ear";
    EXPECT_LE(box.engine.next_deadline(), kT0 + 151ms);
    box.deaf = false;
    box.engine.on_time(kT0 + 151ms, kT0 + 151ms);
    EXPECT_EQ(box.changes.back().state, Down);
}

TEST_F(BfdEngine, APeerThatChangesItsMindWithEachPacketIsReportedNowAndThen)
{
    bring_up();
    const auto before = box.changes.size();
    for (std::uint32_t i = 0; i < 1000; ++i) {
        auto p = from_peer(Up);
        p.desired_min_tx += i;
        packet(p, kT0 + i * 100us);
    }
    EXPECT_LE(box.changes.size(), before + 12);
    box.engine.on_time(kT0 + 120ms, kT0 + 120ms);
    EXPECT_EQ(box.changes.back().remote_desired_min_tx, 50'999U) << "the last word is told";
}

TEST_F(BfdEngine, TheDeletedSayGoodbyeForADetectionTimeAndAreAnswered)
{
    bring_up();
    box.sent.clear();
    box.changes.clear();
    box.engine.apply(api::DeleteBfdSession{BfdSessionId{1}, 1}, kT0);
    EXPECT_EQ(box.sent.size(), 1U) << "at once";
    EXPECT_EQ(box.engine.find(BfdSessionId{1}), nullptr);
    EXPECT_EQ(packet(from_peer(Up), kT0), Verdict::DropBfdNoSession);
    EXPECT_TRUE(box.changes.empty()) << "its id is in use while its peer is told";
    run(kT0 + 149ms);
    EXPECT_GE(box.sent.size(), 4U);
    EXPECT_LE(box.sent.size(), 6U);
    for (const auto& sent : box.sent) {
        const auto p = decode(sent.payload);
        ASSERT_TRUE(p);
        EXPECT_EQ(p->state, AdminDown);
        EXPECT_EQ(p->diagnostic, BfdDiagnostic::AdministrativelyDown);
        EXPECT_EQ(p->your_discriminator, 0x2002U) << "the peer knows which session it is";
    }
    box.deaf = true;
    run(kT0 + 150ms);
    EXPECT_EQ(box.engine.size(), 0U);
    box.deaf = false;
    run(kT0 + 152ms);
    ASSERT_EQ(box.changes.size(), 1U);
    EXPECT_TRUE(box.changes.back().deleted);
    EXPECT_TRUE(box.downs.empty()) << "no failure";
    EXPECT_EQ(box.engine.next_deadline(), kNever);
}

TEST_F(BfdEngine, AFarewellTakesASecondAtMost)
{
    auto s = settings();
    s.desired_min_tx = 10'000'000;
    bring_up(s);
    box.sent.clear();
    box.engine.apply(api::DeleteBfdSession{BfdSessionId{1}, 1}, kT0);
    run(kT0 + 1s);
    EXPECT_GE(box.sent.size(), 4U);
    EXPECT_EQ(box.engine.size(), 0U);
}

TEST_F(BfdEngine, AFarewellEndsWhenTheSameSystemsBeginAnew)
{
    bring_up();
    box.engine.apply(api::DeleteBfdSession{BfdSessionId{1}, 1}, kT0);
    box.engine.apply(settings(2, 0x1005), kT0 + 1ms);
    ASSERT_TRUE(std::any_of(box.changes.begin(), box.changes.end(),
                            [](const auto& c) { return c.deleted && c.id == BfdSessionId{1}; }));
    box.sent.clear();
    run(kT0 + 2s);
    ASSERT_FALSE(box.sent.empty());
    for (const auto& sent : box.sent) EXPECT_EQ(decode(sent.payload)->state, Down);
    EXPECT_EQ(box.engine.size(), 1U);
}

TEST_F(BfdEngine, ShutdownIsInsistedOn)
{
    bring_up();
    auto s = settings();
    s.admin_down = true;
    box.sent.clear();
    box.engine.apply(s, kT0);
    run(kT0 + 150ms);
    EXPECT_GE(box.sent.size(), 4U) << "one of them may be lost, and the peer waits no longer than this";
    for (const auto& sent : box.sent) EXPECT_EQ(decode(sent.payload)->state, AdminDown);
    run(kT0 + 250ms);
    box.sent.clear();
    run(kT0 + 3250ms);
    EXPECT_LE(box.sent.size(), 5U) << "then slowly, RFC 5880 6.8.3";
    EXPECT_GE(box.sent.size(), 3U);
}

TEST_F(BfdEngine, WhenTheDaemonEndsAllSayItWithinTheTimeThereIs)
{
    bring_up();
    for (std::uint32_t i = 2; i < 10; ++i) {
        auto s = settings(i, 0x1001 + i);
        s.interface = InterfaceId{static_cast<std::uint16_t>(i + 10)};
        box.engine.apply(s, kT0);
        auto from = arrival(kT0);
        from.interface = s.interface;
        if (i % 2 == 0) packet(from_peer(Init, 0x1001 + i), from, kT0);
    }
    box.sent.clear();
    box.engine.leave(kT0, 12ms);
    EXPECT_EQ(box.engine.size(), 5U) << "nobody waits for word of those that were never up";
    run(kT0 + 12ms);
    EXPECT_EQ(box.engine.size(), 0U);
    for (const std::uint32_t i : {1U, 2U, 4U, 6U, 8U}) {
        const auto n = std::count_if(box.sent.begin(), box.sent.end(), [&](const auto& sent) {
            return sent.session == BfdSessionId{i} && decode(sent.payload)->state == AdminDown;
        });
        EXPECT_GE(n, 3) << i;
    }
    EXPECT_TRUE(box.downs.empty());
}

TEST_F(BfdEngine, WhatIsClearedCountsFromZeroAndGoesOn)
{
    bring_up();
    run(kT0 + 40ms);
    packet(from_peer(Up), kT0 + 40ms);
    const auto last = box.activity[1].last_received.load();
    EXPECT_GT(box.activity[1].control_received, 0U);
    EXPECT_GT(box.activity[1].largest_receive_gap, 0);
    box.engine.apply(api::ClearBfdActivity{BfdSessionId{1}});
    box.engine.apply(api::ClearBfdActivity{BfdSessionId{2}});
    EXPECT_EQ(box.activity[1].control_received, 0U);
    EXPECT_EQ(box.activity[1].largest_receive_gap, 0);
    EXPECT_EQ(box.activity[1].last_received, last) << "no count";
    packet(from_peer(Up), kT0 + 50ms);
    EXPECT_EQ(box.activity[1].control_received, 1U);
    EXPECT_EQ(box.engine.find(BfdSessionId{1})->state(), Up);
}

TEST_F(BfdEngine, AnotherDiscriminatorIsAnotherSession)
{
    bring_up();
    box.engine.apply(settings(1, 0x1005), kT0);
    EXPECT_EQ(box.engine.find(BfdSessionId{1})->state(), Down);
    EXPECT_EQ(box.engine.size(), 1U);
    EXPECT_EQ(packet(from_peer(Up), kT0), Verdict::DropBfdNoSession);
    EXPECT_EQ(packet(from_peer(Init, 0x1005), kT0), Verdict::BfdReceived);
}

TEST_F(BfdEngine, AChangedPathKeepsTheSession)
{
    bring_up();
    auto s = settings();
    s.interface = InterfaceId{5};
    box.engine.apply(s, kT0);
    EXPECT_EQ(box.engine.find(BfdSessionId{1})->state(), Up);
    auto from = arrival(kT0 + 1ms);
    EXPECT_EQ(packet(from_peer(Up), from, kT0 + 1ms), Verdict::DropBfdNoSession);
    from.interface = InterfaceId{5};
    EXPECT_EQ(packet(from_peer(Up), from, kT0 + 1ms), Verdict::BfdReceived);
}

TEST_F(BfdEngine, ManySessionsComeAndGo)
{
    std::vector<std::uint32_t> discriminators(64);
    for (std::uint32_t i = 1; i < 64; ++i) {
        discriminators[i] = static_cast<std::uint32_t>(mix(i)) & 0xffff0fff;  // many begin at the same place
        auto s = settings(i, discriminators[i]);
        s.interface = InterfaceId{static_cast<std::uint16_t>(i)};
        box.engine.apply(s, kT0);
    }
    for (std::uint32_t i = 2; i < 64; i += 2) box.engine.apply(api::DeleteBfdSession{BfdSessionId{i}, i}, kT0);
    for (std::uint32_t i = 1; i < 64; ++i) {
        auto from = arrival(kT0);
        from.interface = InterfaceId{static_cast<std::uint16_t>(i)};
        EXPECT_EQ(packet(from_peer(Init, discriminators[i]), from, kT0),
                  i % 2 == 1 ? Verdict::BfdReceived : Verdict::DropBfdNoSession);
    }
    EXPECT_EQ(box.engine.size(), 32U);
}

TEST_F(BfdEngine, ReceivedIntervalsAreCountedInEighths)
{
    bring_up();
    packet(from_peer(Up), kT0 + 50ms);
    packet(from_peer(Up), kT0 + 90ms);
    packet(from_peer(Up), kT0 + 230ms);
    const auto& a = box.activity[1];
    EXPECT_EQ(a.received_intervals[8], 1U);
    EXPECT_EQ(a.received_intervals[6], 1U);
    EXPECT_EQ(a.received_intervals[22], 1U);
    EXPECT_EQ(a.largest_receive_gap, Duration{140ms}.count());
}

TEST_F(BfdEngine, EchoesOfOursAreJudged)
{
    auto s = settings();
    s.echo = true;
    bring_up(s);
    auto p = from_peer(Up);
    p.required_min_echo_rx = 1;
    packet(p, kT0);
    box.engine.on_time(kT0, kT0);
    ASSERT_TRUE(box.sent.back().echo);
    const auto echo = box.sent.back().payload;
    auto from = arrival(kT0 + 1ms);
    from.from = kOurs;
    from.ttl = 254;
    EXPECT_EQ(box.engine.on_echo(echo, from, kT0 + 1ms), Verdict::BfdReceived);
    EXPECT_EQ(box.engine.on_echo(echo, from, kT0 + 1ms), Verdict::DropBfdEcho);
    EXPECT_EQ(box.activity[1].echo_received, 1U);
    EXPECT_EQ(box.activity[1].round_trips, 1U);
    EXPECT_EQ(box.activity[1].round_trip_least, 1'000'000);
    from.ttl = 250;
    EXPECT_EQ(box.engine.on_echo(echo, from, kT0 + 1ms), Verdict::DropBfdEcho);
}

}  // namespace
}  // namespace culvert::bfd::test
