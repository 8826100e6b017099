#include "dataplane/node/fragment.h"
#include "dataplane/node/stages.h"

namespace culvert::node {

void fragment(Context& ctx, Burst& burst) noexcept
{
    for (std::size_t i = 0; i < burst.size(); ++i) {
        rte_mbuf* m = burst[i];
        auto& meta = metadata(m);
        const bool v6 = header_at<std::uint8_t>(m, 0) >> 4 == 6;
        const auto pieces = v6 ? fragment_ipv6(m, meta.mtu, ctx.next_fragment_id++) : fragment_ipv4(m, meta.mtu);
        for (std::size_t k = 0; k < pieces.count; ++k) {
            auto& piece = metadata(pieces.packets[k]);
            if (pieces.verdict == Verdict::Forward)
                piece.stage = piece.after;
            else
                piece.end(pieces.verdict);
            ctx.emit(pieces.packets[k]);
        }
    }
    burst.clear();
}

}  // namespace culvert::node
