#pragma once

#include "config/diagnostic.h"
#include "config/model.h"
#include "config/parse.h"

#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace culvert::config {

struct ValidateOptions {
    std::string file;                      // as in Diagnostic
    const SourceLines* sources = nullptr;  // for line numbers
    std::vector<unsigned> cpus;            // those the process may run on; empty: not known, not checked
    // Says what is wrong with a secret's file (missing, readable by all, not a key); nullopt: nothing. Not set: not
    // checked.
    std::function<std::optional<std::string>(const Secret&)> check_secret;
};

// What the statements mean together: everything that is wrong, each with its line and cure. Empty: may be prepared.
// Diagnostics of kind Unfinished are errors in a file and at a commit; `configure terminal` lets them stand.
std::vector<Diagnostic> validate(const Model& model, const ValidateOptions& options = {});

// What may be prepared and yet ought to be known: told at a commit and by --check, each with its line.
std::vector<Diagnostic> warnings(const Model& model, const ValidateOptions& options = {});

// The model without the objects that are not finished (an interface without a kind, a peer without key, a neighbor
// without remote-as) and without what needs them: what the runtime acts on while somebody is typing.
Model effective(const Model& model);

}  // namespace culvert::config
