#include "dataplane/api/esp.h"

#include "dataplane/wire/gre.h"
#include "tests/unit/node/pair.h"

namespace culvert::dataplane::test {

namespace {

using api::EspAlgorithm;
using api::EspMode;
using api::SaDirection;

constexpr InterfaceId kTunnel{10};
constexpr ProtectionId kProtection{5};

class EspPair : public Pair {
protected:
    struct Shape {
        EspAlgorithm algorithm = EspAlgorithm::AesGcm128;
        bool gre = false;
        EspMode mode = EspMode::Tunnel;
        Family outer = Family::Ipv4;
        bool esn = false;
        bool udp = false;
    };

    using Change = std::function<void(api::SetProtection&)>;
    void tunnel(const Shape& s, const Change& change = {}, std::uint16_t mtu = 1400)
    {
        shape = s;
        for (auto [r, of_b] : {std::pair{&a, false}, std::pair{&b, true}}) {
            interface(*r, kTunnel, mtu);
            const auto here = end_of(of_b, s.outer), there = end_of(!of_b, s.outer);
            api::SetProtection p{.id = kProtection,
                                 .interface = kTunnel,
                                 .outer_vrf = kDefaultVrf,
                                 .inner = s.gre ? api::EspInner::Gre : api::EspInner::Ip,
                                 .local = here,
                                 .remote = there};
            if (change) change(p);
            r->apply(p);
            r->apply(api::SetTunnel{.interface = kTunnel,
                                    .outer_vrf = kDefaultVrf,
                                    .mode = s.gre ? api::TunnelMode::Gre : api::TunnelMode::Ipsec,
                                    .ttl = 255,
                                    .source = here,
                                    .destination = there,
                                    .protection = kProtection});
        }
        routes(kTunnel);
    }

    api::InstallSa sa(bool of_b, SaDirection direction, std::uint32_t child = 1) const
    {
        const bool to_b = (direction == SaDirection::Outbound) != of_b;
        api::InstallSa c{};
        c.protection = kProtection;
        c.sequence = 1;
        c.child = child;
        c.spi = 0x10000 + 2 * child + (to_b ? 1 : 0);
        c.direction = direction;
        c.mode = shape.mode;
        c.algorithm = shape.algorithm;
        c.esn = shape.esn;
        c.udp = shape.udp;
        c.follow_peer = shape.udp;
        c.local = {end_of(of_b, shape.outer), 4500};
        c.remote = {end_of(!of_b, shape.outer), 4500};
        for (std::size_t i = 0; i < c.key.size(); ++i)
            c.key[i] = static_cast<std::uint8_t>(i * 29 + child * 3 + (to_b ? 77 : 0));
        return c;
    }
    void install(std::uint32_t child = 1)
    {
        for (const bool of_b : {false, true})
            for (const auto direction : {SaDirection::Inbound, SaDirection::Outbound})
                (of_b ? b : a).command(sa(of_b, direction, child));
    }

    // Is any octet string of the inner packet on the wire? Sixteen in a row would not be chance.
    bool on_the_wire(const Octets& clear) const
    {
        for (const auto& w : outer)
            for (std::size_t at = 0; at + 16 <= clear.size(); at += 8)
                if (std::search(w.begin(), w.end(), clear.begin() + static_cast<std::ptrdiff_t>(at),
                                clear.begin() + static_cast<std::ptrdiff_t>(at + 16)) != w.end())
                    return true;
        return false;
    }

    Shape shape;
};

using Mix = std::tuple<int, int, Family, bool, bool>;
class EspMix : public ::testing::WithParamInterface<Mix>, public EspPair {};

TEST_P(EspMix, CarriesBothFamiliesBothWays)
{
    const auto [algorithm, kind, family, esn, udp] = GetParam();
    const Shape s{.algorithm = static_cast<EspAlgorithm>(algorithm),
                  .gre = kind != 0,
                  .mode = kind == 1 ? EspMode::Transport : EspMode::Tunnel,
                  .outer = family,
                  .esn = esn,
                  .udp = udp};
    tunnel(s);
    install();
    int number = 0;
    for (const auto& in : {inner4(), inner6(), inner4(0), inner4(101), inner6(33), inner4(1200)}) {
        outer.clear();
        a.from_lan(in);
        ASSERT_EQ(a.sent.size(), 1u) << number;
        auto out = a.sent[0].packet();
        // What is sealed is the packet, or GRE's outer packet around it.
        const std::size_t gre = s.gre ? api::ip_header_octets(family) + 4 : 0;
        EXPECT_EQ(out.size(), in.size() + gre + api::esp_overhead(s.algorithm, s.mode, family, udp, in.size() + gre));
        if (family == Family::Ipv4) {
            EXPECT_TRUE(checksum4_intact(out));
            EXPECT_EQ(header4(out).protocol, udp ? 17 : 50);
            EXPECT_EQ(std::size_t{header4(out).total_length}, out.size());
            if (udp) {
                EXPECT_EQ(out[26] | out[27], 0) << "RFC 3948 2.1";
            }
        } else {
            EXPECT_EQ(header6(out).next_header, udp ? 17 : 50);
            EXPECT_EQ(std::size_t{header6(out).payload_length} + 40, out.size());
            if (udp) {
                EXPECT_TRUE(transport6_intact(out));
            }
        }
        relay();
        ASSERT_EQ(out_b.size(), 1u) << number;
        EXPECT_EQ(out_b[0].packet(), forwarded(in));
        EXPECT_FALSE(on_the_wire(in));
        out_b.clear();
        ++number;
    }
    b.from_lan(packet(Udp4{.from = ip4("10.2.0.5"), .to = ip4("10.1.0.2")}));
    b.from_lan(packet(Udp6{.from = ip6("2001:db8:b::5"), .to = ip6("2001:db8:1::2")}));
    relay();
    EXPECT_EQ(out_a.size(), 2u);
    EXPECT_EQ(a.counters.interface(kTunnel).tx_packets.read(), 6u);
    EXPECT_EQ(a.counters.interface(kTunnel).rx_packets.read(), 2u);
    EXPECT_EQ(b.counters.interface(kTunnel).rx_packets.read(), 6u);
    EXPECT_EQ(a.protection_activity[index(kProtection)].sent_packets, 6u);
    EXPECT_EQ(b.protection_activity[index(kProtection)].received_packets, 6u);
}
INSTANTIATE_TEST_SUITE_P(All, EspMix,
                         ::testing::Combine(::testing::Range(0, int{api::kEspAlgorithms}), ::testing::Range(0, 3),
                                            ::testing::Values(Family::Ipv4, Family::Ipv6), ::testing::Bool(),
                                            ::testing::Bool()));

// ---- fail closed ---------------------------------------------------------------------------------------------------

class EspTunnel : public EspPair {};

TEST_F(EspTunnel, NothingLeavesWithoutAnSa)
{
    for (const bool gre : {false, true}) {
        tunnel({.gre = gre, .mode = gre ? EspMode::Transport : EspMode::Tunnel});
        a.from_lan(inner4());
        EXPECT_TRUE(a.sent.empty());
    }
    EXPECT_EQ(a.count(Verdict::DropEspNoSa), 2u);
    EXPECT_EQ(a.events_of<api::SaWanted>().size(), 1u);
    install();
    a.from_lan(inner4());
    EXPECT_EQ(a.sent.size(), 1u);
    // It goes, and again nothing leaves.
    a.command(api::DeleteSa{kProtection, 2, 1, SaDirection::Outbound});
    a.from_lan(inner4());
    EXPECT_EQ(a.sent.size(), 1u);
    EXPECT_EQ(a.count(Verdict::DropEspNoSa), 3u);
}

TEST_F(EspTunnel, WhenTheLastSaEndsTheTunnelIsDownInThatRound)
{
    tunnel({});
    auto out = sa(false, SaDirection::Outbound);
    out.hard_packets = 3;
    a.command(out);
    const auto next = [&] {
        a.from_lan(inner4());
        a.pipeline.settle();
    };
    for (int i = 0; i < 3; ++i) next();
    EXPECT_EQ(a.sent.size(), 3u);
    next();
    const auto downs = a.events_of<api::WentDown>();
    ASSERT_EQ(downs.size(), 1u);
    EXPECT_EQ(downs[0].kind, api::DownKind::Interface);
    EXPECT_EQ(downs[0].id, index(kTunnel));
    EXPECT_EQ(downs[0].causes, fib::cause::kTunnel);
    const auto before = a.count(Verdict::DropNexthopDown);
    next();
    EXPECT_EQ(a.count(Verdict::DropNexthopDown), before + 1) << "a backup would be taken";
    EXPECT_TRUE(a.events_of<api::TunnelAlive>().empty());
    a.command(sa(false, SaDirection::Outbound, 2));
    EXPECT_EQ(a.events_of<api::TunnelAlive>().size(), 1u);
    a.apply(api::ClearDown{api::DownKind::Interface, index(kTunnel), downs[0].epoch});
    next();
    EXPECT_EQ(a.sent.size(), 4u);
}

TEST_F(EspTunnel, ASuccessorTakesOverAndTheTunnelStaysUp)
{
    tunnel({});
    auto out = sa(false, SaDirection::Outbound);
    out.hard_packets = 3;
    a.command(out);
    a.command(sa(false, SaDirection::Outbound, 2));
    for (int i = 0; i < 5; ++i) {
        a.from_lan(inner4());
        a.pipeline.settle();
    }
    EXPECT_EQ(a.sent.size(), 5u);
    EXPECT_TRUE(a.events_of<api::WentDown>().empty());
}

TEST_F(EspTunnel, NothingLeavesWithoutItsProtection)
{
    tunnel({});
    install();
    a.apply(api::DeleteProtection{kProtection});
    a.from_lan(inner4());
    EXPECT_TRUE(a.sent.empty());
    EXPECT_EQ(a.count(Verdict::DropEspNoSa), 1u);
}

TEST_F(EspTunnel, ClearGreForAProtectedTunnelIsDropped)
{
    tunnel({.gre = true, .mode = EspMode::Transport});
    install();
    a.from_lan(inner4());
    ASSERT_EQ(a.sent.size(), 1u);
    a.sent.clear();
    // The same packet as GRE in clear, from the right place.
    const auto in = inner4();
    Octets clear(24 + in.size());
    auto& h = header4(clear);
    h.version_ihl = 0x45;
    h.total_length = static_cast<std::uint16_t>(clear.size());
    h.ttl = 255;
    h.protocol = 47;
    h.source = ip4("192.0.2.1").value;
    h.destination = ip4("192.0.2.2").value;
    clear[22] = 0x08;
    std::copy(in.begin(), in.end(), clear.begin() + 24);
    h.compute_checksum();
    to_b(clear);
    relay();
    EXPECT_TRUE(out_b.empty());
    EXPECT_EQ(b.count(Verdict::DropTunnelClear), 1u);
}

TEST_F(EspTunnel, APeerCanNotSendIntoTheOuterVrf)
{
    // A believes that the protection carries any packet, B that it is for GRE only.
    tunnel({});
    install();
    auto p = *b.tables.protection(kProtection);
    p.inner = api::EspInner::Gre;
    b.apply(p);
    a.from_lan(inner4());
    a.from_lan(inner6());
    relay();
    EXPECT_TRUE(out_b.empty());
    EXPECT_EQ(b.count(Verdict::DropEspInner), 2u);
}

// An IOS keepalive that came protected would go back in clear.
TEST_F(EspTunnel, AKeepaliveInAProtectedTunnelIsNotAnsweredInClear)
{
    tunnel({.gre = true, .mode = EspMode::Transport});
    install();
    api::SetTunnel t = *b.tables.tunnel(kTunnel);
    t.keepalives = true;
    b.apply(t);

    // What A's SA carries: GRE, and in it GRE from B to A that carries nothing.
    Octets text(4 + 20 + 4);
    wire::put_gre(text.data(), 0, 0x0800, 0, 0);
    header4(text, 4) = {0x45, 0xc0, 24, 7, 0, 255, 47, {}, ip4("192.0.2.2").value, ip4("192.0.2.1").value};
    header4(text, 4).compute_checksum();
    wire::put_gre(text.data() + 24, 0, 0, 0, 0);
    const std::size_t front = 20 + a.sas.sending(kProtection)->front;
    Octets packet(front + text.size() + esp::kMaxBack);
    std::copy(text.begin(), text.end(), packet.begin() + static_cast<std::ptrdiff_t>(front));
    esp::SealJob job{.protection = kProtection,
                     .data = packet.data() + front,
                     .length = static_cast<std::uint32_t>(text.size()),
                     .next_header = 47};
    a.sas.seal({&job, 1}, a.context.now);
    packet.resize(20 + job.sealed_length);
    header4(packet) = {0x45,
                       0,
                       static_cast<std::uint16_t>(packet.size()),
                       9,
                       0,
                       64,
                       50,
                       {},
                       ip4("192.0.2.1").value,
                       ip4("192.0.2.2").value};
    header4(packet).compute_checksum();
    to_b(packet);
    EXPECT_EQ(b.count(Verdict::DropProtectedClear), 1u);
    EXPECT_TRUE(b.sent.empty());
}

// The outer packets of one SA to one place: each flow has its way, all ways are used.
// Nobody sees the flow after the cipher, which has run already when lent packets are given their outer headers.
class EspShared : public ::testing::WithParamInterface<bool>, public EspTunnel {};

TEST_P(EspShared, OuterPacketsAreSharedByTheFlowInside)
{
    node::LoanBox box{1};
    api::Wake wake;
    a.context.loans.open(WorkerId{0}, a.aead, {{&box, &wake}});
    a.context.loans.press(GetParam());
    tunnel({});
    install();
    const MacAddress other{{2, 0, 0, 0, 1, 9}};
    const GroupId group{5000};
    a.apply(api::SetGroup{.id = group, .member_count = 2});
    a.apply(api::SetGroupMember{
        .group = group, .position = 0, .weight = 1, .nexthop = a.adjacency(kWanIf, "192.0.2.8", kPeerMac)});
    a.apply(api::SetGroupMember{
        .group = group, .position = 1, .weight = 1, .nexthop = a.adjacency(kWanIf, "192.0.2.9", other)});
    a.apply(api::SetRoute{kDefaultVrf, prefix("192.0.2.2/32"), group});
    std::vector<Octets> frames;
    for (std::uint16_t i = 0; i < 64; ++i)
        frames.push_back(frame(kLanMac, kHostMac,
                               packet(Udp4{.from = ip4("10.1.0.2"),
                                           .to = ip4("10.2.0.5"),
                                           .from_port = static_cast<std::uint16_t>(1000 + i / 2)})));
    a.receive_all(kLan, frames);
    EXPECT_EQ(a.sent.empty(), GetParam());
    while (a.pipeline.settle_loans(true)) {}
    ASSERT_EQ(a.sent.size(), 64u);
    std::size_t by_other = 0;
    for (std::size_t i = 0; i < 64; ++i) {
        const auto sequence = a.sent[i].packet()[20 + 7];
        EXPECT_EQ(sequence, i + 1) << "in the order of their numbers";
        MacAddress to, twin;
        std::memcpy(&to, a.sent[i].frame.data(), 6);
        std::memcpy(&twin, a.sent[i / 2 * 2].frame.data(), 6);
        EXPECT_EQ(to, twin) << "one flow, one way";
        by_other += to == other;
    }
    EXPECT_GT(by_other, 10u);
    EXPECT_LT(by_other, 54u);
}

INSTANTIATE_TEST_SUITE_P(LentOrNot, EspShared, testing::Bool());

// A burst whose packets belong to the stages between from the middle on: they come after those that went by themselves.
TEST_F(EspTunnel, ABurstThatPartlyWaitsForANeighbourKeepsItsOrder)
{
    tunnel({});
    install();
    a.route_via("192.0.2.2/32", a.adjacency(kWanIf, "192.0.2.77", kPeerMac, false));
    std::vector<Octets> frames(20, frame(kLanMac, kHostMac, inner4()));
    a.receive_all(kLan, frames);
    EXPECT_TRUE(a.sent.empty());
    a.route_via("192.0.2.2/32", a.adjacency(kWanIf, "192.0.2.2", kPeerMac));
    a.command(api::ReleaseHeld{.interface = kWanIf, .address = ip("192.0.2.77"), .resolved = true});
    a.receive_all(kLan, frames);
    ASSERT_EQ(a.sent.size(), 40u);
    for (std::size_t i = 0; i < 40; ++i) EXPECT_EQ(a.sent[i].packet()[20 + 7], i + 1);
}

TEST_F(EspTunnel, AnotherProtectionsPacketsAreNotTaken)
{
    tunnel({.gre = true, .mode = EspMode::Transport});
    install();
    auto t = api::SetTunnel{*b.tables.tunnel(kTunnel)};
    t.protection = ProtectionId{6};
    b.apply(t);
    a.from_lan(inner4());
    relay();
    EXPECT_TRUE(out_b.empty());
    EXPECT_EQ(b.count(Verdict::DropTunnelClear), 1u);
}

// A `protected` route, whatever it leads to.
TEST_F(EspTunnel, AProtectedPrefixNeverLeavesInClear)
{
    tunnel({});
    install();
    std::uint32_t id = 1000;
    const auto next_hop = [&](api::SetNexthop n) {
        n.id = NexthopId{id++};
        a.apply(n);
        return n.id;
    };
    const auto group = [&](NexthopId n, GroupId backup = kNoGroup) {
        const GroupId g{id++};
        a.apply(api::SetGroup{.id = g, .member_count = 1, .backup = backup});
        a.apply(api::SetGroupMember{.group = g, .position = 0, .weight = 1, .nexthop = n});
        return g;
    };
    const auto route = [&](GroupId g) {
        for (const auto* to : {"10.2.0.0/16", "2001:db8:b::/48"})
            a.apply(api::SetRoute{kDefaultVrf, prefix(to), g, true});
    };
    const auto leaves = [&] {
        a.sent.clear();
        a.from_lan(inner4());
        a.from_lan(inner6());
        a.from_host(packet(Udp4{.from = ip4("10.1.0.1"), .to = ip4("10.2.0.5")}));
        return a.sent.size();
    };
    const auto clear = next_hop({.id = {},
                                 .kind = api::NexthopKind::Adjacency,
                                 .resolved = true,
                                 .interface = kWanIf,
                                 .gateway = ip("192.0.2.2"),
                                 .mac = kPeerMac});
    const auto sealed = next_hop({.id = {}, .kind = api::NexthopKind::Tunnel, .interface = kTunnel});

    route(group(clear));
    EXPECT_EQ(leaves(), 0u);
    EXPECT_EQ(a.count(Verdict::DropProtectedClear), 3u);
    route(group(next_hop({.id = {}, .kind = api::NexthopKind::Glean, .interface = kWanIf})));
    EXPECT_EQ(leaves(), 0u);
    EXPECT_EQ(a.count(Verdict::DropProtectedClear), 6u);
    route(group(sealed, group(clear)));
    EXPECT_EQ(leaves(), 3u);
    for (auto& s : a.sent) EXPECT_EQ(s.frame[14 + 9], 50);

    // The tunnel goes down: its backup is in clear.
    a.apply(api::SetInterface{.id = kTunnel, .vrf = kDefaultVrf, .kind = api::InterfaceKind::Tunnel, .up = false});
    EXPECT_EQ(leaves(), 0u);
    EXPECT_EQ(a.count(Verdict::DropProtectedClear), 9u);

    // GRE without protection, whose outer packet would leave in clear; and the same inside of a tunnel that encrypts.
    a.apply(api::SetInterface{
        .id = kTunnel, .vrf = kDefaultVrf, .kind = api::InterfaceKind::Tunnel, .up = true, .mtu = 1400});
    const InterfaceId plain{20};
    a.apply(api::SetInterface{
        .id = plain, .vrf = kDefaultVrf, .kind = api::InterfaceKind::Tunnel, .up = true, .mtu = 1300});
    a.apply(api::SetTunnel{.interface = plain,
                           .outer_vrf = kDefaultVrf,
                           .mode = api::TunnelMode::Gre,
                           .source = ip("192.0.2.1"),
                           .destination = ip("198.51.100.9")});
    route(group(next_hop({.id = {}, .kind = api::NexthopKind::Tunnel, .interface = plain})));
    EXPECT_EQ(leaves(), 0u);
    EXPECT_EQ(a.count(Verdict::DropProtectedClear), 12u);
    a.apply(api::SetRoute{kDefaultVrf, prefix("198.51.100.9/32"), group(sealed)});
    EXPECT_EQ(leaves(), 3u);
    for (auto& s : a.sent) EXPECT_EQ(s.frame[14 + 9], 50);

    // A route beside it that is not protected still leaves.
    a.from_lan(packet(Udp4{.from = ip4("10.1.0.2"), .to = ip4("198.51.100.7")}));
    EXPECT_EQ(a.sent.size(), 4u);
}

// ---- outer headers -------------------------------------------------------------------------------------------------

TEST_F(EspTunnel, DscpAndEcnAreCopiedOut)
{
    tunnel({});
    install();
    for (std::uint8_t ecn = 0; ecn < 4; ++ecn) {
        a.from_lan(inner4(50, static_cast<std::uint8_t>(0xb8 | ecn)));
        EXPECT_EQ(header4(outer.emplace_back(a.sent.back().packet())).tos, 0xb8 | ecn);
        a.from_lan(inner6(50, static_cast<std::uint8_t>(0x28 | ecn)));
        EXPECT_EQ(header4(outer.emplace_back(a.sent.back().packet())).tos, 0x28 | ecn);
    }
    auto p = *a.tables.protection(kProtection);
    p.copy_dscp = false;
    p.dscp = 10;
    p.ecn = api::EspEcn::Compatibility;
    a.apply(p);
    a.from_lan(inner4(50, 0xbb));
    EXPECT_EQ(header4(outer.emplace_back(a.sent.back().packet())).tos, 10 << 2);
}

// RFC 6040 4.2, figure 4. Rows: the inner field; columns: the outer one, as it arrives.
TEST_F(EspTunnel, EcnComesInByTheTable)
{
    constexpr int kDrop = -1;
    constexpr int kTable[4][4] = {
        //             Not-ECT ECT(1) ECT(0) CE
        /* Not-ECT */ {0, 0, 0, kDrop},
        /* ECT(1)  */ {1, 1, 1, 3},
        /* ECT(0)  */ {2, 1, 2, 3},
        /* CE      */ {3, 3, 3, 3},
    };
    tunnel({});
    install();
    for (std::uint8_t in = 0; in < 4; ++in) {
        for (std::uint8_t out = 0; out < 4; ++out) {
            for (const bool v6 : {false, true}) {
                a.from_lan(v6 ? inner6(50, in) : inner4(50, in));
                auto p = a.sent.back().packet();
                a.sent.clear();
                header4(p).tos = out;
                header4(p).compute_checksum();
                to_b(p);
                relay();
                ASSERT_EQ(out_b.size(), kTable[in][out] == kDrop ? 0u : 1u);
                if (out_b.empty()) continue;
                auto got = out_b[0].packet();
                out_b.clear();
                if (!v6) {
                    EXPECT_TRUE(checksum4_intact(got));
                }
                EXPECT_EQ((v6 ? header6(got).traffic_class() : header4(got).tos) & 3, kTable[in][out]);
            }
        }
    }
    EXPECT_EQ(b.count(Verdict::DropEcn), 2u);
}

TEST_F(EspTunnel, DfByPolicy)
{
    const auto df_of = [&](bool inner_df) {
        auto in = inner4(200);
        header4(in).fragment = inner_df ? wire::Ipv4Header::kDontFragment : 0;
        header4(in).compute_checksum();
        a.sent.clear();
        a.from_lan(in);
        auto p = a.sent.at(0).packet();
        return header4(p).dont_fragment();
    };
    tunnel({});
    install();
    EXPECT_TRUE(df_of(true));
    EXPECT_FALSE(df_of(false));
    auto p = *a.tables.protection(kProtection);
    p.df = api::EspDf::Set;
    a.apply(p);
    EXPECT_TRUE(df_of(false));
    p.df = api::EspDf::Clear;
    a.apply(p);
    EXPECT_FALSE(df_of(true));
    p.df = api::EspDf::Set;
    p.fragmentation = api::EspFragmentation::After;
    a.apply(p);
    EXPECT_FALSE(df_of(true));
}

TEST_F(EspTunnel, FragmentsBeforeOrAfterEncryption)
{
    for (const bool after : {false, true}) {
        tunnel(
            {},
            [&](api::SetProtection& p) {
                p.fragmentation = after ? api::EspFragmentation::After : api::EspFragmentation::Before;
            },
            after ? 4000 : 1000);
        if (!after) install();
        for (Router* r : {&a, &b}) {
            auto w = r->wan();
            w.mtu = 1100;
            r->set_wan(w);
        }
        out_b.clear();
        outer.clear();
        a.from_lan(inner4(1300));
        relay();
        if (after) {
            ASSERT_EQ(out_b.size(), 1u);
            EXPECT_EQ(out_b[0].packet(), forwarded(inner4(1300)));
            EXPECT_EQ(outer.size(), 2u);
        } else {
            EXPECT_EQ(out_b.size(), 2u);  // the fragments go on as they are
            EXPECT_EQ(outer.size(), 2u);
        }
        for (const auto& p : outer) EXPECT_LE(p.size(), 1100u);
    }
}

// ---- UDP encapsulation ---------------------------------------------------------------------------------------------

TEST_F(EspTunnel, FollowsAPeerBehindANatThatChanges)
{
    for (const auto mode : {EspMode::Tunnel, EspMode::Transport}) {
        const std::uint32_t child = mode == EspMode::Tunnel ? 1 : 2;
        tunnel({.gre = mode == EspMode::Transport, .mode = mode, .udp = true});
        install(child);
        a.from_lan(inner4());
        auto p = a.sent.back().packet();
        a.sent.clear();
        header4(p).source = ip4("192.0.2.77").value;  // of the NAT
        p[20] = 0x77;
        header4(p).compute_checksum();
        to_b(p);
        ASSERT_EQ(b.sent.size(), 1u);
        EXPECT_EQ(b.sent[0].packet(), forwarded(inner4()));
        b.sent.clear();
        const auto moved = b.events_of<api::SaPeerMoved>();
        ASSERT_EQ(moved.size(), 1u);
        EXPECT_EQ(moved[0].remote, (Endpoint{ip("192.0.2.77"), 0x7794}));
        b.route_via("192.0.2.77/32", b.adjacency(kWanIf, "192.0.2.77", kWanMac));
        b.from_lan(packet(Udp4{.from = ip4("10.2.0.5"), .to = ip4("10.1.0.2")}));
        ASSERT_EQ(b.sent.size(), 1u);
        auto back = b.sent[0].packet();
        b.sent.clear();
        EXPECT_EQ(+header4(back).destination, ip4("192.0.2.77").value);
        EXPECT_EQ(back[22] << 8 | back[23], 0x7794);
        EXPECT_TRUE(checksum4_intact(back));
        // The NAT sends it on to A.
        header4(back).destination = ip4("192.0.2.1").value;
        back[22] = 4500 >> 8;
        back[23] = 4500 & 0xff;
        header4(back).compute_checksum();
        a.from_wan(back);
        ASSERT_EQ(a.sent.size(), 1u);
        EXPECT_EQ(a.sent[0].port, kLan);
        a.sent.clear();
    }
}

TEST_F(EspTunnel, KeepalivesBothWays)
{
    tunnel({.udp = true});
    auto out = sa(false, SaDirection::Outbound);
    out.keepalive = 20;
    a.command(out);
    a.advance(19s);
    EXPECT_TRUE(a.sent.empty());
    a.advance(1s);
    ASSERT_EQ(a.sent.size(), 1u);
    auto p = a.sent[0].packet();
    EXPECT_EQ(p.size(), 29u);
    EXPECT_EQ(p[28], 0xff);
    EXPECT_TRUE(checksum4_intact(p));
    relay();
    EXPECT_EQ(b.count(Verdict::NatKeepalive), 1u);
}

TEST_F(EspTunnel, IkeOnTheSamePortGoesToTheHost)
{
    tunnel({.udp = true});
    const auto ike = packet(
        Udp4{.from = ip4("192.0.2.1"), .to = ip4("192.0.2.2"), .from_port = 4500, .to_port = 4500, .payload = 40});
    auto with_marker = ike;
    std::fill_n(with_marker.begin() + 28, 4, std::uint8_t{0});
    to_b(with_marker);
    EXPECT_EQ(b.host.size(), 1u);
    auto esp = ike;
    esp[28] = 1;
    to_b(esp);
    EXPECT_EQ(b.host.size(), 1u);
    EXPECT_EQ(b.count(Verdict::DropEspSpi), 1u);
}

TEST_F(EspTunnel, WithoutAnyProtectionEspIsTheHosts)
{
    auto p = packet(Udp4{.from = ip4("192.0.2.2"), .to = ip4("192.0.2.1"), .to_port = 4500, .payload = 40});
    a.from_wan(p);
    header4(p).protocol = 50;
    header4(p).compute_checksum();
    a.from_wan(p);
    EXPECT_EQ(a.host.size(), 2u);
}

// ---- rollover ------------------------------------------------------------------------------------------------------

TEST_F(EspTunnel, RollsOverUnderTrafficWithoutLoss)
{
    tunnel({});
    install(1);
    std::size_t sent = 0;
    std::vector<Octets> late;
    const auto both = [&] {
        a.from_lan(inner4(60 + sent % 40));
        b.from_lan(packet(Udp4{.from = ip4("10.2.0.5"), .to = ip4("10.1.0.2")}));
        ++sent;
    };
    for (std::uint32_t child = 2; child < 30; ++child) {
        // A is the initiator: its new SA sends at once; B's when it is proven.
        auto waiting = sa(true, SaDirection::Outbound, child);
        waiting.activation = api::SaActivation::WhenProven;
        b.command(sa(true, SaDirection::Inbound, child));
        b.command(waiting);
        both();
        a.command(sa(false, SaDirection::Inbound, child));
        both();
        a.command(sa(false, SaDirection::Outbound, child));
        both();
        relay();
        for (const auto direction : {SaDirection::Inbound, SaDirection::Outbound})
            for (Router* r : {&a, &b}) r->command(api::DeleteSa{kProtection, 1, child - 1, direction});
        both();
        relay();
    }
    EXPECT_EQ(out_a.size(), sent);
    EXPECT_EQ(out_b.size(), sent);
    EXPECT_EQ(a.sas.sas(), 2u);
}

}  // namespace

}  // namespace culvert::dataplane::test
