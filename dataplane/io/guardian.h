#pragma once

#include "base/result.h"

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>

namespace culvert::io {

// How a netdev is to be while it is ours.
struct TakeRequest {
    std::string device;
    std::uint16_t mtu = 0;  // 0: as it is
    bool force = false;     // although it holds the machine's default route
};

// A small process beside the daemon ("culvert-guard") that takes kernel netdevs and gives them back: it saves
// addresses, routes, MTU, flags, IPv6 and offload settings, silences the kernel's stack on the device, and undoes it
// all on release(), or when the daemon is gone however it went (kill -9 too). It holds nothing else of the daemon's and
// ignores its signals. One netdev has at most one guardian, in any process: a guardian that is still cleaning up is
// waited for.
//
// start() forks: call it first thing in main, before EAL and before any thread.
class Guardian {
public:
    static Result<std::unique_ptr<Guardian>, std::string> start();
    ~Guardian();  // everything is given back when this returns
    Guardian(const Guardian&) = delete;
    Guardian& operator=(const Guardian&) = delete;

    // In the calling thread's network namespace. The error names the device and the cure.
    Result<void, std::string> take(const TakeRequest& request);
    // Everything as it was before take(), when this returns.
    void release(const std::string& device);
    Result<void, std::string> set_mtu(const std::string& device, std::uint16_t mtu);

    int pid() const noexcept { return pid_; }

private:
    Guardian(int pid, int socket) : pid_(pid), socket_(socket) {}

    Result<void, std::string> ask(int order, const std::string& device, std::uint16_t mtu, bool force);

    int pid_;
    int socket_;
    std::mutex mutex_;
};

// What take() would say, without asking a guardian and without changing anything.
Result<void, std::string> check_netdev(const std::string& device, bool force);

}  // namespace culvert::io
