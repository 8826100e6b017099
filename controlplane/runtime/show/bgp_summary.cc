#include "controlplane/runtime/show/bgp.h"

#include <boost/json.hpp>
#include <fmt/format.h>

namespace culvert::runtime::show {
namespace {

namespace json = boost::json;

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
                         {"lastResetDueTo", bgp::to_string(last_reset(*n))},
                         {"lastResetCode", static_cast<int>(last_reset(*n))},
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
                if (exec.failed) {
                    rows +=
                        fmt::format("{:<15} {:>7} {:>7} {:>9} {}\n", name.to_string(), stats.connections_established,
                                    stats.connections_dropped, time, bgp::to_string(last_reset(*n)));
                    continue;
                }
                rows += fmt::format("{:<15} {:>1} {:>10} {:>9} {:>9} {:>8} {:>4} {:>4} {:>8} {:>12} {:>8} {}\n",
                                    name.to_string(), 4, remote_as(*n), stats.received.total(), stats.sent.total(), 0,
                                    0, n->transport().queued(), time, received, sent,
                                    n->config().description.empty() ? "N/A" : n->config().description);
            }
            if (total == 0) continue;
            if (exec.failed && shown == 0) {
                json::object none{{"failedPeersCount", 0}, {"dynamicPeers", 0}, {"totalPeers", total}};
                if (exec.family)
                    of_instance = std::move(none);
                else
                    of_instance[af_key(family)] = std::move(none);
                text += fmt::format("\n{} Summary (VRF {}):\n% No failed BGP neighbors found\n", af_text(family),
                                    display(router.vrfs().name(instance->vrf())));
                continue;
            }
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
                "RIB entries {}, using {} of memory\nPeers {}, using {} of memory\n\n{}{}\n{}"
                "Total number of neighbors {}\n",
                af_text(family), display(router.vrfs().name(instance->vrf())), instance->router_id().to_string(),
                index(instance->config().asn), index(instance->vrf()), instance->rib().table_version(family),
                instance->rib().prefix_count(family), octets(memory.octets), total, octets(total * sizeof(BgpNeighbor)),
                exec.failed ? "Neighbor        EstdCnt DropCnt ResetTime Reason\n"
                            : "Neighbor        V         AS   MsgRcvd   MsgSent   TblVer  InQ OutQ  Up/Down "
                              "State/PfxRcd   PfxSnt Desc\n",
                rows, exec.failed || exec.established ? fmt::format("Displayed neighbors {}\n", shown) : "", total);
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

}  // namespace culvert::runtime::show
