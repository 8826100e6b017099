#include "dataplane/io/rouser.h"

#include "dataplane/io/clock.h"
#include "dataplane/io/resident.h"
#include "dataplane/io/thread.h"

#include <gtest/gtest.h>

#include <sched.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <functional>
#include <thread>
#include <vector>

namespace culvert::io {
namespace {

std::size_t cpus_of(pid_t thread)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    return sched_getaffinity(thread, sizeof set, &set) == 0 ? static_cast<std::size_t>(CPU_COUNT(&set)) : 0;
}

bool comes_true(const std::function<bool()>& condition)
{
    for (const auto end = monotonic_now() + 5s; monotonic_now() < end; std::this_thread::sleep_for(1ms))
        if (condition()) return true;
    return false;
}

// A sleeper whose steps the test takes from outside: it runs what it is given, and then waits.
class Steps {
public:
    explicit Steps(Rouser& rouser) : sleeper(rouser.add(wake)), thread_([this] { run(); }) {}
    ~Steps()
    {
        step([this] { stop_ = true; });
        thread_.join();
    }
    void step(std::function<void()> what)
    {
        what_ = std::move(what);
        asked_.store(true);
        asked_.notify_all();
        asked_.wait(true);
    }
    pid_t thread() const { return tid_.load(); }

    api::Wake wake;
    Rouser::Sleeper& sleeper;

private:
    void run()
    {
        tid_.store(gettid());
        while (!stop_) {
            asked_.wait(false);
            what_();
            asked_.store(false);
            asked_.notify_all();
        }
    }

    std::function<void()> what_;
    std::atomic<bool> asked_{false};
    std::atomic<pid_t> tid_{0};
    bool stop_ = false;
    std::thread thread_;
};

class RouserTest : public testing::Test {
protected:
    void SetUp() override
    {
        if (cpus.size() < 2) GTEST_SKIP() << "one CPU: nowhere to go";
    }

    std::vector<unsigned> cpus = allowed_cpus();
    Rouser rouser{cpus};
    Steps worker{rouser};
};

TEST_F(RouserTest, TakesWhoIsLateToOneCpuAndLetsItGoWhenItIsUp)
{
    rouser.start();
    worker.step([&] {
        worker.sleeper.watch(true);
        worker.wake.arm();
        worker.sleeper.begin(monotonic_now());
    });
    EXPECT_TRUE(comes_true([&] { return worker.sleeper.moves() >= 1 && cpus_of(worker.thread()) == 1; }));
    // It is woken too: its own timer may be on a CPU that stands still.
    std::uint64_t count = 0;
    EXPECT_TRUE(comes_true([&] { return read(worker.wake.fd(), &count, sizeof count) == sizeof count; }));
    // Still not up: to the other one, and so on.
    EXPECT_TRUE(comes_true([&] { return worker.sleeper.moves() >= 3; }));

    worker.step([&] { worker.sleeper.end(); });
    EXPECT_TRUE(comes_true([&] { return cpus_of(worker.thread()) == cpus.size(); }));
    worker.step([&] { worker.sleeper.watch(false); });
}

TEST_F(RouserTest, LeavesAloneWhoIsInTimeOrNotWatched)
{
    rouser.start();
    worker.step([&] { worker.sleeper.begin(monotonic_now() - 1s); });
    std::this_thread::sleep_for(50ms);
    worker.step([&] {
        worker.sleeper.begin(monotonic_now() + 1h);
        worker.sleeper.watch(true);
    });
    std::this_thread::sleep_for(50ms);
    worker.step([&] { worker.sleeper.begin(kNever); });
    std::this_thread::sleep_for(50ms);
    worker.step([&] { worker.sleeper.end(); });
    std::this_thread::sleep_for(50ms);
    EXPECT_EQ(worker.sleeper.moves(), 0U);
    EXPECT_EQ(cpus_of(worker.thread()), cpus.size());
    worker.step([&] { worker.sleeper.watch(false); });
}

TEST_F(RouserTest, WhoIsNoLongerWatchedMayRunEverywhere)
{
    rouser.start();
    worker.step([&] {
        worker.sleeper.watch(true);
        worker.sleeper.begin(monotonic_now());
    });
    EXPECT_TRUE(comes_true([&] { return cpus_of(worker.thread()) == 1; }));
    worker.step([&] { worker.sleeper.watch(false); });
    EXPECT_EQ(cpus_of(worker.thread()), cpus.size());
    const auto moves = worker.sleeper.moves();
    std::this_thread::sleep_for(50ms);
    EXPECT_EQ(worker.sleeper.moves(), moves);
}

TEST(Resident, MemoryHasItsPagesAndKeepsWhatItHolds)
{
    constexpr std::size_t kSize = std::size_t{4} << 20;
    auto* const at = static_cast<std::uint8_t*>(
        mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
    ASSERT_NE(at, MAP_FAILED);
    at[kSize / 2] = 7;
    std::vector<unsigned char> pages(kSize / static_cast<std::size_t>(sysconf(_SC_PAGESIZE)));
    const auto there = [&] {
        EXPECT_EQ(mincore(at, kSize, pages.data()), 0);
        return std::count_if(pages.begin(), pages.end(), [](auto page) { return (page & 1) != 0; });
    };
    const auto all = static_cast<std::ptrdiff_t>(pages.size());
    ASSERT_LT(there(), all);
    // Neither end is a page's.
    make_resident(at + 100, kSize - 200);
    EXPECT_EQ(there(), all);
    EXPECT_EQ(at[kSize / 2], 7);
    munmap(at, kSize);
}

}  // namespace
}  // namespace culvert::io
