#include "dataplane/bfd/session.h"

#include "tests/unit/bfd/box.h"

#include <gtest/gtest.h>

namespace culvert::bfd::test {
namespace {

using enum BfdState;

class BfdSession : public testing::Test {
protected:
    Session make(const api::SetBfdSession& s = settings()) { return Session{s, kT0, random}; }
    // Brings it up at kT0 with a peer that asks for 50 ms x 3, Poll Sequence done.
    Session up(const api::SetBfdSession& s = settings())
    {
        auto session = make(s);
        session.on_packet(from_peer(Init), kT0, kT0, random);
        sent(session, kT0);
        auto answer = from_peer(Up);
        answer.final = true;
        session.on_packet(answer, kT0, kT0, random);
        EXPECT_EQ(session.state(), Up);
        EXPECT_FALSE(session.polling());
        return session;
    }
    ControlPacket sent(Session& session, TimePoint now, bool final = false)
    {
        const auto n = session.transmit(final, now, authenticator, random, buffer);
        return *decode(Bytes{buffer}.first(n));
    }

    // Does all that is due until then. Did it go down, and when?
    TimePoint went_down(Session& session, TimePoint until)
    {
        while (session.next_deadline() <= until) {
            const auto now = session.next_deadline();
            const auto out = session.on_time(now, now, random);
            if (out.went_down) return now;
            if (out.send) sent(session, now, out.final);
            if (out.send_echo) session.transmit_echo(now, random);
        }
        return kNever;
    }

    Random random{1};
    Authenticator authenticator;
    std::array<std::uint8_t, kMaxPacket> buffer{};
};

// ---- 6.8.6: the state machine --------------------------------------------------------------------------------------

TEST_F(BfdSession, MovesAsTheTableOfSection686)
{
    struct Row {
        BfdState from, received, to;
    };
    constexpr Row kRows[] = {
        {Down, AdminDown, Down}, {Down, Down, Init}, {Down, Init, Up}, {Down, Up, Down},
        {Init, AdminDown, Down}, {Init, Down, Init}, {Init, Init, Up}, {Init, Up, Up},
        {Up, AdminDown, Down},   {Up, Down, Down},   {Up, Init, Up},   {Up, Up, Up},
    };
    for (const auto& row : kRows) {
        auto session = make();
        if (row.from == Init) session.on_packet(from_peer(Down), kT0, kT0, random);
        if (row.from == Up) session.on_packet(from_peer(Init), kT0, kT0, random);
        ASSERT_EQ(session.state(), row.from);
        const auto out = session.on_packet(from_peer(row.received), kT0 + 1ms, kT0 + 1ms, random);
        EXPECT_EQ(session.state(), row.to) << static_cast<int>(row.from) << ' ' << static_cast<int>(row.received);
        if (row.from != row.to) {
            EXPECT_TRUE(out.send && out.report) << "a change of state is told at once, 6.8.7";
            if (row.to == Down) {
                EXPECT_EQ(session.diagnostic(), BfdDiagnostic::NeighborSignaledDown);
            }
        }
    }
}

TEST_F(BfdSession, AdminDownTakesNoPacket)
{
    auto s = settings();
    s.admin_down = true;
    auto session = make(s);
    const auto out = session.on_packet(from_peer(Down), kT0, kT0, random);
    EXPECT_EQ(session.state(), AdminDown);
    EXPECT_FALSE(out.send);
    EXPECT_EQ(sent(session, kT0).diagnostic, BfdDiagnostic::AdministrativelyDown);
}

// RFC 5882 3.2
TEST_F(BfdSession, AnAdministrativeEndIsNoFailureOfThePath)
{
    auto session = up();
    EXPECT_FALSE(session.on_packet(from_peer(AdminDown), kT0 + 1ms, kT0 + 1ms, random).went_down);
    auto other = up();
    EXPECT_TRUE(other.on_packet(from_peer(Down), kT0 + 1ms, kT0 + 1ms, random).went_down);
    auto third = up();
    auto s = settings();
    s.admin_down = true;
    EXPECT_FALSE(third.change(s, kT0 + 1ms, random).went_down);
    EXPECT_EQ(third.state(), AdminDown);
}

TEST_F(BfdSession, ShutdownAndBackBeginsAnew)
{
    auto session = up();
    auto s = settings();
    s.admin_down = true;
    EXPECT_TRUE(session.change(s, kT0 + 1ms, random).send);
    s.admin_down = false;
    EXPECT_TRUE(session.change(s, kT0 + 2ms, random).send);
    EXPECT_EQ(session.state(), Down);
    EXPECT_EQ(session.diagnostic(), BfdDiagnostic::None);
}

// ---- 6.8.4: the detection time -------------------------------------------------------------------------------------

TEST_F(BfdSession, StaysUpUntilPeersMultTimesTheSlowerInterval)
{
    auto session = up();
    auto slow = from_peer(Up);  // a test changes only the field it is about
    slow.desired_min_tx = 200'000;
    session.on_packet(slow, kT0, kT0, random);
    EXPECT_EQ(session.expires(), kT0 + 600ms);
    EXPECT_FALSE(session.on_time(kT0 + 599ms, kT0 + 599ms, random).went_down);
    EXPECT_EQ(session.state(), Up);
    const auto out = session.on_time(kT0 + 600ms, kT0 + 600ms, random);
    EXPECT_TRUE(out.went_down && out.send && out.report);
    EXPECT_EQ(session.state(), Down);
    EXPECT_EQ(session.diagnostic(), BfdDiagnostic::ControlDetectionTimeExpired);
}

TEST_F(BfdSession, TheDetectionTimeRunsFromTheStamp)
{
    auto session = up();
    session.on_packet(from_peer(Up), kT0 + 10ms, kT0 + 40ms, random);
    EXPECT_EQ(session.expires(), kT0 + 160ms);
    session.on_packet(from_peer(Up), kT0 + 5ms, kT0 + 41ms, random);
    EXPECT_EQ(session.expires(), kT0 + 160ms) << "an older stamp takes nothing away";
    session.on_packet(from_peer(Up), kT0 + 90ms, kT0 + 50ms, random);
    EXPECT_EQ(session.expires(), kT0 + 200ms) << "a stamp of the future gives nothing";
}

TEST_F(BfdSession, NobodyIsDeadBeforeReceptionHasGotThatFar)
{
    auto session = up();
    EXPECT_FALSE(session.on_time(kT0 + 400ms, kT0 + 149ms, random).went_down);
    EXPECT_LE(session.next_deadline(), kT0 + 400ms) << "judged again in the next round";
    session.on_packet(from_peer(Up), kT0 + 140ms, kT0 + 400ms, random);
    EXPECT_FALSE(session.on_time(kT0 + 400ms, kT0 + 289ms, random).went_down);
    EXPECT_TRUE(session.on_time(kT0 + 400ms, kT0 + 290ms, random).went_down);
}

TEST_F(BfdSession, ASilentPeersDiscriminatorIsForgotten)  // 6.8.1
{
    auto session = up();
    session.on_time(kT0 + 150ms, kT0 + 150ms, random);
    EXPECT_EQ(sent(session, kT0 + 150ms).your_discriminator, 0U);
}

// ---- 6.8.2, 6.8.3, 6.8.7: intervals and Poll Sequences -------------------------------------------------------------

TEST_F(BfdSession, IsSlowUntilUp)
{
    auto session = make();
    EXPECT_EQ(session.transmit_interval(), 1s);
    EXPECT_EQ(sent(session, kT0).desired_min_tx, 1'000'000U);
    session.on_packet(from_peer(Init), kT0, kT0, random);
    EXPECT_EQ(session.transmit_interval(), 50ms);
    const auto p = sent(session, kT0);
    EXPECT_EQ(p.desired_min_tx, 50'000U);
    EXPECT_TRUE(p.poll);
}

TEST_F(BfdSession, AnswersAPollAtOnceAndNeverWithBothBits)
{
    auto session = make();
    session.on_packet(from_peer(Init), kT0, kT0, random);
    auto p = from_peer(Up);
    p.poll = true;
    const auto out = session.on_packet(p, kT0, kT0, random);
    EXPECT_TRUE(out.send && out.final);
    const auto answer = sent(session, kT0, true);
    EXPECT_TRUE(answer.final && !answer.poll);
    EXPECT_TRUE(session.polling()) << "our own Poll Sequence goes on";
    EXPECT_TRUE(sent(session, kT0).poll);
}

TEST_F(BfdSession, ALongerTransmitIntervalWaitsForTheFinal)
{
    auto session = up();
    auto s = settings();
    s.desired_min_tx = 100'000;
    EXPECT_TRUE(session.change(s, kT0, random).send);
    EXPECT_EQ(session.transmit_interval(), 50ms);
    EXPECT_EQ(sent(session, kT0).desired_min_tx, 100'000U);
    auto answer = from_peer(Up);
    answer.final = true;
    session.on_packet(answer, kT0, kT0, random);
    EXPECT_EQ(session.transmit_interval(), 100ms);
}

TEST_F(BfdSession, AShorterReceiveIntervalWaitsForTheFinal)
{
    auto session = up();
    auto s = settings();
    s.required_min_rx = 20'000;
    auto fast = from_peer(Up);
    fast.desired_min_tx = 10'000;
    session.on_packet(fast, kT0, kT0, random);
    session.change(s, kT0, random);
    EXPECT_EQ(session.detection_time(), 150ms);
    fast.final = true;
    session.on_packet(fast, kT0, kT0, random);
    EXPECT_EQ(session.detection_time(), 60ms);
}

TEST_F(BfdSession, ShorterTransmitAndLongerReceiveIntervalsCountAtOnce)
{
    auto session = up();
    auto s = settings();
    s.desired_min_tx = 40'000;
    s.required_min_rx = 80'000;
    session.change(s, kT0, random);
    EXPECT_EQ(session.transmit_interval(), 50ms) << "the peer's Required Min RX";
    EXPECT_EQ(session.detection_time(), 240ms);
}

TEST_F(BfdSession, AChangeDuringAPollIsPolledAnew)
{
    auto session = up();
    auto s = settings();
    s.desired_min_tx = 100'000;
    session.change(s, kT0, random);
    s.desired_min_tx = 200'000;
    session.change(s, kT0, random);
    auto answer = from_peer(Up);
    answer.final = true;
    EXPECT_TRUE(session.on_packet(answer, kT0, kT0, random).send);
    EXPECT_TRUE(session.polling());
    EXPECT_EQ(session.transmit_interval(), 50ms) << "that F may have been of the first change";
    session.on_packet(answer, kT0, kT0, random);
    EXPECT_EQ(session.transmit_interval(), 200ms);
}

TEST_F(BfdSession, SendsNothingPeriodicallyToOneThatWantsNothing)
{
    auto session = up();
    auto quiet = from_peer(Up);
    quiet.required_min_rx = 0;
    session.on_packet(quiet, kT0, kT0, random);
    EXPECT_FALSE(session.periodic());
    EXPECT_FALSE(session.on_time(kT0 + 149ms, kT0 + 149ms, random).send);
}

TEST_F(BfdSession, JitterIsAQuarterAndATenthWhenNoneMayBeMissed)
{
    for (const int multiplier : {1, 3}) {
        auto s = settings();
        s.multiplier = static_cast<std::uint8_t>(multiplier);
        auto session = up(s);
        Duration least = 1h, most{};
        TimePoint now = kT0;
        for (int i = 0; i < 2000; ++i) {
            sent(session, now);
            session.on_packet(from_peer(Up), now, now, random);
            const auto next = session.next_deadline();
            least = std::min(least, next - now);
            most = std::max(most, next - now);
            now = next;
        }
        EXPECT_GE(least, 37'500us);
        EXPECT_LT(least, 37'700us);
        EXPECT_LE(most, multiplier == 1 ? 45ms : 50ms);
        EXPECT_GT(most, multiplier == 1 ? 44'800us : 49'800us);
    }
}

// ---- 6.1: the passive role -----------------------------------------------------------------------------------------

TEST_F(BfdSession, ThePassiveSpeakWhenSpokenTo)
{
    auto s = settings();
    s.passive = true;
    auto session = make(s);
    EXPECT_EQ(session.next_deadline(), kNever);
    EXPECT_TRUE(session.on_packet(from_peer(Down, 0), kT0, kT0, random).send);
    EXPECT_EQ(session.state(), Init);
    sent(session, kT0);
    EXPECT_NE(session.next_deadline(), kNever);
    // The peer's last word asked for 50 ms x 3.
    EXPECT_FALSE(session.on_time(kT0 + 150ms, kT0 + 150ms, random).send);
    EXPECT_EQ(session.state(), Down);
}

// ---- 6.6: demand ---------------------------------------------------------------------------------------------------

TEST_F(BfdSession, IsSilentWhenThePeerDemandsIt)
{
    auto session = up();
    auto p = from_peer(Up);
    p.demand = true;
    session.on_packet(p, kT0, kT0, random);
    EXPECT_FALSE(session.periodic());
    p.poll = true;
    EXPECT_TRUE(session.on_packet(p, kT0 + 1ms, kT0 + 1ms, random).final);
    auto s = settings();
    s.required_min_rx = 60'000;
    session.change(s, kT0 + 2ms, random);
    EXPECT_TRUE(session.periodic()) << "a Poll Sequence is sent all the same";
}

TEST_F(BfdSession, WhoDemandsPollsInsteadOfListening)
{
    auto s = settings();
    s.demand = true;
    auto session = up(s);
    EXPECT_TRUE(sent(session, kT0).demand);
    session.on_time(kT0 + 149ms, kT0 + 149ms, random);
    EXPECT_FALSE(session.polling());
    session.on_time(kT0 + 150ms, kT0 + 150ms, random);
    EXPECT_EQ(session.state(), Up) << "silence was asked for";
    EXPECT_TRUE(session.polling());
    auto answer = from_peer(Up);
    answer.final = true;
    session.on_packet(answer, kT0 + 160ms, kT0 + 160ms, random);
    EXPECT_FALSE(session.polling());
    EXPECT_EQ(went_down(session, kT0 + 309ms), kNever);
    EXPECT_EQ(went_down(session, kT0 + 1s), kT0 + 460ms) << "6.8.4: no F in our own detection time";
}

TEST_F(BfdSession, TheEndOfDemandIsNoSilence)
{
    auto s = settings();
    s.demand = true;
    auto session = up(s);
    session.on_time(kT0 + 149ms, kT0 + 149ms, random);
    s.demand = false;
    session.change(s, kT0 + 149ms, random);
    EXPECT_TRUE(session.polling());
    EXPECT_FALSE(sent(session, kT0 + 149ms).demand);
    session.on_time(kT0 + 290ms, kT0 + 290ms, random);
    EXPECT_EQ(session.state(), Up) << "the peer may not have heard of it";
    auto answer = from_peer(Up);
    answer.final = true;
    session.on_packet(answer, kT0 + 291ms, kT0 + 291ms, random);
    EXPECT_EQ(session.expires(), kT0 + 441ms);
}

// ---- 6.8.5, 6.8.9: echo --------------------------------------------------------------------------------------------

class BfdEchoes : public BfdSession {
protected:
    Session echoing()
    {
        auto s = settings();
        s.echo = true;
        s.desired_min_echo_tx = 20'000;
        auto session = up(s);
        session.on_packet(taking(), kT0, kT0, random);
        return session;
    }
    static ControlPacket taking()
    {
        auto p = from_peer(Up);
        p.required_min_echo_rx = 10'000;
        return p;
    }
};

TEST_F(BfdEchoes, NoneWithoutThePeersConsent)
{
    auto s = settings();
    s.echo = true;
    auto session = up(s);
    EXPECT_FALSE(session.on_time(kT0, kT0, random).send_echo);
    session.on_packet(taking(), kT0, kT0, random);
    EXPECT_TRUE(session.on_time(kT0, kT0, random).send_echo);
    session.on_packet(from_peer(Up), kT0, kT0, random);
    EXPECT_FALSE(session.on_time(kT0 + 1ms, kT0 + 1ms, random).send_echo);
}

TEST_F(BfdEchoes, WhenThreeAreLostTheSessionGoesDown)
{
    auto session = echoing();
    const auto first = session.transmit_echo(kT0, random);
    EXPECT_TRUE(session.on_echo(first, kT0 + 2ms));
    EXPECT_EQ(session.round_trip(), 2ms);
    EXPECT_EQ(went_down(session, kT0 + 1s), kT0 + 62ms);
    EXPECT_EQ(session.diagnostic(), BfdDiagnostic::EchoFunctionFailed);
    EXPECT_EQ(session.alive(), kT0 + 2ms);
}

TEST_F(BfdEchoes, WhatWeSentLateIsNoSilenceOfThePeers)
{
    auto session = echoing();
    const auto first = session.transmit_echo(kT0, random);
    session.on_echo(first, kT0 + 1ms);
    session.on_packet(taking(), kT0 + 199ms, kT0 + 200ms, random);
    const auto late = session.on_time(kT0 + 200ms, kT0 + 200ms, random);  // held up all the while
    EXPECT_TRUE(late.send_echo && !late.went_down);
    session.transmit_echo(kT0 + 200ms, random);
    const auto at = went_down(session, kT0 + 1s);
    EXPECT_EQ(session.diagnostic(), BfdDiagnostic::EchoFunctionFailed);
    EXPECT_GE(at, kT0 + 200ms + 40ms) << "two more were due in time";
    EXPECT_LE(at, kT0 + 261ms);
}

TEST_F(BfdEchoes, NoEchoCountsTwiceOrWithoutProof)
{
    auto session = echoing();
    auto p = session.transmit_echo(kT0, random);
    auto forged = p;
    forged.proof ^= 1;
    EXPECT_FALSE(session.on_echo(forged, kT0 + 1ms));
    forged = p;
    ++forged.sequence;
    EXPECT_FALSE(session.on_echo(forged, kT0 + 1ms));
    EXPECT_TRUE(session.on_echo(p, kT0 + 1ms));
    EXPECT_FALSE(session.on_echo(p, kT0 + 2ms));
}

TEST_F(BfdEchoes, MultihopHasNone)  // RFC 5883 3
{
    auto s = settings();
    s.echo = s.multihop = true;
    auto session = up(s);
    session.on_packet(taking(), kT0, kT0, random);
    EXPECT_FALSE(session.on_time(kT0, kT0, random).send_echo);
    EXPECT_EQ(sent(session, kT0).required_min_echo_rx, 0U);
}

// ---- 6.7: numbers of authentication --------------------------------------------------------------------------------

TEST_F(BfdSession, MeticulousNumbersMoveEachTimeOthersWithTheContents)
{
    for (const bool meticulous : {false, true}) {
        auto s = settings();
        s.key_count = 1;
        s.keys[0] =
            key(meticulous ? api::BfdAuthentication::MeticulousKeyedSha1 : api::BfdAuthentication::KeyedSha1, 1, "k");
        auto session = make(s);
        const auto number = [&] {
            Reader in{sent(session, kT0).authentication.subspan(4)};
            return in.u32();
        };
        const auto first = number();
        EXPECT_EQ(number(), first + (meticulous ? 1 : 0));
        session.on_packet(from_peer(Init), kT0, kT0, random);
        EXPECT_EQ(number(), first + (meticulous ? 2 : 1));
    }
}

TEST_F(BfdSession, TheReceivedNumberIsForgottenAfterTwiceTheDetectionTime)
{
    auto session = up();
    session.received_sequence() = {true, 5};
    session.on_time(kT0 + 299ms, kT0 + 299ms, random);
    EXPECT_TRUE(session.received_sequence().known);
    session.on_time(kT0 + 300ms, kT0 + 300ms, random);
    EXPECT_FALSE(session.received_sequence().known);
}

TEST_F(BfdSession, TheSourcePortIsOfTheRangeOfRfc5881Section4)
{
    for (int i = 0; i < 200; ++i) EXPECT_GE(make().source_port(), 49152);
}

}  // namespace
}  // namespace culvert::bfd::test
