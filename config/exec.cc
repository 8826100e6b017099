#include "config/exec.h"

#include "config/exec_table.h"
#include "config/language.h"

#include <fmt/format.h>

#include <array>

namespace culvert::config {
namespace {

#define IN_VRF " [<vrf|view> VRF$vrf]"
#define BGP "show <bgp|ip bgp>" IN_VRF " [<ipv4|ipv6> [unicast]]"
#define BFD_PEER \
    " peer ADDRESS$address [<multihop|local-address ADDRESS$local|interface IFNAME$interface|vrf VRF$vrf>]..."
#define ANY_ADDRESS "<PREFIX$prefix|ADDRESS$address>"

using C = ExecCommand;

constexpr ExecStatement kCommands[] = {
    {"configure terminal", C::ConfigureTerminal, "Edits the running configuration, line by line."},
    {"configure", C::Configure, "Opens a candidate, which becomes the running configuration at `commit`."},
    {"commit [check]", C::Commit,
     "Makes the candidate the running configuration, all of it or nothing; `check` only says whether it could be."},
    {"commit confirmed (1-1440)$number", C::Commit,
     "The same, and back again after so many minutes unless another `commit` follows."},
    {"discard", C::Discard, "Forgets what was changed in the candidate."},
    {"rollback (0-49)$number", C::Rollback, "Loads the configuration of that many commits ago into the candidate."},
    {"show candidate", C::ShowCandidate, "The candidate."},
    {"show candidate diff", C::ShowCandidateDiff, "What `commit` would change."},
    {"write [<memory|file>]", C::Write, "Saves the running configuration to the start-up file."},
    {"copy running-config startup-config", C::Write, "The same."},
    {"write terminal", C::ShowRunningConfig, "The running configuration."},
    {"terminal length (0-512)$number", C::TerminalLength, "Lines of a page; 0: no paging."},
    {"terminal <monitor|paginate>", C::Nothing, "Accepted because FRR has it."},
    {"<enable|disable>", C::Nothing, "Accepted because FRR has it."},
    {"<exit|quit>", C::Exit, "Ends the session."},

    {"ping [vrf VRF$vrf] [<ip|ipv6>] WORD$target [<count (1-1000000)$count|size (0-65500)$size|source "
     "WORD$source|df-bit|vrf VRF$vrf>]...",
     C::Ping, "Sends echo requests."},
    {"traceroute [vrf VRF$vrf] [<ip|ipv6>] WORD$target [<source WORD$source|vrf VRF$vrf>]...", C::Traceroute,
     "Shows the way."},
    {"exec vrf VRF$vrf LINE$rest", C::ExecVrf, "Runs a program in the VRF's network namespace."},

    {"show version [json]", C::ShowVersion, "The version."},
    {"show running-config [no-header]", C::ShowRunningConfig, "The running configuration."},
    {"show startup-config", C::ShowStartupConfig, "The start-up file."},
    {"show logging", C::ShowLogging, "Where log lines go."},
    {"show memory [json]", C::ShowMemory, "What holds how much memory."},
    {"show vrf [json]", C::ShowVrf, "The VRFs."},
    {"show interface [IFNAME$interface] [vrf VRF$vrf] [json]", C::ShowInterface,
     "Interfaces, their state, addresses and counters."},
    {"show interface [vrf VRF$vrf] brief [json]", C::ShowInterfaceBrief, "Interfaces, one a line."},
    {"show wireguard [IFNAME$interface] [json]", C::ShowWireguard, "WireGuard tunnels and their peers."},
    {"show dataplane runtime [json]", C::ShowDataplaneRuntime, "What the workers do."},
    {"show dataplane drops [json]", C::ShowDataplaneDrops, "Why packets were dropped, and how many."},
    {"show dataplane ports [json]", C::ShowDataplanePorts, "Ports and their queues."},
    {"show dataplane memory [json]", C::ShowDataplaneMemory, "What the dataplane's tables and pools hold."},
    {"show <arp|ip arp> [vrf VRF$vrf] [json]", C::ShowArp, "IPv4 neighbors on the link."},
    {"show ipv6 neighbors [vrf VRF$vrf] [json]", C::ShowIpv6Neighbors, "IPv6 neighbors on the link."},

    {"show ip route [vrf VRF$vrf] [<connected|local|static|bgp>] [json]", C::ShowRoute, "IPv4 routes."},
    {"show ip route [vrf VRF$vrf] <A.B.C.D/M$prefix [longer-prefixes]|A.B.C.D$address> [json]", C::ShowRoute,
     "The route to a prefix or an address."},
    {"show ip route [vrf VRF$vrf] summary [json]", C::ShowRouteSummary, "How many routes there are from where."},
    {"show ipv6 route [vrf VRF$vrf] [<connected|local|static|bgp>] [json]", C::ShowRoute, "IPv6 routes."},
    {"show ipv6 route [vrf VRF$vrf] <X:X::X:X/M$prefix [longer-prefixes]|X:X::X:X$address> [json]", C::ShowRoute,
     "The route to a prefix or an address."},
    {"show ipv6 route [vrf VRF$vrf] summary [json]", C::ShowRouteSummary, "How many routes there are from where."},
    {"show ip fib [vrf VRF$vrf] [<A.B.C.D/M$prefix|A.B.C.D$address>] [json]", C::ShowFib,
     "What IPv4 packets are forwarded by."},
    {"show ipv6 fib [vrf VRF$vrf] [<X:X::X:X/M$prefix|X:X::X:X$address>] [json]", C::ShowFib,
     "What IPv6 packets are forwarded by."},
    {"show <ip|ipv6> nht [vrf VRF$vrf] [json]", C::ShowNht, "Next hops that are tracked."},

    {BGP " [json [detail]]", C::ShowBgp, "The BGP table. Without a family: IPv6; of `show ip bgp`: IPv4."},
    {BGP " " ANY_ADDRESS " [<bestpath|multipath>] [json]", C::ShowBgpPrefix, "All paths to a prefix."},
    {BGP " PREFIX$prefix longer-prefixes [json]", C::ShowBgp, "The table below a prefix."},
    {BGP " summary [<established|failed>] [json]", C::ShowBgpSummary, "The neighbors, one a line."},
    {BGP " neighbors [PEER$neighbor] [json]", C::ShowBgpNeighbors, "All about a neighbor, or all of them."},
    {BGP " neighbors PEER$neighbor advertised-routes [json]", C::ShowBgpAdvertisedRoutes, "What the neighbor is told."},
    {BGP " neighbors PEER$neighbor received-routes [json]", C::ShowBgpReceivedRoutes,
     "What the neighbor told, before policy; needs soft-reconfiguration inbound."},
    {BGP " neighbors PEER$neighbor routes [json]", C::ShowBgpNeighborRoutes, "What was taken from the neighbor."},
    {"show <bgp|ip bgp>" IN_VRF " nexthop [json]", C::ShowBgpNexthop, "BGP's next hops."},
    {"clear <bgp|ip bgp>" IN_VRF
     " [<ipv4|ipv6> [unicast]] <*|PEER$neighbor|(1-4294967295)$asn> [<soft [<in|out>]|in|out>]",
     C::ClearBgp, "Starts sessions anew; `soft`, `in`, `out`: only exchanges the routes again."},
    {"show bfd [vrf VRF$vrf] peers [<brief|counters>] [json]", C::ShowBfdPeers,
     "BFD sessions, with what was negotiated and measured."},
    {"show bfd [vrf VRF$vrf]" BFD_PEER " [counters] [json]", C::ShowBfdPeer, "One BFD session."},
    {"clear bfd [vrf VRF$vrf] peers counters", C::ClearBfdCounters, "Counts and measures all sessions from zero."},
    {"clear bfd [vrf VRF$vrf]" BFD_PEER " counters", C::ClearBfdCounters, "The same of one session."},
    {"show failover [json]", C::ShowFailover,
     "What failed when, how fast it was seen and traffic moved, and what is held up now."},
    {"show crypto ipsec sa [IFNAME$interface] [json]", C::ShowCryptoIpsecSa,
     "Security associations, their counters and lifetimes."},
    {"clear crypto sa [IFNAME$interface]", C::ClearCryptoSa, "Makes the security associations anew."},
    {"clear counters [IFNAME$interface]", C::ClearCounters, "Starts counting from zero."},
    {"clear wireguard IFNAME$interface [peer WORD$peer]", C::ClearWireguard,
     "Forgets the sessions: the next packet makes a new one."},
};

std::string vrf_of(const Args& args)
{
    auto vrf = args.text("vrf");
    return vrf == "default" ? std::string{} : vrf;
}

std::optional<std::uint32_t> u32(const Args& args, std::string_view name)
{
    if (const auto value = args.number(name)) return static_cast<std::uint32_t>(*value);
    return std::nullopt;
}

std::optional<Family> family_of(ExecCommand command, const Args& args)
{
    if (args.has("ipv4")) return Family::Ipv4;
    if (args.has("ipv6")) return Family::Ipv6;
    switch (command) {
        case C::ShowBgp:
        case C::ShowBgpAdvertisedRoutes:
        case C::ShowBgpReceivedRoutes:
        case C::ShowBgpNeighborRoutes:
            if (const auto prefix = args.prefix("prefix")) return prefix->family();
            return args.has("ip") ? Family::Ipv4 : Family::Ipv6;
        case C::ShowBgpPrefix:
            if (const auto prefix = args.prefix("prefix")) return prefix->family();
            if (const auto address = args.address("address")) return address->family;
            return std::nullopt;
        case C::ShowRoute:
        case C::ShowRouteSummary:
        case C::ShowFib:
        case C::ShowNht:
        case C::Ping:
        case C::Traceroute: return args.has("ip") ? std::optional{Family::Ipv4} : std::nullopt;
        default: return std::nullopt;
    }
}

}  // namespace

std::span<const ExecStatement> exec_statements() { return kCommands; }

Result<Exec, Diagnostic> parse_exec(std::string_view line)
{
    auto matched = match_line(Node::Exec, line);
    if (!matched) return Error{std::move(matched).error()};
    const auto& args = matched->args;

    Exec out;
    out.command = kCommands[matched->row].command;
    out.vrf = vrf_of(args);
    out.json = args.has("json");
    out.detail = args.has("detail");
    if (args.given("neighbor")) {
        const auto address = args.address("neighbor");
        out.neighbor = address ? PeerName{*address} : PeerName::of_interface(args.text("neighbor"));
    }
    out.asn = u32(args, "asn");
    out.prefix = args.prefix("prefix");
    out.address = args.address("address");
    out.longer_prefixes = args.has("longer-prefixes");
    constexpr std::array kProtocols{std::pair{"connected", RouteProtocol::Connected},
                                    std::pair{"local", RouteProtocol::Local},
                                    std::pair{"static", RouteProtocol::Static}, std::pair{"bgp", RouteProtocol::Bgp}};
    if (out.command == C::ShowRoute)
        for (const auto& [word, protocol] : kProtocols)
            if (args.has(word)) out.protocol = protocol;
    out.interface = args.text("interface");
    out.peer = args.text("peer");
    out.direction = args.has("in") ? Direction::In : args.has("out") ? Direction::Out : Direction::Both;
    out.soft = args.has("soft") || out.direction != Direction::Both;
    out.established = args.has("established");
    out.failed = args.has("failed");
    out.bestpath = args.has("bestpath");
    out.multipath = args.has("multipath");
    out.brief = args.has("brief");
    out.counters = args.has("counters");
    out.multihop = args.has("multihop");
    out.local = args.address("local");
    out.all_vrfs = !args.given("vrf");
    out.no_header = args.has("no-header");
    out.check = args.has("check");
    out.number = u32(args, "number");
    out.count = u32(args, "count");
    out.size = u32(args, "size");
    out.df = args.has("df-bit");
    out.target = args.text("target");
    out.source = args.text("source");
    out.rest = args.text("rest");
    out.family = family_of(out.command, args);
    if (out.family && out.prefix && out.prefix->family() != *out.family) {
        Diagnostic d;
        d.message = fmt::format("{} is not of this address family", out.prefix->to_string());
        return Error{std::move(d)};
    }
    return out;
}

std::string frr_text(const Diagnostic& diagnostic, std::string_view line)
{
    std::string out;
    switch (diagnostic.kind) {
        case Diagnostic::Kind::Unknown: out = fmt::format("% Unknown command: {}", line); break;
        case Diagnostic::Kind::Incomplete: out = fmt::format("% Command incomplete: {}", line); break;
        case Diagnostic::Kind::Ambiguous: out = fmt::format("% Ambiguous command: {}", line); break;
        case Diagnostic::Kind::Refused:
        case Diagnostic::Kind::Unfinished: out = "% " + diagnostic.message; break;
    }
    if (!diagnostic.hint.empty()) out += "\n  " + diagnostic.hint;
    return out;
}

}  // namespace culvert::config
