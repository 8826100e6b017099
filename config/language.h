#pragma once

#include "config/diagnostic.h"
#include "config/statements.h"

#include <string>
#include <string_view>

// One line of configuration, from text into the model: what parse() and Editor share.
namespace culvert::config {

inline constexpr std::size_t kMaxLineLength = 8192;  // octets; bounds the matcher's recursion

struct AppliedLine {
    const Statement* statement = nullptr;  // nullptr: blank or a comment
    std::string path;                      // of the object, as SourceLines names it
    std::string canonical;                 // the line with its keywords written out
    bool entered = false;                  // it opened a block
};

// Matches the line in the block of `position`, then in the blocks around it. On success model and position are changed;
// on an error the position is untouched, and the model may be half changed: the caller has a copy or gives up.
// `from_top`: a block's first statement at the start of a line, so the top level is asked first.
Result<AppliedLine, Diagnostic> apply_line(Model& model, Position& position, std::string_view line,
                                           bool from_top = false);

// Which of the words are keywords as they stand, among the statements of a block.
Syntax::Exact exact_words(Node node, std::span<const Word> words, bool no);

struct MatchedLine {
    std::size_t row = 0;  // in rules(node)
    Args args;
};

// Matches a line with the statements of one block.
Result<MatchedLine, Diagnostic> match_line(Node node, std::string_view line);

// The line that stands nearest to what was typed, among the statements of the block and those around it; empty: none is
// near.
std::string nearest_statement(Node node, std::string_view line);

// Levenshtein's, for one word.
std::size_t edit_distance(std::string_view a, std::string_view b);

}  // namespace culvert::config
