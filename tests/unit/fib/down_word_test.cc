#include "dataplane/fib/down_word.h"

#include "dataplane/fib/nexthops.h"
#include "tests/unit/fib/interleave.h"
#include "tests/unit/fib/random.h"
#include "tests/unit/fib/sanitizers.h"

#include <gtest/gtest.h>

#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace culvert::fib {
namespace {

using Word = BasicDownWord<StepAtomic>;

TEST(DownWord, AFailureIsClearedByItsOwnEpochOnly)
{
    DownWord word{};
    const auto generation = word.begin();
    EXPECT_TRUE(word.up());
    const auto first = word.set(generation, cause::kBfd);
    ASSERT_TRUE(first);
    EXPECT_FALSE(word.up());
    const auto second = word.set(generation, cause::kLink);
    EXPECT_EQ(word.load().causes, cause::kBfd | cause::kLink);
    EXPECT_FALSE(word.clear(*first));
    EXPECT_FALSE(word.up());
    EXPECT_TRUE(word.clear(*second));
    EXPECT_TRUE(word.up());
}

TEST(DownWord, AnOldGenerationChangesNothing)
{
    DownWord word{};
    const auto old = word.begin();
    const auto epoch = *word.set(old, cause::kBfd);
    word.end();
    EXPECT_FALSE(word.set(old, cause::kBfd));
    const auto generation = word.begin();
    EXPECT_TRUE(word.up());
    EXPECT_FALSE(word.set(old, cause::kBfd));
    EXPECT_TRUE(word.up());
    // Nor does a clear that was meant for the old one.
    word.set(generation, cause::kLink);
    EXPECT_FALSE(word.clear(epoch));
    EXPECT_FALSE(word.up());
}

// Two workers see failures; control hears of the first one's and clears it; a reader looks on.
TEST(DownWord, NoOrderOfSetsAndClearLosesAFailure)
{
    if (kTsan) GTEST_SKIP() << "fibers: one thread, nothing for TSan to see";
    struct World {
        Word word;
        std::uint32_t generation = 0;
        std::optional<std::uint32_t> epoch[2];
        std::optional<bool> cleared;
        bool reader_wrong = false;
    };
    std::size_t cleared_both = 0, cleared_first = 0, refused = 0;
    const auto orders = Interleavings::run_all([&] {
        auto w = std::make_shared<World>();
        w->generation = w->word.begin();
        Interleavings::Scenario s;
        for (int i : {0, 1}) s.threads.push_back([w, i] { w->epoch[i] = w->word.set(w->generation, 1u << i); });
        s.threads.push_back([w] {
            Interleavings::wait_until([w] { return w->epoch[0].has_value(); });
            w->cleared = w->word.clear(*w->epoch[0]);
        });
        s.threads.push_back([w] {
            // Packets must not take it from the moment a set returned until the clear began.
            const bool reported = w->epoch[0] || w->epoch[1];
            const bool was_up = w->word.up();
            if (reported && !w->epoch[0] && was_up) w->reader_wrong = true;
        });
        s.check = [w, &cleared_both, &cleared_first, &refused] {
            ASSERT_TRUE(w->epoch[0] && w->epoch[1]);
            EXPECT_NE(*w->epoch[0], *w->epoch[1]);
            EXPECT_FALSE(w->reader_wrong);
            const auto last = w->word.load();
            const bool second_later = *w->epoch[1] > *w->epoch[0];
            if (*w->cleared) {
                // The second worker's failure is gone only if control's epoch already covered it.
                EXPECT_EQ(last.causes, second_later ? 2u : 0u);
                (second_later ? cleared_first : cleared_both)++;
            } else {
                EXPECT_TRUE(second_later);
                EXPECT_EQ(last.causes, 3u);
                EXPECT_TRUE(w->word.clear(*w->epoch[1]));
                ++refused;
            }
        };
        return s;
    });
    EXPECT_GT(orders, 1000u);
    EXPECT_GT(cleared_both, 0u);
    EXPECT_GT(cleared_first, 0u);
    EXPECT_GT(refused, 0u);
}

// The id is deleted and used again while a worker still means the old next hop and another one the new.
struct Reuse {
    Word word;
    std::uint32_t old = 0;
    std::optional<std::uint32_t> fresh;
    unsigned quiescent = 0;  // how often the late worker was
    bool new_reported = false;
    bool wrongly_down = false;
    std::optional<std::uint32_t> late;
};

Interleavings::Scenario reuse_scenario(bool wait_for_grace, std::size_t& wrong)
{
    auto w = std::make_shared<Reuse>();
    w->old = w->word.begin();
    Interleavings::Scenario s;
    s.threads.push_back([w] {  // the late worker
        w->late = w->word.set(w->old, cause::kBfd);
        ++w->quiescent;
        w->word.set(w->old, cause::kBfd);
        ++w->quiescent;  // and offline
    });
    s.threads.push_back([w, wait_for_grace] {  // the writer
        w->word.end();
        const auto before = w->quiescent;
        if (wait_for_grace)
            Interleavings::wait_until([w, before] { return w->quiescent > before || w->quiescent == 2; });
        w->fresh = w->word.begin();
        if (w->late) w->word.clear(*w->late);  // control's late answer to the old failure
    });
    s.threads.push_back([w] {  // a worker that knows the new one
        Interleavings::wait_until([w] { return w->fresh.has_value(); });
        w->new_reported = w->word.set(*w->fresh, cause::kLink).has_value();
    });
    s.check = [w, &wrong] {
        EXPECT_TRUE(w->new_reported);
        if (w->word.load().causes != cause::kLink) ++wrong;
    };
    return s;
}

TEST(DownWord, AReusedIdKeepsItsOwnFailuresOnly)
{
    if (kTsan) GTEST_SKIP() << "fibers: one thread, nothing for TSan to see";
    std::size_t wrong = 0;
    const auto orders = Interleavings::run_all([&] { return reuse_scenario(true, wrong); });
    EXPECT_GT(orders, 100u);
    EXPECT_EQ(wrong, 0u);
}

// The checker itself: without the grace period it finds the orders in which a late set hits the new next hop.
TEST(DownWord, WithoutGraceTheCheckerFindsTheRace)
{
    if (kTsan) GTEST_SKIP() << "fibers: one thread, nothing for TSan to see";
    std::size_t wrong = 0;
    Interleavings::run_all([&] { return reuse_scenario(false, wrong); });
    EXPECT_GT(wrong, 0u);
}

// Between the end of one thing and the beginning of the next with its id there is nothing to set, whoever asks.
TEST(DownWord, NothingIsSetWhereNothingExists)
{
    DownWord word{};
    EXPECT_FALSE(word.set(word.generation(), cause::kLink));
    const auto first = word.begin();
    word.end();
    EXPECT_FALSE(DownWord::exists(word.generation()));
    EXPECT_FALSE(word.set(word.generation(), cause::kLink));
    EXPECT_NE(word.begin(), first);
    EXPECT_TRUE(word.up());
}

// A worker that reads the generation between two lives of an id and sets by it must not hit the second one.
TEST(DownWord, AGenerationReadBetweenTwoLivesFitsNeither)
{
    if (kTsan) GTEST_SKIP() << "fibers: one thread, nothing for TSan to see";
    struct World {
        Word word;
        bool asked = false;
        std::uint32_t generation = 0;
    };
    std::size_t set = 0, refused = 0;
    const auto orders = Interleavings::run_all([&] {
        auto w = std::make_shared<World>();
        w->word.begin();
        w->word.end();
        Interleavings::Scenario s;
        s.threads.push_back([w] { w->generation = w->word.begin(); });
        s.threads.push_back([w, &set, &refused] {
            const auto generation = w->word.generation();
            (w->word.set(generation, cause::kLink) ? set : refused)++;
            w->asked = DownWord::exists(generation);
        });
        s.check = [w] { EXPECT_EQ(w->word.up(), !w->asked); };
        return s;
    });
    EXPECT_GT(orders, 4u);
    EXPECT_GT(set, 0u);
    EXPECT_GT(refused, 0u);
}

// A next hop obeys three words: its own, its port's and its session's. Three workers, one failure each; control clears
// them one after the other; a reader looks at all three, as NexthopTable::live does.
TEST(DownWord, ANextHopIsTakenOnlyWhileAllThreeWordsAreClear)
{
    if (kTsan) GTEST_SKIP() << "fibers: one thread, nothing for TSan to see";
    struct World {
        Word own, port, session;
        std::optional<std::uint32_t> port_epoch, session_epoch;
        bool cleared_port = false;
        bool wrongly_taken = false, taken = false, refused = false;
    };
    std::size_t taken = 0, refused = 0;
    const auto orders = Interleavings::run_all([&] {
        auto w = std::make_shared<World>();
        const auto port = w->port.begin(), session = w->session.begin();
        w->own.begin();
        Interleavings::Scenario s;
        s.threads.push_back([w, port] { w->port_epoch = w->port.set(port, cause::kLink); });
        s.threads.push_back([w, session] { w->session_epoch = w->session.set(session, cause::kBfd); });
        s.threads.push_back([w] {  // control, for the port alone
            Interleavings::wait_until([w] { return w->port_epoch.has_value(); });
            w->cleared_port = w->port.clear(*w->port_epoch);
        });
        s.threads.push_back([w] {
            const bool session_reported = w->session_epoch.has_value();
            const bool live = w->own.up() && w->port.up() && w->session.up();
            if (session_reported && live) w->wrongly_taken = true;
            (live ? w->taken : w->refused) = true;
        });
        s.check = [w, &taken, &refused] {
            EXPECT_FALSE(w->wrongly_taken);
            EXPECT_TRUE(w->cleared_port);
            EXPECT_TRUE(w->port.up());
            EXPECT_EQ(w->session.load().causes, cause::kBfd);
            taken += w->taken;
            refused += w->refused;
        };
        return s;
    });
    EXPECT_GT(orders, 500u);
    EXPECT_GT(taken, 0u);
    EXPECT_GT(refused, 0u);
}

// Real threads: two workers fail next hops at random, the writer clears by the epochs that it is told and deletes and
// reuses ids after grace. In the end every failure that was reported is there or was cleared by its own epoch.
TEST(DownWord, ThreadsAgreeInTheEnd)
{
    constexpr std::uint32_t kIds = 4;
    constexpr int kRounds = kTsan ? 3000 : 20000;
    Rcu rcu;
    Reclaimer reclaimer(rcu);
    const DownTable words;
    NexthopTable table(reclaimer, words);
    struct Report {
        NexthopId id;
        std::uint32_t generation, epoch;
    };
    std::mutex reporting;
    std::vector<Report> reports;
    for (std::uint32_t i = 1; i <= kIds; ++i) table.set({NexthopId{i}, api::NexthopKind::Blackhole}, nullptr);

    std::vector<std::jthread> workers;
    std::atomic<int> running{2};
    std::atomic<std::size_t> refused{0};
    for (const std::uint64_t seed : {1, 2}) {
        workers.emplace_back([&, seed] {
            Random random(seed);
            auto place = rcu.register_reader();
            place.online();
            std::uint32_t known[kIds + 1] = {};  // generations, as a BFD session would remember them
            for (int i = 0; i < kRounds; ++i) {
                const NexthopId id{static_cast<std::uint32_t>(1 + random.below(kIds))};
                if (table.find(id) && random.below(4) == 0) known[index(id)] = table.generation(id);
                if (const auto epoch = table.set_down(id, known[index(id)], 1u << seed)) {
                    // This worker has not been quiescent since: neither can the id have been reused.
                    EXPECT_FALSE(table.live(id) && table.down(id).epoch == *epoch);
                    const std::lock_guard lock(reporting);
                    reports.push_back({id, known[index(id)], *epoch});
                } else {
                    refused.fetch_add(1, std::memory_order_relaxed);
                }
                place.quiescent();
                if (i % 64 == 0) std::this_thread::yield();
            }
            --running;
        });
    }

    std::uint32_t newest[kIds + 1] = {};
    std::size_t cleared = 0, stale = 0;
    const auto drain = [&] {
        std::vector<Report> batch;
        {
            const std::lock_guard lock(reporting);
            batch.swap(reports);
        }
        for (const auto& r : batch) {
            newest[index(r.id)] = std::max(newest[index(r.id)], r.epoch);
            const auto* n = table.find(r.id);
            // Control forgets what it heard of a deleted next hop (drained events); the word must not need that.
            if (n && table.clear_down(r.id, r.epoch))
                ++cleared;
            else
                ++stale;
        }
    };
    Random random(9);
    while (running > 0) {
        drain();
        if (random.below(3) == 0) {
            const NexthopId id{static_cast<std::uint32_t>(1 + random.below(kIds))};
            table.erase(id);
            const auto token = reclaimer.seal();
            while (!rcu.check(token)) std::this_thread::yield();
            reclaimer.collect();
            table.set({id, api::NexthopKind::Blackhole}, nullptr);
            EXPECT_TRUE(table.down(id).up() || table.down(id).epoch > newest[index(id)]);
        }
        std::this_thread::yield();
    }
    workers.clear();
    drain();
    for (std::uint32_t i = 1; i <= kIds; ++i) {
        // The newest failure of each was reported last of all, so that clearing by it leaves it up.
        const auto state = table.down(NexthopId{i});
        EXPECT_TRUE(state.up()) << i << " causes " << state.causes << " epoch " << state.epoch;
        EXPECT_TRUE(table.live(NexthopId{i}));
    }
    EXPECT_GT(cleared, 0u);
    EXPECT_GT(refused.load(), 0u);
}

}  // namespace
}  // namespace culvert::fib
