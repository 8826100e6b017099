#include "config/behaviour.h"
#include "config/statement_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace culvert::config {
namespace {

Outcome end(Edit& edit)
{
    edit.position.node = Node::Exec;
    return {};
}

Outcome frr_defaults(Edit& edit)
{
    edit.position.datacenter = edit.args.has("datacenter");
    return {};
}

constexpr std::array kLogLevels{
    std::pair{std::string_view{"debugging"}, LogLevel::Debug},
    std::pair{std::string_view{"informational"}, LogLevel::Info},
    std::pair{std::string_view{"notifications"}, LogLevel::Info},
    std::pair{std::string_view{"warnings"}, LogLevel::Warning},
    std::pair{std::string_view{"errors"}, LogLevel::Error},
    std::pair{std::string_view{"critical"}, LogLevel::Error},
    std::pair{std::string_view{"alerts"}, LogLevel::Error},
    std::pair{std::string_view{"emergencies"}, LogLevel::Error},
};

LogLevel level_of(const Args& args)
{
    for (const auto& [name, level] : kLogLevels)
        if (args.has(name)) return level;
    return LogLevel::Info;
}

std::string with_level(std::string line, LogLevel level)
{
    if (level == LogLevel::Info) return line;
    const auto it = std::ranges::find(kLogLevels, level, [](const auto& l) { return l.second; });
    return line + " " + std::string{it->first};
}

Outcome log_file(Edit& edit)
{
    edit.model.log = edit.no ? Log{} : Log{.file = edit.args.text("file"), .level = level_of(edit.args)};
    return {};
}

void show_log_file(const Statement& self, const View& view, Lines& out)
{
    const auto& log = view.model->log;
    if (!log.file.empty()) out.text(self, view, with_level("log file " + log.file, log.level));
}

Outcome log_stdout(Edit& edit)
{
    edit.model.log = edit.no ? Log{} : Log{.file = {}, .level = level_of(edit.args)};
    return {};
}

void show_log_stdout(const Statement& self, const View& view, Lines& out)
{
    const auto& log = view.model->log;
    if (log.file.empty() && log.level != LogLevel::Info) out.text(self, view, with_level("log stdout", log.level));
}

#define LEVELS "<emergencies|alerts|critical|errors|warnings|notifications|informational|debugging>"

constexpr Statement kSystem[] = {
    {Top, "frr version LINE$version", Plain, Cost::Apply, "Read and kept nowhere: FRR writes it.", kIgnored},
    {Top,
     "frr defaults <traditional|datacenter>",
     Plain,
     Cost::Apply,
     "The defaults that `router bgp` below it starts with. They are written out by `show running-config`.",
     {frr_defaults, nullptr}},
    {Top, "hostname {WORD$hostname}", Setting, Cost::Apply, "The router's name, in prompts and to BGP neighbors.",
     kValue<&Model::hostname>},
    {Top,
     "log file {FILE$file} [" LEVELS "]",
     Setting,
     Cost::Apply,
     "Where log lines go, from which level. Default: standard error.",
     {log_file, show_log_file}},
    {Top,
     "log <stdout|stderr> [" LEVELS "]",
     Setting,
     Cost::Apply,
     "Log to standard error, from which level. Default: informational.",
     {log_stdout, show_log_stdout}},
    {Top, "service <integrated-vtysh-config|advanced-vty|password-encryption>", Setting, Cost::Apply,
     "Accepted because FRR writes it; there is one configuration anyway.", kIgnored},
    {Top, "<ip|ipv6> forwarding", Setting, Cost::Apply, "Accepted because FRR writes it; culvert always forwards.",
     kIgnored},
};

constexpr Statement kLeaving[] = {
    {Top,
     "line vty",
     Plain,
     Cost::Apply,
     "Accepted because FRR writes it.",
     {[](Edit& edit) -> Outcome {
          edit.position.node = Node::LineVty;
          return {};
      },
      nullptr}},
    {Node::LineVty, "exec-timeout (0-35791)$minutes [(0-2147483)$seconds]", Setting, Cost::Apply,
     "Accepted because FRR writes it.", kIgnored},
    {Top, "<exit|quit>", Leave, Cost::Apply, "Leaves the block; at the top, leaves configuring.", kLeave},
    {Top, "end", Leave, Cost::Apply, "Leaves configuring.", {end, nullptr}},
};

}  // namespace

std::span<const Statement> system_statements() { return kSystem; }
std::span<const Statement> leaving_statements() { return kLeaving; }

}  // namespace culvert::config
