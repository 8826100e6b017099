#pragma once

#include "base/time.h"
#include "controlplane/bgp/encode.h"
#include "controlplane/bgp/session.h"

#include <array>
#include <deque>
#include <functional>
#include <memory>
#include <queue>
#include <random>
#include <string>
#include <vector>

// BGP speakers in virtual time: pairs of Sessions over transports that cut the stream anywhere, delay it, stall it
// while the pair is parted, break, and forget (a speaker that starts afresh without a word). Everything follows from
// the seed.
namespace culvert::bgp::sim {

class World {
public:
    explicit World(std::uint64_t seed) : random_(seed) {}

    TimePoint now() const noexcept { return now_; }
    std::uint64_t events() const noexcept { return events_; }

    std::uint64_t below(std::uint64_t n) { return random_() % n; }
    bool chance(unsigned percent) { return below(100) < percent; }
    Duration between(Duration low, Duration high)
    {
        return low + Duration{static_cast<Duration::rep>(below(static_cast<std::uint64_t>((high - low).count()) + 1))};
    }

    void at(TimePoint when, std::function<void()> what) { queue_.push({when, next_++, std::move(what)}); }
    void after(Duration wait, std::function<void()> what) { at(now_ + wait, std::move(what)); }
    void run_until(TimePoint end)
    {
        while (!queue_.empty() && queue_.top().when <= end) {
            auto event = queue_.top();
            queue_.pop();
            now_ = event.when;
            ++events_;
            event.what();
        }
        now_ = end;
    }

private:
    struct Event {
        TimePoint when;
        std::uint64_t order;
        std::function<void()> what;
        bool operator<(const Event& other) const noexcept
        {
            return when != other.when ? when > other.when : order > other.order;
        }
    };

    std::mt19937_64 random_;
    TimePoint now_{1h};
    std::uint64_t next_ = 0, events_ = 0;
    std::priority_queue<Event> queue_;
};

class Speaker;

// How a pair's network behaves now.
struct Link {
    Duration delay_low = 1ms, delay_high = 20ms;
    unsigned loss = 0;           // percent of segments that need a retransmission
    TimePoint parted_until{};    // nothing gets through before
    std::size_t segment = 1460;  // the stream is cut into parts of at most this
};

// A TCP connection. End 0 connected, end 1 accepted.
struct Transport {
    struct Segment {
        TimePoint ready;
        std::vector<std::uint8_t> bytes;
        bool fin = false;
    };
    struct End {
        Speaker* owner = nullptr;  // null: closed, or its process is gone
        std::deque<Segment> arriving;
        TimePoint last_ready{};
        bool established = false;
    };
    std::array<End, 2> ends;
};

// One neighbour session and the socket handling around it, as the runtime does it.
class Speaker final : public SessionEvents {
public:
    Speaker(World& world, Link& link, SessionConfig config, std::uint64_t seed)
        : world_(world), link_(link), config_(std::move(config)), seed_(seed)
    {
        session_ = std::make_unique<Session>(config_, *this, seed_);
    }

    void meet(Speaker& peer) { peer_ = &peer; }
    void start() { apply(session_->on_start(world_.now())); }
    void stop(const Stop& stop) { apply(session_->on_stop(stop, world_.now())); }
    void restart();  // the process dies and comes back; the kernel answers the other end with resets later
    void break_transports();

    const Session& session() const noexcept { return *session_; }
    const Transport* established_transport() const;
    std::size_t open_transports() const;
    std::size_t downs() const noexcept { return downs_; }
    std::size_t received() const noexcept { return received_total_; }
    const std::string& fault() const noexcept { return fault_; }

    void on_state(State from, State to) override;
    void on_established(const Established& established) override;
    void on_update(const UpdateView& update) override;
    void on_route_refresh(Family, RouteRefresh::Kind) override {}
    void on_down(const Down& down) override;

private:
    using Shared = std::shared_ptr<Transport>;

    static std::size_t end_of(Side side) noexcept { return side == Side::Outgoing ? 0 : 1; }
    Shared& slot(Side side) noexcept { return slots_[static_cast<std::size_t>(side)]; }
    void apply(Output output);
    void arm();
    void connect();
    void syn_arrives(const Shared& transport);
    void connected(const Shared& transport);
    void write(const Shared& transport, std::size_t from, std::vector<std::uint8_t> bytes, bool fin);
    void pump(const Shared& transport, std::size_t to);
    void reset(const Shared& transport, std::size_t end);
    void leave(const Shared& transport, std::size_t end);
    void advertise(std::uint64_t epoch);
    void fail(std::string what)
    {
        if (fault_.empty()) fault_ = std::move(what);
    }
    Duration delay();

    World& world_;
    Link& link_;
    SessionConfig config_;
    std::uint64_t seed_;
    Speaker* peer_ = nullptr;
    std::unique_ptr<Session> session_;
    std::array<Shared, 2> slots_;
    TimePoint armed_ = kNever;
    bool up_ = false;
    std::uint64_t epoch_ = 0;
    std::uint32_t sent_ = 0, received_ = 0;  // the numbers the routes carry, counted from 0 in each session
    std::size_t received_total_ = 0, downs_ = 0;
    State state_ = State::Idle;
    std::string fault_;
};

}  // namespace culvert::bgp::sim
