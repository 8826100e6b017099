// culvertd: builds every object and hands it down; the only file that sees both planes.

#include "base/log.h"
#include "config/parse.h"
#include "config/validate.h"
#include "controlplane/runtime/api_server.h"
#include "controlplane/runtime/command.h"
#include "controlplane/runtime/router.h"
#include "dataplane/dataplane.h"
#include "dataplane/io/guardian.h"

#include <fcntl.h>
#include <malloc.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>

namespace {

using namespace culvert;

constexpr auto kUsage =
    "usage: culvertd -c FILE [--check] [--netns NAME] [--run-dir DIR]\n"
    "\n"
    "  -c FILE         the start-up configuration (docs/configuration.md)\n"
    "  --check         read and validate it, print every error, exit 0 or 1\n"
    "  --netns NAME    run in the network namespace NAME: ports are looked for there\n"
    "  --run-dir DIR   where the shell finds the daemon (default /run/culvert)\n"
    "  --version\n";

struct Arguments {
    std::string file;
    std::string netns;
    std::string run_dir{config::shell::kDefaultRunDir};
    bool check = false;
};

std::optional<Arguments> read_arguments(int argc, char** argv, int& status)
{
    Arguments out;
    status = 2;
    for (int i = 1; i < argc; ++i) {
        const std::string_view word = argv[i];
        const auto value = [&](std::string& to) {
            if (i + 1 >= argc) return false;
            to = argv[++i];
            return true;
        };
        bool good = true;
        if (word == "-c")
            good = value(out.file);
        else if (word == "--check")
            out.check = true;
        else if (word == "--netns")
            good = value(out.netns);
        else if (word == "--run-dir")
            good = value(out.run_dir);
        else if (word == "--version" || word == "-V") {
            std::puts("culvertd 0.1.0");
            status = 0;
            return std::nullopt;
        } else if (word == "--help" || word == "-h") {
            std::fputs(kUsage, stdout);
            status = 0;
            return std::nullopt;
        } else {
            good = false;
        }
        if (!good) {
            std::fprintf(stderr, "culvertd: %s: not understood or without its value\n%s", argv[i], kUsage);
            return std::nullopt;
        }
    }
    if (out.file.empty()) {
        std::fprintf(stderr, "culvertd: no configuration given\n%s", kUsage);
        return std::nullopt;
    }
    return out;
}

void print(const std::vector<config::Diagnostic>& problems)
{
    for (const auto& p : problems) std::fprintf(stderr, "%s\n", p.to_string().c_str());
}

std::optional<config::Parsed> read_configuration(const std::string& file)
{
    std::ifstream in(file);
    if (!in) {
        std::fprintf(stderr, "culvertd: %s: %s\n", file.c_str(), std::strerror(errno));
        return std::nullopt;
    }
    std::stringstream text;
    text << in.rdbuf();
    auto parsed = config::parse(text.str(), file);
    if (!parsed.diagnostics.empty()) {
        print(parsed.diagnostics);
        return std::nullopt;
    }
    return parsed;
}

dataplane::Options to_options(const config::Dataplane& config)
{
    dataplane::Options out;
    if (const auto* count = std::get_if<config::Dataplane::WorkersCount>(&config.workers)) out.workers = count->count;
    if (const auto* pinned = std::get_if<config::Dataplane::WorkersPinned>(&config.workers)) out.cpus = pinned->cpus;
    out.poll_busy = config.poll_busy;
    switch (config.memory) {
        case config::Dataplane::Memory::Auto: out.memory = io::MemoryMode::Auto; break;
        case config::Dataplane::Memory::HugePages: out.memory = io::MemoryMode::HugePages; break;
        case config::Dataplane::Memory::Anonymous: out.memory = io::MemoryMode::Anonymous; break;
    }
    out.memory_octets = config.memory_octets;
    out.restart_program = true;
    return out;
}

// The run directory belongs to one daemon. The lock goes with the process however it ends: nothing to clean up.
int lock_run_dir(const std::string& dir)
{
    std::error_code bad;
    std::filesystem::create_directories(dir, bad);
    const auto path = dir + "/culvertd.pid";
    const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0) {
        std::fprintf(stderr, "culvertd: %s: %s\n", path.c_str(), std::strerror(errno));
        return -1;
    }
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        std::fprintf(stderr, "culvertd: another culvertd runs with %s; stop it or choose another --run-dir\n",
                     dir.c_str());
        close(fd);
        return -1;
    }
    const auto pid = std::to_string(getpid()) + "\n";
    if (ftruncate(fd, 0) != 0 || write(fd, pid.data(), pid.size()) < 0) {
        std::fprintf(stderr, "culvertd: %s: %s\n", path.c_str(), std::strerror(errno));
        close(fd);
        return -1;
    }
    return fd;
}

bool enter_namespace(const std::string& name)
{
    const auto path = "/run/netns/" + name;
    const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    const bool entered = fd >= 0 && setns(fd, CLONE_NEWNET) == 0;
    if (!entered) std::fprintf(stderr, "culvertd: --netns %s: %s\n", name.c_str(), std::strerror(errno));
    if (fd >= 0) close(fd);
    return entered;
}

int run(const Arguments& arguments, config::Parsed parsed, int signals, io::Guardian& guardian)
{
    auto options = to_options(parsed.model.dataplane);
    options.guardian = &guardian;
    auto dataplane = dataplane::make_dataplane(options);
    if (!dataplane) {
        std::fprintf(stderr, "culvertd: %s\n", dataplane.error().c_str());
        return 1;
    }
    runtime::Loop loop;
    runtime::Router router{loop, **dataplane};
    const auto problems = router.commit(parsed.model, {arguments.file, &parsed.sources}, true);
    if (!problems.empty()) {
        print(problems);
        return 1;
    }
    runtime::ConfigurationStore store{router, arguments.file};
    const auto api =
        runtime::ApiServer::open(loop, store, arguments.run_dir + "/" + std::string{config::shell::kSocketName});
    if (!api) {
        std::fprintf(stderr, "culvertd: %s\n", api.error().message.c_str());
        return 1;
    }
    const auto on_signal = [&](std::uint32_t) {
        signalfd_siginfo info;
        while (read(signals, &info, sizeof info) == sizeof info) {
            if (info.ssi_signo != SIGHUP) {
                loop.stop();
                continue;
            }
            log::info("config", "SIGHUP: reading {} anew", store.file());
            for (const auto& p : store.reload()) log::error("config", "{}", p.to_string());
        }
    };
    const auto watch = loop.watch(signals, EPOLLIN, on_signal);
    log::info("culvertd", "running, pid {}", getpid());
    loop.run();
    log::info("culvertd", "stopping");
    return 0;
}

}  // namespace

int main(int argc, char** argv)
{
    int status = 0;
    const auto arguments = read_arguments(argc, argv, status);
    if (!arguments) return status;

    auto parsed = read_configuration(arguments->file);
    if (!parsed) return 1;
    // What was saved half finished starts again as it ran, without the unfinished objects.
    const auto problems = runtime::Router::check(parsed->model, {arguments->file, &parsed->sources});
    print(problems);
    const bool startable =
        std::ranges::all_of(problems, [](const auto& p) { return p.kind == config::Diagnostic::Kind::Unfinished; });
    if (!startable || (arguments->check && !problems.empty())) return 1;
    print(config::warnings(parsed->model, {.file = arguments->file, .sources = &parsed->sources}));
    if (arguments->check) return 0;

    // Keys are in this memory: no core dump, and no other process of the user reads along.
    const rlimit no_core{0, 0};
    setrlimit(RLIMIT_CORE, &no_core);
    prctl(PR_SET_DUMPABLE, 0);

    if (!arguments->netns.empty() && !enter_namespace(arguments->netns)) return 1;
    const int lock = lock_run_dir(arguments->run_dir);
    if (lock < 0) return 1;

    // A full table that was withdrawn is given back: without these, glibc raises both thresholds to what it saw last.
    mallopt(M_MMAP_THRESHOLD, 256 << 10);
    mallopt(M_TRIM_THRESHOLD, 1 << 20);

    // Before any thread: they all inherit the mask, so signals come through the descriptor alone.
    sigset_t mask;
    sigemptyset(&mask);
    for (const int s : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&mask, s);
    sigprocmask(SIG_BLOCK, &mask, nullptr);
    signal(SIGPIPE, SIG_IGN);

    auto guardian = io::Guardian::start();
    if (!guardian) {
        std::fprintf(stderr, "culvertd: %s\n", guardian.error().c_str());
        return 1;
    }
    const int signals = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
    log::open({log::Level::Info, parsed->model.log.file});
    return run(*arguments, std::move(*parsed), signals, **guardian);
}
