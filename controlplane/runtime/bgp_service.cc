#include "controlplane/runtime/bgp_service.h"

namespace culvert::runtime {

void BgpService::set(const config::Model& model, const config::Bgp& config)
{
    auto& instance = instances_[config.vrf];
    if (instance && instance->config().asn != config.asn) instance.reset();
    if (instance)
        instance->configure(model, config);
    else
        instance = std::make_unique<BgpInstance>(core_, interfaces_, vrfs_, wireguard_, routers_, bfd_, model, config);
}

void BgpService::remove(const std::string& vrf) { instances_.erase(vrf); }

void BgpService::interface_changed(InterfaceId)
{
    for (auto& [vrf, instance] : instances_) instance->interfaces_changed();
}

void BgpService::scopes_changed()
{
    for (auto& [vrf, instance] : instances_) instance->scopes_changed();
}

void BgpService::wireguard_changed() { interface_changed(kNoInterface); }

bool BgpService::run(TimePoint until)
{
    bool more = false;
    for (auto& [vrf, instance] : instances_) more |= instance->run(until);
    return more;
}

std::vector<BgpBfdWish> BgpService::bfd_wishes() const
{
    std::vector<BgpBfdWish> out;
    for (const auto& [vrf, instance] : instances_)
        for (const auto& [name, neighbor] : instance->neighbors())
            if (auto wish = neighbor->bfd_wish()) out.push_back(std::move(*wish));
    return out;
}

void BgpService::on_bfd(VrfId vrf, const IpAddress& peer, InterfaceId interface, const BfdStatus& before,
                        const BfdStatus& now)
{
    for (auto& [name, instance] : instances_) {
        if (instance->vrf() != vrf) continue;
        for (const auto& [peer_name, neighbor] : instance->neighbors())
            if (neighbor->address() == peer && neighbor->interface() == interface) neighbor->on_bfd(before, now);
    }
}

BgpInstance* BgpService::find(const std::string& vrf)
{
    const auto at = instances_.find(vrf);
    return at == instances_.end() ? nullptr : at->second.get();
}

}  // namespace culvert::runtime
