#include "controlplane/runtime/show/show.h"

#include <boost/json.hpp>
#include <fmt/format.h>

#include <utility>

namespace culvert::runtime::show {
namespace {

namespace json = boost::json;

std::string causes(std::uint32_t bits)
{
    std::string out;
    const std::pair<std::uint32_t, const char*> names[] = {{api::cause::kBfd, "bfd"},
                                                           {api::cause::kLink, "link"},
                                                           {api::cause::kTunnel, "tunnel"},
                                                           {api::cause::kNeighbor, "neighbor"}};
    for (const auto& [bit, name] : names)
        if ((bits & bit) != 0) out += (out.empty() ? "" : ",") + std::string{name};
    return out;
}

const char* state(const FailoverRecord& r)
{
    if (r.gone) return "deleted";
    if (r.restored != kNever) return "restored";
    if (r.alive != kNever) return "held up";
    return r.settled == kNever ? "moving" : "down";
}

double ms(Duration d) { return std::chrono::duration<double, std::milli>(d).count(); }

// "12.3 ms", or a dash for what has not come yet.
std::string between(TimePoint from, TimePoint to)
{
    return to == kNever ? std::string{"-"} : fmt::format("{:.1f} ms", ms(to - from));
}

json::object to_json(const FailoverRecord& r, TimePoint due)
{
    json::object o{{"number", r.number},
                   {"subject", r.name},
                   {"cause", causes(r.causes)},
                   {"state", state(r)},
                   {"lastSeenEpoch", epoch(r.since)},
                   {"detectionMsecs", ms(r.at - r.since)},
                   {"toldControlMsecs", ms(r.heard - r.at)}};
    if (r.settled != kNever) o["controlFinishedMsecs"] = ms(r.settled - r.at);
    o["packetsMetDown"] = r.packets;
    if (r.alive != kNever) o["aliveAgainMsecs"] = ms(r.alive - r.at);
    if (due != kNever) o["usedAgainInMsecs"] = ms(std::max(due - now(), Duration::zero()));
    if (r.restored != kNever) o["restoredMsecs"] = ms(r.restored - r.at);
    o["relapses"] = r.relapses;
    return o;
}

}  // namespace

// Newest first. Times run from the flip, which is when packets stopped taking what failed.
Shown failover(Router& router, const config::Exec& exec)
{
    const auto& failures = router.failover().failures();
    const auto records = failures.records();
    if (exec.json) {
        json::array list;
        for (auto r = records.rbegin(); r != records.rend(); ++r)
            list.push_back(to_json(*r, r->restored == kNever ? failures.due(r->subject) : kNever));
        const json::object out{{"holdUpMsecs", milliseconds(failures.hold_up())},
                               {"failures", failures.total()},
                               {"records", std::move(list)}};
        return whole(pretty(out) + "\n");
    }
    std::string text =
        fmt::format("{} failure{} so far; what comes back is used again after {} ms\n\n", failures.total(),
                    failures.total() == 1 ? "" : "s", milliseconds(failures.hold_up()));
    if (records.empty()) return whole(text);
    text += fmt::format("{:<5}{:<40}{:<10}{:<10}{:>10}{:>13}{:>13}{:>13}{:>13}{:>11}\n", "No.", "What", "Cause",
                        "State", "Ago", "Detected in", "Control done", "Alive after", "Back after", "Packets");
    for (auto r = records.rbegin(); r != records.rend(); ++r)
        text +=
            fmt::format("{:<5}{:<40}{:<10}{:<10}{:>10}{:>13}{:>13}{:>13}{:>13}{:>11}\n", r->number, r->name,
                        causes(r->causes), state(*r), uptime(r->at, now()), between(r->since, r->at),
                        between(r->at, r->settled), between(r->at, r->alive), between(r->at, r->restored), r->packets);
    return whole(text);
}

}  // namespace culvert::runtime::show
