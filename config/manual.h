#pragma once

#include <string>

namespace culvert::config {

// docs/configuration.md and docs/commands.md, made from the tables that the parser reads.
std::string configuration_manual();
std::string command_manual();

}  // namespace culvert::config
