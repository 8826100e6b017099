// GRE in every shape through the whole pipeline of a router with tunnels: no crash, every packet ends exactly once.
//
// Input: pieces of { what, tunnel, length 16, octets }. `what` says how the octets come in: as what one of the tunnels
// carries (good headers in front), as a GRE packet of its own making behind a good IP header, as an ICMP error, in
// fragments, by the lan towards a tunnel, or as time that passes.

#include "dataplane/wire/gre.h"
#include "tests/fuzz/router_input.h"

using namespace culvert;
using namespace culvert::dataplane::test;

namespace {

constexpr std::uint16_t kFirst = 10;
struct Shape {
    bool v6;
    api::TunnelMode mode;
    bool key, checksum, sequence;
    bool protect;
};
constexpr Shape kShapes[] = {
    {false, api::TunnelMode::Gre, false, false, false, false},
    {false, api::TunnelMode::Gre, true, true, true, false},
    {true, api::TunnelMode::Gre, false, false, false, false},
    {true, api::TunnelMode::Gre, true, true, true, false},
    {false, api::TunnelMode::GreMultipoint, true, false, false, false},
    {false, api::TunnelMode::Gre, true, false, false, true},
};

std::uint32_t key_of(std::size_t tunnel) { return static_cast<std::uint32_t>(100 + tunnel); }

void populate(Router& r)
{
    auto wan = r.wan();
    wan.mtu = 1000;
    r.set_wan(wan);
    for (std::size_t i = 0; i < std::size(kShapes); ++i) {
        const auto& s = kShapes[i];
        const InterfaceId id{static_cast<std::uint16_t>(kFirst + i)};
        r.apply(api::SetInterface{.id = id,
                                  .vrf = kDefaultVrf,
                                  .kind = api::InterfaceKind::Tunnel,
                                  .up = true,
                                  .mtu = 900,
                                  .mss4 = 800,
                                  .address4 = ip4("10.255.0.1"),
                                  .address6 = ip6("fd00::1")});
        r.apply(api::SetTunnel{.interface = id,
                               .outer_vrf = kDefaultVrf,
                               .mode = s.mode,
                               .checksum = s.checksum,
                               .sequence = s.sequence,
                               .has_key = s.key,
                               .key = key_of(i),
                               .source = ip(s.v6 ? "2001:db8:2::1" : "192.0.2.1"),
                               .destination = ip(s.v6 ? "2001:db8:2::2" : "192.0.2.2"),
                               .protection = s.protect ? ProtectionId{1} : kNoProtection});
        r.route("10.10." + std::to_string(i) + ".0/24",
                {.id = {}, .kind = api::NexthopKind::Tunnel, .interface = id, .gateway = ip("10.255.0.2")});
    }
    r.apply(api::SetTunnelEndpoint{InterfaceId{kFirst + 4}, ip("10.255.0.2"), ip("192.0.2.2")});
}

// An IP packet from the tunnel's far end to us.
Octets outer(bool v6, wire::Protocol protocol, Bytes payload)
{
    return v6 ? packet(ip("2001:db8:2::2"), ip("2001:db8:2::1"), protocol, payload)
              : packet(ip("192.0.2.2"), ip("192.0.2.1"), protocol, payload);
}

Octets carried(std::size_t tunnel, std::uint8_t what, std::uint32_t sequence, Bytes payload)
{
    const auto& s = kShapes[tunnel];
    const auto flags =
        static_cast<std::uint16_t>((s.key ? wire::GreHeader::kKey : 0) | (s.checksum ? wire::GreHeader::kChecksum : 0) |
                                   (s.sequence ? wire::GreHeader::kSequence : 0));
    Octets gre(wire::gre_length(flags));
    const bool inner6 = !payload.empty() && payload[0] >> 4 == 6;
    wire::put_gre(gre.data(), flags, (what & 0x40) != 0 ? 0 : inner6 ? 0x86dd : 0x0800, key_of(tunnel), sequence);
    gre.insert(gre.end(), payload.begin(), payload.end());
    if (s.checksum) wire::set_gre_checksum(gre);
    return outer(s.v6, wire::Protocol::Gre, gre);
}

// In two pieces, the second perhaps where it doesn't belong.
void in_pieces(Router& r, const Octets& p, std::uint8_t where)
{
    if (p[0] >> 4 != 4 || p.size() < 44) return;
    const std::size_t cut = 20 + (1 + where % 32) * 8;
    if (cut >= p.size()) return;
    Octets first(p.begin(), p.begin() + static_cast<std::ptrdiff_t>(cut)), second = p;
    second.erase(second.begin() + 20, second.begin() + static_cast<std::ptrdiff_t>(cut));
    header4(first).fragment = 0x2000;
    header4(second).fragment = static_cast<std::uint16_t>((cut - 20) / 8 + (where >> 7));
    fuzz::mend(first);
    fuzz::mend(second);
    r.from_wan((where & 0x40) != 0 ? second : first);
    r.from_wan((where & 0x40) != 0 ? first : second);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    static std::uint32_t sequence = 1;
    auto& r = fuzz::router(populate);
    Reader in{{data, size}};
    while (!in.empty()) {
        const auto what = in.u8();
        const auto tunnel = in.u8() % std::size(kShapes);
        auto p = fuzz::piece(in);
        if ((what & 0x80) != 0) fuzz::mend(p);
        switch (what & 7) {
            case 0:
            case 1: r.from_wan(carried(tunnel, what, ++sequence, p)); break;
            case 2: r.from_wan(outer(kShapes[tunnel].v6, wire::Protocol::Gre, p)); break;
            case 3:
                r.from_wan(
                    outer(kShapes[tunnel].v6, kShapes[tunnel].v6 ? wire::Protocol::Icmpv6 : wire::Protocol::Icmp, p));
                break;
            case 4: in_pieces(r, carried(tunnel, what, ++sequence, p), what); break;
            case 5:
                if (p.size() >= 20 && p[0] >> 4 == 4) {
                    header4(p).destination = ip4("10.10.0.9").value + (static_cast<std::uint32_t>(tunnel) << 8);
                    fuzz::mend(p);
                }
                if (!p.empty()) r.receive(kLan, frame(kLanMac, kHostMac, p));
                break;
            case 6:
                r.apply(api::DeleteTunnelEndpoint{InterfaceId{kFirst + 4}, ip("10.255.0.2")});
                r.apply(api::SetTunnelEndpoint{InterfaceId{kFirst + 4}, ip("10.255.0.2"), ip("192.0.2.2")});
                break;
            default: r.advance(Duration{1ms} * p.size()); break;
        }
    }
    fuzz::end(r);
    return 0;
}
