#include "dataplane/esp/replay_window.h"

#include "crypto/random.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <vector>

namespace culvert::esp {
namespace {

constexpr std::uint64_t kWrap = std::uint64_t{1} << 32;

ReplayWindow window_of(std::uint32_t size, bool esn = false, std::uint64_t highest = 0)
{
    ReplayWindow w;
    w.reset(size, esn, highest);
    return w;
}

TEST(EspReplayWindow, NumberZeroIsNeverTaken)
{
    auto w = window_of(64);
    EXPECT_FALSE(w.accept(0));
    EXPECT_TRUE(w.accept(1));
    EXPECT_FALSE(w.accept(1));
    EXPECT_FALSE(w.accept(0));
}

TEST(EspReplayWindow, TakesUpToItsLowerEdgeAndNotOneBelow)
{
    for (const std::uint32_t size : {64U, 128U, 1024U, 4096U, 16384U, 65536U}) {
        auto w = window_of(size);
        EXPECT_TRUE(w.accept(100000));
        EXPECT_TRUE(w.accept(100000 - size + 1)) << size;
        EXPECT_FALSE(w.accept(100000 - size)) << size;
        EXPECT_FALSE(w.accept(100000 - size + 1)) << size;
        EXPECT_TRUE(w.accept(100001));
        EXPECT_FALSE(w.accept(100001 - size)) << size;
    }
}

TEST(EspReplayWindow, SizesAreRoundedUpAndBounded)
{
    EXPECT_EQ(window_of(1).window(), 64U);
    EXPECT_EQ(window_of(65).window(), 128U);
    EXPECT_EQ(window_of(~0U).window(), ReplayWindow::kLargest);
}

TEST(EspReplayWindow, OfNoSizeTakesEverything)
{
    auto w = window_of(0);
    EXPECT_TRUE(w.accept(5));
    EXPECT_TRUE(w.accept(5));
    EXPECT_TRUE(w.accept(1));
    EXPECT_EQ(w.highest(), 5U);
}

TEST(EspReplayWindow, WhatCameBeforeItsStartIsSeen)
{
    auto w = window_of(128, true, 1000);
    EXPECT_FALSE(w.accept(1000));
    EXPECT_FALSE(w.accept(900));
    EXPECT_TRUE(w.accept(1001));
    EXPECT_TRUE(w.accept(1063));
    EXPECT_FALSE(w.accept(1000));
}

TEST(EspReplayWindow, JumpsFarAhead)
{
    for (const std::uint64_t jump : {63ULL, 64ULL, 65ULL, 4095ULL, 4096ULL, 4097ULL, 1ULL << 31, (1ULL << 40)}) {
        auto w = window_of(4096, true);
        for (std::uint64_t n = 1; n <= 200; ++n) ASSERT_TRUE(w.accept(n));
        ASSERT_TRUE(w.accept(200 + jump));
        for (std::uint64_t n = 1; n <= 200; ++n) ASSERT_FALSE(w.accept(n)) << jump;
        if (jump > 1) {
            ASSERT_TRUE(w.accept(200 + jump - 1));
        }
    }
}

// RFC 4303 A2.2, by its own words, with the window [T - W + 1, T].
std::uint64_t inferred(std::uint64_t top, std::uint32_t window, std::uint32_t low)
{
    const std::uint32_t tl = static_cast<std::uint32_t>(top);
    std::uint64_t th = top >> 32;
    if (tl >= window - 1) {
        if (low < tl - window + 1) ++th;
    } else if (low >= tl - window + 1) {
        if (th != 0) --th;
    }
    return th << 32 | low;
}

TEST(EspReplayWindow, InfersAsTheRfcDoes)
{
    crypto::SeededRandom random{7};
    const auto around = [&] {  // near a multiple of 2^32, or anywhere
        const std::uint64_t base = (random.u32() % 4) * kWrap;
        const std::uint64_t near = base + random.u32() % 20000 - 10000;
        return random.u32() % 2 == 0 ? near : base + random.u32();
    };
    for (int i = 0; i < 400000; ++i) {
        const std::uint32_t size = 64U << random.u32() % 11;
        const std::uint64_t top = std::max<std::int64_t>(0, static_cast<std::int64_t>(around()));
        const auto w = window_of(size, true, top);
        const auto low = static_cast<std::uint32_t>(around());
        ASSERT_EQ(w.infer(low), inferred(top, size, low)) << top << ' ' << size << ' ' << low;
    }
}

TEST(EspReplayWindow, InfersNothingBeyondTheLastNumber)
{
    const auto w = window_of(64, true, ~std::uint64_t{0} - 5);
    EXPECT_EQ(w.infer(0xfffffffe), ~std::uint64_t{0} - 1);
    EXPECT_FALSE(w.infer(7).has_value());
}

// Orders as networks make them: late by some, twice, lost, held back for long, and jumps over what was lost in bulk.
// The reference keeps every number it took. What travels is the lower half of the number.
class RandomOrders : public testing::TestWithParam<std::uint32_t> {};

TEST_P(RandomOrders, AgreeWithTheReference)
{
    const std::uint32_t size = GetParam();
    crypto::SeededRandom random{size};
    for (const std::uint64_t start : {std::uint64_t{0}, kWrap - 3000, 2 * kWrap - 100, kWrap + 7}) {
        const bool esn = true;
        auto w = window_of(size, esn, start);
        std::set<std::uint64_t> taken;  // within the window
        std::uint64_t top = start, next = start + 1;
        std::size_t false_drops = 0, false_accepts = 0, accepted = 0;
        for (int i = 0; i < 50000; ++i) {
            std::uint64_t number = next;
            switch (random.u32() % 16) {
                case 0: number = next - std::min<std::uint64_t>(next, random.u32() % (2 * size)); break;  // late
                case 1: number = top; break;                                                              // again
                case 2: number = next += random.u32() % 64; break;                                        // loss
                case 3: number = top + 1 - std::min<std::uint64_t>(top, size); break;                     // the edge
                case 4: number = top - std::min<std::uint64_t>(top, size); break;                         // below
                case 5:
                    if (random.u32() % 512 == 0) number = next += random.u32() % (4 * size);
                    break;  // outage
                default: break;
            }
            if (number == next) ++next;
            const bool expected = number > top || (number > start && top - number < size && !taken.contains(number));
            const auto found = w.infer(static_cast<std::uint32_t>(number));
            // Below the window the inference may be another number: then its ICV is wrong and it never gets to
            // accept().
            const bool got = found == number && w.fresh(number) && w.accept(number);
            false_drops += expected && !got;
            false_accepts += got && !expected;
            if (got) {
                ++accepted;
                taken.insert(number);
                top = std::max(top, number);
                while (!taken.empty() && top - *taken.begin() >= size) taken.erase(taken.begin());
            }
        }
        EXPECT_EQ(false_drops, 0U);
        EXPECT_EQ(false_accepts, 0U);
        EXPECT_GT(accepted, 30000U);
    }
}
// Five sizes by four starts by 50,000: a million.
INSTANTIATE_TEST_SUITE_P(Sizes, RandomOrders, testing::Values(64, 128, 1024, 4096, 65536));

// A window whose packets all come, in a random order within its size: none is lost, none is taken twice.
TEST(EspReplayWindow, EveryPermutationWithinTheWindowPasses)
{
    crypto::SeededRandom random{3};
    for (const std::uint32_t size : {64U, 192U, 4096U}) {
        auto w = window_of(size, true, kWrap - 20000);
        std::vector<std::uint64_t> block(size);
        for (std::uint64_t base = kWrap - 20000 + 1; base < kWrap + 20000; base += size) {
            for (std::uint32_t i = 0; i < size; ++i) block[i] = base + i;
            for (std::uint32_t i = size - 1; i > 0; --i) std::swap(block[i], block[random.u32() % (i + 1)]);
            for (const auto n : block) {
                ASSERT_EQ(w.infer(static_cast<std::uint32_t>(n)), n);
                ASSERT_TRUE(w.accept(n));
            }
            for (const auto n : block) ASSERT_FALSE(w.accept(n));
        }
    }
}

}  // namespace
}  // namespace culvert::esp
