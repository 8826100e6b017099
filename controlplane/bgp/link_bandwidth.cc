#include "controlplane/bgp/link_bandwidth.h"

#include <bit>
#include <cmath>

namespace culvert::bgp {
namespace {

constexpr unsigned kTransitive = 0x0004, kNonTransitive = 0x4004;  // type and subtype
constexpr std::uint32_t kAsTrans = 23456;

}  // namespace

bool LinkBandwidth::usable() const noexcept { return std::isfinite(octets_a_second) && octets_a_second >= 1; }

std::optional<LinkBandwidth> link_bandwidth(std::uint64_t c) noexcept
{
    const auto kind = static_cast<unsigned>(c >> 48);
    if (kind != kTransitive && kind != kNonTransitive) return std::nullopt;
    return LinkBandwidth{.asn = Asn{static_cast<std::uint32_t>(c >> 32) & 0xffff},
                         .octets_a_second = std::bit_cast<float>(static_cast<std::uint32_t>(c)),
                         .transitive = kind == kTransitive};
}

std::optional<LinkBandwidth> link_bandwidth(const PathAttributes& attributes) noexcept
{
    for (const auto c : attributes.extended_communities)
        if (const auto found = link_bandwidth(c); found && found->usable()) return found;
    return std::nullopt;
}

std::uint64_t to_extended_community(const LinkBandwidth& bandwidth) noexcept
{
    const auto asn = index(bandwidth.asn) > 0xffff ? kAsTrans : index(bandwidth.asn);
    return std::uint64_t{bandwidth.transitive ? kTransitive : kNonTransitive} << 48 | std::uint64_t{asn} << 32 |
           std::bit_cast<std::uint32_t>(bandwidth.octets_a_second);
}

}  // namespace culvert::bgp
