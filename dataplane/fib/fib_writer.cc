#include "dataplane/fib/fib_writer.h"

#include "base/log.h"

#include <poll.h>
#include <time.h>

#include <algorithm>
#include <utility>
#include <variant>

namespace culvert::fib {
namespace {

bool well_formed(const IpPrefix& p) noexcept { return p.length <= max_length(p.family()); }

// While a reader is waited for: a busy worker is quiescent within microseconds, a preempted one within milliseconds.
constexpr long kShortestNap = 50'000;  // ns
constexpr long kLongestNap = 1'000'000;
// Without updates for so long, there is time to look for memory to give back.
constexpr Duration kQuiet = 500ms;

TimePoint now()
{
    timespec t{};
    clock_gettime(CLOCK_MONOTONIC, &t);
    return TimePoint{std::chrono::seconds{t.tv_sec} + std::chrono::nanoseconds{t.tv_nsec}};
}

timespec to_timespec(Duration d)
{
    const auto ns = std::max<std::int64_t>(d.count(), 0);
    return {static_cast<time_t>(ns / 1'000'000'000), static_cast<long>(ns % 1'000'000'000)};
}

}  // namespace

std::string_view text(Refusal r) noexcept
{
    switch (r) {
        case Refusal::UnknownVrf: return "unknown VRF";
        case Refusal::UnknownGroup: return "unknown group";
        case Refusal::UnknownNexthop: return "unknown next hop";
        case Refusal::UnknownInterface: return "unknown interface";
        case Refusal::UnknownPeer: return "unknown peer";
        case Refusal::UnknownTunnel: return "unknown tunnel";
        case Refusal::UnknownPrefix: return "prefix is not there";
        case Refusal::IdOutOfRange: return "id out of range";
        case Refusal::BadPrefix: return "malformed prefix";
        case Refusal::BadGroup: return "malformed group";
        case Refusal::StrayGroupMember: return "group member out of turn";
        case Refusal::StaleClear: return "a later failure came before the clear";
        case Refusal::NoRoom: return "no room in the table";
        case Refusal::UnknownWord: return "unknown down word";
        case Refusal::UnknownProtection: return "unknown protection";
    }
    return "?";
}

FibWriter::FibWriter(api::FibChannel& channel, Tables& tables, Rcu& rcu) : channel_(channel), tables_(tables), rcu_(rcu)
{}

void FibWriter::run(const std::stop_token& stop)
{
    const std::stop_callback wake(stop, [this] { channel_.writer_wake.signal(); });
    auto nap = kShortestNap;
    while (!stop.stop_requested()) {
        if (step(now()).applied) {
            nap = kShortestNap;
            continue;
        }
        channel_.writer_wake.arm();
        const auto last = step(now());
        if (!last.applied && !stop.stop_requested()) {
            pollfd fd{channel_.writer_wake.fd(), POLLIN, 0};
            const auto due = last.spare ? std::min(last.due, now() + kQuiet) : last.due;
            const auto wait = to_timespec(last.pending ? Duration{nap} : due - now());
            const bool forever = !last.pending && due == kNever;
            const int woken = ppoll(&fd, 1, forever ? nullptr : &wait, nullptr);
            if (woken == 0 && !last.pending && last.spare) {
                const std::lock_guard lock(editing_);
                tables_.give_back();
            }
            nap = last.pending ? std::min(nap * 2, kLongestNap) : kShortestNap;
        }
        channel_.writer_wake.disarm();
    }
}

FibWriter::Step FibWriter::step(TimePoint now)
{
    Step done;
    std::uint64_t ack = 0;
    {
        const std::lock_guard lock(editing_);
        auto& reclaimer = tables_.reclaimer();
        reclaimer.collect();
        // A reader that stalls holds up memory; the control plane's queue then grows instead, where updates coalesce.
        for (std::size_t n = 0; n < kBundle && reclaimer.bytes() < kMaxRetired; n += kBatch) {
            std::size_t count = 0;
            while (count < kBatch && channel_.pop(batch_[count])) ++count;
            if (count == 0) break;
            const auto batch = std::span{batch_}.first(count);
            prefetch(batch);
            for (const auto& update : batch) std::visit([this](const auto& u) { on(u); }, update);
            applied_.fetch_add(count, std::memory_order_relaxed);
            done.applied = true;
        }
        if (done.applied) reclaimer.seal();
        while (!acks_.empty() && rcu_.check(acks_.front().token)) {
            ack = acks_.front().generation;
            acks_.pop_front();
        }
        done.due = tables_.groups().move_buckets(now);
        done.pending = !acks_.empty() || reclaimer.waiting() > 0;
        done.spare = tables_.spare();
    }
    if (ack != 0) channel_.ack(ack);
    return done;
}

// Routes come in runs: what the edits of one table will read is asked for together.
void FibWriter::prefetch(std::span<const api::FibUpdate> updates) const
{
    std::array<Key4, kBatch> v4;
    std::array<Key6, kBatch> v6;
    std::size_t n4 = 0, n6 = 0;
    std::optional<VrfId> id;
    const auto add = [&](VrfId vrf, const IpPrefix& prefix) {
        if (id.value_or(vrf) != vrf) return;
        id = vrf;
        if (prefix.family() == Family::Ipv4)
            v4[n4++] = Lpm4::key(prefix.address);
        else
            v6[n6++] = Lpm6::key(prefix.address.v6());
    };
    for (const auto& update : updates) {
        if (const auto* set = std::get_if<api::SetRoute>(&update))
            add(set->vrf, set->prefix);
        else if (const auto* gone = std::get_if<api::DeleteRoute>(&update))
            add(gone->vrf, gone->prefix);
    }
    const auto* vrf = id ? tables_.vrf(*id) : nullptr;
    if (!vrf) return;
    vrf->lpm4.prefetch_edits(std::span{v4}.first(n4));
    vrf->lpm6.prefetch_edits(std::span{v6}.first(n6));
}

void FibWriter::apply(const api::FibUpdate& update)
{
    const std::lock_guard lock(editing_);
    std::visit([this](const auto& u) { on(u); }, update);
    applied_.fetch_add(1, std::memory_order_relaxed);
    tables_.reclaimer().seal();
    tables_.reclaimer().collect();
}

void FibWriter::refuse(Refusal reason, std::string_view what)
{
    auto& count = refused_[static_cast<std::size_t>(reason)];
    const auto n = count.fetch_add(1, std::memory_order_relaxed) + 1;
    // The first ones, then ever fewer: a bug repeats itself.
    if (reason != Refusal::StaleClear && (n <= 8 || (n & (n - 1)) == 0))
        log::warning("fib", "update refused: {}: {} ({} so far)", what, text(reason), n);
}

std::uint64_t FibWriter::refused() const noexcept
{
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i < kRefusals; ++i)
        if (Refusal{static_cast<std::uint8_t>(i)} != Refusal::StaleClear)
            sum += refused_[i].load(std::memory_order_relaxed);
    return sum;
}

// ---- updates -------------------------------------------------------------------------------------------------------

void FibWriter::on(const api::Commit& u) { acks_.push_back({u.generation, tables_.reclaimer().seal()}); }

void FibWriter::on(const api::SetVrf& u) { tables_.set_vrf(u.vrf); }

void FibWriter::on(const api::DeleteVrf& u)
{
    if (!tables_.delete_vrf(u.vrf)) refuse(Refusal::UnknownVrf, "delete VRF");
}

void FibWriter::on(const api::SetInterface& u)
{
    if (!tables_.vrf(u.vrf)) return refuse(Refusal::UnknownVrf, "set interface");
    if (!tables_.set_interface(u)) refuse(Refusal::IdOutOfRange, "set interface");
}

void FibWriter::on(const api::DeleteInterface& u)
{
    if (!tables_.delete_interface(u.id)) refuse(Refusal::UnknownInterface, "delete interface");
}

void FibWriter::on(const api::SetWireguard& u)
{
    if (!tables_.vrf(u.outer_vrf)) return refuse(Refusal::UnknownVrf, "set WireGuard interface");
    if (!tables_.set_wireguard(u)) refuse(Refusal::UnknownInterface, "set WireGuard interface");
}

void FibWriter::on(const api::SetTunnel& u)
{
    if (!tables_.vrf(u.outer_vrf)) return refuse(Refusal::UnknownVrf, "set tunnel");
    if (!tables_.set_tunnel(u)) refuse(Refusal::UnknownInterface, "set tunnel");
}

void FibWriter::on(const api::SetTunnelEndpoint& u)
{
    if (!tables_.tunnels().set_endpoint(u)) refuse(Refusal::UnknownTunnel, "set tunnel endpoint");
}

void FibWriter::on(const api::DeleteTunnelEndpoint& u)
{
    if (!tables_.tunnels().erase_endpoint(u)) refuse(Refusal::UnknownTunnel, "delete tunnel endpoint");
}

void FibWriter::on(const api::SetPeer& u)
{
    if (!tables_.interface(u.interface)) return refuse(Refusal::UnknownInterface, "set peer");
    if (!tables_.set_peer(u)) refuse(Refusal::IdOutOfRange, "set peer");
}

void FibWriter::on(const api::DeletePeer& u)
{
    if (!tables_.delete_peer(u.id)) refuse(Refusal::UnknownPeer, "delete peer");
}

void FibWriter::on(Tables::Change change, Refusal unknown, std::string_view what)
{
    switch (change) {
        case Tables::Change::Done: return;
        case Tables::Change::Unknown: return refuse(unknown, what);
        case Tables::Change::Absent: return refuse(Refusal::UnknownPrefix, what);
        case Tables::Change::Full: return refuse(Refusal::NoRoom, what);
    }
}

void FibWriter::on(const api::SetAllowedIp& u)
{
    if (!well_formed(u.prefix)) return refuse(Refusal::BadPrefix, "set allowed-ip");
    if (!tables_.peer(u.peer)) return refuse(Refusal::UnknownPeer, "set allowed-ip");
    on(tables_.set_allowed_ip(u), Refusal::UnknownInterface, "set allowed-ip");
}

void FibWriter::on(const api::DeleteAllowedIp& u)
{
    if (!well_formed(u.prefix)) return refuse(Refusal::BadPrefix, "delete allowed-ip");
    on(tables_.delete_allowed_ip(u), Refusal::UnknownInterface, "delete allowed-ip");
}

void FibWriter::on(const api::AddPeerSource& u)
{
    if (!well_formed(u.prefix)) return refuse(Refusal::BadPrefix, "add peer source");
    on(tables_.add_peer_source(u), Refusal::UnknownPeer, "add peer source");
}

void FibWriter::on(const api::DeletePeerSource& u)
{
    if (!well_formed(u.prefix)) return refuse(Refusal::BadPrefix, "delete peer source");
    on(tables_.delete_peer_source(u), Refusal::UnknownPeer, "delete peer source");
}

void FibWriter::on(const api::SetNexthop& u)
{
    const auto* interface = u.interface == kNoInterface ? nullptr : tables_.interface(u.interface);
    if (u.interface != kNoInterface && !interface) return refuse(Refusal::UnknownInterface, "set next hop");
    if (!tables_.nexthops().set(u, interface)) refuse(Refusal::IdOutOfRange, "set next hop");
}

void FibWriter::on(const api::DeleteNexthop& u)
{
    if (!tables_.nexthops().erase(u.id)) refuse(Refusal::UnknownNexthop, "delete next hop");
}

void FibWriter::on(const api::SetDownWord& u)
{
    if (!tables_.set_down_word(u.session)) refuse(Refusal::IdOutOfRange, "set down word");
}

void FibWriter::on(const api::DeleteDownWord& u)
{
    if (!tables_.delete_down_word(u.session)) refuse(Refusal::UnknownWord, "delete down word");
}

void FibWriter::on(const api::ClearDown& u)
{
    switch (tables_.clear_down(u)) {
        case Tables::Clear::Done: return;
        case Tables::Clear::Unknown: return refuse(Refusal::UnknownWord, "clear down");
        case Tables::Clear::Stale: return refuse(Refusal::StaleClear, "clear down");
    }
}

void FibWriter::on(const api::SetGroup& u)
{
    if (group_.id != kNoGroup) {
        group_.id = kNoGroup;
        refuse(Refusal::StrayGroupMember, "the previous group is incomplete");
    }
    if (u.id == kNoGroup || index(u.id) >= GroupTable::kMaxGroups) return refuse(Refusal::IdOutOfRange, "set group");
    if (u.member_count == 0 || u.member_count > GroupTable::kMaxMembers) return refuse(Refusal::BadGroup, "set group");
    group_ = {u.id, {u.backup, u.like, u.gradual}, std::vector<GroupMember>(u.member_count), 0};
}

void FibWriter::on(const api::SetGroupMember& u)
{
    if (group_.id == kNoGroup || u.group != group_.id || u.position >= group_.members.size() ||
        group_.members[u.position].nexthop != kNoNexthop)
        return refuse(Refusal::StrayGroupMember, "set group member");
    if (!tables_.nexthops().find(u.nexthop)) {
        group_.id = kNoGroup;
        return refuse(Refusal::UnknownNexthop, "set group member");
    }
    group_.members[u.position] = {u.nexthop, u.weight};
    if (++group_.seen < group_.members.size()) return;
    const auto id = std::exchange(group_.id, kNoGroup);
    if (!tables_.groups().set(id, group_.members, group_.change)) refuse(Refusal::BadGroup, "set group");
}

void FibWriter::on(const api::DeleteGroup& u)
{
    if (!tables_.groups().erase(u.id)) refuse(Refusal::UnknownGroup, "delete group");
}

void FibWriter::on(const api::SetFailoverPace& u) { tables_.groups().set_pace(u.buckets_a_second); }

void FibWriter::on(const api::SetProtectedPrefix& u)
{
    if (!well_formed(u.prefix)) return refuse(Refusal::BadPrefix, "protect prefix");
    on(tables_.protect(u.vrf, u.prefix), Refusal::UnknownVrf, "protect prefix");
}

void FibWriter::on(const api::DeleteProtectedPrefix& u)
{
    if (!well_formed(u.prefix)) return refuse(Refusal::BadPrefix, "unprotect prefix");
    on(tables_.unprotect(u.vrf, u.prefix), Refusal::UnknownVrf, "unprotect prefix");
}

void FibWriter::on(const api::SetRoute& u)
{
    auto* vrf = tables_.edit_vrf(u.vrf);
    if (!vrf) return refuse(Refusal::UnknownVrf, "set route");
    if (!well_formed(u.prefix)) return refuse(Refusal::BadPrefix, "set route");
    if (!tables_.groups().exists(u.group)) return refuse(Refusal::UnknownGroup, "set route");
    const auto value = index(u.group) | (u.protected_only ? Leaf::kProtected : 0);
    const bool full = u.prefix.family() == Family::Ipv4 ? vrf->lpm4.set(u.prefix, value) == Edit::Full
                                                        : vrf->lpm6.set(u.prefix, value) == Edit::Full;
    if (full) return refuse(Refusal::NoRoom, "set route");
    if (u.prefix.is_host()) tables_.own_addresses().set(u.vrf, u.prefix, leads_here(u.group));
}

bool FibWriter::leads_here(GroupId group) const
{
    const auto* first = tables_.nexthops().find(tables_.groups().members(group).front().nexthop);
    return first != nullptr && first->kind == api::NexthopKind::Local;
}

void FibWriter::on(const api::DeleteRoute& u)
{
    auto* vrf = tables_.edit_vrf(u.vrf);
    if (!vrf) return refuse(Refusal::UnknownVrf, "delete route");
    if (!well_formed(u.prefix)) return refuse(Refusal::BadPrefix, "delete route");
    const bool gone = u.prefix.family() == Family::Ipv4 ? vrf->lpm4.erase(u.prefix) : vrf->lpm6.erase(u.prefix);
    if (!gone) return refuse(Refusal::UnknownPrefix, "delete route");
    if (u.prefix.is_host()) tables_.own_addresses().set(u.vrf, u.prefix, false);
}

void FibWriter::on(const api::SetProtection& u)
{
    if (!tables_.vrf(u.outer_vrf)) return refuse(Refusal::UnknownVrf, "set protection");
    if (!tables_.interface(u.interface)) return refuse(Refusal::UnknownInterface, "set protection");
    if (!tables_.set_protection(u)) refuse(Refusal::IdOutOfRange, "set protection");
}

void FibWriter::on(const api::DeleteProtection& u)
{
    if (!tables_.delete_protection(u.id)) refuse(Refusal::UnknownProtection, "delete protection");
}

// ---- show ----------------------------------------------------------------------------------------------------------

std::optional<api::FibAnswer> FibWriter::lookup(VrfId id, const IpAddress& destination) const
{
    const std::lock_guard lock(editing_);
    const auto* vrf = tables_.vrf(id);
    if (!vrf) return std::nullopt;
    api::FibAnswer answer;
    if (destination.is_v4()) {
        const auto match = vrf->lpm4.longest(destination);
        if (!match) return std::nullopt;
        answer.prefix = IpPrefix::make(destination, static_cast<int>(match->length));
        answer.group = Leaf{match->value}.group();
    } else {
        const auto match = vrf->lpm6.longest(destination);
        if (!match) return std::nullopt;
        answer.prefix = IpPrefix::make(destination, static_cast<int>(match->length));
        answer.group = Leaf{match->value}.group();
    }
    for (const auto& m : tables_.groups().members(answer.group)) {
        answer.members.push_back(m.nexthop);
        answer.down_causes.push_back(tables_.nexthops().causes(m.nexthop));
        answer.weights.push_back(m.weight);
    }
    answer.buckets.resize(answer.members.size());
    for (const auto b : tables_.groups().buckets(answer.group)) ++answer.buckets[b];
    return answer;
}

std::vector<api::MemoryUse> FibWriter::memory() const
{
    const std::lock_guard lock(editing_);
    std::vector<api::MemoryUse> out;
    for (auto& a : tables_.memory()) out.push_back({std::move(a.name), a.used, a.reserved});
    return out;
}

}  // namespace culvert::fib
