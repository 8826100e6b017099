#include "dataplane/io/port.h"
#include "tests/unit/io/wire.h"

#include <gmock/gmock.h>

namespace culvert::io {
namespace {

using testing::HasSubstr;

api::PortSpec vdev(const std::string& device)
{
    api::PortSpec spec;
    spec.kind = api::PortKind::Vdev;
    spec.device = device;
    return spec;
}

Result<std::unique_ptr<Port>, api::PortError> open_vdev(const std::string& device, std::uint16_t mtu = 1500,
                                                        std::uint16_t queues = 1)
{
    auto spec = vdev(device);
    spec.mtu = mtu;
    PortOptions options;
    options.pool = pool;
    options.queues = queues;
    return open_port(spec, options);
}

TEST(Ethdev, ARingGivesBackWhatItTook)
{
    for (int again = 0; again < 2; ++again) {
        auto port = open_vdev("net_ring0");
        ASSERT_TRUE(port) << port.error().message;
        EXPECT_TRUE((*port)->link_up());
        EXPECT_TRUE((*port)->wait_fds(0).empty());
        rte_mbuf* m = rte_pktmbuf_alloc(pool);
        std::memset(rte_pktmbuf_append(m, 60), 1, 60);
        m->port = 77;
        ASSERT_EQ((*port)->tx_burst(0, &m, 1), 1);
        rte_mbuf* back = nullptr;
        ASSERT_EQ((*port)->rx_burst(0, &back, 1), 1);
        EXPECT_EQ(back, m);
        EXPECT_EQ(back->port, index((*port)->info().id));
        rte_pktmbuf_free(back);
        EXPECT_EQ((*port)->counters().tx_packets, 1U);
        EXPECT_FALSE(open_vdev("net_ring0")) << "in use";
    }
}

TEST(Ethdev, QueuesAreThoseOfTheDevice)
{
    auto port = open_vdev("net_null0", 9000, 4);
    ASSERT_TRUE(port) << port.error().message;
    EXPECT_EQ((*port)->info().queues, 4);
    rte_mbuf* frames[32];
    const auto n = (*port)->rx_burst(3, frames, 32);
    EXPECT_EQ(n, 32);
    EXPECT_EQ((*port)->tx_burst(3, frames, n), n);
}

TEST(Ethdev, ErrorsSayWhatToDo)
{
    const auto message = [](const api::PortSpec& spec) {
        PortOptions options;
        options.pool = pool;
        auto port = open_port(spec, options);
        return port ? std::string("opened") : port.error().message;
    };
    EXPECT_THAT(message(vdev("memif0")), HasSubstr("like net_memif0,"));
    EXPECT_THAT(message(vdev("net_nonsense0")), HasSubstr("is there such a driver"));
    EXPECT_THAT(message(vdev("net_pcap0,rx_pcap=/no/such/file")), HasSubstr("net_pcap0"));
    EXPECT_THAT(message(vdev("net_memif0,role=server,nonsense=1")), HasSubstr("nonsense=1"));
    auto large = vdev("net_memif0,role=server,socket=/tmp/ioh-memif.sock,socket-abstract=no");
    large.mtu = 9000;
    EXPECT_THAT(message(large), HasSubstr("takes an MTU of at most"));
    auto pci = vdev("03:00.0");
    pci.kind = api::PortKind::Pci;
    EXPECT_THAT(message(pci), HasSubstr("no PCI device 0000:03:00.0"));
    EXPECT_FALSE(check_port(pci));
    EXPECT_TRUE(check_port(vdev("net_null1")));
}

TEST_F(WireTest, AfXdpSleepsOnItsDescriptor)
{
    Result<std::unique_ptr<Port>, api::PortError> port{nullptr};
    left->ip("link set l0 mtu 1500");
    router->inside([&] { port = open_vdev("net_af_xdp0,iface=ra,force_copy=1"); });
    ASSERT_TRUE(port) << port.error().message;
    ASSERT_EQ((*port)->wait_fds(0).size(), 1U);
    pollfd p{(*port)->wait_fds(0)[0], POLLIN, 0};
    rte_mbuf* frames[32];
    std::uint16_t n;
    while ((n = (*port)->rx_burst(0, frames, 32)) > 0) rte_pktmbuf_free_bulk(frames, n);
    std::thread ping([&] { left->run("ping -c 1 -W 1 10.8.0.2"); });
    EXPECT_EQ(poll(&p, 1, 2000), 1);
    EXPECT_GT(n = (*port)->rx_burst(0, frames, 32), 0);
    rte_pktmbuf_free_bulk(frames, n);
    ping.join();
}

}  // namespace

}  // namespace culvert::io
