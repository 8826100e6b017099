#include "controlplane/rib/bandwidth.h"
#include "controlplane/route/table_walk.h"
#include "controlplane/runtime/show/every_vrf.h"
#include "controlplane/runtime/show/show.h"

#include <boost/json.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <memory>
#include <numeric>

namespace culvert::runtime::show {
namespace {

namespace json = boost::json;

constexpr int kPerPiece = 256;  // prefixes

std::string display(const std::string& vrf) { return vrf.empty() ? "default" : vrf; }
std::string internal(const std::string& vrf) { return vrf == "default" ? "" : vrf; }

const char* protocol(route::Source s)
{
    switch (s) {
        case route::Source::Connected: return "connected";
        case route::Source::Local: return "local";
        case route::Source::Static: return "static";
        case route::Source::Bgp: return "bgp";
    }
    return "";
}

char letter(route::Source s)
{
    switch (s) {
        case route::Source::Connected: return 'C';
        case route::Source::Local: return 'L';
        case route::Source::Static: return 'S';
        case route::Source::Bgp: return 'B';
    }
    return ' ';
}

bool in_fib(const route::RouteView& r) { return r.selected && !r.queued; }

bool wanted(const config::Exec& exec, const route::RouteView& r)
{
    if (exec.command == config::ExecCommand::ShowFib && !in_fib(r)) return false;
    if (!exec.protocol) return true;
    const auto s = r.source;
    switch (*exec.protocol) {
        case config::RouteProtocol::Connected: return s == route::Source::Connected;
        case config::RouteProtocol::Local: return s == route::Source::Local;
        case config::RouteProtocol::Static: return s == route::Source::Static;
        case config::RouteProtocol::Bgp: return s == route::Source::Bgp;
    }
    return true;
}

// One hop as it is written, and what it resolves to when it is a gateway without an interface.
struct Hop {
    route::Nexthop hop;
    bool active = false;
    bool recursive = false;
};

// By bandwidth BGP weighs finer than FRR, which has hundredths.
std::uint16_t shown_weight(route::Source source, std::uint16_t weight)
{
    constexpr int kHundredth = rib::kWholeWeight / 100;
    if (source != route::Source::Bgp) return weight;
    return static_cast<std::uint16_t>(std::max(1, weight / kHundredth));
}

std::vector<Hop> hops_of(Router& router, const route::RouteView& view)
{
    std::vector<Hop> out;
    if (!view.set) return out;
    for (auto hop : view.set->nexthops) {
        hop.weight = shown_weight(view.source, hop.weight);
        if (hop.type != route::NexthopType::Gateway || hop.interface != kNoInterface) {
            const bool up = hop.interface == kNoInterface || router.core().tables.link_up(hop.interface);
            out.push_back({hop, up, false});
            continue;
        }
        const auto way = router.core().tables.resolve(hop.vrf, hop.gateway);
        if (way.reachable && way.direct && !way.nexthops.empty()) {
            auto direct = hop;
            direct.interface = way.nexthops.front().interface;
            out.push_back({direct, true, false});
            continue;
        }
        out.push_back({hop, way.reachable, way.reachable});
        for (auto end : way.nexthops) {
            end.weight = hop.weight;  // as FRR: how much of the route's traffic, not of its gateway's
            out.push_back({end, true, false});
        }
    }
    return out;
}

bool is_direct(const route::Nexthop& hop)
{
    return hop.type == route::NexthopType::Attached || hop.type == route::NexthopType::Host;
}

json::object hop_json(Router& router, const Hop& h)
{
    json::object o;
    o["flags"] = h.active ? 3 : 0;
    if (h.active && !h.recursive) o["fib"] = true;
    switch (h.hop.type) {
        case route::NexthopType::Gateway:
            o["ip"] = h.hop.gateway.to_string();
            o["afi"] = h.hop.gateway.is_v4() ? "ipv4" : "ipv6";
            break;
        case route::NexthopType::Attached:
        case route::NexthopType::Host: o["directlyConnected"] = true; break;
        case route::NexthopType::Blackhole:
            o["unreachable"] = true;
            o["blackhole"] = true;
            break;
        case route::NexthopType::Reject:
            o["unreachable"] = true;
            o["reject"] = true;
            break;
        case route::NexthopType::Broadcast: break;  // only the dataplane has it
    }
    if (h.hop.interface != kNoInterface) {
        o["interfaceIndex"] = index(h.hop.interface);
        o["interfaceName"] = router.interfaces().name(h.hop.interface);
    }
    if (h.active) o["active"] = true;
    if (h.recursive) o["recursive"] = true;
    if (!h.recursive && !is_direct(h.hop)) o["weight"] = h.hop.weight;
    return o;
}

// As a line of a table has it, or (`alone`) as the entry of one route has it.
std::string hop_text(Router& router, const Hop& h, bool alone = false)
{
    const auto interface = h.hop.interface == kNoInterface ? "" : router.interfaces().name(h.hop.interface);
    std::string s;
    switch (h.hop.type) {
        case route::NexthopType::Gateway:
            s = (alone ? "" : "via ") + h.hop.gateway.to_string();
            if (!h.recursive && !interface.empty()) s += (alone ? ", via " : ", ") + interface;
            if (!h.active) s += " inactive";
            if (h.recursive) s += " (recursive)";
            break;
        case route::NexthopType::Attached:
        case route::NexthopType::Host:
            s = (alone ? "directly connected, " : "is directly connected, ") + (interface.empty() ? "host" : interface);
            break;
        case route::NexthopType::Blackhole: s = "unreachable (blackhole)"; break;
        case route::NexthopType::Reject: s = "unreachable (ICMP unreachable)"; break;
        case route::NexthopType::Broadcast: break;
    }
    if (!h.recursive && !is_direct(h.hop)) s += fmt::format(", weight {}", h.hop.weight);
    return s;
}

json::array entry_json(Router& router, const route::EntryView& entry, VrfId vrf, const config::Exec& exec)
{
    json::array out;
    for (const auto& r : entry.routes) {
        if (!wanted(exec, r)) continue;
        json::object o{{"prefix", entry.prefix.to_string()},
                       {"prefixLen", entry.prefix.length},
                       {"protocol", protocol(r.source)},
                       {"vrfId", index(vrf)},
                       {"vrfName", display(router.vrfs().name(vrf))}};
        if (r.selected) {
            o["selected"] = true;
            o["destSelected"] = true;
        }
        o["distance"] = r.distance;
        o["metric"] = r.metric;
        if (in_fib(r)) o["installed"] = true;
        if (r.queued) o["queued"] = true;
        if (r.tag != 0) o["tag"] = r.tag;
        o["table"] = 254;
        const auto hops = hops_of(router, r);
        o["internalNextHopNum"] = hops.size();
        o["internalNextHopActiveNum"] = std::count_if(hops.begin(), hops.end(), [](const auto& h) { return h.active; });
        o["uptime"] = uptime(TimePoint{entry.since}, now());
        json::array nexthops;
        for (const auto& h : hops) nexthops.push_back(hop_json(router, h));
        o["nexthops"] = std::move(nexthops);
        out.push_back(std::move(o));
    }
    return out;
}

std::string entry_text(Router& router, const route::EntryView& entry, const config::Exec& exec)
{
    std::string text;
    for (const auto& r : entry.routes) {
        if (!wanted(exec, r)) continue;
        auto head = fmt::format("{}{}{} {}", letter(r.source), r.selected ? '>' : ' ', in_fib(r) ? '*' : ' ',
                                entry.prefix.to_string());
        if (r.source != route::Source::Connected && r.source != route::Source::Local)
            head += fmt::format(" [{}/{}]", r.distance, r.metric);
        const auto width = head.size();
        bool first = true;
        const auto hops = hops_of(router, r);
        const auto since = uptime(TimePoint{entry.since}, now());
        if (hops.empty()) text += head + " inactive, " + since + "\n";
        for (const auto& h : hops) {
            text += first ? head : fmt::format("  {}{:<{}}", h.active ? '*' : ' ', "", width - 3);
            first = false;
            text += " " + hop_text(router, h) + ", " + since + "\n";
        }
    }
    return text;
}

IpPrefix everything(Family family)
{
    return {family == Family::Ipv4 ? IpAddress{Ipv4Address{}} : IpAddress{Ipv6Address{}}, 0};
}

// A full table is a hundred megabytes of text: it is walked as the reader takes it.
struct Walk {
    Walk(const route::Tables& tables, VrfId v, const IpPrefix& within) : vrf(v), entries(tables, v, within) {}

    VrfId vrf;
    route::TableWalk entries;

    // The next few prefixes; false: these were the last.
    bool piece(const std::function<void(const route::EntryView&)>& visit)
    {
        if (entries.prepare()) return true;
        for (int count = 0; count < kPerPiece; ++count) {
            const auto entry = entries.next();
            if (!entry) return false;
            visit(*entry);
        }
        return true;
    }
};

constexpr auto kLegend =
    "Codes: C - connected, L - local, S - static, B - BGP,\n"
    "       > - selected route, * - FIB route, q - queued\n";

bool of_every_vrf(const config::Exec& exec) { return exec.vrf == "all"; }
// As FRR's zebra writes it.
constexpr auto kVrfHeading = "\nVRF {}:\n";

Shown routes_of_vrf(Router& router, const config::Exec& exec)
{
    const auto family = exec.family.value_or(Family::Ipv4);
    const auto vrf = router.vrfs().id(internal(exec.vrf));
    if (!vrf) return exec.json ? Shown{whole("{}\n")} : Shown{Error{Refused{"% VRF " + exec.vrf + " not found"}}};
    auto& tables = router.core().tables;

    if (exec.address || (exec.prefix && !exec.longer_prefixes)) {
        const auto entry = exec.address ? tables.lookup(*vrf, *exec.address) : tables.find(*vrf, *exec.prefix);
        if (exec.json) {
            json::object out;
            if (entry) out[entry->prefix.to_string()] = entry_json(router, *entry, *vrf, exec);
            return whole(pretty(out) + "\n");
        }
        if (!entry) return whole("% Network not in table\n");
        std::string text = fmt::format("Routing entry for {}\n", entry->prefix.to_string());
        for (const auto& r : entry->routes) {
            text +=
                fmt::format("  Known via \"{}\", distance {}, metric {}{}\n  Last update {} ago\n", protocol(r.source),
                            r.distance, r.metric, r.selected ? ", best" : "", uptime(TimePoint{entry->since}, now()));
            for (const auto& h : hops_of(router, r))
                text += fmt::format("  {} {}\n", h.active ? '*' : ' ', hop_text(router, h, true));
        }
        return whole(text + "\n");
    }

    auto walk = std::make_shared<Walk>(tables, *vrf, exec.prefix.value_or(everything(family)));
    auto first = std::make_shared<std::optional<bool>>();
    return Producer{[&router, exec, walk, first](std::string& out) {
        if (!*first) {
            *first = true;
            if (exec.json) out += "{";
        }
        const bool more = walk->piece([&](const route::EntryView& entry) {
            if (!exec.json) {
                out += entry_text(router, entry, exec);
                return;
            }
            const auto list = entry_json(router, entry, walk->vrf, exec);
            if (list.empty()) return;
            out += **first ? "\n  " : ",\n  ";
            out += quoted(entry.prefix.to_string()) + ":" + pretty(list, 1);
            *first = false;
        });
        if (!more && exec.json) out += **first ? "}\n" : "\n}\n";
        return more;
    }};
}

Shown summary_of_vrf(Router& router, const config::Exec& exec)
{
    const auto family = exec.family.value_or(Family::Ipv4);
    const auto vrf = router.vrfs().id(internal(exec.vrf));
    if (!vrf) return exec.json ? Shown{whole("{}\n")} : Shown{Error{Refused{"% VRF " + exec.vrf + " not found"}}};

    // eBGP's and iBGP's routes differ by their distance alone.
    std::uint8_t ebgp = config::BgpFamily{}.distance.front();
    const auto& instances = router.effective().bgp;
    if (const auto bgp = instances.find(internal(exec.vrf)); bgp != instances.end()) {
        const auto settings = bgp->second.families.find(family);
        if (settings != bgp->second.families.end()) ebgp = settings->second.distance.front();
    }
    struct Count {
        const char* type;
        std::size_t rib = 0, fib = 0;
    };
    struct State {
        Walk walk;
        std::array<Count, 5> counts{{{"connected"}, {"local"}, {"static"}, {"ebgp"}, {"ibgp"}}};
    };
    auto state = std::make_shared<State>(State{.walk = {router.core().tables, *vrf, everything(family)}});
    return Producer{[&router, json_wanted = exec.json, vrf = *vrf, ebgp, state](std::string& out) {
        const bool more = state->walk.piece([&](const route::EntryView& entry) {
            for (const auto& r : entry.routes) {
                std::size_t row = 0;
                switch (r.source) {
                    case route::Source::Connected: row = 0; break;
                    case route::Source::Local: row = 1; break;
                    case route::Source::Static: row = 2; break;
                    case route::Source::Bgp: row = r.distance == ebgp ? 3 : 4; break;
                }
                ++state->counts[row].rib;
                if (in_fib(r)) ++state->counts[row].fib;
            }
        });
        if (more) return true;
        json::array routes;
        auto text = fmt::format("{:<20} {:<20} {}  (vrf {})\n", "Route Source", "Routes", "FIB",
                                display(router.vrfs().name(vrf)));
        Count total{"Totals"};
        const auto line = [](const Count& c) { return fmt::format("{:<20} {:<20} {:<20} \n", c.type, c.rib, c.fib); };
        for (const auto& c : state->counts) {
            if (c.rib == 0) continue;
            total.rib += c.rib;
            total.fib += c.fib;
            routes.push_back(
                {{"fib", c.fib}, {"rib", c.rib}, {"fibOffLoaded", 0}, {"fibTrapped", 0}, {"type", c.type}});
            text += line(c);
        }
        text += "------\n" + line(total);
        if (json_wanted)
            text = pretty(json::object{{"routes", routes}, {"routesTotal", total.rib}, {"routesTotalFib", total.fib}}) +
                   "\n";
        out += text;
        return false;
    }};
}

const char* kind_name(api::NexthopKind kind)
{
    switch (kind) {
        case api::NexthopKind::Adjacency: return "adjacency";
        case api::NexthopKind::Glean: return "glean";
        case api::NexthopKind::WireguardPeer: return "wireguard-peer";
        case api::NexthopKind::WireguardLookup: return "wireguard-lookup";
        case api::NexthopKind::Tunnel: return "tunnel";
        case api::NexthopKind::Local: return "local";
        case api::NexthopKind::Via: return "via";
        case api::NexthopKind::Blackhole: return "blackhole";
        case api::NexthopKind::Reject: return "reject";
        case api::NexthopKind::Broadcast: return "broadcast";
    }
    return "";
}

// What the dataplane itself answers.
Shown way_in_vrf(Router& router, const config::Exec& exec)
{
    const auto vrf = router.vrfs().id(internal(exec.vrf));
    if (!vrf) return Error{Refused{"% VRF " + exec.vrf + " not found"}};
    const auto destination = exec.address ? *exec.address : exec.prefix->address;
    const auto answer = router.core().dataplane.lookup(*vrf, destination);
    if (!answer) return whole(exec.json ? "{}\n" : "% Network not in table\n");
    json::array members;
    const auto buckets = std::accumulate(answer->buckets.begin(), answer->buckets.end(), 0u);
    std::string text = fmt::format("{} -> group {}\n", answer->prefix.to_string(), index(answer->group));
    for (std::size_t i = 0; i < answer->members.size(); ++i) {
        const auto id = answer->members[i];
        const auto hop = router.core().programmer.nexthop(id);
        const char* kind = hop ? kind_name(hop->kind) : "unknown";
        const auto interface = hop ? router.interfaces().name(hop->interface) : std::string{};
        const auto peer = hop && hop->peer != kNoPeer ? router.wireguard().peer_name(hop->peer) : std::string{};
        const auto causes = i < answer->down_causes.size() ? answer->down_causes[i] : 0;
        json::object o{{"nexthop", index(id)}, {"kind", kind}, {"down", causes != 0}};
        std::string line = fmt::format("  next hop {} {}", index(id), kind);
        if (!interface.empty()) {
            o["interfaceName"] = interface;
            line += " " + interface;
        }
        if (!peer.empty()) {
            o["peer"] = peer;
            line += " peer " + peer;
        }
        if (hop && hop->kind == api::NexthopKind::Adjacency) {
            o["ip"] = hop->gateway.to_string();
            o["hardwareAddress"] = hop->resolved ? hop->mac.to_string() : "incomplete";
            line +=
                fmt::format(" {} {}", hop->gateway.to_string(), hop->resolved ? hop->mac.to_string() : "incomplete");
        }
        if (hop && hop->kind == api::NexthopKind::Via) {
            o["via"] = index(hop->via);
            line += fmt::format(" group {}", index(hop->via));
        }
        const auto share = i < answer->buckets.size() ? answer->buckets[i] : 0;
        const auto weight = i < answer->weights.size() ? answer->weights[i] : 1;
        o["weight"] = weight;
        o["buckets"] = share;
        if (answer->members.size() > 1)
            line += fmt::format(", weight {}, {} of {} buckets ({:.1f} %)", weight, share, buckets,
                                100.0 * share / std::max(buckets, 1u));
        if (causes != 0) line += " DOWN";
        members.push_back(std::move(o));
        text += line + "\n";
    }
    if (!exec.json) return whole(text);
    return whole(pretty(json::object{
                     {answer->prefix.to_string(),
                      json::object{{"group", index(answer->group)}, {"buckets", buckets}, {"nexthops", members}}}}) +
                 "\n");
}

Shown tracked_in_vrf(Router& router, const config::Exec& exec)
{
    const auto family = exec.family.value_or(Family::Ipv4);
    const auto vrf = router.vrfs().id(internal(exec.vrf));
    if (!vrf) return Error{Refused{"% VRF " + exec.vrf + " not found"}};
    json::object out;
    std::string text;
    router.core().tables.walk_tracked(*vrf, [&](const route::TrackingEvent& t) {
        if (t.address.family != family) return;
        const auto address = t.address.to_string();
        auto r = t.resolution;
        for (auto& hop : r.nexthops) hop.weight = shown_weight(r.source, hop.weight);
        if (exec.json) {
            json::object o{{"resolved", r.reachable}};
            json::array nexthops;
            for (const auto& hop : r.nexthops) nexthops.push_back(hop_json(router, {hop, true, false}));
            if (r.reachable) {
                o["protocol"] = protocol(r.source);
                o["prefix"] = r.prefix.to_string();
                o["nexthops"] = std::move(nexthops);
            } else {
                o["reason"] = r.reason;
            }
            out[address] = std::move(o);
            return;
        }
        text += address + "\n";
        if (!r.reachable) {
            text += fmt::format(" unresolved ({})\n", r.reason);
            return;
        }
        text += fmt::format(" resolved via {}\n", protocol(r.source));
        for (const auto& hop : r.nexthops) {
            const bool here = hop.type == route::NexthopType::Gateway && hop.gateway == t.address &&
                              r.source == route::Source::Connected;
            text += here ? fmt::format(" is directly connected, {}\n", router.interfaces().name(hop.interface))
                         : " " + hop_text(router, {hop, true, false}) + "\n";
        }
    });
    return whole(exec.json ? pretty(out) + "\n" : text);
}

}  // namespace

Shown route(Router& router, const config::Exec& exec)
{
    const bool table = !exec.address && (!exec.prefix || exec.longer_prefixes);
    auto shown = of_every_vrf(exec) ? every_vrf(router, exec, {router.vrfs().names(), kVrfHeading, routes_of_vrf})
                                    : routes_of_vrf(router, exec);
    if (!shown || exec.json || !table) return shown;
    return after(std::string{kLegend} + (of_every_vrf(exec) ? "" : "\n"), std::move(*shown));
}

Shown route_summary(Router& router, const config::Exec& exec)
{
    if (of_every_vrf(exec)) return every_vrf(router, exec, {router.vrfs().names(), "", summary_of_vrf});
    return summary_of_vrf(router, exec);
}

Shown fib(Router& router, const config::Exec& exec)
{
    // Without a destination: the routes that are installed.
    if (!exec.prefix && !exec.address) return route(router, exec);
    if (of_every_vrf(exec)) return every_vrf(router, exec, {router.vrfs().names(), kVrfHeading, way_in_vrf});
    return way_in_vrf(router, exec);
}

Shown nht(Router& router, const config::Exec& exec)
{
    if (of_every_vrf(exec)) return every_vrf(router, exec, {router.vrfs().names(), kVrfHeading, tracked_in_vrf});
    return tracked_in_vrf(router, exec);
}

}  // namespace culvert::runtime::show
