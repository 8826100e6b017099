#pragma once

#include "config/model.h"
#include "controlplane/rib/rib.h"
#include "controlplane/runtime/bfd_service.h"
#include "controlplane/runtime/bgp_transport.h"
#include "controlplane/runtime/loop.h"

#include <memory>
#include <optional>
#include <string>

namespace culvert::runtime {

class BgpInstance;

// One configured neighbour: its session, its place in the RIB.
class BgpNeighbor final : bgp::SessionEvents {
public:
    BgpNeighbor(BgpInstance& instance, const config::BgpNeighbor& config);
    ~BgpNeighbor();

    void configure(const config::BgpNeighbor& config);
    const config::BgpNeighbor& config() const noexcept { return config_; }
    config::PeerName name() const { return config_.name(); }
    // Of an unnumbered neighbour what router advertisements told; unspecified: nothing yet.
    const IpAddress& address() const noexcept { return remote_; }
    // The one it is behind, for link-local addresses.
    InterfaceId interface() const noexcept { return interface_; }
    route::Resolution way() const;  // to it
    InterfaceId link() const;  // what link-local next hops from it are on; kNoInterface: it isn't on a link of ours
    void on_scopes();          // the TUN of its interface may be there now
    rib::PeerHandle handle() const noexcept { return handle_; }
    const bgp::Session& session() const noexcept { return transport_->session(); }
    const BgpTransport& transport() const noexcept { return *transport_; }
    bool external() const;
    bool over_prefix_limit() const noexcept { return over_limit_; }
    TimePoint started_at() const noexcept { return started_at_; }

    // Sends what the RIB has for it while the connection takes it. True: there is more, and room for it.
    bool fill(std::size_t budget);
    bool hungry() const;  // it has room, and the RIB has something for it
    void offer(Accepted accepted);
    void reset(bgp::ResetReason reason, std::uint8_t subcode);
    void refresh_password();  // its file may hold another one
    void on_reachable(const route::Resolution& resolution);
    // Its interface, or what is known of it there, may be another one.
    void update_link();
    // Is a connection from `address`, on the link with `scope`, from it?
    bool is(const IpAddress& address, std::uint32_t scope) const;
    void on_limit(const rib::Event& event);
    // The BFD session that it asks for; nullopt: none.
    std::optional<BgpBfdWish> bfd_wish() const;
    void on_bfd(const BfdStatus& before, const BfdStatus& now);
    const BfdSessions::View* bfd_session() const;  // nullptr: there is none (yet)
    // It would be started, were it not for BFD (strict mode).
    bool waits_for_bfd() const;
    void update_feasible();
    std::optional<PeerId> feasible_peer() const noexcept { return feasible_peer_; }
    bool family_active(Family family) const;
    TcpOptions tcp_options() const;

private:
    friend class BgpInstance;
    void on_state(bgp::State from, bgp::State to) override;
    void on_established(const bgp::Established& established) override;
    void on_update(const bgp::UpdateView& update) override;
    void on_route_refresh(Family family, bgp::RouteRefresh::Kind kind) override;
    void on_down(const bgp::Down& down) override;

    bgp::SessionConfig session_config() const;
    rib::PeerConfig rib_config() const;
    std::optional<BgpTransport::Path> find_path() const;
    void start();
    bool may_start() const;  // but for BFD
    bool bfd_allows() const;
    void watch_strict();
    void apply_md5();
    void apply_md5(const IpAddress& address, const std::string& key);
    bool link_local() const noexcept { return !config_.interface.empty(); }
    void track();
    void untrack();

    BgpInstance& instance_;
    config::BgpNeighbor config_;
    IpAddress remote_{};
    InterfaceId interface_{kNoInterface};
    std::string md5_key_;
    rib::PeerHandle handle_{};
    std::unique_ptr<BgpTransport> transport_;
    std::optional<PeerId> feasible_peer_;  // the WireGuard peer whose sources follow this neighbour's paths
    bool reachable_ = false;
    bool over_limit_ = false;
    TimePoint started_at_{};
    Loop::Timer restart_;
    Loop::Timer strict_;  // up without BFD, in strict mode: until when
};

}  // namespace culvert::runtime
