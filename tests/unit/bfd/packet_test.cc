#include "dataplane/bfd/packet.h"

#include "dataplane/bfd/authentication.h"
#include "tests/unit/bfd/box.h"

#include <gtest/gtest.h>

namespace culvert::bfd::test {
namespace {

using api::BfdAuthentication;

TEST(BfdPacket, LiesOnTheWireAsRfc5880Section41Draws)
{
    auto p = from_peer(BfdState::Init, 0x01020304);
    p.diagnostic = BfdDiagnostic::NeighborSignaledDown;
    p.poll = true;
    p.control_plane_independent = true;
    p.required_min_echo_rx = 7;
    EXPECT_EQ(wire(p), (std::vector<std::uint8_t>{0x23, 0xa8, 3,    24,   0, 0, 0x20, 0x02, 1, 2, 3, 4,
                                                  0,    0,    0xc3, 0x50, 0, 0, 0xc3, 0x50, 0, 0, 0, 7}));
}

TEST(BfdPacket, WhatIsEncodedIsDecoded)
{
    auto p = from_peer(BfdState::Up);
    p.final = p.demand = true;
    p.diagnostic = BfdDiagnostic::PathDown;
    const auto bytes = wire(p);
    const auto back = decode(bytes);
    ASSERT_TRUE(back);
    EXPECT_EQ(back->state, BfdState::Up);
    EXPECT_EQ(back->diagnostic, BfdDiagnostic::PathDown);
    EXPECT_TRUE(back->final && back->demand && !back->poll && !back->control_plane_independent);
    EXPECT_EQ(back->my_discriminator, 0x2002U);
    EXPECT_EQ(back->your_discriminator, 0x1001U);
    EXPECT_EQ(back->desired_min_tx, 50'000U);
    EXPECT_EQ(back->whole.size(), kMandatory);
    EXPECT_TRUE(back->authentication.empty());
}

// RFC 5880 6.8.6: each of these "MUST be discarded".
TEST(BfdPacket, EachDefectOfSection686IsRefused)
{
    const auto good = wire(from_peer(BfdState::Up));
    const auto defect = [&](auto&& spoil) {
        auto bytes = good;
        spoil(bytes);
        const auto result = decode(bytes);
        EXPECT_FALSE(result);
        return result ? Defect{} : result.error();
    };
    EXPECT_EQ(defect([](auto& b) { b[0] = 0x40; }), Defect::Version);
    EXPECT_EQ(defect([](auto& b) { b[3] = 23; }), Defect::Length);
    EXPECT_EQ(defect([](auto& b) { b[1] |= 4, b[3] = 25, b.resize(32); }), Defect::Length);
    EXPECT_EQ(defect([](auto& b) { b[3] = 25; }), Defect::Truncated);
    EXPECT_EQ(defect([](auto& b) { b.pop_back(); }), Defect::Truncated);
    EXPECT_EQ(defect([](auto& b) { b[2] = 0; }), Defect::Multiplier);
    EXPECT_EQ(defect([](auto& b) { b[1] |= 1; }), Defect::Multipoint);
    EXPECT_EQ(defect([](auto& b) { b[6] = b[7] = 0; }), Defect::MyDiscriminator);
    EXPECT_EQ(defect([](auto& b) { b[10] = b[11] = 0; }), Defect::YourDiscriminator);
    EXPECT_EQ(defect([](auto& b) { b[1] |= 4, b[3] = 26, b.resize(26), b[25] = 3; }), Defect::Authentication);
    EXPECT_EQ(defect([](auto& b) { b[1] |= 4, b[3] = 26, b.resize(26), b[25] = 1; }), Defect::Authentication);
    EXPECT_EQ(decode({}).error(), Defect::Truncated);
}

TEST(BfdPacket, YourDiscriminatorMayBeZeroOnlyInDownAndAdminDown)
{
    for (const auto state : {BfdState::AdminDown, BfdState::Down, BfdState::Init, BfdState::Up})
        EXPECT_EQ(decode(wire(from_peer(state, 0))).has_value(), state <= BfdState::Down);
}

TEST(BfdPacket, OctetsAfterTheLengthAreNoPartOfIt)
{
    auto bytes = wire(from_peer(BfdState::Up));
    bytes.resize(60, 0xff);
    const auto p = decode(bytes);
    ASSERT_TRUE(p);
    EXPECT_EQ(p->whole.size(), kMandatory);
}

TEST(BfdEcho, ComesBackAsItWentOut)
{
    std::array<std::uint8_t, kEchoPacket> bytes;
    encode(EchoPacket{.discriminator = 5, .sequence = 6, .proof = 0x0102030405060708}, bytes);
    const auto p = decode_echo(bytes);
    ASSERT_TRUE(p);
    EXPECT_EQ(p->discriminator, 5U);
    EXPECT_EQ(p->sequence, 6U);
    EXPECT_EQ(p->proof, 0x0102030405060708U);
    bytes[0] ^= 1;
    EXPECT_FALSE(decode_echo(bytes));
    EXPECT_FALSE(decode_echo(Bytes{bytes}.first(23)));
}

// ---- authentication, RFC 5880 6.7 ----------------------------------------------------------------------------------

class BfdAuth : public testing::TestWithParam<BfdAuthentication> {
protected:
    std::vector<std::uint8_t> signed_packet(const api::BfdKey& k, std::uint32_t sequence, std::uint8_t multiplier = 3)
    {
        std::array<std::uint8_t, kMaxPacket> out{};
        auto p = from_peer(BfdState::Up);
        p.multiplier = multiplier;
        const auto length = kMandatory + section_length(k);
        encode(p, length, out);
        authenticator.sign(k, sequence, out);
        return {out.begin(), out.begin() + static_cast<std::ptrdiff_t>(length)};
    }
    bool verify(std::span<const api::BfdKey> keys, Bytes bytes)
    {
        const auto p = decode(bytes);
        return p && authenticator.verify(keys, *p, received);
    }
    bool digests() const { return GetParam() != BfdAuthentication::SimplePassword; }
    bool meticulous() const
    {
        return GetParam() == BfdAuthentication::MeticulousKeyedMd5 ||
               GetParam() == BfdAuthentication::MeticulousKeyedSha1;
    }

    Authenticator authenticator;
    ReceivedSequence received;
    api::BfdKey ours = key(GetParam(), 9, "secret");
};

// A password covers nothing and counts nothing.
class BfdDigest : public BfdAuth {};

TEST_P(BfdAuth, TakesWhatTheKeySigned)
{
    EXPECT_TRUE(verify({&ours, 1}, signed_packet(ours, 5)));
    EXPECT_EQ(received.known, digests());
    EXPECT_EQ(received.value, digests() ? 5U : 0U);
}

TEST_P(BfdAuth, RefusesAnotherSecretIdOrType)
{
    const auto bytes = signed_packet(ours, 5);
    auto other = key(GetParam(), 9, "Secret");
    EXPECT_FALSE(verify({&other, 1}, bytes));
    other = key(GetParam(), 8, "secret");
    EXPECT_FALSE(verify({&other, 1}, bytes));
    other = key(digests() ? BfdAuthentication::SimplePassword : BfdAuthentication::KeyedSha1, 9, "secret");
    EXPECT_FALSE(verify({&other, 1}, bytes));
    EXPECT_FALSE(verify({}, bytes)) << "6.8.6: A bit set, but no authentication is configured";
    EXPECT_FALSE(verify({&ours, 1}, wire(from_peer(BfdState::Up)))) << "6.8.6: A bit clear";
    EXPECT_FALSE(received.known) << "a packet that isn't authentic moves no window";
}

TEST_P(BfdDigest, EveryOctetOfThePacketIsCovered)
{
    const auto bytes = signed_packet(ours, 5);
    for (std::size_t i = 0; i < bytes.size(); ++i) {
        auto spoiled = bytes;
        spoiled[i] ^= 0x10;
        // The reserved octet of the section is under the digest too.
        EXPECT_FALSE(verify({&ours, 1}, spoiled)) << i;
    }
}

TEST_P(BfdDigest, TheWindowIsThreeTimesTheMultiplier)
{
    constexpr std::uint32_t kStart = 0xfffffffe;  // circular
    const auto takes = [&](std::uint32_t sequence) {
        received = {true, kStart};
        return verify({&ours, 1}, signed_packet(ours, sequence, 4));
    };
    EXPECT_EQ(takes(kStart), !meticulous()) << "6.7.3: a meticulous number is used once";
    EXPECT_TRUE(takes(kStart + 1));
    EXPECT_TRUE(takes(kStart + 12));
    EXPECT_FALSE(takes(kStart + 13));
    EXPECT_FALSE(takes(kStart - 1));
}

TEST_P(BfdAuth, KeysChangeUnderWay)
{
    const std::array keys{ours, key(GetParam(), 10, "new"), key(BfdAuthentication::KeyedSha1, 11, "other type")};
    EXPECT_TRUE(verify(keys, signed_packet(keys[0], 1)));
    EXPECT_TRUE(verify(keys, signed_packet(keys[1], 2)));
    EXPECT_TRUE(verify(keys, signed_packet(keys[2], 3)));
}

TEST_P(BfdAuth, TheLongestSecretFits)
{
    const bool sha = GetParam() == BfdAuthentication::KeyedSha1 || GetParam() == BfdAuthentication::MeticulousKeyedSha1;
    const auto k = key(GetParam(), 1, std::string(sha ? 20 : 16, 'k'));
    EXPECT_TRUE(verify({&k, 1}, signed_packet(k, 1)));
}

INSTANTIATE_TEST_SUITE_P(Types, BfdAuth,
                         testing::Values(BfdAuthentication::SimplePassword, BfdAuthentication::KeyedMd5,
                                         BfdAuthentication::MeticulousKeyedMd5, BfdAuthentication::KeyedSha1,
                                         BfdAuthentication::MeticulousKeyedSha1));

INSTANTIATE_TEST_SUITE_P(Types, BfdDigest,
                         testing::Values(BfdAuthentication::KeyedMd5, BfdAuthentication::MeticulousKeyedMd5,
                                         BfdAuthentication::KeyedSha1, BfdAuthentication::MeticulousKeyedSha1));

}  // namespace
}  // namespace culvert::bfd::test
