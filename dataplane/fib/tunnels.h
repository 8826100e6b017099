#pragma once

#include "base/ids.h"
#include "base/ip.h"
#include "dataplane/api/fib_update.h"
#include "dataplane/fib/id_table.h"
#include "dataplane/fib/rcu.h"
#include "dataplane/fib/rcu_map.h"

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <unordered_map>

namespace culvert::fib {

struct AddressHash {
    std::size_t operator()(const IpAddress& a) const noexcept { return std::hash<IpAddress>{}(a); }
};

// Where a multipoint tunnel's next hop is.
struct TunnelEndpoint {
    IpAddress address{};
    ProtectionId protection{kNoProtection};
};
using TunnelEndpoints = RcuMap<IpAddress, TunnelEndpoint, AddressHash>;
// By the endpoint's address: under whose SAs its packets must come.
using TunnelSenders = RcuMap<IpAddress, ProtectionId, AddressHash>;

// A tunnel interface as packets need it. Never changed once published.
struct Tunnel : api::SetTunnel {
    std::uint32_t generation = 0;  // another one when the id names another tunnel: its sequence numbers begin anew
    // Multipoint only.
    const TunnelEndpoints* endpoints = nullptr;
    const TunnelSenders* senders = nullptr;

    bool multipoint() const noexcept { return mode == api::TunnelMode::GreMultipoint; }
    bool is_gre() const noexcept { return mode != api::TunnelMode::Ipsec; }
};

// The tunnels by interface, and by what their packets look like from outside. Readers: O(1), noexcept, without locks.
class TunnelTable {
public:
    static constexpr std::size_t kIds = 1 << 16;

    explicit TunnelTable(Reclaimer& reclaimer);
    // No reader may be online any more.
    ~TunnelTable();

    // ---- readers
    const Tunnel* find(InterfaceId id) const noexcept { return tunnels_[index(id)].load(std::memory_order_acquire); }
    // The GRE tunnel that a packet from `remote` to `local` of `outer_vrf` belongs to: point to point first, else the
    // multipoint tunnel of `local`. Null: none.
    const Tunnel* gre(VrfId outer_vrf, const IpAddress& remote, const IpAddress& local, bool has_key,
                      std::uint32_t key) const noexcept
    {
        const auto* id = by_outside_.find({outer_vrf, has_key, key, remote, local});
        if (id == nullptr) {
            if (!multipoint_.load(std::memory_order_relaxed)) return nullptr;
            id = by_outside_.find({outer_vrf, has_key, key, any(local.family), local});
        }
        return id != nullptr ? find(*id) : nullptr;
    }

    // ---- the writer
    void set(const api::SetTunnel& update);
    bool erase(InterfaceId id);
    // False: no such multipoint tunnel, or (erase) no such next hop.
    bool set_endpoint(const api::SetTunnelEndpoint& update);
    bool erase_endpoint(const api::DeleteTunnelEndpoint& update);
    std::size_t size() const noexcept { return endpoints_.size(); }
    std::size_t bytes() const noexcept;

private:
    struct Outside {
        VrfId vrf;
        bool has_key;
        std::uint32_t key;
        IpAddress remote;  // unspecified: multipoint
        IpAddress local;
        friend bool operator==(const Outside&, const Outside&) = default;
    };
    struct OutsideHash {
        std::size_t operator()(const Outside& o) const noexcept
        {
            const auto addresses = std::hash<IpAddress>{}(o.remote) + 3 * std::hash<IpAddress>{}(o.local);
            return mix(addresses ^ (std::uint64_t{o.key} << 24 | std::uint64_t{o.has_key} << 16 | index(o.vrf)));
        }
    };
    // What a multipoint tunnel's pointers lead to.
    struct Endpoints {
        explicit Endpoints(Reclaimer& reclaimer) : by_nexthop(reclaimer), by_address(reclaimer) {}
        TunnelEndpoints by_nexthop;
        TunnelSenders by_address;
        std::unordered_map<IpAddress, std::size_t> uses;  // next hops at an address
    };

    static IpAddress any(Family family) noexcept
    {
        return family == Family::Ipv4 ? IpAddress{Ipv4Address{}} : IpAddress{Ipv6Address{}};
    }
    static Outside outside(const Tunnel& tunnel) noexcept
    {
        return {tunnel.outer_vrf, tunnel.has_key, tunnel.has_key ? tunnel.key : 0,
                tunnel.multipoint() ? any(tunnel.source.family) : tunnel.destination, tunnel.source};
    }
    void unlist(InterfaceId id, const Tunnel& tunnel);
    void unuse(Endpoints& endpoints, const IpAddress& address);

    Reclaimer& reclaimer_;
    IdTable<std::atomic<const Tunnel*>> tunnels_;
    RcuMap<Outside, InterfaceId, OutsideHash> by_outside_;
    std::atomic<std::size_t> multipoint_{0};  // tunnels
    std::uint32_t next_generation_ = 1;
    std::unordered_map<InterfaceId, std::unique_ptr<Endpoints>> endpoints_;  // of each tunnel; null: point to point
};

}  // namespace culvert::fib
