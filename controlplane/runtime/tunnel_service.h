#pragma once

#include "config/diagnostic.h"
#include "config/model.h"
#include "controlplane/runtime/core.h"
#include "controlplane/runtime/interface_table.h"
#include "controlplane/runtime/vrfs.h"
#include "controlplane/runtime/wireguard_service.h"
#include "controlplane/runtime/worker_links.h"
#include "crypto/key_file.h"
#include "dataplane/api/mtu.h"

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace culvert::runtime {

// The GRE tunnels and VTIs: where their packets go, what protects them, whether they are up and why not. And the one
// place that knows what fits into a tunnel, those of WireGuard too: the way to the far end, the layers, and what
// routers on the way have told of themselves.
class TunnelService {
public:
    // The keys of the manual SAs that a model names, read from their files. Nothing running knows them yet.
    struct Keys {
        struct Pair {
            crypto::HexKey inbound, outbound;
        };
        std::map<std::string, Pair> manual_sas;  // by name
    };
    static Keys read_keys(
        const config::Model& model, std::vector<config::Diagnostic>& problems,
        const std::function<unsigned(const std::string& path, const std::string& statement)>& line_of);

    TunnelService(Core& core, InterfaceTable& interfaces, Vrfs& vrfs, WireguardService& wireguard,
                  WorkerLinks& workers);

    // ---- commit: the interfaces are in the table already ----
    void set(const config::Model& model, Keys& keys);
    void remove(const std::string& interface);  // before the interface itself
    void interface_changed(InterfaceId id);
    void clear_sas(const std::string& interface);  // installs them anew; "" is all

    // ---- from the dataplane and the programmer ----
    void on_event(const api::WorkerEvent& event);
    void on_punt(const api::Punt& punt);  // PathMtu
    void way_changed() { dirty_ = true; }
    void on_lost_events() { dirty_ = true; }
    // Looks again at what may have changed; once a turn.
    void run();

    // ---- questions ----
    // How an interface's MTU comes about: the path, what each layer takes, what is left.
    struct Sum {
        std::string path;  // "path to 192.0.2.2 by wan0"
        std::uint16_t path_mtu = 0;
        std::optional<std::uint16_t> learned;  // a router on the way said so; for this many seconds more:
        std::int64_t learned_for = 0;
        std::vector<api::MtuLine> lines;
        std::uint16_t mtu = 0;
    };
    struct SaView {
        std::uint32_t inbound_spi = 0, outbound_spi = 0;
        bool inbound_up = false, outbound_up = false;
        std::string problem;
    };
    struct View {
        std::string name;
        const config::Tunnel* config = nullptr;  // null: WireGuard's
        const config::ManualSa* sa = nullptr;
        bool up = false;
        std::string reason;  // why it is down
        IpAddress source{};
        Sum sum;
        ProtectionId protection{kNoProtection};
        SaView sas;
        std::uint64_t keepalives_sent = 0;
        unsigned keepalives_missed = 0;
    };
    std::optional<View> view(const std::string& interface) const;
    std::vector<std::string> names() const;         // of GRE tunnels and VTIs
    ProtectionId protection(InterfaceId id) const;  // kNoProtection: none

private:
    struct Protection {
        Protection();  // in the .cc: clang wants the class around it whole

        ProtectionId id{kNoProtection};
        config::ManualSa sa;
        std::optional<Keys::Pair> keys;  // until they are installed
        api::SetProtection pushed{};
        bool is_pushed = false;
        std::uint64_t wanted_generation = 0;  // of the FIB channel, from which on the SAs may be installed
        std::uint32_t child = 0;
        std::uint64_t inbound_sequence = 0, outbound_sequence = 0;  // of the commands that are not answered yet
        SaView view;
        bool install = false;
    };
    struct Tunnel {
        InterfaceId id{kNoInterface};
        config::Tunnel config;
        std::optional<Protection> protection;
        std::optional<api::SetTunnel> pushed;
        std::map<IpAddress, IpAddress> endpoints;  // pushed
        std::set<std::pair<VrfId, IpAddress>> watched;
        IpAddress source{};
        Sum sum;
        bool up = false;
        std::string reason;
        TimePoint loop_hold{};  // down until then: it would run inside itself
        Duration next_hold = 30s;
    };
    struct Learned {
        std::uint16_t mtu;
        TimePoint until;
    };
    struct Verdict {
        bool up = false;
        std::string reason;
    };
    using Way = fibprog::WayTo;

    bool evaluate(const std::string& name, Tunnel& tunnel);
    bool evaluate_wireguard(const InterfaceTable::Entry& entry);
    Verdict judge(const std::string& name, Tunnel& tunnel);
    void publish(const std::string& name, Tunnel& tunnel, bool loops);
    void push_protection(const std::string& name, Tunnel& tunnel);
    void install(Tunnel& tunnel);
    void end_protection(Tunnel& tunnel);
    std::vector<std::pair<VrfId, IpAddress>> far_ends(const Tunnel& tunnel) const;
    std::optional<std::string> loop_of(const std::string& name, VrfId vrf, const IpAddress& to,
                                       std::set<InterfaceId>& seen, unsigned depth) const;
    api::TunnelStack stack_of(const Tunnel& tunnel) const;
    Sum sum_of(const std::vector<std::pair<VrfId, IpAddress>>& ends, const api::TunnelStack& stack,
               bool discover) const;
    std::optional<IpAddress> source_of(const Tunnel& tunnel, std::string& reason) const;
    static Family outer_family(const config::Tunnel& tunnel);
    void watch(Tunnel& tunnel);
    void learn(VrfId vrf, const IpAddress& to, std::uint16_t mtu, std::size_t quoted, Duration age);
    void on_time();
    void rearm();
    ProtectionId allocate_protection();
    Tunnel* of(ProtectionId id);

    Core& core_;
    InterfaceTable& interfaces_;
    Vrfs& vrfs_;
    WireguardService& wireguard_;
    WorkerLinks& workers_;
    std::map<std::string, Tunnel> tunnels_;
    std::map<std::string, Sum> wireguard_sums_;
    std::map<std::pair<VrfId, IpAddress>, Learned> learned_;
    std::uint32_t next_protection_ = 1;
    std::uint64_t next_sequence_ = 1;
    bool dirty_ = false;
    TimePoint wireguard_look_ = kNever;
    Loop::Timer timer_;
};

}  // namespace culvert::runtime
