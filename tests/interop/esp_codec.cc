// Drives one router's pipeline for esp_scapy.py, line by line on standard input and output; octets in hex.
//
//   sa ALGORITHM gre|ip tunnel|transport 4|6 ESN UDP SPI-OUT KEY-OUT SPI-IN KEY-IN SEQUENCE
//       a new router with one protected tunnel from 192.0.2.1 (2001:db8:2::1) to .2; answered `ok`
//   in PACKET     an IP packet of the host behind it   -> `out PACKET` what leaves, or `drop VERDICT`
//   outer PACKET  an IP packet from the far end        -> `inner PACKET` what the host gets, or `drop VERDICT`
#include "tests/unit/node/router.h"

#include <cstdio>
#include <iostream>
#include <sstream>

using namespace culvert;
using namespace culvert::dataplane::test;

namespace {

constexpr InterfaceId kTunnel{10};
constexpr ProtectionId kProtection{1};

Octets from_hex(std::string_view text)
{
    Octets out;
    for (std::size_t i = 0; i + 1 < text.size(); i += 2)
        out.push_back(static_cast<std::uint8_t>(std::stoul(std::string{text.substr(i, 2)}, nullptr, 16)));
    return out;
}
std::string to_hex(const Octets& octets)
{
    std::string out;
    for (const auto o : octets) {
        char digits[3];
        std::snprintf(digits, sizeof digits, "%02x", o);
        out += digits;
    }
    return out;
}

std::unique_ptr<Router> make(std::istream& in)
{
    unsigned algorithm = 0, family = 0, esn = 0, udp = 0;
    std::string inner, mode, key_out, key_in;
    std::uint32_t spi_out = 0, spi_in = 0;
    std::uint64_t sequence = 0;
    in >> algorithm >> inner >> mode >> family >> esn >> udp >> spi_out >> key_out >> spi_in >> key_in >> sequence;
    auto r = std::make_unique<Router>();
    const auto here = ip(family == 4 ? "192.0.2.1" : "2001:db8:2::1");
    const auto there = ip(family == 4 ? "192.0.2.2" : "2001:db8:2::2");
    r->apply(api::SetInterface{.id = kTunnel,
                               .vrf = kDefaultVrf,
                               .kind = api::InterfaceKind::Tunnel,
                               .up = true,
                               .mtu = 1400,
                               .address4 = ip4("10.255.0.1"),
                               .address6 = ip6("fd00::1")});
    r->apply(api::SetProtection{.id = kProtection,
                                .interface = kTunnel,
                                .outer_vrf = kDefaultVrf,
                                .inner = inner == "gre" ? api::EspInner::Gre : api::EspInner::Ip,
                                .local = here,
                                .remote = there});
    r->apply(api::SetTunnel{.interface = kTunnel,
                            .outer_vrf = kDefaultVrf,
                            .mode = inner == "gre" ? api::TunnelMode::Gre : api::TunnelMode::Ipsec,
                            .ttl = 255,
                            .source = here,
                            .destination = there,
                            .protection = kProtection});
    for (const auto* to : {"10.2.0.0/16", "2001:db8:b::/48"})
        r->route(to, {.id = {}, .kind = api::NexthopKind::Tunnel, .interface = kTunnel});
    for (const auto direction : {api::SaDirection::Inbound, api::SaDirection::Outbound}) {
        const bool out = direction == api::SaDirection::Outbound;
        api::InstallSa c{};
        c.protection = kProtection;
        c.child = 1;
        c.spi = out ? spi_out : spi_in;
        c.direction = direction;
        c.mode = mode == "tunnel" ? api::EspMode::Tunnel : api::EspMode::Transport;
        c.algorithm = static_cast<api::EspAlgorithm>(algorithm);
        c.esn = esn != 0;
        c.udp = udp != 0;
        c.local = {here, 4500};
        c.remote = {there, 4500};
        c.initial_sequence = sequence;
        const auto key = from_hex(out ? key_out : key_in);
        std::copy(key.begin(), key.end(), c.key.begin());
        r->command(c);
    }
    for (const auto& e : r->events_of<api::SaInstalled>()) CULVERT_CHECK(e.refusal == api::SaRefusal::None);
    return r;
}

// What the last packet became: sent by the port, or the verdict whose count has grown.
void answer(Router& r, const char* what, const std::array<std::uint64_t, api::kVerdictCount>& before)
{
    for (const auto& s : r.sent) std::printf("%s %s\n", what, to_hex(s.packet()).c_str());
    if (r.sent.empty()) {
        for (std::size_t v = 0; v < api::kVerdictCount; ++v) {
            if (r.count(static_cast<Verdict>(v)) == before[v]) continue;
            std::printf("drop %s\n", std::string{api::kVerdictTexts[v].name}.c_str());
            break;
        }
    }
    r.sent.clear();
}

}  // namespace

int main()
{
    std::unique_ptr<Router> r;
    std::string line;
    while (std::getline(std::cin, line)) {
        std::istringstream in{line};
        std::string word, hex;
        in >> word;
        if (word == "sa") {
            r.reset();
            r = make(in);
            std::puts("ok");
        } else if (r != nullptr && (word == "in" || word == "outer")) {
            in >> hex;
            std::array<std::uint64_t, api::kVerdictCount> before;
            for (std::size_t v = 0; v < api::kVerdictCount; ++v) before[v] = r->count(static_cast<Verdict>(v));
            word == "in" ? r->from_lan(from_hex(hex)) : r->from_wan(from_hex(hex));
            answer(*r, word == "in" ? "out" : "inner", before);
        } else {
            std::puts("?");
        }
        std::fflush(stdout);
    }
    return 0;
}
