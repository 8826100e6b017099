#pragma once

#include "base/descriptor.h"
#include "base/ip.h"
#include "base/result.h"

#include <cstdint>
#include <functional>
#include <string>

namespace culvert::runtime {

struct SystemError {
    std::string message;
};

// A network namespace, held by its descriptor. An anonymous one goes with the last descriptor: a killed daemon leaves
// nothing behind.
class Namespace {
public:
    static Result<Namespace, SystemError> anonymous();
    static Result<Namespace, SystemError> named(const std::string& name);  // /run/netns/NAME

    int fd() const noexcept { return fd_.get(); }

    // Runs `f` with the calling thread inside the namespace. Aborts if the thread can't come back: nothing of the
    // daemon may ever run in the wrong one.
    template <class F>
    auto inside(F&& f) const
    {
        const Visit visit{fd_.get()};
        return std::forward<F>(f)();
    }

private:
    class Visit {
    public:
        explicit Visit(int ns);
        ~Visit();

    private:
        Descriptor home_;
    };

    explicit Namespace(Descriptor fd) : fd_(std::move(fd)) {}
    Descriptor fd_;
};

// The kernel's configuration inside one namespace, by rtnetlink. All calls are synchronous and local.
class Netlink {
public:
    static Result<Netlink, SystemError> open(const Namespace& ns);

    Result<int, SystemError> link_index(const std::string& name);
    Result<void, SystemError> set_up(int link, std::uint32_t mtu);
    Result<void, SystemError> add_address(int link, const IpAddress& address);  // /32 or /128, no DAD
    Result<void, SystemError> delete_address(int link, const IpAddress& address);
    // On-link through `link`. `source` may be unspecified, `mtu` 0.
    Result<void, SystemError> replace_route(int link, const IpPrefix& prefix, const IpAddress& source,
                                            std::uint32_t mtu);
    Result<void, SystemError> delete_route(int link, const IpPrefix& prefix);

private:
    explicit Netlink(Descriptor fd) : fd_(std::move(fd)) {}
    Result<void, SystemError> talk(MutableBytes message, const char* what);
    Descriptor fd_;
    std::uint32_t sequence_ = 0;
};

}  // namespace culvert::runtime
