#pragma once

#include "dataplane/fib/trie.h"

#include <span>

namespace culvert::fib {

// IPv6: addresses are octets in network order, as they lie in the packet.
class Lpm6 {
public:
    explicit Lpm6(TriePool& pool) : trie_(pool) {}

    // Readers.
    Leaf lookup(const Ipv6Address& destination) const noexcept { return trie_.lookup(key(destination)); }
    // out[i] is the leaf of destinations[i]; out is at least as long.
    void lookup(std::span<const Ipv6Address> destinations, std::span<Leaf> out) const noexcept;

    // The writer.
    Edit set(const IpPrefix& p, std::uint32_t value) { return trie_.set(key(p.address.v6()), p.length, value); }
    bool erase(const IpPrefix& p) { return trie_.erase(key(p.address.v6()), p.length); }
    void prefetch_edits(std::span<const Key6> keys) const noexcept { trie_.prefetch_edits(keys); }
    std::uint32_t exact(const IpPrefix& p) const { return trie_.exact(key(p.address.v6()), p.length); }
    std::optional<Trie<Key6>::Match> longest(const IpAddress& a) const { return trie_.longest(key(a.v6())); }
    std::size_t size() const noexcept { return trie_.size(); }
    unsigned root_bits() const noexcept { return trie_.root_bits(); }

    static Key6 key(const Ipv6Address& a) noexcept { return {a.high(), a.low()}; }

private:
    Trie<Key6> trie_;
};

}  // namespace culvert::fib
