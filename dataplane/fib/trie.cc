#include "dataplane/fib/trie.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

namespace culvert::fib {
namespace {

constexpr std::uint32_t kBlock = 1u << 31;
constexpr std::uint32_t kPlace = (1u << 28) - 1;
constexpr unsigned kWidthShift = 28;
constexpr std::size_t kMapOctets = 8;
constexpr std::uint32_t kNeverCompiled = ~0u;  // as an inherited leaf: no leaf is that large

// 28 bits of 8-octet units: all that a reference can name.
constexpr std::size_t kBlocksReserve = (std::size_t{kPlace} + 1) * Arena::kUnit;
constexpr std::size_t kRibReserve = std::size_t{8} << 30;

bool is_block(std::uint32_t ref) noexcept { return (ref & kBlock) != 0; }
unsigned width_shift(std::uint32_t ref) noexcept { return (ref >> kWidthShift) & 3; }

const std::uint8_t* place(const std::uint8_t* base, std::uint32_t ref) noexcept
{
    return base + (std::size_t{ref & kPlace} * Arena::kUnit);
}

std::uint64_t map_of(const std::uint8_t* block) noexcept
{
    std::uint64_t map;
    std::memcpy(&map, block, sizeof map);
    return map;
}

// The entry of `slot`. `ref` is a block's, or 0 for the dummy block at the arena's start.
[[gnu::always_inline]] inline std::uint32_t entry(const std::uint8_t* base, std::uint32_t ref, unsigned slot) noexcept
{
    const auto* block = place(base, ref);
    const auto n = static_cast<unsigned>(std::popcount(map_of(block) & (~std::uint64_t{0} >> (63 - slot))));
    const auto shift = width_shift(ref);
    const auto at = n << shift;
    // The whole word around a narrow entry, which lies in the block; a reference may be replaced meanwhile.
    const auto* word = reinterpret_cast<const std::uint32_t*>(block + kMapOctets + (at & ~3u));
    return (__atomic_load_n(word, __ATOMIC_ACQUIRE) >> (8 * (at & 3))) & (~0u >> (32 - (8u << shift)));
}

// As entry(), and a leaf stays what it is. Without a branch: which keys are done first is not predictable.
[[gnu::always_inline]] inline std::uint32_t step(const std::uint8_t* base, std::uint32_t ref, unsigned slot) noexcept
{
    const auto block_only = ref & static_cast<std::uint32_t>(static_cast<std::int32_t>(ref) >> 31);
    const auto next = entry(base, block_only, slot);
    return is_block(ref) ? next : ref;
}

void prefetch(const std::uint8_t* base, std::uint32_t ref) noexcept { __builtin_prefetch(place(base, ref)); }

std::uint32_t load_slot(const std::uint32_t* slots, std::size_t at) noexcept
{
    return __atomic_load_n(slots + at, __ATOMIC_ACQUIRE);
}

// How many bits of root array a number of prefixes is worth: the array costs at most 16 octets a prefix, but that a
// table of few prefixes has 256.
struct RootSize {
    unsigned bits;
    std::size_t from;  // prefixes
};
constexpr RootSize kRootSizes[] = {{0, 0}, {6, 1}, {12, 1024}, {18, 65536}};

// Tables with a smaller root are small: they are in the nearest cache, and most of their prefixes end before kStraight.
constexpr unsigned kLargeRoot = 12;
constexpr unsigned kStraight = 24;

unsigned wanted_bits(unsigned now, std::size_t prefixes) noexcept
{
    unsigned bits = 0;
    for (const auto& s : kRootSizes) {
        // Shrinks only well below the mark where it grew.
        const auto from = s.bits <= now ? (s.from + 3) / 4 : s.from;
        if (prefixes >= from) bits = s.bits;
    }
    return bits;
}

constexpr unsigned kStrideBits = 6;

unsigned number_of(unsigned slot, unsigned bits) noexcept { return (1u << bits) | (slot >> (kStrideBits - bits)); }

}  // namespace

TriePool::TriePool(const char* blocks_name, const char* rib_name, Reclaimer& reclaimer)
    : blocks(blocks_name, kBlocksReserve), rib(rib_name, kRibReserve), reclaimer(reclaimer)
{}

// What the 64 slots of a stride show: leaves, and references of children.
template <class Key>
struct Trie<Key>::Slots {
    alignas(64) std::array<Ref, kSlots> ref;
};

// Bit s: slot s differs from slot s-1.
template <std::size_t N>
std::uint64_t differences(const std::array<std::uint32_t, N>& slot) noexcept
{
    // Eight flags of one octet at a time are gathered by a multiplication that moves each to a bit of the top octet.
    alignas(32) std::array<std::uint8_t, N> flag;
    flag[0] = 0;
    for (std::size_t i = 1; i < N; ++i) flag[i] = slot[i] != slot[i - 1];
    std::uint64_t map = 0;
    for (std::size_t i = 0; i < N; i += 8) {
        std::uint64_t eight;
        std::memcpy(&eight, flag.data() + i, 8);
        map |= (eight * 0x0102040810204080ULL >> 56) << i;
    }
    return map;
}

// From the top down to the node that an edit is about.
template <class Key>
struct Trie<Key>::Path {
    std::array<Arena::Handle, kMaxLevels + 1> node;
    std::array<std::uint8_t, kMaxLevels + 1> slot;  // of the child that the path takes
    std::array<std::uint32_t, kMaxLevels + 1> inherited;
    unsigned depth = 0;               // of the last node
    unsigned fresh = kMaxLevels + 1;  // nodes from this depth on are new
};

template <class Key>
Trie<Key>::Trie(TriePool& pool) : pool_(pool), base_(pool.blocks.base()), top_(make_node())
{
    root_array_ = pool_.blocks.allocate(sizeof(Ref));
    set_root_slot(0, 0);
    node(top_).inherited = 0;
    root_.store(root_array_, std::memory_order_release);
}

template <class Key>
Trie<Key>::~Trie()
{
    free_subtree(top_, 0);
    pool_.blocks.free(root_array_, sizeof(Ref) << root_bits_);
}

// ---- readers -------------------------------------------------------------------------------------------------------

template <class Key>
Leaf Trie<Key>::lookup(const Key& key) const noexcept
{
    const auto root = root_.load(std::memory_order_acquire);
    const auto bits = static_cast<unsigned>(root >> 32);
    const auto* slots = reinterpret_cast<const std::uint32_t*>(base_ + (root & 0xffffffff) * Arena::kUnit);
    auto ref = load_slot(slots, key.head(bits));
    for (unsigned at = bits; is_block(ref); at += kStride) ref = entry(base_, ref, key.slot(at));
    return {ref};
}

template <class Key>
void Trie<Key>::lookup(std::span<const Key> keys, std::span<Leaf> out) const noexcept
{
    constexpr std::size_t kChunk = 64;
    const auto root = root_.load(std::memory_order_acquire);
    const auto bits = static_cast<unsigned>(root >> 32);
    const auto* const base = base_;
    const auto* const slots = reinterpret_cast<const std::uint32_t*>(base + (root & 0xffffffff) * Arena::kUnit);
    const auto straight = bits < kLargeRoot ? kStraight : bits + kStride;

    for (std::size_t first = 0; first < keys.size(); first += kChunk) {
        const auto n = std::min(kChunk, keys.size() - first);
        const auto* const key = keys.data() + first;
        auto* const leaf = out.data() + first;
        std::array<Ref, kChunk> ref;

        Ref any = 0;
        for (std::size_t i = 0; i < n; ++i) {
            ref[i] = load_slot(slots, key[i].head(bits));
            prefetch(base, ref[i]);
            any |= ref[i];
        }
        // One stride of all keys after the other: while one block is waited for, the others are on their way. Almost
        // all keys need the first stride, of a small table the first few; then those that have found their leaf drop
        // out, without a branch.
        auto at = bits;
        for (; is_block(any) && at < straight; at += kStride) {
            any = 0;
            for (std::size_t i = 0; i < n; ++i) {
                ref[i] = step(base, ref[i], key[i].early_slot(at));
                any |= ref[i];
            }
        }
        std::array<std::uint8_t, kChunk> going;
        std::size_t left = 0;
        if (is_block(any)) {
            for (std::size_t i = 0; i < n; ++i) {
                prefetch(base, ref[i]);
                going[left] = static_cast<std::uint8_t>(i);
                left += is_block(ref[i]);
            }
        }
        const auto advance = [&](std::size_t count, auto slot_of) {
            std::size_t still = 0;
            for (std::size_t j = 0; j < count; ++j) {
                const auto i = going[j];
                const auto next = entry(base, ref[i], slot_of(key[i]));
                prefetch(base, next);
                ref[i] = next;
                going[still] = i;
                still += is_block(next);
            }
            return still;
        };
        for (; left > 0; at += kStride) {
            left = at <= Key::kEarly ? advance(left, [at](const Key& k) { return k.early_slot(at); })
                                     : advance(left, [at](const Key& k) { return k.slot(at); });
        }
        for (std::size_t i = 0; i < n; ++i) leaf[i].value = ref[i];
    }
}

// ---- the writer's copy ---------------------------------------------------------------------------------------------

template <class Key>
Arena::Handle Trie<Key>::make_node()
{
    const auto h = pool_.rib.allocate(sizeof(Node));
    node(h) = Node{{0, 0}, 0, 0, 0, kNeverCompiled, 0};
    return h;
}

template <class Key>
void Trie<Key>::free_node(Arena::Handle h)
{
    auto& n = node(h);
    const auto values = static_cast<std::size_t>(std::popcount(n.prefixes[0]) + std::popcount(n.prefixes[1]));
    const auto nodes = static_cast<std::size_t>(std::popcount(n.children));
    if (values > 0) pool_.rib.free(n.values, values * sizeof(std::uint32_t));
    if (nodes > 0) pool_.rib.free(n.nodes, nodes * sizeof(Arena::Handle));
    pool_.rib.free(h, sizeof(Node));
}

// At the end of the trie: its blocks are freed at once.
template <class Key>
void Trie<Key>::free_subtree(Arena::Handle h, unsigned level)
{
    auto& n = node(h);
    const auto count = static_cast<unsigned>(std::popcount(n.children));
    for (unsigned i = 0; i < count; ++i) free_subtree(words(n.nodes)[i], level + kStride);
    if (level >= root_bits_ && is_block(n.ref)) pool_.blocks.free(n.ref & kPlace, block_octets(n.ref));
    free_node(h);
}

template <class Key>
Arena::Handle Trie<Key>::child(const Node& n, unsigned slot) const noexcept
{
    const auto bit = std::uint64_t{1} << slot;
    if (!(n.children & bit)) return 0;
    return words(n.nodes)[std::popcount(n.children & (bit - 1))];
}

// Inserts `word` at `at` into an array of `count` words, which lies in whole units.
template <class Key>
void Trie<Key>::insert_word(Arena::Handle& array, unsigned count, unsigned at, std::uint32_t word)
{
    constexpr auto kSize = sizeof(std::uint32_t);
    if (count % 2 == 1) {  // the last unit has room for one more
        auto* w = words(array);
        std::memmove(w + at + 1, w + at, (count - at) * kSize);
        w[at] = word;
        // The arena counts by units, so its sum stays right.
        return;
    }
    const auto grown = pool_.rib.allocate((count + 1) * kSize);
    auto* to = words(grown);
    if (count > 0) {
        const auto* from = words(array);
        std::memcpy(to, from, at * kSize);
        std::memcpy(to + at + 1, from + at, (count - at) * kSize);
        pool_.rib.free(array, count * kSize);
    }
    to[at] = word;
    array = grown;
}

template <class Key>
void Trie<Key>::remove_word(Arena::Handle& array, unsigned count, unsigned at)
{
    constexpr auto kSize = sizeof(std::uint32_t);
    auto* w = words(array);
    if (count % 2 == 0) {
        std::memmove(w + at, w + at + 1, (count - at - 1) * kSize);
        return;
    }
    Arena::Handle shrunk = 0;
    if (count > 1) {
        shrunk = pool_.rib.allocate((count - 1) * kSize);
        auto* to = words(shrunk);
        std::memcpy(to, w, at * kSize);
        std::memcpy(to + at, w + at + 1, (count - at - 1) * kSize);
    }
    pool_.rib.free(array, count * kSize);
    array = shrunk;
}

template <class Key>
void Trie<Key>::add_child(Node& n, unsigned slot, Arena::Handle h)
{
    const auto bit = std::uint64_t{1} << slot;
    const auto count = static_cast<unsigned>(std::popcount(n.children));
    insert_word(n.nodes, count, static_cast<unsigned>(std::popcount(n.children & (bit - 1))), h);
    n.children |= bit;
}

template <class Key>
void Trie<Key>::remove_child(Node& n, unsigned slot)
{
    const auto bit = std::uint64_t{1} << slot;
    const auto count = static_cast<unsigned>(std::popcount(n.children));
    remove_word(n.nodes, count, static_cast<unsigned>(std::popcount(n.children & (bit - 1))));
    n.children &= ~bit;
}

template <class Key>
unsigned Trie<Key>::rank(const Node& n, unsigned number) noexcept
{
    const auto below = (std::uint64_t{1} << (number % 64)) - 1;
    const auto high = number / 64;
    return static_cast<unsigned>(std::popcount(n.prefixes[high] & below) + (high ? std::popcount(n.prefixes[0]) : 0));
}

// The longest prefix of this stride that holds the slot, by number.
template <class Key>
std::optional<unsigned> Trie<Key>::best(const Node& n, unsigned slot) noexcept
{
    for (auto number = number_of(slot, kStride); number > 1; number >>= 1)
        if (holds(n, number)) return number;
    return std::nullopt;
}

// Where the walk towards a prefix of `length` bits ends: the depth of the stride that it ends in.
template <class Key>
std::optional<Arena::Handle> Trie<Key>::find(const Key& key, unsigned length) const
{
    auto h = top_;
    for (unsigned level = 0; length > level + kStride; level += kStride) {
        h = child(node(h), key.slot(level));
        if (h == 0) return std::nullopt;
    }
    return h;
}

template <class Key>
std::uint32_t Trie<Key>::exact(const Key& key, unsigned length) const
{
    if (length == 0) return default_;
    const auto h = find(key, length);
    if (!h) return 0;
    const auto level = (length - 1) / kStride * kStride;
    const auto number = number_of(key.slot(level), length - level);
    const auto& n = node(*h);
    return holds(n, number) ? words(n.values)[rank(n, number)] : 0;
}

template <class Key>
auto Trie<Key>::longest(const Key& key) const -> std::optional<Match>
{
    std::optional<Match> found;
    if (default_ != 0) found = {0, default_};
    unsigned level = 0;
    for (auto h = top_; h != 0; level += kStride) {
        const auto& n = node(h);
        if (const auto number = best(n, key.slot(level)))
            found = {level + static_cast<unsigned>(std::bit_width(*number)) - 1, words(n.values)[rank(n, *number)]};
        h = child(n, key.slot(level));
    }
    return found;
}

template <class Key>
void Trie<Key>::prefetch_edits(std::span<const Key> keys) const noexcept
{
    std::array<Arena::Handle, kBatch> at;
    std::array<const Arena::Handle*, kBatch> child;
    std::array<std::uint8_t, kBatch> who;
    for (std::uint8_t i = 0; i < kBatch; ++i) who[i] = i;
    at.fill(top_);
    auto going = std::min(keys.size(), kBatch);
    // All go down together: what is asked for in one pass has come by the next.
    for (unsigned level = 0; going > 0; level += kStride) {
        std::size_t still = 0;
        for (std::size_t j = 0; j < going; ++j) {
            const auto i = who[j];
            const Node& n = node(at[i]);
            const auto bit = std::uint64_t{1} << keys[i].slot(level);
            __builtin_prefetch(words(n.values));
            if (is_block(n.ref)) prefetch(base_, n.ref);
            if (!(n.children & bit)) continue;
            child[i] = words(n.nodes) + std::popcount(n.children & (bit - 1));
            __builtin_prefetch(child[i]);
            who[still++] = i;
        }
        going = still;
        for (std::size_t j = 0; j < going; ++j) {
            const auto i = who[j];
            at[i] = *child[i];
            __builtin_prefetch(&node(at[i]));
        }
    }
}

// ---- edits ---------------------------------------------------------------------------------------------------------

template <class Key>
auto Trie<Key>::set(const Key& key, unsigned length, std::uint32_t value) -> Edit
{
    if (length == 0) {
        const auto old = std::exchange(default_, value);
        if (old == value) return Edit::Unchanged;
        Path path;
        path.node[0] = top_;
        publish(path, key, 0, kSlots);
        if (old != 0) return Edit::Replaced;
        ++size_;
        resize_root();
        return Edit::Added;
    }

    const bool room = pool_.blocks.room() && pool_.rib.room();
    if (!room && exact(key, length) == 0) return Edit::Full;

    Path path;
    unsigned level = 0;
    path.node[0] = top_;
    for (; length > level + kStride; level += kStride) {
        const auto slot = key.slot(level);
        auto next = child(node(path.node[path.depth]), slot);
        if (next == 0) {
            next = make_node();
            add_child(node(path.node[path.depth]), slot, next);
            path.fresh = std::min(path.fresh, path.depth + 1);
        }
        path.node[++path.depth] = next;
    }

    auto& n = node(path.node[path.depth]);
    const auto bits = length - level;
    const auto number = number_of(key.slot(level), bits);
    const auto at = rank(n, number);
    const bool there = holds(n, number);
    if (there) {
        if (std::exchange(words(n.values)[at], value) == value) return Edit::Unchanged;
    } else {
        const auto count = static_cast<unsigned>(std::popcount(n.prefixes[0]) + std::popcount(n.prefixes[1]));
        insert_word(n.values, count, at, value);
        n.prefixes[number / 64] |= std::uint64_t{1} << (number % 64);
        ++size_;
    }
    const auto from = (number << (kStride - bits)) & (kSlots - 1);
    publish(path, key, from, from + (kSlots >> bits));
    if (there) return Edit::Replaced;
    resize_root();
    return Edit::Added;
}

template <class Key>
bool Trie<Key>::erase(const Key& key, unsigned length)
{
    Path path;
    path.node[0] = top_;
    if (length == 0) {
        if (std::exchange(default_, 0) == 0) return false;
        --size_;
        publish(path, key, 0, kSlots);
        resize_root();
        return true;
    }

    unsigned level = 0;
    for (; length > level + kStride; level += kStride) {
        const auto next = child(node(path.node[path.depth]), key.slot(level));
        if (next == 0) return false;
        path.node[++path.depth] = next;
    }
    auto& n = node(path.node[path.depth]);
    const auto bits = length - level;
    const auto number = number_of(key.slot(level), bits);
    if (!holds(n, number)) return false;
    const auto count = static_cast<unsigned>(std::popcount(n.prefixes[0]) + std::popcount(n.prefixes[1]));
    remove_word(n.values, count, rank(n, number));
    n.prefixes[number / 64] &= ~(std::uint64_t{1} << (number % 64));
    --size_;

    auto from = (number << (kStride - bits)) & (kSlots - 1);
    auto to = from + (kSlots >> bits);
    while (path.depth > 0) {
        auto& last = node(path.node[path.depth]);
        if (last.prefixes[0] || last.prefixes[1] || last.children) break;
        if (path.depth * kStride >= root_bits_) retire_ref(last.ref);
        free_node(path.node[path.depth]);
        --path.depth;
        from = key.slot(path.depth * kStride);
        to = from + 1;
        remove_child(node(path.node[path.depth]), from);
    }
    publish(path, key, from, to);
    resize_root();
    return true;
}

// Gives readers the state of the path's last node, whose slots [from, to) may have changed.
template <class Key>
void Trie<Key>::publish(Path& path, const Key& key, unsigned from, unsigned to)
{
    path.inherited[0] = default_;
    for (unsigned d = 0; d < path.depth; ++d) {
        const auto& n = node(path.node[d]);
        const auto number = best(n, key.slot(d * kStride));
        path.inherited[d + 1] = number ? words(n.values)[rank(n, *number)] : path.inherited[d];
    }

    const auto root_depth = root_bits_ / kStride;
    auto d = path.depth;
    for (auto k = path.fresh; k <= d && k < root_depth; ++k) node(path.node[k]).inherited = path.inherited[k];
    if (d < root_depth) {
        const auto head = d == 0 ? 0 : std::size_t{key.head(d * kStride)};
        paint_root(path.node[d], d * kStride, path.inherited[d], head << (root_bits_ - d * kStride), from, to, false);
        return;
    }

    auto old = node(path.node[d]).ref;
    compile(path.node[d], path.inherited[d]);
    for (; d > root_depth; --d) {
        const auto now = node(path.node[d]).ref;
        const auto parent = path.node[d - 1];
        if (d < path.fresh) {
            if (now == old) return;
            if (is_block(now) && is_block(old)) {
                patch(node(parent).ref, key.slot((d - 1) * kStride), now);
                return;
            }
        }
        old = node(parent).ref;
        compile(parent, path.inherited[d - 1]);
    }
    set_root_slot(key.head(root_bits_), node(path.node[root_depth]).ref);
}

// Leaves of the 64 slots. Numbers grow with the length, so longer prefixes paint over shorter ones.
template <class Key>
void Trie<Key>::paint(const Node& n, std::uint32_t inherited, Slots& slots) const noexcept
{
    slots.ref.fill(inherited);
    const auto* value = words(n.values);
    for (unsigned half = 0; half < 2; ++half) {
        for (auto left = n.prefixes[half]; left != 0; left &= left - 1) {
            const auto number = half * 64 + static_cast<unsigned>(std::countr_zero(left));
            const auto spare = kStride - (static_cast<unsigned>(std::bit_width(number)) - 1);
            const auto first = (number << spare) & (kSlots - 1);
            std::fill_n(slots.ref.data() + first, std::size_t{1} << spare, *value++);
        }
    }
}

// Builds the block of a node anew, and before it those of the children that inherit something else now.
template <class Key>
void Trie<Key>::compile(Arena::Handle h, std::uint32_t inherited)
{
    auto& n = node(h);
    Slots slots;
    paint(n, inherited, slots);
    const auto* kid = words(n.nodes);
    for (auto left = n.children; left != 0; left &= left - 1, ++kid) {
        const auto slot = static_cast<std::size_t>(std::countr_zero(left));
        if (node(*kid).inherited != slots.ref[slot]) compile(*kid, slots.ref[slot]);
        slots.ref[slot] = node(*kid).ref;
    }
    n.inherited = inherited;
    const auto old = std::exchange(n.ref, build(slots));
    retire_ref(old);
}

template <class Key>
auto Trie<Key>::build(const Slots& slots) -> Ref
{
    const auto& v = slots.ref;
    const auto map = differences(v);
    if (map == 0) return v[0];
    Ref every = 0;
    for (const auto r : v) every |= r;

    const unsigned shift = every < 0x100 ? 0 : every < 0x10000 ? 1 : 2;
    const auto count = static_cast<std::size_t>(std::popcount(map)) + 1;
    const auto h = pool_.blocks.allocate(kMapOctets + (count << shift));
    auto* const block = pool_.blocks.at(h);
    std::memcpy(block, &map, kMapOctets);

    auto* out = block + kMapOctets;
    const auto put = [&](Ref r) {
        std::memcpy(out, &r, std::size_t{1} << shift);  // little endian: the low octets
        out += std::size_t{1} << shift;
    };
    put(v[0]);
    for (auto left = map; left != 0; left &= left - 1) put(v[static_cast<std::size_t>(std::countr_zero(left))]);
    return kBlock | shift << kWidthShift | h;
}

template <class Key>
std::size_t Trie<Key>::block_octets(Ref ref) const noexcept
{
    const auto count = static_cast<std::size_t>(std::popcount(map_of(place(base_, ref)))) + 1;
    return kMapOctets + (count << width_shift(ref));
}

template <class Key>
void Trie<Key>::retire_ref(Ref ref)
{
    if (!is_block(ref)) return;
    const auto octets = block_octets(ref);
    pool_.reclaimer.retire(
        [](void* arena, std::uint64_t what) noexcept {
            static_cast<Arena*>(arena)->free(static_cast<Arena::Handle>(what), what >> 32);
        },
        &pool_.blocks, std::uint64_t{octets} << 32 | (ref & kPlace), octets);
}

// Replaces the reference of a child's block by that of its new one: it has an entry of its own.
template <class Key>
void Trie<Key>::patch(Ref parent, unsigned slot, Ref ref) noexcept
{
    auto* const block = pool_.blocks.at(parent & kPlace);
    const auto n = std::popcount(map_of(block) & (~std::uint64_t{0} >> (63 - slot)));
    auto* const entry = reinterpret_cast<std::uint32_t*>(block + kMapOctets) + n;
    __atomic_store_n(entry, ref, __ATOMIC_RELEASE);
}

// ---- the root array ------------------------------------------------------------------------------------------------

template <class Key>
void Trie<Key>::set_root_slot(std::size_t at, Ref ref) noexcept
{
    auto* const slot = reinterpret_cast<std::uint32_t*>(pool_.blocks.at(root_array_)) + at;
    if (__atomic_load_n(slot, __ATOMIC_RELAXED) != ref) __atomic_store_n(slot, ref, __ATOMIC_RELEASE);
}

// Writes the slots [from, to) of a node above the blocks into the root array, where the node's first slot is `first`.
// What lies below and inherits the same as before is left alone, unless `all`.
template <class Key>
void Trie<Key>::paint_root(Arena::Handle h, unsigned level, std::uint32_t inherited, std::size_t first, unsigned from,
                           unsigned to, bool all)
{
    auto& n = node(h);
    n.inherited = inherited;
    Slots slots;
    paint(n, inherited, slots);
    const auto below = level + kStride;
    const auto each = std::size_t{1} << (root_bits_ - below);
    for (auto slot = from; slot < to; ++slot) {
        const auto leaf = slots.ref[slot];
        const auto at = first + slot * each;
        const auto kid = child(n, slot);
        if (kid == 0) {
            for (std::size_t i = 0; i < each; ++i) set_root_slot(at + i, leaf);
        } else if (below == root_bits_) {
            if (node(kid).inherited != leaf) compile(kid, leaf);
            set_root_slot(at, node(kid).ref);
        } else if (all || node(kid).inherited != leaf) {
            paint_root(kid, below, leaf, at, 0, kSlots, all);
        }
    }
}

// Nodes at levels [from, to) no longer have blocks of their own, or do not have them yet.
template <class Key>
void Trie<Key>::drop_blocks(Arena::Handle h, unsigned level, unsigned from, unsigned to)
{
    auto& n = node(h);
    if (level >= from) {
        retire_ref(n.ref);
        n.ref = 0;
        n.inherited = kNeverCompiled;
    }
    if (level + kStride >= to) return;
    const auto count = static_cast<unsigned>(std::popcount(n.children));
    for (unsigned i = 0; i < count; ++i) drop_blocks(words(n.nodes)[i], level + kStride, from, to);
}

template <class Key>
void Trie<Key>::resize_root()
{
    const auto bits = wanted_bits(root_bits_, size_);
    if (bits == root_bits_) return;

    const auto old_array = root_array_;
    const auto old_octets = sizeof(Ref) << root_bits_;
    drop_blocks(top_, 0, std::min(bits, root_bits_), std::max(bits, root_bits_));
    root_bits_ = bits;
    root_array_ = pool_.blocks.allocate(sizeof(Ref) << bits);
    std::memset(pool_.blocks.at(root_array_), 0, sizeof(Ref) << bits);
    if (bits == 0) {
        compile(top_, default_);
        set_root_slot(0, node(top_).ref);
    } else {
        paint_root(top_, 0, default_, 0, 0, kSlots, true);
    }
    root_.store(std::uint64_t{bits} << 32 | root_array_, std::memory_order_release);
    pool_.reclaimer.retire(
        [](void* arena, std::uint64_t what) noexcept {
            static_cast<Arena*>(arena)->free(static_cast<Arena::Handle>(what), what >> 32);
        },
        &pool_.blocks, std::uint64_t{old_octets} << 32 | old_array, old_octets);
}

template class Trie<Key4>;
template class Trie<Key6>;

}  // namespace culvert::fib
