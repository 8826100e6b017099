#pragma once

#include "base/ip.h"
#include "base/result.h"
#include "controlplane/runtime/namespace.h"

#include <cstdint>
#include <optional>
#include <string>

namespace culvert::runtime {

// How a BGP neighbour's TCP connection is made safe and reaches its peer.
struct TcpOptions {
    int ttl = 255;                   // of what we send
    std::optional<int> minimum_ttl;  // RFC 5082: less is not even acknowledged
    std::string md5_key;             // RFC 2385; empty: none
    std::uint32_t scope = 0;         // of link-local addresses: the index of their interface in the namespace
};

// A listening socket on `port` of every address of the namespace, one a family.
Result<Descriptor, SystemError> tcp_listen(const Namespace& ns, Family family, std::uint16_t port);

// The key that a listener asks of `peer`; an empty one takes it away.
Result<void, SystemError> tcp_set_md5(int socket, const IpAddress& peer, const std::string& key);
Result<void, SystemError> tcp_set_ttl(int socket, Family family, const TcpOptions& options);

// Starts to connect; the socket becomes writable when it is decided, tcp_error() then says how.
Result<Descriptor, SystemError> tcp_connect(const Namespace& ns, const std::optional<IpAddress>& local,
                                            const Endpoint& remote, const TcpOptions& options);
int tcp_error(int socket) noexcept;

struct Accepted {
    Descriptor socket;
    Endpoint local;
    Endpoint remote;
    std::uint32_t scope = 0;  // of a link-local remote address
};
std::optional<Accepted> tcp_accept(int listener);
std::optional<Endpoint> tcp_local(int socket);

}  // namespace culvert::runtime
