#pragma once

#include "config/exec.h"

#include <span>
#include <string_view>

namespace culvert::config {

// A row of the table of commands: what statements() is to the configuration.
struct ExecStatement {
    std::string_view syntax;  // syntax.h says how to read it
    ExecCommand command;
    std::string_view summary;
};

std::span<const ExecStatement> exec_statements();

}  // namespace culvert::config
