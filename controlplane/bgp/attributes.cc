#include "controlplane/bgp/attributes.h"

#include <fmt/format.h>

#include <algorithm>

namespace culvert::bgp {
namespace {

constexpr std::size_t kMaxSegment = 255;  // the count is one octet

bool is_confederation(AsPath::Kind kind) noexcept
{
    return kind == AsPath::Kind::ConfedSequence || kind == AsPath::Kind::ConfedSet;
}

struct Brackets {
    std::string_view open, separator, close;
};

constexpr Brackets brackets(AsPath::Kind kind) noexcept
{
    switch (kind) {
        case AsPath::Kind::Set: return {"{", ",", "}"};
        case AsPath::Kind::ConfedSequence: return {"(", " ", ")"};
        case AsPath::Kind::ConfedSet: return {"[", ",", "]"};
        case AsPath::Kind::Sequence: break;
    }
    return {"", " ", ""};
}

}  // namespace

std::size_t AsPath::length() const noexcept
{
    std::size_t n = 0;
    for (const auto& segment : segments) {
        if (segment.kind == Kind::Sequence) n += segment.asns.size();
        if (segment.kind == Kind::Set) n += 1;
    }
    return n;
}

std::optional<Asn> AsPath::neighbor_as() const noexcept
{
    for (const auto& segment : segments) {
        if (is_confederation(segment.kind)) continue;
        if (segment.kind != Kind::Sequence || segment.asns.empty()) return std::nullopt;
        return segment.asns.front();
    }
    return std::nullopt;
}

std::optional<Asn> AsPath::origin_as() const noexcept
{
    if (segments.empty()) return std::nullopt;
    const auto& last = segments.back();
    if (last.kind != Kind::Sequence || last.asns.empty()) return std::nullopt;
    return last.asns.back();
}

std::size_t AsPath::count(Asn asn) const noexcept
{
    std::size_t n = 0;
    for (const auto& segment : segments)
        n += static_cast<std::size_t>(std::count(segment.asns.begin(), segment.asns.end(), asn));
    return n;
}

void AsPath::prepend(Asn asn, std::size_t times)
{
    while (times > 0) {
        const bool room =
            !segments.empty() && segments.front().kind == Kind::Sequence && segments.front().asns.size() < kMaxSegment;
        if (!room) segments.insert(segments.begin(), Segment{});
        auto& asns = segments.front().asns;
        const auto now = std::min(times, kMaxSegment - asns.size());
        asns.insert(asns.begin(), now, asn);
        times -= now;
    }
}

std::string AsPath::to_string() const
{
    std::string out;
    for (const auto& segment : segments) {
        const auto [open, separator, close] = brackets(segment.kind);
        if (!out.empty()) out += ' ';
        out += open;
        for (std::size_t i = 0; i < segment.asns.size(); ++i) {
            if (i > 0) out += separator;
            fmt::format_to(std::back_inserter(out), "{}", index(segment.asns[i]));
        }
        out += close;
    }
    return out;
}

}  // namespace culvert::bgp
