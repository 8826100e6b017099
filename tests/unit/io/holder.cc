// A process like the daemon, for the tests: starts EAL in the given mode, opens the given port if any, says "ready" or
// the error, and waits for the end of its standard input.
#include "base/log.h"
#include "dataplane/io/eal.h"
#include "dataplane/io/guardian.h"
#include "dataplane/io/packet_pool.h"
#include "dataplane/io/port.h"

#include <rte_mbuf.h>

#include <unistd.h>

#include <cstdio>
#include <cstring>

using namespace culvert;

namespace {

int fail(const std::string& why)
{
    std::printf("error: %s\n", why.c_str());
    std::fflush(stdout);
    return 1;
}

}  // namespace

int main(int argc, char** argv)
{
    if (argc < 2) return fail("usage: holder huge|anonymous|auto [NETDEV]");
    log::set_level(log::Level::Error);
    auto guardian = io::Guardian::start();
    if (!guardian) return fail(guardian.error());
    io::EalOptions options;
    options.octets = std::size_t{64} << 20;
    options.memory = std::strcmp(argv[1], "huge") == 0        ? io::MemoryMode::HugePages
                     : std::strcmp(argv[1], "anonymous") == 0 ? io::MemoryMode::Anonymous
                                                              : io::MemoryMode::Auto;
    auto eal = io::Eal::start(options);
    if (!eal) return fail(eal.error().message);
    auto pool = io::PacketPool::create("mbufs", 2048);
    if (!pool) return fail(pool.error());
    rte_mbuf* m = rte_pktmbuf_alloc(pool->get());
    if (!m) return fail("no mbuf");
    std::memset(rte_pktmbuf_mtod(m, void*), 0xa5, io::kLargestFrame);
    rte_pktmbuf_free(m);

    std::unique_ptr<io::Port> port;
    if (argc > 2) {
        api::PortSpec spec;
        spec.device = argv[2];
        spec.mtu = 1400;
        io::PortOptions port_options;
        port_options.pool = pool->get();
        port_options.guardian = guardian->get();
        auto opened = io::open_port(spec, port_options);
        if (!opened) return fail(opened.error().message);
        port = std::move(*opened);
    }
    std::printf("ready %s\n", (*eal)->memory() == io::MemoryMode::HugePages ? "huge" : "anonymous");
    std::fflush(stdout);
    char c;
    while (read(0, &c, 1) > 0) {}
    return 0;
}
