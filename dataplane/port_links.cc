#include "dataplane/port_links.h"

namespace culvert::dataplane {

int PortLinks::watch()
{
    watch_ = std::make_unique<io::LinkWatch>();
    return watch_->fd();
}

void PortLinks::look(node::Context& context, io::TscClock& clock) noexcept
{
    const bool all = watch_->changed() || context.now >= next_poll_;
    bool dpdk = false;
    for (auto& link : links_) {
        const bool kernel = index(link.id) >= io::kFirstOwnPort;
        dpdk |= !kernel;
        if (all || !kernel) look_at(link, context, clock);
    }
    next_look_ = links_.empty() ? kNever : context.now + kLook;
    if (links_.empty())
        next_poll_ = kNever;
    else if (all)
        next_poll_ = context.now + (dpdk || watch_->fd() < 0 ? kDpdkPoll : kKernelPoll);
}

// A lost link takes the port's next hops out at once, in every worker. It may be lost before an interface is on the
// port: then the word is set when it has come to be.
void PortLinks::look_at(Link& link, node::Context& context, io::TscClock& clock) noexcept
{
    const bool up = link.port->link_up();
    const auto port = index(link.id);
    if (up) {
        link.told = 0;
    } else if (const auto generation = context.tables.generation(api::DownKind::Port, port); generation != link.told) {
        if (const auto epoch = context.tables.set_down(api::DownKind::Port, port, generation, fib::cause::kLink)) {
            link.told = generation;
            context.raise(
                api::WentDown{api::DownKind::Port, port, fib::cause::kLink, *epoch, context.now, clock.now()});
        }
    }
    if (up == link.up) return;
    link.up = up;
    context.raise(api::LinkChanged{link.id, up});
}

}  // namespace culvert::dataplane
