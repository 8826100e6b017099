#include "controlplane/runtime/show/bgp.h"

namespace culvert::runtime::show {

std::string display(const std::string& vrf) { return vrf.empty() ? "default" : vrf; }
std::string internal(const std::string& vrf) { return vrf == "default" ? "" : vrf; }

const char* af_key(Family f) { return f == Family::Ipv4 ? "ipv4Unicast" : "ipv6Unicast"; }
const char* af_text(Family f) { return f == Family::Ipv4 ? "IPv4 Unicast" : "IPv6 Unicast"; }

std::string state_text(const BgpNeighbor& n)
{
    if (n.config().shutdown) return "Idle (Admin)";
    if (n.over_prefix_limit()) return "Idle (PfxCt)";
    return std::string{bgp::to_string(n.session().state())};
}

const char* peer_state(const BgpInstance& instance, const BgpNeighbor& n)
{
    if (n.config().shutdown) return "Admin";
    if (n.over_prefix_limit()) return "PfxCt";
    if (instance.config().ebgp_requires_policy && n.external()) return "Policy";
    return "OK";
}

// As FRR, a session that never was has a reason too.
bgp::ResetReason last_reset(const BgpNeighbor& n)
{
    const auto& stats = n.session().stats();
    if (stats.last_reset_at != kNever) return stats.last_reset;
    return n.config().shutdown ? bgp::ResetReason::AdminShutdown : bgp::ResetReason::WaitingForOpen;
}

std::uint32_t remote_as(const BgpNeighbor& n)
{
    if (const auto& up = n.session().established()) return index(up->peer.asn);
    return index(n.config().remote_as.asn);
}

Error<Refused> no_instance(const std::string& vrf)
{
    return Error{Refused{vrf.empty() || vrf == "default" ? "% BGP instance not found"
                                                         : "% BGP instance for VRF " + vrf + " not found"}};
}

// The instances a command is about: one VRF, or all of them.
std::vector<BgpInstance*> instances(Router& router, const std::string& vrf)
{
    std::vector<BgpInstance*> out;
    for (const auto& [name, instance] : router.bgp().all()) {
        if (vrf == "all" || name == internal(vrf)) out.push_back(instance.get());
    }
    return out;
}

}  // namespace culvert::runtime::show
