// GRE in every shape through the whole pipeline of a router with tunnels: no crash, every packet ends exactly once.
//
// Input: pieces of { what, tunnel, length 16, octets }. `what` says how the octets come in: as what one of the tunnels
// carries (good headers in front), as a GRE packet of its own making behind a good IP header, as an ICMP error, in
// fragments, by the lan towards a tunnel, or as time that passes.

#include "base/check.h"
#include "dataplane/wire/gre.h"
#include "tests/unit/node/router.h"

#include <algorithm>

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
Octets outer(bool v6, std::uint8_t protocol, Bytes payload)
{
    Octets out(v6 ? 40 : 20);
    if (v6) {
        header6(out) = {6u << 28,
                        static_cast<std::uint16_t>(payload.size()),
                        protocol,
                        64,
                        ip6("2001:db8:2::2"),
                        ip6("2001:db8:2::1")};
    } else {
        header4(out) = {0x45, 0, static_cast<std::uint16_t>(20 + payload.size()), 9, 0, 64, protocol, {}, 0, 0};
        header4(out).source = ip4("192.0.2.2").value;
        header4(out).destination = ip4("192.0.2.1").value;
        header4(out).compute_checksum();
    }
    out.insert(out.end(), payload.begin(), payload.end());
    return out;
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
    return outer(s.v6, 47, gre);
}

void mend(Octets& p)
{
    if (p.size() >= 20 && p[0] >> 4 == 4 && 4u * (p[0] & 15) <= p.size()) {
        header4(p).total_length = static_cast<std::uint16_t>(p.size());
        header4(p).compute_checksum();
    } else if (p.size() >= 40 && p[0] >> 4 == 6) {
        header6(p).payload_length = static_cast<std::uint16_t>(p.size() - 40);
    }
}

void from_wan(Router& r, const Octets& p) { r.receive(kWan, frame(kWanMac, kPeerMac, p)); }

// In two pieces, the second perhaps where it doesn't belong.
void in_pieces(Router& r, const Octets& p, std::uint8_t where)
{
    if (p[0] >> 4 != 4 || p.size() < 44) return;
    const std::size_t cut = 20 + (1 + where % 32) * 8;
    if (cut >= p.size()) return;
    Octets first(p.begin(), p.begin() + static_cast<std::ptrdiff_t>(cut)), second(p.begin(), p.begin() + 20);
    second.insert(second.end(), p.begin() + static_cast<std::ptrdiff_t>(cut), p.end());
    header4(first).fragment = 0x2000;
    header4(second).fragment = static_cast<std::uint16_t>((cut - 20) / 8 + (where >> 7));
    mend(first);
    mend(second);
    from_wan(r, (where & 0x40) != 0 ? second : first);
    from_wan(r, (where & 0x40) != 0 ? first : second);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    pool();
    static auto* router = [] {
        auto* r = new Router;
        populate(*r);
        return r;
    }();
    static std::uint32_t sequence = 1;
    Router& r = *router;
    Reader in{{data, size}};
    while (!in.empty()) {
        const auto what = in.u8();
        const auto tunnel = in.u8() % std::size(kShapes);
        const auto length = std::min<std::size_t>(in.u16() % 2000, in.remaining());
        const auto bytes = in.take(length);
        Octets p(bytes.begin(), bytes.end());
        if ((what & 0x80) != 0) mend(p);
        switch (what & 7) {
            case 0:
            case 1: from_wan(r, carried(tunnel, what, ++sequence, p)); break;
            case 2: from_wan(r, outer(kShapes[tunnel].v6, 47, p)); break;
            case 3: from_wan(r, outer(kShapes[tunnel].v6, kShapes[tunnel].v6 ? 58 : 1, p)); break;
            case 4: in_pieces(r, carried(tunnel, what, ++sequence, p), what); break;
            case 5:
                if (p.size() >= 20 && p[0] >> 4 == 4) {
                    header4(p).destination = ip4("10.10.0.9").value + (static_cast<std::uint32_t>(tunnel) << 8);
                    mend(p);
                }
                if (!p.empty()) r.receive(kLan, frame(kLanMac, kHostMac, p));
                break;
            case 6:
                r.apply(api::DeleteTunnelEndpoint{InterfaceId{kFirst + 4}, ip("10.255.0.2")});
                r.apply(api::SetTunnelEndpoint{InterfaceId{kFirst + 4}, ip("10.255.0.2"), ip("192.0.2.2")});
                break;
            default: r.advance(Duration{1ms} * length); break;
        }
    }
    r.sent.clear();
    r.host.clear();
    r.events();
    r.punts();
    r.pipeline.shut_down();
    CULVERT_CHECK(pool().in_use() == 0);
    return 0;
}
