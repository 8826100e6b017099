#include "tests/sim/bgp/world.h"

#include <algorithm>

namespace culvert::bgp::sim {

Duration Speaker::delay()
{
    auto d = world_.between(link_.delay_low, link_.delay_high);
    if (world_.chance(link_.loss)) d += world_.between(200ms, 3s);
    return d;
}

void Speaker::apply(Output output)
{
    for (const auto side : kSides) {
        const auto i = static_cast<std::size_t>(side);
        if (!output.send[i].empty()) {
            if (slot(side))
                write(slot(side), end_of(side), std::move(output.send[i]), false);
            else
                fail("bytes for a connection that is not there");
        }
    }
    for (const auto side : kSides) {
        if (!output.close[static_cast<std::size_t>(side)]) continue;
        if (const auto transport = std::exchange(slot(side), nullptr)) leave(transport, end_of(side));
    }
    if (output.connect) connect();
    arm();
}

// One timer event at the deadline; an earlier one that is still queued finds nothing to do.
void Speaker::arm()
{
    const auto deadline = session_->next_deadline();
    if (deadline == kNever || deadline == armed_) return;
    armed_ = deadline;
    world_.at(std::max(deadline, world_.now()), [this, deadline] {
        if (armed_ != deadline) return;
        armed_ = kNever;
        if (session_->next_deadline() > world_.now()) return arm();
        apply(session_->on_time(world_.now()));
        if (session_->next_deadline() <= world_.now()) fail("a deadline that on_time() doesn't move");
    });
}

void Speaker::connect()
{
    auto transport = std::make_shared<Transport>();
    transport->ends[0].owner = this;
    if (slot(Side::Outgoing)) fail("a second outgoing transport");
    slot(Side::Outgoing) = transport;
    world_.after(delay(), [this, transport] { syn_arrives(transport); });
}

void Speaker::syn_arrives(const Shared& transport)
{
    if (transport->ends[0].owner != this) return;  // given up meanwhile
    if (world_.now() < link_.parted_until) {
        // The kernel sends it again and again, until it gives up or the path is back.
        if (world_.chance(50)) {
            world_.at(link_.parted_until + delay(), [this, transport] { syn_arrives(transport); });
            return;
        }
        world_.after(world_.between(1s, 130s), [this, transport] {
            if (transport->ends[0].owner != this) return;
            slot(Side::Outgoing) = nullptr;
            transport->ends[0].owner = nullptr;
            apply(session_->on_connect_failed(world_.now()));
        });
        return;
    }

    auto& far = *peer_;
    world_.after(delay(), [this, transport] { connected(transport); });
    if (!far.session_->accepts_incoming()) {
        far.write(transport, 1, {}, true);  // accepted by the kernel, closed by the process
        return;
    }
    transport->ends[1].owner = &far;
    transport->ends[1].established = true;
    if (const auto older = std::exchange(far.slot(Side::Incoming), transport)) far.leave(older, 1);
    far.apply(far.session_->on_connected(Side::Incoming, {}, {}, world_.now()));
}

void Speaker::connected(const Shared& transport)
{
    if (transport->ends[0].owner != this) return;
    transport->ends[0].established = true;
    apply(session_->on_connected(Side::Outgoing, {}, {}, world_.now()));
    pump(transport, 0);
}

// Closes this end: the other one hears of it behind everything that was written.
void Speaker::leave(const Shared& transport, std::size_t end)
{
    write(transport, end, {}, true);
    transport->ends[end].owner = nullptr;
    transport->ends[end].arriving.clear();
}

void Speaker::write(const Shared& transport, std::size_t from, std::vector<std::uint8_t> bytes, bool fin)
{
    const auto to = 1 - from;
    auto& end = transport->ends[to];
    const auto queue = [&](std::vector<std::uint8_t> part, bool last) {
        end.last_ready = std::max(end.last_ready, world_.now() + delay());
        end.arriving.push_back({end.last_ready, std::move(part), last});
        world_.at(end.last_ready, [this, transport, to] { pump(transport, to); });
    };
    for (std::size_t at = 0; at < bytes.size();) {
        const auto size = std::min<std::size_t>(1 + world_.below(link_.segment), bytes.size() - at);
        queue({bytes.begin() + static_cast<std::ptrdiff_t>(at), bytes.begin() + static_cast<std::ptrdiff_t>(at + size)},
              false);
        at += size;
    }
    if (fin) queue({}, true);
}

// Gives an end what has arrived for it by now.
void Speaker::pump(const Shared& transport, std::size_t to)
{
    auto& end = transport->ends[to];
    while (!end.arriving.empty() && end.arriving.front().ready <= world_.now()) {
        if (world_.now() < link_.parted_until) {
            world_.at(link_.parted_until + delay(), [this, transport, to] { pump(transport, to); });
            return;
        }
        if (end.owner && !end.established) return;  // connected() comes back to it
        const auto segment = std::move(end.arriving.front());
        end.arriving.pop_front();
        auto* owner = end.owner;
        if (!owner) {
            // Nobody there: the kernel answers data with a reset.
            if (!segment.fin) reset(transport, 1 - to);
            continue;
        }
        const auto side = to == 0 ? Side::Outgoing : Side::Incoming;
        if (owner->slot(side) != transport) {
            fail("bytes for a connection that was replaced");
            return;
        }
        if (segment.fin) {
            owner->slot(side) = nullptr;
            end.owner = nullptr;
            end.arriving.clear();
            owner->apply(owner->session_->on_closed(side, world_.now()));
            return;
        }
        owner->apply(owner->session_->on_bytes(side, segment.bytes, world_.now()));
    }
}

void Speaker::reset(const Shared& transport, std::size_t end)
{
    world_.after(delay(), [transport, end, this] {
        auto* owner = transport->ends[end].owner;
        if (!owner || !transport->ends[end].established) return;
        const auto side = end == 0 ? Side::Outgoing : Side::Incoming;
        transport->ends[end].owner = nullptr;
        transport->ends[end].arriving.clear();
        owner->slot(side) = nullptr;
        owner->apply(owner->session_->on_closed(side, world_.now()));
    });
}

void Speaker::break_transports()
{
    for (const auto side : kSides) {
        const auto transport = slot(side);
        if (!transport) continue;
        for (std::size_t end = 0; end < 2; ++end) reset(transport, end);
    }
}

void Speaker::restart()
{
    for (auto& transport : slots_) {
        if (!transport) continue;
        auto& end = transport->ends[transport->ends[0].owner == this ? 0 : 1];
        end.owner = nullptr;
        end.arriving.clear();
        transport = nullptr;
    }
    up_ = false;
    ++epoch_;
    state_ = State::Idle;
    armed_ = kNever;
    session_ = std::make_unique<Session>(config_, *this, ++seed_);
    start();
}

void Speaker::on_state(State from, State to)
{
    if (from != state_ || to == from) fail("states that don't follow one another");
    state_ = to;
}

void Speaker::on_established(const Established&)
{
    if (up_ || state_ != State::Established) fail("up when it should not be");
    up_ = true;
    sent_ = received_ = 0;
    ++epoch_;
    world_.after(1ms, [this, epoch = epoch_] { advertise(epoch); });
}

void Speaker::on_down(const Down&)
{
    if (!up_ || state_ == State::Established) fail("down when it should not be");
    up_ = false;
    ++epoch_;
    ++downs_;
}

// A burst of routes numbered in order, again and again while the session lasts.
void Speaker::advertise(std::uint64_t epoch)
{
    if (epoch != epoch_) return;
    const auto& n = session_->established()->negotiated;
    PathAttributes attributes;
    attributes.as_path.prepend(n.local_as);
    attributes.next_hop = Ipv4Address{0x0aff0001};
    const auto encoded = encode_attributes(attributes, n);
    std::vector<std::uint8_t> out;
    UpdateBuilder builder(n, out);
    if (!builder.announce(Family::Ipv4, encoded)) return fail("attributes that don't fit");
    const auto count = 1 + world_.below(world_.chance(5) ? 3000 : 20);
    for (std::uint64_t i = 0; i < count; ++i) builder.add(IpPrefix::make(Ipv4Address{sent_++ << 8}, 24));
    builder.flush();
    apply(session_->send_updates(std::move(out), world_.now()));
    world_.after(world_.between(100ms, 20s), [this, epoch] { advertise(epoch); });
}

void Speaker::on_update(const UpdateView& update)
{
    if (!up_) fail("an UPDATE while not up");
    if (update.action != Action::None) fail(update.error.reason);
    for (const auto& prefix : update.reach[0].nlri) {
        if (prefix.address.v4().value >> 8 != (received_++ & 0xffffff)) return fail("routes lost or out of order");
        ++received_total_;
    }
}

const Transport* Speaker::established_transport() const
{
    const auto& established = session_->established();
    return established ? slots_[static_cast<std::size_t>(established->side)].get() : nullptr;
}

std::size_t Speaker::open_transports() const
{
    return static_cast<std::size_t>(
        std::count_if(slots_.begin(), slots_.end(), [](const Shared& t) { return t != nullptr; }));
}

}  // namespace culvert::bgp::sim
