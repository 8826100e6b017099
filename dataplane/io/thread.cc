#include "dataplane/io/thread.h"

#include <fmt/format.h>
#include <rte_lcore.h>

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <fstream>

namespace culvert::io {

std::vector<unsigned> allowed_cpus()
{
    cpu_set_t set;
    CPU_ZERO(&set);
    std::vector<unsigned> cpus;
    if (sched_getaffinity(0, sizeof set, &set) != 0) return cpus;
    for (unsigned cpu = 0; cpu < CPU_SETSIZE; ++cpu)
        if (CPU_ISSET(cpu, &set)) cpus.push_back(cpu);
    return cpus;
}

void name_thread(const std::string& name) { pthread_setname_np(pthread_self(), name.substr(0, 15).c_str()); }

Result<void, std::string> pin_thread(unsigned cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    if (cpu >= CPU_SETSIZE) return Error{fmt::format("no CPU {}", cpu)};
    CPU_SET(cpu, &set);
    if (const int e = pthread_setaffinity_np(pthread_self(), sizeof set, &set); e != 0)
        return Error{fmt::format("can't run on CPU {}: {}", cpu, std::strerror(e))};
    return {};
}

bool set_realtime(bool on, int above) noexcept
{
    sched_param parameters{};
    parameters.sched_priority = on ? sched_get_priority_min(SCHED_FIFO) + above : 0;
    // What the thread starts is not real-time.
    return sched_setscheduler(0, (on ? SCHED_FIFO : SCHED_OTHER) | SCHED_RESET_ON_FORK, &parameters) == 0;
}

Duration thread_cpu_time() noexcept
{
    timespec t{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return std::chrono::seconds{t.tv_sec} + Duration{t.tv_nsec};
}

WaitTime::~WaitTime()
{
    if (fd_ >= 0) close(fd_);
}

Duration WaitTime::read() noexcept
{
    if (fd_ < 0) fd_ = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
    char text[64] = "";
    const auto n = fd_ < 0 ? -1 : pread(fd_, text, sizeof text - 1, 0);
    long long ran = 0, waited = 0;
    return n > 0 && std::sscanf(text, "%lld %lld", &ran, &waited) == 2 ? Duration{waited} : Duration{};
}

std::uint64_t thread_page_faults(pid_t thread)
{
    // After the name, which may hold anything: state, six numbers, then minor faults, those of children, major faults.
    std::ifstream in(fmt::format("/proc/self/task/{}/stat", thread));
    std::string text;
    std::getline(in, text);
    char state = 0;
    unsigned long long minor = 0, major = 0;
    const auto name_end = text.rfind(')');
    if (name_end == std::string::npos ||
        std::sscanf(text.c_str() + name_end + 1, " %c %*s %*s %*s %*s %*s %*s %llu %*s %llu", &state, &minor, &major) !=
            3)
        return 0;
    return minor + major;
}

void exact_timers() { prctl(PR_SET_TIMERSLACK, 1); }

LcoreRegistration::LcoreRegistration() : registered_(rte_lcore_id() == LCORE_ID_ANY && rte_thread_register() == 0) {}

LcoreRegistration::~LcoreRegistration()
{
    if (registered_) rte_thread_unregister();
}

}  // namespace culvert::io
