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

// ---- What a defect costs. Each case is a sound UPDATE for 10.1.0.0/24 but for the attributes given.

struct Case {
    const char* name;
    Negotiated negotiated;
    Octets attributes;
    Action action;
    AttrType attribute;
    Octets left;  // UpdateView::attributes when not withdrawn
};

class Rfc7606 : public testing::TestWithParam<Case> {};

TEST_P(Rfc7606, CostsWhatItSays)
{
    const auto& c = GetParam();
    const auto d = decode(update_body(hex("18 0a0900"), c.attributes, kNlri), c.negotiated);
    ASSERT_FALSE(d.reset);
    EXPECT_EQ(d.view.action, c.action);
    EXPECT_EQ(d.view.error.action, c.action);
    EXPECT_EQ(d.view.error.attribute, c.attribute) << d.view.error.reason;
    EXPECT_EQ(d.attributes, c.action == Action::TreatAsWithdraw ? Octets{} : c.left);
    // Whatever it costs, the prefixes are told.
    EXPECT_EQ(prefixes(d.view.reach[0].nlri), Prefixes{"10.1.0.0/24"});
    EXPECT_EQ(prefixes(d.view.unreach[0]), Prefixes{"10.9.0.0/24"});
}

Case withdrawn(const char* name, const Octets& extra, AttrType type, Negotiated n = external())
{
    const auto base = n.external ? kMandatory : kMandatory + kLocalPref;
    return {name, n, base + extra, Action::TreatAsWithdraw, type, {}};
}
Case withdrawn_for(const char* name, const Octets& attributes, AttrType type, Negotiated n = external())
{
    return {name, n, attributes, Action::TreatAsWithdraw, type, {}};
}
Case discarded(const char* name, const Octets& extra, AttrType type, Negotiated n = external())
{
    return {name, n, kMandatory + extra, Action::AttributeDiscard, type, kOrigin + kAsPath};
}
Case fine(const char* name, const Octets& extra, const Octets& left, Negotiated n = external())
{
    return {name, n, kMandatory + extra, Action::None, {}, kOrigin + kAsPath + left};
}
// AS_PATH with this value.
Octets with_path(const char* value) { return kOrigin + attribute(0x40, 2, hex(value)) + kNextHop; }
Octets with_path(const char* origin, const char* next_hop) { return hex(origin) + kAsPath + hex(next_hop); }

INSTANTIATE_TEST_SUITE_P(
    Origin, Rfc7606,  // 7.1
    testing::Values(withdrawn_for("length_0", hex("40 01 00") + kAsPath + kNextHop, AttrType::Origin),
                    withdrawn_for("length_2", hex("40 01 02 0000") + kAsPath + kNextHop, AttrType::Origin),
                    withdrawn_for("undefined", hex("40 01 01 03") + kAsPath + kNextHop, AttrType::Origin),
                    withdrawn_for("flags_optional", hex("c0 01 01 00") + kAsPath + kNextHop, AttrType::Origin),
                    withdrawn_for("flags_nontransitive", hex("00 01 01 00") + kAsPath + kNextHop, AttrType::Origin),
                    withdrawn_for("missing", kAsPath + kNextHop, AttrType::Origin)),
    [](const auto& info) { return info.param.name; });

INSTANTIATE_TEST_SUITE_P(
    AsPath, Rfc7606,  // 7.2, RFC 7607, RFC 5065
    testing::Values(withdrawn_for("kind_0", with_path("00 01 0000fdea"), AttrType::AsPath),
                    withdrawn_for("kind_5", with_path("05 01 0000fdea"), AttrType::AsPath),
                    withdrawn_for("overrun", with_path("02 02 0000fdea"), AttrType::AsPath),
                    withdrawn_for("underrun", with_path("02 01 0000fdea 02"), AttrType::AsPath),
                    withdrawn_for("empty_segment", with_path("02 00"), AttrType::AsPath),
                    withdrawn_for("as_0", with_path("02 02 0000fdea 00000000"), AttrType::AsPath),
                    withdrawn_for("confederation_from_outside", with_path("03 01 0000fdea"), AttrType::AsPath),
                    withdrawn_for("two_octets_of_four", with_path("02 01 fdea"), AttrType::AsPath),
                    withdrawn_for("missing", kOrigin + kNextHop, AttrType::AsPath),
                    Case{"empty_is_fine", external(), with_path(""), Action::None, {}, kOrigin + hex("40 02 00")},
                    Case{"extended_length_is_fine",
                         external(),
                         kOrigin + hex("50 02 0006 02 01 0000fdea") + kNextHop,
                         Action::None,
                         {},
                         kOrigin + hex("50 02 0006 02 01 0000fdea")}),
    [](const auto& info) { return info.param.name; });

INSTANTIATE_TEST_SUITE_P(
    NextHop, Rfc7606,  // 7.3
    testing::Values(withdrawn_for("length_3", with_path("40 01 01 00", "40 03 03 c00002"), AttrType::NextHop),
                    withdrawn_for("length_0", with_path("40 01 01 00", "40 03 00"), AttrType::NextHop),
                    withdrawn_for("zero", with_path("40 01 01 00", "40 03 04 00000000"), AttrType::NextHop),
                    withdrawn_for("multicast", with_path("40 01 01 00", "40 03 04 e0000005"), AttrType::NextHop),
                    withdrawn_for("loopback", with_path("40 01 01 00", "40 03 04 7f000001"), AttrType::NextHop),
                    withdrawn_for("flags", with_path("40 01 01 00", "c0 03 04 c0000201"), AttrType::NextHop),
                    withdrawn_for("missing", kOrigin + kAsPath, AttrType::NextHop)),
    [](const auto& info) { return info.param.name; });

INSTANTIATE_TEST_SUITE_P(
    Others, Rfc7606,
    testing::Values(
        // 7.4
        withdrawn("med_length", hex("80 04 03 000001"), AttrType::MultiExitDisc),
        withdrawn("med_flags", hex("c0 04 04 00000001"), AttrType::MultiExitDisc),
        fine("med", hex("80 04 04 00000001"), hex("80 04 04 00000001")),
        // 7.5
        discarded("local_pref_from_outside", kLocalPref, AttrType::LocalPref),
        discarded("local_pref_from_outside_with_bad_length", hex("40 05 01 00"), AttrType::LocalPref),
        withdrawn_for("local_pref_length", kMandatory + hex("40 05 03 000064"), AttrType::LocalPref, internal()),
        withdrawn_for("local_pref_missing", kMandatory, AttrType::LocalPref, internal()),
        fine("local_pref", kLocalPref, kLocalPref, internal()),
        // 7.6
        discarded("atomic_aggregate_length", hex("40 06 01 00"), AttrType::AtomicAggregate),
        fine("atomic_aggregate", hex("40 06 00"), hex("40 06 00")),
        // 7.7, RFC 7607
        discarded("aggregator_length", hex("c0 07 06 fdea c0000201"), AttrType::Aggregator),
        discarded("aggregator_as_0", hex("c0 07 08 00000000 c0000201"), AttrType::Aggregator),
        withdrawn("aggregator_flags", hex("40 07 08 0000fdea c0000201"), AttrType::Aggregator),
        fine("aggregator", hex("c0 07 08 0000fdea c0000201"), hex("c0 07 08 0000fdea c0000201")),
        // 7.8
        withdrawn("communities_length_0", hex("c0 08 00"), AttrType::Communities),
        withdrawn("communities_length_5", hex("c0 08 05 0000000000"), AttrType::Communities),
        fine("communities_partial", hex("e0 08 04 fde80001"), hex("e0 08 04 fde80001")),
        // 7.9, 7.10
        discarded("originator_id_from_outside", hex("80 09 04 0a000001"), AttrType::OriginatorId),
        discarded("cluster_list_from_outside", hex("80 0a 03 0a0000"), AttrType::ClusterList),
        withdrawn("originator_id_length", hex("80 09 03 0a0000"), AttrType::OriginatorId, internal()),
        withdrawn("cluster_list_length", hex("80 0a 06 0a0000010a00"), AttrType::ClusterList, internal()),
        withdrawn("cluster_list_empty", hex("80 0a 00"), AttrType::ClusterList, internal()),
        // 7.14, RFC 8092
        withdrawn("extended_communities_length", hex("c0 10 07 00000000000000"), AttrType::ExtendedCommunities),
        withdrawn("large_communities_length", hex("c0 20 08 0000000000000000"), AttrType::LargeCommunities),
        withdrawn("large_communities_empty", hex("c0 20 00"), AttrType::LargeCommunities),
        // RFC 6793 4.1 and 6
        discarded("as4_path_from_new_speaker", hex("c0 11 06 02 01 00011170"), AttrType::As4Path),
        discarded("as4_aggregator_from_new_speaker", hex("c0 12 08 00011170 c0000201"), AttrType::As4Aggregator),
        // 3 g: the first one counts, without a word
        fine("duplicate", hex("80 04 04 00000001 80 04 01 02") + kOrigin, hex("80 04 04 00000001")),
        // RFC 4271 5
        fine("unknown_transitive", hex("c0 63 02 abcd"), hex("c0 63 02 abcd")),
        fine("unknown_nontransitive", hex("80 63 02 abcd"), {}),
        // 4: the last attribute is longer than what is left, or hardly begun
        withdrawn("overrun", hex("c0 08 05 00000000"), AttrType::Communities),
        withdrawn("overrun_extended", hex("d0 08 00"), AttrType::Communities),
        withdrawn("underrun", hex("c0 08"), AttrType::Communities),
        // 3 h: the gravest counts
        withdrawn("gravest_last", hex("40 06 01 00 80 04 00"), AttrType::MultiExitDisc),
        withdrawn("gravest_first", hex("80 04 00 40 06 01 00"), AttrType::MultiExitDisc)),
    [](const auto& info) { return info.param.name; });

INSTANTIATE_TEST_SUITE_P(
    OldSpeaker, Rfc7606,
    testing::Values(Case{"path_of_two_octets",
                         old_speaker(),
                         kOrigin + kAsPathTwoOctet + kNextHop,
                         Action::None,
                         {},
                         kOrigin + kAsPathTwoOctet},
                    Case{"as4_path_kept",
                         old_speaker(),
                         kOrigin + kAsPathTwoOctet + kNextHop + hex("c0 11 06 02 01 00011170"),
                         Action::None,
                         {},
                         kOrigin + kAsPathTwoOctet + hex("c0 11 06 02 01 00011170")},
                    Case{"as4_path_malformed", old_speaker(),
                         kOrigin + kAsPathTwoOctet + kNextHop + hex("c0 11 06 02 02 00011170"),
                         Action::AttributeDiscard, AttrType::As4Path, kOrigin + kAsPathTwoOctet},
                    Case{"as4_path_empty", old_speaker(), kOrigin + kAsPathTwoOctet + kNextHop + hex("c0 11 00"),
                         Action::AttributeDiscard, AttrType::As4Path, kOrigin + kAsPathTwoOctet},
                    Case{"as4_aggregator_length", old_speaker(),
                         kOrigin + kAsPathTwoOctet + kNextHop + hex("c0 12 06 000000000000"), Action::AttributeDiscard,
                         AttrType::As4Aggregator, kOrigin + kAsPathTwoOctet},
                    Case{"aggregator_of_six",
                         old_speaker(),
                         kOrigin + kAsPathTwoOctet + kNextHop + hex("c0 07 06 fdea c0000201"),
                         Action::None,
                         {},
                         kOrigin + kAsPathTwoOctet + hex("c0 07 06 fdea c0000201")}),
    [](const auto& info) { return info.param.name; });

// ---- Session reset

struct Reset {
    const char* name;
    Octets body;
    std::uint8_t subcode;
};

class Rfc7606Reset : public testing::TestWithParam<Reset> {};

TEST_P(Rfc7606Reset, EndsTheSession)
{
    const auto d = decode(GetParam().body, external());
    ASSERT_TRUE(d.reset);
    EXPECT_EQ(d.reset->code, ErrorCode::UpdateMessage);
    EXPECT_EQ(d.reset->subcode, GetParam().subcode);
}

INSTANTIATE_TEST_SUITE_P(
    All, Rfc7606Reset,
    testing::Values(
        // 3 b: the two lengths and the message's
        Reset{"withdrawn_overruns", hex("0005 00 0000"), 1}, Reset{"attributes_overrun", hex("0000 0004 400101"), 1},
        Reset{"no_attributes_length", hex("0003 080a 00"), 1},
        // 3 i, 3 j, 5.3: prefixes that don't parse
        Reset{"nlri_too_long", update_body({}, kMandatory, hex("21 0a00000000")), 10},
        Reset{"nlri_overruns", update_body({}, kMandatory, hex("18 0a01")), 10},
        Reset{"withdrawn_too_long", update_body(hex("ff 0a"), {}, {}), 10},
        Reset{"withdrawn_overruns_field", update_body(hex("10 0a"), {}, {}), 10},
        Reset{"mp_reach_nlri",
              update_body({}, kOrigin + kAsPath + hex("80 0e 17 0002 01 10 20010db8000000000000000000000001 00 81 20"),
                          {}),
              9},
        Reset{"mp_reach_nlri_overruns",
              update_body({}, kOrigin + kAsPath + hex("80 0e 17 0002 01 10 20010db8000000000000000000000001 00 10 20"),
                          {}),
              9},
        Reset{"mp_reach_short", update_body({}, hex("80 0e 04 0002 01 00"), {}), 9},
        Reset{"mp_reach_flags",
              update_body({}, kOrigin + kAsPath + hex("c0 0e 15 0002 01 10 20010db8000000000000000000000001 00"), {}),
              4},
        Reset{"mp_unreach_nlri", update_body({}, hex("80 0f 05 0002 01 81 20"), {}), 9},
        Reset{"mp_unreach_short", update_body({}, hex("80 0f 02 0002"), {}), 9},
        Reset{"mp_unreach_flags", update_body({}, hex("40 0f 03 0002 01"), {}), 4},
        // 7.11
        Reset{"next_hop_of_4_for_ipv6", update_body({}, hex("80 0e 0b 0002 01 04 c0000201 00 00 00"), {}), 9},
        Reset{"next_hop_of_24", update_body({}, hex("80 0e 1d 0002 01 18") + Octets(24, 0x20) + hex("00"), {}), 9},
        Reset{"next_hop_of_16_for_ipv4", update_body({}, hex("80 0e 15 0001 01 10") + Octets(16, 0x20) + hex("00"), {}),
              9},
        // 3 g
        Reset{"mp_reach_twice", update_body({}, kOrigin + kAsPath + kReach6 + kReach6, {}), 1},
        Reset{"mp_unreach_twice", update_body({}, kUnreach6 + kUnreach6, {}), 1},
        // RFC 4271 6.3
        Reset{"unknown_well_known", update_body({}, kMandatory + hex("40 63 00"), kNlri), 2},
        // 5.2: an error, and no prefix to withdraw
        Reset{"error_without_nlri", update_body({}, hex("40 01 01 09"), {}), 1},
        Reset{"error_beside_mp_unreach", update_body({}, kUnreach6 + hex("80 04 00"), {}), 1},
        Reset{"overrun_before_mp_reach", update_body({}, kOrigin + kAsPath + hex("80 0e 1c 0002 01"), {}), 1}),
    [](const auto& info) { return info.param.name; });

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
    EXPECT_EQ(action(with_path("02 02 0000fdeb 0000fdea"), external()), Action::TreatAsWithdraw);
    EXPECT_EQ(action(with_path("01 01 0000fdea"), external()), Action::TreatAsWithdraw);
    EXPECT_EQ(action(with_path(""), external()), Action::TreatAsWithdraw);
    EXPECT_EQ(action(kOrigin + kAsPathTwoOctet + kNextHop, old_speaker()), Action::None);
    EXPECT_EQ(action(with_path("") + kLocalPref, internal()), Action::None);
    EXPECT_EQ(decode(update_body({}, with_path(""), kNlri), external()).view.action, Action::None);
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
    EXPECT_EQ(a.origin, Origin::Incomplete);
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
