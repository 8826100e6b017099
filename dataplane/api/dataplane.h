#pragma once

#include "base/ids.h"
#include "base/ip.h"
#include "base/result.h"
#include "base/time.h"
#include "dataplane/api/fib_channel.h"
#include "dataplane/api/verdict.h"
#include "dataplane/api/worker_link.h"

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace culvert::api {

enum class PortKind : std::uint8_t { Kernel, Pci, Vdev };

// What a `port ...` statement asks for.
struct PortSpec {
    PortKind kind = PortKind::Kernel;
    std::string device;     // a netdev's name, a PCI address, or DPDK's vdev string
    bool force = false;     // take a netdev although it holds the machine's default route
    std::uint16_t mtu = 0;  // 0: a netdev's own, 1500 of other devices
};

struct PortInfo {
    PortId id{kNoPort};
    MacAddress mac{};
    std::uint16_t mtu = 1500;  // what the port takes now, octets of IP packet
    std::uint16_t max_mtu = 1500;
    bool link_up = false;
    std::string driver;
    std::uint16_t queues = 1;
};

struct PortError {
    std::string message;  // names the device and says what to do
};

struct PortCounters {
    std::uint64_t rx_packets = 0, rx_octets = 0, rx_dropped = 0, rx_errors = 0;
    std::uint64_t tx_packets = 0, tx_octets = 0, tx_dropped = 0;
};

// Per interface, summed over workers; octets are of the IP packet.
struct InterfaceCounters {
    std::uint64_t rx_packets = 0, rx_octets = 0, rx_drops = 0;
    std::uint64_t tx_packets = 0, tx_octets = 0, tx_drops = 0;
};

struct WorkerRuntime {
    WorkerId id{};
    int cpu = -1;  // -1: floats
    std::uint64_t polls = 0;
    std::uint64_t busy_polls = 0;  // found at least one packet
    std::uint64_t sleeps = 0;
    std::uint64_t packets = 0;
    std::uint64_t cycles_busy = 0;  // TSC cycles in polls that found something
    Duration longest_poll_gap{};
    std::uint64_t page_faults = 0;  // of its thread
    std::uint64_t moves = 0;        // to another CPU, because it wasn't up in time
};

struct MemoryUse {
    std::string arena;       // "lpm4", "mbufs"
    std::uint64_t used = 0;  // octets
    std::uint64_t reserved = 0;
};

// What the tables say for one destination: `show ip fib PREFIX`.
struct FibAnswer {
    IpPrefix prefix{};
    GroupId group{kNoGroup};
    std::vector<NexthopId> members;          // one a member, not a bucket
    std::vector<std::uint32_t> down_causes;  // of each member, 0 is up
    std::vector<std::uint16_t> weights;      // of each member
    std::vector<std::uint32_t> buckets;      // that name each member: its share of the flows, now
};

// What a down word says now.
struct DownView {
    std::uint32_t causes = 0;  // 0 is up
    std::uint32_t epoch = 0;   // of the newest failure
    std::uint32_t met = 0;     // packets whose own next hop was not taken because of it, modulo 2^32
};

// The dataplane as the control plane sees it. Every call is made on the control thread; none waits for a worker unless
// it says so.
class Dataplane {
public:
    virtual ~Dataplane() = default;

    // Opens the device and starts its queues, outside any interface; packets are dropped until a SetInterface names it.
    // Blocks for as long as the driver takes (milliseconds, PCI NICs up to a second).
    virtual Result<PortInfo, PortError> open_port(const PortSpec& spec) = 0;
    // Would open_port work? Changes nothing.
    virtual Result<void, PortError> check_port(const PortSpec& spec) const = 0;
    // Stops the port and gives the device back as it was. No interface may name it any more (acked).
    virtual void close_port(PortId id) = 0;
    virtual Result<void, PortError> set_port_mtu(PortId id, std::uint16_t mtu) = 0;
    virtual std::vector<PortInfo> ports() const = 0;

    // The host link of a VRF: `tun` is an open TUN descriptor without packet information (IFF_TUN | IFF_NO_PI), in any
    // network namespace; the dataplane duplicates it. Packets read from it are routed in `vrf`.
    virtual void attach_host_link(VrfId vrf, int tun) = 0;
    virtual void detach_host_link(VrfId vrf) = 0;

    virtual FibChannel& fib() = 0;
    virtual std::size_t workers() const = 0;
    virtual WorkerLink& link(WorkerId worker) = 0;
    // The worker that owns a peer: the one that seals and opens its packets and takes its commands.
    virtual WorkerId owner(PeerId peer) const = 0;
    virtual const PeerActivity& activity(PeerId peer) const = 0;
    // The worker that runs a BFD session and takes its commands: that of the tunnel's peer (single hop inside
    // WireGuard) or protection (single hop inside a protected tunnel), else the one with queue 0 of the ports (kNoPeer
    // and kNoProtection: single hop on a port or an unprotected tunnel, and every multihop session). When the answer
    // for a session changes, it is deleted there, and set anew at the other.
    virtual WorkerId bfd_owner(PeerId peer, ProtectionId protection) const = 0;
    // Of a session that was set; ids are below kMaxBfdSessions.
    virtual const BfdActivity& activity(BfdSessionId session) const = 0;
    // The worker that owns a tunnel's sequence numbers and keepalives.
    virtual WorkerId owner(InterfaceId tunnel) const = 0;
    virtual const TunnelActivity& activity(InterfaceId tunnel) const = 0;
    // The worker that owns a protection: it takes the commands of its SAs.
    virtual WorkerId owner(ProtectionId protection) const = 0;
    virtual const ProtectionActivity& activity(ProtectionId protection) const = 0;

    virtual std::array<std::uint64_t, kVerdictCount> verdicts() const = 0;
    virtual InterfaceCounters interface_counters(InterfaceId id) const = 0;
    virtual PortCounters port_counters(PortId id) const = 0;
    virtual std::vector<WorkerRuntime> runtime() const = 0;
    virtual std::vector<MemoryUse> memory() const = 0;
    virtual std::optional<FibAnswer> lookup(VrfId vrf, const IpAddress& destination) const = 0;
    virtual DownView down(DownKind kind, std::uint32_t id) const = 0;
};

}  // namespace culvert::api
