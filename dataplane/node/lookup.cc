#include "dataplane/node/flow.h"
#include "dataplane/node/match.h"
#include "dataplane/node/stages.h"

#include <array>
#include <span>
#include <utility>

namespace culvert::node {

using fib::Leaf;
using fib::NexthopKind;

namespace {

struct Ip4 {
    using Key = std::uint32_t;
    static constexpr Stage kForward = Stage::Forward4;
    static constexpr std::uint8_t kNoRouteCode = 0;  // net unreachable
    static constexpr std::uint8_t kRejectCode = 1;   // host unreachable
    static auto& header(rte_mbuf* m) noexcept { return ipv4(m); }
    static Key destination(rte_mbuf* m) noexcept { return ipv4(m).destination; }
    static const fib::Lpm4& lpm(const fib::Vrf& vrf) noexcept { return vrf.lpm4; }
};

struct Ip6 {
    using Key = Ipv6Address;
    static constexpr Stage kForward = Stage::Forward6;
    static constexpr std::uint8_t kNoRouteCode = 0;
    static constexpr std::uint8_t kRejectCode = 0;
    static auto& header(rte_mbuf* m) noexcept { return ipv6(m); }
    static const Key& destination(rte_mbuf* m) noexcept { return ipv6(m).destination; }
    static const fib::Lpm6& lpm(const fib::Vrf& vrf) noexcept { return vrf.lpm6; }
};

// Many packets of a burst go the same way. Where all flows do, it is found once.
class Paths {
public:
    explicit Paths(const fib::Tables& tables) noexcept : tables_(tables) {}
    // `flow_hash` is std::uint32_t(): only asked for where it matters.
    template <class FlowHash>
    fib::Path pick(Leaf leaf, FlowHash&& flow_hash) noexcept
    {
        if (every_ != nullptr && leaf == leaf_) return {.nexthop = every_, .miss = fib::Path::Miss::None};
        const auto path = tables_.pick(leaf.group(), std::forward<FlowHash>(flow_hash));
        leaf_ = leaf;
        every_ = path.every_flow ? path.nexthop : nullptr;
        return path;
    }

private:
    const fib::Tables& tables_;
    Leaf leaf_{};
    const fib::Nexthop* every_ = nullptr;  // what all flows to the leaf take
};

// Where the flow's next hop sends it. A tunnel's own packet that fails has no one to be told.
template <class Ip>
[[gnu::always_inline]] inline void route(const Context& ctx, Paths& paths, Leaf leaf, rte_mbuf* m) noexcept
{
    auto& meta = metadata(m);
    const bool tunnel = meta.has(Flag::Encrypted);
    if (!leaf.found()) {
        if (tunnel) return meta.end(Verdict::DropNoTunnelRoute);
        return meta.answer(Verdict::AnswerUnreachable, Verdict::DropNoRoute, Ip::kNoRouteCode);
    }
    const auto path = paths.pick(leaf, [&] { return flow(ctx, m, Ip::header(m)); });
    if (!path) [[unlikely]] {
        if (path.miss == fib::Path::Miss::TooDeep) return meta.end(Verdict::DropNestedTooDeep);
        return meta.end(path.miss == fib::Path::Miss::Down ? Verdict::DropNexthopDown : Verdict::DropNexthopGone);
    }
    meta.path = path.nexthop;
    if (leaf.protected_only()) [[unlikely]]
        meta.set(Flag::Protected);
    switch (path.nexthop->kind) {
        [[likely]] case NexthopKind::Adjacency:
        case NexthopKind::Glean:
        case NexthopKind::WireguardPeer:
        case NexthopKind::WireguardLookup:
        case NexthopKind::Tunnel:
            if (tunnel && path.nexthop->interface == meta.output) return meta.end(Verdict::DropTunnelLoop);
            meta.stage = Ip::kForward;
            return;
        case NexthopKind::Local:
            if (tunnel) return meta.end(Verdict::DropTunnelLoop);
            meta.stage = Stage::Local;
            return;
        case NexthopKind::Reject:
            if (tunnel) return meta.end(Verdict::DropNoTunnelRoute);
            return meta.answer(Verdict::AnswerUnreachable, Verdict::DropNoRoute, Ip::kRejectCode);
        case NexthopKind::Blackhole: return meta.end(Verdict::DropBlackhole);
        case NexthopKind::Broadcast:  // RFC 1812 5.3.5.2, RFC 2644; nor is it answered (4.3.2.7)
            return meta.end(tunnel ? Verdict::DropNoTunnelRoute : Verdict::DropDirectedBroadcast);
        case NexthopKind::Via:  // pick() never ends at one
            break;
    }
    meta.end(Verdict::DropNexthopGone);
}

// A destination that must not be reached in clear isn't, whatever route there is for it now. A tunnel's own packet has
// been looked at as what is in it.
template <class Ip>
void guard(const fib::PrefixSet& guarded, const typename Ip::Key& destination, Metadata& meta) noexcept
{
    if (!meta.has(Flag::Encrypted) && guarded.contains(destination)) meta.set(Flag::Protected);
}

template <class Ip>
void lookup(Context& ctx, Burst& burst) noexcept
{
    std::array<typename Ip::Key, kBurstMax> destinations;
    std::array<Leaf, kBurstMax> leaves;
    Paths paths{ctx.tables};

    bool one_vrf = true;
    const auto vrf_id = burst.meta(0).vrf;
    for (std::size_t i = 0; i < burst.size(); ++i) {
        destinations[i] = Ip::destination(burst[i]);
        one_vrf &= burst.meta(i).vrf == vrf_id;
    }

    if (one_vrf) [[likely]] {
        const auto* vrf = ctx.tables.vrf(vrf_id);
        if (vrf != nullptr)
            match(Ip::lpm(*vrf), std::span<const typename Ip::Key>{destinations}.first(burst.size()), leaves);
        for (std::size_t i = 0; i < burst.size(); ++i) route<Ip>(ctx, paths, leaves[i], burst[i]);
        if (const auto* guarded = vrf != nullptr ? vrf->guarded() : nullptr) [[unlikely]]
            for (std::size_t i = 0; i < burst.size(); ++i) guard<Ip>(*guarded, destinations[i], burst.meta(i));
        return;
    }
    for (std::size_t i = 0; i < burst.size(); ++i) {
        const auto* vrf = ctx.tables.vrf(burst.meta(i).vrf);
        if (vrf != nullptr) leaves[i] = Ip::lpm(*vrf).lookup(destinations[i]);
        route<Ip>(ctx, paths, leaves[i], burst[i]);
        if (vrf != nullptr && vrf->guarded() != nullptr) guard<Ip>(*vrf->guarded(), destinations[i], burst.meta(i));
    }
}

}  // namespace

void lookup_ipv4(Context& ctx, Burst& burst) noexcept { lookup<Ip4>(ctx, burst); }
void lookup_ipv6(Context& ctx, Burst& burst) noexcept { lookup<Ip6>(ctx, burst); }

}  // namespace culvert::node
