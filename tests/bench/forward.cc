// The whole path of a packet through one worker's pipeline, from a burst that was received to a burst that is sent, the
// device left out: performance.md, goals 5 and 8. Cycles are of the TSC.

#include "tests/bench/path.h"
#include "tests/unit/node/tunnels.h"

#include <algorithm>
#include <cstring>

using namespace culvert;
using namespace culvert::dataplane::test;

namespace {

using bench::kBurst;
using bench::Plan;

constexpr std::size_t kPackets = 512;
constexpr std::size_t kFlows = 256;  // interleaved: no two packets in a row are of one flow, so nothing is chosen twice
constexpr std::size_t kIp = sizeof(wire::EthernetHeader);

// A copy of an IPv4 frame, as one of flow `i` to `to`.
Octets of_flow(Octets f, std::size_t i, Ipv4Address to)
{
    auto& ip = header4(f, kIp);
    ip.destination = to.value;
    ip.source = static_cast<std::uint32_t>(ip.source + (i % kFlows) / 16);
    ip.compute_checksum();
    auto& udp = *reinterpret_cast<wire::UdpHeader*>(&ip + 1);
    udp.source = static_cast<std::uint16_t>(udp.source + i % kFlows);
    return f;
}

void forward4(const char* name, Router& r, std::span<const IpAddress> keys, const Plan& plan, double goal)
{
    auto model = frame(kLanMac, kHostMac, packet(Udp4{.from = ip4("10.1.0.2"), .to = ip4("10.1.0.2")}));
    model.resize(64);
    bench::Path path{r, kLan, kPackets};
    std::size_t at = 0;
    const auto cycles = bench::best_of(plan, [&] {
        return path.cycles([&](std::size_t i) { return of_flow(model, i, keys[at++ % keys.size()].v4()); });
    });
    const auto want = "<= " + std::to_string(static_cast<int>(goal));
    bench::report(name, cycles, 0, 0, "cycles a packet", want.c_str());
}

void forward6(Router& r, const Plan& plan)
{
    auto f = frame(kLanMac, kHostMac, packet(Udp6{.from = ip6("2001:db8:1::2"), .to = ip6("2001:db8:f::9")}));
    bench::Path path{r, kLan, kPackets};
    const auto cycles = bench::best_of(plan, [&] {
        return path.cycles([&](std::size_t i) -> const Octets& {
            f[kIp + sizeof(wire::Ipv6Header) - 1] = static_cast<std::uint8_t>(i % kFlows);
            f[kIp + sizeof(wire::Ipv6Header) + 1] = static_cast<std::uint8_t>(i % kFlows);
            return f;
        });
    });
    bench::report("forward ipv6, 1 route", cycles, 0, 0, "cycles a packet", "");
}

// The whole path against the cipher alone on packets of the same size.
void wireguard(Router& r, std::size_t size, const Plan& plan, const char* goal)
{
    const auto model =
        frame(kLanMac, kHostMac, packet(Udp4{.from = ip4("10.1.0.2"), .to = ip4("10.2.0.5"), .payload = size - 28}));
    bench::Path path{r, kLan, kPackets};
    const auto write = [&](std::size_t i) {
        return of_flow(model, i, Ipv4Address{ip4("10.2.0.0").value + static_cast<std::uint32_t>(i % kFlows)});
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

    const auto rounds = bench::in_turn(
        {plan.rounds, plan.slices / 4}, [&] { return path.cycles(write); }, bare);
    const auto name = "wireguard encrypt, " + std::to_string(size) + " octets, rate against the bare cipher";
    bench::report(name, bench::median(rounds.a), bench::median(rounds.b), rounds.rate(), "cycles a packet", goal);
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
    add_wireguard(tunnel, {"10.2.0.0/16"});
    install_wireguard_keys(tunnel);
    wireguard(tunnel, 1420, plan, ">= 0.85");
    wireguard(tunnel, 64, plan, "");
    return 0;
}
