#include "controlplane/runtime/tcp.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

namespace culvert::runtime {
namespace {

SystemError system_error(const std::string& what) { return {what + ": " + std::strerror(errno)}; }

struct SocketAddress {
    sockaddr_storage storage{};
    socklen_t length = 0;
};

SocketAddress to_kernel(const Endpoint& e, std::uint32_t scope = 0)
{
    SocketAddress out;
    if (e.address.is_v4()) {
        sockaddr_in in{};
        in.sin_family = AF_INET;
        in.sin_port = htons(e.port);
        std::memcpy(&in.sin_addr, e.address.octets().data(), 4);
        std::memcpy(&out.storage, &in, sizeof in);
        out.length = sizeof in;
    } else {
        sockaddr_in6 in{};
        in.sin6_family = AF_INET6;
        in.sin6_port = htons(e.port);
        if (e.address.is_link_local()) in.sin6_scope_id = scope;
        std::memcpy(&in.sin6_addr, e.address.octets().data(), 16);
        std::memcpy(&out.storage, &in, sizeof in);
        out.length = sizeof in;
    }
    return out;
}

std::optional<Endpoint> from_kernel(const sockaddr_storage& s)
{
    Endpoint e;
    if (s.ss_family == AF_INET) {
        sockaddr_in in;
        std::memcpy(&in, &s, sizeof in);
        e.address = Ipv4Address{ntohl(in.sin_addr.s_addr)};
        e.port = ntohs(in.sin_port);
        return e;
    }
    if (s.ss_family == AF_INET6) {
        sockaddr_in6 in;
        std::memcpy(&in, &s, sizeof in);
        Ipv6Address a;
        std::memcpy(a.octets.data(), &in.sin6_addr, 16);
        e.address = a;
        e.port = ntohs(in.sin6_port);
        return e;
    }
    return std::nullopt;
}

int kernel_family(Family f) { return f == Family::Ipv4 ? AF_INET : AF_INET6; }

bool set(int fd, int level, int option, int value) { return setsockopt(fd, level, option, &value, sizeof value) == 0; }

}  // namespace

Result<Descriptor, SystemError> tcp_listen(const Namespace& ns, Family family, std::uint16_t port)
{
    Descriptor fd = ns.inside(
        [&] { return Descriptor{socket(kernel_family(family), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)}; });
    if (!fd) return Error{system_error("socket")};
    set(fd.get(), SOL_SOCKET, SO_REUSEADDR, 1);
    if (family == Family::Ipv6) set(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, 1);
    Endpoint any;
    if (family == Family::Ipv6) any.address = Ipv6Address{};
    any.port = port;
    const auto at = to_kernel(any);
    if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&at.storage), at.length) != 0 || listen(fd.get(), 128) != 0)
        return Error{system_error("TCP port " + std::to_string(port))};
    return fd;
}

Result<void, SystemError> tcp_set_md5(int socket, const IpAddress& peer, const std::string& key)
{
    tcp_md5sig request{};
    const auto at = to_kernel({peer, 0});
    std::memcpy(&request.tcpm_addr, &at.storage, sizeof request.tcpm_addr);
    if (key.size() > sizeof request.tcpm_key)
        return Error{SystemError{"TCP-MD5 key is longer than " + std::to_string(sizeof request.tcpm_key) + " octets"}};
    request.tcpm_keylen = static_cast<std::uint16_t>(key.size());
    std::memcpy(request.tcpm_key, key.data(), key.size());
    const int rc = setsockopt(socket, IPPROTO_TCP, TCP_MD5SIG, &request, sizeof request);
    explicit_bzero(&request, sizeof request);
    // Taking away a key that is not there is no error to anyone.
    if (rc != 0 && !(key.empty() && errno == ENOENT)) return Error{system_error("TCP-MD5")};
    return {};
}

Result<void, SystemError> tcp_set_ttl(int socket, Family family, const TcpOptions& options)
{
    const bool v4 = family == Family::Ipv4;
    const int level = v4 ? IPPROTO_IP : IPPROTO_IPV6;
    // RFC 4271 (appendix) and every router since: internetwork control. The dataplane sends it ahead of data.
    constexpr int kInternetworkControl = 0xc0;
    set(socket, level, v4 ? IP_TOS : IPV6_TCLASS, kInternetworkControl);
    if (!set(socket, level, v4 ? IP_TTL : IPV6_UNICAST_HOPS, options.ttl)) return Error{system_error("TTL")};
    if (!set(socket, level, v4 ? IP_MINTTL : IPV6_MINHOPCOUNT, options.minimum_ttl.value_or(0)))
        return Error{system_error("ttl-security")};
    return {};
}

Result<Descriptor, SystemError> tcp_connect(const Namespace& ns, const std::optional<IpAddress>& local,
                                            const Endpoint& remote, const TcpOptions& options)
{
    const auto family = remote.address.family;
    Descriptor fd = ns.inside(
        [&] { return Descriptor{socket(kernel_family(family), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)}; });
    if (!fd) return Error{system_error("socket")};
    set(fd.get(), IPPROTO_TCP, TCP_NODELAY, 1);
    if (auto r = tcp_set_ttl(fd.get(), family, options); !r) return Error{r.error()};
    if (!options.md5_key.empty()) {
        if (auto r = tcp_set_md5(fd.get(), remote.address, options.md5_key); !r) return Error{r.error()};
    }
    if (local) {
        const auto at = to_kernel({*local, 0}, options.scope);
        if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&at.storage), at.length) != 0)
            return Error{system_error("source address " + local->to_string())};
    }
    const auto to = to_kernel(remote, options.scope);
    if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&to.storage), to.length) != 0 && errno != EINPROGRESS)
        return Error{system_error("connect to " + remote.to_string())};
    return fd;
}

int tcp_error(int socket) noexcept
{
    int error = 0;
    socklen_t length = sizeof error;
    if (getsockopt(socket, SOL_SOCKET, SO_ERROR, &error, &length) != 0) return errno;
    return error;
}

std::optional<Accepted> tcp_accept(int listener)
{
    sockaddr_storage from{};
    socklen_t length = sizeof from;
    Descriptor fd{accept4(listener, reinterpret_cast<sockaddr*>(&from), &length, SOCK_NONBLOCK | SOCK_CLOEXEC)};
    if (!fd) return std::nullopt;
    set(fd.get(), IPPROTO_TCP, TCP_NODELAY, 1);
    const auto remote = from_kernel(from);
    const auto local = tcp_local(fd.get());
    if (!remote || !local) return std::nullopt;
    std::uint32_t scope = 0;
    if (remote->address.is_v6() && remote->address.is_link_local()) {
        sockaddr_in6 in;
        std::memcpy(&in, &from, sizeof in);
        scope = in.sin6_scope_id;
    }
    return Accepted{std::move(fd), *local, *remote, scope};
}

std::optional<Endpoint> tcp_local(int socket)
{
    sockaddr_storage at{};
    socklen_t length = sizeof at;
    if (getsockname(socket, reinterpret_cast<sockaddr*>(&at), &length) != 0) return std::nullopt;
    return from_kernel(at);
}

}  // namespace culvert::runtime
