#include "dataplane/fib/rcu.h"

#include "dataplane/fib/arena.h"
#include "tests/unit/fib/random.h"

#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <thread>
#include <vector>

namespace culvert::fib {
namespace {

TEST(Rcu, WaitsForOnlineReadersOnly)
{
    Rcu rcu;
    auto a = rcu.register_reader();
    auto b = rcu.register_reader();
    EXPECT_TRUE(rcu.check(rcu.start()));  // both offline
    a.online();
    b.online();
    const auto token = rcu.start();
    EXPECT_FALSE(rcu.check(token));
    a.quiescent();
    EXPECT_FALSE(rcu.check(token));
    b.offline();
    EXPECT_TRUE(rcu.check(token));
    b.online();
    EXPECT_TRUE(rcu.check(token));  // it came after the start
}

TEST(Rcu, AReadersPlaceIsGivenBack)
{
    Rcu rcu;
    for (int round = 0; round < 3; ++round) {
        std::vector<Rcu::Reader> readers;
        for (std::size_t i = 0; i < Rcu::kMaxReaders; ++i) {
            readers.push_back(rcu.register_reader());
            readers.back().online();
        }
        const auto token = rcu.start();
        EXPECT_FALSE(rcu.check(token));
        readers.clear();
        EXPECT_TRUE(rcu.check(token));
    }
}

TEST(Reclaimer, FreesInOrderAndOnlyAfterGrace)
{
    Rcu rcu;
    Reclaimer reclaimer(rcu);
    auto reader = rcu.register_reader();
    reader.online();
    std::vector<std::uint64_t> freed;
    const auto retire = [&](std::uint64_t what) {
        reclaimer.retire([](void* v, std::uint64_t w) noexcept { static_cast<decltype(freed)*>(v)->push_back(w); },
                         &freed, what, 10);
    };
    retire(1);
    retire(2);
    reclaimer.collect();
    EXPECT_TRUE(freed.empty());
    reclaimer.seal();
    retire(3);  // not sealed yet
    reclaimer.collect();
    EXPECT_TRUE(freed.empty());
    EXPECT_EQ(reclaimer.bytes(), 30u);
    reader.quiescent();
    reclaimer.collect();
    EXPECT_EQ(freed, (std::vector<std::uint64_t>{1, 2}));
    reclaimer.seal();
    reader.offline();
    reclaimer.collect();
    EXPECT_EQ(freed.size(), 3u);
    EXPECT_EQ(reclaimer.bytes(), 0u);
}

// Readers follow a pointer to an object that is poisoned when freed.
TEST(Reclaimer, NoReaderEverSeesWhatWasFreed)
{
    struct Thing {
        explicit Thing(std::uint64_t v) : value(v), copy(v) {}
        ~Thing() { copy = ~value; }
        std::uint64_t value, copy;
    };
    Rcu rcu;
    Reclaimer reclaimer(rcu);
    std::atomic<const Thing*> shared{new Thing(0)};
    std::atomic<bool> stop{false};
    std::vector<std::jthread> readers;
    for (int r = 0; r < 2; ++r)
        readers.emplace_back([&, r] {
            auto place = rcu.register_reader();
            place.online();
            for (std::uint64_t i = 0; !stop.load(std::memory_order_relaxed); ++i) {
                const auto* t = shared.load(std::memory_order_acquire);
                ASSERT_EQ(t->value, t->copy);
                place.quiescent();
                if (i % 512 == 0) {
                    place.offline();
                    if (r == 0) std::this_thread::yield();
                    place.online();
                }
            }
        });
    for (std::uint64_t i = 1; i < 20000; ++i) {
        const auto* old = shared.exchange(new Thing(i), std::memory_order_acq_rel);
        reclaimer.retire(std::unique_ptr<const Thing>(old));
        if (i % 16 == 0) {
            reclaimer.seal();
            reclaimer.collect();
        }
        if (i % 256 == 0) std::this_thread::yield();
    }
    stop = true;
    readers.clear();
    delete shared.load();
}

TEST(Arena, BlocksDoNotOverlapAndAreUsedAgain)
{
    Arena arena("test", 64 << 20);
    Random random(1);
    std::map<Arena::Handle, std::size_t> live;
    const auto fill = [&](Arena::Handle h, std::size_t octets) {
        std::memset(arena.at(h), static_cast<int>(h), octets);
    };
    std::size_t peak = 0;
    for (int round = 0; round < 40000; ++round) {
        if (live.size() < 1000 || random.below(2)) {
            const auto octets = random.below(50) == 0 ? std::size_t{1} << (8 + random.below(9)) : 1 + random.below(640);
            const auto h = arena.allocate(octets);
            ASSERT_NE(h, 0u);
            fill(h, octets);
            ASSERT_TRUE(live.emplace(h, octets).second);
        } else {
            auto at = live.lower_bound(static_cast<Arena::Handle>(random.below(1 << 20)));
            if (at == live.end()) at = live.begin();
            const auto [h, octets] = *at;
            for (std::size_t i = 0; i < octets; ++i) ASSERT_EQ(arena.at(h)[i], static_cast<std::uint8_t>(h));
            arena.free(h, octets);
            live.erase(at);
        }
        std::size_t sum = 0;
        if (round % 4096 == 0) {
            for (const auto& [h, octets] : live) sum += (octets + 7) / 8 * 8;
            ASSERT_EQ(arena.used(), sum);
        }
        peak = std::max(peak, arena.used());
    }
    EXPECT_LT(arena.committed(), 3 * peak + (4 << 20));
    // The dummy block that readers may look at for a leaf stays zero.
    for (int i = 0; i < 64; ++i) EXPECT_EQ(arena.base()[i], 0);
}

}  // namespace
}  // namespace culvert::fib
