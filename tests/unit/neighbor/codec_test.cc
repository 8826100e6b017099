#include "controlplane/neighbor/codec.h"

#include <gtest/gtest.h>

namespace culvert::neighbor {
namespace {

constexpr MacAddress kOurs{{2, 0, 0, 0, 0, 1}};
constexpr MacAddress kTheirs{{2, 0, 0, 0, 0, 2}};
const Ipv6Address kTarget = *Ipv6Address::parse("2001:db8::1");
const Ipv6Address kSource = *Ipv6Address::parse("2001:db8::2");

NeighborSolicitation solicitation() { return {kSource, solicited_node(kTarget), kTarget, kTheirs}; }
std::vector<std::uint8_t> frame(const NeighborSolicitation& ns)
{
    return encode(multicast_mac(ns.destination), kTheirs, ns);
}

// RFC 826: 10.0.0.2 asks for 10.0.0.1. 42 octets, without padding.
const std::vector<std::uint8_t> kArpRequest{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02, 0x00, 0x00, 0x00, 0x00,
                                            0x02, 0x08, 0x06, 0x00, 0x01, 0x08, 0x00, 0x06, 0x04, 0x00, 0x01,
                                            0x02, 0x00, 0x00, 0x00, 0x00, 0x02, 0x0a, 0x00, 0x00, 0x02, 0x00,
                                            0x00, 0x00, 0x00, 0x00, 0x00, 0x0a, 0x00, 0x00, 0x01};

TEST(NeighborCodec, ReadsAnArpRequestFromTheWire)
{
    const auto message = decode(kArpRequest);
    ASSERT_TRUE(message);
    EXPECT_EQ(message->to, kBroadcastMac);
    EXPECT_EQ(message->from, kTheirs);
    const Arp expected{Arp::Operation::Request, kTheirs, {0x0a000002}, {}, {0x0a000001}};
    EXPECT_EQ(std::get<Arp>(message->body), expected);
    auto again = encode(kBroadcastMac, kTheirs, expected);
    EXPECT_EQ(again.size(), 60U);
    again.resize(kArpRequest.size());
    EXPECT_EQ(again, kArpRequest);
}

TEST(NeighborCodec, NdRoundTrips)
{
    auto message = decode(frame(solicitation()));
    ASSERT_TRUE(message);
    EXPECT_EQ(std::get<NeighborSolicitation>(message->body), solicitation());
    const NeighborAdvertisement na{kTarget, kSource, kTarget, true, true, false, kOurs};
    message = decode(encode(kTheirs, kOurs, na));
    ASSERT_TRUE(message);
    EXPECT_EQ(std::get<NeighborAdvertisement>(message->body), na);
}

// RFC 4443 2.3, worked by hand: ::1 asks ::1 for ::1 would carry this sum.
TEST(NeighborCodec, TheChecksumIsTheInternetChecksumOverThePseudoHeader)
{
    const Ipv6Address one = Ipv6Address::from_words(0, 1);
    const auto bytes = encode(kOurs, kTheirs, NeighborSolicitation{one, one, one, std::nullopt});
    const std::uint32_t sum = 1 + 1 + 24 + 58 + 0x8700 + 1;
    EXPECT_EQ(bytes[14 + 40 + 2] << 8 | bytes[14 + 40 + 3], static_cast<int>(~sum & 0xffff));
}

TEST(NeighborCodec, KnowsItsMulticastAndLinkLocalAddresses)
{
    EXPECT_EQ(solicited_node(*Ipv6Address::parse("4037::1:800:200e:8c6c")), *Ipv6Address::parse("ff02::1:ff0e:8c6c"));
    EXPECT_EQ(multicast_mac(*Ipv6Address::parse("ff02::1:ff0e:8c6c")),
              (MacAddress{{0x33, 0x33, 0xff, 0x0e, 0x8c, 0x6c}}));
    EXPECT_EQ(link_local({{0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde}}), *Ipv6Address::parse("fe80::3656:78ff:fe9a:bcde"));
}

TEST(NeighborCodec, EveryTruncationIsAnError)
{
    const auto nd = frame(solicitation());
    for (std::size_t n = 0; n < 42; ++n) EXPECT_FALSE(decode(Bytes{kArpRequest}.first(n))) << n;
    for (std::size_t n = 0; n < nd.size(); ++n) EXPECT_FALSE(decode(Bytes{nd}.first(n))) << n;
}

TEST(NeighborCodec, EveryFlippedBitOfAnNdMessageIsNoticedOrHarmless)
{
    const auto good = frame(solicitation());
    for (std::size_t at = 22; at < good.size(); ++at) {  // from the source address on: the checksum covers it
        auto bad = good;
        bad[at] ^= 0x10;
        EXPECT_FALSE(decode(bad)) << at;
    }
}

struct Defect {
    const char* what;
    std::size_t at;
    std::uint8_t value;
    DecodeError error;
};
class NeighborDefect : public testing::TestWithParam<Defect> {};
TEST_P(NeighborDefect, IsNamed)
{
    auto bytes = GetParam().error == DecodeError::BadArp ? kArpRequest : frame(solicitation());
    bytes[GetParam().at] = GetParam().value;
    const auto message = decode(bytes);
    ASSERT_FALSE(message);
    EXPECT_EQ(message.error(), GetParam().error) << to_string(message.error());
}
INSTANTIATE_TEST_SUITE_P(All, NeighborDefect,
                         testing::Values(Defect{"ethertype", 12, 0x08, DecodeError::NotNeighbor},
                                         Defect{"version", 14, 0x40, DecodeError::NotNeighbor},
                                         Defect{"next header", 20, 6, DecodeError::NotNeighbor},
                                         Defect{"redirect", 54, 137, DecodeError::NotNeighbor},
                                         Defect{"hop limit", 21, 64, DecodeError::BadHopLimit},
                                         Defect{"code", 55, 1, DecodeError::BadCode},
                                         Defect{"checksum", 56, 0x12, DecodeError::BadChecksum},
                                         Defect{"hardware", 15, 6, DecodeError::BadArp},
                                         Defect{"protocol", 16, 0x86, DecodeError::BadArp},
                                         Defect{"operation", 21, 3, DecodeError::BadArp}));

TEST(NeighborCodec, RouterMessagesComeBack)
{
    const RouterAdvertisement ra{link_local(kOurs), *Ipv6Address::parse("ff02::1"), 64, 0x40, 1800, kOurs};
    const auto bytes = encode(multicast_mac(ra.destination), kOurs, ra);
    const auto decoded = decode(bytes);
    ASSERT_TRUE(decoded);
    EXPECT_EQ(std::get<RouterAdvertisement>(decoded->body), ra);

    const RouterSolicitation rs{kTarget, *Ipv6Address::parse("ff02::2"), kOurs};
    EXPECT_EQ(std::get<RouterSolicitation>(decode(encode(kTheirs, kOurs, rs))->body), rs);
}

// RFC 4861 6.1.1 and 6.1.2.
TEST(NeighborCodec, RoutersSpeakFromLinkLocalAddresses)
{
    RouterAdvertisement ra{*Ipv6Address::parse("2001:db8::1"), *Ipv6Address::parse("ff02::1"), 64, 0, 30, kOurs};
    EXPECT_EQ(decode(encode(kTheirs, kOurs, ra)).error(), DecodeError::BadRouter);
    ra.source = link_local(kOurs);
    EXPECT_TRUE(decode(encode(kTheirs, kOurs, ra)));
    auto bytes = encode(kTheirs, kOurs, ra);
    bytes[21] = 254;
    EXPECT_EQ(decode(bytes).error(), DecodeError::BadHopLimit);
    RouterSolicitation rs{{}, *Ipv6Address::parse("ff02::2"), kOurs};
    EXPECT_EQ(decode(encode(kTheirs, kOurs, rs)).error(), DecodeError::BadRouter) << "from nowhere, with an address";
    rs.link.reset();
    EXPECT_TRUE(decode(encode(kTheirs, kOurs, rs)));
}

TEST(NeighborCodec, AddressesMustNotContradictEachOther)
{
    auto ns = solicitation();
    ns.target = *Ipv6Address::parse("ff02::1");
    EXPECT_EQ(decode(frame(ns)).error(), DecodeError::BadTarget);
    ns = solicitation();
    ns.source = {};
    EXPECT_EQ(decode(frame(ns)).error(), DecodeError::BadTarget) << "a duplicate probe with a link-layer address";
    ns.link.reset();
    EXPECT_TRUE(decode(frame(ns)));
    ns.destination = kTarget;
    EXPECT_EQ(decode(frame(ns)).error(), DecodeError::BadTarget) << "a duplicate probe by unicast";
    const NeighborAdvertisement na{kTarget, *Ipv6Address::parse("ff02::1"), kTarget, false, true, false, kOurs};
    EXPECT_EQ(decode(encode(kTheirs, kOurs, na)).error(), DecodeError::BadTarget) << "solicited to a group";
}

}  // namespace
}  // namespace culvert::neighbor
