#pragma once

#include "base/ids.h"
#include "base/time.h"
#include "dataplane/fib/id_table.h"

#include <cstdint>

namespace culvert::node {

// RFC 2890 2.2: the sequence numbers of the GRE tunnels that one worker owns.
class GreSequences {
public:
    // A peer that starts anew counts from 0. When nothing was in order for this long, what comes is.
    static constexpr Duration kRestartAfter = 3s;

    GreSequences() : tunnels_(kTunnels) {}

    // Of the next packet sent; `generation` is the tunnel's.
    std::uint32_t next(InterfaceId tunnel, std::uint32_t generation) noexcept { return at(tunnel, generation).next++; }
    // Is a received packet newer than the last one that was? Modulo 2^32.
    bool in_order(InterfaceId tunnel, std::uint32_t generation, std::uint32_t sequence, TimePoint now) noexcept
    {
        auto& t = at(tunnel, generation);
        const auto time = now.time_since_epoch().count();
        const bool newer = static_cast<std::int32_t>(sequence - t.last) > 0;
        if (t.accepted_at != 0 && !newer && time - t.accepted_at < kRestartAfter.count()) return false;
        t.last = sequence;
        t.accepted_at = time;
        return true;
    }

private:
    static constexpr std::size_t kTunnels = 1 << 16;
    struct Tunnel {
        std::uint32_t generation;
        std::uint32_t next;
        std::uint32_t last;
        std::int64_t accepted_at;  // TimePoint count; 0: nothing yet
    };

    Tunnel& at(InterfaceId tunnel, std::uint32_t generation) noexcept
    {
        auto& t = tunnels_[index(tunnel)];
        if (t.generation != generation) t = {generation, 0, 0, 0};
        return t;
    }

    fib::IdTable<Tunnel> tunnels_;
};

}  // namespace culvert::node
