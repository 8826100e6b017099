#include "tests/unit/node/tunnels.h"

#include "base/check.h"

#include <algorithm>

namespace culvert::dataplane::test {

namespace {

constexpr PeerId kPeer{1};
constexpr std::uint16_t kPort = 51820;

}  // namespace

void add_wireguard(Router& r, std::initializer_list<const char*> behind)
{
    r.apply(api::SetInterface{.id = kWg,
                              .vrf = kDefaultVrf,
                              .kind = api::InterfaceKind::Wireguard,
                              .up = true,
                              .mtu = 1420,
                              .address4 = ip4("10.255.0.1"),
                              .address6 = ip6("fd00::1")});
    r.apply(api::SetWireguard{.interface = kWg, .outer_vrf = kDefaultVrf, .listen_port = kPort});
    r.apply(api::SetPeer{.id = kPeer, .interface = kWg});
    for (const auto* p : behind) {
        r.apply(api::SetAllowedIp{kWg, prefix(p), kPeer});
        r.apply(api::AddPeerSource{kPeer, prefix(p)});
        r.route(p, {.id = {}, .kind = api::NexthopKind::WireguardLookup, .interface = kWg});
    }
    r.command(api::MovePeer{kPeer, {ip("192.0.2.2"), kPort}});
}

void install_wireguard_keys(Router& r, std::uint32_t local_index)
{
    api::InstallKeys keys{.peer = kPeer,
                          .sequence = 1,
                          .local_index = local_index,
                          .remote_index = local_index + 1,
                          .initiator = true,
                          .created = r.context.now};
    keys.sending.fill(1);
    keys.receiving.fill(2);
    r.command(keys);
}

void add_vti(Router& r, std::uint16_t mtu)
{
    r.apply(api::SetInterface{.id = kVti,
                              .vrf = kDefaultVrf,
                              .kind = api::InterfaceKind::Tunnel,
                              .up = true,
                              .mtu = mtu,
                              .address4 = ip4("10.254.0.1")});
    r.apply(api::SetProtection{.id = kVtiProtection,
                               .interface = kVti,
                               .outer_vrf = kDefaultVrf,
                               .local = ip("192.0.2.1"),
                               .remote = ip("192.0.2.2")});
    r.apply(api::SetTunnel{.interface = kVti,
                           .outer_vrf = kDefaultVrf,
                           .mode = api::TunnelMode::Ipsec,
                           .source = ip("192.0.2.1"),
                           .destination = ip("192.0.2.2"),
                           .protection = kVtiProtection});
    r.route("10.2.0.0/16", {.id = {}, .kind = api::NexthopKind::Tunnel, .interface = kVti});
}

api::InstallSa vti_sa(api::SaDirection direction, api::EspAlgorithm algorithm)
{
    api::InstallSa c{};
    c.protection = kVtiProtection;
    c.child = 1;
    c.spi = direction == api::SaDirection::Outbound ? 0x1001 : 0x1002;
    c.direction = direction;
    c.mode = api::EspMode::Tunnel;
    c.algorithm = algorithm;
    c.local = {ip("192.0.2.1"), 0};
    c.remote = {ip("192.0.2.2"), 0};
    c.key.fill(direction == api::SaDirection::Outbound ? 1 : 2);
    return c;
}

api::InstallSa vti_peer_sa(api::EspAlgorithm algorithm)
{
    auto c = vti_sa(api::SaDirection::Inbound, algorithm);
    c.direction = api::SaDirection::Outbound;
    std::swap(c.local, c.remote);
    return c;
}

Octets from_vti_peer(esp::SaTable& peer, Bytes inner, TimePoint now)
{
    const std::size_t front = peer.sending(kVtiProtection)->front;
    Octets esp(front + inner.size() + esp::kMaxBack);
    std::copy(inner.begin(), inner.end(), esp.begin() + static_cast<std::ptrdiff_t>(front));
    esp::SealJob job{.protection = kVtiProtection,
                     .data = esp.data() + front,
                     .length = static_cast<std::uint32_t>(inner.size()),
                     .next_header = 4};
    peer.seal({&job, 1}, now);
    CULVERT_CHECK(job.verdict == Verdict::Forward);
    esp.resize(job.sealed_length);
    return frame(kWanMac, kPeerMac, packet(ip("192.0.2.2"), ip("192.0.2.1"), wire::Protocol::Esp, esp));
}

}  // namespace culvert::dataplane::test
