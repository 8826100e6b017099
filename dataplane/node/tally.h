#pragma once

#include "dataplane/node/counters.h"

namespace culvert::node {

// Counts packets of interfaces. Those of one come in runs: a run is written once, when another interface comes or at
// the end.
class Tally {
public:
    enum class Way : std::uint8_t { Received, Sent };

    Tally(Counters& counters, Way way) noexcept : counters_(counters), way_(way) {}
    Tally(const Tally&) = delete;
    Tally& operator=(const Tally&) = delete;
    ~Tally() { write(); }

    void add(InterfaceId interface, std::size_t octets) noexcept
    {
        if (interface != interface_) [[unlikely]] {
            write();
            interface_ = interface;
        }
        ++packets_;
        octets_ += octets;
    }

private:
    void write() noexcept
    {
        if (packets_ == 0) return;
        auto& c = counters_.interface(interface_);
        (way_ == Way::Sent ? c.tx_packets : c.rx_packets).add(packets_);
        (way_ == Way::Sent ? c.tx_octets : c.rx_octets).add(octets_);
        packets_ = octets_ = 0;
    }

    Counters& counters_;
    Way way_;
    InterfaceId interface_{kNoInterface};
    std::uint64_t packets_ = 0;
    std::uint64_t octets_ = 0;
};

}  // namespace culvert::node
