#include "base/log.h"

#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <atomic>
#include <memory>

namespace culvert::log {
namespace {

constexpr auto kPattern = "%Y-%m-%dT%H:%M:%S.%e %l %v";

std::atomic<Level>& threshold()
{
    static std::atomic<Level> level{Level::Warning};
    return level;
}

std::shared_ptr<spdlog::logger>& logger()
{
    static std::shared_ptr<spdlog::logger> instance = [] {
        auto l = std::make_shared<spdlog::logger>("culvert", std::make_shared<spdlog::sinks::stderr_sink_mt>());
        l->set_pattern(kPattern);
        l->set_level(spdlog::level::trace);
        return l;
    }();
    return instance;
}

spdlog::level::level_enum to_spdlog(Level level)
{
    switch (level) {
        case Level::Debug: return spdlog::level::debug;
        case Level::Info: return spdlog::level::info;
        case Level::Warning: return spdlog::level::warn;
        case Level::Error: return spdlog::level::err;
    }
    return spdlog::level::err;
}

}  // namespace

void open(const Sink& sink)
{
    threshold() = sink.level;
    if (sink.file.empty()) return;
    auto l = std::make_shared<spdlog::logger>("culvert",
                                              std::make_shared<spdlog::sinks::basic_file_sink_mt>(sink.file, false));
    l->set_pattern(kPattern);
    l->set_level(spdlog::level::trace);
    l->flush_on(spdlog::level::info);
    logger() = std::move(l);
}

void set_level(Level level) { threshold() = level; }

bool enabled(Level level) { return level >= threshold().load(std::memory_order_relaxed); }

void write(Level level, std::string_view area, std::string_view line)
{
    logger()->log(to_spdlog(level), "{}: {}", area, line);
}

}  // namespace culvert::log
