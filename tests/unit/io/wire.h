#pragma once

#include "dataplane/io/idle.h"
#include "dataplane/io/thread.h"
#include "tests/unit/io/port_lab.h"

#include <rte_mbuf.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <atomic>
#include <cstring>
#include <utility>
#include <vector>

// A wire between two kernels, made of two ports.
namespace culvert::io {

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

}  // namespace culvert::io
