#pragma once

#include "config/model.h"

#include <string>
#include <string_view>

namespace culvert::config {

// The FRR release whose language this is; `show running-config` names it as FRR does, for tools that look for it.
inline constexpr std::string_view kFrrVersion = "8.4.4";

struct RenderOptions {
    bool mask_secrets = false;  // values of secrets as kMaskedSecret; such a text does not load again
    bool preamble = false;      // "Building configuration..." as `show running-config` without `no-header` prints
    bool heading = true;        // `frr version`, `frr defaults`
};

inline constexpr std::string_view kMaskedSecret = "<hidden>";

// The configuration as text, in FRR's order and layout, without defaults. parse() of it gives an equal model.
std::string render(const Model& model, const RenderOptions& options = {});

}  // namespace culvert::config
