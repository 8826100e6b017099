#pragma once

#include "base/check.h"
#include "base/ip.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

namespace culvert::route {

// Keys of a prefix map: no padding, ordered as the address space (address, then length).
struct [[gnu::packed]] Key4 {
    std::uint32_t address;
    std::uint8_t length;

    static Key4 of(const IpPrefix& p) noexcept { return {p.address.v4().value, p.length}; }
    IpPrefix prefix() const noexcept { return {Ipv4Address{address}, length}; }
    friend bool operator<(const Key4& a, const Key4& b) noexcept { return a.packed() < b.packed(); }
    friend bool operator==(const Key4& a, const Key4& b) noexcept { return a.packed() == b.packed(); }

private:
    std::uint64_t packed() const noexcept { return std::uint64_t{address} << 8 | length; }
};
static_assert(sizeof(Key4) == 5);

struct [[gnu::packed]] Key6 {
    std::uint64_t high, low;
    std::uint8_t length;

    static Key6 of(const IpPrefix& p) noexcept { return {p.address.bits.high(), p.address.bits.low(), p.length}; }
    IpPrefix prefix() const noexcept { return {Ipv6Address::from_words(high, low), length}; }
    friend bool operator<(const Key6& a, const Key6& b) noexcept
    {
        if (a.high != b.high) return a.high < b.high;
        if (a.low != b.low) return a.low < b.low;
        return a.length < b.length;
    }
    friend bool operator==(const Key6& a, const Key6& b) noexcept
    {
        return a.high == b.high && a.low == b.low && a.length == b.length;
    }
};
static_assert(sizeof(Key6) == 17);

// An ordered map from keys to small values, in sorted chunks under one sorted directory. Made for a million prefixes: a
// chunk has room in steps of an eighth of the most, so a key and its value cost their own size and about a tenth more;
// no operation touches more than a chunk and (when one splits) the directory, so none takes long, and walking is in
// order. References are good until the next change.
template <class Key, class Value>
class SortedChunks {
    static_assert(std::is_trivially_copyable_v<Key> && std::is_trivially_copyable_v<Value> && alignof(Key) == 1);
    static constexpr std::size_t kCapacity = 128;
    static constexpr std::size_t kStep = kCapacity / 8;
    static_assert(kStep * sizeof(Value) % alignof(Value) == 0 && alignof(Value) <= alignof(std::max_align_t));

    // Values first, then keys.
    struct Chunk {
        std::unique_ptr<std::byte[]> items;
        std::uint32_t count = 0;
        std::uint32_t capacity = 0;

        Value* values() const noexcept { return reinterpret_cast<Value*>(items.get()); }
        Key* keys() const noexcept { return reinterpret_cast<Key*>(items.get() + capacity * sizeof(Value)); }
        std::size_t octets() const noexcept { return capacity * (sizeof(Value) + sizeof(Key)); }

        // Moves into memory for just as many, and the rest of a step.
        void resize(std::size_t wanted)
        {
            const std::size_t room = (wanted + kStep - 1) / kStep * kStep;
            if (room == capacity) return;
            Chunk to{std::make_unique_for_overwrite<std::byte[]>(room * (sizeof(Value) + sizeof(Key))), count,
                     static_cast<std::uint32_t>(room)};
            if (items) copy(to, 0, *this, 0, count);
            *this = std::move(to);
        }
        static void copy(const Chunk& to, std::size_t at, const Chunk& from, std::size_t first, std::size_t n) noexcept
        {
            std::memcpy(static_cast<void*>(to.values() + at), from.values() + first, n * sizeof(Value));
            std::memcpy(static_cast<void*>(to.keys() + at), from.keys() + first, n * sizeof(Key));
        }
        // Moves those from `from` on to `to`.
        void shift(std::size_t to, std::size_t from) const noexcept
        {
            std::memmove(static_cast<void*>(values() + to), values() + from, (count - from) * sizeof(Value));
            std::memmove(static_cast<void*>(keys() + to), keys() + from, (count - from) * sizeof(Key));
        }
    };

public:
    std::size_t size() const noexcept { return size_; }
    std::size_t octets() const noexcept
    {
        return items_octets_ + chunks_.capacity() * sizeof(Chunk) + firsts_.capacity() * sizeof(Key);
    }

    Value* find(const Key& key) noexcept
    {
        if (chunks_.empty()) return nullptr;
        const Chunk& chunk = chunks_[chunk_of(key)];
        const std::size_t at = position(chunk, key);
        return at < chunk.count && chunk.keys()[at] == key ? &chunk.values()[at] : nullptr;
    }
    const Value* find(const Key& key) const noexcept { return const_cast<SortedChunks*>(this)->find(key); }

    // The key's value, `fresh` if it was not there.
    std::pair<Value*, bool> insert(const Key& key, const Value& fresh)
    {
        if (chunks_.empty()) {
            chunks_.emplace_back();
            firsts_.push_back(key);
        }
        std::size_t in = chunk_of(key);
        std::size_t at = position(chunks_[in], key);
        if (at < chunks_[in].count && chunks_[in].keys()[at] == key) return {&chunks_[in].values()[at], false};
        if (chunks_[in].count == kCapacity) {
            split(in, at);
            if (at > chunks_[in].count) {
                at -= chunks_[in].count;
                ++in;
            }
        }
        Chunk& chunk = chunks_[in];
        if (chunk.count == chunk.capacity) resize(chunk, chunk.count + 1);
        chunk.shift(at + 1, at);
        chunk.keys()[at] = key;
        chunk.values()[at] = fresh;
        ++chunk.count;
        ++size_;
        if (at == 0) firsts_[in] = key;
        return {&chunk.values()[at], true};
    }

    bool erase(const Key& key)
    {
        if (chunks_.empty()) return false;
        const std::size_t in = chunk_of(key);
        Chunk& chunk = chunks_[in];
        const std::size_t at = position(chunk, key);
        if (at == chunk.count || !(chunk.keys()[at] == key)) return false;
        chunk.shift(at, at + 1);
        --chunk.count;
        --size_;
        if (chunk.count == 0) {
            remove_chunk(in);
            return true;
        }
        if (at == 0) firsts_[in] = chunk.keys()[0];
        if (chunk.count + 2 * kStep <= chunk.capacity) resize(chunk, chunk.count + kStep / 2);
        if (chunk.count < kCapacity / 4) merge(in);
        return true;
    }

    void clear()
    {
        chunks_.clear();
        firsts_.clear();
        chunks_.shrink_to_fit();
        firsts_.shrink_to_fit();
        size_ = 0;
        items_octets_ = 0;
    }

    // The largest key that is not above `key`.
    std::optional<Key> floor(const Key& key) const noexcept
    {
        if (chunks_.empty()) return std::nullopt;
        const Chunk& chunk = chunks_[chunk_of(key)];
        const std::size_t at = position(chunk, key);
        if (at < chunk.count && chunk.keys()[at] == key) return key;
        if (at == 0) return std::nullopt;  // below the first key of the first chunk
        return chunk.keys()[at - 1];
    }

    // Calls f(key, value) for each key from `from` on, in order, until f returns false.
    template <class F>
    void walk(const Key& from, F&& f) const
    {
        if (chunks_.empty()) return;
        std::size_t in = chunk_of(from);
        std::size_t at = position(chunks_[in], from);
        for (; in < chunks_.size(); ++in, at = 0)
            for (; at < chunks_[in].count; ++at)
                if (!f(chunks_[in].keys()[at], chunks_[in].values()[at])) return;
    }

private:
    // How many of the sorted `keys` are below `key` (or equal to it, if asked). Without branches on what is read: in a
    // table of a million these can't be predicted.
    template <bool kOrEqual>
    static std::size_t count_below(const Key* keys, std::size_t count, const Key& key) noexcept
    {
        const Key* base = keys;
        while (count > 0) {
            const std::size_t half = (count + 1) / 2;
            const bool below = kOrEqual ? !(key < base[half - 1]) : base[half - 1] < key;
            base += below ? half : 0;
            count = below ? count - half : half - 1;
        }
        return static_cast<std::size_t>(base - keys);
    }
    // The last chunk whose first key is not above `key`, or the first chunk.
    std::size_t chunk_of(const Key& key) const noexcept
    {
        const std::size_t n = count_below<true>(firsts_.data(), firsts_.size(), key);
        return n == 0 ? 0 : n - 1;
    }
    static std::size_t position(const Chunk& chunk, const Key& key) noexcept
    {
        return count_below<false>(chunk.keys(), chunk.count, key);
    }
    void resize(Chunk& chunk, std::size_t wanted)
    {
        items_octets_ -= chunk.octets();
        chunk.resize(wanted);
        items_octets_ += chunk.octets();
    }
    // Makes room around `at`. Keys that come in order leave full chunks behind.
    void split(std::size_t in, std::size_t at)
    {
        Chunk& chunk = chunks_[in];
        const std::size_t keep = at == kCapacity ? kCapacity - 4 : kCapacity / 2;
        Chunk upper;
        resize(upper, chunk.count - keep);
        Chunk::copy(upper, 0, chunk, keep, chunk.count - keep);
        upper.count = static_cast<std::uint32_t>(chunk.count - keep);
        chunk.count = static_cast<std::uint32_t>(keep);
        resize(chunk, keep + 1);
        firsts_.insert(firsts_.begin() + static_cast<std::ptrdiff_t>(in) + 1, upper.keys()[0]);
        chunks_.insert(chunks_.begin() + static_cast<std::ptrdiff_t>(in) + 1, std::move(upper));
    }
    // Joins a thin chunk with a neighbour if both fit well into one.
    void merge(std::size_t in)
    {
        const auto fits = [&](std::size_t a) {
            return a + 1 < chunks_.size() && chunks_[a].count + chunks_[a + 1].count <= kCapacity / 2;
        };
        std::size_t lower = in;
        if (!fits(lower)) {
            if (in == 0 || !fits(in - 1)) return;
            lower = in - 1;
        }
        Chunk& to = chunks_[lower];
        const Chunk& from = chunks_[lower + 1];
        if (to.count + from.count > to.capacity) resize(to, to.count + from.count);
        Chunk::copy(to, to.count, from, 0, from.count);
        to.count += from.count;
        remove_chunk(lower + 1);
    }
    void remove_chunk(std::size_t in)
    {
        items_octets_ -= chunks_[in].octets();
        chunks_.erase(chunks_.begin() + static_cast<std::ptrdiff_t>(in));
        firsts_.erase(firsts_.begin() + static_cast<std::ptrdiff_t>(in));
        if (chunks_.empty()) clear();
    }

    std::vector<Key> firsts_;  // of each chunk: what a search reads first
    std::vector<Chunk> chunks_;
    std::size_t size_ = 0;
    std::size_t items_octets_ = 0;
};

// Prefixes of both families to small values, in the order of the address space, with longest match.
template <class Value>
class PrefixMap {
public:
    std::size_t size(Family f) const noexcept { return f == Family::Ipv4 ? v4_.size() : v6_.size(); }
    std::size_t size() const noexcept { return v4_.size() + v6_.size(); }
    bool empty() const noexcept { return size() == 0; }
    std::size_t octets() const noexcept { return v4_.octets() + v6_.octets(); }

    Value* find(const IpPrefix& p) noexcept
    {
        return p.family() == Family::Ipv4 ? v4_.find(Key4::of(p)) : v6_.find(Key6::of(p));
    }
    const Value* find(const IpPrefix& p) const noexcept { return const_cast<PrefixMap*>(this)->find(p); }
    std::pair<Value*, bool> insert(const IpPrefix& p, const Value& fresh)
    {
        return p.family() == Family::Ipv4 ? v4_.insert(Key4::of(p), fresh) : v6_.insert(Key6::of(p), fresh);
    }
    bool erase(const IpPrefix& p)
    {
        return p.family() == Family::Ipv4 ? v4_.erase(Key4::of(p)) : v6_.erase(Key6::of(p));
    }
    void clear()
    {
        v4_.clear();
        v6_.clear();
    }

    // The longest prefix that holds `address` and whose value `accept(prefix, value)`s.
    template <class Accept>
    std::optional<IpPrefix> longest_match(const IpAddress& address, Accept&& accept) const
    {
        return address.is_v4() ? match<Key4>(v4_, address, accept) : match<Key6>(v6_, address, accept);
    }

    // f(prefix, value) for each prefix of `from`'s family from `from` on (it included), until f returns false.
    template <class F>
    void walk(const IpPrefix& from, F&& f) const
    {
        const auto visit = [&](const auto& key, const Value& value) { return f(key.prefix(), value); };
        if (from.family() == Family::Ipv4)
            v4_.walk(Key4::of(from), visit);
        else
            v6_.walk(Key6::of(from), visit);
    }

private:
    // Every prefix that holds an address lies at or below (address, longest) in order. If the key found there does not
    // hold it, no prefix longer than their common bits does.
    template <class Key, class Map, class Accept>
    static std::optional<IpPrefix> match(const Map& map, const IpAddress& address, Accept& accept)
    {
        IpPrefix at = IpPrefix::host(address);
        for (;;) {
            const auto found = map.floor(Key::of(at));
            if (!found) return std::nullopt;
            const IpPrefix prefix = found->prefix();
            int length;
            if (prefix.contains(address)) {
                if (accept(prefix, *map.find(*found))) return prefix;
                length = prefix.length - 1;
            } else {
                length = common_bits(prefix.address, address);
            }
            if (length < 0) return std::nullopt;
            at = IpPrefix::make(address, length);
        }
    }
    static int common_bits(const IpAddress& a, const IpAddress& b) noexcept
    {
        const std::uint64_t high = a.bits.high() ^ b.bits.high();
        if (high != 0) return __builtin_clzll(high);
        const std::uint64_t low = a.bits.low() ^ b.bits.low();
        return low != 0 ? 64 + __builtin_clzll(low) : 128;
    }

    SortedChunks<Key4, Value> v4_;
    SortedChunks<Key6, Value> v6_;
};

}  // namespace culvert::route
