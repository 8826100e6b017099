#include "config/behaviour.h"
#include "config/statement_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace culvert::config {
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

namespace {

// ---- manual SAs ----

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

constexpr auto Sa = Node::ManualSa;

constexpr Statement kIpsec[] = {
    {Top,
     "crypto ipsec manual-sa WORD$name",
     Setting,
     Cost::Session,
     "Security associations, in and out, whose keys stand in files. **For tests and measurements only**: the keys are "
     "never renewed, a restart of either end begins again at sequence number 1 under the same key, and with it an "
     "attacker who recorded the traffic may read and forge it.",
     {manual_sa_block, show_manual_sa_blocks}},
    {Sa,
     "encryption {<aes-gcm-256|aes-gcm-128|chacha20-poly1305|aes-cbc-256|aes-cbc-128>}",
     Setting,
     Cost::Session,
     "The cipher. Default: aes-gcm-256.",
     {sa_encryption, show_sa_encryption}},
    {Sa,
     "integrity {<hmac-sha256|hmac-sha384|hmac-sha512>}",
     Setting,
     Cost::Session,
     "What authenticates packets: of aes-cbc, and of nothing else.",
     {sa_integrity, show_sa_integrity}},
    {Sa,
     "mode {<tunnel|transport>}",
     Setting,
     Cost::Session,
     "What of the packet is enciphered: all of it behind a header of its own, or (GRE only) what is behind the header. "
     "Default: tunnel.",
     {sa_mode, show_sa_mode}},
    {Sa, "local-address {ADDRESS$address}", Setting, Cost::Session,
     "Our end of the ESP packets. Default: the tunnel's source.", kValue<&ManualSa::local_address>},
    {Sa, "remote-address {ADDRESS$address}", Setting, Cost::Session,
     "The other end of the ESP packets. Default: the tunnel's destination.", kValue<&ManualSa::remote_address>},
    {Sa,
     "inbound {spi (256-4294967295)$spi <key-file FILE$file|key WORD$digits>}",
     Setting,
     Cost::Session,
     "What comes in: its index, and its keys in hexadecimal: the cipher's, its salt (4 octets, not of aes-cbc), then "
     "the integrity key (32, 48 or 64 octets).",
     {sa_inbound, show_sa_inbound}},
    {Sa,
     "outbound {spi (256-4294967295)$spi <key-file FILE$file|key WORD$digits>}",
     Setting,
     Cost::Session,
     "What goes out: its index, and its keys, which are others than those of what comes in.",
     {sa_outbound, show_sa_outbound}},
    {Sa, "esn", Setting, Cost::Session, "Extended sequence numbers of 64 bits (RFC 4304).", kFlag<&ManualSa::esn>},
    {Sa,
     "replay window {<(64-65536)$packets|disable>}",
     Setting,
     Cost::Session,
     "How far behind the newest a packet may come. Default: 8192.",
     {sa_replay_window, show_sa_replay_window}},
    {Sa,
     "udp-encapsulation [<local-port (1-65535)$local|remote-port (1-65535)$remote|keepalive (0-3600)$seconds>]...",
     Setting,
     Cost::Session,
     "ESP in UDP, for a NAT on the way (RFC 3948). Default ports: 4500; a keepalive after 20 silent seconds.",
     {sa_udp, show_sa_udp}},
    {Sa,
     "lifetime <seconds {(1-4294967295)$limit}|kilobytes {(1-18014398509481983)$limit}|packets "
     "{(1-18446744073709551615)$limit}>",
     Setting,
     Cost::Session,
     "When the keys are used up: nothing goes through after. A log line says so at nine tenths of it. Default: never, "
     "but for the sequence numbers' end.",
     {sa_lifetime, show_sa_lifetime}},
    {Sa,
     "df-bit {<copy|set|clear>}",
     Setting,
     Cost::Apply,
     "Don't Fragment of the outer IPv4 header: the inner one's, or always, or never. Default: copy.",
     {sa_df_bit, show_sa_df_bit}},
    {Sa,
     "dscp {<copy|(0-63)$dscp>}",
     Setting,
     Cost::Apply,
     "The outer header's DSCP: the inner one's, or a value. Default: copy.",
     {sa_dscp, show_sa_dscp}},
    {Sa, "ecn", Setting, Cost::Apply,
     "Congestion marks cross the tunnel (RFC 6040's normal mode). The default; without: compatibility mode.",
     kFlag<&ManualSa::ecn>},
    {Sa,
     "fragmentation {<before-encryption|after-encryption>}",
     Setting,
     Cost::Apply,
     "Where a packet is cut that would be too long. Default: before-encryption.",
     {sa_fragmentation, show_sa_fragmentation}},
    {Top,
     "crypto ipsec profile WORD$profile",
     Setting,
     Cost::Session,
     "How a tunnel is protected: what `tunnel protection` names.",
     {ipsec_profile_block, show_ipsec_profile_blocks}},
    {Node::IpsecProfile, "set manual-sa {WORD$name}", Setting, Cost::Session, "Protects with the keys of a manual SA.",
     kValue<&IpsecProfile::manual_sa>},
};

}  // namespace

std::span<const Statement> ipsec_statements() { return kIpsec; }

}  // namespace culvert::config
