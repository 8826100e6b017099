#pragma once

#include "dataplane/fib/trie.h"

#include <span>

namespace culvert::fib {

// IPv4: addresses are values in host order.
class Lpm4 {
public:
    explicit Lpm4(TriePool& pool) : trie_(pool) {}

    // Readers.
    Leaf lookup(std::uint32_t destination) const noexcept { return trie_.lookup(Key4{destination}); }
    // out[i] is the leaf of destinations[i]; out is at least as long.
    void lookup(std::span<const std::uint32_t> destinations, std::span<Leaf> out) const noexcept
    {
        static_assert(sizeof(Key4) == sizeof(std::uint32_t));
        trie_.lookup(std::span{reinterpret_cast<const Key4*>(destinations.data()), destinations.size()}, out);
    }

    // The writer.
    Edit set(const IpPrefix& p, std::uint32_t value) { return trie_.set(key(p.address), p.length, value); }
    bool erase(const IpPrefix& p) { return trie_.erase(key(p.address), p.length); }
    void prefetch_edits(std::span<const Key4> keys) const noexcept { trie_.prefetch_edits(keys); }
    std::uint32_t exact(const IpPrefix& p) const { return trie_.exact(key(p.address), p.length); }
    std::optional<Trie<Key4>::Match> longest(const IpAddress& a) const { return trie_.longest(key(a)); }
    std::size_t size() const noexcept { return trie_.size(); }
    unsigned root_bits() const noexcept { return trie_.root_bits(); }

    static Key4 key(const IpAddress& a) noexcept { return {a.v4().value}; }

private:
    Trie<Key4> trie_;
};

}  // namespace culvert::fib
