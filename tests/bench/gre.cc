// GRE: the whole path of a packet through one worker's pipeline with a tunnel's encapsulation in it, beside the same
// packets forwarded plainly in the same run; what the tunnel costs is the difference. It has the lookup of the outer
// packet in it. Cycles are of the TSC. VPP's GRE encapsulation is 160-179 cycles a packet (performance.md).

#include "dataplane/wire/gre.h"

#include "base/check.h"
#include "tests/bench/lookup_bench.h"
#include "tests/unit/node/router.h"

#include <algorithm>
#include <cstdio>
#include <cstring>

using namespace culvert;
using namespace culvert::dataplane::test;

namespace {

constexpr std::size_t kPackets = 256;  // in flight: headers stay in the second-level cache, as behind a NIC
constexpr std::size_t kBurst = 64;
constexpr std::size_t kFlows = 256;
constexpr InterfaceId kTunnel{10};

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

// The same frames again and again through one router.
class Loop {
public:
    Loop(Router& r, PortId port, std::vector<Octets> frames)
        : frames_(std::move(frames)), pipeline_(r.context, sink_), context_(r.context), port_(port)
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

    double cycles_a_packet()
    {
        for (std::size_t i = 0; i < kPackets; ++i) {
            rte_mbuf* m = packets_[i];
            rte_pktmbuf_reset(m);
            const auto& frame = frames_[i % frames_.size()];
            std::memcpy(rte_pktmbuf_append(m, static_cast<std::uint16_t>(frame.size())), frame.data(), frame.size());
        }
        sink_.count = 0;
        const auto began = __builtin_ia32_rdtsc();
        for (std::size_t at = 0; at < kPackets; at += kBurst)
            pipeline_.frames(port_, std::span{packets_}.subspan(at, kBurst));
        const auto spent = __builtin_ia32_rdtsc() - began;
        CULVERT_CHECK(sink_.count == kPackets);
        packets_ = sink_.packets;
        context_.now += 1ms;
        return static_cast<double>(spent) / kPackets;
    }
    Octets result() const
    {
        const auto bytes = node::data(packets_[0]);
        return {bytes.begin(), bytes.end()};
    }

private:
    std::vector<Octets> frames_;
    Sink sink_;
    dataplane::Pipeline pipeline_;
    node::Context& context_;
    PortId port_;
    std::array<rte_mbuf*, kPackets> packets_{};
};

struct Shape {
    const char* name;
    Family outer;
    bool key, checksum, sequence;
};
struct Plan {
    int rounds;
    int slices;
};

void add_tunnel(Router& r, const Shape& s)
{
    for (auto i : {r.lan(), r.wan()}) {
        i.mtu = 9200;
        i.id == kLanIf ? r.set_lan(i) : r.set_wan(i);
    }
    r.apply(api::SetInterface{.id = kTunnel,
                              .vrf = kDefaultVrf,
                              .kind = api::InterfaceKind::Tunnel,
                              .up = true,
                              .mtu = 9000,
                              .address4 = ip4("10.255.0.1")});
    const bool v4 = s.outer == Family::Ipv4;
    r.apply(api::SetTunnel{.interface = kTunnel,
                           .outer_vrf = kDefaultVrf,
                           .mode = api::TunnelMode::Gre,
                           .ttl = 255,
                           .checksum = s.checksum,
                           .sequence = s.sequence,
                           .has_key = s.key,
                           .key = 42,
                           .source = ip(v4 ? "192.0.2.1" : "2001:db8:2::1"),
                           .destination = ip(v4 ? "192.0.2.2" : "2001:db8:2::2")});
    r.route("10.2.0.0/16", {.id = {}, .kind = api::NexthopKind::Tunnel, .interface = kTunnel});
}

std::vector<Octets> plain_frames(std::size_t size, std::string_view to)
{
    std::vector<Octets> frames;
    for (std::size_t i = 0; i < kFlows; ++i)
        frames.push_back(frame(kLanMac, kHostMac,
                               packet(Udp4{.from = ip4("10.1.0.2"),
                                           .to = Ipv4Address{ip4(to).value + static_cast<std::uint32_t>(i)},
                                           .from_port = static_cast<std::uint16_t>(1000 + i),
                                           .payload = size - 28})));
    return frames;
}

// As the far end sends them.
std::vector<Octets> gre_frames(const Shape& s, std::size_t size)
{
    std::vector<Octets> frames;
    const auto flags =
        static_cast<std::uint16_t>((s.key ? wire::GreHeader::kKey : 0) | (s.checksum ? wire::GreHeader::kChecksum : 0));
    for (std::size_t i = 0; i < kFlows; ++i) {
        const auto inner = packet(Udp4{.from = Ipv4Address{ip4("10.2.0.0").value + static_cast<std::uint32_t>(i)},
                                       .to = ip4("10.1.0.2"),
                                       .payload = size - 28});
        const std::size_t header = s.outer == Family::Ipv4 ? 20 : 40;
        const auto length = wire::gre_length(flags);
        Octets out(header + length);
        wire::put_gre(out.data() + header, flags, 0x0800, 42, 0);
        out.insert(out.end(), inner.begin(), inner.end());
        if (s.checksum) wire::set_gre_checksum(MutableBytes{out}.subspan(header));
        if (s.outer == Family::Ipv4) {
            header4(out) = {0x45, 0, static_cast<std::uint16_t>(out.size()), 0, 0, 255, 47, {}, 0, 0};
            header4(out).source = ip4("192.0.2.2").value;
            header4(out).destination = ip4("192.0.2.1").value;
            header4(out).compute_checksum();
        } else {
            header6(out) = {6u << 28,
                            static_cast<std::uint16_t>(out.size() - 40),
                            47,
                            255,
                            ip6("2001:db8:2::2"),
                            ip6("2001:db8:2::1")};
        }
        frames.push_back(frame(kWanMac, kPeerMac, out));
    }
    return frames;
}

// A B B A in slices, each one's best of a round; the median of the rounds.
void compare(const std::string& name, const Plan& plan, Loop& tunnel, Loop& plain, const char* goal)
{
    std::vector<double> all, rest;
    for (int round = 0; round < plan.rounds; ++round) {
        double a = 1e9, b = 1e9;
        for (int s = 0; s < plan.slices; ++s) {
            a = std::min(a, tunnel.cycles_a_packet());
            b = std::min(b, plain.cycles_a_packet());
            b = std::min(b, plain.cycles_a_packet());
            a = std::min(a, tunnel.cycles_a_packet());
        }
        all.push_back(a);
        rest.push_back(a - b);
    }
    bench::report(name + ", whole path", median(all), median(all) - median(rest), 0, "cycles a packet", "");
    bench::report(name + ", over plain forwarding", median(rest), 170, median(rest) / 170, "cycles a packet", goal);
}

void measure(const Shape& s, std::size_t size, const Plan& plan)
{
    Router r;
    add_tunnel(r, s);
    const auto of = std::string{s.name} + ", " + std::to_string(size) + " octets";
    {
        Loop tunnel{r, kLan, plain_frames(size, "10.2.0.0")}, plain{r, kLan, plain_frames(size, "198.51.100.0")};
        compare("gre encap " + of, plan, tunnel, plain, s.key || s.outer == Family::Ipv6 ? "" : "<= 170");
        const auto out = tunnel.result();
        CULVERT_CHECK(out.size() > size + 14 && out[14 + (s.outer == Family::Ipv4 ? 9 : 6)] == 47);
    }
    if (s.sequence) return;  // the frames of the bench have none
    Loop tunnel{r, kWan, gre_frames(s, size)}, plain{r, kLan, plain_frames(size, "198.51.100.0")};
    compare("gre decap " + of, plan, tunnel, plain, "");
    CULVERT_CHECK(tunnel.result().size() == size + 14);
}

}  // namespace

int main(int argc, char** argv)
{
    const auto options = bench::parse_options(argc, argv);
    const Plan plan = options.quick ? Plan{7, 60} : Plan{9, 300};
    bench::pin(1);
    pool(io::MemoryMode::Auto);
    for (const std::size_t size : {64, 1420})
        for (const Shape& s : {Shape{"IPv4", Family::Ipv4, false, false, false},
                               Shape{"IPv4 key checksum", Family::Ipv4, true, true, false},
                               Shape{"IPv6", Family::Ipv6, false, false, false}})
            measure(s, size, plan);
    return 0;
}
