// One tunnel on two cores against one: performance.md, goal 9. The owner runs its whole pipeline; a second thread does
// what a worker does with its box of loans. Order is checked packet by packet: outbound by the ESP sequence numbers,
// inbound by what is inside; and nothing is dropped, as a replay or otherwise.

#include "base/check.h"
#include "tests/bench/lookup_bench.h"
#include "tests/unit/node/router.h"

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstring>
#include <thread>

using namespace culvert;
using namespace culvert::dataplane::test;

namespace {

constexpr std::size_t kPackets = 1024;  // of a slice
constexpr std::size_t kBurst = 64;
constexpr InterfaceId kTunnel{10};
constexpr ProtectionId kProtection{1};

class Sink : public dataplane::Outlet {
public:
    std::size_t transmit(PortId, bool, std::span<rte_mbuf* const> frames) noexcept override
    {
        std::copy(frames.begin(), frames.end(), packets.begin() + static_cast<std::ptrdiff_t>(count));
        count += frames.size();
        return frames.size();
    }
    std::size_t to_host(VrfId, std::span<rte_mbuf* const>) noexcept override { return 0; }
    std::size_t hand_over(WorkerId, std::span<rte_mbuf* const>) noexcept override { return 0; }
    WorkerId transmitter(PortId, WorkerId self) const noexcept override { return self; }

    std::array<rte_mbuf*, kPackets> packets{};
    std::size_t count = 0;
};

api::InstallSa sa(api::SaDirection direction, api::EspAlgorithm algorithm, std::uint32_t spi)
{
    api::InstallSa c{};
    c.protection = kProtection;
    c.child = 1;
    c.spi = spi;
    c.direction = direction;
    c.algorithm = algorithm;
    c.replay_window = 1024;
    c.local = {ip("192.0.2.1"), 0};
    c.remote = {ip("192.0.2.2"), 0};
    c.key.fill(1);
    return c;
}

void add_tunnel(Router& r, api::EspAlgorithm algorithm)
{
    for (auto i : {r.lan(), r.wan()}) {
        i.mtu = 2000;
        i.id == kLanIf ? r.set_lan(i) : r.set_wan(i);
    }
    r.apply(api::SetInterface{.id = kTunnel,
                              .vrf = kDefaultVrf,
                              .kind = api::InterfaceKind::Tunnel,
                              .up = true,
                              .mtu = 1900,
                              .address4 = ip4("10.255.0.1")});
    r.apply(api::SetProtection{.id = kProtection,
                               .interface = kTunnel,
                               .outer_vrf = kDefaultVrf,
                               .local = ip("192.0.2.1"),
                               .remote = ip("192.0.2.2")});
    r.apply(api::SetTunnel{.interface = kTunnel,
                           .outer_vrf = kDefaultVrf,
                           .mode = api::TunnelMode::Ipsec,
                           .source = ip("192.0.2.1"),
                           .destination = ip("192.0.2.2"),
                           .protection = kProtection});
    r.route("10.2.0.0/16", {.id = {}, .kind = api::NexthopKind::Tunnel, .interface = kTunnel});
    r.command(sa(api::SaDirection::Outbound, algorithm, 0x1001));
    r.command(sa(api::SaDirection::Inbound, algorithm, 0x1002));
}

// The second worker, as far as loans go.
class Lender {
public:
    Lender() : thread_([this] { main(); }) {}
    ~Lender()
    {
        stop_.store(true);
        thread_.join();
    }
    node::LoanBox box{1};
    api::Wake wake;

private:
    void main()
    {
        bench::pin(0);
        crypto::AeadContext aead;
        while (!stop_.load(std::memory_order_relaxed))
            if (!box.work(aead, [](WorkerId) {})) rte_pause();
    }
    std::atomic<bool> stop_{false};
    std::thread thread_;
};

class Loop {
public:
    Loop(Router& r, PortId port) : r_(r), pipeline_(r.context, sink_), port_(port)
    {
        for (auto& m : packets_) {
            m = rte_pktmbuf_alloc(pool().get());
            CULVERT_CHECK(m != nullptr);
        }
    }
    ~Loop()
    {
        for (auto* m : packets_) rte_pktmbuf_free(m);
    }

    // Nanoseconds a packet. `write(i)` gives frame i, `check(frame)` looks at what comes out, in order.
    template <class Write, class Check>
    double slice(Write&& write, Check&& check)
    {
        for (std::size_t i = 0; i < kPackets; ++i) {
            rte_mbuf* m = packets_[i];
            rte_pktmbuf_reset(m);
            const Octets& frame = write(i);
            std::memcpy(rte_pktmbuf_append(m, static_cast<std::uint16_t>(frame.size())), frame.data(), frame.size());
        }
        sink_.count = 0;
        const auto began = bench::now();
        for (std::size_t at = 0; at < kPackets; at += kBurst) {
            pipeline_.frames(port_, std::span{packets_}.subspan(at, kBurst));
            pipeline_.settle_loans(false);
        }
        while (sink_.count < kPackets) CULVERT_CHECK(pipeline_.settle_loans(true) || sink_.count == kPackets);
        const auto spent = bench::now() - began;
        packets_ = sink_.packets;
        for (auto* m : packets_) check(node::data(m));
        r_.context.now += 1ms;
        return static_cast<double>(spent) / kPackets;
    }

private:
    Router& r_;
    Sink sink_;
    dataplane::Pipeline pipeline_;
    PortId port_;
    std::array<rte_mbuf*, kPackets> packets_{};
};

double median(std::vector<double> v)
{
    std::sort(v.begin(), v.end());
    return v[v.size() / 2];
}

struct Plan {
    int rounds;
    int slices;
};

template <class Slice>
void compare(const std::string& name, Router& r, const Plan& plan, Slice&& slice)
{
    std::vector<double> one, two, ratio;
    for (int round = 0; round < plan.rounds; ++round) {
        double a = 1e9, b = 1e9;
        for (int s = 0; s < plan.slices; ++s) {
            r.context.loans.press(false);
            a = std::min(a, slice());
            r.context.loans.press(true);
            b = std::min(b, slice());
            b = std::min(b, slice());
            r.context.loans.press(false);
            a = std::min(a, slice());
        }
        one.push_back(a);
        two.push_back(b);
        ratio.push_back(a / b);
    }
    CULVERT_CHECK(r.context.loans.lent() > 0);
    bench::report(name + ", rate of two cores against one", median(two), median(one), median(ratio),
                  "nanoseconds a packet", ">= 1.5");
}

void run(api::EspAlgorithm algorithm, const char* name, std::size_t size, const Plan& plan)
{
    for (const bool seal : {true, false}) {
        Router r;
        add_tunnel(r, algorithm);
        Lender lender;
        r.context.loans.open(WorkerId{0}, r.aead, {{&lender.box, &lender.wake}});
        Loop loop{r, seal ? kLan : kWan};
        const auto text =
            std::string{"esp "} + (seal ? "encrypt " : "decrypt ") + name + ", " + std::to_string(size) + " octets";
        if (seal) {
            const auto p = frame(kLanMac, kHostMac,
                                 packet(Udp4{.from = ip4("10.1.0.2"), .to = ip4("10.2.0.5"), .payload = size - 28}));
            std::uint32_t last = 0;
            compare(text, r, plan, [&] {
                return loop.slice([&](std::size_t) -> const Octets& { return p; },
                                  [&](Bytes f) {
                                      be32 number;
                                      std::memcpy(&number, f.data() + 14 + 20 + 4, 4);
                                      CULVERT_CHECK(std::uint32_t{number} == last + 1);
                                      last = number;
                                  });
            });
            continue;
        }
        std::vector<api::ProtectionActivity> activity(4);
        esp::SaTable peer{r.aead, activity};
        peer.apply(sa(api::SaDirection::Outbound, algorithm, 0x1002), r.context.now);
        const std::size_t front = peer.sending(kProtection)->front;
        const auto inner = packet(Udp4{.from = ip4("10.2.0.5"), .to = ip4("10.1.0.2"), .payload = size - 28});
        Octets octets;
        std::uint32_t given = 0, last = 0;
        const auto write = [&](std::size_t) -> const Octets& {
            octets.assign(34 + front + inner.size() + esp::kMaxBack, 0);
            auto* at = octets.data() + 34 + front;
            std::memcpy(at, inner.data(), inner.size());
            ++given;
            std::memcpy(at + 28, &given, 4);
            esp::SealJob job{.protection = kProtection,
                             .data = at,
                             .length = static_cast<std::uint32_t>(inner.size()),
                             .next_header = 4};
            peer.seal({&job, 1}, r.context.now);
            octets.resize(34 + job.sealed_length);
            *reinterpret_cast<wire::EthernetHeader*>(octets.data()) = {
                kWanMac, kPeerMac, static_cast<std::uint16_t>(wire::EtherType::Ipv4)};
            auto& h = header4(octets, 14);
            h.version_ihl = 0x45;
            h.total_length = static_cast<std::uint16_t>(20 + job.sealed_length);
            h.ttl = 64;
            h.protocol = 50;
            h.source = ip4("192.0.2.2").value;
            h.destination = ip4("192.0.2.1").value;
            h.compute_checksum();
            return octets;
        };
        compare(text, r, plan, [&] {
            return loop.slice(write, [&](Bytes f) {
                std::uint32_t number;
                std::memcpy(&number, f.data() + 14 + 28, 4);
                CULVERT_CHECK(std::uint32_t{number} == last + 1);
                last = number;
            });
        });
        CULVERT_CHECK(r.count(Verdict::DropEspReplay) == 0);
    }
}

// WireGuard's: what is sent, by its counters.
void wireguard(std::size_t size, const Plan& plan)
{
    Router r;
    const PeerId peer{1};
    r.apply(api::SetInterface{.id = kWg,
                              .vrf = kDefaultVrf,
                              .kind = api::InterfaceKind::Wireguard,
                              .up = true,
                              .mtu = 1420,
                              .address4 = ip4("10.255.0.1")});
    r.apply(api::SetWireguard{.interface = kWg, .outer_vrf = kDefaultVrf, .listen_port = 51820});
    r.apply(api::SetPeer{.id = peer, .interface = kWg});
    r.apply(api::SetAllowedIp{kWg, prefix("10.2.0.0/16"), peer});
    r.route("10.2.0.0/16", {.id = {}, .kind = api::NexthopKind::WireguardLookup, .interface = kWg});
    r.command(api::MovePeer{peer, {ip("192.0.2.2"), 51820}});
    api::InstallKeys keys{.peer = peer,
                          .sequence = 1,
                          .local_index = 100,
                          .remote_index = 200,
                          .initiator = true,
                          .created = r.context.now};
    keys.sending.fill(1);
    keys.receiving.fill(2);
    r.command(keys);
    r.sent.clear();
    Lender lender;
    r.context.loans.open(WorkerId{0}, r.aead, {{&lender.box, &lender.wake}});
    Loop loop{r, kLan};
    const auto p =
        frame(kLanMac, kHostMac, packet(Udp4{.from = ip4("10.1.0.2"), .to = ip4("10.2.0.5"), .payload = size - 28}));
    std::uint64_t next = 1;  // 0 was the message that proves the keys
    compare("wireguard encrypt, " + std::to_string(size) + " octets", r, plan, [&] {
        return loop.slice([&](std::size_t) -> const Octets& { return p; },
                          [&](Bytes f) {
                              std::uint64_t counter;
                              std::memcpy(&counter, f.data() + 14 + 20 + 8 + 8, 8);
                              CULVERT_CHECK(counter == next);
                              ++next;
                          });
    });
}

}  // namespace

int main(int argc, char** argv)
{
    const auto options = bench::parse_options(argc, argv);
    const Plan plan = options.quick ? Plan{7, 20} : Plan{9, 100};
    bench::pin(1);
    pool(io::MemoryMode::Auto);
    using enum api::EspAlgorithm;
    run(AesCbc128Sha256, "aes-cbc-128-sha256", 1420, plan);
    run(ChaCha20Poly1305, "chacha20-poly1305", 1420, plan);
    run(AesGcm128, "aes-gcm-128", 1420, plan);
    wireguard(1420, plan);
    return 0;
}
