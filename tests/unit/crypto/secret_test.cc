#include "crypto/secret.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <new>
#include <type_traits>

namespace culvert::crypto {
namespace {

static_assert(!std::is_copy_constructible_v<Secret<32>> && !std::is_copy_assignable_v<Secret<32>>);
static_assert(!std::is_convertible_v<Secret<32>, Bytes>);

const std::array<std::uint8_t, 32> kOctets{1, 2, 3};

TEST(Secret, IsZeroedWhenItGoes)
{
    alignas(Secret<32>) std::array<std::uint8_t, sizeof(Secret<32>)> memory{};
    auto* const secret = ::new (memory.data()) Secret<32>{kOctets};
    EXPECT_EQ(memory[1], 2);
    secret->~Secret();
    const volatile std::uint8_t* const after = memory.data();
    for (std::size_t i = 0; i < memory.size(); ++i) EXPECT_EQ(after[i], 0) << i;
}

TEST(Secret, MovingLeavesZeros)
{
    Secret<32> a{kOctets};
    Secret<32> b = std::move(a);
    EXPECT_TRUE(a.is_zero());
    EXPECT_EQ(b, Secret<32>{kOctets});
    a = std::move(b);
    EXPECT_TRUE(b.is_zero());
    EXPECT_EQ(a.clone(), a);
}

TEST(Secret, ComparesInConstantTime)
{
    const std::array<std::uint8_t, 3> a{1, 2, 3}, b{1, 2, 4};
    EXPECT_TRUE(equal_in_constant_time(a, a));
    EXPECT_FALSE(equal_in_constant_time(a, b));
    EXPECT_FALSE(equal_in_constant_time(a, Bytes{a}.first(2)));
}

// What the kernel says of the mapping that holds `at`: its flags ("dd" is: do not dump).
std::string flags_of(const void* at)
{
    std::FILE* const maps = std::fopen("/proc/self/smaps", "r");
    char line[512];
    bool here = false;
    std::string flags;
    while (maps != nullptr && std::fgets(line, sizeof line, maps) != nullptr) {
        unsigned long first = 0, last = 0;
        if (std::sscanf(line, "%lx-%lx ", &first, &last) == 2)
            here = first <= reinterpret_cast<unsigned long>(at) && reinterpret_cast<unsigned long>(at) < last;
        if (here && std::string_view{line}.starts_with("VmFlags:")) flags = line;
    }
    if (maps != nullptr) std::fclose(maps);
    return flags;
}

TEST(SecretArena, IsLeftOutOfCoreDumps)
{
    SecretArena arena;
    void* const at = arena.allocate(100, 64);
    ASSERT_NE(at, nullptr);
    const auto flags = flags_of(at);
    ASSERT_FALSE(flags.empty());
    EXPECT_NE(flags.find(" dd"), std::string::npos) << flags;
    EXPECT_NE(flags.find(" wf"), std::string::npos) << flags;
}

TEST(SecretArena, AlignsAndGrows)
{
    SecretArena arena(4096);
    EXPECT_EQ(arena.reserved(), 0U);
    const auto* const a = static_cast<std::uint8_t*>(arena.allocate(1, 1));
    const auto* const b = static_cast<std::uint8_t*>(arena.allocate(64, 64));
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(b) % 64, 0U);
    EXPECT_GT(b, a);
    EXPECT_EQ(arena.reserved(), 4096U);
    EXPECT_NE(arena.allocate(10'000, 64), nullptr);
    EXPECT_EQ(arena.reserved(), 4096U + 12'288U);
    EXPECT_EQ(arena.used(), 1U + 64U + 10'000U);
}

struct Keys {
    std::array<std::uint8_t, 48> octets;
};

TEST(SecretPool, ZeroesAndUsesAgain)
{
    SecretPool<Keys> pool;
    Keys* const a = pool.acquire();
    a->octets.fill(7);
    pool.release(a);
    EXPECT_EQ(pool.in_use(), 0U);
    const auto* const raw = reinterpret_cast<const volatile std::uint8_t*>(a);
    for (std::size_t i = sizeof(void*); i < sizeof(Keys); ++i) EXPECT_EQ(raw[i], 0) << i;

    Keys* const b = pool.acquire();
    EXPECT_EQ(a, b);
    EXPECT_EQ(b->octets[0], 0);
    EXPECT_NE(pool.acquire(), b);
    EXPECT_EQ(pool.in_use(), 2U);
}

}  // namespace
}  // namespace culvert::crypto
