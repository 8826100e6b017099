#pragma once

#include "controlplane/wireguard/engine.h"
#include "crypto/random.h"
#include "dataplane/wg/peer_table.h"

#include <array>
#include <cstdint>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <vector>

namespace culvert::sim {

inline constexpr std::size_t kMaxPeers = 64;
inline constexpr std::size_t kMaxWaiting = 128;  // packets held for a handshake, of one peer

// The calendar of a box: its own idea of the date, running at the speed of the simulation.
class SimClock final : public wireguard::TimestampSource {
public:
    explicit SimClock(std::uint64_t unix_seconds) : start_(unix_seconds) {}
    void set(TimePoint now) { now_ = now; }
    void set_date(std::uint64_t unix_seconds) { start_ = unix_seconds; }
    wireguard::Tai64n timestamp() override
    {
        const auto ns = now_.time_since_epoch().count();
        return wireguard::Tai64n::from_unix(start_ + static_cast<std::uint64_t>(ns / 1'000'000'000),
                                            static_cast<std::uint32_t>(ns % 1'000'000'000));
    }

private:
    std::uint64_t start_;
    TimePoint now_{};
};

// What leaves a box.
struct Wire {
    Endpoint from;
    Endpoint to;
    std::vector<std::uint8_t> bytes;
};

// One router with one WireGuard interface: the engine and the worker's table, bound as the daemon binds them. Time and
// the network are the caller's. Commands and events between the two reach the other side when pump() is called.
class Box {
public:
    Box(std::uint64_t seed, Endpoint address, std::uint64_t unix_seconds,
        Duration rekey_after = wireguard::kRekeyAfterTime)
        : address(address), random_(seed), clock_(unix_seconds), activity_(kMaxPeers)
    {
        wireguard::EngineConfig config;
        config.private_key = crypto::generate_private_key(random_);
        config.rekey_after = rekey_after;
        engine_ = std::make_unique<wireguard::Engine>(std::move(config), indices_, random_, clock_);
        table_ = std::make_unique<wg::PeerTable>(cipher(), activity_);
    }

    wireguard::Engine& engine() { return *engine_; }
    wg::PeerTable& table() { return *table_; }
    wireguard::IndexTable& indices() { return indices_; }
    SimClock& clock() { return clock_; }
    api::PeerActivity& activity(PeerId peer) { return activity_[index(peer)]; }
    crypto::Random& random() { return random_; }

    void add(PeerId id, const crypto::PublicKey& key, std::optional<Endpoint> endpoint, TimePoint now,
             Duration persistent_keepalive = {}, const std::array<std::uint8_t, 32>* preshared = nullptr)
    {
        wireguard::PeerConfig config;
        config.public_key = key;
        config.endpoint = endpoint;
        config.persistent_keepalive = persistent_keepalive;
        if (preshared != nullptr) config.preshared_key = crypto::Secret<32>{*preshared};
        apply(engine_->set_peer(id, std::move(config), now), now);
    }

    // An inner packet for the peer; sent, or held for the handshake.
    void send(PeerId peer, Bytes inner, TimePoint now)
    {
        clock_.set(now);
        const auto verdict = seal(peer, inner, now);
        ++verdicts[verdict];
        if (verdict == api::Verdict::HoldHandshake) {
            auto& waiting = waiting_[peer];
            if (waiting.size() < kMaxWaiting)
                waiting.emplace_back(inner.begin(), inner.end());
            else
                ++dropped_waiting;
        }
    }

    // A UDP datagram came.
    void receive(const Wire& datagram, TimePoint now)
    {
        clock_.set(now);
        if (!wg::is_data(datagram.bytes)) {
            apply(engine_->on_message(datagram.bytes, datagram.from, address.address, now), now);
            return;
        }
        auto bytes = datagram.bytes;
        wg::OpenJob job;
        job.data = bytes.data();
        job.length = static_cast<std::uint32_t>(bytes.size());
        job.from = datagram.from;
        table_->open({&job, 1}, now);
        ++verdicts[job.verdict];
        if (job.verdict == api::Verdict::Forward && on_inner) on_inner(job.peer, {job.inner, job.inner_length});
    }

    // The worker's round and the loop's: commands, events, and what is ready to go.
    void pump(TimePoint now)
    {
        clock_.set(now);
        while (!commands_.empty()) {
            const auto command = std::exchange(commands_.front(), api::WorkerCommand{});
            commands_.pop_front();
            if (const auto* forget = std::get_if<api::ForgetKeys>(&command); forget && forget->drop_waiting) {
                dropped_waiting += waiting_[forget->peer].size();
                waiting_[forget->peer].clear();
            }
            if (const auto* keys = std::get_if<api::InstallKeys>(&command); keys && on_keys) on_keys(*keys);
            table_->apply(command, now);
        }
        std::vector<wg::Ready> ready;
        table_->take_ready([&](wg::Ready r) { ready.push_back(r); });
        for (const auto& r : ready) {
            auto held = std::exchange(waiting_[r.peer], {});
            if (held.empty() && r.must_send) seal(r.peer, {}, now);
            for (const auto& packet : held) send(r.peer, packet, now);
        }
        std::vector<api::WorkerEvent> events;
        table_->take_events([&](const api::WorkerEvent& e) {
            events.push_back(e);
            return true;
        });
        for (const auto& event : events) apply(engine_->on_event(event, now), now);
    }

    void on_time(TimePoint now)
    {
        clock_.set(now);
        apply(engine_->on_time(now), now);
    }
    bool pumps() const { return !commands_.empty(); }

    Endpoint address;
    std::vector<Wire> sent;  // taken by the network
    std::function<void(PeerId, Bytes)> on_inner;
    std::function<void(const api::InstallKeys&)> on_keys;
    std::map<api::Verdict, std::uint64_t> verdicts;
    std::uint64_t dropped_waiting = 0;

    void apply(wireguard::Output&& out, TimePoint now)
    {
        for (const auto& datagram : out.send)
            sent.push_back({address, datagram.to, {datagram.bytes().begin(), datagram.bytes().end()}});
        for (const auto& command : out.commands) commands_.push_back(command);
        for (const PeerId peer : out.poll)
            apply(engine_->on_activity(peer, wireguard::snapshot(activity_[index(peer)]), now), now);
    }

private:
    // One for all boxes: a simulation is one thread, and setting a context up takes milliseconds.
    static crypto::AeadContext& cipher()
    {
        static crypto::AeadContext aead;
        return aead;
    }

    api::Verdict seal(PeerId peer, Bytes inner, TimePoint now)
    {
        std::vector<std::uint8_t> buffer(wg::kDataHeader + inner.size() + wg::kMaxPadding + wg::kDataTrailer);
        std::copy(inner.begin(), inner.end(), buffer.begin() + wg::kDataHeader);
        wg::SealJob job;
        job.peer = peer;
        job.data = buffer.data() + wg::kDataHeader;
        job.length = static_cast<std::uint32_t>(inner.size());
        job.mtu = 1420;
        table_->seal({&job, 1}, now);
        if (job.verdict == api::Verdict::Forward) {
            buffer.resize(job.sealed_length);
            sent.push_back({address, job.to, std::move(buffer)});
        }
        return job.verdict;
    }

    crypto::SeededRandom random_;
    SimClock clock_;
    wireguard::IndexTable indices_;
    std::vector<api::PeerActivity> activity_;
    std::unique_ptr<wireguard::Engine> engine_;
    std::unique_ptr<wg::PeerTable> table_;
    std::deque<api::WorkerCommand> commands_;
    std::map<PeerId, std::vector<std::vector<std::uint8_t>>> waiting_;
};

}  // namespace culvert::sim
