#include "controlplane/rib/export.h"

#include <gtest/gtest.h>

#include <functional>

namespace culvert::rib {
namespace {

using Kind = ExportSource::Kind;

const IpPrefix kPrefix = *IpPrefix::parse("192.0.2.0/24");
const IpAddress kSelf = Ipv4Address{0x0a0000fe}, kOther = Ipv4Address{0x0a000009};

ExportRules external()
{
    ExportRules r;
    r.own_as = Asn{65000};
    r.self = kSelf;
    return r;
}

ExportRules internal()
{
    auto r = external();
    r.external = false;
    r.cluster_id = 77;
    return r;
}

bgp::PathAttributes learned()
{
    bgp::PathAttributes a;
    a.as_path.prepend(Asn{300});
    a.as_path.prepend(Asn{65001});
    a.next_hop = kOther;
    a.med = 5;
    a.communities = {1};
    a.extended_communities = {2};
    a.large_communities = {{3, 4, 5}};
    return a;
}

bgp::PathAttributes exported(const ExportRules& rules, const ExportSource& source, bgp::PathAttributes a = learned())
{
    EXPECT_TRUE(export_attributes(rules, source, kPrefix, a));
    return a;
}

TEST(Export, ExternalPrependsAndTakesTheNextHop)
{
    const auto a = exported(external(), {Kind::External});
    EXPECT_EQ(a.as_path.to_string(), "65000 65001 300");
    EXPECT_EQ(a.next_hop, kSelf);
}

TEST(Export, MedOfOthersStaysInsideTheAs)
{
    EXPECT_EQ(exported(external(), {Kind::External}).med, std::nullopt);
    EXPECT_EQ(exported(external(), {Kind::Internal}).med, std::nullopt);
    EXPECT_EQ(exported(external(), {Kind::Local}).med, 5U);
    EXPECT_EQ(exported(internal(), {Kind::External}).med, 5U);
}

TEST(Export, InternalKeepsPathAndNextHopAndAddsLocalPreference)
{
    auto rules = internal();
    rules.default_local_preference = 150;
    const auto a = exported(rules, {Kind::External});
    EXPECT_EQ(a.as_path.to_string(), "65001 300");
    EXPECT_EQ(a.next_hop, kOther);
    EXPECT_EQ(a.local_pref, 150U);
    EXPECT_EQ(a.originator_id, std::nullopt);
    EXPECT_TRUE(a.cluster_list.empty());
}

TEST(Export, ReflectionNamesOriginatorAndCluster)
{
    const auto first = exported(internal(), {Kind::Internal, {42}});
    EXPECT_EQ(first.originator_id, Ipv4Address{42});
    EXPECT_EQ(first.cluster_list, std::vector<std::uint32_t>{77});
    const auto second = exported(internal(), {Kind::Internal, {43}}, first);
    EXPECT_EQ(second.originator_id, Ipv4Address{42});
    EXPECT_EQ(second.cluster_list, (std::vector<std::uint32_t>{77, 77}));
}

TEST(Export, NextHopSelfLeavesReflectedRoutesAlone)
{
    auto rules = internal();
    rules.next_hop_self = true;
    EXPECT_EQ(exported(rules, {Kind::External}).next_hop, kSelf);
    EXPECT_EQ(exported(rules, {Kind::Local}).next_hop, kSelf);
    EXPECT_EQ(exported(rules, {Kind::Internal}).next_hop, kOther);
    rules.next_hop_self_force = true;
    EXPECT_EQ(exported(rules, {Kind::Internal}).next_hop, kSelf);
}

TEST(Export, OwnRoutesWithoutNextHopGetOurs)
{
    auto a = learned();
    a.next_hop = {};
    EXPECT_EQ(exported(internal(), {Kind::Local}, a).next_hop, kSelf);
    auto rules = external();
    rules.next_hop_unchanged = true;
    EXPECT_EQ(exported(rules, {Kind::Local}, a).next_hop, kSelf);
}

TEST(Export, ThirdPartyNextHopOnTheSharedSubnetIsKept)
{
    auto rules = external();
    rules.subnet = IpPrefix::parse("10.0.0.0/24");
    EXPECT_EQ(exported(rules, {Kind::External}).next_hop, kOther);
    // RFC 4271 5.1.3: never a neighbour's own address.
    EXPECT_EQ(exported(rules, {Kind::External, {}, true}).next_hop, kSelf);
    rules.subnet = IpPrefix::parse("10.1.0.0/24");
    EXPECT_EQ(exported(rules, {Kind::External}).next_hop, kSelf);
    rules.next_hop_unchanged = true;
    EXPECT_EQ(exported(rules, {Kind::External}).next_hop, kOther);
}

TEST(Export, WithoutAnAddressOfOursThereIsNothingToSend)
{
    auto rules = external();
    rules.self = {};
    auto a = learned();
    EXPECT_FALSE(export_attributes(rules, {Kind::External}, kPrefix, a));
}

TEST(Export, Ipv6SendsTheLinkLocalBesideTheGlobal)
{
    auto rules = external();
    rules.family = Family::Ipv6;
    rules.self = *IpAddress::parse("2001:db8::1");
    rules.self_link_local = Ipv6Address::parse("fe80::1");
    auto a = learned();
    a.next_hop = *IpAddress::parse("2001:db8::9");
    a.link_local_next_hop = Ipv6Address::parse("fe80::9");
    auto out = exported(rules, {Kind::External}, a);
    EXPECT_EQ(out.next_hop, rules.self);
    EXPECT_EQ(out.link_local_next_hop, rules.self_link_local);
    rules.self = {};
    out = exported(rules, {Kind::External}, a);
    EXPECT_EQ(out.next_hop, IpAddress{*rules.self_link_local});
}

TEST(Export, Ipv6LinkLocalOfOneLinkDoesNotReachAnother)
{
    auto rules = internal();
    rules.family = Family::Ipv6;
    rules.self = *IpAddress::parse("2001:db8::1");
    auto a = learned();
    a.next_hop = *IpAddress::parse("2001:db8::9");
    a.link_local_next_hop = Ipv6Address::parse("fe80::9");
    EXPECT_EQ(exported(rules, {Kind::External}, a).link_local_next_hop, std::nullopt);
    EXPECT_EQ(exported(rules, {Kind::External}, a).next_hop, a.next_hop);
    a.next_hop = *IpAddress::parse("fe80::9");
    EXPECT_EQ(exported(rules, {Kind::External}, a).next_hop, rules.self);
}

TEST(Export, Ipv4GoesWithIpv6NextHopsOnlyToWhoTakesThem)  // RFC 8950
{
    auto rules = external();
    rules.extended_next_hop = true;
    rules.self = {};
    rules.self_link_local = Ipv6Address::parse("fe80::1");
    auto out = exported(rules, {Kind::External}, learned());
    EXPECT_EQ(out.next_hop, IpAddress{*rules.self_link_local});
    EXPECT_EQ(out.link_local_next_hop, rules.self_link_local);

    auto inside = internal();
    inside.self = *IpAddress::parse("192.0.2.1");
    auto a = learned();
    a.next_hop = *IpAddress::parse("2001:db8::9");
    EXPECT_EQ(exported(inside, {Kind::External}, a).next_hop, inside.self);
    inside.extended_next_hop = true;
    EXPECT_EQ(exported(inside, {Kind::External}, a).next_hop, a.next_hop);
}

TEST(Export, CommunitiesByKind)
{
    auto rules = external();
    rules.send_community = false;
    auto a = exported(rules, {Kind::External});
    EXPECT_TRUE(a.communities.empty());
    EXPECT_FALSE(a.extended_communities.empty());
    rules.send_extended_community = rules.send_large_community = false;
    a = exported(rules, {Kind::External});
    EXPECT_TRUE(a.extended_communities.empty());
    EXPECT_TRUE(a.large_communities.empty());
}

TEST(Export, LocalAs)
{
    auto rules = external();
    rules.local_as = Asn{64999};
    EXPECT_EQ(exported(rules, {Kind::External}).as_path.to_string(), "64999 65000 65001 300");
    rules.local_as_replace = true;
    EXPECT_EQ(exported(rules, {Kind::External}).as_path.to_string(), "64999 65001 300");
}

TEST(Export, AsOverride)
{
    auto rules = external();
    rules.as_override = true;
    rules.remote_as = Asn{300};
    EXPECT_EQ(exported(rules, {Kind::External}).as_path.to_string(), "65000 65001 65000");
}

TEST(Export, RemovePrivateAs)
{
    auto rules = external();
    rules.own_as = Asn{100};
    auto a = learned();  // 65001 300: mixed
    rules.remove_private_as = RemovePrivateAs::WhenAllPrivate;
    EXPECT_EQ(exported(rules, {Kind::External}, a).as_path.to_string(), "100 65001 300");
    rules.remove_private_as = RemovePrivateAs::All;
    EXPECT_EQ(exported(rules, {Kind::External}, a).as_path.to_string(), "100 300");
    rules.remove_private_as = RemovePrivateAs::AllReplace;
    EXPECT_EQ(exported(rules, {Kind::External}, a).as_path.to_string(), "100 100 300");
    a.as_path = {};
    a.as_path.prepend(Asn{4200000001});
    a.as_path.prepend(Asn{64512});
    rules.remove_private_as = RemovePrivateAs::WhenAllPrivate;
    EXPECT_EQ(exported(rules, {Kind::External}, a).as_path.to_string(), "100");
    rules.remote_as = Asn{64512};  // the neighbour's own stays, so that it can see its loop
    EXPECT_EQ(exported(rules, {Kind::External}, a).as_path.to_string(), "100 64512");
}

TEST(Export, PrivateAsNumbers)
{
    EXPECT_FALSE(is_private(Asn{64511}));
    EXPECT_TRUE(is_private(Asn{64512}));
    EXPECT_TRUE(is_private(Asn{65534}));
    EXPECT_FALSE(is_private(Asn{65535}));
    EXPECT_TRUE(is_private(Asn{4200000000}));
    EXPECT_TRUE(is_private(Asn{4294967294}));
    EXPECT_FALSE(is_private(Asn{4294967295}));
}

class SetMed final : public policy::Step {
public:
    policy::Verdict apply(const policy::Route& r) const override
    {
        if (r.attributes.as_path.count(Asn{666})) return policy::Verdict::Reject;
        r.attributes.med = 99;
        r.attributes.as_path.prepend(r.neighbor.asn);
        return policy::Verdict::Accept;
    }
    bool depends_on_prefix() const noexcept override { return false; }
};

TEST(Export, TheStepComesBeforeOurOwnAs)
{
    auto rules = external();
    rules.step = std::make_shared<SetMed>();
    rules.neighbor = {kOther, Asn{7}, true};
    const auto a = exported(rules, {Kind::External});
    EXPECT_EQ(a.as_path.to_string(), "65000 7 65001 300");
    EXPECT_EQ(a.med, 99U);
    auto bad = learned();
    bad.as_path.prepend(Asn{666});
    EXPECT_FALSE(export_attributes(rules, {Kind::External}, kPrefix, bad));
}

TEST(Export, EqualOutcomesAreOneSet)
{
    NexthopTable nexthops;
    AttributeTable sets{nexthops, 1};
    SentSets sent{1};
    ExportContext context{external(), sets, sent};
    auto a = learned();
    const auto one = sets.intern(a, std::nullopt);
    a.med = 6;
    const auto two = sets.intern(a, std::nullopt);
    EXPECT_NE(one, two);
    const auto sent_one = context.translate(one, {Kind::External}, kPrefix);
    EXPECT_NE(sent_one, 0U);
    EXPECT_EQ(sent_one, context.translate(two, {Kind::External}, kPrefix));
    EXPECT_EQ(sent.size(), 1U);
    sets.release(one);
    EXPECT_EQ(sent.size(), 1U);
    sets.release(two);
    EXPECT_EQ(sent.size(), 0U);
    EXPECT_EQ(sets.size(), 0U);
}

}  // namespace
}  // namespace culvert::rib
