#include "dataplane/io/receive_stamps.h"

#include <rte_mbuf.h>
#include <rte_mbuf_dyn.h>

namespace culvert::io {

StampField::StampField() noexcept
{
    int offset = -1;
    std::uint64_t flag = 0;
    if (rte_mbuf_dyn_rx_timestamp_register(&offset, &flag) == 0) {
        offset_ = offset;
        flag_ = flag;
    }
}

std::optional<std::uint64_t> StampField::get(const rte_mbuf& m) const noexcept
{
    if ((m.ol_flags & flag_) == 0) return std::nullopt;
    return *RTE_MBUF_DYNFIELD(&m, offset_, const rte_mbuf_timestamp_t*);
}

void StampField::put(rte_mbuf& m, std::uint64_t ticks) const noexcept
{
    if (offset_ < 0) return;
    *RTE_MBUF_DYNFIELD(&m, offset_, rte_mbuf_timestamp_t*) = ticks;
    m.ol_flags |= flag_;
}

ReceiveStamps::ReceiveStamps(const Port& port) noexcept : port_(&port), clock_(port.stamp_tick()) {}

bool ReceiveStamps::take(std::span<rte_mbuf* const> frames, TimePoint now, std::span<std::int64_t> times) noexcept
{
    source_ = api::TimestampSource::Tsc;
    auto ticks = field_.get(*frames.front());
    auto source = api::TimestampSource::NicMbuf;
    const bool by_register = !ticks && (frames.front()->ol_flags & RTE_MBUF_F_RX_IEEE1588_TMST) != 0;
    if (!ticks && !by_register) return false;

    if (now >= next_sync_) {
        next_sync_ = now + DeviceClock::kSync;
        if (const auto device = port_->stamp_clock()) {
            readable_ = true;
            clock_.sync(*device, now);
        }
    }
    bool any = false;
    for (std::size_t i = 0; i < frames.size(); ++i) {
        times[i] = now.time_since_epoch().count();
        ticks = field_.get(*frames[i]);
        source = api::TimestampSource::NicMbuf;
        if (!ticks && (frames[i]->ol_flags & RTE_MBUF_F_RX_IEEE1588_TMST) != 0) {
            ticks = port_->stamp_register(frames[i]->timesync);
            source = api::TimestampSource::NicTimesync;
        }
        if (!ticks) continue;
        if (!readable_) clock_.observe(*ticks, now);
        const auto at = clock_.at(*ticks, now);
        if (!at) continue;
        times[i] = at->time_since_epoch().count();
        source_ = source;
        any = true;
    }
    return any;
}

}  // namespace culvert::io
