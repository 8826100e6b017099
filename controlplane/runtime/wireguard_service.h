#pragma once

#include "config/diagnostic.h"
#include "config/model.h"
#include "controlplane/runtime/core.h"
#include "controlplane/runtime/interface_table.h"
#include "controlplane/runtime/vrfs.h"
#include "controlplane/runtime/worker_links.h"
#include "controlplane/wireguard/engine.h"

#include <array>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

namespace culvert::runtime {

// The WireGuard interfaces: their engines, bound to workers, timers and the configuration.
class WireguardService {
public:
    // The keys that a model names, read from their files. Nothing running knows them yet.
    struct Keys {
        std::map<std::string, crypto::Secret<32>> private_keys;                            // by interface
        std::map<std::pair<std::string, std::string>, crypto::Secret<32>> preshared_keys;  // by interface and peer
    };
    static Keys read_keys(
        const config::Model& model, std::vector<config::Diagnostic>& problems,
        const std::function<unsigned(const std::string& path, const std::string& statement)>& line_of);

    WireguardService(Core& core, InterfaceTable& interfaces, Vrfs& vrfs, WorkerLinks& workers);
    ~WireguardService();

    // ---- commit: the interface is in the table already ----
    void set(const config::Interface& interface, Keys& keys);
    void remove(const std::string& interface);
    void interface_changed(InterfaceId id);
    void clear(const std::string& interface, const std::string& peer);  // forgets sessions; "" is all

    // ---- from the dataplane ----
    void on_event(const api::WorkerEvent& event);
    void on_punt(const api::Punt& punt);
    void on_lost_events();
    void released(PeerId id);

    // ---- questions ----
    struct PeerInfo {
        std::string name;
        const config::WireguardPeer* config;
        wireguard::PeerView view;
        api::PeerActivity const* activity;
    };
    struct InterfaceInfo {
        std::string name;
        const config::Wireguard* config;
        crypto::PublicKey public_key;
        std::vector<PeerInfo> peers;
    };
    std::vector<InterfaceInfo> view(const std::string& interface) const;  // "" is all
    // The peer that carries `address` on an interface, if it is marked `routes bgp`.
    std::optional<PeerId> routes_bgp(InterfaceId interface, const IpAddress& address) const;
    std::string peer_name(PeerId id) const;
    // Where the peers of an interface are, each once, with the outer VRF.
    std::vector<std::pair<VrfId, IpAddress>> endpoints(const std::string& interface) const;
    // Have we sent data with this receiver index to this place from a tunnel that listens on `port`? Then it was us.
    bool sent(VrfId outer_vrf, std::uint16_t port, const Endpoint& to, std::uint32_t index) const;

private:
    struct Peer {
        PeerId id;
        config::WireguardPeer config;
        std::array<std::uint32_t, 2> remote_indices{};  // of the last keys, newest first; 0: none
    };
    struct Tunnel {
        InterfaceId id;
        VrfId outer_vrf;
        config::Wireguard config;
        std::unique_ptr<wireguard::Engine> engine;
        std::map<std::string, Peer> peers;
    };

    PeerId allocate();
    std::uint32_t next_id_ = 1;
    void perform(Tunnel& tunnel, wireguard::Output output);
    void send(Tunnel& tunnel, const wireguard::Datagram& datagram);
    void publish(Tunnel& tunnel);
    Tunnel* tunnel_of(PeerId id);
    Tunnel* find(InterfaceId id);
    void rearm();
    void on_time();

    class Timestamps final : public wireguard::TimestampSource {
    public:
        wireguard::Tai64n timestamp() override;
    };

    Core& core_;
    InterfaceTable& interfaces_;
    Vrfs& vrfs_;
    WorkerLinks& workers_;
    Timestamps timestamps_;
    wireguard::IndexTable indices_;
    std::map<std::string, Tunnel> tunnels_;
    std::map<PeerId, InterfaceId> interface_of_;
    std::set<PeerId> leaving_;
    Loop::Timer timer_;
};

}  // namespace culvert::runtime
