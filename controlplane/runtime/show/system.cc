#include "controlplane/runtime/show/show.h"
#include "crypto/key_file.h"

#include <boost/json.hpp>
#include <fmt/format.h>

namespace culvert::runtime::show {
namespace {

namespace json = boost::json;

std::string display(const std::string& vrf) { return vrf.empty() ? "default" : vrf; }

std::string hardware(const InterfaceTable::Entry& e) { return e.mac.is_zero() ? "" : e.mac.to_string(); }

// Subnet-long form without the derived link-local address is what was configured; `show` prints all.
std::vector<std::string> address_texts(const InterfaceTable::Entry& e)
{
    std::vector<std::string> out;
    for (const auto& a : e.addresses()) out.push_back(a.to_string());
    return out;
}

// FRR's words for what it has, in `type`.
const char* type_of(const InterfaceTable::Entry& e)
{
    switch (e.kind()) {
        case api::InterfaceKind::Loopback: return "Loopback";
        case api::InterfaceKind::Wireguard: return "WireGuard";
        case api::InterfaceKind::Tunnel: return "Tunnel";
        case api::InterfaceKind::Port: return "Ethernet";
    }
    return "Ethernet";
}

// "1 hour, 2 minutes, 3 seconds", as `wg`.
std::string spelled(Duration d)
{
    constexpr std::pair<const char*, long> kUnits[] = {
        {"year", 365 * 86400}, {"day", 86400}, {"hour", 3600}, {"minute", 60}, {"second", 1}};
    auto left = std::chrono::duration_cast<std::chrono::seconds>(d).count();
    std::string out;
    for (const auto& [unit, seconds] : kUnits) {
        const auto n = left / seconds;
        left %= seconds;
        if (n != 0) out += fmt::format("{}{} {}{}", out.empty() ? "" : ", ", n, unit, n == 1 ? "" : "s");
    }
    return out;
}

std::string ago(Duration d) { return d < 1s ? "Now" : spelled(d) + " ago"; }

std::string flags_of(const InterfaceTable::Entry& e)
{
    std::string out = "<";
    if (!e.config.shutdown) out += "UP,";
    switch (e.kind()) {
        case api::InterfaceKind::Loopback: out += "LOOPBACK,"; break;
        case api::InterfaceKind::Port: out += "BROADCAST,"; break;
        case api::InterfaceKind::Wireguard:
        case api::InterfaceKind::Tunnel: out += "POINTOPOINT,NOARP,"; break;
    }
    if (e.up()) out += "RUNNING,";
    if (e.kind() == api::InterfaceKind::Port) out += "MULTICAST,";
    out.back() = '>';
    return out;
}

// With a VRF named: what is in it alone.
bool wanted(const config::Exec& exec, const InterfaceTable::Entry& e)
{
    if (!exec.interface.empty() && exec.interface != e.config.name) return false;
    return exec.all_vrfs || exec.vrf == "all" || exec.vrf == e.config.vrf;
}

bool no_such_vrf(Router& router, const config::Exec& exec) { return exec.vrf != "all" && !router.vrfs().id(exec.vrf); }
Error<Refused> vrf_not_found(const config::Exec& exec) { return Error{Refused{"% VRF " + exec.vrf + " not found"}}; }

}  // namespace

Shown version(Router& router, const config::Exec& exec)
{
    const auto& host = router.running().hostname;
    if (exec.json)
        return whole(pretty(json::object{{"version", "8.4.4"},
                                         {"hostname", host.empty() ? "culvert" : host},
                                         {"software", "culvert"},
                                         {"softwareVersion", "0.1.0"},
                                         {"uptime", uptime(router.started_at(), now())},
                                         {"workers", router.core().dataplane.workers()}}) +
                     "\n");
    // The first line is FRR's form: tools read its second word as the version of the language.
    return whole(fmt::format("FRRouting 8.4.4 ({}) on culvert(0.1.0).\nculvert 0.1.0, up {}, {} worker{}\n",
                             host.empty() ? "culvert" : host, uptime(router.started_at(), now()),
                             router.core().dataplane.workers(), router.core().dataplane.workers() == 1 ? "" : "s"));
}

Shown memory(Router& router, const config::Exec& exec)
{
    auto uses = router.core().dataplane.memory();
    uses.push_back({"route table", router.core().tables.octets(), router.core().tables.octets()});
    for (const auto& [vrf, instance] : router.bgp().all()) {
        const auto m = instance->rib().memory();
        uses.push_back({"bgp rib " + display(vrf), m.octets, m.octets});
    }
    if (exec.json) {
        json::array out;
        for (const auto& u : uses) out.push_back({{"name", u.arena}, {"used", u.used}, {"reserved", u.reserved}});
        return whole(pretty(out) + "\n");
    }
    std::string text = fmt::format("{:<28} {:>14} {:>14}\n", "Arena", "Used", "Reserved");
    for (const auto& u : uses)
        text += fmt::format("{:<28} {:>14} {:>14}\n", u.arena, octets(u.used), octets(u.reserved));
    return whole(text);
}

Shown vrf(Router& router, const config::Exec& exec)
{
    json::object out;
    std::string text;
    for (const auto& name : router.vrfs().names()) {
        const auto id = *router.vrfs().id(name);
        out[display(name)] = {{"vrfId", index(id)},
                              {"ipv4Routes", router.core().tables.prefixes(id, Family::Ipv4)},
                              {"ipv6Routes", router.core().tables.prefixes(id, Family::Ipv6)}};
        text += fmt::format("vrf {} id {} routes {} ipv4, {} ipv6\n", display(name), index(id),
                            router.core().tables.prefixes(id, Family::Ipv4),
                            router.core().tables.prefixes(id, Family::Ipv6));
    }
    return whole(exec.json ? pretty(out) + "\n" : text);
}

Shown interface(Router& router, const config::Exec& exec)
{
    if (no_such_vrf(router, exec)) return vrf_not_found(exec);
    json::object out;
    std::string text;
    bool found = exec.interface.empty();
    for (const auto& [name, e] : router.interfaces().all()) {
        if (!wanted(exec, e)) continue;
        found = true;
        const auto counters = router.interfaces().counters(e);
        const char* admin = e.config.shutdown ? "down" : "up";
        const char* oper = e.up() ? "up" : "down";
        if (exec.json) {
            json::array addresses;
            for (const auto& a : address_texts(e))
                addresses.push_back({{"address", a}, {"secondary", false}, {"unnumbered", false}});
            json::object o{{"administrativeStatus", admin},
                           {"operationalStatus", oper},
                           {"linkDetection", true},
                           {"linkUps", e.link_ups},
                           {"linkDowns", e.link_downs},
                           {"vrfName", display(e.config.vrf)},
                           {"index", index(e.id)},
                           {"metric", 0},
                           {"mtu", e.mtu()},
                           {"ipMtu", e.ip_mtu()},
                           {"speed", 0},
                           {"flags", flags_of(e)},
                           {"type", type_of(e)}};
            if (!e.config.description.empty()) o["description"] = e.config.description;
            if (!e.mac.is_zero()) o["hardwareAddress"] = hardware(e);
            o["ipAddresses"] = std::move(addresses);
            o["interfaceType"] = type_of(e);
            if (auto tunnel = tunnel_json(router, e)) o["tunnel"] = std::move(*tunnel);
            o["rxPackets"] = counters.rx_packets;
            o["rxBytes"] = counters.rx_octets;
            o["rxDrops"] = counters.rx_drops;
            o["txPackets"] = counters.tx_packets;
            o["txBytes"] = counters.tx_octets;
            o["txDrops"] = counters.tx_drops;
            out[name] = std::move(o);
            continue;
        }
        text += fmt::format("Interface {} is {}, line protocol is {}\n", name, admin, oper);
        const auto since = uptime(e.changed_at, now());
        text += fmt::format("  Link ups: {:7}    last: {}\n  Link downs: {:5}    last: {}\n", e.link_ups,
                            e.up() && e.link_ups > 0 ? since + " ago" : "(never)", e.link_downs,
                            !e.up() && e.link_downs > 0 ? since + " ago" : "(never)");
        text += fmt::format("  vrf: {}\n", display(e.config.vrf));
        if (!e.config.description.empty()) text += fmt::format("  Description: {}\n", e.config.description);
        text += fmt::format("  index {} metric 0 mtu {} ip mtu {}\n", index(e.id), e.mtu(), e.ip_mtu());
        text += fmt::format("  flags: {}\n  Type: {}\n", flags_of(e), type_of(e));
        if (!e.mac.is_zero()) text += fmt::format("  HWaddr: {}\n", hardware(e));
        for (const auto& a : e.addresses())
            text += fmt::format("  {} {}\n", a.address.is_v4() ? "inet" : "inet6", a.to_string());
        text += tunnel_text(router, e);
        text += fmt::format("    input packets {}, bytes {}, dropped {}\n", counters.rx_packets, counters.rx_octets,
                            counters.rx_drops);
        text += fmt::format("    output packets {}, bytes {}, dropped {}\n", counters.tx_packets, counters.tx_octets,
                            counters.tx_drops);
    }
    if (exec.json) return whole(pretty(out) + "\n");
    if (!found) return Error{Refused{fmt::format("% Can't find interface {}", exec.interface)}};
    return whole(text);
}

Shown interface_brief(Router& router, const config::Exec& exec)
{
    if (no_such_vrf(router, exec)) return vrf_not_found(exec);
    json::object out;
    std::string text = fmt::format("{:<16}{:<8}{:<16}{}\n{:<16}{:<8}{:<16}{}\n", "Interface", "Status", "VRF",
                                   "Addresses", "---------", "------", "---", "---------");
    for (const auto& [name, e] : router.interfaces().all()) {
        if (!wanted(exec, e)) continue;
        const char* status = e.up() ? "up" : "down";
        std::vector<std::string> addresses;  // as FRR: without link-local ones
        for (const auto& a : e.addresses())
            if (!a.address.is_link_local()) addresses.push_back(a.to_string());
        if (exec.json) {
            json::array list(addresses.begin(), addresses.end());
            out[name] = {{"status", status}, {"vrfName", display(e.config.vrf)}, {"addresses", list}};
            continue;
        }
        text += fmt::format("{:<16}{:<8}{:<16}{}\n", name, status, display(e.config.vrf),
                            addresses.empty() ? "" : addresses.front());
        for (std::size_t i = 1; i < addresses.size(); ++i) text += fmt::format("{:<40}+ {}\n", "", addresses[i]);
    }
    return whole(exec.json ? pretty(out) + "\n" : text);
}

Shown dataplane_runtime(Router& router, const config::Exec& exec)
{
    const auto workers = router.core().dataplane.runtime();
    if (exec.json) {
        json::array out;
        for (const auto& w : workers) {
            out.push_back({{"worker", index(w.id)},
                           {"cpu", w.cpu},
                           {"polls", w.polls},
                           {"busyPolls", w.busy_polls},
                           {"sleeps", w.sleeps},
                           {"packets", w.packets},
                           {"cyclesBusy", w.cycles_busy},
                           {"longestPollGapMicros", w.longest_poll_gap.count() / 1000},
                           {"pageFaults", w.page_faults},
                           {"moves", w.moves}});
        }
        return whole(pretty(out) + "\n");
    }
    std::string text =
        fmt::format("{:<8}{:<8}{:>14}{:>14}{:>12}{:>14}{:>14}{:>16}{:>12}{:>8}\n", "Worker", "CPU", "Polls", "Busy",
                    "Sleeps", "Packets", "Cycles/pkt", "Longest gap us", "Faults", "Moves");
    for (const auto& w : workers) {
        text += fmt::format("{:<8}{:<8}{:>14}{:>14}{:>12}{:>14}{:>14}{:>16}{:>12}{:>8}\n", index(w.id),
                            w.cpu < 0 ? "floats" : std::to_string(w.cpu), w.polls, w.busy_polls, w.sleeps, w.packets,
                            w.packets > 0 ? w.cycles_busy / w.packets : 0, w.longest_poll_gap.count() / 1000,
                            w.page_faults, w.moves);
    }
    return whole(text);
}

Shown dataplane_drops(Router& router, const config::Exec& exec)
{
    const auto counts = router.core().dataplane.verdicts();
    json::object out;
    std::string text = fmt::format("{:<30}{:>14}  {}\n", "Verdict", "Packets", "Meaning");
    for (std::size_t i = 0; i < counts.size(); ++i) {
        const auto& v = api::kVerdictTexts[i];
        if (counts[i] == 0 || v.sentence.empty()) continue;
        if (exec.json)
            out[v.name] = {{"packets", counts[i]}, {"meaning", v.sentence}};
        else
            text += fmt::format("{:<30}{:>14}  {}\n", v.name, counts[i], v.sentence);
    }
    return whole(exec.json ? pretty(out) + "\n" : text);
}

Shown dataplane_ports(Router& router, const config::Exec& exec)
{
    const auto ports = router.core().dataplane.ports();
    json::array out;
    std::string text = fmt::format("{:<6}{:<22}{:<19}{:<6}{:>6}{:>12}{:>12}{:>10}{:>10}\n", "Port", "Driver", "MAC",
                                   "Link", "MTU", "RX packets", "TX packets", "RX drop", "TX drop");
    for (const auto& p : ports) {
        const auto c = router.core().dataplane.port_counters(p.id);
        if (exec.json) {
            out.push_back({{"port", index(p.id)},
                           {"driver", p.driver},
                           {"hardwareAddress", p.mac.to_string()},
                           {"linkUp", p.link_up},
                           {"mtu", p.mtu},
                           {"maxMtu", p.max_mtu},
                           {"queues", p.queues},
                           {"rxPackets", c.rx_packets},
                           {"rxBytes", c.rx_octets},
                           {"rxDropped", c.rx_dropped},
                           {"rxErrors", c.rx_errors},
                           {"txPackets", c.tx_packets},
                           {"txBytes", c.tx_octets},
                           {"txDropped", c.tx_dropped}});
            continue;
        }
        text += fmt::format("{:<6}{:<22}{:<19}{:<6}{:>6}{:>12}{:>12}{:>10}{:>10}\n", index(p.id), p.driver,
                            p.mac.to_string(), p.link_up ? "up" : "down", p.mtu, c.rx_packets, c.tx_packets,
                            c.rx_dropped + c.rx_errors, c.tx_dropped);
    }
    return whole(exec.json ? pretty(out) + "\n" : text);
}

Shown neighbors(Router& router, const config::Exec& exec)
{
    if (no_such_vrf(router, exec)) return vrf_not_found(exec);
    const auto family = exec.command == config::ExecCommand::ShowArp ? Family::Ipv4 : Family::Ipv6;
    json::object out;
    std::string text = fmt::format("{:<40}{:<16}{:<19}{:<12}{}\n", "Address", "Interface", "MAC", "State", "Age");
    for (const auto& e : router.neighbors().engine().entries(family, now())) {
        const auto* entry = router.interfaces().find(e.interface);
        if (entry && !wanted(exec, *entry)) continue;
        const auto interface = router.interfaces().name(e.interface);
        const auto age = std::chrono::duration_cast<std::chrono::seconds>(e.age).count();
        const auto mac = e.mac.is_zero() ? std::string{"-"} : e.mac.to_string();
        if (exec.json) {
            out[e.address.to_string()] = {{"interface", interface},
                                          {"hardwareAddress", mac},
                                          {"state", neighbor::to_string(e.state)},
                                          {"ageSeconds", age}};
            continue;
        }
        text += fmt::format("{:<40}{:<16}{:<19}{:<12}{}s\n", e.address.to_string(), interface, mac,
                            neighbor::to_string(e.state), age);
    }
    return whole(exec.json ? pretty(out) + "\n" : text);
}

Shown wireguard(Router& router, const config::Exec& exec)
{
    const auto at = now();
    const auto views = router.wireguard().view(exec.interface);
    if (views.empty() && !exec.interface.empty() && !exec.json)
        return Error{Refused{fmt::format("% {} is no WireGuard interface", exec.interface)}};
    json::object out;
    std::string text;
    for (const auto& i : views) {
        json::object peers;
        if (!exec.json)
            text += fmt::format("interface: {}\n  public key: {}\n  private key: (hidden)\n  listening port: {}\n",
                                i.name, crypto::to_base64(i.public_key), i.config->listen_port);
        for (const auto& p : i.peers) {
            const auto& v = p.view;
            const auto rx = p.activity->received_octets.load(std::memory_order_relaxed);
            const auto tx = p.activity->sent_octets.load(std::memory_order_relaxed);
            std::string allowed;
            json::array allowed_list;
            for (const auto& prefix : p.config->allowed_ips) {
                allowed += (allowed.empty() ? "" : ", ") + prefix.to_string();
                allowed_list.emplace_back(prefix.to_string());
            }
            if (exec.json) {
                json::object o{{"publicKey", crypto::to_base64(v.public_key)},
                               {"presharedKey", v.has_preshared_key},
                               {"state", name(v.state)}};
                if (v.endpoint) o["endpoint"] = v.endpoint->to_string();
                o["allowedIps"] = std::move(allowed_list);
                o["routesBgp"] = p.config->routes_bgp;
                if (v.latest_handshake) {
                    o["latestHandshakeEpoch"] = epoch(*v.latest_handshake);
                    o["latestHandshakeMsecAgo"] = milliseconds(at - *v.latest_handshake);
                }
                o["handshakes"] = v.handshakes;
                o["rxBytes"] = rx;
                o["txBytes"] = tx;
                o["persistentKeepalive"] =
                    std::chrono::duration_cast<std::chrono::seconds>(v.persistent_keepalive).count();
                peers[p.name] = std::move(o);
                continue;
            }
            text += fmt::format("\npeer: {} ({})\n", p.name, crypto::to_base64(v.public_key));
            if (v.has_preshared_key) text += "  preshared key: (hidden)\n";
            if (v.endpoint) text += fmt::format("  endpoint: {}\n", v.endpoint->to_string());
            text += fmt::format("  allowed ips: {}{}\n", allowed.empty() ? "(none)" : allowed,
                                p.config->routes_bgp ? " and what BGP routes" : "");
            if (v.latest_handshake) text += fmt::format("  latest handshake: {}\n", ago(at - *v.latest_handshake));
            text += fmt::format("  state: {}\n", name(v.state));
            if (rx + tx > 0) text += fmt::format("  transfer: {} received, {} sent\n", octets(rx), octets(tx));
            if (v.persistent_keepalive > 0s)
                text += fmt::format("  persistent keepalive: every {}\n", spelled(v.persistent_keepalive));
        }
        if (exec.json)
            out[i.name] = {{"publicKey", crypto::to_base64(i.public_key)},
                           {"listenPort", i.config->listen_port},
                           {"peers", std::move(peers)}};
        else
            text += "\n";
    }
    return whole(exec.json ? pretty(out) + "\n" : text);
}

}  // namespace culvert::runtime::show
