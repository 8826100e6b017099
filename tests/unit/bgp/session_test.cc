#include "controlplane/bgp/session.h"

#include "controlplane/bgp/encode.h"
#include "tests/unit/bgp/wire.h"

#include <gtest/gtest.h>

namespace culvert::bgp {
namespace {

constexpr TimePoint kT0{1h};  // not zero, so no code can treat zero as "unset"
constexpr auto kOut = Side::Outgoing;
constexpr auto kIn = Side::Incoming;

const Endpoint kLocal{*IpAddress::parse("10.255.0.1"), 40000};
const Endpoint kRemote{*IpAddress::parse("10.255.0.2"), 179};

struct Recorder final : SessionEvents {
    std::vector<std::string> log;
    std::vector<std::string> prefixes;
    std::optional<Established> established;
    std::optional<Down> down;
    std::size_t updates = 0;

    void on_state(State from, State to) override
    {
        log.push_back(std::string{to_string(from)} + ">" + std::string{to_string(to)});
    }
    void on_established(const Established& e) override
    {
        log.push_back("up");
        established = e;
    }
    void on_update(const UpdateView& update) override
    {
        ++updates;
        for (const auto& reach : update.reach)
            for (const auto& prefix : reach.nlri) prefixes.push_back(prefix.to_string());
    }
    void on_route_refresh(Family family, RouteRefresh::Kind kind) override
    {
        log.push_back("refresh " + std::to_string(static_cast<int>(family)) + " " +
                      std::to_string(static_cast<int>(kind)));
    }
    void on_down(const Down& d) override
    {
        log.push_back("down");
        down = d;
    }
};

SessionConfig config()
{
    SessionConfig c;
    c.local_as = Asn{65001};
    c.peer_as = Asn{65002};
    c.router_id = *Ipv4Address::parse("10.0.0.5");
    c.hold = 90s;
    c.keepalive = 30s;
    c.connect_retry = 120s;
    c.ipv6_unicast = true;
    return c;
}

Open peer_open()
{
    Open open;
    open.asn = Asn{65002};
    open.hold_time = 180;
    open.router_id = *Ipv4Address::parse("10.0.0.2");
    auto& c = open.capabilities;
    c.any = true;
    c.multiprotocol = {{Afi::Ipv4, Safi::Unicast}, {Afi::Ipv6, Safi::Unicast}};
    c.four_octet_as = open.asn;
    c.route_refresh = c.enhanced_route_refresh = c.extended_message = true;
    return open;
}

Octets encoded(const Open& open)
{
    Octets out;
    encode_open(open, out);
    return out;
}
Octets encoded(const Notification& notification)
{
    Octets out;
    encode_notification(notification, out);
    return out;
}
const Octets kKeepalive = message(MessageType::Keepalive, {});
const Octets kUpdate = message(
    MessageType::Update, update_body({}, hex("40 01 01 00 40 02 06 02 01 0000fdea 40 03 04 c0000201"), hex("10 0a01")));

std::vector<MessageType> types(const Octets& stream)
{
    std::vector<MessageType> out;
    MessageReader reader;
    reader.feed(stream);
    for (;;) {
        const auto message = reader.next();
        EXPECT_TRUE(message);
        if (!message || !*message) return out;
        out.push_back((*message)->type);
    }
}
using Types = std::vector<MessageType>;

std::optional<Notification> notification_in(const Octets& stream)
{
    MessageReader reader;
    reader.feed(stream);
    for (;;) {
        const auto message = reader.next();
        if (!message || !*message) return std::nullopt;
        if ((*message)->type == MessageType::Notification) return decode_notification((*message)->body);
    }
}

std::size_t i(Side side) { return static_cast<std::size_t>(side); }

// A session, told what happens; it may be driven to a state.
struct Bench {
    explicit Bench(SessionConfig c = config()) : session(std::move(c), events, 1) {}

    Output start() { return session.on_start(now); }
    Output connected(Side side) { return session.on_connected(side, kLocal, kRemote, now); }
    Output bytes(Side side, const Octets& octets) { return session.on_bytes(side, octets, now); }
    // Lets the deadlines come, one by one, up to `duration` from now.
    Output pass(Duration duration)
    {
        Output all;
        const auto end = now + duration;
        while (session.next_deadline() <= end) {
            now = session.next_deadline();
            auto out = session.on_time(now);
            for (const auto side : kSides) {
                all.send[i(side)].insert(all.send[i(side)].end(), out.send[i(side)].begin(), out.send[i(side)].end());
                all.close[i(side)] |= out.close[i(side)];
            }
            all.connect |= out.connect;
        }
        now = end;
        return all;
    }
    void open_sent(Side side = kOut)
    {
        start();
        connected(side);
    }
    void open_confirm(Side side = kOut)
    {
        open_sent(side);
        bytes(side, encoded(peer_open()));
    }
    void establish(Side side = kOut)
    {
        open_confirm(side);
        bytes(side, kKeepalive);
    }

    Recorder events;
    TimePoint now = kT0;
    Session session;
};

// ---- The way up

TEST(Session, GoesThroughTheStatesToEstablished)
{
    Bench b;
    auto out = b.start();
    EXPECT_TRUE(out.connect);
    EXPECT_EQ(b.session.state(), State::Connect);

    out = b.connected(kOut);
    EXPECT_EQ(types(out.send[0]), Types{MessageType::Open});
    EXPECT_EQ(b.session.state(), State::OpenSent);

    out = b.bytes(kOut, encoded(peer_open()));
    EXPECT_EQ(out.send[0], kKeepalive);
    EXPECT_EQ(b.session.state(), State::OpenConfirm);
    EXPECT_FALSE(b.events.established);

    EXPECT_TRUE(b.bytes(kOut, kKeepalive).empty());
    EXPECT_EQ(b.session.state(), State::Established);
    EXPECT_EQ(b.events.log, (std::vector<std::string>{"Idle>Connect", "Connect>OpenSent", "OpenSent>OpenConfirm",
                                                      "OpenConfirm>Established", "up"}));
    ASSERT_TRUE(b.events.established);
    const auto& e = *b.events.established;
    EXPECT_EQ(e.peer, peer_open());
    EXPECT_EQ(e.local, kLocal);
    EXPECT_EQ(e.remote, kRemote);
    EXPECT_EQ(e.hold, 90s);
    EXPECT_EQ(e.keepalive, 30s);
    EXPECT_TRUE(e.negotiated.four_octet_as && e.negotiated.extended_message && e.negotiated.external);
    EXPECT_TRUE(e.negotiated.ipv4_unicast && e.negotiated.ipv6_unicast);
    EXPECT_TRUE(e.negotiated.route_refresh && e.negotiated.enhanced_route_refresh);
    EXPECT_EQ(e.negotiated.remote_as, Asn{65002});
    EXPECT_EQ(b.session.stats().connections_established, 1U);
    EXPECT_EQ(b.session.stats().changed_at, kT0);
    EXPECT_EQ(b.session.connect_retry_at(), kNever);
}

TEST(Session, SendsAnOpenThatSaysWhatItIs)
{
    auto c = config();
    c.hostname = "hq";
    Bench b{c};
    b.start();
    const auto out = b.connected(kOut);
    const auto open = decode_open(Octets(out.send[0].begin() + kHeaderLength, out.send[0].end()));
    ASSERT_TRUE(open);
    EXPECT_EQ(*open, b.session.local_open());
    EXPECT_EQ(open->asn, Asn{65001});
    EXPECT_EQ(open->hold_time, 90);
    EXPECT_EQ(open->capabilities.hostname, "hq");
    EXPECT_EQ(open->capabilities.multiprotocol.size(), 2U);
    EXPECT_FALSE(open->capabilities.graceful_restart) << "it would oblige us to keep a restarting peer's routes";
}

TEST(Session, EverythingInOneChunkIsInOrder)
{
    Bench b;
    b.open_sent();
    b.bytes(kOut, encoded(peer_open()) + kKeepalive + kUpdate + kUpdate + kKeepalive);
    EXPECT_EQ(b.events.log.back(), "up");
    EXPECT_EQ(b.events.updates, 2U);
    EXPECT_EQ(b.events.prefixes, (std::vector<std::string>{"10.1.0.0/16", "10.1.0.0/16"}));
    EXPECT_EQ(b.session.stats().received.updates, 2U);
    EXPECT_EQ(b.session.stats().received.keepalives, 2U);
    EXPECT_EQ(b.session.stats().received.opens, 1U);
}

TEST(Session, PassiveWaitsForThePeer)
{
    auto c = config();
    c.passive = true;
    Bench b{c};
    EXPECT_FALSE(b.start().connect);
    EXPECT_EQ(b.session.state(), State::Active);
    EXPECT_EQ(b.session.next_deadline(), kNever);
    EXPECT_TRUE(b.session.accepts_incoming());
    b.connected(kIn);
    b.bytes(kIn, encoded(peer_open()) + kKeepalive);
    EXPECT_EQ(b.session.state(), State::Established);
    EXPECT_EQ(b.events.established->side, kIn);
    EXPECT_FALSE(b.session.accepts_incoming());
}

TEST(Session, StartsLaterWhenTold)
{
    Bench b;
    EXPECT_FALSE(b.session.on_start(kT0, 5s).connect);
    EXPECT_EQ(b.session.state(), State::Idle);
    EXPECT_FALSE(b.session.accepts_incoming());
    EXPECT_EQ(b.session.next_deadline(), kT0 + 5s);
    EXPECT_TRUE(b.pass(5s).connect);
}

TEST(Session, WithoutAFamilyStaysIdleAndSaysWhy)
{
    auto c = config();
    c.ipv4_unicast = c.ipv6_unicast = false;
    Bench b{c};
    EXPECT_FALSE(b.start().connect);
    EXPECT_EQ(b.session.state(), State::Idle);
    EXPECT_EQ(to_string(b.session.stats().last_reset), "No AFI/SAFI activated for peer");
}

TEST(Session, ConnectsAgainWhenConnectRetryEnds)
{
    Bench b;
    b.start();
    b.session.on_connect_failed(b.now);
    EXPECT_EQ(b.session.state(), State::Active);
    EXPECT_TRUE(b.session.accepts_incoming());
    const auto retry = b.session.next_deadline();
    EXPECT_GE(retry, kT0 + 90s);  // jitter takes a quarter at most
    EXPECT_LE(retry, kT0 + 120s);
    EXPECT_FALSE(b.pass(89s).connect);
    EXPECT_TRUE(b.pass(31s).connect);
    EXPECT_EQ(b.session.state(), State::Connect);

    // One that hangs is given up for another.
    const auto out = b.pass(120s);
    EXPECT_TRUE(out.connect);
    EXPECT_TRUE(out.close[0]);
}

TEST(Session, ConnectsAtOnceWhenAWayAppears)
{
    Bench b;
    EXPECT_TRUE(b.session.on_reachable(b.now).empty());  // not started
    b.start();
    EXPECT_TRUE(b.session.on_reachable(b.now).empty());  // connecting already
    b.session.on_connect_failed(b.now);
    EXPECT_TRUE(b.session.on_reachable(b.now).connect);
    EXPECT_EQ(b.session.state(), State::Connect);
    b.connected(kOut);
    b.bytes(kOut, Octets(19, 0));
    EXPECT_TRUE(b.session.on_reachable(b.now).empty());  // the wait after an error is not cut short

    auto c = config();
    c.passive = true;
    Bench passive{c};
    passive.start();
    EXPECT_TRUE(passive.session.on_reachable(passive.now).empty());
}

// ---- Timers

TEST(Session, TakesTheLowerHoldTimeAndAThirdOfItForKeepalives)
{
    auto open = peer_open();
    open.hold_time = 9;
    Bench b;
    b.open_sent();
    b.bytes(kOut, encoded(open) + kKeepalive);
    EXPECT_EQ(b.events.established->hold, 9s);
    EXPECT_EQ(b.events.established->keepalive, 3s);
    const auto sent = b.pass(8999ms);
    EXPECT_GE(types(sent.send[0]).size(), 2U);
    EXPECT_LE(types(sent.send[0]).size(), 4U);
    EXPECT_EQ(b.session.state(), State::Established);
}

TEST(Session, EndsWhenTheHoldTimeDoesAndTriesAgain)
{
    Bench b;
    b.establish();
    b.pass(60s);
    b.bytes(kOut, kKeepalive);
    b.pass(90s - 1ns);
    EXPECT_EQ(b.session.state(), State::Established);
    const auto out = b.pass(1ns);
    EXPECT_EQ(b.session.state(), State::Idle);
    EXPECT_EQ(notification_in(out.send[0]), (Notification{ErrorCode::HoldTimerExpired, 0, {}}));
    EXPECT_TRUE(out.close[0]);
    ASSERT_TRUE(b.events.down);
    EXPECT_EQ(b.events.down->notification->to_string(), "Hold Timer Expired");
    EXPECT_EQ(b.session.stats().connections_dropped, 1U);
    EXPECT_EQ(b.session.stats().last_reset, ResetReason::NotificationSent);
    EXPECT_FALSE(b.session.established());
    EXPECT_TRUE(b.pass(1s).connect);
}

TEST(Session, IsNotEndedByOurOwnDelay)  // the contract: what has arrived is read before time is judged
{
    Bench b;
    b.establish();
    b.now = kT0 + 10min;
    b.bytes(kOut, kKeepalive);
    b.session.on_time(b.now);
    EXPECT_EQ(b.session.state(), State::Established);
}

TEST(Session, UpdatesCountAsSignsOfLifeBothWays)  // RFC 4271 4.4
{
    Bench b;
    b.establish();
    b.pass(89s);
    b.bytes(kOut, kUpdate);
    b.pass(89s);
    EXPECT_EQ(b.session.state(), State::Established);

    Bench quiet;
    quiet.establish();
    for (int n = 0; n < 10; ++n) {
        const auto before = quiet.session.stats().sent.keepalives;
        quiet.pass(20s);
        quiet.bytes(kOut, kKeepalive);
        EXPECT_EQ(quiet.session.stats().sent.keepalives, before);
        EXPECT_EQ(quiet.session.send_updates(kUpdate, quiet.now).send[0], kUpdate);
    }
}

TEST(Session, HoldTimeZeroMeansNoTimers)
{
    auto open = peer_open();
    open.hold_time = 0;
    Bench b;
    b.open_sent();
    b.bytes(kOut, encoded(open) + kKeepalive);
    EXPECT_EQ(b.session.state(), State::Established);
    EXPECT_EQ(b.session.next_deadline(), kNever);
}

TEST(Session, WaitsFourMinutesForTheOpen)
{
    Bench b;
    b.open_sent();
    b.pass(240s - 1ns);
    EXPECT_EQ(b.session.state(), State::OpenSent);
    b.pass(1ns);
    EXPECT_EQ(b.session.state(), State::Idle);
    EXPECT_EQ(to_string(b.session.stats().last_reset), "Waiting for peer OPEN");
}

// ---- What doesn't fit

TEST(Session, AnswersMessagesThatDoNotFitTheState)  // RFC 6608
{
    const auto refresh = message(MessageType::RouteRefresh, hex("0001 00 01"));
    const auto ends = [](Bench& b, const Octets& octets, std::uint8_t subcode) {
        const auto out = b.bytes(kOut, octets);
        EXPECT_EQ(notification_in(out.send[0]), (Notification{ErrorCode::FiniteStateMachine, subcode, {}}));
        EXPECT_TRUE(out.close[0]);
        EXPECT_EQ(b.session.state(), State::Idle);
    };
    for (const auto& octets : {kKeepalive, kUpdate, refresh}) {
        Bench b;
        b.open_sent();
        ends(b, octets, 1);
    }
    for (const auto& octets : {encoded(peer_open()), kUpdate, refresh}) {
        Bench b;
        b.open_confirm();
        ends(b, octets, 2);
    }
    Bench b;
    b.establish();
    ends(b, encoded(peer_open()), 3);
    EXPECT_TRUE(b.events.down);
}

TEST(Session, EndsOnABrokenStreamAndReadsNothingBehindIt)
{
    Bench b;
    b.establish();
    const auto out = b.bytes(kOut, kUpdate + Octets(19, 0) + kUpdate);
    EXPECT_EQ(b.events.updates, 1U);
    EXPECT_EQ(notification_in(out.send[0]), (Notification{ErrorCode::MessageHeader, 1, {}}));
    EXPECT_EQ(b.session.state(), State::Idle);
    EXPECT_TRUE(b.bytes(kOut, kUpdate).empty());
    EXPECT_EQ(b.events.updates, 1U);
}

TEST(Session, EndsOnAnUpdateThatMustAndOnlyOnSuch)
{
    Bench b;
    b.establish();
    // RFC 7606: no ORIGIN, so the route is withdrawn; the session stays.
    b.bytes(kOut, message(MessageType::Update,
                          update_body({}, hex("40 02 06 02 01 0000fdea 40 03 04 c0000201"), hex("10 0a01"))));
    EXPECT_EQ(b.session.state(), State::Established);
    EXPECT_EQ(b.session.stats().treated_as_withdraw, 1U);
    EXPECT_EQ(b.session.stats().last_attribute_error.attribute, AttrType::Origin);
    const auto out = b.bytes(kOut, message(MessageType::Update, update_body({}, {}, hex("21 0a01"))));
    EXPECT_EQ(notification_in(out.send[0])->to_string(), "UPDATE Message Error/Invalid Network Field");
    EXPECT_EQ(b.session.stats().last_notification->subcode, 10);
    EXPECT_TRUE(b.session.stats().last_notification_sent);
}

TEST(Session, HoldsAPathToTheNeighborsAs)
{
    auto open = peer_open();
    open.asn = Asn{65003};
    open.capabilities.four_octet_as = open.asn;
    for (const bool enforce : {true, false}) {
        auto c = config();
        c.peer_as_kind = SessionConfig::PeerAs::External;
        c.enforce_first_as = enforce;
        Bench b{c};
        b.open_sent();
        b.bytes(kOut, encoded(open) + kKeepalive + kUpdate);
        EXPECT_EQ(b.session.stats().treated_as_withdraw, enforce ? 1U : 0U);
    }
}

struct Refused {
    const char* name;
    void (*change)(SessionConfig&, Open&);
    std::uint8_t subcode;
};

class OpenRefused : public testing::TestWithParam<Refused> {};

TEST_P(OpenRefused, WithTheRightSubcode)
{
    auto c = config();
    auto open = peer_open();
    GetParam().change(c, open);
    Bench b{c};
    b.open_sent();
    const auto out = b.bytes(kOut, encoded(open));
    if (GetParam().subcode == 255) {
        EXPECT_EQ(b.session.state(), State::OpenConfirm);
        return;
    }
    EXPECT_EQ(b.session.state(), State::Idle);
    ASSERT_TRUE(notification_in(out.send[0]));
    EXPECT_EQ(notification_in(out.send[0])->code, ErrorCode::OpenMessage);
    EXPECT_EQ(notification_in(out.send[0])->subcode, GetParam().subcode);
}

void set_as(Open& open, std::uint32_t asn)
{
    open.asn = Asn{asn};
    open.capabilities.four_octet_as = open.asn;
}

INSTANTIATE_TEST_SUITE_P(
    Rfc4271Section62, OpenRefused,
    testing::Values(Refused{"another_as", [](SessionConfig&, Open& o) { set_as(o, 65003); }, 2},
                    Refused{"inside_expected",
                            [](SessionConfig& c, Open&) { c.peer_as_kind = SessionConfig::PeerAs::Internal; }, 2},
                    Refused{"outside_expected",
                            [](SessionConfig& c, Open& o) {
                                c.peer_as_kind = SessionConfig::PeerAs::External;
                                set_as(o, 65001);
                            },
                            2},
                    Refused{"external_any",
                            [](SessionConfig& c, Open& o) {
                                c.peer_as_kind = SessionConfig::PeerAs::External;
                                set_as(o, 4200000000);
                            },
                            255},
                    Refused{"own_identifier_inside",
                            [](SessionConfig& c, Open& o) {
                                c.peer_as = c.local_as;
                                set_as(o, 65001);
                                o.router_id = c.router_id;
                            },
                            3},
                    Refused{"own_identifier_outside", [](SessionConfig& c, Open& o) { o.router_id = c.router_id; },
                            255},
                    Refused{"hold_time", [](SessionConfig&, Open& o) { o.hold_time = 2; }, 6},
                    Refused{"no_family_in_common",
                            [](SessionConfig& c, Open& o) {
                                c.ipv4_unicast = false;
                                o.capabilities.multiprotocol = {{Afi::Ipv4, Safi::Unicast}};
                            },
                            7},
                    Refused{"no_capabilities_for_ipv6",
                            [](SessionConfig& c, Open& o) {
                                c.ipv4_unicast = false;
                                o.capabilities = {};
                            },
                            7},
                    Refused{"version", [](SessionConfig&, Open& o) { o.version = 5; }, 1}),
    [](const auto& info) { return info.param.name; });

TEST(Session, SpeaksToAPeerWithoutCapabilities)
{
    auto open = peer_open();
    open.capabilities = {};
    Bench b;
    b.open_sent();
    b.bytes(kOut, encoded(open) + kKeepalive);
    ASSERT_EQ(b.session.state(), State::Established);
    const auto& n = b.events.established->negotiated;
    EXPECT_TRUE(n.ipv4_unicast);
    EXPECT_FALSE(n.ipv6_unicast || n.four_octet_as || n.extended_message || n.route_refresh);
    // Without the capability larger messages stay forbidden for us; the peer was told that it may send them.
    EXPECT_TRUE(b.session.send_route_refresh(Family::Ipv4, RouteRefresh::Kind::Request, b.now).empty());
}

TEST(Session, LeavesCapabilitiesOutForAPeerThatRefusesThem)  // RFC 5492 3
{
    Bench b;
    b.open_sent();
    b.bytes(kOut, encoded(Notification{ErrorCode::OpenMessage, open_error::kUnsupportedParameter, {}}));
    EXPECT_EQ(b.session.state(), State::Idle);
    EXPECT_TRUE(b.pass(1s).connect);
    const auto out = b.connected(kOut);
    EXPECT_FALSE(decode_open(Octets(out.send[0].begin() + kHeaderLength, out.send[0].end()))->capabilities.any);
    auto open = peer_open();
    open.capabilities = {};
    b.bytes(kOut, encoded(open) + kKeepalive);
    EXPECT_EQ(b.session.state(), State::Established);
    EXPECT_FALSE(b.events.established->negotiated.ipv6_unicast);
}

// ---- The way down

TEST(Session, TakesANotification)
{
    Bench b;
    b.establish();
    const Notification n{ErrorCode::Cease, cease::kAdministrativeReset, shutdown_communication("new cable")};
    const auto out = b.bytes(kOut, encoded(n) + kUpdate);
    EXPECT_TRUE(out.send[0].empty());  // RFC 4271 6.4: never answered
    EXPECT_TRUE(out.close[0]);
    ASSERT_TRUE(b.events.down);
    EXPECT_EQ(b.events.down->reason, ResetReason::NotificationReceived);
    EXPECT_EQ(b.events.down->notification, n);
    EXPECT_EQ(b.events.updates, 0U);
    EXPECT_EQ(b.session.stats().last_notification, n);
    EXPECT_FALSE(b.session.stats().last_notification_sent);
    EXPECT_EQ(b.session.stats().received.notifications, 1U);
}

TEST(Session, NoticesThatThePeerClosed)
{
    Bench b;
    b.establish();
    const auto out = b.session.on_closed(kOut, b.now);
    EXPECT_TRUE(out.empty());
    EXPECT_EQ(b.session.state(), State::Idle);
    EXPECT_EQ(b.events.down->reason, ResetReason::PeerClosed);
    EXPECT_TRUE(b.pass(1s).connect);
}

TEST(Session, StopsWithTheOperatorsWords)
{
    Bench b;
    b.establish();
    const auto out = b.session.on_stop({ResetReason::AdminShutdown, cease::kAdministrativeShutdown, "moving"}, b.now);
    ASSERT_TRUE(notification_in(out.send[0]));
    EXPECT_EQ(notification_in(out.send[0])->shutdown_communication(), "moving");
    EXPECT_TRUE(out.close[0]);
    EXPECT_EQ(b.session.state(), State::Idle);
    EXPECT_EQ(b.session.next_deadline(), kNever);
    EXPECT_FALSE(b.session.accepts_incoming());
    EXPECT_TRUE(b.session.on_connected(kIn, kLocal, kRemote, b.now).close[1]);
    EXPECT_EQ(b.events.log.back(), "down");
    EXPECT_EQ(to_string(b.session.stats().last_reset), "Admin. shutdown");
    EXPECT_TRUE(b.start().connect);
    EXPECT_EQ(b.session.state(), State::Connect);
}

TEST(Session, StopsWhileConnectingAndWithoutANotification)
{
    Bench b;
    b.start();
    auto out = b.session.on_stop({ResetReason::InterfaceDown, 0, ""}, b.now);
    EXPECT_TRUE(out.close[0]);
    EXPECT_TRUE(b.connected(kOut).close[0]);  // came too late

    Bench up;
    up.establish();
    out = up.session.on_stop({ResetReason::InterfaceDown, 0, ""}, up.now);
    EXPECT_TRUE(out.send[0].empty());
    EXPECT_TRUE(out.close[0]);
    EXPECT_FALSE(up.events.down->notification);
}

TEST(Session, LeavesABrokenPeerAloneForLongerAndLonger)
{
    auto wrong = peer_open();
    set_as(wrong, 65009);
    Bench b;
    b.start();
    std::vector<Duration> waits;
    for (int n = 0; n < 10; ++n) {
        b.connected(kOut);
        b.bytes(kOut, encoded(wrong));
        ASSERT_EQ(b.session.state(), State::Idle);
        EXPECT_FALSE(b.session.accepts_incoming());
        waits.push_back(b.session.next_deadline() - b.now);
        ASSERT_TRUE(b.pass(waits.back()).connect);
    }
    EXPECT_LE(waits[0], 1s);
    EXPECT_GE(waits[0], 750ms);
    EXPECT_GE(waits[5], 24s);
    EXPECT_LE(waits[5], 32s);
    EXPECT_GE(waits[9], 90s);
    EXPECT_LE(waits[9], 120s);

    // A session that has stood for a while clears the record.
    b.connected(kOut);
    b.bytes(kOut, encoded(peer_open()) + kKeepalive);
    b.pass(60s);
    b.bytes(kOut, Octets(19, 0));
    EXPECT_LE(b.session.next_deadline() - b.now, 1s);
}

TEST(Session, TriesAgainSoonWhenTheTransportBreaksBeforeItIsUp)
{
    Bench b;
    b.open_sent();
    b.session.on_closed(kOut, b.now);
    EXPECT_EQ(b.session.state(), State::Active);
    EXPECT_TRUE(b.session.accepts_incoming());
    EXPECT_TRUE(b.pass(1s).connect);
}

// ---- Collisions, RFC 4271 6.8. The peer's identifier is 10.0.0.2.

struct Collision {
    const char* name;
    const char* our_id;
    Side survivor;
};

class Collisions : public testing::TestWithParam<Collision> {
protected:
    static SessionConfig with_our_id()
    {
        auto c = config();
        c.router_id = *Ipv4Address::parse(GetParam().our_id);
        return c;
    }
    static Side survivor() { return GetParam().survivor; }
    static Side loser() { return survivor() == kOut ? kIn : kOut; }
    static void expect_lost(const Bench& bench, const Output& out)
    {
        EXPECT_TRUE(out.close[i(loser())]);
        EXPECT_FALSE(out.close[i(survivor())]);
        EXPECT_EQ(notification_in(out.send[i(loser())]),
                  (Notification{ErrorCode::Cease, cease::kCollisionResolution, {}}));
        EXPECT_EQ(bench.session.stats().collisions, 1U);
    }
    Bench bench{with_our_id()};
};

TEST_P(Collisions, AreResolvedByTheFirstOpenWhicheverItIs)
{
    for (const auto first : kSides) {
        Bench b{with_our_id()};
        b.start();
        b.connected(kOut);
        ASSERT_TRUE(b.session.accepts_incoming());
        b.connected(kIn);
        expect_lost(b, b.bytes(first, encoded(peer_open())));
        EXPECT_TRUE(b.bytes(loser(), encoded(peer_open())).empty());
        if (first == loser()) b.bytes(survivor(), encoded(peer_open()));
        EXPECT_EQ(b.session.state(), State::OpenConfirm);
        b.bytes(survivor(), kKeepalive);
        EXPECT_EQ(b.events.established->side, survivor());
        EXPECT_EQ(b.session.stats().connections_established, 1U);
    }
}

TEST_P(Collisions, InOpenConfirmAreResolvedToo)
{
    bench.open_confirm(kOut);
    ASSERT_TRUE(bench.session.accepts_incoming());
    bench.connected(kIn);
    expect_lost(bench, bench.bytes(kIn, encoded(peer_open())));
    bench.bytes(survivor(), kKeepalive);
    EXPECT_EQ(bench.session.state(), State::Established);
    EXPECT_EQ(bench.events.established->side, survivor());
}

TEST_P(Collisions, WithAnEstablishedOneAreLostByTheOther)
{
    bench.open_confirm(kOut);
    bench.connected(kIn);
    const auto out = bench.bytes(kOut, kKeepalive);
    EXPECT_TRUE(out.close[1]);
    EXPECT_EQ(notification_in(out.send[1])->subcode, cease::kCollisionResolution);
    EXPECT_EQ(bench.session.state(), State::Established);
    EXPECT_EQ(bench.events.established->side, kOut);
    EXPECT_FALSE(bench.session.accepts_incoming());
    EXPECT_TRUE(bench.connected(kIn).close[1]);
    EXPECT_EQ(bench.session.state(), State::Established);
}

INSTANTIATE_TEST_SUITE_P(ById, Collisions,
                         testing::Values(Collision{"we_are_higher", "10.0.0.5", kOut},
                                         Collision{"we_are_lower", "10.0.0.1", kIn},
                                         Collision{"equal_and_lower_as", "10.0.0.2", kIn}),  // RFC 6286 2.3
                         [](const auto& info) { return info.param.name; });

TEST(Session, AConnectionWhoseOpenNeverCameIsNoRival)
{
    Bench b;  // our identifier is the higher one: the outgoing connection would win
    b.open_sent(kOut);
    b.pass(11s);
    b.connected(kIn);
    const auto out = b.bytes(kIn, encoded(peer_open()) + kKeepalive);
    EXPECT_TRUE(out.close[0]);
    EXPECT_EQ(b.session.state(), State::Established);
    EXPECT_EQ(b.events.established->side, kIn);
}

TEST(Session, AnIncomingOpenEndsTheOutgoingAttempt)
{
    Bench b;
    b.start();
    b.connected(kIn);
    EXPECT_EQ(b.session.state(), State::OpenSent);
    const auto out = b.bytes(kIn, encoded(peer_open()));
    EXPECT_TRUE(out.close[0]);
    EXPECT_TRUE(b.connected(kOut).close[0]);
    EXPECT_EQ(b.session.connect_retry_at(), kNever);
    EXPECT_EQ(b.session.state(), State::OpenConfirm);
}

TEST(Session, ALaterIncomingConnectionReplacesTheOlder)
{
    Bench b;
    b.start();
    b.connected(kIn);
    b.bytes(kIn, Octets(5, 0xff));  // half a header, which must not be left over
    b.connected(kIn);
    b.bytes(kIn, encoded(peer_open()) + kKeepalive);
    EXPECT_EQ(b.session.state(), State::Established);
}

TEST(Session, TheOtherConnectionGoesOnWhenOneFails)
{
    Bench b;
    b.open_sent(kOut);
    b.connected(kIn);
    b.session.on_closed(kIn, b.now);
    EXPECT_EQ(b.session.state(), State::OpenSent);
    auto out = b.connected(kIn);
    EXPECT_FALSE(out.close[1]);
    out = b.bytes(kIn, Octets(19, 0));
    EXPECT_TRUE(out.close[1]);
    EXPECT_EQ(b.session.state(), State::OpenSent);
    b.bytes(kOut, encoded(peer_open()) + kKeepalive);
    EXPECT_EQ(b.session.state(), State::Established);
}

TEST(Session, ALostCollisionIsNoError)
{
    Bench b;
    b.open_sent(kOut);
    b.bytes(kOut, encoded(Notification{ErrorCode::Cease, cease::kCollisionResolution, {}}));
    EXPECT_EQ(b.session.state(), State::Active);
    EXPECT_TRUE(b.session.accepts_incoming());
}

// ---- Route refresh, UPDATEs, counters

TEST(Session, HandsOnRouteRefreshes)
{
    Bench b;
    b.establish();
    b.events.log.clear();
    for (const char* body : {"0001 00 01", "0002 01 01", "0002 02 01", "0019 00 46", "0001 09 01"})
        b.bytes(kOut, message(MessageType::RouteRefresh, hex(body)));
    EXPECT_EQ(b.events.log, (std::vector<std::string>{"refresh 0 0", "refresh 1 1", "refresh 1 2"}));
    EXPECT_EQ(b.session.stats().received.route_refreshes, 5U);

    const auto out = b.session.send_route_refresh(Family::Ipv6, RouteRefresh::Kind::Request, b.now);
    EXPECT_EQ(out.send[0], message(MessageType::RouteRefresh, hex("0002 00 01")));
    EXPECT_EQ(b.session.stats().sent.route_refreshes, 1U);

    EXPECT_EQ(notification_in(b.bytes(kOut, message(MessageType::RouteRefresh, hex("0001 01 01 00"))).send[0])->code,
              ErrorCode::RouteRefresh);
}

TEST(Session, SendsUpdatesOnTheEstablishedConnectionOnly)
{
    Bench b;
    b.open_confirm(kIn);
    EXPECT_TRUE(b.session.send_updates(kUpdate, b.now).empty());
    b.bytes(kIn, kKeepalive);
    const auto out = b.session.send_updates(kUpdate + kUpdate + kUpdate, b.now);
    EXPECT_EQ(out.send[1], kUpdate + kUpdate + kUpdate);
    EXPECT_EQ(b.session.stats().sent.updates, 3U);
    EXPECT_EQ(b.session.stats().sent.total(), 5U);  // and OPEN, KEEPALIVE
    EXPECT_TRUE(b.session.send_updates({}, b.now).empty());
}

TEST(Session, ReadsLargeMessagesFromAPeerThatCanSendThem)  // RFC 8654
{
    Octets communities(8000, 0);
    const auto large = message(
        MessageType::Update,
        update_body({}, hex("40 01 01 00 40 02 06 02 01 0000fdea 40 03 04 c0000201") + attribute(0xd0, 8, communities),
                    hex("10 0a01")));
    Bench b;
    b.establish();
    b.bytes(kOut, large);
    EXPECT_EQ(b.events.updates, 1U);
    auto c = config();
    c.extended_message = false;
    Bench small{c};
    small.establish();
    EXPECT_EQ(notification_in(small.bytes(kOut, large).send[0])->to_string(),
              "Message Header Error/Bad Message Length");
}

TEST(Session, DoesTheSameWithTheSameSeed)
{
    Bench a, b;
    a.establish();
    b.establish();
    for (int n = 0; n < 5; ++n) {
        EXPECT_EQ(a.session.next_deadline(), b.session.next_deadline());
        a.pass(25s);
        b.pass(25s);
        a.bytes(kOut, kKeepalive);
        b.bytes(kOut, kKeepalive);
    }
}

}  // namespace
}  // namespace culvert::bgp
