#pragma once

#include "dataplane/fib/trie.h"

#include <algorithm>
#include <span>

namespace culvert::node {

// Longest prefix match of a burst's destinations: leaves[i] is that of destinations[i]. Often all are the same, as of
// the outer packets of a tunnel.
template <class Lpm, class Key>
void match(const Lpm& lpm, std::span<const Key> destinations, std::span<fib::Leaf> leaves) noexcept
{
    const auto& first = destinations.front();
    bool same = true;
    for (const auto& d : destinations) same &= d == first;
    if (same)
        std::fill_n(leaves.begin(), destinations.size(), lpm.lookup(first));
    else
        lpm.lookup(destinations, leaves);
}

}  // namespace culvert::node
