#include "dataplane/node/outer_way.h"

#include "dataplane/node/link_header.h"
#include "dataplane/node/outer.h"

namespace culvert::node {

template <class Lpm, class Key>
bool OuterWay::look_up(const Lpm* lpm, VrfId vrf, const Key& destination) noexcept
{
    if (++places_ > kPlaces || lpm == nullptr) return false;
    vrf_ = vrf;
    leaf_ = lpm->lookup(destination);
    every_ = nullptr;
    return leaf_.found() && !leaf_.protected_only();
}

bool OuterWay::send4(rte_mbuf* m) noexcept
{
    const auto vrf = metadata(m).vrf;
    const std::uint32_t to = ipv4(m).destination;
    if (to != to4_ || vrf != vrf_ || !leaf_.found()) [[unlikely]] {
        const auto* tables = ctx_.tables.vrf(vrf);
        if (!look_up(tables != nullptr ? &tables->lpm4 : nullptr, vrf, to)) return false;
        to4_ = to;
        to6_ = {};
    }
    return leave(m);
}

bool OuterWay::send6(rte_mbuf* m) noexcept
{
    const auto vrf = metadata(m).vrf;
    const auto& to = ipv6(m).destination;
    if (!(to == to6_) || vrf != vrf_ || !leaf_.found()) [[unlikely]] {
        const auto* tables = ctx_.tables.vrf(vrf);
        if (!look_up(tables != nullptr ? &tables->lpm6 : nullptr, vrf, to)) return false;
        to6_ = to;
        to4_ = 0;
    }
    return leave(m);
}

bool OuterWay::leave(rte_mbuf* m) noexcept
{
    auto& meta = metadata(m);
    const auto* n = every_;
    if (n == nullptr) [[unlikely]] {
        const auto path = ctx_.tables.pick(leaf_.group(), meta.flow_hash);
        if (!path || path.nexthop->kind != fib::NexthopKind::Adjacency || !path.nexthop->resolved) return false;
        n = path.nexthop;
        if (path.every_flow) every_ = n;
    }
    if (meta.flow_hash == 0 || meta.has(Flag::Protected) || (n->mtu != 0 && meta.length > n->mtu) ||
        n->interface == meta.output)
        return false;
    if (meta.has(Flag::NeedsSource)) {
        const auto* out = interfaces_.find(n->interface);
        if (out == nullptr || !finish_outer(m, *out)) return false;
        meta.clear(Flag::NeedsSource);
    }
    if (!put_link_header(m, *n)) return false;
    meta.output = n->interface;
    sent_.add(n->interface, meta.length);
    return true;
}

// The adjacency that all packets with this header leave by, if there is one and it is plain.
const fib::Nexthop* OuterWay::find_common(const OuterIp& header) noexcept
{
    if (!open_ || !header.own_source()) return nullptr;
    const auto* tables = ctx_.tables.vrf(header.vrf());
    if (tables == nullptr) return nullptr;
    to6_ = header.v6() ? header.ip6().destination : Ipv6Address{};
    to4_ = header.v6() ? 0 : std::uint32_t{header.ip4().destination};
    const bool found =
        header.v6() ? look_up(&tables->lpm6, header.vrf(), to6_) : look_up(&tables->lpm4, header.vrf(), to4_);
    if (!found) {
        leaf_ = {};  // send() shall see for itself
        return nullptr;
    }
    const auto path = ctx_.tables.pick(leaf_.group(), [] { return std::uint32_t{1}; });
    if (!path || !path.every_flow || path.nexthop->kind != fib::NexthopKind::Adjacency || !path.nexthop->resolved ||
        path.nexthop->vlan != 0)
        return nullptr;
    return path.nexthop;
}

void OuterWay::enter(const OuterIp& header, const wire::UdpHeader* udp) noexcept
{
    ip_ = &header;
    if (udp == nullptr) udp_ = nullptr;
    common_ = udp != nullptr && header.v6() ? nullptr : find_common(header);
    if (common_ != nullptr) frame_ = {header, udp, *common_};
}

void OuterWay::put_slowly(rte_mbuf* m, OuterFields fields) noexcept
{
    fields.flow_label = metadata(m).flow_hash;
    udp_ != nullptr ? udp_->put(m, fields) : ip_->put(m, fields);
    send(m);
}

}  // namespace culvert::node
