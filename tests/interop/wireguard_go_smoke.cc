// The engine and the peer table against wireguard-go, without the daemon: a UDP socket, the real clock, and pings made
// by hand. usage: wireguard_go_smoke OUR_PRIVATE_KEY_FILE THEIR_PUBLIC_KEY PSK_FILE OUR_PORT THEIR_PORT SECONDS
// initiate|wait Run by wireguard_go_smoke.sh, which sets up the other side (10.1.0.1; we are 10.1.0.2).
#include "controlplane/wireguard/engine.h"
#include "crypto/key_file.h"
#include "crypto/random.h"
#include "dataplane/wg/peer_table.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <deque>
#include <string>
#include <vector>

using namespace culvert;

namespace {

constexpr PeerId kPeer{1};
constexpr Duration kPingInterval = 2ms;

TimePoint monotonic()
{
    timespec t{};
    clock_gettime(CLOCK_MONOTONIC, &t);
    return TimePoint{std::chrono::seconds{t.tv_sec} + std::chrono::nanoseconds{t.tv_nsec}};
}

struct WallClock final : wireguard::TimestampSource {
    wireguard::Tai64n timestamp() override
    {
        timespec t{};
        clock_gettime(CLOCK_REALTIME, &t);
        return wireguard::Tai64n::from_unix(static_cast<std::uint64_t>(t.tv_sec),
                                            static_cast<std::uint32_t>(t.tv_nsec));
    }
};

std::uint16_t checksum(Bytes data)
{
    std::uint32_t sum = 0;
    for (std::size_t i = 0; i < data.size(); ++i) sum += i % 2 == 0 ? std::uint32_t{data[i]} << 8 : data[i];
    while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
    return static_cast<std::uint16_t>(~sum);
}

void put16(std::uint8_t* at, unsigned v)
{
    at[0] = static_cast<std::uint8_t>(v >> 8);
    at[1] = static_cast<std::uint8_t>(v);
}

std::vector<std::uint8_t> echo_request(unsigned number, std::size_t payload)
{
    std::vector<std::uint8_t> p(28 + payload, 0x5a);
    std::memset(p.data(), 0, 28);
    p[0] = 0x45;
    put16(&p[2], static_cast<unsigned>(p.size()));
    p[8] = 64;
    p[9] = 1;
    const std::uint8_t addresses[] = {10, 1, 0, 2, 10, 1, 0, 1};
    std::memcpy(&p[12], addresses, sizeof addresses);
    put16(&p[10], checksum(Bytes{p}.first(20)));
    p[20] = 8;
    put16(&p[24], number >> 16);
    put16(&p[26], number & 0xffff);
    put16(&p[22], checksum(Bytes{p}.subspan(20)));
    return p;
}

class Smoke {
public:
    Smoke(char** argv)
        : ours_(read_key(argv[1])),
          activity_(2),
          table_(aead_, activity_),
          their_port_(static_cast<std::uint16_t>(std::atoi(argv[5])))
    {
        wireguard::EngineConfig config;
        config.private_key = ours_.clone();
        config.rekey_after = 2s;
        engine_ = std::make_unique<wireguard::Engine>(std::move(config), indices_, random_, clock_);
        open_socket(static_cast<std::uint16_t>(std::atoi(argv[4])));

        wireguard::PeerConfig peer;
        peer.public_key = crypto::parse_public_key(argv[2]).value();
        peer.preshared_key = read_key(argv[3]);
        if (std::string_view{argv[7]} == "initiate") peer.endpoint = Endpoint{Ipv4Address{0x7f000001}, their_port_};
        apply(engine_->set_peer(kPeer, std::move(peer), monotonic()));
        pump();
    }

    int run(Duration length)
    {
        const TimePoint begin = monotonic();
        TimePoint next_ping = begin;
        bool moved = false;
        unsigned sent = 0;
        while (monotonic() < begin + length + 1s) {
            const TimePoint now = monotonic();
            // Who waits for the peer's first packet has nowhere to send to yet.
            if (now >= next_ping && now < begin + length && table_.endpoint(kPeer).port != 0) {
                ++sent;
                send(echo_request(sent, sent % 1300), now);
                next_ping = std::max(next_ping + kPingInterval, now - 20ms);
            }
            if (!moved && now > begin + length / 2) {
                open_socket(0);  // from another port: the peer has to follow
                moved = true;
            }
            if (engine_->next_deadline() <= now) apply(engine_->on_time(now));
            pump();
            pollfd p{socket_, POLLIN, 0};
            if (poll(&p, 1, 1) > 0) receive();
            pump();
        }
        const auto view = engine_->peer(kPeer, monotonic()).value();
        std::printf("sent %u answered %zu handshakes %llu requests-from-peer %u initiated-by-us %llu\n", sent,
                    answered_, static_cast<unsigned long long>(view.handshakes), requests_,
                    static_cast<unsigned long long>(view.initiations_sent));
        // Packets that were in the old socket's queue when it was closed may be lost; a rekey may lose none.
        const bool ok =
            sent > 100 && answered_ + 10 >= sent && view.handshakes >= static_cast<std::uint64_t>(length / 5s);
        return ok ? 0 : 1;
    }

private:
    static crypto::Secret<32> read_key(const char* path)
    {
        auto key = crypto::read_key_file(path);
        if (!key) {
            std::fprintf(stderr, "%s\n", key.error().message.c_str());
            std::exit(2);
        }
        return std::move(*key);
    }

    void open_socket(std::uint16_t port)
    {
        if (socket_ >= 0) close(socket_);
        socket_ = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        sockaddr_in a{};
        a.sin_family = AF_INET;
        a.sin_addr.s_addr = htonl(0x7f000001);
        a.sin_port = htons(port);
        if (bind(socket_, reinterpret_cast<sockaddr*>(&a), sizeof a) != 0) std::perror("bind");
    }

    void transmit(Bytes bytes, const Endpoint& to)
    {
        sockaddr_in a{};
        a.sin_family = AF_INET;
        a.sin_addr.s_addr = htonl(to.address.v4().value);
        a.sin_port = htons(to.port);
        sendto(socket_, bytes.data(), bytes.size(), 0, reinterpret_cast<sockaddr*>(&a), sizeof a);
    }

    void receive()
    {
        for (;;) {
            std::uint8_t bytes[2048];
            sockaddr_in a{};
            socklen_t size = sizeof a;
            const ssize_t n =
                recvfrom(socket_, bytes, sizeof bytes, MSG_DONTWAIT, reinterpret_cast<sockaddr*>(&a), &size);
            if (n < 0) return;
            const Endpoint from{Ipv4Address{ntohl(a.sin_addr.s_addr)}, ntohs(a.sin_port)};
            const MutableBytes message{bytes, static_cast<std::size_t>(n)};
            const TimePoint now = monotonic();
            if (wg::is_handshake(message)) {
                apply(engine_->on_message(message, from, Ipv4Address{0x7f000001}, now));
                continue;
            }
            wg::OpenJob job;
            job.data = message.data();
            job.length = static_cast<std::uint32_t>(message.size());
            job.from = from;
            table_.open({&job, 1}, now);
            if (job.verdict != api::Verdict::Forward) {
                if (job.verdict != api::Verdict::KeepaliveReceived)
                    std::printf("%s\n", std::string{api::text(job.verdict).name}.c_str());
                continue;
            }
            if (job.inner[9] == 1 && job.inner[20] == 0) ++answered_;
            if (job.inner[9] == 1 && job.inner[20] == 8) {  // the peer pings us
                ++requests_;
                std::vector<std::uint8_t> reply(job.inner, job.inner + job.inner_length);
                std::swap_ranges(reply.begin() + 12, reply.begin() + 16, reply.begin() + 16);
                reply[20] = 0;
                put16(&reply[22], 0);
                put16(&reply[22], checksum(Bytes{reply}.subspan(20)));
                send(reply, now);
            }
        }
    }

    void send(const std::vector<std::uint8_t>& inner, TimePoint now)
    {
        std::vector<std::uint8_t> buffer(inner.size() + wg::kDataHeader + wg::kMaxPadding + wg::kDataTrailer);
        std::copy(inner.begin(), inner.end(), buffer.begin() + wg::kDataHeader);
        wg::SealJob job;
        job.peer = kPeer;
        job.data = buffer.data() + wg::kDataHeader;
        job.length = static_cast<std::uint32_t>(inner.size());
        job.mtu = 1420;
        table_.seal({&job, 1}, now);
        if (job.verdict == api::Verdict::Forward) transmit(Bytes{buffer}.first(job.sealed_length), job.to);
        if (job.verdict == api::Verdict::HoldHandshake) waiting_.push_back(inner);
    }

    void apply(wireguard::Output&& out)
    {
        for (const auto& datagram : out.send) transmit(datagram.bytes(), datagram.to);
        for (const auto& command : out.commands) table_.apply(command, monotonic());
        for (const PeerId peer : out.poll)
            apply(engine_->on_activity(peer, wireguard::snapshot(activity_[index(peer)]), monotonic()));
    }

    void pump()
    {
        std::vector<wg::Ready> ready;
        table_.take_ready([&](wg::Ready r) { ready.push_back(r); });
        for (const auto& r : ready) {
            auto held = std::exchange(waiting_, {});
            if (held.empty() && r.must_send) send({}, monotonic());
            for (const auto& packet : held) send(packet, monotonic());
        }
        std::vector<api::WorkerEvent> events;
        table_.take_events([&](const api::WorkerEvent& e) {
            events.push_back(e);
            return true;
        });
        for (const auto& event : events) apply(engine_->on_event(event, monotonic()));
    }

    crypto::Secret<32> ours_;
    crypto::SystemRandom random_;
    WallClock clock_;
    wireguard::IndexTable indices_;
    crypto::AeadContext aead_;
    std::vector<api::PeerActivity> activity_;
    wg::PeerTable table_;
    std::unique_ptr<wireguard::Engine> engine_;
    std::vector<std::vector<std::uint8_t>> waiting_;
    std::uint16_t their_port_;
    int socket_ = -1;
    std::size_t answered_ = 0;
    unsigned requests_ = 0;
};

}  // namespace

int main(int argc, char** argv)
{
    if (argc != 8) return 2;
    return Smoke{argv}.run(std::chrono::seconds{std::atoi(argv[6])});
}
