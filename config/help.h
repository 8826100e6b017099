#pragma once

#include "config/statements.h"

#include <string>
#include <string_view>
#include <vector>

namespace culvert::config {

struct HelpLine {
    std::string word;  // "neighbor", "A.B.C.D", "(1-65535)", "<cr>"
    std::string text;
    friend bool operator==(const HelpLine&, const HelpLine&) = default;
};

// What `?` shows after `line`: the words that may stand at its end, a begun word narrowing them down. Sorted, without
// duplicates; empty: nothing fits.
std::vector<HelpLine> help(Node node, std::string_view line);

// What Tab offers for the last word of `line`: whole keywords, sorted. One entry: it is the completion.
std::vector<std::string> complete(Node node, std::string_view line);

}  // namespace culvert::config
