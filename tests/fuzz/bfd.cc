// The packet and the session in random order. The input drives one engine with a few sessions (plain, authenticated by
// each type, multihop, echo and demand): packets that it makes up from end to end, packets that are right but for what
// it alters, with valid authentication too, packets of before, echoes, time that passes, and commands. A session is
// never Up past the time that it promises, and it never holds up the engine.
#include "base/check.h"
#include "dataplane/bfd/engine.h"
#include "tests/fuzz/up_to.h"

#include <cstdint>
#include <vector>

using namespace culvert;
using namespace culvert::bfd;

namespace {

constexpr std::size_t kSessions = 6;
const IpAddress kOurs{Ipv4Address{0x0a000001}};

IpAddress peer(std::size_t i) { return Ipv4Address{static_cast<std::uint32_t>(0x0a000100 + i)}; }

api::BfdKey key(std::uint8_t type, std::uint8_t id)
{
    api::BfdKey k{};
    k.type = api::BfdAuthentication{type};
    k.id = id;
    k.length = 16;
    k.secret.fill(static_cast<std::uint8_t>(type + id));
    return k;
}

api::SetBfdSession settings(std::size_t i)
{
    api::SetBfdSession s{};
    s.id = BfdSessionId{static_cast<std::uint32_t>(i)};
    s.discriminator = static_cast<std::uint32_t>(0x100 + i);
    s.interface = InterfaceId{1};
    s.local = kOurs;
    s.peer = peer(i);
    s.multihop = i == 1;
    s.minimum_ttl = 254;
    s.desired_min_tx = s.required_min_rx = 10'000;
    s.echo = i == 2;
    s.demand = i == 3;
    s.passive = i == 4;
    if (i > 0) {
        s.key_count = 2;
        s.keys[0] = key(static_cast<std::uint8_t>(i), 1);
        s.keys[1] = key(static_cast<std::uint8_t>(1 + i % 5), 2);
        s.sending_key = i % 2;
    }
    return s;
}

class Kept final : public Actions {
public:
    void send_control(const api::SetBfdSession& s, std::uint16_t port, Bytes payload) noexcept override
    {
        // What goes out must be what RFC 5880 lets the other side take.
        const auto p = decode(payload);
        CULVERT_CHECK(p && p->my_discriminator == s.discriminator && port >= 49152 && !(p->poll && p->final));
        CULVERT_CHECK(++sent < 100'000);
    }
    void send_echo(const api::SetBfdSession&, std::uint16_t, Bytes payload) noexcept override
    {
        echo.assign(payload.begin(), payload.end());
        CULVERT_CHECK(++sent < 100'000);
    }
    void went_down(BfdSessionId, TimePoint since, TimePoint at) noexcept override { CULVERT_CHECK(since <= at); }
    bool changed(const api::BfdChanged&) noexcept override { return !deaf; }

    std::vector<std::uint8_t> echo;
    std::size_t sent = 0;
    bool deaf = false;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    Reader in{{data, std::min<std::size_t>(size, 4096)}};
    std::vector<api::BfdActivity> activity(kSessions);
    Kept kept;
    Engine engine(kept, activity, 1);
    static Authenticator authenticator;
    std::uint32_t sequence = in.u8();
    TimePoint now{1h};
    for (std::size_t i = 0; i < kSessions; ++i) engine.apply(settings(i), now);
    std::vector<std::uint8_t> before;

    while (!in.empty()) {
        const auto op = in.u8();
        const std::size_t i = in.u8() % kSessions;
        auto s = settings(i);
        Arrival from{.interface = InterfaceId{1}, .from = peer(i), .to = kOurs, .ttl = 255, .multihop = i == 1};
        from.stamp = now - std::chrono::microseconds{in.u8() * 64};
        switch (op % 8) {
            case 0: {  // anything
                const auto payload = fuzz::up_to(in.u8() % 80, in);
                engine.on_packet(payload, from, now);
                engine.on_echo(payload, from, now);
                break;
            }
            case 1:
            case 2:
            case 3: {  // right, and authentic; then altered at one place if the input says so
                ControlPacket p;
                const auto bits = in.u8();
                p.state = BfdState{static_cast<std::uint8_t>(bits >> 6)};
                p.poll = (bits & 32) != 0;
                p.final = (bits & 16) != 0;
                p.demand = (bits & 8) != 0;
                p.multiplier = static_cast<std::uint8_t>(1 + in.u8() % 8);
                p.my_discriminator = 7;
                p.your_discriminator = (bits & 1) != 0 && p.state <= BfdState::Down ? 0 : s.discriminator;
                p.desired_min_tx = in.u8() * 1000U;
                p.required_min_rx = in.u8() * 1000U;
                p.required_min_echo_rx = (bits & 2) != 0 ? 1000U : 0;
                std::array<std::uint8_t, kMaxPacket> out{};
                std::size_t length = kMandatory;
                if (s.key_count != 0) {
                    const auto& k = s.keys[(bits & 4) != 0 ? 1 : 0];
                    length += section_length(k);
                    encode(p, length, out);
                    authenticator.sign(k, sequence += op >> 4, out);
                } else {
                    encode(p, length, out);
                }
                if (op % 8 == 3) out[in.u8() % length] ^= in.u8();
                before.assign(out.begin(), out.begin() + static_cast<std::ptrdiff_t>(length));
                engine.on_packet(before, from, now);
                break;
            }
            case 4: engine.on_packet(before, from, now); break;
            case 5: {
                from.from = kOurs;
                auto echo = kept.echo;
                if (!echo.empty() && (op & 16) != 0) echo[in.u8() % echo.size()] ^= in.u8();
                engine.on_echo(echo, from, now);
                break;
            }
            case 6: {
                kept.deaf = (op & 128) != 0;
                if ((op & 16) != 0) {
                    engine.apply(api::DeleteBfdSession{s.id, 1}, now);
                } else {
                    s.desired_min_tx = in.u8() * 500U;
                    s.required_min_rx = in.u8() * 500U;
                    s.multiplier = in.u8();
                    s.admin_down = (op & 32) != 0;
                    s.demand = (op & 64) != 0;
                    engine.apply(s, now);
                }
                break;
            }
            case 7: {
                const auto until = now + std::chrono::microseconds{in.u16()};
                const Duration behind = std::chrono::microseconds{(op >> 3) * 10};
                engine.on_time(now, now - behind);
                while (now < until) {
                    now = std::max(now + 1us, std::min(engine.next_deadline(), until));
                    engine.on_time(now, now - behind);
                    if (behind > Duration{}) break;
                }
                if (behind > Duration{}) engine.held_up(now, behind);
                for (std::size_t n = 0; n < kSessions; ++n) {
                    const auto* session = engine.find(BfdSessionId{static_cast<std::uint32_t>(n)});
                    if (session != nullptr && session->state() == BfdState::Up && behind == Duration{})
                        CULVERT_CHECK(session->expires() > now);
                }
                break;
            }
        }
    }
    return 0;
}
