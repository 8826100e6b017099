#include "dataplane/node/stages.h"

namespace culvert::node {

// The parts of a datagram may come in by any worker: they meet at one that their addresses and identification pick.
void reassemble(Context& ctx, Burst& burst) noexcept
{
    PacketList out;
    std::size_t kept = 0;
    for (std::size_t i = 0; i < burst.size(); ++i) {
        rte_mbuf* m = burst[i];
        if (ctx.workers > 1) {
            const WorkerId owner{static_cast<std::uint8_t>(Reassembly::hash(m, ctx.hash_seed) % ctx.workers)};
            if (owner != ctx.self) {
                auto& meta = metadata(m);
                meta.owner = owner;
                meta.after = Stage::Reassemble;
                meta.end(Verdict::HandedOver);
                burst.data()[kept++] = m;
                continue;
            }
        }
        const auto held = ctx.reassembly.fragments();
        ctx.reassembly.add(m, ctx.now, out);
        if (ctx.reassembly.fragments() > held) ctx.counters.verdict(Verdict::HoldFragment);
    }
    burst.set_size(kept);
    while (!out.empty()) ctx.emit(out.pop());
}

}  // namespace culvert::node
