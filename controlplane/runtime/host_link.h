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

// The kernel's side of a VRF: a network namespace with one TUN that carries the VRF's own addresses. BGP's TCP, ping
// and traceroute use the kernel's stack there; everything they send comes out of the TUN and is routed by the
// dataplane.
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

private:
    HostLink(Namespace ns, Descriptor tun, Netlink netlink, int link)
        : namespace_(std::move(ns)), tun_(std::move(tun)), netlink_(std::move(netlink)), link_(link)
    {}

    Namespace namespace_;
    Descriptor tun_;
    Netlink netlink_;
    int link_;
    std::set<IpAddress> addresses_;
    std::map<IpPrefix, Route> routes_;
};

}  // namespace culvert::runtime
