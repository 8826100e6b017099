#pragma once

#include "base/time.h"
#include "dataplane/api/bfd.h"
#include "dataplane/io/device_clock.h"
#include "dataplane/io/port.h"

#include <cstdint>
#include <optional>
#include <span>

struct rte_mbuf;

namespace culvert::io {

// The time stamp in an mbuf: DPDK's dynamic field, one in the whole process.
class StampField {
public:
    StampField() noexcept;
    std::optional<std::uint64_t> get(const rte_mbuf& m) const noexcept;
    void put(rte_mbuf& m, std::uint64_t ticks) const noexcept;

private:
    int offset_ = -1;
    std::uint64_t flag_ = 0;
};

// When the frames of one port's queue came in, by the best clock there is: the device's stamp in the mbuf, the device's
// own register of the last frame it stamped (timesync), or the time of the burst. Belongs to the queue's thread.
class ReceiveStamps {
public:
    explicit ReceiveStamps(const Port& port) noexcept;

    // For a burst that was received at `now`: its frames' times. False: all are of `now`, and `times` isn't written.
    bool take(std::span<rte_mbuf* const> frames, TimePoint now, std::span<std::int64_t> times) noexcept;
    // Of the frame of the last burst at that place.
    api::TimestampSource source() const noexcept { return source_; }

private:
    const Port* port_;
    StampField field_;
    DeviceClock clock_;
    bool readable_ = false;
    TimePoint next_sync_{};
    api::TimestampSource source_ = api::TimestampSource::Tsc;
};

}  // namespace culvert::io
