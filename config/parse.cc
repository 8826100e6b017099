#include "config/parse.h"

#include "config/language.h"

#include <fmt/format.h>

namespace culvert::config {

void SourceLines::note_object(const std::string& path, unsigned line)
{
    auto& object = objects_[path];
    if (object.line == 0) object.line = line;
}

void SourceLines::note_statement(const std::string& path, const std::string& statement, unsigned line)
{
    objects_[path].statements[statement] = line;
}

unsigned SourceLines::line_of(const std::string& path, const std::string& statement) const
{
    const auto object = objects_.find(path);
    if (object == objects_.end()) return 0;
    if (!statement.empty()) {
        const auto& statements = object->second.statements;
        const auto it = statements.lower_bound(statement);
        if (it != statements.end() && it->first.starts_with(statement)) return it->second;
    }
    return object->second.line;
}

std::string Diagnostic::to_string() const
{
    std::string out = file;
    if (line != 0) {
        out += out.empty() ? fmt::format("line {}", line) : fmt::format(":{}", line);
        if (column != 0) out += fmt::format(":{}", column);
    }
    if (!out.empty()) out += ": ";
    out += message;
    if (!hint.empty()) out += "; " + hint;
    return out;
}

Parsed parse(std::string_view text, std::string_view file)
{
    Parsed out;
    out.model.vrfs[""];
    Position position;
    bool indented = false;  // the block's lines are
    unsigned number = 0;
    while (!text.empty()) {
        ++number;
        const auto newline = text.find('\n');
        const auto line = text.substr(0, newline);
        text = newline == text.npos ? std::string_view{} : text.substr(newline + 1);

        const bool is_indented = line.starts_with(' ') || line.starts_with('\t');
        auto applied = apply_line(out.model, position, line, indented && !is_indented);
        if (!applied) {
            auto diagnostic = std::move(applied).error();
            diagnostic.file = file;
            diagnostic.line = number;
            out.diagnostics.push_back(std::move(diagnostic));
            continue;
        }
        if (!applied->statement) continue;
        if (position.node == Node::Exec)
            position = {.datacenter = position.datacenter};  // `end`, or one `exit` too many
        indented = position.node != Node::Top && !applied->entered && is_indented;
        if (applied->entered)
            out.sources.note_object(applied->path, number);
        else
            out.sources.note_statement(applied->path, applied->canonical, number);
    }
    return out;
}

}  // namespace culvert::config
