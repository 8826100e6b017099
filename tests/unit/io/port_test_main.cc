#include "dataplane/io/eal.h"
#include "dataplane/io/packet_pool.h"
#include "tests/unit/io/port_lab.h"

#include <gmock/gmock.h>

#include <cstdio>

// libxdp keeps 80 octets when DPDK 22.11's driver closes an AF_XDP port.
extern "C" const char* __lsan_default_suppressions() { return "leak:xsk_umem__create\n"; }

int main(int argc, char** argv)
{
    using namespace culvert::io;
    testing::InitGoogleMock(&argc, argv);
    if (argc > 1) holder_path = argv[1];
    // As the daemon does it: the guardian first, then EAL.
    auto the_guardian = Guardian::start();
    EalOptions options;
    options.memory = MemoryMode::Anonymous;
    auto eal = Eal::start(options);
    if (!the_guardian || !eal) {
        std::fprintf(stderr, "%s\n", !eal ? eal.error().message.c_str() : the_guardian.error().c_str());
        return 1;
    }
    guardian = the_guardian->get();
    int result;
    {
        auto packets = PacketPool::create("test", 8192);
        if (!packets) {
            std::fprintf(stderr, "%s\n", packets.error().c_str());
            return 1;
        }
        pool = packets->get();
        result = RUN_ALL_TESTS();
        // Every test gave its buffers back, but for those in the caches of threads that have ended.
        if (result == 0 && packets->in_use() > 0) {
            std::fprintf(stderr, "%zu packet buffers leaked\n", packets->in_use());
            result = 1;
        }
    }
    return result;
}
