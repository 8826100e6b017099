#pragma once

#include "dataplane/node/context.h"
#include "dataplane/node/interface_cache.h"
#include "dataplane/node/tally.h"

namespace culvert::node {

// The way of a burst of tunnels' outer packets to the port, found once for all that go to the same place. What is plain
// - to a neighbour that is known, and it fits - leaves from here as a frame; the lookup, forward and rewrite stages do
// the rest. From the first one on that has to go by the stages all do: none passes another by.
class OuterWay {
public:
    explicit OuterWay(Context& ctx) noexcept
        : ctx_(ctx), interfaces_(ctx.tables), sent_(ctx.counters, Tally::Way::Sent), open_(none_wait(ctx))
    {}

    // `m` is as OuterIp::put() leaves it.
    void send(rte_mbuf* m) noexcept
    {
        if (open_) open_ = metadata(m).stage == Stage::Lookup4 ? send4(m) : send6(m);
    }

private:
    // Places of one burst that are looked up one by one. The lookup stage has more of them under way at a time.
    static constexpr unsigned kPlaces = 4;

    // Packets before this one that are still on the way.
    static bool none_wait(const Context& ctx) noexcept
    {
        for (const auto stage : {Stage::Lookup4, Stage::Lookup6, Stage::Forward4, Stage::Forward6, Stage::Fragment,
                                 Stage::Rewrite, Stage::Transmit})
            if (!ctx.queues[static_cast<std::size_t>(stage)].empty()) return false;
        return true;
    }

    bool send4(rte_mbuf* m) noexcept;
    bool send6(rte_mbuf* m) noexcept;
    // To a new place. False: there is no way, or it isn't for these.
    template <class Lpm, class Key>
    bool look_up(const Lpm* lpm, VrfId vrf, const Key& destination) noexcept;
    bool leave(rte_mbuf* m) noexcept;

    Context& ctx_;
    InterfaceCache interfaces_;
    Tally sent_;
    bool open_;
    unsigned places_ = 0;
    // The place that the last packet went to.
    VrfId vrf_{};
    std::uint32_t to4_ = 0;
    Ipv6Address to6_{};
    fib::Leaf leaf_{};
    const fib::Nexthop* every_ = nullptr;  // what all flows take
};

}  // namespace culvert::node
