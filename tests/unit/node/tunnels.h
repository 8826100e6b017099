#pragma once

#include "tests/unit/node/router.h"

namespace culvert::dataplane::test {

// Tunnels of a router as it comes to 192.0.2.2, one of a kind, for whoever needs just any.

// WireGuard on kWg: peer 1 at port 51820, `behind` it and allowed to it, MTU 1420. It has no keys.
void add_wireguard(Router& r, std::initializer_list<const char*> behind);
// Keys of which the router is the initiator: sending all 1, receiving all 2; the peer's index is the next one.
void install_wireguard_keys(Router& r, std::uint32_t local_index = 100);

// A VTI on interface 10, protected by 1, with 10.2.0.0/16 behind it. It has no SAs.
inline constexpr InterfaceId kVti{10};
inline constexpr ProtectionId kVtiProtection{1};
void add_vti(Router& r, std::uint16_t mtu);
// SPI 0x1001 out, 0x1002 in; a key for each.
api::InstallSa vti_sa(api::SaDirection direction, api::EspAlgorithm algorithm);
// What the far end's table sends under our inbound SA: the same under another name.
api::InstallSa vti_peer_sa(api::EspAlgorithm algorithm);
// A frame of ESP as it comes in by the wan, sealed by the far end.
Octets from_vti_peer(esp::SaTable& peer, Bytes inner, TimePoint now);

}  // namespace culvert::dataplane::test
