#include "controlplane/bgp/link_bandwidth.h"
#include "controlplane/runtime/show/bgp.h"
#include "controlplane/runtime/show/every_vrf.h"

#include <boost/json.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <optional>

namespace culvert::runtime::show {
namespace {

namespace json = boost::json;

constexpr int kPerPiece = 128;  // prefixes
constexpr std::uint32_t kOwnWeight = 32768;

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

// A path that the loop checks or the policy refused is kept for later, and is in no table.
bool in_table(const rib::PathView& path) { return !path.rejected && !path.looped; }

// FRR says "multipath" only where there is more than one.
bool spread(const rib::PrefixView& prefix, const rib::PathView& path)
{
    return path.multipath && std::ranges::count_if(prefix.paths, [](const auto& p) { return p.multipath; }) > 1;
}

IpAddress next_hop_of(const rib::PrefixView& prefix, const rib::PathView& path)
{
    const auto& a = path.attributes.next_hop;
    if (path.local && a.is_unspecified() && prefix.prefix.family() == Family::Ipv6) return Ipv6Address{};
    return a;
}

std::string hostname_of(const BgpNeighbor* n)
{
    const auto* up = n && n->session().established() ? &*n->session().established() : nullptr;
    return up ? up->peer.capabilities.hostname : std::string{};
}

// As FRR: octets a second, then bits in the unit that fits.
std::string link_bandwidth(const bgp::LinkBandwidth& b)
{
    constexpr double kKilo = 1e3, kMega = 1e6, kGiga = 1e9;
    const double octets = static_cast<double>(b.octets_a_second), bits = octets * 8;
    if (!b.usable()) return fmt::format("LB:{}:{} (not used)", index(b.asn), octets);
    const auto rate = bits >= kGiga   ? fmt::format("{:.3f} Gbps", bits / kGiga)
                      : bits >= kMega ? fmt::format("{:.3f} Mbps", bits / kMega)
                      : bits >= kKilo ? fmt::format("{:.3f} Kbps", bits / kKilo)
                                      : fmt::format("{:.0f} bps", bits);
    return fmt::format("LB:{}:{:.0f} ({})", index(b.asn), octets, rate);
}

// RFC 4360, 5668: route targets and origins as they are written; others as the number they are.
std::string extended_community(std::uint64_t c)
{
    if (const auto bandwidth = bgp::link_bandwidth(c)) return link_bandwidth(*bandwidth);
    constexpr unsigned kTwoOctetAs = 0, kAddress = 1, kFourOctetAs = 2, kTarget = 2, kOrigin = 3;
    const auto type = static_cast<unsigned>(c >> 56) & 0x3f, subtype = static_cast<unsigned>(c >> 48) & 0xff;
    if (type > kFourOctetAs || (subtype != kTarget && subtype != kOrigin)) return fmt::format("UNK:{:#018x}", c);
    const char* name = subtype == kTarget ? "RT" : "SoO";
    const auto high = static_cast<std::uint32_t>(c >> 16);
    if (type == kTwoOctetAs) return fmt::format("{}:{}:{}", name, (c >> 32) & 0xffff, static_cast<std::uint32_t>(c));
    if (type == kAddress) return fmt::format("{}:{}:{}", name, Ipv4Address{high}.to_string(), c & 0xffff);
    return fmt::format("{}:{}:{}", name, high, c & 0xffff);
}

json::array nexthops_json(const rib::PrefixView& prefix, const rib::PathView& path, const BgpNeighbor* peer,
                          bool whole_path)
{
    const auto one = [&](const IpAddress& a, const char* scope, bool used) {
        json::object o{{"ip", a.to_string()}, {"afi", a.is_v4() ? "ipv4" : "ipv6"}};
        if (const auto host = hostname_of(peer); !host.empty()) o["hostname"] = host;
        if (a.is_v6()) o["scope"] = scope;
        if (whole_path) {
            o["metric"] = path.next_hop.metric;
            o["accessible"] = path.local ? path.valid : path.next_hop.reachable;
        }
        if (used) o["used"] = true;
        return o;
    };
    json::array out;
    const auto first = next_hop_of(prefix, path);
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
    o["valid"] = path.valid;
    if (path.local) {
        o["sourced"] = true;
        o["local"] = true;
    }
    if (a.atomic_aggregate) o["atomicAggregate"] = true;
    if (a.aggregator) {
        o["aggregatorAs"] = index(a.aggregator->asn);
        o["aggregatorId"] = a.aggregator->address.to_string();
    }
    if (spread(prefix, path)) o["multipath"] = true;
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
        for (const auto c : a.extended_communities) text += (text.empty() ? "" : " ") + extended_community(c);
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
    o["nexthops"] = nexthops_json(prefix, path, peer, true);
    if (peer) {
        const auto& up = peer->session().established();
        o["peer"] = {{"peerId", peer->address().to_string()},
                     {"routerId", up ? up->peer.router_id.to_string() : "0.0.0.0"},
                     {"type", peer->external() ? "external" : "internal"}};
        if (const auto host = hostname_of(peer); !host.empty()) o["peer"].as_object()["hostname"] = host;
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
    if (spread(prefix, path)) o["multipath"] = true;
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
    o["nexthops"] = nexthops_json(prefix, path, peer, false);
    return o;
}

std::string row_text(BgpInstance& instance, const rib::PrefixView& prefix, const rib::PathView& path, bool first)
{
    const auto& a = path.attributes;
    const auto* peer = path.peer == rib::kNoPeer ? nullptr : instance.find(path.peer);
    const char internal_code = peer && !peer->external() ? 'i' : ' ';
    const char status = path.best ? '>' : spread(prefix, path) ? '=' : ' ';
    const auto network = first ? prefix.prefix.to_string() : std::string{};
    const auto nexthop = next_hop_of(prefix, path).to_string();
    std::string out = fmt::format("{}{}{}", path.valid ? '*' : ' ', status, internal_code);
    // FRR's columns: what is too long for its own goes on in the next line.
    constexpr std::size_t kNetwork = 17, kNextHop = 16;
    out += fmt::format("{:<{}}", network, kNetwork);
    if (network.size() >= kNetwork) out += "\n" + std::string(3 + kNetwork, ' ');
    out += fmt::format("{:<{}}", nexthop, kNextHop);
    if (nexthop.size() >= kNextHop) out += "\n" + std::string(3 + kNetwork + kNextHop, ' ');
    const auto med = a.med ? std::to_string(*a.med) : "";
    const auto pref = a.local_pref && !(peer && peer->external()) ? std::to_string(*a.local_pref) : "";
    const auto as_path = a.as_path.to_string();
    out += fmt::format("{:>10}{:>7}{:>7} {}{}{}\n", med, pref, path.weight, as_path, as_path.empty() ? "" : " ",
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
        "   Network          Next Hop            Metric LocPrf Weight Path\n",
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

Shown table_of_vrf(Router& router, const config::Exec& exec)
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
                    if (!in_table(path)) continue;
                    paths.push_back(detail ? path_json(*instance, p, path) : row_json(*instance, p, path));
                }
                if (paths.empty()) return false;
                out += first ? "\n    " : ",\n    ";
                out += quoted(p.prefix.to_string()) + ":" + pretty(paths, 2);
                return true;
            },
            [](std::size_t n) { return n == 0 ? std::string{"}\n}\n"} : std::string{"\n  }\n}\n"}; });
    }
    const auto total = std::make_shared<std::size_t>(0);
    return walk_table(
        router, vrf, family, table_heading(*instance, family),
        [instance, within, total](const rib::PrefixView& p, std::string& out, bool) {
            if (within && !within->contains(p.prefix)) return false;
            bool first = true;
            for (const auto& path : p.paths) {
                if (!in_table(path)) continue;
                out += row_text(*instance, p, path, first);
                first = false;
                ++*total;
            }
            return !first;
        },
        [total](std::size_t n) { return fmt::format("\nDisplayed  {} routes and {} total paths\n", n, *total); });
}

Shown prefix_in_vrf(Router& router, const config::Exec& exec)
{
    auto* instance = router.bgp().find(internal(exec.vrf));
    if (!instance) return exec.json ? Shown{whole("{}\n")} : Shown{no_instance(exec.vrf)};
    const auto view = exec.address ? instance->rib().longest_match(*exec.address) : instance->rib().find(*exec.prefix);
    std::vector<const rib::PathView*> paths;
    if (view) {
        for (const auto& path : view->paths) {
            if (!in_table(path) || (exec.bestpath && !path.best) || (exec.multipath && !path.best && !path.multipath))
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
    const auto best = std::ranges::find_if(paths, [](const auto* p) { return p->best; });
    std::string t = fmt::format(
        "BGP routing table entry for {}, version {}\nPaths: ({} available, {}, {})\n", view->prefix.to_string(),
        instance->rib().table_version(view->prefix.family()), paths.size(),
        best == paths.end() ? "no best path" : fmt::format("best #{}", best - paths.begin() + 1),
        instance->vrf() == kDefaultVrf ? "table default" : "vrf " + display(router.vrfs().name(instance->vrf())));
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
        const auto* up = peer && peer->session().established() ? &*peer->session().established() : nullptr;
        const bool accessible = path->local ? path->valid : path->next_hop.reachable;
        t += fmt::format("  {}\n    {}{} from {} ({})\n      Origin {}", as_path.empty() ? "Local" : as_path,
                         next_hop_of(*view, *path).to_string(), accessible ? "" : " (inaccessible)",
                         peer                                    ? peer->address().to_string()
                         : view->prefix.family() == Family::Ipv6 ? "::"
                                                                 : "0.0.0.0",
                         up     ? up->peer.router_id.to_string()
                         : peer ? "0.0.0.0"
                                : instance->router_id().to_string(),
                         origin_word(a.origin));
        if (a.med) t += fmt::format(", metric {}", *a.med);
        if (a.local_pref && !(peer && peer->external())) t += fmt::format(", localpref {}", *a.local_pref);
        if (path->weight != 0) t += fmt::format(", weight {}", path->weight);
        t += path->valid ? ", valid" : ", invalid";
        t += path->local ? ", sourced, local" : peer && peer->external() ? ", external" : ", internal";
        if (spread(*view, *path)) t += ", multipath";
        if (path->best) t += fmt::format(", best ({})", rib::to_string(view->reason));
        if (path->backup) t += ", backup";
        t += "\n";
        if (!a.communities.empty()) {
            t += "      Community:";
            for (const auto c : a.communities) t += " " + community(c, false);
            t += "\n";
        }
        if (!a.large_communities.empty()) {
            t += "      Large Community:";
            for (const auto& c : a.large_communities) t += fmt::format(" {}:{}:{}", c.global, c.local1, c.local2);
            t += "\n";
        }
        if (!a.extended_communities.empty()) {
            t += "      Extended Community:";
            for (const auto c : a.extended_communities) t += " " + extended_community(c);
            t += "\n";
        }
        const time_t when = epoch(path->received_at);
        char text[32];
        t += fmt::format("      Last update: {}", ctime_r(&when, text));
    }
    return whole(t);
}

// As FRR shows what is advertised: before our own AS and our own address are put in.
bgp::PathAttributes before_the_wire(const BgpNeighbor& n, bgp::PathAttributes a)
{
    const auto& up = n.session().established();
    if (up && a.next_hop == up->local.address)
        a.next_hop = a.next_hop.is_v4() ? IpAddress{Ipv4Address{}} : IpAddress{Ipv6Address{}};
    auto& segments = a.as_path.segments;
    if (!n.external() || segments.empty() || segments.front().asns.empty()) return a;
    auto& asns = segments.front().asns;
    if (asns.front() == n.session().config().local_as) asns.erase(asns.begin());
    if (asns.empty()) segments.erase(segments.begin());
    return a;
}

Shown neighbor_table_in_vrf(Router& router, const config::Exec& exec)
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

    const auto settings = n->config().families.find(family);
    if (received && (settings == n->config().families.end() || !settings->second.soft_reconfiguration_inbound)) {
        constexpr auto kMissing = "Inbound soft reconfiguration not enabled";
        return whole(exec.json ? pretty(json::object{{"warning", kMissing}}) + "\n" : fmt::format("% {}\n", kMissing));
    }

    if (!advertised && !received) {
        // The table's own rows, those of this neighbour.
        const bool as_json = exec.json;
        return walk_table(
            router, vrf, family,
            as_json ? without_closing(table_top(router, *instance, family), 0) + ",\n  \"routes\":{"
                    : table_heading(*instance, family),
            [instance, handle, as_json](const rib::PrefixView& p, std::string& out, bool first) {
                for (const auto& path : p.paths) {
                    if (path.peer != handle || !in_table(path)) continue;
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
                if (!as_json) return fmt::format("\nDisplayed  {0} routes and {0} total paths\n", count);
                return count == 0 ? std::string{"}\n}\n"} : std::string{"\n  }\n}\n"};
            });
    }

    const auto key = advertised ? "advertisedRoutes" : "receivedRoutes";
    const json::object top{{"bgpTableVersion", instance->rib().table_version(family)},
                           {"bgpLocalRouterId", instance->router_id().to_string()},
                           {"defaultLocPrf", instance->config().default_local_preference},
                           {"localAS", index(instance->config().asn)},
                           {"bgpStatusCodes",
                            {{"suppressed", "s"},
                             {"damped", "d"},
                             {"history", "h"},
                             {"valid", "*"},
                             {"best", ">"},
                             {"multipath", "="},
                             {"internal", "i"},
                             {"ribFailure", "r"},
                             {"stale", "S"},
                             {"removed", "R"}}},
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
                const auto* to = instance->find(handle);
                if (!to) return false;
                a = before_the_wire(*to, *sent);
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

Shown nexthops_of_vrf(Router& router, const config::Exec& exec)
{
    auto nht = exec;
    std::string text = exec.json ? "{" : "Current BGP nexthop cache:\n";
    for (const auto family : {Family::Ipv4, Family::Ipv6}) {
        nht.family = family;
        auto part = show::nht(router, nht);
        if (!part) return part;
        if (exec.json)
            text += fmt::format("{}{}:", family == Family::Ipv4 ? "" : ",",
                                quoted(family == Family::Ipv4 ? "ipv4" : "ipv6"));
        while ((*part)(text)) {}
    }
    return whole(exec.json ? pretty(json::parse(text + "}")) + "\n" : text);
}

// Of one VRF, or of all that BGP runs in.
Shown of_instances(Router& router, const config::Exec& exec, Shown (*one)(Router&, const config::Exec&))
{
    if (exec.vrf != "all") return one(router, exec);
    std::vector<std::string> vrfs;
    for (const auto& [name, instance] : router.bgp().all()) vrfs.push_back(name);
    return every_vrf(router, exec, {std::move(vrfs), kInstanceHeading, one});
}

}  // namespace

Shown bgp_table(Router& router, const config::Exec& exec) { return of_instances(router, exec, table_of_vrf); }

Shown bgp_prefix(Router& router, const config::Exec& exec) { return of_instances(router, exec, prefix_in_vrf); }

Shown bgp_neighbor_table(Router& router, const config::Exec& exec)
{
    return of_instances(router, exec, neighbor_table_in_vrf);
}

Shown bgp_nexthop(Router& router, const config::Exec& exec) { return of_instances(router, exec, nexthops_of_vrf); }

}  // namespace culvert::runtime::show
