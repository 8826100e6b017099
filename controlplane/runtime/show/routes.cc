#include "controlplane/runtime/show/show.h"

#include <boost/json.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <memory>

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

bool wanted(const config::Exec& exec, route::Source s)
{
    if (!exec.protocol) return true;
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

std::vector<Hop> hops_of(Router& router, const route::RouteView& view)
{
    std::vector<Hop> out;
    if (!view.set) return out;
    for (const auto& hop : view.set->nexthops) {
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
        for (const auto& end : way.nexthops) out.push_back({end, true, false});
    }
    return out;
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
    }
    if (h.hop.interface != kNoInterface) {
        o["interfaceIndex"] = index(h.hop.interface);
        o["interfaceName"] = router.interfaces().name(h.hop.interface);
    }
    if (h.active) o["active"] = true;
    if (h.recursive) o["recursive"] = true;
    if (h.hop.type == route::NexthopType::Gateway && !h.recursive) o["weight"] = h.hop.weight;
    return o;
}

std::string hop_text(Router& router, const Hop& h)
{
    const auto interface = h.hop.interface == kNoInterface ? "" : router.interfaces().name(h.hop.interface);
    switch (h.hop.type) {
        case route::NexthopType::Gateway: {
            std::string s = "via " + h.hop.gateway.to_string();
            if (h.recursive)
                s += " (recursive)";
            else if (!interface.empty())
                s += ", " + interface;
            if (!h.active) s += " inactive";
            return s;
        }
        case route::NexthopType::Attached:
        case route::NexthopType::Host: return "is directly connected, " + (interface.empty() ? "host" : interface);
        case route::NexthopType::Blackhole: return "unreachable (blackhole)";
        case route::NexthopType::Reject: return "unreachable (ICMP unreachable)";
    }
    return "";
}

json::array entry_json(Router& router, const route::EntryView& entry, VrfId vrf, const config::Exec& exec)
{
    json::array out;
    for (const auto& r : entry.routes) {
        if (!wanted(exec, r.source)) continue;
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
        if (r.selected && !r.queued) o["installed"] = true;
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
        if (!wanted(exec, r.source)) continue;
        auto head = fmt::format("{}{}{} {}", letter(r.source), r.selected ? '>' : ' ',
                                r.selected && !r.queued ? '*' : ' ', entry.prefix.to_string());
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

constexpr auto kLegend =
    "Codes: C - connected, L - local, S - static, B - BGP,\n"
    "       > - selected route, * - FIB route, q - queued\n\n";

}  // namespace

Shown route(Router& router, const config::Exec& exec)
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
                text += fmt::format("  {} {}\n", h.active ? '*' : ' ', hop_text(router, h));
        }
        return whole(text + "\n");
    }

    // A full table is a hundred megabytes of text: it is made as the reader takes it.
    struct State {
        IpPrefix next;
        bool begun = false, first = true;
    };
    auto state = std::make_shared<State>();
    state->next = exec.prefix
                      ? *exec.prefix
                      : IpPrefix{family == Family::Ipv4 ? IpAddress{Ipv4Address{}} : IpAddress{Ipv6Address{}}, 0};
    return Producer{[&router, exec, family, vrf = *vrf, state](std::string& out) {
        auto& table = router.core().tables;
        if (!state->begun) {
            state->begun = true;
            out += exec.json ? "{" : kLegend;
        }
        int count = 0;
        std::optional<IpPrefix> stopped;
        table.walk(vrf, state->next, [&](const route::EntryView& entry) {
            if (exec.prefix && !exec.prefix->contains(entry.prefix))
                return entry.prefix.address <= exec.prefix->address;
            if (count == kPerPiece) {
                stopped = entry.prefix;
                return false;
            }
            ++count;
            if (exec.json) {
                const auto list = entry_json(router, entry, vrf, exec);
                if (list.empty()) return true;
                out += state->first ? "\n  " : ",\n  ";
                out += quoted(entry.prefix.to_string()) + ":" + pretty(list, 1);
                state->first = false;
            } else {
                out += entry_text(router, entry, exec);
            }
            return true;
        });
        if (stopped) {
            state->next = *stopped;
            return true;
        }
        if (exec.json) out += state->first ? "}\n" : "\n}\n";
        return false;
    }};
}

Shown route_summary(Router& router, const config::Exec& exec)
{
    const auto family = exec.family.value_or(Family::Ipv4);
    const auto vrf = router.vrfs().id(internal(exec.vrf));
    if (!vrf) return exec.json ? Shown{whole("{}\n")} : Shown{Error{Refused{"% VRF " + exec.vrf + " not found"}}};
    const auto& tables = router.core().tables;
    json::array routes;
    std::string text =
        fmt::format("{:<20}{:>12}  (vrf {})\n", "Route Source", "Routes", display(router.vrfs().name(*vrf)));
    std::size_t total = 0;
    for (const auto source :
         {route::Source::Connected, route::Source::Local, route::Source::Static, route::Source::Bgp}) {
        const auto n = tables.routes(*vrf, family, source);
        total += n;
        if (n == 0) continue;
        routes.push_back({{"fib", n}, {"rib", n}, {"fibOffLoaded", 0}, {"fibTrapped", 0}, {"type", protocol(source)}});
        text += fmt::format("{:<20}{:>12}\n", protocol(source), n);
    }
    text += fmt::format("------\n{:<20}{:>12}\n", "Totals", total);
    if (exec.json) {
        return whole(
            pretty(json::object{
                {"routes", routes}, {"routesTotal", total}, {"routesTotalFib", tables.prefixes(*vrf, family)}}) +
            "\n");
    }
    return whole(text);
}

Shown fib(Router& router, const config::Exec& exec)
{
    // Without a destination: the routes that are installed. With one: what the dataplane itself answers.
    if (!exec.prefix && !exec.address) {
        auto all = exec;
        return route(router, all);
    }
    const auto vrf = router.vrfs().id(internal(exec.vrf));
    if (!vrf) return Error{Refused{"% VRF " + exec.vrf + " not found"}};
    const auto destination = exec.address ? *exec.address : exec.prefix->address;
    const auto answer = router.core().dataplane.lookup(*vrf, destination);
    if (!answer) return whole(exec.json ? "{}\n" : "% Network not in table\n");
    json::array members;
    std::string text = fmt::format("{} -> group {}\n", answer->prefix.to_string(), index(answer->group));
    for (std::size_t i = 0; i < answer->members.size(); ++i) {
        const auto id = answer->members[i];
        const auto hop = router.core().programmer.nexthop(id);
        static constexpr const char* kKinds[] = {"adjacency", "glean", "wireguard-peer", "wireguard-lookup",
                                                 "local",     "via",   "blackhole",      "reject"};
        const char* kind = hop ? kKinds[static_cast<std::size_t>(hop->kind)] : "unknown";
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
        if (causes != 0) line += " DOWN";
        members.push_back(std::move(o));
        text += line + "\n";
    }
    if (!exec.json) return whole(text);
    return whole(pretty(json::object{{answer->prefix.to_string(),
                                      json::object{{"group", index(answer->group)}, {"nexthops", members}}}}) +
                 "\n");
}

Shown nht(Router& router, const config::Exec& exec)
{
    const auto family = exec.family.value_or(Family::Ipv4);
    const auto vrf = router.vrfs().id(internal(exec.vrf));
    if (!vrf) return Error{Refused{"% VRF " + exec.vrf + " not found"}};
    std::string text;
    router.core().tables.walk_tracked(*vrf, [&](const route::TrackingEvent& t) {
        if (t.address.family != family) return;
        text += t.address.to_string() + "\n";
        const auto& r = t.resolution;
        if (!r.reachable) {
            text += fmt::format(" unresolved ({})\n", r.reason);
            return;
        }
        text += fmt::format(" resolved via {}\n", protocol(r.source));
        for (const auto& hop : r.nexthops) text += " " + hop_text(router, {hop, true, false}) + "\n";
    });
    return whole(text);
}

}  // namespace culvert::runtime::show
