#pragma once

#include "dataplane/io/port.h"
#include "dataplane/node/counters.h"

#include <array>
#include <cstddef>
#include <span>

namespace culvert::dataplane {

// What one worker sends by one queue of a port. Frames go straight to the device while it takes them; what it doesn't
// take waits here, control traffic apart and first. Belongs to the worker's thread.
class TransmitQueue {
public:
    static constexpr std::size_t kControl = 256;
    static constexpr std::size_t kData = 512;

    TransmitQueue(io::Port& port, std::uint16_t queue, node::Counters& counters) noexcept
        : port_(port), queue_(queue), counters_(counters)
    {}
    ~TransmitQueue();
    TransmitQueue(const TransmitQueue&) = delete;
    TransmitQueue& operator=(const TransmitQueue&) = delete;

    // How many of the first frames were taken.
    std::size_t send(bool control, std::span<rte_mbuf* const> frames) noexcept;
    // Tries again what waits.
    void flush() noexcept;
    bool empty() const noexcept { return control_.size == 0 && data_.size == 0; }

private:
    template <std::size_t N>
    struct Waiting {
        std::array<rte_mbuf*, N> frames;
        std::size_t size = 0;

        std::size_t put(std::span<rte_mbuf* const> more) noexcept;
    };

    std::size_t to_device(rte_mbuf* const* frames, std::size_t n) noexcept;
    template <std::size_t N>
    bool flush(Waiting<N>& waiting) noexcept;

    io::Port& port_;
    std::uint16_t queue_;
    node::Counters& counters_;
    Waiting<kControl> control_;
    Waiting<kData> data_;
};

}  // namespace culvert::dataplane
