#pragma once

#include "base/ids.h"
#include "dataplane/api/wake.h"

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <thread>
#include <vector>

struct rte_mbuf;
struct rte_mempool;
struct rte_ring;

namespace culvert::io {

struct HostLinkCounters {
    std::uint64_t to_host_packets = 0, to_host_octets = 0;
    std::uint64_t to_host_dropped = 0;  // the TUN was gone, down or wouldn't have it
    std::uint64_t from_host_packets = 0, from_host_octets = 0;
    std::uint64_t from_host_dropped = 0;  // the worker's ring was full, no buffer, or not an IP packet that fits
};

// Moves IP packets between the VRFs' TUN devices and the workers, on a thread of its own. An mbuf on its way carries
// its VRF in `hash.usr` (see host_vrf) and starts with the IP header.
class HostLink {
public:
    static constexpr unsigned kRing = 1024;  // packets each way and worker
    static constexpr unsigned kBurst = 64;   // packets of one TUN or worker before the next has its turn

    // `wakes`: one a worker, signalled when packets wait for it; must outlive this.
    HostLink(rte_mempool* pool, std::vector<api::Wake*> wakes);
    ~HostLink();  // ends the thread; packets under way are freed
    HostLink(const HostLink&) = delete;
    HostLink& operator=(const HostLink&) = delete;

    // Control thread. `tun` is duplicated, and made non-blocking (which the caller's descriptor shares). It replaces an
    // earlier one of that VRF.
    void attach(VrfId vrf, int tun);
    void detach(VrfId vrf);  // the TUN isn't used any more when this returns

    // Worker thread `worker`. Takes packets for the host; returns how many (the first ones); the rest stay the
    // caller's, for Verdict DropHostLinkFull. Multi-segment mbufs are fine.
    unsigned send(WorkerId worker, VrfId vrf, std::span<rte_mbuf* const> packets) noexcept;
    // Packets that the host sends. Their VRF is host_vrf(*mbuf).
    unsigned receive(WorkerId worker, std::span<rte_mbuf*> packets) noexcept;
    // Something waits for `worker`: don't sleep.
    bool pending(WorkerId worker) const noexcept;

    HostLinkCounters counters() const noexcept;

private:
    struct Tun;
    struct Queues;
    struct Counters;

    void run();
    bool write_round();
    void read_tun(Tun& tun);
    void steer(rte_mbuf* packet);

    rte_mempool* pool_;
    std::vector<api::Wake*> wakes_;
    std::vector<Queues> queues_;
    std::unique_ptr<Counters> counters_;
    int epoll_;
    api::Wake wake_;
    std::mutex mutex_;  // tuns_: held by the thread while it works, not while it sleeps
    std::vector<std::unique_ptr<Tun>> tuns_;
    std::vector<bool> touched_;
    std::atomic<bool> stop_{false};
    std::thread thread_;
};

VrfId host_vrf(const rte_mbuf& packet) noexcept;

}  // namespace culvert::io
