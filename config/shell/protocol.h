#pragma once

#include "base/result.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

// What the shell and the daemon say to each other on RUN_DIR/culvert.sock: one JSON object a line, UTF-8, '\n' at the
// end. The daemon keeps the state of the session (the mode, the candidate) for each connection; the shell shows it.
//
//   > {"v":1,"id":7,"line":"show bgp summary json"}
//   < {"id":7,"text":"..."}                                any number of these, in order
//   < {"id":7,"exec":{"argv":["ping","10.0.0.1"]}}         with a namespace's descriptor as SCM_RIGHTS: run it there
//   < {"id":7,"done":true,"status":0,"prompt":"hq# ","mode":"exec"}
//
// Requests are answered one after the other, in order. A request of another major version is answered with status 1.
namespace culvert::config::shell {

inline constexpr int kProtocolVersion = 1;
inline constexpr std::string_view kSocketName = "culvert.sock";
inline constexpr std::string_view kDefaultRunDir = "/run/culvert";
inline constexpr std::size_t kMaxLine = 1 << 20;  // octets of one message; a longer one ends the connection

struct Request {
    int version = kProtocolVersion;
    std::uint64_t id = 0;
    std::string line;          // what was typed; empty: only the prompt is asked for
    bool interactive = false;  // a person at a terminal, so a reply may be in colour or say more
    friend bool operator==(const Request&, const Request&) = default;
};

struct Text {
    std::uint64_t id = 0;
    std::string text;
    friend bool operator==(const Text&, const Text&) = default;
};

struct Run {
    std::uint64_t id = 0;
    std::vector<std::string> argv;  // the namespace travels beside the message
    friend bool operator==(const Run&, const Run&) = default;
};

struct Done {
    std::uint64_t id = 0;
    int status = 0;      // 0: the command succeeded
    std::string prompt;  // "hq(config-if)# "
    std::string mode;    // "exec", "config", "config-if": what completion and help are about
    std::string error;   // what went wrong, for people; printed by the shell on standard output as vtysh does
    bool close = false;  // the session is over (`exit`)
    friend bool operator==(const Done&, const Done&) = default;
};

using Reply = std::variant<Text, Run, Done>;

struct ProtocolError {
    std::string reason;
};

// One message with its newline.
std::string encode(const Request& request);
std::string encode(const Reply& reply);

// One message without its newline.
Result<Request, ProtocolError> decode_request(std::string_view line);
Result<Reply, ProtocolError> decode_reply(std::string_view line);

// Cuts a stream into messages.
class LineBuffer {
public:
    // False: the message in hand is longer than kMaxLine; the connection is to be closed.
    bool append(std::string_view octets);
    std::optional<std::string> next();

private:
    std::string buffer_;
    std::size_t searched_ = 0;
};

}  // namespace culvert::config::shell
