// ESP as it comes to a populated router: by IPv4 and IPv6, bare and in UDP, for a VTI, for GRE in transport and in
// tunnel mode. The octets are the input's: as they are, or sealed under the right key first. No crash, every packet
// ends exactly once.
//
// Input: pieces of { how, length 16, octets }.

#include "tests/fuzz/router_input.h"

using namespace culvert;
using namespace culvert::dataplane::test;

namespace {

struct Tunnel {
    ProtectionId id;
    InterfaceId interface;
    api::EspInner inner;
    api::EspMode mode;
    api::EspAlgorithm algorithm;
    bool udp;
    bool v6;
};
constexpr Tunnel kTunnels[] = {
    {ProtectionId{1}, InterfaceId{10}, api::EspInner::Ip, api::EspMode::Tunnel, api::EspAlgorithm::AesGcm128, false,
     false},
    {ProtectionId{2}, InterfaceId{11}, api::EspInner::Gre, api::EspMode::Transport, api::EspAlgorithm::AesCbc128Sha256,
     false, false},
    {ProtectionId{3}, InterfaceId{12}, api::EspInner::Gre, api::EspMode::Tunnel, api::EspAlgorithm::ChaCha20Poly1305,
     true, true},
    {ProtectionId{4}, InterfaceId{13}, api::EspInner::Gre, api::EspMode::Transport, api::EspAlgorithm::AesGcm256, true,
     true},
};

IpAddress here(bool v6) { return ip(v6 ? "2001:db8:2::1" : "192.0.2.1"); }
IpAddress there(bool v6) { return ip(v6 ? "2001:db8:2::2" : "192.0.2.2"); }

api::InstallSa sa(const Tunnel& t, api::SaDirection direction)
{
    api::InstallSa c{};
    c.protection = t.id;
    c.child = 1;
    c.spi = 0x1000 + index(t.id);
    c.direction = direction;
    c.mode = t.mode;
    c.algorithm = t.algorithm;
    c.udp = t.udp;
    c.follow_peer = t.udp;
    c.replay_window = api::InstallSa::kNoReplayWindow;  // the router lives on from input to input, the peer does not
    c.local = {here(t.v6), 4500};
    c.remote = {there(t.v6), 4500};
    c.key.fill(0x42);
    return c;
}

void populate(Router& r)
{
    for (const auto& t : kTunnels) {
        r.apply(api::SetInterface{.id = t.interface,
                                  .vrf = kDefaultVrf,
                                  .kind = api::InterfaceKind::Tunnel,
                                  .up = true,
                                  .mtu = 1400,
                                  .address4 = ip4("10.255.0.1"),
                                  .address6 = ip6("fd00::1")});
        r.apply(api::SetProtection{.id = t.id,
                                   .interface = t.interface,
                                   .outer_vrf = kDefaultVrf,
                                   .inner = t.inner,
                                   .local = here(t.v6),
                                   .remote = there(t.v6)});
        r.apply(api::SetTunnel{.interface = t.interface,
                               .outer_vrf = kDefaultVrf,
                               .mode = t.inner == api::EspInner::Gre ? api::TunnelMode::Gre : api::TunnelMode::Ipsec,
                               .ttl = 255,
                               .has_key = t.inner == api::EspInner::Gre,
                               .key = index(t.id),
                               .source = here(t.v6),
                               .destination = there(t.v6),
                               .protection = t.id});
        r.command(sa(t, api::SaDirection::Inbound));
    }
}

// ESP behind an IP header, in UDP if asked.
Octets outer(bool v6, bool udp, const Octets& esp)
{
    if (!udp) return packet(there(v6), here(v6), wire::Protocol::Esp, esp);
    auto out = v6 ? packet(Udp6{.from = there(true).v6(),
                                .to = here(true).v6(),
                                .from_port = 4500,
                                .to_port = 4500,
                                .payload = esp.size()})
                  : packet(Udp4{.from = there(false).v4(),
                                .to = here(false).v4(),
                                .from_port = 4500,
                                .to_port = 4500,
                                .payload = esp.size()});
    std::copy(esp.begin(), esp.end(), out.end() - static_cast<std::ptrdiff_t>(esp.size()));
    return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    auto& r = fuzz::router(populate);
    std::vector<api::ProtectionActivity> activity(8);
    esp::SaTable peer{r.aead, activity};
    for (const auto& t : kTunnels) peer.apply(sa(t, api::SaDirection::Outbound), r.context.now);

    Reader in{{data, size}};
    while (!in.empty()) {
        const auto how = in.u8();
        auto esp = fuzz::piece(in, 1500);
        const auto& t = kTunnels[how & 3];
        if ((how & 0x30) == 0x30) {
            r.advance(Duration{1ms} * esp.size());
            continue;
        }
        if ((how & 0x10) != 0) {  // sealed; the first octet is the next header
            const std::uint8_t next_header = esp.empty() ? 59 : esp[0];
            if (!esp.empty()) esp.erase(esp.begin());
            Octets buffer(esp::kMaxFront + esp.size() + esp::kMaxBack);
            std::copy(esp.begin(), esp.end(), buffer.begin() + esp::kMaxFront);
            esp::SealJob job{.protection = t.id,
                             .data = buffer.data() + esp::kMaxFront,
                             .length = static_cast<std::uint32_t>(esp.size()),
                             .next_header = next_header};
            const std::size_t front = peer.sending(t.id)->front;
            peer.seal({&job, 1}, r.context.now);
            CULVERT_CHECK(job.verdict == Verdict::Forward);
            esp.assign(job.data - front, job.data - front + job.sealed_length);
        } else if ((how & 0x40) != 0 && esp.size() >= 4) {  // an SPI that is known
            esp[0] = esp[1] = 0;
            esp[2] = 0x10;
            esp[3] = static_cast<std::uint8_t>(index(t.id));
        }
        const bool udp = (how & 4) != 0 ? !t.udp : t.udp;
        r.from_wan(outer(t.v6, udp, esp));
    }
    fuzz::end(r);
    return 0;
}
