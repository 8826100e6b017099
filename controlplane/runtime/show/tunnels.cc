#include "controlplane/runtime/show/show.h"

#include <boost/json.hpp>
#include <fmt/format.h>

namespace culvert::runtime::show {
namespace {

namespace json = boost::json;
using View = TunnelService::View;

std::string_view mode_of(const config::Tunnel& c)
{
    switch (c.mode) {
        case config::Tunnel::Mode::GreIpv4: return "gre ip";
        case config::Tunnel::Mode::GreIpv6: return "gre ipv6";
        case config::Tunnel::Mode::GreMultipoint: return "gre multipoint";
        case config::Tunnel::Mode::IpsecIpv4: return "ipsec ipv4";
        case config::Tunnel::Mode::IpsecIpv6: return "ipsec ipv6";
    }
    return "?";
}

std::string_view transform(const config::ManualSa& sa)
{
    switch (sa.cipher) {
        case config::EspCipher::AesGcm128: return "esp-gcm";
        case config::EspCipher::AesGcm256: return "esp-gcm 256";
        case config::EspCipher::Chacha20Poly1305: return "esp-chacha20-poly1305";
        case config::EspCipher::AesCbc128: return "esp-aes";
        case config::EspCipher::AesCbc256: return "esp-256-aes";
    }
    return "?";
}
std::string_view integrity(const config::ManualSa& sa)
{
    switch (sa.integrity) {
        case config::EspIntegrity::None: return "";
        case config::EspIntegrity::HmacSha256: return "esp-sha256-hmac";
        case config::EspIntegrity::HmacSha384: return "esp-sha384-hmac";
        case config::EspIntegrity::HmacSha512: return "esp-sha512-hmac";
    }
    return "";
}

std::uint64_t read(const std::atomic<std::uint64_t>& v) { return v.load(std::memory_order_relaxed); }

// The lines of the sum, with what the configuration says at the end.
struct Line {
    std::string text;
    std::string octets;
};
std::vector<Line> sum_lines(const View& v, const InterfaceTable::Entry& e)
{
    std::vector<Line> out;
    out.push_back({v.sum.path, std::to_string(v.sum.path_mtu)});
    if (v.sum.learned)
        out.push_back({v.sum.learned_for > 1000000
                           ? std::string{"a router on the way takes no more"}
                           : fmt::format("a router on the way takes no more, believed for {} s", v.sum.learned_for),
                       std::to_string(*v.sum.learned)});
    for (const auto& line : v.sum.lines) out.push_back({line.text, std::to_string(line.octets)});
    out.push_back({"fits into the tunnel", fmt::format("= {}", v.sum.mtu)});
    if (e.config.mtu) out.push_back({"`mtu` of the configuration", std::to_string(*e.config.mtu)});
    if (e.config.ip_mtu) out.push_back({"`ip mtu` of the configuration", std::to_string(*e.config.ip_mtu)});
    if (e.ip_mtu() != v.sum.mtu) out.push_back({"in use", fmt::format("= {}", e.ip_mtu())});
    return out;
}

}  // namespace

std::string tunnel_text(Router& router, const InterfaceTable::Entry& e)
{
    const auto v = router.tunnels().view(e.config.name);
    if (!v) return {};
    std::string text;
    if (v->config) {
        const auto& c = *v->config;
        if (!e.config.shutdown && !v->up) text += fmt::format("  Down: {}\n", v->reason);
        text += fmt::format(
            "  Tunnel mode {}, source {}{}, destination {}\n", mode_of(c),
            v->source.is_unspecified() ? "(none)" : v->source.to_string(),
            c.source_interface.empty() ? "" : fmt::format(" ({})", c.source_interface),
            c.destination ? c.destination->to_string() : fmt::format("{} mapped next hops", c.nhrp_map.size()));
        if (c.is_gre())
            text += fmt::format("  Key {}, sequencing {}, checksumming of packets {}\n",
                                c.key ? fmt::format("{}", *c.key) : "disabled", c.sequence ? "enabled" : "disabled",
                                c.checksum ? "enabled" : "disabled");
        text += fmt::format("  Tunnel TTL {}, path MTU discovery {}\n",
                            c.ttl == 0 ? std::string{"inherited"} : std::to_string(c.ttl),
                            c.path_mtu_discovery ? "enabled" : "disabled");
        if (c.keepalive)
            text += fmt::format("  Keepalive set ({} sec), retries {}, sent {}, unanswered in a row {}\n",
                                c.keepalive->period.count(), c.keepalive->retries, v->keepalives_sent,
                                v->keepalives_missed);
        if (!c.ipsec_profile.empty())
            text += fmt::format("  Tunnel protection via IPsec (profile \"{}\")\n", c.ipsec_profile);
    }
    text += "  MTU:\n";
    for (const auto& line : sum_lines(*v, e)) text += fmt::format("    {:<52} {:>7}\n", line.text, line.octets);
    return text;
}

std::optional<json::object> tunnel_json(Router& router, const InterfaceTable::Entry& e)
{
    const auto v = router.tunnels().view(e.config.name);
    if (!v) return std::nullopt;
    json::object out;
    if (v->config) {
        const auto& c = *v->config;
        out["mode"] = mode_of(c);
        out["up"] = v->up;
        if (!v->up) out["downReason"] = v->reason;
        if (!v->source.is_unspecified()) out["source"] = v->source.to_string();
        if (c.destination) out["destination"] = c.destination->to_string();
        if (c.key) out["key"] = *c.key;
        out["checksum"] = c.checksum;
        out["sequence"] = c.sequence;
        if (c.keepalive)
            out["keepalive"] = {{"period", c.keepalive->period.count()},
                                {"retries", c.keepalive->retries},
                                {"sent", v->keepalives_sent},
                                {"missed", v->keepalives_missed}};
        if (!c.ipsec_profile.empty()) out["ipsecProfile"] = c.ipsec_profile;
    }
    json::array sum;
    for (const auto& line : v->sum.lines) sum.push_back({{"text", line.text}, {"octets", line.octets}});
    json::object mtu{{"path", v->sum.path}, {"pathMtu", v->sum.path_mtu}};
    if (v->sum.learned) {
        mtu["learnedPathMtu"] = *v->sum.learned;
        mtu["learnedForSeconds"] = v->sum.learned_for;
    }
    mtu["layers"] = std::move(sum);
    mtu["fits"] = v->sum.mtu;
    mtu["ipMtu"] = e.ip_mtu();
    out["mtu"] = std::move(mtu);
    return out;
}

Shown crypto_ipsec_sa(Router& router, const config::Exec& exec)
{
    json::object out;
    std::string text;
    bool found = false;
    for (const auto& name : router.tunnels().names()) {
        if (!exec.interface.empty() && exec.interface != name) continue;
        const auto v = router.tunnels().view(name);
        const auto* e = router.interfaces().find(name);
        if (!v || !e || v->protection == kNoProtection) continue;
        found = true;
        const auto& a = router.core().dataplane.activity(v->protection);
        const auto sent = read(a.sent_packets), received = read(a.received_packets);
        const auto receive_errors = read(a.dropped_replay) + read(a.dropped_authentication);
        const auto local = v->sa && v->sa->local_address ? *v->sa->local_address : v->source;
        const auto remote = v->sa && v->sa->remote_address ? *v->sa->remote_address
                            : v->config->destination       ? *v->config->destination
                                                           : IpAddress{};
        const auto sa_json = [&](bool inbound) {
            json::object o{{"spi", inbound ? v->sas.inbound_spi : v->sas.outbound_spi},
                           {"active", inbound ? v->sas.inbound_up : v->sas.outbound_up},
                           {"sequence", read(inbound ? a.receiving_sequence : a.sending_sequence)}};
            return o;
        };
        if (exec.json) {
            json::object o{{"interface", name},
                           {"profile", v->config->ipsec_profile},
                           {"localEndpoint", local.to_string()},
                           {"remoteEndpoint", remote.to_string()},
                           {"packetsEncapsulated", sent},
                           {"bytesEncapsulated", read(a.sent_octets)},
                           {"packetsDecapsulated", received},
                           {"bytesDecapsulated", read(a.received_octets)},
                           {"sendErrors", read(a.dropped_no_sa)},
                           {"receiveErrors", receive_errors},
                           {"replayErrors", read(a.dropped_replay)},
                           {"authenticationErrors", read(a.dropped_authentication)},
                           {"pathMtu", v->sum.learned.value_or(v->sum.path_mtu)},
                           {"ipMtu", e->ip_mtu()}};
            if (v->sa) {
                o["manualSa"] = v->sa->name;
                o["transform"] = std::string{transform(*v->sa)} +
                                 (integrity(*v->sa).empty() ? "" : " " + std::string{integrity(*v->sa)});
                o["mode"] = v->sa->mode == config::EspMode::Transport ? "transport" : "tunnel";
                o["esn"] = v->sa->esn;
                o["replayWindow"] = v->sa->replay_window;
                o["inbound"] = sa_json(true);
                o["outbound"] = sa_json(false);
            }
            if (!v->sas.problem.empty()) o["problem"] = v->sas.problem;
            out[name] = std::move(o);
            continue;
        }
        text += fmt::format("\ninterface: {}\n    Profile: {}, local addr {}\n", name, v->config->ipsec_profile,
                            local.to_string());
        text += fmt::format("   current_peer {} port {}\n", remote.to_string(),
                            v->sa && v->sa->udp ? v->sa->udp->remote : 0);
        if (!v->sas.problem.empty()) text += fmt::format("     {}: nothing leaves\n", v->sas.problem);
        text += fmt::format("    #pkts encaps: {0}, #pkts encrypt: {0}, #pkts digest: {0}\n", sent);
        text += fmt::format("    #pkts decaps: {0}, #pkts decrypt: {0}, #pkts verify: {0}\n", received);
        text += fmt::format("    #send errors {}, #recv errors {}\n", read(a.dropped_no_sa), receive_errors);
        text += fmt::format("    #pkts replay failed {}, #pkts verify failed {}\n\n", read(a.dropped_replay),
                            read(a.dropped_authentication));
        text += fmt::format("     local crypto endpt.: {}, remote crypto endpt.: {}\n", local.to_string(),
                            remote.to_string());
        text += fmt::format("     path mtu {}, ip mtu {}\n", v->sum.learned.value_or(v->sum.path_mtu), e->ip_mtu());
        if (!v->sa) continue;
        text += fmt::format("     current outbound spi: 0x{0:X}({0})\n", v->sas.outbound_spi);
        for (const bool inbound : {true, false}) {
            const auto spi = inbound ? v->sas.inbound_spi : v->sas.outbound_spi;
            text +=
                fmt::format("\n     {0} esp sas:\n      spi: 0x{1:X}({1})\n", inbound ? "inbound" : "outbound", spi);
            text += fmt::format("        transform: {} {},\n", transform(*v->sa), integrity(*v->sa));
            text += fmt::format("        in use settings ={{{}{}{}}}, manual: {}\n",
                                v->sa->mode == config::EspMode::Transport ? "Transport" : "Tunnel",
                                v->sa->udp ? " UDP-Encaps" : "", v->sa->esn ? ", ESN" : "", v->sa->name);
            text +=
                fmt::format("        sequence number: {}\n", read(inbound ? a.receiving_sequence : a.sending_sequence));
            if (inbound)
                text += fmt::format("        replay detection support: {}  replay window size: {}\n",
                                    v->sa->replay_window != 0 ? "Y" : "N", v->sa->replay_window);
            text += fmt::format("        Status: {}\n",
                                (inbound ? v->sas.inbound_up : v->sas.outbound_up) ? "ACTIVE" : "DOWN");
        }
    }
    if (exec.json) return whole(pretty(out) + "\n");
    if (!found && !exec.interface.empty())
        return Error{Refused{fmt::format("% {} is not protected by IPsec", exec.interface)}};
    return whole(found ? text : "No SAs found\n");
}

}  // namespace culvert::runtime::show
