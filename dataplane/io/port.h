#pragma once

#include "base/ids.h"
#include "base/result.h"
#include "dataplane/api/dataplane.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

struct rte_mbuf;
struct rte_mempool;

namespace culvert::io {

class Guardian;

// Ports of DPDK's have the id that DPDK gave them; a kernel netdev has one that the caller chose from here on. It is
// also what `rte_mbuf::port` of a received packet says.
inline constexpr std::uint16_t kFirstOwnPort = 64;
inline constexpr std::uint16_t kMaxPorts = 128;  // ids are below

// A device that frames come from and go to. Queue i belongs to one thread at a time; all else is the control thread's.
// The destructor stops the device and gives it back as it was.
class Port {
public:
    virtual ~Port() = default;

    // Up to `max` whole Ethernet frames: one mbuf, one segment each, VLAN tags in place, checksums complete, no larger
    // than the peer's MTU (what the kernel hands over as one large segment is cut here). rte_mbuf::port is info().id.
    virtual std::uint16_t rx_burst(std::uint16_t queue, rte_mbuf** frames, std::uint16_t max) noexcept = 0;
    // Takes the first n of `count` frames, which are the port's from then on, sent or counted as dropped. The rest stay
    // the caller's: the device is full.
    virtual std::uint16_t tx_burst(std::uint16_t queue, rte_mbuf** frames, std::uint16_t count) noexcept = 0;
    // Readable (level-triggered) while rx_burst would find something. Empty: the queue must be polled.
    virtual std::span<const int> wait_fds(std::uint16_t queue) const noexcept = 0;
    // Frames that the port holds already and no descriptor tells of: don't sleep.
    virtual bool pending(std::uint16_t queue) const noexcept
    {
        (void)queue;
        return false;
    }

    // What the last rx_burst, which returned n frames, tells of how far the queue was read.
    enum class Progress : std::uint8_t {
        Drained,  // nothing that had come in before was left
        Behind,   // more may wait; the frames are in the order in which they came
        Apart,    // they passed others that wait: it tells nothing
    };
    virtual Progress progress(std::uint16_t queue, std::size_t n) const noexcept
    {
        return n < kFullBurst && !pending(queue) ? Progress::Drained : Progress::Behind;
    }
    static constexpr std::size_t kFullBurst = 32;  // some drivers give no more at once

    // The clock that stamps received frames (StampField). Nanoseconds a tick, 0: not known or none; the clock now,
    // none: it can't be read; and the stamp in the device's register for a frame that was flagged so.
    virtual double stamp_tick() const noexcept { return 0; }
    virtual std::optional<std::uint64_t> stamp_clock() const noexcept { return std::nullopt; }
    virtual std::optional<std::uint64_t> stamp_register(std::uint32_t which) const noexcept
    {
        (void)which;
        return std::nullopt;
    }

    virtual api::PortInfo info() const = 0;
    // Any thread; about a microsecond.
    virtual bool link_up() const noexcept = 0;
    virtual Result<void, api::PortError> set_mtu(std::uint16_t mtu) = 0;
    // Any thread.
    virtual api::PortCounters counters() const = 0;
};

struct PortOptions {
    PortId own_id{kFirstOwnPort};  // for a kernel netdev: not in use by another port
    std::uint16_t queues = 1;      // one a worker; a device that has fewer says so in info().queues
    rte_mempool* pool = nullptr;
    Guardian* guardian = nullptr;  // for a kernel netdev
};

// Opens the device in the calling thread's network namespace, starts it and checks that it really runs.
Result<std::unique_ptr<Port>, api::PortError> open_port(const api::PortSpec& spec, const PortOptions& options);
// Would open_port work? Changes nothing.
Result<void, api::PortError> check_port(const api::PortSpec& spec);

}  // namespace culvert::io
