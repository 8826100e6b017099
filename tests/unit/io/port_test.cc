#include "dataplane/io/port.h"

#include "dataplane/io/clock.h"
#include "dataplane/io/eal.h"
#include "dataplane/io/gso.h"
#include "dataplane/io/guardian.h"
#include "dataplane/io/host_link.h"
#include "dataplane/io/idle.h"
#include "dataplane/io/packet_pool.h"
#include "dataplane/io/thread.h"
#include "tests/unit/io/lab.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rte_cycles.h>
#include <rte_mbuf.h>

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <cstring>

namespace culvert::io {
namespace {

using lab::Namespace;
using testing::HasSubstr;

std::string holder_path;
Guardian* guardian = nullptr;
rte_mempool* pool = nullptr;

bool eventually(const std::function<bool()>& condition, Duration limit = 3s)
{
    const TimePoint end = monotonic_now() + limit;
    while (!condition()) {
        if (monotonic_now() > end) return false;
        std::this_thread::sleep_for(2ms);
    }
    return true;
}

api::PortSpec kernel(const std::string& device, std::uint16_t mtu = 1500)
{
    api::PortSpec spec;
    spec.device = device;
    spec.mtu = mtu;
    return spec;
}

Result<std::unique_ptr<Port>, api::PortError> open_in(const Namespace& ns, const api::PortSpec& spec,
                                                      std::uint16_t id = kFirstOwnPort, std::uint16_t queues = 1)
{
    Result<std::unique_ptr<Port>, api::PortError> result{nullptr};
    ns.inside([&] {
        PortOptions options;
        options.own_id = PortId{id};
        options.queues = queues;
        options.pool = pool;
        options.guardian = guardian;
        result = open_port(spec, options);
    });
    return result;
}

// Passes frames between two ports as they are, on a thread with the daemon's idle rule.
class Forwarder : IdleHooks {
public:
    using Look = std::function<void(const rte_mbuf&)>;

    Forwarder(Port& a, Port& b, Look look = {}) : ports_{&a, &b}, look_(std::move(look)), thread_([this] { run(); }) {}
    ~Forwarder()
    {
        stop_ = true;
        wake_.signal();
        thread_.join();
    }
    double cpu_seconds() const { return static_cast<double>(cpu_ns_.load()) / 1e9; }
    std::uint64_t forwarded() const { return forwarded_.load(); }
    std::atomic<bool> measure{false};

private:
    bool work_waiting() noexcept override { return stop_ || ports_[0]->pending(0) || ports_[1]->pending(0); }
    void going_to_sleep() noexcept override {}
    void woken() noexcept override {}

    void run()
    {
        const LcoreRegistration lcore;
        exact_timers();
        Idle idle{wake_, {}};
        for (Port* p : ports_) idle.add_queue(p->wait_fds(0));
        while (!stop_) {
            const TimePoint now = monotonic_now();
            bool found = false;
            for (std::size_t i = 0; i < 2; ++i) {
                rte_mbuf* frames[64];
                const auto n = ports_[i]->rx_burst(0, frames, 64);
                found |= n > 0;
                if (look_)
                    for (unsigned k = 0; k < n; ++k) look_(*frames[k]);
                std::uint16_t done = 0;
                while (done < n && !stop_)
                    done = static_cast<std::uint16_t>(
                        done + ports_[1 - i]->tx_burst(0, frames + done, static_cast<std::uint16_t>(n - done)));
                if (done < n) rte_pktmbuf_free_bulk(frames + done, n - done);
                forwarded_ += n;
            }
            idle.after_round(found, now, kNever, *this);
            timespec t;
            clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
            cpu_ns_ = t.tv_sec * 1'000'000'000LL + t.tv_nsec;
        }
        for (Port* p : ports_) idle.remove_queue(p->wait_fds(0));
    }

    Port* ports_[2];
    Look look_;
    api::Wake wake_;
    std::atomic<bool> stop_{false};
    std::atomic<std::int64_t> cpu_ns_{0};
    std::atomic<std::uint64_t> forwarded_{0};
    std::thread thread_;
};

// Another process that holds a port, or just EAL.
class Holder {
public:
    Holder(const Namespace* ns, const std::string& mode, const std::string& device = {})
    {
        int in[2], out[2];
        EXPECT_EQ(pipe2(in, O_CLOEXEC), 0);
        EXPECT_EQ(pipe2(out, O_CLOEXEC), 0);
        std::string ns_path = ns ? "/run/netns/" + ns->name() : std::string();
        pid_ = vfork();
        if (pid_ == 0) {
            dup2(in[0], 0);
            dup2(out[1], 1);
            if (!ns_path.empty()) {
                const int fd = open(ns_path.c_str(), O_RDONLY | O_CLOEXEC);
                if (setns(fd, CLONE_NEWNET) != 0) _exit(9);
            }
            execl(holder_path.c_str(), "holder", mode.c_str(), device.empty() ? nullptr : device.c_str(), nullptr);
            _exit(8);
        }
        close(in[0]);
        close(out[1]);
        in_ = in[1];
        out_ = out[0];
    }
    ~Holder()
    {
        close(in_);
        close(out_);
        if (pid_ > 0) waitpid(pid_, nullptr, 0);
    }
    std::string line()
    {
        std::string text;
        char c;
        while (read(out_, &c, 1) == 1 && c != '\n') text += c;
        return text;
    }
    void kill_hard()
    {
        kill(pid_, SIGKILL);
        waitpid(pid_, nullptr, 0);
        pid_ = -1;
    }
    // The guardian among its children.
    std::string guardian() const { return lab::output(fmt::format("ps -o pid=,comm=,args= --ppid {}", pid_)); }
    pid_t pid() const { return pid_; }

private:
    pid_t pid_ = -1;
    int in_, out_;
};

class PortTest : public testing::Test {
protected:
    void SetUp() override
    {
        if (geteuid() != 0) GTEST_SKIP() << "needs root: network namespaces and packet sockets";
    }
};

// ---- taking a netdev whole ------------------------------------------------------------------------------------------

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

// ---- frames ---------------------------------------------------------------------------------------------------------

// Two kernel peers, and in the middle a wire made of two ports.
class WireTest : public PortTest {
protected:
    void SetUp() override
    {
        PortTest::SetUp();
        if (IsSkipped()) return;
        left = std::make_unique<Namespace>("left");
        right = std::make_unique<Namespace>("right");
        router = std::make_unique<Namespace>("router");
        lab::veth(*left, "l0", *router, "ra");
        lab::veth(*right, "q0", *router, "rb");
        left->ip("addr add 10.8.0.1/24 dev l0");
        left->ip("addr add 2001:db8:8::1/64 dev l0 nodad");
        right->ip("addr add 10.8.0.2/24 dev q0");
        right->ip("addr add 2001:db8:8::2/64 dev q0 nodad");
    }
    void open(std::uint16_t mtu = 1500)
    {
        auto a_opened = open_in(*router, kernel("ra", mtu), kFirstOwnPort);
        auto b_opened = open_in(*router, kernel("rb", mtu), kFirstOwnPort + 1);
        ASSERT_TRUE(a_opened) << a_opened.error().message;
        ASSERT_TRUE(b_opened) << b_opened.error().message;
        a = std::move(*a_opened);
        b = std::move(*b_opened);
    }
    // Sends `octets` by TCP from left to right and compares them. Mbit/s.
    double transfer(const std::string& to, std::size_t octets)
    {
        std::vector<char> data(octets);
        std::uint64_t x = 88172645463325252ULL;
        for (auto& c : data) {
            x ^= x << 13, x ^= x >> 7, x ^= x << 17;
            c = static_cast<char>(x);
        }
        std::vector<char> got;
        got.reserve(octets);
        sockaddr_in6 address{};
        address.sin6_family = AF_INET6;
        address.sin6_port = htons(5201);
        const std::string mapped = to.find(':') == std::string::npos ? "::ffff:" + to : to;
        inet_pton(AF_INET6, mapped.c_str(), &address.sin6_addr);
        std::atomic<int> listening{-1};
        const TimePoint start = monotonic_now();
        std::thread server([&] {
            right->inside([&] {
                const int l = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
                const int off = 0, on = 1;
                setsockopt(l, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
                setsockopt(l, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
                sockaddr_in6 any{};
                any.sin6_family = AF_INET6;
                any.sin6_port = htons(5201);
                listening = bind(l, reinterpret_cast<sockaddr*>(&any), sizeof any) == 0 && listen(l, 1) == 0 ? 1 : 0;
                pollfd p{l, POLLIN, 0};
                if (poll(&p, 1, 5000) != 1) return;
                const int s = accept(l, nullptr, nullptr);
                std::vector<char> part(1 << 18);
                const timeval limit{5, 0};
                setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
                for (ssize_t n; (n = recv(s, part.data(), part.size(), 0)) > 0;)
                    got.insert(got.end(), part.begin(), part.begin() + n);
                close(s);
                close(l);
            });
        });
        while (listening < 0) std::this_thread::yield();
        left->inside([&] {
            const int s = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
            const timeval limit{5, 0};
            setsockopt(s, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
            EXPECT_EQ(connect(s, reinterpret_cast<sockaddr*>(&address), sizeof address), 0) << std::strerror(errno);
            std::size_t sent = 0;
            while (sent < data.size()) {
                const auto n = ::send(s, data.data() + sent, data.size() - sent, MSG_NOSIGNAL);
                if (n <= 0) break;
                sent += static_cast<std::size_t>(n);
            }
            close(s);
        });
        server.join();
        const double seconds = static_cast<double>((monotonic_now() - start) / 1us) / 1e6;
        EXPECT_EQ(got.size(), data.size());
        EXPECT_TRUE(got == data) << "the octets differ";
        return static_cast<double>(got.size()) * 8 / 1e6 / seconds;
    }

    std::unique_ptr<Namespace> left, right, router;
    std::unique_ptr<Port> a, b;
};

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

// ---- DPDK's own ports -----------------------------------------------------------------------------------------------

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

// ---- host link ------------------------------------------------------------------------------------------------------

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

// ---- EAL ------------------------------------------------------------------------------------------------------------

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
