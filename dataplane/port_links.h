#pragma once

#include "dataplane/io/clock.h"
#include "dataplane/io/link_watch.h"
#include "dataplane/io/port.h"
#include "dataplane/node/context.h"

#include <memory>
#include <utility>
#include <vector>

namespace culvert::dataplane {

// The links of the ports, looked at by one worker. Belongs to its thread.
class PortLinks {
public:
    // What can be slept on for the kernel's word that a link changed; -1: nothing.
    int watch();

    void add(io::Port& port, PortId id, bool up) { links_.push_back({&port, id, up}); }
    // Forgets the ports that `gone` says it of.
    template <class Gone>
    void remove(Gone gone)
    {
        std::erase_if(links_, [&](const Link& link) { return gone(link.port); });
    }
    // Once the ports are others: looks at them in this round.
    void look_again(TimePoint now) noexcept { next_look_ = next_poll_ = links_.empty() ? kNever : now; }

    bool due(TimePoint now) const noexcept { return now >= next_look_; }
    void look(node::Context& context, io::TscClock& clock) noexcept;
    TimePoint next_deadline() const noexcept { return next_poll_; }  // of a worker that sleeps

private:
    struct Link {
        io::Port* port;
        PortId id;
        bool up;
        std::uint32_t told = 0;  // the generation of the port's word that was set because of this loss
    };
    // How often links are looked at: the kernel's devices when it says so and now and then all the same, DPDK's always.
    static constexpr Duration kLook = 1ms;
    static constexpr Duration kKernelPoll = 50ms;
    static constexpr Duration kDpdkPoll = 10ms;  // while asleep

    static void look_at(Link& link, node::Context& context, io::TscClock& clock) noexcept;

    std::unique_ptr<io::LinkWatch> watch_;
    std::vector<Link> links_;
    TimePoint next_look_ = kNever;
    TimePoint next_poll_ = kNever;
};

}  // namespace culvert::dataplane
