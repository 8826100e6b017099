// What a shell may send to the daemon, and the daemon to a shell: messages, the stream they are cut from, and the lines
// of commands inside them. A message that decodes must encode to one that decodes to the same.
#include "base/check.h"
#include "config/exec.h"
#include "config/shell/protocol.h"

#include <cstdint>
#include <string_view>
#include <variant>

namespace {

using namespace culvert::config;

void message(std::string_view line)
{
    if (const auto request = shell::decode_request(line)) {
        auto text = shell::encode(*request);
        text.pop_back();
        const auto again = shell::decode_request(text);
        CULVERT_CHECK(again && *again == *request);
        (void)parse_exec(request->line);
    }
    if (const auto reply = shell::decode_reply(line)) {
        auto text = shell::encode(*reply);
        text.pop_back();
        const auto again = shell::decode_reply(text);
        CULVERT_CHECK(again && *again == *reply);
    }
    if (const auto command = parse_exec(line); !command) (void)frr_text(command.error(), line);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    const std::string_view octets{reinterpret_cast<const char*>(data), size};
    shell::LineBuffer stream;
    const auto half = size / 2;
    if (stream.append(octets.substr(0, half)) && stream.append(octets.substr(half))) {
        while (const auto line = stream.next()) message(*line);
    }
    message(octets);
    return 0;
}
