#include "dataplane/io/host_link.h"

#include "base/bytes.h"
#include "base/check.h"
#include "base/ip.h"
#include "base/log.h"
#include "dataplane/io/packet_pool.h"
#include "dataplane/io/ring.h"
#include "dataplane/io/thread.h"

#include <fmt/format.h>
#include <rte_errno.h>
#include <rte_mbuf.h>
#include <rte_ring.h>

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace culvert::io {
namespace {

constexpr std::size_t kRoom = kDataRoom - kHeadroom - kTailroom;

rte_ring* make_ring(const char* kind, const void* owner, std::size_t worker)
{
    // Rings have names in DPDK, of at most 28 letters; the owner's address makes them unique.
    const auto name = fmt::format("{}{:x}w{}", kind, reinterpret_cast<std::uintptr_t>(owner), worker);
    rte_ring* ring = rte_ring_create(name.c_str(), HostLink::kRing, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
    CULVERT_CHECK(ring != nullptr);
    return ring;
}

void free_ring(rte_ring* ring)
{
    void* packet;
    while (rte_ring_dequeue(ring, &packet) == 0) rte_pktmbuf_free(static_cast<rte_mbuf*>(packet));
    rte_ring_free(ring);
}

void add(std::atomic<std::uint64_t>& counter, std::uint64_t n) noexcept
{
    counter.store(counter.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
}

// Packets between the same two addresses stay in order: they go to the same worker. Zero for what is no IP packet.
std::uint64_t address_hash(const std::uint8_t* ip, std::size_t length) noexcept
{
    const unsigned version = ip[0] >> 4;
    std::uint64_t words[4] = {};
    if (version == 4 && length >= 20)
        std::memcpy(words, ip + 12, 8);
    else if (version == 6 && length >= 40)
        std::memcpy(words, ip + 8, 32);
    else
        return 0;
    const std::uint64_t h = mix(words[0] ^ mix(words[1] ^ mix(words[2] ^ mix(words[3] + 1))));
    return h != 0 ? h : 1;
}

}  // namespace

struct HostLink::Tun {
    VrfId vrf;
    int fd;
    bool broken = false;  // told once

    Tun(VrfId v, int f) : vrf(v), fd(f) {}
    ~Tun() { close(fd); }
};

struct HostLink::Queues {
    rte_ring* to_host;
    rte_ring* from_host;
};

// Written by the link's thread alone.
struct HostLink::Counters {
    std::atomic<std::uint64_t> to_host_packets{0}, to_host_octets{0}, to_host_dropped{0};
    std::atomic<std::uint64_t> from_host_packets{0}, from_host_octets{0}, from_host_dropped{0};
};

VrfId host_vrf(const rte_mbuf& packet) noexcept { return VrfId{static_cast<std::uint16_t>(packet.hash.usr)}; }

HostLink::HostLink(rte_mempool* pool, std::vector<api::Wake*> wakes)
    : pool_(pool),
      wakes_(std::move(wakes)),
      counters_(std::make_unique<Counters>()),
      epoll_(epoll_create1(EPOLL_CLOEXEC)),
      touched_(wakes_.size())
{
    CULVERT_CHECK(epoll_ >= 0 && !wakes_.empty());
    for (std::size_t w = 0; w < wakes_.size(); ++w)
        queues_.push_back({make_ring("th", this, w), make_ring("fh", this, w)});
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.ptr = nullptr;
    CULVERT_CHECK(epoll_ctl(epoll_, EPOLL_CTL_ADD, wake_.fd(), &event) == 0);
    thread_ = std::thread([this] { run(); });
}

HostLink::~HostLink()
{
    stop_.store(true);
    wake_.signal();
    thread_.join();
    for (const auto& q : queues_) {
        free_ring(q.to_host);
        free_ring(q.from_host);
    }
    close(epoll_);
}

void HostLink::attach(VrfId vrf, int tun)
{
    const int fd = fcntl(tun, F_DUPFD_CLOEXEC, 3);
    if (fd < 0) {
        log::error("host-link", "VRF {}: its TUN descriptor can't be duplicated: {}", index(vrf), std::strerror(errno));
        return;
    }
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);

    detach(vrf);
    auto t = std::make_unique<Tun>(vrf, fd);
    const std::lock_guard lock{mutex_};
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.ptr = t.get();
    if (epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) != 0)
        log::error("host-link", "VRF {}: its TUN can't be waited for: {}", index(vrf), std::strerror(errno));
    tuns_.push_back(std::move(t));
}

void HostLink::detach(VrfId vrf)
{
    const std::lock_guard lock{mutex_};
    const auto gone = std::find_if(tuns_.begin(), tuns_.end(), [&](const auto& t) { return t->vrf == vrf; });
    if (gone == tuns_.end()) return;
    epoll_ctl(epoll_, EPOLL_CTL_DEL, (*gone)->fd, nullptr);
    tuns_.erase(gone);
}

unsigned HostLink::send(WorkerId worker, VrfId vrf, std::span<rte_mbuf* const> packets) noexcept
{
    if (packets.empty()) return 0;
    for (rte_mbuf* const m : packets) m->hash.usr = index(vrf);
    const unsigned n =
        rte_ring_sp_enqueue_burst(queues_[index(worker)].to_host, reinterpret_cast<void* const*>(packets.data()),
                                  static_cast<unsigned>(packets.size()), nullptr);
    wake_.signal();
    return n;
}

unsigned HostLink::receive(WorkerId worker, std::span<rte_mbuf*> packets) noexcept
{
    return rte_ring_sc_dequeue_burst(queues_[index(worker)].from_host, reinterpret_cast<void**>(packets.data()),
                                     static_cast<unsigned>(packets.size()), nullptr);
}

bool HostLink::pending(WorkerId worker) const noexcept { return has_packets(queues_[index(worker)].from_host); }

HostLinkCounters HostLink::counters() const noexcept
{
    const auto get = [](const std::atomic<std::uint64_t>& c) { return c.load(std::memory_order_relaxed); };
    return {get(counters_->to_host_packets),   get(counters_->to_host_octets),   get(counters_->to_host_dropped),
            get(counters_->from_host_packets), get(counters_->from_host_octets), get(counters_->from_host_dropped)};
}

// Workers' packets to their TUNs. True: there was one.
bool HostLink::write_round()
{
    bool found = false;
    for (const auto& q : queues_) {
        rte_mbuf* packets[kBurst];
        const unsigned n = rte_ring_sc_dequeue_burst(q.to_host, reinterpret_cast<void**>(packets), kBurst, nullptr);
        found |= n > 0;
        for (unsigned i = 0; i < n; ++i) {
            const rte_mbuf* const m = packets[i];
            const VrfId vrf = host_vrf(*m);
            const auto tun = std::find_if(tuns_.begin(), tuns_.end(), [&](const auto& t) { return t->vrf == vrf; });
            iovec parts[8];
            int count = 0;
            for (const rte_mbuf* s = m; s && count < 8; s = s->next)
                parts[count++] = {rte_pktmbuf_mtod(s, void*), s->data_len};
            // A TUN that is down says EIO.
            const bool written = tun != tuns_.end() && m->nb_segs <= 8 &&
                                 writev((*tun)->fd, parts, count) == static_cast<ssize_t>(m->pkt_len);
            add(written ? counters_->to_host_packets : counters_->to_host_dropped, 1);
            if (written) add(counters_->to_host_octets, m->pkt_len);
        }
        rte_pktmbuf_free_bulk(packets, n);
    }
    return found;
}

void HostLink::steer(rte_mbuf* packet)
{
    const std::uint64_t hash = address_hash(rte_pktmbuf_mtod(packet, const std::uint8_t*), packet->data_len);
    const std::size_t worker = hash % queues_.size();
    const std::uint32_t length = packet->pkt_len;  // once queued, the packet is the worker's
    // Not IP, or no room: the sender's TCP finds out by itself.
    if (hash == 0 || rte_ring_sp_enqueue(queues_[worker].from_host, packet) != 0) {
        add(counters_->from_host_dropped, 1);
        rte_pktmbuf_free(packet);
        return;
    }
    add(counters_->from_host_packets, 1);
    add(counters_->from_host_octets, length);
    touched_[worker] = true;
}

void HostLink::read_tun(Tun& tun)
{
    for (unsigned i = 0; i < kBurst; ++i) {
        rte_mbuf* m = rte_pktmbuf_alloc(pool_);
        std::uint8_t lost[64];
        std::uint8_t beyond;
        iovec parts[2] = {{lost, sizeof lost}, {&beyond, 1}};
        if (m) {
            m->data_off = kHeadroom;
            parts[0] = {rte_pktmbuf_mtod(m, void*), kRoom};
        }
        // Without a buffer the packet is taken and dropped: else its descriptor would keep this thread spinning.
        const ssize_t n = readv(tun.fd, parts, 2);
        if (n <= 0) {
            rte_pktmbuf_free(m);
            if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
            // The device was removed: its descriptor would be readable for ever.
            if (!tun.broken)
                log::warning("host-link", "the TUN of VRF {} is gone: {}", index(tun.vrf), std::strerror(errno));
            tun.broken = true;
            epoll_ctl(epoll_, EPOLL_CTL_DEL, tun.fd, nullptr);
            return;
        }
        if (!m || n > static_cast<ssize_t>(kRoom)) {
            add(counters_->from_host_dropped, 1);
            rte_pktmbuf_free(m);
            continue;
        }
        m->data_len = static_cast<std::uint16_t>(n);
        m->pkt_len = static_cast<std::uint32_t>(n);
        m->hash.usr = index(tun.vrf);
        steer(m);
    }
}

void HostLink::run()
{
    name_thread("culvert-host");
    const LcoreRegistration lcore;
    epoll_event events[32];
    while (!stop_.load(std::memory_order_relaxed)) {
        bool found;
        {
            const std::lock_guard lock{mutex_};
            found = write_round();
            // Asked without waiting, under the lock: what it names is there as long as the lock is held.
            const int n = epoll_wait(epoll_, events, 32, 0);
            for (int i = 0; i < n; ++i) {
                if (!events[i].data.ptr) continue;
                found = true;
                read_tun(*static_cast<Tun*>(events[i].data.ptr));
            }
        }
        for (std::size_t w = 0; w < touched_.size(); ++w)
            if (touched_[w]) wakes_[w]->signal();
        std::fill(touched_.begin(), touched_.end(), false);
        if (found) continue;

        wake_.arm();
        const bool waiting = stop_.load() || std::any_of(queues_.begin(), queues_.end(),
                                                         [](const auto& q) { return has_packets(q.to_host); });
        if (!waiting) epoll_wait(epoll_, events, 1, -1);
        wake_.disarm();
    }
}

}  // namespace culvert::io
