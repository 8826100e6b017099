#pragma once

#include "dataplane/node/context.h"

// The stages, in packet order. Each looks at every packet of the burst and sets where it goes on (Metadata::stage);
// none frees, punts or transmits: the pipeline's end does. A stage that turns one packet into several, or keeps it,
// takes it out of the burst.
namespace culvert::node {

// Frames as they came from `port`: link-layer header off, `input` and VRF known.
void classify(Context& ctx, Burst& burst, PortId port) noexcept;

// RFC 1812 5.2.2 and RFC 8200: header checks, trimming to the packet's length, martians, what is never forwarded.
void ip4_input(Context& ctx, Burst& burst) noexcept;
void ip6_input(Context& ctx, Burst& burst) noexcept;

// Batched longest prefix match in the packet's VRF, then the flow's next hop in the group.
void lookup_ipv4(Context& ctx, Burst& burst) noexcept;
void lookup_ipv6(Context& ctx, Burst& burst) noexcept;

// What is for this box: a tunnel's packets, neighbour discovery, or the host link.
void local(Context& ctx, Burst& burst) noexcept;
// BFD's datagrams, to the worker that owns the session and into its engine.
void take_bfd(Context& ctx, Burst& burst) noexcept;
// Joins the fragments of UDP, GRE and ESP datagrams for this box; the whole one is looked up again.
void reassemble(Context& ctx, Burst& burst) noexcept;
// Opens WireGuard data; the inner packet enters anew by the tunnel.
void decap_wireguard(Context& ctx, Burst& burst) noexcept;
// Opens ESP, RFC 4303; what is inside enters anew by the tunnel, GRE at its own stage.
void decap_esp(Context& ctx, Burst& burst) noexcept;
// RFC 2784, 2890, 7676; what is inside enters anew by the tunnel.
void decap_gre(Context& ctx, Burst& burst) noexcept;

// TTL, MTU, MSS, the tunnel's or the link's turn.
void forward_ipv4(Context& ctx, Burst& burst) noexcept;
void forward_ipv6(Context& ctx, Burst& burst) noexcept;

// Turns the packet into the ICMP error about it.
void answer(Context& ctx, Burst& burst) noexcept;
void fragment(Context& ctx, Burst& burst) noexcept;
// The outer packet is looked up in the tunnel's outer VRF, or sealed first if the tunnel is protected.
void encap_gre(Context& ctx, Burst& burst) noexcept;
// Seals for the peer; the outer packet is looked up in the tunnel's outer VRF.
void encap_wireguard(Context& ctx, Burst& burst) noexcept;
// Seals for the protection; the outer packet is looked up in the outer VRF. Without a live SA nothing leaves.
void encap_esp(Context& ctx, Burst& burst) noexcept;
// What is left to do of a burst after its cipher; each packet is given its next stage.
void end_encap_esp(Context& ctx, Batch& batch) noexcept;
void end_decap_esp(Context& ctx, Batch& batch) noexcept;
void end_encap_wireguard(Context& ctx, Batch& batch) noexcept;
void end_decap_wireguard(Context& ctx, Batch& batch) noexcept;
void rewrite(Context& ctx, Burst& burst) noexcept;

}  // namespace culvert::node
