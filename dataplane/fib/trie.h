#pragma once

#include "base/ids.h"
#include "base/ip.h"
#include "dataplane/fib/arena.h"
#include "dataplane/fib/rcu.h"

#include <array>
#include <atomic>
#include <cstdint>
#include <optional>
#include <span>

namespace culvert::fib {

// What a lookup finds: the group of a route, or the peer of an allowed-ip. Values are below 2^31; 0 is "nothing". A
// route's value says also whether its packets may leave in clear.
struct Leaf {
    static constexpr std::uint32_t kProtected = 1U << 30;

    std::uint32_t value = 0;

    bool found() const noexcept { return value != 0; }
    GroupId group() const noexcept { return GroupId{value & ~kProtected}; }
    bool protected_only() const noexcept { return (value & kProtected) != 0; }
    PeerId peer() const noexcept { return PeerId{value}; }
    friend bool operator==(Leaf, Leaf) = default;
};
inline constexpr std::uint32_t kMaxLeaf = 0x7fffffff;

enum class Edit : std::uint8_t { Added, Replaced, Unchanged, Full };

// The most significant bit of the address is bit 0.
struct Key4 {
    std::uint32_t value;
    static constexpr unsigned kBits = 32;

    // The six bits from `at` on; zeros beyond the end.
    unsigned slot(unsigned at) const noexcept { return (value << at) >> 26; }
    // The same for `at` <= kEarly, in fewer instructions.
    static constexpr unsigned kEarly = 31;
    unsigned early_slot(unsigned at) const noexcept { return slot(at); }
    // The first `n` <= 18 bits.
    std::uint32_t head(unsigned n) const noexcept
    {
        return static_cast<std::uint32_t>(std::uint64_t{value} >> (32 - n));
    }
};
struct Key6 {
    std::uint64_t high;
    std::uint64_t low;
    static constexpr unsigned kBits = 128;

    unsigned slot(unsigned at) const noexcept
    {
        if (at <= 58) return static_cast<unsigned>((high << at) >> 58);
        if (at < 64) return static_cast<unsigned>(((high << at) | (low >> (64 - at))) >> 58);
        return static_cast<unsigned>((low << (at - 64)) >> 58);
    }
    static constexpr unsigned kEarly = 58;
    unsigned early_slot(unsigned at) const noexcept { return static_cast<unsigned>((high << at) >> 58); }
    std::uint32_t head(unsigned n) const noexcept { return n == 0 ? 0 : static_cast<std::uint32_t>(high >> (64 - n)); }
};

// The memory that all tries of one family share.
struct TriePool {
    TriePool(const char* blocks_name, const char* rib_name, Reclaimer& reclaimer);
    // No reader may be online any more: what still waits for them may lie in these arenas.
    ~TriePool() { reclaimer.drain(); }

    Arena blocks;  // what workers read
    Arena rib;     // the writer's own copy: every prefix with its value
    Reclaimer& reclaimer;
};

// A longest-prefix-match table: a poptrie-like trie of 6-bit strides (boundaries at /6, /12, /18, /24, /30, ...) whose
// first 0, 6, 12 or 18 bits are one direct root array, as the number of prefixes asks for.
//
// Readers see 32-bit references. Bit 31 clear: the leaf itself. Bit 31 set: a block of the arena; bits 28-29 give the
// width of its entries (1, 2 or 4 octets), bits 0-27 its place. A block is a 64-bit map (bit s: slot s differs from
// slot s-1) and one entry for each run of equal slots. Narrow entries are leaves, 4-octet ones are references. A
// block's leaves never change once published: the writer builds the new one, stores the reference (release), and
// retires the old one. Only a reference to a block may be replaced in place. So a lookup sees each prefix's change
// whole, and a lookup that runs beside an edit gives the answer of before or of after.
//
// The writer keeps the prefixes in a tree bitmap of the same strides (`rib`), from which blocks are built.
// One thread writes; any number read, each inside its RCU section.
template <class Key>
class Trie {
public:
    explicit Trie(TriePool& pool);
    // No reader may hold the trie: it was taken out before and its grace period is over.
    ~Trie();
    Trie(const Trie&) = delete;
    Trie& operator=(const Trie&) = delete;

    // ---- readers
    Leaf lookup(const Key& key) const noexcept;
    // out[i] is the leaf of keys[i]; the lookups are interleaved. Any length; bursts of 32 and more run best.
    void lookup(std::span<const Key> keys, std::span<Leaf> out) const noexcept;

    // ---- the writer
    // `length` <= Key::kBits, bits beyond it are ignored; 0 < value <= kMaxLeaf. Edit::Full: no room, nothing
    // was changed.
    Edit set(const Key& key, unsigned length, std::uint32_t value);
    bool erase(const Key& key, unsigned length);
    // Asks the cache for what set() and erase() of these prefixes will read; at most kBatch. One after the other they
    // would wait for memory a dozen times each.
    static constexpr std::size_t kBatch = 16;
    void prefetch_edits(std::span<const Key> keys) const noexcept;
    // The value of exactly this prefix, or 0.
    std::uint32_t exact(const Key& key, unsigned length) const;
    struct Match {
        unsigned length;
        std::uint32_t value;
    };
    std::optional<Match> longest(const Key& key) const;
    std::size_t size() const noexcept { return size_; }
    unsigned root_bits() const noexcept { return root_bits_; }

private:
    using Ref = std::uint32_t;
    static constexpr unsigned kStride = 6;
    static constexpr unsigned kSlots = 64;
    static constexpr unsigned kMaxLevels = Key::kBits / kStride + 1;

    // A node of the writer's copy, one for each stride that holds a prefix or leads to one.
    struct Node {
        // Prefixes that end in this stride, numbered like a heap: 1 bit long are 2 and 3, 6 bits long are 64..127.
        std::uint64_t prefixes[2];
        std::uint64_t children;   // slots that have a child
        Arena::Handle values;     // a u32 for each prefix, in number order
        Arena::Handle nodes;      // a handle for each child, in slot order
        std::uint32_t inherited;  // leaf of the longest prefix that ends above this stride
        Ref ref;                  // what readers are given for this subtree, when it lies below the root array
    };
    struct Slots;
    struct Path;

    Node& node(Arena::Handle h) noexcept { return *reinterpret_cast<Node*>(pool_.rib.at(h)); }
    const Node& node(Arena::Handle h) const noexcept { return *reinterpret_cast<const Node*>(pool_.rib.at(h)); }
    std::uint32_t* words(Arena::Handle h) noexcept { return reinterpret_cast<std::uint32_t*>(pool_.rib.at(h)); }
    const std::uint32_t* words(Arena::Handle h) const noexcept
    {
        return reinterpret_cast<const std::uint32_t*>(pool_.rib.at(h));
    }

    Arena::Handle make_node();
    void free_node(Arena::Handle h);
    void free_subtree(Arena::Handle h, unsigned level);
    Arena::Handle child(const Node& n, unsigned slot) const noexcept;
    void add_child(Node& n, unsigned slot, Arena::Handle h);
    void remove_child(Node& n, unsigned slot);
    void insert_word(Arena::Handle& array, unsigned count, unsigned at, std::uint32_t word);
    void remove_word(Arena::Handle& array, unsigned count, unsigned at);
    static bool holds(const Node& n, unsigned number) noexcept { return n.prefixes[number / 64] >> (number % 64) & 1; }
    static unsigned rank(const Node& n, unsigned number) noexcept;
    static std::optional<unsigned> best(const Node& n, unsigned slot) noexcept;
    std::optional<Arena::Handle> find(const Key& key, unsigned length) const;

    void publish(Path& path, const Key& key, unsigned from, unsigned to);
    void paint(const Node& n, std::uint32_t inherited, Slots& slots) const noexcept;
    void compile(Arena::Handle h, std::uint32_t inherited);
    Ref build(const Slots& slots);
    std::size_t block_octets(Ref ref) const noexcept;
    void retire_ref(Ref ref);
    void patch(Ref parent, unsigned slot, Ref ref) noexcept;
    void set_root_slot(std::size_t at, Ref ref) noexcept;
    void paint_root(Arena::Handle h, unsigned level, std::uint32_t inherited, std::size_t first, unsigned from,
                    unsigned to, bool all);
    void drop_blocks(Arena::Handle h, unsigned level, unsigned from, unsigned to);
    void resize_root();

    TriePool& pool_;
    const std::uint8_t* base_;
    std::atomic<std::uint64_t> root_{0};  // root bits << 32 | handle of the array
    Arena::Handle root_array_ = 0;
    unsigned root_bits_ = 0;
    Arena::Handle top_ = 0;
    std::uint32_t default_ = 0;  // the value of the prefix of length 0
    std::size_t size_ = 0;
};

extern template class Trie<Key4>;
extern template class Trie<Key6>;

}  // namespace culvert::fib
