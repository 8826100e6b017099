#pragma once

#include "base/ids.h"
#include "base/ip.h"
#include "dataplane/api/esp.h"

#include <cstdint>
#include <type_traits>
#include <variant>

namespace culvert::api {

// What travels from the control plane to the fib-writer: small, trivially copyable, no pointers. The order within a
// batch is: create objects, then prefixes, then deletions (docs/architecture.md, the FIB channel).

// A VRF's tables exist from here on. VRF 0 always exists.
struct SetVrf {
    VrfId vrf;
};
struct DeleteVrf {
    VrfId vrf;
};

enum class InterfaceKind : std::uint8_t { Port, Loopback, Wireguard, Tunnel };

// An interface of the router. An interface that is not `up` neither takes nor sends packets.
struct SetInterface {
    InterfaceId id;
    VrfId vrf;
    InterfaceKind kind;
    bool up;
    PortId port{kNoPort};      // Port only
    std::uint16_t vlan = 0;    // Port only; 0 is untagged
    MacAddress mac{};          // Port only
    std::uint16_t mtu = 1500;  // the largest IP packet that may leave by it, octets
    std::uint16_t mss4 = 0;    // `ip tcp adjust-mss`: clamp to this; 0 leaves SYNs alone
    std::uint16_t mss6 = 0;
    // What this box says it is on the interface: the source of ICMP errors and of tunnels' outer packets. Zero: it has
    // none, and the sender borrows one of another interface of the VRF (a loopback's first).
    Ipv4Address address4{};
    Ipv6Address address6{};
};
struct DeleteInterface {
    InterfaceId id;
};

// The WireGuard side of an interface of kind Wireguard.
struct SetWireguard {
    InterfaceId interface;
    VrfId outer_vrf;
    std::uint16_t listen_port;  // of every local address of the outer VRF, or of `source`
    IpAddress source{};         // 0.0.0.0: the address of the interface that the outer packet leaves by
};

// The tunnel side of an interface of kind Tunnel.
enum class TunnelMode : std::uint8_t {
    Gre,            // RFC 2784, 2890, 7676
    GreMultipoint,  // `destination` is unspecified; SetTunnelEndpoint says where a next hop is
    Ipsec,          // a VTI: IP in ESP, RFC 4303 tunnel mode
};
struct SetTunnel {
    InterfaceId interface;
    VrfId outer_vrf;
    TunnelMode mode;
    std::uint8_t ttl = 0;  // of the outer packet; 0 is the inner's
    std::uint8_t tos = 0;  // unless inherit_tos; its two low bits (ECN) don't count
    bool inherit_tos : 1 = true;
    bool checksum : 1 = false;  // GRE: sent, and asked for on the way in
    bool sequence : 1 = false;  // GRE: sent, and what comes out of order is dropped. Point to point only
    bool has_key : 1 = false;
    // The outer IPv4 packet has the inner's DF (of IPv6: set when it is larger than 1280). Else it never has.
    bool copy_df : 1 = true;
    // The peer's keepalives are sent back, and ours that come back are noted, even while the interface is down.
    bool keepalives : 1 = true;
    // Not usable, whatever else: the control plane found that it would run inside itself.
    bool loops : 1 = false;
    std::uint32_t key = 0;
    IpAddress source{};
    IpAddress destination{};
    ProtectionId protection{kNoProtection};  // with one, nothing leaves and nothing is taken in clear
};
// Multipoint: packets whose next hop is `nexthop` go to `endpoint`.
struct SetTunnelEndpoint {
    InterfaceId interface;
    IpAddress nexthop;
    IpAddress endpoint;
    ProtectionId protection{kNoProtection};
};
struct DeleteTunnelEndpoint {
    InterfaceId interface;
    IpAddress nexthop;
};

// A peer. Its keys come by the worker command ring, never here.
struct SetPeer {
    PeerId id;
    InterfaceId interface;
    Endpoint endpoint{};  // port 0: not known yet, learned when the peer speaks
};
struct DeletePeer {
    PeerId id;
};
// Cryptokey routing on the way out: a packet for `prefix` on `interface` goes to `peer`.
struct SetAllowedIp {
    InterfaceId interface;
    IpPrefix prefix;
    PeerId peer;
};
struct DeleteAllowedIp {
    InterfaceId interface;
    IpPrefix prefix;
};
// The inner source addresses a peer may use: its allowed-ips, and with `routes bgp` each prefix of the feasible paths
// learned from it. The control plane counts references; here a prefix is in the set or it isn't.
struct AddPeerSource {
    PeerId peer;
    IpPrefix prefix;
};
struct DeletePeerSource {
    PeerId peer;
    IpPrefix prefix;
};

enum class NexthopKind : std::uint8_t {
    Adjacency,        // `gateway` on `interface`, link-layer address `mac`; while !resolved packets are held
    Glean,            // the destination itself is on `interface`'s link, not resolved yet: held, NeighborMiss raised
    WireguardPeer,    // `peer` of `interface`
    WireguardLookup,  // `interface`, the peer picked by allowed-ips of the destination
    Tunnel,           // `interface` of kind Tunnel; multipoint: `gateway` picks the endpoint
    Local,            // to the host link of `vrf`
    Via,              // another group of `vrf` (recursive or leaked)
    Blackhole,        // silently dropped
    Reject,           // answered with unreachable
    Broadcast,        // of a connected subnet: dropped
};

struct SetNexthop {
    NexthopId id;
    NexthopKind kind;
    bool resolved = false;  // Adjacency
    InterfaceId interface {
        kNoInterface
    };
    VrfId vrf{kDefaultVrf};               // Local and Via
    GroupId via{kNoGroup};                // Via
    PeerId peer{kNoPeer};                 // WireguardPeer
    std::uint16_t mtu = 0;                // octets of IP packet; 0 is the interface's
    IpAddress gateway{};                  // Adjacency; Tunnel, multipoint
    MacAddress mac{};                     // Adjacency
    BfdSessionId session{kNoBfdSession};  // whose word it obeys besides its own
    // Adjacency: it was resolved, and no longer answers. Taken only when no path of the group is left, to ask again.
    bool lost = false;
};
struct DeleteNexthop {
    NexthopId id;
};
// Why something is down, a bit a cause.
namespace cause {
inline constexpr std::uint32_t kBfd = 1 << 0;
inline constexpr std::uint32_t kLink = 1 << 1;
inline constexpr std::uint32_t kTunnel = 1 << 2;
inline constexpr std::uint32_t kNeighbor = 1 << 3;
}  // namespace cause
// What has a down word of its own: a next hop, an interface that is a tunnel, a port, a BFD session. A next hop is
// taken only while its own word, its tunnel's or port's, and its session's (SetNexthop::session) are all clear.
enum class DownKind : std::uint8_t { Nexthop, Interface, Port, Session };
// A session's word exists from here on, and is clear. The worker is told of the session after this is acked.
struct SetDownWord {
    BfdSessionId session;
};
struct DeleteDownWord {
    BfdSessionId session;
};
// Control has acted on the failure that it saw with `epoch`: the down word's causes may go if no later failure came.
struct ClearDown {
    DownKind kind;
    std::uint32_t id;
    std::uint32_t epoch;
};

// A set of next hops that share traffic. SetGroup announces it, then exactly `member_count` SetGroupMember follow; the
// group changes for packets when the last of them has come. Flows of members that stay keep their buckets.
struct SetGroup {
    GroupId id;
    std::uint16_t member_count;  // 1..64
    GroupId backup{kNoGroup};    // taken when every member is down
    GroupId like{kNoGroup};      // of a new group: flows keep the members that they have in this one
    // Buckets of members that stay move to others at the pace of SetFailoverPace, not at once.
    bool gradual = false;
};
struct SetGroupMember {
    GroupId group;
    std::uint16_t position;  // 0..member_count-1
    std::uint16_t weight;    // >= 1
    NexthopId nexthop;
};
struct DeleteGroup {
    GroupId id;
};
// How fast the buckets of a `gradual` group move, each group by itself. 0: at once.
struct SetFailoverPace {
    std::uint32_t buckets_a_second;
};

struct SetRoute {
    VrfId vrf;
    IpPrefix prefix;
    GroupId group;
    // `protected`: its packets leave encrypted or not at all, whatever next hop, backup or tunnel they take.
    bool protected_only = false;
};
struct DeleteRoute {
    VrfId vrf;
    IpPrefix prefix;
};

// Destinations that leave by encrypted next hops only, whatever route there is for them: WireGuard's, or a tunnel's
// that is protected. It outlives the routes: what falls back to another one must not leave in clear either.
struct SetProtectedPrefix {
    VrfId vrf;
    IpPrefix prefix;
};
struct DeleteProtectedPrefix {
    VrfId vrf;
    IpPrefix prefix;
};

// End of a batch; acked when every worker has passed a quiescent state after it was applied.
struct Commit {
    std::uint64_t generation;
};

using FibUpdate =
    std::variant<Commit, SetVrf, DeleteVrf, SetInterface, DeleteInterface, SetWireguard, SetTunnel, SetTunnelEndpoint,
                 DeleteTunnelEndpoint, SetPeer, DeletePeer, SetAllowedIp, DeleteAllowedIp, AddPeerSource,
                 DeletePeerSource, SetNexthop, DeleteNexthop, SetDownWord, DeleteDownWord, ClearDown, SetGroup,
                 SetGroupMember, DeleteGroup, SetFailoverPace, SetRoute, DeleteRoute, SetProtection, DeleteProtection,
                 SetProtectedPrefix, DeleteProtectedPrefix>;
static_assert(std::is_trivially_copyable_v<FibUpdate>);
static_assert(sizeof(FibUpdate) <= 64, "one cache line an update");
static_assert(sizeof(SetTunnel) <= 56 && sizeof(SetTunnelEndpoint) <= 56);

}  // namespace culvert::api
