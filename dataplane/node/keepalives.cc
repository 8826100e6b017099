#include "dataplane/node/keepalives.h"

#include <algorithm>
#include <utility>

namespace culvert::node {

void Keepalives::apply(const api::SetTunnelKeepalive& keepalive, TimePoint now)
{
    if (keepalive.period == 0) {
        // What it has taken out of use isn't its business any more.
        if (tunnels_.erase(keepalive.tunnel) != 0) actions_.alive(keepalive.tunnel);
    } else {
        auto& tunnel = tunnels_[keepalive.tunnel];
        tunnel.period = std::chrono::seconds{keepalive.period};
        tunnel.retries = std::max<unsigned>(keepalive.retries, 1);
        tunnel.due = now;
        tunnel.sent = tunnel.began = kNever;
        tunnel.missed = 0;
        actions_.missed(keepalive.tunnel, 0);
    }
    next_ = now;
}

// The last one has had a whole period to be answered.
void Keepalives::judge(InterfaceId id, Tunnel& tunnel, TimePoint now) noexcept
{
    if (tunnel.sent == kNever) return;
    const auto answer = actions_.last_answer(id);
    if (answer >= tunnel.sent) {
        if (std::exchange(tunnel.missed, 0) != 0) actions_.missed(id, 0);
        tunnel.down = false;
        return actions_.alive(id);
    }
    actions_.missed(id, ++tunnel.missed);
    if (tunnel.missed < tunnel.retries || std::exchange(tunnel.down, true)) return;
    actions_.went_down(id, std::max(answer, tunnel.began), now);
}

void Keepalives::on_time(TimePoint now, TimePoint heard_until) noexcept
{
    if (now < next_) return;
    next_ = kNever;
    for (auto& [id, tunnel] : tunnels_) {
        if (tunnel.due <= now && (tunnel.sent == kNever || tunnel.due <= heard_until)) {
            judge(id, tunnel, now);
            const bool sent = actions_.send(id);
            tunnel.sent = sent ? now : kNever;
            tunnel.due = now + (sent ? tunnel.period : std::min(tunnel.period, kRetry));
            if (sent) tunnel.began = std::min(tunnel.began, now);
        }
        next_ = std::min(next_, tunnel.due);
    }
}

}  // namespace culvert::node
