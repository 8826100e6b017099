#include "controlplane/fib/state.h"

#include <algorithm>

namespace culvert::fibprog {

namespace {

bool same(const api::SetPeer& a, const api::SetPeer& b) noexcept
{
    return a.id == b.id && a.interface == b.interface && a.endpoint == b.endpoint;
}

}  // namespace

PeerId Programmer::State::peer_of(InterfaceId interface, const IpAddress& address) const
{
    const auto it = allowed.find(interface);
    if (it == allowed.end()) return kNoPeer;
    const auto prefix = it->second.longest_match(address, [](const IpPrefix&, PeerId) { return true; });
    return prefix ? *it->second.find(*prefix) : kNoPeer;
}

void Programmer::State::count_source(PeerId id, Peer& peer, const IpPrefix& prefix, int change)
{
    if (change > 0) {
        const auto [count, fresh] = peer.sources.insert(prefix, 0);
        *count += static_cast<std::uint32_t>(change);
        if (fresh) push(api::AddPeerSource{id, prefix});
        return;
    }
    std::uint32_t* count = peer.sources.find(prefix);
    const auto less = static_cast<std::uint32_t>(-change);
    CULVERT_CHECK(less == 0 || (count != nullptr && *count >= less));
    if (less == 0 || (*count -= less) > 0) return;
    peer.sources.erase(prefix);
    push(api::DeletePeerSource{id, prefix});
}

void Programmer::State::disallow(PeerId id, Peer& peer, const IpPrefix& prefix)
{
    auto& map = allowed[peer.word.interface];
    map.erase(prefix);
    peer.allowed.erase(prefix);
    push(api::DeleteAllowedIp{peer.word.interface, prefix});
    count_source(id, peer, prefix, -1);
}

void Programmer::State::drop_orphans(std::size_t budget)
{
    while (!orphans.empty() && budget > 0) {
        auto& [peer, sources] = orphans.front();
        std::vector<IpPrefix> some;
        for (const IpPrefix& from : {IpPrefix{Ipv4Address{}, 0}, IpPrefix{Ipv6Address{}, 0}})
            sources.walk(from, [&](const IpPrefix& prefix, std::uint32_t) {
                if (some.size() == budget) return false;
                some.push_back(prefix);
                return true;
            });
        for (const IpPrefix& prefix : some) {
            sources.erase(prefix);
            push(api::DeletePeerSource{peer, prefix});
        }
        budget -= some.size();
        if (sources.empty()) orphans.pop_front();
    }
}

void Programmer::set_peer(const api::SetPeer& peer, const std::vector<IpPrefix>& allowed_ips)
{
    State& s = *state_;
    s.removed.erase({State::Kind::Peer, index(peer.id)});
    const auto [it, fresh] = s.peers.try_emplace(peer.id);
    State::Peer& p = it->second;
    const InterfaceId interface = peer.interface;
    std::set<IpPrefix> touched;
    if (!fresh && p.word.interface != interface) {
        const InterfaceId old = p.word.interface;
        for (const IpPrefix& prefix : std::set<IpPrefix>{p.allowed}) {
            s.disallow(peer.id, p, prefix);
            s.update_within(old, prefix);
        }
    }
    if (fresh || !same(p.word, peer)) s.push(peer);
    p.word = peer;

    const std::set<IpPrefix> wanted(allowed_ips.begin(), allowed_ips.end());
    for (const IpPrefix& prefix : std::set<IpPrefix>{p.allowed}) {
        if (wanted.contains(prefix)) continue;
        s.disallow(peer.id, p, prefix);
        touched.insert(prefix);
    }
    auto& map = s.allowed[interface];
    for (const IpPrefix& prefix : wanted) {
        if (p.allowed.contains(prefix)) continue;
        if (const PeerId* other = map.find(prefix); other != nullptr) {
            State::Peer& loser = s.peers.at(*other);
            const PeerId loser_id = *other;
            loser.allowed.erase(prefix);
            s.count_source(loser_id, loser, prefix, -1);
        }
        *map.insert(prefix, peer.id).first = peer.id;
        p.allowed.insert(prefix);
        s.push(api::SetAllowedIp{interface, prefix, peer.id});
        s.count_source(peer.id, p, prefix, 1);
        touched.insert(prefix);
    }
    for (const IpPrefix& prefix : touched) s.update_within(interface, prefix);
}

void Programmer::remove_peer(PeerId id)
{
    State& s = *state_;
    const auto it = s.peers.find(id);
    if (it == s.peers.end()) return;
    State::Peer& p = it->second;
    const InterfaceId interface = p.word.interface;
    const std::set<IpPrefix> had = p.allowed;
    for (const IpPrefix& prefix : had) s.disallow(id, p, prefix);
    if (!p.sources.empty()) s.orphans.emplace_back(id, std::move(p.sources));
    s.peers.erase(it);
    for (const IpPrefix& prefix : had) s.update_within(interface, prefix);
    s.removed.insert({State::Kind::Peer, index(id)});
}

void Programmer::peer_source(PeerId id, const IpPrefix& prefix, int change)
{
    const auto it = state_->peers.find(id);
    if (it != state_->peers.end()) state_->count_source(id, it->second, prefix, change);
}

PeerId Programmer::peer_of(InterfaceId interface, const IpAddress& address) const
{
    return state_->peer_of(interface, address);
}

}  // namespace culvert::fibprog
