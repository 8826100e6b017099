#pragma once

#include "dataplane/node/context.h"
#include "dataplane/node/keepalives.h"

namespace culvert::node {

// The keepalives of one worker's tunnels, and what they do here: probes are queued for their stage, a far end that is
// gone has its tunnel's down word set at once, control hears of it by events.
class KeepaliveSender final : private Keepalives::Actions {
public:
    explicit KeepaliveSender(Context& ctx) noexcept : ctx_(ctx), engine_(*this) {}

    void apply(const api::SetTunnelKeepalive& keepalive);
    TimePoint next_deadline() const noexcept { return engine_.next_deadline(); }
    void on_time(TimePoint now, TimePoint heard_until) noexcept { engine_.on_time(now, heard_until); }

private:
    bool send(InterfaceId tunnel) noexcept override;
    TimePoint last_answer(InterfaceId tunnel) const noexcept override;
    void went_down(InterfaceId tunnel, TimePoint since, TimePoint at) noexcept override;
    void alive(InterfaceId tunnel) noexcept override;
    void missed(InterfaceId tunnel, unsigned in_a_row) noexcept override;

    Context& ctx_;
    Keepalives engine_;
};

}  // namespace culvert::node
