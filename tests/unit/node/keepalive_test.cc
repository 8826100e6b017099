#include "dataplane/node/keepalives.h"
#include "dataplane/wire/gre.h"
#include "tests/unit/node/pair.h"

namespace culvert::dataplane::test {

namespace {

constexpr TimePoint kT0{1h};
constexpr InterfaceId kTunnel{10};

// The engine alone.
class KeepaliveTimers : public ::testing::Test, protected node::Keepalives::Actions {
protected:
    bool send(InterfaceId) noexcept override
    {
        if (!sendable) return false;
        sent.push_back(now);
        return true;
    }
    TimePoint last_answer(InterfaceId) const noexcept override { return answer; }
    void went_down(InterfaceId, TimePoint since, TimePoint at) noexcept override { downs.emplace_back(since, at); }
    void alive(InterfaceId) noexcept override { ++alives; }
    void missed(InterfaceId, unsigned in_a_row) noexcept override { unanswered = in_a_row; }

    // Every deadline until then, each answered after `rtt` if there is one.
    void run(TimePoint until, std::optional<Duration> rtt = {})
    {
        while (engine.next_deadline() <= until) {
            now = engine.next_deadline();
            const auto before = sent.size();
            engine.on_time(now, now);
            if (sent.size() != before && rtt) answer = now + *rtt;
        }
        now = until;
    }

    node::Keepalives engine{*this};
    TimePoint now = kT0, answer{};
    bool sendable = true;
    std::vector<TimePoint> sent;
    std::vector<std::pair<TimePoint, TimePoint>> downs;
    int alives = 0;
    unsigned unanswered = 0;
};

TEST_F(KeepaliveTimers, OneAPeriodAndNobodyIsDownWhoAnswers)
{
    engine.apply({kTunnel, 10, 3}, kT0);
    run(kT0 + 100s, 9s);
    EXPECT_EQ(sent.size(), 11U);
    EXPECT_EQ(sent[1] - sent[0], 10s);
    EXPECT_TRUE(downs.empty());
    EXPECT_EQ(alives, 10) << "once a period: an event may be lost";
}

TEST_F(KeepaliveTimers, AfterSoManyInARowItIsDownOnceAndBackWithTheFirstAnswer)
{
    engine.apply({kTunnel, 10, 3}, kT0);
    run(kT0 + 20s, 5ms);
    const auto last = answer;
    run(kT0 + 59s);
    EXPECT_EQ(unanswered, 2U) << "each has a whole period to be answered";
    EXPECT_TRUE(downs.empty());
    run(kT0 + 60s);
    ASSERT_EQ(downs.size(), 1U);
    EXPECT_EQ(downs[0], (std::pair{last, kT0 + 60s})) << "since the last sign of life";
    run(kT0 + 200s);
    EXPECT_EQ(downs.size(), 1U);
    EXPECT_EQ(sent.back(), kT0 + 200s) << "it goes on asking";
    alives = 0;
    run(kT0 + 220s, 5ms);
    EXPECT_EQ(alives, 1);
    EXPECT_EQ(unanswered, 0U);
    run(kT0 + 260s);
    EXPECT_EQ(downs.size(), 2U) << "and it may fail again";
}

TEST_F(KeepaliveTimers, OneAnswerInBetweenStartsTheCountAnew)
{
    engine.apply({kTunnel, 1, 3}, kT0);
    run(kT0, 5ms);
    for (int i = 0; i < 20; ++i) {
        run(now + 2s);
        run(now + 1s, 5ms);
    }
    EXPECT_TRUE(downs.empty());
}

TEST_F(KeepaliveTimers, NobodyIsGivenUpWhoseAnswerMayLieInAQueue)
{
    engine.apply({kTunnel, 1, 1}, kT0);
    engine.on_time(kT0, kT0);
    engine.on_time(kT0 + 5s, kT0 + 900ms);  // we were held up, and have looked at nothing since
    EXPECT_TRUE(downs.empty());
    EXPECT_LE(engine.next_deadline(), kT0 + 5s) << "it is looked at again at once";
    answer = kT0 + 5ms;
    engine.on_time(kT0 + 5s, kT0 + 5s);
    EXPECT_TRUE(downs.empty());
    EXPECT_EQ(engine.next_deadline(), kT0 + 6s) << "a whole period for the one that was sent late";
}

TEST_F(KeepaliveTimers, WhatCanNotBeSentIsNotMissed)
{
    sendable = false;
    engine.apply({kTunnel, 1, 1}, kT0);
    run(kT0 + 10s);
    EXPECT_TRUE(downs.empty());
    sendable = true;
    run(kT0 + 10100ms, 5ms);
    EXPECT_EQ(sent.size(), 1U) << "soon after it can be";
}

TEST_F(KeepaliveTimers, WithoutKeepalivesNothingIsHeldAgainstIt)
{
    engine.apply({kTunnel, 1, 1}, kT0);
    run(kT0 + 2s);
    EXPECT_EQ(downs.size(), 1U);
    engine.apply({.tunnel = kTunnel, .period = 0}, now);
    EXPECT_EQ(alives, 1);
    run(kT0 + 100s);
    EXPECT_EQ(engine.next_deadline(), kNever);
    EXPECT_EQ(engine.size(), 0U);
}

// Through the pipelines of both ends.
class TunnelKeepalive : public Pair {
protected:
    void pass(Duration time, bool cut = false)
    {
        for (auto left = time; left > 0s; left -= 100ms) {
            b.context.now += 100ms;
            a.advance(100ms);
            if (cut)
                a.sent.clear();
            else
                relay();
        }
    }
    std::size_t data()
    {
        out_b.clear();
        a.from_lan(inner4());
        relay();
        return out_b.size();
    }
};

TEST_F(TunnelKeepalive, IsAPacketToThePeerThatHoldsOneBackToUs)
{
    for (const auto family : {Family::Ipv4, Family::Ipv6}) {
        for (const bool checksum : {false, true}) {
            gre(kTunnel, family, [&](api::SetTunnel& t) {
                t.has_key = true;
                t.key = 42;
                t.checksum = checksum;
                t.copy_df = false;
            });
            a.sent.clear();
            a.command(api::SetTunnelKeepalive{kTunnel, 1, 3});
            a.advance(1s);
            ASSERT_FALSE(a.sent.empty());
            EXPECT_TRUE(a.sent[0].control) << "before data";
            auto p = a.sent[0].packet();
            const bool v4 = family == Family::Ipv4;
            const std::size_t ip_header = v4 ? 20 : 40, gre_header = checksum ? 12 : 8;
            ASSERT_EQ(p.size(), 2 * (ip_header + gre_header));
            const auto outer_gre = wire::parse_gre(Bytes{p}.subspan(ip_header));
            EXPECT_EQ(outer_gre.protocol, v4 ? 0x0800 : 0x86dd);
            EXPECT_EQ(outer_gre.key, 42U);
            const auto at = ip_header + gre_header;
            const auto inner_gre = wire::parse_gre(Bytes{p}.subspan(at + ip_header));
            EXPECT_EQ(inner_gre.protocol, 0) << "it carries nothing";
            EXPECT_EQ(inner_gre.key, 42U);
            if (checksum) {
                EXPECT_TRUE(wire::gre_intact(Bytes{p}.subspan(ip_header)));
                EXPECT_TRUE(wire::gre_intact(Bytes{p}.subspan(at + ip_header)));
            }
            if (v4) {
                EXPECT_TRUE(checksum4_intact(p));
                EXPECT_TRUE(checksum4_intact(Bytes{p}.subspan(at)));
                EXPECT_EQ(header4(p).tos, 0xc0);
                EXPECT_EQ(header4(p).ttl, 255);
                EXPECT_EQ(Ipv4Address{header4(p, at).source}, ip4("192.0.2.2"));
                EXPECT_EQ(Ipv4Address{header4(p, at).destination}, ip4("192.0.2.1"));
            } else {
                EXPECT_EQ(header6(p, at).source, ip6("2001:db8:2::2"));
                EXPECT_EQ(header6(p, at).destination, ip6("2001:db8:2::1"));
                EXPECT_EQ(header6(p, at).hop_limit, 255);
            }
            a.command(api::SetTunnelKeepalive{.tunnel = kTunnel});
        }
    }
}

TEST_F(TunnelKeepalive, TheFlipIsInTheRoundThatGivesUp)
{
    gre(kTunnel, Family::Ipv4);
    routes(kTunnel);
    a.command(api::SetTunnelKeepalive{kTunnel, 1, 3});
    pass(5s);
    const auto& activity = a.tunnel_activity[index(kTunnel)];
    EXPECT_GE(activity.keepalives_sent.load(), 5U);
    EXPECT_EQ(activity.keepalives_missed.load(), 0U);
    EXPECT_TRUE(a.events_of<api::TunnelAlive>().empty()) << "nobody asked";
    EXPECT_EQ(data(), 1U);

    TimePoint before;
    std::vector<api::WentDown> downs;
    for (int i = 0; i < 50 && downs.empty(); ++i) {
        before = a.context.now;
        pass(100ms, true);
        downs = a.events_of<api::WentDown>();
    }
    ASSERT_EQ(downs.size(), 1U);
    EXPECT_EQ(downs[0].kind, api::DownKind::Interface);
    EXPECT_EQ(downs[0].id, index(kTunnel));
    EXPECT_EQ(downs[0].causes, fib::cause::kTunnel);
    EXPECT_EQ(downs[0].at, before + 100ms);
    EXPECT_GE(downs[0].at - downs[0].since, 3s);
    EXPECT_LE(downs[0].at - downs[0].since, 4s);
    EXPECT_EQ(activity.keepalives_missed.load(), 3U);
    EXPECT_EQ(data(), 0U) << "packets leave it at once, without a word from control";
    EXPECT_GE(a.count(Verdict::DropNexthopDown), 1U);

    // Answered again: told until control has cleared the word.
    pass(2500ms);
    EXPECT_GE(a.events_of<api::TunnelAlive>().size(), 2U);
    EXPECT_EQ(data(), 0U) << "that it is to be used again is control's decision";
    a.apply(api::ClearDown{api::DownKind::Interface, index(kTunnel), downs[0].epoch});
    EXPECT_EQ(data(), 1U);
    a.events();
    pass(3s);
    EXPECT_TRUE(a.events_of<api::TunnelAlive>().empty());
}

TEST_F(TunnelKeepalive, ATunnelThatIsGoneOrShutIsNotAsked)
{
    a.command(api::SetTunnelKeepalive{kTunnel, 1, 1});
    pass(5s);
    EXPECT_TRUE(a.events_of<api::WentDown>().empty()) << "no tunnel yet";
    gre(kTunnel, Family::Ipv4, [](api::SetTunnel& t) { t.keepalives = false; });
    pass(5s);
    gre(kTunnel, Family::Ipv4, [](api::SetTunnel& t) { t.protection = ProtectionId{4}; });
    pass(5s);
    EXPECT_TRUE(a.events_of<api::WentDown>().empty());
    EXPECT_EQ(a.tunnel_activity[index(kTunnel)].keepalives_sent.load(), 0U);
    gre(kTunnel, Family::Ipv4);
    pass(1s, true);
    EXPECT_GE(a.tunnel_activity[index(kTunnel)].keepalives_sent.load(), 1U);
}

}  // namespace

}  // namespace culvert::dataplane::test
