#pragma once

#include "base/ids.h"
#include "base/ip.h"
#include "controlplane/route/prefix_map.h"
#include "controlplane/route/tables.h"
#include "dataplane/api/fib_update.h"
#include "dataplane/api/worker_link.h"

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <variant>
#include <vector>

namespace culvert::fibprog {

// Where updates go: api::FibChannel, or a test's list.
class Sink {
public:
    virtual ~Sink() = default;
    virtual void push(const api::FibUpdate& update) = 0;
    virtual std::uint64_t commit() = 0;       // -> the batch's generation, rising
    virtual std::uint64_t acked() const = 0;  // forwarding up to here
    virtual std::size_t backlog() const { return 0; }
};

// `ip tcp adjust-mss`. Auto: the interface's MTU less 40 (IPv4) or 60 (IPv6).
struct AdjustMss {
    enum class Kind : std::uint8_t { Off, Auto, Fixed } kind = Kind::Off;
    std::uint16_t value = 0;
    friend bool operator==(const AdjustMss&, const AdjustMss&) = default;
};

struct InterfaceSpec {
    InterfaceId id{kNoInterface};
    VrfId vrf{kDefaultVrf};
    api::InterfaceKind kind = api::InterfaceKind::Port;
    bool up = false;
    PortId port{kNoPort};
    std::uint16_t vlan = 0;
    MacAddress mac{};
    std::uint16_t mtu = 1500;
    AdjustMss adjust_mss;
    Ipv4Address address4{};  // what this box says it is there; zero: it has none
    Ipv6Address address6{};
    // IPv4 subnets that are connected by it: nobody has their network and broadcast addresses (RFC 1812 5.3.5), which
    // are not forwarded. Those of up to two addresses have neither (RFC 3021).
    std::vector<IpPrefix> subnets{};
    friend bool operator==(const InterfaceSpec&, const InterfaceSpec&) = default;
};

// What a worker is to be told, once the dataplane forwards by it: api::ReleaseHeld for each worker link.
using Release = api::ReleaseHeld;
// The path to a watched destination can carry packets of `mtu` octets; 0: no path.
struct PathMtuChanged {
    VrfId vrf;
    IpAddress address;
    std::uint16_t mtu;
};
// Where packets to an address leave this box, as of now.
struct WayTo {
    std::uint16_t mtu = 0;             // the smallest of the interfaces; 0: no way
    bool here = false;                 // to this box itself
    std::set<InterfaceId> interfaces;  // those that are up
    friend bool operator==(const WayTo&, const WayTo&) = default;
};

// A route's gateway is (or is no more) this neighbour: neighbor::Engine::set_in_use.
struct NeighborUse {
    InterfaceId interface;
    IpAddress address;
    bool in_use;
};
// An id is free: its deletion was acked.
struct InterfaceGone {
    InterfaceId id;
};
struct PeerGone {
    PeerId id;
};
struct VrfGone {
    VrfId id;
};
using Event = std::variant<Release, PathMtuChanged, NeighborUse, InterfaceGone, PeerGone, VrfGone>;

// A gateway as failures know it: on the link of an interface (the VRF is then kDefaultVrf), or several hops away in a
// VRF (the interface is then kNoInterface).
struct Gateway {
    VrfId vrf{kDefaultVrf};
    InterfaceId interface {
        kNoInterface
    };
    IpAddress address{};
    friend auto operator<=>(const Gateway&, const Gateway&) = default;
};

// Says why a gateway is not used, for `show ip route` and logs.
struct GatewayView {
    VrfId vrf;
    IpAddress address;
    InterfaceId interface;
    NexthopId nexthop;
    api::NexthopKind kind;
    const char* reason;  // empty: it is usable
};

// Turns the best routes, interfaces, neighbours and WireGuard peers into updates of the dataplane's tables.
//
// Each gateway has one next-hop id for its whole life, whatever it resolves to: an adjacency, a WireGuard peer, or
// `Via` the group of the route that resolves it. So when an inner route moves, one SetNexthop moves every prefix behind
// it. A set of next hops has one group id; all prefixes with that set point to it.
//
// Ids are counted by reference. When the last goes, the object stays until the batch that unlinked it was acked, is
// then deleted, and its id is used again when the deletion was acked too.
//
// Calls change state and may push updates; run() takes what the tables have for us and commits. All on the control
// thread.
class Programmer {
public:
    Programmer(Sink& sink, route::Tables& tables);
    ~Programmer();
    Programmer(const Programmer&) = delete;
    Programmer& operator=(const Programmer&) = delete;

    void set_vrf(VrfId vrf);
    void remove_vrf(VrfId vrf);  // VrfGone follows
    // New or changed. Tell route::Interfaces of it too, before or after.
    void set_interface(const InterfaceSpec& spec);
    void remove_interface(InterfaceId id);  // InterfaceGone follows, once no next hop uses it

    // The neighbour engine's word: `mac`, or nullopt when it expired or failed. `failed`: packets that wait for it are
    // to be given up. A Release event follows when the dataplane forwards by it.
    void set_neighbor(InterfaceId interface, const IpAddress& address, std::optional<MacAddress> mac,
                      bool failed = false);
    // It was resolved, and no longer answers: packets take any other path first, until set_neighbor() brings a MAC.
    void lose_neighbor(InterfaceId interface, const IpAddress& address);
    // Is the address the gateway of some route? Then the neighbour engine keeps it fresh.
    bool uses_neighbor(InterfaceId interface, const IpAddress& address) const;

    void set_wireguard(const api::SetWireguard& wireguard);
    // Tunnels and what protects them; the interface is there already, and takes its tunnel with it when it goes.
    void set_tunnel(const api::SetTunnel& tunnel);
    void set_tunnel_endpoint(const api::SetTunnelEndpoint& endpoint);
    void remove_tunnel_endpoint(const api::DeleteTunnelEndpoint& endpoint);
    void set_protection(const api::SetProtection& protection);
    void remove_protection(ProtectionId id);
    // Destinations that leave by encrypted next hops only.
    void protect(VrfId vrf, const IpPrefix& prefix);
    void unprotect(VrfId vrf, const IpPrefix& prefix);
    // Adds or changes a peer. `allowed_ips` replaces the list; a prefix that another peer of the interface holds moves
    // here, as in WireGuard.
    void set_peer(const api::SetPeer& peer, const std::vector<IpPrefix>& allowed_ips);
    void remove_peer(PeerId peer);  // PeerGone follows
    // `routes bgp`: one feasible path for `prefix` came from the peer (+1) or went (-1).
    void peer_source(PeerId peer, const IpPrefix& prefix, int change);
    // The peer whose allowed-ips hold `address`, kNoPeer if none.
    PeerId peer_of(InterfaceId interface, const IpAddress& address) const;

    // Pushes up to `budget` changed prefixes and everything they need, and commits if anything was pushed. True: there
    // is more to do. 10,000 stay well below 5 ms.
    bool run(std::size_t budget = 4096);
    // The sink's acked() moved: deletions go out, ids become free, events are raised. run() must be called after.
    void on_acked();
    bool next_event(Event& event);

    // The largest packet that fits every interface on the way to `address`, as of now; 0 without a route.
    std::uint16_t path_mtu(VrfId vrf, const IpAddress& address) const;
    WayTo way_to(VrfId vrf, const IpAddress& address) const;
    // PathMtuChanged events for a destination (a BGP neighbour, a tunnel's far end): the current value at the next
    // run(), then changes, of the interfaces on the way too. Each watch wants its own unwatch.
    void watch_path_mtu(VrfId vrf, const IpAddress& address);
    void unwatch_path_mtu(VrfId vrf, const IpAddress& address);

    // ---- failures

    // The BFD session whose word the gateway obeys: on the link of `interface`, or (kNoInterface) several hops away in
    // `vrf`. kNoBfdSession: none any more. Of several sessions for one gateway the last one counts.
    void set_session(const Gateway& gateway, BfdSessionId session);
    // The way to a gateway on the link of an interface, kept while it is held, whether a route has it or not: what a
    // worker that watches the gateway sends by. Each hold wants its own release.
    NexthopId hold_gateway(const Gateway& gateway);
    void release_gateway(const Gateway& gateway);
    // The word exists before any worker is told of the session; it goes after the last next hop obeys another.
    void set_down_word(BfdSessionId session);
    void delete_down_word(BfdSessionId session);
    // The gateway failed (`reason`, a literal) or is back (nullptr): groups do without it while they have anything
    // else. Tells route::Tables, whose clients learn of it too.
    void set_gateway_down(const Gateway& gateway, const char* reason);
    // Control has acted on the failure that the dataplane saw with `epoch`.
    void clear_down(api::DownKind kind, std::uint32_t id, std::uint32_t epoch);
    // Buckets of a group that move in a second to a member that is back. 0: all at once.
    void set_pace(std::uint32_t buckets_a_second);
    // What has the next hop as its gateway; nullopt for others.
    std::optional<Gateway> gateway_of(NexthopId id) const;
    std::vector<NexthopId> nexthops_of(const Gateway& gateway) const;

    std::vector<GatewayView> gateways() const;
    std::optional<api::SetNexthop> nexthop(NexthopId id) const;  // as it was pushed last
    struct Counts {
        std::size_t nexthops = 0, groups = 0, retiring = 0;
        std::uint64_t updates = 0;
    };
    Counts counts() const noexcept;

private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace culvert::fibprog
