#pragma once

#include "base/bytes.h"

#include <algorithm>

namespace culvert::fuzz {

// `length` octets of the input, or what is left of it. (The length is read from the input too, mostly: before what is
// left is looked at, with every compiler.)
inline Bytes up_to(std::size_t length, Reader& in) { return in.take(std::min(length, in.remaining())); }

}  // namespace culvert::fuzz
