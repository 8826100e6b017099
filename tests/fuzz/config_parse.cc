#include "config/diff.h"
#include "config/editor.h"
#include "config/exec.h"
#include "config/help.h"
#include "config/parse.h"
#include "config/render.h"
#include "config/validate.h"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

// Whatever a file holds: what was read is written back to the same, and everything else that reads lines holds too.
// Objects that lack what they need (a neighbor without remote-as) are errors in a file; they are left out here.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    using namespace culvert::config;
    const std::string_view text{reinterpret_cast<const char*>(data), size};
    const auto parsed = parse(text, "fuzz");
    const auto model = effective(parsed.model);
    const auto again = parse(render(model), "rendered");
    if (!again.diagnostics.empty() || !(again.model == model)) std::abort();
    if (!diff(model, again.model).empty()) std::abort();
    (void)validate(parsed.model, {.file = "fuzz", .sources = &parsed.sources, .cpus = {0, 1}});
    (void)validate(model);

    const auto line = text.substr(0, text.find('\n'));
    Editor editor{parsed.model};
    if (!editor.apply(line) && !(editor.model() == parsed.model)) std::abort();
    (void)parse_exec(line);
    (void)help(Node::Top, line);
    (void)complete(Node::RouterBgp, line);
    return 0;
}
