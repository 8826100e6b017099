#pragma once

#include "base/result.h"
#include "dataplane/io/netlink.h"

#include <optional>
#include <string>

namespace culvert::io {

// The mark on the frames that our own sockets send (SO_MARK): all others are dropped on a silenced device.
inline constexpr unsigned kOwnMark = 0xc01;

// Keeps the kernel's stack from hearing and speaking on a netdev, while packet sockets go on working. Ends with the
// object, or with the process: the rules belong to its socket (an nf_tables table with an owner), or hang on its
// descriptors (tcx links, Linux 6.6).
class Silence {
public:
    // In the calling thread's network namespace.
    static Result<Silence, std::string> impose(const std::string& device, int ifindex);
    ~Silence();
    Silence(Silence&& other) noexcept;
    Silence& operator=(Silence&&) = delete;

private:
    Silence() = default;
    int by_nftables(const std::string& device, int ifindex);
    int by_tcx(int ifindex);

    std::optional<NetlinkSocket> owner_;
    int ingress_link_ = -1;
    int egress_link_ = -1;
};

}  // namespace culvert::io
