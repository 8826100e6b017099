#pragma once

#include "dataplane/bfd/engine.h"

#include <cstdint>
#include <vector>

namespace culvert::bfd::test {

inline constexpr TimePoint kT0{1h};  // not zero, so that no code can take zero for "unset"
inline const IpAddress kOurs{Ipv4Address{0x0a000001}};
inline const IpAddress kTheirs{Ipv4Address{0x0a000002}};
inline constexpr InterfaceId kPort{3};

inline api::SetBfdSession settings(std::uint32_t id = 1, std::uint32_t discriminator = 0x1001)
{
    api::SetBfdSession s{};
    s.id = BfdSessionId{id};
    s.discriminator = discriminator;
    s.interface = kPort;
    s.nexthop = NexthopId{7};
    s.local = kOurs;
    s.peer = kTheirs;
    s.desired_min_tx = s.required_min_rx = 50'000;
    return s;
}

inline api::BfdKey key(api::BfdAuthentication type, std::uint8_t id, std::string_view secret)
{
    api::BfdKey k{};
    k.type = type;
    k.id = id;
    k.length = static_cast<std::uint8_t>(secret.size());
    std::copy(secret.begin(), secret.end(), k.secret.begin());
    return k;
}

// An engine whose outputs are kept.
class Box final : public Actions {
public:
    struct Sent {
        BfdSessionId session;
        std::uint16_t source_port;
        bool echo;
        std::vector<std::uint8_t> payload;
    };
    struct Down {
        BfdSessionId session;
        TimePoint since, at;
    };

    explicit Box(std::uint64_t seed = 1) : activity(64), engine(*this, activity, seed) {}

    void send_control(const api::SetBfdSession& s, std::uint16_t port, Bytes payload) noexcept override
    {
        sent.push_back({s.id, port, false, {payload.begin(), payload.end()}});
    }
    void send_echo(const api::SetBfdSession& s, std::uint16_t port, Bytes payload) noexcept override
    {
        sent.push_back({s.id, port, true, {payload.begin(), payload.end()}});
    }
    void went_down(BfdSessionId session, TimePoint since, TimePoint at) noexcept override
    {
        downs.push_back({session, since, at});
    }
    bool changed(const api::BfdChanged& change) noexcept override
    {
        if (deaf) return false;
        changes.push_back(change);
        return true;
    }

    std::vector<api::BfdActivity> activity;
    Engine engine;
    std::vector<Sent> sent;
    std::vector<Down> downs;
    std::vector<api::BfdChanged> changes;
    bool deaf = false;
};

inline Arrival arrival(TimePoint stamp)
{
    return {.interface = kPort, .from = kTheirs, .to = kOurs, .ttl = 255, .stamp = stamp};
}

// What a peer with usual settings says.
inline ControlPacket from_peer(BfdState state, std::uint32_t your_discriminator = 0x1001)
{
    ControlPacket p;
    p.state = state;
    p.multiplier = 3;
    p.my_discriminator = 0x2002;
    p.your_discriminator = your_discriminator;
    p.desired_min_tx = 50'000;
    p.required_min_rx = 50'000;
    return p;
}

inline std::vector<std::uint8_t> wire(const ControlPacket& p)
{
    std::array<std::uint8_t, kMaxPacket> out{};
    encode(p, kMandatory, out);
    return {out.begin(), out.begin() + kMandatory};
}

}  // namespace culvert::bfd::test
