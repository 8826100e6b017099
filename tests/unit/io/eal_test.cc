#include "dataplane/io/eal.h"

#include "dataplane/io/packet_pool.h"
#include "dataplane/io/thread.h"
#include "tests/unit/io/port_lab.h"

#include <gmock/gmock.h>
#include <rte_mbuf.h>

#include <cstdlib>

namespace culvert::io {
namespace {

using testing::HasSubstr;

TEST(Eal, StartsOnlyOnceInAProcess)
{
    const auto again = Eal::start({});
    ASSERT_FALSE(again);
    EXPECT_THAT(again.error().message, HasSubstr("started in this process before"));
}

TEST(Eal, DoesNotPinItsCaller)
{
    cpu_set_t mine;
    CPU_ZERO(&mine);
    sched_getaffinity(getppid(), sizeof mine, &mine);
    EXPECT_EQ(allowed_cpus().size(), static_cast<std::size_t>(CPU_COUNT(&mine)));
    EXPECT_TRUE(pin_thread(allowed_cpus().front()));
    EXPECT_FALSE(pin_thread(100000));
    cpu_set_t back = mine;
    sched_setaffinity(0, sizeof back, &back);
}

TEST_F(PortTest, ProcessesLiveSideBySideInEitherMode)
{
    Holder first{nullptr, "anonymous"};
    Holder second{nullptr, "anonymous"};
    Holder third{nullptr, "auto"};
    EXPECT_EQ(first.line(), "ready anonymous");
    EXPECT_EQ(second.line(), "ready anonymous");
    EXPECT_THAT(third.line(), testing::StartsWith("ready "));
}

TEST_F(PortTest, HugePagesAreUsedWhereTheyAreAndMissedWithAReason)
{
    constexpr const char* kPages = "/proc/sys/vm/nr_hugepages";
    const std::string reserved = lab::output(std::string("cat ") + kPages);
    {
        // 64 MiB for it, and a little more than it asks for.
        lab::output(fmt::format("echo {} > {}", std::atoi(reserved.c_str()) + 48, kPages));
        if (!huge_pages_available(std::size_t{64} << 20)) {
            lab::output(fmt::format("echo {} > {}", std::atoi(reserved.c_str()), kPages));
            GTEST_SKIP() << "this machine gives no huge pages";
        }
        Holder huge{nullptr, "huge"};
        EXPECT_EQ(huge.line(), "ready huge");
    }
    {
        Holder automatic{nullptr, "auto"};
        EXPECT_EQ(automatic.line(), "ready huge");
    }
    lab::output(fmt::format("echo {} > {}", std::atoi(reserved.c_str()), kPages));
    if (!huge_pages_available(std::size_t{64} << 20)) {
        Holder huge{nullptr, "huge"};
        EXPECT_THAT(huge.line(), HasSubstr("sysctl vm.nr_hugepages="));
    }
}

TEST(PacketPool, BuffersHoldTheLargestFrameAndRoomAround)
{
    rte_mbuf* m = rte_pktmbuf_alloc(pool);
    ASSERT_NE(m, nullptr);
    EXPECT_EQ(m->priv_size, kPrivateArea);
    m->data_off = kHeadroom;
    EXPECT_GE(rte_pktmbuf_tailroom(m), kLargestFrame + kTailroom);
    rte_pktmbuf_free(m);
    EXPECT_GE(PacketPool::buffers_for(kDefaultMemory), 8192U);
    EXPECT_GE(PacketPool::buffers_for(1), 512U);
}

}  // namespace

}  // namespace culvert::io
