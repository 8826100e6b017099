// Any frames through the whole pipeline of a populated router: no crash, every packet ends exactly once.
//
// Input: pieces of { source, length 16, octets }. The source's low bits say how the piece comes in: as a frame of the
// lan, of the wan, with a good header in front (so that the fuzzer needn't find MAC addresses and checksums), from the
// host link, or as time that passes.

#include "tests/fuzz/router_input.h"
#include "tests/unit/node/tunnels.h"

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

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    auto& r = fuzz::router(populate);
    Reader in{{data, size}};
    while (!in.empty()) {
        const auto source = in.u8();
        auto p = fuzz::piece(in);
        if ((source & 0x80) != 0) fuzz::mend(p);
        switch (source & 7) {
            case 0: r.receive(kLan, p); break;
            case 1: r.receive(kWan, p); break;
            case 2: r.receive(kLan, frame(kLanMac, kHostMac, wire::EtherType::Ipv4, p)); break;
            case 3: r.receive(kWan, frame(kWanMac, kPeerMac, wire::EtherType::Ipv4, p)); break;
            case 4: r.receive(kLan, frame(kLanMac, kHostMac, wire::EtherType::Ipv6, p)); break;
            case 5: r.receive(kWan, frame(kWanMac, kPeerMac, wire::EtherType::Ipv6, p)); break;
            case 6: r.from_host(p); break;
            default: r.advance(Duration{1ms} * p.size()); break;
        }
    }
    fuzz::end(r);
    return 0;
}
