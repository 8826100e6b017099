// The live object: threads, a real DPDK port, the FIB channel, hand-over between workers.

#include "dataplane/dataplane.h"

#include "dataplane/io/clock.h"
#include "dataplane/io/receive_stamps.h"
#include "tests/unit/node/router.h"

#include <gtest/gtest.h>

#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <thread>

namespace culvert::dataplane::test {

namespace {

constexpr auto kPatience = 10s;  // of a loaded machine; nothing waits that long when all is well

// Waits for another thread's work.
bool eventually(const std::function<bool()>& condition)
{
    const auto end = std::chrono::steady_clock::now() + kPatience;
    while (!condition()) {
        if (std::chrono::steady_clock::now() > end) return false;
        std::this_thread::sleep_for(1ms);
    }
    return true;
}

// A capture file with these frames.
void write_pcap(const std::string& path, const std::vector<Octets>& frames)
{
    std::ofstream out{path, std::ios::binary};
    const auto put = [&](std::uint32_t v) { out.write(reinterpret_cast<const char*>(&v), 4); };
    put(0xa1b2c3d4);
    put(4u << 16 | 2);
    put(0);
    put(0);
    put(65535);
    put(1);
    for (const auto& f : frames) {
        put(0);
        put(0);
        put(static_cast<std::uint32_t>(f.size()));
        put(static_cast<std::uint32_t>(f.size()));
        out.write(reinterpret_cast<const char*>(f.data()), static_cast<std::streamsize>(f.size()));
    }
}

std::vector<Octets> read_pcap(const std::string& path)
{
    std::ifstream in{path, std::ios::binary};
    std::vector<Octets> out;
    in.seekg(24);
    std::uint32_t header[4];
    while (in.read(reinterpret_cast<char*>(header), sizeof header)) {
        Octets f(header[2]);
        if (!in.read(reinterpret_cast<char*>(f.data()), header[2])) break;
        out.push_back(std::move(f));
    }
    return out;
}

class Live : public ::testing::Test {
protected:
    Live()
    {
        pool();  // EAL
        folder_ = std::filesystem::temp_directory_path() / ("culvert-node-" + std::to_string(getpid()));
        std::filesystem::create_directories(folder_);
    }
    ~Live() override { std::filesystem::remove_all(folder_); }

    std::unique_ptr<api::Dataplane> make(std::size_t workers)
    {
        auto made = make_dataplane(
            {.workers = workers, .memory_octets = std::size_t{24} << 20, .max_peers = 16, .eal_runs = true});
        EXPECT_TRUE(made.has_value());
        return std::move(*made);
    }
    std::string file(const std::string& name) const { return folder_ / name; }

    // A port that receives `frames` over and over, and writes what is sent to out.pcap.
    api::PortInfo open(api::Dataplane& d, const std::vector<Octets>& frames)
    {
        write_pcap(file("in.pcap"), frames);
        static int number = 0;
        const auto device = "net_pcap" + std::to_string(number++) + ",rx_pcap=" + file("in.pcap") +
                            ",tx_pcap=" + file("out.pcap") + ",infinite_rx=1";
        auto port = d.open_port({.kind = api::PortKind::Vdev, .device = device});
        EXPECT_TRUE(port.has_value()) << (port ? "" : port.error().message);
        return *port;
    }
    static void commit(api::Dataplane& d)
    {
        const auto generation = d.fib().commit();
        EXPECT_TRUE(eventually([&] {
            d.fib().flush();
            return d.fib().acked() >= generation;
        })) << "acked once every worker has passed a quiescent state, sleeping ones too";
    }
    static void route(api::Dataplane& d, std::uint32_t id, std::string_view to, api::SetNexthop nexthop)
    {
        nexthop.id = NexthopId{id};
        d.fib().push(nexthop);
        d.fib().push(api::SetGroup{.id = GroupId{id}, .member_count = 1});
        d.fib().push(api::SetGroupMember{.group = GroupId{id}, .position = 0, .weight = 1, .nexthop = nexthop.id});
        d.fib().push(api::SetRoute{kDefaultVrf, prefix(to), GroupId{id}});
    }
    static void one_interface(api::Dataplane& d, PortId port)
    {
        d.fib().push(api::SetVrf{kDefaultVrf});
        d.fib().push(api::SetInterface{.id = kLanIf,
                                       .vrf = kDefaultVrf,
                                       .kind = api::InterfaceKind::Port,
                                       .up = true,
                                       .port = port,
                                       .mac = kLanMac,
                                       .address4 = ip4("10.1.0.1")});
        route(d, 1, "198.51.100.0/24",
              {.id = {},
               .kind = api::NexthopKind::Adjacency,
               .resolved = true,
               .interface = kLanIf,
               .gateway = ip("10.1.0.9"),
               .mac = kPeerMac});
        commit(d);
    }
    static std::uint64_t count(api::Dataplane& d, Verdict v) { return d.verdicts()[static_cast<std::size_t>(v)]; }
    static std::string dump(api::Dataplane& d)
    {
        std::string out;
        const auto all = d.verdicts();
        for (std::size_t i = 0; i < all.size(); ++i)
            if (all[i] != 0)
                out += std::string{api::text(static_cast<Verdict>(i)).name} + " " + std::to_string(all[i]) + "\n";
        return out;
    }

private:
    std::filesystem::path folder_;
};

TEST_F(Live, ForwardsWhilePortsComeAndGo)
{
    const auto d = make(1);
    const auto in = packet(Udp4{.from = ip4("10.1.0.2"), .to = ip4("198.51.100.9")});
    const auto port = open(*d, {frame(kLanMac, kHostMac, in)});
    EXPECT_TRUE(eventually([&] { return count(*d, Verdict::DropInterfaceDown) > 0; })) << "no interface has it yet";
    one_interface(*d, port.id);
    EXPECT_TRUE(eventually([&] { return count(*d, Verdict::Sent) >= 100; }));
    EXPECT_GE(d->interface_counters(kLanIf).tx_packets, 100u);
    EXPECT_EQ(d->ports().size(), 1u);
    const auto answer = d->lookup(kDefaultVrf, ip("198.51.100.7"));
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->group, GroupId{1});

    d->close_port(port.id);
    const auto sent = count(*d, Verdict::Sent);
    EXPECT_EQ(d->ports().size(), 0u);
    const auto out = read_pcap(file("out.pcap"));
    ASSERT_GE(out.size(), 100u);
    auto expected = in;
    header4(expected).ttl = 63;
    header4(expected).compute_checksum();
    EXPECT_EQ(out[0], frame(kPeerMac, kLanMac, expected));
    EXPECT_EQ(count(*d, Verdict::Sent), sent) << "nothing is sent by a port that is closed";
    for (const auto& use : d->memory())
        if (use.arena.find("packets") != std::string::npos || use.arena.find("mbuf") != std::string::npos) {
            EXPECT_EQ(use.used, 0u) << use.arena;
        }

    const auto runtime = d->runtime();
    ASSERT_EQ(runtime.size(), 1u);
    EXPECT_GE(runtime[0].packets, sent);
    // With nothing to poll the worker sleeps, and an injected frame wakes it.
    EXPECT_TRUE(eventually([&] {
        const auto polls = d->runtime()[0].polls;
        std::this_thread::sleep_for(20ms);
        return d->runtime()[0].polls == polls;
    }));
    auto& link = d->link(WorkerId{0});
    link.injects.push(
        api::Inject{.kind = api::InjectKind::Frame, .vrf = kDefaultVrf, .interface = kLanIf, .length = 60});
    link.worker_wake.signal();
    EXPECT_TRUE(eventually([&] { return count(*d, Verdict::DropTxFull) == 1; })) << "its port is gone";
}

TEST_F(Live, TunnelsOfAnotherWorkerAreHandedOver)
{
    const auto d = make(2);
    ASSERT_EQ(d->workers(), 2u);
    const PeerId peer{3};
    EXPECT_EQ(d->owner(peer), WorkerId{1});
    const auto port =
        open(*d, {frame(kLanMac, kHostMac, packet(Udp4{.from = ip4("10.1.0.2"), .to = ip4("10.2.0.5")}))});
    d->fib().push(api::SetInterface{
        .id = kWg, .vrf = kDefaultVrf, .kind = api::InterfaceKind::Wireguard, .up = true, .mtu = 1420});
    d->fib().push(api::SetWireguard{.interface = kWg, .outer_vrf = kDefaultVrf, .listen_port = 51820});
    d->fib().push(api::SetPeer{.id = peer, .interface = kWg});
    d->fib().push(api::SetAllowedIp{kWg, prefix("10.2.0.0/16"), peer});
    route(*d, 2, "10.2.0.0/16", {.id = {}, .kind = api::NexthopKind::WireguardLookup, .interface = kWg});
    one_interface(*d, port.id);

    auto& link = d->link(WorkerId{1});
    link.commands.push(api::MovePeer{peer, {ip("198.51.100.9"), 51820}});
    link.worker_wake.signal();
    EXPECT_TRUE(eventually([&] { return count(*d, Verdict::HoldHandshake) > 0; })) << dump(*d);
    api::InstallKeys keys{.peer = peer,
                          .sequence = 7,
                          .local_index = 100,
                          .remote_index = 200,
                          .initiator = true,
                          .created = io::monotonic_now()};
    keys.sending.fill(1);
    keys.receiving.fill(2);
    link.commands.push(keys);
    link.worker_wake.signal();
    bool installed = false;
    EXPECT_TRUE(eventually([&] {
        link.events.consume_all([&](const api::WorkerEvent& e) {
            const auto* k = std::get_if<api::KeysInstalled>(&e);
            installed |= k != nullptr && k->sequence == 7;
        });
        return installed;
    }));
    // Received and sent by worker 0, whose port has one queue; sealed by worker 1.
    EXPECT_TRUE(eventually([&] { return count(*d, Verdict::Sent) >= 200; }));
    EXPECT_GE(count(*d, Verdict::HandedOver), 400u);
    d->close_port(port.id);
    const auto out = read_pcap(file("out.pcap"));
    ASSERT_GE(out.size(), 200u);
    std::uint64_t last = 0;
    for (std::size_t i = 0; i < out.size(); ++i) {
        std::uint64_t counter;
        std::memcpy(&counter, out[i].data() + 14 + 28 + 8, 8);
        if (i != 0) {
            EXPECT_GT(counter, last) << "the tunnel's order is kept";
        }
        last = counter;
    }
    EXPECT_GE(d->activity(peer).sent_packets.load(), 200u);
}

// A peer that always says Init: the session comes up and stays, until its interface is taken away.
TEST_F(Live, ABfdSessionLivesInTheWorkerAndIsToldOf)
{
    const auto d = make(2);
    api::SetBfdSession s{};
    s.id = BfdSessionId{9};
    s.discriminator = 77;
    s.interface = kLanIf;
    s.nexthop = NexthopId{1};
    s.local = ip("10.1.0.1");
    s.peer = ip("10.1.0.9");
    s.desired_min_tx = s.required_min_rx = 20'000;
    bfd::ControlPacket init;
    init.state = api::BfdState::Init;
    init.multiplier = 3;
    init.my_discriminator = 5;
    init.your_discriminator = 77;
    init.desired_min_tx = init.required_min_rx = 20'000;
    std::array<std::uint8_t, bfd::kMaxPacket> bytes{};
    bfd::encode(init, bfd::kMandatory, bytes);
    auto p = packet(Udp4{.from = ip("10.1.0.9").v4(),
                         .to = ip("10.1.0.1").v4(),
                         .to_port = bfd::kControlPort,
                         .payload = bfd::kMandatory,
                         .ttl = 255});
    std::memcpy(p.data() + 28, bytes.data(), bfd::kMandatory);
    reinterpret_cast<wire::UdpHeader*>(p.data() + 20)->checksum = {};  // IPv4 may do without
    const auto port = open(*d, {frame(kLanMac, kPeerMac, p)});
    d->fib().push(api::SetDownWord{s.id});
    one_interface(*d, port.id);
    route(*d, 2, "10.1.0.1/32", {.id = {}, .kind = api::NexthopKind::Local});
    commit(*d);

    const auto owner = d->bfd_owner(kNoPeer, kNoProtection);
    EXPECT_EQ(owner, WorkerId{0});
    auto& link = d->link(owner);
    link.commands.push(s);
    link.worker_wake.signal();
    api::BfdChanged last{};
    std::optional<api::WentDown> down;
    const auto listen = [&] {
        link.events.consume_all([&](const api::WorkerEvent& e) {
            if (const auto* c = std::get_if<api::BfdChanged>(&e)) last = *c;
            if (const auto* w = std::get_if<api::WentDown>(&e)) down = *w;
        });
    };
    EXPECT_TRUE(eventually([&] { return listen(), last.state == api::BfdState::Up; })) << dump(*d);
    const auto& a = d->activity(s.id);
    EXPECT_TRUE(eventually([&] { return a.control_sent.load() > 5 && a.control_received.load() > 100; }));
    EXPECT_EQ(a.timestamp_source.load(), static_cast<std::uint8_t>(api::TimestampSource::Tsc))
        << "the capture's stamps stand still: they are no clock";
    EXPECT_FALSE(down);

    d->fib().push(api::SetInterface{.id = kLanIf,
                                    .vrf = kDefaultVrf,
                                    .kind = api::InterfaceKind::Port,
                                    .up = false,
                                    .port = port.id,
                                    .mac = kLanMac,
                                    .address4 = ip4("10.1.0.1")});
    commit(*d);
    EXPECT_TRUE(eventually([&] { return listen(), down.has_value(); })) << dump(*d);
    EXPECT_EQ(down->kind, api::DownKind::Session);
    EXPECT_EQ(down->id, 9U);
    EXPECT_GE(down->at - down->since, 60ms);
    EXPECT_TRUE(eventually([&] { return listen(), last.state == api::BfdState::Down; }));

    link.commands.push(api::DeleteBfdSession{s.id, 1});
    link.worker_wake.signal();
    EXPECT_TRUE(eventually([&] { return listen(), last.deleted; }));
    d->close_port(port.id);
}

// net_pcap stamps what it reads, in microseconds.
TEST_F(Live, FramesHaveTheTimeStampOfTheirDevice)
{
    std::ofstream out{file("stamped.pcap"), std::ios::binary};
    const auto put = [&](std::uint32_t v) { out.write(reinterpret_cast<const char*>(&v), 4); };
    for (const std::uint32_t v : {0xa1b2c3d4U, 4U << 16 | 2U, 0U, 0U, 65535U, 1U}) put(v);
    constexpr std::uint32_t kFrames = 2000;
    for (std::uint32_t i = 0; i < kFrames; ++i) {
        for (const std::uint32_t v : {1'700'000'000 + i / 1000, i % 1000 * 1000, 60U, 60U}) put(v);
        const Octets f(60);
        out.write(reinterpret_cast<const char*>(f.data()), 60);
    }
    out.close();
    auto opened = io::open_port({.kind = api::PortKind::Vdev,
                                 .device = "net_pcap90,rx_pcap=" + file("stamped.pcap") + ",tx_pcap=" + file("o.pcap")},
                                {.pool = pool().get()});
    ASSERT_TRUE(opened.has_value());
    auto& port = **opened;
    io::ReceiveStamps stamps{port};
    const TimePoint begin{1h};
    for (std::uint32_t i = 0; i < kFrames; ++i) {
        rte_mbuf* m = nullptr;
        ASSERT_EQ(port.rx_burst(0, &m, 1), 1U) << i;
        const auto ticks = io::StampField{}.get(*m);
        ASSERT_TRUE(ticks);
        EXPECT_EQ(*ticks, 1'700'000'000'000'000U + i * 1000U);
        // Found up to 5 ms after it came.
        const auto came = begin + i * 1ms;
        const auto now = came + Duration{100'000 + mix(i) % 5'000'000};
        std::int64_t time = 0;
        const bool stamped = stamps.take({&m, 1}, now, {&time, 1});
        rte_pktmbuf_free(m);
        if (i < 1000) continue;
        ASSERT_TRUE(stamped);
        EXPECT_EQ(stamps.source(), api::TimestampSource::NicMbuf);
        EXPECT_LE(std::abs(time - came.time_since_epoch().count()), 400'000) << i;
    }
}

TEST(WorkerCount, FollowsTheOptions)
{
    EXPECT_EQ(worker_count({.workers = 3}), 3u);
    EXPECT_EQ(worker_count({.workers = 3, .cpus = {0, 1}}), 2u);
    EXPECT_GE(worker_count({}), 1u);
    EXPECT_LE(worker_count({}), 4u);
}

}  // namespace

}  // namespace culvert::dataplane::test
