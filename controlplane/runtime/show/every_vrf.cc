#include "controlplane/runtime/show/every_vrf.h"

#include <fmt/format.h>

#include <memory>
#include <utility>

namespace culvert::runtime::show {
namespace {

// JSON text one level deeper. It has no line breaks inside of strings.
void append_deeper(std::string& out, const std::string& piece)
{
    for (const char c : piece) {
        out += c;
        if (c == '\n') out += "  ";
    }
}

}  // namespace

Shown every_vrf(Router& router, const config::Exec& exec, EveryVrf all)
{
    struct State {
        EveryVrf all;
        config::Exec exec;
        std::size_t next = 0;
        Producer rest;  // of the VRF that is being shown
    };
    auto state = std::make_shared<State>(State{std::move(all), exec, 0, {}});
    return Producer{[&router, state](std::string& out) {
        auto& s = *state;
        const bool as_json = s.exec.json;
        if (!s.rest) {
            if (s.next == s.all.vrfs.size()) {
                if (as_json) out += s.next == 0 ? "{\n}\n" : "\n}\n";
                return false;
            }
            const auto& name = s.all.vrfs[s.next];
            const auto shown_name = name.empty() ? std::string{"default"} : name;
            s.exec.vrf = name;
            // It may have gone since the list was made.
            auto shown = s.all.one(router, s.exec);
            s.rest = shown ? std::move(*shown) : whole(as_json ? "{}\n" : shown.error().message + "\n");
            if (as_json)
                out += (s.next == 0 ? "{\n  " : ",\n  ") + quoted(shown_name) + ":";
            else
                out += fmt::format(fmt::runtime(s.all.heading), shown_name);
            ++s.next;
        }
        std::string piece;
        const bool more = s.rest(piece);
        if (!more) s.rest = {};
        if (!as_json) {
            out += piece;
            return true;
        }
        if (!more && piece.ends_with('\n')) piece.pop_back();
        append_deeper(out, piece);
        return true;
    }};
}

Producer after(std::string text, Producer rest)
{
    auto head = std::make_shared<std::string>(std::move(text));
    return [head, rest = std::move(rest)](std::string& out) {
        out += std::exchange(*head, {});
        return rest(out);
    };
}

}  // namespace culvert::runtime::show
