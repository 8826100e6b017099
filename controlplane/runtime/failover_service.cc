#include "controlplane/runtime/failover_service.h"

#include "base/log.h"

#include <algorithm>
#include <utility>

namespace culvert::runtime {

using fibprog::Gateway;
using Kind = Subject::Kind;

namespace {

Subject subject_of(api::DownKind kind, std::uint32_t id)
{
    switch (kind) {
        case api::DownKind::Port: return {Kind::Port, id};
        case api::DownKind::Interface: return {Kind::Tunnel, id};
        case api::DownKind::Session: return {Kind::Session, id};
        case api::DownKind::Nexthop: break;
    }
    return {Kind::Nexthop, id};
}

// Neighbours have no word: control itself took them out.
std::optional<api::DownKind> word_of(Kind kind)
{
    switch (kind) {
        case Kind::Port: return api::DownKind::Port;
        case Kind::Tunnel: return api::DownKind::Interface;
        case Kind::Session: return api::DownKind::Session;
        case Kind::Nexthop: return api::DownKind::Nexthop;
        case Kind::Neighbor: break;
    }
    return std::nullopt;
}

// On a link the VRF says nothing more.
Gateway normal(Gateway gateway)
{
    if (gateway.interface != kNoInterface) gateway.vrf = kDefaultVrf;
    return gateway;
}

const char* reason_of(Kind kind)
{
    switch (kind) {
        case Kind::Session: return "its BFD session is down";
        case Kind::Neighbor: return "the neighbour no longer answers";
        case Kind::Port:
        case Kind::Tunnel:
        case Kind::Nexthop: break;
    }
    return "it has failed";
}

}  // namespace

FailoverService::FailoverService(Core& core, InterfaceTable& interfaces)
    : core_(core), interfaces_(interfaces), failover_(*this), timer_(core.loop, [this] {
          failover_.on_time(now());
          timer_.set(failover_.next_deadline());
      })
{}

void FailoverService::configure(const config::Failover& config)
{
    failover_.set_hold_up(config.hold_up);
    timer_.set(failover_.next_deadline());
    if (paced_ && pace_ == config.buckets_a_second) return;
    paced_ = true;
    pace_ = config.buckets_a_second;
    core_.programmer.set_pace(pace_);
    core_.loop.wake_slice();
}

// ---- events
// -----------------------------------------------------------------------------------------------------------

void FailoverService::down(const Subject& subject, const Failover::Failure& failure)
{
    const bool fresh = !failover_.is_down(subject);
    failover_.on_down(subject, failure, now());
    if (fresh && failure.was_used)
        log::warning("failover", "{} is down, {:.1f} ms after its last sign of life", name(subject),
                     std::chrono::duration<double, std::milli>(failure.at - failure.since).count());
    timer_.set(failover_.next_deadline());
    core_.loop.wake_slice();
}

void FailoverService::alive(const Subject& subject)
{
    failover_.on_alive(subject, now());
    timer_.set(failover_.next_deadline());
}

void FailoverService::on_went_down(const api::WentDown& event)
{
    const auto subject = subject_of(event.kind, event.id);
    if (subject.kind == Kind::Nexthop) {
        const auto gateway = core_.programmer.gateway_of(NexthopId{event.id});
        if (!gateway) return;  // deleted meanwhile, and its word with it
        nexthops_.try_emplace(subject, *gateway);
    }
    if (subject.kind == Kind::Session && !sessions_.contains(BfdSessionId{event.id})) return;
    bool used = true;
    if (subject.kind == Kind::Port) {
        used = interfaces_.link_up(PortId{static_cast<std::uint16_t>(event.id)});
    } else if (subject.kind == Kind::Tunnel) {
        const auto* entry = interfaces_.find(InterfaceId{static_cast<std::uint16_t>(event.id)});
        if (!entry) return;
        used = entry->up();
    }
    down(subject, {event.causes, event.epoch, event.since, event.at, used});
}

void FailoverService::on_link(const api::LinkChanged& event)
{
    const Subject port{Kind::Port, index(event.port)};
    if (!event.up) {
        interfaces_.link_changed(event.port, false);
        return;
    }
    // A port that failed is up again when it has stayed up for long enough: bring_back().
    if (failover_.is_down(port))
        alive(port);
    else
        interfaces_.link_changed(event.port, true);
}

void FailoverService::resync()
{
    const auto look = [&](api::DownKind kind, std::uint32_t id) {
        const auto view = core_.dataplane.down(kind, id);
        if (view.causes == 0) return;
        on_went_down({kind, id, view.causes, view.epoch, now(), now()});
    };
    for (const auto& port : core_.dataplane.ports()) {
        look(api::DownKind::Port, index(port.id));
        on_link({port.id, port.link_up});
    }
    for (const auto& [name, entry] : interfaces_.all()) look(api::DownKind::Interface, index(entry.id));
    for (const auto& [id, session] : sessions_) look(api::DownKind::Session, index(id));
}

void FailoverService::on_neighbor_lost(InterfaceId interface, const IpAddress& address, TimePoint since)
{
    const Subject subject{Kind::Neighbor, 0, {kDefaultVrf, interface, address}};
    core_.programmer.lose_neighbor(interface, address);
    down(subject, {api::cause::kNeighbor, 0, since, now(), true});
}

void FailoverService::on_neighbor_doubted(InterfaceId interface, const IpAddress& address)
{
    down({Kind::Neighbor, 0, {kDefaultVrf, interface, address}}, {api::cause::kNeighbor, 0, now(), now(), false});
}

void FailoverService::forget_neighbor(InterfaceId interface, const IpAddress& address)
{
    const Subject subject{Kind::Neighbor, 0, {kDefaultVrf, interface, address}};
    drop_reason(subject.neighbor, subject);
    forget(subject);
}

void FailoverService::on_neighbor_alive(InterfaceId interface, const IpAddress& address)
{
    alive({Kind::Neighbor, 0, {kDefaultVrf, interface, address}});
}

// ---- BFD sessions
// -----------------------------------------------------------------------------------------------------

void FailoverService::add_session(BfdSessionId id, std::string name)
{
    sessions_[id].name = std::move(name);
    core_.programmer.set_down_word(id);
    core_.loop.wake_slice();
}

void FailoverService::bind(BfdSessionId id, const Gateway& of)
{
    const auto gateway = normal(of);
    if (!sessions_[id].gateways.insert(gateway).second) return;
    core_.programmer.set_session(gateway, id);
    const Subject session{Kind::Session, index(id)};
    if (failover_.is_down(session)) add_reason(gateway, session);
    core_.loop.wake_slice();
}

void FailoverService::unbind(BfdSessionId id, const Gateway& of)
{
    const auto gateway = normal(of);
    const auto at = sessions_.find(id);
    if (at == sessions_.end() || at->second.gateways.erase(gateway) == 0) return;
    core_.programmer.set_session(gateway, kNoBfdSession);
    drop_reason(gateway, {Kind::Session, index(id)});
    core_.loop.wake_slice();
}

void FailoverService::remove_session(BfdSessionId id)
{
    const auto at = sessions_.find(id);
    if (at == sessions_.end()) return;
    while (!at->second.gateways.empty()) unbind(id, Gateway{*at->second.gateways.begin()});
    forget({Kind::Session, index(id)});
    sessions_.erase(at);
    core_.programmer.delete_down_word(id);
    core_.loop.wake_slice();
}

// ---- the end of things
// ------------------------------------------------------------------------------------------------

void FailoverService::forget(const Subject& subject)
{
    failover_.forget(subject, now());
    timer_.set(failover_.next_deadline());
}

void FailoverService::interface_gone(InterfaceId id)
{
    forget({Kind::Tunnel, index(id)});
    for (const auto& subject : failover_.down()) {
        if (subject.kind == Kind::Neighbor && subject.neighbor.interface == id) {
            drop_reason(subject.neighbor, subject);
            forget(subject);
        } else if (subject.kind == Kind::Nexthop && nexthops_.at(subject).interface == id) {
            drop_reason(nexthops_.at(subject), subject);
            nexthops_.erase(subject);
            forget(subject);
        } else if (subject.kind == Kind::Port) {
            const auto on = [&](const auto& e) { return index(e.second.port) == subject.id; };
            if (std::none_of(interfaces_.all().begin(), interfaces_.all().end(), on)) forget(subject);
        }
    }
}

void FailoverService::on_settled()
{
    failover_.on_settled(now());
    timer_.set(failover_.next_deadline());
}

// ---- what a failure does
// ----------------------------------------------------------------------------------------------

void FailoverService::take_out(const Subject& subject)
{
    switch (subject.kind) {
        case Kind::Port: interfaces_.link_changed(PortId{static_cast<std::uint16_t>(subject.id)}, false); return;
        case Kind::Tunnel: interfaces_.set_failed(InterfaceId{static_cast<std::uint16_t>(subject.id)}, true); return;
        case Kind::Session:
            for (const auto& gateway : sessions_.at(BfdSessionId{subject.id}).gateways) add_reason(gateway, subject);
            return;
        case Kind::Nexthop: add_reason(nexthops_.at(subject), subject); return;
        case Kind::Neighbor: add_reason(subject.neighbor, subject); return;
    }
}

void FailoverService::clear(const Subject& subject, std::uint32_t epoch)
{
    if (const auto kind = word_of(subject.kind)) core_.programmer.clear_down(*kind, subject.id, epoch);
}

void FailoverService::bring_back(const Subject& subject)
{
    log::info("failover", "{} is back", name(subject));
    switch (subject.kind) {
        case Kind::Port: interfaces_.link_changed(PortId{static_cast<std::uint16_t>(subject.id)}, true); break;
        case Kind::Tunnel: interfaces_.set_failed(InterfaceId{static_cast<std::uint16_t>(subject.id)}, false); break;
        case Kind::Session:
            for (const auto& gateway : sessions_.at(BfdSessionId{subject.id}).gateways) drop_reason(gateway, subject);
            break;
        case Kind::Nexthop:
            drop_reason(nexthops_.at(subject), subject);
            nexthops_.erase(subject);
            break;
        case Kind::Neighbor: drop_reason(subject.neighbor, subject); break;
    }
    core_.loop.wake_slice();
}

void FailoverService::add_reason(const Gateway& gateway, const Subject& subject)
{
    reasons_[gateway].insert(subject);
    tell(gateway);
}

void FailoverService::drop_reason(const Gateway& gateway, const Subject& subject)
{
    const auto at = reasons_.find(gateway);
    if (at == reasons_.end() || at->second.erase(subject) == 0) return;
    if (at->second.empty()) reasons_.erase(at);
    tell(gateway);
}

void FailoverService::tell(const Gateway& gateway)
{
    const auto at = reasons_.find(gateway);
    core_.programmer.set_gateway_down(gateway, at == reasons_.end() ? nullptr : reason_of(at->second.begin()->kind));
    if (gateway.interface != kNoInterface) core_.statics.on_interface(gateway.interface);
    core_.loop.wake_slice();
}

std::uint32_t FailoverService::met(const Subject& subject) const
{
    if (const auto kind = word_of(subject.kind)) return core_.dataplane.down(*kind, subject.id).met;
    std::uint32_t sum = 0;
    for (const auto id : core_.programmer.nexthops_of(subject.neighbor))
        sum += core_.dataplane.down(api::DownKind::Nexthop, index(id)).met;
    return sum;
}

std::string FailoverService::name(const Subject& subject) const
{
    const auto of = [&](const Gateway& gateway) {
        const auto interface = interfaces_.name(gateway.interface);
        return gateway.address.to_string() + (interface.empty() ? "" : " on " + interface);
    };
    switch (subject.kind) {
        case Kind::Port:
            for (const auto& [name, entry] : interfaces_.all())
                if (index(entry.port) == subject.id && entry.vlan == 0) return "port of " + name;
            return "port " + std::to_string(subject.id);
        case Kind::Tunnel: return "tunnel " + interfaces_.name(InterfaceId{static_cast<std::uint16_t>(subject.id)});
        case Kind::Session: {
            const auto at = sessions_.find(BfdSessionId{subject.id});
            return "BFD session " + (at == sessions_.end() ? std::to_string(subject.id) : at->second.name);
        }
        case Kind::Nexthop: {
            const auto at = nexthops_.find(subject);
            return "next hop " + (at == nexthops_.end() ? std::to_string(subject.id) : of(at->second));
        }
        case Kind::Neighbor: return "neighbor " + of(subject.neighbor);
    }
    return {};
}

}  // namespace culvert::runtime
