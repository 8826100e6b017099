#include "controlplane/wireguard/engine.h"

#include "controlplane/wireguard/noise.h"
#include "crypto/chacha20_poly1305.h"
#include "tests/sim/wireguard/box.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace culvert::wireguard {
namespace {

constexpr TimePoint kT0{1h};  // not zero, so no code can treat zero as "unset"
constexpr PeerId kBob{7};
constexpr PeerId kAlice{9};
constexpr PeerId kCarol{11};
const Endpoint kAliceAt{Ipv4Address{0xc0000201}, 51820};
const Endpoint kBobAt{Ipv4Address{0xc0000202}, 51820};
const IpAddress kBobAddress = kBobAt.address;

// Alice is driven as an engine without a worker: the test plays it. Bob is a whole box.
class EngineTest : public testing::Test {
protected:
    EngineTest() : random_(1), clock_(1'700'000'000), bob_(2, kBobAt, 1'700'000'000)
    {
        EngineConfig config;
        config.private_key = crypto::generate_private_key(random_);
        alice_ = std::make_unique<Engine>(std::move(config), indices_, random_, clock_);
        alice_->set_peer(kBob, to_bob(), kT0);
        bob_.add(kAlice, alice_->public_key(), std::nullopt, kT0);
        bob_.pump(kT0);
    }

    PeerConfig to_bob() const
    {
        PeerConfig config;
        config.public_key = const_cast<sim::Box&>(bob_).engine().public_key();
        config.endpoint = kBobAt;
        return config;
    }
    Output want(TimePoint now) { return alice_->on_event(api::HandshakeWanted{kBob}, now); }

    // Bob's answer to what Alice sent.
    std::vector<std::uint8_t> answer(const Datagram& initiation, TimePoint now)
    {
        bob_.receive({kAliceAt, kBobAt, {initiation.bytes().begin(), initiation.bytes().end()}}, now);
        bob_.pump(now);
        auto sent = std::exchange(bob_.sent, {});
        return sent.empty() ? std::vector<std::uint8_t>{} : sent.front().bytes;
    }
    Output deliver(Bytes message, TimePoint now) { return alice_->on_message(message, kBobAt, kAliceAt.address, now); }
    // A whole handshake that Alice begins.
    api::InstallKeys handshake(TimePoint now)
    {
        const auto out = want(now);
        EXPECT_EQ(out.send.size(), 1U);
        const auto done = deliver(answer(out.send.at(0), now), now);
        EXPECT_EQ(alice_->count(Handling::WrongKey), 0U);
        for (const auto& command : done.commands)
            if (const auto* keys = std::get_if<api::InstallKeys>(&command)) return *keys;
        ADD_FAILURE() << "no keys";
        return {};
    }
    static bool holds_keepalive(const Output& out)
    {
        return std::ranges::any_of(out.commands,
                                   [](const auto& c) { return std::holds_alternative<api::SendKeepalive>(c); });
    }
    static const api::ForgetKeys* forgotten(const Output& out)
    {
        for (const auto& command : out.commands)
            if (const auto* f = std::get_if<api::ForgetKeys>(&command)) return f;
        return nullptr;
    }

    crypto::SeededRandom random_;
    sim::SimClock clock_;
    IndexTable indices_;
    std::unique_ptr<Engine> alice_;
    sim::Box bob_;
};

TEST_F(EngineTest, InitiatesWhenAPacketWaits)
{
    const auto out = want(kT0);
    ASSERT_EQ(out.send.size(), 1U);
    EXPECT_EQ(out.send[0].length, kInitiationSize);
    EXPECT_EQ(out.send[0].to, kBobAt);
    EXPECT_EQ(out.send[0].peer, kBob);
    EXPECT_TRUE(out.commands.empty());
    EXPECT_EQ(alice_->peer(kBob, kT0)->state, PeerState::Handshaking);
}

TEST_F(EngineTest, WithoutAnEndpointThereIsNothingToDo)
{
    auto config = to_bob();
    config.public_key[0] ^= 1;
    config.endpoint.reset();
    alice_->set_peer(kCarol, std::move(config), kT0);
    EXPECT_TRUE(alice_->on_event(api::HandshakeWanted{kCarol}, kT0).send.empty());
    EXPECT_TRUE(alice_->on_event(api::HandshakeWanted{PeerId{99}}, kT0).send.empty()) << "nobody's peer";
}

TEST_F(EngineTest, RetriesEveryFiveSecondsAndGivesUpAfterNinety)
{
    TimePoint last = kT0;
    std::uint32_t sender = Initiation::decode(want(kT0).send.at(0).bytes())->sender;
    std::size_t tries = 1;
    Output out;
    for (;;) {
        const TimePoint at = alice_->next_deadline();
        ASSERT_NE(at, kNever);
        out = alice_->on_time(at);
        if (out.send.empty()) {
            EXPECT_GE(at - kT0, kRekeyAttemptTime);
            break;
        }
        EXPECT_GE(at - last, kRekeyTimeout);
        EXPECT_LT(at - last, kRekeyTimeout + 334ms);
        const auto next = Initiation::decode(out.send.at(0).bytes())->sender;
        EXPECT_NE(next, sender) << "every try has an index and keys of its own";
        sender = next;
        last = at;
        ++tries;
    }
    EXPECT_GE(tries, 17U);
    EXPECT_LE(tries, 18U);
    ASSERT_NE(forgotten(out), nullptr);
    EXPECT_TRUE(forgotten(out)->drop_waiting);
    EXPECT_EQ(alice_->next_deadline(), kNever);
    EXPECT_EQ(indices_.size(), 0U);
    EXPECT_EQ(alice_->peer(kBob, last)->state, PeerState::Down);
    EXPECT_EQ(want(last + 10s).send.size(), 1U) << "a new packet begins anew";
}

TEST_F(EngineTest, PacketsThatGoOnComingPutOffGivingUp)
{
    want(kT0);
    while (alice_->next_deadline() < kT0 + 80s) alice_->on_time(alice_->next_deadline());
    want(kT0 + 80s);
    while (alice_->next_deadline() < kT0 + 165s) EXPECT_EQ(alice_->on_time(alice_->next_deadline()).send.size(), 1U);
}

TEST_F(EngineTest, NeverTwoInitiationsWithinFiveSeconds)
{
    EXPECT_EQ(want(kT0).send.size(), 1U);
    for (auto t = 10ms; t < 5s; t += 100ms) EXPECT_TRUE(want(kT0 + t).send.empty());
}

TEST_F(EngineTest, ResponseGivesKeysThatSendAtOnce)
{
    const auto initiation = want(kT0).send.at(0);
    const auto response = answer(initiation, kT0);
    ASSERT_EQ(response.size(), kResponseSize);
    const auto out = deliver(response, kT0 + 30ms);
    ASSERT_EQ(out.commands.size(), 1U);
    const auto& keys = std::get<api::InstallKeys>(out.commands[0]);
    EXPECT_TRUE(keys.initiator);
    EXPECT_EQ(keys.peer, kBob);
    EXPECT_EQ(keys.local_index, Initiation::decode(initiation.bytes())->sender);
    EXPECT_EQ(keys.remote_index, Response::decode(response)->sender);
    EXPECT_EQ(keys.created, kT0 + 30ms);
    const auto view = alice_->peer(kBob, kT0 + 30ms);
    EXPECT_EQ(view->state, PeerState::Up);
    EXPECT_TRUE(view->initiator);
    EXPECT_EQ(view->latest_handshake, kT0 + 30ms);

    EXPECT_TRUE(deliver(response, kT0 + 40ms).commands.empty());
    EXPECT_EQ(alice_->count(Handling::Unexpected), 1U) << "a response is taken once";
}

TEST_F(EngineTest, ReplyLeavesOnlyWhenTheWorkerHasTheKeys)
{
    // Bob begins; Alice's worker is slow.
    bob_.engine();
    PeerConfig alice;
    alice.public_key = alice_->public_key();
    alice.endpoint = kAliceAt;
    bob_.apply(bob_.engine().set_peer(kAlice, std::move(alice), kT0), kT0);
    bob_.apply(bob_.engine().on_event(api::HandshakeWanted{kAlice}, kT0), kT0);
    const auto initiation = bob_.sent.at(0).bytes;

    const auto out = deliver(initiation, kT0);
    EXPECT_TRUE(out.send.empty());
    ASSERT_EQ(out.commands.size(), 1U) << "the endpoint was known";
    const auto& keys = std::get<api::InstallKeys>(out.commands[0]);
    EXPECT_FALSE(keys.initiator);
    EXPECT_TRUE(alice_->on_event(api::KeysInstalled{kBob, keys.sequence + 1}, kT0).send.empty());
    const auto reply = alice_->on_event(api::KeysInstalled{kBob, keys.sequence}, kT0 + 5ms);
    ASSERT_EQ(reply.send.size(), 1U);
    EXPECT_EQ(reply.send[0].length, kResponseSize);
    EXPECT_EQ(reply.send[0].to, kBobAt);
    EXPECT_EQ(reply.send[0].from, kAliceAt.address) << "from where the question came to";
    EXPECT_TRUE(alice_->on_event(api::KeysInstalled{kBob, keys.sequence}, kT0 + 6ms).send.empty());

    EXPECT_EQ(alice_->peer(kBob, kT0 + 6ms)->state, PeerState::Down) << "not proven yet";
    alice_->on_event(api::KeysProven{kBob, keys.local_index}, kT0 + 20ms);
    EXPECT_EQ(alice_->peer(kBob, kT0 + 20ms)->state, PeerState::Up);
    EXPECT_FALSE(alice_->peer(kBob, kT0 + 20ms)->initiator);
}

TEST_F(EngineTest, InitiationsAreTakenOnceAndNoFasterThanFiftyASecond)
{
    const auto take = [&](const std::vector<std::uint8_t>& m, TimePoint at) {
        bob_.receive({kAliceAt, kBobAt, m}, at);
        bob_.pump(at);
    };
    const auto first = want(kT0).send.at(0);
    const std::vector<std::uint8_t> a(first.bytes().begin(), first.bytes().end());
    const auto retry = alice_->on_time(alice_->next_deadline()).send.at(0);
    const std::vector<std::uint8_t> b(retry.bytes().begin(), retry.bytes().end());

    take(a, kT0);
    EXPECT_EQ(bob_.engine().count(Handling::Accepted), 1U);
    take(a, kT0 + 1s);
    EXPECT_EQ(bob_.engine().count(Handling::Replayed), 1U);
    const auto other = alice_->on_time(alice_->next_deadline()).send.at(0);
    take({other.bytes().begin(), other.bytes().end()}, kT0 + 1s);
    EXPECT_EQ(bob_.engine().count(Handling::Accepted), 2U);
    take(b, kT0 + 2s);
    EXPECT_EQ(bob_.engine().count(Handling::Replayed), 2U) << "older than the newest";
    const auto fast = alice_->on_time(alice_->next_deadline()).send.at(0);
    take({fast.bytes().begin(), fast.bytes().end()}, kT0 + 1s + 19ms);
    EXPECT_EQ(bob_.engine().count(Handling::TooFast), 1U);
    take({fast.bytes().begin(), fast.bytes().end()}, kT0 + 1s + 21ms);
    EXPECT_EQ(bob_.engine().count(Handling::Accepted), 3U);
}

TEST_F(EngineTest, StrangersAndGarbageAreCountedAndUnanswered)
{
    const auto d = want(kT0).send.at(0);
    std::vector<std::uint8_t> message(d.bytes().begin(), d.bytes().end());
    const auto take = [&](const std::vector<std::uint8_t>& m) {
        const auto out = bob_.engine().on_message(m, kAliceAt, kBobAddress, kT0);
        EXPECT_TRUE(out.send.empty() && out.commands.empty());
    };
    auto& bob = bob_.engine();
    take({});
    take({1, 0, 0, 0});
    take(std::vector<std::uint8_t>(kInitiationSize, 0));
    EXPECT_EQ(bob.count(Handling::Malformed), 3U);
    message[50] ^= 1;
    take(message);
    EXPECT_EQ(bob.count(Handling::WrongMac1), 1U);
    message[50] ^= 1;

    bob_.engine().remove_peer(kAlice, kT0);
    take(message);
    EXPECT_EQ(bob.count(Handling::UnknownPeer), 1U);

    // Right mac1 for bob over a message sealed for somebody else.
    Noise noise;
    crypto::SeededRandom random(77);
    const auto us = noise.identity(crypto::generate_private_key(random));
    const auto somebody = noise.identity(crypto::generate_private_key(random));
    Initiation initiation;
    noise.write_initiation(us, noise.remote(us, somebody.public_key, {}), 1, Tai64n::from_unix(1, 0), random,
                           initiation);
    std::array<std::uint8_t, kInitiationSize> octets;
    initiation.encode(octets);
    noise.write_macs(noise.remote(us, bob.public_key(), {}), nullptr, octets);
    take({octets.begin(), octets.end()});
    EXPECT_EQ(bob.count(Handling::WrongKey), 1U);
}

TEST_F(EngineTest, ACookieIsUsedByTheRetry)
{
    const auto first = want(kT0).send.at(0);
    const auto initiation = Initiation::decode(first.bytes()).value();
    EXPECT_EQ(initiation.mac2, Mac{});

    // What a responder under load answers (paper, 5.4.7).
    Noise noise;
    crypto::SeededRandom random(3);
    const auto anyone = noise.identity(crypto::generate_private_key(random));
    const auto bob = noise.remote(anyone, bob_.engine().public_key(), {});
    Cookie cookie;
    random.fill(cookie);
    CookieReply reply;
    reply.receiver = initiation.sender;
    random.fill(reply.nonce);
    crypto::xseal(bob.cookie_key, reply.nonce, initiation.mac1, cookie, reply.sealed_cookie);
    std::array<std::uint8_t, kCookieReplySize> octets;

    reply.receiver ^= 1;
    reply.encode(octets);
    deliver(octets, kT0 + 1ms);
    EXPECT_EQ(alice_->count(Handling::Unexpected), 1U);
    reply.receiver ^= 1;
    reply.sealed_cookie[3] ^= 1;
    reply.encode(octets);
    deliver(octets, kT0 + 1ms);
    EXPECT_EQ(alice_->count(Handling::WrongKey), 1U);
    reply.sealed_cookie[3] ^= 1;
    reply.encode(octets);
    EXPECT_TRUE(deliver(octets, kT0 + 1ms).send.empty());
    EXPECT_EQ(alice_->count(Handling::Accepted), 1U);

    const auto retry = alice_->on_time(alice_->next_deadline()).send.at(0);
    crypto::Blake2s blake;
    EXPECT_EQ(Initiation::decode(retry.bytes())->mac2, blake.mac(cookie, {covered_by_mac2(retry.bytes())}));
    // Two minutes later it is stale.
    Datagram last = retry;
    want(kT0 + 60s);
    while (alice_->next_deadline() < kT0 + 130s) {
        const auto out = alice_->on_time(alice_->next_deadline());
        if (!out.send.empty()) last = out.send[0];
    }
    EXPECT_EQ(Initiation::decode(last.bytes())->mac2, Mac{});
}

TEST_F(EngineTest, RekeysOnSendingAfterTwoMinutes)
{
    handshake(kT0);
    ActivitySnapshot did;
    did.last_any_sent = did.last_data_sent = kT0 + 119s;
    did.last_any_received = kT0 + 119s;
    EXPECT_TRUE(alice_->on_activity(kBob, did, kT0 + 121s).send.empty()) << "nothing was sent since";
    did.last_any_sent = did.last_data_sent = kT0 + 121s;
    const auto out = alice_->on_activity(kBob, did, kT0 + 121s);
    ASSERT_EQ(out.send.size(), 1U);
    EXPECT_EQ(alice_->peer(kBob, kT0 + 121s)->state, PeerState::Up) << "the old session goes on";
    EXPECT_TRUE(alice_->on_activity(kBob, did, kT0 + 122s).send.empty()) << "once";
}

TEST_F(EngineTest, RekeysByMessageCount)
{
    handshake(kT0);
    ActivitySnapshot did;
    did.last_any_sent = kT0 + 10s;
    did.last_any_received = kT0 + 10s;
    did.sending_counter = kRekeyAfterMessages - 1;
    EXPECT_TRUE(alice_->on_activity(kBob, did, kT0 + 10s).send.empty());
    did.sending_counter = kRekeyAfterMessages;
    EXPECT_EQ(alice_->on_activity(kBob, did, kT0 + 10s).send.size(), 1U);
}

TEST_F(EngineTest, WhoOnlyReceivesRekeysAtTheLastMinuteOnce)
{
    handshake(kT0);
    ActivitySnapshot did;
    did.last_any_sent = kT0;
    did.last_any_received = did.last_data_received = kT0 + 164s;
    EXPECT_TRUE(alice_->on_activity(kBob, did, kT0 + 164s).send.empty());
    did.last_any_received = did.last_data_received = kT0 + 165s;
    EXPECT_EQ(alice_->on_activity(kBob, did, kT0 + 165s).send.size(), 1U);
}

TEST_F(EngineTest, DataUnansweredForFifteenSecondsMeansANewHandshake)
{
    handshake(kT0);
    ActivitySnapshot did;
    did.first_data_sent_unanswered = kT0 + 1s;
    did.last_any_sent = did.last_data_sent = kT0 + 2s;
    EXPECT_TRUE(alice_->on_activity(kBob, did, kT0 + 15s + 900ms).send.empty());
    EXPECT_EQ(alice_->on_activity(kBob, did, kT0 + 16s + 334ms).send.size(), 1U);
}

TEST_F(EngineTest, DataReceivedAndUnansweredForTenSecondsMeansAKeepalive)
{
    handshake(kT0);
    ActivitySnapshot did;
    did.first_data_received_unanswered = kT0 + 1s;
    did.last_data_received = did.last_any_received = kT0 + 9s;
    EXPECT_FALSE(holds_keepalive(alice_->on_activity(kBob, did, kT0 + 10s)));
    EXPECT_LE(alice_->next_deadline(), kT0 + 11s);
    EXPECT_TRUE(holds_keepalive(alice_->on_activity(kBob, did, kT0 + 11s)));
    EXPECT_FALSE(holds_keepalive(alice_->on_activity(kBob, did, kT0 + 11s + 1ms))) << "the worker has not sent it yet";
}

TEST_F(EngineTest, PersistentKeepaliveBeginsByItselfAndRepeats)
{
    auto config = to_bob();
    config.persistent_keepalive = 25s;
    EXPECT_EQ(alice_->set_peer(kBob, std::move(config), kT0).send.size(), 1U);
}

TEST_F(EngineTest, KeysAreForgottenAfterNineMinutes)
{
    handshake(kT0);
    const auto until = kT0 + kForgetAfter;
    while (alice_->next_deadline() < until) alice_->on_time(alice_->next_deadline());
    const auto out = alice_->on_time(until);
    ASSERT_NE(forgotten(out), nullptr);
    EXPECT_FALSE(forgotten(out)->drop_waiting);
    EXPECT_EQ(indices_.size(), 0U);
}

TEST_F(EngineTest, AFailedRekeyLeavesTheSessionAlone)
{
    handshake(kT0);
    const auto initiation = want(kT0 + 6s);
    ASSERT_EQ(initiation.send.size(), 1U);
    auto forged = answer(initiation.send[0], kT0 + 6s);
    ASSERT_FALSE(forged.empty());
    forged[50] ^= 1;
    const auto out = deliver(forged, kT0 + 6s);
    EXPECT_TRUE(out.commands.empty());
    EXPECT_EQ(alice_->count(Handling::WrongMac1), 1U);
    for (TimePoint t = alice_->next_deadline(); t < kT0 + 170s; t = alice_->next_deadline())
        EXPECT_EQ(forgotten(alice_->on_time(t)), nullptr);
    EXPECT_EQ(alice_->peer(kBob, kT0 + 170s)->state, PeerState::Up);
}

TEST_F(EngineTest, RoamsWithAuthenticatedMessagesAndWithData)
{
    const Endpoint moved{Ipv4Address{0x01020304}, 99};
    const auto initiation = want(kT0).send.at(0);
    const auto response = answer(initiation, kT0);
    const auto out = alice_->on_message(response, moved, kAliceAt.address, kT0);
    ASSERT_EQ(out.commands.size(), 2U);
    EXPECT_EQ(std::get<api::MovePeer>(out.commands[0]).endpoint, moved) << "before the keys";
    EXPECT_EQ(alice_->peer(kBob, kT0)->endpoint, moved);

    alice_->on_event(api::EndpointMoved{kBob, kBobAt}, kT0 + 1s);
    EXPECT_EQ(alice_->peer(kBob, kT0 + 1s)->endpoint, kBobAt);

    auto forged = response;
    forged[60] ^= 1;
    alice_->on_message(forged, moved, kAliceAt.address, kT0 + 2s);
    EXPECT_EQ(alice_->peer(kBob, kT0 + 2s)->endpoint, kBobAt);
}

TEST_F(EngineTest, ChangingAPeerKeepsItsSession)
{
    handshake(kT0);
    alice_->on_event(api::EndpointMoved{kBob, kAliceAt}, kT0);
    auto config = to_bob();
    const std::array<std::uint8_t, 32> psk{5};
    config.preshared_key = crypto::Secret<32>{psk};
    const auto out = alice_->set_peer(kBob, std::move(config), kT0 + 1s);
    EXPECT_TRUE(out.commands.empty() && out.send.empty());
    const auto view = alice_->peer(kBob, kT0 + 1s);
    EXPECT_EQ(view->state, PeerState::Up);
    EXPECT_TRUE(view->has_preshared_key);
    EXPECT_EQ(view->endpoint, kAliceAt) << "a statement that did not change does not undo roaming";

    auto elsewhere = to_bob();
    elsewhere.endpoint = Endpoint{Ipv4Address{1}, 1};
    EXPECT_EQ(alice_->set_peer(kBob, std::move(elsewhere), kT0 + 2s).commands.size(), 1U);
    EXPECT_EQ(alice_->peer(kBob, kT0 + 2s)->endpoint->port, 1);
}

TEST_F(EngineTest, RemovingAPeerForgetsItAlone)
{
    handshake(kT0);
    auto carol = to_bob();
    carol.public_key[3] ^= 1;
    alice_->set_peer(kCarol, std::move(carol), kT0);
    alice_->on_event(api::HandshakeWanted{kCarol}, kT0);
    const auto out = alice_->remove_peer(kCarol, kT0);
    ASSERT_EQ(out.commands.size(), 1U);
    EXPECT_EQ(std::get<api::ForgetKeys>(out.commands[0]).peer, kCarol);
    EXPECT_FALSE(alice_->has_peer(kCarol));
    EXPECT_EQ(alice_->peers(kT0).size(), 1U);
    EXPECT_EQ(alice_->peer(kBob, kT0)->state, PeerState::Up);
    EXPECT_EQ(indices_.size(), 1U);
}

TEST_F(EngineTest, AnotherPublicKeyIsAnotherPeer)
{
    handshake(kT0);
    auto config = to_bob();
    config.public_key[3] ^= 1;
    const auto out = alice_->set_peer(kBob, std::move(config), kT0);
    EXPECT_NE(forgotten(out), nullptr);
    EXPECT_EQ(alice_->peer(kBob, kT0)->state, PeerState::Down);
}

TEST_F(EngineTest, AnotherPrivateKeyEndsEverySession)
{
    handshake(kT0);
    EngineConfig config;
    config.private_key = crypto::generate_private_key(random_);
    const auto before = alice_->public_key();
    EXPECT_NE(forgotten(alice_->set_config(std::move(config), kT0)), nullptr);
    EXPECT_NE(alice_->public_key(), before);
    EXPECT_EQ(alice_->peer(kBob, kT0)->state, PeerState::Down);
    EXPECT_EQ(indices_.size(), 0U);
}

TEST_F(EngineTest, WhileDownNothingIsSentOrAnswered)
{
    handshake(kT0);
    EXPECT_NE(forgotten(alice_->set_up(false, kT0 + 1s)), nullptr);
    EXPECT_TRUE(want(kT0 + 20s).send.empty());
    EXPECT_EQ(alice_->next_deadline(), kNever);
    alice_->set_up(true, kT0 + 21s);
    EXPECT_EQ(want(kT0 + 22s).send.size(), 1U);
}

// A peer that begins handshakes and finishes none.
TEST_F(EngineTest, UnfinishedHandshakesDontPileUp)
{
    const auto keys = handshake(kT0);
    bob_.send(kAlice, {}, kT0);
    PeerConfig config;
    config.public_key = alice_->public_key();
    config.endpoint = kAliceAt;
    bob_.apply(bob_.engine().set_peer(kAlice, std::move(config), kT0), kT0);
    TimePoint now = kT0 + 10s;
    for (int i = 0; i < 100; ++i, now += 6s) {
        bob_.sent.clear();
        bob_.clock().set(now);
        bob_.apply(bob_.engine().on_event(api::HandshakeWanted{kAlice}, now), now);
        bob_.apply(bob_.engine().on_time(now), now);
        for (const auto& wire : bob_.sent)
            if (type_of(wire.bytes) == MessageType::Initiation) deliver(wire.bytes, now);
        ASSERT_LE(indices_.size(), 10U);
    }
    EXPECT_GT(alice_->count(Handling::Accepted), 50U);
    EXPECT_TRUE(indices_.owner(keys.local_index)) << "the current session's index is the last to go";
}

}  // namespace
}  // namespace culvert::wireguard
