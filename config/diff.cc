#include "config/diff.h"

#include "config/statements.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

namespace culvert::config {
namespace {

using LinesOf = std::map<Object, std::vector<const RenderedLine*>>;

LinesOf by_object(const std::vector<RenderedLine>& lines)
{
    LinesOf out;
    for (const auto& line : lines)
        if (line.statement) out[line.object].push_back(&line);
    return out;
}

bool same(const RenderedLine& a, const RenderedLine& b)
{
    return a.family == b.family && a.text == b.text && a.statement == b.statement;
}

// Lines of `a` that `b` has not.
std::vector<const RenderedLine*> without(const std::vector<const RenderedLine*>& a,
                                         const std::vector<const RenderedLine*>& b)
{
    auto rest = b;
    std::vector<const RenderedLine*> out;
    for (const auto* line : a) {
        const auto it = std::ranges::find_if(rest, [&](const auto* other) { return same(*line, *other); });
        if (it == rest.end())
            out.push_back(line);
        else
            rest.erase(it);
    }
    return out;
}

std::vector<std::string> texts(const std::vector<const RenderedLine*>& lines)
{
    std::vector<std::string> out;
    for (const auto* line : lines) {
        const auto family = !line->family ? "" : *line->family == Family::Ipv4 ? "ipv4 unicast: " : "ipv6 unicast: ";
        out.push_back(family + line->masked());
    }
    return out;
}

bool equal(const std::vector<const RenderedLine*>& a, const std::vector<const RenderedLine*>& b)
{
    return std::ranges::equal(a, b, [](const auto* x, const auto* y) { return same(*x, *y); });
}

Cost dearest(const std::vector<const RenderedLine*>& lines)
{
    Cost cost = Cost::Apply;
    for (const auto* line : lines) cost = std::max(cost, line->statement->cost);
    return cost;
}

}  // namespace

std::string_view to_string(Cost cost)
{
    switch (cost) {
        case Cost::Apply: return "applied at once";
        case Cost::Session: return "resets the session";
        case Cost::Restart: return "needs a restart";
    }
    return "";
}

std::string to_string(const Object& object)
{
    const auto in_vrf = object.vrf.empty() ? std::string{} : " vrf " + object.vrf;
    switch (object.kind) {
        case Object::Kind::Global: return "global";
        case Object::Kind::Log: return "log";
        case Object::Kind::Dataplane: return "dataplane";
        case Object::Kind::Vrf: return "vrf " + (object.vrf.empty() ? "default" : object.vrf);
        case Object::Kind::Route: return "route " + object.name + in_vrf;
        case Object::Kind::Interface: return "interface " + object.name;
        case Object::Kind::Peer: return fmt::format("interface {} peer {}", object.name, object.member);
        case Object::Kind::Bgp: return "router bgp" + in_vrf;
        case Object::Kind::Failover: return "failover";
        case Object::Kind::KeyChain: return "key chain " + object.name;
        case Object::Kind::ManualSa: return "crypto ipsec manual-sa " + object.name;
        case Object::Kind::IpsecProfile: return "crypto ipsec profile " + object.name;
        case Object::Kind::BfdProfile: return "bfd profile " + object.name;
        case Object::Kind::BfdPeer: return fmt::format("bfd peer {}{}", object.name, object.member);
        case Object::Kind::Neighbor: return fmt::format("router bgp{} neighbor {}", in_vrf, object.member);
    }
    return "";
}

std::vector<Change> diff(const Model& old, const Model& now)
{
    const auto old_lines = render_lines(old);
    const auto now_lines = render_lines(now);
    const auto before = by_object(old_lines);
    const auto after = by_object(now_lines);
    std::vector<Change> changes;
    static const std::vector<const RenderedLine*> kNone;

    auto compare = [&](const Object& object, const std::vector<const RenderedLine*>& was,
                       const std::vector<const RenderedLine*>& is) {
        if (equal(was, is)) return;
        Change change;
        change.object = object;
        change.action = was.empty()  ? Change::Action::Add
                        : is.empty() ? Change::Action::Remove
                                     : Change::Action::Modify;
        auto removed = without(was, is);
        auto added = without(is, was);
        if (removed.empty() && added.empty()) {
            // Only the order differs, as of an interface's addresses.
            for (std::size_t i = 0; i < was.size(); ++i)
                if (!same(*was[i], *is[i])) {
                    removed.push_back(was[i]);
                    added.push_back(is[i]);
                }
        }
        change.cost = std::max(dearest(removed), dearest(added));
        if (change.action != Change::Action::Modify && change.cost == Cost::Session) change.cost = Cost::Apply;
        change.removed = texts(removed);
        change.added = texts(added);
        changes.push_back(std::move(change));
    };

    auto was = before.begin();
    auto is = after.begin();
    while (was != before.end() || is != after.end()) {
        if (is == after.end() || (was != before.end() && was->first < is->first)) {
            compare(was->first, was->second, kNone);
            ++was;
        } else if (was == before.end() || is->first < was->first) {
            compare(is->first, kNone, is->second);
            ++is;
        } else {
            compare(was->first, was->second, is->second);
            ++was;
            ++is;
        }
    }
    return changes;
}

std::string to_string(const std::vector<Change>& changes)
{
    std::string out;
    for (const auto& change : changes) {
        out += to_string(change.object);
        if (change.cost != Cost::Apply) out += fmt::format("  ({})", to_string(change.cost));
        out += '\n';
        for (const auto& line : change.removed) out += " - " + line + "\n";
        for (const auto& line : change.added) out += " + " + line + "\n";
    }
    return out;
}

}  // namespace culvert::config
