#include "dataplane/io/guardian.h"

#include "base/descriptor.h"
#include "dataplane/io/netdev.h"
#include "dataplane/io/silence.h"

#include <fmt/format.h>

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>
#include <thread>
#include <utility>
#include <vector>

namespace culvert::io {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

// How long a guardian of a daemon that has gone is waited for.
constexpr auto kPatience = 3s;

enum class Order : std::uint8_t { Take, Release, SetMtu };

// One request; the caller's network namespace comes with it as a descriptor. The answer is a text, " " for success.
struct Request {
    Order order;
    bool force;
    std::uint16_t mtu;
    char device[16];
};

// The lock on a netdev: an abstract socket, so that it is one a network namespace and goes with its holder.
struct LockName {
    sockaddr_un address{};
    socklen_t length = 0;

    explicit LockName(int ifindex)
    {
        address.sun_family = AF_UNIX;
        const std::string name = fmt::format("culvert-port-{}", ifindex);
        name.copy(address.sun_path + 1, sizeof address.sun_path - 1);
        length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
    }
    const sockaddr* get() const noexcept { return reinterpret_cast<const sockaddr*>(&address); }
};

Descriptor try_lock(int ifindex)
{
    Descriptor s{socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)};
    const LockName name{ifindex};
    if (!s || bind(s.get(), name.get(), name.length) != 0 || listen(s.get(), 8) != 0) return Descriptor{};
    return s;
}

// The daemon that holds the netdev, as its guardian says; 0 when there is none or it is just going.
pid_t holder(int ifindex)
{
    const Descriptor s{socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)};
    const LockName name{ifindex};
    const timeval limit{0, 500'000};
    if (!s || setsockopt(s.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) != 0 ||
        connect(s.get(), name.get(), name.length) != 0)
        return 0;
    pid_t pid = 0;
    if (recv(s.get(), &pid, sizeof pid, 0) != static_cast<ssize_t>(sizeof pid)) return 0;
    return pid;
}

// A killed process keeps its descriptors for a while (a large one for a tenth of a second): it is dying when it has
// begun to exit or SIGKILL waits for it. proc(5): `flags` is the ninth field of stat; PF_EXITING is 4.
bool dying(pid_t pid)
{
    std::ifstream stat(fmt::format("/proc/{}/stat", pid));
    std::string line;
    if (!std::getline(stat, line)) return true;
    std::istringstream fields(line.substr(line.rfind(')') + 1));
    std::string state, skip;
    unsigned long flags = 0;
    fields >> state;
    for (int i = 4; i < 9; ++i) fields >> skip;
    fields >> flags;
    if (state == "Z" || state == "X" || (flags & 4) != 0) return true;

    std::ifstream status(fmt::format("/proc/{}/status", pid));
    while (std::getline(status, line)) {
        if (line.starts_with("SigPnd:") || line.starts_with("ShdPnd:")) {
            const auto pending = std::strtoull(line.c_str() + 7, nullptr, 16);
            if ((pending >> (SIGKILL - 1) & 1) != 0) return true;
        }
    }
    return false;
}

Result<Descriptor, std::string> lock_netdev(const Netdev& device)
{
    const auto give_up = Clock::now() + kPatience;
    for (;;) {
        Descriptor lock = try_lock(device.index);
        if (lock) return lock;
        if (errno != EADDRINUSE) return Error{fmt::format("{}: lock: {}", device.name, std::strerror(errno))};
        const pid_t pid = holder(device.index);
        if (pid != 0 && !dying(pid))
            return Error{
                fmt::format("{} is in use by another culvertd (process {}); stop that one, or use another device",
                            device.name, pid)};
        if (Clock::now() >= give_up)
            return Error{
                fmt::format("{} is still being given back by a culvertd that has ended; try again", device.name)};
        std::this_thread::sleep_for(5ms);
    }
}

// ---- the guardian's own process -------------------------------------------------------------------------------------

struct Taken {
    std::string name;
    Descriptor netns;
    Descriptor lock;
    NetdevState state;
    Silence silence;
};

// What ps and pgrep show: neither the daemon's name nor its arguments.
void change_name()
{
    static constexpr char kName[] = "culvert-guard";
    prctl(PR_SET_NAME, kName);
    std::ifstream stat("/proc/self/stat");
    std::string line;
    if (!std::getline(stat, line)) return;
    std::istringstream fields(line.substr(line.rfind(')') + 1));
    std::string skip;
    for (int i = 3; i < 48; ++i) fields >> skip;
    std::uintptr_t start = 0, end = 0;
    fields >> start >> end;
    if (!fields || end <= start) return;
    auto* args = reinterpret_cast<char*>(start);
    std::memset(args, 0, end - start);
    std::memcpy(args, kName, std::min(sizeof kName - 1, end - start - 1));
}

class Process {
public:
    Process(int socket, pid_t daemon) : socket_(socket), daemon_(daemon) {}

    [[noreturn]] void run()
    {
        for (;;) {
            std::vector<pollfd> fds{{socket_, POLLIN, 0}};
            for (const auto& t : taken_) fds.push_back({t->lock.get(), POLLIN, 0});
            if (poll(fds.data(), fds.size(), -1) < 0) continue;
            if (fds[0].revents != 0 && !serve()) break;
            for (std::size_t i = 1; i < fds.size(); ++i)
                if (fds[i].revents != 0) tell_holder(fds[i].fd);
        }
        while (!taken_.empty()) give_back(taken_.size() - 1);
        _exit(0);
    }

private:
    // False: the daemon is gone.
    bool serve()
    {
        Request request{};
        iovec io{&request, sizeof request};
        alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
        msghdr message{};
        message.msg_iov = &io;
        message.msg_iovlen = 1;
        message.msg_control = control.data();
        message.msg_controllen = control.size();
        const auto n = recvmsg(socket_, &message, MSG_CMSG_CLOEXEC);
        if (n < 0 && errno == EINTR) return true;
        if (n != static_cast<ssize_t>(sizeof request)) return false;
        Descriptor netns;
        if (const cmsghdr* c = CMSG_FIRSTHDR(&message); c && c->cmsg_type == SCM_RIGHTS) {
            int fd;
            std::memcpy(&fd, CMSG_DATA(c), sizeof fd);
            netns = Descriptor{fd};
        }
        request.device[sizeof request.device - 1] = 0;
        const std::string answer = handle(request, std::move(netns));
        return send(socket_, answer.data(), answer.size(), MSG_NOSIGNAL) >= 0;
    }

    std::string handle(const Request& request, Descriptor netns)
    {
        const std::string name = request.device;
        switch (request.order) {
            case Order::Take: return take(request, std::move(netns));
            case Order::Release:
                for (std::size_t i = 0; i < taken_.size(); ++i)
                    if (taken_[i]->name == name) {
                        give_back(i);
                        break;
                    }
                return " ";
            case Order::SetMtu:
                for (const auto& t : taken_)
                    if (t->name == name) {
                        if (setns(t->netns.get(), CLONE_NEWNET) != 0) return std::strerror(errno);
                        const auto done = set_netdev_mtu(t->state.device(), request.mtu);
                        return done ? " " : done.error();
                    }
                return name + " is not a port";
        }
        return "unknown order";
    }

    std::string take(const Request& request, Descriptor netns)
    {
        if (!netns || setns(netns.get(), CLONE_NEWNET) != 0)
            return fmt::format("{}: its network namespace can't be entered: {}", request.device, std::strerror(errno));
        const auto device = find_usable_netdev(request.device, true);
        if (!device) return device.error();
        // Its default route and the rest are looked at under the lock: another guardian may be just giving them back.
        auto lock = lock_netdev(*device);
        if (!lock) return lock.error();
        const auto now = find_usable_netdev(request.device, request.force);
        if (!now) return now.error();

        // Silence first: a device that comes up makes the kernel speak.
        auto silence = Silence::impose(request.device, now->index);
        if (!silence) return silence.error();
        auto state = NetdevState::put_aside(*now);
        if (!state) return state.error();
        if (request.mtu != 0 && request.mtu != now->mtu)
            if (const auto done = set_netdev_mtu(*now, request.mtu); !done) {
                state->restore();
                return done.error();
            }
        taken_.push_back(std::make_unique<Taken>(
            Taken{request.device, std::move(netns), std::move(*lock), std::move(*state), std::move(*silence)}));
        return " ";
    }

    void give_back(std::size_t i)
    {
        const auto t = std::move(taken_[i]);
        taken_.erase(taken_.begin() + static_cast<std::ptrdiff_t>(i));
        if (setns(t->netns.get(), CLONE_NEWNET) != 0) return;
        // The members go in the right order: first the silence, so that the kernel may speak of the addresses that come
        // back (duplicate detection), the lock last.
        {
            const Silence ended = std::move(t->silence);
        }
        t->state.restore();
    }

    void tell_holder(int lock) const
    {
        const Descriptor asking{accept4(lock, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK)};
        if (asking) send(asking.get(), &daemon_, sizeof daemon_, MSG_NOSIGNAL);
    }

    int socket_;
    pid_t daemon_;
    std::vector<std::unique_ptr<Taken>> taken_;
};

[[noreturn]] void guardian_main(int socket, pid_t daemon)
{
    setsid();
    struct sigaction ignore {};
    ignore.sa_handler = SIG_IGN;
    for (const int s :
         {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGPIPE, SIGUSR1, SIGUSR2, SIGALRM, SIGTSTP, SIGTTIN, SIGTTOU})
        sigaction(s, &ignore, nullptr);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);
    [[maybe_unused]] const int changed = chdir("/");

    // Standard descriptors to /dev/null, the socket to 3, all else closed.
    constexpr int kSocket = 3;
    const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (socket != kSocket) dup2(socket, kSocket);
    for (int fd = 0; fd < 3; ++fd) dup2(null, fd);
    close_range(kSocket + 1, ~0U, 0);
    fcntl(kSocket, F_SETFD, FD_CLOEXEC);
    change_name();
    Process{kSocket, daemon}.run();
}

}  // namespace

Result<std::unique_ptr<Guardian>, std::string> Guardian::start()
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
        return Error{fmt::format("the guardian's socket: {}", std::strerror(errno))};
    const pid_t daemon = getpid();
    const pid_t pid = fork();
    if (pid < 0) {
        const int e = errno;
        close(pair[0]);
        close(pair[1]);
        return Error{fmt::format("the guardian can't be started: {}", std::strerror(e))};
    }
    if (pid == 0) guardian_main(pair[1], daemon);
    close(pair[1]);
    return std::unique_ptr<Guardian>{new Guardian{pid, pair[0]}};
}

Guardian::~Guardian()
{
    close(socket_);
    int status;
    while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {}
}

Result<void, std::string> Guardian::ask(int order, const std::string& device, std::uint16_t mtu, bool force)
{
    const std::lock_guard lock{mutex_};
    Request request{};
    if (device.size() >= sizeof request.device)
        return Error{fmt::format("\"{}\" can't be a network device: names have 1 to 15 letters", device)};
    request.order = static_cast<Order>(order);
    request.mtu = mtu;
    request.force = force;
    device.copy(request.device, sizeof request.device - 1);

    const Descriptor netns{open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC)};
    if (!netns) return Error{fmt::format("/proc/thread-self/ns/net: {}", std::strerror(errno))};
    iovec io{&request, sizeof request};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
    msghdr message{};
    message.msg_iov = &io;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* c = CMSG_FIRSTHDR(&message);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    const int fd = netns.get();
    std::memcpy(CMSG_DATA(c), &fd, sizeof fd);

    std::array<char, 1024> answer;
    ssize_t n = sendmsg(socket_, &message, MSG_NOSIGNAL);
    if (n >= 0) do
            n = recv(socket_, answer.data(), answer.size(), 0);
        while (n < 0 && errno == EINTR);
    if (n <= 0)
        return Error{fmt::format("{}: culvert's guardian process ({}) is gone; start culvertd again", device, pid_)};
    // Success is a blank: an empty packet would look like the end.
    if (n == 1) return {};
    return Error{std::string(answer.data(), static_cast<std::size_t>(n))};
}

Result<void, std::string> Guardian::take(const TakeRequest& request)
{
    return ask(static_cast<int>(Order::Take), request.device, request.mtu, request.force);
}

void Guardian::release(const std::string& device)
{
    [[maybe_unused]] const auto gone = ask(static_cast<int>(Order::Release), device, 0, false);
}

Result<void, std::string> Guardian::set_mtu(const std::string& device, std::uint16_t mtu)
{
    return ask(static_cast<int>(Order::SetMtu), device, mtu, false);
}

Result<void, std::string> check_netdev(const std::string& device, bool force)
{
    const auto found = find_usable_netdev(device, force);
    if (!found) return Error{found.error()};
    const pid_t pid = holder(found->index);
    if (pid != 0 && pid != getpid() && !dying(pid))
        return Error{fmt::format("{} is in use by another culvertd (process {}); stop that one, or use another device",
                                 device, pid)};
    return {};
}

}  // namespace culvert::io
