#pragma once

#include "base/ids.h"
#include "base/ip.h"
#include "base/time.h"
#include "dataplane/api/bfd.h"
#include "dataplane/api/esp.h"
#include "dataplane/api/fib_update.h"
#include "dataplane/api/wake.h"

#include <boost/lockfree/spsc_queue.hpp>

#include <array>
#include <atomic>
#include <cstdint>
#include <type_traits>
#include <variant>

namespace culvert::api {

// ---- control -> worker: commands -----------------------------------------------------------------------------------

// The keys of one WireGuard session. Zeroed in the ring as soon as it is read.
struct InstallKeys {
    PeerId peer;
    std::uint64_t sequence;      // acked by KeysInstalled; a worker that acked takes data under these keys
    std::uint32_t local_index;   // what the peer puts into its packets
    std::uint32_t remote_index;  // what we put into ours
    bool initiator;              // we initiated: these keys are proven and become the sending keys at once.
                                 // Else they are `next`: receive only, until the first authenticated packet proves them
    TimePoint created;
    std::array<std::uint8_t, 32> sending;
    std::array<std::uint8_t, 32> receiving;
};
// Forgets all keys of a peer (REJECT_AFTER_TIME x 3, or the peer is removed), and drops what waits for it if asked.
struct ForgetKeys {
    PeerId peer;
    bool drop_waiting;
};
// Sends an empty transport message under the current key.
struct SendKeepalive {
    PeerId peer;
};
// A handshake message came from a new place: data goes there too from now on.
struct MovePeer {
    PeerId peer;
    Endpoint endpoint;
};
// The neighbour was resolved (or given up): packets that wait for it are looked up again (or dropped with
// AnswerUnreachable). Pushed after the FIB batch that tells the address was acked.
struct ReleaseHeld {
    InterfaceId interface;
    IpAddress address;
    bool resolved;
};

// What of a packet of the family says which flow it belongs to, where traffic is shared. Every worker is told.
struct HashFields {
    bool source = true, destination = true, protocol = true, ports = true;
    bool flow_label = false;  // IPv6 only
    friend bool operator==(const HashFields&, const HashFields&) = default;
};
struct SetFlowHash {
    Family family;
    HashFields fields;
};

// A GRE tunnel's keepalives, asked for by the worker that owns it. What goes out is what the tunnel is when it does.
struct SetTunnelKeepalive {
    InterfaceId tunnel;
    std::uint16_t period = 0;  // seconds; 0: none any more
    std::uint8_t retries = 3;  // unanswered in a row: down
};

using WorkerCommand = std::variant<std::monostate, InstallKeys, ForgetKeys, SendKeepalive, MovePeer, ReleaseHeld,
                                   SetBfdSession, DeleteBfdSession, ClearBfdActivity, SetFlowHash, SetTunnelKeepalive,
                                   InstallSa, ActivateSa, DeleteSa, MoveSas>;
static_assert(std::is_trivially_copyable_v<WorkerCommand>);

// ---- control -> worker: packets ------------------------------------------------------------------------------------

inline constexpr std::size_t kMaxInject = 2040;

enum class InjectKind : std::uint8_t {
    Frame,   // an Ethernet frame without a VLAN tag, to be sent on `interface` (ARP, ND)
    Packet,  // an IP packet that this box sends, routed in `vrf` (WireGuard handshakes); control traffic goes first
};
struct Inject {
    InjectKind kind;
    VrfId vrf;
    InterfaceId interface;
    std::uint16_t length;
    std::array<std::uint8_t, kMaxInject> bytes;
};
static_assert(std::is_trivially_copyable_v<Inject>);

// ---- worker -> control: events -------------------------------------------------------------------------------------

// A packet waits for (or a failed adjacency wants) `address` on `interface`. At most one a second for each address.
struct NeighborMiss {
    InterfaceId interface;
    IpAddress address;
};
// A packet waits for a session with `peer`, or the current one is about to end.
struct HandshakeWanted {
    PeerId peer;
};
struct KeysInstalled {
    PeerId peer;
    std::uint64_t sequence;
};
// The first authenticated packet under the `next` keys came: they are the current ones now.
struct KeysProven {
    PeerId peer;
    std::uint32_t local_index;
};
// An authenticated data packet came from a new place.
struct EndpointMoved {
    PeerId peer;
    Endpoint endpoint;
};
struct LinkChanged {
    PortId port;
    bool up;
};
// A worker set a cause bit in a down word.
struct WentDown {
    DownKind kind;
    std::uint32_t id;      // of the next hop, interface, port or session
    std::uint32_t causes;  // fib::cause
    std::uint32_t epoch;
    TimePoint since;  // the last sign of life: BFD's last packet's time stamp; link loss: when it was seen
    TimePoint at;     // the flip
};

// Keepalives of a tunnel that they took down are answered again, or no longer sent; or it has an SA again.
struct TunnelAlive {
    InterfaceId tunnel;
};

using WorkerEvent = std::variant<std::monostate, NeighborMiss, HandshakeWanted, KeysInstalled, KeysProven,
                                 EndpointMoved, LinkChanged, WentDown, TunnelAlive, BfdChanged, SaInstalled, SaDeleted,
                                 SaProven, SaSoftExpired, SaHardExpired, SaWanted, SaPeerMoved>;
static_assert(std::is_trivially_copyable_v<WorkerEvent>);

// ---- worker -> control: packets ------------------------------------------------------------------------------------

enum class PuntClass : std::uint8_t { Arp, NeighborDiscovery, WireguardHandshake, PathMtu };

// A copied packet. Arp: the frame from the Ethernet header on. NeighborDiscovery: the frame from the Ethernet header
// on. WireguardHandshake: the UDP payload, `from`/`to` are the outer addresses and ports. PathMtu: an IP packet that is
// an ICMP error (fragmentation needed, packet too big) about a packet of a tunnel's, as far as it shows; `vrf` is the
// outer one.
struct Punt {
    PuntClass klass;
    VrfId vrf;
    InterfaceId interface;  // where it came in; for WireguardHandshake the WireGuard interface
    std::uint16_t length;
    TimePoint at;
    Endpoint from;
    Endpoint to;
    std::array<std::uint8_t, kMaxInject> bytes;
};
static_assert(std::is_trivially_copyable_v<Punt>);

// ---- what a peer's session did, read by control at its leisure -----------------------------------------------------

// One writer (the owning worker), relaxed. Times are TimePoint counts; 0 is "never".
struct PeerActivity {
    std::atomic<std::int64_t> last_data_sent{0};              // with an inner packet
    std::atomic<std::int64_t> last_data_received{0};          // authenticated, with an inner packet
    std::atomic<std::int64_t> last_any_sent{0};               // keepalives too
    std::atomic<std::int64_t> last_any_received{0};           // authenticated, keepalives too
    std::atomic<std::int64_t> first_data_sent_unanswered{0};  // first data sent after last_any_received; 0 if answered
    std::atomic<std::int64_t> first_data_received_unanswered{
        0};  // first data received after last_any_sent; 0 if answered
    std::atomic<std::uint64_t> sent_packets{0};
    std::atomic<std::uint64_t> sent_octets{0};  // of UDP payload, as `wg show` counts
    std::atomic<std::uint64_t> received_packets{0};
    std::atomic<std::uint64_t> received_octets{0};
    std::atomic<std::uint64_t> sending_counter{0};  // of the current key: REKEY_AFTER_MESSAGES
};

// What a tunnel interface saw, read by control at its leisure. Relaxed; its owning worker writes, unless said.
struct TunnelActivity {
    // TimePoint count of the last keepalive of ours that came back. Any worker writes, the last one wins.
    std::atomic<std::int64_t> keepalive_received{0};
    std::atomic<std::uint64_t> keepalives_sent{0};
    std::atomic<std::uint32_t> keepalives_missed{0};  // in a row
};

// The four queues between the control thread and one worker. Each side alone pushes or pops.
struct WorkerLink {
    boost::lockfree::spsc_queue<WorkerCommand, boost::lockfree::capacity<4096>> commands;  // control -> worker
    boost::lockfree::spsc_queue<Inject, boost::lockfree::capacity<512>> injects;           // control -> worker
    boost::lockfree::spsc_queue<WorkerEvent, boost::lockfree::capacity<4096>> events;      // worker -> control
    boost::lockfree::spsc_queue<Punt, boost::lockfree::capacity<1024>> punts;              // worker -> control
    Wake worker_wake;
    Wake control_wake;
    // Raised by the worker when it could not queue an event: control must look at its state afresh.
    std::atomic<std::uint64_t> lost_events{0};
};

}  // namespace culvert::api
