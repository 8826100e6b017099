// GRE: the whole path of a packet through one worker's pipeline with a tunnel's encapsulation in it, beside the same
// packets forwarded plainly in the same run; what the tunnel costs is the difference. It has the lookup of the outer
// packet in it. Cycles are of the TSC. VPP's GRE encapsulation is 160-179 cycles a packet (performance.md).

#include "dataplane/wire/gre.h"

#include "base/check.h"
#include "tests/bench/path.h"

using namespace culvert;
using namespace culvert::dataplane::test;

namespace {

using bench::Plan;

constexpr std::size_t kFlows = 256;
constexpr InterfaceId kTunnel{10};

struct Shape {
    const char* name;
    Family outer;
    bool key, checksum, sequence;
};
void add_tunnel(Router& r, const Shape& s)
{
    r.set_mtu(9200);
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
        Octets gre(wire::gre_length(flags));
        wire::put_gre(gre.data(), flags, 0x0800, 42, 0);
        gre.insert(gre.end(), inner.begin(), inner.end());
        if (s.checksum) wire::set_gre_checksum(gre);
        const bool v4 = s.outer == Family::Ipv4;
        frames.push_back(frame(kWanMac, kPeerMac,
                               packet(ip(v4 ? "192.0.2.2" : "2001:db8:2::2"), ip(v4 ? "192.0.2.1" : "2001:db8:2::1"),
                                      wire::Protocol::Gre, gre, 255)));
    }
    return frames;
}

// The same frames again and again through one router.
class Loop {
public:
    Loop(Router& r, PortId port, std::vector<Octets> frames) : frames_(std::move(frames)), path_(r, port) {}
    double operator()()
    {
        return path_.cycles([&](std::size_t i) -> const Octets& { return frames_[i % frames_.size()]; });
    }
    Bytes result() const { return path_.sent(0); }

private:
    std::vector<Octets> frames_;
    bench::Path path_;
};

void compare(const std::string& name, const Plan& plan, Loop& tunnel, Loop& plain, const char* goal)
{
    const auto rounds = bench::in_turn(plan, tunnel, plain);
    const double all = bench::median(rounds.a), rest = rounds.difference();
    bench::report(name + ", whole path", all, all - rest, 0, "cycles a packet", "");
    bench::report(name + ", over plain forwarding", rest, 170, rest / 170, "cycles a packet", goal);
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
