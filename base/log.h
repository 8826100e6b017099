#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>

namespace culvert::log {

enum class Level { Debug, Info, Warning, Error };

// Where lines go. Until open() is called, warnings and errors go to standard error. Opening what is open already keeps
// it; a file that can't be opened is told on the old sink, which stays. From any thread.
struct Sink {
    Level level = Level::Info;
    std::string file;  // empty: standard error
};
void open(const Sink& sink);
void set_level(Level level);
bool enabled(Level level);
void write(Level level, std::string_view area, std::string_view line);

// `area` is the folder the line comes from ("bgp", "wireguard", "port"). Never called per packet.
template <class... Args>
void info(std::string_view area, fmt::format_string<Args...> format, Args&&... args)
{
    if (enabled(Level::Info)) write(Level::Info, area, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void warning(std::string_view area, fmt::format_string<Args...> format, Args&&... args)
{
    if (enabled(Level::Warning)) write(Level::Warning, area, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void error(std::string_view area, fmt::format_string<Args...> format, Args&&... args)
{
    if (enabled(Level::Error)) write(Level::Error, area, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void debug(std::string_view area, fmt::format_string<Args...> format, Args&&... args)
{
    if (enabled(Level::Debug)) write(Level::Debug, area, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace culvert::log
