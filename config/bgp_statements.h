#pragma once

#include "config/statements.h"

#include <cstdint>
#include <string>
#include <string_view>

// What the statements about BGP, its neighbors and their address families share.
namespace culvert::config {

// RFC 4271 4.2: a hold time is 0 or at least 3 seconds.
Outcome refuse_hold(Edit& edit, std::uint64_t hold);

// "neighbor NAME rest", of the neighbor that is rendered.
std::string neighbor_text(const View& view, std::string_view rest);

}  // namespace culvert::config
