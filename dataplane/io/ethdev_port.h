#pragma once

#include "dataplane/io/packet_pool.h"
#include "dataplane/io/port.h"

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace culvert::io {

// A port that DPDK has a driver for: a PCI NIC bound to vfio-pci or uio, or a virtual device by DPDK's own string
// ("net_memif0,role=server,socket=/run/a.sock"). The device is plugged in by open() and taken out by the destructor.
class EthdevPort final : public Port {
public:
    static Result<std::unique_ptr<Port>, api::PortError> open(const api::PortSpec& spec, const PortOptions& options);
    static Result<void, api::PortError> check(const api::PortSpec& spec);
    ~EthdevPort() override;

    std::uint16_t rx_burst(std::uint16_t queue, rte_mbuf** frames, std::uint16_t max) noexcept override;
    std::uint16_t tx_burst(std::uint16_t queue, rte_mbuf** frames, std::uint16_t count) noexcept override;
    std::span<const int> wait_fds(std::uint16_t queue) const noexcept override;
    double stamp_tick() const noexcept override { return stamp_tick_; }
    std::optional<std::uint64_t> stamp_clock() const noexcept override;
    std::optional<std::uint64_t> stamp_register(std::uint32_t which) const noexcept override;
    api::PortInfo info() const override;
    bool link_up() const noexcept override;
    Result<void, api::PortError> set_mtu(std::uint16_t mtu) override;
    api::PortCounters counters() const override;

private:
    // The device's place in DPDK: "pci" or "vdev", and its name there.
    struct Address {
        std::string bus;
        std::string name;
        std::string arguments;
    };

    EthdevPort(Address address, std::uint16_t dpdk_port) : address_(std::move(address)), port_(dpdk_port) {}
    static Result<Address, api::PortError> parse(const api::PortSpec& spec);
    Result<void, api::PortError> configure(const api::PortSpec& spec, const PortOptions& options);

    Address address_;
    std::uint16_t port_;
    std::uint16_t queues_ = 1;
    std::uint16_t max_mtu_ = 1500;
    std::atomic<std::uint16_t> mtu_{1500};
    bool sets_port_ = true;  // the driver writes rte_mbuf::port
    bool started_ = false;
    bool timesync_ = false;  // its stamps are of a clock that timesync reads, in nanoseconds
    double stamp_tick_ = 0;
    std::string driver_;
    std::vector<int> fds_;                     // the driver's own
    std::optional<PacketPool> small_buffers_;  // AF_XDP's frames lie within a page
};

}  // namespace culvert::io
