#include "controlplane/runtime/show/show.h"

#include <boost/json.hpp>
#include <fmt/format.h>

#include <time.h>

#include <algorithm>
#include <memory>

namespace culvert::runtime::show {
namespace {

namespace json = boost::json;

constexpr int kPerPiece = 128;  // prefixes
constexpr std::uint32_t kOwnWeight = 32768;

std::string display(const std::string& vrf) { return vrf.empty() ? "default" : vrf; }
std::string internal(const std::string& vrf) { return vrf == "default" ? "" : vrf; }
const char* af_key(Family f) { return f == Family::Ipv4 ? "ipv4Unicast" : "ipv6Unicast"; }
const char* af_text(Family f) { return f == Family::Ipv4 ? "IPv4 Unicast" : "IPv6 Unicast"; }

const char* origin_word(bgp::Origin o)
{
    switch (o) {
        case bgp::Origin::Igp: return "IGP";
        case bgp::Origin::Egp: return "EGP";
        case bgp::Origin::Incomplete: return "incomplete";
    }
    return "incomplete";
}
char origin_code(bgp::Origin o) { return "ie?"[static_cast<std::size_t>(o)]; }

// Well-known communities (RFC 1997, 3765, 7999, 8326): the string form and the list form differ in FRR.
struct WellKnown {
    std::uint32_t value;
    const char* text;
    const char* list;
};
constexpr WellKnown kWellKnown[] = {
    {0xffff0000, "graceful-shutdown", "gracefulShutdown"},
    {0xffff029a, "blackhole", "blackhole"},
    {0xffffff01, "no-export", "noExport"},
    {0xffffff02, "no-advertise", "noAdvertise"},
    {0xffffff03, "local-AS", "localAs"},
    {0xffffff04, "no-peer", "noPeer"},
};

std::string community(std::uint32_t c, bool list)
{
    for (const auto& w : kWellKnown) {
        if (w.value == c) return list ? w.list : w.text;
    }
    return fmt::format("{}:{}", c >> 16, c & 0xffff);
}

std::string state_text(const BgpNeighbor& n)
{
    if (n.config().shutdown) return "Idle (Admin)";
    if (n.over_prefix_limit()) return "Idle (PfxCt)";
    return std::string{bgp::to_string(n.session().state())};
}

const char* peer_state(const BgpInstance& instance, const BgpNeighbor& n)
{
    if (n.config().shutdown) return "Admin";
    if (n.over_prefix_limit()) return "PfxCt";
    if (instance.config().ebgp_requires_policy && n.external()) return "Policy";
    return "OK";
}

std::uint32_t remote_as(const BgpNeighbor& n)
{
    if (const auto& up = n.session().established()) return index(up->peer.asn);
    return index(n.config().remote_as.asn);
}

Error<Refused> no_instance(const std::string& vrf)
{
    return Error{Refused{vrf.empty() || vrf == "default" ? "% BGP instance not found"
                                                         : "% BGP instance for VRF " + vrf + " not found"}};
}

// The instances a command is about: one VRF, or all of them.
std::vector<BgpInstance*> instances(Router& router, const std::string& vrf)
{
    std::vector<BgpInstance*> out;
    for (const auto& [name, instance] : router.bgp().all()) {
        if (vrf == "all" || name == internal(vrf)) out.push_back(instance.get());
    }
    return out;
}

// ---- paths ----

json::object as_path_json(const bgp::AsPath& path)
{
    json::array segments;
    for (const auto& s : path.segments) {
        static constexpr const char* kKinds[] = {"", "as-set", "as-sequence", "as-confed-sequence", "as-confed-set"};
        json::array list;
        for (const auto a : s.asns) list.emplace_back(index(a));
        segments.push_back({{"type", kKinds[static_cast<std::size_t>(s.kind)]}, {"list", std::move(list)}});
    }
    const auto text = path.to_string();
    return {{"string", text.empty() ? "Local" : text}, {"segments", std::move(segments)}, {"length", path.length()}};
}

json::array nexthops_json(const rib::PathView& path, bool whole_path)
{
    const auto one = [&](const IpAddress& a, const char* scope, bool used) {
        json::object o{{"ip", a.to_string()}, {"afi", a.is_v4() ? "ipv4" : "ipv6"}};
        if (a.is_v6()) o["scope"] = scope;
        if (whole_path) {
            o["metric"] = path.next_hop.metric;
            o["accessible"] = path.local.has_value() || path.next_hop.reachable;
        }
        if (used) o["used"] = true;
        return o;
    };
    json::array out;
    const auto& first = path.attributes.next_hop;
    out.push_back(one(first, first.is_link_local() ? "link-local" : "global", true));
    const auto& second = path.attributes.link_local_next_hop;
    if (second && !(first == *second)) out.push_back(one(*second, "link-local", false));
    return out;
}

json::object path_json(BgpInstance& instance, const rib::PrefixView& prefix, const rib::PathView& path)
{
    const auto& a = path.attributes;
    const auto* peer = path.peer == rib::kNoPeer ? nullptr : instance.find(path.peer);
    json::object o;
    o["aspath"] = as_path_json(a.as_path);
    o["origin"] = origin_word(a.origin);
    if (a.med) o["metric"] = *a.med;
    if (a.local_pref && !(peer && peer->external())) o["locPrf"] = *a.local_pref;
    if (path.weight != 0) o["weight"] = path.weight;
    if (path.valid) o["valid"] = true;
    if (path.local) {
        o["sourced"] = true;
        o["local"] = true;
    }
    if (a.atomic_aggregate) o["atomicAggregate"] = true;
    if (a.aggregator) {
        o["aggregatorAs"] = index(a.aggregator->asn);
        o["aggregatorId"] = a.aggregator->address.to_string();
    }
    if (path.multipath) o["multipath"] = true;
    if (path.best) o["bestpath"] = {{"overall", true}, {"selectionReason", rib::to_string(prefix.reason)}};
    if (path.backup) o["backup"] = true;
    if (!a.communities.empty()) {
        std::string text;
        json::array list;
        for (const auto c : a.communities) {
            text += (text.empty() ? "" : " ") + community(c, false);
            list.emplace_back(community(c, true));
        }
        o["community"] = {{"string", text}, {"list", std::move(list)}};
    }
    if (!a.large_communities.empty()) {
        std::string text;
        json::array list;
        for (const auto& c : a.large_communities) {
            const auto one = fmt::format("{}:{}:{}", c.global, c.local1, c.local2);
            text += (text.empty() ? "" : " ") + one;
            list.emplace_back(one);
        }
        o["largeCommunity"] = {{"string", text}, {"list", std::move(list)}};
    }
    if (!a.extended_communities.empty()) {
        std::string text;
        for (const auto c : a.extended_communities) text += fmt::format("{}{:#018x}", text.empty() ? "" : " ", c);
        o["extendedCommunity"] = {{"string", text}};
    }
    if (a.originator_id) o["originatorId"] = a.originator_id->to_string();
    if (!a.cluster_list.empty()) {
        json::array list;
        for (const auto c : a.cluster_list) list.emplace_back(Ipv4Address{c}.to_string());
        o["clusterList"] = {{"list", std::move(list)}};
    }
    const auto received = epoch(path.received_at);
    char when[32];
    const time_t t = received;
    ctime_r(&t, when);
    o["lastUpdate"] = {{"epoch", received}, {"string", when}};
    o["nexthops"] = nexthops_json(path, true);
    if (peer) {
        const auto& up = peer->session().established();
        o["peer"] = {{"peerId", peer->address().to_string()},
                     {"routerId", up ? up->peer.router_id.to_string() : "0.0.0.0"},
                     {"type", peer->external() ? "external" : "internal"}};
        if (peer->config().unnumbered()) o["peer"].as_object()["interface"] = peer->config().interface;
    } else {
        o["peer"] = {{"peerId", "0.0.0.0"}, {"routerId", instance.router_id().to_string()}};
    }
    return o;
}

json::object row_json(BgpInstance& instance, const rib::PrefixView& prefix, const rib::PathView& path)
{
    const auto& a = path.attributes;
    const auto* peer = path.peer == rib::kNoPeer ? nullptr : instance.find(path.peer);
    json::object o;
    if (path.valid) o["valid"] = true;
    if (path.best) o["bestpath"] = true;
    if (path.multipath) o["multipath"] = true;
    if (path.best) o["selectionReason"] = rib::to_string(prefix.reason);
    o["pathFrom"] = peer && !peer->external() ? "internal" : "external";
    o["prefix"] = prefix.prefix.address.to_string();
    o["prefixLen"] = prefix.prefix.length;
    o["network"] = prefix.prefix.to_string();
    if (a.med) o["metric"] = *a.med;
    if (a.local_pref && !(peer && peer->external())) o["locPrf"] = *a.local_pref;
    o["weight"] = path.weight;
    o["peerId"] = peer ? peer->address().to_string() : "(unspec)";
    o["path"] = a.as_path.to_string();
    o["origin"] = origin_word(a.origin);
    o["nexthops"] = nexthops_json(path, false);
    return o;
}

std::string row_text(BgpInstance& instance, const rib::PrefixView& prefix, const rib::PathView& path, bool first)
{
    const auto& a = path.attributes;
    const auto* peer = path.peer == rib::kNoPeer ? nullptr : instance.find(path.peer);
    const char internal_code = peer && !peer->external() ? 'i' : ' ';
    const char status = path.best ? '>' : path.multipath ? '=' : ' ';
    const auto network = first ? prefix.prefix.to_string() : std::string{};
    const auto nexthop = a.next_hop.to_string();
    std::string out = fmt::format("{}{}{}", path.valid ? '*' : ' ', status, internal_code);
    constexpr std::size_t kNetworkWidth = 18;
    if (network.size() > kNetworkWidth - 1)
        out += network + "\n" + std::string(kNetworkWidth + 3, ' ');
    else
        out += fmt::format("{:<18}", network);
    out += nexthop.size() > 16 ? nexthop + "\n" + std::string(kNetworkWidth + 20, ' ') : fmt::format("{:<17}", nexthop);
    const auto med = a.med ? std::to_string(*a.med) : "";
    const auto pref = a.local_pref && !(peer && peer->external()) ? std::to_string(*a.local_pref) : "";
    const auto as_path = a.as_path.to_string();
    out += fmt::format("{:>7}{:>7}{:>7} {}{}{}\n", med, pref, path.weight, as_path, as_path.empty() ? "" : " ",
                       origin_code(a.origin));
    return out;
}

std::string table_heading(const BgpInstance& instance, Family family)
{
    return fmt::format(
        "BGP table version is {}, local router ID is {}, vrf id {}\n"
        "Default local pref {}, local AS {}\n"
        "Status codes:  s suppressed, d damped, h history, * valid, > best, = multipath,\n"
        "               i internal, r RIB-failure, S Stale, R Removed\n"
        "Origin codes:  i - IGP, e - EGP, ? - incomplete\n\n"
        "    Network          Next Hop            Metric LocPrf Weight Path\n",
        instance.rib().table_version(family), instance.router_id().to_string(), index(instance.vrf()),
        instance.config().default_local_preference, index(instance.config().asn));
}

json::object table_top(Router& router, const BgpInstance& instance, Family family)
{
    return {{"vrfId", index(instance.vrf())},
            {"vrfName", display(router.vrfs().name(instance.vrf()))},
            {"tableVersion", instance.rib().table_version(family)},
            {"routerId", instance.router_id().to_string()},
            {"defaultLocPrf", instance.config().default_local_preference},
            {"localAS", index(instance.config().asn)}};
}

std::string without_closing(const json::object& o, int depth)
{
    auto text = pretty(o, depth);
    text.resize(text.rfind('\n'));
    return text;
}

// Prefixes of a table in order, a piece at a time. `row` appends a prefix and says whether it did.
using Row = std::function<bool(const rib::PrefixView&, std::string& out, bool first)>;

Producer walk_table(Router& router, const std::string& vrf, Family family, std::string head, Row row,
                    std::function<std::string(std::size_t)> tail)
{
    struct State {
        std::optional<rib::Rib::Walk> walk;
        std::uint64_t serial = 0;
        bool begun = false, prepared = false, first = true;
        std::size_t count = 0;
    };
    auto state = std::make_shared<State>();
    return [&router, vrf, family, head = std::move(head), row = std::move(row), tail = std::move(tail),
            state](std::string& out) {
        auto* instance = router.bgp().find(vrf);
        if (!instance || (state->begun && state->serial != instance->serial())) {
            out += "% The BGP instance went away\n";
            return false;
        }
        if (!state->begun) {
            state->begun = true;
            state->serial = instance->serial();
            state->walk.emplace(instance->rib(), family);
            out += head;
        }
        if (!state->prepared) {
            state->prepared = !state->walk->prepare();
            return true;
        }
        for (int i = 0; i < kPerPiece; ++i) {
            const auto prefix = state->walk->next();
            if (!prefix) {
                out += tail(state->count);
                return false;
            }
            const auto view = instance->rib().find(*prefix);
            if (view && row(*view, out, state->first)) {
                state->first = false;
                ++state->count;
            }
        }
        return true;
    };
}

}  // namespace

Shown bgp_summary(Router& router, const config::Exec& exec)
{
    const auto list = instances(router, exec.vrf);
    if (list.empty()) return exec.json ? Shown{whole("{}\n")} : Shown{no_instance(exec.vrf)};
    const auto at = now();
    json::object all;
    std::string text;
    for (auto* instance : list) {
        json::object of_instance;
        for (const auto family : {Family::Ipv4, Family::Ipv6}) {
            if (exec.family && *exec.family != family) continue;
            json::object peers;
            std::string rows;
            std::size_t failed = 0, shown = 0, total = 0;
            for (const auto& [name, n] : instance->neighbors()) {
                if (!n->family_active(family)) continue;
                ++total;
                const bool up = n->session().state() == bgp::State::Established;
                if (!up) ++failed;
                if ((exec.established && !up) || (exec.failed && up)) continue;
                ++shown;
                const auto& stats = n->session().stats();
                const auto counts = instance->rib().counts(n->handle(), family);
                const auto since = stats.changed_at;
                const auto time = uptime(since, at);
                json::object o;
                if (exec.failed) {
                    o = {{"connectionsEstablished", stats.connections_established},
                         {"connectionsDropped", stats.connections_dropped},
                         {"peerUptime", time},
                         {"peerUptimeMsec", since == kNever ? 0 : milliseconds(at - since) / 1000 * 1000},
                         {"lastResetDueTo", bgp::to_string(stats.last_reset)},
                         {"lastResetCode", static_cast<int>(stats.last_reset)},
                         {"idType", name.unnumbered()      ? "interface"
                                    : name.address.is_v4() ? "ipv4"
                                                           : "ipv6"}};
                } else {
                    const auto& established = n->session().established();
                    if (established && !established->peer.capabilities.hostname.empty())
                        o["hostname"] = established->peer.capabilities.hostname;
                    o["remoteAs"] = remote_as(*n);
                    o["localAs"] = index(n->config().local_as.value_or(instance->config().asn));
                    o["version"] = 4;
                    o["msgRcvd"] = stats.received.total();
                    o["msgSent"] = stats.sent.total();
                    o["tableVersion"] = 0;
                    o["outq"] = n->transport().queued();
                    o["inq"] = 0;
                    o["peerUptime"] = time;
                    o["peerUptimeMsec"] = since == kNever ? 0 : milliseconds(at - since) / 1000 * 1000;
                    if (up) o["peerUptimeEstablishedEpoch"] = epoch(since);
                    o["pfxRcd"] = counts.accepted;
                    o["pfxSnt"] = counts.sent;
                    o["state"] = state_text(*n);
                    o["peerState"] = peer_state(*instance, *n);
                    o["connectionsEstablished"] = stats.connections_established;
                    o["connectionsDropped"] = stats.connections_dropped;
                    if (!n->config().description.empty()) o["desc"] = n->config().description;
                    o["idType"] = name.unnumbered() ? "interface" : name.address.is_v4() ? "ipv4" : "ipv6";
                }
                peers[name.to_string()] = std::move(o);
                const auto received = !up ? state_text(*n)
                                      : std::string_view{peer_state(*instance, *n)} == "Policy"
                                          ? std::string{"(Policy)"}
                                          : std::to_string(counts.accepted);
                const auto sent = std::string_view{peer_state(*instance, *n)} == "Policy" ? std::string{"(Policy)"}
                                                                                          : std::to_string(counts.sent);
                rows += fmt::format("{:<15} {:>1} {:>10} {:>9} {:>9} {:>8} {:>4} {:>4} {:>8} {:>12} {:>8} {}\n",
                                    name.to_string(), 4, remote_as(*n), stats.received.total(), stats.sent.total(), 0,
                                    0, n->transport().queued(), time, received, sent,
                                    n->config().description.empty() ? "N/A" : n->config().description);
            }
            if (total == 0) continue;
            const auto memory = instance->rib().memory();
            json::object o{
                {"routerId", instance->router_id().to_string()},
                {"as", index(instance->config().asn)},
                {"vrfId", index(instance->vrf())},
                {"vrfName", display(router.vrfs().name(instance->vrf()))},
                {"tableVersion", instance->rib().table_version(family)},
                {"ribCount", instance->rib().prefix_count(family)},
                {"ribMemory", memory.octets},
                {"peerCount", total},
                {"peerMemory", total * sizeof(BgpNeighbor)},
                {"peers", std::move(peers)},
                {"failedPeers", failed},
                {"displayedPeers", shown},
                {"totalPeers", total},
                {"dynamicPeers", 0},
                {"bestPath", {{"multiPathRelax", instance->config().bestpath_multipath_relax ? "true" : "false"}}}};
            if (exec.family)
                of_instance = std::move(o);
            else
                of_instance[af_key(family)] = std::move(o);
            text += fmt::format(
                "\n{} Summary (VRF {}):\nBGP router identifier {}, local AS number {} vrf-id {}\nBGP table version {}\n"
                "RIB entries {}, using {} of memory\nPeers {}\n\n"
                "Neighbor        V         AS   MsgRcvd   MsgSent   TblVer  InQ OutQ  Up/Down State/PfxRcd   PfxSnt "
                "Desc\n{}"
                "\nTotal number of neighbors {}\n",
                af_text(family), display(router.vrfs().name(instance->vrf())), instance->router_id().to_string(),
                index(instance->config().asn), index(instance->vrf()), instance->rib().table_version(family),
                instance->rib().prefix_count(family), octets(memory.octets), total, rows, total);
        }
        if (exec.vrf == "all")
            all[display(router.vrfs().name(instance->vrf()))] = std::move(of_instance);
        else
            all = std::move(of_instance);
    }
    if (exec.json) return whole(pretty(all) + "\n");
    if (text.empty()) text = "% No BGP neighbors found\n";
    return whole(text);
}

namespace {

const char* both(bool advertised, bool received)
{
    return advertised && received ? "advertisedAndReceived" : advertised ? "advertised" : "received";
}

json::object capabilities_json(const BgpNeighbor& n, const bgp::Established& up)
{
    const auto mine = n.session().local_open().capabilities;
    const auto& theirs = up.peer.capabilities;
    json::object o;
    const auto flag = [&](const char* name, bool a, bool r) {
        if (a || r) o[name] = both(a, r);
    };
    flag("4byteAs", mine.four_octet_as.has_value(), theirs.four_octet_as.has_value());
    if (mine.extended_next_hop || theirs.extended_next_hop) {
        o["extendedNexthop"] = both(mine.extended_next_hop, theirs.extended_next_hop);
        if (up.negotiated.extended_next_hop)
            o["extendedNexthopFamililesByPeer"] = {{af_key(Family::Ipv4), "recieved"}};  // spelled as FRR does
    }
    flag("extendedMessage", mine.extended_message, theirs.extended_message);
    if (mine.route_refresh || theirs.route_refresh || theirs.route_refresh_old) {
        std::string value = both(mine.route_refresh, theirs.route_refresh || theirs.route_refresh_old);
        if (theirs.route_refresh && theirs.route_refresh_old)
            value += "OldNew";
        else if (theirs.route_refresh)
            value += "New";
        else if (theirs.route_refresh_old)
            value += "Old";
        o["routeRefresh"] = value;
    }
    flag("enhancedRouteRefresh", mine.enhanced_route_refresh, theirs.enhanced_route_refresh);
    json::object families;
    for (const auto family : {Family::Ipv4, Family::Ipv6}) {
        const bgp::AfiSafi af{family == Family::Ipv4 ? bgp::Afi::Ipv4 : bgp::Afi::Ipv6, bgp::Safi::Unicast};
        if (mine.has(af) || theirs.has(af)) families[af_key(family)] = {{both(mine.has(af), theirs.has(af)), true}};
    }
    o["multiprotocolExtensions"] = std::move(families);
    flag("gracefulRestart", mine.graceful_restart.has_value(), theirs.graceful_restart.has_value());
    if (theirs.graceful_restart) o["gracefulRestartRemoteTimerMsecs"] = theirs.graceful_restart->restart_time * 1000;
    o["hostName"] = {{"advHostName", mine.hostname.empty() ? "n/a" : mine.hostname},
                     {"advDomainName", mine.domain.empty() ? "n/a" : mine.domain},
                     {"rcvHostName", theirs.hostname.empty() ? "n/a" : theirs.hostname},
                     {"rcvDomainName", theirs.domain.empty() ? "n/a" : theirs.domain}};
    return o;
}

std::string_view bfd_status(const BfdSessions::View* bfd)
{
    if (!bfd || !bfd->running) return "Unknown";
    switch (bfd->last.state) {
        case api::BfdState::AdminDown: return "Admin Down";
        case api::BfdState::Up: return "Up";
        case api::BfdState::Init:
        case api::BfdState::Down: break;
    }
    return "Down";
}

// "0:00:00:20": days, hours, minutes, seconds.
std::string bfd_last_update(const BfdSessions::View* bfd)
{
    if (!bfd || bfd->changed_at == TimePoint{}) return "never";
    const auto s = std::chrono::duration_cast<std::chrono::seconds>(now() - bfd->changed_at).count();
    return fmt::format("{}:{:02}:{:02}:{:02}", s / 86400, s / 3600 % 24, s / 60 % 60, s % 60);
}

json::object neighbor_json(BgpInstance& instance, const BgpNeighbor& n)
{
    const auto at = now();
    const auto& session = n.session();
    const auto& stats = session.stats();
    const auto& up = session.established();
    const auto& config = session.config();
    json::object o{{"remoteAs", remote_as(n)}, {"localAs", index(config.local_as)}};
    o[n.external() ? "nbrExternalLink" : "nbrInternalLink"] = true;
    o["localRole"] = "undefined";
    o["remoteRole"] = "undefined";
    if (!n.config().description.empty()) o["nbrDesc"] = n.config().description;
    if (up && !up->peer.capabilities.hostname.empty()) o["hostname"] = up->peer.capabilities.hostname;
    if (n.config().shutdown) o["adminShutDown"] = true;
    o["bgpVersion"] = 4;
    o["remoteRouterId"] = up ? up->peer.router_id.to_string() : "0.0.0.0";
    o["localRouterId"] = instance.router_id().to_string();
    o["bgpState"] = n.config().shutdown ? "Idle" : std::string{bgp::to_string(session.state())};
    const auto ago = [&](TimePoint t) { return t == kNever ? 0 : milliseconds(at - t); };
    if (up) {
        o["bgpTimerUpMsec"] = ago(stats.changed_at);
        o["bgpTimerUpString"] = uptime(stats.changed_at, at);
        o["bgpTimerUpEstablishedEpoch"] = epoch(stats.changed_at);
    }
    o["bgpTimerLastRead"] = ago(stats.last_read);
    o["bgpTimerLastWrite"] = ago(stats.last_write);
    o["bgpInUpdateElapsedTimeMsecs"] = ago(stats.last_update_received);
    o["bgpTimerConfiguredHoldTimeMsecs"] = milliseconds(config.hold);
    o["bgpTimerConfiguredKeepAliveIntervalMsecs"] = milliseconds(config.keepalive);
    o["bgpTimerHoldTimeMsecs"] = milliseconds(up ? up->hold : config.hold);
    o["bgpTimerKeepAliveIntervalMsecs"] = milliseconds(up ? up->keepalive : config.keepalive);
    if (const auto mss = n.transport().socket_mss()) o["bgpTcpMssSynced"] = *mss;
    if (up) o["neighborCapabilities"] = capabilities_json(n, *up);
    o["messageStats"] = {{"depthInq", 0},
                         {"depthOutq", n.transport().queued()},
                         {"opensSent", stats.sent.opens},
                         {"opensRecv", stats.received.opens},
                         {"notificationsSent", stats.sent.notifications},
                         {"notificationsRecv", stats.received.notifications},
                         {"updatesSent", stats.sent.updates},
                         {"updatesRecv", stats.received.updates},
                         {"keepalivesSent", stats.sent.keepalives},
                         {"keepalivesRecv", stats.received.keepalives},
                         {"routeRefreshSent", stats.sent.route_refreshes},
                         {"routeRefreshRecv", stats.received.route_refreshes},
                         {"capabilitySent", 0},
                         {"capabilityRecv", 0},
                         {"totalSent", stats.sent.total()},
                         {"totalRecv", stats.received.total()}};
    o["minBtwnAdvertisementRunsTimerMsecs"] =
        n.config().advertisement_interval ? milliseconds(*n.config().advertisement_interval) : 0;
    json::object families;
    for (const auto family : {Family::Ipv4, Family::Ipv6}) {
        if (!n.family_active(family)) continue;
        const auto counts = instance.rib().counts(n.handle(), family);
        json::object f{{"updateGroupId", 0},
                       {"subGroupId", 0},
                       {"packetQueueLength", 0},
                       {"commAttriSentToNbr", "extendedAndStandard"}};
        const auto configured = n.config().families.find(family);
        if (configured != n.config().families.end()) {
            const auto& c = configured->second;
            if (c.next_hop_self) f["routerAlwaysNextHop"] = true;
            if (c.route_reflector_client) f["routeReflectorClient"] = true;
            if (c.soft_reconfiguration_inbound) f["inboundSoftConfigPermit"] = true;
            if (c.maximum_prefix) {
                f["prefixAllowedMax"] = *c.maximum_prefix;
                f["prefixAllowedWarningThresh"] = c.maximum_prefix_threshold;
            }
        }
        f["acceptedPrefixCounter"] = counts.accepted;
        f["sentPrefixCounter"] = counts.sent;
        families[af_key(family)] = std::move(f);
    }
    o["addressFamilyInfo"] = std::move(families);
    o["connectionsEstablished"] = stats.connections_established;
    o["connectionsDropped"] = stats.connections_dropped;
    if (stats.last_reset_at != kNever) {
        o["lastResetTimerMsecs"] = ago(stats.last_reset_at);
        o["lastResetDueTo"] = bgp::to_string(stats.last_reset);
        o["lastResetCode"] = static_cast<int>(stats.last_reset);
        if (stats.last_notification) {
            o["lastNotificationReason"] = stats.last_notification->to_string();
            o["lastErrorCodeSubcode"] = fmt::format("{:02X}{:02X}", static_cast<int>(stats.last_notification->code),
                                                    stats.last_notification->subcode);
        }
    }
    if (n.external())
        o["externalBgpNbrMaxHopsAway"] = n.config().ttl_security_hops.value_or(n.config().ebgp_multihop.value_or(1));
    o["hostLocal"] = up ? up->local.address.to_string() : "Unknown";
    o["portLocal"] = up ? up->local.port : -1;
    o["hostForeign"] = n.address().to_string();
    o["portForeign"] = up ? static_cast<int>(up->remote.port) : -1;
    if (up) {
        o["nexthop"] = up->local.address.is_v4() ? up->local.address.to_string() : instance.router_id().to_string();
        o["bgpConnection"] = n.way().direct ? "sharedNetwork" : "nonSharedNetwork";
    }
    if (n.config().bfd) {
        const auto* bfd = n.bfd_session();
        json::object b{{"type", bfd && bfd->word.multihop ? "multi hop" : "single hop"},
                       {"detectMultiplier", bfd ? bfd->word.multiplier : 3},
                       {"rxMinInterval", bfd ? bfd->word.required_min_rx / 1000 : 300},
                       {"txMinInterval", bfd ? bfd->word.desired_min_tx / 1000 : 300},
                       {"status", bfd_status(bfd)},
                       {"lastUpdate", bfd_last_update(bfd)}};
        if (n.config().bfd->strict) b["strict"] = true;
        if (n.waits_for_bfd()) b["waiting"] = "BGP waits for BFD to be up (strict mode)";
        o["peerBfdInfo"] = std::move(b);
    }
    o["connectRetryTimer"] = std::chrono::duration_cast<std::chrono::seconds>(config.connect_retry).count();
    if (session.connect_retry_at() != kNever)
        o["nextConnectTimerDueInMsecs"] = std::max<std::int64_t>(0, milliseconds(session.connect_retry_at() - at));
    o["readThread"] = up ? "on" : "off";
    o["writeThread"] = up ? "on" : "off";
    return o;
}

std::string bfd_text(const BgpNeighbor& n)
{
    if (!n.config().bfd) return {};
    const auto* bfd = n.bfd_session();
    auto t = fmt::format(
        "\n  BFD: Type: {}\n  Detect Multiplier: {}, Min Rx interval: {}, Min Tx interval: {}\n"
        "  Status: {}, Last update: {}\n",
        bfd && bfd->word.multihop ? "multi hop" : "single hop", bfd ? bfd->word.multiplier : 3,
        bfd ? bfd->word.required_min_rx / 1000 : 300, bfd ? bfd->word.desired_min_tx / 1000 : 300, bfd_status(bfd),
        bfd_last_update(bfd));
    if (n.waits_for_bfd()) t += "  BGP waits for BFD to be up (strict mode)\n";
    return t;
}

// "is 10.0.0.2"; of an unnumbered one "on eth0: fe80::2", as FRR.
std::string heading(const BgpNeighbor& n)
{
    if (!n.config().unnumbered()) return "is " + n.name().to_string();
    return "on " + n.name().to_string() + ": " + (n.address().is_unspecified() ? "None" : n.address().to_string());
}

std::string neighbor_text(BgpInstance& instance, const BgpNeighbor& n)
{
    const auto at = now();
    const auto& session = n.session();
    const auto& stats = session.stats();
    const auto& up = session.established();
    std::string t = fmt::format("BGP neighbor {}, remote AS {}, local AS {}, {} link\n", heading(n), remote_as(n),
                                index(session.config().local_as), n.external() ? "external" : "internal");
    if (!n.config().description.empty()) t += fmt::format(" Description: {}\n", n.config().description);
    if (up && !up->peer.capabilities.hostname.empty())
        t += fmt::format("Hostname: {}\n", up->peer.capabilities.hostname);
    t += fmt::format("  BGP version 4, remote router ID {}, local router ID {}\n",
                     up ? up->peer.router_id.to_string() : "0.0.0.0", instance.router_id().to_string());
    t += fmt::format("  BGP state = {}", state_text(n));
    if (up) t += fmt::format(", up for {}", uptime(stats.changed_at, at));
    t += fmt::format("\n  Last read {}, Last write {}\n", uptime(stats.last_read, at), uptime(stats.last_write, at));
    const auto seconds = [](Duration d) { return std::chrono::duration_cast<std::chrono::seconds>(d).count(); };
    t += fmt::format("  Hold time is {} seconds, keepalive interval is {} seconds\n",
                     seconds(up ? up->hold : session.config().hold),
                     seconds(up ? up->keepalive : session.config().keepalive));
    t += fmt::format("  Message statistics:\n    {:<18}{:>10}{:>10}\n", "", "Sent", "Rcvd");
    const auto row = [&](const char* name, std::uint64_t s, std::uint64_t r) {
        t += fmt::format("    {:<18}{:>10}{:>10}\n", name, s, r);
    };
    row("Opens:", stats.sent.opens, stats.received.opens);
    row("Notifications:", stats.sent.notifications, stats.received.notifications);
    row("Updates:", stats.sent.updates, stats.received.updates);
    row("Keepalives:", stats.sent.keepalives, stats.received.keepalives);
    row("Route Refresh:", stats.sent.route_refreshes, stats.received.route_refreshes);
    row("Total:", stats.sent.total(), stats.received.total());
    for (const auto family : {Family::Ipv4, Family::Ipv6}) {
        if (!n.family_active(family)) continue;
        const auto counts = instance.rib().counts(n.handle(), family);
        t += fmt::format("\n For address family: {}\n", af_text(family));
        if (std::string_view{peer_state(instance, n)} == "Policy")
            t += "  Inbound and outbound updates discarded due to missing policy (bgp ebgp-requires-policy)\n";
        t += fmt::format("  {} accepted prefixes, {} sent\n", counts.accepted, counts.sent);
    }
    t += fmt::format("\n  Connections established {}; dropped {}\n", stats.connections_established,
                     stats.connections_dropped);
    t += bfd_text(n);
    if (stats.last_reset_at == kNever) {
        t += "  Last reset never\n";
    } else {
        t += fmt::format("  Last reset {},  {}\n", uptime(stats.last_reset_at, at), bgp::to_string(stats.last_reset));
        if (stats.last_notification)
            t += fmt::format("  Last notification {}: {}\n", stats.last_notification_sent ? "sent" : "received",
                             stats.last_notification->to_string());
    }
    if (stats.treated_as_withdraw + stats.attributes_discarded > 0) {
        t += fmt::format("  Defective UPDATEs: {} treated as withdraw, {} attributes discarded; last: {}\n",
                         stats.treated_as_withdraw, stats.attributes_discarded, stats.last_attribute_error.reason);
    }
    if (up)
        t +=
            fmt::format("Local host: {}, Local port: {}\nForeign host: {}, Foreign port: {}\n",
                        up->local.address.to_string(), up->local.port, up->remote.address.to_string(), up->remote.port);
    return t + "\n";
}

}  // namespace

Shown bgp_neighbors(Router& router, const config::Exec& exec)
{
    const auto list = instances(router, exec.vrf);
    if (list.empty()) return exec.json ? Shown{whole("{}\n")} : Shown{no_instance(exec.vrf)};
    json::object out;
    std::string text;
    for (auto* instance : list) {
        for (const auto& [name, n] : instance->neighbors()) {
            if (exec.neighbor && *exec.neighbor != name) continue;
            if (exec.json)
                out[name.to_string()] = neighbor_json(*instance, *n);
            else
                text += neighbor_text(*instance, *n);
        }
    }
    if (exec.json) {
        if (out.empty() && exec.neighbor) out["bgpNoSuchNeighbor"] = true;
        return whole(pretty(out) + "\n");
    }
    if (text.empty()) text = exec.neighbor ? "% No such neighbor in this view/vrf\n" : "";
    return whole(text);
}

Shown bgp_table(Router& router, const config::Exec& exec)
{
    const auto vrf = internal(exec.vrf);
    auto* instance = router.bgp().find(vrf);
    if (!instance) return exec.json ? Shown{whole("{}\n")} : Shown{no_instance(exec.vrf)};
    const auto family = exec.family.value_or(Family::Ipv4);
    const auto within = exec.prefix;
    if (exec.json) {
        const bool detail = exec.detail;
        return walk_table(
            router, vrf, family, without_closing(table_top(router, *instance, family), 0) + ",\n  \"routes\":{",
            [instance, within, detail](const rib::PrefixView& p, std::string& out, bool first) {
                if (within && !within->contains(p.prefix)) return false;
                json::array paths;
                for (const auto& path : p.paths) {
                    if (path.rejected) continue;
                    paths.push_back(detail ? path_json(*instance, p, path) : row_json(*instance, p, path));
                }
                if (paths.empty()) return false;
                out += first ? "\n    " : ",\n    ";
                out += quoted(p.prefix.to_string()) + ":" + pretty(paths, 2);
                return true;
            },
            [](std::size_t n) { return n == 0 ? std::string{"}\n}\n"} : std::string{"\n  }\n}\n"}; });
    }
    return walk_table(
        router, vrf, family, table_heading(*instance, family),
        [instance, within](const rib::PrefixView& p, std::string& out, bool) {
            if (within && !within->contains(p.prefix)) return false;
            bool first = true;
            for (const auto& path : p.paths) {
                if (path.rejected) continue;
                out += row_text(*instance, p, path, first);
                first = false;
            }
            return !first;
        },
        [](std::size_t n) { return fmt::format("\nDisplayed {} routes\n", n); });
}

Shown bgp_prefix(Router& router, const config::Exec& exec)
{
    auto* instance = router.bgp().find(internal(exec.vrf));
    if (!instance) return exec.json ? Shown{whole("{}\n")} : Shown{no_instance(exec.vrf)};
    const auto view = exec.address ? instance->rib().longest_match(*exec.address) : instance->rib().find(*exec.prefix);
    std::vector<const rib::PathView*> paths;
    if (view) {
        for (const auto& path : view->paths) {
            if (path.rejected || (exec.bestpath && !path.best) || (exec.multipath && !path.best && !path.multipath))
                continue;
            paths.push_back(&path);
        }
    }
    if (paths.empty()) return whole(exec.json ? "{\n}\n" : "% Network not in table\n");
    if (exec.json) {
        json::object o{{"prefix", view->prefix.to_string()},
                       {"version", instance->rib().table_version(view->prefix.family())}};
        if (!view->advertised_to.empty()) {
            json::object to;
            for (const auto handle : view->advertised_to) {
                const auto* n = instance->find(handle);
                if (!n) continue;
                json::object who;
                const auto& up = n->session().established();
                if (up && !up->peer.capabilities.hostname.empty()) who["hostname"] = up->peer.capabilities.hostname;
                to[n->name().to_string()] = std::move(who);
            }
            o["advertisedTo"] = std::move(to);
        }
        json::array list;
        for (const auto* path : paths) list.push_back(path_json(*instance, *view, *path));
        o["paths"] = std::move(list);
        return whole(pretty(o) + "\n");
    }
    std::string t =
        fmt::format("BGP routing table entry for {}, version {}\nPaths: ({} available)\n", view->prefix.to_string(),
                    instance->rib().table_version(view->prefix.family()), view->paths.size());
    if (view->advertised_to.empty()) {
        t += "  Not advertised to any peer\n";
    } else {
        t += "  Advertised to non peer-group peers:\n ";
        for (const auto handle : view->advertised_to) {
            if (const auto* n = instance->find(handle)) t += " " + n->name().to_string();
        }
        t += "\n";
    }
    for (const auto* path : paths) {
        const auto& a = path->attributes;
        const auto* peer = path->peer == rib::kNoPeer ? nullptr : instance->find(path->peer);
        const auto as_path = a.as_path.to_string();
        t += fmt::format("  {}\n    {} from {}\n      Origin {}", as_path.empty() ? "Local" : as_path,
                         a.next_hop.to_string(), peer ? peer->address().to_string() : "0.0.0.0", origin_word(a.origin));
        if (a.med) t += fmt::format(", metric {}", *a.med);
        if (a.local_pref && !(peer && peer->external())) t += fmt::format(", localpref {}", *a.local_pref);
        if (path->weight != 0) t += fmt::format(", weight {}", path->weight);
        if (path->valid)
            t += ", valid";
        else if (!path->local && !path->next_hop.reachable)
            t += ", next hop inaccessible";
        if (path->looped) t += ", looped";
        t += path->local ? ", sourced, local" : peer && peer->external() ? ", external" : ", internal";
        if (path->multipath) t += ", multipath";
        if (path->best) t += fmt::format(", best ({})", rib::to_string(view->reason));
        if (path->backup) t += ", backup";
        t += "\n";
        if (!a.communities.empty()) {
            t += "      Community:";
            for (const auto c : a.communities) t += " " + community(c, false);
            t += "\n";
        }
        const time_t when = epoch(path->received_at);
        char text[32];
        t += fmt::format("      Last update: {}", ctime_r(&when, text));
    }
    return whole(t);
}

Shown bgp_neighbor_table(Router& router, const config::Exec& exec)
{
    const auto vrf = internal(exec.vrf);
    auto* instance = router.bgp().find(vrf);
    if (!instance) return exec.json ? Shown{whole("{}\n")} : Shown{no_instance(exec.vrf)};
    const auto* n = exec.neighbor ? instance->find(*exec.neighbor) : nullptr;
    if (!n) {
        if (exec.json) return whole("{\n  \"warning\":\"No such neighbor in this view/vrf\"\n}\n");
        return Error{Refused{"% No such neighbor in this view/vrf"}};
    }
    const auto family = exec.family.value_or(Family::Ipv4);
    const auto handle = n->handle();
    const bool advertised = exec.command == config::ExecCommand::ShowBgpAdvertisedRoutes;
    const bool received = exec.command == config::ExecCommand::ShowBgpReceivedRoutes;

    if (!advertised && !received) {
        // The table's own rows, those of this neighbour.
        const bool as_json = exec.json;
        return walk_table(
            router, vrf, family,
            as_json ? without_closing(table_top(router, *instance, family), 0) + ",\n  \"routes\":{"
                    : table_heading(*instance, family),
            [instance, handle, as_json](const rib::PrefixView& p, std::string& out, bool first) {
                for (const auto& path : p.paths) {
                    if (path.peer != handle || path.rejected) continue;
                    if (as_json) {
                        out += first ? "\n    " : ",\n    ";
                        out +=
                            quoted(p.prefix.to_string()) + ":" + pretty(json::array{row_json(*instance, p, path)}, 2);
                    } else {
                        out += row_text(*instance, p, path, true);
                    }
                    return true;
                }
                return false;
            },
            [as_json](std::size_t count) {
                if (!as_json) return fmt::format("\nDisplayed {} routes\n", count);
                return count == 0 ? std::string{"}\n}\n"} : std::string{"\n  }\n}\n"};
            });
    }

    const auto key = advertised ? "advertisedRoutes" : "receivedRoutes";
    const json::object top{{"bgpTableVersion", instance->rib().table_version(family)},
                           {"bgpLocalRouterId", instance->router_id().to_string()},
                           {"defaultLocPrf", instance->config().default_local_preference},
                           {"localAS", index(instance->config().asn)},
                           {"bgpStatusCodes", {{"valid", "*"}, {"best", ">"}, {"multipath", "="}, {"internal", "i"}}},
                           {"bgpOriginCodes", {{"igp", "i"}, {"egp", "e"}, {"incomplete", "?"}}}};
    const bool as_json = exec.json;
    return walk_table(
        router, vrf, family,
        as_json ? without_closing(top, 0) + ",\n  \"" + key + "\":{" : table_heading(*instance, family),
        [instance, handle, advertised, as_json](const rib::PrefixView& p, std::string& out, bool first) {
            bgp::PathAttributes a;
            std::uint32_t weight = 0;
            if (advertised) {
                const auto sent = instance->rib().advertised(handle, p.prefix);
                if (!sent) return false;
                a = *sent;
                if (!p.paths.empty() && p.paths.front().local) weight = kOwnWeight;
            } else {
                const auto got = instance->rib().received(handle, p.prefix);
                if (!got) return false;
                a = got->attributes;
                weight = got->weight;
            }
            if (!as_json) {
                rib::PathView path;
                path.attributes = a;
                path.weight = weight;
                path.valid = true;
                path.best = advertised;
                path.peer = handle;
                out += row_text(*instance, p, path, true);
                return true;
            }
            json::object o{{"addrPrefix", p.prefix.address.to_string()},
                           {"prefixLen", p.prefix.length},
                           {"network", p.prefix.to_string()}};
            o[a.next_hop.is_v4() ? "nextHop" : "nextHopGlobal"] = a.next_hop.to_string();
            if (a.med) o["metric"] = *a.med;
            if (a.local_pref) o["locPrf"] = *a.local_pref;
            o["weight"] = weight;
            o["path"] = a.as_path.to_string();
            o["bgpOriginCode"] = std::string(1, origin_code(a.origin));
            o["appliedStatusSymbols"] = {{"*", true}, {">", true}};
            out += first ? "\n    " : ",\n    ";
            out += quoted(p.prefix.to_string()) + ":" + pretty(o, 2);
            return true;
        },
        [as_json](std::size_t count) {
            if (!as_json) return fmt::format("\nTotal number of prefixes {}\n", count);
            return fmt::format("{}}},\n  \"totalPrefixCounter\":{},\n  \"filteredPrefixCounter\":0\n}}\n",
                               count == 0 ? "" : "\n  ", count);
        });
}

Shown bgp_nexthop(Router& router, const config::Exec& exec)
{
    auto nht = exec;
    std::string text = "Current BGP nexthop cache:\n";
    for (const auto family : {Family::Ipv4, Family::Ipv6}) {
        nht.family = family;
        auto part = show::nht(router, nht);
        if (!part) return part;
        while ((*part)(text)) {}
    }
    return whole(text);
}

}  // namespace culvert::runtime::show
