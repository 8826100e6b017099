#include "controlplane/runtime/namespace.h"

#include "base/check.h"

#include <fcntl.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <thread>
#include <vector>

namespace culvert::runtime {
namespace {

SystemError system_error(const std::string& what) { return {what + ": " + std::strerror(errno)}; }

// Builds one rtnetlink request: header, fixed part, attributes.
class Request {
public:
    template <class Fixed>
    Request(std::uint16_t type, std::uint16_t flags, const Fixed& fixed)
    {
        nlmsghdr header{};
        header.nlmsg_type = type;
        header.nlmsg_flags = static_cast<std::uint16_t>(NLM_F_REQUEST | NLM_F_ACK | flags);
        append(&header, sizeof header);
        append(&fixed, sizeof fixed);
    }

    Request& attribute(std::uint16_t type, Bytes value)
    {
        rtattr a{};
        a.rta_type = type;
        a.rta_len = static_cast<std::uint16_t>(RTA_LENGTH(value.size()));
        append(&a, sizeof a);
        append(value.data(), value.size());
        return *this;
    }
    Request& attribute(std::uint16_t type, std::uint32_t value)
    {
        std::uint8_t raw[4];
        std::memcpy(raw, &value, 4);
        return attribute(type, Bytes{raw});
    }

    MutableBytes bytes()
    {
        const auto length = static_cast<std::uint32_t>(buffer_.size());
        std::memcpy(buffer_.data() + offsetof(nlmsghdr, nlmsg_len), &length, sizeof length);
        return buffer_;
    }

private:
    void append(const void* data, std::size_t size)
    {
        const auto* p = static_cast<const std::uint8_t*>(data);
        buffer_.insert(buffer_.end(), p, p + size);
        buffer_.resize(NLMSG_ALIGN(buffer_.size()));
    }

    std::vector<std::uint8_t> buffer_;
};

std::uint8_t kernel_family(Family f) { return f == Family::Ipv4 ? AF_INET : AF_INET6; }

}  // namespace

Result<Namespace, SystemError> Namespace::anonymous()
{
    // The thread's namespace dies with it unless a descriptor holds it.
    Descriptor fd;
    int bad = 0;
    std::thread{[&] {
        if (unshare(CLONE_NEWNET) != 0) {
            bad = errno;
            return;
        }
        fd = Descriptor{open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC)};
        if (!fd) bad = errno;
    }}.join();
    if (!fd) {
        errno = bad;
        return Error{system_error("can't make a network namespace")};
    }
    return Namespace{std::move(fd)};
}

Result<Namespace, SystemError> Namespace::named(const std::string& name)
{
    Descriptor fd{open(("/run/netns/" + name).c_str(), O_RDONLY | O_CLOEXEC)};
    if (!fd) return Error{system_error("network namespace " + name + " (make it with: ip netns add " + name + ")")};
    return Namespace{std::move(fd)};
}

Namespace::Visit::Visit(int ns) : home_(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC))
{
    CULVERT_CHECK(home_ && setns(ns, CLONE_NEWNET) == 0);
}

Namespace::Visit::~Visit() { CULVERT_CHECK(setns(home_.get(), CLONE_NEWNET) == 0); }

Result<Netlink, SystemError> Netlink::open(const Namespace& ns)
{
    Descriptor fd = ns.inside([] { return Descriptor{socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE)}; });
    if (!fd) return Error{system_error("netlink")};
    return Netlink{std::move(fd)};
}

Result<void, SystemError> Netlink::talk(MutableBytes message, const char* what)
{
    const std::uint32_t sequence = ++sequence_;
    std::memcpy(message.data() + offsetof(nlmsghdr, nlmsg_seq), &sequence, sizeof sequence);
    if (send(fd_.get(), message.data(), message.size(), 0) < 0) return Error{system_error(what)};

    std::array<std::uint8_t, 8192> buffer;
    while (true) {
        const auto n = recv(fd_.get(), buffer.data(), buffer.size(), 0);
        if (n < 0 && errno == EINTR) continue;
        nlmsghdr header;
        if (n < static_cast<ssize_t>(sizeof header + sizeof(int))) return Error{system_error(what)};
        std::memcpy(&header, buffer.data(), sizeof header);
        if (header.nlmsg_seq != sequence || header.nlmsg_type != NLMSG_ERROR) continue;
        int error;
        std::memcpy(&error, buffer.data() + NLMSG_HDRLEN, sizeof error);
        if (error == 0) return {};
        errno = -error;
        return Error{system_error(what)};
    }
}

Result<int, SystemError> Netlink::link_index(const std::string& name)
{
    // SIOCGIFINDEX works on any socket of the namespace.
    ifreq request{};
    name.copy(request.ifr_name, IFNAMSIZ - 1);
    if (ioctl(fd_.get(), SIOCGIFINDEX, &request) != 0) return Error{system_error(name)};
    return request.ifr_ifindex;
}

Result<void, SystemError> Netlink::set_up(int link, std::uint32_t mtu)
{
    ifinfomsg info{};
    info.ifi_index = link;
    info.ifi_flags = IFF_UP;
    info.ifi_change = IFF_UP;
    Request request{RTM_NEWLINK, 0, info};
    if (mtu != 0) request.attribute(IFLA_MTU, mtu);
    return talk(request.bytes(), "link up");
}

Result<void, SystemError> Netlink::add_address(int link, const IpAddress& address)
{
    ifaddrmsg info{};
    info.ifa_family = kernel_family(address.family);
    info.ifa_prefixlen = static_cast<std::uint8_t>(max_length(address.family));
    info.ifa_flags = IFA_F_NODAD;
    info.ifa_index = static_cast<unsigned>(link);
    Request request{RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, info};
    request.attribute(IFA_LOCAL, address.octets()).attribute(IFA_ADDRESS, address.octets());
    return talk(request.bytes(), "host link address");
}

Result<void, SystemError> Netlink::delete_address(int link, const IpAddress& address)
{
    ifaddrmsg info{};
    info.ifa_family = kernel_family(address.family);
    info.ifa_prefixlen = static_cast<std::uint8_t>(max_length(address.family));
    info.ifa_index = static_cast<unsigned>(link);
    Request request{RTM_DELADDR, 0, info};
    request.attribute(IFA_LOCAL, address.octets()).attribute(IFA_ADDRESS, address.octets());
    return talk(request.bytes(), "host link address");
}

Result<void, SystemError> Netlink::replace_route(int link, const IpPrefix& prefix, const IpAddress& source,
                                                 std::uint32_t mtu)
{
    rtmsg info{};
    info.rtm_family = kernel_family(prefix.family());
    info.rtm_dst_len = prefix.length;
    info.rtm_table = RT_TABLE_MAIN;
    info.rtm_protocol = RTPROT_STATIC;
    info.rtm_scope = prefix.family() == Family::Ipv4 ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
    info.rtm_type = RTN_UNICAST;
    Request request{RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, info};
    if (prefix.length > 0) request.attribute(RTA_DST, prefix.address.octets());
    request.attribute(RTA_OIF, static_cast<std::uint32_t>(link));
    if (!source.is_unspecified()) request.attribute(RTA_PREFSRC, source.octets());
    if (mtu != 0) {
        std::array<std::uint8_t, 8> metric{};
        const rtattr header{static_cast<unsigned short>(RTA_LENGTH(4)), RTAX_MTU};
        std::memcpy(metric.data(), &header, 4);
        std::memcpy(metric.data() + 4, &mtu, 4);
        request.attribute(RTA_METRICS, Bytes{metric});
    }
    return talk(request.bytes(), "host link route");
}

Result<void, SystemError> Netlink::delete_route(int link, const IpPrefix& prefix)
{
    rtmsg info{};
    info.rtm_family = kernel_family(prefix.family());
    info.rtm_dst_len = prefix.length;
    info.rtm_table = RT_TABLE_MAIN;
    info.rtm_scope = RT_SCOPE_NOWHERE;
    Request request{RTM_DELROUTE, 0, info};
    if (prefix.length > 0) request.attribute(RTA_DST, prefix.address.octets());
    request.attribute(RTA_OIF, static_cast<std::uint32_t>(link));
    return talk(request.bytes(), "host link route");
}

}  // namespace culvert::runtime
