#pragma once

#include "base/time.h"
#include "dataplane/api/worker_link.h"
#include "dataplane/esp/sa_table.h"
#include "dataplane/fib/tables.h"
#include "dataplane/node/burst.h"
#include "dataplane/node/counters.h"
#include "dataplane/node/flow_hash.h"
#include "dataplane/node/gre_sequence.h"
#include "dataplane/node/hold.h"
#include "dataplane/node/loans.h"
#include "dataplane/node/owner_hints.h"
#include "dataplane/node/packet_list.h"
#include "dataplane/node/reassembly.h"
#include "dataplane/node/token_bucket.h"
#include "dataplane/wg/peer_table.h"

#include <array>
#include <cstdint>
#include <span>

namespace culvert::node {

class BfdSpeaker;

// What the stages of one worker work with. Belongs to that worker's thread.
struct Context {
    static constexpr Duration kTellAlive = 100ms;  // no sooner is it told again

    const fib::Tables& tables;
    Counters& counters;
    wg::PeerTable& peers;
    esp::SaTable& sas;
    HoldTable& holds;
    api::WorkerLink& link;
    OwnerHints& hints;  // shared by all workers
    rte_mempool* pool;
    BfdSpeaker* bfd = nullptr;  // the BFD sessions of this worker; none: BFD goes to the host link
    WorkerId self{};
    std::uint8_t workers = 1;
    std::uint64_t hash_seed = 0;  // secret: nobody outside can choose flows that collide
    HashMask hash4, hash6;
    std::span<api::TunnelActivity> tunnel_activity{};  // by InterfaceId, shared by all workers

    TimePoint now{};  // of the poll round
    // When the frames of the burst that is being classified came in, by their device; empty: now.
    std::span<const std::int64_t> stamps{};
    api::TimestampSource stamped_by = api::TimestampSource::Tsc;
    std::uint32_t next_fragment_id = 0;
    bool told_control = false;  // wake it at the end of the round
    TokenBucket icmp{1000, 100};
    TokenBucket punt_arp{2000, 256};
    TokenBucket punt_nd{2000, 256};
    TokenBucket punt_wireguard{4000, 512};
    TokenBucket punt_path_mtu{100, 20};

    GreSequences gre{};
    Reassembly reassembly{{}, hash_seed};

    LoanDesk loans{};
    std::array<PacketList, kStageCount> queues{};

    // Queues a packet that a stage made, for the stage that its metadata names.
    void emit(rte_mbuf* m) noexcept { queues[static_cast<std::size_t>(metadata(m).stage)].push(m); }

    void raise(const api::WorkerEvent& event) noexcept
    {
        if (!link.events.push(event)) link.lost_events.fetch_add(1, std::memory_order_relaxed);
        told_control = true;
    }
    // A keepalive of ours came back. Any worker may see it; the tunnel's owner judges by it.
    void keepalive_received(InterfaceId tunnel) noexcept
    {
        if (index(tunnel) >= tunnel_activity.size()) return;
        const auto at = now.time_since_epoch().count();
        const auto last = tunnel_activity[index(tunnel)].keepalive_received.exchange(at, std::memory_order_relaxed);
        if (at - last >= kTellAlive.count()) tunnel_alive(tunnel);
    }
    // Packets stop taking the tunnel with this. `since`: the last sign of life.
    void tunnel_down(InterfaceId tunnel, TimePoint since, TimePoint at) noexcept
    {
        const auto generation = tables.generation(api::DownKind::Interface, index(tunnel));
        const auto epoch = tables.set_down(api::DownKind::Interface, index(tunnel), generation, fib::cause::kTunnel);
        if (!epoch) return;
        raise(api::WentDown{.kind = api::DownKind::Interface,
                            .id = index(tunnel),
                            .causes = fib::cause::kTunnel,
                            .epoch = *epoch,
                            .since = since,
                            .at = at});
    }
    // A tunnel that was taken out of use so shows life again. Told until the word is clear: an event may be lost.
    void tunnel_alive(InterfaceId tunnel) noexcept
    {
        if ((tables.down(api::DownKind::Interface, index(tunnel)).causes & fib::cause::kTunnel) != 0)
            raise(api::TunnelAlive{tunnel});
    }
    // Of a tunnel's sequence numbers and keepalives.
    WorkerId owner_of(InterfaceId tunnel) const noexcept
    {
        return WorkerId{static_cast<std::uint8_t>(index(tunnel) % workers)};
    }
    WorkerId owner_of(ProtectionId id) const noexcept
    {
        return WorkerId{static_cast<std::uint8_t>(index(id) % workers)};
    }
    // The worker that a packet with a receiver index or SPI not known here is given to; this one if it has been
    // everywhere.
    WorkerId next_worker(const Metadata& meta, std::uint32_t index) const noexcept
    {
        if (meta.hops + 1 >= workers) return self;
        if (meta.hops == 0) {
            const auto hinted = hints.get(index);
            if (hinted != self && culvert::index(hinted) < workers) return hinted;
        }
        return WorkerId{static_cast<std::uint8_t>((culvert::index(self) + 1) % workers)};
    }
    WorkerId owner_of(PeerId peer) const noexcept { return WorkerId{static_cast<std::uint8_t>(index(peer) % workers)}; }
};

// Metadata of a packet that this worker makes or that has just come in.
inline Metadata& begin(rte_mbuf* m, TimePoint now) noexcept
{
    auto& meta = metadata(m);
    meta = {};
    meta.received_at = now.time_since_epoch().count();
    return meta;
}

constexpr bool is_hold(Verdict v) noexcept { return v == Verdict::HoldNeighbor || v == Verdict::HoldHandshake; }

// Packets that a stage put into the hold table are not the burst's any more.
inline void remove_held(Burst& burst) noexcept
{
    std::size_t kept = 0;
    for (std::size_t i = 0; i < burst.size(); ++i)
        if (burst.meta(i).stage != Stage::End || !is_hold(burst.meta(i).verdict)) burst.data()[kept++] = burst[i];
    burst.set_size(kept);
}

}  // namespace culvert::node
