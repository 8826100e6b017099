#include "dataplane/io/link_watch.h"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>

namespace culvert::io {

LinkWatch::LinkWatch() : fd_(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE))
{
    sockaddr_nl all{};
    all.nl_family = AF_NETLINK;
    all.nl_groups = RTMGRP_LINK;
    if (fd_ >= 0 && bind(fd_, reinterpret_cast<const sockaddr*>(&all), sizeof all) != 0) {
        close(fd_);
        fd_ = -1;
    }
}

LinkWatch::~LinkWatch()
{
    if (fd_ >= 0) close(fd_);
}

bool LinkWatch::changed() noexcept
{
    if (fd_ < 0) return true;
    // What the messages say does not matter, only that there were some; nor does it if some were lost (ENOBUFS).
    bool any = false;
    std::array<std::uint8_t, 64> first;
    for (;;) {
        const auto n = recv(fd_, first.data(), first.size(), MSG_TRUNC);
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return any;
        if (n < 0 && errno != EINTR && errno != ENOBUFS) return true;
        any = true;
    }
}

}  // namespace culvert::io
