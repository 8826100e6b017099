#pragma once

#include "controlplane/runtime/show/show.h"

#include <cstdint>
#include <string>
#include <vector>

// Words that what is shown of BGP shares.
namespace culvert::runtime::show {

std::string display(const std::string& vrf);
std::string internal(const std::string& vrf);
const char* af_key(Family f);
const char* af_text(Family f);
std::string state_text(const BgpNeighbor& n);
const char* peer_state(const BgpInstance& instance, const BgpNeighbor& n);
bgp::ResetReason last_reset(const BgpNeighbor& n);
std::uint32_t remote_as(const BgpNeighbor& n);
Error<Refused> no_instance(const std::string& vrf);
inline constexpr auto kInstanceHeading = "\nInstance {}:\n";  // of what is shown of all VRFs
// The instances a command is about: one VRF, or all of them.
std::vector<BgpInstance*> instances(Router& router, const std::string& vrf);
}  // namespace culvert::runtime::show
