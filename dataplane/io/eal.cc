#include "dataplane/io/eal.h"

#include "base/log.h"
#include "base/sanitizers.h"
#include "dataplane/io/resident.h"
#include "dataplane/io/thread.h"

#include <fmt/format.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_log.h>
#include <rte_memory.h>

#include <fcntl.h>
#include <linux/memfd.h>
#include <sched.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <mutex>

namespace culvert::io {
namespace {

constexpr const char* kAnonymousEnv = "CULVERT_EAL_ANONYMOUS";

std::atomic<bool> started{false};

// EAL's lines on their way to base/log. The last ones are kept for the error message of a start that failed.
struct LogStream {
    std::mutex mutex;
    std::string partial;
    std::string last;

    void line(const std::string& text)
    {
        if (text.empty()) return;
        last = text;
        log::warning("dpdk", "{}", text);
    }
    void write(const char* text, std::size_t size)
    {
        const std::lock_guard lock{mutex};
        for (; size > 0; --size, ++text) {
            if (*text == '\n') {
                line(partial);
                partial.clear();
            } else if (partial.size() < 1024) {
                partial += *text;
            }
        }
    }
};

// Outlives everything: DPDK's own threads may log until the process ends.
LogStream& log_stream()
{
    static auto* const stream = new LogStream;
    return *stream;
}

void forward_log()
{
    static FILE* const file = [] {
        cookie_io_functions_t io{};
        io.write = [](void*, const char* text, size_t size) {
            log_stream().write(text, size);
            return static_cast<ssize_t>(size);
        };
        FILE* f = fopencookie(nullptr, "w", io);
        if (f) setvbuf(f, nullptr, _IOLBF, 1024);
        return f;
    }();
    if (file) rte_openlog_stream(file);
}

std::string last_log_line()
{
    const std::lock_guard lock{log_stream().mutex};
    return log_stream().last;
}

// The program anew, with the same arguments, told to do without huge pages. Comes back only if it can't.
void restart_anonymous()
{
    std::ifstream in("/proc/self/cmdline", std::ios::binary);
    const std::string all((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
    std::vector<std::string> args;
    for (std::size_t at = 0; at < all.size(); at += args.back().size() + 1) args.emplace_back(all.c_str() + at);
    std::vector<char*> argv;
    for (auto& a : args) argv.push_back(a.data());
    argv.push_back(nullptr);
    setenv(kAnonymousEnv, "1", 1);
    execv("/proc/self/exe", argv.data());
}

std::vector<std::string> arguments(MemoryMode mode, std::size_t octets)
{
    std::string cpus;
    for (const unsigned cpu : allowed_cpus()) cpus += fmt::format("{}{}", cpus.empty() ? "" : ",", cpu);
    std::vector<std::string> args = {
        "culvertd",
        "--lcores=0@(" + (cpus.empty() ? std::string("0") : cpus) + ")",
        "-m",
        fmt::format("{}", octets >> 20),
        "--no-telemetry",
        "--log-level=5",  // warnings
        fmt::format("--file-prefix=culvert-{}", getpid()),
        // A list of allowed PCI devices with none on it that could be probed: ports name theirs when they open.
        "--allow=0000:00:00.0",
    };
    if (mode == MemoryMode::HugePages) {
        args.push_back("--in-memory");
        args.push_back("--single-file-segments");  // vhost-user takes at most 8 memory regions
    } else {
        args.push_back("--no-huge");
        args.push_back("--no-shconf");
    }
    return args;
}

int init(MemoryMode mode, std::size_t octets)
{
    forward_log();
    auto args = arguments(mode, octets);
    std::vector<char*> argv;
    for (auto& a : args) argv.push_back(a.data());
    argv.push_back(nullptr);

    // EAL pins its caller to the main lcore's CPUs, and every thread made afterwards would inherit that.
    cpu_set_t before;
    const bool saved = sched_getaffinity(0, sizeof before, &before) == 0;
    const int rc = rte_eal_init(static_cast<int>(args.size()), argv.data());
    if (saved) sched_setaffinity(0, sizeof before, &before);
    return rc;
}

#ifdef CULVERT_LSAN
int register_leak_root(const rte_memseg_list*, const rte_memseg* segment, std::size_t length, void*)
{
    holds_pointers(segment->addr, length);
    return 0;
}
#endif

// Huge pages are there from the start; all others come when they are touched, which may be much later.
int populate(const rte_memseg_list*, const rte_memseg* segment, std::size_t length, void*)
{
    make_resident(segment->addr, length);
    return 0;
}

}  // namespace

bool huge_pages_available(std::size_t octets)
{
    const int fd = memfd_create("culvert-probe", MFD_CLOEXEC | MFD_HUGETLB);
    if (fd < 0) return false;
    // A mapping must be a whole number of huge pages, whose default size the file system tells as the block size.
    constexpr std::size_t kLargest = std::size_t{1} << 30;
    bool ok = false;
    for (std::size_t page = std::size_t{2} << 20; page <= kLargest && !ok; page *= 512) {
        const std::size_t size = (octets + page - 1) / page * page;
        if (ftruncate(fd, static_cast<off_t>(size)) != 0) continue;
        // Reserved at mmap: it fails here and not with SIGBUS when a page is touched.
        void* at = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
        if (at == MAP_FAILED) continue;
        munmap(at, size);
        ok = true;
    }
    close(fd);
    return ok;
}

Result<std::unique_ptr<Eal>, EalError> Eal::start(const EalOptions& options)
{
    if (started.exchange(true)) return Error{EalError{"DPDK's environment was started in this process before"}};

    const std::size_t octets = options.octets != 0 ? options.octets : kDefaultMemory;
    const bool told_anonymous = std::getenv(kAnonymousEnv) != nullptr;
    MemoryMode mode = options.memory;
    if (mode == MemoryMode::Auto) {
        mode = !told_anonymous && huge_pages_available(octets) ? MemoryMode::HugePages : MemoryMode::Anonymous;
        if (mode == MemoryMode::Anonymous)
            log::info("dataplane", "no {} MiB of huge pages free: packet buffers lie in ordinary memory", octets >> 20);
    } else if (mode == MemoryMode::HugePages && !huge_pages_available(octets)) {
        started = false;  // EAL was not touched: another mode may be tried
        return Error{
            EalError{fmt::format("no {} MiB of huge pages free; reserve them (sysctl vm.nr_hugepages={}) or "
                                 "configure `dataplane memory auto`",
                                 octets >> 20, (octets >> 21) + 1)}};
    }

    if (init(mode, octets) < 0) {
        if (mode == MemoryMode::HugePages && options.memory == MemoryMode::Auto && options.restart_program) {
            log::warning("dataplane", "the huge pages went to another process meanwhile ({}): starting again without",
                         last_log_line());
            restart_anonymous();
        }
        return Error{EalError{fmt::format("DPDK's environment doesn't start with {} MiB of {}: {} ({})", octets >> 20,
                                          mode == MemoryMode::HugePages ? "huge pages" : "ordinary memory",
                                          last_log_line(), rte_strerror(rte_errno))}};
    }
#ifdef CULVERT_LSAN
    // The leak checker doesn't know EAL's memory; objects that only drivers point to would count as lost.
    rte_memseg_contig_walk(register_leak_root, nullptr);
#endif
    if (mode == MemoryMode::Anonymous) rte_memseg_contig_walk(populate, nullptr);
    log::info("dataplane", "{} MiB of {} for packet buffers", octets >> 20,
              mode == MemoryMode::HugePages ? "huge pages" : "ordinary memory");
    return std::unique_ptr<Eal>{new Eal{mode, octets}};
}

Eal::~Eal() { rte_eal_cleanup(); }

}  // namespace culvert::io
