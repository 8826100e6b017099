#pragma once

#include "crypto/aead.h"
#include "dataplane/api/dataplane.h"
#include "dataplane/fib/tables.h"
#include "dataplane/hearing.h"
#include "dataplane/io/clock.h"
#include "dataplane/io/host_link.h"
#include "dataplane/io/idle.h"
#include "dataplane/io/port.h"
#include "dataplane/io/receive_stamps.h"
#include "dataplane/io/rouser.h"
#include "dataplane/node/bfd_speaker.h"
#include "dataplane/pipeline.h"
#include "dataplane/port_links.h"
#include "dataplane/reception.h"
#include "dataplane/transmit_queues.h"
#include "dataplane/urgency.h"

#include <sys/types.h>

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
        std::size_t max_held = 1024;   // packets; fragments beside them at most as many again
        io::Rouser* rouser = nullptr;  // of a worker that isn't bound to a CPU; outlives it
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
    api::WorkerRuntime runtime() const;

private:
    struct Queue {
        io::Port* port;
        PortId id;
        std::uint16_t queue;
        io::ReceiveStamps stamps;
        Reception reception{};
    };
    static constexpr Duration kHeldUp = 1ms;  // a gap between polls that is longer is a stall
    static constexpr Duration kFarewell = 12ms;

    void main();
    bool round() noexcept;
    bool poll_control() noexcept;
    bool poll_host() noexcept;
    bool poll_workers() noexcept;
    bool poll_inbox(rte_ring* inbox, bool& drained) noexcept;
    void speak() noexcept;
    bool poll_ports() noexcept;
    bool lend() noexcept;
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
    io::Rouser::Sleeper* sleeper_;  // null: nobody moves it
    fib::Rcu::Reader reader_;
    rte_ring* inbox_;          // from other workers
    rte_ring* control_inbox_;  // likewise, what goes before data
    Hearing hearing_;
    io::HostLink* host_link_ = nullptr;
    std::vector<Worker*> all_;

    std::vector<Queue> queues_;  // that this worker receives from
    TransmitQueues transmit_;
    PortLinks links_;  // of the worker that watches links

    std::shared_ptr<const PortList> ports_;  // control's
    std::atomic<const PortList*> wanted_{nullptr};
    std::atomic<const PortList*> adopted_{nullptr};
    std::atomic<bool> leaving_{false}, left_{false};
    std::atomic<bool> stopping_{false};

    Urgency urgency_;

    node::Count polls_, busy_polls_, sleeps_, packets_, cycles_busy_;
    std::atomic<std::int64_t> longest_gap_{0};
    std::size_t round_packets_ = 0;
    unsigned pressure_ = 0;  // rounds in a row that were full
    std::atomic<pid_t> tid_{0};
    std::thread thread_;
};

}  // namespace culvert::dataplane
