#pragma once

#include "base/ids.h"
#include "base/ip.h"
#include "dataplane/api/fib_update.h"
#include "dataplane/fib/down_table.h"
#include "dataplane/fib/down_word.h"
#include "dataplane/fib/id_table.h"
#include "dataplane/fib/rcu.h"

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>

namespace culvert::fib {

using api::NexthopKind;

// Whether packets may take a next hop, as far as the control plane knows.
enum class Standing : std::uint8_t {
    Usable = 0,
    Lost,      // its neighbour no longer answers: the last resort
    Unusable,  // its interface is gone or not up
};

// What a packet needs to leave by a next hop: one cache line, never changed once published (a change is a new one).
struct alignas(64) Nexthop {
    NexthopId id{};
    NexthopKind kind = NexthopKind::Blackhole;
    bool resolved = false;  // Adjacency: destination_mac is good
    Standing standing = Standing::Unusable;
    std::uint16_t mtu = 0;  // octets of IP packet that fit; 0 is no limit of its own (Local, Blackhole, ...)
    InterfaceId interface {
        kNoInterface
    };
    PortId port{kNoPort};        // of `interface`
    std::uint16_t vlan = 0;      // of `interface`; 0 is untagged
    VrfId vrf{kDefaultVrf};      // Local: whose host link. Via: where `via` leads
    DownTable::Place link{};     // the word of the port or tunnel that it leaves by
    DownTable::Place session{};  // the word of the BFD session that watches it
    union {
        GroupId via{kNoGroup};  // Via
        PeerId peer;            // WireguardPeer
    };
    MacAddress destination_mac{};
    MacAddress source_mac{};
    IpAddress gateway{};  // Adjacency
};
static_assert(sizeof(Nexthop) == 64, "one cache line");

class NexthopTable {
public:
    static constexpr std::size_t kMaxNexthops = 1 << 20;

    NexthopTable(Reclaimer& reclaimer, const DownTable& words)
        : slots_(kMaxNexthops), met_(kMaxNexthops), words_(words), reclaimer_(reclaimer)
    {}
    ~NexthopTable();

    // ---- readers
    // Null when there is none (any more). Valid until the reader's next quiescent state.
    const Nexthop* find(NexthopId id) const noexcept
    {
        return index(id) < kMaxNexthops ? slots_[index(id)].nexthop.load(std::memory_order_acquire) : nullptr;
    }
    // Of its own word.
    std::uint32_t generation(NexthopId id) const noexcept
    {
        return index(id) < kMaxNexthops ? slots_[index(id)].down.generation() : 0;
    }
    DownState down(NexthopId id) const noexcept
    {
        return index(id) < kMaxNexthops ? slots_[index(id)].down.load() : DownState{};
    }
    // The next hop if packets may take it now: its own word, its link's and its session's are clear. Its own word and
    // the pointer are one cache line; the other two words are on lines that all next hops share.
    const Nexthop* live(NexthopId id) const noexcept
    {
        if (index(id) >= kMaxNexthops) return nullptr;
        const auto& slot = slots_[index(id)];
        const auto* n = slot.nexthop.load(std::memory_order_acquire);
        if (!n) [[unlikely]]
            return nullptr;
        const auto down = slot.down.causes() | words_.causes(n->link) | words_.causes(n->session) |
                          static_cast<std::uint32_t>(n->standing);
        return down == 0 ? n : nullptr;
    }
    // The same, or one that is only lost.
    const Nexthop* live_or_lost(NexthopId id) const noexcept;
    // Of all three words.
    std::uint32_t causes(NexthopId id) const noexcept;
    // A packet's own next hop was not live: counts it at each word that says so, and a lost one at its own.
    void count_met(NexthopId id) const noexcept;
    // How many packets met it down by its own word or lost, modulo 2^32.
    std::uint32_t met(NexthopId id) const noexcept
    {
        return index(id) < kMaxNexthops ? met_[index(id)].load(std::memory_order_relaxed) : 0;
    }
    // Worker: packets stop taking it with this store. The epoch to be told to control (api::WentDown); nothing when
    // the id was deleted or reused since `generation` was read.
    std::optional<std::uint32_t> set_down(NexthopId id, std::uint32_t generation, std::uint32_t causes) const noexcept
    {
        if (index(id) >= kMaxNexthops) return std::nullopt;
        return slots_[index(id)].down.set(generation, causes);
    }

    // ---- the writer
    // `interface` is the one that update.interface names, or null. False: the id is out of range.
    bool set(const api::SetNexthop& update, const api::SetInterface* interface);
    bool erase(NexthopId id);
    bool clear_down(NexthopId id, std::uint32_t epoch);
    // An interface changed (null: it is gone): next hops that leave by it are published anew.
    void refresh(InterfaceId id, const api::SetInterface* interface);
    std::size_t size() const noexcept { return size_; }
    std::size_t bytes() const noexcept { return size_ * (sizeof(Nexthop) + sizeof(Slot)); }

private:
    struct Slot {
        std::atomic<const Nexthop*> nexthop;
        // Only set() touches it beside the writer; a worker has the tables const.
        mutable DownWord down;
        std::uint16_t own_mtu;  // as the update said it; the writer's
        bool lost;              // likewise
    };

    void publish(Slot& slot, std::unique_ptr<const Nexthop> n);

    IdTable<Slot> slots_;
    mutable IdTable<std::atomic<std::uint32_t>> met_;
    const DownTable& words_;
    Reclaimer& reclaimer_;
    std::size_t end_ = 0;  // one past the highest id ever used
    std::size_t size_ = 0;
};

}  // namespace culvert::fib
