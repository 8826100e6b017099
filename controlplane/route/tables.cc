#include "controlplane/route/tables.h"

#include "controlplane/route/state.h"
#include "controlplane/route/table_walk.h"

#include <algorithm>

namespace culvert::route {

Tables::Tables() : interner_(std::make_unique<Interner>()) {}
Tables::~Tables() = default;

void Tables::advance(TimePoint now) noexcept
{
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(now.time_since_epoch()).count();
    now_ = static_cast<std::uint32_t>(seconds) & ~kTopBit;
}

Tables::Vrf& Tables::vrf(VrfId id)
{
    if (index(id) >= vrfs_.size()) vrfs_.resize(index(id) + 1U);
    auto& v = vrfs_[index(id)];
    if (!v) {
        v = std::make_unique<Vrf>();
        v->id = id;
    }
    return *v;
}

const Tables::Vrf* Tables::vrf_if(VrfId id) const noexcept
{
    return index(id) < vrfs_.size() ? vrfs_[index(id)].get() : nullptr;
}

// ---- routes ----

RouteHandle Tables::acquire(const Route& route) { return interner_->acquire(route); }
void Tables::release(RouteHandle handle) { interner_->drop(handle); }

void Tables::set(VrfId id, const IpPrefix& prefix, const Route& route)
{
    Interner& in = *interner_;
    if (in.last_handle == kNoRoute || !(in.last == route)) {
        const RouteHandle handle = in.acquire(route);
        in.drop(in.last_handle);
        in.last_handle = handle;
        in.last = route;
    }
    set(id, prefix, in.last_handle);
}

void Tables::set(VrfId id, const IpPrefix& prefix, RouteHandle handle)
{
    Interner& in = *interner_;
    Vrf& v = vrf(id);
    const auto [slot, fresh] = v.slots.insert(prefix, Slot{});
    if (fresh && v.numbering != nullptr) adopt_numbered(v, prefix, *slot);
    const Source source = in.body(handle).source;
    const RouteHandle old = in.of_source(*slot, source);
    if (old == handle) return;

    const RouteHandle before = in.best(*slot);
    in.hold(handle);
    in.replace(*slot, old, handle);
    if (old == kNoRoute) {
        ++v.counts[at(prefix.family())][at(source)];
        if (source != Source::Bgp && v.own.insert(prefix).second)
            presence_changed(v, prefix, true, in.body(handle).metric);
    }
    const RouteHandle after = in.best(*slot);
    if (before != after) best_changed(v, prefix, *slot, before, after);
    in.drop(old);
}

void Tables::remove(VrfId id, const IpPrefix& prefix, Source source)
{
    Interner& in = *interner_;
    Vrf& v = vrf(id);
    Slot* slot = v.slots.find(prefix);
    if (slot == nullptr) return;
    const RouteHandle old = in.of_source(*slot, source);
    if (old == kNoRoute) return;

    const RouteHandle before = in.best(*slot);
    in.replace(*slot, old, kNoRoute);
    --v.counts[at(prefix.family())][at(source)];
    if (source != Source::Bgp) {
        bool others = false;
        in.each(*slot, [&](RouteHandle h) { others |= in.body(h).source != Source::Bgp; });
        if (!others) {
            v.own.erase(prefix);
            presence_changed(v, prefix, false, 0);
        }
    }
    const RouteHandle after = in.best(*slot);
    if (before != after) best_changed(v, prefix, *slot, before, after);
    erase_if_idle(v, prefix, *slot);
    in.drop(old);
}

bool Tables::set_numbering(VrfId id, const Numbering* numbering)
{
    Vrf& v = vrf(id);
    if (numbering != nullptr && v.numbering != nullptr) return false;
    CULVERT_CHECK(v.numbered[0].size() + v.numbered[1].size() == 0);
    v.numbering = numbering;
    ++v.numberings;
    return true;
}

void Tables::set(VrfId id, const IpPrefix& prefix, RouteHandle handle, std::uint32_t number)
{
    Interner& in = *interner_;
    Vrf& v = vrf(id);
    if (number == 0 || prefix.is_host() || v.slots.find(prefix) != nullptr) return set(id, prefix, handle);
    NumberedRoutes& numbered = v.numbered[at(prefix.family())];
    auto* entry = numbered.find(number);
    const RouteHandle old = entry != nullptr ? entry->route : kNoRoute;
    if (old == handle) return;

    in.hold(handle);
    if (entry != nullptr) {
        entry->route = handle;
    } else {
        numbered.insert(number, handle);
        ++v.counts[at(prefix.family())][at(in.body(handle).source)];
    }
    numbered_changed(v, prefix, number, old, handle);
    in.drop(old);
}

void Tables::remove(VrfId id, const IpPrefix& prefix, Source source, std::uint32_t number)
{
    Interner& in = *interner_;
    Vrf& v = vrf(id);
    NumberedRoutes& numbered = v.numbered[at(prefix.family())];
    const auto* entry = numbered.find(number);
    if (entry == nullptr) return remove(id, prefix, source);
    const RouteHandle old = entry->route;
    numbered.erase(number);
    --v.counts[at(prefix.family())][at(source)];
    numbered_changed(v, prefix, number, old, kNoRoute);
    in.drop(old);
}

void Tables::numbered_changed(Vrf& v, const IpPrefix& prefix, std::uint32_t number, RouteHandle old, RouteHandle fresh)
{
    Interner& in = *interner_;
    const RouteHandle before = in.usable(old), after = in.usable(fresh);
    if (before == after) return;
    auto* entry = v.numbered[at(prefix.family())].find(number);
    if (entry != nullptr) entry->when = (entry->when & kTopBit) | now_;
    const NexthopSetId had = in.set_of(before), has = in.set_of(after);
    if (had != has) {
        in.hold(had);
        in.hold(has);
        changed_.push_back({v.id, number, prefix, had, has});
        if (entry != nullptr) entry->when |= kTopBit;
    }
    tell_redistribution(v, prefix, before, after);
    mark_covered(v, prefix);
}

// Another source has a route for it now.
void Tables::adopt_numbered(Vrf& v, const IpPrefix& prefix, Slot& slot)
{
    NumberedRoutes& numbered = v.numbered[at(prefix.family())];
    if (numbered.size() == 0 || prefix.is_host()) return;
    const auto number = v.numbering->number(prefix);
    const auto* entry = numbered.find(number);
    if (entry == nullptr) return;
    slot = interner_->slot_of(*entry);
    slot.when &= ~kTopBit;  // what waits has been said whole
    interner_->hold(NexthopSetId{slot.installed});
    numbered.erase(number);
}

void Tables::clear(VrfId id)
{
    Vrf& v = vrf(id);
    std::vector<IpPrefix> all;
    for (const IpPrefix& within : {IpPrefix{Ipv4Address{}, 0}, IpPrefix{Ipv6Address{}, 0}}) {
        if (v.numbered[at(within.family())].size() == 0) continue;
        TableWalk walk{*this, id, within};
        while (walk.prepare()) {}
        while (const auto entry = walk.next()) all.push_back(entry->prefix);
    }
    for (const IpPrefix& p : all) remove(id, p, Source::Bgp, v.numbering->number(p));
    all.clear();
    all.reserve(v.slots.size());
    for (const IpPrefix& from : {IpPrefix{Ipv4Address{}, 0}, IpPrefix{Ipv6Address{}, 0}})
        v.slots.walk(from, [&](const IpPrefix& p, const Slot&) {
            all.push_back(p);
            return true;
        });
    for (const IpPrefix& p : all)
        for (const Source s : {Source::Connected, Source::Local, Source::Static, Source::Bgp}) remove(id, p, s);
}

void Tables::set_resolve_via_default(bool on)
{
    if (resolve_via_default_ == on) return;
    resolve_via_default_ = on;
    mark_all();
}

void Tables::best_changed(Vrf& v, const IpPrefix& prefix, Slot& slot, RouteHandle before, RouteHandle after)
{
    slot.when = (slot.when & kTopBit) | now_;
    const NexthopSetId set = after == kNoRoute ? kNoSet : interner_->body(after).set;
    if (!slot.queued() && index(set) != slot.installed) {
        slot.when |= kTopBit;
        changed_.push_back({v.id, 0, prefix});
    }
    tell_redistribution(v, prefix, before, after);
    mark_covered(v, prefix);
}

void Tables::tell_redistribution(const Vrf& v, const IpPrefix& prefix, RouteHandle before, RouteHandle after)
{
    const auto& subscribers = v.subscribers[at(prefix.family())];
    const auto tell = [&](RouteHandle h, bool present) {
        const auto& body = interner_->body(h);
        for (const ClientId c : subscribers[at(body.source)]) {
            RedistributeEvent event{v.id, body.source, prefix, present, body.metric, body.tag, {}};
            if (present) event.nexthops = nexthop_set(body.set).nexthops;
            clients_[index(c)].emplace_back(std::move(event));
        }
    };
    const bool moved =
        before != kNoRoute && after != kNoRoute && interner_->body(before).source == interner_->body(after).source;
    if (before != kNoRoute && !moved) tell(before, false);
    if (after != kNoRoute) tell(after, true);
}

void Tables::presence_changed(Vrf& v, const IpPrefix& prefix, bool present, std::uint32_t metric)
{
    const auto it = v.watched.find(prefix);
    if (it == v.watched.end()) return;
    for (const ClientId c : it->second) clients_[index(c)].emplace_back(PresenceEvent{v.id, prefix, present, metric});
}

void Tables::erase_if_idle(Vrf& v, const IpPrefix& prefix, const Slot& slot)
{
    if (slot.route == 0 && slot.installed == 0 && !slot.queued()) v.slots.erase(prefix);
}

// ---- to the forwarding table ----

bool Tables::next_change(Change& change)
{
    interner_->drop(std::exchange(given_before_, kNoSet));
    interner_->drop(std::exchange(given_after_, kNoSet));
    if (changed_.empty()) return false;
    const Pending next = changed_.front();
    changed_.pop_front();

    Vrf& v = vrf(next.vrf);
    if (next.number != 0) {
        change = {next.vrf, next.prefix, next.before, next.after};
        given_before_ = next.before;
        given_after_ = next.after;
        auto* entry = v.numbered[at(next.prefix.family())].find(next.number);
        const bool last = entry != nullptr && interner_->set_of(interner_->usable(entry->route)) == next.after;
        if (last) entry->when &= ~kTopBit;
        return true;
    }
    Slot* slot = v.slots.find(next.prefix);
    CULVERT_CHECK(slot != nullptr);
    const RouteHandle best = interner_->best(*slot);
    change = {next.vrf, next.prefix, NexthopSetId{slot->installed},
              best == kNoRoute ? kNoSet : interner_->body(best).set};
    slot->when &= ~kTopBit;
    slot->installed = index(change.after);
    interner_->hold(change.after);
    given_before_ = change.before;  // the slot's reference
    erase_if_idle(v, next.prefix, *slot);
    return true;
}

const NexthopSet& Tables::nexthop_set(NexthopSetId id) const { return interner_->sets[index(id)].set; }
NexthopSetId Tables::intern(const NexthopSet& set)
{
    NexthopSet normal = set;
    normalise(normal.nexthops);
    normalise(normal.backup);
    return interner_->intern(std::move(normal));
}
void Tables::hold(NexthopSetId id) { interner_->hold(id); }
void Tables::drop(NexthopSetId id) { interner_->drop(id); }

// ---- clients ----

ClientId Tables::add_client()
{
    clients_.emplace_back();
    CULVERT_CHECK(clients_.size() <= 256);
    return ClientId{static_cast<std::uint8_t>(clients_.size() - 1)};
}

bool Tables::next_event(ClientId client, Event& event)
{
    auto& queue = clients_[index(client)];
    if (queue.empty()) return false;
    event = std::move(queue.front());
    queue.pop_front();
    return true;
}

bool Tables::has_event(ClientId client) const noexcept { return !clients_[index(client)].empty(); }

void Tables::redistribute(ClientId client, VrfId id, Family family, Source source)
{
    Vrf& v = vrf(id);
    auto& subscribers = v.subscribers[at(family)][at(source)];
    if (std::find(subscribers.begin(), subscribers.end(), client) != subscribers.end()) return;
    const auto give = [&](const IpPrefix& p, const Slot& slot) {
        const RouteHandle best = interner_->best(slot);
        if (p.family() != family || best == kNoRoute) return;
        const auto& body = interner_->body(best);
        if (body.source != source) return;
        clients_[index(client)].emplace_back(
            RedistributeEvent{id, source, p, true, body.metric, body.tag, nexthop_set(body.set).nexthops});
    };
    if (source == Source::Bgp) {
        TableWalk walk{*this, id, family == Family::Ipv4 ? IpPrefix{Ipv4Address{}, 0} : IpPrefix{Ipv6Address{}, 0}};
        while (walk.prepare()) {}
        while (const auto entry = walk.next()) give(entry->prefix, *this->slot(v, entry->prefix));
    } else {
        for (const IpPrefix& p : v.own) give(p, *v.slots.find(p));
    }
    subscribers.push_back(client);
}

void Tables::stop_redistribute(ClientId client, VrfId id, Family family, Source source)
{
    std::erase(vrf(id).subscribers[at(family)][at(source)], client);
}

void Tables::watch_prefix(ClientId client, VrfId id, const IpPrefix& prefix)
{
    Vrf& v = vrf(id);
    v.watched[prefix].push_back(client);
    PresenceEvent event{id, prefix, v.own.contains(prefix), 0};
    if (event.present)
        interner_->each(*v.slots.find(prefix), [&](RouteHandle h) {
            const auto& body = interner_->body(h);
            if (body.source != Source::Bgp) event.metric = body.metric;
        });
    clients_[index(client)].emplace_back(event);
}

void Tables::unwatch_prefix(ClientId client, VrfId id, const IpPrefix& prefix)
{
    Vrf& v = vrf(id);
    const auto it = v.watched.find(prefix);
    if (it == v.watched.end()) return;
    const auto mine = std::find(it->second.begin(), it->second.end(), client);
    if (mine != it->second.end()) it->second.erase(mine);
    if (it->second.empty()) v.watched.erase(it);
}

// ---- questions ----

EntryView Tables::view(const IpPrefix& prefix, const Slot& slot) const
{
    EntryView entry{prefix, std::chrono::seconds{slot.when & ~kTopBit}, {}};
    const RouteHandle best = interner_->best(slot);
    interner_->each(slot, [&](RouteHandle h) {
        const auto& body = interner_->body(h);
        entry.routes.push_back({body.source, body.distance, body.metric, body.tag, &nexthop_set(body.set), h == best,
                                h == best && slot.queued()});
    });
    return entry;
}

std::optional<EntryView> Tables::lookup(VrfId id, const IpAddress& address, LookupOptions options) const
{
    const Vrf* v = vrf_if(id);
    if (v == nullptr) return std::nullopt;
    const auto prefix = longest_match(*v, address, [&](const IpPrefix& p, const Slot& slot) {
        const RouteHandle best = interner_->best(slot);
        if (best == kNoRoute || (options.exclude_default && p.length == 0)) return false;
        return !options.exclude_bgp || interner_->body(best).source != Source::Bgp;
    });
    if (!prefix) return std::nullopt;
    return view(*prefix, *slot(*v, *prefix));
}

std::optional<Tables::Slot> Tables::slot(const Vrf& v, const IpPrefix& prefix) const
{
    if (const Slot* kept = v.slots.find(prefix)) return *kept;
    const NumberedRoutes& numbered = v.numbered[at(prefix.family())];
    if (numbered.size() == 0) return std::nullopt;
    const auto* entry = numbered.find(v.numbering->number(prefix));
    return entry == nullptr ? std::nullopt : std::optional{interner_->slot_of(*entry)};
}

std::optional<EntryView> Tables::find(VrfId id, const IpPrefix& prefix) const
{
    const Vrf* v = vrf_if(id);
    const auto found = v == nullptr ? std::nullopt : slot(*v, prefix);
    if (!found || found->route == 0) return std::nullopt;
    return view(prefix, *found);
}

NexthopSetId Tables::installed(VrfId id, const IpAddress& address) const
{
    const Vrf* v = vrf_if(id);
    const Slot* slot = v == nullptr ? nullptr : v->slots.find(IpPrefix::host(address));
    return slot == nullptr ? kNoSet : NexthopSetId{slot->installed};
}

void Tables::walk_tracked(VrfId id, const std::function<void(const TrackingEvent&)>& f) const
{
    const Vrf* v = vrf_if(id);
    if (v == nullptr) return;
    for (const auto& [key, t] : v->tracked)
        if (!t.clients.empty()) f({t.vrf, t.address, t.interface, false, t.now});
}

std::size_t Tables::prefixes(VrfId id, Family family) const noexcept
{
    const Vrf* v = vrf_if(id);
    return v == nullptr ? 0 : v->slots.size(family) + v->numbered[at(family)].size();
}

std::size_t Tables::routes(VrfId id, Family family, Source source) const noexcept
{
    const Vrf* v = vrf_if(id);
    return v == nullptr ? 0 : v->counts[at(family)][at(source)];
}

std::size_t Tables::octets() const noexcept
{
    std::size_t sum = 0;
    for (const auto& v : vrfs_)
        if (v) sum += v->slots.octets() + v->numbered[0].octets() + v->numbered[1].octets();
    return sum;
}

}  // namespace culvert::route
