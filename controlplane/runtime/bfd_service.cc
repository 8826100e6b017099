#include "controlplane/runtime/bfd_service.h"

#include "base/log.h"
#include "controlplane/runtime/password.h"
#include "crypto/secret.h"
#include "dataplane/api/link_scope.h"

#include <algorithm>

namespace culvert::runtime {
namespace {

using config::BfdSettings;

// What is said first counts; a switch is on when anybody says so.
void lay_under(BfdSettings& sum, const BfdSettings& layer)
{
    const auto under = [](auto& value, const auto& other) {
        if (!value) value = other;
    };
    under(sum.multiplier, layer.multiplier);
    under(sum.receive_interval, layer.receive_interval);
    under(sum.transmit_interval, layer.transmit_interval);
    under(sum.echo_receive_interval, layer.echo_receive_interval);
    under(sum.echo_transmit_interval, layer.echo_transmit_interval);
    under(sum.minimum_ttl, layer.minimum_ttl);
    under(sum.authentication, layer.authentication);
    for (const auto flag :
         {&BfdSettings::echo_mode, &BfdSettings::passive, &BfdSettings::shutdown, &BfdSettings::demand})
        sum.*flag |= layer.*flag;
}

BfdSettings of_interface(const config::Interface& interface)
{
    BfdSettings out;
    out.echo_mode = interface.bfd_echo;
    if (!interface.bfd) return out;
    out.multiplier = interface.bfd->multiplier;
    out.receive_interval = interface.bfd->receive;
    out.transmit_interval = interface.bfd->transmit;
    return out;
}

std::uint32_t microseconds(const std::optional<config::Microseconds>& interval, config::Microseconds otherwise)
{
    return static_cast<std::uint32_t>(interval.value_or(otherwise).count());
}

std::size_t longest_key(config::BfdAuthenticationType type)
{
    const bool sha =
        type == config::BfdAuthenticationType::KeyedSha1 || type == config::BfdAuthenticationType::MeticulousKeyedSha1;
    return sha ? 20 : 16;
}

// The keys of a chain as the worker takes them. The error says which and why.
Result<void, std::string> read_keys(const config::KeyChain& chain, config::BfdAuthenticationType type,
                                    api::SetBfdSession& word)
{
    word.key_count = 0;
    word.sending_key = 0;
    bool sends = false;
    for (const auto& [id, key] : chain.keys) {
        if (!key.secret || word.key_count == api::SetBfdSession::kMaxKeys) continue;
        auto text = read_password(*key.secret);
        if (!text) return Error{text.error().message};
        if (text->size() > longest_key(type))
            return Error{std::string{key.secret->file} + ": key " + std::to_string(id) + " of " + chain.name + " has " +
                         std::to_string(text->size()) + " octets; this authentication takes at most " +
                         std::to_string(longest_key(type))};
        auto& out = word.keys[word.key_count];
        out.type = static_cast<api::BfdAuthentication>(type);
        out.id = id;
        out.length = static_cast<std::uint8_t>(text->size());
        std::copy(text->begin(), text->end(), out.secret.begin());
        crypto::wipe(text->data(), text->size());
        if (!key.accept_only && !sends) {
            sends = true;
            word.sending_key = word.key_count;
        }
        ++word.key_count;
    }
    if (!sends) return Error{"key chain " + chain.name + " has no key to sign with"};
    return {};
}

std::set<std::pair<std::string, config::BfdAuthenticationType>> used_key_chains(const config::Model& model)
{
    std::set<std::pair<std::string, config::BfdAuthenticationType>> out;
    const auto use = [&](const BfdSettings& settings) {
        if (settings.authentication) out.emplace(settings.authentication->key_chain, settings.authentication->type);
    };
    for (const auto& [name, profile] : model.bfd_profiles) use(profile.settings);
    for (const auto& [key, peer] : model.bfd_peers) use(peer.settings);
    return out;
}

std::string_view to_string(api::BfdState state)
{
    switch (state) {
        case api::BfdState::AdminDown: return "AdminDown";
        case api::BfdState::Down: return "Down";
        case api::BfdState::Init: return "Init";
        case api::BfdState::Up: return "Up";
    }
    return "";
}

// The only other address of a subnet of two.
std::optional<IpAddress> only_other(const InterfaceAddress& own)
{
    if (own.address.is_v4()) {
        const auto value = own.address.v4().value;
        if (own.length == 31) return IpAddress{Ipv4Address{value ^ 1}};
        if (own.length == 30) return IpAddress{Ipv4Address{value ^ 3}};
        return std::nullopt;
    }
    if (own.length != 127) return std::nullopt;
    auto octets = own.address.v6();
    octets.octets[15] ^= 1;
    return IpAddress{octets};
}

}  // namespace

BfdService::BfdService(Core& core, InterfaceTable& interfaces, Vrfs& vrfs, WorkerLinks& workers,
                       FailoverService& failover)
    : core_(core),
      interfaces_(interfaces),
      vrfs_(vrfs),
      workers_(workers),
      failover_(failover),
      client_(core.tables.add_client()),
      sessions_(static_cast<BfdSessions::Actions&>(*this), core.random)
{}

BfdService::~BfdService()
{
    for (auto& [authentication, keys] : keys_) crypto::wipe(&keys.keys, sizeof keys.keys);
}

// ---- commit
// -----------------------------------------------------------------------------------------------------------

void BfdService::check_keys(
    const config::Model& model, std::vector<config::Diagnostic>& problems,
    const std::function<unsigned(const std::string& path, const std::string& statement)>& line_of)
{
    for (const auto& [name, type] : used_key_chains(model)) {
        const auto chain = model.key_chains.find(name);
        if (chain == model.key_chains.end()) continue;
        api::SetBfdSession word;
        const auto read = read_keys(chain->second, type, word);
        crypto::wipe(&word.keys, sizeof word.keys);
        if (read) continue;
        problems.push_back(
            {config::Diagnostic::Kind::Refused, {}, line_of("key chain " + name, {}), 0, read.error(), {}});
    }
}

void BfdService::read_key_chains()
{
    const auto used = used_key_chains(model_);
    for (auto it = keys_.begin(); it != keys_.end();) {
        const auto next = std::next(it);
        if (!used.contains(it->first)) {
            crypto::wipe(&it->second.keys, sizeof it->second.keys);
            keys_.erase(it);
        }
        it = next;
    }
    for (const auto& [name, type] : used) {
        const auto chain = model_.key_chains.find(name);
        if (chain == model_.key_chains.end()) continue;
        api::SetBfdSession word;
        // The commit has read them once; what is gone since is complained of, and nothing more.
        if (const auto read = read_keys(chain->second, type, word))
            keys_[{name, type}] = {word.keys, word.key_count, word.sending_key};
        else
            log::error("bfd", "{}", read.error());
        crypto::wipe(&word.keys, sizeof word.keys);
    }
}

void BfdService::configure(const config::Model& model)
{
    model_.key_chains = model.key_chains;
    model_.bfd_profiles = model.bfd_profiles;
    model_.bfd_peers = model.bfd_peers;
    model_.vrfs = model.vrfs;
    read_key_chains();
    dirty_ = true;
    core_.loop.wake_slice();
}

void BfdService::refresh() noexcept
{
    dirty_ = true;
    core_.loop.wake_slice();
}

// ---- what is wished for
// -----------------------------------------------------------------------------------------------

// By the subnets, whether their links are up or not: a session outlives its link's absence. What is in none of them
// (allowed-ips of a WireGuard peer) is where its route says.
InterfaceId BfdService::link_to(VrfId vrf, const IpAddress& peer)
{
    InterfaceId found = kNoInterface;
    int length = -1;
    for (const auto& [name, entry] : interfaces_.all()) {
        if (vrfs_.id(entry.config.vrf) != vrf) continue;
        for (const auto& a : entry.addresses()) {
            if (a.address.family != peer.family || !a.subnet().contains(peer) || a.address == peer) continue;
            if (static_cast<int>(a.length) <= length) continue;
            length = a.length;
            found = entry.id;
        }
    }
    if (found != kNoInterface || peer.is_link_local()) return found;
    tracking_.emplace(vrf, peer);
    const auto way = core_.tables.resolve(vrf, peer);
    return way.reachable && way.direct && !way.nexthops.empty() ? way.nexthops.front().interface : kNoInterface;
}

std::optional<BfdService::Place> BfdService::find_place(VrfId vrf, const IpAddress& peer, InterfaceId interface,
                                                        const std::optional<IpAddress>& local, bool multihop,
                                                        const char*& why)
{
    Place place;
    place.key.vrf = vrf;
    place.key.peer = peer;
    place.key.multihop = multihop;
    if (multihop) {
        place.local = local.value_or(IpAddress{});
        if (!local) {
            tracking_.emplace(vrf, peer);
            const auto way = core_.tables.resolve(vrf, peer);
            if (!way.reachable || way.nexthops.empty()) {
                why = "there is no route to it";
                return std::nullopt;
            }
            const auto& hop = way.nexthops.front();
            const auto own =
                interfaces_.own_address(hop.interface, hop.type == route::NexthopType::Gateway ? hop.gateway : peer);
            if (!own) {
                why = "the interface on the way has no address";
                return std::nullopt;
            }
            place.local = *own;
        }
        place.key.local = place.local;
        return place;
    }
    if (interface == kNoInterface) interface = link_to(vrf, peer);
    if (interface == kNoInterface) {
        why = "it is on no link of ours";
        return std::nullopt;
    }
    place.key.interface = interface;
    const auto own = local ? local : interfaces_.own_address(interface, peer);
    if (!own) {
        why = "the interface has no address of that family";
        return std::nullopt;
    }
    place.local = *own;
    return place;
}

BfdService::Wish& BfdService::wish(const Place& place)
{
    const auto [it, fresh] = wishes_.try_emplace(place.key);
    if (fresh) it->second.local = place.local;
    return it->second;
}

std::vector<BfdSettings> BfdService::with_profile(const std::string& name) const
{
    const auto it = model_.bfd_profiles.find(name);
    if (name.empty() || it == model_.bfd_profiles.end()) return {};
    return {it->second.settings};
}

void BfdService::wish_peers()
{
    for (const auto& [key, peer] : model_.bfd_peers) {
        const char* why = "its vrf is not there";
        const auto vrf = vrfs_.id(key.vrf);
        InterfaceId interface = kNoInterface;
        bool known = vrf.has_value();
        if (known && !key.interface.empty()) {
            const auto* entry = interfaces_.find(key.interface);
            if (entry)
                interface = entry->id;
            else {
                why = "its interface is not there";
                known = false;
            }
        }
        const auto place =
            known ? find_place(*vrf, key.peer, interface, key.local, key.multihop, why) : std::optional<Place>{};
        if (!place) {
            unresolved_.push_back({&peer, why});
            continue;
        }
        auto& w = wish(*place);
        w.configured = true;
        if (key.local) w.local = *key.local;
        w.local_named |= key.local.has_value();
        w.interface_named |= !key.interface.empty();
        w.layers.push_back(peer.settings);
        for (auto& layer : with_profile(peer.profile)) w.layers.push_back(std::move(layer));
    }
}

void BfdService::wish_bgp()
{
    bgp_.clear();
    if (!bgp_wishes) return;
    for (const auto& b : bgp_wishes()) {
        // As FRR: multihop are eBGP's that say so, and iBGP's that share no link with us.
        const bool multihop =
            b.external ? b.hops.has_value() : b.interface == kNoInterface && link_to(b.vrf, b.peer) == kNoInterface;
        const char* why = "";
        const auto place = find_place(b.vrf, b.peer, b.interface, b.local, multihop, why);
        if (!place) continue;
        auto& w = wish(*place);
        w.local_named = w.interface_named = true;
        w.control_plane_independent |= b.bfd.check_control_plane_failure;
        w.minimum_ttl = static_cast<std::uint8_t>(255 - b.hops.value_or(255));
        if (b.bfd.timers) {
            BfdSettings timers;
            timers.multiplier = b.bfd.timers->multiplier;
            timers.receive_interval = b.bfd.timers->receive;
            timers.transmit_interval = b.bfd.timers->transmit;
            w.layers.push_back(timers);
        }
        for (auto& layer : with_profile(b.bfd.profile)) w.layers.push_back(std::move(layer));
        bgp_[{b.vrf, b.peer, b.interface}] = place->key;
    }
}

void BfdService::wish_statics()
{
    statics_.clear();
    static_keys_.clear();
    for (const auto& [name, vrf] : model_.vrfs) {
        for (const auto& route : vrf.routes) {
            if (!route.bfd || !route.gateway) continue;
            const auto in = vrfs_.id(route.nexthop_vrf.empty()        ? name
                                     : route.nexthop_vrf == "default" ? std::string{}
                                                                      : route.nexthop_vrf);
            if (!in) continue;
            InterfaceId interface = kNoInterface;
            if (const auto* entry = interfaces_.find(route.interface)) interface = entry->id;
            const char* why = "";
            const auto place = find_place(*in, *route.gateway, interface, route.bfd->source, route.bfd->multihop, why);
            if (!place) continue;
            auto& w = wish(*place);
            w.local_named = w.interface_named = true;
            for (auto& layer : with_profile(route.bfd->profile)) w.layers.push_back(std::move(layer));
            statics_[{*in, *route.gateway, route.interface}] = place->key;
            static_keys_.insert(place->key);
        }
    }
}

void BfdService::wish_interfaces()
{
    for (const auto& [name, entry] : interfaces_.all()) {
        if (!entry.config.bfd) continue;
        const auto vrf = vrfs_.id(entry.config.vrf);
        for (const auto& own : entry.config.addresses) {
            const auto peer = only_other(own);
            if (!vrf || !peer) continue;
            auto& w = wish({{.vrf = *vrf, .peer = *peer, .interface = entry.id}, own.address});
            w.local_named = w.interface_named = true;
        }
    }
}

BfdWanted BfdService::to_wanted(const BfdSessionKey& key, const Wish& wish, BfdSettings& sum)
{
    for (const auto& layer : wish.layers) lay_under(sum, layer);
    const auto* entry = key.multihop ? nullptr : interfaces_.find(key.interface);
    if (entry) lay_under(sum, of_interface(entry->config));

    BfdWanted out;
    out.name = key.peer.to_string() + (entry ? " on " + entry->config.name : " multihop");
    auto& word = out.word;
    // What has a link-local address travels in the link's own VRF.
    word.vrf = key.peer.is_link_local() && !key.multihop ? api::link_vrf(key.interface) : key.vrf;
    word.interface = key.interface;
    word.local = wish.local;
    word.peer = key.peer;
    word.multihop = key.multihop;
    word.passive = sum.passive;
    word.admin_down = sum.shutdown;
    word.demand = sum.demand;
    word.control_plane_independent = wish.control_plane_independent;
    word.echo = sum.echo_mode && !key.multihop;
    word.multiplier = sum.multiplier.value_or(BfdSettings::kMultiplier);
    word.minimum_ttl = key.multihop ? sum.minimum_ttl.value_or(wish.minimum_ttl) : 255;
    word.desired_min_tx = microseconds(sum.transmit_interval, BfdSettings::kInterval);
    word.required_min_rx = microseconds(sum.receive_interval, BfdSettings::kInterval);
    word.desired_min_echo_tx = microseconds(sum.echo_transmit_interval, BfdSettings::kEchoInterval);
    // RFC 5883 3: no echo over several hops.
    word.required_min_echo_rx = key.multihop ? 0 : microseconds(sum.echo_receive_interval, BfdSettings::kEchoInterval);
    if (sum.authentication) {
        const auto keys = keys_.find({sum.authentication->key_chain, sum.authentication->type});
        if (keys != keys_.end()) {
            word.keys = keys->second.keys;
            word.key_count = keys->second.count;
            word.sending_key = keys->second.sending;
        } else {
            word.admin_down = true;  // never without
        }
    }
    const auto peer = entry && entry->kind() == api::InterfaceKind::Wireguard
                          ? core_.programmer.peer_of(key.interface, key.peer)
                          : kNoPeer;
    const auto guard = entry && protection ? protection(key.interface) : kNoProtection;
    out.owner = core_.dataplane.bfd_owner(peer, guard);
    return out;
}

void BfdService::run()
{
    for (route::Event event; core_.tables.next_event(client_, event);) dirty_ = true;
    if (!std::exchange(dirty_, false)) return;

    wishes_.clear();
    unresolved_.clear();
    tracking_.clear();
    const auto bgp_before = bgp_;
    wish_peers();
    wish_bgp();
    wish_statics();
    wish_interfaces();

    for (const auto& [vrf, address] : tracking_)
        if (!tracked_.contains({vrf, address})) core_.tables.track(client_, vrf, address);
    for (const auto& [vrf, address] : tracked_)
        if (!tracking_.contains({vrf, address})) core_.tables.untrack(client_, vrf, address);
    tracked_ = tracking_;

    std::map<BfdSessionKey, BfdWanted> wanted;
    settings_.clear();
    for (const auto& [key, wish] : wishes_) wanted[key] = to_wanted(key, wish, settings_[key]);
    if (!sessions_.want(wanted))
        log::error("bfd", "there are more than {} sessions; the others are not run", api::kMaxBfdSessions - 1);
    for (auto& [key, w] : wanted) crypto::wipe(&w.word.keys, sizeof w.word.keys);

    // Neighbours that have another session now, or their first.
    for (const auto& [peer, key] : bgp_) {
        const auto was = bgp_before.find(peer);
        if (was != bgp_before.end() && was->second == key) continue;
        const auto* session = sessions_.find(key);
        if (!session || !bgp_changed) continue;
        const auto& [vrf, address, interface] = peer;
        bgp_changed(vrf, address, interface, BfdStatus{}, status_of(session->last));
    }
    if (statics_changed && !statics_.empty()) statics_changed();
    core_.loop.wake_slice();
}

// ---- running
// ----------------------------------------------------------------------------------------------------------

void BfdService::on_changed(const api::BfdChanged& change) { sessions_.on_changed(change, now()); }

void BfdService::on_session(const BfdSessionKey& key, const api::BfdChanged& before, const api::BfdChanged& now)
{
    if (before.state == now.state && before.remote_state == now.remote_state &&
        before.remote_control_plane_independent == now.remote_control_plane_independent)
        return;
    if (before.state != now.state) {
        if (const auto* session = sessions_.find(key)) {
            log::info("bfd", "{}: {} -> {}", session->name, to_string(before.state), to_string(now.state));
            ++notifications_[session->id];
        }
        if (now.state == api::BfdState::Up) failover_.on_session_alive(now.id);
    }
    if (bgp_changed) {
        const auto peers = bgp_;  // what is called may wish for something else
        for (const auto& [peer, of] : peers) {
            if (!(of == key)) continue;
            const auto& [vrf, address, interface] = peer;
            bgp_changed(vrf, address, interface, status_of(before), status_of(now));
        }
    }
    if (statics_changed && static_keys_.contains(key)) statics_changed();
    core_.loop.wake_slice();
}

BfdStatus BfdService::status_of(const api::BfdChanged& change)
{
    return {change.state, change.diagnostic, change.remote_state, change.remote_control_plane_independent};
}

const BfdSessions::View* BfdService::bgp_session(VrfId vrf, const IpAddress& peer, InterfaceId interface) const
{
    const auto it = bgp_.find({vrf, peer, interface});
    return it == bgp_.end() ? nullptr : sessions_.find(it->second);
}

void BfdService::on_proven(VrfId vrf, const IpAddress& peer, InterfaceId interface)
{
    if (const auto* session = bgp_session(vrf, peer, interface)) failover_.on_session_alive(session->id);
}

bool BfdService::keeps_down(const config::StaticRoute& route, VrfId nexthop_vrf) const
{
    if (!route.bfd || !route.gateway) return false;
    const auto it = statics_.find({nexthop_vrf, *route.gateway, route.interface});
    const auto* session = it == statics_.end() ? nullptr : sessions_.find(it->second);
    if (!session) return true;  // not yet
    const auto& last = session->last;
    // That somebody has taken BFD itself out of use says nothing about the gateway (RFC 5882 3.2).
    if (last.state == api::BfdState::AdminDown || last.remote_state == api::BfdState::AdminDown) return false;
    return last.state != api::BfdState::Up;
}

std::uint64_t BfdService::add_session(BfdSessionId id, const std::string& name)
{
    failover_.add_session(id, name);
    return core_.dataplane.fib().committed() + 1;
}

void BfdService::bind(BfdSessionId id, const fibprog::Gateway& gateway) { failover_.bind(id, gateway); }
void BfdService::unbind(BfdSessionId id, const fibprog::Gateway& gateway) { failover_.unbind(id, gateway); }

std::uint64_t BfdService::remove_session(BfdSessionId id)
{
    failover_.remove_session(id);
    notifications_.erase(id);
    return core_.dataplane.fib().committed() + 1;
}

NexthopId BfdService::hold(const fibprog::Gateway& gateway) { return core_.programmer.hold_gateway(gateway); }
void BfdService::release(const fibprog::Gateway& gateway) { core_.programmer.release_gateway(gateway); }

void BfdService::command(WorkerId worker, const api::SetBfdSession& session) { workers_.command(worker, session); }
void BfdService::command(WorkerId worker, const api::DeleteBfdSession& session) { workers_.command(worker, session); }

// ---- questions
// --------------------------------------------------------------------------------------------------------

std::vector<BfdService::SessionView> BfdService::view() const
{
    std::vector<SessionView> out;
    sessions_.for_each([&](const BfdSessions::View& session) {
        const auto wish = wishes_.find(session.key);
        if (wish == wishes_.end()) return;
        const auto vrf = vrfs_.name(session.key.vrf);
        const auto& w = wish->second;
        out.push_back({&session, vrf.empty() ? "default" : vrf, interfaces_.name(session.key.interface),
                       &core_.dataplane.activity(session.id), w.configured, w.local_named || session.key.multihop,
                       w.interface_named && !session.key.multihop});
    });
    return out;
}

const BfdSettings* BfdService::settings(const BfdSessionKey& key) const
{
    const auto it = settings_.find(key);
    return it == settings_.end() ? nullptr : &it->second;
}

std::uint64_t BfdService::notifications(const SessionView& view) const
{
    const auto at = notifications_.find(view.session->id);
    return at == notifications_.end() ? 0 : at->second;
}

// Who counts clears, too: the maxima have no base that could be taken off.
void BfdService::clear_counts(BfdSessionId id)
{
    notifications_.erase(id);
    const auto* session = sessions_.find(id);
    if (session != nullptr && session->running) workers_.command(session->owner, api::ClearBfdActivity{id});
}

}  // namespace culvert::runtime
