#include "dataplane/api/mtu.h"

#include <algorithm>

namespace culvert::api {
namespace {

constexpr std::size_t kWireguardHeader = 16, kWireguardTag = 16;
constexpr std::size_t kGreBase = 4, kGreOption = 4;

std::string_view name(Family family) noexcept { return family == Family::Ipv4 ? "IPv4" : "IPv6"; }

std::string_view name(EspAlgorithm algorithm) noexcept
{
    switch (algorithm) {
        case EspAlgorithm::AesGcm128: return "AES-GCM-128";
        case EspAlgorithm::AesGcm256: return "AES-GCM-256";
        case EspAlgorithm::ChaCha20Poly1305: return "ChaCha20-Poly1305";
        case EspAlgorithm::AesCbc128Sha256: return "AES-CBC-128 with SHA-256";
        case EspAlgorithm::AesCbc256Sha256: return "AES-CBC-256 with SHA-256";
        case EspAlgorithm::AesCbc128Sha384: return "AES-CBC-128 with SHA-384";
        case EspAlgorithm::AesCbc256Sha384: return "AES-CBC-256 with SHA-384";
        case EspAlgorithm::AesCbc128Sha512: return "AES-CBC-128 with SHA-512";
        case EspAlgorithm::AesCbc256Sha512: return "AES-CBC-256 with SHA-512";
    }
    return "?";
}

// Takes from what is left, and says so.
class Sum {
public:
    explicit Sum(std::uint16_t path) : left_(path) {}

    std::size_t left() const noexcept { return left_; }
    void take(std::string text, std::size_t octets)
    {
        if (octets == 0) return;
        out_.lines.push_back({std::move(text), -static_cast<int>(octets)});
        left_ = left_ > octets ? left_ - octets : 0;
    }
    MtuSum done() &&
    {
        out_.mtu = static_cast<std::uint16_t>(left_);
        return std::move(out_);
    }

private:
    std::size_t left_;
    MtuSum out_;
};

void take_esp(Sum& sum, const TunnelStack::Esp& esp)
{
    const auto t = esp_traits(esp.algorithm);
    const auto largest = esp_largest(esp.algorithm, esp.mode, esp.outer, esp.udp, sum.left());
    const auto before = sum.left();
    if (esp.mode == EspMode::Tunnel) sum.take("outer " + std::string{name(esp.outer)}, ip_header_octets(esp.outer));
    if (esp.udp) sum.take("UDP encapsulation", kUdpEncapsulation);
    sum.take("ESP: SPI, sequence number", kEspHeader);
    sum.take("ESP: IV of " + std::string{name(esp.algorithm)}, t.iv);
    sum.take("ESP: ICV", t.icv);
    sum.take("ESP: pad length, next header", kEspTrailer);
    const auto fixed = before - sum.left();
    if (before > fixed + largest) sum.take("ESP: blocks of " + std::to_string(t.block), before - fixed - largest);
}

}  // namespace

MtuSum tunnel_mtu(const TunnelStack& stack, std::uint16_t path)
{
    Sum sum{path};
    if (stack.wireguard) {
        sum.take("outer IPv6, room for either family", ip_header_octets(Family::Ipv6));
        sum.take("UDP", kUdpEncapsulation);
        sum.take("WireGuard: header", kWireguardHeader);
        sum.take("WireGuard: tag", kWireguardTag);
    }
    if (stack.esp) take_esp(sum, *stack.esp);
    if (stack.gre) {
        sum.take("outer " + std::string{name(stack.gre->outer)}, ip_header_octets(stack.gre->outer));
        sum.take("GRE", kGreBase);
        if (stack.gre->checksum) sum.take("GRE: checksum", kGreOption);
        if (stack.gre->key) sum.take("GRE: key", kGreOption);
        if (stack.gre->sequence) sum.take("GRE: sequence number", kGreOption);
    }
    return std::move(sum).done();
}

}  // namespace culvert::api
