#pragma once

#include "config/shell/client.h"

#include <string>

namespace culvert::config::shell {

// A person at a terminal: prompt, history, `?`, Tab, pages. The exit status.
int interact(Client client, const std::string& run_dir);

}  // namespace culvert::config::shell
