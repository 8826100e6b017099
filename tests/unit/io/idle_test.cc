#include "dataplane/io/idle.h"

#include "dataplane/io/clock.h"

#include <gtest/gtest.h>

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <ctime>
#include <thread>
#include <vector>

namespace culvert::io {
namespace {

struct Hooks : IdleHooks {
    bool work = false;
    int slept = 0, awake = 0;
    bool work_waiting() noexcept override { return work; }
    void going_to_sleep() noexcept override { ++slept; }
    void woken() noexcept override { ++awake; }
};

// Rounds that find nothing until it sleeps once.
void sleep_once(Idle& idle, Hooks& hooks, TimePoint deadline)
{
    while (!idle.after_round(false, monotonic_now(), deadline, hooks))
        if (monotonic_now() >= deadline) return;
}

TEST(Idle, SleepsAfterTheSpinsAndOnlyThen)
{
    api::Wake wake;
    Idle idle{wake, {.spins = 4}};
    Hooks hooks;
    int sockets[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_DGRAM, 0, sockets), 0);
    idle.add_queue({&sockets[0], 1});
    ASSERT_EQ(write(sockets[1], "x", 1), 1);  // readable: the sleep ends at once
    for (int i = 0; i < 4; ++i) EXPECT_FALSE(idle.after_round(false, monotonic_now(), kNever, hooks));
    EXPECT_TRUE(idle.after_round(false, monotonic_now(), kNever, hooks));
    EXPECT_FALSE(idle.after_round(true, monotonic_now(), kNever, hooks));
    EXPECT_FALSE(idle.after_round(false, monotonic_now(), kNever, hooks)) << "work sets the count back";
    EXPECT_EQ(hooks.slept, 1);
    EXPECT_EQ(hooks.awake, 1);
    idle.remove_queue({&sockets[0], 1});
    close(sockets[0]);
    close(sockets[1]);
}

TEST(Idle, DoesNotSleepOnWorkThatCameLast)
{
    api::Wake wake;
    Idle idle{wake, {.spins = 0}};
    Hooks hooks;
    hooks.work = true;
    for (int i = 0; i < 10; ++i) EXPECT_FALSE(idle.after_round(false, monotonic_now(), kNever, hooks));
    EXPECT_EQ(hooks.slept, 0);
}

TEST(Idle, NeverSleepsWhenBusy)
{
    api::Wake wake;
    Idle idle{wake, {.busy = true}};
    Hooks hooks;
    for (int i = 0; i < 100; ++i) EXPECT_FALSE(idle.after_round(false, monotonic_now(), kNever, hooks));
}

TEST(Idle, WakesAtEachDeadline)
{
    api::Wake wake;
    Idle idle{wake, {}};
    Hooks hooks;
    std::vector<Duration> late;
    TimePoint deadline = monotonic_now() + 3ms;
    for (int i = 0; i < 40; ++i, deadline += 3ms) {
        while (monotonic_now() < deadline) idle.after_round(false, monotonic_now(), deadline, hooks);
        late.push_back(monotonic_now() - deadline);
    }
    // On a busy machine the thread may be held up; that it sleeps over none, and wakes exactly where it can, shows all
    // the same.
    EXPECT_LT(*std::min_element(late.begin(), late.end()), 1ms);
    EXPECT_GE(hooks.slept, 10);
    EXPECT_LT(hooks.slept, 120) << "an old timer must not wake it again and again";
}

TEST(Idle, ADeadlineThatIsOverIsNotSleptOn)
{
    api::Wake wake;
    Idle idle{wake, {.spins = 0}};
    Hooks hooks;
    EXPECT_FALSE(idle.after_round(false, monotonic_now(), monotonic_now() - 1s, hooks));
    EXPECT_FALSE(idle.after_round(false, monotonic_now(), monotonic_now() + 5us, hooks));
    EXPECT_EQ(hooks.slept, 0);
}

TEST(Idle, TheWakeDescriptorEndsTheSleep)
{
    api::Wake wake;
    Idle idle{wake, {}};
    Hooks hooks;
    std::thread other([&] {
        const timespec pause{0, 20'000'000};
        nanosleep(&pause, nullptr);
        wake.signal();
    });
    sleep_once(idle, hooks, monotonic_now() + 10s);
    other.join();
    EXPECT_EQ(idle.sleeps(), 1U);
}

TEST(Idle, AQueueWithoutDescriptorBoundsTheSleep)
{
    api::Wake wake;
    Idle idle{wake, {.spins = 0}};
    Hooks hooks;
    idle.add_queue({});
    const TimePoint start = monotonic_now();
    while (monotonic_now() - start < 100ms) idle.after_round(false, monotonic_now(), kNever, hooks);
    EXPECT_GE(hooks.slept, 10) << "at most 1 ms each";
    EXPECT_LE(hooks.slept, 600) << "longer as the silence lasts";
    idle.remove_queue({});
}

}  // namespace
}  // namespace culvert::io
