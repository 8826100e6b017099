#pragma once

#include "controlplane/runtime/show/show.h"

#include <functional>
#include <string>
#include <vector>

namespace culvert::runtime::show {

// `vrf all`: what `one` shows of each VRF, one after the other. JSON: one object with a key a VRF, as FRR has it of BGP
// (of routes it prints one document a VRF, which no parser takes). Text: `heading` with the VRF's name in front of
// each.
struct EveryVrf {
    std::vector<std::string> vrfs;  // as configured: the default one's name is empty
    const char* heading;            // for fmt
    std::function<Shown(Router&, const config::Exec&)> one;
};
Shown every_vrf(Router& router, const config::Exec& exec, EveryVrf all);

// `text` in front of what a producer makes.
Producer after(std::string text, Producer rest);

}  // namespace culvert::runtime::show
