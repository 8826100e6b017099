#pragma once

#include "base/time.h"
#include "dataplane/api/dataplane.h"
#include "dataplane/api/fib_channel.h"
#include "dataplane/fib/tables.h"

#include <array>
#include <atomic>
#include <cstdint>
#include <deque>
#include <mutex>
#include <optional>
#include <span>
#include <stop_token>
#include <string_view>
#include <vector>

namespace culvert::fib {

// Why an update was refused. None of them can come from a peer: they are the control plane's bugs or a full table.
enum class Refusal : std::uint8_t {
    UnknownVrf,
    UnknownGroup,
    UnknownNexthop,
    UnknownInterface,
    UnknownPeer,
    UnknownTunnel,
    UnknownProtection,
    UnknownPrefix,  // a deletion of what is not there
    IdOutOfRange,
    BadPrefix,         // length beyond the family's
    BadGroup,          // 0 or more than 64 members, a member twice, a weight of 0
    StrayGroupMember,  // no SetGroup announced it, or the previous group is incomplete
    StaleClear,        // ClearDown for an epoch that a later failure has passed: not an error, counted here
    UnknownWord,       // a down word of what does not exist
    NoRoom,            // the last one
};
inline constexpr std::size_t kRefusals = static_cast<std::size_t>(Refusal::NoRoom) + 1;
std::string_view text(Refusal r) noexcept;

// The fib-writer: drains the FIB channel, edits the tables, acks a generation when every worker has passed a quiescent
// state after it was applied, and frees what was taken out. The only thread that edits Tables.
class FibWriter {
public:
    FibWriter(api::FibChannel& channel, Tables& tables, Rcu& rcu);

    // The thread's function; returns soon after a stop is requested.
    void run(const std::stop_token& stop);

    // One round without waiting: applies at most one bundle of updates, acks and frees what is due. For tests and
    // run().
    struct Step {
        bool applied = false;    // something came out of the channel
        bool pending = false;    // an ack or a deferred free waits for a reader
        bool spare = false;      // Tables::give_back() is worth its time
        TimePoint due = kNever;  // when buckets are to move next
    };
    Step step(TimePoint now = {});

    // Applies one update at once, outside the channel. For tests and tools, under no other writer.
    void apply(const api::FibUpdate& update);

    // ---- any thread
    std::uint64_t applied() const noexcept { return applied_.load(std::memory_order_relaxed); }
    std::uint64_t refused(Refusal r) const noexcept
    {
        return refused_[static_cast<std::size_t>(r)].load(std::memory_order_relaxed);
    }
    std::uint64_t refused() const noexcept;  // all of them, without StaleClear
    // What the tables say for one destination. Waits for at most one bundle.
    std::optional<api::FibAnswer> lookup(VrfId vrf, const IpAddress& destination) const;
    std::vector<api::MemoryUse> memory() const;

private:
    static constexpr std::size_t kBundle = 256;
    static constexpr std::size_t kBatch = 16;  // popped together
    static_assert(kBatch == Trie<Key4>::kBatch);
    // With more than this waiting for readers, the channel is left to fill up.
    static constexpr std::size_t kMaxRetired = 64 << 20;

    struct PendingGroup {
        GroupId id{kNoGroup};
        GroupTable::Change change;
        std::vector<GroupMember> members;
        std::size_t seen = 0;
    };
    struct PendingAck {
        std::uint64_t generation;
        Rcu::Token token;
    };

    void prefetch(std::span<const api::FibUpdate> updates) const;
    void refuse(Refusal reason, std::string_view what);
    void on(Tables::Change change, Refusal unknown, std::string_view what);
    void on(const api::Commit& u);
    void on(const api::SetVrf& u);
    void on(const api::DeleteVrf& u);
    void on(const api::SetInterface& u);
    void on(const api::DeleteInterface& u);
    void on(const api::SetWireguard& u);
    void on(const api::SetTunnel& u);
    void on(const api::SetTunnelEndpoint& u);
    void on(const api::DeleteTunnelEndpoint& u);
    void on(const api::SetPeer& u);
    void on(const api::DeletePeer& u);
    void on(const api::SetAllowedIp& u);
    void on(const api::DeleteAllowedIp& u);
    void on(const api::AddPeerSource& u);
    void on(const api::DeletePeerSource& u);
    void on(const api::SetNexthop& u);
    void on(const api::DeleteNexthop& u);
    void on(const api::SetDownWord& u);
    void on(const api::DeleteDownWord& u);
    void on(const api::ClearDown& u);
    void on(const api::SetGroup& u);
    void on(const api::SetGroupMember& u);
    void on(const api::DeleteGroup& u);
    void on(const api::SetFailoverPace& u);
    void on(const api::SetProtectedPrefix& u);
    void on(const api::DeleteProtectedPrefix& u);
    void on(const api::SetRoute& u);
    void on(const api::DeleteRoute& u);
    // A group of this router's own host link has no other member.
    bool leads_here(GroupId group) const;
    void on(const api::SetProtection& u);
    void on(const api::DeleteProtection& u);

    api::FibChannel& channel_;
    Tables& tables_;
    Rcu& rcu_;
    mutable std::mutex editing_;  // held for one bundle; `show` reads under it
    std::array<api::FibUpdate, kBatch> batch_;
    PendingGroup group_;
    std::deque<PendingAck> acks_;
    std::atomic<std::uint64_t> applied_{0};
    std::array<std::atomic<std::uint64_t>, kRefusals> refused_{};
};

}  // namespace culvert::fib
