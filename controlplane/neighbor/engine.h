#pragma once

#include "base/bytes.h"
#include "base/ids.h"
#include "base/ip.h"
#include "base/time.h"
#include "controlplane/neighbor/codec.h"

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace culvert::neighbor {

struct Timers {
    Duration retransmit = 1s;       // RFC 4861 RETRANS_TIMER
    unsigned tries = 3;             // MAX_MULTICAST_SOLICIT, MAX_UNICAST_SOLICIT
    Duration hold_down = 5s;        // after a failure, misses are answered by "failed" for so long
    Duration reachable = 45s;       // a confirmed entry is trusted for so long
    Duration advertise = 10s;       // between router advertisements: MaxRtrAdvInterval of RFC 4861 6.2.1
    Duration first_advertise = 3s;  // between the first ones, and at least between any: MIN_DELAY_BETWEEN_RAS
    Duration stale = 5min;          // an entry that no next hop uses is probed once more, after so long without a sign
};
struct Limits {
    std::size_t entries = 4096;               // of one interface and family; incomplete ones go first, the oldest first
    unsigned solicitations_per_second = 500;  // of one interface, for new addresses
    unsigned answers_per_second = 1000;       // of one interface
};

// An interface of kind Port, with what the engine answers for.
struct Link {
    InterfaceId id{kNoInterface};
    MacAddress mac{};
    bool up = false;
    std::vector<InterfaceAddress> addresses;
    std::set<IpAddress> proxied;    // answered for as well (addresses of this box that others look for on this link)
    bool ipv6_link_local = true;    // the EUI-64 one is an own address too, if any address is IPv6
    bool advertise_router = false;  // unnumbered: advertise ourselves, and learn who else does
    friend bool operator==(const Link&, const Link&) = default;
};

enum class State : std::uint8_t {
    Incomplete,  // asked, no answer yet
    Reachable,   // confirmed
    Stale,       // believed; not confirmed lately
    Probe,       // asked by unicast whether it is still there
    Failed,      // did not answer; asked again after the hold-down
    Static,      // configured
};
const char* to_string(State s) noexcept;

enum class Change : std::uint8_t {
    Resolved,
    Moved,
    Failed,
    Expired,
    Lost,  // a next hop uses it, and it no longer answers; it is asked for by everyone's address now
};
struct Event {
    Change change;
    InterfaceId interface;
    IpAddress address;
    MacAddress mac;     // Resolved and Moved
    TimePoint since{};  // Lost: when it was last confirmed
};
struct Frame {
    InterfaceId interface;
    std::vector<std::uint8_t> bytes;  // to be injected as api::InjectKind::Frame
};
struct Output {
    std::vector<Frame> frames;
    std::vector<Event> events;
    std::vector<std::string> warnings;  // another station uses an address of ours
    std::vector<InterfaceId> routers;   // router() of the interface is another one
};

struct EntryView {
    InterfaceId interface;
    IpAddress address;
    MacAddress mac;
    State state;
    Duration age;  // since it was last confirmed
    bool in_use;
    bool router;  // IPv6: it says so
};

struct Counters {
    std::uint64_t received = 0, sent = 0;
    std::array<std::uint64_t, 9> undecodable{};  // by DecodeError
    std::uint64_t off_link = 0;                  // sender outside the interface's subnets
    std::uint64_t bad_sender = 0;                // group address, or our own, as a sender
    std::uint64_t not_for_us = 0;
    std::uint64_t duplicate = 0;  // another station claims an address of ours
    std::uint64_t table_full = 0;
    std::uint64_t limited = 0;  // not sent because of a rate limit
    std::uint64_t moves = 0, failures = 0;
    std::uint64_t routers_heard = 0;  // router advertisements on unnumbered interfaces
};

// ARP and IPv6 neighbour discovery of every port interface, in the caller's time. Learns only from what concerns it: an
// answer to its question, a question to one of its addresses, an update of what it knows. Never an address outside the
// interface's subnets, one of our own, or a group MAC.
//
// Entries that a next hop uses are asked again (by unicast) whenever their reachable time ends, so that forwarding
// never pauses to resolve; others fade: stale, one probe, gone. A Reachable entry that stops answering is Expired, and
// asked for by broadcast at the next miss (at once if it is in use).
//
// On an unnumbered link (Link::advertise_router) it sends router advertisements without prefixes, as RFC 4861 6.2 says,
// and learns from those of others who the router at the far end is.
class Engine {
public:
    explicit Engine(Timers timers = {}, Limits limits = {});
    ~Engine();
    Engine(Engine&&) noexcept;
    Engine& operator=(Engine&&) noexcept;

    // New or changed. Announces each new address (gratuitous ARP, unsolicited NA); entries that no longer fit go.
    Output set_link(const Link& link, TimePoint now);
    Output remove_link(InterfaceId id, TimePoint now);
    // The dataplane has packets for the address (api::NeighborMiss), or control wants it resolved ahead.
    Output on_miss(InterfaceId interface, const IpAddress& address, TimePoint now);
    // A punted frame, from the Ethernet header on.
    Output on_frame(InterfaceId interface, Bytes frame, TimePoint now);
    Output on_time(TimePoint now);
    TimePoint next_deadline() const noexcept;

    // A next hop uses the address: keep it fresh, resolving it now if need be.
    Output set_in_use(InterfaceId interface, const IpAddress& address, bool in_use, TimePoint now);
    Output set_static(InterfaceId interface, const IpAddress& address, const MacAddress& mac, TimePoint now);
    Output remove_static(InterfaceId interface, const IpAddress& address, TimePoint now);
    // `clear ip arp`, `clear ipv6 neighbors`: forgets what was learned.
    Output clear(std::optional<InterfaceId> interface, Family family, TimePoint now);

    // In order of interface and address; for `show arp` and `show ipv6 neighbors`.
    std::vector<EntryView> entries(Family family, TimePoint now) const;
    std::optional<MacAddress> find(InterfaceId interface, const IpAddress& address) const;
    // Of an interface with `advertise_router`: the router on the link that advertised itself first. Another one takes
    // its place only when it has been silent for longer than it said it would be there.
    std::optional<Ipv6Address> router(InterfaceId interface) const;
    const Counters& counters() const noexcept;

private:
    struct Tables;
    std::unique_ptr<Tables> tables_;
};

}  // namespace culvert::neighbor
