#include "dataplane/io/ethdev_port.h"

#include "base/log.h"
#include "dataplane/io/packet_pool.h"

#include <fmt/format.h>
#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_ethdev.h>

#include <fcntl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <set>

namespace culvert::io {
namespace {

namespace fs = std::filesystem;

constexpr std::uint16_t kRxDescriptors = 1024;
constexpr std::uint16_t kTxDescriptors = 1024;
constexpr std::uint64_t kRss = RTE_ETH_RSS_IP | RTE_ETH_RSS_TCP | RTE_ETH_RSS_UDP;
constexpr int kAfXdp = 44;
// The kernel takes no AF_XDP frame larger than a page, and a frame is a whole mbuf; so many as both rings hold, and
// more.
constexpr std::uint16_t kXdpDataRoom = 3072;
constexpr std::size_t kXdpBuffers = 5120;

Error<api::PortError> failed(std::string message) { return Error{api::PortError{std::move(message)}}; }

// The name that a symbolic link in sysfs ends with; empty when it isn't there.
std::string link_name(const fs::path& link)
{
    std::error_code error;
    const auto target = fs::read_symlink(link, error);
    return error ? std::string() : target.filename().string();
}

std::set<int> open_fds()
{
    std::set<int> fds;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator("/proc/self/fd", error))
        fds.insert(std::atoi(entry.path().filename().c_str()));
    // The one that listed them is among them.
    std::erase_if(fds, [](int fd) { return fcntl(fd, F_GETFD) < 0; });
    return fds;
}

// Descriptors that are readable when a frame waits: sockets and TUN devices that a driver opened. Drivers don't tell
// them, so they are those that were not there before.
std::vector<int> receiving_fds(const std::set<int>& before)
{
    std::vector<int> fds;
    for (const int fd : open_fds()) {
        if (before.contains(fd)) continue;
        int domain = 0;
        socklen_t size = sizeof domain;
        const bool is_socket = getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0;
        std::error_code error;
        const bool is_tun = fs::read_symlink(fmt::format("/proc/self/fd/{}", fd), error) == "/dev/net/tun";
        if ((is_socket && (domain == AF_PACKET || domain == kAfXdp)) || is_tun) fds.push_back(fd);
    }
    return fds;
}

// The netdev that the kernel made of a PCI device.
std::string netdev_of(const fs::path& device)
{
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(device / "net", error)) return entry.path().filename().string();
    return {};
}

Result<void, api::PortError> check_pci(const std::string& address)
{
    const fs::path device = fs::path("/sys/bus/pci/devices") / address;
    std::error_code error;
    if (!fs::exists(device, error))
        return failed(fmt::format("there is no PCI device {}; `lspci -D | grep -i eth` lists them", address));
    const std::string driver = link_name(device / "driver");
    // Drivers that share the device with DPDK leave it to the kernel.
    for (const char* good : {"vfio-pci", "uio_pci_generic", "igb_uio", "mlx4_core", "mlx5_core", "mana"})
        if (driver == good) return {};
    const std::string netdev = netdev_of(device);
    return failed(
        fmt::format("{} is not bound to a driver for DPDK but to {}; bind it (dpdk-devbind.py -b vfio-pci {}){}",
                    address, driver.empty() ? "none" : driver, address,
                    netdev.empty() ? std::string() : fmt::format(", or use `port kernel {}`", netdev)));
}

}  // namespace

Result<EthdevPort::Address, api::PortError> EthdevPort::parse(const api::PortSpec& spec)
{
    Address a;
    const auto comma = spec.device.find(',');
    a.name = spec.device.substr(0, comma);
    a.arguments = comma == std::string::npos ? std::string() : spec.device.substr(comma + 1);
    if (spec.kind == api::PortKind::Pci) {
        a.bus = "pci";
        if (std::count(a.name.begin(), a.name.end(), ':') == 1) a.name = "0000:" + a.name;
        return a;
    }
    a.bus = "vdev";
    const std::string letters = a.name.substr(0, a.name.find_last_not_of("0123456789") + 1);
    if (!a.name.starts_with("net_") || letters.size() < 5 || letters.size() == a.name.size() || a.name.size() > 31)
        return failed(
            fmt::format("\"{}\" is not a DPDK virtual device: a driver and a number, then its arguments, like "
                        "net_memif0,role=server,socket=/run/a.sock (net_ring, net_null, net_pcap, net_af_xdp, "
                        "net_tap, net_vhost, net_virtio_user)",
                        spec.device));
    return a;
}

Result<void, api::PortError> EthdevPort::check(const api::PortSpec& spec)
{
    const auto address = parse(spec);
    if (!address) return Error{address.error()};
    std::uint16_t port;
    if (rte_eth_dev_get_port_by_name(address->name.c_str(), &port) == 0)
        return failed(fmt::format("{} is in use by another port", address->name));
    if (spec.mtu > kLargestMtu)
        return failed(
            fmt::format("{}: culvert's packets have at most {} octets, not {}", address->name, kLargestMtu, spec.mtu));
    return spec.kind == api::PortKind::Pci ? check_pci(address->name) : Result<void, api::PortError>{};
}

Result<std::unique_ptr<Port>, api::PortError> EthdevPort::open(const api::PortSpec& spec, const PortOptions& options)
{
    if (const auto fine = check(spec); !fine) return Error{fine.error()};
    Address address = *parse(spec);

    const auto fds = open_fds();
    const int plugged = rte_eal_hotplug_add(address.bus.c_str(), address.name.c_str(), address.arguments.c_str());
    if (plugged != 0)
        return failed(
            fmt::format("{}: DPDK can't open it ({}); is there such a driver, and are its arguments \"{}\" right?",
                        address.name, std::strerror(-plugged), address.arguments));
    std::uint16_t id = RTE_MAX_ETHPORTS;
    if (rte_eth_dev_get_port_by_name(address.name.c_str(), &id) != 0) {
        std::uint16_t other;
        RTE_ETH_FOREACH_DEV(other)
        {
            rte_eth_dev_info info;
            if (rte_eth_dev_info_get(other, &info) == 0 && address.name == rte_dev_name(info.device)) id = other;
        }
    }
    if (id >= RTE_MAX_ETHPORTS) {
        rte_eal_hotplug_remove(address.bus.c_str(), address.name.c_str());
        return failed(fmt::format("{}: DPDK opened it, but it has no Ethernet port", address.name));
    }

    std::unique_ptr<EthdevPort> port{new EthdevPort{std::move(address), id}};
    if (const auto done = port->configure(spec, options); !done) return Error{done.error()};
    port->fds_ = receiving_fds(fds);
    log::info("port", "{} ({}) runs: MTU {}, {} queue{}, {}", port->address_.name, port->driver_, port->mtu_.load(),
              port->queues_, port->queues_ == 1 ? "" : "s", port->fds_.empty() ? "polled" : "with descriptors");
    return std::unique_ptr<Port>{std::move(port)};
}

Result<void, api::PortError> EthdevPort::configure(const api::PortSpec& spec, const PortOptions& options)
{
    const auto error = [&](const char* what, int code) {
        return failed(fmt::format("{}: {}: {}", address_.name, what, std::strerror(-code)));
    };
    rte_eth_dev_info info;
    if (const int e = rte_eth_dev_info_get(port_, &info); e != 0) return error("tells nothing about itself", e);
    driver_ = info.driver_name ? info.driver_name : "dpdk";
    sets_port_ = driver_ != "net_ring";  // passes mbufs on as they are
    queues_ = std::max<std::uint16_t>(1, std::min({options.queues, info.max_rx_queues, info.max_tx_queues}));

    rte_eth_conf conf{};
    const std::uint16_t wanted = spec.mtu != 0 ? spec.mtu : RTE_ETHER_MTU;
    conf.rxmode.mtu = std::clamp<std::uint16_t>(wanted, info.min_mtu, std::max(info.min_mtu, info.max_mtu));
    conf.txmode.offloads = info.tx_offload_capa & RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
    if (queues_ > 1 && (info.flow_type_rss_offloads & kRss) != 0) {
        conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
        conf.rx_adv_conf.rss_conf.rss_hf = info.flow_type_rss_offloads & kRss;
    }
    conf.rxmode.offloads |= info.rx_offload_capa & RTE_ETH_RX_OFFLOAD_TIMESTAMP;
    int e = rte_eth_dev_configure(port_, queues_, queues_, &conf);
    if (e == -EINVAL && conf.rxmode.mtu != RTE_ETHER_MTU) {
        // A driver with one frame size only.
        conf.rxmode.mtu = RTE_ETHER_MTU;
        e = rte_eth_dev_configure(port_, queues_, queues_, &conf);
    }
    if (e != 0) return error("can't be configured", e);

    std::uint16_t rx = kRxDescriptors, tx = kTxDescriptors;
    if ((e = rte_eth_dev_adjust_nb_rx_tx_desc(port_, &rx, &tx)) != 0) return error("descriptors", e);
    rte_mempool* pool = options.pool;
    if (driver_ == "net_af_xdp") {
        auto small = PacketPool::create("xdp-" + address_.name, kXdpBuffers, kXdpDataRoom);
        if (!small) return failed(fmt::format("{}: {}", address_.name, small.error()));
        small_buffers_.emplace(std::move(*small));
        pool = small_buffers_->get();
        info.max_mtu =
            std::min<std::uint16_t>(info.max_mtu, kXdpDataRoom - RTE_PKTMBUF_HEADROOM - RTE_ETHER_HDR_LEN - 8);
    }
    const int socket = rte_eth_dev_socket_id(port_);
    const auto node = static_cast<unsigned>(socket);
    for (std::uint16_t q = 0; q < queues_; ++q) {
        if ((e = rte_eth_rx_queue_setup(port_, q, rx, node, nullptr, pool)) != 0) return error("receive queue", e);
        if ((e = rte_eth_tx_queue_setup(port_, q, tx, node, nullptr)) != 0) return error("transmit queue", e);
    }
    if ((e = rte_eth_dev_start(port_)) != 0)
        return failed(
            fmt::format("{}: doesn't start: {}; if it connects to another process, that one must run already, "
                        "and its arguments must be the driver's: \"{}\"",
                        address_.name, std::strerror(-e), address_.arguments));
    started_ = true;
    // net_pcap stamps in microseconds of the capture, by a clock that can't be asked.
    if (driver_ == "net_pcap") stamp_tick_ = 1000;
    timesync_ = rte_eth_timesync_enable(port_) == 0;

    // Neighbour discovery comes by multicast (RFC 4861). Virtual devices filter nothing, and say so by not having this.
    e = rte_eth_allmulticast_enable(port_);
    if (e != 0 && e != -ENOTSUP) return error("takes no multicast", e);

    std::uint16_t now = RTE_ETHER_MTU;
    rte_eth_dev_get_mtu(port_, &now);
    max_mtu_ = std::min(std::max(info.max_mtu, now), kLargestMtu);
    // A driver without a largest MTU of its own, that can't change it either.
    if (info.max_mtu == UINT16_MAX && now < max_mtu_ && rte_eth_dev_set_mtu(port_, now) == -ENOTSUP) max_mtu_ = now;
    mtu_ = now;
    return set_mtu(wanted);
}

EthdevPort::~EthdevPort()
{
    if (started_) rte_eth_dev_stop(port_);
    rte_eth_dev_close(port_);
    rte_eal_hotplug_remove(address_.bus.c_str(), address_.name.c_str());
}

std::uint16_t EthdevPort::rx_burst(std::uint16_t queue, rte_mbuf** frames, std::uint16_t max) noexcept
{
    const std::uint16_t n = rte_eth_rx_burst(port_, queue, frames, max);
    if (!sets_port_)
        for (std::uint16_t i = 0; i < n; ++i) frames[i]->port = port_;
    return n;
}

std::uint16_t EthdevPort::tx_burst(std::uint16_t queue, rte_mbuf** frames, std::uint16_t count) noexcept
{
    return rte_eth_tx_burst(port_, queue, frames, count);
}

std::span<const int> EthdevPort::wait_fds(std::uint16_t) const noexcept { return fds_; }

std::optional<std::uint64_t> EthdevPort::stamp_clock() const noexcept
{
    std::uint64_t ticks = 0;
    if (rte_eth_read_clock(port_, &ticks) == 0) return ticks;
    timespec t{};
    if (timesync_ && rte_eth_timesync_read_time(port_, &t) == 0)
        return static_cast<std::uint64_t>(t.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(t.tv_nsec);
    return std::nullopt;
}

std::optional<std::uint64_t> EthdevPort::stamp_register(std::uint32_t which) const noexcept
{
    timespec t{};
    if (!timesync_ || rte_eth_timesync_read_rx_timestamp(port_, &t, which) != 0) return std::nullopt;
    return static_cast<std::uint64_t>(t.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(t.tv_nsec);
}

bool EthdevPort::link_up() const noexcept
{
    rte_eth_link link{};
    return rte_eth_link_get_nowait(port_, &link) != 0 || link.link_status == RTE_ETH_LINK_UP;
}

api::PortInfo EthdevPort::info() const
{
    api::PortInfo i;
    i.id = PortId{port_};
    rte_ether_addr mac{};
    if (rte_eth_macaddr_get(port_, &mac) == 0) std::copy_n(mac.addr_bytes, 6, i.mac.octets.begin());
    i.mtu = mtu_.load(std::memory_order_relaxed);
    i.max_mtu = max_mtu_;
    i.link_up = link_up();
    i.driver = driver_;
    i.queues = queues_;
    return i;
}

Result<void, api::PortError> EthdevPort::set_mtu(std::uint16_t mtu)
{
    if (mtu > max_mtu_)
        return failed(fmt::format("{} takes an MTU of at most {}, not {}", address_.name, max_mtu_, mtu));
    std::uint16_t now = 0;
    rte_eth_dev_get_mtu(port_, &now);
    // A larger limit of the device's does no harm: what leaves is no larger than the interface's MTU anyway.
    if (mtu != now)
        if (const int e = rte_eth_dev_set_mtu(port_, mtu); e != 0 && mtu > now)
            return failed(fmt::format("{}: MTU {}: {}", address_.name, mtu, std::strerror(-e)));
    mtu_.store(mtu, std::memory_order_relaxed);
    return {};
}

api::PortCounters EthdevPort::counters() const
{
    rte_eth_stats s{};
    api::PortCounters c;
    if (rte_eth_stats_get(port_, &s) != 0) return c;
    c.rx_packets = s.ipackets;
    c.rx_octets = s.ibytes;
    c.rx_dropped = s.imissed + s.rx_nombuf;
    c.rx_errors = s.ierrors;
    c.tx_packets = s.opackets;
    c.tx_octets = s.obytes;
    c.tx_dropped = s.oerrors;
    return c;
}

}  // namespace culvert::io
