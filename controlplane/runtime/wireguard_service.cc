#include "controlplane/runtime/wireguard_service.h"

#include "base/log.h"
#include "controlplane/runtime/udp_packet.h"
#include "crypto/key_file.h"
#include "crypto/x25519.h"

#include <time.h>

#include <algorithm>

namespace culvert::runtime {
namespace {

constexpr std::uint32_t kPeerIds = 1U << 15;       // what the dataplane has room for
constexpr std::uint32_t kMaxPeers = kPeerIds / 2;  // the other half: ids that wait for the dataplane to let go of them
constexpr std::uint8_t kHandshakeDscp = 34;        // AF41, as other implementations mark their handshakes

}  // namespace

wireguard::Tai64n WireguardService::Timestamps::timestamp()
{
    timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return wireguard::Tai64n::from_unix(static_cast<std::uint64_t>(t.tv_sec), static_cast<std::uint32_t>(t.tv_nsec));
}

WireguardService::Keys WireguardService::read_keys(
    const config::Model& model, std::vector<config::Diagnostic>& problems,
    const std::function<unsigned(const std::string&, const std::string&)>& line_of)
{
    Keys keys;
    const auto load = [&](const config::Secret& secret, const std::string& path,
                          const std::string& statement) -> std::optional<crypto::Secret<32>> {
        if (secret.file.empty()) {
            auto key = crypto::parse_secret_key(secret.value);
            if (!key) {
                problems.push_back({config::Diagnostic::Kind::Refused,
                                    {},
                                    line_of(path, statement),
                                    0,
                                    "not a key: 32 octets in base64 are expected",
                                    "make one with: wg genkey"});
            }
            return key;
        }
        auto key = crypto::read_key_file(secret.file);
        if (key) return std::move(*key);
        problems.push_back(
            {config::Diagnostic::Kind::Refused, {}, line_of(path, statement), 0, key.error().message, {}});
        return std::nullopt;
    };
    std::size_t peers = 0;
    for (const auto& [name, interface] : model.interfaces) {
        const auto* wg = std::get_if<config::Wireguard>(&interface.kind);
        if (!wg) continue;
        const auto path = "interface " + name;
        peers += wg->peers.size();
        if (peers > kMaxPeers) {
            problems.push_back({config::Diagnostic::Kind::Refused,
                                {},
                                line_of(path, ""),
                                0,
                                "more than " + std::to_string(kMaxPeers) + " WireGuard peers",
                                {}});
            return keys;
        }
        std::optional<crypto::PublicKey> own;
        if (wg->private_key) {
            if (auto key = load(*wg->private_key, path, "wireguard private-key-file")) {
                own = crypto::public_key_of(*key);
                keys.private_keys.emplace(name, std::move(*key));
            }
        }
        for (const auto& [peer_name, peer] : wg->peers) {
            if (!own || peer.public_key != *own) continue;
            problems.push_back(
                {config::Diagnostic::Kind::Refused,
                 {},
                 line_of(path + " / wireguard peer " + peer_name, "public-key"),
                 0,
                 "this is the public key of " + name + " itself: nobody else can have it",
                 "take the other end's: there `wg pubkey`, or what `show wireguard` says of its interface"});
        }
        for (const auto& [peer_name, peer] : wg->peers) {
            if (!peer.preshared_key) continue;
            if (auto key = load(*peer.preshared_key, path + " / wireguard peer " + peer_name, "preshared-key-file"))
                keys.preshared_keys.emplace(std::pair{name, peer_name}, std::move(*key));
        }
    }
    return keys;
}

WireguardService::WireguardService(Core& core, InterfaceTable& interfaces, Vrfs& vrfs, WorkerLinks& workers)
    : core_(core), interfaces_(interfaces), vrfs_(vrfs), workers_(workers), timer_(core.loop, [this] { on_time(); })
{}

WireguardService::~WireguardService() = default;

PeerId WireguardService::allocate()
{
    // Bounded by prepare (kMaxPeers), so there is always a free one.
    while (interface_of_.contains(PeerId{next_id_}) || leaving_.contains(PeerId{next_id_}))
        next_id_ = next_id_ + 1 < kPeerIds ? next_id_ + 1 : 1;
    return PeerId{next_id_};
}

void WireguardService::publish(Tunnel& tunnel)
{
    api::SetWireguard update{tunnel.id, tunnel.outer_vrf, tunnel.config.listen_port, {}};
    if (tunnel.config.source_address) {
        update.source = *tunnel.config.source_address;
    } else if (!tunnel.config.source_interface.empty()) {
        const auto* source = interfaces_.find(tunnel.config.source_interface);
        // One family can be named here; a peer of the other takes the address of the interface it is reached by.
        if (source && !source->config.addresses.empty()) update.source = source->config.addresses.front().address;
    }
    core_.programmer.set_wireguard(update);
}

void WireguardService::set(const config::Interface& interface, Keys& keys)
{
    const auto& config = std::get<config::Wireguard>(interface.kind);
    const auto* entry = interfaces_.find(interface.name);
    const auto outer = vrfs_.id(config.outer_vrf);
    const auto key = keys.private_keys.find(interface.name);
    if (!entry || !outer || key == keys.private_keys.end()) return;

    wireguard::EngineConfig engine_config;
    engine_config.private_key = key->second.clone();
    if (config.rekey_after) engine_config.rekey_after = *config.rekey_after;

    auto at = tunnels_.find(interface.name);
    if (at == tunnels_.end()) {
        at = tunnels_.emplace(interface.name, Tunnel{}).first;
        auto& t = at->second;
        t.id = entry->id;
        t.engine = std::make_unique<wireguard::Engine>(std::move(engine_config), indices_, core_.random, timestamps_);
    } else {
        perform(at->second, at->second.engine->set_config(std::move(engine_config), now()));
    }
    auto& tunnel = at->second;
    tunnel.outer_vrf = *outer;
    tunnel.config = config;
    publish(tunnel);
    perform(tunnel, tunnel.engine->set_up(entry->up(), now()));

    for (auto peer = tunnel.peers.begin(); peer != tunnel.peers.end();) {
        if (config.peers.contains(peer->first)) {
            ++peer;
            continue;
        }
        const auto id = peer->second.id;
        perform(tunnel, tunnel.engine->remove_peer(id, now()));
        core_.programmer.remove_peer(id);
        interface_of_.erase(id);
        leaving_.insert(id);
        peer = tunnel.peers.erase(peer);
    }
    for (const auto& [name, peer_config] : config.peers) {
        auto known = tunnel.peers.find(name);
        const bool fresh = known == tunnel.peers.end();
        if (!fresh && known->second.config == peer_config && !keys.preshared_keys.contains({interface.name, name}))
            continue;
        if (fresh) {
            const auto id = allocate();
            interface_of_[id] = tunnel.id;
            known = tunnel.peers.emplace(name, Peer{id, peer_config}).first;
        }
        const bool endpoint_changed = fresh || known->second.config.endpoint != peer_config.endpoint;
        known->second.config = peer_config;
        api::SetPeer update{known->second.id, tunnel.id, peer_config.endpoint.value_or(Endpoint{})};
        if (!endpoint_changed) {
            // A peer that has roamed stays where it was heard last.
            const auto view = tunnel.engine->peer(known->second.id, now());
            if (view && view->endpoint) update.endpoint = *view->endpoint;
        }
        core_.programmer.set_peer(update, peer_config.allowed_ips);
        wireguard::PeerConfig pc;
        pc.public_key = peer_config.public_key;
        if (const auto psk = keys.preshared_keys.find({interface.name, name}); psk != keys.preshared_keys.end())
            pc.preshared_key = psk->second.clone();
        pc.endpoint = peer_config.endpoint;
        if (peer_config.persistent_keepalive) pc.persistent_keepalive = *peer_config.persistent_keepalive;
        perform(tunnel, tunnel.engine->set_peer(known->second.id, std::move(pc), now()));
    }
    core_.loop.wake_slice();
}

void WireguardService::remove(const std::string& interface)
{
    const auto at = tunnels_.find(interface);
    if (at == tunnels_.end()) return;
    auto& tunnel = at->second;
    for (const auto& [name, peer] : tunnel.peers) {
        perform(tunnel, tunnel.engine->remove_peer(peer.id, now()));
        core_.programmer.remove_peer(peer.id);
        interface_of_.erase(peer.id);
        leaving_.insert(peer.id);
    }
    tunnels_.erase(at);
    rearm();
}

void WireguardService::interface_changed(InterfaceId id)
{
    if (auto* tunnel = find(id)) {
        const auto* entry = interfaces_.find(id);
        if (entry) perform(*tunnel, tunnel->engine->set_up(entry->up(), now()));
    }
    // `tunnel source IFNAME` follows the address of its interface.
    const auto name = interfaces_.name(id);
    for (auto& [tunnel_name, tunnel] : tunnels_) {
        if (!name.empty() && tunnel.config.source_interface == name) publish(tunnel);
    }
}

void WireguardService::clear(const std::string& interface, const std::string& peer)
{
    for (auto& [name, tunnel] : tunnels_) {
        if (!interface.empty() && name != interface) continue;
        if (peer.empty()) {
            perform(tunnel, tunnel.engine->set_up(false, now()));
            const auto* entry = interfaces_.find(tunnel.id);
            perform(tunnel, tunnel.engine->set_up(entry && entry->up(), now()));
            continue;
        }
        const auto at = tunnel.peers.find(peer);
        if (at == tunnel.peers.end()) continue;
        workers_.command(core_.dataplane.owner(at->second.id), api::ForgetKeys{at->second.id, true});
    }
}

void WireguardService::released(PeerId id) { leaving_.erase(id); }

WireguardService::Tunnel* WireguardService::find(InterfaceId id)
{
    for (auto& [name, tunnel] : tunnels_) {
        if (tunnel.id == id) return &tunnel;
    }
    return nullptr;
}

WireguardService::Tunnel* WireguardService::tunnel_of(PeerId id)
{
    const auto at = interface_of_.find(id);
    return at == interface_of_.end() ? nullptr : find(at->second);
}

void WireguardService::perform(Tunnel& tunnel, wireguard::Output output)
{
    // An answer to on_activity() may ask for another snapshot; it is taken in the next turn of on_time().
    for (const auto id : output.poll) {
        auto more = tunnel.engine->on_activity(id, wireguard::snapshot(core_.dataplane.activity(id)), now());
        more.poll.clear();
        output.append(std::move(more));
    }
    for (const auto& command : output.commands) {
        if (const auto* keys = std::get_if<api::InstallKeys>(&command)) {
            for (auto& [name, peer] : tunnel.peers) {
                if (peer.id == keys->peer) peer.remote_indices = {keys->remote_index, peer.remote_indices[0]};
            }
        }
        std::visit(
            [&](const auto& c) {
                if constexpr (requires { PeerId{c.peer}; }) workers_.command(core_.dataplane.owner(c.peer), command);
            },
            command);
    }
    for (const auto& datagram : output.send) send(tunnel, datagram);
    rearm();
}

void WireguardService::send(Tunnel& tunnel, const wireguard::Datagram& datagram)
{
    IpAddress from = datagram.from;
    if (from.is_unspecified() || from.family != datagram.to.address.family) {
        from = {};
        if (tunnel.config.source_address && tunnel.config.source_address->family == datagram.to.address.family)
            from = *tunnel.config.source_address;
        else if (!tunnel.config.source_interface.empty()) {
            if (const auto* source = interfaces_.find(tunnel.config.source_interface)) {
                if (const auto own = interfaces_.own_address(source->id, datagram.to.address)) from = *own;
            }
        }
    }
    if (from.is_unspecified()) {
        const auto way = core_.tables.resolve(tunnel.outer_vrf, datagram.to.address);
        if (!way.reachable || way.nexthops.empty()) {
            log::debug("wireguard", "no route to {}", datagram.to.to_string());
            return;  // the engine tries again in its time
        }
        const auto& hop = way.nexthops.front();
        const auto own = interfaces_.own_address(
            hop.interface, hop.type == route::NexthopType::Gateway ? hop.gateway : datagram.to.address);
        if (!own) return;
        from = *own;
    }
    const auto packet = udp_packet({from, tunnel.config.listen_port}, datagram.to, kHandshakeDscp, datagram.bytes());
    workers_.inject_packet(tunnel.outer_vrf, packet);
}

void WireguardService::on_event(const api::WorkerEvent& event)
{
    const auto peer = std::visit(
        [](const auto& e) {
            if constexpr (requires { e.peer; })
                return e.peer;
            else
                return kNoPeer;
        },
        event);
    if (auto* tunnel = tunnel_of(peer)) perform(*tunnel, tunnel->engine->on_event(event, now()));
}

void WireguardService::on_punt(const api::Punt& punt)
{
    if (auto* tunnel = find(punt.interface)) {
        perform(*tunnel,
                tunnel->engine->on_message(Bytes{punt.bytes}.first(punt.length), punt.from, punt.to.address, now()));
    }
}

void WireguardService::on_lost_events()
{
    for (auto& [name, tunnel] : tunnels_) {
        for (const auto& [peer_name, peer] : tunnel.peers) {
            perform(tunnel,
                    tunnel.engine->on_activity(peer.id, wireguard::snapshot(core_.dataplane.activity(peer.id)), now()));
        }
    }
}

void WireguardService::rearm()
{
    auto next = kNever;
    for (const auto& [name, tunnel] : tunnels_) next = std::min(next, tunnel.engine->next_deadline());
    timer_.set(next);
}

void WireguardService::on_time()
{
    for (auto& [name, tunnel] : tunnels_) {
        if (tunnel.engine->next_deadline() <= now()) perform(tunnel, tunnel.engine->on_time(now()));
    }
    rearm();
}

std::vector<WireguardService::InterfaceInfo> WireguardService::view(const std::string& interface) const
{
    std::vector<InterfaceInfo> out;
    for (const auto& [name, tunnel] : tunnels_) {
        if (!interface.empty() && name != interface) continue;
        auto& info = out.emplace_back(InterfaceInfo{name, &tunnel.config, tunnel.engine->public_key(), {}});
        for (const auto& [peer_name, peer] : tunnel.peers) {
            if (auto view = tunnel.engine->peer(peer.id, now()))
                info.peers.push_back({peer_name, &peer.config, *view, &core_.dataplane.activity(peer.id)});
        }
    }
    return out;
}

std::optional<PeerId> WireguardService::routes_bgp(InterfaceId interface, const IpAddress& address) const
{
    const auto id = core_.programmer.peer_of(interface, address);
    if (id == kNoPeer) return std::nullopt;
    for (const auto& [name, tunnel] : tunnels_) {
        for (const auto& [peer_name, peer] : tunnel.peers) {
            if (peer.id == id) return peer.config.routes_bgp ? std::optional{id} : std::nullopt;
        }
    }
    return std::nullopt;
}

std::vector<std::pair<VrfId, IpAddress>> WireguardService::endpoints(const std::string& interface) const
{
    std::vector<std::pair<VrfId, IpAddress>> out;
    const auto at = tunnels_.find(interface);
    if (at == tunnels_.end()) return out;
    std::set<IpAddress> seen;
    for (const auto& [name, peer] : at->second.peers) {
        const auto view = at->second.engine->peer(peer.id, now());
        const auto endpoint = view && view->endpoint ? view->endpoint : peer.config.endpoint;
        if (endpoint && seen.insert(endpoint->address).second)
            out.emplace_back(at->second.outer_vrf, endpoint->address);
    }
    return out;
}

bool WireguardService::sent(VrfId outer_vrf, std::uint16_t port, const Endpoint& to, std::uint32_t index) const
{
    if (index == 0) return false;
    for (const auto& [name, tunnel] : tunnels_) {
        if (tunnel.outer_vrf != outer_vrf || tunnel.config.listen_port != port) continue;
        for (const auto& [peer_name, peer] : tunnel.peers) {
            if (std::find(peer.remote_indices.begin(), peer.remote_indices.end(), index) == peer.remote_indices.end())
                continue;
            const auto view = tunnel.engine->peer(peer.id, now());
            return view && view->endpoint == to;
        }
    }
    return false;
}

std::string WireguardService::peer_name(PeerId id) const
{
    for (const auto& [name, tunnel] : tunnels_) {
        for (const auto& [peer_name, peer] : tunnel.peers) {
            if (peer.id == id) return peer_name;
        }
    }
    return {};
}

}  // namespace culvert::runtime
