#pragma once

#include "dataplane/api/worker_link.h"

#include <cstddef>
#include <unordered_map>

namespace culvert::node {

// The keepalives of the GRE tunnels that one worker owns: when one is sent, whose far end no longer answers, whose does
// again. As IOS has it: one a period; when so many in a row were not answered the tunnel is down. No I/O, no clock.
class Keepalives {
public:
    // What it has done by the worker, in the same instant.
    class Actions {
    public:
        virtual ~Actions() = default;
        // False: none can be asked for now (no such tunnel yet, shut down, protected); that is nobody's failure.
        virtual bool send(InterfaceId tunnel) noexcept = 0;
        // When the last answer came; zero: never.
        virtual TimePoint last_answer(InterfaceId tunnel) const noexcept = 0;
        // `since`: the last sign of life.
        virtual void went_down(InterfaceId tunnel, TimePoint since, TimePoint at) noexcept = 0;
        // The last one was answered, or none is sent any more.
        virtual void alive(InterfaceId tunnel) noexcept = 0;
        // The count of unanswered ones in a row has changed.
        virtual void missed(InterfaceId tunnel, unsigned in_a_row) noexcept = 0;
    };
    explicit Keepalives(Actions& actions) noexcept : actions_(actions) {}

    void apply(const api::SetTunnelKeepalive& keepalive, TimePoint now);
    TimePoint next_deadline() const noexcept { return next_; }
    // `heard_until`: every packet that came in before it was looked at. Nobody is given up whose answer may lie there.
    void on_time(TimePoint now, TimePoint heard_until) noexcept;
    std::size_t size() const noexcept { return tunnels_.size(); }

private:
    static constexpr Duration kRetry = 100ms;

    struct Tunnel {
        Duration period{};
        unsigned retries = 0;
        TimePoint due{};           // the next one is sent
        TimePoint sent = kNever;   // the last one, if it was
        TimePoint began = kNever;  // the first one was sent
        bool down = false;
        unsigned missed = 0;
    };
    void judge(InterfaceId id, Tunnel& tunnel, TimePoint now) noexcept;

    Actions& actions_;
    std::unordered_map<InterfaceId, Tunnel> tunnels_;
    TimePoint next_ = kNever;
};

}  // namespace culvert::node
