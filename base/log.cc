#include "base/log.h"

#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <string>

namespace culvert::log {
namespace {

constexpr auto kPattern = "%Y-%m-%dT%H:%M:%S.%e %l %v";

std::atomic<Level>& threshold()
{
    static std::atomic<Level> level{Level::Warning};
    return level;
}

struct Open {
    std::mutex mutex;
    std::string file;
    std::shared_ptr<spdlog::logger> logger = make(std::make_shared<spdlog::sinks::stderr_sink_mt>());

    static std::shared_ptr<spdlog::logger> make(spdlog::sink_ptr sink)
    {
        auto l = std::make_shared<spdlog::logger>("culvert", std::move(sink));
        l->set_pattern(kPattern);
        l->set_level(spdlog::level::trace);
        l->flush_on(spdlog::level::info);
        return l;
    }
};

Open& current()
{
    static Open instance;
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
    auto& now = current();
    std::string problem;
    {
        const std::lock_guard lock{now.mutex};
        if (sink.file == now.file) return;
        try {
            now.logger = sink.file.empty()
                             ? Open::make(std::make_shared<spdlog::sinks::stderr_sink_mt>())
                             : Open::make(std::make_shared<spdlog::sinks::basic_file_sink_mt>(sink.file, false));
            now.file = sink.file;
        } catch (const spdlog::spdlog_ex& error) {
            problem = error.what();
        }
    }
    if (!problem.empty()) write(Level::Error, "log", problem);
}

void set_level(Level level) { threshold() = level; }

bool enabled(Level level) { return level >= threshold().load(std::memory_order_relaxed); }

void write(Level level, std::string_view area, std::string_view line)
{
    std::shared_ptr<spdlog::logger> to;
    {
        auto& now = current();
        const std::lock_guard lock{now.mutex};
        to = now.logger;
    }
    to->log(to_spdlog(level), "{}: {}", area, line);
}

}  // namespace culvert::log
