#pragma once

#include "config/statements.h"

#include <span>

// The parts of the one table, one to a block or a subject, in the order of the rendered configuration. statements() is
// all of them.
namespace culvert::config {

std::span<const Statement> system_statements();  // names, logs, and what FRR writes
std::span<const Statement> load_sharing_statements();
std::span<const Statement> static_route_statements();  // of the default VRF
std::span<const Statement> dataplane_statements();     // and `failover`
std::span<const Statement> key_chain_statements();
std::span<const Statement> ipsec_statements();      // manual SAs and profiles
std::span<const Statement> vrf_statements();        // with their static routes
std::span<const Statement> interface_statements();  // with tunnels
std::span<const Statement> wireguard_peer_statements();
std::span<const Statement> bgp_statements();  // the instance
std::span<const Statement> bgp_neighbor_statements();
std::span<const Statement> bgp_family_statements();
std::span<const Statement> bfd_statements();
std::span<const Statement> leaving_statements();  // and `line vty`

// What rows are written with.
inline constexpr auto Top = Node::Top;
inline constexpr auto Setting = Form::Setting;
inline constexpr auto Plain = Form::Plain;
inline constexpr auto Leave = Form::Leave;

}  // namespace culvert::config
