#include "config/shell/client.h"

#include <fmt/format.h>

#include <fcntl.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>

namespace culvert::config::shell {

Result<Client, std::string> Client::connect(const std::string& run_dir)
{
    const auto path = run_dir + "/" + std::string{kSocketName};
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path)
        return Error{fmt::format("{}: the path is too long for a socket", path)};
    path.copy(address.sun_path, path.size());

    Descriptor socket{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    if (!socket) return Error{fmt::format("no socket: {}", std::strerror(errno))};
    if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0)
        return Client{std::move(socket)};

    switch (errno) {
        case ENOENT:
            return Error{
                fmt::format("can't connect to culvertd: there is no {}\n"
                            "Is it running? Start it with `culvertd -c FILE`, or name its folder with --run-dir.",
                            path)};
        case ECONNREFUSED:
            return Error{
                fmt::format("can't connect to culvertd: nobody listens at {}\n"
                            "It was running and is gone. Start it again with `culvertd -c FILE`.",
                            path)};
        case EACCES:
        case EPERM:
            return Error{
                fmt::format("can't connect to culvertd: no permission for {}\nRun culvert as root, or as a member of "
                            "the socket's group.",
                            path)};
        default: return Error{fmt::format("can't connect to culvertd at {}: {}", path, std::strerror(errno))};
    }
}

Result<std::string, std::string> Client::receive()
{
    while (true) {
        if (auto line = buffer_.next()) return *std::move(line);
        std::array<char, 16384> octets;
        constexpr std::size_t kMostDescriptors = 4;
        alignas(cmsghdr) std::array<char, CMSG_SPACE(kMostDescriptors * sizeof(int))> control;
        iovec part{octets.data(), octets.size()};
        msghdr message{};
        message.msg_iov = &part;
        message.msg_iovlen = 1;
        message.msg_control = control.data();
        message.msg_controllen = control.size();
        const auto n = ::recvmsg(socket_.get(), &message, MSG_CMSG_CLOEXEC);
        if (n < 0 && errno == EINTR) return Error{std::string{"interrupted"}};
        if (n < 0) return Error{fmt::format("the connection to culvertd is lost: {}", std::strerror(errno))};
        if (n == 0) return Error{std::string{"culvertd closed the connection"}};
        for (auto* header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header)) {
            if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
            const auto count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
            for (std::size_t i = 0; i < count; ++i) {
                int fd;
                std::memcpy(&fd, CMSG_DATA(header) + i * sizeof fd, sizeof fd);
                namespaces_.emplace_back(fd);
            }
        }
        if (!buffer_.append({octets.data(), static_cast<std::size_t>(n)}))
            return Error{std::string{"culvertd sent a message that is too long"}};
    }
}

Result<Done, std::string> Client::execute(std::string line, bool interactive, const Sinks& sinks)
{
    Request request;
    request.id = ++last_id_;
    request.line = std::move(line);
    request.interactive = interactive;
    const auto message = encode(request);
    for (std::size_t sent = 0; sent < message.size();) {
        const auto n = ::send(socket_.get(), message.data() + sent, message.size() - sent, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return Error{fmt::format("the connection to culvertd is lost: {}", std::strerror(errno))};
        sent += static_cast<std::size_t>(n);
    }

    int run_status = 0;
    while (true) {
        auto received = receive();
        if (!received) return Error{received.error()};
        auto reply = decode_reply(*received);
        if (!reply) return Error{fmt::format("culvertd is not understood: {}", reply.error().reason)};
        if (const auto* text = std::get_if<Text>(&*reply)) {
            if (text->id == request.id) sinks.text(text->text);
        } else if (const auto* run = std::get_if<Run>(&*reply)) {
            if (namespaces_.empty()) return Error{std::string{"culvertd sent a command without its namespace"}};
            auto network_namespace = std::move(namespaces_.front());
            namespaces_.pop_front();
            if (run->id == request.id) run_status = sinks.run(*run, std::move(network_namespace));
        } else {
            auto& done = std::get<Done>(*reply);
            if (done.id != request.id) continue;
            if (done.status == 0) done.status = run_status;
            return std::move(done);
        }
    }
}

int run_in_namespace(const Run& run, const Descriptor& network_namespace)
{
    std::vector<char*> argv;
    auto arguments = run.argv;
    for (auto& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);

    const auto child = ::fork();
    if (child < 0) {
        fmt::print(stderr, "no new process: {}\n", std::strerror(errno));
        return 1;
    }
    if (child == 0) {
        std::signal(SIGINT, SIG_DFL);
        if (::setns(network_namespace.get(), CLONE_NEWNET) != 0) {
            fmt::print(stderr, "can't enter the VRF's namespace: {}\n{}", std::strerror(errno),
                       errno == EPERM ? "Run culvert as root.\n" : "");
            std::_Exit(126);
        }
        ::execvp(argv[0], argv.data());
        fmt::print(stderr, "{}: {}\n", argv[0],
                   errno == ENOENT ? "there is no such program; install it" : std::strerror(errno));
        std::_Exit(127);
    }
    // ^C is the program's.
    struct sigaction ignore {};
    ignore.sa_handler = SIG_IGN;
    struct sigaction before {};
    ::sigaction(SIGINT, &ignore, &before);
    int status = 0;
    while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {}
    ::sigaction(SIGINT, &before, nullptr);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace culvert::config::shell
