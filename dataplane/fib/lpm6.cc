#include "dataplane/fib/lpm6.h"

#include <algorithm>
#include <array>

namespace culvert::fib {

void Lpm6::lookup(std::span<const Ipv6Address> destinations, std::span<Leaf> out) const noexcept
{
    constexpr std::size_t kChunk = 64;
    std::array<Key6, kChunk> keys;
    for (std::size_t first = 0; first < destinations.size(); first += kChunk) {
        const auto n = std::min(kChunk, destinations.size() - first);
        for (std::size_t i = 0; i < n; ++i) keys[i] = key(destinations[first + i]);
        trie_.lookup(std::span<const Key6>{keys}.first(n), out.subspan(first, n));
    }
}

}  // namespace culvert::fib
