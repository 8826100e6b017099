// One session in the hands of a runtime that keeps the contract and of a peer that keeps nothing. The input is a list
// of steps; whatever they are, states and events must agree, time must move, and only open connections may be used.
#include "base/check.h"
#include "controlplane/bgp/encode.h"
#include "controlplane/bgp/session.h"
#include "tests/fuzz/up_to.h"

#include <array>

namespace culvert::bgp {
namespace {

class Watcher final : public SessionEvents {
public:
    void on_state(State from, State to) override
    {
        CULVERT_CHECK(from == state && to != from);
        state = to;
    }
    void on_established(const Established& e) override
    {
        CULVERT_CHECK(!up && state == State::Established);
        CULVERT_CHECK(e.negotiated.ipv4_unicast || e.negotiated.ipv6_unicast);
        up = true;
    }
    void on_update(const UpdateView& update) override
    {
        CULVERT_CHECK(up);
        for (const auto& range : update.unreach)
            for (const auto& prefix : range) octets += prefix.length;
        for (const auto& reach : update.reach)
            for (const auto& prefix : reach.nlri) octets += prefix.length;
    }
    void on_route_refresh(Family, RouteRefresh::Kind) override { CULVERT_CHECK(up); }
    void on_down(const Down&) override
    {
        CULVERT_CHECK(up && state != State::Established);
        up = false;
    }

    State state = State::Idle;
    bool up = false;
    std::size_t octets = 0;
};

SessionConfig make_config(std::uint8_t bits)
{
    SessionConfig c;
    c.local_as = Asn{bits & 1 ? 65001U : 4200000001U};
    c.peer_as_kind = bits & 2 ? SessionConfig::PeerAs::External : SessionConfig::PeerAs::Number;
    c.peer_as = bits & 4 ? c.local_as : Asn{65002};
    c.router_id = Ipv4Address{bits & 8 ? 1U : 0x0a000009U};
    c.hold = bits & 16 ? 0s : 9s;
    c.passive = bits & 32;
    c.ipv6_unicast = bits & 64;
    c.capabilities = !(bits & 128);
    c.connect_retry = 10s;
    c.hostname = "fuzz";
    return c;
}

std::vector<std::uint8_t> canned(std::uint8_t which)
{
    std::vector<std::uint8_t> out;
    Negotiated n;
    n.four_octet_as = true;
    n.ipv6_unicast = true;
    switch (which % 6) {
        case 0: {
            Open open;
            open.asn = Asn{65002};
            open.router_id = Ipv4Address{0x0a000002};
            open.hold_time = which & 0x40 ? 0 : 30;
            open.capabilities.any = true;
            open.capabilities.multiprotocol = {{Afi::Ipv4, Safi::Unicast}, {Afi::Ipv6, Safi::Unicast}};
            if (!(which & 0x20)) open.capabilities.four_octet_as = open.asn;
            open.capabilities.route_refresh = open.capabilities.enhanced_route_refresh = true;
            encode_open(open, out);
            break;
        }
        case 1:
        case 2: encode_keepalive(out); break;
        case 3: {
            PathAttributes attributes;
            attributes.as_path.prepend(Asn{65002});
            attributes.next_hop = Ipv4Address{0x0a000002};
            const auto encoded = encode_attributes(attributes, n);
            UpdateBuilder builder(n, out);
            if (builder.announce(Family::Ipv4, encoded))
                builder.add(IpPrefix::make(Ipv4Address{0x0a010000}, which % 33));
            builder.flush();
            break;
        }
        case 4: encode_notification({ErrorCode{which}, which, {}}, out); break;
        case 5: encode_route_refresh({{Afi::Ipv4, Safi::Unicast}, RouteRefresh::Kind(which % 3)}, out); break;
    }
    return out;
}

class Runtime {
public:
    explicit Runtime(Bytes steps) : in_(steps), session_(make_config(in_.u8()), watcher_, in_.u8()) {}

    void run()
    {
        while (!in_.empty()) {
            step();
            check();
        }
    }

private:
    enum class Socket : std::uint8_t { None, Connecting, Open };

    void step()
    {
        const auto op = in_.u8();
        const auto side = kSides[op >> 7];
        auto& socket = sockets_[op >> 7];
        switch (op & 7) {
            case 0:
                if (socket == Socket::Open) apply(session_.on_bytes(side, fuzz::up_to(in_.u8(), in_), now_));
                break;
            case 1:
            case 2:
                if (socket == Socket::Open) apply(session_.on_bytes(side, canned(op >> 3), now_));
                break;
            case 3: connect(side); break;
            case 4:
                if (socket == Socket::Open) {
                    socket = Socket::None;
                    apply(session_.on_closed(side, now_));
                } else if (socket == Socket::Connecting) {
                    socket = Socket::None;
                    apply(session_.on_connect_failed(now_));
                }
                break;
            case 5: pass(op); break;
            case 6:
                if (op & 8)
                    apply(session_.on_start(now_, op & 16 ? 5s : 0s));
                else
                    apply(session_.on_stop({ResetReason::UserReset, static_cast<std::uint8_t>(op >> 4), "why"}, now_));
                break;
            case 7:
                if (op & 8)
                    apply(session_.send_updates(canned(3), now_));
                else if (op & 16)
                    apply(session_.send_route_refresh(Family(op >> 7), RouteRefresh::Kind((op >> 5) % 3), now_));
                else if (op & 32)
                    apply(session_.on_reachable(now_));
                else
                    session_.set_config(make_config(in_.u8()));
                break;
        }
    }

    void connect(Side side)
    {
        auto& socket = sockets_[static_cast<std::size_t>(side)];
        if (side == Side::Outgoing && socket != Socket::Connecting) return;
        if (side == Side::Incoming && !session_.accepts_incoming()) return;
        socket = Socket::Open;
        apply(session_.on_connected(side, {}, {}, now_));
    }

    void pass(std::uint8_t op)
    {
        const auto deadline = session_.next_deadline();
        if (op & 8 || deadline == kNever) {
            now_ += std::chrono::milliseconds{op * 7};
            if (deadline > now_) return;
        } else {
            now_ = std::max(now_, deadline);
        }
        apply(session_.on_time(now_));
        CULVERT_CHECK(session_.next_deadline() > now_);
    }

    void apply(const Output& out)
    {
        for (std::size_t i = 0; i < 2; ++i) {
            if (!out.send[i].empty()) {
                CULVERT_CHECK(sockets_[i] == Socket::Open);
                MessageReader reader;
                reader.allow_extended();
                reader.feed(out.send[i]);
                for (;;) {
                    const auto message = reader.next();
                    CULVERT_CHECK(message);
                    if (!*message) break;
                }
            }
            if (out.close[i]) {
                CULVERT_CHECK(sockets_[i] != Socket::None);
                sockets_[i] = Socket::None;
            }
        }
        if (out.connect) {
            CULVERT_CHECK(sockets_[0] == Socket::None);
            sockets_[0] = Socket::Connecting;
        }
    }

    void check() const
    {
        CULVERT_CHECK(session_.state() == watcher_.state);
        CULVERT_CHECK(session_.established().has_value() == watcher_.up);
        CULVERT_CHECK(watcher_.up == (session_.state() == State::Established));
        if (watcher_.up) {
            const auto up = static_cast<std::size_t>(session_.established()->side);
            CULVERT_CHECK(sockets_[up] == Socket::Open && sockets_[1 - up] == Socket::None);
        }
        if (session_.state() == State::Idle) CULVERT_CHECK(sockets_[0] == Socket::None && sockets_[1] == Socket::None);
        if (!session_.started()) CULVERT_CHECK(session_.state() == State::Idle && session_.next_deadline() == kNever);
    }

    Reader in_;
    TimePoint now_{1h};
    Watcher watcher_;
    Session session_;
    std::array<Socket, 2> sockets_{};
};

}  // namespace
}  // namespace culvert::bgp

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    if (size < 2) return 0;
    culvert::bgp::Runtime{{data, size}}.run();
    return 0;
}
