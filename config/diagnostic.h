#pragma once

#include <cstdint>
#include <string>

namespace culvert::config {

// What is wrong with a line or with the object that a line stated, and what to do about it.
struct Diagnostic {
    enum class Kind : std::uint8_t {
        Unknown,     // no statement is written like this
        Incomplete,  // a statement begins like this, but more words are needed
        Ambiguous,   // an abbreviation of more than one word
        Refused,     // understood, and cannot be
        Unfinished,  // the object lacks something it needs; while it is being typed it is merely not in use
                     // (effective())
    };
    Kind kind = Kind::Refused;
    std::string file;     // empty: typed at the prompt
    unsigned line = 0;    // 1 is the first; 0: not known
    unsigned column = 0;  // 1 is the first; 0: the whole line
    std::string message;
    std::string hint;  // the cure; may be empty

    std::string to_string() const;  // "hq.conf:12:3: message; hint"
    friend bool operator==(const Diagnostic&, const Diagnostic&) = default;
};

}  // namespace culvert::config
