#pragma once

#include "tests/sim/wireguard/box.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <queue>
#include <set>
#include <utility>
#include <vector>

namespace culvert::sim {

// What the network does to datagrams. Chances are of a thousand.
struct Weather {
    unsigned loss = 0;
    unsigned duplicates = 0;
    unsigned replays = 0;  // sent once more, seconds later
    Duration delay = 10ms;
    Duration jitter{};              // reorders
    Duration worker_delay = 200us;  // of commands and events inside a box, at most
};

// Boxes, a network between them and virtual time. All that happens follows from the seed. Checks on its own, always:
// no key is installed twice for sending, no (key, counter) is used twice, no inner packet arrives twice or altered.
class World {
public:
    explicit World(std::uint64_t seed) : random_(seed)
    {
        std::printf("seed %llu\n", static_cast<unsigned long long>(seed));
    }

    Box& add_box(std::uint64_t unix_seconds = 1'700'000'000, Duration rekey_after = wireguard::kRekeyAfterTime)
    {
        const auto number = static_cast<std::uint32_t>(boxes_.size());
        const Endpoint address{Ipv4Address{0xc0000200 + number + 1}, 51820};
        boxes_.push_back(std::make_unique<Box>(random_.u64(), address, unix_seconds, rekey_after));
        Box& box = *boxes_.back();
        box.on_inner = [this, number](PeerId, Bytes inner) { arrived(number, inner); };
        box.on_keys = [this](const api::InstallKeys& keys) {
            EXPECT_TRUE(sending_keys_.insert(keys.sending).second) << "a key was installed twice";
        };
        return box;
    }
    Box& box(std::size_t n) { return *boxes_[n]; }

    // Makes them peers of each other. `a` knows where `b` is; `b` learns it if not `both`.
    void join(std::size_t a, std::size_t b, bool both = true, bool preshared = false, Duration keepalive = {})
    {
        std::array<std::uint8_t, 32> psk;
        random_.fill(psk);
        box(a).add(id(b), box(b).engine().public_key(), box(b).address, now, keepalive, preshared ? &psk : nullptr);
        box(b).add(id(a), box(a).engine().public_key(), both ? std::optional{box(a).address} : std::nullopt, now,
                   keepalive, preshared ? &psk : nullptr);
        box(a).pump(now);
        box(b).pump(now);
        settle(a);
        settle(b);
    }
    static PeerId id(std::size_t box) { return static_cast<PeerId>(box + 1); }

    void send(std::size_t from, std::size_t to)
    {
        const std::uint64_t number = ++sent_;
        std::vector<std::uint8_t> inner(20 + 8 + random_.u32() % 200);
        inner[0] = 0x45;
        inner[2] = static_cast<std::uint8_t>(inner.size() >> 8);
        inner[3] = static_cast<std::uint8_t>(inner.size());
        for (std::size_t i = 0; i < 8; ++i) inner[20 + i] = static_cast<std::uint8_t>(number >> (8 * i));
        for (std::size_t i = 28; i < inner.size(); ++i) inner[i] = static_cast<std::uint8_t>(number + i);
        wanted_[number] = to;
        box(from).send(id(to), inner, now);
        settle(from);
    }
    // A packet each `interval` until `end`, both ways if asked.
    void stream(std::size_t from, std::size_t to, Duration interval, TimePoint end)
    {
        if (now > end) return;
        send(from, to);
        at(now + interval, [=, this] { stream(from, to, interval, end); });
    }

    void at(TimePoint when, std::function<void()> what) { events_.push({when, ++order_, std::move(what)}); }

    // The network cable between two boxes.
    void cut(std::size_t a, std::size_t b) { cut_.insert(std::minmax(a, b)); }
    void heal(std::size_t a, std::size_t b) { cut_.erase(std::minmax(a, b)); }
    void move(std::size_t box_number, Endpoint address) { box(box_number).address = address; }

    void run_until(TimePoint end)
    {
        for (;;) {
            TimePoint timer = kNever;
            std::size_t whose = 0;
            for (std::size_t i = 0; i < boxes_.size(); ++i) {
                const TimePoint deadline = box(i).engine().next_deadline();
                if (deadline < timer) {
                    timer = deadline;
                    whose = i;
                }
            }
            const TimePoint event = events_.empty() ? kNever : events_.top().when;
            const TimePoint next = std::min(timer, event);
            if (next > end) break;
            now = std::max(now, next);
            if (event <= timer) {
                const auto what = events_.top().what;
                events_.pop();
                what();
            } else {
                box(whose).on_time(now);
                ASSERT_GT(box(whose).engine().next_deadline(), now) << "a timer that was served is due again";
                settle(whose);
            }
        }
        now = end;
    }
    void run_for(Duration d) { run_until(now + d); }

    std::uint64_t sent() const { return sent_; }
    std::uint64_t received() const { return received_.size(); }
    std::uint64_t datagrams() const { return datagrams_; }
    std::uint64_t handshake_messages() const { return handshakes_; }
    bool is_up(std::size_t a, std::size_t b)
    {
        const auto view = box(a).engine().peer(id(b), now);
        return view && view->state == wireguard::PeerState::Up;
    }

    Weather weather;
    TimePoint now{1h};  // not zero, so that no code can take zero for "unset"

private:
    struct Event {
        TimePoint when;
        std::uint64_t order;
        std::function<void()> what;
        bool operator<(const Event& other) const { return std::pair{when, order} > std::pair{other.when, other.order}; }
    };

    Duration up_to(Duration most)
    {
        return most <= Duration::zero()
                   ? Duration::zero()
                   : Duration{static_cast<std::int64_t>(random_.u64() % static_cast<std::uint64_t>(most.count()))};
    }
    bool chance(unsigned of_a_thousand) { return random_.u32() % 1000 < of_a_thousand; }

    // Lets the box's two halves talk, a little later, and takes what it sends.
    void settle(std::size_t number)
    {
        Box& from = box(number);
        for (auto& wire : std::exchange(from.sent, {})) transmit(number, std::move(wire));
        at(now + up_to(weather.worker_delay), [this, number] {
            box(number).pump(now);
            const bool more = !box(number).sent.empty() || box(number).pumps();
            for (auto& wire : std::exchange(box(number).sent, {})) transmit(number, std::move(wire));
            if (more) settle(number);
        });
    }

    void transmit(std::size_t from, Wire wire)
    {
        ++datagrams_;
        if (const auto header = wireguard::DataHeader::decode(wire.bytes)) {
            // The receiver's index names the key: it is a random number of the receiver's, new for each handshake.
            ASSERT_TRUE(counters_.insert({from, header->receiver, header->counter}).second)
                << "a counter was used twice under one key";
        } else {
            ++handshakes_;
        }
        if (chance(weather.loss)) return;
        deliver(from, wire, weather.delay + up_to(weather.jitter));
        if (chance(weather.duplicates)) deliver(from, wire, weather.delay + up_to(weather.jitter) + 1ms);
        if (chance(weather.replays)) deliver(from, wire, up_to(100s));
    }

    void deliver(std::size_t from, const Wire& wire, Duration after)
    {
        at(now + after, [this, from, wire] {
            for (std::size_t i = 0; i < boxes_.size(); ++i) {
                if (box(i).address != wire.to || cut_.contains(std::minmax(from, i))) continue;
                box(i).receive(wire, now);
                settle(i);
            }
        });
    }

    void arrived(std::size_t at_box, Bytes inner)
    {
        ASSERT_GE(inner.size(), 28U);
        std::uint64_t number = 0;
        for (std::size_t i = 0; i < 8; ++i) number |= std::uint64_t{inner[20 + i]} << (8 * i);
        ASSERT_TRUE(wanted_.contains(number)) << "a packet that nobody sent";
        EXPECT_EQ(wanted_[number], at_box);
        for (std::size_t i = 28; i < inner.size(); ++i)
            ASSERT_EQ(inner[i], static_cast<std::uint8_t>(number + i)) << "a packet was altered";
        EXPECT_TRUE(received_.insert(number).second) << "packet " << number << " came twice";
    }

    crypto::SeededRandom random_;
    std::vector<std::unique_ptr<Box>> boxes_;
    std::priority_queue<Event> events_;
    std::uint64_t order_ = 0;
    std::set<std::pair<std::size_t, std::size_t>> cut_;
    std::uint64_t sent_ = 0;
    std::uint64_t datagrams_ = 0;
    std::uint64_t handshakes_ = 0;
    std::map<std::uint64_t, std::size_t> wanted_;
    std::set<std::uint64_t> received_;
    std::set<std::tuple<std::size_t, std::uint32_t, std::uint64_t>> counters_;
    std::set<std::array<std::uint8_t, 32>> sending_keys_;
};

}  // namespace culvert::sim
