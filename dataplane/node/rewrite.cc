#include "dataplane/node/link_header.h"
#include "dataplane/node/stages.h"
#include "dataplane/node/tally.h"

namespace culvert::node {

void rewrite(Context& ctx, Burst& burst) noexcept
{
    Tally sent{ctx.counters, Tally::Way::Sent};
    for (std::size_t i = 0; i < burst.size(); ++i) {
        auto& meta = burst.meta(i);
        if (put_link_header(burst[i], *meta.path)) [[likely]]
            sent.add(meta.path->interface, meta.length);
        else
            meta.end(Verdict::DropNoBuffer);
    }
}

}  // namespace culvert::node
