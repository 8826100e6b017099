#pragma once

#include "dataplane/io/gso.h"
#include "dataplane/io/guardian.h"
#include "dataplane/io/netdev.h"
#include "dataplane/io/port.h"

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace culvert::io {

// A kernel netdev as a port, by packet sockets of our own: one to receive and one to send for each queue, received
// frames lie in mbufs at once (recvmmsg; a ring would copy twice, and truncates what is larger than its slots).
// Fragments stay fragments, what the machine itself sends isn't heard, VLAN tags and checksums are complete, and large
// segments (TCP over IPv4 and IPv6, UDP) are cut to size. Not handled: large segments of the kernel's own tunnels (GRE,
// VXLAN with an inner TCP segment larger than the MTU), which the kernel doesn't hand to packet sockets; they are
// counted as rx errors.
// Queue 0 hears control traffic (ARP, ND, BFD, and what has IP precedence 6 or 7) by a socket of its own, so that a
// flood that overflows the others drops none of it.
class PacketPort final : public Port {
public:
    // The netdev is taken through options.guardian and given back by the destructor.
    static Result<std::unique_ptr<Port>, api::PortError> open(const api::PortSpec& spec, const PortOptions& options);
    ~PacketPort() override;

    std::uint16_t rx_burst(std::uint16_t queue, rte_mbuf** frames, std::uint16_t max) noexcept override;
    std::uint16_t tx_burst(std::uint16_t queue, rte_mbuf** frames, std::uint16_t count) noexcept override;
    std::span<const int> wait_fds(std::uint16_t queue) const noexcept override;
    bool pending(std::uint16_t queue) const noexcept override;
    Progress progress(std::uint16_t queue, std::size_t n) const noexcept override;
    // The kernel stamps frames when it gets them from the driver, by its wall clock.
    double stamp_tick() const noexcept override { return 1; }
    std::optional<std::uint64_t> stamp_clock() const noexcept override;
    api::PortInfo info() const override;
    bool link_up() const noexcept override;
    Result<void, api::PortError> set_mtu(std::uint16_t mtu) override;
    api::PortCounters counters() const override;

private:
    class Queue;

    PacketPort(Netdev device, const PortOptions& options);
    Result<void, api::PortError> open_queues(std::uint16_t count, rte_mempool* pool);

    Netdev device_;
    std::string name_;
    PortId id_;
    Guardian& guardian_;
    int control_;  // any socket: for the link's state, in the netdev's namespace
    std::atomic<std::uint16_t> mtu_;
    std::vector<std::unique_ptr<Queue>> queues_;
};

}  // namespace culvert::io
