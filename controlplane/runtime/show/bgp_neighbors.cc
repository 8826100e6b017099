#include "controlplane/runtime/show/bgp.h"

#include <boost/json.hpp>
#include <fmt/format.h>

#include <time.h>

#include <algorithm>

namespace culvert::runtime::show {
namespace {

namespace json = boost::json;

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

// The same in FRR's words, made of the JSON so that they can't differ.
std::string capabilities_text(const BgpNeighbor& n, const bgp::Established& up)
{
    const auto o = capabilities_json(n, up);
    const auto words = [](std::string_view value) {
        std::string out;
        if (value.starts_with("advertised"))
            out = value.starts_with("advertisedAnd") ? "advertised and received" : "advertised";
        else
            out = "received";
        if (value.ends_with("OldNew")) return out + "(old & new)";
        if (value.ends_with("New")) return out + "(new)";
        return value.ends_with("Old") ? out + "(old)" : out;
    };
    std::string t = "  Neighbor capabilities:\n";
    for (const auto& [key, name] : std::initializer_list<std::pair<const char*, const char*>>{
             {"4byteAs", "4 Byte AS"},
             {"extendedMessage", "Extended Message"},
             {"extendedNexthop", "Extended nexthop"},
             {"routeRefresh", "Route refresh"},
             {"enhancedRouteRefresh", "Enhanced Route Refresh"}}) {
        if (const auto* value = o.if_contains(key))
            t += fmt::format("    {}: {}\n", name, words(std::string_view{value->as_string()}));
    }
    for (const auto family : {Family::Ipv4, Family::Ipv6}) {
        const auto* af = o.at("multiprotocolExtensions").as_object().if_contains(af_key(family));
        if (af)
            t += fmt::format("    Address Family {}: {}\n", af_text(family),
                             words(std::string_view{af->as_object().begin()->key()}));
    }
    const auto& host = o.at("hostName").as_object();
    const auto text = [&](const char* key) { return std::string{std::string_view{host.at(key).as_string()}}; };
    t += fmt::format("    Hostname Capability: advertised (name: {},domain name: {})", text("advHostName"),
                     text("advDomainName"));
    if (text("rcvHostName") != "n/a")
        t += fmt::format(" received (name: {},domain name: {})", text("rcvHostName"), text("rcvDomainName"));
    t += "\n";
    if (const auto* value = o.if_contains("gracefulRestart"))
        t += fmt::format("    Graceful Restart Capability: {}\n", words(std::string_view{value->as_string()}));
    return t;
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
    o["extendedOptionalParametersLength"] = false;
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
                if (c.maximum_prefix_warning_only) f["prefixAllowedMaxWarning"] = true;
                f["prefixAllowedWarningThresh"] = c.maximum_prefix_threshold;
                if (c.maximum_prefix_restart)
                    f["prefixAllowedRestartIntervalMsecs"] = *c.maximum_prefix_restart * 60000;
            }
        }
        f["acceptedPrefixCounter"] = counts.accepted;
        f["sentPrefixCounter"] = counts.sent;
        families[af_key(family)] = std::move(f);
    }
    o["addressFamilyInfo"] = std::move(families);
    o["connectionsEstablished"] = stats.connections_established;
    o["connectionsDropped"] = stats.connections_dropped;
    o["lastResetDueTo"] = bgp::to_string(last_reset(n));
    o["lastResetCode"] = static_cast<int>(last_reset(n));
    if (stats.last_reset_at != kNever) {
        o["lastResetTimerMsecs"] = ago(stats.last_reset_at);
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
    o["hostForeign"] = up ? up->remote.address.to_string() : "Unknown";
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
    t += "  Local Role: undefined\n  Remote Role: undefined\n";
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
    t += fmt::format("  Configured hold time is {} seconds, keepalive interval is {} seconds\n",
                     seconds(session.config().hold), seconds(session.config().keepalive));
    if (up) t += capabilities_text(n, *up);
    t += fmt::format("  Message statistics:\n    Inq depth is 0\n    Outq depth is {}\n{:>29}{:>11}\n",
                     n.transport().queued(), "Sent", "Rcvd");
    const auto row = [&](const char* name, std::uint64_t s, std::uint64_t r) {
        t += fmt::format("    {:<15}{:>10} {:>10}\n", name, s, r);
    };
    row("Opens:", stats.sent.opens, stats.received.opens);
    row("Notifications:", stats.sent.notifications, stats.received.notifications);
    row("Updates:", stats.sent.updates, stats.received.updates);
    row("Keepalives:", stats.sent.keepalives, stats.received.keepalives);
    row("Route Refresh:", stats.sent.route_refreshes, stats.received.route_refreshes);
    row("Capability:", 0, 0);
    row("Total:", stats.sent.total(), stats.received.total());
    t += fmt::format("  Minimum time between advertisement runs is {} seconds\n",
                     n.config().advertisement_interval ? seconds(*n.config().advertisement_interval) : 0);
    for (const auto family : {Family::Ipv4, Family::Ipv6}) {
        if (!n.family_active(family)) continue;
        const auto counts = instance.rib().counts(n.handle(), family);
        t += fmt::format("\n For address family: {}\n", af_text(family));
        if (std::string_view{peer_state(instance, n)} == "Policy")
            t += "  Inbound and outbound updates discarded due to missing policy (bgp ebgp-requires-policy)\n";
        const auto configured = n.config().families.find(family);
        if (configured != n.config().families.end()) {
            const auto& c = configured->second;
            if (c.route_reflector_client) t += "  Route-Reflector Client\n";
            if (c.soft_reconfiguration_inbound) t += "  Inbound soft reconfiguration allowed\n";
            if (c.next_hop_self) t += "  NEXT_HOP is always this router\n";
            if (c.maximum_prefix) {
                t += fmt::format("  Maximum prefixes allowed {}{}\n  Threshold for warning message {}%",
                                 *c.maximum_prefix, c.maximum_prefix_warning_only ? " (warning-only)" : "",
                                 c.maximum_prefix_threshold);
                if (c.maximum_prefix_restart) t += fmt::format(", restart interval {} min", *c.maximum_prefix_restart);
                t += "\n";
            }
        }
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
    if (n.external())
        t += fmt::format("  External BGP neighbor may be up to {} hops away.\n",
                         n.config().ttl_security_hops.value_or(n.config().ebgp_multihop.value_or(1)));
    if (up) {
        t +=
            fmt::format("Local host: {}, Local port: {}\nForeign host: {}, Foreign port: {}\n",
                        up->local.address.to_string(), up->local.port, up->remote.address.to_string(), up->remote.port);
        t += fmt::format("BGP connection: {}\n", n.way().direct ? "shared network" : "non shared network");
    }
    t += fmt::format("BGP Connect Retry Timer in Seconds: {}\n", seconds(session.config().connect_retry));
    if (session.connect_retry_at() != kNever)
        t += fmt::format("Next connect timer due in {} seconds\n",
                         std::max<std::int64_t>(0, seconds(session.connect_retry_at() - at)));
    return t + "\n";
}

}  // namespace

Shown bgp_neighbors(Router& router, const config::Exec& exec)
{
    const auto list = instances(router, exec.vrf);
    if (list.empty()) return exec.json ? Shown{whole("{}\n")} : Shown{no_instance(exec.vrf)};
    const bool every = exec.vrf == "all";
    json::object out;
    std::string text;
    for (auto* instance : list) {
        const auto vrf = display(router.vrfs().name(instance->vrf()));
        json::object neighbors;
        std::string entries;
        for (const auto& [name, n] : instance->neighbors()) {
            if (exec.neighbor && *exec.neighbor != name) continue;
            if (exec.json)
                neighbors[name.to_string()] = neighbor_json(*instance, *n);
            else
                entries += neighbor_text(*instance, *n);
        }
        if (neighbors.empty() && exec.neighbor) neighbors["bgpNoSuchNeighbor"] = true;
        if (entries.empty() && exec.neighbor) entries = "% No such neighbor in this view/vrf\n";
        if (!every) {
            out = std::move(neighbors);
            text = std::move(entries);
            continue;
        }
        json::object in_vrf{{"vrfId", index(instance->vrf())}, {"vrfName", vrf}};
        for (auto& [key, value] : neighbors) in_vrf[key] = std::move(value);
        out[vrf] = std::move(in_vrf);
        text += fmt::format(fmt::runtime(kInstanceHeading), vrf) + entries;
    }
    return whole(exec.json ? pretty(out) + "\n" : text);
}

}  // namespace culvert::runtime::show
