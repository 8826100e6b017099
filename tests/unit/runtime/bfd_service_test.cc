#include "controlplane/runtime/bfd_service.h"

#include "config/parse.h"
#include "dataplane/api/link_scope.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <vector>

namespace culvert::runtime {
namespace {

// A dataplane that takes everything and does nothing: what it was told is in its queues.
class FakeDataplane final : public api::Dataplane {
public:
    Result<api::PortInfo, api::PortError> open_port(const api::PortSpec&) override
    {
        api::PortInfo info;
        info.id = PortId{next_port_++};
        info.link_up = true;
        return info;
    }
    Result<void, api::PortError> check_port(const api::PortSpec&) const override { return {}; }
    void close_port(PortId) override {}
    Result<void, api::PortError> set_port_mtu(PortId, std::uint16_t) override { return {}; }
    std::vector<api::PortInfo> ports() const override { return {}; }
    void attach_host_link(VrfId, int) override {}
    void detach_host_link(VrfId) override {}
    api::FibChannel& fib() override { return *fib_; }
    std::size_t workers() const override { return 2; }
    api::WorkerLink& link(WorkerId worker) override { return *links_.at(index(worker)); }
    WorkerId owner(PeerId) const override { return WorkerId{0}; }
    const api::PeerActivity& activity(PeerId) const override { return peer_; }
    WorkerId bfd_owner(PeerId peer, ProtectionId) const override { return WorkerId{peer != kNoPeer}; }
    const api::BfdActivity& activity(BfdSessionId) const override { return bfd_; }
    WorkerId owner(InterfaceId) const override { return WorkerId{0}; }
    const api::TunnelActivity& activity(InterfaceId) const override { return tunnel_; }
    WorkerId owner(ProtectionId) const override { return WorkerId{0}; }
    const api::ProtectionActivity& activity(ProtectionId) const override { return protection_; }
    std::array<std::uint64_t, api::kVerdictCount> verdicts() const override { return {}; }
    api::InterfaceCounters interface_counters(InterfaceId) const override { return {}; }
    api::PortCounters port_counters(PortId) const override { return {}; }
    std::vector<api::WorkerRuntime> runtime() const override { return {}; }
    std::vector<api::MemoryUse> memory() const override { return {}; }
    std::optional<api::FibAnswer> lookup(VrfId, const IpAddress&) const override { return std::nullopt; }
    api::DownView down(api::DownKind, std::uint32_t) const override { return {}; }

    // The fib-writer takes and acks all there is.
    void write()
    {
        api::FibUpdate update;
        while (fib_->pop(update))
            if (const auto* commit = std::get_if<api::Commit>(&update)) fib_->ack(commit->generation);
    }
    template <class Command>
    std::vector<Command> commands(WorkerId worker)
    {
        std::vector<Command> out;
        api::WorkerCommand command;
        while (link(worker).commands.pop(command))
            if (const auto* c = std::get_if<Command>(&command)) out.push_back(*c);
        return out;
    }
    api::BfdActivity bfd_;

private:
    std::unique_ptr<api::FibChannel> fib_ = std::make_unique<api::FibChannel>();
    std::array<std::unique_ptr<api::WorkerLink>, 2> links_{std::make_unique<api::WorkerLink>(),
                                                           std::make_unique<api::WorkerLink>()};
    api::PeerActivity peer_;
    api::TunnelActivity tunnel_;
    api::ProtectionActivity protection_;
    std::uint16_t next_port_ = 1;
};

constexpr std::string_view kInterfaces =
    "interface e0\n port vdev a\n ip address 10.0.0.1/24\n bfd interval 70 min_rx 80 multiplier 4\n"
    "interface e1\n port vdev b\n ip address 10.0.1.1/30\n";

class Service : public ::testing::Test {
protected:
    void SetUp() override
    {
        auto vrf = Vrfs::prepare({});
        if (!vrf) GTEST_SKIP() << "needs the right to make network namespaces: " << vrf.error().message;
        vrfs.add(std::move(*vrf));
        bfd.bgp_wishes = [this] { return wishes; };
        bfd.bgp_changed = [this](VrfId, const IpAddress& peer, InterfaceId, const BfdStatus& before,
                                 const BfdStatus& now) {
            told.push_back(peer.to_string() + " " + std::to_string(static_cast<int>(before.state)) + "-" +
                           std::to_string(static_cast<int>(now.state)));
        };
        bfd.statics_changed = [this] { ++statics; };
    }

    void load(std::string_view text)
    {
        const auto parsed = config::parse(text, "f");
        for (const auto& d : parsed.diagnostics) ADD_FAILURE() << d.to_string();
        model = parsed.model;
        for (const auto& [name, interface] : model.interfaces) {
            ASSERT_TRUE(interfaces.prepare_port(interface));
            interfaces.set(interface);
        }
        bfd.configure(model);
        settle();
    }
    void settle()
    {
        for (int i = 0; i < 3; ++i) {
            core.tables.settle();
            bfd.run();
            core.programmer.run();
            core.sink.commit();
            dataplane.write();
            core.programmer.on_acked();
            bfd.on_acked(dataplane.fib().acked());
        }
    }
    // What the workers were told since the last time, of sessions with `peer`.
    std::vector<api::SetBfdSession> set(std::string_view peer)
    {
        std::vector<api::SetBfdSession> out;
        for (const auto worker : {WorkerId{0}, WorkerId{1}})
            for (const auto& s : dataplane.commands<api::SetBfdSession>(worker))
                if (s.peer == IpAddress::parse(peer).value()) out.push_back(s);
        return out;
    }
    void state(BfdSessionId id, api::BfdState state, api::BfdState remote = api::BfdState::Up)
    {
        api::BfdChanged change;
        change.id = id;
        change.state = state;
        change.remote_state = remote;
        bfd.on_changed(change);
    }
    static BgpBfdWish wish(std::string_view peer, config::BgpBfd of = {})
    {
        BgpBfdWish out;
        out.peer = IpAddress::parse(peer).value();
        out.bfd = std::move(of);
        return out;
    }

    FakeDataplane dataplane;
    Loop loop;
    Core core{loop, dataplane};
    Vrfs vrfs{core};
    InterfaceTable interfaces{core, vrfs};
    WorkerLinks workers{core};
    FailoverService failover{core, interfaces};
    BfdService bfd{core, interfaces, vrfs, workers, failover};
    config::Model model;
    std::vector<BgpBfdWish> wishes;
    std::vector<std::string> told;
    int statics = 0;
};

TEST_F(Service, APeerTakesItsOwnThenItsProfilesThenItsInterfacesSettings)
{
    load(std::string{kInterfaces} +
         "bfd\n profile p\n  receive-interval 50\n  transmit-interval 60\n  echo-mode\n"
         " peer 10.0.0.2\n  profile p\n  receive-interval 20\n");
    const auto told_now = set("10.0.0.2");
    ASSERT_EQ(told_now.size(), 1U);
    const auto& s = told_now.front();
    EXPECT_EQ(s.required_min_rx, 20000U) << "its own";
    EXPECT_EQ(s.desired_min_tx, 60000U) << "the profile's";
    EXPECT_EQ(s.multiplier, 4) << "the interface's";
    EXPECT_TRUE(s.echo);
    EXPECT_EQ(s.required_min_echo_rx, 50000U) << "the default";
    EXPECT_EQ(s.local, IpAddress::parse("10.0.0.1").value());
    EXPECT_EQ(s.interface, interfaces.find("e0")->id);
    EXPECT_NE(s.nexthop, kNoNexthop);
    EXPECT_EQ(core.programmer.nexthop(s.nexthop)->gateway, s.peer);
}

TEST_F(Service, AllWhoWantTheSamePeerShareASession)
{
    config::BgpBfd of;
    of.timers = {.multiplier = 5, .receive = config::Milliseconds{30}, .transmit = config::Milliseconds{40}};
    wishes = {wish("10.0.0.2", of)};
    load(std::string{kInterfaces} +
         "ip route 10.9.0.0/16 10.0.0.2 bfd\nbfd\n peer 10.0.0.2\n  transmit-interval 10\n"
         " peer 10.0.0.2 interface e0\n");
    const auto told_now = set("10.0.0.2");
    ASSERT_EQ(told_now.size(), 1U);
    EXPECT_EQ(told_now.front().desired_min_tx, 10000U) << "what the `peer` says goes before BGP's";
    EXPECT_EQ(told_now.front().required_min_rx, 30000U);
    EXPECT_EQ(told_now.front().multiplier, 5);
    EXPECT_EQ(bfd.view().size(), 1U);

    // BGP's and the route's wishes go, the peer's stays: the session does too.
    wishes.clear();
    model.vrfs.at("").routes.clear();
    bfd.configure(model);
    settle();
    EXPECT_EQ(bfd.view().size(), 1U);
    EXPECT_TRUE(dataplane.commands<api::DeleteBfdSession>(WorkerId{0}).empty());
    model.bfd_peers.clear();
    bfd.configure(model);
    settle();
    EXPECT_TRUE(bfd.view().empty());
    EXPECT_EQ(dataplane.commands<api::DeleteBfdSession>(WorkerId{0}).size(), 1U);
}

TEST_F(Service, AnInterfaceOfTwoAddressesHasASessionOfItsOwn)
{
    load(std::string{kInterfaces} + " bfd interval microseconds 3300 min_rx 3300 multiplier 3\n bfd echo\n");
    const auto told_now = set("10.0.1.2");
    ASSERT_EQ(told_now.size(), 1U);
    EXPECT_EQ(told_now.front().desired_min_tx, 3300U);
    EXPECT_TRUE(told_now.front().echo);
    EXPECT_EQ(bfd.view().size(), 1U) << "a /24 has many others";
}

TEST_F(Service, MultihopHasNoEchoAndAFloorForTheTtl)
{
    auto far = wish("172.16.0.9");
    far.local = IpAddress::parse("10.0.0.1");
    far.hops = 5;
    wishes = {far};
    load(std::string{kInterfaces} + "bfd\n peer 172.16.0.2 multihop local-address 10.0.0.1\n  minimum-ttl 200\n");
    ASSERT_EQ(bfd.view().size(), 2U);
    const auto find = [&](std::string_view peer) {
        const auto all = bfd.view();
        return std::ranges::find(all, IpAddress::parse(peer).value(),
                                 [](const auto& v) { return v.session->word.peer; })
            ->session->word;
    };
    EXPECT_EQ(find("172.16.0.9").minimum_ttl, 250);
    EXPECT_EQ(find("172.16.0.2").minimum_ttl, 200);
    EXPECT_EQ(find("172.16.0.2").required_min_echo_rx, 0U);
    EXPECT_EQ(find("172.16.0.2").interface, kNoInterface);
}

TEST_F(Service, ALinkLocalPeerIsInTheVrfOfItsLink)
{
    load("interface e0\n port vdev a\n ipv6 address fe80::1/64\nbfd\n peer fe80::2 interface e0\n");
    const auto told_now = set("fe80::2");
    ASSERT_EQ(told_now.size(), 1U);
    EXPECT_EQ(told_now.front().vrf, api::link_vrf(interfaces.find("e0")->id));
    EXPECT_EQ(told_now.front().local, IpAddress::parse("fe80::1").value());
    EXPECT_EQ(bfd.view().front().vrf, "default");
}

TEST_F(Service, SaysWhyAPeerHasNoSession)
{
    load(std::string{kInterfaces} + "bfd\n peer 192.0.2.1\n");
    EXPECT_TRUE(bfd.view().empty());
    ASSERT_EQ(bfd.unresolved().size(), 1U);
    EXPECT_STREQ(bfd.unresolved().front().reason, "it is on no link of ours");
}

TEST_F(Service, KeysComeFromTheChainAndTheFirstThatMayBeSentWithIs)
{
    load(std::string{kInterfaces} +
         "key chain K\n key 1\n  key-string old\n  accept-only\n exit\n key 2\n  key-string new\n exit\n"
         "bfd\n peer 10.0.0.2\n  authentication sha-1 keychain K\n");
    const auto told_now = set("10.0.0.2");
    ASSERT_EQ(told_now.size(), 1U);
    const auto& s = told_now.front();
    ASSERT_EQ(s.key_count, 2);
    EXPECT_EQ(s.keys[s.sending_key].id, 2);
    EXPECT_EQ(s.keys[0].type, api::BfdAuthentication::KeyedSha1);
    EXPECT_EQ(s.keys[0].length, 3);
    // Another key, the same session.
    model.key_chains.at("K").keys.at(1).accept_only = false;
    bfd.configure(model);
    settle();
    const auto then = set("10.0.0.2");
    ASSERT_EQ(then.size(), 1U);
    EXPECT_EQ(then.front().id, s.id);
    EXPECT_EQ(then.front().keys[then.front().sending_key].id, 1);
}

TEST_F(Service, WithoutItsKeysASessionStaysDown)
{
    load(
        std::string{kInterfaces} +
        "key chain K\n key 1\n  key-file /no/such/file\n exit\nbfd\n peer 10.0.0.2\n  authentication md5 keychain K\n");
    const auto told_now = set("10.0.0.2");
    ASSERT_EQ(told_now.size(), 1U);
    EXPECT_TRUE(told_now.front().admin_down);
    EXPECT_EQ(told_now.front().key_count, 0);
    std::vector<config::Diagnostic> problems;
    BfdService::check_keys(model, problems, [](const auto&, const auto&) { return 5U; });
    ASSERT_EQ(problems.size(), 1U);
    EXPECT_NE(problems.front().message.find("/no/such/file"), std::string::npos);
}

TEST_F(Service, BgpIsToldOfItsSessionAndOfNoOther)
{
    wishes = {wish("10.0.0.2")};
    load(std::string{kInterfaces} + "bfd\n peer 10.0.0.3\n");
    EXPECT_EQ(told, std::vector<std::string>{"10.0.0.2 1-1"}) << "that it has one";
    told.clear();
    const auto mine = bfd.bgp_session(kDefaultVrf, IpAddress::parse("10.0.0.2").value(), kNoInterface);
    ASSERT_NE(mine, nullptr);
    state(mine->id, api::BfdState::Up);
    state(mine->id, api::BfdState::Up);
    EXPECT_EQ(told, std::vector<std::string>{"10.0.0.2 1-3"});
    told.clear();
    for (const auto& v : bfd.view())
        if (v.session->id != mine->id) state(v.session->id, api::BfdState::Up);
    EXPECT_TRUE(told.empty());
}

TEST_F(Service, AStaticRouteIsThereWhileItsSessionIsUp)
{
    load(std::string{kInterfaces} + "ip route 10.9.0.0/16 10.0.0.2 bfd\n");
    const auto& route = model.vrfs.at("").routes.front();
    EXPECT_TRUE(bfd.keeps_down(route, kDefaultVrf)) << "not up yet";
    const auto id = bfd.view().front().session->id;
    statics = 0;
    state(id, api::BfdState::Up);
    EXPECT_EQ(statics, 1);
    EXPECT_FALSE(bfd.keeps_down(route, kDefaultVrf));
    state(id, api::BfdState::Down, api::BfdState::AdminDown);
    EXPECT_FALSE(bfd.keeps_down(route, kDefaultVrf)) << "RFC 5882 3.2: the other end took BFD out of use";
    state(id, api::BfdState::Down, api::BfdState::Down);
    EXPECT_TRUE(bfd.keeps_down(route, kDefaultVrf));
}

TEST_F(Service, CountsFromZeroWhenCleared)
{
    load(std::string{kInterfaces} + "bfd\n peer 10.0.0.2\n");
    const auto view = bfd.view().front();
    state(view.session->id, api::BfdState::Up);
    EXPECT_EQ(bfd.notifications(view), 1U);
    bfd.clear_counts(view.session->id);
    EXPECT_EQ(bfd.notifications(view), 0U);
    const auto cleared = dataplane.commands<api::ClearBfdActivity>(view.session->owner);
    ASSERT_EQ(cleared.size(), 1U);
    EXPECT_EQ(cleared[0].id, view.session->id);
}

}  // namespace
}  // namespace culvert::runtime
