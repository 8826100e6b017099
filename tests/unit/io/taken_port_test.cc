#include "dataplane/io/port.h"
#include "tests/unit/io/wire.h"

#include <gmock/gmock.h>

#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>

namespace culvert::io {
namespace {

using testing::HasSubstr;

class TakenTest : public PortTest {
protected:
    void SetUp() override
    {
        PortTest::SetUp();
        if (IsSkipped()) return;
        peer = std::make_unique<Namespace>("peer");
        router = std::make_unique<Namespace>("router");
        lab::veth(*peer, "p0", *router, "r0");
        peer->ip("addr add 10.9.0.2/24 dev p0");
        peer->ip("addr add 2001:db8:9::2/64 dev p0 nodad");
        router->ip("addr add 10.9.0.1/24 dev r0");
        router->ip("addr add 10.9.0.7/24 dev r0 label r0:two");
        router->ip("addr add 2001:db8:9::1/64 dev r0 nodad");
        router->ip("route add 10.77.0.0/16 via 10.9.0.2 metric 5");
        router->ip("route add 2001:db8:77::/48 via 2001:db8:9::2");
        router->ip("route add 10.78.0.0/16 dev r0 table 100");
        mac = router->run("cat /sys/class/net/r0/address");
        mac.pop_back();
    }
    std::string ping(const std::string& address) { return peer->run("ping -c 2 -i 0.2 -W 1 " + address); }

    // What comes out of the router's side while the peer knocks at every door.
    int answers()
    {
        int heard = 0;
        peer->inside([&] {
            const int s = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK, htons(ETH_P_ALL));
            const int one = 1;
            setsockopt(s, SOL_PACKET, 23, &one, sizeof one);
            sockaddr_ll address{};
            address.sll_family = AF_PACKET;
            address.sll_protocol = htons(ETH_P_ALL);
            address.sll_ifindex = static_cast<int>(if_nametoindex("p0"));
            ASSERT_EQ(bind(s, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
            // Known neighbours: pings, UDP and TCP get past address resolution.
            lab::output(
                fmt::format("ip neigh replace 10.9.0.1 lladdr {} dev p0; ip neigh replace 2001:db8:9::1 lladdr {} "
                            "dev p0; ip neigh flush 10.9.0.7 dev p0; ping -c1 -W1 10.9.0.1; ping -c1 -W1 "
                            "2001:db8:9::1; ping -c1 -W1 10.9.0.7; "
                            "bash -c 'echo x > /dev/udp/10.9.0.1/9'; timeout 1 bash -c 'echo > /dev/tcp/10.9.0.1/9'; "
                            "timeout 1 bash -c 'echo > /dev/tcp/2001:db8:9::1/9'",
                            mac, mac));
            char frame[2048];
            while (recv(s, frame, sizeof frame, 0) > 0) ++heard;
            close(s);
        });
        return heard;
    }

    std::unique_ptr<Namespace> peer, router;
    std::string mac;
};

TEST_F(TakenTest, TheKernelIsSilentAndEverythingComesBack)
{
    ASSERT_THAT(ping("10.9.0.1"), HasSubstr(" 0% packet loss"));
    ASSERT_THAT(ping("2001:db8:9::1"), HasSubstr(" 0% packet loss"));
    ASSERT_GT(answers(), 3) << "the probe itself works";
    const std::string before = lab::picture(*router, "r0");
    {
        auto port = open_in(*router, kernel("r0", 9000));
        ASSERT_TRUE(port) << port.error().message;
        EXPECT_EQ((*port)->info().mtu, 9000);
        EXPECT_EQ((*port)->info().driver, "veth");
        EXPECT_EQ((*port)->info().mac.to_string(), mac);
        EXPECT_TRUE((*port)->link_up());
        EXPECT_EQ(router->run("ip addr show dev r0").find("inet"), std::string::npos);
        EXPECT_EQ(answers(), 0);
        // The machine's own programs can't speak on it either, ours can.
        router->inside([&] {
            const int s = socket(AF_PACKET, SOCK_RAW, 0);
            sockaddr_ll to{};
            to.sll_family = AF_PACKET;
            to.sll_ifindex = static_cast<int>(if_nametoindex("r0"));
            const char frame[64] = {};
            EXPECT_EQ(sendto(s, frame, sizeof frame, 0, reinterpret_cast<sockaddr*>(&to), sizeof to), -1);
            EXPECT_EQ(errno, ENOBUFS);
            close(s);
        });

        rte_mbuf* frames[64];
        std::uint16_t n = 0;
        EXPECT_TRUE(eventually([&] { return (n = (*port)->rx_burst(0, frames, 64)) > 0; }))
            << "the port hears the probes";
        rte_pktmbuf_free_bulk(frames, n);
        peer->ip("link set p0 down");
        EXPECT_TRUE(eventually([&] { return !(*port)->link_up(); }));
        peer->ip("link set p0 up");
        peer->ip("addr replace 2001:db8:9::2/64 dev p0 nodad");
        EXPECT_TRUE(eventually([&] { return (*port)->link_up(); }));
        ASSERT_TRUE((*port)->set_mtu(1600));
        EXPECT_THAT(router->run("ip link show dev r0"), HasSubstr("mtu 1600"));
        EXPECT_FALSE((*port)->set_mtu(9001));
    }
    EXPECT_EQ(lab::picture(*router, "r0"), before);
    EXPECT_THAT(ping("10.9.0.1"), HasSubstr(" 0% packet loss"));
}

TEST_F(TakenTest, ADeviceThatWasDownIsDownAgain)
{
    router->ip("link set r0 down");
    const std::string before = lab::picture(*router, "r0");
    {
        auto port = open_in(*router, kernel("r0"));
        ASSERT_TRUE(port) << port.error().message;
        EXPECT_TRUE(eventually([&] { return (*port)->link_up(); }));
    }
    EXPECT_EQ(lab::picture(*router, "r0"), before);
}

TEST_F(TakenTest, AfterKillNineItIsAsBeforeAndFree)
{
    const std::string before = lab::picture(*router, "r0");
    for (int round = 0; round < 3; ++round) {
        Holder holder{router.get(), "anonymous", "r0"};
        ASSERT_EQ(holder.line(), "ready anonymous");
        EXPECT_NE(lab::picture(*router, "r0"), before);
        const std::string child = holder.guardian();
        EXPECT_THAT(child, HasSubstr("culvert-guard   culvert-guard"));
        const int guard = std::atoi(child.c_str());
        EXPECT_EQ(lab::output(fmt::format("ls -l /proc/{}/fd | grep -c 'pipe:'", guard)), "0\n")
            << "nothing of the daemon's";
        for (const int s : {SIGTERM, SIGINT, SIGHUP}) kill(guard, s);
        holder.kill_hard();
        const TimePoint killed = monotonic_now();
        if (round < 2) {
            EXPECT_TRUE(eventually([&] { return lab::picture(*router, "r0") == before; }, 2s));
        } else {
            // At once: the old guardian may still be at work.
            auto port = open_in(*router, kernel("r0"));
            EXPECT_TRUE(port) << port.error().message;
        }
        std::printf("[ figure   ] after kill -9: %s in %d ms\n", round < 2 ? "as before" : "taken by the next",
                    static_cast<int>((monotonic_now() - killed) / 1ms));
    }
    EXPECT_EQ(lab::picture(*router, "r0"), before);
}

TEST_F(TakenTest, ErrorsNameTheDeviceAndTheCure)
{
    const auto message = [&](const api::PortSpec& spec) {
        auto port = open_in(*router, spec);
        Result<void, api::PortError> check;
        router->inside([&] { check = check_port(spec); });
        EXPECT_FALSE(port);
        EXPECT_FALSE(check) << "check_port says the same";
        return port ? std::string() : port.error().message;
    };
    EXPECT_THAT(message(kernel("r1")), HasSubstr("no network device r1 in this network namespace; the nearest are r0"));
    EXPECT_THAT(message(kernel("a-name-far-too-long")), HasSubstr("1 to 15 letters"));
    EXPECT_THAT(message(kernel("lo")), HasSubstr("not an Ethernet device"));
    router->ip("link add br0 type bridge");
    router->ip("link set r0 master br0");
    EXPECT_THAT(message(kernel("r0")), HasSubstr("ip link set r0 nomaster"));
    router->ip("link set r0 nomaster");
    router->ip("route add default via 10.9.0.2");
    EXPECT_THAT(message(kernel("r0")), HasSubstr("port kernel r0 force"));
    {
        auto forced = kernel("r0");
        forced.force = true;
        const auto port = open_in(*router, forced);
        EXPECT_TRUE(port) << port.error().message;
    }
    EXPECT_THAT(router->run("ip route"), HasSubstr("default via 10.9.0.2"));
    router->ip("route del default");

    Holder other{router.get(), "anonymous", "r0"};
    ASSERT_EQ(other.line(), "ready anonymous");
    EXPECT_THAT(message(kernel("r0")), HasSubstr(fmt::format("in use by another culvertd (process {})", other.pid())));
}

TEST_F(TakenTest, AFailedOpenLeavesNothing)
{
    router->ip("link set r0 mtu 1500");
    const std::string before = lab::picture(*router, "r0");
    EXPECT_FALSE(open_in(*router, kernel("r0", 9001)));
    EXPECT_FALSE(open_in(*router, kernel("r0", 10)));
    EXPECT_EQ(lab::picture(*router, "r0"), before);
}

TEST_F(TakenTest, TheNetdevMayVanish)
{
    auto port = open_in(*router, kernel("r0"));
    ASSERT_TRUE(port);
    router->ip("link del r0");
    EXPECT_FALSE((*port)->link_up());
    rte_mbuf* frames[8];
    // What the peer's kernel had to say before (RFC 4861) still comes; then nothing.
    while (const auto n = (*port)->rx_burst(0, frames, 8)) rte_pktmbuf_free_bulk(frames, n);
    EXPECT_EQ((*port)->rx_burst(0, frames, 8), 0);
    frames[0] = rte_pktmbuf_alloc(pool);
    rte_pktmbuf_append(frames[0], 60);
    EXPECT_EQ((*port)->tx_burst(0, frames, 1), 1);
    EXPECT_EQ((*port)->counters().tx_dropped, 1U);
}

}  // namespace

}  // namespace culvert::io
