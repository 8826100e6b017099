#include "controlplane/runtime/api_server.h"

#include "base/log.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>

namespace culvert::runtime {
namespace {

constexpr std::size_t kMaxClients = 64;
constexpr std::size_t kMaxRequests = 4096;  // that wait: a shell sends the next line when it has its answer
constexpr std::size_t kEnough = 256 << 10;  // octets that wait to be sent: no more text is made
constexpr std::size_t kPiece = 48 << 10;    // of text in one message

}  // namespace

Result<std::unique_ptr<ApiServer>, SystemError> ApiServer::open(Loop& loop, ConfigurationStore& store,
                                                                const std::string& path)
{
    const auto failed = [&] { return Error{SystemError{path + ": " + std::strerror(errno)}}; };
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path)
        return Error{SystemError{path + ": longer than a socket's name may be; choose a shorter --run-dir"}};
    path.copy(address.sun_path, path.size());
    Descriptor fd{socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)};
    if (!fd) return failed();
    // The run directory is locked by this process: a socket that is there was left by a dead one.
    unlink(path.c_str());
    // Nobody else may slip in between bind and chmod. One thread makes files here: the umask is the process's.
    const auto mask = umask(0177);
    const bool bound = bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
    umask(mask);
    if (!bound) return failed();
    if (chmod(path.c_str(), 0660) != 0 || listen(fd.get(), 16) != 0) return failed();
    return std::unique_ptr<ApiServer>{new ApiServer{loop, store, std::move(fd), path}};
}

ApiServer::ApiServer(Loop& loop, ConfigurationStore& store, Descriptor socket, std::string path)
    : loop_(loop), store_(store), socket_(std::move(socket)), path_(std::move(path))
{
    watch_ = loop_.watch(socket_.get(), EPOLLIN, [this](std::uint32_t) { accept_all(); });
}

ApiServer::~ApiServer() { unlink(path_.c_str()); }

void ApiServer::accept_all()
{
    while (true) {
        Descriptor fd{accept4(socket_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC)};
        if (!fd) return;
        if (clients_.size() >= kMaxClients) {
            log::warning("api", "more than {} shells at once: one was turned away", kMaxClients);
            continue;
        }
        ucred who{};
        socklen_t length = sizeof who;
        if (getsockopt(fd.get(), SOL_SOCKET, SO_PEERCRED, &who, &length) != 0) continue;
        log::debug("api", "shell of pid {} uid {}", who.pid, who.uid);
        const auto client = clients_.emplace(clients_.end(), store_);
        client->socket = std::move(fd);
        client->watch = loop_.watch(client->socket.get(), EPOLLIN,
                                    [this, client](std::uint32_t events) { on_event(client, events); });
    }
}

void ApiServer::queue(Client& client, const config::shell::Reply& reply, Descriptor ns)
{
    client.out.push_back({config::shell::encode(reply), 0, std::move(ns)});
}

void ApiServer::on_event(Clients::iterator client, std::uint32_t events)
{
    if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) {
        char buffer[65536];
        const auto n = recv(client->socket.get(), buffer, sizeof buffer, 0);
        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR) ||
            (n > 0 && !client->in.append({buffer, static_cast<std::size_t>(n)}))) {
            clients_.erase(client);
            return;
        }
        while (auto line = client->in.next()) client->requests.push_back(std::move(*line));
        if (client->requests.size() > kMaxRequests) {
            clients_.erase(client);
            return;
        }
    }
    work(client);
}

void ApiServer::work(Clients::iterator at)
{
    auto& client = *at;
    std::size_t waiting = 0;
    for (const auto& o : client.out) waiting += o.bytes.size() - o.sent;

    // One piece of text, or one request, a turn: others wait no longer than that.
    bool more = false;
    if (waiting < kEnough) {
        if (!client.answering && !client.requests.empty()) {
            const auto line = std::move(client.requests.front());
            client.requests.pop_front();
            begin(client, line);
        }
        if (client.answering) {
            std::string text;
            bool again = static_cast<bool>(client.producer);
            while (again && text.size() < kPiece) {
                const auto before = text.size();
                again = client.producer(text);
                if (text.size() == before) break;  // it prepares: let the loop turn
            }
            for (std::size_t i = 0; i < text.size(); i += kPiece)
                queue(client, config::shell::Text{client.id, text.substr(i, kPiece)});
            if (!again) finish(client);
        }
        more = client.answering || !client.requests.empty();
    }
    if (!flush(client)) {
        clients_.erase(at);
        return;
    }
    if (client.out.empty() && client.close && !client.answering) {
        clients_.erase(at);
        return;
    }
    // Writable means "go on" too: the loop comes back at once while the socket takes more.
    client.watch.set_events(EPOLLIN | (more || !client.out.empty() ? EPOLLOUT : 0U));
}

void ApiServer::begin(Client& client, const std::string& line)
{
    client.answering = true;
    client.status = 0;
    client.error.clear();
    client.producer = {};
    const auto request = config::shell::decode_request(line);
    if (!request) {
        client.id = 0;
        client.status = 1;
        client.error = "% " + request.error().reason + "\n";
        return;
    }
    client.id = request->id;
    if (request->version != config::shell::kProtocolVersion) {
        client.status = 1;
        client.error = "% The shell and culvertd are of different versions: restart the one that is older\n";
        return;
    }
    auto answer = client.session.execute(request->line);
    client.status = answer.status;
    client.error = std::move(answer.error);
    client.producer = std::move(answer.text);
    client.close = answer.close;
    if (answer.run) {
        answer.run->id = client.id;
        queue(client, *answer.run, Descriptor{fcntl(answer.ns->fd(), F_DUPFD_CLOEXEC, 0)});
    }
}

void ApiServer::finish(Client& client)
{
    config::shell::Done done;
    done.id = client.id;
    done.status = client.status;
    done.error = client.error;
    done.prompt = client.session.prompt();
    done.mode = client.session.mode();
    done.close = client.close;
    queue(client, done);
    client.answering = false;
    client.producer = {};
}

bool ApiServer::flush(Client& client)
{
    while (!client.out.empty()) {
        auto& o = client.out.front();
        iovec data{o.bytes.data() + o.sent, o.bytes.size() - o.sent};
        msghdr message{};
        message.msg_iov = &data;
        message.msg_iovlen = 1;
        alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
        if (o.ns && o.sent == 0) {
            message.msg_control = control;
            message.msg_controllen = sizeof control;
            auto* header = CMSG_FIRSTHDR(&message);
            header->cmsg_level = SOL_SOCKET;
            header->cmsg_type = SCM_RIGHTS;
            header->cmsg_len = CMSG_LEN(sizeof(int));
            const int fd = o.ns.get();
            std::memcpy(CMSG_DATA(header), &fd, sizeof fd);
        }
        const auto n = sendmsg(client.socket.get(), &message, MSG_NOSIGNAL);
        if (n < 0) return errno == EAGAIN || errno == EINTR;
        o.sent += static_cast<std::size_t>(n);
        if (o.sent < o.bytes.size()) return true;
        client.out.pop_front();
    }
    return true;
}

}  // namespace culvert::runtime
