#include "controlplane/neighbor/engine.h"

#include <algorithm>

namespace culvert::neighbor {

namespace {

bool is_group(const MacAddress& m) noexcept { return (m.octets[0] & 1) != 0; }

const Ipv6Address kAllNodes = Ipv6Address::from_words(0xff02ULL << 48, 1);

// So many a second, and at most a second's worth at once.
struct Bucket {
    double tokens = 0;
    TimePoint filled{};
    bool started = false;

    bool take(unsigned per_second, TimePoint now)
    {
        if (!started)
            tokens = per_second;
        else if (now > filled)
            tokens =
                std::min<double>(per_second, tokens + std::chrono::duration<double>(now - filled).count() * per_second);
        started = true;
        filled = std::max(filled, now);
        if (tokens < 1) return false;
        tokens -= 1;
        return true;
    }
};

}  // namespace

const char* to_string(State s) noexcept
{
    switch (s) {
        case State::Incomplete: return "incomplete";
        case State::Reachable: return "reachable";
        case State::Stale: return "stale";
        case State::Probe: return "probe";
        case State::Failed: return "failed";
        case State::Static: return "static";
    }
    return "";
}

struct Engine::Tables {
    using Key = std::pair<InterfaceId, IpAddress>;
    struct Entry {
        State state = State::Incomplete;
        MacAddress mac{};
        unsigned tries = 0;           // asked since the last answer
        TimePoint confirmed{};        // last sign of life; for Incomplete and Failed: since when
        TimePoint deadline = kNever;  // what happens then depends on the state
        bool in_use = false;
        bool router = false;
    };
    struct Interface {
        Link link;
        std::set<IpAddress> own;  // with the link-local one
        std::array<std::size_t, 2> entries{};
        Bucket solicitations, answers;
        // Unnumbered: our advertisements, and the router that advertises itself.
        TimePoint next_advertisement = kNever;
        TimePoint last_advertisement{};
        unsigned advertisements = 0;
        std::optional<Ipv6Address> router;
        TimePoint router_until{};
    };

    Timers timers;
    Limits limits;
    std::map<InterfaceId, Interface> interfaces;
    std::map<Key, Entry> entries;
    std::set<std::pair<TimePoint, Key>> deadlines;
    std::set<std::pair<TimePoint, InterfaceId>> advertisements;
    Counters counters;

    // ---- entries ----

    void schedule(const Key& key, Entry& e, TimePoint at)
    {
        if (e.deadline != kNever) deadlines.erase({e.deadline, key});
        e.deadline = at;
        if (at != kNever) deadlines.insert({at, key});
    }

    void erase(std::map<Key, Entry>::iterator it)
    {
        schedule(it->first, it->second, kNever);
        const auto interface = interfaces.find(it->first.first);
        if (interface != interfaces.end())
            --interface->second.entries[static_cast<std::size_t>(it->first.second.family)];
        entries.erase(it);
    }

    // An entry that may go so that another fits: failed, then unanswered, then stale ones, the oldest of each first.
    bool make_room(Interface& interface, Family family, Output& out)
    {
        const auto rank = [](const Entry& e) {
            if (e.in_use || e.state == State::Static) return 9;
            switch (e.state) {
                case State::Failed: return 0;
                case State::Incomplete: return 1;
                case State::Stale: return 2;
                case State::Probe: return 3;
                default: return 4;
            }
        };
        auto victim = entries.end();
        for (auto it = entries.lower_bound({interface.link.id, IpAddress{}});
             it != entries.end() && it->first.first == interface.link.id; ++it) {
            if (it->first.second.family != family || rank(it->second) == 9) continue;
            if (victim == entries.end() || std::pair{rank(it->second), it->second.confirmed} <
                                               std::pair{rank(victim->second), victim->second.confirmed})
                victim = it;
        }
        // A learned entry that is still good is never pushed out by one that may not exist.
        if (victim == entries.end() || rank(victim->second) == 4) return false;
        if (has_mac(victim->second.state))
            out.events.push_back({Change::Expired, victim->first.first, victim->first.second, {}});
        else if (victim->second.state == State::Incomplete)
            out.events.push_back({Change::Failed, victim->first.first, victim->first.second, {}});
        erase(victim);
        return true;
    }

    static bool has_mac(State s) noexcept
    {
        return s == State::Reachable || s == State::Stale || s == State::Probe || s == State::Static;
    }

    Entry* obtain(Interface& interface, const IpAddress& address, Output& out)
    {
        const Key key{interface.link.id, address};
        if (const auto it = entries.find(key); it != entries.end()) return &it->second;
        auto& count = interface.entries[static_cast<std::size_t>(address.family)];
        if (count >= limits.entries && !make_room(interface, address.family, out)) {
            ++counters.table_full;
            return nullptr;
        }
        ++count;
        return &entries[key];
    }

    // ---- what may be a neighbour ----

    static bool covers(const Interface& i, const IpAddress& a)
    {
        if (a.is_v6() && a.is_link_local()) return !i.own.empty();
        for (const InterfaceAddress& own : i.link.addresses) {
            const IpPrefix subnet = own.subnet();
            if (!subnet.contains(a)) continue;
            // The subnet's own number and its broadcast address are nobody (RFC 3021: a /31 has neither).
            if (a.is_v4() && own.length < 31) {
                const std::uint32_t host = ~std::uint32_t{0} >> own.length;
                if ((a.v4().value & host) == 0 || (a.v4().value & host) == host) continue;
            }
            return true;
        }
        return false;
    }

    static bool may_be_neighbor(const Interface& i, const IpAddress& a)
    {
        return !a.is_unspecified() && !a.is_multicast() && !a.is_loopback() && !i.own.contains(a) &&
               !i.link.proxied.contains(a) && covers(i, a);
    }

    static bool answers_for(const Interface& i, const IpAddress& a)
    {
        return i.own.contains(a) || i.link.proxied.contains(a);
    }

    // The own address that a question about `target` is asked from.
    static IpAddress source_for(const Interface& i, const IpAddress& target)
    {
        const IpAddress* any = nullptr;
        for (const InterfaceAddress& own : i.link.addresses) {
            if (own.address.family != target.family) continue;
            if (own.subnet().contains(target)) return own.address;
            if (any == nullptr) any = &own.address;
        }
        if (target.is_v6() && i.link.ipv6_link_local) return link_local(i.link.mac);
        return any != nullptr ? *any : (target.is_v4() ? IpAddress{Ipv4Address{}} : IpAddress{Ipv6Address{}});
    }

    // ---- frames ----

    void send(Output& out, InterfaceId id, std::vector<std::uint8_t> frame)
    {
        ++counters.sent;
        out.frames.push_back({id, std::move(frame)});
    }

    // `to`: the unicast address of a probe, else everyone (ARP) or the solicited-node group.
    void ask(Output& out, const Interface& i, const IpAddress& target, const std::optional<MacAddress>& to)
    {
        const IpAddress source = source_for(i, target);
        if (target.is_v4()) {
            send(out, i.link.id,
                 encode(to.value_or(kBroadcastMac), i.link.mac,
                        Arp{Arp::Operation::Request, i.link.mac, source.v4(), {}, target.v4()}));
            return;
        }
        const Ipv6Address group = solicited_node(target.v6());
        send(out, i.link.id,
             encode(to.value_or(multicast_mac(group)), i.link.mac,
                    NeighborSolicitation{source.v6(), to ? target.v6() : group, target.v6(), i.link.mac}));
    }

    void announce(Output& out, const Interface& i, const IpAddress& own)
    {
        if (own.is_v4()) {
            send(out, i.link.id,
                 encode(kBroadcastMac, i.link.mac, Arp{Arp::Operation::Request, i.link.mac, own.v4(), {}, own.v4()}));
            return;
        }
        send(out, i.link.id,
             encode(multicast_mac(kAllNodes), i.link.mac,
                    NeighborAdvertisement{own.v6(), kAllNodes, own.v6(), true, false, true, i.link.mac}));
    }

    // ---- unnumbered links ----

    void schedule_advertisement(Interface& i, TimePoint at)
    {
        if (i.next_advertisement != kNever) advertisements.erase({i.next_advertisement, i.link.id});
        i.next_advertisement = at;
        if (at != kNever) advertisements.insert({at, i.link.id});
    }

    // RFC 4861 6.2.3. Without prefixes: nobody is to take an address from it.
    void advertise_router(Output& out, const Interface& i, bool ends)
    {
        constexpr std::uint8_t kHopLimit = 64;
        const auto lifetime = std::chrono::duration_cast<std::chrono::seconds>(3 * timers.advertise).count();
        const RouterAdvertisement ra{
            link_local_of(i), kAllNodes, kHopLimit, 0, ends ? std::uint16_t{0} : static_cast<std::uint16_t>(lifetime),
            i.link.mac};
        send(out, i.link.id, encode(multicast_mac(kAllNodes), i.link.mac, ra));
    }

    static Ipv6Address link_local_of(const Interface& i)
    {
        for (const auto& own : i.own)
            if (own.is_v6() && own.is_link_local()) return own.v6();
        return link_local(i.link.mac);
    }

    void on_advertisement_due(Output& out, Interface& i, TimePoint now)
    {
        constexpr unsigned kFirstOnes = 3;  // MAX_INITIAL_RTR_ADVERTISEMENTS
        i.last_advertisement = now;
        if (i.advertisements < kFirstOnes) ++i.advertisements;
        schedule_advertisement(i, now + (i.advertisements < kFirstOnes ? timers.first_advertise : timers.advertise));
        advertise_router(out, i, false);
    }

    // Somebody wants to hear us: sooner than it was planned, not more often than RFC 4861 6.2.6 allows.
    void hurry_advertisement(Interface& i, TimePoint now)
    {
        const auto soonest = i.advertisements == 0 ? now : std::max(now, i.last_advertisement + timers.first_advertise);
        if (soonest < i.next_advertisement) schedule_advertisement(i, soonest);
    }

    void forget_router(Output& out, Interface& i)
    {
        if (!i.router) return;
        i.router.reset();
        out.routers.push_back(i.link.id);
    }

    void on_router_solicitation(Interface& i, const Message& message, const RouterSolicitation& rs, TimePoint now)
    {
        if (!i.link.advertise_router || message.from == i.link.mac || i.own.contains(rs.source)) {
            ++counters.not_for_us;
            return;
        }
        hurry_advertisement(i, now);
    }

    void on_router_advertisement(Output& out, Interface& i, const Message& message, const RouterAdvertisement& ra,
                                 TimePoint now)
    {
        if (!i.link.advertise_router) {
            ++counters.not_for_us;
            return;
        }
        const MacAddress mac = ra.link.value_or(message.from);
        if (!credible(i, ra.source, mac, message.from, out)) return;
        ++counters.routers_heard;
        const bool same = i.router == ra.source;
        if (i.router && !same && now < i.router_until) return;  // the link has its router
        // A lifetime of 0 says "not by default", or that it stops: then others may come at once.
        i.router_until = now + std::chrono::seconds{ra.lifetime};
        if (same) return;
        i.router = ra.source;
        out.routers.push_back(i.link.id);
        if (Entry* e = obtain(i, ra.source, out)) {  // RFC 4861 6.3.4
            learn(out, {i.link.id, ra.source}, *e, mac, false, now);
            e->router = true;
        }
        hurry_advertisement(i, now);
    }

    // ---- states ----

    // From nothing or Failed: asks everyone, `timers.tries` times.
    void start(Output& out, Interface& i, const Key& key, Entry& e, TimePoint now)
    {
        e.state = State::Incomplete;
        e.tries = 0;
        e.confirmed = now;
        retry(out, i, key, e, now);
    }

    void retry(Output& out, Interface& i, const Key& key, Entry& e, TimePoint now)
    {
        schedule(key, e, now + timers.retransmit);
        if (!i.solicitations.take(limits.solicitations_per_second, now)) {
            ++counters.limited;  // asked at the next deadline; not counted as a try
            return;
        }
        ++e.tries;
        ask(out, i, key.second, e.state == State::Probe ? std::optional{e.mac} : std::nullopt);
    }

    void fail(Output& out, const Key& key, Entry& e, TimePoint now)
    {
        ++counters.failures;
        e.state = State::Failed;
        e.confirmed = now;
        schedule(key, e, now + timers.hold_down);
        out.events.push_back({Change::Failed, key.first, key.second, {}});
    }

    // The station with `mac` speaks for the address. `certain`: it answered us just now.
    void learn(Output& out, const Key& key, Entry& e, const MacAddress& mac, bool certain, TimePoint now)
    {
        if (e.state == State::Static) return;
        const bool had = has_mac(e.state);
        const bool moved = had && e.mac != mac;
        if (moved) ++counters.moves;
        if (!had || moved) out.events.push_back({had ? Change::Moved : Change::Resolved, key.first, key.second, mac});
        e.mac = mac;
        if (!certain && had && !moved) return;  // nothing new, and no proof that we reach it
        e.tries = 0;
        e.confirmed = now;
        e.state = certain ? State::Reachable : State::Stale;
        // An entry in use that was only heard of is asked soon: forwarding relies on it.
        schedule(key, e, now + (certain ? timers.reachable : e.in_use ? timers.retransmit : timers.stale));
    }

    void probe(Output& out, Interface& i, const Key& key, Entry& e, TimePoint now)
    {
        e.state = State::Probe;
        e.tries = 0;
        retry(out, i, key, e, now);
    }

    void on_deadline(Output& out, const Key& key, TimePoint now)
    {
        const auto it = entries.find(key);
        Entry& e = it->second;
        e.deadline = kNever;
        const auto found = interfaces.find(key.first);
        if (found == interfaces.end() || !found->second.link.up) return;
        Interface& i = found->second;
        switch (e.state) {
            case State::Static: return;
            case State::Incomplete:
                if (e.tries >= timers.tries)
                    fail(out, key, e, now);
                else
                    retry(out, i, key, e, now);
                return;
            case State::Reachable:
                if (e.in_use) {
                    probe(out, i, key, e, now);
                    return;
                }
                e.state = State::Stale;
                schedule(key, e, now + timers.stale);
                return;
            case State::Stale: probe(out, i, key, e, now); return;
            case State::Probe:
                if (e.tries < timers.tries) {
                    retry(out, i, key, e, now);
                    return;
                }
                if (e.in_use) {
                    out.events.push_back({Change::Lost, key.first, key.second, {}, e.confirmed});
                    start(out, i, key, e, now);
                    return;
                }
                out.events.push_back({Change::Expired, key.first, key.second, {}});
                erase(it);
                return;
            case State::Failed:
                if (e.in_use)
                    start(out, i, key, e, now);
                else
                    erase(it);
                return;
        }
    }

    // ---- frames from others ----

    // Says who the frame's sender is, if it may be learned from. `address` unspecified: nobody (a probe).
    bool credible(Interface& i, const IpAddress& address, const MacAddress& mac, const MacAddress& frame_from,
                  Output& out)
    {
        if (is_group(mac) || mac.is_zero() || is_group(frame_from) || mac == i.link.mac) {
            ++counters.bad_sender;
            return false;
        }
        if (answers_for(i, address)) {
            ++counters.duplicate;
            if (counters.duplicate == 1 || counters.duplicate % 1024 == 0)
                out.warnings.push_back(address.to_string() + " is ours, and the station " + mac.to_string() +
                                       " uses it too");
            return false;
        }
        if (!may_be_neighbor(i, address)) {
            ++counters.off_link;
            return false;
        }
        return true;
    }

    bool may_answer(Interface& i, TimePoint now)
    {
        if (i.answers.take(limits.answers_per_second, now)) return true;
        ++counters.limited;
        return false;
    }

    void on_arp(Output& out, Interface& i, const Message& message, const Arp& arp, TimePoint now)
    {
        const Key sender{i.link.id, arp.sender};
        const bool for_us = answers_for(i, arp.target);
        const bool probe_of_theirs = arp.sender.is_unspecified();  // RFC 5227
        if (arp.operation == Arp::Operation::Request && for_us && arp.sender_mac != i.link.mac &&
            !is_group(arp.sender_mac) && may_answer(i, now))
            send(out, i.link.id,
                 encode(arp.sender_mac, i.link.mac,
                        Arp{Arp::Operation::Reply, i.link.mac, arp.target, arp.sender_mac, arp.sender}));
        if (probe_of_theirs) {
            if (!for_us) ++counters.not_for_us;
            return;
        }
        if (!credible(i, arp.sender, arp.sender_mac, message.from, out)) return;

        // RFC 826: who asks us is worth knowing; who speaks to others only updates what we know.
        const auto known = entries.find(sender);
        if (known == entries.end() && !(for_us && arp.operation == Arp::Operation::Request)) {
            ++counters.not_for_us;
            return;
        }
        const bool answer = arp.operation == Arp::Operation::Reply && message.to == i.link.mac &&
                            known != entries.end() &&
                            (known->second.state == State::Incomplete || known->second.state == State::Probe);
        if (Entry* e = obtain(i, arp.sender, out)) learn(out, sender, *e, arp.sender_mac, answer, now);
    }

    void on_solicitation(Output& out, Interface& i, const Message& message, const NeighborSolicitation& ns,
                         TimePoint now)
    {
        if (!answers_for(i, ns.target)) {
            ++counters.not_for_us;
            return;
        }
        const Key sender{i.link.id, ns.source};
        const bool for_duplicates = ns.source.is_unspecified();
        if (!for_duplicates) {
            const MacAddress mac = ns.link.value_or(message.from);
            if (!credible(i, ns.source, mac, message.from, out)) return;
            if (ns.link)
                if (Entry* e = obtain(i, ns.source, out)) learn(out, sender, *e, mac, false, now);
        } else if (message.from == i.link.mac) {
            return;
        }
        if (!may_answer(i, now)) return;
        const bool own = i.own.contains(ns.target);
        NeighborAdvertisement na{
            ns.target, for_duplicates ? kAllNodes : ns.source, ns.target, true, !for_duplicates, own, i.link.mac};
        send(out, i.link.id,
             encode(for_duplicates ? multicast_mac(kAllNodes) : ns.link.value_or(message.from), i.link.mac, na));
    }

    // RFC 4861 7.2.5.
    void on_advertisement(Output& out, Interface& i, const Message& message, const NeighborAdvertisement& na,
                          TimePoint now)
    {
        const Key key{i.link.id, na.target};
        const auto known = entries.find(key);
        if (!credible(i, na.target, na.link.value_or(message.from), message.from, out)) return;
        if (known == entries.end()) {
            ++counters.not_for_us;
            return;
        }
        Entry& e = known->second;
        if (e.state == State::Static) return;
        e.router = na.router;
        if (!has_mac(e.state)) {
            if (e.state == State::Failed && !na.solicited && !na.override_cache) return;
            if (na.link) learn(out, key, e, *na.link, na.solicited, now);
            return;
        }
        const bool other = na.link && *na.link != e.mac;
        if (other && !na.override_cache) {
            if (e.state == State::Reachable) {
                e.state = State::Stale;
                schedule(key, e, now + (e.in_use ? timers.retransmit : timers.stale));
            }
            return;
        }
        learn(out, key, e, na.link.value_or(e.mac), na.solicited, now);
    }
};

Engine::Engine(Timers timers, Limits limits) : tables_(std::make_unique<Tables>())
{
    tables_->timers = timers;
    tables_->limits = limits;
}
Engine::~Engine() = default;
Engine::Engine(Engine&&) noexcept = default;
Engine& Engine::operator=(Engine&&) noexcept = default;

Output Engine::set_link(const Link& link, TimePoint now)
{
    Output out;
    Tables& t = *tables_;
    const auto [it, fresh] = t.interfaces.try_emplace(link.id);
    Tables::Interface& i = it->second;
    if (!fresh && i.link == link) return out;
    const bool was_up = !fresh && i.link.up;
    const bool new_mac = fresh || i.link.mac != link.mac;
    const std::set<IpAddress> before = std::move(i.own);
    i.link = link;
    i.own.clear();
    bool ipv6 = false;
    for (const InterfaceAddress& a : link.addresses) {
        i.own.insert(a.address);
        ipv6 |= a.address.is_v6();
    }
    if (ipv6 && link.ipv6_link_local) i.own.insert(link_local(link.mac));
    const bool advertises = link.up && link.advertise_router;
    if (!advertises || new_mac) t.forget_router(out, i);
    if (!advertises && i.next_advertisement != kNever) {
        if (link.up) t.advertise_router(out, i, true);
        t.schedule_advertisement(i, kNever);
    }

    for (auto e = t.entries.lower_bound({link.id, IpAddress{}}); e != t.entries.end() && e->first.first == link.id;) {
        const auto here = e++;
        if (link.up && Tables::may_be_neighbor(i, here->first.second)) continue;
        const Tables::Entry entry = here->second;
        const IpAddress address = here->first.second;
        if (Tables::has_mac(entry.state)) out.events.push_back({Change::Expired, link.id, address, {}});
        // What a next hop uses, or was configured, waits for the link to come back.
        if (!link.up && (entry.in_use || entry.state == State::Static)) {
            t.schedule(here->first, here->second, kNever);
            if (entry.state != State::Static) here->second.state = State::Failed;
        } else {
            t.erase(here);
        }
    }
    if (!link.up) return out;
    if (!was_up) {
        for (auto e = t.entries.lower_bound({link.id, IpAddress{}}); e != t.entries.end() && e->first.first == link.id;
             ++e) {
            if (e->second.state == State::Static)
                out.events.push_back({Change::Resolved, link.id, e->first.second, e->second.mac});
            else
                t.start(out, i, e->first, e->second, now);
        }
    }
    for (const IpAddress& own : i.own)
        if (!was_up || new_mac || !before.contains(own)) t.announce(out, i, own);
    if (advertises && i.next_advertisement == kNever) {
        i.advertisements = 0;
        t.on_advertisement_due(out, i, now);
    }
    return out;
}

Output Engine::remove_link(InterfaceId id, TimePoint)
{
    Output out;
    Tables& t = *tables_;
    for (auto e = t.entries.lower_bound({id, IpAddress{}}); e != t.entries.end() && e->first.first == id;) {
        const auto here = e++;
        if (Tables::has_mac(here->second.state)) out.events.push_back({Change::Expired, id, here->first.second, {}});
        t.erase(here);
    }
    if (const auto i = t.interfaces.find(id); i != t.interfaces.end()) {
        t.schedule_advertisement(i->second, kNever);
        t.forget_router(out, i->second);
        t.interfaces.erase(i);
    }
    return out;
}

Output Engine::on_miss(InterfaceId interface, const IpAddress& address, TimePoint now)
{
    Output out;
    Tables& t = *tables_;
    const auto it = t.interfaces.find(interface);
    if (it == t.interfaces.end() || !it->second.link.up || !Tables::may_be_neighbor(it->second, address)) {
        out.events.push_back({Change::Failed, interface, address, {}});
        return out;
    }
    const Tables::Key key{interface, address};
    const bool known = t.entries.contains(key);
    Tables::Entry* e = t.obtain(it->second, address, out);
    if (e == nullptr) {
        out.events.push_back({Change::Failed, interface, address, {}});
    } else if (!known) {
        t.start(out, it->second, key, *e, now);
    } else if (e->state == State::Failed) {
        out.events.push_back({Change::Failed, interface, address, {}});  // held down
    } else if (Tables::has_mac(e->state)) {
        out.events.push_back({Change::Resolved, interface, address, e->mac});  // the dataplane asked too early
    }
    return out;
}

Output Engine::on_frame(InterfaceId interface, Bytes frame, TimePoint now)
{
    Output out;
    Tables& t = *tables_;
    ++t.counters.received;
    const auto it = t.interfaces.find(interface);
    if (it == t.interfaces.end() || !it->second.link.up) {
        ++t.counters.not_for_us;
        return out;
    }
    const auto message = decode(frame);
    if (!message) {
        ++t.counters.undecodable[static_cast<std::size_t>(message.error())];
        return out;
    }
    if (message->from == it->second.link.mac) return out;  // our own, come back
    if (const auto* arp = std::get_if<Arp>(&message->body))
        t.on_arp(out, it->second, *message, *arp, now);
    else if (const auto* ns = std::get_if<NeighborSolicitation>(&message->body))
        t.on_solicitation(out, it->second, *message, *ns, now);
    else if (const auto* na = std::get_if<NeighborAdvertisement>(&message->body))
        t.on_advertisement(out, it->second, *message, *na, now);
    else if (const auto* rs = std::get_if<RouterSolicitation>(&message->body))
        t.on_router_solicitation(it->second, *message, *rs, now);
    else
        t.on_router_advertisement(out, it->second, *message, std::get<RouterAdvertisement>(message->body), now);
    return out;
}

Output Engine::on_time(TimePoint now)
{
    Output out;
    Tables& t = *tables_;
    while (!t.deadlines.empty() && t.deadlines.begin()->first <= now) {
        const Tables::Key key = t.deadlines.begin()->second;
        t.deadlines.erase(t.deadlines.begin());
        t.on_deadline(out, key, now);
    }
    while (!t.advertisements.empty() && t.advertisements.begin()->first <= now) {
        const auto id = t.advertisements.begin()->second;
        t.on_advertisement_due(out, t.interfaces.at(id), now);
    }
    return out;
}

TimePoint Engine::next_deadline() const noexcept
{
    const auto first = [](const auto& set) { return set.empty() ? kNever : set.begin()->first; };
    return std::min(first(tables_->deadlines), first(tables_->advertisements));
}

Output Engine::set_in_use(InterfaceId interface, const IpAddress& address, bool in_use, TimePoint now)
{
    Output out;
    Tables& t = *tables_;
    const Tables::Key key{interface, address};
    const auto i = t.interfaces.find(interface);
    auto it = t.entries.find(key);
    if (!in_use) {
        if (it == t.entries.end()) return out;
        it->second.in_use = false;
        if (it->second.state == State::Failed && it->second.deadline == kNever) t.erase(it);
        return out;
    }
    if (i == t.interfaces.end() || !Tables::may_be_neighbor(i->second, address)) return out;
    const bool known = it != t.entries.end();
    Tables::Entry* e = t.obtain(i->second, address, out);
    if (e == nullptr) return out;
    e->in_use = true;
    if (!i->second.link.up) {
        if (!known) e->state = State::Failed;
        return out;
    }
    if (!known)
        t.start(out, i->second, key, *e, now);
    else if (e->state == State::Stale)
        t.probe(out, i->second, key, *e, now);
    return out;
}

Output Engine::set_static(InterfaceId interface, const IpAddress& address, const MacAddress& mac, TimePoint now)
{
    Output out;
    Tables& t = *tables_;
    const auto i = t.interfaces.find(interface);
    if (i == t.interfaces.end()) return out;
    const Tables::Key key{interface, address};
    Tables::Entry* e = t.obtain(i->second, address, out);
    if (e == nullptr) return out;
    t.schedule(key, *e, kNever);
    const bool had = Tables::has_mac(e->state);
    if (!had || e->mac != mac)
        if (i->second.link.up) out.events.push_back({had ? Change::Moved : Change::Resolved, interface, address, mac});
    e->state = State::Static;
    e->mac = mac;
    e->confirmed = now;
    return out;
}

Output Engine::remove_static(InterfaceId interface, const IpAddress& address, TimePoint now)
{
    Output out;
    Tables& t = *tables_;
    const auto it = t.entries.find({interface, address});
    if (it == t.entries.end() || it->second.state != State::Static) return out;
    out.events.push_back({Change::Expired, interface, address, {}});
    const auto i = t.interfaces.find(interface);
    if (it->second.in_use && i != t.interfaces.end() && i->second.link.up)
        t.start(out, i->second, it->first, it->second, now);
    else
        t.erase(it);
    return out;
}

Output Engine::clear(std::optional<InterfaceId> interface, Family family, TimePoint now)
{
    Output out;
    Tables& t = *tables_;
    for (auto it = t.entries.begin(); it != t.entries.end();) {
        const auto here = it++;
        const auto& [id, address] = here->first;
        if (address.family != family || (interface && id != *interface) || here->second.state == State::Static)
            continue;
        if (Tables::has_mac(here->second.state)) out.events.push_back({Change::Expired, id, address, {}});
        const auto i = t.interfaces.find(id);
        if (here->second.in_use && i != t.interfaces.end() && i->second.link.up)
            t.start(out, i->second, here->first, here->second, now);
        else
            t.erase(here);
    }
    return out;
}

std::vector<EntryView> Engine::entries(Family family, TimePoint now) const
{
    std::vector<EntryView> views;
    for (const auto& [key, e] : tables_->entries)
        if (key.second.family == family)
            views.push_back({key.first, key.second, e.mac, e.state, now - e.confirmed, e.in_use, e.router});
    return views;
}

std::optional<MacAddress> Engine::find(InterfaceId interface, const IpAddress& address) const
{
    const auto it = tables_->entries.find({interface, address});
    if (it == tables_->entries.end() || !Tables::has_mac(it->second.state)) return std::nullopt;
    return it->second.mac;
}

std::optional<Ipv6Address> Engine::router(InterfaceId interface) const
{
    const auto it = tables_->interfaces.find(interface);
    return it == tables_->interfaces.end() ? std::nullopt : it->second.router;
}

const Counters& Engine::counters() const noexcept { return tables_->counters; }

}  // namespace culvert::neighbor
