#pragma once

#include "controlplane/runtime/bgp_instance.h"

#include <map>
#include <memory>
#include <string>
#include <vector>

namespace culvert::runtime {

// All instances.
class BgpService {
public:
    BgpService(Core& core, InterfaceTable& interfaces, Vrfs& vrfs, WireguardService& wireguard,
               const NeighborService& routers, BfdService& bfd)
        : core_(core), interfaces_(interfaces), vrfs_(vrfs), wireguard_(wireguard), routers_(routers), bfd_(bfd)
    {}

    void set(const config::Model& model, const config::Bgp& config);
    void remove(const std::string& vrf);
    void interface_changed(InterfaceId id);
    void wireguard_changed();
    void scopes_changed();  // a TUN of an interface's link-local addresses came or went
    bool run(TimePoint until);
    std::vector<BgpBfdWish> bfd_wishes() const;
    void on_bfd(VrfId vrf, const IpAddress& peer, InterfaceId interface, const BfdStatus& before, const BfdStatus& now);
    BgpInstance* find(const std::string& vrf);
    const std::map<std::string, std::unique_ptr<BgpInstance>>& all() const noexcept { return instances_; }

private:
    Core& core_;
    InterfaceTable& interfaces_;
    Vrfs& vrfs_;
    WireguardService& wireguard_;
    const NeighborService& routers_;
    BfdService& bfd_;
    std::map<std::string, std::unique_ptr<BgpInstance>> instances_;
};

}  // namespace culvert::runtime
