#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace culvert::api {

// What became of a packet. One line gives the enumerator, the counter's name and the sentence an operator reads in
// `show dataplane drops`. Forward is not an end: it means "go on to the next stage".
// Kinds: a Drop frees the packet, a Punt copies it to the control plane and frees it, a Hold keeps it until something
// is resolved, a Local goes to the host link, a Sent left the box, an Answer was turned into a reply and goes on.
#define CULVERT_VERDICTS(V)                                                                                           \
    V(Forward, forward, "")                                                                                           \
    V(Sent, sent, "left by a port")                                                                                   \
    V(LocalDelivered, local_delivered, "delivered to the host link")                                                  \
    V(HandedOver, handed_over, "given to the worker that owns the tunnel")                                            \
    V(HoldNeighbor, hold_neighbor, "waits for the next hop's link-layer address")                                     \
    V(HoldHandshake, hold_handshake, "waits for a WireGuard handshake")                                               \
    V(PuntArp, punt_arp, "ARP for the control plane")                                                                 \
    V(PuntNd, punt_nd, "IPv6 neighbour discovery for the control plane")                                              \
    V(PuntWireguard, punt_wireguard, "WireGuard handshake message for the control plane")                             \
    V(AnswerTimeExceeded, answer_time_exceeded, "TTL or hop limit ran out: answered with time exceeded")              \
    V(AnswerUnreachable, answer_unreachable, "no way on: answered with destination unreachable")                      \
    V(AnswerTooBig, answer_too_big,                                                                                   \
      "larger than the next hop's MTU: answered with fragmentation needed or packet too big")                         \
    V(DropNotForUs, drop_not_for_us, "frame for another station's MAC address")                                       \
    V(DropEtherType, drop_ethertype, "EtherType that culvert doesn't route")                                          \
    V(DropVlan, drop_vlan, "VLAN that no interface has")                                                              \
    V(DropInterfaceDown, drop_interface_down, "the interface is shut down or not configured")                         \
    V(DropTruncated, drop_truncated, "shorter than its headers say")                                                  \
    V(DropIpVersion, drop_ip_version, "IP version field doesn't match")                                               \
    V(DropIpHeader, drop_ip_header, "malformed IP header")                                                            \
    V(DropIpChecksum, drop_ip_checksum, "IPv4 header checksum is wrong")                                              \
    V(DropMartianSource, drop_martian_source, "source address that can't be a sender (loopback, multicast, zero)")    \
    V(DropMartianDestination, drop_martian_destination, "destination that is never routed (loopback, class E, zero)") \
    V(DropMulticast, drop_multicast, "multicast that nobody here listens to")                                         \
    V(DropBroadcast, drop_broadcast, "broadcast that nobody here listens to")                                         \
    V(DropLinkLocal, drop_link_local, "link-local address that must not be forwarded")                                \
    V(DropNoRoute, drop_no_route, "no route to the destination, and the error may not be sent")                       \
    V(DropBlackhole, drop_blackhole, "route points to Null0")                                                         \
    V(DropTtlExpired, drop_ttl_expired, "TTL ran out, and the error may not be sent")                                 \
    V(DropTooBig, drop_too_big, "larger than the MTU with DF set, and the error may not be sent")                     \
    V(DropIcmpLimited, drop_icmp_limited, "would be answered with an ICMP error, but the rate limit is reached")      \
    V(DropNexthopDown, drop_nexthop_down, "every path of the route is down")                                          \
    V(DropNexthopGone, drop_nexthop_gone, "the next hop was removed while the packet was on its way")                 \
    V(DropNeighborFailed, drop_neighbor_failed, "the next hop doesn't answer ARP or ND")                              \
    V(DropHoldFull, drop_hold_full, "too many packets already wait for the same next hop or peer")                    \
    V(DropHoldExpired, drop_hold_expired, "waited too long for a next hop or a handshake")                            \
    V(DropNestedTooDeep, drop_nested_too_deep, "more than four encapsulations")                                       \
    V(DropTunnelLoop, drop_tunnel_loop, "the tunnel would run inside itself")                                         \
    V(DropProtectedClear, drop_protected_clear, "protected prefix with an unprotected next hop")                      \
    V(DropNoTunnelRoute, drop_no_tunnel_route, "no route to the tunnel's far end")                                    \
    V(DropWireguardNoPeer, drop_wireguard_no_peer, "no peer's allowed-ips hold the destination")                      \
    V(DropWireguardNoEndpoint, drop_wireguard_no_endpoint, "the WireGuard peer has no known endpoint")                \
    V(DropWireguardMalformed, drop_wireguard_malformed, "not a WireGuard message")                                    \
    V(DropWireguardIndex, drop_wireguard_index, "WireGuard receiver index that no session has")                       \
    V(DropWireguardAuth, drop_wireguard_auth, "WireGuard packet fails authentication")                                \
    V(DropWireguardReplay, drop_wireguard_replay, "WireGuard counter seen before or too old")                         \
    V(DropWireguardKeyExpired, drop_wireguard_key_expired, "WireGuard key is past its lifetime")                      \
    V(DropWireguardSource, drop_wireguard_source, "inner source address that this peer may not use")                  \
    V(DropHostLinkFull, drop_host_link_full, "the host link's queue is full")                                         \
    V(DropPuntFull, drop_punt_full, "the control plane's queue is full")                                              \
    V(DropPuntLimited, drop_punt_limited, "punt class is over its rate")                                              \
    V(DropTxFull, drop_tx_full, "the port's transmit queue is full")                                                  \
    V(DropHandoverFull, drop_handover_full, "the owning worker's queue is full")                                      \
    V(DropNoBuffer, drop_no_buffer, "no packet buffer left")                                                          \
    V(DropLocalProtocol, drop_local_protocol, "for this box, but nothing here takes it")                              \
    V(BfdReceived, bfd_received, "BFD packet of a session")                                                           \
    V(DropBfdMalformed, drop_bfd_malformed, "not a BFD packet that RFC 5880 lets us take")                            \
    V(DropBfdNoSession, drop_bfd_no_session, "BFD packet that no session here has to do with")                        \
    V(DropBfdTtl, drop_bfd_ttl, "BFD packet from too far away: its TTL is less than the session's minimum-ttl")       \
    V(DropBfdAuth, drop_bfd_auth, "BFD packet fails authentication")                                                  \
    V(DropBfdEcho, drop_bfd_echo, "BFD echo packet that isn't one of ours on its way")                                \
    V(DropBfdHandshake, drop_bfd_handshake, "BFD packet that would have waited for a WireGuard handshake")            \
    V(DropEspNoSa, drop_esp_no_sa, "protected, but no SA may send: nothing leaves in clear")                          \
    V(DropEspSpi, drop_esp_spi, "ESP with an SPI that no SA has")                                                     \
    V(DropEspMalformed, drop_esp_malformed, "ESP packet too short or not a whole number of blocks")                   \
    V(DropEspAuth, drop_esp_auth, "ESP packet fails authentication")                                                  \
    V(DropEspReplay, drop_esp_replay, "ESP sequence number seen before or too old")                                   \
    V(DropEspExpired, drop_esp_expired, "ESP packet for an SA past its lifetime")                                     \
    V(DropEspExhausted, drop_esp_exhausted, "the SA has used its last sequence number")                               \
    V(DropEspPadding, drop_esp_padding, "authentic ESP packet with malformed padding")                                \
    V(DropEspInner, drop_esp_inner, "authentic ESP packet that carries what its protection doesn't")                  \
    V(DropTunnelClear, drop_tunnel_clear, "arrived unprotected, or under another protection, for a protected tunnel") \
    V(DropEcn, drop_ecn, "congestion on the tunnel's path, and the inner packet can't be told (RFC 6040)")            \
    V(EspDummy, esp_dummy, "ESP dummy packet: has no inner packet")                                                   \
    V(NatKeepalive, nat_keepalive, "keepalive of UDP-encapsulated ESP: has no inner packet")                          \
    V(HoldFragment, hold_fragment, "waits for the other fragments of its datagram")                                   \
    V(Reassembled, reassembled, "fragment that was joined into its datagram")                                         \
    V(PuntPathMtu, punt_path_mtu, "ICMP error about a tunnel's own packet for the control plane")                     \
    V(GreKeepaliveReceived, gre_keepalive_received, "GRE keepalive of ours that came back")                           \
    V(DropGreMalformed, drop_gre_malformed, "malformed GRE header, or one that RFC 2784 says to drop")                \
    V(DropGreChecksum, drop_gre_checksum, "GRE checksum is wrong, or missing where it is asked for")                  \
    V(DropGreSequence, drop_gre_sequence, "GRE sequence number out of order, or missing where it is asked for")       \
    V(DropGreProtocol, drop_gre_protocol, "GRE packet that carries neither IPv4 nor IPv6")                            \
    V(DropNoTunnel, drop_no_tunnel, "no tunnel has these outer addresses and this key")                               \
    V(DropTunnelNoEndpoint, drop_tunnel_no_endpoint, "no endpoint is known for the multipoint tunnel's next hop")     \
    V(DropFragmentTiny, drop_fragment_tiny, "fragment too short to hold what it must, or not a multiple of 8")        \
    V(DropFragmentTooLarge, drop_fragment_too_large, "fragments of a datagram larger than a packet buffer")           \
    V(DropFragmentDuplicate, drop_fragment_duplicate, "fragment that is there already")                               \
    V(DropFragmentOverlap, drop_fragment_overlap, "fragments that overlap: the whole datagram is dropped")            \
    V(DropFragmentTimeout, drop_fragment_timeout, "its datagram's other fragments didn't come in time")               \
    V(DropFragmentEvicted, drop_fragment_evicted, "its datagram gave way to newer ones: too many are incomplete")     \
    V(DropFragmentSource, drop_fragment_source, "too many incomplete datagrams of one sender")                        \
    V(DropFragmentCount, drop_fragment_count, "datagram in too many fragments")                                       \
    V(DropDirectedBroadcast, drop_directed_broadcast,                                                                 \
      "for the broadcast or network address of a connected subnet, where nobody is")                                  \
    V(DropOwnSource, drop_own_source, "came in with an address of this router as its source")                         \
    V(DropShutdown, drop_shutdown, "the dataplane is stopping")                                                       \
    V(KeepaliveReceived, keepalive_received, "WireGuard keepalive: has no inner packet")

enum class Verdict : std::uint8_t {
#define CULVERT_V(name, counter, text) name,
    CULVERT_VERDICTS(CULVERT_V)
#undef CULVERT_V
};

struct VerdictText {
    std::string_view name;      // counter's name
    std::string_view sentence;  // for people
};

inline constexpr std::array kVerdictTexts = {
#define CULVERT_V(name, counter, text) VerdictText{#counter, text},
    CULVERT_VERDICTS(CULVERT_V)
#undef CULVERT_V
};
inline constexpr std::size_t kVerdictCount = kVerdictTexts.size();

constexpr const VerdictText& text(Verdict v) noexcept { return kVerdictTexts[static_cast<std::size_t>(v)]; }
constexpr bool is_drop(Verdict v) noexcept { return text(v).name.starts_with("drop_"); }

}  // namespace culvert::api
