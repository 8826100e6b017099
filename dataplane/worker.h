#pragma once

#include "crypto/aead.h"
#include "dataplane/api/dataplane.h"
#include "dataplane/fib/tables.h"
#include "dataplane/io/clock.h"
#include "dataplane/io/host_link.h"
#include "dataplane/io/idle.h"
#include "dataplane/io/link_watch.h"
#include "dataplane/io/port.h"
#include "dataplane/io/receive_stamps.h"
#include "dataplane/node/bfd_speaker.h"
#include "dataplane/pipeline.h"
#include "dataplane/reception.h"
#include "dataplane/transmit_queue.h"

#include <array>
#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

struct rte_ring;

namespace culvert::dataplane {

// The ports that are open. A new list replaces the old one whole; a worker that goes on with the new one holds nothing
// of the old any more.
using PortList = std::vector<io::Port*>;

// A thread that polls: its queues of the ports, the host link, its commands and what other workers give it.
class Worker final : private Outlet, private io::IdleHooks {
public:
    struct Options {
        WorkerId id{};
        std::uint8_t workers = 1;
        std::optional<unsigned> cpu;  // floats without
        bool busy = false;            // never sleeps
        bool realtime = true;         // may go before all other threads while it has BFD sessions
        std::uint64_t hash_seed = 0;
        std::span<api::TunnelActivity> tunnel_activity{};
        std::span<api::ProtectionActivity> protection_activity{};
        std::size_t max_held = 1024;  // packets; fragments beside them at most as many again
    };

    Worker(const Options& options, const std::string& name, fib::Rcu& rcu, const fib::Tables& tables, rte_mempool* pool,
           std::span<api::PeerActivity> activity, std::span<api::BfdActivity> bfd_activity, node::OwnerHints& hints);
    ~Worker();

    // Control thread, in this order: start, any number of set_ports, leave (of all workers), stop.
    void start(io::HostLink& host_link, std::span<Worker* const> all);
    // Returns when the thread goes by the new list.
    void set_ports(std::shared_ptr<const PortList> ports);
    // BFD's peers are told of the end, a few times in a few milliseconds; all else goes on. left(): they have been.
    void leave() noexcept;
    bool left() const noexcept { return left_.load(std::memory_order_acquire); }
    void stop();

    api::WorkerLink& link() noexcept { return link_; }
    const node::Counters& counters() const noexcept { return counters_; }
    api::WorkerRuntime runtime() const noexcept;

private:
    struct Queue {
        io::Port* port;
        PortId id;
        std::uint16_t queue;
        io::ReceiveStamps stamps;
        Reception reception{};
    };
    struct Link {
        io::Port* port;
        PortId id;
        bool up;
        std::uint32_t told = 0;  // the generation of the port's word that was set because of this loss
    };
    // How often links are looked at: the kernel's devices when it says so and now and then all the same, DPDK's always.
    static constexpr Duration kLinkLook = 1ms;
    static constexpr Duration kKernelLinkPoll = 50ms;
    static constexpr Duration kDpdkLinkPoll = 10ms;  // while asleep
    static constexpr Duration kHeldUp = 1ms;         // a gap between polls that is longer is a stall
    static constexpr Duration kRestPeriod = 10ms;    // of a real-time worker
    static constexpr Duration kRest = 1ms;
    static constexpr Duration kFarewell = 12ms;
    static constexpr Duration kLongestSilence = 20ms;  // of another worker that is waited for before a BFD verdict

    void main();
    bool round() noexcept;
    bool poll_control() noexcept;
    bool poll_host() noexcept;
    bool poll_workers() noexcept;
    bool poll_inbox(rte_ring* inbox, bool& drained) noexcept;
    TimePoint heard_until(TimePoint now) const noexcept;
    void speak() noexcept;
    void mind_urgency() noexcept;
    bool poll_ports() noexcept;
    bool lend() noexcept;
    void poll_links() noexcept;
    void look_at_link(Link& link) noexcept;
    void adopt_ports();
    TimePoint next_deadline() const noexcept;

    std::size_t transmit(PortId port, bool control, std::span<rte_mbuf* const> frames) noexcept override;
    std::size_t to_host(VrfId vrf, std::span<rte_mbuf* const> packets) noexcept override;
    std::size_t hand_over(WorkerId worker, std::span<rte_mbuf* const> packets) noexcept override;
    WorkerId transmitter(PortId port, WorkerId self) const noexcept override;
    bool work_waiting() noexcept override;
    void going_to_sleep() noexcept override;
    void woken() noexcept override;

    Options options_;
    std::string name_;
    api::WorkerLink link_;
    node::Counters counters_;
    crypto::AeadContext aead_;
    wg::PeerTable peers_;
    esp::SaTable sas_;
    node::HoldTable holds_;
    node::LoanBox loans_;  // of other workers
    node::Context context_;
    node::BfdSpeaker bfd_;
    Pipeline pipeline_;
    io::TscClock clock_;
    io::Idle idle_;
    fib::Rcu::Reader reader_;
    rte_ring* inbox_;          // from other workers
    rte_ring* control_inbox_;  // likewise, what goes before data
    // All that came in by our queues before it has been looked at, or lies in the inbox of the worker that it is for.
    std::atomic<std::int64_t> heard_until_{0};
    TimePoint others_heard_{};  // the least of the other workers', all of whose packets for us were taken
    io::HostLink* host_link_ = nullptr;
    std::vector<Worker*> all_;

    std::vector<Queue> queues_;  // that this worker receives from
    std::array<std::unique_ptr<TransmitQueue>, io::kMaxPorts> transmit_;
    std::array<std::uint8_t, io::kMaxPorts> transmitter_{};
    std::unique_ptr<io::LinkWatch> link_watch_;  // of the worker that watches links
    std::vector<Link> links_;                    // whose state this worker watches
    TimePoint next_link_look_ = kNever;
    TimePoint next_link_poll_ = kNever;
    std::size_t waiting_frames_ = 0;  // transmit queues that are not empty

    std::shared_ptr<const PortList> ports_;  // control's
    std::atomic<const PortList*> wanted_{nullptr};
    std::atomic<const PortList*> adopted_{nullptr};
    std::atomic<bool> leaving_{false}, left_{false};
    std::atomic<bool> stopping_{false};

    bool urgent_ = false;    // has BFD sessions
    bool realtime_ = false;  // SCHED_FIFO
    TimePoint rest_check_{};
    Duration cpu_used_{};

    node::Count polls_, busy_polls_, sleeps_, packets_, cycles_busy_;
    std::atomic<std::int64_t> longest_gap_{0};
    std::size_t round_packets_ = 0;
    unsigned pressure_ = 0;  // rounds in a row that were full
    std::thread thread_;
};

}  // namespace culvert::dataplane
