#include "tests/unit/io/wire.h"

#include "dataplane/io/gso.h"

#include <gmock/gmock.h>

#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/udp.h>

namespace culvert::io {
namespace {

using testing::HasSubstr;

constexpr std::uint8_t octet(const rte_mbuf& m, std::size_t at)
{
    return at < m.data_len ? rte_pktmbuf_mtod(&m, const std::uint8_t*)[at] : 0;
}

TEST_F(WireTest, TcpFromAKernelWithDefaultOffloadsArrivesWhole)
{
    open();
    std::atomic<unsigned> largest{0};
    Forwarder wire{*a, *b, [&](const rte_mbuf& m) { largest = std::max(largest.load(), m.pkt_len); }};
    const double v4 = transfer("10.8.0.2", 32 << 20);
    const double v6 = transfer("2001:db8:8::2", 32 << 20);
    EXPECT_EQ(largest, 1514U) << "large segments were cut, and there were full ones";
    // Not one frame was thrown away by the receiving kernel for its checksum.
    EXPECT_THAT(right->run("grep -A1 ^TcpInErrs /dev/null; nstat -asz TcpInCsumErrors UdpInCsumErrors"),
                testing::ContainsRegex("TcpInCsumErrors +0 "));
    std::printf("[ figure   ] TCP through two ports: IPv4 %.0f Mbit/s, IPv6 %.0f Mbit/s\n", v4, v6);
    const auto counters = a->counters();
    EXPECT_EQ(counters.rx_errors, 0U);
    EXPECT_GT(counters.rx_packets, 64U << 20 / 1460);
}

TEST_F(WireTest, JumboFramesPass)
{
    open(9000);
    left->ip("link set l0 mtu 9000");
    right->ip("link set q0 mtu 9000");
    Forwarder wire{*a, *b};
    EXPECT_THAT(left->run("ping -c 3 -i 0.2 -M do -s 8972 10.8.0.2"), HasSubstr(" 0% packet loss"));
    EXPECT_THAT(left->run("ping -c 3 -i 0.2 -M do -s 8952 2001:db8:8::2"), HasSubstr(" 0% packet loss"));
    transfer("10.8.0.2", 8 << 20);
}

TEST_F(WireTest, FramesLargerThanABufferAreCountedNotCut)
{
    open(9000);
    left->ip("link set l0 mtu 12000");
    right->ip("link set q0 mtu 12000");
    router->ip("link set ra mtu 12000");  // behind the port's back: or veth itself would drop them
    Forwarder wire{*a, *b};
    const auto before = a->counters();
    EXPECT_THAT(left->run("ping -c 2 -i 0.2 -W 1 -M do -s 11000 10.8.0.2"), HasSubstr("100% packet loss"));
    EXPECT_EQ(a->counters().rx_dropped - before.rx_dropped, 2U);
}

TEST_F(WireTest, FragmentsArriveAsFragments)
{
    open();
    std::atomic<int> first{0}, middle{0}, last{0};
    Forwarder wire{*a, *b, [&](const rte_mbuf& m) {
                       if (octet(m, 12) != 8 || octet(m, 13) != 0 || octet(m, 23) != IPPROTO_ICMP) return;
                       const unsigned word = octet(m, 20) << 8U | octet(m, 21);
                       const bool more = (word & 0x2000) != 0;
                       const unsigned offset = word & 0x1fff;
                       if (more && offset == 0) ++first;
                       if (more && offset != 0) ++middle;
                       if (!more && offset != 0) ++last;
                   }};
    EXPECT_THAT(left->run("ping -c 2 -i 0.2 -s 4000 10.8.0.2"), HasSubstr(" 0% packet loss"));
    EXPECT_EQ(first, 4);  // two questions and two answers, three fragments each
    EXPECT_EQ(middle, 4);
    EXPECT_EQ(last, 4);
}

// The peer's kernel strips the outer tag on the way; a frame as its VLAN device would send it, large segment or not.
void tcp_in_vlan(std::vector<std::uint8_t>& frame, std::size_t payload)
{
    frame.assign(14 + 4 + 20 + 20 + payload, 'x');
    const std::uint8_t headers[] = {
        2,    0, 0,    0, 0, 1, 2,  0, 0,  0, 0, 2,                                 // addresses
        0x81, 0, 0xa0, 7, 8, 0,                                                     // VLAN 7, priority 5
        0x45, 0, 0,    0, 0, 1, 64, 0, 64, 6, 0, 0, 10,   7,    0, 1, 10, 7, 0, 2,  // IPv4, without its checksum
        1,    2, 3,    4, 0, 0, 0,  1, 0,  0, 0, 0, 0x50, 0x10, 1, 0, 0,  0, 0, 0,  // TCP
    };
    std::copy(std::begin(headers), std::end(headers), frame.begin());
    const auto total = static_cast<std::uint16_t>(frame.size() - 18);
    frame[20] = static_cast<std::uint8_t>(total >> 8);
    frame[21] = static_cast<std::uint8_t>(total);
}

TEST_F(WireTest, VlanTagsAreInTheFrameAndLargeSegmentsInsideAreCut)
{
    open();
    left->inside([&] {
        const int s = socket(AF_PACKET, SOCK_RAW, 0);
        const int one = 1;
        ASSERT_EQ(setsockopt(s, SOL_PACKET, PACKET_VNET_HDR, &one, sizeof one), 0);
        sockaddr_ll to{};
        to.sll_family = AF_PACKET;
        to.sll_ifindex = static_cast<int>(if_nametoindex("l0"));
        for (const std::size_t payload : {100, 10000}) {
            std::vector<std::uint8_t> frame;
            tcp_in_vlan(frame, payload);
            VnetHeader vnet;
            vnet.flags = kVnetNeedsChecksum;
            vnet.csum_start = 38;
            vnet.csum_offset = 16;
            if (payload > 1460) {
                vnet.gso_type = kGsoTcp4;
                vnet.gso_size = 1460;
                vnet.hdr_len = 58;
            }
            iovec parts[2] = {{&vnet, sizeof vnet}, {frame.data(), frame.size()}};
            msghdr m{};
            m.msg_name = &to;
            m.msg_namelen = sizeof to;
            m.msg_iov = parts;
            m.msg_iovlen = 2;
            ASSERT_EQ(sendmsg(s, &m, 0), static_cast<ssize_t>(sizeof vnet + frame.size())) << std::strerror(errno);
        }
        close(s);
    });
    std::vector<unsigned> lengths;
    EXPECT_TRUE(eventually([&] {
        rte_mbuf* frames[2];  // a burst smaller than a segment has pieces
        const auto n = a->rx_burst(0, frames, 2);
        for (unsigned i = 0; i < n; ++i) {
            const rte_mbuf& m = *frames[i];
            if (octet(m, 0) != 2 || octet(m, 5) != 1) continue;
            lengths.push_back(m.pkt_len);
            EXPECT_EQ(octet(m, 11), 2);
            EXPECT_EQ(octet(m, 12), 0x81);
            EXPECT_EQ(octet(m, 13), 0);
            EXPECT_EQ(octet(m, 14), 0xa0) << "priority 5";
            EXPECT_EQ(octet(m, 15), 7);
            EXPECT_EQ(octet(m, 16), 8);
            EXPECT_EQ(octet(m, 18), 0x45);
            EXPECT_EQ(octet(m, 20) << 8 | octet(m, 21), static_cast<int>(m.pkt_len) - 18);
        }
        rte_pktmbuf_free_bulk(frames, n);
        return lengths.size() == 8;
    }));
    EXPECT_EQ(lengths, (std::vector<unsigned>{158, 1518, 1518, 1518, 1518, 1518, 1518, 58 + 10000 - 6 * 1460}));

    // And out again.
    rte_mbuf* m = rte_pktmbuf_alloc(pool);
    std::vector<std::uint8_t> frame;
    tcp_in_vlan(frame, 1460);
    std::memcpy(rte_pktmbuf_append(m, static_cast<std::uint16_t>(frame.size())), frame.data(), frame.size());
    EXPECT_EQ(a->tx_burst(0, &m, 1), 1);
    EXPECT_EQ(a->counters().tx_packets, 1U) << "a full frame with a tag fits the MTU";
    m = rte_pktmbuf_alloc(pool);
    std::memset(rte_pktmbuf_append(m, 1519), 1, 1519);
    EXPECT_EQ(a->tx_burst(0, &m, 1), 1);
    EXPECT_EQ(a->counters().tx_dropped, 1U) << "and a larger one is dropped and counted";
}

TEST_F(WireTest, UdpSegmentationOffloadIsUndone)
{
    open();
    std::atomic<int> seen{0};
    Forwarder wire{
        *a, *b, [&](const rte_mbuf& m) {
            if (octet(m, 12) == 8 && octet(m, 23) == IPPROTO_UDP && octet(m, 36) == 0x1f && octet(m, 37) == 0x40)
                ++seen;
        }};
    std::atomic<bool> bound{false};
    std::vector<ssize_t> sizes;
    std::thread receiver([&] {
        right->inside([&] {
            const int s = socket(AF_INET, SOCK_DGRAM, 0);
            sockaddr_in any{};
            any.sin_family = AF_INET;
            any.sin_port = htons(8000);
            ASSERT_EQ(bind(s, reinterpret_cast<sockaddr*>(&any), sizeof any), 0);
            bound = true;
            const timeval limit{2, 0};
            setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
            char data[65536];
            while (sizes.size() < 8) {
                const ssize_t n = recv(s, data, sizeof data, 0);
                if (n < 0) break;
                sizes.push_back(n);
            }
            close(s);
        });
    });
    while (!bound) std::this_thread::yield();
    left->inside([&] {
        const int s = socket(AF_INET, SOCK_DGRAM, 0);
        const int size = 1200;
        ASSERT_EQ(setsockopt(s, SOL_UDP, 103 /* UDP_SEGMENT */, &size, sizeof size), 0);
        sockaddr_in to{};
        to.sin_family = AF_INET;
        to.sin_port = htons(8000);
        inet_pton(AF_INET, "10.8.0.2", &to.sin_addr);
        const std::vector<char> data(7 * 1200 + 100, 'x');
        EXPECT_EQ(sendto(s, data.data(), data.size(), 0, reinterpret_cast<sockaddr*>(&to), sizeof to),
                  static_cast<ssize_t>(data.size()));
        close(s);
    });
    receiver.join();
    std::vector<ssize_t> expected(7, 1200);
    expected.push_back(100);
    EXPECT_EQ(sizes, expected);
    EXPECT_EQ(seen, 8);
}

TEST_F(WireTest, SeveralQueuesShareThePortByFlow)
{
    auto opened = open_in(*router, kernel("ra"), kFirstOwnPort, 2);
    ASSERT_TRUE(opened) << opened.error().message;
    EXPECT_EQ((*opened)->info().queues, 2);
    // A second port with queues of its own in the same namespace, as another process would have.
    auto other = open_in(*router, kernel("rb"), kFirstOwnPort + 1, 2);
    ASSERT_TRUE(other) << other.error().message;
    left->ip("neigh replace 10.8.0.2 lladdr 02:00:00:00:00:02 dev l0");
    left->inside([&] {
        const int s = socket(AF_INET, SOCK_DGRAM, 0);
        sockaddr_in to{};
        to.sin_family = AF_INET;
        inet_pton(AF_INET, "10.8.0.2", &to.sin_addr);
        for (std::uint16_t p = 0; p < 64; ++p) {
            to.sin_port = htons(static_cast<std::uint16_t>(9000 + p));
            sendto(s, "x", 1, 0, reinterpret_cast<sockaddr*>(&to), sizeof to);
        }
        close(s);
    });
    int got[2] = {};
    EXPECT_TRUE(eventually([&] {
        for (std::uint16_t q = 0; q < 2; ++q) {
            rte_mbuf* frames[32];
            const auto n = (*opened)->rx_burst(q, frames, 32);
            for (unsigned i = 0; i < n; ++i) {
                EXPECT_EQ(frames[i]->port, kFirstOwnPort);
                if (octet(*frames[i], 12) == 8 && octet(*frames[i], 23) == IPPROTO_UDP) ++got[q];
            }
            rte_pktmbuf_free_bulk(frames, n);
        }
        return got[0] + got[1] == 64;
    })) << got[0]
        << " and " << got[1];
    EXPECT_GT(got[0], 8);
    EXPECT_GT(got[1], 8);
}

TEST_F(WireTest, IdlesAtAFewPercentAndWakesAtOnce)
{
    open();
    Forwarder wire{*a, *b};
    left->run("ping -c 1 10.8.0.2");
    std::this_thread::sleep_for(200ms);
    const double before = wire.cpu_seconds();
    // Counted when the thread wakes: a ping at each end of the second.
    left->run("ping -c 1 10.8.0.2");
    std::this_thread::sleep_for(2s);
    left->run("ping -c 1 10.8.0.2");
    const double percent = (wire.cpu_seconds() - before) / 2 * 100;
    EXPECT_LT(percent, 5.0);
    const std::string pings = left->run("ping -c 200 -i 0.01 -q 10.8.0.2");
    EXPECT_THAT(pings, HasSubstr(" 0% packet loss"));
    std::printf("[ figure   ] idle %.2f %% of a core; %s", percent, pings.substr(pings.find("rtt")).c_str());
}

}  // namespace

}  // namespace culvert::io
