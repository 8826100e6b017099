// The whole path of a packet through one worker's pipeline, from a burst that was received to a burst that is sent, the
// device left out: performance.md, goals 5 and 8. Cycles are of the TSC.

#include "base/check.h"
#include "tests/bench/lookup_bench.h"
#include "tests/unit/node/router.h"

#include <algorithm>
#include <cstdio>
#include <cstring>

using namespace culvert;
using namespace culvert::dataplane::test;

namespace {

constexpr std::size_t kPackets = 512;  // in flight: headers stay in the second-level cache, as behind a NIC
constexpr std::size_t kBurst = 64;
constexpr std::size_t kFlows = 256;  // interleaved: no two packets in a row are of one flow, so nothing is chosen twice

// Keeps what is sent, so that the same buffers are used again.
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

double median(std::vector<double> v)
{
    std::sort(v.begin(), v.end());
    return v[v.size() / 2];
}

// Runs frames through the pipeline again and again. `write` puts a frame's octets into buffer i before each pass; that
// isn't timed.
class Loop {
public:
    Loop(Router& r, std::size_t frame_length) : pipeline_(r.context, sink_), context_(r.context), length_(frame_length)
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

    template <class Write>
    double cycles_a_packet(Write&& write)
    {
        for (std::size_t i = 0; i < kPackets; ++i) {
            rte_mbuf* m = packets_[i];
            rte_pktmbuf_reset(m);
            rte_pktmbuf_append(m, static_cast<std::uint16_t>(length_));
            write(i, rte_pktmbuf_mtod(m, std::uint8_t*));
        }
        sink_.count = 0;
        const auto began = __builtin_ia32_rdtsc();
        for (std::size_t at = 0; at < kPackets; at += kBurst)
            pipeline_.frames(kLan, std::span{packets_}.subspan(at, kBurst));
        const auto spent = __builtin_ia32_rdtsc() - began;
        CULVERT_CHECK(sink_.count == kPackets);
        packets_ = sink_.packets;
        context_.now += 1ms;
        return static_cast<double>(spent) / kPackets;
    }

private:
    Sink sink_;
    dataplane::Pipeline pipeline_;
    node::Context& context_;
    std::size_t length_;
    std::array<rte_mbuf*, kPackets> packets_{};
};

struct Plan {
    int rounds;
    int slices;
};

// The best of a round's slices, the median of the rounds.
template <class F>
double best_of(const Plan& plan, F&& slice)
{
    std::vector<double> rounds;
    for (int r = 0; r < plan.rounds; ++r) {
        double best = 1e9;
        for (int s = 0; s < plan.slices; ++s) best = std::min(best, slice());
        rounds.push_back(best);
    }
    return median(rounds);
}

// Makes the IPv4 frame at `to` one of flow `i`.
void set_flow(std::uint8_t* to, std::size_t i)
{
    auto& ip = *reinterpret_cast<wire::Ipv4Header*>(to + sizeof(wire::EthernetHeader));
    ip.source = static_cast<std::uint32_t>(ip.source + (i % kFlows) / 16);
    ip.compute_checksum();
    auto& udp = *reinterpret_cast<wire::UdpHeader*>(&ip + 1);
    udp.source = static_cast<std::uint16_t>(udp.source + i % kFlows);
}

void forward4(const char* name, Router& r, std::span<const IpAddress> keys, const Plan& plan, double goal)
{
    const auto model = frame(kLanMac, kHostMac, packet(Udp4{.from = ip4("10.1.0.2"), .to = ip4("10.1.0.2")}));
    Loop loop{r, 64};
    std::size_t at = 0;
    const auto cycles = best_of(plan, [&] {
        return loop.cycles_a_packet([&](std::size_t i, std::uint8_t* to) {
            std::memcpy(to, model.data(), model.size());
            auto& h = *reinterpret_cast<wire::Ipv4Header*>(to + sizeof(wire::EthernetHeader));
            h.destination = keys[at++ % keys.size()].v4().value;
            set_flow(to, i);
        });
    });
    const auto want = "<= " + std::to_string(static_cast<int>(goal));
    bench::report(name, cycles, 0, 0, "cycles a packet", want.c_str());
}

void forward6(Router& r, const Plan& plan)
{
    const auto model = frame(kLanMac, kHostMac, packet(Udp6{.from = ip6("2001:db8:1::2"), .to = ip6("2001:db8:f::9")}));
    Loop loop{r, model.size()};
    const auto cycles = best_of(plan, [&] {
        return loop.cycles_a_packet([&](std::size_t i, std::uint8_t* to) {
            std::memcpy(to, model.data(), model.size());
            to[sizeof(wire::EthernetHeader) + sizeof(wire::Ipv6Header) - 1] = static_cast<std::uint8_t>(i % kFlows);
            to[sizeof(wire::EthernetHeader) + sizeof(wire::Ipv6Header) + 1] = static_cast<std::uint8_t>(i % kFlows);
        });
    });
    bench::report("forward ipv6, 1 route", cycles, 0, 0, "cycles a packet", "");
}

// The whole path against the cipher alone on packets of the same size: A B B A in slices, each one's best of a round.
void wireguard(Router& r, std::size_t size, const Plan& plan, const char* goal)
{
    const auto model =
        frame(kLanMac, kHostMac, packet(Udp4{.from = ip4("10.1.0.2"), .to = ip4("10.2.0.5"), .payload = size - 28}));
    Loop loop{r, model.size()};
    const auto write = [&](std::size_t i, std::uint8_t* to) {
        std::memcpy(to, model.data(), model.size());
        to[sizeof(wire::EthernetHeader) + 19] = static_cast<std::uint8_t>(i % kFlows);  // of the destination
        set_flow(to, i);
    };

    const auto padded = std::min<std::size_t>((size + 15) / 16 * 16, 1420);
    std::vector<Octets> texts(kPackets, Octets(padded + crypto::kAeadTag));
    std::vector<crypto::AeadJob> jobs(kPackets);
    std::array<std::uint8_t, 32> key{};
    std::uint64_t counter = 0;
    const auto bare = [&] {
        for (std::size_t i = 0; i < kPackets; ++i) {
            jobs[i].key = key.data();
            ++counter;
            std::memcpy(jobs[i].nonce.data() + 4, &counter, 8);
            jobs[i].length = static_cast<std::uint32_t>(padded);
            jobs[i].source = jobs[i].destination = texts[i].data();
            jobs[i].tag = texts[i].data() + padded;
        }
        const auto began = __builtin_ia32_rdtsc();
        for (std::size_t at = 0; at < kPackets; at += kBurst)
            r.aead.seal_chacha20_poly1305(std::span{jobs}.subspan(at, kBurst));
        return static_cast<double>(__builtin_ia32_rdtsc() - began) / kPackets;
    };

    std::vector<double> ours, other, ratio;
    for (int round = 0; round < plan.rounds; ++round) {
        double a = 1e9, b = 1e9;
        for (int s = 0; s < plan.slices / 4; ++s) {
            a = std::min(a, loop.cycles_a_packet(write));
            b = std::min(b, bare());
            b = std::min(b, bare());
            a = std::min(a, loop.cycles_a_packet(write));
        }
        ours.push_back(a);
        other.push_back(b);
        ratio.push_back(b / a);
    }
    const auto name = "wireguard encrypt, " + std::to_string(size) + " octets, rate against the bare cipher";
    bench::report(name, median(ours), median(other), median(ratio), "cycles a packet", goal);
}

void add_tunnel(Router& r)
{
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
}

}  // namespace

int main(int argc, char** argv)
{
    const auto options = bench::parse_options(argc, argv);
    const Plan plan = options.quick ? Plan{3, 100} : Plan{9, 400};
    bench::pin(1);
    pool(io::MemoryMode::Auto);

    Router r;
    std::vector<IpAddress> one;
    for (std::uint32_t i = 0; i < kFlows; ++i) one.emplace_back(Ipv4Address{ip4("198.51.100.0").value + i});
    forward4("forward ipv4, 1 route", r, one, plan, 100);
    forward6(r, plan);

    const auto table = bench::load_table(options, Family::Ipv4);
    std::vector<GroupId> groups;
    for (std::uint32_t i = 0; i < 16; ++i) {
        const auto address = "192.0.2." + std::to_string(10 + i);
        const GroupId group{100000 + i};
        r.apply(api::SetGroup{.id = group, .member_count = 1});
        r.apply(api::SetGroupMember{
            .group = group, .position = 0, .weight = 1, .nexthop = r.adjacency(kWanIf, address, kPeerMac)});
        groups.push_back(group);
    }
    r.apply(api::SetRoute{kDefaultVrf, prefix("0.0.0.0/0"), groups[0]});
    for (std::size_t i = 0; i < table.size(); ++i) r.apply(api::SetRoute{kDefaultVrf, table[i], groups[mix(i) % 16]});
    auto keys = bench::make_keys(bench::KeyMix::Routed, table, 1 << 18);
    std::erase_if(keys, [](const IpAddress& a) {
        const auto first = a.bits.octets[0];
        return first == 0 || first == 10 || first == 127 || first == 169 || first == 192 || first >= 224;
    });
    forward4("forward ipv4, 1 M routes", r, keys, plan, 200);

    Router tunnel;
    add_tunnel(tunnel);
    wireguard(tunnel, 1420, plan, ">= 0.85");
    wireguard(tunnel, 64, plan, "");
    return 0;
}
