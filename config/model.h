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
using Milliseconds = std::chrono::milliseconds;
using Microseconds = std::chrono::microseconds;
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

// `ip load-sharing fields ...`: what of a packet's header decides which member of a group its flow takes.
struct LoadSharing {
    bool source = true, destination = true, protocol = true, ports = true;
    bool flow_label = false;  // IPv6 only
    friend bool operator==(const LoadSharing&, const LoadSharing&) = default;
};

// `failover`: how traffic returns after a path that failed has come back. That it leaves is nobody's choice.
struct Failover {
    Milliseconds hold_up{2000};            // a path has to stay good this long before it is used again
    std::uint32_t buckets_a_second = 128;  // of each group, that move back to a member that returned; 0: all at once
    friend bool operator==(const Failover&, const Failover&) = default;
};

// `key chain NAME`: keys by their id, which is what travels (RFC 5880 4.2: one octet).
struct KeyChainKey {
    std::optional<Secret> secret;  // required: `key-string` or `key-file`
    bool accept_only = false;      // taken on the way in, never sent under: a key that comes or goes
    friend bool operator==(const KeyChainKey&, const KeyChainKey&) = default;
};
struct KeyChain {
    std::string name;
    std::map<std::uint8_t, KeyChainKey> keys;
    friend bool operator==(const KeyChain&, const KeyChain&) = default;
};

enum class BfdAuthenticationType : std::uint8_t {
    SimplePassword = 1,  // the values on the wire, RFC 5880 4.1
    KeyedMd5,
    MeticulousKeyedMd5,
    KeyedSha1,
    MeticulousKeyedSha1,
};
struct BfdAuthentication {
    BfdAuthenticationType type{};
    std::string key_chain;  // every key is taken; the one with the lowest id that isn't `accept-only` is sent under
    friend bool operator==(const BfdAuthentication&, const BfdAuthentication&) = default;
};

// What a peer, a profile, or an interface says of sessions. What is not set comes from the peer's profile, then from
// the interface's `bfd interval`, then from these defaults.
struct BfdSettings {
    static constexpr std::uint8_t kMultiplier = 3;
    static constexpr Microseconds kInterval{300000};     // receive and transmit
    static constexpr Microseconds kEchoInterval{50000};  // receive and transmit
    static constexpr std::uint8_t kMultihopMinimumTtl = 254;

    std::optional<std::uint8_t> multiplier;
    std::optional<Microseconds> receive_interval, transmit_interval;
    std::optional<Microseconds> echo_receive_interval;  // 0: disabled, we reflect nothing
    std::optional<Microseconds> echo_transmit_interval;
    std::optional<std::uint8_t> minimum_ttl;                                    // multihop
    bool echo_mode = false, passive = false, shutdown = false, demand = false;  // on when the profile says so, too
    std::optional<BfdAuthentication> authentication;
    friend bool operator==(const BfdSettings&, const BfdSettings&) = default;
};
struct BfdProfile {
    std::string name;
    BfdSettings settings;
    friend bool operator==(const BfdProfile&, const BfdProfile&) = default;
};
// What a `peer` line of the `bfd` block says: two lines that differ are two sessions.
struct BfdPeerKey {
    std::string vrf;  // empty: default
    IpAddress peer{};
    std::optional<IpAddress> local;
    std::string interface;  // empty: the one that the way to the peer leads over
    bool multihop = false;
    friend bool operator==(const BfdPeerKey&, const BfdPeerKey&) = default;
    friend auto operator<=>(const BfdPeerKey&, const BfdPeerKey&) = default;
};
struct BfdPeer {
    BfdPeerKey key;
    std::string profile;  // empty: none
    BfdSettings settings;
    friend bool operator==(const BfdPeer&, const BfdPeer&) = default;
};

// `bfd interval TX min_rx RX multiplier N` and `bfd echo` of an interface: what sessions over it use that have no
// timers of their own. With an interval the only other address of a /30, /31 or /127 of the interface gets a session.
struct InterfaceBfd {
    Microseconds transmit{}, receive{};
    std::uint8_t multiplier = BfdSettings::kMultiplier;
    friend bool operator==(const InterfaceBfd&, const InterfaceBfd&) = default;
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

// A tunnel that is GRE or a VTI.
struct TunnelKeepalive {
    Seconds period{10};
    std::uint8_t retries = 3;
    friend bool operator==(const TunnelKeepalive&, const TunnelKeepalive&) = default;
};
struct Tunnel {
    enum class Mode : std::uint8_t { GreIpv4, GreIpv6, GreMultipoint, IpsecIpv4, IpsecIpv6 };
    Mode mode{};
    std::string source_interface;              // `tunnel source IFNAME`
    std::optional<IpAddress> source_address;   // `tunnel source A.B.C.D`; one of the two is required
    std::optional<IpAddress> destination;      // required unless multipoint
    std::string outer_vrf;                     // `tunnel vrf NAME`; empty: default
    std::optional<std::uint32_t> key;          // GRE
    bool checksum = false;                     // GRE
    bool sequence = false;                     // GRE: `tunnel sequence-datagrams`
    std::uint8_t ttl = 255;                    // of the outer packet; 0: `inherit`, the inner one's
    std::optional<std::uint8_t> tos;           // of the outer packet; unset: the inner one's
    bool path_mtu_discovery = true;            // the inner's DF goes to the outer packet, and errors are learned from
    std::optional<Seconds> path_mtu_age{600};  // until a learned path MTU is forgotten; nullopt: never
    std::optional<TunnelKeepalive> keepalive;  // GRE, point to point
    std::string ipsec_profile;                 // `tunnel protection ipsec profile NAME`; empty: in clear
    std::map<IpAddress, IpAddress> nhrp_map;   // multipoint: `ip nhrp map NEXTHOP ENDPOINT`

    bool is_gre() const { return mode == Mode::GreIpv4 || mode == Mode::GreIpv6 || mode == Mode::GreMultipoint; }
    bool is_multipoint() const { return mode == Mode::GreMultipoint; }
    friend bool operator==(const Tunnel&, const Tunnel&) = default;
};

enum class EspCipher : std::uint8_t { AesGcm128, AesGcm256, Chacha20Poly1305, AesCbc128, AesCbc256 };
enum class EspIntegrity : std::uint8_t { None, HmacSha256, HmacSha384, HmacSha512 };  // None: the cipher is an AEAD
enum class EspMode : std::uint8_t { Tunnel, Transport };

// `crypto ipsec manual-sa NAME`: two SAs, in and out, whose keys nobody negotiated. For tests and measurements.
struct ManualSa {
    struct Direction {
        std::uint32_t spi = 0;  // required: 256 or more
        // Required: hexadecimal digits, key_octets() octets: the cipher's key, its salt (RFC 4106, 7634: 4 octets),
        // then the integrity key.
        std::optional<Secret> key;
        friend bool operator==(const Direction&, const Direction&) = default;
    };
    struct Udp {
        std::uint16_t local = 4500, remote = 4500;
        Seconds keepalive{20};  // RFC 3948 2.3; 0: none
        friend bool operator==(const Udp&, const Udp&) = default;
    };
    enum class DfBit : std::uint8_t { Copy, Set, Clear };

    std::string name;
    EspCipher cipher = EspCipher::AesGcm256;
    EspIntegrity integrity = EspIntegrity::None;
    EspMode mode = EspMode::Tunnel;
    Direction inbound, outbound;
    // The ends of the ESP packets; unset: the tunnel's source and destination.
    std::optional<IpAddress> local_address, remote_address;
    bool esn = false;
    std::uint32_t replay_window = 8192;  // packets; 0: `disable`
    std::optional<Udp> udp;              // RFC 3948
    std::optional<Seconds> lifetime;     // hard; the soft one is told at 9 tenths of each
    std::optional<std::uint64_t> lifetime_kilobytes;
    std::optional<std::uint64_t> lifetime_packets;
    DfBit df_bit = DfBit::Copy;
    std::optional<std::uint8_t> dscp;  // of the outer packet; unset: the inner one's (tunnel mode)
    bool ecn = true;                   // RFC 6040 normal mode; false: compatibility mode, outer Not-ECT
    bool fragment_after_encryption = false;

    std::size_t key_octets() const;  // of each direction's key material
    friend bool operator==(const ManualSa&, const ManualSa&) = default;
};

// `crypto ipsec profile NAME`: where a protected tunnel's SAs come from.
struct IpsecProfile {
    std::string name;
    std::string manual_sa;  // `set manual-sa NAME`
    friend bool operator==(const IpsecProfile&, const IpsecProfile&) = default;
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
    std::optional<InterfaceBfd> bfd;  // `bfd interval`
    bool bfd_echo = false;            // `bfd echo`: sessions over it send echo packets
    // What it is. monostate: an `interface X` without `port`, `tunnel mode` or a loopback's name: an error in
    // validate().
    std::variant<std::monostate, Port, Loopback, Subinterface, Wireguard, Tunnel> kind;
    friend bool operator==(const Interface&, const Interface&) = default;
};

// `ip route P G bfd [multi-hop] [source A] [profile NAME]`
struct StaticRouteBfd {
    bool multihop = false;
    std::optional<IpAddress> source;
    std::string profile;  // empty: none
    friend bool operator==(const StaticRouteBfd&, const StaticRouteBfd&) = default;
    friend auto operator<=>(const StaticRouteBfd&, const StaticRouteBfd&) = default;
};

struct StaticRoute {
    IpPrefix prefix{};
    std::optional<IpAddress> gateway;
    std::string interface;  // empty: found by the gateway
    enum class Drop : std::uint8_t { No, Null0, Blackhole, Reject };
    Drop drop = Drop::No;
    std::uint8_t distance = 1;
    std::uint32_t tag = 0;
    std::uint8_t weight = 1;            // its share of the traffic beside the prefix's other gateways
    std::string nexthop_vrf;            // `nexthop-vrf NAME`; empty: the route's own
    bool protected_only = false;        // `protected`: leaves only through encrypted next hops
    std::optional<StaticRouteBfd> bfd;  // the route is there while the gateway's session isn't down
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

// `neighbor X bfd ...`
struct BgpBfd {
    struct Timers {  // `neighbor X bfd MULTIPLIER RX TX`
        std::uint8_t multiplier = BfdSettings::kMultiplier;
        Milliseconds receive{300}, transmit{300};
        friend bool operator==(const Timers&, const Timers&) = default;
    };
    std::optional<Timers> timers;
    std::string profile;  // empty: none
    bool check_control_plane_failure = false;
    bool strict = false;
    Seconds strict_hold{30};  // an Established session waits this long for BFD that has never been up
    friend bool operator==(const BgpBfd&, const BgpBfd&) = default;
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
    std::optional<BgpBfd> bfd;
    std::map<Family, BgpNeighborFamily> families;

    bool unnumbered() const noexcept { return address.is_unspecified() && !interface.empty(); }
    PeerName name() const { return unnumbered() ? PeerName::of_interface(interface) : PeerName{address}; }
    friend bool operator==(const BgpNeighbor&, const BgpNeighbor&) = default;
};

// `bgp bestpath bandwidth`: how multipaths share traffic when some of them have a link bandwidth.
enum class BgpBandwidth : std::uint8_t {
    WhenAllHaveIt,            // the default: by it, but equally when one of them has none
    Ignore,                   // equally
    SkipMissing,              // those that have none get nothing
    DefaultWeightForMissing,  // those that have none get a hundredth of what the others share
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
    BgpBandwidth bestpath_bandwidth{};
    bool fast_external_failover = true;
    std::uint32_t default_local_preference = 100;
    std::optional<std::uint32_t> cluster_id;
    std::map<PeerName, BgpNeighbor> neighbors;
    std::map<Family, BgpFamily> families;
    friend bool operator==(const Bgp&, const Bgp&) = default;
};

struct Vrf {
    std::string name;
    std::string netns;            // a named namespace for the host link instead of an anonymous one
    bool protected_only = false;  // `protected`: as if each route of it said so, but the connected ones
    std::vector<StaticRoute> routes;
    friend bool operator==(const Vrf&, const Vrf&) = default;
};

struct Model {
    std::string hostname;
    Log log;
    Dataplane dataplane;
    LoadSharing load_sharing4, load_sharing6;
    Failover failover;
    std::map<std::string, KeyChain> key_chains;          // by name
    std::map<std::string, ManualSa> manual_sas;          // by name
    std::map<std::string, IpsecProfile> ipsec_profiles;  // by name
    std::map<std::string, BfdProfile> bfd_profiles;      // by name
    std::map<BfdPeerKey, BfdPeer> bfd_peers;
    std::map<std::string, Vrf> vrfs;              // "" is the default VRF and always there after parse()
    std::map<std::string, Interface> interfaces;  // by name
    std::map<std::string, Bgp> bgp;               // by VRF name
    friend bool operator==(const Model&, const Model&) = default;
};

}  // namespace culvert::config
