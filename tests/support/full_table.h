#pragma once

#include "base/ip.h"
#include "controlplane/bgp/attributes.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

// Tables of the Internet's size and shape, for benchmarks and tests: made up, or read from a file.
namespace culvert::support {

// SplitMix64.
class Random {
public:
    explicit Random(std::uint64_t seed) : state_(seed) {}
    std::uint64_t next() { return mix(state_ += 0x9e3779b97f4a7c15ULL); }
    std::uint64_t below(std::uint64_t n) { return next() % n; }
    double unit() { return static_cast<double>(next() >> 11) * 0x1p-53; }

private:
    std::uint64_t state_;
};

// How many prefixes and distinct attribute sets the tables of 2026 have.
struct TableSize {
    std::size_t prefixes;
    std::size_t sets;
};
constexpr TableSize full_size(Family family)
{
    return family == Family::Ipv4 ? TableSize{1'040'000, 95'000} : TableSize{230'000, 47'000};
}

// Deterministic, sorted: the mix of lengths of 2026, nested and clustered as allocations are. None of them lies in
// 10.0.0.0/8, 127.0.0.0/8 or 169.254.0.0/16 or covers one: labs use these, routers refuse them.
std::vector<IpPrefix> synthetic_prefixes(Family family, std::size_t count);

// Prefixes and the attribute set of each, by set: the order in which a full feed comes. The sets have neither the
// feeding neighbour's AS nor a next hop: the feeder adds both.
struct FullTable {
    std::vector<IpPrefix> prefixes;
    std::vector<std::uint32_t> set_of;  // of each prefix, ascending
    std::vector<bgp::PathAttributes> sets;
};

FullTable synthetic_table(Family family, TableSize size);

// A file of lines `prefix|AS path|origin|communities`, of which those of `family` are taken, at most `limit`; one that
// ends in .xz is read through xz(1). nullopt, and a message on standard error: there is no such table.
std::optional<FullTable> read_table(const std::string& path, Family family, std::size_t limit);

}  // namespace culvert::support
