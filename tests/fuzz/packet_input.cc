// Any frames through the whole pipeline of a populated router: no crash, every packet ends exactly once.
//
// Input: pieces of { source, length 16, octets }. The source's low bits say how the piece comes in: as a frame of the
// lan, of the wan, with a good header in front (so that the fuzzer needn't find MAC addresses and checksums), from the
// host link, or as time that passes.

#include "base/check.h"
#include "tests/unit/node/tunnels.h"

#include <algorithm>

using namespace culvert;
using namespace culvert::dataplane::test;

namespace {

void populate(Router& r)
{
    auto tagged = r.lan();
    tagged.id = InterfaceId{9};
    tagged.vlan = 100;
    tagged.mtu = 600;
    tagged.mss4 = tagged.mss6 = 500;
    r.apply(tagged);
    auto wan = r.wan();
    wan.mtu = 1000;
    wan.mss4 = 900;
    r.set_wan(wan);
    r.route_via("203.0.113.0/24", r.adjacency(InterfaceId{9}, "10.1.9.2", kHostMac));
    r.route("203.0.114.0/24", {.id = {}, .kind = api::NexthopKind::Reject});
    r.route("203.0.115.0/24", {.id = {}, .kind = api::NexthopKind::Blackhole});

    add_wireguard(r, {"10.2.0.0/16", "2001:db8:b::/48"});
    install_wireguard_keys(r);
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

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    pool();
    {
        static auto* router = [] {
            auto* r = new Router;
            populate(*r);
            return r;
        }();
        Router& r = *router;
        Reader in{{data, size}};
        while (!in.empty()) {
            const auto source = in.u8();
            const auto length = std::min<std::size_t>(in.u16() % 2000, in.remaining());
            const auto bytes = in.take(length);
            Octets p(bytes.begin(), bytes.end());
            if ((source & 0x80) != 0) mend(p);
            switch (source & 7) {
                case 0: r.receive(kLan, p); break;
                case 1: r.receive(kWan, p); break;
                case 2: r.receive(kLan, frame(kLanMac, kHostMac, wire::EtherType::Ipv4, p)); break;
                case 3: r.receive(kWan, frame(kWanMac, kPeerMac, wire::EtherType::Ipv4, p)); break;
                case 4: r.receive(kLan, frame(kLanMac, kHostMac, wire::EtherType::Ipv6, p)); break;
                case 5: r.receive(kWan, frame(kWanMac, kPeerMac, wire::EtherType::Ipv6, p)); break;
                case 6: r.from_host(p); break;
                default: r.advance(Duration{1ms} * length); break;
            }
        }
        r.sent.clear();
        r.host.clear();
        r.events();
        r.punts();
        r.pipeline.shut_down();
        CULVERT_CHECK(pool().in_use() == 0);
    }
    return 0;
}
