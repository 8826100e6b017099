#pragma once

#include "base/time.h"

#include <boost/json/value.hpp>

#include <cstdint>
#include <functional>
#include <string>

namespace culvert::runtime::show {

// A long answer in pieces: appends the next piece to `out`; true: there is more. Each piece takes well under the 5 ms
// that anything may take on the control thread.
using Producer = std::function<bool(std::string& out)>;
Producer whole(std::string text);

// As FRR prints JSON (json-c, pretty): two blanks a level, no blank after the colon. `depth` is that of the value.
std::string pretty(const boost::json::value& value, int depth = 0);
std::string quoted(std::string_view text);

// "00:00:22", "1d02h03m", "02w3d04h"; "never" for kNever.
std::string uptime(TimePoint since, TimePoint at);
std::int64_t milliseconds(Duration d);
// Seconds since 1970 of a moment on the monotonic clock.
std::int64_t epoch(TimePoint at);
std::string octets(std::uint64_t n);  // "1.50 KiB", as `wg`

}  // namespace culvert::runtime::show
