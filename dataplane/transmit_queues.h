#pragma once

#include "base/ids.h"
#include "dataplane/transmit_queue.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace culvert::dataplane {

// By what a worker sends: a queue of its own for each port that has one for it, and for each other port the worker that
// has one. Belongs to the worker's thread.
class TransmitQueues {
public:
    // A worker has the queue with its own number; where there is none it hands over to a worker that has one.
    void open(io::Port& port, PortId id, std::uint16_t queues, WorkerId self, node::Counters& counters)
    {
        transmitter_[index(id)] = static_cast<std::uint8_t>(index(self) % queues);
        if (transmitter_[index(id)] == index(self))
            queues_[index(id)] = std::make_unique<TransmitQueue>(port, index(self), counters);
    }
    bool is_open(PortId id) const noexcept { return queues_[index(id)] != nullptr; }
    void close(PortId id) { queues_[index(id)].reset(); }
    void close_all()
    {
        for (auto& queue : queues_) queue.reset();
    }

    // How many of the first frames were taken; none of a port that isn't there.
    std::size_t send(PortId port, bool control, std::span<rte_mbuf* const> frames) noexcept
    {
        if (index(port) >= io::kMaxPorts || !queues_[index(port)]) return 0;
        auto& queue = *queues_[index(port)];
        const auto taken = queue.send(control, frames);
        if (!queue.empty()) waiting_ = true;
        return taken;
    }
    // Tries again what waits. True: something did.
    bool flush() noexcept
    {
        if (!waiting_) return false;
        waiting_ = false;
        for (auto& queue : queues_) {
            if (!queue) continue;
            queue->flush();
            waiting_ |= !queue->empty();
        }
        return true;
    }
    bool waiting() const noexcept { return waiting_; }
    WorkerId transmitter(PortId port) const noexcept { return WorkerId{transmitter_[index(port)]}; }

private:
    std::array<std::unique_ptr<TransmitQueue>, io::kMaxPorts> queues_;
    std::array<std::uint8_t, io::kMaxPorts> transmitter_{};
    bool waiting_ = false;  // some queue is not empty
};

}  // namespace culvert::dataplane
