#include "controlplane/runtime/bgp_transport.h"

#include "base/log.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

namespace culvert::runtime {
namespace {

constexpr std::size_t kReadChunk = 128 << 10;
constexpr std::size_t kSendBuffer = 512 << 10;
// While a connection can't even be begun: the host link has not got our address yet, or there is no route.
constexpr Duration kLocalRetry = std::chrono::seconds{1};

// One for all sessions: the loop is one thread, and the engine copies what it keeps.
std::vector<std::uint8_t>& read_buffer()
{
    static std::vector<std::uint8_t> buffer(kReadChunk);
    return buffer;
}

}  // namespace

BgpTransport::BgpTransport(Loop& loop, bgp::SessionConfig config, bgp::SessionEvents& events, std::uint64_t seed,
                           FindPath find_path, Writable writable)
    : loop_(loop),
      find_path_(std::move(find_path)),
      writable_(std::move(writable)),
      session_(std::move(config), events, seed),
      timer_(loop,
             [this] {
                 // A hold time is judged by what has arrived, not by what a busy thread has not read yet.
                 for (const auto side : bgp::kSides) {
                     while (at(side).socket && !at(side).connecting && read_some(side)) {}
                 }
                 perform(session_.on_time(now()));
             }),
      no_path_(loop,
               [this] {
                   perform(session_.on_connect_failed(now()));
                   retry_.set(now() + kLocalRetry);
               }),
      retry_(loop, [this] { on_reachable(); })
{}

void BgpTransport::start(Duration delay) { perform(session_.on_start(now(), delay)); }

void BgpTransport::stop(const bgp::Stop& stop) { perform(session_.on_stop(stop, now())); }

bool BgpTransport::offer(Accepted accepted, const TcpOptions& options)
{
    if (!session_.accepts_incoming()) return false;
    if (!tcp_set_ttl(accepted.socket.get(), accepted.remote.address.family, options)) return false;
    drop(bgp::Side::Incoming);
    auto& c = at(bgp::Side::Incoming);
    c.socket = std::move(accepted.socket);
    c.watch = loop_.watch(c.socket.get(), EPOLLIN, [this](std::uint32_t e) { on_event(bgp::Side::Incoming, e); });
    perform(session_.on_connected(bgp::Side::Incoming, accepted.local, accepted.remote, now()));
    return true;
}

std::size_t BgpTransport::queued() const noexcept
{
    std::size_t n = 0;
    for (const auto& c : connections_) n += c.out.size() - c.written;
    return n;
}

std::size_t BgpTransport::room() const noexcept
{
    if (!session_.established()) return 0;
    const auto used = queued();
    return used < kSendBuffer ? kSendBuffer - used : 0;
}

void BgpTransport::send_updates(std::vector<std::uint8_t> messages)
{
    perform(session_.send_updates(std::move(messages), now()));
}

void BgpTransport::on_reachable() { perform(session_.on_reachable(now())); }

std::optional<std::uint16_t> BgpTransport::socket_mss() const
{
    if (!session_.established()) return std::nullopt;
    int mss = 0;
    socklen_t length = sizeof mss;
    const auto& c = at(session_.established()->side);
    if (!c.socket || getsockopt(c.socket.get(), IPPROTO_TCP, TCP_MAXSEG, &mss, &length) != 0) return std::nullopt;
    return static_cast<std::uint16_t>(mss);
}

void BgpTransport::perform(bgp::Output output)
{
    // A connection that fails while it is written makes the session ask for more; so this is a loop, not a recursion.
    for (const auto side : bgp::kSides) {
        auto& bytes = output.send[static_cast<std::size_t>(side)];
        auto& c = at(side);
        if (bytes.empty() || !c.socket) continue;
        if (c.written == c.out.size()) {
            c.out = std::move(bytes);
            c.written = 0;
        } else {
            c.out.insert(c.out.end(), bytes.begin(), bytes.end());
        }
    }
    for (const auto side : bgp::kSides) {
        if (at(side).socket && !at(side).connecting && !write_some(side) &&
            !output.close[static_cast<std::size_t>(side)]) {
            // The error shows as EPOLLHUP or EPOLLERR at the next turn and ends the connection there.
            at(side).out.clear();
            at(side).written = 0;
        }
        if (output.close[static_cast<std::size_t>(side)]) drop(side);
    }
    if (output.connect) connect();
    rearm();
}

void BgpTransport::rearm() { timer_.set(session_.next_deadline()); }

void BgpTransport::connect()
{
    const auto path = find_path_();
    if (!path || !path->ns) {
        no_path_.set(now());
        return;
    }
    auto socket = tcp_connect(*path->ns, path->local, path->remote, path->options);
    if (!socket) {
        log::debug("bgp", "{}: {}", path->remote.address.to_string(), socket.error().message);
        no_path_.set(now());
        return;
    }
    drop(bgp::Side::Outgoing);
    auto& c = at(bgp::Side::Outgoing);
    c.socket = std::move(*socket);
    c.connecting = true;
    c.watch =
        loop_.watch(c.socket.get(), EPOLLIN | EPOLLOUT, [this](std::uint32_t e) { on_event(bgp::Side::Outgoing, e); });
}

void BgpTransport::drop(bgp::Side side)
{
    auto& c = at(side);
    c.watch.reset();
    if (c.socket && !c.connecting) {
        // Closed with unread input the kernel resets the connection, and our NOTIFICATION may be lost with it.
        shutdown(c.socket.get(), SHUT_WR);
        for (int i = 0; i < 16 && recv(c.socket.get(), read_buffer().data(), read_buffer().size(), 0) > 0; ++i) {}
    }
    c.socket.reset();
    c.connecting = false;
    c.out.clear();
    c.out.shrink_to_fit();
    c.written = 0;
}

void BgpTransport::on_event(bgp::Side side, std::uint32_t events)
{
    auto& c = at(side);
    if (c.connecting) {
        const int error = tcp_error(c.socket.get());
        const auto local = tcp_local(c.socket.get());
        const auto path = find_path_();
        if (error != 0 || !local || !path || (events & (EPOLLERR | EPOLLHUP)) != 0) {
            drop(side);
            perform(session_.on_connect_failed(now()));
            return;
        }
        if ((events & EPOLLOUT) == 0) return;
        c.connecting = false;
        c.watch.set_events(EPOLLIN);
        perform(session_.on_connected(side, *local, path->remote, now()));
        return;
    }
    if ((events & (EPOLLIN | EPOLLERR | EPOLLHUP)) != 0) read_some(side);
    if ((events & EPOLLOUT) != 0 && at(side).socket && write_some(side) && room() > 0) writable_();
}

bool BgpTransport::read_some(bgp::Side side)
{
    auto& c = at(side);
    auto& buffer = read_buffer();
    const auto n = recv(c.socket.get(), buffer.data(), buffer.size(), 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return false;
    if (n <= 0) {
        drop(side);
        perform(session_.on_closed(side, now()));
        return false;
    }
    perform(session_.on_bytes(side, Bytes{buffer}.first(static_cast<std::size_t>(n)), now()));
    return static_cast<bool>(at(side).socket);
}

bool BgpTransport::write_some(bgp::Side side)
{
    auto& c = at(side);
    while (c.written < c.out.size()) {
        const auto n = ::send(c.socket.get(), c.out.data() + c.written, c.out.size() - c.written, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && errno == EAGAIN) {
            c.watch.set_events(EPOLLIN | EPOLLOUT);
            return true;
        }
        if (n < 0) return false;
        c.written += static_cast<std::size_t>(n);
    }
    c.out.clear();
    c.written = 0;
    c.watch.set_events(EPOLLIN);
    return true;
}

}  // namespace culvert::runtime
