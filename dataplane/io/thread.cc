#include "dataplane/io/thread.h"

#include <fmt/format.h>
#include <rte_lcore.h>

#include <pthread.h>
#include <sched.h>
#include <sys/prctl.h>

#include <cerrno>
#include <cstring>

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

void exact_timers() { prctl(PR_SET_TIMERSLACK, 1); }

LcoreRegistration::LcoreRegistration() : registered_(rte_lcore_id() == LCORE_ID_ANY && rte_thread_register() == 0) {}

LcoreRegistration::~LcoreRegistration()
{
    if (registered_) rte_thread_unregister();
}

}  // namespace culvert::io
