#pragma once

#include "config/diagnostic.h"
#include "config/model.h"

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace culvert::config {

// Where each object and each statement of a file stands, for messages about what they mean together. An object is named
// by its path ("interface wan0", "interface wg0 / wireguard peer HQ", "router bgp", "router bgp vrf RED", "" for the
// top level), a statement by its words with the keywords written out.
class SourceLines {
public:
    void note_object(const std::string& path, unsigned line);
    void note_statement(const std::string& path, const std::string& statement, unsigned line);

    // The line of `statement`, or of the first one of the object that begins with it, or of the object; 0: unknown.
    unsigned line_of(const std::string& path, const std::string& statement = {}) const;

private:
    struct Object {
        unsigned line = 0;
        std::map<std::string, unsigned> statements;
    };
    std::map<std::string, Object> objects_;
};

struct Parsed {
    Model model;  // what the good lines say; to be used only when there are no diagnostics
    SourceLines sources;
    std::vector<Diagnostic> diagnostics;  // every bad line, in order
};

// Reads a whole configuration. `file` is the name that diagnostics carry. Never stops at the first error. The result
// still has to pass validate().
Parsed parse(std::string_view text, std::string_view file);

}  // namespace culvert::config
