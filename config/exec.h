#pragma once

#include "base/ip.h"
#include "base/result.h"
#include "config/diagnostic.h"
#include "config/model.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace culvert::config {

// What a line outside of configuration mode asks for. The runtime executes it; the shell completes it.
enum class ExecCommand : std::uint8_t {
    // Session
    ConfigureTerminal,
    Configure,
    Commit,  // of the candidate; `check`, `confirmed` = number (minutes)
    Discard,
    Rollback,  // number
    ShowCandidate,
    ShowCandidateDiff,
    Write,           // the running configuration to the start-up file
    TerminalLength,  // number
    Exit,
    Nothing,  // accepted for FRR's sake (enable, terminal monitor)

    // Asked of the host link: the answer is a program to run in the VRF's namespace
    Ping,        // target, vrf, source, count, size, df
    Traceroute,  // target, vrf, source
    ExecVrf,     // vrf, rest

    // Show
    ShowVersion,
    ShowRunningConfig,  // no_header
    ShowStartupConfig,
    ShowLogging,
    ShowMemory,
    ShowVrf,
    ShowInterface,  // interface
    ShowInterfaceBrief,
    ShowWireguard,  // interface
    ShowDataplaneRuntime,
    ShowDataplaneDrops,
    ShowDataplanePorts,
    ShowDataplaneMemory,
    ShowArp,
    ShowIpv6Neighbors,
    ShowRoute,         // family, vrf, protocol | prefix | address; longer_prefixes
    ShowRouteSummary,  // family, vrf
    ShowFib,           // family, vrf, prefix | address
    ShowNht,           // family, vrf

    // BGP
    ShowBgp,           // the table: family (empty: IPv6 for `show bgp`, IPv4 for `show ip bgp`; already filled in), vrf
    ShowBgpPrefix,     // family, vrf, prefix | address; bestpath or multipath only
    ShowBgpSummary,    // family (none: all), vrf; established or failed only
    ShowBgpNeighbors,  // family, vrf, neighbor (none: all)
    ShowBgpAdvertisedRoutes,  // family, vrf, neighbor
    ShowBgpReceivedRoutes,
    ShowBgpNeighborRoutes,
    ShowBgpNexthop,
    ClearBgp,  // vrf, family, neighbor (none: all), asn, soft, direction

    // BFD. A peer is named by address, vrf, and what else of its line is given: multihop, local, interface.
    ShowBfdPeers,      // vrf (none: all); brief, counters
    ShowBfdPeer,       // vrf, address, multihop, local, interface; counters
    ClearBfdCounters,  // vrf, address (none: all), multihop, local, interface

    ShowFailover,       // the record of failures, and what is held up now
    ShowCryptoIpsecSa,  // interface (none: all)
    ClearCryptoSa,      // interface (none: all): counters and lifetimes begin anew

    ClearCounters,   // interface
    ClearWireguard,  // interface, peer: forget the sessions
};

enum class RouteProtocol : std::uint8_t { Connected, Local, Static, Bgp };
enum class Direction : std::uint8_t { Both, In, Out };

// A command with what was typed beside it. Only the fields named at the enumerator are set.
struct Exec {
    ExecCommand command{};
    std::optional<Family> family;
    std::string vrf;  // empty: default; "all"
    bool json = false;
    bool detail = false;
    std::optional<PeerName> neighbor;
    std::optional<std::uint32_t> asn;
    std::optional<IpPrefix> prefix;
    std::optional<IpAddress> address;
    bool longer_prefixes = false;
    std::optional<RouteProtocol> protocol;
    std::string interface;
    std::string peer;
    bool soft = false;
    Direction direction = Direction::Both;
    bool established = false;
    bool failed = false;
    bool bestpath = false;
    bool multipath = false;
    bool brief = false;
    bool counters = false;
    bool multihop = false;
    std::optional<IpAddress> local;  // `local-address`
    bool all_vrfs = false;           // no vrf was named
    bool no_header = false;
    bool check = false;
    std::optional<std::uint32_t> number;
    std::optional<std::uint32_t> count;
    std::optional<std::uint32_t> size;
    bool df = false;
    std::string target;
    std::string source;
    std::string rest;  // of the line, as typed
    friend bool operator==(const Exec&, const Exec&) = default;
};

// Every word may be abbreviated as long as the abbreviation is unique.
Result<Exec, Diagnostic> parse_exec(std::string_view line);

// "% Unknown command: LINE", "% Command incomplete: LINE", "% Ambiguous command: LINE" as FRR prints them, or "%
// MESSAGE"; a hint follows on a line of its own. No newline at the end.
std::string frr_text(const Diagnostic& diagnostic, std::string_view line);

}  // namespace culvert::config
