#include "dataplane/fib/arena.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <random>
#include <vector>

namespace culvert::fib {
namespace {

struct Block {
    Arena::Handle handle;
    std::size_t octets;
    std::uint8_t mark;
};

// Blocks of all sizes come and go; what is in them shows whether two ever overlap or lose their page.
class Blocks {
public:
    explicit Blocks(unsigned seed) : random_(seed) {}

    void add(Arena& arena)
    {
        const std::size_t octets = random_() % 400 == 0 ? (random_() % 2 ? 16384 : 262144) : 1 + random_() % 640;
        const auto mark = static_cast<std::uint8_t>(random_());
        blocks_.push_back({arena.allocate(octets), octets, mark});
        std::memset(arena.at(blocks_.back().handle), mark, octets);
    }
    void remove(Arena& arena, std::size_t at)
    {
        const Block b = blocks_[at];
        const auto* octets = arena.at(b.handle);
        ASSERT_TRUE(std::all_of(octets, octets + b.octets, [&](auto o) { return o == b.mark; }));
        arena.free(b.handle, b.octets);
        blocks_[at] = blocks_.back();
        blocks_.pop_back();
    }
    void remove(Arena& arena) { remove(arena, random_() % blocks_.size()); }
    std::size_t size() const noexcept { return blocks_.size(); }
    bool chance(unsigned percent) { return random_() % 100 < percent; }

private:
    std::mt19937 random_;
    std::vector<Block> blocks_;
};

TEST(Arena, GivesBackPagesAndTakesThemAgain)
{
    Arena arena{"test", std::size_t{1} << 30};
    Blocks blocks{1};
    for (int round = 0; round < 4; ++round) {
        while (blocks.size() < 30000) {
            blocks.add(arena);
            if (blocks.chance(30)) blocks.remove(arena);
        }
        EXPECT_LT(arena.committed(), arena.used() * 5 / 3) << "grows although it has room";
        while (blocks.size() > 0) {
            blocks.remove(arena);
            if (blocks.chance(10)) blocks.add(arena);
            if (blocks.size() % 5000 == 4000) arena.give_back();
        }
        EXPECT_EQ(arena.used(), 0U);
        EXPECT_TRUE(arena.spare());
        arena.give_back();
        EXPECT_FALSE(arena.spare());
    }
}

TEST(Arena, OfSmallBlocksHardlyAnythingStays)
{
    Arena arena{"test", std::size_t{1} << 30};
    std::mt19937 random{2};
    std::vector<std::pair<Arena::Handle, std::size_t>> blocks;
    for (int round = 0; round < 3; ++round) {
        for (int i = 0; i < 200000; ++i) {
            const std::size_t octets = 8 + random() % 100;
            blocks.emplace_back(arena.allocate(octets), octets);
        }
        EXPECT_GT(arena.committed(), std::size_t{10} << 20);
        EXPECT_LT(arena.committed(), std::size_t{20} << 20);
        std::ranges::shuffle(blocks, random);
        for (const auto& [handle, octets] : blocks) arena.free(handle, octets);
        blocks.clear();
        EXPECT_TRUE(arena.spare());
        arena.give_back();
        EXPECT_LT(arena.committed(), std::size_t{5} << 20);  // of which 2 MiB were never handed out
    }
}

}  // namespace
}  // namespace culvert::fib
