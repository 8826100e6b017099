#pragma once

#include "controlplane/rib/rib.h"

#include <cstdint>
#include <span>

namespace culvert::rib {

// The whole of what weights of a group by link bandwidth share. Finer than FRR's hundredths, so that of 64 paths none
// is lost to rounding, and shares of those that stay keep their ratio when one goes.
inline constexpr std::uint16_t kWholeWeight = 10'000;

// A multipath and what its link bandwidth community says; 0: nothing, or nothing of use.
struct Bandwidth {
    float octets_a_second = 0;
    bool same_next_hop = false;  // as one before it: it shares that one's weight and adds nothing
};

// Do `paths`, those that share the traffic of a prefix, share it by bandwidth? (FRR: when all have one; told to skip or
// to give a default: when any has.) One path alone has all the traffic whatever it says.
bool by_bandwidth(std::span<const Bandwidth> paths, BandwidthUse use) noexcept;
// What all of them carry: what is advertised in place of one's own when the next hop becomes ours.
double cumulative(std::span<const Bandwidth> paths) noexcept;
// Of one of them, by its share of `whole`: 1..kWholeWeight. Without a bandwidth of its own: 0 when it is to be skipped,
// else a hundredth.
std::uint16_t weight_of(const Bandwidth& path, double whole, BandwidthUse use) noexcept;

}  // namespace culvert::rib
