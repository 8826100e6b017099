#include "dataplane/bfd/session.h"

#include <algorithm>

namespace culvert::bfd {
namespace {

using enum BfdState;
using std::chrono::microseconds;

constexpr std::uint32_t kShortest = 1000;    // microseconds
constexpr std::uint32_t kSlow = 1'000'000;   // microseconds: 6.8.3, while not Up
constexpr std::uint64_t kFirstPort = 49152;  // RFC 5881 4
constexpr std::uint64_t kPorts = 65536 - kFirstPort;

}  // namespace

Session::Session(const api::SetBfdSession& wanted, TimePoint now, Random& random) noexcept
    : source_port_(static_cast<std::uint16_t>(kFirstPort + random.below(kPorts))),
      changed_at_(now),
      echo_secret_(random.next())
{
    take(wanted);
    sequence_.value = static_cast<std::uint32_t>(random.next());
    if (wanted_.admin_down) {
        state_ = AdminDown;
        diagnostic_ = BfdDiagnostic::AdministrativelyDown;
    }
    set_timers();
    settle(now, random);
}

Session::Output Session::change(const api::SetBfdSession& wanted, TimePoint now, Random& random) noexcept
{
    Output out;
    out.report = true;
    const bool told = wanted.multiplier != wanted_.multiplier || wanted.demand != wanted_.demand ||
                      wanted.control_plane_independent != wanted_.control_plane_independent ||
                      wanted.required_min_echo_rx != wanted_.required_min_echo_rx ||
                      wanted.desired_min_tx != wanted_.desired_min_tx ||
                      wanted.required_min_rx != wanted_.required_min_rx;
    const bool demand_changed = wanted.demand != wanted_.demand;
    take(wanted);

    // 6.8.16
    if (wanted_.admin_down && state_ != AdminDown) {
        insist(now, kLongestFarewell);
        move_to(AdminDown, BfdDiagnostic::AdministrativelyDown, now, out);
    } else if (!wanted_.admin_down && state_ == AdminDown) {
        insist_until_ = {};
        move_to(Down, BfdDiagnostic::None, now, out);
    }
    set_timers();
    // 6.6: both ends must know of it for sure.
    if (demand_changed && state_ == Up) begin_poll();
    if (told) out.send = true;
    out.send = out.send && speaks();
    settle(now, random);
    return out;
}

// What control says is within what can be run, or is made so: no interval keeps the worker from all else.
void Session::take(const api::SetBfdSession& wanted) noexcept
{
    wanted_ = wanted;
    wanted_.multiplier = std::max<std::uint8_t>(wanted.multiplier, 1);
    wanted_.desired_min_tx = std::max(wanted.desired_min_tx, kShortest);
    wanted_.required_min_rx = std::max(wanted.required_min_rx, kShortest);
    wanted_.desired_min_echo_tx = std::max(wanted.desired_min_echo_tx, kShortest);
    wanted_.key_count = std::min<std::uint8_t>(wanted.key_count, api::SetBfdSession::kMaxKeys);
}

// 6.8.6. The order of the steps is the RFC's.
Session::Output Session::on_packet(const ControlPacket& p, TimePoint stamp, TimePoint now, Random& random) noexcept
{
    Output out;
    const Remote before = remote_;
    remote_ = {.state = p.state,
               .diagnostic = p.diagnostic,
               .discriminator = p.my_discriminator,
               .desired_min_tx = p.desired_min_tx,
               .required_min_rx = p.required_min_rx,
               .required_min_echo_rx = p.required_min_echo_rx,
               .multiplier = p.multiplier,
               .demand = p.demand,
               .control_plane_independent = p.control_plane_independent};
    out.report = !(before == remote_);

    // Reordered stamps never shorten what an earlier one gave; one of the future gives nothing.
    stamp = std::min(stamp, now);
    detect_from_ = std::max(detect_from_, stamp);
    last_received_ = std::max(last_received_, stamp);
    expecting_ = true;

    if (polling_ && p.final) {
        out.report = true;
        if (poll_again_) {
            poll_again_ = false;
            out.send = true;
        } else {
            end_poll();
        }
    }

    if (state_ != AdminDown) {
        if (p.state == AdminDown) {
            if (state_ != Down) move_to(Down, BfdDiagnostic::NeighborSignaledDown, now, out);
        } else if (state_ == Down) {
            if (p.state == Down) move_to(Init, diagnostic_, now, out);
            if (p.state == Init) move_to(Up, BfdDiagnostic::None, now, out);
        } else if (state_ == Init) {
            if (p.state == Init || p.state == Up) move_to(Up, BfdDiagnostic::None, now, out);
        } else if (p.state == Down) {
            move_to(Down, BfdDiagnostic::NeighborSignaledDown, now, out);
        }
        if (p.poll) out.send = out.final = true;
    }
    settle(now, random);
    return out;
}

bool Session::on_echo(const EchoPacket& p, TimePoint stamp) noexcept
{
    const bool on_its_way = p.sequence - echo_received_ - 1 < echo_sent_ - echo_received_;
    if (!on_its_way || p.proof != proof(p.sequence) || echo_at_ == kNever) return false;
    echo_received_ = p.sequence;
    const auto sent = echo_sent_at_[p.sequence % echo_sent_at_.size()];
    const bool known = echo_sent_ - p.sequence < echo_sent_at_.size();
    round_trip_ = known && stamp > sent ? stamp - sent : Duration{};
    last_echo_ = std::max(last_echo_, stamp);
    if (echo_from_ != kNever) echo_from_ = std::max(echo_from_, stamp);
    return true;
}

Session::Output Session::on_time(TimePoint now, TimePoint heard_until, Random& random) noexcept
{
    Output out;
    // What we didn't send in time can't have been answered: our own lateness is no silence of the peer's.
    const auto late = [now](TimePoint due) { return due < now ? now - due : Duration{}; };
    const auto grace = demanding_ ? late(send_at_) : Duration{};
    if (const auto end = expires(); end != kNever && end + grace <= heard_until) {
        // 6.8.4. bfd.RemoteDiscr is forgotten in every state, 6.8.1.
        if (state_ == Init || state_ == Up) move_to(Down, BfdDiagnostic::ControlDetectionTimeExpired, now, out);
        expecting_ = false;
        remote_.discriminator = 0;
        remote_.state = Down;
        remote_.demand = false;
        out.report = true;
    }
    if (const auto end = echo_expires(); state_ == Up && end != kNever && end + late(echo_at_) <= heard_until)
        move_to(Down, BfdDiagnostic::EchoFunctionFailed, now, out);  // 6.8.5
    // 6.8.1, bfd.AuthSeqKnown
    if (received_sequence_.known && !demanding_ && detect_from_ + 2 * detection_time() <= heard_until)
        received_sequence_.known = false;

    if (poll_at_ <= now) begin_poll();
    settle(now, random);
    if (send_at_ <= now) out.send = true;
    if (echo_at_ <= now) out.send_echo = true;
    out.send = out.send && speaks();
    return out;
}

TimePoint Session::expires() const noexcept
{
    if (demanding_) return poll_expires_;
    return expecting_ ? detect_from_ + detection_time() : kNever;
}

TimePoint Session::echo_expires() const noexcept
{
    return echo_from_ == kNever ? kNever : echo_from_ + echo_interval() * wanted_.multiplier;
}

TimePoint Session::next_deadline() const noexcept
{
    TimePoint at = std::min({send_at_, expires(), poll_at_, echo_at_, echo_expires()});
    if (received_sequence_.known && !demanding_) at = std::min(at, detect_from_ + 2 * detection_time());
    return at;
}

std::size_t Session::transmit(bool final, TimePoint now, Authenticator& authenticator, Random& random,
                              std::span<std::uint8_t, kMaxPacket> out) noexcept
{
    const auto p = packet(final);
    std::size_t length = kMandatory;
    const api::BfdKey* key = nullptr;
    if (wanted_.key_count != 0) {
        key = &keys()[std::min<std::size_t>(wanted_.sending_key, keys().size() - 1)];
        length += section_length(*key);
    }
    encode(p, length, out);
    if (key != nullptr) {
        // 6.7.3: a meticulous number is of one packet; else it moves with the contents.
        std::uint64_t content = 0;
        for (const auto octet : out.first<kMandatory>()) content = mix(content ^ octet);
        const bool each = key->type == api::BfdAuthentication::MeticulousKeyedMd5 ||
                          key->type == api::BfdAuthentication::MeticulousKeyedSha1;
        if (each || content != sequence_.content) ++sequence_.value;
        sequence_.content = content;
        authenticator.sign(*key, sequence_.value, out);
    }
    if (poll_expires_ != kNever && send_at_ < now) poll_expires_ += now - send_at_;
    last_sent_ = now;
    scheduled_ = Duration{};
    schedule(now, random);
    return length;
}

EchoPacket Session::transmit_echo(TimePoint now, Random& random) noexcept
{
    ++echo_sent_;
    echo_sent_at_[echo_sent_ % echo_sent_at_.size()] = now;
    echo_from_ = echo_from_ == kNever ? now : echo_from_ + std::max(now - echo_at_, Duration{});
    echo_at_ = now + jittered(echo_interval(), random);
    return {.discriminator = wanted_.discriminator, .sequence = echo_sent_, .proof = proof(echo_sent_)};
}

Session::Output Session::leave(TimePoint now, Duration most, Random& random) noexcept
{
    Output out;
    if (state_ != AdminDown) {
        insist(now, most);
        const bool heard = state_ != Down;
        move_to(AdminDown, BfdDiagnostic::AdministrativelyDown, now, out);
        out.send = heard && speaks();
    } else {
        insist_until_ = std::min(insist_until_, now + most);
    }
    // The peer's silence is of no interest any more, and its discriminator still is.
    expecting_ = received_sequence_.known = false;
    settle(now, random);
    return out;
}

// 6.8.16: for at least a detection time, the peer's. Only who is Up there could take our silence for a failure.
void Session::insist(TimePoint now, Duration most) noexcept
{
    if (state_ != Up && state_ != Init) return;
    const auto times = std::max<int>(wanted_.multiplier, 3);
    const auto time = std::min(transmit_interval() * times, most);
    insist_until_ = now + time;
    insist_every_ = std::min(transmit_interval(), time / 3);
}

api::BfdChanged Session::report() const noexcept
{
    const auto us = [](Duration d) {
        return static_cast<std::uint32_t>(
            std::min<std::int64_t>(std::chrono::duration_cast<microseconds>(d).count(), UINT32_MAX));
    };
    const bool echo = echoes();
    return {.id = wanted_.id,
            .state = state_,
            .diagnostic = diagnostic_,
            .remote_state = remote_.state,
            .remote_diagnostic = remote_.diagnostic,
            .remote_control_plane_independent = remote_.control_plane_independent,
            .remote_demand = remote_.demand,
            .remote_multiplier = remote_.multiplier,
            .remote_discriminator = remote_.discriminator,
            .remote_desired_min_tx = remote_.desired_min_tx,
            .remote_required_min_rx = remote_.required_min_rx,
            .remote_required_min_echo_rx = remote_.required_min_echo_rx,
            .transmit_interval = us(transmit_interval()),
            .detection_time = us(detection_time()),
            .echo_transmit_interval = echo ? us(echo_interval()) : 0,
            .echo_detection_time = echo ? us(echo_interval() * wanted_.multiplier) : 0,
            .at = changed_at_,
            .last_packet = last_received_};
}

// 6.8.7
Duration Session::transmit_interval() const noexcept { return microseconds{std::max(tx_, remote_.required_min_rx)}; }

Duration Session::receive_interval() const noexcept { return microseconds{std::max(rx_, remote_.desired_min_tx)}; }

// 6.8.4
Duration Session::detection_time() const noexcept
{
    if (demanding_) return transmit_interval() * wanted_.multiplier;
    return receive_interval() * remote_.multiplier;
}

// 6.8.9
Duration Session::echo_interval() const noexcept
{
    return microseconds{std::max(wanted_.desired_min_echo_tx, remote_.required_min_echo_rx)};
}

bool Session::periodic() const noexcept
{
    return speaks() && remote_.required_min_rx != 0 && (!peer_demands() || polling_);
}

bool Session::echoes() const noexcept
{
    return wanted_.echo && !wanted_.multihop && state_ == Up && remote_.required_min_echo_rx != 0;
}

std::uint32_t Session::wanted_tx() const noexcept
{
    return state_ == Up ? wanted_.desired_min_tx : std::max(wanted_.desired_min_tx, kSlow);
}

// 6.8.7
ControlPacket Session::packet(bool final) const noexcept
{
    return {.state = state_,
            .diagnostic = diagnostic_,
            .poll = polling_ && !final,
            .final = final,
            .control_plane_independent = wanted_.control_plane_independent,
            .demand = we_demand(),
            .multiplier = wanted_.multiplier,
            .my_discriminator = wanted_.discriminator,
            .your_discriminator = remote_.discriminator,
            .desired_min_tx = told_tx_,
            .required_min_rx = told_rx_,
            .required_min_echo_rx = wanted_.multihop ? 0 : wanted_.required_min_echo_rx};
}

void Session::move_to(BfdState state, BfdDiagnostic why, TimePoint now, Output& out) noexcept
{
    // RFC 5882 3.2: an AdminDown says nothing about the path.
    out.went_down = state_ == Up && state == Down && remote_.state != AdminDown;
    state_ = state;
    diagnostic_ = why;
    changed_at_ = now;
    out.send = out.report = true;
    if (state_ != Up) polling_ = poll_again_ = false;
    set_timers();
}

// 6.8.3: what the configuration and the state ask for is told to the peer. What would make a packet that is already on
// its way come too late, or the peer expect one that we don't send any more, takes effect when the peer has answered.
void Session::set_timers() noexcept
{
    const auto tx = wanted_tx();
    const auto rx = wanted_.required_min_rx;
    const bool changed = tx != told_tx_ || rx != told_rx_;
    told_tx_ = tx;
    told_rx_ = rx;
    if (state_ != Up || tx < tx_) tx_ = tx;
    if (state_ != Up || rx > rx_) rx_ = rx;
    if (changed && state_ == Up) begin_poll();
}

void Session::begin_poll() noexcept
{
    poll_again_ = polling_;
    polling_ = true;
    poll_at_ = kNever;
}

void Session::end_poll() noexcept
{
    polling_ = false;
    tx_ = told_tx_;
    rx_ = told_rx_;
    poll_expires_ = kNever;
}

// After every change: timers that follow from the state.
void Session::settle(TimePoint now, Random& random) noexcept
{
    // The end of demand is agreed on when its Poll Sequence is over: until then the peer may not know that it is to
    // speak.
    const bool demanding = we_demand() || (demanding_ && polling_ && both_up());
    if (demanding_ != demanding) {
        demanding_ = demanding;
        detect_from_ = std::max(detect_from_, now);
        poll_at_ = poll_expires_ = kNever;
    }
    if (demanding_) {
        if (polling_ && poll_expires_ == kNever) poll_expires_ = now + detection_time();
        if (!polling_ && poll_at_ == kNever) poll_at_ = now + receive_interval() * remote_.multiplier;
    }
    if (!echoes()) {
        echo_at_ = echo_from_ = kNever;
        echo_scheduled_ = {};
    } else if (echo_scheduled_ != echo_interval()) {
        echo_scheduled_ = echo_interval();
        echo_at_ = now;
        if (echo_from_ != kNever) echo_from_ = std::max(echo_from_, now);
    }
    schedule(now, random);
}

void Session::schedule(TimePoint now, Random& random) noexcept
{
    auto interval = periodic() ? transmit_interval() : Duration{};
    if (now < insist_until_) interval = std::min(interval, insist_every_);
    if (interval == scheduled_) return;
    scheduled_ = interval;
    if (interval == Duration{})
        send_at_ = kNever;
    else if (last_sent_ == TimePoint{})
        send_at_ = now + Duration{random.below(static_cast<std::uint64_t>(interval.count() / 4))};
    else
        send_at_ = std::max(now, last_sent_ + jittered(interval, random));
}

// 6.8.7: 75 to 100 %, and no more than 90 % when a single packet must not be missed.
Duration Session::jittered(Duration interval, Random& random) const noexcept
{
    const auto least = interval.count() * 3 / 4;
    const auto range = wanted_.multiplier == 1 ? interval.count() * 15 / 100 : interval.count() / 4;
    return Duration{least + static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(range) + 1))};
}

std::uint64_t Session::proof(std::uint32_t sequence) const noexcept { return mix(echo_secret_ ^ mix(sequence)); }

}  // namespace culvert::bfd
