#include "dataplane/dataplane.h"

#include "base/check.h"
#include "dataplane/fib/fib_writer.h"
#include "dataplane/io/host_link.h"
#include "dataplane/io/packet_pool.h"
#include "dataplane/io/port.h"
#include "dataplane/io/rouser.h"
#include "dataplane/io/thread.h"
#include "dataplane/worker.h"

#include <sys/random.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <thread>

namespace culvert::dataplane {

namespace {

constexpr std::size_t kMostWorkers = 64;

std::uint64_t secret_seed()
{
    std::uint64_t seed = 0;
    CULVERT_CHECK(getrandom(&seed, sizeof seed, 0) == sizeof seed);
    return seed;
}

// Activity of peers or sessions by their id. Places that none has are never touched.
template <class Id, class T>
class Activity {
public:
    explicit Activity(std::size_t n) : places_(std::make_unique<T[]>(n)), size_(n) {}
    std::span<T> all() noexcept { return {places_.get(), size_}; }
    const T& operator[](Id id) const noexcept { return places_[index(id)]; }
    std::size_t size() const noexcept { return size_; }

private:
    std::unique_ptr<T[]> places_;
    std::size_t size_;
};

class LiveDataplane final : public api::Dataplane {
public:
    LiveDataplane(const Options& options, std::unique_ptr<io::Eal> eal, io::PacketPool pool, const std::string& name)
        : eal_(std::move(eal)),
          pool_(std::move(pool)),
          guardian_(options.guardian),
          tables_(rcu_),
          writer_(channel_, tables_, rcu_),
          activity_(options.max_peers),
          bfd_activity_(api::kMaxBfdSessions)
    {
        const auto count = worker_count(options);
        const auto seed = secret_seed();
        std::vector<api::Wake*> wakes;
        std::vector<Worker*> all;
        for (std::size_t i = 0; i < count; ++i) {
            const Worker::Options o{.id = WorkerId{static_cast<std::uint8_t>(i)},
                                    .workers = static_cast<std::uint8_t>(count),
                                    .cpu = options.cpus.empty() ? std::nullopt : std::optional{options.cpus[i]},
                                    .busy = options.poll_busy,
                                    .realtime = options.realtime,
                                    .hash_seed = seed,
                                    .tunnel_activity = tunnel_activity_,
                                    .protection_activity = {&protection_activity_[0], protection_activity_.size()},
                                    .max_held = std::min<std::size_t>(4096, pool_.buffers() / 4 / count),
                                    .rouser = options.cpus.empty() && !options.poll_busy ? &rouser_ : nullptr};
            workers_.push_back(std::make_unique<Worker>(o, name + "-w" + std::to_string(i), rcu_, tables_, pool_.get(),
                                                        activity_.all(), bfd_activity_.all(), hints_));
            wakes.push_back(&workers_.back()->link().worker_wake);
            all.push_back(workers_.back().get());
        }
        host_link_ = std::make_unique<io::HostLink>(pool_.get(), wakes);
        writer_thread_ = std::jthread{[this](const std::stop_token& stop) {
            io::name_thread("culvert-fib");
            writer_.run(stop);
        }};
        for (auto& worker : workers_) worker->start(*host_link_, all);
        if (options.realtime) rouser_.start();
    }

    ~LiveDataplane() override
    {
        say_goodbye();
        for (auto& worker : workers_) worker->stop();
        rouser_.stop();
        writer_thread_.request_stop();
        channel_.writer_wake.signal();
        writer_thread_.join();
        host_link_.reset();
    }

    Result<api::PortInfo, api::PortError> open_port(const api::PortSpec& spec) override
    {
        io::PortOptions options{.own_id = free_id(),
                                .queues = static_cast<std::uint16_t>(workers_.size()),
                                .pool = pool_.get(),
                                .guardian = guardian_};
        if (options.own_id == kNoPort) return Error{api::PortError{spec.device + ": too many ports are open"}};
        auto port = io::open_port(spec, options);
        if (!port) return Error{port.error()};
        auto info = (*port)->info();
        CULVERT_CHECK(index(info.id) < io::kMaxPorts);
        ports_[info.id] = std::move(*port);
        tell_workers();
        return info;
    }
    Result<void, api::PortError> check_port(const api::PortSpec& spec) const override { return io::check_port(spec); }
    void close_port(PortId id) override
    {
        const auto at = ports_.find(id);
        if (at == ports_.end()) return;
        auto port = std::move(at->second);
        ports_.erase(at);
        tell_workers();
    }
    Result<void, api::PortError> set_port_mtu(PortId id, std::uint16_t mtu) override
    {
        const auto at = ports_.find(id);
        if (at == ports_.end()) return Error{api::PortError{"no such port"}};
        return at->second->set_mtu(mtu);
    }
    std::vector<api::PortInfo> ports() const override
    {
        std::vector<api::PortInfo> out;
        for (const auto& [id, port] : ports_) out.push_back(port->info());
        return out;
    }

    void attach_host_link(VrfId vrf, int tun) override
    {
        host_link_->attach(vrf, tun);
        tables_.set_host_link(vrf, true);
    }
    void detach_host_link(VrfId vrf) override
    {
        tables_.set_host_link(vrf, false);
        host_link_->detach(vrf);
    }

    api::FibChannel& fib() override { return channel_; }
    std::size_t workers() const override { return workers_.size(); }
    api::WorkerLink& link(WorkerId worker) override { return workers_.at(index(worker))->link(); }
    WorkerId owner(PeerId peer) const override
    {
        return WorkerId{static_cast<std::uint8_t>(index(peer) % workers_.size())};
    }
    const api::PeerActivity& activity(PeerId peer) const override
    {
        CULVERT_CHECK(index(peer) < activity_.size());
        return activity_[peer];
    }
    WorkerId bfd_owner(PeerId peer, ProtectionId protection) const override
    {
        const auto number = peer != kNoPeer ? index(peer) : index(protection);
        return WorkerId{static_cast<std::uint8_t>(number % workers_.size())};
    }
    const api::BfdActivity& activity(BfdSessionId session) const override
    {
        CULVERT_CHECK(index(session) < bfd_activity_.size());
        return bfd_activity_[session];
    }

    WorkerId owner(InterfaceId tunnel) const override
    {
        return WorkerId{static_cast<std::uint8_t>(index(tunnel) % workers_.size())};
    }
    const api::TunnelActivity& activity(InterfaceId tunnel) const override { return tunnel_activity_[index(tunnel)]; }
    WorkerId owner(ProtectionId protection) const override
    {
        return WorkerId{static_cast<std::uint8_t>(index(protection) % workers_.size())};
    }
    const api::ProtectionActivity& activity(ProtectionId protection) const override
    {
        CULVERT_CHECK(index(protection) < protection_activity_.size());
        return protection_activity_[index(protection)];
    }

    std::array<std::uint64_t, api::kVerdictCount> verdicts() const override
    {
        std::array<std::uint64_t, api::kVerdictCount> sum{};
        for (const auto& worker : workers_)
            for (std::size_t i = 0; i < sum.size(); ++i)
                sum[i] += worker->counters().verdict_count(static_cast<api::Verdict>(i));
        return sum;
    }
    api::InterfaceCounters interface_counters(InterfaceId id) const override
    {
        api::InterfaceCounters sum;
        for (const auto& worker : workers_) {
            const auto& c = worker->counters().interface(id);
            sum.rx_packets += c.rx_packets.read();
            sum.rx_octets += c.rx_octets.read();
            sum.rx_drops += c.rx_drops.read();
            sum.tx_packets += c.tx_packets.read();
            sum.tx_octets += c.tx_octets.read();
            sum.tx_drops += c.tx_drops.read();
        }
        return sum;
    }
    api::PortCounters port_counters(PortId id) const override
    {
        const auto at = ports_.find(id);
        return at == ports_.end() ? api::PortCounters{} : at->second->counters();
    }
    std::vector<api::WorkerRuntime> runtime() const override
    {
        std::vector<api::WorkerRuntime> out;
        for (const auto& worker : workers_) out.push_back(worker->runtime());
        return out;
    }
    std::vector<api::MemoryUse> memory() const override
    {
        auto out = writer_.memory();
        out.push_back(pool_.memory());
        return out;
    }
    std::optional<api::FibAnswer> lookup(VrfId vrf, const IpAddress& destination) const override
    {
        return writer_.lookup(vrf, destination);
    }
    api::DownView down(api::DownKind kind, std::uint32_t id) const override
    {
        const auto state = tables_.down(kind, id);
        return {state.causes, state.epoch, tables_.met_down(kind, id)};
    }

private:
    // What one worker says may leave by another one's queue: all go on until all are through, or have had their time.
    void say_goodbye()
    {
        for (auto& worker : workers_) worker->leave();
        const auto left = [](const auto& worker) { return worker->left(); };
        for (int i = 0; i < 50 && !std::all_of(workers_.begin(), workers_.end(), left); ++i)
            std::this_thread::sleep_for(1ms);
        if (workers_.size() > 1) std::this_thread::sleep_for(1ms);
    }
    PortId free_id() const
    {
        for (auto id = io::kFirstOwnPort; id < io::kMaxPorts; ++id)
            if (!ports_.contains(PortId{id})) return PortId{id};
        return kNoPort;
    }
    void tell_workers()
    {
        auto list = std::make_shared<PortList>();
        for (const auto& [id, port] : ports_) list->push_back(port.get());
        for (auto& worker : workers_) worker->set_ports(list);
    }

    // In the order of their lives: what workers use goes after them.
    std::unique_ptr<io::Eal> eal_;
    io::PacketPool pool_;
    io::Guardian* guardian_;
    fib::Rcu rcu_;
    fib::Tables tables_;
    api::FibChannel channel_;
    fib::FibWriter writer_;
    Activity<PeerId, api::PeerActivity> activity_;
    Activity<BfdSessionId, api::BfdActivity> bfd_activity_;
    std::vector<api::TunnelActivity> tunnel_activity_{std::size_t{1} << 16};  // by InterfaceId
    fib::IdTable<api::ProtectionActivity> protection_activity_{api::kMaxProtections};
    node::OwnerHints hints_;
    std::map<PortId, std::unique_ptr<io::Port>> ports_;
    io::Rouser rouser_{io::allowed_cpus()};
    std::vector<std::unique_ptr<Worker>> workers_;
    std::unique_ptr<io::HostLink> host_link_;
    std::jthread writer_thread_;
};

}  // namespace

std::size_t worker_count(const Options& options)
{
    if (!options.cpus.empty()) return std::min(options.cpus.size(), kMostWorkers);
    if (options.workers != 0) return std::min(options.workers, kMostWorkers);
    const auto cpus = io::allowed_cpus().size();
    return std::clamp<std::size_t>(cpus - std::min<std::size_t>(cpus, 1), 1, 4);
}

Result<std::unique_ptr<api::Dataplane>, std::string> make_dataplane(const Options& options)
{
    std::unique_ptr<io::Eal> eal;
    std::size_t octets = options.memory_octets != 0 ? options.memory_octets : io::kDefaultMemory;
    if (!options.eal_runs) {
        auto started = io::Eal::start(
            {.memory = options.memory, .octets = options.memory_octets, .restart_program = options.restart_program});
        if (!started) return Error{started.error().message};
        eal = std::move(*started);
        octets = eal->octets();
    }
    // DPDK's objects are named in the whole process.
    static std::atomic<unsigned> made{0};
    const auto number = made.fetch_add(1);
    const auto name = number == 0 ? std::string{"culvert"} : "culvert" + std::to_string(number);
    auto pool = io::PacketPool::create(name + "-packets", io::PacketPool::buffers_for(octets));
    if (!pool) return Error{pool.error()};
    return std::unique_ptr<api::Dataplane>{
        std::make_unique<LiveDataplane>(options, std::move(eal), std::move(*pool), name)};
}

}  // namespace culvert::dataplane
