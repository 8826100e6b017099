#pragma once

#include "base/ip.h"
#include "base/item_pool.h"
#include "controlplane/rib/handle_index.h"
#include "controlplane/rib/hash.h"
#include "controlplane/rib/rib.h"

namespace culvert::rib {

// What a family's prefix is as a number, and back.
struct Key4 {
    std::uint32_t address = 0;

    static Key4 from(const IpPrefix& p) noexcept { return {p.address.v4().value}; }
    IpAddress to_address() const noexcept { return Ipv4Address{address}; }
    std::uint64_t hash(std::uint8_t length, std::uint64_t seed) const noexcept
    {
        return fold(((static_cast<std::uint64_t>(address) << 8) | length) ^ seed, 0x9e3779b97f4a7c15ULL);
    }
    // The first octets of the wire form.
    static Key4 from_wire(const std::uint8_t* at, std::uint8_t length) noexcept
    {
        std::uint32_t value = 0;
        std::memcpy(&value, at, (length + 7U) / 8U);
        value = byteswap(value);
        return {length == 0 ? 0 : value & (~std::uint32_t{0} << (32 - length))};
    }
    friend auto operator<=>(const Key4&, const Key4&) = default;
};

struct Key6 {
    std::uint64_t high = 0, low = 0;

    static Key6 from(const IpPrefix& p) noexcept { return {p.address.v6().high(), p.address.v6().low()}; }
    IpAddress to_address() const noexcept { return Ipv6Address::from_words(high, low); }
    std::uint64_t hash(std::uint8_t length, std::uint64_t seed) const noexcept
    {
        const auto h = fold(high ^ seed ^ length, 0x9e3779b97f4a7c15ULL);
        return fold(low ^ h, 0xd1b54a32d192ed03ULL);
    }
    static Key6 from_wire(const std::uint8_t* at, std::uint8_t length) noexcept
    {
        std::uint64_t words[2] = {};
        std::memcpy(words, at, (length + 7U) / 8U);
        const auto mask = [](int bits) {
            return bits <= 0 ? 0 : bits >= 64 ? ~std::uint64_t{0} : ~std::uint64_t{0} << (64 - bits);
        };
        return {byteswap(words[0]) & mask(length), byteswap(words[1]) & mask(length - 64)};
    }
    friend auto operator<=>(const Key6&, const Key6&) = default;
};

// A prefix that somebody has, or had and a neighbour still has to be told. Its best path is the first of its paths.
template <class K>
struct Destination {
    using Key = K;
    static constexpr std::uint8_t kFree = 0xff;  // as `length`

    std::uint32_t paths = 0;  // list of Path
    Key key{};
    std::uint32_t changed = 0;     // where in the change log it stands last (low 32 bits)
    std::uint16_t advertised = 0;  // in so many Adj-RIBs-Out
    std::uint8_t length = kFree;
    std::uint8_t reason : 4 = 0;
    std::uint8_t has_best : 1 = 0;
    std::uint8_t route_changed : 1 = 0;  // the route sink is to be told
    std::uint8_t installed : 1 = 0;      // the route sink has a route
    std::uint8_t pinned : 1 = 0;         // kept without paths: a default route that a neighbour is always sent

    IpPrefix prefix() const noexcept { return {key.to_address(), length}; }
};
static_assert(sizeof(Destination<Key4>) == 16);
static_assert(sizeof(Destination<Key6>) == 32);

template <class K>
class PrefixTable {
public:
    using Key = K;
    using Entry = Destination<K>;

    explicit PrefixTable(std::uint64_t seed) : seed_(seed) {}

    std::uint64_t hash(const Key& key, std::uint8_t length) const noexcept { return key.hash(length, seed_); }
    void prefetch(std::uint64_t hash) const noexcept { index_.prefetch(hash); }

    // For erase().
    void prefetch(std::uint32_t h) const noexcept { prefetch(hash(pool_[h].key, pool_[h].length)); }

    std::uint32_t find(const Key& key, std::uint8_t length, std::uint64_t hash) const
    {
        return index_.find(hash, [&](std::uint32_t h) { return pool_[h].key == key && pool_[h].length == length; });
    }
    std::uint32_t find(const Key& key, std::uint8_t length) const { return find(key, length, hash(key, length)); }

    // 0: full.
    std::uint32_t insert(const Key& key, std::uint8_t length, std::uint64_t hash)
    {
        const auto h = pool_.allocate();
        if (h == 0) return 0;
        pool_[h].key = key;
        pool_[h].length = length;
        index_.insert(hash, h);
        ++of_length_[length];
        return h;
    }
    void erase(std::uint32_t h)
    {
        Entry& e = pool_[h];
        index_.erase(hash(e.key, e.length), h);
        --of_length_[e.length];
        e.length = Entry::kFree;
        pool_.free(h);
    }

    Entry& operator[](std::uint32_t h) noexcept { return pool_[h]; }
    const Entry& operator[](std::uint32_t h) const noexcept { return pool_[h]; }
    std::size_t size() const noexcept { return pool_.used(); }
    const ItemPool& items() const noexcept { return pool_.items(); }
    std::uint32_t of_length(std::uint8_t length) const noexcept { return of_length_[length]; }
    std::size_t octets() const noexcept { return pool_.items().mapped_octets() + index_.octets(); }

private:
    std::uint64_t seed_;
    Pool<Entry> pool_{16};
    HandleIndex index_;
    std::array<std::uint32_t, 129> of_length_{};
};

}  // namespace culvert::rib
