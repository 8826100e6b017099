#include "dataplane/fib/trie.h"

#include "dataplane/fib/lpm4.h"
#include "dataplane/fib/lpm6.h"
#include "tests/unit/fib/random.h"
#include "tests/unit/fib/sanitizers.h"

#include <gtest/gtest.h>

#include <map>
#include <set>
#include <vector>

namespace culvert::fib {
namespace {

using Address = unsigned __int128;  // left-aligned for both families

Address wide(Key4 k) { return Address{k.value} << 96; }
Address wide(Key6 k) { return Address{k.high} << 64 | k.low; }
template <class Key>
Key narrow(Address a)
{
    if constexpr (Key::kBits == 32)
        return Key4{static_cast<std::uint32_t>(a >> 96)};
    else
        return Key6{static_cast<std::uint64_t>(a >> 64), static_cast<std::uint64_t>(a)};
}
Address mask(unsigned length) { return length == 0 ? 0 : ~Address{0} << (128 - length); }

// The obvious way: a map for each length, asked from the longest on.
class Reference {
public:
    void set(Address a, unsigned length, std::uint32_t v) { of_[length][a & mask(length)] = v; }
    bool erase(Address a, unsigned length) { return of_[length].erase(a & mask(length)) > 0; }
    std::uint32_t lookup(Address a) const
    {
        for (unsigned length = 129; length-- > 0;) {
            if (of_[length].empty()) continue;
            const auto at = of_[length].find(a & mask(length));
            if (at != of_[length].end()) return at->second;
        }
        return 0;
    }
    std::size_t size() const
    {
        std::size_t n = 0;
        for (const auto& m : of_) n += m.size();
        return n;
    }

private:
    std::map<Address, std::uint32_t> of_[129];
};

template <class Key>
class TrieTest : public ::testing::Test {
protected:
    Rcu rcu;
    Reclaimer reclaimer{rcu};
    TriePool pool{"blocks", "rib", reclaimer};

    void settle()
    {
        reclaimer.seal();
        reclaimer.collect();
    }
};
using Keys = ::testing::Types<Key4, Key6>;
TYPED_TEST_SUITE(TrieTest, Keys);

TYPED_TEST(TrieTest, AnEmptyTrieFindsNothing)
{
    Trie<TypeParam> trie(this->pool);
    EXPECT_FALSE(trie.lookup(TypeParam{}).found());
    EXPECT_FALSE(trie.longest(TypeParam{}));
    EXPECT_FALSE(trie.erase(TypeParam{}, 0));
    EXPECT_FALSE(trie.erase(TypeParam{}, 24));
    EXPECT_EQ(trie.size(), 0u);
}

TYPED_TEST(TrieTest, EveryLengthIsFoundAndUncoveredAgain)
{
    Trie<TypeParam> trie(this->pool);
    const auto key = narrow<TypeParam>(Address{0xc0a80a0b'deadbeefULL} << 64 | 0x0123456789abcdefULL);
    for (unsigned length = 0; length <= TypeParam::kBits; ++length) {
        EXPECT_EQ(trie.set(key, length, 1000 + length), Edit::Added);
        EXPECT_EQ(trie.set(key, length, 1000 + length), Edit::Unchanged);
        EXPECT_EQ(trie.lookup(key).value, 1000 + length);
        EXPECT_EQ(trie.exact(key, length), 1000 + length);
        EXPECT_EQ(trie.longest(key)->length, length);
    }
    // Just outside of each prefix lies the next shorter one.
    for (unsigned length = 1; length <= TypeParam::kBits; ++length) {
        const auto beside = narrow<TypeParam>(wide(key) ^ (Address{1} << (128 - length)));
        EXPECT_EQ(trie.lookup(beside).value, 1000 + length - 1);
    }
    for (unsigned length = TypeParam::kBits; length > 0; --length) {
        EXPECT_TRUE(trie.erase(key, length));
        EXPECT_EQ(trie.lookup(key).value, 1000 + length - 1);
    }
    EXPECT_EQ(trie.size(), 1u);
}

TYPED_TEST(TrieTest, LeavesOfEveryWidth)
{
    Trie<TypeParam> trie(this->pool);
    const std::uint32_t values[] = {1, 0xff, 0x100, 0xffff, 0x10000, kMaxLeaf};
    for (unsigned i = 0; i < 6; ++i) trie.set(narrow<TypeParam>(Address{i} << 104), 24, values[i]);
    for (unsigned i = 0; i < 6; ++i) EXPECT_EQ(trie.lookup(narrow<TypeParam>(Address{i} << 104)).value, values[i]);
    EXPECT_FALSE(trie.lookup(narrow<TypeParam>(Address{6} << 104)).found());
}

// Random edits of clustered prefixes, with the reference beside; each round looks at what was touched and at random.
TYPED_TEST(TrieTest, AgreesWithTheReferenceUnderRandomEdits)
{
    for (const std::uint64_t seed : {1, 2, 3}) {
        SCOPED_TRACE(seed);
        Random random(seed);
        Trie<TypeParam> trie(this->pool);
        Reference reference;
        std::vector<std::pair<Address, unsigned>> live;

        // Few bits of freedom in each stretch of the address, so that prefixes nest and meet.
        const auto any = [&] {
            Address a = 0;
            for (int i = 0; i < 8; ++i) a = a << 16 | (random.next() & 0x8103);
            return a;
        };
        const auto check = [&](Address a) {
            std::array<TypeParam, 5> keys;
            std::array<Leaf, 5> out;
            for (unsigned i = 0; i < 5; ++i)
                keys[i] = narrow<TypeParam>(a ^ (i ? Address{1} << random.below(128) : Address{0}));
            trie.lookup(std::span<const TypeParam>{keys}, std::span{out});
            for (unsigned i = 0; i < 5; ++i) {
                const auto expected = reference.lookup(wide(keys[i]));
                ASSERT_EQ(out[i].value, expected);
                ASSERT_EQ(trie.lookup(keys[i]).value, expected);
                const auto longest = trie.longest(keys[i]);
                ASSERT_EQ(longest ? longest->value : 0, expected);
            }
        };

        constexpr int kRounds = kSanitized ? 3000 : 12000;
        for (int round = 0; round < kRounds; ++round) {
            const bool shrink = round > kRounds * 3 / 5;
            const auto what = random.below(10);
            if (live.empty() || what < (shrink ? 2u : 7u)) {
                const auto length = static_cast<unsigned>(random.below(TypeParam::kBits + 1));
                const auto a = any() & mask(length);
                const auto v = static_cast<std::uint32_t>(random.below(5) == 0 ? random.below(kMaxLeaf) + 1
                                                                               : random.below(300) + 1);
                const auto edit = trie.set(narrow<TypeParam>(a), length, v);
                if (edit == Edit::Added) live.push_back({a, length});
                reference.set(a, length, v);
                check(a);
            } else {
                const auto at = random.below(live.size());
                const auto [a, length] = live[at];
                if (what == 9) {
                    trie.set(narrow<TypeParam>(a), length, static_cast<std::uint32_t>(round) + 1);
                    reference.set(a, length, static_cast<std::uint32_t>(round) + 1);
                } else {
                    ASSERT_TRUE(trie.erase(narrow<TypeParam>(a), length));
                    ASSERT_FALSE(trie.erase(narrow<TypeParam>(a), length));
                    ASSERT_TRUE(reference.erase(a, length));
                    live[at] = live.back();
                    live.pop_back();
                }
                check(a);
            }
            check(any());
            if (this->HasFatalFailure()) return;
            ASSERT_EQ(trie.size(), reference.size());
            this->settle();
        }
        for (const auto& [a, length] : live) ASSERT_TRUE(trie.erase(narrow<TypeParam>(a), length));
        EXPECT_EQ(trie.size(), 0u);
    }
}

// The root array grows and shrinks with the number of prefixes and every answer stays right.
TYPED_TEST(TrieTest, TheRootFollowsTheSize)
{
    Trie<TypeParam> trie(this->pool);
    std::set<unsigned> seen{trie.root_bits()};
    const auto key = [](std::uint32_t i) {
        return narrow<TypeParam>(Address{static_cast<std::uint32_t>(mix(i)) & 0xffffff00} << 96);
    };
    const std::uint32_t count = 100000;
    seen.insert(trie.root_bits());
    for (std::uint32_t i = 0; i < count; ++i) {
        trie.set(key(i), 24, i % 1000 + 1);
        if (seen.insert(trie.root_bits()).second) {
            for (std::uint32_t j = 0; j <= i; ++j) ASSERT_TRUE(trie.lookup(key(j)).found());
        }
        this->settle();
    }
    EXPECT_EQ(seen, (std::set<unsigned>{0, 6, 12, 18}));
    seen.clear();
    for (std::uint32_t i = 0; i < count; ++i) {
        trie.erase(key(i), 24);
        if (seen.insert(trie.root_bits()).second) {
            for (std::uint32_t j = i + 1; j < count; j += 7)
                ASSERT_EQ(trie.lookup(key(j)).value, trie.exact(key(j), 24));
        }
        this->settle();
    }
    EXPECT_EQ(seen, (std::set<unsigned>{0, 6, 12, 18}));
    EXPECT_EQ(trie.size(), 0u);
}

TYPED_TEST(TrieTest, GivesAllItsMemoryBack)
{
    const auto blocks = this->pool.blocks.used();
    const auto rib = this->pool.rib.used();
    {
        Random random(7);
        Trie<TypeParam> trie(this->pool);
        for (int i = 0; i < 5000; ++i) {
            trie.set(narrow<TypeParam>(Address{random.next()} << 64 | random.next()),
                     static_cast<unsigned>(random.below(TypeParam::kBits + 1)), 1 + static_cast<std::uint32_t>(i));
            this->settle();
        }
        EXPECT_GT(this->pool.blocks.used(), blocks);
    }
    this->settle();
    EXPECT_EQ(this->pool.blocks.used(), blocks);
    EXPECT_EQ(this->pool.rib.used(), rib);
    EXPECT_EQ(this->reclaimer.bytes(), 0u);
}

TEST(Lpm4, LooksUpBurstsOfAnyLength)
{
    Rcu rcu;
    Reclaimer reclaimer(rcu);
    TriePool pool("blocks", "rib", reclaimer);
    Lpm4 lpm(pool);
    lpm.set(*IpPrefix::parse("10.0.0.0/8"), 1);
    lpm.set(*IpPrefix::parse("10.1.0.0/16"), 2);
    lpm.set(*IpPrefix::parse("10.1.2.128/25"), 3);
    for (const std::size_t n : {0, 1, 31, 64, 65, 200}) {
        std::vector<std::uint32_t> destinations(n);
        std::vector<Leaf> out(n, Leaf{99});
        for (std::size_t i = 0; i < n; ++i)
            destinations[i] = std::array{0x0a000001u, 0x0a010001u, 0x0a010280u, 0x0b000000u}[i % 4];
        lpm.lookup(destinations, out);
        for (std::size_t i = 0; i < n; ++i) EXPECT_EQ(out[i].value, (i % 4 + 1) % 4);
    }
}

TEST(Lpm6, LooksUpBurstsOfAnyLength)
{
    Rcu rcu;
    Reclaimer reclaimer(rcu);
    TriePool pool("blocks", "rib", reclaimer);
    Lpm6 lpm(pool);
    lpm.set(*IpPrefix::parse("2001:db8::/32"), 1);
    lpm.set(*IpPrefix::parse("2001:db8:1::/48"), 2);
    lpm.set(*IpPrefix::parse("2001:db8:1::8000/113"), 3);
    const std::array<Ipv6Address, 4> address{*Ipv6Address::parse("2001:db8::1"), *Ipv6Address::parse("2001:db8:1::1"),
                                             *Ipv6Address::parse("2001:db8:1::8001"), *Ipv6Address::parse("2002::1")};
    for (const std::size_t n : {0, 1, 63, 64, 65, 200}) {
        std::vector<Ipv6Address> destinations(n);
        std::vector<Leaf> out(n, Leaf{99});
        for (std::size_t i = 0; i < n; ++i) destinations[i] = address[i % 4];
        lpm.lookup(destinations, out);
        for (std::size_t i = 0; i < n; ++i) EXPECT_EQ(out[i].value, (i % 4 + 1) % 4);
    }
}

TEST(TriePool, ManySmallTablesStaySmall)
{
    Rcu rcu;
    Reclaimer reclaimer(rcu);
    TriePool pool("blocks", "rib", reclaimer);
    std::vector<std::unique_ptr<Lpm4>> tables;
    Random random(5);
    constexpr std::size_t kTables = kSanitized ? 16 : 256;
    for (std::size_t t = 0; t < kTables; ++t) {
        tables.push_back(std::make_unique<Lpm4>(pool));
        for (int i = 0; i < 1000; ++i) {
            const Ipv4Address a{static_cast<std::uint32_t>(random.next())};
            tables.back()->set(IpPrefix::make(a, 16 + static_cast<int>(random.below(17))), 1 + i % 50);
        }
        reclaimer.seal();
        reclaimer.collect();
    }
    EXPECT_LT(pool.blocks.used(), kTables * (std::size_t{27} << 20) / 256);  // 32 MiB with a full table beside 256
}

}  // namespace
}  // namespace culvert::fib
