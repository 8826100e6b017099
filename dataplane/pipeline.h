#pragma once

#include "dataplane/node/context.h"
#include "dataplane/node/keepalive_sender.h"

#include <algorithm>
#include <span>

namespace culvert::dataplane {

// Where packets leave the pipeline to. Called with runs of packets, never with one at a time.
class Outlet {
public:
    virtual ~Outlet() = default;
    // Each takes the first n of `packets`, which are its own from then on; the rest are dropped with a verdict.
    // transmit() counts Verdict::Sent itself, when a frame really leaves.
    virtual std::size_t transmit(PortId port, bool control, std::span<rte_mbuf* const> frames) noexcept = 0;
    virtual std::size_t to_host(VrfId vrf, std::span<rte_mbuf* const> packets) noexcept = 0;
    virtual std::size_t hand_over(WorkerId worker, std::span<rte_mbuf* const> packets) noexcept = 0;
    // The transmit queue of `port` that this worker may use belongs to another one: that one, else self.
    virtual WorkerId transmitter(PortId port, WorkerId self) const noexcept = 0;
};

// The stages of one worker, run to completion for each burst: when an entry point returns, every packet has left,
// waits in the hold table or for another worker's cipher, or was freed. The end of the pipeline alone frees, punts and
// transmits, and counts each packet's verdict once.
class Pipeline {
public:
    Pipeline(node::Context& context, Outlet& outlet) noexcept : ctx_(context), outlet_(outlet), keepalives_(context) {}
    ~Pipeline();
    Pipeline(const Pipeline&) = delete;
    Pipeline& operator=(const Pipeline&) = delete;

    // At most node::kBurstMax each. The pipeline owns the packets from here on.
    void frames(PortId port, std::span<rte_mbuf* const> frames) noexcept;
    void from_host(std::span<rte_mbuf* const> packets) noexcept;  // their VRF is in metadata
    void handed_over(std::span<rte_mbuf* const> packets) noexcept;
    void inject(const api::Inject& inject) noexcept;

    void command(const api::WorkerCommand& command) noexcept;
    // After commands and bursts: sessions that can send now, events of the peers.
    void settle() noexcept;
    // Bursts whose cipher other workers have done by now. `idle`: or do it here. False: there are none.
    bool settle_loans(bool idle) noexcept;
    // What has waited too long. next_deadline() says when to call it.
    void expire() noexcept;
    TimePoint next_deadline() const noexcept
    {
        return std::min({ctx_.holds.next_deadline(), ctx_.reassembly.next_deadline(), ctx_.sas.next_deadline()});
    }

    // The timers of those who judge by silence, BFD and keepalives, after all that has come in was looked at. Every
    // packet that came in before `heard_until` has been. True: something was due.
    TimePoint speaks_at() const noexcept;
    bool speak(TimePoint now, TimePoint heard_until) noexcept;
    // BFD's peers are told that we end, within `most`. True: all have been.
    bool say_goodbye(TimePoint now, Duration most) noexcept;

    // Frees all that waits, as DropShutdown.
    void shut_down() noexcept;

private:
    void run(node::Burst& burst, node::Stage stage) noexcept;
    void drain() noexcept;
    bool advance(node::Burst& burst, node::Stage& stage) noexcept;
    void finish(node::Burst& burst) noexcept;
    void transmit(node::Burst& burst) noexcept;
    void deliver(std::span<rte_mbuf* const> packets) noexcept;
    void hand_over(std::span<rte_mbuf* const> packets) noexcept;
    void punt(rte_mbuf* m) noexcept;
    void drop(rte_mbuf* m, api::Verdict verdict) noexcept;
    void resume(node::PacketList list) noexcept;
    void end_all(node::PacketList list, api::Verdict verdict) noexcept;
    void keepalive(PeerId peer) noexcept;
    void settle_sas() noexcept;
    void watch_protection(const api::WorkerEvent& event) noexcept;
    void nat_keepalive(const esp::Keepalive& keepalive) noexcept;

    node::Context& ctx_;
    Outlet& outlet_;
    node::KeepaliveSender keepalives_;
    bool leaving_ = false;
    api::Punt punt_{};
};

}  // namespace culvert::dataplane
