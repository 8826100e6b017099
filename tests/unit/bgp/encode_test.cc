#include "controlplane/bgp/encode.h"

#include "tests/unit/bgp/wire.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

namespace culvert::bgp {
namespace {

Negotiated negotiated(bool external = true, bool four_octet = true, bool extended = false)
{
    Negotiated n;
    n.external = external;
    n.four_octet_as = four_octet;
    n.extended_message = extended;
    n.ipv6_unicast = true;
    n.local_as = Asn{65001};
    n.remote_as = Asn{external ? 65002U : 65001U};
    return n;
}

PathAttributes attributes(const char* next_hop)
{
    PathAttributes a;
    a.origin = Origin::Igp;
    a.as_path.prepend(Asn{65001});
    a.next_hop = *IpAddress::parse(next_hop);
    return a;
}

PathAttributes everything()
{
    auto a = attributes("192.0.2.1");
    a.as_path.segments.push_back({AsPath::Kind::Set, {Asn{70000}, Asn{70001}}});
    a.med = 5;
    a.local_pref = 300;
    a.atomic_aggregate = true;
    a.aggregator = Aggregator{Asn{70000}, *Ipv4Address::parse("192.0.2.9")};
    a.communities = {1, 2, 3};
    a.extended_communities = {7};
    a.large_communities = {{1, 2, 3}};
    a.originator_id = *Ipv4Address::parse("10.0.0.9");
    a.cluster_list = {4, 3};
    a.unknown = {{0xe0, 12, {1}}, {0xe0, 30, {2}}, {0xe0, 99, std::vector<std::uint8_t>(300, 7)}};
    return a;
}

// What a peer makes of a stream of UPDATEs.
struct Table {
    std::map<IpPrefix, PathAttributes> routes;
    std::size_t messages = 0, largest = 0, withdrawn = 0;
    std::vector<Family> end_of_rib;
};

Table receive(Bytes stream, const Negotiated& n)
{
    Table table;
    MessageReader reader;
    if (n.extended_message) reader.allow_extended();
    std::vector<std::uint8_t> scratch;
    reader.feed(stream);
    for (;;) {
        const auto message = reader.next();
        EXPECT_TRUE(message);
        if (!message || !*message) break;
        ++table.messages;
        table.largest = std::max(table.largest, (*message)->body.size() + kHeaderLength);
        const auto view = decode_update((*message)->body, n, scratch);
        EXPECT_TRUE(view);
        if (!view) break;
        EXPECT_EQ(view->action, Action::None) << view->error.reason;
        for (const auto& range : view->unreach) {
            for (const auto& prefix : range) {
                table.routes.erase(prefix);
                ++table.withdrawn;
            }
        }
        for (const auto& reach : view->reach) {
            if (reach.nlri.empty()) continue;
            auto a = decode_attributes(view->attributes, n);
            a.next_hop = reach.next_hop;
            a.link_local_next_hop = reach.link_local_next_hop;
            for (const auto& prefix : reach.nlri) table.routes[prefix] = a;
        }
        if (view->end_of_rib) table.end_of_rib.push_back(*view->end_of_rib);
    }
    return table;
}

TEST(EncodeAttributes, IsInAscendingOrderAndAsTheRfcDrawsIt)
{
    auto a = attributes("192.0.2.1");
    a.med = 5;
    a.communities = {0xfde80001};
    const auto e = encode_attributes(a, negotiated());
    EXPECT_EQ(e.octets, hex("40 01 01 00  40 02 06 02 01 0000fde9  80 04 04 00000005  c0 08 04 fde80001"));
    EXPECT_EQ(e.next_hop_at, 13U);

    const auto all = encode_attributes(everything(), negotiated(false));
    unsigned last = 0;
    for (Reader in{all.octets}; !in.empty();) {
        const auto flags = in.u8();
        const unsigned type = in.u8();
        in.skip(flags & 0x10 ? in.u16() : in.u8());
        ASSERT_TRUE(in.ok());
        EXPECT_GT(type, last);
        last = type;
    }
}

TEST(EncodeAttributes, ComesBackFromAnInternalPeerWhole)
{
    for (const bool four_octet : {true, false}) {
        const auto n = negotiated(false, four_octet);
        auto back = decode_attributes(encode_attributes(everything(), n).octets, n);
        back.next_hop = everything().next_hop;
        EXPECT_EQ(back, everything()) << four_octet;
    }
}

TEST(EncodeAttributes, KeepsInsideWhatIsInternal)  // RFC 4271 5.1.5, RFC 4456 8
{
    const auto n = negotiated(true);
    const auto back = decode_attributes(encode_attributes(everything(), n).octets, n);
    EXPECT_FALSE(back.local_pref);
    EXPECT_FALSE(back.originator_id);
    EXPECT_TRUE(back.cluster_list.empty());
    const auto inside = negotiated(false);
    EXPECT_EQ(decode_attributes(encode_attributes(attributes("192.0.2.1"), inside).octets, inside).local_pref, 100U);
}

TEST(EncodeAttributes, SpeaksTwoOctetsToAnOldSpeaker)  // RFC 6793 4.2.2
{
    auto a = attributes("192.0.2.1");
    const auto n = negotiated(true, false);
    EXPECT_EQ(encode_attributes(a, n).octets, hex("40 01 01 00  40 02 04 02 01 fde9"));
    a.as_path.prepend(Asn{70000});
    a.aggregator = Aggregator{Asn{70001}, Ipv4Address{1}};
    EXPECT_EQ(encode_attributes(a, n).octets, hex("40 01 01 00  40 02 06 02 02 5ba0 fde9  c0 07 06 5ba0 00000001"
                                                  "c0 11 0a 02 02 00011170 0000fde9  c0 12 08 00011171 00000001"));
}

TEST(EncodeAttributes, SplitsSegmentsOfMoreThan255)
{
    auto a = attributes("192.0.2.1");
    a.as_path.segments.front().asns.assign(600, Asn{65001});
    const auto n = negotiated();
    EXPECT_EQ(decode_attributes(encode_attributes(a, n).octets, n).as_path.length(), 600U);
}

TEST(UpdateBuilder, WritesAsTheRfcDrawsIt)
{
    Octets out;
    const auto n = negotiated();
    UpdateBuilder builder(n, out);
    const auto v4 = encode_attributes(attributes("192.0.2.1"), n);
    ASSERT_TRUE(builder.announce(Family::Ipv4, v4));
    builder.add(*IpPrefix::parse("10.1.0.0/16"));
    builder.add(*IpPrefix::parse("0.0.0.0/0"));
    builder.withdraw(Family::Ipv4);
    builder.add(*IpPrefix::parse("10.2.0.0/16"));
    auto a6 = attributes("2001:db8::1");
    a6.link_local_next_hop = Ipv6Address::parse("fe80::1");
    const auto v6 = encode_attributes(a6, n);
    ASSERT_TRUE(builder.announce(Family::Ipv6, v6));
    builder.add(*IpPrefix::parse("2001:db8:1::/48"));
    builder.withdraw(Family::Ipv6);
    builder.add(*IpPrefix::parse("2001:db8:2::/48"));
    builder.flush();
    ASSERT_TRUE(builder.announce(Family::Ipv4, v6));  // RFC 8950 3
    builder.add(*IpPrefix::parse("10.3.0.0/16"));
    builder.flush();
    encode_end_of_rib(Family::Ipv4, out);
    encode_end_of_rib(Family::Ipv6, out);
    EXPECT_EQ(builder.messages(), 5U);

    const auto path = hex("40 01 01 00 40 02 06 02 01 0000fde9");
    EXPECT_EQ(out,
              message(MessageType::Update, update_body({}, path + hex("40 03 04 c0000201"), hex("10 0a01 00"))) +
                  message(MessageType::Update, update_body(hex("10 0a02"), {}, {})) +
                  message(MessageType::Update, update_body({},
                                                           hex("90 0e 002c 0002 01 20 20010db8000000000000000000000001"
                                                               "fe800000000000000000000000000001 00 30 20010db80001") +
                                                               path,
                                                           {})) +
                  message(MessageType::Update, update_body({}, hex("90 0f 000a 0002 01 30 20010db80002"), {})) +
                  message(MessageType::Update, update_body({},
                                                           hex("90 0e 0028 0001 01 20 20010db8000000000000000000000001"
                                                               "fe800000000000000000000000000001 00 10 0a03") +
                                                               path,
                                                           {})) +
                  message(MessageType::Update, update_body({}, {}, {})) +
                  message(MessageType::Update, update_body({}, hex("80 0f 03 0002 01"), {})));
}

IpPrefix random_prefix(Family family, std::mt19937& random)
{
    IpAddress a;
    a.family = family;
    for (auto& octet : a.bits.octets) octet = static_cast<std::uint8_t>(random());
    if (family == Family::Ipv4) std::fill(a.bits.octets.begin() + 4, a.bits.octets.end(), std::uint8_t{0});
    return IpPrefix::make(a, static_cast<int>(random() % static_cast<unsigned>(max_length(family) + 1)));
}

TEST(UpdateBuilder, PacksAnyTableIntoFullMessagesThatComeBack)
{
    for (const bool extended : {false, true}) {
        const auto n = negotiated(true, true, extended);
        std::mt19937 random{1};
        Octets out;
        UpdateBuilder builder(n, out);
        std::map<IpPrefix, PathAttributes> expected;
        std::vector<EncodedAttributes> sets;
        std::vector<PathAttributes> values;
        for (int i = 0; i < 20; ++i) {
            auto a = attributes(i % 2 == 0 ? "192.0.2.1" : "2001:db8::1");
            if (i % 4 == 1) a.link_local_next_hop = Ipv6Address::parse("fe80::9");
            a.med = static_cast<std::uint32_t>(i);
            a.communities.resize(random() % 200);
            for (std::size_t c = 0; c < a.communities.size(); ++c) a.communities[c] = static_cast<std::uint32_t>(c);
            values.push_back(a);
            sets.push_back(encode_attributes(a, n));
        }
        for (std::size_t i = 0; i < sets.size(); ++i) {
            const auto family = values[i].next_hop.family;
            ASSERT_TRUE(builder.announce(family, sets[i]));
            for (auto left = random() % 5000; left > 0; --left) {
                const auto prefix = random_prefix(family, random);
                builder.add(prefix);
                expected[prefix] = values[i];
            }
        }
        std::size_t gone = 0;
        for (const auto family : {Family::Ipv4, Family::Ipv6}) {
            builder.withdraw(family);
            for (auto it = expected.begin(); it != expected.end();) {
                if (it->first.family() == family && random() % 3 == 0) {
                    builder.add(it->first);
                    it = expected.erase(it);
                    ++gone;
                } else {
                    ++it;
                }
            }
        }
        builder.flush();

        const auto table = receive(out, n);
        EXPECT_EQ(table.routes, expected);
        EXPECT_EQ(table.withdrawn, gone);
        EXPECT_EQ(table.messages, builder.messages());
        EXPECT_LE(table.largest, extended ? kMaxExtendedMessage : kMaxMessage);
        EXPECT_GT(table.largest, kMaxMessage - 17);
    }
}

TEST(UpdateBuilder, FillsAMessageToTheLastOctet)
{
    const auto n = negotiated();
    const auto encoded = encode_attributes(attributes("192.0.2.1"), n);
    const std::size_t around = kHeaderLength + 4 + encoded.octets.size() + 7;
    const std::size_t fit = (kMaxMessage - around) / 4;
    Octets out;
    UpdateBuilder builder(n, out);
    ASSERT_TRUE(builder.announce(Family::Ipv4, encoded));
    for (std::size_t i = 0; i < fit; ++i)
        builder.add(IpPrefix::make(Ipv4Address{static_cast<std::uint32_t>(0x0a000000 + (i << 8))}, 24));
    builder.flush();
    EXPECT_EQ(builder.messages(), 1U);
    EXPECT_EQ(out.size(), around + fit * 4);
    EXPECT_GT(out.size() + 4, kMaxMessage);
    builder.flush();
    EXPECT_EQ(builder.messages(), 1U);
}

TEST(UpdateBuilder, SaysWhenASetDoesNotFit)  // RFC 8654 5: such a route is not advertised
{
    auto a = attributes("192.0.2.1");
    a.communities.resize(1100);
    const auto n = negotiated();
    const auto encoded = encode_attributes(a, n);
    Octets out;
    UpdateBuilder builder(n, out);
    EXPECT_FALSE(builder.announce(Family::Ipv4, encoded));
    UpdateBuilder large(negotiated(true, true, true), out);
    ASSERT_TRUE(large.announce(Family::Ipv4, encoded));
    large.add(*IpPrefix::parse("10.0.0.0/8"));
    large.flush();
    EXPECT_GT(out.size(), kMaxMessage);

    // The largest that does.
    for (std::size_t count = 1000; count < 1024; ++count) {
        a.communities.resize(count);
        for (const auto* next_hop : {"192.0.2.1", "2001:db8::1"}) {
            a.next_hop = *IpAddress::parse(next_hop);
            const auto tight = encode_attributes(a, n);
            Octets bytes;
            UpdateBuilder narrow(n, bytes);
            if (!narrow.announce(a.next_hop.family, tight)) continue;
            narrow.add(IpPrefix::host(a.next_hop));
            narrow.flush();
            EXPECT_LE(bytes.size(), kMaxMessage);
            EXPECT_EQ(receive(bytes, n).routes.size(), 1U);
        }
    }
}

TEST(EndOfRib, IsKnownByThePeer)
{
    Octets out;
    encode_end_of_rib(Family::Ipv4, out);
    encode_end_of_rib(Family::Ipv6, out);
    EXPECT_EQ(receive(out, negotiated()).end_of_rib, (std::vector{Family::Ipv4, Family::Ipv6}));
}

}  // namespace
}  // namespace culvert::bgp
