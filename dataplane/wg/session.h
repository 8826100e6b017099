#pragma once

#include "base/check.h"
#include "base/ids.h"
#include "base/time.h"
#include "dataplane/wg/replay_window.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace culvert::wg {

// The keys of one handshake with a peer, both directions.
struct Session {
    std::array<std::uint8_t, 32> sending;
    std::array<std::uint8_t, 32> receiving;
    std::uint64_t send_counter;  // of the next packet
    TimePoint created;
    PeerId peer;
    std::uint32_t local_index;
    std::uint32_t remote_index;
    ReplayWindow received;
};

// Finds a session by the index that its peer writes into packets. Open addressing, linear probing; never more than half
// full, and the indices are random numbers of ours, so nobody can make them collide.
class SessionIndex {
public:
    // Room for `sessions` at least.
    explicit SessionIndex(std::size_t sessions);

    Session* find(std::uint32_t index) const noexcept;
    void prefetch(std::uint32_t index) const noexcept { __builtin_prefetch(&slots_[home(index)]); }
    // False if the index is taken.
    bool insert(std::uint32_t index, Session* session) noexcept;
    void erase(std::uint32_t index) noexcept;

private:
    struct Slot {
        Session* session = nullptr;
        std::uint32_t index = 0;
    };
    std::size_t home(std::uint32_t index) const noexcept { return index & mask_; }

    std::vector<Slot> slots_;
    std::size_t mask_;
    std::size_t used_ = 0;
};

}  // namespace culvert::wg
