#include "dataplane/worker.h"

#include "base/check.h"
#include "base/log.h"
#include "base/sanitizers.h"
#include "crypto/secret.h"
#include "dataplane/io/resident.h"
#include "dataplane/io/ring.h"
#include "dataplane/io/thread.h"

#include <rte_mbuf.h>
#include <rte_ring.h>

#include <unistd.h>

#include <algorithm>

namespace culvert::dataplane {

using node::kBurstMax;

namespace {

constexpr unsigned kInbox = 1024;
constexpr unsigned kControlInbox = 256;
constexpr std::size_t kCommandsARound = 64;
constexpr std::size_t kInjectsARound = 32;
constexpr unsigned kFullRounds = 8;

// A producer that was preempted holds up nobody.
rte_ring* make_inbox(const std::string& name, unsigned size)
{
    rte_ring* ring = rte_ring_create(name.c_str(), size, SOCKET_ID_ANY, RING_F_MP_RTS_ENQ | RING_F_SC_DEQ);
    CULVERT_CHECK(ring != nullptr);
    return ring;
}

}  // namespace

Worker::Worker(const Options& options, const std::string& name, fib::Rcu& rcu, const fib::Tables& tables,
               rte_mempool* pool, std::span<api::PeerActivity> activity, std::span<api::BfdActivity> bfd_activity,
               node::OwnerHints& hints)
    : options_(options),
      name_(name),
      peers_(aead_, activity),
      sas_(aead_, options.protection_activity),
      holds_(options.max_held),
      loans_(options.workers),
      context_{.tables = tables,
               .counters = counters_,
               .peers = peers_,
               .sas = sas_,
               .holds = holds_,
               .link = link_,
               .hints = hints,
               .pool = pool,
               .self = options.id,
               .workers = options.workers,
               .hash_seed = options.hash_seed,
               .tunnel_activity = options.tunnel_activity,
               .reassembly =
                   node::Reassembly({.fragments = std::min<std::size_t>(1024, options.max_held)}, options.hash_seed)},
      bfd_(context_, bfd_activity, mix(options.hash_seed ^ mix(index(options.id) + 1U))),
      pipeline_(context_, *this),
      idle_(link_.worker_wake, {.busy = options.busy}),
      sleeper_(options.rouser != nullptr ? &options.rouser->add(link_.worker_wake) : nullptr),
      reader_(rcu.register_reader()),
      inbox_(make_inbox(name + "-inbox", kInbox)),
      control_inbox_(make_inbox(name + "-first", kControlInbox)),
      urgency_(name, sleeper_)
{
    io::make_resident(&link_, sizeof link_);
    context_.bfd = &bfd_;
    context_.next_fragment_id = static_cast<std::uint32_t>(mix(options.hash_seed + index(options.id)));
}

Worker::~Worker()
{
    stop();
    rte_ring_free(inbox_);
    rte_ring_free(control_inbox_);
}

void Worker::start(io::HostLink& host_link, std::span<Worker* const> all)
{
    host_link_ = &host_link;
    all_.assign(all.begin(), all.end());
    std::vector<node::LoanDesk::Lender> lenders;
    for (Worker* const other : all_)
        if (other != this) lenders.push_back({&other->loans_, &other->link_.worker_wake});
    context_.loans.open(options_.id, aead_, std::move(lenders));
    thread_ = std::thread{[this] { main(); }};
}

void Worker::leave() noexcept
{
    leaving_.store(true, std::memory_order_release);
    link_.worker_wake.signal();
}

void Worker::stop()
{
    if (!thread_.joinable()) return;
    stopping_.store(true, std::memory_order_release);
    link_.worker_wake.signal();
    thread_.join();
}

void Worker::set_ports(std::shared_ptr<const PortList> ports)
{
    wanted_.store(ports.get(), std::memory_order_release);
    link_.worker_wake.signal();
    while (adopted_.load(std::memory_order_acquire) != ports.get()) std::this_thread::sleep_for(20us);
    ports_ = std::move(ports);
}

api::WorkerRuntime Worker::runtime() const
{
    return {.id = options_.id,
            .cpu = options_.cpu ? static_cast<int>(*options_.cpu) : -1,
            .polls = polls_.read(),
            .busy_polls = busy_polls_.read(),
            .sleeps = sleeps_.read(),
            .packets = packets_.read(),
            .cycles_busy = cycles_busy_.read(),
            .longest_poll_gap = Duration{longest_gap_.load(std::memory_order_relaxed)},
            .page_faults = io::thread_page_faults(tid_.load(std::memory_order_relaxed)),
            .moves = sleeper_ != nullptr ? sleeper_->moves() : 0};
}

void Worker::main()
{
    tid_.store(gettid(), std::memory_order_relaxed);
    io::name_thread(name_);
    io::exact_timers();
    if (options_.cpu) {
        if (const auto pinned = io::pin_thread(*options_.cpu); !pinned) log::warning("worker", "{}", pinned.error());
    }
    const io::LcoreRegistration registration;
    if (index(options_.id) == 0) {
        if (const int fd = links_.watch(); fd >= 0) idle_.add_queue({&fd, 1});
    }
    reader_.online();

    TimePoint last = clock_.now();
    while (!stopping_.load(std::memory_order_acquire)) {
        const auto began = io::TscClock::read_tsc();
        context_.now = clock_.now();
        const auto gap = (context_.now - last).count();
        if (gap > longest_gap_.load(std::memory_order_relaxed)) longest_gap_.store(gap, std::memory_order_relaxed);
        if (gap >= kHeldUp.count()) bfd_.engine().held_up(context_.now, Duration{gap});

        const bool found = round();
        reader_.quiescent();
        polls_.add(1);
        if (found) {
            busy_polls_.add(1);
            packets_.add(round_packets_);
            cycles_busy_.add(io::TscClock::read_tsc() - began);
        }
        last = context_.now;
        const auto deadline = next_deadline();
        if (idle_.after_round(found, context_.now, deadline, *this)) {
            sleeps_.add(1);
            last = std::min(clock_.now(), deadline);  // woken late: held up since then
        }
        urgency_.mind(options_.realtime && !options_.busy && bfd_.engine().size() != 0, context_.now,
                      pipeline_.speaks_at(), reader_, clock_);
    }

    if (sleeper_ != nullptr) sleeper_->watch(false);
    pipeline_.shut_down();
    transmit_.close_all();
    for (const auto& q : queues_) idle_.remove_queue(q.port->wait_fds(q.queue));
    queues_.clear();
    for (auto* const inbox : {inbox_, control_inbox_}) {
        void* m;
        while (rte_ring_sc_dequeue(inbox, &m) == 0) {
            taken(m);
            counters_.verdict(api::Verdict::DropShutdown);
            rte_pktmbuf_free(static_cast<rte_mbuf*>(m));
        }
    }
    reader_.offline();
}

bool Worker::round() noexcept
{
    round_packets_ = 0;
    if (wanted_.load(std::memory_order_acquire) != adopted_.load(std::memory_order_relaxed)) adopt_ports();

    bool found = poll_control();
    found |= poll_workers();
    found |= poll_host();
    found |= poll_ports();
    found |= lend();
    pipeline_.settle();
    speak();
    if (leaving_.load(std::memory_order_relaxed) && !left() && pipeline_.say_goodbye(clock_.now(), kFarewell) &&
        !transmit_.waiting())
        left_.store(true, std::memory_order_release);
    if (context_.now >= pipeline_.next_deadline()) pipeline_.expire();
    if (links_.due(context_.now)) links_.look(context_, clock_);
    found |= transmit_.flush();
    if (std::exchange(context_.told_control, false)) link_.control_wake.signal();
    return found;
}

// Others' ciphers, and the bursts of ours that come back. A worker lends when its rounds have been full for a while.
bool Worker::lend() noexcept
{
    if (options_.workers == 1) return false;
    pressure_ = round_packets_ >= kBurstMax / 2 ? pressure_ + 1 : 0;
    context_.loans.press(pressure_ >= kFullRounds);
    const bool any = loans_.work(aead_, [this](WorkerId owner) { all_[index(owner)]->link_.worker_wake.signal(); });
    return pipeline_.settle_loans(round_packets_ == 0) || any;
}

// Keys are wiped in the ring itself: no copy of them is made on the way.
bool Worker::poll_control() noexcept
{
    bool found = false;
    for (std::size_t i = 0; i < kCommandsARound; ++i) {
        const bool took = link_.commands.consume_one([this](api::WorkerCommand& command) {
            pipeline_.command(command);
            if (auto* keys = std::get_if<api::InstallKeys>(&command)) {
                crypto::wipe(keys->sending.data(), keys->sending.size());
                crypto::wipe(keys->receiving.data(), keys->receiving.size());
            } else if (auto* sa = std::get_if<api::InstallSa>(&command)) {
                crypto::wipe(sa->key.data(), sa->key.size());
            }
        });
        if (!took) break;
        found = true;
    }
    for (std::size_t i = 0; i < kInjectsARound; ++i) {
        if (!link_.injects.consume_one([this](const api::Inject& inject) { pipeline_.inject(inject); })) break;
        found = true;
        ++round_packets_;
    }
    return found;
}

bool Worker::poll_workers() noexcept
{
    if (options_.workers == 1) return false;
    auto heard = kNever;
    for (const auto* other : all_)
        if (other != this) heard = std::min(heard, other->hearing_.heard());
    bool drained = false;
    bool found = poll_inbox(control_inbox_, drained);
    if (drained) hearing_.others_heard_until(heard);
    found |= poll_inbox(inbox_, drained);
    return found;
}

bool Worker::poll_inbox(rte_ring* inbox, bool& drained) noexcept
{
    std::array<rte_mbuf*, kBurstMax> packets;
    const auto n = rte_ring_sc_dequeue_burst(inbox, reinterpret_cast<void**>(packets.data()), kBurstMax, nullptr);
    drained = n < kBurstMax;
    if (n == 0) return false;
    for (auto* m : std::span{packets}.first(n)) taken(m);
    pipeline_.handed_over(std::span{packets}.first(n));
    round_packets_ += n;
    return true;
}

bool Worker::poll_host() noexcept
{
    std::array<rte_mbuf*, kBurstMax> packets;
    const auto n = host_link_->receive(options_.id, packets);
    if (n == 0) return false;
    for (auto* m : std::span{packets}.first(n)) node::begin(m, context_.now).vrf = io::host_vrf(*m);
    pipeline_.from_host(std::span{packets}.first(n));
    round_packets_ += n;
    return true;
}

bool Worker::poll_ports() noexcept
{
    std::array<rte_mbuf*, kBurstMax> frames;
    bool found = false;
    auto heard = context_.now;
    for (auto& q : queues_) {
        context_.now = clock_.now();  // the time stamp of frames whose device gives none
        const auto n = q.port->rx_burst(q.queue, frames.data(), kBurstMax);
        const auto progress = q.port->progress(q.queue, n);
        if (progress != io::Port::Progress::Apart)
            q.reception.received(n, progress == io::Port::Progress::Drained, context_.now);
        std::array<std::int64_t, kBurstMax> times;
        context_.stamps = {};
        context_.stamped_by = api::TimestampSource::Tsc;
        if (n != 0 && q.stamps.take(std::span{frames}.first(n), context_.now, times)) {
            context_.stamps = std::span{times}.first(n);
            context_.stamped_by = q.stamps.source();
            if (progress == io::Port::Progress::Behind) q.reception.stamped(TimePoint{Duration{times[n - 1U]}});
        }
        heard = std::min(heard, q.reception.heard_until());
        if (n == 0) continue;
        found = true;
        round_packets_ += n;
        pipeline_.frames(q.id, std::span{frames}.first(n));
    }
    hearing_.heard_until(heard);
    return found;
}

void Worker::speak() noexcept
{
    const auto now = clock_.now();
    const bool alone = options_.workers == 1;
    if (!pipeline_.speak(now, alone ? hearing_.own() : hearing_.with_others(now)) || alone) return;
    // Somebody's time is up, but another worker, asleep perhaps, hasn't looked at its queues since: now it does.
    if (pipeline_.speaks_at() > now) return;
    for (auto* other : all_)
        if (other != this) other->link_.worker_wake.signal();
}

// Queue q of a port belongs to worker q modulo the number of workers.
void Worker::adopt_ports()
{
    const auto* ports = wanted_.load(std::memory_order_acquire);
    const auto has = [&](const io::Port* p) {
        return ports && std::find(ports->begin(), ports->end(), p) != ports->end();
    };

    std::erase_if(queues_, [&](const Queue& q) {
        if (has(q.port)) return false;
        idle_.remove_queue(q.port->wait_fds(q.queue));
        transmit_.close(q.id);
        return true;
    });
    links_.remove([&](const io::Port* port) { return !has(port); });
    std::array<bool, io::kMaxPorts> open{};
    if (ports != nullptr) {
        for (auto* port : *ports) {
            const auto info = port->info();
            const auto at = index(info.id);
            open[at] = true;
            const bool known =
                std::any_of(queues_.begin(), queues_.end(), [&](const Queue& q) { return q.port == port; }) ||
                transmit_.is_open(info.id);
            if (known) continue;
            const auto self = index(options_.id);
            transmit_.open(*port, info.id, info.queues, options_.id, counters_);
            for (std::uint16_t q = 0; q < info.queues; ++q) {
                if (q % options_.workers != self) continue;
                queues_.push_back({port, info.id, q, io::ReceiveStamps{*port}});
                idle_.add_queue(port->wait_fds(q));
            }
            if (self == 0) links_.add(*port, info.id, info.link_up);
        }
    }
    for (std::size_t at = 0; at < open.size(); ++at)
        if (!open[at]) transmit_.close(PortId{static_cast<std::uint16_t>(at)});
    links_.look_again(context_.now);
    adopted_.store(ports, std::memory_order_release);
}

TimePoint Worker::next_deadline() const noexcept
{
    return std::min({pipeline_.next_deadline(), links_.next_deadline(), pipeline_.speaks_at()});
}

std::size_t Worker::transmit(PortId port, bool control, std::span<rte_mbuf* const> frames) noexcept
{
    return transmit_.send(port, control, frames);
}

std::size_t Worker::to_host(VrfId vrf, std::span<rte_mbuf* const> packets) noexcept
{
    return host_link_->send(options_.id, vrf, packets);
}

std::size_t Worker::hand_over(WorkerId worker, std::span<rte_mbuf* const> packets) noexcept
{
    auto& other = *all_[index(worker)];
    const bool control = node::metadata(packets.front()).has(node::Flag::Control);
    for (rte_mbuf* const m : packets) given(m);
    const auto n = rte_ring_enqueue_burst(control ? other.control_inbox_ : other.inbox_,
                                          reinterpret_cast<void* const*>(packets.data()),
                                          static_cast<unsigned>(packets.size()), nullptr);
    other.link_.worker_wake.signal();
    return n;
}

WorkerId Worker::transmitter(PortId port, WorkerId self) const noexcept
{
    if (options_.workers == 1 || index(port) >= io::kMaxPorts) return self;
    return transmit_.transmitter(port);
}

bool Worker::work_waiting() noexcept
{
    if (stopping_.load(std::memory_order_acquire)) return true;
    if (leaving_.load(std::memory_order_acquire) && !left()) return true;
    if (wanted_.load(std::memory_order_acquire) != adopted_.load(std::memory_order_relaxed)) return true;
    if (link_.commands.read_available() != 0 || link_.injects.read_available() != 0) return true;
    if (host_link_->pending(options_.id) || io::has_packets(inbox_) || io::has_packets(control_inbox_)) return true;
    if (!loans_.empty() || !context_.loans.empty()) return true;
    return std::any_of(queues_.begin(), queues_.end(), [](const Queue& q) { return q.port->pending(q.queue); });
}

void Worker::going_to_sleep() noexcept
{
    reader_.offline();
    if (sleeper_ != nullptr) sleeper_->begin(pipeline_.speaks_at());
}

void Worker::woken() noexcept
{
    if (sleeper_ != nullptr) sleeper_->end();
    reader_.online();
}

}  // namespace culvert::dataplane
