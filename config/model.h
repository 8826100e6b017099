#pragma once

#include "base/ids.h"
#include "base/ip.h"

#include <array>
#include <chrono>
#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

// The configuration as plain structs: what a file or a `configure terminal` says, nothing of the running state. Every
// struct compares, so that diff() is a walk. Defaults here are the language's defaults (docs/configuration.md).
namespace culvert::config {

using Seconds = std::chrono::seconds;
using Key32 = std::array<std::uint8_t, 32>;

// A secret as the configuration names it: a file, or a value that is written back but shown masked. Never logged.
struct Secret {
    std::string file;  // one of the two is set
    std::string value;
    friend bool operator==(const Secret&, const Secret&) = default;
};

enum class LogLevel : std::uint8_t { Debug, Info, Warning, Error };

struct Log {
    std::string file;  // empty: standard error
    LogLevel level = LogLevel::Info;
    friend bool operator==(const Log&, const Log&) = default;
};

struct Dataplane {
    struct WorkersAuto {
        friend bool operator==(const WorkersAuto&, const WorkersAuto&) = default;
    };
    struct WorkersCount {
        unsigned count;
        friend bool operator==(const WorkersCount&, const WorkersCount&) = default;
    };
    struct WorkersPinned {
        std::vector<unsigned> cpus;
        friend bool operator==(const WorkersPinned&, const WorkersPinned&) = default;
    };
    enum class Memory : std::uint8_t { Auto, HugePages, Anonymous };

    std::variant<WorkersAuto, WorkersCount, WorkersPinned> workers;
    Memory memory = Memory::Auto;
    std::uint64_t memory_octets = 0;  // 0: chosen by the dataplane
    bool poll_busy = false;
    friend bool operator==(const Dataplane&, const Dataplane&) = default;
};

struct Port {
    enum class Kind : std::uint8_t { Kernel, Pci, Vdev };
    Kind kind = Kind::Kernel;
    std::string device;
    bool force = false;
    friend bool operator==(const Port&, const Port&) = default;
};

struct WireguardPeer {
    std::string name;
    Key32 public_key{};
    std::optional<Secret> preshared_key;
    std::optional<Endpoint> endpoint;
    std::vector<IpPrefix> allowed_ips;
    std::optional<Seconds> persistent_keepalive;
    bool routes_bgp = false;
    std::string description;
    friend bool operator==(const WireguardPeer&, const WireguardPeer&) = default;
};

struct Wireguard {
    std::optional<Secret> private_key;  // required
    std::uint16_t listen_port = 51820;
    std::optional<Seconds> rekey_after;          // 120 s
    std::string source_interface;                // `tunnel source IFNAME`
    std::optional<IpAddress> source_address;     // `tunnel source A.B.C.D`
    std::string outer_vrf;                       // `tunnel vrf NAME`; empty: default
    std::map<std::string, WireguardPeer> peers;  // by name
    friend bool operator==(const Wireguard&, const Wireguard&) = default;
};

struct AdjustMss {
    std::optional<std::uint16_t> value;  // nullopt: auto, from the path's MTU
    friend bool operator==(const AdjustMss&, const AdjustMss&) = default;
};

struct Loopback {
    friend bool operator==(const Loopback&, const Loopback&) = default;
};
struct Subinterface {  // NAME.VLAN with `encapsulation dot1q VLAN`
    std::string parent;
    std::uint16_t vlan = 0;
    friend bool operator==(const Subinterface&, const Subinterface&) = default;
};

struct Interface {
    std::string name;
    std::string description;
    bool shutdown = false;
    std::string vrf;                          // empty: default
    std::vector<InterfaceAddress> addresses;  // in order; the first of a family is the primary
    std::optional<std::uint16_t> mtu;
    std::optional<std::uint16_t> ip_mtu;
    std::optional<AdjustMss> adjust_mss;
    // What it is. monostate: an `interface X` without `port`, `tunnel mode` or a loopback's name: an error in
    // validate().
    std::variant<std::monostate, Port, Loopback, Subinterface, Wireguard> kind;
    friend bool operator==(const Interface&, const Interface&) = default;
};

struct StaticRoute {
    IpPrefix prefix{};
    std::optional<IpAddress> gateway;
    std::string interface;  // empty: found by the gateway
    enum class Drop : std::uint8_t { No, Null0, Blackhole, Reject };
    Drop drop = Drop::No;
    std::uint8_t distance = 1;
    std::uint32_t tag = 0;
    std::string nexthop_vrf;  // `nexthop-vrf NAME`; empty: the route's own
    friend bool operator==(const StaticRoute&, const StaticRoute&) = default;
    friend auto operator<=>(const StaticRoute&, const StaticRoute&) = default;
};

struct BgpNeighborFamily {
    std::optional<bool> activate;  // unset: `bgp default ipv4-unicast` decides (ipv4 yes, ipv6 no)
    bool next_hop_self = false;
    bool next_hop_self_force = false;
    bool soft_reconfiguration_inbound = false;
    bool default_originate = false;
    std::optional<std::uint16_t> weight;
    std::optional<std::uint32_t> maximum_prefix;
    std::uint8_t maximum_prefix_threshold = 75;  // percent
    bool maximum_prefix_warning_only = false;
    std::optional<std::uint16_t> maximum_prefix_restart;  // minutes
    std::optional<std::uint8_t> allowas_in;               // occurrences
    bool route_reflector_client = false;
    bool send_community = true;  // FRR: both kinds by default
    bool as_override = false;
    bool remove_private_as = false;
    friend bool operator==(const BgpNeighborFamily&, const BgpNeighborFamily&) = default;
};

struct RemoteAs {
    enum class Kind : std::uint8_t { Unset, Number, Internal, External };
    Kind kind = Kind::Unset;
    Asn asn{};
    friend bool operator==(const RemoteAs&, const RemoteAs&) = default;
};

// What a neighbour is called: by its address, or, an unnumbered one, by the interface that it is behind.
struct PeerName {
    IpAddress address{};    // unspecified: unnumbered
    std::string interface;  // of an unnumbered one

    PeerName() = default;
    PeerName(const IpAddress& a) : address(a) {}
    static PeerName of_interface(std::string name)
    {
        PeerName out;
        out.interface = std::move(name);
        return out;
    }
    bool unnumbered() const noexcept { return !interface.empty(); }
    std::string to_string() const { return unnumbered() ? interface : address.to_string(); }
    friend bool operator==(const PeerName&, const PeerName&) = default;
    friend auto operator<=>(const PeerName&, const PeerName&) = default;
};

struct BgpNeighbor {
    IpAddress address{};    // unspecified: unnumbered, router advertisements on `interface` tell
    std::string interface;  // unnumbered, or `neighbor ADDRESS interface IFNAME` of a link-local address
    bool v6only = false;    // unnumbered, as it was written; no other way is tried anyway
    RemoteAs remote_as;
    std::string description;
    bool shutdown = false;
    std::string shutdown_message;
    bool passive = false;
    std::string update_source;  // interface or address; empty: the next hop's interface
    std::optional<std::uint8_t> ebgp_multihop;
    std::optional<std::uint8_t> ttl_security_hops;
    bool disable_connected_check = false;
    std::optional<Secret> password;  // TCP-MD5
    std::optional<Asn> local_as;
    std::optional<Seconds> keepalive, hold;  // `timers K H`
    std::optional<Seconds> connect_retry;    // `timers connect N`
    std::optional<Seconds> advertisement_interval;
    std::uint16_t port = 179;
    bool dont_capability_negotiate = false;
    std::map<Family, BgpNeighborFamily> families;

    bool unnumbered() const noexcept { return address.is_unspecified() && !interface.empty(); }
    PeerName name() const { return unnumbered() ? PeerName::of_interface(interface) : PeerName{address}; }
    friend bool operator==(const BgpNeighbor&, const BgpNeighbor&) = default;
};

enum class RedistributeSource : std::uint8_t { Connected, Static };

struct BgpFamily {
    std::set<IpPrefix> networks;
    std::map<RedistributeSource, std::optional<std::uint32_t>> redistribute;  // metric, if given
    std::uint16_t maximum_paths = 64;                                         // eBGP
    std::uint16_t maximum_paths_ibgp = 64;
    std::array<std::uint8_t, 3> distance{20, 200, 200};  // external, internal, local
    friend bool operator==(const BgpFamily&, const BgpFamily&) = default;
};

struct Bgp {
    Asn asn{};
    std::string vrf;  // empty: default
    std::optional<Ipv4Address> router_id;
    Seconds keepalive{60}, hold{180};
    bool ebgp_requires_policy = true;  // FRR's default: no eBGP routes in or out without policy
    bool default_ipv4_unicast = true;
    bool default_ipv6_unicast = false;
    bool log_neighbor_changes = false;
    bool network_import_check = true;
    bool always_compare_med = false;
    bool deterministic_med = true;
    bool bestpath_as_path_ignore = false;
    bool bestpath_multipath_relax = false;  // `bgp bestpath as-path multipath-relax`
    bool bestpath_compare_routerid = false;
    bool med_missing_as_worst = false;
    bool fast_external_failover = true;
    std::uint32_t default_local_preference = 100;
    std::optional<std::uint32_t> cluster_id;
    std::map<PeerName, BgpNeighbor> neighbors;
    std::map<Family, BgpFamily> families;
    friend bool operator==(const Bgp&, const Bgp&) = default;
};

struct Vrf {
    std::string name;
    std::string netns;  // a named namespace for the host link instead of an anonymous one
    std::vector<StaticRoute> routes;
    friend bool operator==(const Vrf&, const Vrf&) = default;
};

struct Model {
    std::string hostname;
    Log log;
    Dataplane dataplane;
    std::map<std::string, Vrf> vrfs;              // "" is the default VRF and always there after parse()
    std::map<std::string, Interface> interfaces;  // by name
    std::map<std::string, Bgp> bgp;               // by VRF name
    friend bool operator==(const Model&, const Model&) = default;
};

}  // namespace culvert::config
