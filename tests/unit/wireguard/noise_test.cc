#include "controlplane/wireguard/noise.h"

#include <gtest/gtest.h>

#include <functional>

namespace culvert::wireguard {
namespace {

class NoiseTest : public testing::Test {
protected:
    NoiseTest() : random_(42)
    {
        alice_ = noise_.identity(crypto::generate_private_key(random_));
        bob_ = noise_.identity(crypto::generate_private_key(random_));
        crypto::Secret<32> psk;
        random_.fill(psk.reveal_for_writing());
        to_bob_ = noise_.remote(alice_, bob_.public_key, psk.clone());
        to_alice_ = noise_.remote(bob_, alice_.public_key, psk.clone());
    }

    crypto::SeededRandom random_;
    Noise noise_;
    Identity alice_, bob_;
    Remote to_bob_, to_alice_;
    const Tai64n timestamp_ = Tai64n::from_unix(1'700'000'000, 5);
};

TEST_F(NoiseTest, BothEndUpWithTheSameKeys)
{
    Initiation initiation;
    const auto state = noise_.write_initiation(alice_, to_bob_, 17, timestamp_, random_, initiation);
    ASSERT_TRUE(state);
    EXPECT_EQ(initiation.sender, 17U);

    auto responder = noise_.read_static(bob_, initiation);
    ASSERT_TRUE(responder);
    EXPECT_EQ(responder->remote_static, alice_.public_key);
    EXPECT_EQ(noise_.read_timestamp(to_alice_, *responder, initiation), timestamp_);
    Response response;
    const auto theirs = noise_.write_response(to_alice_, *responder, 18, 17, random_, response);
    ASSERT_TRUE(theirs);

    const auto ours = noise_.read_response(alice_, to_bob_, *state, response);
    ASSERT_TRUE(ours);
    EXPECT_EQ(ours->sending, theirs->receiving);
    EXPECT_EQ(ours->receiving, theirs->sending);
    EXPECT_NE(ours->sending, ours->receiving);
}

// Each field of each message, one bit at a time: nothing that was touched is taken.
TEST_F(NoiseTest, NothingAlteredIsTaken)
{
    Initiation initiation;
    const auto state = noise_.write_initiation(alice_, to_bob_, 1, timestamp_, random_, initiation);
    auto responder = noise_.read_static(bob_, initiation);
    ASSERT_TRUE(noise_.read_timestamp(to_alice_, *responder, initiation));
    Response response;
    ASSERT_TRUE(noise_.write_response(to_alice_, *responder, 2, 1, random_, response));

    for (std::size_t bit = 0; bit < 8 * 48; bit += 5) {
        auto wrong = initiation;
        wrong.sealed_static[bit / 8] ^= static_cast<std::uint8_t>(1 << bit % 8);
        EXPECT_FALSE(noise_.read_static(bob_, wrong));
    }
    for (std::size_t bit = 0; bit < 8 * 28; bit += 5) {
        auto wrong = initiation;
        wrong.sealed_timestamp[bit / 8] ^= static_cast<std::uint8_t>(1 << bit % 8);
        auto r = noise_.read_static(bob_, wrong);
        ASSERT_TRUE(r);
        EXPECT_FALSE(noise_.read_timestamp(to_alice_, *r, wrong));
    }
    for (std::size_t bit = 0; bit < 8 * 32; bit += 5) {
        auto wrong = initiation;
        wrong.ephemeral[bit / 8] ^= static_cast<std::uint8_t>(1 << bit % 8);
        EXPECT_FALSE(noise_.read_static(bob_, wrong));
        auto wrong_response = response;
        wrong_response.ephemeral[bit / 8] ^= static_cast<std::uint8_t>(1 << bit % 8);
        EXPECT_FALSE(noise_.read_response(alice_, to_bob_, *state, wrong_response));
    }
    for (std::size_t bit = 0; bit < 8 * 16; ++bit) {
        auto wrong = response;
        wrong.sealed_nothing[bit / 8] ^= static_cast<std::uint8_t>(1 << bit % 8);
        EXPECT_FALSE(noise_.read_response(alice_, to_bob_, *state, wrong));
    }
    EXPECT_TRUE(noise_.read_response(alice_, to_bob_, *state, response)) << "forgeries left the state alone";
}

TEST_F(NoiseTest, AnotherPresharedKeyFails)
{
    Initiation initiation;
    const auto state = noise_.write_initiation(alice_, to_bob_, 1, timestamp_, random_, initiation);
    auto responder = noise_.read_static(bob_, initiation);
    const auto without = noise_.remote(bob_, alice_.public_key, {});
    ASSERT_TRUE(noise_.read_timestamp(without, *responder, initiation)) << "the initiation does not depend on it";
    Response response;
    ASSERT_TRUE(noise_.write_response(without, *responder, 2, 1, random_, response));
    EXPECT_FALSE(noise_.read_response(alice_, to_bob_, *state, response));
}

TEST_F(NoiseTest, KeysOfLowOrderAreRefused)
{
    const auto zero = noise_.remote(alice_, crypto::PublicKey{}, {});
    Initiation initiation;
    EXPECT_FALSE(noise_.write_initiation(alice_, zero, 1, timestamp_, random_, initiation));

    const auto state = noise_.write_initiation(alice_, to_bob_, 1, timestamp_, random_, initiation);
    auto responder = noise_.read_static(bob_, initiation);
    ASSERT_TRUE(noise_.read_timestamp(to_alice_, *responder, initiation));
    Response response;
    ASSERT_TRUE(noise_.write_response(to_alice_, *responder, 2, 1, random_, response));
    response.ephemeral = {};
    EXPECT_FALSE(noise_.read_response(alice_, to_bob_, *state, response));
    initiation.ephemeral = {1};
    EXPECT_FALSE(noise_.read_static(bob_, initiation));
}

TEST_F(NoiseTest, Mac1IsOfTheReceiversKey)
{
    std::array<std::uint8_t, kInitiationSize> message{1};
    noise_.write_macs(to_bob_, nullptr, message);
    EXPECT_TRUE(noise_.mac1_fits(bob_, message));
    EXPECT_FALSE(noise_.mac1_fits(alice_, message));
    message[40] ^= 1;
    EXPECT_FALSE(noise_.mac1_fits(bob_, message));
    EXPECT_EQ(Initiation::decode(message)->mac2, Mac{}) << "no cookie, no mac2";
}

}  // namespace
}  // namespace culvert::wireguard
