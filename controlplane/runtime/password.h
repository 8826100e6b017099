#pragma once

#include "base/result.h"
#include "config/model.h"
#include "controlplane/runtime/namespace.h"

#include <string>

namespace culvert::runtime {

// A neighbour's TCP-MD5 key: the value, or the first line of a file that only its owner may read. The error names the
// file and the cure.
Result<std::string, SystemError> read_password(const config::Secret& secret);

}  // namespace culvert::runtime
