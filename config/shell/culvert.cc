// culvert: the shell. Talks to culvertd as config/shell/protocol.h says; `?`, Tab and the manual come out of the
// tables.
#include "config/exec.h"
#include "config/help.h"
#include "config/manual.h"
#include "config/shell/client.h"
#include "config/shell/interactive.h"

#include <fmt/format.h>

#include <getopt.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>
#include <string>
#include <vector>

namespace culvert::config::shell {
namespace {

constexpr std::string_view kUsage =
    "usage: culvert [--run-dir DIR]                     a session at the terminal\n"
    "       culvert [--run-dir DIR] -c COMMAND [-c ...]  one command after the other\n"
    "       culvert [--run-dir DIR] -f FILE              a file of configuration or commands\n"
    "       culvert [--run-dir DIR] < FILE               the same from standard input\n"
    "       culvert --manual configuration|commands      the reference manual\n"
    "The exit status is 0 only when every command succeeded.\n";

struct Options {
    std::string run_dir{kDefaultRunDir};
    std::vector<std::string> commands;
    std::string file;
    bool as_vtysh = false;  // called by that name: habits of vtysh where they differ
};

class Batch {
public:
    explicit Batch(Client& client) : client_(client) {}

    // The answer; nullopt: the connection is lost, and it was said.
    std::optional<Done> run(const std::string& line)
    {
        auto done = client_.execute(line, false,
                                    {[](std::string_view text) { std::fwrite(text.data(), 1, text.size(), stdout); },
                                     [](const Run& run, Descriptor ns) {
                                         std::fflush(stdout);
                                         return run_in_namespace(run, ns);
                                     }});
        if (!done) {
            std::fflush(stdout);
            fmt::print(stderr, "culvert: {}\n", done.error());
            return std::nullopt;
        }
        return std::move(*done);
    }

private:
    Client& client_;
};

// One after the other in one session, up to the first that fails.
int run_commands(Client& client, const std::vector<std::string>& commands)
{
    Batch batch{client};
    for (const auto& text : commands) {
        std::size_t at = 0;
        while (at <= text.size()) {
            const auto newline = std::min(text.find('\n', at), text.size());
            const auto line = text.substr(at, newline - at);
            at = newline + 1;
            if (line.find_first_not_of(" \t\r") == line.npos) continue;
            const auto done = batch.run(line);
            if (!done) return 1;
            if (!done->error.empty()) fmt::print("{}\n", done->error);
            if (done->status != 0) return done->status;
            if (done->close) return 0;
        }
    }
    return 0;
}

bool is_blank(std::string_view line)
{
    const auto begin = line.find_first_not_of(" \t\r");
    return begin == line.npos || line[begin] == '!' || line[begin] == '#';
}

// A file of statements is read as `configure terminal` would; one that begins with a command is read as typed. A bad
// line is told, and the rest is still run.
int run_file(Client& client, const std::string& name)
{
    std::ifstream in{name};
    if (!in) {
        fmt::print(stderr, "culvert: {}: {}\n", name, std::strerror(errno));
        return 1;
    }
    Batch batch{client};
    int status = 0;
    unsigned number = 0;
    bool begun = false;
    auto node = Node::Exec;
    for (std::string line; std::getline(in, line);) {
        ++number;
        if (is_blank(line)) continue;
        if (!begun) {
            begun = true;
            if (!parse_exec(line)) {
                const auto done = batch.run("configure terminal");
                if (!done) return 1;
                if (done->status != 0) {
                    fmt::print(stderr, "{}\n", done->error);
                    return 1;
                }
                node = node_of_mode(done->mode);
            }
        }
        const auto done = batch.run(line);
        if (!done) return 1;
        if (done->status != 0) {
            constexpr std::string_view kUnknown = "% Unknown command: ";
            auto error = done->error;
            // vtysh tells the number of the node; tools look for the text around it.
            if (error.starts_with(kUnknown))
                error = fmt::format("% Unknown command[{}]: {}", static_cast<int>(node), error.substr(kUnknown.size()));
            std::fflush(stdout);
            fmt::print(stderr, "line {}: {}\n", number, error);
            status = 2;
        }
        node = node_of_mode(done->mode);
        if (done->close) break;
    }
    return status;
}

// vtysh echoes each line behind its prompt and ends with 0 whatever happened.
int run_input(Client& client, bool as_vtysh)
{
    Batch batch{client};
    auto done = batch.run("");
    int status = 0;
    for (std::string line; done && std::getline(std::cin, line);) {
        if (as_vtysh) fmt::print("{}{}\n", done->prompt, line);
        if (is_blank(line)) continue;
        done = batch.run(line);
        if (!done) return 1;
        if (!done->error.empty()) fmt::print("{}\n", done->error);
        if (done->status != 0) status = 1;
        if (done->close) break;
    }
    std::fflush(stdout);
    if (!done) return 1;
    return as_vtysh ? 0 : status;
}

int run(const Options& options)
{
    auto client = Client::connect(options.run_dir);
    if (!client) {
        fmt::print(stderr, "culvert: {}\n", client.error());
        return 1;
    }
    int status = 0;
    if (!options.file.empty()) status = run_file(*client, options.file);
    if (!options.commands.empty()) {
        if (status == 0) status = run_commands(*client, options.commands);
        std::fflush(stdout);
        return status;
    }
    if (!options.file.empty()) return status;
    if (::isatty(STDIN_FILENO)) return interact(std::move(*client), options.run_dir);
    return run_input(*client, options.as_vtysh);
}

}  // namespace
}  // namespace culvert::config::shell

int main(int argc, char** argv)
{
    using namespace culvert::config;
    constexpr int kRunDir = 256, kManual = 257;
    const option long_options[] = {
        {"run-dir", required_argument, nullptr, kRunDir},
        {"vty_socket", required_argument, nullptr, kRunDir},
        {"command", required_argument, nullptr, 'c'},
        {"execute-command", required_argument, nullptr, 'e'},
        {"inputfile", required_argument, nullptr, 'f'},
        {"daemon", required_argument, nullptr, 'd'},
        {"manual", required_argument, nullptr, kManual},
        {"help", no_argument, nullptr, 'h'},
        {nullptr, 0, nullptr, 0},
    };
    shell::Options options;
    const std::string_view name = argv[0] ? argv[0] : "";
    options.as_vtysh = name.substr(name.rfind('/') + 1) == "vtysh";
    for (int c; (c = ::getopt_long(argc, argv, "c:e:f:d:h", long_options, nullptr)) != -1;) {
        switch (c) {
            case 'c':
            case 'e': options.commands.emplace_back(optarg); break;
            case 'f': options.file = optarg; break;
            case 'd': break;  // vtysh's: one daemon of several
            case kRunDir: options.run_dir = optarg; break;
            case kManual: {
                const std::string_view which = optarg;
                if (which == "configuration")
                    fmt::print("{}", configuration_manual());
                else if (which == "commands")
                    fmt::print("{}", command_manual());
                else {
                    fmt::print(stderr, "culvert: there is no manual of `{}`: configuration or commands\n", which);
                    return 1;
                }
                return 0;
            }
            case 'h': fmt::print("{}", shell::kUsage); return 0;
            default: fmt::print(stderr, "{}", shell::kUsage); return 1;
        }
    }
    if (optind < argc) {
        fmt::print(stderr, "culvert: `{}` is left over; a command goes behind -c\n{}", argv[optind], shell::kUsage);
        return 1;
    }
    return shell::run(options);
}
