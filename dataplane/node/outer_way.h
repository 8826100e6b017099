#pragma once

#include "dataplane/node/context.h"
#include "dataplane/node/interface_cache.h"
#include "dataplane/node/outer_frame.h"
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

    // `m` is as OuterIp::put() leaves it, and its flow's hash is known.
    void send(rte_mbuf* m) noexcept
    {
        if (open_) open_ = metadata(m).stage == Stage::Lookup4 ? send4(m) : send6(m);
    }

    // What is put() from here on has this header, which the caller keeps.
    void enter(const OuterIp& header) noexcept { enter(header, nullptr); }
    void enter(const OuterUdp& header) noexcept
    {
        udp_ = &header;
        enter(header.ip(), &header.udp());
    }
    // The header in front of the message that lies in `m`, which has the room; and the way. `flow_hash` is
    // std::uint32_t(), of the flow inside: only asked for where it matters.
    template <class FlowHash>
    void put(rte_mbuf* m, std::uint8_t* message, std::uint16_t octets, const OuterFields& fields,
             FlowHash&& flow_hash) noexcept
    {
        auto& meta = metadata(m);
        if (common_ != nullptr && open_) [[likely]] {
            const auto length = frame_.length(octets);
            const auto& n = *common_;
            if ((n.mtu == 0 || length <= n.mtu) && n.interface != meta.output && !meta.has(Flag::Protected))
                [[likely]] {
                if (frame_.v6() && meta.flow_hash == 0) meta.flow_hash = flow_hash();
                frame_.put(m, message, octets, fields, meta.flow_hash);
                meta.output = n.interface;
                meta.port = n.port;
                meta.stage = Stage::Transmit;
                sent_.add(n.interface, length);
                return;
            }
        }
        if (meta.flow_hash == 0) meta.flow_hash = flow_hash();
        m->data_off = static_cast<std::uint16_t>(message - static_cast<std::uint8_t*>(m->buf_addr));
        m->data_len = octets;
        m->pkt_len = octets;
        put_slowly(m, fields);
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
    void enter(const OuterIp& header, const wire::UdpHeader* udp) noexcept;
    const fib::Nexthop* find_common(const OuterIp& header) noexcept;
    void put_slowly(rte_mbuf* m, OuterFields fields) noexcept;

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
    // What is put().
    const OuterIp* ip_ = nullptr;
    const OuterUdp* udp_ = nullptr;
    const fib::Nexthop* common_ = nullptr;  // set: it is put as frame_, and leaves by it
    OuterFrame frame_;
};

}  // namespace culvert::node
