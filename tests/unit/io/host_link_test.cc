#include "dataplane/io/host_link.h"

#include "tests/unit/io/port_lab.h"

#include <gmock/gmock.h>
#include <rte_mbuf.h>

#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/ioctl.h>

#include <atomic>
#include <cstring>

namespace culvert::io {
namespace {

using testing::HasSubstr;

int open_tun(const char* name)
{
    const int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
    ifreq request{};
    std::strncpy(request.ifr_name, name, IFNAMSIZ - 1);
    request.ifr_flags = IFF_TUN | IFF_NO_PI;
    EXPECT_EQ(ioctl(fd, TUNSETIFF, &request), 0) << std::strerror(errno);
    return fd;
}

TEST_F(PortTest, TheHostLinkCarriesPacketsBothWays)
{
    Namespace host{"host"};
    int tuns[2];
    host.inside([&] {
        tuns[0] = open_tun("t0");
        tuns[1] = open_tun("t1");
    });
    for (const char* arguments : {"addr add 10.5.0.1/24 dev t0", "addr add 10.6.0.1/24 dev t1",
                                  "link set t0 up mtu 9000", "link set t1 up mtu 9000"})
        host.ip(arguments);

    api::Wake wakes[2];
    HostLink link{pool, {&wakes[0], &wakes[1]}};
    link.attach(VrfId{0}, tuns[0]);
    link.attach(VrfId{5}, tuns[1]);

    // A worker that answers every echo request: swaps the addresses, and the checksums stay right but for the type.
    std::atomic<bool> stop{false};
    std::atomic<unsigned> vrfs_seen{0};
    std::atomic<unsigned> largest{0};
    std::vector<std::thread> workers;
    for (std::uint8_t w = 0; w < 2; ++w)
        workers.emplace_back([&, w] {
            while (!stop) {
                rte_mbuf* packets[64];
                wakes[w].arm();
                if (!link.pending(WorkerId{w})) {
                    pollfd p{wakes[w].fd(), POLLIN, 0};
                    poll(&p, 1, 100);
                }
                wakes[w].disarm();
                const unsigned n = link.receive(WorkerId{w}, packets);
                for (unsigned i = 0; i < n; ++i) {
                    auto* ip = rte_pktmbuf_mtod(packets[i], std::uint8_t*);
                    const VrfId vrf = host_vrf(*packets[i]);
                    if (ip[0] >> 4 == 4 && ip[9] == IPPROTO_ICMP && ip[20] == 8) {
                        vrfs_seen |= 1U << index(vrf);
                        largest = std::max(largest.load(), packets[i]->pkt_len);
                        std::swap_ranges(ip + 12, ip + 16, ip + 16);
                        ip[20] = 0;
                        unsigned sum = (ip[22] << 8U | ip[23]) + 0x800U;
                        sum = (sum & 0xffff) + (sum >> 16);
                        ip[22] = static_cast<std::uint8_t>(sum >> 8);
                        ip[23] = static_cast<std::uint8_t>(sum);
                        if (link.send(WorkerId{w}, vrf, {&packets[i], 1}) == 1) continue;
                    }
                    rte_pktmbuf_free(packets[i]);
                }
            }
        });

    EXPECT_THAT(host.run("ping -c 20 -i 0.01 10.5.0.9"), HasSubstr(" 0% packet loss"));
    EXPECT_THAT(host.run("ping -c 5 -i 0.01 -M do -s 8972 10.6.0.9"), HasSubstr(" 0% packet loss"));
    EXPECT_EQ(vrfs_seen, 1U | 1U << 5);
    EXPECT_EQ(largest, 9000U);

    // A TUN that is taken away, one that goes by itself, and one that is down.
    link.detach(VrfId{5});
    EXPECT_THAT(host.run("ping -c 2 -i 0.01 -W 1 10.6.0.9"), HasSubstr("100% packet loss"));
    const auto dropped = link.counters().to_host_dropped;
    rte_mbuf* m = rte_pktmbuf_alloc(pool);
    rte_pktmbuf_append(m, 40);
    ASSERT_EQ(link.send(WorkerId{0}, VrfId{5}, {&m, 1}), 1U);
    EXPECT_TRUE(eventually([&] { return link.counters().to_host_dropped == dropped + 1; }));
    host.ip("link set t0 down");
    m = rte_pktmbuf_alloc(pool);
    rte_pktmbuf_append(m, 40);
    ASSERT_EQ(link.send(WorkerId{1}, VrfId{0}, {&m, 1}), 1U);
    EXPECT_TRUE(eventually([&] { return link.counters().to_host_dropped == dropped + 2; }));
    host.ip("link del t0");
    m = rte_pktmbuf_alloc(pool);
    rte_pktmbuf_append(m, 40);
    ASSERT_EQ(link.send(WorkerId{1}, VrfId{0}, {&m, 1}), 1U);
    EXPECT_TRUE(eventually([&] { return link.counters().to_host_dropped == dropped + 3; }));

    stop = true;
    for (auto& w : workers) w.join();
    close(tuns[0]);
    close(tuns[1]);
}

TEST_F(PortTest, AFullHostLinkRefusesTheRest)
{
    api::Wake wake;
    HostLink link{pool, {&wake}};
    std::vector<rte_mbuf*> packets(4096);
    ASSERT_EQ(rte_pktmbuf_alloc_bulk(pool, packets.data(), 4096), 0);
    for (auto* m : packets) rte_pktmbuf_append(m, 40);
    unsigned taken = 0;
    taken = link.send(WorkerId{0}, kDefaultVrf, packets);
    EXPECT_GT(taken, 0U);
    EXPECT_LE(taken, HostLink::kRing);
    rte_pktmbuf_free_bulk(packets.data() + taken, 4096 - taken);
    EXPECT_TRUE(eventually([&] { return link.counters().to_host_dropped == taken; })) << "no TUN: counted";
}

}  // namespace

}  // namespace culvert::io
