#include "controlplane/rib/bandwidth.h"

#include <algorithm>

namespace culvert::rib {

bool by_bandwidth(std::span<const Bandwidth> paths, BandwidthUse use) noexcept
{
    const auto has = [](const Bandwidth& b) { return b.octets_a_second > 0; };
    if (use == BandwidthUse::Ignore || paths.size() < 2) return false;
    if (use == BandwidthUse::WhenAllHaveIt) return std::ranges::all_of(paths, has);
    return std::ranges::any_of(paths, has);
}

double cumulative(std::span<const Bandwidth> paths) noexcept
{
    double sum = 0;
    for (const auto& b : paths)
        if (!b.same_next_hop) sum += static_cast<double>(b.octets_a_second);
    return sum;
}

std::uint16_t weight_of(const Bandwidth& path, double whole, BandwidthUse use) noexcept
{
    if (!(path.octets_a_second > 0)) return use == BandwidthUse::SkipMissing ? 0 : kWholeWeight / 100;
    const double share = static_cast<double>(path.octets_a_second) / whole * kWholeWeight;
    return static_cast<std::uint16_t>(std::clamp(share, 1.0, double{kWholeWeight}));
}

}  // namespace culvert::rib
