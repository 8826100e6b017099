#include "config/bgp_statements.h"

#include "config/behaviour.h"
#include "config/statement_table.h"

#include <fmt/format.h>

#include <array>
#include <string_view>
#include <utility>

namespace culvert::config {
Outcome refuse_hold(Edit& edit, std::uint64_t hold)
{
    if (hold == 0 || hold >= 3) return {};
    return edit.refuse("a hold time is 0 or at least 3 seconds", "RFC 4271 4.2");
}

std::string neighbor_text(const View& view, std::string_view rest)
{
    return fmt::format("neighbor {} {}", view.neighbor->name().to_string(), rest);
}

namespace {

Outcome router_bgp_block(Edit& edit)
{
    const auto vrf = vrf_or_default(edit.args.text("vrf"));
    const auto asn = static_cast<Asn>(edit.args.number("asn").value_or(0));
    const auto it = edit.model.bgp.find(vrf);
    if (edit.no) {
        if (it == edit.model.bgp.end()) return edit.refuse("there is no such BGP instance");
        if (edit.args.given("asn") && it->second.asn != asn)
            return edit.refuse(fmt::format("BGP is running; AS is {}", index(it->second.asn)));
        edit.model.bgp.erase(it);
        return {};
    }
    if (it != edit.model.bgp.end() && it->second.asn != asn)
        return edit.refuse(fmt::format("BGP is already running; AS is {}", index(it->second.asn)),
                           fmt::format("`no router bgp {}` first", index(it->second.asn)));
    if (it == edit.model.bgp.end()) {
        auto& bgp = edit.model.bgp[vrf];
        bgp.asn = asn;
        bgp.vrf = vrf;
        if (edit.position.datacenter) {
            bgp.keepalive = Seconds{3};
            bgp.hold = Seconds{9};
            bgp.log_neighbor_changes = true;
            bgp.ebgp_requires_policy = false;
        }
    }
    edit.position.node = Node::RouterBgp;
    edit.position.vrf = vrf;
    return {};
}

void show_router_bgp_blocks(const Statement& self, const View& view, Lines& out)
{
    for (const auto& [vrf, bgp] : view.model->bgp) {
        View inside = view;
        inside.bgp = &bgp;
        auto header = fmt::format("router bgp {}", index(bgp.asn));
        if (!vrf.empty()) header += " vrf " + vrf;
        out.block(self, std::move(header), Node::RouterBgp, inside, "exit");
    }
}

Outcome timers_bgp(Edit& edit)
{
    auto* bgp = edit.object<Bgp>();
    if (!bgp) return edit.refusal();
    const auto keepalive = edit.args.number("keepalive").value_or(60);
    const auto hold = edit.args.number("hold").value_or(180);
    if (!edit.no)
        if (auto refused = refuse_hold(edit, hold); !refused) return refused;
    bgp->keepalive = edit.no ? Bgp{}.keepalive : Seconds{keepalive};
    bgp->hold = edit.no ? Bgp{}.hold : Seconds{hold};
    return {};
}

void show_timers_bgp(const Statement& self, const View& view, Lines& out)
{
    if (view.bgp->keepalive == Bgp{}.keepalive && view.bgp->hold == Bgp{}.hold) return;
    out.statement(self, view, {value_text(view.bgp->keepalive), value_text(view.bgp->hold)});
}

Outcome cluster_id(Edit& edit)
{
    auto* bgp = edit.object<Bgp>();
    if (!bgp) return edit.refusal();
    bgp->cluster_id.reset();
    if (edit.no) return {};
    if (const auto id = Ipv4Address::parse(edit.args.text("id")))
        bgp->cluster_id = id->value;
    else
        bgp->cluster_id = static_cast<std::uint32_t>(edit.args.number("number").value());
    return {};
}

void show_cluster_id(const Statement& self, const View& view, Lines& out)
{
    if (view.bgp->cluster_id) out.text(self, view, "bgp cluster-id " + Ipv4Address{*view.bgp->cluster_id}.to_string());
}

constexpr std::array kBandwidths{
    std::pair{std::string_view{"ignore"}, BgpBandwidth::Ignore},
    std::pair{std::string_view{"skip-missing"}, BgpBandwidth::SkipMissing},
    std::pair{std::string_view{"default-weight-for-missing"}, BgpBandwidth::DefaultWeightForMissing},
};

Outcome bestpath_bandwidth(Edit& edit)
{
    auto* bgp = edit.object<Bgp>();
    if (!bgp) return edit.refusal();
    bgp->bestpath_bandwidth = {};
    for (const auto& [word, bandwidth] : kBandwidths)
        if (!edit.no && edit.args.has(word)) bgp->bestpath_bandwidth = bandwidth;
    return {};
}

void show_bestpath_bandwidth(const Statement& self, const View& view, Lines& out)
{
    for (const auto& [word, bandwidth] : kBandwidths)
        if (view.bgp->bestpath_bandwidth == bandwidth)
            out.text(self, view, fmt::format("bgp bestpath bandwidth {}", word));
}

constexpr auto RouterBgp = Node::RouterBgp;

constexpr Statement kBgp[] = {
    {Top,
     "router bgp (1-4294967295)$asn [vrf VRF$vrf]",
     Setting,
     Cost::Session,
     "BGP in the default VRF or another.",
     {router_bgp_block, show_router_bgp_blocks}},
    {RouterBgp, "bgp router-id {A.B.C.D$id}", Setting, Cost::Session,
     "Default: the highest address of a loopback, else of an interface.", kValue<&Bgp::router_id>},
    {RouterBgp, "bgp log-neighbor-changes", Setting, Cost::Apply, "Log when a session comes up or goes down.",
     kFlag<&Bgp::log_neighbor_changes>},
    {RouterBgp, "bgp always-compare-med", Setting, Cost::Apply, "Compare MEDs of paths from different neighbor ASes.",
     kFlag<&Bgp::always_compare_med>},
    {RouterBgp, "bgp ebgp-requires-policy", Setting, Cost::Apply,
     "Without a policy nothing is taken from or given to an eBGP neighbor (RFC 8212). The default.",
     kFlag<&Bgp::ebgp_requires_policy>},
    {RouterBgp, "bgp default ipv4-unicast", Setting, Cost::Session,
     "Neighbors exchange IPv4 unicast unless they say otherwise. The default.", kFlag<&Bgp::default_ipv4_unicast>},
    {RouterBgp, "bgp default ipv6-unicast", Setting, Cost::Session,
     "Neighbors exchange IPv6 unicast unless they say otherwise.", kFlag<&Bgp::default_ipv6_unicast>},
    {RouterBgp, "bgp default local-preference {(0-4294967295)$preference}", Setting, Cost::Apply, "Default: 100.",
     kValue<&Bgp::default_local_preference>},
    {RouterBgp,
     "bgp cluster-id {<A.B.C.D$id|(1-4294967295)$number>}",
     Setting,
     Cost::Session,
     "The cluster that this route reflector stands in. Default: its router id.",
     {cluster_id, show_cluster_id}},
    {RouterBgp, "bgp deterministic-med", Setting, Cost::Apply,
     "Compare MEDs within each neighbor AS before anything else. The default.", kFlag<&Bgp::deterministic_med>},
    {RouterBgp, "bgp bestpath as-path ignore", Setting, Cost::Apply, "The length of the AS path does not count.",
     kFlag<&Bgp::bestpath_as_path_ignore>},
    {RouterBgp, "bgp bestpath as-path multipath-relax", Setting, Cost::Apply,
     "Multipath over AS paths of equal length but other ASes.", kFlag<&Bgp::bestpath_multipath_relax>},
    {RouterBgp,
     "bgp bestpath bandwidth {<ignore|skip-missing|default-weight-for-missing>}",
     Setting,
     Cost::Apply,
     "How multipaths share traffic by their link bandwidth community. Default: in its ratio, equally when one has "
     "none.",
     {bestpath_bandwidth, show_bestpath_bandwidth}},
    {RouterBgp, "bgp bestpath compare-routerid", Setting, Cost::Apply,
     "The lower router id wins before the older path.", kFlag<&Bgp::bestpath_compare_routerid>},
    {RouterBgp, "bgp bestpath med missing-as-worst", Setting, Cost::Apply,
     "A path without MED counts as the worst one.", kFlag<&Bgp::med_missing_as_worst>},
    {RouterBgp, "bgp fast-external-failover", Setting, Cost::Apply,
     "A session ends at once when its link does. The default.", kFlag<&Bgp::fast_external_failover>},
    {RouterBgp, "bgp network import-check", Setting, Cost::Apply,
     "A `network` is advertised only while there is a route to it. The default.", kFlag<&Bgp::network_import_check>},
    {RouterBgp,
     "timers bgp {(0-65535)$keepalive (0-65535)$hold}",
     Setting,
     Cost::Session,
     "Seconds between keepalives and until a silent neighbor is given up. Default: 60 and 180.",
     {timers_bgp, show_timers_bgp}},
};

}  // namespace

std::span<const Statement> bgp_statements() { return kBgp; }

}  // namespace culvert::config
