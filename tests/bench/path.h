#pragma once

#include "tests/bench/lookup_bench.h"
#include "tests/bench/rounds.h"
#include "tests/unit/node/router.h"

#include <span>
#include <vector>

namespace culvert::bench {

inline constexpr std::size_t kBurst = 64;

// The whole path of packets through one worker's pipeline, from a burst that was received to a burst that is sent, the
// device left out. The buffers that are sent are those of the next pass.
class Path {
public:
    // In flight are `packets`: headers stay in the second-level cache, as behind a NIC.
    Path(dataplane::test::Router& r, PortId port, std::size_t packets = 256);
    ~Path();
    Path(const Path&) = delete;
    Path& operator=(const Path&) = delete;

    // Cycles of the TSC a packet. `write(i)` gives frame i's octets before the pass; that isn't timed.
    template <class Write>
    double cycles(Write&& write)
    {
        fill(write);
        return pass();
    }
    // Nanoseconds a packet, of a router that may lend; `check(frame)` looks at what comes out, in order.
    template <class Write, class Check>
    double nanoseconds_lending(Write&& write, Check&& check)
    {
        fill(write);
        const auto spent = lending_pass();
        for (auto* m : packets_) check(node::data(m));
        return spent;
    }
    // Packet i as it was sent last.
    Bytes sent(std::size_t i) const { return node::data(packets_[i]); }

private:
    class Sink : public dataplane::Outlet {
    public:
        std::size_t transmit(PortId, bool, std::span<rte_mbuf* const> frames) noexcept override;
        std::size_t to_host(VrfId, std::span<rte_mbuf* const>) noexcept override { return 0; }
        std::size_t hand_over(WorkerId, std::span<rte_mbuf* const>) noexcept override { return 0; }
        WorkerId transmitter(PortId, WorkerId self) const noexcept override { return self; }

        std::vector<rte_mbuf*> packets;
        std::size_t count = 0;
    };

    template <class Write>
    void fill(Write&& write)
    {
        for (std::size_t i = 0; i < packets_.size(); ++i) put(packets_[i], write(i));
    }
    static void put(rte_mbuf* m, Bytes frame);
    double pass();
    double lending_pass();
    void end_pass();

    Sink sink_;
    dataplane::Pipeline pipeline_;
    node::Context& context_;
    PortId port_;
    std::vector<rte_mbuf*> packets_;
};

}  // namespace culvert::bench
