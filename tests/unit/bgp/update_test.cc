#include "controlplane/bgp/update.h"

#include "tests/unit/bgp/wire.h"

#include <gtest/gtest.h>

namespace culvert::bgp {
namespace {

// The peer is AS 65002.
Negotiated external()
{
    Negotiated n;
    n.four_octet_as = true;
    n.ipv6_unicast = true;
    n.local_as = Asn{65001};
    n.remote_as = Asn{65002};
    return n;
}
Negotiated internal()
{
    auto n = external();
    n.external = false;
    n.remote_as = n.local_as;
    return n;
}
Negotiated old_speaker()
{
    auto n = external();
    n.four_octet_as = false;
    return n;
}

const Octets kOrigin = hex("40 01 01 00");
const Octets kAsPath = hex("40 02 06 02 01 0000fdea");
const Octets kAsPathTwoOctet = hex("40 02 04 02 01 fdea");
const Octets kNextHop = hex("40 03 04 c0000201");
const Octets kLocalPref = hex("40 05 04 00000064");
const Octets kMandatory = kOrigin + kAsPath + kNextHop;
const Octets kNlri = hex("18 0a0100");  // 10.1.0.0/24
const Octets kReach6 = hex("80 0e 1c 0002 01 10 20010db8000000000000000000000001 00 30 20010db80001");
const Octets kUnreach6 = hex("80 0f 0a 0002 01 30 20010db80002");

struct Decoded {
    UpdateView view;
    std::optional<Notification> reset;
    Octets attributes;
    Octets scratch;  // what the view points into
    Octets body;
};

Decoded decode(const Octets& body, const Negotiated& negotiated, const DecodeOptions& options = {})
{
    Decoded out;
    out.body = body;
    const auto view = decode_update(out.body, negotiated, out.scratch, options);
    if (view) {
        out.view = *view;
        out.attributes.assign(view->attributes.begin(), view->attributes.end());
    } else {
        out.reset = view.error();
    }
    return out;
}

std::vector<std::string> prefixes(const NlriRange& range)
{
    std::vector<std::string> out;
    for (const auto& prefix : range) out.push_back(prefix.to_string());
    return out;
}
using Prefixes = std::vector<std::string>;

TEST(DecodeUpdate, GivesIpv4RoutesAndWithdrawals)
{
    const auto d = decode(update_body(hex("08 0b 00 20 01020304"), kMandatory, kNlri + hex("11 0a02ff")), external());
    ASSERT_FALSE(d.reset);
    EXPECT_EQ(d.view.action, Action::None);
    EXPECT_EQ(prefixes(d.view.unreach[0]), (Prefixes{"11.0.0.0/8", "0.0.0.0/0", "1.2.3.4/32"}));
    EXPECT_EQ(prefixes(d.view.reach[0].nlri), (Prefixes{"10.1.0.0/24", "10.2.128.0/17"}));  // host bits cleared
    EXPECT_EQ(d.view.reach[0].next_hop.to_string(), "192.0.2.1");
    EXPECT_EQ(d.attributes, kOrigin + kAsPath);
    EXPECT_TRUE(d.view.reach[1].nlri.empty());
    EXPECT_FALSE(d.view.end_of_rib);
}

TEST(DecodeUpdate, GivesIpv6RoutesWithOneOrTwoNextHops)  // RFC 2545 3
{
    auto d = decode(update_body({}, kOrigin + kReach6 + kAsPath + kUnreach6, {}), external());
    ASSERT_FALSE(d.reset);
    EXPECT_EQ(prefixes(d.view.reach[1].nlri), Prefixes{"2001:db8:1::/48"});
    EXPECT_EQ(prefixes(d.view.unreach[1]), Prefixes{"2001:db8:2::/48"});
    EXPECT_EQ(d.view.reach[1].next_hop.to_string(), "2001:db8::1");
    EXPECT_FALSE(d.view.reach[1].link_local_next_hop);
    EXPECT_EQ(d.attributes, kOrigin + kAsPath);

    const auto two =
        hex("80 0e 2c 0002 01 20 20010db8000000000000000000000001 fe800000000000000000000000000002 00 "
            "30 20010db80001");
    d = decode(update_body({}, two + kOrigin + kAsPath, {}), external());
    ASSERT_TRUE(d.view.reach[1].link_local_next_hop);
    EXPECT_EQ(d.view.reach[1].link_local_next_hop->to_string(), "fe80::2");

    const auto no_global =
        hex("80 0e 2c 0002 01 20 00000000000000000000000000000000 fe800000000000000000000000000002 "
            "00 30 20010db80001");
    d = decode(update_body({}, no_global + kOrigin + kAsPath, {}), external());
    EXPECT_EQ(d.view.reach[1].next_hop.to_string(), "fe80::2");
    EXPECT_EQ(d.view.action, Action::None);
}

TEST(DecodeUpdate, TakesIpv6NextHopsOfIpv4PrefixesWhereThatWasAgreed)  // RFC 8950 3
{
    const auto reach =
        hex("80 0e 29 0001 01 20 20010db8000000000000000000000001 fe800000000000000000000000000002 00 18 c00002");
    auto agreed = external();
    agreed.extended_next_hop = true;
    auto d = decode(update_body({}, reach + kOrigin + kAsPath, {}), agreed);
    ASSERT_FALSE(d.reset);
    EXPECT_EQ(d.view.action, Action::None);
    EXPECT_EQ(prefixes(d.view.reach[0].nlri), Prefixes{"192.0.2.0/24"});
    EXPECT_EQ(d.view.reach[0].next_hop.to_string(), "2001:db8::1");
    ASSERT_TRUE(d.view.reach[0].link_local_next_hop);
    EXPECT_EQ(d.view.reach[0].link_local_next_hop->to_string(), "fe80::2");

    EXPECT_TRUE(decode(update_body({}, reach + kOrigin + kAsPath, {}), external()).reset) << "it was not";
    const auto classic = hex("80 0e 0d 0001 01 04 c0000201 00 18 c00002");
    d = decode(update_body({}, classic + kOrigin + kAsPath, {}), agreed);
    EXPECT_EQ(d.view.reach[0].next_hop.to_string(), "192.0.2.1") << "the other form still works";
}

TEST(DecodeUpdate, KnowsEndOfRib)  // RFC 4724 2
{
    EXPECT_EQ(decode(update_body({}, {}, {}), external()).view.end_of_rib, Family::Ipv4);
    EXPECT_EQ(decode(update_body({}, hex("80 0f 03 0002 01"), {}), external()).view.end_of_rib, Family::Ipv6);
    EXPECT_FALSE(decode(update_body({}, hex("80 0f 03 0002 02"), {}), external()).view.end_of_rib);
    EXPECT_FALSE(decode(update_body({}, hex("80 0f 03 0002 01") + kOrigin, {}), external()).view.end_of_rib);
    EXPECT_FALSE(decode(update_body(kNlri, hex("80 0f 03 0002 01"), {}), external()).view.end_of_rib);
}

TEST(DecodeUpdate, LeavesOutFamiliesThatWereNotNegotiated)
{
    auto n = external();
    n.ipv6_unicast = false;
    auto d = decode(update_body({}, kReach6 + kUnreach6 + kOrigin + kAsPath, {}), n);
    ASSERT_FALSE(d.reset);
    EXPECT_TRUE(d.view.reach[1].nlri.empty());
    EXPECT_TRUE(d.view.unreach[1].empty());
    n.ipv4_unicast = false;
    d = decode(update_body(kNlri, kMandatory, kNlri), n);
    EXPECT_TRUE(d.view.reach[0].nlri.empty());
    EXPECT_TRUE(d.view.unreach[0].empty());
    // Of a family never heard of, not even the next hop is looked at.
    EXPECT_FALSE(decode(update_body({}, kOrigin + kAsPath + hex("80 0e 08 0019 46 00 00 ffffff"), {}), n).reset);
}

TEST(DecodeUpdate, JoinsClassicAndMultiprotocolRoutesOfOneFamily)
{
    const auto reach4 = hex("80 0e 0d 0001 01 04 c0000201 00 18 0a0200");
    const auto unreach4 = hex("80 0f 07 0001 01 18 0a0300");
    auto d = decode(update_body(hex("18 0a0400"), kMandatory + reach4 + unreach4, kNlri), external());
    ASSERT_FALSE(d.reset);
    EXPECT_EQ(prefixes(d.view.reach[0].nlri), (Prefixes{"10.1.0.0/24", "10.2.0.0/24"}));
    EXPECT_EQ(prefixes(d.view.unreach[0]), (Prefixes{"10.4.0.0/24", "10.3.0.0/24"}));
    EXPECT_EQ(d.view.action, Action::None);
    EXPECT_EQ(d.attributes, kOrigin + kAsPath);

    auto other = reach4;
    other[7 + 3] = 9;  // another next hop: only one can be right
    d = decode(update_body({}, kMandatory + other, kNlri), external());
    EXPECT_EQ(d.view.action, Action::TreatAsWithdraw);
    EXPECT_EQ(prefixes(d.view.reach[0].nlri), (Prefixes{"10.1.0.0/24", "10.2.0.0/24"}));
}

// ---- What a defect costs. Text and not octets in the tables: thousands of temporaries take a sanitizing compiler
// minutes.

// hex(), where a letter stands for a sound attribute: O ORIGIN, P AS_PATH, T AS_PATH in two octets, H NEXT_HOP, L
// LOCAL_PREF, R MP_REACH_NLRI, U MP_UNREACH_NLRI.
Octets wire(std::string_view text)
{
    Octets out;
    while (!text.empty()) {
        const auto letter = text.find_first_of("OPTHLRU");
        out = out + hex(text.substr(0, letter));
        if (letter == std::string_view::npos) break;
        switch (text[letter]) {
            case 'O': out = out + kOrigin; break;
            case 'P': out = out + kAsPath; break;
            case 'T': out = out + kAsPathTwoOctet; break;
            case 'H': out = out + kNextHop; break;
            case 'L': out = out + kLocalPref; break;
            case 'R': out = out + kReach6; break;
            default: out = out + kUnreach6; break;
        }
        text.remove_prefix(letter + 1);
    }
    return out;
}

// A sound UPDATE for 10.1.0.0/24, less 10.9.0.0/24, but for the attributes.
struct Case {
    const char* name;
    const char* attributes;
    Action action;
    AttrType attribute = {};  // whose defect it is
    const char* left = "";    // UpdateView::attributes when not withdrawn
};

constexpr auto kFine = Action::None;
constexpr auto kDiscard = Action::AttributeDiscard;
constexpr auto kWithdraw = Action::TreatAsWithdraw;

void expect_cost(const Case& c, const Negotiated& negotiated)
{
    const auto d = decode(update_body(hex("18 0a0900"), wire(c.attributes), kNlri), negotiated);
    ASSERT_FALSE(d.reset);
    EXPECT_EQ(d.view.action, c.action) << d.view.error.reason;
    EXPECT_EQ(d.view.error.action, c.action);
    EXPECT_EQ(d.view.error.attribute, c.attribute) << d.view.error.reason;
    EXPECT_EQ(d.attributes, wire(c.left));
    // Whatever it costs, the prefixes are told.
    EXPECT_EQ(prefixes(d.view.reach[0].nlri), Prefixes{"10.1.0.0/24"});
    EXPECT_EQ(prefixes(d.view.unreach[0]), Prefixes{"10.9.0.0/24"});
}

class FromOutside : public testing::TestWithParam<Case> {};
class FromInside : public testing::TestWithParam<Case> {};
class FromOldSpeaker : public testing::TestWithParam<Case> {};
TEST_P(FromOutside, CostsWhatItSays) { expect_cost(GetParam(), external()); }
TEST_P(FromInside, CostsWhatItSays) { expect_cost(GetParam(), internal()); }
TEST_P(FromOldSpeaker, CostsWhatItSays) { expect_cost(GetParam(), old_speaker()); }

using enum AttrType;

constexpr Case kFromOutside[] = {
    // RFC 7606 7.1
    {"origin_length_0", "40 01 00 P H", kWithdraw, Origin},
    {"origin_length_2", "40 01 02 0000 P H", kWithdraw, Origin},
    {"origin_undefined", "40 01 01 03 P H", kWithdraw, Origin},
    {"origin_flags_optional", "c0 01 01 00 P H", kWithdraw, Origin},
    {"origin_flags_nontransitive", "00 01 01 00 P H", kWithdraw, Origin},
    {"origin_missing", "P H", kWithdraw, Origin},
    // 7.2, RFC 7607, RFC 5065
    {"path_kind_0", "O H 40 02 06 00 01 0000fdea", kWithdraw, AsPath},
    {"path_kind_5", "O H 40 02 06 05 01 0000fdea", kWithdraw, AsPath},
    {"path_overrun", "O H 40 02 06 02 02 0000fdea", kWithdraw, AsPath},
    {"path_underrun", "O H 40 02 07 02 01 0000fdea 02", kWithdraw, AsPath},
    {"path_empty_segment", "O H 40 02 02 02 00", kWithdraw, AsPath},
    {"path_as_0", "O H 40 02 0a 02 02 0000fdea 00000000", kWithdraw, AsPath},
    {"path_confederation", "O H 40 02 06 03 01 0000fdea", kWithdraw, AsPath},
    {"path_two_octets_of_four", "O H T", kWithdraw, AsPath},
    {"path_missing", "O H", kWithdraw, AsPath},
    {"path_empty_is_fine", "O H 40 02 00", kFine, {}, "O 40 02 00"},
    {"path_extended_length_is_fine", "O H 50 02 0006 02 01 0000fdea", kFine, {}, "O 50 02 0006 02 01 0000fdea"},
    // 7.3
    {"next_hop_length_3", "O P 40 03 03 c00002", kWithdraw, NextHop},
    {"next_hop_length_0", "O P 40 03 00", kWithdraw, NextHop},
    {"next_hop_zero", "O P 40 03 04 00000000", kWithdraw, NextHop},
    {"next_hop_multicast", "O P 40 03 04 e0000005", kWithdraw, NextHop},
    {"next_hop_loopback", "O P 40 03 04 7f000001", kWithdraw, NextHop},
    {"next_hop_flags", "O P c0 03 04 c0000201", kWithdraw, NextHop},
    {"next_hop_missing", "O P", kWithdraw, NextHop},
    // 7.4
    {"med_length", "O P H 80 04 03 000001", kWithdraw, MultiExitDisc},
    {"med_flags", "O P H c0 04 04 00000001", kWithdraw, MultiExitDisc},
    {"med", "O P H 80 04 04 00000001", kFine, {}, "O P 80 04 04 00000001"},
    // 7.5
    {"local_pref", "O P H L", kDiscard, LocalPref, "O P"},
    {"local_pref_length", "O P H 40 05 01 00", kDiscard, LocalPref, "O P"},
    // 7.6
    {"atomic_aggregate_length", "O P H 40 06 01 00", kDiscard, AtomicAggregate, "O P"},
    {"atomic_aggregate", "O P H 40 06 00", kFine, {}, "O P 40 06 00"},
    // 7.7, RFC 7607
    {"aggregator_length", "O P H c0 07 06 fdea c0000201", kDiscard, Aggregator, "O P"},
    {"aggregator_as_0", "O P H c0 07 08 00000000 c0000201", kDiscard, Aggregator, "O P"},
    {"aggregator_flags", "O P H 40 07 08 0000fdea c0000201", kWithdraw, Aggregator},
    {"aggregator", "O P H c0 07 08 0000fdea c0000201", kFine, {}, "O P c0 07 08 0000fdea c0000201"},
    // 7.8
    {"communities_length_0", "O P H c0 08 00", kWithdraw, Communities},
    {"communities_length_5", "O P H c0 08 05 0000000000", kWithdraw, Communities},
    {"communities_partial", "O P H e0 08 04 fde80001", kFine, {}, "O P e0 08 04 fde80001"},
    // 7.9, 7.10
    {"originator_id", "O P H 80 09 04 0a000001", kDiscard, OriginatorId, "O P"},
    {"cluster_list", "O P H 80 0a 03 0a0000", kDiscard, ClusterList, "O P"},
    // 7.14, RFC 8092
    {"extended_communities_length", "O P H c0 10 07 00000000000000", kWithdraw, ExtendedCommunities},
    {"large_communities_length", "O P H c0 20 08 0000000000000000", kWithdraw, LargeCommunities},
    {"large_communities_empty", "O P H c0 20 00", kWithdraw, LargeCommunities},
    // RFC 6793 4.1
    {"as4_path", "O P H c0 11 06 02 01 00011170", kDiscard, As4Path, "O P"},
    {"as4_aggregator", "O P H c0 12 08 00011170 c0000201", kDiscard, As4Aggregator, "O P"},
    // 3 g: the first one counts, without a word
    {"duplicate", "O P H 80 04 04 00000001 80 04 01 02 O", kFine, {}, "O P 80 04 04 00000001"},
    // RFC 4271 5
    {"unknown_transitive", "O P H c0 63 02 abcd", kFine, {}, "O P c0 63 02 abcd"},
    {"unknown_nontransitive", "O P H 80 63 02 abcd", kFine, {}, "O P"},
    // 4: the last attribute is longer than what is left, or hardly begun
    {"overrun", "O P H c0 08 05 00000000", kWithdraw, Communities},
    {"overrun_extended", "O P H d0 08 00", kWithdraw, Communities},
    {"underrun", "O P H c0 08", kWithdraw, Communities},
    // 3 h: the gravest counts
    {"gravest_last", "O P H 40 06 01 00 80 04 00", kWithdraw, MultiExitDisc},
    {"gravest_first", "O P H 80 04 00 40 06 01 00", kWithdraw, MultiExitDisc},
};

constexpr Case kFromInside[] = {
    {"local_pref", "O P H L", kFine, {}, "O P L"},
    {"local_pref_length", "O P H 40 05 03 000064", kWithdraw, LocalPref},
    {"local_pref_missing", "O P H", kWithdraw, LocalPref},
    {"originator_id_length", "O P H L 80 09 03 0a0000", kWithdraw, OriginatorId},
    {"cluster_list_length", "O P H L 80 0a 06 0a0000010a00", kWithdraw, ClusterList},
    {"cluster_list_empty", "O P H L 80 0a 00", kWithdraw, ClusterList},
    {"reflected",
     "O P H L 80 09 04 0a000001 80 0a 04 0a000002",
     kFine,
     {},
     "O P L 80 09 04 0a000001 80 0a 04 0a000002"},
};

constexpr Case kFromOldSpeaker[] = {
    {"path_of_two_octets", "O T H", kFine, {}, "O T"},
    {"path_of_four_octets", "O P H", kWithdraw, AsPath},
    {"as4_path", "O T H c0 11 06 02 01 00011170", kFine, {}, "O T c0 11 06 02 01 00011170"},
    {"as4_path_malformed", "O T H c0 11 06 02 02 00011170", kDiscard, As4Path, "O T"},  // RFC 6793 6
    {"as4_path_empty", "O T H c0 11 00", kDiscard, As4Path, "O T"},
    {"as4_aggregator_length", "O T H c0 12 06 000000000000", kDiscard, As4Aggregator, "O T"},
    {"aggregator_of_six", "O T H c0 07 06 fdea c0000201", kFine, {}, "O T c0 07 06 fdea c0000201"},
    {"aggregator_of_eight", "O T H c0 07 08 0000fdea c0000201", kDiscard, Aggregator, "O T"},
};

const auto kCaseName = [](const auto& info) { return std::string{info.param.name}; };
INSTANTIATE_TEST_SUITE_P(Rfc7606, FromOutside, testing::ValuesIn(kFromOutside), kCaseName);
INSTANTIATE_TEST_SUITE_P(Rfc7606, FromInside, testing::ValuesIn(kFromInside), kCaseName);
INSTANTIATE_TEST_SUITE_P(Rfc7606, FromOldSpeaker, testing::ValuesIn(kFromOldSpeaker), kCaseName);

// ---- Session reset

struct Reset {
    const char* name;
    const char* withdrawn;
    const char* attributes;
    const char* nlri;
    std::uint8_t subcode;
};

class SessionReset : public testing::TestWithParam<Reset> {};

TEST_P(SessionReset, IsAskedFor)
{
    const auto& r = GetParam();
    const auto d = decode(update_body(wire(r.withdrawn), wire(r.attributes), wire(r.nlri)), external());
    ASSERT_TRUE(d.reset);
    EXPECT_EQ(d.reset->code, ErrorCode::UpdateMessage);
    EXPECT_EQ(d.reset->subcode, r.subcode);
}

constexpr Reset kResets[] = {
    // RFC 7606 3 i, 3 j, 5.3: prefixes that don't parse
    {"nlri_too_long", "", "O P H", "21 0a00000000", 10},
    {"nlri_overruns", "", "O P H", "18 0a01", 10},
    {"withdrawn_too_long", "ff 0a", "", "", 10},
    {"withdrawn_overruns_field", "10 0a", "", "", 10},
    {"mp_reach_nlri", "", "O P 80 0e 17 0002 01 10 20010db8000000000000000000000001 00 81 20", "", 9},
    {"mp_reach_nlri_overruns", "", "O P 80 0e 17 0002 01 10 20010db8000000000000000000000001 00 10 20", "", 9},
    {"mp_reach_short", "", "80 0e 04 0002 01 00", "", 9},
    {"mp_reach_flags", "", "O P c0 0e 15 0002 01 10 20010db8000000000000000000000001 00", "", 4},
    {"mp_unreach_nlri", "", "80 0f 05 0002 01 81 20", "", 9},
    {"mp_unreach_short", "", "80 0f 02 0002", "", 9},
    {"mp_unreach_flags", "", "40 0f 03 0002 01", "", 4},
    // 7.11
    {"next_hop_of_4_for_ipv6", "", "80 0e 0b 0002 01 04 c0000201 00 00 00", "", 9},
    {"next_hop_of_24", "", "80 0e 1d 0002 01 18 202020202020202020202020202020202020202020202020 00", "", 9},
    {"next_hop_of_16_for_ipv4", "", "80 0e 15 0001 01 10 20202020202020202020202020202020 00", "", 9},
    // 3 g
    {"mp_reach_twice", "", "O P R R", "", 1},
    {"mp_unreach_twice", "", "U U", "", 1},
    // RFC 4271 6.3
    {"unknown_well_known", "", "O P H 40 63 00", "18 0a0100", 2},
    // 5.2: an error, and no prefix to withdraw
    {"error_without_nlri", "", "40 01 01 09", "", 1},
    {"error_beside_mp_unreach", "", "U 80 04 00", "", 1},
    {"overrun_before_mp_reach", "", "O P 80 0e 1c 0002 01", "", 1},
};
INSTANTIATE_TEST_SUITE_P(Rfc7606, SessionReset, testing::ValuesIn(kResets), kCaseName);

TEST(DecodeUpdate, ResetsWhenTheLengthsDisagreeWithTheMessage)  // RFC 7606 3 b
{
    for (const char* body : {"0005 00 0000", "0000 0004 400101", "0003 080a 00", "00", ""}) {
        const auto d = decode(hex(body), external());
        ASSERT_TRUE(d.reset) << body;
        EXPECT_EQ(*d.reset, (Notification{ErrorCode::UpdateMessage, update_error::kMalformedAttributeList, {}}));
    }
}

TEST(DecodeUpdate, DiscardsWithoutNlriToo)  // RFC 7606 5.2: attribute discard is no reason to reset
{
    const auto d = decode(update_body(kNlri, hex("40 06 01 00"), {}), external());
    ASSERT_FALSE(d.reset);
    EXPECT_EQ(d.view.action, Action::AttributeDiscard);
}

TEST(DecodeUpdate, WithdrawsIpv6RoutesToo)
{
    auto d = decode(update_body({}, kReach6 + kAsPath, {}), external());
    ASSERT_FALSE(d.reset);
    EXPECT_EQ(d.view.action, Action::TreatAsWithdraw);
    EXPECT_EQ(prefixes(d.view.reach[1].nlri), Prefixes{"2001:db8:1::/48"});

    const auto to_multicast = hex("80 0e 1c 0002 01 10 ff020000000000000000000000000001 00 30 20010db80001");
    d = decode(update_body({}, to_multicast + kOrigin + kAsPath, {}), external());
    EXPECT_EQ(d.view.action, Action::TreatAsWithdraw);
    EXPECT_EQ(d.view.error.attribute, AttrType::MpReachNlri);
}

TEST(DecodeUpdate, IgnoresNextHopBesideMpReach)  // RFC 4760 3
{
    const auto d = decode(update_body({}, kReach6 + kOrigin + kAsPath + hex("40 03 01 00"), {}), external());
    ASSERT_FALSE(d.reset);
    EXPECT_EQ(d.view.action, Action::None);
}

TEST(DecodeUpdate, EnforcesTheFirstAsWhenTold)
{
    const DecodeOptions enforce{true};
    const auto action = [&](const Octets& attributes, const Negotiated& n) {
        return decode(update_body({}, attributes, kNlri), n, enforce).view.action;
    };
    EXPECT_EQ(action(kMandatory, external()), Action::None);
    EXPECT_EQ(action(wire("O H 40 02 0a 02 02 0000fdeb 0000fdea"), external()), Action::TreatAsWithdraw);
    EXPECT_EQ(action(wire("O H 40 02 06 01 01 0000fdea"), external()), Action::TreatAsWithdraw);
    EXPECT_EQ(action(wire("O H 40 02 00"), external()), Action::TreatAsWithdraw);
    EXPECT_EQ(action(kOrigin + kAsPathTwoOctet + kNextHop, old_speaker()), Action::None);
    EXPECT_EQ(action(wire("O H L 40 02 00"), internal()), Action::None);
    EXPECT_EQ(decode(update_body({}, wire("O H 40 02 00"), kNlri), external()).view.action, Action::None);
}

TEST(DecodeUpdate, AllocatesNothingOnceTheScratchHasGrown)
{
    Octets scratch;
    const auto body = update_body({}, kMandatory, kNlri);
    ASSERT_TRUE(decode_update(body, external(), scratch));
    const auto* before = scratch.data();
    for (int i = 0; i < 100; ++i) {
        const auto view = decode_update(body, external(), scratch);
        ASSERT_TRUE(view);
        EXPECT_EQ(view->attributes.data(), before);
    }
}

// ---- Values

TEST(DecodeAttributes, ReadsEachOne)
{
    const auto a = decode_attributes(
        hex("40 01 01 02  40 02 10 02 02 0000fdea 00011170 01 01 00000003  80 04 04 00000007  40 05 04 000000c8  40 06 "
            "00"
            "c0 07 08 00011170 c0000201  c0 08 0c fde80002 fde80001 fde80002  80 09 04 0a000001  80 0a 08 00000002 "
            "00000001"
            "c0 10 10 0002fde800000002 0002fde800000001  c0 20 18 00000002 00000001 00000001 00000001 00000005 00000006"
            "c0 63 02 abcd"),
        internal());
    EXPECT_EQ(a.origin, bgp::Origin::Incomplete);
    EXPECT_EQ(a.as_path.to_string(), "65002 70000 {3}");
    EXPECT_EQ(a.med, 7U);
    EXPECT_EQ(a.local_pref, 200U);
    EXPECT_TRUE(a.atomic_aggregate);
    EXPECT_EQ(a.aggregator->asn, Asn{70000});
    EXPECT_EQ(a.aggregator->address.to_string(), "192.0.2.1");
    EXPECT_EQ(a.communities, (std::vector<std::uint32_t>{0xfde80001, 0xfde80002}));
    EXPECT_EQ(a.originator_id->to_string(), "10.0.0.1");
    EXPECT_EQ(a.cluster_list, (std::vector<std::uint32_t>{2, 1}));  // an order that means something
    EXPECT_EQ(a.extended_communities, (std::vector<std::uint64_t>{0x0002fde800000001, 0x0002fde800000002}));
    EXPECT_EQ(a.large_communities, (std::vector<LargeCommunity>{{1, 5, 6}, {2, 1, 1}}));
    ASSERT_EQ(a.unknown.size(), 1U);
    EXPECT_EQ(a.unknown[0].flags, 0xe0);  // RFC 4271 5: passed on with the Partial bit
    EXPECT_EQ(a.unknown[0].type, 0x63);
}

std::string merged(const char* path, const char* as4, const char* more = "")
{
    const auto a =
        decode_attributes(attribute(0x40, 2, hex(path)) + attribute(0xc0, 17, hex(as4)) + hex(more), old_speaker());
    return a.as_path.to_string();
}

TEST(DecodeAttributes, MergesAs4Path)  // RFC 6793 4.2.3
{
    EXPECT_EQ(merged("02 03 fdea 5ba0 5ba0", "02 02 00011170 00011171"), "65002 70000 70001");
    EXPECT_EQ(merged("02 02 5ba0 5ba0", "02 02 00011170 00011171"), "70000 70001");
    // Longer than AS_PATH: somebody shortened that one; AS4_PATH is ignored.
    EXPECT_EQ(merged("02 01 5ba0", "02 02 00011170 00011171"), "23456");
    // A set counts one.
    EXPECT_EQ(merged("02 01 fdea 01 02 5ba0 5ba0", "01 02 00011170 00011171"), "65002 {70000,70001}");
    // An AGGREGATOR of somebody who knew no four octets makes both AS4 attributes void.
    const char* aggregators = "c0 07 06 fdea c0000201 c0 12 08 00011170 c0000202";
    EXPECT_EQ(merged("02 02 fdea 5ba0", "02 01 00011170", aggregators), "65002 23456");
    EXPECT_EQ(merged("02 02 fdea 5ba0", "02 01 00011170", "c0 07 06 fdea c0000201"), "65002 70000");
    const auto a = decode_attributes(hex("40 02 00 c0 07 06 5ba0 c0000201 c0 12 08 00011170 c0000202"), old_speaker());
    EXPECT_EQ(a.aggregator->asn, Asn{70000});
    EXPECT_EQ(a.aggregator->address.to_string(), "192.0.2.2");
}

}  // namespace
}  // namespace culvert::bgp
