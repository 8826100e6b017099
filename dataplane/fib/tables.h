#pragma once

#include "base/ids.h"
#include "base/ip.h"
#include "dataplane/api/fib_update.h"
#include "dataplane/fib/down_table.h"
#include "dataplane/fib/groups.h"
#include "dataplane/fib/id_table.h"
#include "dataplane/fib/lpm4.h"
#include "dataplane/fib/lpm6.h"
#include "dataplane/fib/nexthops.h"
#include "dataplane/fib/own_addresses.h"
#include "dataplane/fib/prefix_set.h"
#include "dataplane/fib/rcu.h"
#include "dataplane/fib/tunnels.h"

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace culvert::fib {

// A VRF's forwarding tables. Leaves are GroupIds for GroupTable::pick.
struct Vrf {
    Vrf(VrfId id, TriePool& pool4, TriePool& pool6, Reclaimer& reclaimer)
        : id(id), lpm4(pool4), lpm6(pool6), protected_prefixes(pool4, pool6, reclaimer)
    {}

    // Null: no destination is; mostly so.
    const PrefixSet* guarded() const noexcept
    {
        return guards.load(std::memory_order_acquire) ? &protected_prefixes : nullptr;
    }

    VrfId id;
    Lpm4 lpm4;
    Lpm6 lpm6;
    PrefixSet protected_prefixes;  // that leave by encrypted next hops only
    std::atomic<bool> guards{false};
};

using Interface = api::SetInterface;

// A WireGuard interface. Leaves of the tries are PeerIds: cryptokey routing on the way out.
struct Wireguard {
    InterfaceId interface {};
    VrfId outer_vrf{};
    std::uint16_t listen_port = 0;
    IpAddress source{};  // unspecified: any local address of the outer VRF
    const Lpm4* allowed4 = nullptr;
    const Lpm6* allowed6 = nullptr;
};

struct Peer {
    PeerId id{};
    InterfaceId interface {};
    Endpoint endpoint{};  // as configured; port 0: none
    const PrefixSet* sources = nullptr;
};

using Protection = api::SetProtection;

// All that workers look things up in. Every const method is for readers: noexcept, without locks, O(1) or a trie walk;
// a pointer is good until the reader's next quiescent state (Rcu::Reader), never longer, and null says "no such thing".
// What is not const belongs to the fib-writer (FibWriter), except set_host_link.
class Tables {
public:
    static constexpr std::size_t kMaxPeers = 1 << 20;

    explicit Tables(Rcu& rcu);
    // No reader may be online any more.
    ~Tables();
    Tables(const Tables&) = delete;
    Tables& operator=(const Tables&) = delete;

    // ---- readers
    const Vrf* vrf(VrfId id) const noexcept { return get(vrfs_, index(id)); }
    const Interface* interface(InterfaceId id) const noexcept { return get(interfaces_, index(id)); }
    // The interface of frames that come in by `port` with VLAN id `vlan` (0: untagged), or kNoInterface.
    InterfaceId interface_of(PortId port, std::uint16_t vlan) const noexcept
    {
        const auto* map = ports_[index(port)].load(std::memory_order_acquire);
        return map && vlan < kVlans ? map->interface[vlan].load(std::memory_order_relaxed) : kNoInterface;
    }
    const Wireguard* wireguard(InterfaceId id) const noexcept { return get(wireguards_, index(id)); }
    // The WireGuard interface that takes a UDP datagram to `port` of the local address `to` of `outer_vrf`, or
    // kNoInterface.
    InterfaceId wireguard_at(VrfId outer_vrf, std::uint16_t port, const IpAddress& to) const noexcept;
    // Does any WireGuard interface take datagrams of the VRF?
    bool takes_wireguard(VrfId outer_vrf) const noexcept;
    // The peer whose allowed-ips hold the destination, or kNoPeer.
    PeerId allowed_peer(InterfaceId id, std::uint32_t destination4) const noexcept
    {
        const auto* w = wireguard(id);
        return w ? w->allowed4->lookup(destination4).peer() : kNoPeer;
    }
    PeerId allowed_peer(InterfaceId id, const Ipv6Address& destination) const noexcept
    {
        const auto* w = wireguard(id);
        return w ? w->allowed6->lookup(destination).peer() : kNoPeer;
    }
    const Peer* peer(PeerId id) const noexcept { return index(id) < kMaxPeers ? get(peers_, index(id)) : nullptr; }
    // May a packet out of this peer's tunnel have this inner source address? False for an unknown peer.
    bool source_allowed(PeerId id, std::uint32_t source4) const noexcept
    {
        const auto* p = peer(id);
        return p && p->sources->contains(source4);
    }
    bool source_allowed(PeerId id, const Ipv6Address& source) const noexcept
    {
        const auto* p = peer(id);
        return p && p->sources->contains(source);
    }
    const Protection* protection(ProtectionId id) const noexcept
    {
        return index(id) < api::kMaxProtections ? get(protections_, index(id)) : nullptr;
    }
    // Does the VRF take ESP, and in UDP to this port?
    bool takes_esp(VrfId outer_vrf) const noexcept { return get(esp_ports_, index(outer_vrf)) != nullptr; }
    bool takes_esp(VrfId outer_vrf, std::uint16_t udp_port) const noexcept;
    const Tunnel* tunnel(InterfaceId id) const noexcept { return tunnels_.find(id); }
    const TunnelTable& tunnels() const noexcept { return tunnels_; }
    const OwnAddresses& own_addresses() const noexcept { return own_; }
    bool host_link(VrfId id) const noexcept { return host_links_[index(id)].load(std::memory_order_acquire); }

    const NexthopTable& nexthops() const noexcept { return nexthops_; }
    const GroupTable& groups() const noexcept { return groups_; }
    // A number, or what gives it when it is asked.
    template <class FlowHash>
    Path pick(GroupId group, FlowHash&& flow_hash) const noexcept
    {
        return groups_.pick(group, std::forward<FlowHash>(flow_hash));
    }

    // ---- down words
    // What a worker names when it sets a word; even when there is no such thing (now).
    std::uint32_t generation(api::DownKind kind, std::uint32_t id) const noexcept;
    DownState down(api::DownKind kind, std::uint32_t id) const noexcept;
    // Worker: packets stop taking what obeys this word with this store. The epoch to be told to control
    // (api::WentDown); nothing when the id was deleted or reused since `generation` was read.
    std::optional<std::uint32_t> set_down(api::DownKind kind, std::uint32_t id, std::uint32_t generation,
                                          std::uint32_t causes) const noexcept;
    // Packets whose own next hop was not taken because of this word, modulo 2^32.
    std::uint32_t met_down(api::DownKind kind, std::uint32_t id) const noexcept;

    // Any thread.
    void set_host_link(VrfId id, bool present) noexcept
    {
        host_links_[index(id)].store(present, std::memory_order_release);
    }

    // ---- the writer. False: the update names something unknown or out of range, and nothing was done.
    enum class Change : std::uint8_t {
        Done,
        Unknown,  // the interface or peer does not exist
        Absent,   // a deletion of what is not there
        Full,
    };
    NexthopTable& nexthops() noexcept { return nexthops_; }
    GroupTable& groups() noexcept { return groups_; }
    Reclaimer& reclaimer() noexcept { return reclaimer_; }
    OwnAddresses& own_addresses() noexcept { return own_; }
    Vrf* edit_vrf(VrfId id) noexcept { return vrfs_[index(id)].load(std::memory_order_relaxed); }
    bool set_down_word(BfdSessionId session);  // exists and clear
    bool delete_down_word(BfdSessionId session);
    enum class Clear : std::uint8_t { Done, Unknown, Stale };
    Clear clear_down(const api::ClearDown& update);
    bool set_vrf(VrfId id);
    bool delete_vrf(VrfId id);
    bool set_interface(const api::SetInterface& update);
    bool delete_interface(InterfaceId id);
    bool set_wireguard(const api::SetWireguard& update);
    bool set_tunnel(const api::SetTunnel& update);
    TunnelTable& tunnels() noexcept { return tunnels_; }
    Change set_allowed_ip(const api::SetAllowedIp& update);
    Change delete_allowed_ip(const api::DeleteAllowedIp& update);
    bool set_peer(const api::SetPeer& update);
    bool delete_peer(PeerId id);
    Change add_peer_source(const api::AddPeerSource& update);
    Change delete_peer_source(const api::DeletePeerSource& update);
    bool set_protection(const api::SetProtection& update);
    Change protect(VrfId id, const IpPrefix& prefix);
    Change unprotect(VrfId id, const IpPrefix& prefix);
    bool delete_protection(ProtectionId id);

    struct ArenaUse {
        std::string name;
        std::size_t used;  // octets
        std::size_t reserved;
    };
    // Asked for by the writer or under its lock (FibWriter::memory).
    std::vector<ArenaUse> memory() const;
    // The writer's: has enough been freed to look for pages that can go back to the system? Looks for them.
    bool spare() const noexcept;
    void give_back();

private:
    static constexpr std::size_t kVlans = 4096;
    static constexpr std::size_t kIds16 = 1 << 16;
    struct PortMap {
        std::array<std::atomic<InterfaceId>, kVlans> interface;
    };
    // The UDP ports of one outer VRF's WireGuard interfaces, by port.
    struct Listeners;
    struct Allowed;
    using EspPorts = std::vector<std::uint16_t>;  // few

    template <class T>
    static T* get(const IdTable<std::atomic<T*>>& table, std::size_t i) noexcept
    {
        return table[i].load(std::memory_order_acquire);
    }
    template <class T>
    void replace(IdTable<std::atomic<T*>>& table, std::size_t i, T* next)
    {
        reclaimer_.retire(std::unique_ptr<T>(table[i].exchange(next, std::memory_order_acq_rel)));
    }
    // An interface came to or left the port: its word exists while there is one.
    void join_port(PortId port);
    void leave_port(PortId port);
    void map_port(PortId port, std::uint16_t vlan, InterfaceId from, InterfaceId to);
    void publish_listeners(VrfId outer_vrf);
    void publish_esp_ports(VrfId outer_vrf);

    Reclaimer reclaimer_;
    TriePool pool4_;
    TriePool pool6_;
    DownTable words_;
    NexthopTable nexthops_;
    GroupTable groups_;
    TunnelTable tunnels_;
    OwnAddresses own_;
    IdTable<std::atomic<Vrf*>> vrfs_;
    IdTable<std::atomic<const Interface*>> interfaces_;
    IdTable<std::atomic<PortMap*>> ports_;
    IdTable<std::atomic<const Wireguard*>> wireguards_;
    IdTable<std::atomic<const Listeners*>> listeners_;
    IdTable<std::atomic<const Peer*>> peers_;
    IdTable<std::atomic<const Protection*>> protections_;
    IdTable<std::atomic<const EspPorts*>> esp_ports_;  // by outer VRF; null: no protection is there
    IdTable<std::atomic<bool>> host_links_;
    // The writer's: which places are taken, and what is edited in place.
    std::set<VrfId> vrf_ids_;
    std::set<InterfaceId> interface_ids_;
    std::set<PortId> port_ids_;
    std::unordered_map<PortId, std::size_t> port_uses_;  // interfaces on it
    std::set<VrfId> listening_vrfs_;
    std::set<ProtectionId> protection_ids_;
    std::set<VrfId> esp_vrfs_;
    std::unordered_map<InterfaceId, std::unique_ptr<Allowed>> allowed_;
    std::unordered_map<PeerId, std::unique_ptr<PrefixSet>> sources_;
};

}  // namespace culvert::fib
