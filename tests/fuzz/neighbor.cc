// ARP and ND frames into the decoder and into an engine that knows two neighbours. What decodes must encode to
// something that decodes to the same; the engine must stay within its table and never learn a group MAC or an address
// of its own.
#include "base/check.h"
#include "controlplane/neighbor/engine.h"
#include "tests/fuzz/up_to.h"

#include <algorithm>

using namespace culvert;
using namespace culvert::neighbor;

namespace {

constexpr InterfaceId kPort{1};
constexpr MacAddress kOurs{{2, 0, 0, 0, 0, 1}};

Engine make()
{
    Engine engine{{}, {.entries = 16}};
    Link link;
    link.id = kPort;
    link.mac = kOurs;
    link.up = true;
    link.addresses = {*InterfaceAddress::parse("10.0.0.1/24"), *InterfaceAddress::parse("2001:db8::1/64")};
    link.advertise_router = true;
    engine.set_link(link, TimePoint{1h});
    engine.on_miss(kPort, *IpAddress::parse("10.0.0.2"), TimePoint{1h});
    engine.set_in_use(kPort, *IpAddress::parse("2001:db8::2"), true, TimePoint{1h});
    return engine;
}

}  // namespace

// The input is a run of frames, each behind an octet of milliseconds and one of length.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    Engine engine = make();
    TimePoint now{1h};
    Reader in{Bytes{data, size}};
    while (!in.empty()) {
        now += std::chrono::milliseconds(in.u8() * 16);
        const Bytes frame = fuzz::up_to(in.u8(), in);
        if (const auto message = decode(frame)) {
            const auto again =
                std::visit([&](const auto& body) { return encode(message->to, message->from, body); }, message->body);
            const auto twice = decode(again);
            CULVERT_CHECK(twice && twice->body == message->body && twice->to == message->to);
        }
        for (const Frame& f : engine.on_frame(kPort, frame, now).frames) CULVERT_CHECK(decode(f.bytes).has_value());
        engine.on_time(now);
        CULVERT_CHECK(engine.next_deadline() > now);
    }
    for (const Family family : {Family::Ipv4, Family::Ipv6}) {
        const auto entries = engine.entries(family, now);
        CULVERT_CHECK(entries.size() <= 16);
        for (const EntryView& e : entries) {
            CULVERT_CHECK((e.mac.octets[0] & 1) == 0 && e.mac != kOurs);
            CULVERT_CHECK(!e.address.is_multicast() && e.address != *IpAddress::parse("10.0.0.1"));
        }
    }
    return 0;
}
