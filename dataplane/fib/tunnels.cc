#include "dataplane/fib/tunnels.h"

#include <utility>

namespace culvert::fib {

TunnelTable::TunnelTable(Reclaimer& reclaimer) : reclaimer_(reclaimer), tunnels_(kIds), by_outside_(reclaimer) {}

TunnelTable::~TunnelTable()
{
    for (const auto& [id, endpoints] : endpoints_) delete tunnels_[index(id)].load(std::memory_order_relaxed);
}

void TunnelTable::set(const api::SetTunnel& update)
{
    const auto id = update.interface;
    const auto* old = find(id);
    const auto next = new Tunnel{update};
    next->generation = old != nullptr ? old->generation : next_generation_++;

    auto& endpoints = endpoints_[id];
    if (next->multipoint() && !endpoints) endpoints = std::make_unique<Endpoints>(reclaimer_);
    if (next->multipoint()) {
        next->endpoints = &endpoints->by_nexthop;
        next->senders = &endpoints->by_address;
    }

    tunnels_[index(id)].store(next, std::memory_order_release);
    // The new place first: a packet in between finds the tunnel by either.
    if (next->is_gre()) by_outside_.set(outside(*next), id);
    if (next->multipoint()) multipoint_.fetch_add(1, std::memory_order_relaxed);
    if (old == nullptr) return;
    if (old->is_gre() && !(next->is_gre() && outside(*old) == outside(*next))) unlist(id, *old);
    if (old->multipoint()) multipoint_.fetch_sub(1, std::memory_order_relaxed);
    reclaimer_.retire(std::unique_ptr<const Tunnel>(old));
    if (!next->multipoint() && endpoints) reclaimer_.retire(std::move(endpoints));
}

bool TunnelTable::erase(InterfaceId id)
{
    const auto at = endpoints_.find(id);
    if (at == endpoints_.end()) return false;
    const auto* old = find(id);
    if (old->is_gre()) unlist(id, *old);
    if (old->multipoint()) multipoint_.fetch_sub(1, std::memory_order_relaxed);
    tunnels_[index(id)].store(nullptr, std::memory_order_release);
    reclaimer_.retire(std::unique_ptr<const Tunnel>(old));
    reclaimer_.retire(std::move(at->second));
    endpoints_.erase(at);
    return true;
}

// Another tunnel may have the place by now: it keeps it.
void TunnelTable::unlist(InterfaceId id, const Tunnel& tunnel)
{
    const auto key = outside(tunnel);
    if (const auto* has = by_outside_.find(key); has != nullptr && *has == id) by_outside_.erase(key);
}

bool TunnelTable::set_endpoint(const api::SetTunnelEndpoint& update)
{
    const auto at = endpoints_.find(update.interface);
    if (at == endpoints_.end() || !at->second) return false;
    auto& e = *at->second;
    const auto* had = e.by_nexthop.find(update.nexthop);
    const auto before = had != nullptr ? std::optional{had->address} : std::nullopt;
    ++e.uses[update.endpoint];
    e.by_address.set(update.endpoint, update.protection);
    e.by_nexthop.set(update.nexthop, {update.endpoint, update.protection});
    if (before) unuse(e, *before);
    return true;
}

bool TunnelTable::erase_endpoint(const api::DeleteTunnelEndpoint& update)
{
    const auto at = endpoints_.find(update.interface);
    if (at == endpoints_.end() || !at->second) return false;
    const auto* had = at->second->by_nexthop.find(update.nexthop);
    if (had == nullptr) return false;
    const auto address = had->address;
    at->second->by_nexthop.erase(update.nexthop);
    unuse(*at->second, address);
    return true;
}

void TunnelTable::unuse(Endpoints& endpoints, const IpAddress& address)
{
    const auto at = endpoints.uses.find(address);
    if (--at->second != 0) return;
    endpoints.uses.erase(at);
    endpoints.by_address.erase(address);
}

std::size_t TunnelTable::bytes() const noexcept
{
    std::size_t sum = endpoints_.size() * sizeof(Tunnel) + by_outside_.bytes();
    for (const auto& [id, e] : endpoints_)
        if (e) sum += e->by_nexthop.bytes() + e->by_address.bytes();
    return sum;
}

}  // namespace culvert::fib
