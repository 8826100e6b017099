#include "config/statements.h"

#include "config/bfd_statements.h"
#include "config/statement_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <vector>

namespace culvert::config {
namespace {

constexpr NodeInfo kNodes[] = {
    {Node::Exec, Node::Exec, "exec", "Commands"},
    {Node::Top, Node::Exec, "config", "Top level"},
    {Node::Dataplane, Node::Top, "config-dataplane", "dataplane"},
    {Node::Interface, Node::Top, "config-if", "interface NAME"},
    {Node::WireguardPeer, Node::Interface, "config-if-peer", "wireguard peer NAME"},
    {Node::Vrf, Node::Top, "config-vrf", "vrf NAME"},
    {Node::RouterBgp, Node::Top, "config-router", "router bgp ASN"},
    {Node::BgpFamily, Node::RouterBgp, "config-router-af", "address-family FAMILY"},
    {Node::Failover, Node::Top, "config-failover", "failover"},
    {Node::KeyChain, Node::Top, "config-keychain", "key chain NAME"},
    {Node::KeyChainKey, Node::KeyChain, "config-keychain-key", "key NUMBER"},
    {Node::ManualSa, Node::Top, "config-ipsec-sa", "crypto ipsec manual-sa NAME"},
    {Node::IpsecProfile, Node::Top, "config-ipsec-profile", "crypto ipsec profile NAME"},
    {Node::Bfd, Node::Top, "config-bfd", "bfd"},
    {Node::BfdProfile, Node::Bfd, "config-bfd-profile", "profile NAME"},
    {Node::BfdPeer, Node::Bfd, "config-bfd-peer", "peer ADDRESS"},
    {Node::LineVty, Node::Top, "config-line", "line vty"},
};

}  // namespace

std::string_view kind_name(const Interface& interface)
{
    constexpr std::array<std::string_view, 6> kNames{"nothing yet",        "a port",  "a loopback", "a subinterface",
                                                     "a WireGuard tunnel", "a tunnel"};
    return kNames[interface.kind.index()];
}

std::span<const Statement> statements()
{
    static const auto kAll = [] {
        std::vector<Statement> all;
        for (const auto part :
             {system_statements(), load_sharing_statements(), static_route_statements(), dataplane_statements(),
              key_chain_statements(), ipsec_statements(), vrf_statements(), interface_statements(),
              wireguard_peer_statements(), bgp_statements(), bgp_neighbor_statements(), bgp_family_statements(),
              bfd_statements(), leaving_statements()})
            all.insert(all.end(), part.begin(), part.end());
        return all;
    }();
    return kAll;
}

const NodeInfo& info(Node node) { return *std::ranges::find(kNodes, node, &NodeInfo::node); }

Node node_of_mode(std::string_view mode)
{
    const auto* it = std::ranges::find(kNodes, mode, &NodeInfo::mode);
    return it == std::end(kNodes) ? Node::Exec : it->node;
}

std::string path_of(const Position& position)
{
    switch (position.node) {
        case Node::Exec:
        case Node::Top: return "";
        case Node::Dataplane: return "dataplane";
        case Node::Interface: return "interface " + position.interface;
        case Node::WireguardPeer:
            return fmt::format("interface {} / wireguard peer {}", position.interface, position.peer);
        case Node::Vrf: return "vrf " + position.vrf;
        case Node::RouterBgp:
        case Node::BgpFamily: {
            auto path = position.vrf.empty() ? std::string{"router bgp"} : "router bgp vrf " + position.vrf;
            if (position.node == Node::BgpFamily) path += position.family == Family::Ipv4 ? " / ipv4" : " / ipv6";
            return path;
        }
        case Node::Failover: return "failover";
        case Node::KeyChain: return "key chain " + position.name;
        case Node::KeyChainKey: return fmt::format("key chain {} / key {}", position.name, position.key);
        case Node::ManualSa: return "crypto ipsec manual-sa " + position.name;
        case Node::IpsecProfile: return "crypto ipsec profile " + position.name;
        case Node::Bfd: return "bfd";
        case Node::BfdProfile: return "bfd / profile " + position.name;
        case Node::BfdPeer:
            return "bfd / peer " + position.bfd_peer.peer.to_string() + bfd_peer_options(position.bfd_peer);
        case Node::LineVty: return "line vty";
    }
    return "";
}

}  // namespace culvert::config
