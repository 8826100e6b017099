#include "dataplane/transmit_queue.h"

#include <rte_mbuf.h>

#include <algorithm>

namespace culvert::dataplane {

TransmitQueue::~TransmitQueue()
{
    for (auto* m : std::span{control_.frames}.first(control_.size)) rte_pktmbuf_free(m);
    for (auto* m : std::span{data_.frames}.first(data_.size)) rte_pktmbuf_free(m);
    counters_.verdict(api::Verdict::DropShutdown, control_.size + data_.size);
}

template <std::size_t N>
std::size_t TransmitQueue::Waiting<N>::put(std::span<rte_mbuf* const> more) noexcept
{
    const auto n = std::min(more.size(), N - size);
    std::copy_n(more.begin(), n, frames.begin() + static_cast<std::ptrdiff_t>(size));
    size += n;
    return n;
}

std::size_t TransmitQueue::to_device(rte_mbuf* const* frames, std::size_t n) noexcept
{
    const auto sent = port_.tx_burst(queue_, const_cast<rte_mbuf**>(frames), static_cast<std::uint16_t>(n));
    if (sent != 0) counters_.verdict(api::Verdict::Sent, sent);
    return sent;
}

template <std::size_t N>
bool TransmitQueue::flush(Waiting<N>& waiting) noexcept
{
    if (waiting.size == 0) return true;
    const auto sent = to_device(waiting.frames.data(), waiting.size);
    std::copy(waiting.frames.begin() + static_cast<std::ptrdiff_t>(sent),
              waiting.frames.begin() + static_cast<std::ptrdiff_t>(waiting.size), waiting.frames.begin());
    waiting.size -= sent;
    return waiting.size == 0;
}

void TransmitQueue::flush() noexcept
{
    if (flush(control_)) flush(data_);
}

std::size_t TransmitQueue::send(bool control, std::span<rte_mbuf* const> frames) noexcept
{
    if (!empty()) flush();
    std::size_t sent = 0;
    if (control_.size == 0 && (control || data_.size == 0)) sent = to_device(frames.data(), frames.size());
    const auto rest = frames.subspan(sent);
    if (rest.empty()) return sent;
    return sent + (control ? control_.put(rest) : data_.put(rest));
}

}  // namespace culvert::dataplane
