#include "controlplane/runtime/show/text.h"

#include "controlplane/runtime/loop.h"

#include <boost/json.hpp>
#include <fmt/format.h>

#include <time.h>

namespace culvert::runtime::show {
namespace {

void write(std::string& out, const boost::json::value& value, int depth)
{
    const auto indent = [&](int level) { out.append(static_cast<std::size_t>(2 * level), ' '); };
    const auto list = [&](const auto& items, char open, char close, auto&& item) {
        out += open;
        bool first = true;
        for (const auto& i : items) {
            out += first ? "\n" : ",\n";
            first = false;
            indent(depth + 1);
            item(i);
        }
        if (!first) {
            out += '\n';
            indent(depth);
        }
        out += close;
    };
    if (const auto* object = value.if_object()) {
        list(*object, '{', '}', [&](const auto& pair) {
            out += quoted({pair.key().data(), pair.key().size()});
            out += ':';
            write(out, pair.value(), depth + 1);
        });
    } else if (const auto* array = value.if_array()) {
        list(*array, '[', ']', [&](const auto& item) { write(out, item, depth + 1); });
    } else {
        out += boost::json::serialize(value);
    }
}

}  // namespace

Producer whole(std::string text)
{
    return [text = std::move(text)](std::string& out) {
        out += text;
        return false;
    };
}

std::string pretty(const boost::json::value& value, int depth)
{
    std::string out;
    write(out, value, depth);
    return out;
}

std::string quoted(std::string_view text) { return boost::json::serialize(boost::json::string(text)); }

std::string uptime(TimePoint since, TimePoint at)
{
    if (since == kNever) return "never";
    const auto total = std::chrono::duration_cast<std::chrono::seconds>(at - since).count();
    const auto s = total < 0 ? 0 : total;
    constexpr long kMinute = 60, kHour = 60 * kMinute, kDay = 24 * kHour, kWeek = 7 * kDay;
    if (s < kDay) return fmt::format("{:02}:{:02}:{:02}", s / kHour, s / kMinute % 60, s % 60);
    if (s < kWeek) return fmt::format("{}d{:02}h{:02}m", s / kDay, s / kHour % 24, s / kMinute % 60);
    return fmt::format("{:02}w{}d{:02}h", s / kWeek, s / kDay % 7, s / kHour % 24);
}

std::int64_t milliseconds(Duration d) { return std::chrono::duration_cast<std::chrono::milliseconds>(d).count(); }

std::int64_t epoch(TimePoint at)
{
    return time(nullptr) - std::chrono::duration_cast<std::chrono::seconds>(now() - at).count();
}

std::string octets(std::uint64_t n)
{
    constexpr const char* kUnits[] = {"KiB", "MiB", "GiB", "TiB"};
    if (n < 1024) return fmt::format("{} B", n);
    double value = static_cast<double>(n);
    int unit = -1;
    while (value >= 1024 && unit < 3) {
        value /= 1024;
        ++unit;
    }
    return fmt::format("{:.2f} {}", value, kUnits[unit]);
}

}  // namespace culvert::runtime::show
