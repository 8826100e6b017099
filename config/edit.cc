#include "config/statements.h"

#include <fmt/format.h>

// Which object of the model a line or a rendered statement is about.
namespace culvert::config {

template <class T>
T* Edit::missing(std::string message, std::string hint)
{
    refusal_ = {std::move(message), std::move(hint)};
    return nullptr;
}

template <>
Model* Edit::object<Model>()
{
    return &model;
}

template <>
Dataplane* Edit::object<Dataplane>()
{
    return &model.dataplane;
}

template <>
Failover* Edit::object<Failover>()
{
    return &model.failover;
}

template <>
KeyChain* Edit::object<KeyChain>()
{
    const auto it = model.key_chains.find(position.name);
    if (it == model.key_chains.end())
        return missing<KeyChain>(fmt::format("key chain {} was removed meanwhile", position.name));
    return &it->second;
}

template <>
KeyChainKey* Edit::object<KeyChainKey>()
{
    auto* chain = object<KeyChain>();
    if (!chain) return nullptr;
    const auto it = chain->keys.find(position.key);
    if (it == chain->keys.end())
        return missing<KeyChainKey>(fmt::format("key {} of {} was removed meanwhile", position.key, position.name));
    return &it->second;
}

template <>
ManualSa* Edit::object<ManualSa>()
{
    const auto it = model.manual_sas.find(position.name);
    if (it == model.manual_sas.end())
        return missing<ManualSa>(fmt::format("manual SA {} was removed meanwhile", position.name));
    return &it->second;
}

template <>
IpsecProfile* Edit::object<IpsecProfile>()
{
    const auto it = model.ipsec_profiles.find(position.name);
    if (it == model.ipsec_profiles.end())
        return missing<IpsecProfile>(fmt::format("IPsec profile {} was removed meanwhile", position.name));
    return &it->second;
}

template <>
BfdPeer* Edit::object<BfdPeer>()
{
    const auto it = model.bfd_peers.find(position.bfd_peer);
    if (it == model.bfd_peers.end())
        return missing<BfdPeer>(fmt::format("peer {} was removed meanwhile", position.bfd_peer.peer.to_string()));
    return &it->second;
}

template <>
BfdSettings* Edit::object<BfdSettings>()
{
    if (position.node == Node::BfdPeer) {
        auto* peer = object<BfdPeer>();
        return peer ? &peer->settings : nullptr;
    }
    const auto it = model.bfd_profiles.find(position.name);
    if (it == model.bfd_profiles.end())
        return missing<BfdSettings>(fmt::format("profile {} was removed meanwhile", position.name));
    return &it->second.settings;
}

template <>
Tunnel* Edit::object<Tunnel>()
{
    auto* interface = object<Interface>();
    if (!interface) return nullptr;
    if (auto* tunnel = std::get_if<Tunnel>(&interface->kind)) return tunnel;
    if (no) return &gone_tunnel_;
    return missing<Tunnel>(fmt::format("interface {} is {}", interface->name, kind_name(*interface)),
                           "say `tunnel mode gre ip`, or another mode of GRE or IPsec, before");
}

template <>
Vrf* Edit::object<Vrf>()
{
    const auto it = model.vrfs.find(position.vrf);
    if (it == model.vrfs.end()) return missing<Vrf>(fmt::format("vrf {} was removed meanwhile", position.vrf));
    return &it->second;
}

template <>
Interface* Edit::object<Interface>()
{
    const auto it = model.interfaces.find(position.interface);
    if (it == model.interfaces.end())
        return missing<Interface>(fmt::format("interface {} was removed meanwhile", position.interface));
    return &it->second;
}

template <>
Wireguard* Edit::object<Wireguard>()
{
    auto* interface = object<Interface>();
    if (!interface) return nullptr;
    if (auto* tunnel = std::get_if<Wireguard>(&interface->kind)) return tunnel;
    if (no) return &gone_;
    return missing<Wireguard>(fmt::format("interface {} is {}", interface->name, kind_name(*interface)),
                              "say `tunnel mode wireguard` before");
}

template <>
WireguardPeer* Edit::object<WireguardPeer>()
{
    auto* tunnel = object<Wireguard>();
    if (!tunnel) return nullptr;
    const auto it = tunnel->peers.find(position.peer);
    if (it == tunnel->peers.end())
        return missing<WireguardPeer>(fmt::format("peer {} was removed meanwhile", position.peer));
    return &it->second;
}

template <>
Bgp* Edit::object<Bgp>()
{
    const auto it = model.bgp.find(position.vrf);
    if (it == model.bgp.end()) return missing<Bgp>("this BGP instance was removed meanwhile");
    return &it->second;
}

// A neighbor comes into being by the first statement about it; validate() wants its remote-as.
template <>
BgpNeighbor* Edit::object<BgpNeighbor>()
{
    auto* bgp = object<Bgp>();
    if (!bgp) return nullptr;
    const auto text = args.text("peer");
    const auto address = IpAddress::parse(text);
    const auto name = address ? PeerName{*address} : PeerName::of_interface(text);
    const auto it = bgp->neighbors.find(name);
    if (it != bgp->neighbors.end()) return &it->second;
    if (no)
        return missing<BgpNeighbor>(fmt::format("there is no neighbor {}", text),
                                    fmt::format("neighbor {} {}remote-as <(1-4294967295)|internal|external>", text,
                                                address ? "" : "interface "));
    auto& neighbor = bgp->neighbors[name];
    neighbor.address = name.address;
    neighbor.interface = name.interface;
    if (position.datacenter) neighbor.connect_retry = Seconds{10};
    return &neighbor;
}

template <>
BgpNeighborFamily* Edit::object<BgpNeighborFamily>()
{
    auto* neighbor = object<BgpNeighbor>();
    return neighbor ? &neighbor->families[position.family] : nullptr;
}

template <>
BgpFamily* Edit::object<BgpFamily>()
{
    auto* bgp = object<Bgp>();
    return bgp ? &bgp->families[position.family] : nullptr;
}

template <>
const Model* View::object<Model>() const
{
    return model;
}
template <>
const Failover* View::object<Failover>() const
{
    return &model->failover;
}
template <>
const KeyChain* View::object<KeyChain>() const
{
    return key_chain;
}
template <>
const KeyChainKey* View::object<KeyChainKey>() const
{
    return key;
}
template <>
const ManualSa* View::object<ManualSa>() const
{
    return manual_sa;
}
template <>
const IpsecProfile* View::object<IpsecProfile>() const
{
    return ipsec_profile;
}
template <>
const BfdPeer* View::object<BfdPeer>() const
{
    return bfd_peer;
}
template <>
const BfdSettings* View::object<BfdSettings>() const
{
    return bfd_peer ? &bfd_peer->settings : bfd_profile ? &bfd_profile->settings : nullptr;
}
template <>
const Tunnel* View::object<Tunnel>() const
{
    return interface ? std::get_if<Tunnel>(&interface->kind) : nullptr;
}
template <>
const Vrf* View::object<Vrf>() const
{
    return vrf;
}
template <>
const Interface* View::object<Interface>() const
{
    return interface;
}
template <>
const Wireguard* View::object<Wireguard>() const
{
    return interface ? std::get_if<Wireguard>(&interface->kind) : nullptr;
}
template <>
const WireguardPeer* View::object<WireguardPeer>() const
{
    return peer;
}
template <>
const Bgp* View::object<Bgp>() const
{
    return bgp;
}
template <>
const BgpNeighbor* View::object<BgpNeighbor>() const
{
    return neighbor;
}
template <>
const BgpNeighborFamily* View::object<BgpNeighborFamily>() const
{
    return neighbor_family;
}
template <>
const BgpFamily* View::object<BgpFamily>() const
{
    return family;
}

}  // namespace culvert::config
