#pragma once

#include "controlplane/bgp/session.h"
#include "controlplane/runtime/loop.h"
#include "controlplane/runtime/tcp.h"

#include <array>
#include <functional>
#include <optional>
#include <vector>

namespace culvert::runtime {

// A BGP session's TCP connections: gives the engine what arrives and the time, and does what it asks for.
class BgpTransport {
public:
    // Where and how to connect. nullopt: there is no way now (no route, no address); it is asked again at each try.
    struct Path {
        const Namespace* ns = nullptr;
        std::optional<IpAddress> local;
        Endpoint remote;
        TcpOptions options;
    };
    using FindPath = std::function<std::optional<Path>()>;
    // Room in the send buffer: the RIB may give more UPDATEs.
    using Writable = std::function<void()>;

    BgpTransport(Loop& loop, bgp::SessionConfig config, bgp::SessionEvents& events, std::uint64_t seed,
                 FindPath find_path, Writable writable);
    BgpTransport(const BgpTransport&) = delete;
    BgpTransport& operator=(const BgpTransport&) = delete;

    bgp::Session& session() noexcept { return session_; }
    const bgp::Session& session() const noexcept { return session_; }

    void start(Duration delay = {});
    void stop(const bgp::Stop& stop);
    // An accepted connection from the neighbour; false: not wanted now, it is closed.
    bool offer(Accepted accepted, const TcpOptions& options);
    // A way to the neighbour has appeared: no need to wait for the ConnectRetry timer.
    void on_reachable();

    // Octets the send buffer takes before it is full; 0 while the session is down.
    std::size_t room() const noexcept;
    void send_updates(std::vector<std::uint8_t> messages);
    std::size_t queued() const noexcept;  // octets not yet taken by the kernel
    std::optional<std::uint16_t> socket_mss() const;

private:
    struct Connection {
        Descriptor socket;
        Loop::Watch watch;
        bool connecting = false;
        std::vector<std::uint8_t> out;
        std::size_t written = 0;  // of `out`
    };

    Connection& at(bgp::Side side) noexcept { return connections_[static_cast<std::size_t>(side)]; }
    const Connection& at(bgp::Side side) const noexcept { return connections_[static_cast<std::size_t>(side)]; }

    void perform(bgp::Output output);
    void connect();
    void on_event(bgp::Side side, std::uint32_t events);
    bool read_some(bgp::Side side);  // false: the connection is gone, or nothing was there
    bool write_some(bgp::Side side);
    void drop(bgp::Side side);
    void rearm();

    Loop& loop_;
    FindPath find_path_;
    Writable writable_;
    bgp::Session session_;
    std::array<Connection, 2> connections_;
    Loop::Timer timer_;
    Loop::Timer no_path_;  // tells the session after this turn: it must not be entered while it is being performed
    Loop::Timer retry_;    // nothing has left this box yet: no reason to wait as long as ConnectRetry
};

}  // namespace culvert::runtime
