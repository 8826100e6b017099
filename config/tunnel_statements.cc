#include "config/tunnel_statements.h"

#include "config/behaviour.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace culvert::config {
namespace {

struct ModeWords {
    std::string_view kind, variant;
    Tunnel::Mode mode;
};
constexpr std::array kModes{
    ModeWords{"gre", "ip", Tunnel::Mode::GreIpv4},
    ModeWords{"gre", "ipv6", Tunnel::Mode::GreIpv6},
    ModeWords{"gre", "multipoint", Tunnel::Mode::GreMultipoint},
    ModeWords{"ipsec", "ipv4", Tunnel::Mode::IpsecIpv4},
    ModeWords{"ipsec", "ipv6", Tunnel::Mode::IpsecIpv6},
};

template <class T, std::size_t N>
T named(const Args& args, const std::array<std::pair<std::string_view, T>, N>& words, T otherwise)
{
    for (const auto& [word, value] : words)
        if (args.has(word)) return value;
    return otherwise;
}

template <class T, std::size_t N>
std::string_view name_of(const std::array<std::pair<std::string_view, T>, N>& words, T value)
{
    return std::ranges::find(words, value, [](const auto& w) { return w.second; })->first;
}

constexpr std::array kCiphers{
    std::pair{std::string_view{"aes-gcm-256"}, EspCipher::AesGcm256},
    std::pair{std::string_view{"aes-gcm-128"}, EspCipher::AesGcm128},
    std::pair{std::string_view{"chacha20-poly1305"}, EspCipher::Chacha20Poly1305},
    std::pair{std::string_view{"aes-cbc-256"}, EspCipher::AesCbc256},
    std::pair{std::string_view{"aes-cbc-128"}, EspCipher::AesCbc128},
};
constexpr std::array kIntegrities{
    std::pair{std::string_view{"hmac-sha256"}, EspIntegrity::HmacSha256},
    std::pair{std::string_view{"hmac-sha384"}, EspIntegrity::HmacSha384},
    std::pair{std::string_view{"hmac-sha512"}, EspIntegrity::HmacSha512},
};
constexpr std::array kDfBits{
    std::pair{std::string_view{"copy"}, ManualSa::DfBit::Copy},
    std::pair{std::string_view{"set"}, ManualSa::DfBit::Set},
    std::pair{std::string_view{"clear"}, ManualSa::DfBit::Clear},
};

template <Family F>
void show_nhrp_map(const Statement& self, const View& view, Lines& out)
{
    const auto* tunnel = view.object<Tunnel>();
    if (!tunnel) return;
    for (const auto& [nexthop, endpoint] : tunnel->nhrp_map)
        if (nexthop.family == F) out.statement(self, view, {nexthop.to_string(), endpoint.to_string()});
}

template <auto Member>
Outcome sa_direction(Edit& edit)
{
    auto* sa = edit.object<ManualSa>();
    if (!sa) return edit.refusal();
    if (edit.no) {
        sa->*Member = {};
        return {};
    }
    ManualSa::Direction direction{.spi = static_cast<std::uint32_t>(edit.args.number("spi").value()), .key = {}};
    if (edit.args.given("file")) {
        direction.key = Secret{.file = edit.args.text("file"), .value = {}};
    } else {
        auto text = edit.args.text("digits");
        if (text == "<hidden>")
            return edit.refuse("this is a secret as `show running-config` masks it",
                               "put the secret itself, or its file, here");
        direction.key = Secret{.file = {}, .value = std::move(text)};
    }
    sa->*Member = std::move(direction);
    return {};
}

template <auto Member>
void show_sa_direction(const Statement& self, const View& view, Lines& out)
{
    const auto& direction = view.manual_sa->*Member;
    if (!direction.key) return;
    auto text = fmt::format("{} spi {} ", self.syntax.substr(0, self.syntax.find(' ')), direction.spi);
    if (!direction.key->file.empty())
        out.text(self, view, text + "key-file " + direction.key->file);
    else
        out.secret(self, view, text + "key ", direction.key->value);
}

}  // namespace

// ---- tunnels ----

Outcome tunnel_mode(Edit& edit)
{
    auto* interface = edit.object<Interface>();
    if (!interface) return edit.refusal();
    auto* tunnel = std::get_if<Tunnel>(&interface->kind);
    if (edit.no) {
        if (tunnel || std::holds_alternative<Wireguard>(interface->kind)) interface->kind = std::monostate{};
        return {};
    }
    if (!tunnel && !std::holds_alternative<std::monostate>(interface->kind))
        return edit.refuse(fmt::format("interface {} is {}", interface->name, kind_name(*interface)),
                           fmt::format("`no interface {}` first, or use another name", interface->name));
    if (!tunnel) tunnel = &interface->kind.emplace<Tunnel>();
    for (const auto& [kind, variant, mode] : kModes)
        if (edit.args.has(kind) && edit.args.has(variant)) tunnel->mode = mode;
    return {};
}

void show_tunnel_mode(const Statement& self, const View& view, Lines& out)
{
    const auto* tunnel = view.object<Tunnel>();
    if (!tunnel) return;
    const auto& words = *std::ranges::find(kModes, tunnel->mode, &ModeWords::mode);
    out.text(self, view, fmt::format("tunnel mode {} {}", words.kind, words.variant));
}

namespace {

template <class T>
void set_source(Edit& edit, T& tunnel)
{
    tunnel.source_interface.clear();
    tunnel.source_address.reset();
    if (edit.no) return;
    tunnel.source_address = edit.args.address("address");
    tunnel.source_interface = edit.args.text("interface");
}

template <class T>
void show_source(const Statement& self, const View& view, Lines& out, const T& tunnel)
{
    if (tunnel.source_address) out.text(self, view, "tunnel source " + tunnel.source_address->to_string());
    if (!tunnel.source_interface.empty()) out.text(self, view, "tunnel source " + tunnel.source_interface);
}

bool is_wireguard(Edit& edit)
{
    const auto* interface = edit.object<Interface>();
    return interface && std::holds_alternative<Wireguard>(interface->kind);
}

}  // namespace

Outcome tunnel_source(Edit& edit)
{
    if (is_wireguard(edit)) {
        set_source(edit, *edit.object<Wireguard>());
        return {};
    }
    auto* tunnel = edit.object<Tunnel>();
    if (!tunnel) return edit.refusal();
    set_source(edit, *tunnel);
    return {};
}

void show_tunnel_source(const Statement& self, const View& view, Lines& out)
{
    if (const auto* wireguard = view.object<Wireguard>()) show_source(self, view, out, *wireguard);
    if (const auto* tunnel = view.object<Tunnel>()) show_source(self, view, out, *tunnel);
}

Outcome tunnel_vrf(Edit& edit)
{
    return is_wireguard(edit) ? set_vrf<&Wireguard::outer_vrf>(edit) : set_vrf<&Tunnel::outer_vrf>(edit);
}

void show_tunnel_vrf(const Statement& self, const View& view, Lines& out)
{
    show_value<&Wireguard::outer_vrf>(self, view, out);
    show_value<&Tunnel::outer_vrf>(self, view, out);
}

Outcome tunnel_ttl(Edit& edit)
{
    auto* tunnel = edit.object<Tunnel>();
    if (!tunnel) return edit.refusal();
    tunnel->ttl = edit.no                    ? Tunnel{}.ttl
                  : edit.args.has("inherit") ? 0
                                             : static_cast<std::uint8_t>(edit.args.number("ttl").value());
    return {};
}

void show_tunnel_ttl(const Statement& self, const View& view, Lines& out)
{
    const auto* tunnel = view.object<Tunnel>();
    if (!tunnel || tunnel->ttl == Tunnel{}.ttl) return;
    out.text(self, view, "tunnel ttl " + (tunnel->ttl == 0 ? "inherit" : std::to_string(tunnel->ttl)));
}

Outcome tunnel_path_mtu(Edit& edit)
{
    auto* tunnel = edit.object<Tunnel>();
    if (!tunnel) return edit.refusal();
    tunnel->path_mtu_discovery = !edit.no;
    tunnel->path_mtu_age = Tunnel{}.path_mtu_age;
    if (edit.no) return {};
    if (const auto minutes = edit.args.number("minutes")) tunnel->path_mtu_age = std::chrono::minutes{*minutes};
    if (edit.args.has("infinite")) tunnel->path_mtu_age.reset();
    return {};
}

void show_tunnel_path_mtu(const Statement& self, const View& view, Lines& out)
{
    const auto* tunnel = view.object<Tunnel>();
    if (!tunnel) return;
    if (!tunnel->path_mtu_discovery)
        out.text(self, view, "no tunnel path-mtu-discovery");
    else if (!tunnel->path_mtu_age)
        out.text(self, view, "tunnel path-mtu-discovery age-timer infinite");
    else if (tunnel->path_mtu_age != Tunnel{}.path_mtu_age)
        out.text(self, view, fmt::format("tunnel path-mtu-discovery age-timer {}", tunnel->path_mtu_age->count() / 60));
}

Outcome tunnel_keepalive(Edit& edit)
{
    auto* tunnel = edit.object<Tunnel>();
    if (!tunnel) return edit.refusal();
    tunnel->keepalive.reset();
    if (edit.no) return {};
    auto& keepalive = tunnel->keepalive.emplace();
    if (const auto seconds = edit.args.number("seconds")) keepalive.period = Seconds{*seconds};
    if (const auto retries = edit.args.number("retries")) keepalive.retries = static_cast<std::uint8_t>(*retries);
    return {};
}

void show_tunnel_keepalive(const Statement& self, const View& view, Lines& out)
{
    const auto* tunnel = view.object<Tunnel>();
    if (tunnel && tunnel->keepalive)
        out.text(self, view,
                 fmt::format("keepalive {} {}", tunnel->keepalive->period.count(), tunnel->keepalive->retries));
}

Outcome nhrp_map(Edit& edit)
{
    auto* tunnel = edit.object<Tunnel>();
    if (!tunnel) return edit.refusal();
    if (!edit.args.given("nexthop")) {
        const auto family = edit.args.has("ipv6") ? Family::Ipv6 : Family::Ipv4;
        std::erase_if(tunnel->nhrp_map, [&](const auto& m) { return m.first.family == family; });
        return {};
    }
    const auto nexthop = edit.args.address("nexthop").value();
    if (!edit.no)
        tunnel->nhrp_map[nexthop] = edit.args.address("endpoint").value();
    else if (tunnel->nhrp_map.erase(nexthop) == 0)
        return edit.refuse(fmt::format("{} is not mapped", nexthop.to_string()));
    return {};
}

void show_nhrp_map4(const Statement& self, const View& view, Lines& out)
{
    show_nhrp_map<Family::Ipv4>(self, view, out);
}

void show_nhrp_map6(const Statement& self, const View& view, Lines& out)
{
    show_nhrp_map<Family::Ipv6>(self, view, out);
}

// ---- manual SAs ----

std::size_t ManualSa::key_octets() const
{
    std::size_t octets = 0;
    switch (cipher) {
        case EspCipher::AesGcm128: octets = 16 + 4; break;
        case EspCipher::AesGcm256: octets = 32 + 4; break;
        case EspCipher::Chacha20Poly1305: octets = 32 + 4; break;
        case EspCipher::AesCbc128: octets = 16; break;
        case EspCipher::AesCbc256: octets = 32; break;
    }
    switch (integrity) {
        case EspIntegrity::None: break;
        case EspIntegrity::HmacSha256: octets += 32; break;
        case EspIntegrity::HmacSha384: octets += 48; break;
        case EspIntegrity::HmacSha512: octets += 64; break;
    }
    return octets;
}

Outcome manual_sa_block(Edit& edit)
{
    const auto name = edit.args.text("name");
    if (edit.no) {
        if (edit.model.manual_sas.erase(name) == 0) return edit.refuse("there is no manual SA " + name);
        return {};
    }
    edit.model.manual_sas[name].name = name;
    edit.position.node = Node::ManualSa;
    edit.position.name = name;
    return {};
}

void show_manual_sa_blocks(const Statement& self, const View& view, Lines& out)
{
    for (const auto& [name, sa] : view.model->manual_sas) {
        View inside = view;
        inside.manual_sa = &sa;
        out.block(self, "crypto ipsec manual-sa " + name, Node::ManualSa, inside, "exit");
    }
}

Outcome sa_encryption(Edit& edit)
{
    auto* sa = edit.object<ManualSa>();
    if (!sa) return edit.refusal();
    sa->cipher = named(edit.args, kCiphers, ManualSa{}.cipher);
    if (edit.no) sa->cipher = ManualSa{}.cipher;
    return {};
}

void show_sa_encryption(const Statement& self, const View& view, Lines& out)
{
    const auto cipher = view.manual_sa->cipher;
    if (cipher != ManualSa{}.cipher) out.text(self, view, fmt::format("encryption {}", name_of(kCiphers, cipher)));
}

Outcome sa_integrity(Edit& edit)
{
    auto* sa = edit.object<ManualSa>();
    if (!sa) return edit.refusal();
    sa->integrity = edit.no ? EspIntegrity::None : named(edit.args, kIntegrities, EspIntegrity::None);
    return {};
}

void show_sa_integrity(const Statement& self, const View& view, Lines& out)
{
    const auto integrity = view.manual_sa->integrity;
    if (integrity != EspIntegrity::None)
        out.text(self, view, fmt::format("integrity {}", name_of(kIntegrities, integrity)));
}

Outcome sa_mode(Edit& edit)
{
    auto* sa = edit.object<ManualSa>();
    if (!sa) return edit.refusal();
    sa->mode = !edit.no && edit.args.has("transport") ? EspMode::Transport : EspMode::Tunnel;
    return {};
}

void show_sa_mode(const Statement& self, const View& view, Lines& out)
{
    if (view.manual_sa->mode == EspMode::Transport) out.text(self, view, "mode transport");
}

Outcome sa_inbound(Edit& edit) { return sa_direction<&ManualSa::inbound>(edit); }
void show_sa_inbound(const Statement& self, const View& view, Lines& out)
{
    show_sa_direction<&ManualSa::inbound>(self, view, out);
}

Outcome sa_outbound(Edit& edit) { return sa_direction<&ManualSa::outbound>(edit); }
void show_sa_outbound(const Statement& self, const View& view, Lines& out)
{
    show_sa_direction<&ManualSa::outbound>(self, view, out);
}

Outcome sa_replay_window(Edit& edit)
{
    auto* sa = edit.object<ManualSa>();
    if (!sa) return edit.refusal();
    sa->replay_window = edit.no                    ? ManualSa{}.replay_window
                        : edit.args.has("disable") ? 0
                                                   : static_cast<std::uint32_t>(edit.args.number("packets").value());
    return {};
}

void show_sa_replay_window(const Statement& self, const View& view, Lines& out)
{
    const auto window = view.manual_sa->replay_window;
    if (window != ManualSa{}.replay_window)
        out.text(self, view, "replay window " + (window == 0 ? "disable" : std::to_string(window)));
}

Outcome sa_udp(Edit& edit)
{
    auto* sa = edit.object<ManualSa>();
    if (!sa) return edit.refusal();
    sa->udp.reset();
    if (edit.no) return {};
    auto& udp = *(sa->udp = ManualSa::Udp{});
    if (const auto port = edit.args.number("local")) udp.local = static_cast<std::uint16_t>(*port);
    if (const auto port = edit.args.number("remote")) udp.remote = static_cast<std::uint16_t>(*port);
    if (const auto seconds = edit.args.number("seconds")) udp.keepalive = Seconds{*seconds};
    return {};
}

void show_sa_udp(const Statement& self, const View& view, Lines& out)
{
    const auto& udp = view.manual_sa->udp;
    if (!udp) return;
    const ManualSa::Udp usual;
    std::string text = "udp-encapsulation";
    if (udp->local != usual.local) text += fmt::format(" local-port {}", udp->local);
    if (udp->remote != usual.remote) text += fmt::format(" remote-port {}", udp->remote);
    if (udp->keepalive != usual.keepalive) text += fmt::format(" keepalive {}", udp->keepalive.count());
    out.text(self, view, text);
}

Outcome sa_lifetime(Edit& edit)
{
    auto* sa = edit.object<ManualSa>();
    if (!sa) return edit.refusal();
    const auto limit = edit.no ? std::nullopt : edit.args.number("limit");
    if (edit.args.has("seconds"))
        sa->lifetime = limit ? std::optional{Seconds{*limit}} : std::nullopt;
    else if (edit.args.has("kilobytes"))
        sa->lifetime_kilobytes = limit;
    else if (edit.args.has("packets"))
        sa->lifetime_packets = limit;
    return {};
}

void show_sa_lifetime(const Statement& self, const View& view, Lines& out)
{
    const auto& sa = *view.manual_sa;
    if (sa.lifetime) out.text(self, view, fmt::format("lifetime seconds {}", sa.lifetime->count()));
    if (sa.lifetime_kilobytes) out.text(self, view, fmt::format("lifetime kilobytes {}", *sa.lifetime_kilobytes));
    if (sa.lifetime_packets) out.text(self, view, fmt::format("lifetime packets {}", *sa.lifetime_packets));
}

Outcome sa_df_bit(Edit& edit)
{
    auto* sa = edit.object<ManualSa>();
    if (!sa) return edit.refusal();
    sa->df_bit = edit.no ? ManualSa::DfBit::Copy : named(edit.args, kDfBits, ManualSa::DfBit::Copy);
    return {};
}

void show_sa_df_bit(const Statement& self, const View& view, Lines& out)
{
    const auto df = view.manual_sa->df_bit;
    if (df != ManualSa::DfBit::Copy) out.text(self, view, fmt::format("df-bit {}", name_of(kDfBits, df)));
}

Outcome sa_dscp(Edit& edit)
{
    auto* sa = edit.object<ManualSa>();
    if (!sa) return edit.refusal();
    sa->dscp.reset();
    if (const auto value = edit.args.number("dscp"); value && !edit.no) sa->dscp = static_cast<std::uint8_t>(*value);
    return {};
}

void show_sa_dscp(const Statement& self, const View& view, Lines& out)
{
    if (view.manual_sa->dscp) out.text(self, view, fmt::format("dscp {}", *view.manual_sa->dscp));
}

Outcome sa_fragmentation(Edit& edit)
{
    auto* sa = edit.object<ManualSa>();
    if (!sa) return edit.refusal();
    sa->fragment_after_encryption = !edit.no && edit.args.has("after-encryption");
    return {};
}

void show_sa_fragmentation(const Statement& self, const View& view, Lines& out)
{
    if (view.manual_sa->fragment_after_encryption) out.text(self, view, "fragmentation after-encryption");
}

// ---- IPsec profiles ----

Outcome ipsec_profile_block(Edit& edit)
{
    const auto name = edit.args.text("profile");
    if (edit.no) {
        if (edit.model.ipsec_profiles.erase(name) == 0) return edit.refuse("there is no IPsec profile " + name);
        return {};
    }
    edit.model.ipsec_profiles[name].name = name;
    edit.position.node = Node::IpsecProfile;
    edit.position.name = name;
    return {};
}

void show_ipsec_profile_blocks(const Statement& self, const View& view, Lines& out)
{
    for (const auto& [name, profile] : view.model->ipsec_profiles) {
        View inside = view;
        inside.ipsec_profile = &profile;
        out.block(self, "crypto ipsec profile " + name, Node::IpsecProfile, inside, "exit");
    }
}

}  // namespace culvert::config
