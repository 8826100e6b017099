#pragma once

#include "dataplane/io/clock.h"
#include "dataplane/io/guardian.h"
#include "dataplane/io/port.h"
#include "tests/unit/io/lab.h"

#include <gtest/gtest.h>
#include <rte_mempool.h>

#include <sys/wait.h>

#include <csignal>
#include <functional>
#include <memory>
#include <string>
#include <thread>

// What the tests of ports have in common; main() is in port_test_main.cc.
namespace culvert::io {

using lab::Namespace;

inline std::string holder_path;
inline Guardian* guardian = nullptr;
inline rte_mempool* pool = nullptr;

inline bool eventually(const std::function<bool()>& condition, Duration limit = 3s)
{
    const TimePoint end = monotonic_now() + limit;
    while (!condition()) {
        if (monotonic_now() > end) return false;
        std::this_thread::sleep_for(2ms);
    }
    return true;
}

inline api::PortSpec kernel(const std::string& device, std::uint16_t mtu = 1500)
{
    api::PortSpec spec;
    spec.device = device;
    spec.mtu = mtu;
    return spec;
}

inline Result<std::unique_ptr<Port>, api::PortError> open_in(const Namespace& ns, const api::PortSpec& spec,
                                                             std::uint16_t id = kFirstOwnPort, std::uint16_t queues = 1)
{
    Result<std::unique_ptr<Port>, api::PortError> result{nullptr};
    ns.inside([&] {
        PortOptions options;
        options.own_id = PortId{id};
        options.queues = queues;
        options.pool = pool;
        options.guardian = guardian;
        result = open_port(spec, options);
    });
    return result;
}

// Another process that holds a port, or just EAL.
class Holder {
public:
    Holder(const Namespace* ns, const std::string& mode, const std::string& device = {})
    {
        int in[2], out[2];
        EXPECT_EQ(pipe2(in, O_CLOEXEC), 0);
        EXPECT_EQ(pipe2(out, O_CLOEXEC), 0);
        std::string ns_path = ns ? "/run/netns/" + ns->name() : std::string();
        pid_ = vfork();
        if (pid_ == 0) {
            dup2(in[0], 0);
            dup2(out[1], 1);
            if (!ns_path.empty()) {
                const int fd = open(ns_path.c_str(), O_RDONLY | O_CLOEXEC);
                if (setns(fd, CLONE_NEWNET) != 0) _exit(9);
            }
            execl(holder_path.c_str(), "holder", mode.c_str(), device.empty() ? nullptr : device.c_str(), nullptr);
            _exit(8);
        }
        close(in[0]);
        close(out[1]);
        in_ = in[1];
        out_ = out[0];
    }
    ~Holder()
    {
        close(in_);
        close(out_);
        if (pid_ > 0) waitpid(pid_, nullptr, 0);
    }
    std::string line()
    {
        std::string text;
        char c;
        while (read(out_, &c, 1) == 1 && c != '\n') text += c;
        return text;
    }
    void kill_hard()
    {
        kill(pid_, SIGKILL);
        waitpid(pid_, nullptr, 0);
        pid_ = -1;
    }
    // The guardian among its children.
    std::string guardian() const { return lab::output(fmt::format("ps -o pid=,comm=,args= --ppid {}", pid_)); }
    pid_t pid() const { return pid_; }

private:
    pid_t pid_ = -1;
    int in_, out_;
};

class PortTest : public testing::Test {
protected:
    void SetUp() override
    {
        if (geteuid() != 0) GTEST_SKIP() << "needs root: network namespaces and packet sockets";
    }
};

}  // namespace culvert::io
