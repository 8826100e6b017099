#pragma once

#include "base/ids.h"
#include "base/ip.h"
#include "base/time.h"
#include "dataplane/node/packet_list.h"

#include <array>
#include <cstdint>
#include <memory>

namespace culvert::node {

// What a packet waits for: the link-layer address of `address` on `interface`, or a session with `peer`.
struct HoldKey {
    PeerId peer{kNoPeer};
    InterfaceId interface {
        kNoInterface
    };
    IpAddress address{};

    friend bool operator==(const HoldKey&, const HoldKey&) = default;
};

// The packets of one worker that wait. Bounded three ways: keys, packets of a key, packets in all.
class HoldTable {
public:
    static constexpr std::size_t kMaxKeys = 1024;
    static constexpr std::size_t kMaxOfKey = 128;
    static constexpr Duration kNeighborPatience = 5s;
    static constexpr Duration kHandshakePatience = 20s;
    static constexpr Duration kAskAgainAfter = 1s;

    explicit HoldTable(std::size_t max_packets);

    struct Held {
        bool taken;  // false: full, the packet stays the caller's
        bool ask;    // nobody was told in the last second that this key is wanted
    };
    // Keeps `m`, whose received_at tells when its patience ends.
    Held hold(const HoldKey& key, rte_mbuf* m, TimePoint now) noexcept;
    // All that waits for `key`. `answered`: it is resolved, so whoever waits for it next (after it was lost again) asks
    // at once; else the second between two questions goes on.
    PacketList release(const HoldKey& key, bool answered) noexcept;
    bool waits(const HoldKey& key) const noexcept;
    // What has waited too long. Also forgets keys that nobody asked for lately.
    PacketList expire(TimePoint now) noexcept;
    PacketList release_all() noexcept;
    TimePoint next_deadline() const noexcept { return used_ == 0 ? kNever : next_scan_; }
    std::size_t packets() const noexcept { return packets_; }

private:
    static constexpr std::uint16_t kNone = 0xffff;
    static constexpr Duration kScanEvery = 100ms;
    struct Slot {
        HoldKey key;
        PacketList list;
        TimePoint asked{};
        std::uint16_t next = kNone;  // of the bucket, or of the free slots
    };

    static std::size_t bucket(const HoldKey& key) noexcept;
    std::uint16_t find(const HoldKey& key) const noexcept;
    std::uint16_t insert(const HoldKey& key) noexcept;

    std::unique_ptr<std::array<Slot, kMaxKeys>> slots_;
    std::array<std::uint16_t, kMaxKeys> buckets_;
    std::uint16_t free_ = 0;
    std::size_t used_ = 0;
    std::size_t packets_ = 0;
    std::size_t max_packets_;
    TimePoint next_scan_{};
};

}  // namespace culvert::node
