// Two engines with their workers, and a network that the input drives: it delivers, repeats, loses, alters and makes up
// messages and lets time pass. Whatever it does, no altered message is accepted, and time alone never makes a timer
// spin.
#include "controlplane/wireguard/engine.h"
#include "tests/fuzz/up_to.h"
#include "tests/sim/wireguard/box.h"

#include <cstdint>
#include <cstdlib>
#include <vector>

using namespace culvert;
using namespace culvert::sim;

namespace {

constexpr PeerId kA{1}, kB{2};

void check(bool what)
{
    if (!what) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    Reader in{{data, size}};
    TimePoint now{1h};
    const Endpoint at_a{Ipv4Address{0x0a000001}, 1}, at_b{Ipv4Address{0x0a000002}, 2};
    Box a(1, at_a, 1'700'000'000, 10s), b(2, at_b, 1'700'000'000);
    a.add(kB, b.engine().public_key(), at_b, now, 5s);
    b.add(kA, a.engine().public_key(), std::nullopt, now);
    a.pump(now);
    b.pump(now);

    std::vector<Wire> network;
    const auto collect = [&] {
        for (Box* box : {&a, &b})
            for (auto& wire : std::exchange(box->sent, {}))
                if (network.size() < 64) network.push_back(std::move(wire));
    };
    const auto deliver = [&](const Wire& wire) {
        Box& box = wire.to == at_a ? a : b;
        box.receive(wire, now);
        box.pump(now);
    };

    while (!in.empty()) {
        collect();
        const std::uint8_t op = in.u8();
        const std::size_t which = network.empty() ? 0 : in.u8() % network.size();
        switch (op % 8) {
            case 0:
            case 1:  // arrives
                if (!network.empty()) {
                    deliver(network[which]);
                    network.erase(network.begin() + static_cast<std::ptrdiff_t>(which));
                }
                break;
            case 2:  // arrives, and will again
                if (!network.empty()) deliver(network[which]);
                break;
            case 3: {  // is altered on its way
                if (network.empty()) break;
                Wire wire = network[which];
                const std::size_t at = in.u8() % wire.bytes.size();
                const std::uint8_t bits = in.u8();
                wire.bytes[at] ^= bits;
                // mac2 is only looked at by a peer under load.
                const bool is_mac2 =
                    !wg::is_data(wire.bytes) && at + 16 >= wire.bytes.size() && wire.bytes.size() != 64;
                auto& engine = (wire.to == at_a ? a : b).engine();
                const auto before = engine.count(wireguard::Handling::Accepted);
                deliver(wire);
                check(bits == 0 || is_mac2 || engine.count(wireguard::Handling::Accepted) == before);
                break;
            }
            case 4: {  // is made up
                const Bytes bytes = fuzz::up_to(in.u8(), in);
                deliver({at_a, at_b, {bytes.begin(), bytes.end()}});
                deliver({at_b, at_a, {bytes.begin(), bytes.end()}});
                break;
            }
            case 5: {  // time passes
                now += std::chrono::milliseconds{in.u16()};
                for (Box* box : {&a, &b}) {
                    box->on_time(now);
                    check(box->engine().next_deadline() > now);
                    box->pump(now);
                }
                break;
            }
            case 6: {  // somebody has something to say
                const std::uint8_t packet[] = {0x45, 0, 0, 20, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2};
                if (which % 2 == 0)
                    a.send(kB, packet, now);
                else
                    b.send(kA, packet, now);
                a.pump(now);
                b.pump(now);
                break;
            }
            default:  // the operator
                if (which % 3 == 0)
                    a.apply(a.engine().set_up(in.u8() % 2 != 0, now), now);
                else if (which % 3 == 1)
                    a.add(kB, b.engine().public_key(), at_b, now, std::chrono::seconds{in.u8()});
                else
                    b.apply(b.engine().remove_peer(kA, now), now), b.add(kA, a.engine().public_key(), {}, now);
                a.pump(now);
                b.pump(now);
        }
        check(a.indices().size() <= 9 && b.indices().size() <= 9);
        check(a.table().sessions() <= 4 && b.table().sessions() <= 4);
    }
    return 0;
}
