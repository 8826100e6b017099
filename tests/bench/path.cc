#include "tests/bench/path.h"

#include "base/check.h"

#include <algorithm>
#include <cstring>

namespace culvert::bench {

using dataplane::test::pool;

std::size_t Path::Sink::transmit(PortId, bool, std::span<rte_mbuf* const> frames) noexcept
{
    std::copy(frames.begin(), frames.end(), packets.begin() + static_cast<std::ptrdiff_t>(count));
    count += frames.size();
    return frames.size();
}

Path::Path(dataplane::test::Router& r, PortId port, std::size_t packets)
    : pipeline_(r.context, sink_), context_(r.context), port_(port), packets_(packets)
{
    for (auto& m : packets_) {
        m = rte_pktmbuf_alloc(pool().get());
        CULVERT_CHECK(m != nullptr);
    }
    sink_.packets.resize(packets);
}

Path::~Path()
{
    for (auto* m : packets_) rte_pktmbuf_free(m);
}

void Path::put(rte_mbuf* m, Bytes frame)
{
    rte_pktmbuf_reset(m);
    auto* to = rte_pktmbuf_append(m, static_cast<std::uint16_t>(frame.size()));
    CULVERT_CHECK(to != nullptr);
    std::memcpy(to, frame.data(), frame.size());
}

double Path::pass()
{
    sink_.count = 0;
    const auto began = __builtin_ia32_rdtsc();
    for (std::size_t at = 0; at < packets_.size(); at += kBurst)
        pipeline_.frames(port_, std::span{packets_}.subspan(at, kBurst));
    const auto spent = __builtin_ia32_rdtsc() - began;
    end_pass();
    return static_cast<double>(spent) / static_cast<double>(packets_.size());
}

double Path::lending_pass()
{
    sink_.count = 0;
    const auto began = now();
    for (std::size_t at = 0; at < packets_.size(); at += kBurst) {
        pipeline_.frames(port_, std::span{packets_}.subspan(at, kBurst));
        pipeline_.settle_loans(false);
    }
    while (sink_.count < packets_.size()) CULVERT_CHECK(pipeline_.settle_loans(true) || sink_.count == packets_.size());
    const auto spent = now() - began;
    end_pass();
    return static_cast<double>(spent) / static_cast<double>(packets_.size());
}

void Path::end_pass()
{
    CULVERT_CHECK(sink_.count == packets_.size());
    packets_ = sink_.packets;
    context_.now += 1ms;
}

}  // namespace culvert::bench
