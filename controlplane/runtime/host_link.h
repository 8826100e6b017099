#pragma once

#include "base/ids.h"
#include "base/ip.h"
#include "base/result.h"
#include "controlplane/runtime/namespace.h"

#include <map>
#include <set>
#include <string>
#include <vector>

namespace culvert::runtime {

// The kernel's side of a VRF: a network namespace with one TUN that carries the VRF's own addresses, and one for each
// interface that has a link-local address. BGP's TCP, ping and traceroute use the kernel's stack there; everything they
// send comes out of a TUN and is routed by the dataplane, in the VRF or in the interface's link VRF.
class HostLink {
public:
    // `netns`: a named namespace, or empty for an anonymous one.
    static Result<HostLink, SystemError> open(VrfId vrf, const std::string& netns);

    const Namespace& ns() const noexcept { return namespace_; }
    int tun() const noexcept { return tun_.get(); }

    struct Route {
        IpAddress source{};  // what the kernel sends from, unless bound
        std::uint16_t mtu = 0;
        friend bool operator==(const Route&, const Route&) = default;
    };

    // Makes the kernel's addresses and routes those that are given; what did not change is not touched. Returns what
    // the kernel refused.
    std::vector<SystemError> sync(const std::set<IpAddress>& addresses, const std::map<IpPrefix, Route>& routes);

    // An interface with link-local addresses. Its TUN has its name, or "culvert<id>" where the kernel won't have that.
    struct Link {
        std::string name;
        std::uint16_t mtu = 0;
        std::set<IpAddress> addresses;  // none while it is down
    };
    struct LinkChanges {
        std::vector<InterfaceId> opened, closed;  // a TUN that came, or went
        std::vector<SystemError> refused;
    };
    LinkChanges sync_links(const std::map<InterfaceId, Link>& links);
    int link_tun(InterfaceId id) const { return links_.at(id).tun.get(); }
    // The scope of the interface's link-local addresses in the namespace: its TUN's index. 0: it has none.
    std::uint32_t scope(InterfaceId id) const;
    std::vector<InterfaceId> links() const;

private:
    struct OpenLink {
        std::string name;
        Descriptor tun;
        int index = 0;
        std::uint16_t mtu = 0;
        std::set<IpAddress> addresses;
    };
    Result<OpenLink, SystemError> open_link(InterfaceId id, const Link& link);

    HostLink(Namespace ns, Descriptor tun, Netlink netlink, int link)
        : namespace_(std::move(ns)), tun_(std::move(tun)), netlink_(std::move(netlink)), link_(link)
    {}

    Namespace namespace_;
    Descriptor tun_;
    Netlink netlink_;
    int link_;
    std::set<IpAddress> addresses_;
    std::map<IpPrefix, Route> routes_;
    std::map<InterfaceId, OpenLink> links_;
};

}  // namespace culvert::runtime
