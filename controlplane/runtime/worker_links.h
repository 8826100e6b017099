#pragma once

#include "controlplane/runtime/core.h"

#include <deque>
#include <functional>
#include <vector>

namespace culvert::runtime {

// The queues to and from every worker: what does not fit now waits here in order, what arrives goes to its handler.
class WorkerLinks {
public:
    explicit WorkerLinks(Core& core);
    ~WorkerLinks();

    void command(WorkerId worker, const api::WorkerCommand& command);
    void command_all(const api::WorkerCommand& command);
    // Packets are not queued beyond the ring: their protocols send again. False: dropped, counted.
    bool inject_frame(InterfaceId interface, Bytes frame);
    bool inject_packet(VrfId vrf, Bytes packet);

    std::function<void(const api::WorkerEvent&)> on_event;
    std::function<void(const api::Punt&)> on_punt;
    // Some worker could not queue an event: states are to be looked at afresh.
    std::function<void()> on_lost_events;

    std::uint64_t injects_dropped() const noexcept { return injects_dropped_; }

private:
    struct Link {
        api::WorkerLink* queues;
        std::deque<api::WorkerCommand> waiting;
        std::uint64_t lost_seen = 0;
        Loop::Watch watch;
    };
    void drain(Link& link);
    void flush(Link& link);
    bool inject(api::InjectKind kind, VrfId vrf, InterfaceId interface, Bytes bytes);

    Core& core_;
    std::deque<Link> links_;
    Loop::Timer retry_;
    std::uint64_t injects_dropped_ = 0;
};

}  // namespace culvert::runtime
