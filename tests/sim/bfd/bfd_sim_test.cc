// Two boxes and any number of links between them, in virtual time. Each link loses, delays, reorders and doubles what
// it likes; each box has a clock of its own that runs too fast or too slow, and is held up now and then, while packets
// wait in its queue. What is checked never asks the engine what it believes:
//  - nobody is Up longer than the detection time after the last packet that reached it (plus our own stall, where
//    stamps are made when a packet is looked at);
//  - nobody goes Down by the detection time while the peer is alive, unless at least multiplier - 1 packets in a row
//    were lost or late (the last one of the multiplier may be on its way when the time is up).
#include "dataplane/bfd/engine.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <deque>
#include <iostream>
#include <map>
#include <queue>

namespace culvert::bfd {
namespace {

using enum BfdState;

constexpr TimePoint kStart{1h};
constexpr std::size_t kRing = 256;
constexpr std::size_t kBurst = 4;

std::uint64_t seed(std::uint64_t usual)
{
    const char* const text = std::getenv("CULVERT_SEED");
    const auto value = text != nullptr ? std::strtoull(text, nullptr, 10) : usual;
    std::cout << "CULVERT_SEED=" << value << '\n';
    return value;
}

struct Weather {
    double loss = 0;
    double twice = 0;
    Duration jitter{};  // of the latency; packets overtake each other
    bool cut = false;
};

struct Link {
    Weather weather;
    // Of what goes to side i.
    struct Side {
        TimePoint arrived = kStart;    // the last packet that got into the queue of side i, true time
        TimePoint demanded = kStart;   // silence was asked for until then
        TimePoint sent = kStart;       // when that one was sent
        bool overtaken = false;        // the last that arrived is older than one before it
        ControlPacket last{};          // what it said
        std::deque<TimePoint> lost;    // send times of what didn't arrive, echoes too
        std::uint32_t largest_rx = 0;  // of all settings that side i had
    };
    std::array<Side, 2> sides;
    std::array<api::SetBfdSession, 2> settings;
};

class World {
public:
    World(std::uint64_t s, std::size_t links, bool nic_stamps) : random_(s), nic_stamps_(nic_stamps), links_(links)
    {
        for (std::size_t i = 0; i < 2; ++i) boxes_[i] = std::make_unique<Box>(*this, i, links + 1, random_.next());
    }

    bool chance(double p) { return static_cast<double>(random_.below(1'000'000)) < p * 1e6; }
    Duration any(Duration most) { return Duration{random_.below(static_cast<std::uint64_t>(most.count()) + 1)}; }
    Random& random() { return random_; }
    Link& link(std::size_t i) { return links_[i]; }
    std::size_t links() const { return links_.size(); }
    void drift(std::size_t box, double rate) { boxes_[box]->rate = rate; }

    void configure(std::size_t link, std::size_t side, api::SetBfdSession s)
    {
        s.id = BfdSessionId{static_cast<std::uint32_t>(link) + 1};
        s.interface = InterfaceId{static_cast<std::uint16_t>(link + 1)};
        s.discriminator = static_cast<std::uint32_t>(0x10000 * (side + 1) + link);
        s.local = address(side);
        s.peer = address(1 - side);
        auto& l = links_[link];
        if (l.settings[side].demand) l.sides[side].demanded = now;
        l.settings[side] = s;
        l.sides[side].largest_rx = std::max(l.sides[side].largest_rx, s.required_min_rx);
        auto& box = *boxes_[side];
        box.engine.apply(s, box.clock(now));
        schedule(now, side);
    }
    void pause(std::size_t box, Duration d)
    {
        auto& b = *boxes_[box];
        if (b.paused_until < now) b.paused_since = now;
        b.paused_until = std::max(b.paused_until, now + d);
        b.longest_pause = std::max(b.longest_pause, b.paused_until - b.paused_since);
        b.last_pause_end = b.paused_until;
    }
    void kill(std::size_t box) { boxes_[box]->dead = true; }
    BfdState state(std::size_t side, std::size_t link) const
    {
        return boxes_[side]->engine.find(BfdSessionId{static_cast<std::uint32_t>(link) + 1})->state();
    }
    bool all(BfdState s) const
    {
        for (std::size_t side = 0; side < 2; ++side)
            for (std::size_t i = 0; i < links_.size(); ++i)
                if (!boxes_[side]->dead && state(side, i) != s) return false;
        return true;
    }
    std::uint64_t judged() const { return judged_; }
    std::uint64_t stalls(std::size_t box) const
    {
        std::uint64_t n = 0;
        for (const auto& a : boxes_[box]->activity) n += a.own_stalls;
        return n;
    }

    void run_for(Duration d)
    {
        const auto end = now + d;
        while (!events_.empty() && events_.top().at <= end) {
            const auto event = events_.top();
            events_.pop();
            now = event.at;
            if (event.packet < 0)
                run_box(event.box, event.at);
            else
                arrive(event);
            if (testing::Test::HasFailure()) return;
        }
        now = end;
    }

    TimePoint now = kStart;

private:
    struct Packet {
        std::size_t link;
        std::size_t from;
        bool echo;
        TimePoint sent;
        std::vector<std::uint8_t> payload;
        TimePoint stamp{};  // by the receiver's clock
    };
    struct Event {
        TimePoint at;
        std::uint64_t number;
        std::size_t box;
        std::int64_t packet;
        bool operator<(const Event& other) const { return std::tie(other.at, other.number) < std::tie(at, number); }
    };

    struct Box final : Actions {
        Box(World& w, std::size_t s, std::size_t sessions, std::uint64_t random_seed)
            : world(w), side(s), activity(sessions), engine(*this, activity, random_seed), was(sessions)
        {}
        TimePoint clock(TimePoint t) const
        {
            return kStart + Duration{static_cast<std::int64_t>(static_cast<double>((t - kStart).count()) * rate)};
        }
        TimePoint true_time(TimePoint local) const
        {
            return kStart +
                   Duration{static_cast<std::int64_t>(static_cast<double>((local - kStart).count()) / rate) + 1};
        }
        void send_control(const api::SetBfdSession& s, std::uint16_t, Bytes payload) noexcept override
        {
            world.send(index(s.id) - 1, side, false, payload);
        }
        void send_echo(const api::SetBfdSession& s, std::uint16_t, Bytes payload) noexcept override
        {
            world.send(index(s.id) - 1, side, true, payload);
        }
        void went_down(BfdSessionId, TimePoint, TimePoint) noexcept override {}
        bool changed(const api::BfdChanged& c) noexcept override
        {
            auto& before = was[index(c.id)];
            if (before == Up && c.state == Down) world.judge(index(c.id) - 1, side, c);
            before = c.state;
            return true;
        }

        World& world;
        std::size_t side;
        double rate = 1;
        std::vector<api::BfdActivity> activity;
        Engine engine;
        std::vector<BfdState> was;
        std::deque<Packet> ring;
        TimePoint heard_until{};
        TimePoint paused_since{}, paused_until{}, last_pause_end{};
        Duration longest_pause{};
        TimePoint scheduled = kNever;
        bool dead = false;
    };

    static IpAddress address(std::size_t side) { return Ipv4Address{static_cast<std::uint32_t>(0x0a000001 + side)}; }

    void schedule(TimePoint at, std::size_t box)
    {
        at = std::max(at, now);
        auto& b = *boxes_[box];
        if (b.scheduled <= at) return;
        b.scheduled = at;
        events_.push({at, number_++, box, -1});
    }

    void lose(Packet& p, std::size_t to)
    {
        auto& lost = links_[p.link].sides[to].lost;
        lost.push_back(p.sent);
        if (lost.size() > 64) lost.pop_front();
    }

    void send(std::size_t link, std::size_t from, bool echo, Bytes payload)
    {
        launch({link, from, echo, now, {payload.begin(), payload.end()}}, 1 - from);
    }
    void launch(Packet p, std::size_t to)
    {
        auto& w = links_[p.link].weather;
        if (w.cut || chance(w.loss)) return lose(p, to);
        for (int copies = chance(w.twice) ? 2 : 1; copies > 0; --copies) {
            packets_.emplace(++last_packet_, p);
            events_.push({now + 100us + any(w.jitter), number_++, to, last_packet_});
        }
    }

    void arrive(const Event& event)
    {
        auto node = packets_.extract(event.packet);
        auto& p = node.mapped();
        const auto to = event.box;
        auto& box = *boxes_[to];
        if (box.dead || links_[p.link].weather.cut) return lose(p, to);
        // The forwarding of the other side turns our echo round.
        if (p.echo && p.from != to) return launch(std::move(p), p.from);
        if (box.ring.size() >= kRing) return lose(p, to);
        p.stamp = box.clock(now);
        if (!p.echo) {
            auto& side = links_[p.link].sides[to];
            const auto packet = decode(p.payload);
            ASSERT_TRUE(packet);
            side.last = *packet;  // the last that arrived, even if it was overtaken
            side.overtaken = p.sent < side.sent;
            side.sent = std::max(side.sent, p.sent);
            side.arrived = now;
        }
        box.ring.push_back(std::move(p));
        schedule(now, to);
    }

    void run_box(std::size_t side, TimePoint at)
    {
        auto& box = *boxes_[side];
        if (box.scheduled != at) return;  // an earlier one was asked for since
        box.scheduled = kNever;
        if (box.dead) return;
        if (box.paused_until > now) return schedule(box.paused_until, side);
        const auto local = box.clock(now);
        if (box.paused_until != TimePoint{}) {
            box.engine.held_up(local, box.paused_until - box.paused_since);
            box.paused_until = {};
        }

        std::size_t taken = 0;
        while (taken < kBurst && !box.ring.empty()) {
            auto p = std::move(box.ring.front());
            box.ring.pop_front();
            ++taken;
            Arrival from{.interface = InterfaceId{static_cast<std::uint16_t>(p.link + 1)},
                         .from = address(p.echo ? side : 1 - side),
                         .to = address(side),
                         .ttl = static_cast<std::uint8_t>(p.echo ? 254 : 255),
                         .stamp = nic_stamps_ ? p.stamp : local};
            if (p.echo)
                box.engine.on_echo(p.payload, from, local);
            else
                box.engine.on_packet(p.payload, from, local);
        }
        if (taken < kBurst) box.heard_until = local;
        box.engine.on_time(local, box.heard_until);
        if (taken == kBurst) schedule(now + 10us, side);

        for (std::size_t i = 0; i < links_.size(); ++i) {
            if (taken == kBurst || state(side, i) != Up) continue;
            const auto& s = links_[i].sides[side];
            // The clock may run a hundredth too slow, and a deadline is met at the next event at the latest.
            const auto allowed = detection_time(links_[i], side, now);
            auto most = allowed + allowed / 50 + 1ms;
            if (!nic_stamps_) most += box.longest_pause;
            ASSERT_LE((now - std::max(s.arrived, s.demanded)).count(), most.count())
                << "link " << i << " side " << side << " is Up";
        }
        const auto next = box.engine.next_deadline();
        if (next != kNever) schedule(box.true_time(next), side);
    }

    // How long side may stay Up after the last packet. In demand the time of a Poll Sequence comes on top.
    static Duration detection_time(const Link& link, std::size_t side, TimePoint at)
    {
        const auto& s = link.sides[side];
        const auto& own = link.settings[side];
        const std::int64_t us = std::int64_t{s.last.multiplier} * std::max(s.largest_rx, s.last.desired_min_tx);
        const std::int64_t poll =
            us + std::int64_t{own.multiplier} * std::max<std::int64_t>(1'000'000, s.last.required_min_rx);
        return std::chrono::microseconds{us + (own.demand || s.demanded + 5s > at ? poll : 0)};
    }

    void judge(std::size_t link, std::size_t side, const api::BfdChanged& change)
    {
        if (change.diagnostic != BfdDiagnostic::ControlDetectionTimeExpired &&
            change.diagnostic != BfdDiagnostic::EchoFunctionFailed)
            return;
        const auto& peer = *boxes_[1 - side];
        const auto& l = links_[link];
        // A peer that was held up in that time was not alive; nor is an echo turned round while it stands still.
        const bool both_ways = change.diagnostic == BfdDiagnostic::EchoFunctionFailed || l.settings[side].demand ||
                               l.sides[side].demanded + 5s > now;
        const auto since = both_ways ? now - 5s : l.sides[side].sent;
        if (peer.dead || peer.paused_until > now || peer.last_pause_end > since) return;
        // One that went Down itself speaks once a second from then on, and its word of it may have been lost.
        const auto* there = peer.engine.find(change.id);
        // And a packet that was overtaken is believed as the newest: nothing in it tells its age.
        if (l.sides[side].overtaken || there->state() != Up || peer.true_time(there->changed_at()) > since) return;
        ++judged_;
        int lost = 0;
        for (const auto t : l.sides[side].lost) lost += t > since ? 1 : 0;
        if (both_ways)
            for (const auto t : l.sides[1 - side].lost) lost += t > since ? 1 : 0;
        for (const auto& [number, p] : packets_) lost += p.link == link && p.sent > since ? 1 : 0;  // late
        const int multiplier =
            both_ways ? l.settings[side].multiplier : static_cast<int>(l.sides[side].last.multiplier);
        EXPECT_GE(lost, multiplier - 1) << "link " << link << " side " << side << " diagnostic "
                                        << static_cast<int>(change.diagnostic);
    }

    Random random_;
    bool nic_stamps_;
    std::vector<Link> links_;
    std::array<std::unique_ptr<Box>, 2> boxes_;
    std::priority_queue<Event> events_;
    std::map<std::int64_t, Packet> packets_;
    std::int64_t last_packet_ = 0;
    std::uint64_t number_ = 0;
    std::uint64_t judged_ = 0;
};

api::SetBfdSession usual(std::uint32_t interval = 50'000)
{
    api::SetBfdSession s{};
    s.desired_min_tx = s.required_min_rx = interval;
    return s;
}

api::SetBfdSession any(World& world, bool modes)
{
    auto& r = world.random();
    auto s = usual(static_cast<std::uint32_t>(3'300 + r.below(100'000)));
    s.required_min_rx = static_cast<std::uint32_t>(3'300 + r.below(100'000));
    s.multiplier = static_cast<std::uint8_t>(2 + r.below(4));
    if (modes) {
        s.demand = r.below(4) == 0;
        s.echo = r.below(3) == 0;
        s.desired_min_echo_tx = static_cast<std::uint32_t>(30'000 + r.below(50'000));
    }
    return s;
}

class BfdSim : public testing::TestWithParam<bool> {};  // the NIC stamps, or the round does

TEST_P(BfdSim, APairComesUpAndHearsOfACutWithinTheDetectionTime)
{
    World world(seed(1), 1, GetParam());
    for (std::size_t side = 0; side < 2; ++side) world.configure(0, side, usual());
    world.run_for(4s);
    ASSERT_TRUE(world.all(Up));
    world.link(0).weather.cut = true;
    world.run_for(100ms);
    EXPECT_TRUE(world.all(Up)) << "two of three are lost at the most";
    world.run_for(51ms);
    EXPECT_TRUE(world.all(Down));
    world.link(0).weather.cut = false;
    world.run_for(4s);
    EXPECT_TRUE(world.all(Up));
}

TEST_P(BfdSim, OnePausedForLongTakesNobodyDownItself)
{
    World world(seed(2), 20, GetParam());
    for (std::size_t i = 0; i < 20; ++i)
        for (std::size_t side = 0; side < 2; ++side) {
            auto s = usual();
            s.multiplier = side == 0 ? 50 : 3;  // so that the other bears with the pause
            world.configure(i, side, s);
        }
    world.run_for(5s);
    ASSERT_TRUE(world.all(Up));
    for (int i = 0; i < 20; ++i) {
        world.pause(0, 400ms);
        world.run_for(1s);
        ASSERT_TRUE(world.all(Up)) << "its time was up twice over, but the packets lay in the queue";
    }
    EXPECT_GE(world.stalls(0), 20U * 20U) << "and every such session is counted";
    EXPECT_EQ(world.stalls(1), 0U);
}

TEST_P(BfdSim, WhateverTheWeatherNobodyIsWrong)
{
    for (std::uint64_t run = 0; run < 12; ++run) {
        World world(seed(100 + run), 12, GetParam());
        world.drift(0, 1 - 0.00001 * static_cast<double>(world.random().below(1000)));
        world.drift(1, 1 + 0.00001 * static_cast<double>(world.random().below(1000)));
        for (std::size_t i = 0; i < world.links(); ++i) {
            for (std::size_t side = 0; side < 2; ++side) world.configure(i, side, any(world, run % 3 == 2));
            auto& w = world.link(i).weather;
            w.loss = 0.02 * static_cast<double>(world.random().below(25));
            w.twice = 0.02 * static_cast<double>(world.random().below(10));
            w.jitter = world.random().below(2) == 0 ? Duration{} : Duration{world.random().below(8'000'000)};
        }
        for (int step = 0; step < 150; ++step) {
            const auto i = world.random().below(world.links());
            switch (world.random().below(5)) {
                case 0: world.link(i).weather.cut = !world.link(i).weather.cut; break;
                case 1: world.pause(world.random().below(2), world.any(300ms)); break;
                case 2: world.configure(i, world.random().below(2), any(world, run % 3 == 2)); break;
                default: break;
            }
            world.run_for(world.any(400ms));
            if (HasFailure()) return;
        }
        EXPECT_GT(world.judged(), 0U);
        for (std::size_t i = 0; i < world.links(); ++i) world.link(i).weather = {};
        world.run_for(15s);
        EXPECT_TRUE(world.all(Up)) << "good weather brings everybody back";
        world.kill(1);
        world.run_for(3s);
        EXPECT_TRUE(world.all(Down)) << "nobody is Up with a dead peer";
    }
}

INSTANTIATE_TEST_SUITE_P(Stamps, BfdSim, testing::Bool(),
                         [](const auto& info) { return info.param ? "Nic" : "Round"; });

}  // namespace
}  // namespace culvert::bfd
