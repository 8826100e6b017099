// A BGP speaker for tests and benchmarks of whole routers: feeds a table, or counts what arrives.
//
//   bgp-peer feed --peer A --local A --as N --peer-as N [--family 4|6] [--table FILE] [--prefixes N] [--prepend N]
//   bgp-peer sink --peer A --local A --as N --peer-as N [--family 4|6]
//
// One session, opened from here. Commands come on standard input, one a line; each is answered by at least one JSON
// line on standard output. Times ("t...") are seconds of CLOCK_MONOTONIC, so those of several processes compare.
//
//   open                     opens the session              -> "established"; later perhaps "down"
//   close, kill              ends it with a Cease; as a crash does -> "closed"
//   announce, withdraw       the whole table, packed by attribute set; End-of-RIB after announce
//   churn N                  N prefixes, none twice, one UPDATE each, with the attributes of another set; once after an
//                            announce, so that each is a change
//                            -> "start" when the messages are made and go out, "sent" when the kernel has taken them
//   sample N                 -> "sample": N prefixes of the table
//   mark                     counts and times of what arrives begin anew -> "marked"
//   until held|changes N, until from ASN N
//                            -> "reached" once so many prefixes are held, so many changes have arrived since the mark,
//                            or so many held prefixes came to the router from that AS
//   stats                    -> "stats"
//   quit
#include "controlplane/bgp/encode.h"
#include "controlplane/bgp/session.h"
#include "tests/support/full_table.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <numeric>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace culvert::support {
namespace {

TimePoint now()
{
    timespec t{};
    clock_gettime(CLOCK_MONOTONIC, &t);
    return TimePoint{std::chrono::seconds{t.tv_sec} + std::chrono::nanoseconds{t.tv_nsec}};
}

double seconds(TimePoint t) { return std::chrono::duration<double>(t.time_since_epoch()).count(); }

struct Options {
    bool feed = false;
    IpAddress peer, local;
    Asn as{}, peer_as{};
    Family family = Family::Ipv4;
    std::string table;
    std::size_t prefixes = 0;  // 0: all
    std::size_t prepend = 1;   // how often our AS leads a path
};

[[noreturn]] void usage()
{
    std::fputs(
        "usage: bgp-peer feed|sink --peer ADDRESS --local ADDRESS --as N --peer-as N [--family 4|6]\n"
        "       feed: [--table FILE] [--prefixes N] [--prepend N]\n",
        stderr);
    std::exit(2);
}

template <typename T>
T to_number(std::string_view text)
{
    T value{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size()) usage();
    return value;
}

IpAddress to_address(std::string_view text)
{
    const auto a = IpAddress::parse(text);
    if (!a) usage();
    return *a;
}

Options read_options(int argc, char** argv)
{
    Options o;
    if (argc < 2) usage();
    const std::string_view mode = argv[1];
    if (mode != "feed" && mode != "sink") usage();
    o.feed = mode == "feed";
    for (int i = 2; i < argc; i += 2) {
        if (i + 1 == argc) usage();
        const std::string_view key = argv[i], value = argv[i + 1];
        if (key == "--peer")
            o.peer = to_address(value);
        else if (key == "--local")
            o.local = to_address(value);
        else if (key == "--as")
            o.as = Asn{to_number<std::uint32_t>(value)};
        else if (key == "--peer-as")
            o.peer_as = Asn{to_number<std::uint32_t>(value)};
        else if (key == "--family")
            o.family = value == "6" ? Family::Ipv6 : Family::Ipv4;
        else if (key == "--table")
            o.table = value;
        else if (key == "--prefixes")
            o.prefixes = to_number<std::size_t>(value);
        else if (key == "--prepend")
            o.prepend = to_number<std::size_t>(value);
        else
            usage();
    }
    if (o.peer.is_unspecified() || o.local.is_unspecified() || o.peer.family != o.local.family) usage();
    return o;
}

FullTable make_table(const Options& o)
{
    if (!o.table.empty()) {
        auto table = read_table(o.table, o.family, o.prefixes == 0 ? SIZE_MAX : o.prefixes);
        if (!table) std::exit(1);
        return std::move(*table);
    }
    auto size = full_size(o.family);
    if (o.prefixes != 0 && o.prefixes != size.prefixes) {
        size.sets = std::max<std::size_t>(1, size.sets * o.prefixes / size.prefixes);
        size.prefixes = o.prefixes;
    }
    return synthetic_table(o.family, size);
}

// ---- what arrives
// -----------------------------------------------------------------------------------------------------

// The prefixes held, and from which AS behind the router. A prefix keeps its slot when it is withdrawn.
class Held {
public:
    Held() : slots_(1 << 16) { origins_.push_back({}); }

    void announce(const IpPrefix& prefix, std::size_t origin)
    {
        auto& slot = find(prefix);
        move(slot, origin);
    }
    void withdraw(const IpPrefix& prefix) { move(find(prefix), 0); }
    // Calls use(prefix) for each; the slots of the next ones are on their way from memory meanwhile.
    template <class Use>
    void each(const bgp::NlriRange& range, Use&& use)
    {
        std::array<IpPrefix, 32> batch;
        std::size_t n = 0;
        const auto flush = [&] {
            for (const auto& p : std::span{batch}.first(n)) use(p);
            n = 0;
        };
        for (const auto p : range) {
            __builtin_prefetch(&slots_[home(p.address.bits.high(), p.address.bits.low(), p.length)]);
            batch[n++] = p;
            if (n == batch.size()) flush();
        }
        flush();
    }
    void clear()
    {
        slots_.assign(slots_.size(), {});
        used_ = count_ = 0;
        for (auto& o : origins_) o.count = 0;
    }

    // The number announce() takes; never 0.
    std::size_t origin(Asn asn)
    {
        for (std::size_t i = 1; i < origins_.size(); ++i)
            if (origins_[i].asn == asn) return i;
        origins_.push_back({asn, 0});
        return origins_.size() - 1;
    }

    struct Origin {
        Asn asn{};
        std::size_t count = 0;
    };
    std::size_t count() const noexcept { return count_; }
    std::size_t count(Asn asn) const noexcept
    {
        for (const auto& o : origins_)
            if (o.asn == asn) return o.count;
        return 0;
    }
    std::span<const Origin> origins() const noexcept { return std::span{origins_}.subspan(1); }

private:
    struct Slot {
        std::uint64_t high = 0, low = 0;
        std::uint16_t length = kFree;
        std::uint16_t origin = 0;  // 0: not held
    };
    static constexpr std::uint16_t kFree = 0xffff;

    void move(Slot& slot, std::size_t origin)
    {
        if (slot.origin != 0) --origins_[slot.origin].count;
        if (origin != 0) ++origins_[origin].count;
        count_ += static_cast<std::size_t>(origin != 0) - static_cast<std::size_t>(slot.origin != 0);
        slot.origin = static_cast<std::uint16_t>(origin);
    }
    Slot& find(const IpPrefix& prefix)
    {
        if (2 * used_ >= slots_.size()) grow();
        auto& slot = probe(prefix.address.bits.high(), prefix.address.bits.low(), prefix.length);
        if (slot.length == kFree) {
            slot = {prefix.address.bits.high(), prefix.address.bits.low(), prefix.length, 0};
            ++used_;
        }
        return slot;
    }
    std::size_t home(std::uint64_t high, std::uint64_t low, std::uint16_t length) const noexcept
    {
        return mix(high ^ mix(low ^ length)) & (slots_.size() - 1);
    }
    Slot& probe(std::uint64_t high, std::uint64_t low, std::uint16_t length)
    {
        for (auto i = home(high, low, length);; ++i) {
            auto& slot = slots_[i & (slots_.size() - 1)];
            if (slot.length == kFree || (slot.high == high && slot.low == low && slot.length == length)) return slot;
        }
    }
    void grow()
    {
        const auto old = std::exchange(slots_, std::vector<Slot>(2 * slots_.size()));
        for (const auto& s : old)
            if (s.length != kFree) probe(s.high, s.low, s.length) = s;
    }

    std::vector<Slot> slots_;
    std::vector<Origin> origins_;  // the first stands for "not held"
    std::size_t used_ = 0;
    std::size_t count_ = 0;
};

// The AS after the router's own: the feed that it took the route from.
Asn second_asn(Bytes attributes)
{
    for (Reader in{attributes}; !in.empty() && in.ok();) {
        const auto flags = in.u8();
        const auto type = in.u8();
        const auto length = (flags & 0x10) != 0 ? in.u16() : in.u8();
        Reader value{in.take(length)};
        if (type != static_cast<std::uint8_t>(bgp::AttrType::AsPath)) continue;
        value.skip(2 + sizeof(Asn));
        return Asn{value.u32()};
    }
    return {};
}

struct Arrived {
    std::uint64_t announced = 0, withdrawn = 0, messages = 0;
    TimePoint first = kNever, last = kNever;
};

// ---- the peer
// ---------------------------------------------------------------------------------------------------------

class Peer final : bgp::SessionEvents {
public:
    explicit Peer(Options options) : options_(std::move(options))
    {
        if (options_.feed) table_ = make_table(options_);
        std::printf("{\"event\":\"ready\",\"t\":%.6f,\"prefixes\":%zu,\"sets\":%zu}\n", seconds(now()),
                    table_.prefixes.size(), table_.sets.size());
        std::fflush(stdout);
    }

    void run()
    {
        fcntl(STDIN_FILENO, F_SETFL, fcntl(STDIN_FILENO, F_GETFL) | O_NONBLOCK);
        while (!quit_) {
            pollfd fds[2] = {{STDIN_FILENO, POLLIN, 0}, {socket_, POLLIN, 0}};
            if (connecting_ || written_ < out_.size()) fds[1].events |= POLLOUT;
            poll(fds, socket_ >= 0 ? 2 : 1, timeout());
            if (fds[0].revents != 0) read_commands();
            if (socket_ >= 0 && fds[1].fd == socket_ && fds[1].revents != 0) on_socket(fds[1].revents);
            if (session_ && now() >= session_->next_deadline()) perform(session_->on_time(now()));
        }
    }

private:
    // ---- transport ----

    int timeout() const
    {
        if (!session_ || session_->next_deadline() == kNever) return -1;
        const auto wait = std::chrono::ceil<std::chrono::milliseconds>(session_->next_deadline() - now()).count();
        return static_cast<int>(std::clamp<long>(wait, 0, 60'000));
    }

    static socklen_t to_sockaddr(const IpAddress& a, std::uint16_t port, sockaddr_storage& out)
    {
        out = {};
        if (a.is_v4()) {
            auto& in = reinterpret_cast<sockaddr_in&>(out);
            in.sin_family = AF_INET;
            in.sin_port = htons(port);
            in.sin_addr.s_addr = htonl(a.v4().value);
            return sizeof in;
        }
        auto& in = reinterpret_cast<sockaddr_in6&>(out);
        in.sin6_family = AF_INET6;
        in.sin6_port = htons(port);
        std::memcpy(&in.sin6_addr, a.v6().octets.data(), 16);
        return sizeof in;
    }

    void connect()
    {
        drop();
        socket_ = ::socket(options_.peer.is_v4() ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        const int one = 1;
        setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        sockaddr_storage address;
        auto length = to_sockaddr(options_.local, 0, address);
        if (bind(socket_, reinterpret_cast<sockaddr*>(&address), length) != 0) {
            std::perror("bind");
            std::exit(1);
        }
        length = to_sockaddr(options_.peer, 179, address);
        if (::connect(socket_, reinterpret_cast<sockaddr*>(&address), length) != 0 && errno != EINPROGRESS) {
            failed_ = true;
            return;
        }
        connecting_ = true;
    }

    void drop()
    {
        if (socket_ >= 0) ::close(socket_);
        socket_ = -1;
        connecting_ = false;
        out_.clear();
        written_ = 0;
        sending_ = false;
    }

    void perform(bgp::Output output)
    {
        constexpr auto kOutgoing = static_cast<std::size_t>(bgp::Side::Outgoing);
        if (socket_ >= 0) {
            const auto& bytes = output.send[kOutgoing];
            out_.insert(out_.end(), bytes.begin(), bytes.end());
            if (!connecting_) write_some();
        }
        if (output.close[kOutgoing]) drop();
        if (output.connect) connect();
        if (std::exchange(failed_, false)) perform(session_->on_connect_failed(now()));
    }

    void on_socket(short events)
    {
        if (connecting_) {
            int error = 0;
            socklen_t length = sizeof error;
            getsockopt(socket_, SOL_SOCKET, SO_ERROR, &error, &length);
            if (error != 0) {
                drop();
                perform(session_->on_connect_failed(now()));
                return;
            }
            if ((events & POLLOUT) == 0) return;
            connecting_ = false;
            perform(session_->on_connected(bgp::Side::Outgoing, {options_.local, 0}, {options_.peer, 179}, now()));
            return;
        }
        if ((events & POLLOUT) != 0) write_some();
        if ((events & (POLLIN | POLLHUP | POLLERR)) != 0) read_some();
    }

    void read_some()
    {
        const auto n = recv(socket_, buffer_.data(), buffer_.size(), 0);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
        chunk_at_ = now();
        if (n <= 0) {
            drop();
            perform(session_->on_closed(bgp::Side::Outgoing, chunk_at_));
            return;
        }
        perform(session_->on_bytes(bgp::Side::Outgoing, Bytes{buffer_}.first(static_cast<std::size_t>(n)), chunk_at_));
    }

    void write_some()
    {
        while (written_ < out_.size()) {
            const auto n = ::send(socket_, out_.data() + written_, out_.size() - written_, MSG_NOSIGNAL);
            if (n <= 0) return;  // full; an error shows when the socket is read
            written_ += static_cast<std::size_t>(n);
        }
        out_.clear();
        written_ = 0;
        if (std::exchange(sending_, false)) say("sent", now());
    }

    // ---- session ----

    void on_state(bgp::State, bgp::State) override {}
    void on_established(const bgp::Established& e) override
    {
        negotiated_ = e.negotiated;
        held_.clear();
        say("established", now());
    }
    void on_route_refresh(Family, bgp::RouteRefresh::Kind) override {}
    void on_down(const bgp::Down& down) override
    {
        std::printf("{\"event\":\"down\",\"t\":%.6f,\"reason\":\"%s\",\"notification\":\"%s\"}\n", seconds(now()),
                    std::string{bgp::to_string(down.reason)}.c_str(),
                    down.notification ? down.notification->to_string().c_str() : "");
        std::fflush(stdout);
    }
    void on_update(const bgp::UpdateView& update) override
    {
        if (options_.feed) return;
        const auto& unreach = update.unreach[static_cast<std::size_t>(options_.family)];
        const auto& reach = update.reach[static_cast<std::size_t>(options_.family)].nlri;
        if (unreach.empty() && reach.empty()) return;
        ++arrived_.messages;
        if (arrived_.first == kNever) arrived_.first = chunk_at_;
        arrived_.last = chunk_at_;
        held_.each(unreach, [&](const IpPrefix& p) {
            held_.withdraw(p);
            ++arrived_.withdrawn;
        });
        if (!reach.empty()) {
            const auto origin = held_.origin(second_asn(update.attributes));
            held_.each(reach, [&](const IpPrefix& p) {
                held_.announce(p, origin);
                ++arrived_.announced;
            });
        }
        check_goal();
    }

    // ---- commands ----

    void say(const char* event, TimePoint t)
    {
        std::printf("{\"event\":\"%s\",\"t\":%.6f}\n", event, seconds(t));
        std::fflush(stdout);
    }

    void say_stats(const char* event)
    {
        std::string from;
        for (const auto& o : held_.origins())
            from += (from.empty() ? "\"" : ",\"") + std::to_string(static_cast<std::uint32_t>(o.asn)) +
                    "\":" + std::to_string(o.count);
        const bool any = arrived_.first != kNever;
        std::printf(
            "{\"event\":\"%s\",\"t\":%.6f,\"t_first\":%.6f,\"t_last\":%.6f,\"announced\":%lu,\"withdrawn\":%lu,"
            "\"messages\":%lu,\"held\":%zu,\"from\":{%s}}\n",
            event, seconds(now()), any ? seconds(arrived_.first) : 0, any ? seconds(arrived_.last) : 0,
            arrived_.announced, arrived_.withdrawn, arrived_.messages, held_.count(), from.c_str());
        std::fflush(stdout);
    }

    struct Goal {
        enum class Kind { None, Held, Changes, From } kind = Kind::None;
        std::size_t count = 0;
        Asn asn{};
    };

    void check_goal()
    {
        bool reached = false;
        switch (goal_.kind) {
            case Goal::Kind::None: return;
            case Goal::Kind::Held: reached = held_.count() == goal_.count; break;
            case Goal::Kind::Changes: reached = arrived_.announced + arrived_.withdrawn >= goal_.count; break;
            case Goal::Kind::From: reached = held_.count(goal_.asn) == goal_.count; break;
        }
        if (!reached) return;
        goal_ = {};
        say_stats("reached");
    }

    void read_commands()
    {
        char bytes[4096];
        for (;;) {
            const auto n = read(STDIN_FILENO, bytes, sizeof bytes);
            if (n < 0) break;
            if (n == 0) {
                quit_ = true;
                break;
            }
            commands_.append(bytes, static_cast<std::size_t>(n));
        }
        for (std::size_t end; !quit_ && (end = commands_.find('\n')) != std::string::npos;) {
            const auto line = commands_.substr(0, end);
            commands_.erase(0, end + 1);
            command(line);
        }
    }

    void command(const std::string& line)
    {
        std::istringstream words(line);
        std::string word, what;
        std::size_t n = 0;
        words >> word;
        const bool up = session_ && session_->established();
        if (word == "open" && !session_) {
            open();
        } else if (word == "close" || word == "kill") {
            if (word == "kill" && socket_ >= 0) {
                const linger none{1, 0};
                setsockopt(socket_, SOL_SOCKET, SO_LINGER, &none, sizeof none);
                drop();
            } else if (session_) {
                perform(session_->on_stop({}, now()));
            }
            session_.reset();
            say("closed", now());
        } else if (word == "announce" && up) {
            send(announcement());
        } else if (word == "withdraw" && up) {
            send(withdrawal());
        } else if (word == "churn" && up && words >> n && n <= table_.prefixes.size()) {
            send(churn(n));
        } else if (word == "sample" && words >> n && n <= table_.prefixes.size()) {
            std::string list;
            for (std::size_t i = 0; i < n; ++i)
                list += (i > 0 ? ",\"" : "\"") + table_.prefixes[i * table_.prefixes.size() / n].to_string() + "\"";
            std::printf("{\"event\":\"sample\",\"prefixes\":[%s]}\n", list.c_str());
            std::fflush(stdout);
        } else if (word == "mark") {
            arrived_ = {};
            say("marked", now());
        } else if (word == "until" && words >> what) {
            goal_ = {};
            if (what == "from") {
                std::uint32_t asn = 0;
                words >> asn;
                goal_.asn = Asn{asn};
            }
            words >> goal_.count;
            goal_.kind = what == "held"      ? Goal::Kind::Held
                         : what == "changes" ? Goal::Kind::Changes
                         : what == "from"    ? Goal::Kind::From
                                             : Goal::Kind::None;
            check_goal();
        } else if (word == "stats") {
            say_stats("stats");
        } else if (word == "quit") {
            quit_ = true;
        } else {
            std::printf("{\"event\":\"refused\",\"up\":%s}\n", up ? "true" : "false");
            std::fflush(stdout);
        }
    }

    void open()
    {
        bgp::SessionConfig config;
        config.local_as = options_.as;
        config.peer_as = options_.peer_as;
        config.router_id =
            options_.local.is_v4() ? options_.local.v4() : Ipv4Address{static_cast<std::uint32_t>(options_.as)};
        config.connect_retry = 1s;
        config.ipv4_unicast = options_.family == Family::Ipv4;
        config.ipv6_unicast = options_.family == Family::Ipv6;
        config.extended_message = false;  // every router in a comparison gets the same messages
        session_ = std::make_unique<bgp::Session>(config, static_cast<bgp::SessionEvents&>(*this),
                                                  static_cast<std::uint64_t>(options_.as));
        perform(session_->on_start(now()));
    }

    void send(std::vector<std::uint8_t> messages)
    {
        sending_ = true;
        say("start", now());
        perform(session_->send_updates(std::move(messages), now()));
    }

    bgp::EncodedAttributes encode(const bgp::PathAttributes& set) const
    {
        auto a = set;
        a.as_path.prepend(options_.as, options_.prepend);
        a.next_hop = options_.local;
        return bgp::encode_attributes(a, negotiated_);
    }

    std::vector<std::uint8_t> announcement() const
    {
        std::vector<std::uint8_t> out;
        bgp::UpdateBuilder builder(negotiated_, out);
        bgp::EncodedAttributes encoded;
        for (std::size_t i = 0; i < table_.prefixes.size(); ++i) {
            if (i == 0 || table_.set_of[i] != table_.set_of[i - 1]) {
                builder.flush();  // it still needs the ones before
                encoded = encode(table_.sets[table_.set_of[i]]);
                if (!builder.announce(options_.family, encoded)) std::abort();
            }
            builder.add(table_.prefixes[i]);
        }
        builder.flush();
        bgp::encode_end_of_rib(options_.family, out);
        return out;
    }

    std::vector<std::uint8_t> withdrawal() const
    {
        std::vector<std::uint8_t> out;
        bgp::UpdateBuilder builder(negotiated_, out);
        builder.withdraw(options_.family);
        for (const auto& p : table_.prefixes) builder.add(p);
        builder.flush();
        return out;
    }

    std::vector<std::uint8_t> churn(std::size_t count)
    {
        // No prefix twice: a router may rightly send only the last of two changes.
        std::vector<std::uint32_t> order(table_.prefixes.size());
        std::iota(order.begin(), order.end(), 0U);
        for (std::size_t i = 0; i < count; ++i) std::swap(order[i], order[i + random_.below(order.size() - i)]);

        std::vector<std::uint8_t> out;
        bgp::UpdateBuilder builder(negotiated_, out);
        for (std::size_t i = 0; i < count; ++i) {
            // Not the set that announce() gave it.
            const auto old = table_.set_of[order[i]];
            auto set = old;
            while (table_.sets.size() > 1 && table_.sets[set] == table_.sets[old])
                set = static_cast<std::uint32_t>(random_.below(table_.sets.size()));
            const auto encoded = encode(table_.sets[set]);
            if (!builder.announce(options_.family, encoded)) std::abort();
            builder.add(table_.prefixes[order[i]]);
            builder.flush();
        }
        return out;
    }

    const Options options_;
    FullTable table_;
    Random random_{7};
    std::unique_ptr<bgp::Session> session_;
    bgp::Negotiated negotiated_;

    int socket_ = -1;
    bool connecting_ = false;
    bool failed_ = false;
    std::vector<std::uint8_t> buffer_ = std::vector<std::uint8_t>(256 << 10);
    std::vector<std::uint8_t> out_;
    std::size_t written_ = 0;
    bool sending_ = false;

    Held held_;
    Arrived arrived_;
    Goal goal_;
    TimePoint chunk_at_{};
    std::string commands_;
    bool quit_ = false;
};

}  // namespace
}  // namespace culvert::support

int main(int argc, char** argv)
{
    signal(SIGPIPE, SIG_IGN);
    culvert::support::Peer{culvert::support::read_options(argc, argv)}.run();
    return 0;
}
