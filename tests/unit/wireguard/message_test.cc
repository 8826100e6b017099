#include "controlplane/wireguard/message.h"

#include "controlplane/wireguard/index_table.h"
#include "controlplane/wireguard/tai64n.h"
#include "tests/unit/crypto/hex.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <vector>

namespace culvert::wireguard {
namespace {

std::vector<std::uint8_t> counting(std::uint8_t type, std::size_t size)
{
    std::vector<std::uint8_t> out(size);
    std::iota(out.begin(), out.end(), std::uint8_t{0});
    out[0] = type;
    out[1] = out[2] = out[3] = 0;
    return out;
}

template <class Message, std::size_t kSize>
void goes_both_ways(std::uint8_t type)
{
    const auto bytes = counting(type, kSize);
    const auto message = Message::decode(bytes);
    ASSERT_TRUE(message);
    std::array<std::uint8_t, kSize> out{};
    message->encode(out);
    EXPECT_TRUE(std::ranges::equal(out, bytes));

    EXPECT_FALSE(Message::decode(Bytes{bytes}.first(kSize - 1)));
    auto longer = bytes;
    longer.push_back(0);
    EXPECT_FALSE(Message::decode(longer));
    for (const std::size_t at : {0U, 1U, 2U, 3U}) {
        auto wrong = bytes;
        wrong[at] ^= 0x80;
        EXPECT_FALSE(Message::decode(wrong)) << "octet " << at;
    }
    EXPECT_FALSE(Message::decode({}));
}

TEST(WireguardMessage, Initiation) { goes_both_ways<Initiation, kInitiationSize>(1); }
TEST(WireguardMessage, Response) { goes_both_ways<Response, kResponseSize>(2); }
TEST(WireguardMessage, CookieReply) { goes_both_ways<CookieReply, kCookieReplySize>(3); }

TEST(WireguardMessage, LayoutIsThatOfThePaper)
{
    const auto initiation = Initiation::decode(counting(1, kInitiationSize)).value();
    EXPECT_EQ(initiation.sender, 0x07060504U) << "little endian";
    EXPECT_EQ(initiation.ephemeral[0], 8);
    EXPECT_EQ(initiation.sealed_static[0], 40);
    EXPECT_EQ(initiation.sealed_timestamp[0], 88);
    EXPECT_EQ(initiation.mac1[0], 116);
    EXPECT_EQ(initiation.mac2[0], 132);
    const auto response = Response::decode(counting(2, kResponseSize)).value();
    EXPECT_EQ(response.receiver, 0x0b0a0908U);
    EXPECT_EQ(response.ephemeral[0], 12);
    EXPECT_EQ(response.sealed_nothing[0], 44);
    EXPECT_EQ(response.mac1[0], 60);
    EXPECT_EQ(response.mac2[0], 76);
    const auto cookie = CookieReply::decode(counting(3, kCookieReplySize)).value();
    EXPECT_EQ(cookie.nonce[0], 8);
    EXPECT_EQ(cookie.sealed_cookie[0], 32);
}

TEST(WireguardMessage, DataHeader)
{
    const auto bytes = counting(4, 32);
    const auto header = DataHeader::decode(bytes);
    ASSERT_TRUE(header);
    EXPECT_EQ(header->receiver, 0x07060504U);
    EXPECT_EQ(header->counter, 0x0f0e0d0c0b0a0908U);
    std::array<std::uint8_t, kDataHeaderSize> out{};
    header->encode(out);
    EXPECT_TRUE(std::equal(out.begin(), out.end(), bytes.begin()));
    EXPECT_FALSE(DataHeader::decode(Bytes{bytes}.first(31))) << "no room for a tag";
}

TEST(WireguardMessage, TypeIsFourOctets)
{
    EXPECT_EQ(type_of(test::hex("01000000")), MessageType::Initiation);
    EXPECT_EQ(type_of(test::hex("04000000ff")), MessageType::Data);
    for (const auto* text : {"", "010000", "00000000", "05000000", "01000001", "01010000", "00000001"})
        EXPECT_FALSE(type_of(test::hex(text))) << text;
}

TEST(Tai64n, IsThatOfLibtai)
{
    // cr.yp.to/libtai/tai64.html: 1970-01-01 00:00:00 TAI is 2^62; UTC was ten seconds behind.
    EXPECT_EQ(Tai64n::from_unix(0, 0).octets, (test::hex_array<12>("400000000000000a00000000")));
    EXPECT_EQ(Tai64n::from_unix(1'000'000'000, 0x11223344).octets, (test::hex_array<12>("400000003b9aca0a11223344")));
}

TEST(Tai64n, ComparesAsTimeAndIsCoarse)
{
    const auto t = Tai64n::from_unix(255, 999'999'999);
    EXPECT_LT(t, Tai64n::from_unix(256, 0));
    EXPECT_LE(t.whitened(), t);
    EXPECT_EQ(t.whitened().octets[11], 0);
    EXPECT_EQ(t.whitened().octets[9], 0);
    auto step = Tai64n::from_unix(1, 0);
    for (int i = 0; i < 200; ++i) {
        EXPECT_GT(step.next(), step);
        step = step.next();
        EXPECT_EQ(step.whitened(), step);
    }
    EXPECT_GE(step, Tai64n::from_unix(4, 0));
    EXPECT_LT(step, Tai64n::from_unix(5, 0));
}

TEST(IndexTable, NeverGivesAnIndexTwice)
{
    class Stuck final : public crypto::Random {  // says each word twice
    public:
        void fill(MutableBytes out) override
        {
            for (auto& octet : out) octet = static_cast<std::uint8_t>(calls_ / 2);
            ++calls_;
        }

    private:
        unsigned calls_ = 0;
    } random;
    IndexTable table;
    const auto a = table.allocate(PeerId{1}, random);
    const auto b = table.allocate(PeerId{2}, random);
    EXPECT_NE(a, b);
    EXPECT_EQ(table.owner(a), PeerId{1});
    EXPECT_EQ(table.owner(b), PeerId{2});
    table.release(a);
    EXPECT_FALSE(table.owner(a));
    EXPECT_EQ(table.size(), 1U);
}

}  // namespace
}  // namespace culvert::wireguard
