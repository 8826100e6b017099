#pragma once

#include "crypto/aead.h"
#include "dataplane/fib/fib_writer.h"
#include "dataplane/io/eal.h"
#include "dataplane/io/packet_pool.h"
#include "dataplane/node/bfd_speaker.h"
#include "dataplane/pipeline.h"
#include "dataplane/wire/ethernet.h"
#include "dataplane/wire/ip.h"
#include "dataplane/wire/transport.h"

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

namespace culvert::dataplane::test {

using api::Verdict;
using Octets = std::vector<std::uint8_t>;

// EAL once a process, and the buffers that all routers of a test share. The first call says what memory.
io::PacketPool& pool(io::MemoryMode memory = io::MemoryMode::Anonymous);

Ipv4Address ip4(std::string_view text);
Ipv6Address ip6(std::string_view text);
IpAddress ip(std::string_view text);
IpPrefix prefix(std::string_view text);

struct Udp4 {
    Ipv4Address from, to;
    std::uint16_t from_port = 1000, to_port = 2000;
    std::size_t payload = 10;
    std::uint8_t ttl = 64;
    std::uint8_t tos = 0;
    std::uint16_t fragment = 0;
    std::uint16_t id = 7;
};
Octets packet(const Udp4& p);

struct Udp6 {
    Ipv6Address from, to;
    std::uint16_t from_port = 1000, to_port = 2000;
    std::size_t payload = 10;
    std::uint8_t hop_limit = 64;
    std::uint8_t traffic_class = 0;
};
Octets packet(const Udp6& p);

// A SYN with the MSS option behind `nops` NOPs.
Octets tcp_syn(Ipv4Address from, Ipv4Address to, std::uint16_t mss, std::size_t nops = 0);
Octets tcp_syn(const Ipv6Address& from, const Ipv6Address& to, std::uint16_t mss);

// Any payload behind an IP header of the addresses' family.
Octets packet(const IpAddress& from, const IpAddress& to, wire::Protocol protocol, Bytes payload,
              std::uint8_t ttl = 64);

Octets icmp4(Ipv4Address from, Ipv4Address to, std::uint8_t type, std::uint8_t code);
Octets icmp6(const Ipv6Address& from, const Ipv6Address& to, std::uint8_t type, std::uint8_t hop_limit);

Octets frame(const MacAddress& to, const MacAddress& from, wire::EtherType type, Bytes payload);
// By the packet's version.
Octets frame(const MacAddress& to, const MacAddress& from, Bytes packet);

wire::Ipv4Header& header4(Octets& packet, std::size_t at = 0);
wire::Ipv6Header& header6(Octets& packet, std::size_t at = 0);
bool checksum4_intact(Bytes packet);
bool transport4_intact(Bytes packet);  // TCP, UDP or ICMP under IPv4, no fragment
bool transport6_intact(Bytes packet);  // under IPv6, no extension headers

struct Sent {
    PortId port;
    bool control;
    Octets frame;

    Octets packet(std::size_t link_header = 14) const { return {frame.begin() + link_header, frame.end()}; }
};

inline constexpr PortId kLan{10}, kWan{11};
inline constexpr InterfaceId kLanIf{1}, kWanIf{2}, kWg{3};
inline constexpr MacAddress kLanMac{{2, 0, 0, 0, 0, 1}}, kWanMac{{2, 0, 0, 0, 0, 2}};
inline constexpr MacAddress kHostMac{{2, 0, 0, 0, 1, 1}}, kPeerMac{{2, 0, 0, 0, 1, 2}};

// One worker's pipeline without a thread, a device or a clock. Two ports: lan 10.1.0.1/24 2001:db8:1::1/64 and wan
// 192.0.2.1/24 2001:db8:2::1/64, with a resolved neighbour .2 on each; 198.51.100.0/24 and 2001:db8:f::/48 by the
// wan's.
class Router : private Outlet {
public:
    explicit Router(std::uint32_t first_address = 0x0a010001);
    ~Router();

    void apply(const api::FibUpdate& update);
    // A route with a group and a next hop of its own.
    void route(std::string_view to, api::SetNexthop nexthop, VrfId vrf = kDefaultVrf);
    void local(std::string_view address, VrfId vrf = kDefaultVrf);
    NexthopId adjacency(InterfaceId interface, std::string_view gateway, const MacAddress& mac, bool resolved = true);
    void route_via(std::string_view to, NexthopId nexthop);
    // Applies a batch of its own through the channel, as the control plane does.
    api::SetInterface lan() const { return lan_; }
    api::SetInterface wan() const { return wan_; }
    void set_lan(const api::SetInterface& i);
    void set_wan(const api::SetInterface& i);
    void set_mtu(std::uint16_t mtu);  // of both

    void receive(PortId port, Bytes frame);
    void receive_all(PortId port, const std::vector<Octets>& frames);
    // An IP packet from the host behind kLan, kHostMac to kLanMac.
    void from_lan(Bytes packet) { receive(kLan, frame(kLanMac, kHostMac, packet)); }
    void from_wan(Bytes packet) { receive(kWan, frame(kWanMac, kPeerMac, packet)); }
    void from_host(Bytes packet, VrfId vrf = kDefaultVrf);
    void command(const api::WorkerCommand& c);
    void inject(const api::Inject& i) { pipeline.inject(i); }
    void advance(Duration d);

    std::uint64_t count(Verdict v) const { return counters.verdict_count(v); }
    std::vector<api::WorkerEvent> events();
    template <class T>
    std::vector<T> events_of()
    {
        std::vector<T> out;
        for (const auto& e : events())
            if (const auto* t = std::get_if<T>(&e)) out.push_back(*t);
        return out;
    }
    std::vector<api::Punt> punts();

    std::vector<Sent> sent;
    struct ToHost {
        VrfId vrf;
        Octets packet;
    };
    std::vector<ToHost> host;
    bool transmit_full = false;
    bool host_full = false;

    fib::Rcu rcu;
    fib::Tables tables{rcu};
    api::FibChannel channel;
    fib::FibWriter writer{channel, tables, rcu};
    std::vector<api::PeerActivity> activity{64};
    std::vector<api::TunnelActivity> tunnel_activity{64};
    crypto::AeadContext aead;
    wg::PeerTable peers{aead, activity};
    std::vector<api::ProtectionActivity> protection_activity{64};
    esp::SaTable sas{aead, protection_activity};
    node::Counters counters;
    node::HoldTable holds{512};
    node::OwnerHints hints;
    std::unique_ptr<api::WorkerLink> link = std::make_unique<api::WorkerLink>();
    node::Context context{.tables = tables,
                          .counters = counters,
                          .peers = peers,
                          .sas = sas,
                          .holds = holds,
                          .link = *link,
                          .hints = hints,
                          .pool = pool().get(),
                          .hash_seed = 42,
                          .tunnel_activity = tunnel_activity,
                          .now = TimePoint{1h}};
    std::vector<api::BfdActivity> bfd_activity{16};
    node::BfdSpeaker bfd{context, bfd_activity, 1};
    Pipeline pipeline{context, *this};

private:
    std::size_t transmit(PortId port, bool control, std::span<rte_mbuf* const> frames) noexcept override;
    std::size_t to_host(VrfId vrf, std::span<rte_mbuf* const> packets) noexcept override;
    std::size_t hand_over(WorkerId worker, std::span<rte_mbuf* const> packets) noexcept override;
    WorkerId transmitter(PortId, WorkerId self) const noexcept override { return self; }

    api::SetInterface lan_, wan_;
    std::uint32_t next_id_ = 100;
};

rte_mbuf* buffer(Bytes bytes);

}  // namespace culvert::dataplane::test
