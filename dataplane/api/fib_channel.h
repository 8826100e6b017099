#pragma once

#include "base/ip.h"
#include "dataplane/api/fib_update.h"
#include "dataplane/api/wake.h"

#include <boost/lockfree/spsc_queue.hpp>

#include <atomic>
#include <cstdint>
#include <deque>
#include <unordered_map>

namespace culvert::api {

// Control plane -> fib-writer. One thread pushes, one pops. Nothing is ever lost and push never blocks: when the ring
// is full, what does not fit waits here in order, and prefixes that wait coalesce (the newest update of a key wins).
class FibChannel {
public:
    static constexpr std::size_t kCapacity = 1 << 15;

    // Control thread.
    void push(const FibUpdate& update);
    // Ends a batch. The generation is forwarding once acked() has reached it.
    std::uint64_t commit();
    // Moves what waits into the ring as far as it fits; called from the event loop while backlog() > 0.
    void flush();
    std::size_t backlog() const noexcept { return waiting_.size(); }
    std::uint64_t committed() const noexcept { return generation_; }
    std::uint64_t acked() const noexcept { return acked_.load(std::memory_order_acquire); }

    // fib-writer thread.
    bool pop(FibUpdate& update) { return ring_.pop(update); }
    void ack(std::uint64_t generation)
    {
        acked_.store(generation, std::memory_order_release);
        acked_wake.signal();
    }

    Wake writer_wake;  // a batch was committed, or found room, after the writer ran dry
    Wake acked_wake;   // a generation was acked

private:
    struct RouteKey {
        VrfId vrf;
        IpPrefix prefix;
        friend bool operator==(const RouteKey&, const RouteKey&) = default;
    };
    struct RouteKeyHash {
        std::size_t operator()(const RouteKey& k) const noexcept
        {
            return std::hash<IpPrefix>{}(k.prefix) + index(k.vrf) * 0x9e3779b97f4a7c15ULL;
        }
    };

    void wait(const FibUpdate& update);

    boost::lockfree::spsc_queue<FibUpdate, boost::lockfree::capacity<kCapacity>> ring_;
    std::atomic<std::uint64_t> acked_{0};
    std::uint64_t generation_ = 0;
    struct Waiting {
        FibUpdate update;
        bool superseded = false;  // a newer update of the same key waits behind it
    };
    std::deque<Waiting> waiting_;
    std::uint64_t waiting_first_ = 0;  // sequence number of waiting_.front()
    // Where in waiting_ the open batch's update of a key lies; emptied at each commit. The newest goes to the end,
    // never to the older one's place: it may name a group that is created in between.
    std::unordered_map<RouteKey, std::uint64_t, RouteKeyHash> latest_;
};

}  // namespace culvert::api
