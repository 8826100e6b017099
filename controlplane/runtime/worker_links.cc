#include "controlplane/runtime/worker_links.h"

#include "crypto/secret.h"

#include <sys/epoll.h>

#include <algorithm>
#include <memory>

namespace culvert::runtime {
namespace {

// A turn takes at most so many of each, so that a flood of one worker doesn't hold up the loop.
constexpr int kPerTurn = 512;
constexpr auto kRetry = 1ms;

}  // namespace

WorkerLinks::WorkerLinks(Core& core)
    : core_(core), retry_(core.loop, [this] {
          for (auto& link : links_) flush(link);
      })
{
    for (std::size_t i = 0; i < core_.dataplane.workers(); ++i) {
        auto& link = links_.emplace_back();
        link.queues = &core_.dataplane.link(WorkerId{static_cast<std::uint8_t>(i)});
        link.watch = core_.loop.watch(link.queues->control_wake.fd(), EPOLLIN, [this, &link](std::uint32_t) {
            link.queues->control_wake.disarm();
            drain(link);
        });
        core_.loop.post([this, &link] { drain(link); });
    }
}

WorkerLinks::~WorkerLinks()
{
    for (auto& link : links_) {
        for (auto& command : link.waiting) crypto::wipe(&command, sizeof command);
    }
}

void WorkerLinks::drain(Link& link)
{
    auto& q = *link.queues;
    api::WorkerEvent event;
    for (int i = 0; i < kPerTurn && q.events.pop(event); ++i) on_event(event);
    // A punt is 2 KiB: read it where it lies.
    for (int i = 0; i < kPerTurn && q.punts.read_available() > 0; ++i) {
        on_punt(q.punts.front());
        q.punts.pop();
    }
    if (const auto lost = q.lost_events.load(std::memory_order_acquire); lost != link.lost_seen) {
        link.lost_seen = lost;
        if (on_lost_events) on_lost_events();
    }
    if (q.events.read_available() > 0 || q.punts.read_available() > 0) {
        core_.loop.post([this, &link] { drain(link); });
        return;
    }
    q.control_wake.arm();
    // What came between the last look and arm() raised no signal.
    if (q.events.read_available() > 0 || q.punts.read_available() > 0) core_.loop.post([this, &link] { drain(link); });
}

void WorkerLinks::flush(Link& link)
{
    while (!link.waiting.empty() && link.queues->commands.push(link.waiting.front())) {
        crypto::wipe(&link.waiting.front(), sizeof link.waiting.front());
        link.waiting.pop_front();
    }
    link.queues->worker_wake.signal();
    if (!link.waiting.empty()) retry_.set(now() + kRetry);
}

void WorkerLinks::command(WorkerId worker, const api::WorkerCommand& command)
{
    auto& link = links_.at(index(worker));
    link.waiting.push_back(command);
    flush(link);
}

void WorkerLinks::command_all(const api::WorkerCommand& command)
{
    for (auto& link : links_) {
        link.waiting.push_back(command);
        flush(link);
    }
}

bool WorkerLinks::inject(api::InjectKind kind, VrfId vrf, InterfaceId interface, Bytes bytes)
{
    auto& q = *links_.front().queues;
    if (bytes.size() > api::kMaxInject) {
        ++injects_dropped_;
        return false;
    }
    api::Inject packet;
    packet.kind = kind;
    packet.vrf = vrf;
    packet.interface = interface;
    packet.length = static_cast<std::uint16_t>(bytes.size());
    std::copy(bytes.begin(), bytes.end(), packet.bytes.begin());
    const bool pushed = q.injects.push(packet);
    if (pushed)
        q.worker_wake.signal();
    else
        ++injects_dropped_;
    return pushed;
}

bool WorkerLinks::inject_frame(InterfaceId interface, Bytes frame)
{
    return inject(api::InjectKind::Frame, kDefaultVrf, interface, frame);
}

bool WorkerLinks::inject_packet(VrfId vrf, Bytes packet)
{
    return inject(api::InjectKind::Packet, vrf, kNoInterface, packet);
}

}  // namespace culvert::runtime
