#include "dataplane/io/netdev.h"

#include "dataplane/io/netlink.h"

#include <fmt/format.h>

#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace culvert::io {
namespace {

template <class T>
T header_of(Bytes payload)
{
    T t{};
    std::memcpy(&t, payload.data(), std::min(sizeof t, payload.size()));
    return t;
}

std::uint32_t u32_of(Bytes value)
{
    std::uint32_t v = 0;
    if (value.size() >= sizeof v) std::memcpy(&v, value.data(), sizeof v);
    return v;
}

std::string text_of(Bytes value)
{
    const auto* p = reinterpret_cast<const char*>(value.data());
    return p ? std::string(p, strnlen(p, value.size())) : std::string();
}

// The kernel module behind a device: what rtnetlink calls its kind, or the driver that ethtool names.
std::string driver_of(const std::string& name)
{
    ethtool_drvinfo info{};
    info.cmd = ETHTOOL_GDRVINFO;
    ifreq request{};
    name.copy(request.ifr_name, IFNAMSIZ - 1);
    request.ifr_data = reinterpret_cast<char*>(&info);
    const int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    const bool ok = s >= 0 && ioctl(s, SIOCETHTOOL, &request) == 0;
    if (s >= 0) close(s);
    return ok && info.driver[0] != 0 ? std::string(info.driver, strnlen(info.driver, sizeof info.driver)) : "netdev";
}

Netdev parse_link(Bytes payload)
{
    const auto h = header_of<ifinfomsg>(payload);
    const auto get = [&](std::uint16_t type) { return netlink_attribute(payload, sizeof h, type); };
    Netdev d;
    d.index = h.ifi_index;
    d.name = text_of(get(IFLA_IFNAME));
    d.mtu = u32_of(get(IFLA_MTU));
    d.max_mtu = u32_of(get(IFLA_MAX_MTU));
    if (d.max_mtu == 0 || d.max_mtu > 0xffff) d.max_mtu = 0xffff;
    d.master = static_cast<int>(u32_of(get(IFLA_MASTER)));
    d.up = (h.ifi_flags & IFF_UP) != 0;
    d.ethernet = h.ifi_type == ARPHRD_ETHER;
    const Bytes mac = get(IFLA_ADDRESS);
    if (mac.size() == 6) std::copy(mac.begin(), mac.end(), d.mac.octets.begin());
    return d;
}

// How many letters must change to make one name the other.
std::size_t distance(const std::string& a, const std::string& b)
{
    std::vector<std::size_t> row(b.size() + 1);
    for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
    for (std::size_t i = 1; i <= a.size(); ++i) {
        std::size_t diagonal = row[0];
        row[0] = i;
        for (std::size_t j = 1; j <= b.size(); ++j) {
            const std::size_t above = row[j];
            row[j] = std::min({above + 1, row[j - 1] + 1, diagonal + (a[i - 1] == b[j - 1] ? 0U : 1U)});
            diagonal = above;
        }
    }
    return row[b.size()];
}

std::string not_there(NetlinkSocket& netlink, const std::string& name)
{
    std::vector<std::pair<std::size_t, std::string>> others;
    NetlinkMessage all{RTM_GETLINK, NLM_F_REQUEST | NLM_F_DUMP, ifinfomsg{}};
    netlink.dump(all, [&](const NetlinkAnswer& a) {
        const Netdev d = parse_link(a.payload);
        if (d.ethernet) others.emplace_back(distance(name, d.name), d.name);
    });
    std::sort(others.begin(), others.end());
    std::string list;
    for (std::size_t i = 0; i < others.size() && i < 4; ++i) list += (i != 0 ? ", " : "") + others[i].second;
    return fmt::format("there is no network device {} in this network namespace; {}", name,
                       list.empty() ? "it has no Ethernet device at all: create one, or move one here "
                                      "(ip link set DEVICE netns ...)"
                                    : "the nearest are " + list);
}

bool leads_out_of(Bytes payload, int index)
{
    const auto h = header_of<rtmsg>(payload);
    if (u32_of(netlink_attribute(payload, sizeof h, RTA_OIF)) == static_cast<std::uint32_t>(index)) return true;
    const Bytes hops = netlink_attribute(payload, sizeof h, RTA_MULTIPATH);
    for (std::size_t at = 0; at + sizeof(rtnexthop) <= hops.size();) {
        const auto hop = header_of<rtnexthop>(hops.subspan(at));
        if (hop.rtnh_len < sizeof hop) break;
        if (hop.rtnh_ifindex == index) return true;
        at += (hop.rtnh_len + 3U) & ~3U;
    }
    return false;
}

// Every unicast route that leaves by the device, as the kernel gave it.
std::vector<std::vector<std::uint8_t>> routes_of(NetlinkSocket& netlink, int index)
{
    std::vector<std::vector<std::uint8_t>> routes;
    for (const int family : {AF_INET, AF_INET6}) {
        rtmsg h{};
        h.rtm_family = static_cast<unsigned char>(family);
        NetlinkMessage all{RTM_GETROUTE, NLM_F_REQUEST | NLM_F_DUMP, h};
        netlink.dump(all, [&](const NetlinkAnswer& a) {
            const auto r = header_of<rtmsg>(a.payload);
            if (r.rtm_table == RT_TABLE_LOCAL || (r.rtm_flags & RTM_F_CLONED) != 0 || r.rtm_type != RTN_UNICAST) return;
            if (leads_out_of(a.payload, index)) routes.emplace_back(a.payload.begin(), a.payload.end());
        });
    }
    return routes;
}

std::vector<std::vector<std::uint8_t>> addresses_of(NetlinkSocket& netlink, int index)
{
    std::vector<std::vector<std::uint8_t>> addresses;
    NetlinkMessage all{RTM_GETADDR, NLM_F_REQUEST | NLM_F_DUMP, ifaddrmsg{}};
    netlink.dump(all, [&](const NetlinkAnswer& a) {
        if (header_of<ifaddrmsg>(a.payload).ifa_index == static_cast<unsigned>(index))
            addresses.emplace_back(a.payload.begin(), a.payload.end());
    });
    return addresses;
}

// A router's advertisement made it, and it goes when the router falls silent.
bool advertised(const std::vector<std::uint8_t>& route) { return header_of<rtmsg>(route).rtm_protocol == RTPROT_RA; }

bool has_global_ipv6(NetlinkSocket& netlink, int index)
{
    const auto addresses = addresses_of(netlink, index);
    return std::any_of(addresses.begin(), addresses.end(), [](const auto& a) {
        const auto h = header_of<ifaddrmsg>(a);
        return h.ifa_family == AF_INET6 && h.ifa_scope == RT_SCOPE_UNIVERSE;
    });
}

// Whether the machine would be cut off without the device. BGP over an unnumbered interface has routers advertise
// themselves, and a kernel that hears one takes it for its default router; without a global address nobody reaches the
// machine that way.
bool holds_default_route(NetlinkSocket& netlink, int index)
{
    const auto routes = routes_of(netlink, index);
    return std::any_of(routes.begin(), routes.end(), [&](const auto& r) {
        return header_of<rtmsg>(r).rtm_dst_len == 0 && (!advertised(r) || has_global_ipv6(netlink, index));
    });
}

int replay(NetlinkSocket& netlink, std::uint16_t type, std::uint16_t flags, const std::vector<std::uint8_t>& payload)
{
    NetlinkMessage m{type, static_cast<std::uint16_t>(NLM_F_REQUEST | NLM_F_ACK | flags), Bytes{payload}};
    return netlink.request(m);
}

int set_up(NetlinkSocket& netlink, int index, bool up)
{
    ifinfomsg h{};
    h.ifi_index = index;
    h.ifi_change = IFF_UP;
    h.ifi_flags = up ? IFF_UP : 0;
    NetlinkMessage m{RTM_NEWLINK, NLM_F_REQUEST | NLM_F_ACK, h};
    return netlink.request(m);
}

int set_mtu(NetlinkSocket& netlink, int index, std::uint32_t mtu)
{
    ifinfomsg h{};
    h.ifi_index = index;
    NetlinkMessage m{RTM_NEWLINK, NLM_F_REQUEST | NLM_F_ACK, h};
    m.u32(IFLA_MTU, mtu);
    return netlink.request(m);
}

std::string ipv6_switch(const std::string& name) { return "/proc/sys/net/ipv6/conf/" + name + "/disable_ipv6"; }

std::optional<std::string> read_file(const std::string& path)
{
    const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) return {};
    char text[32];
    const auto n = read(fd, text, sizeof text);
    close(fd);
    if (n <= 0) return {};
    std::string s(text, static_cast<std::size_t>(n));
    while (!s.empty() && s.back() == '\n') s.pop_back();
    return s;
}

void write_file(const std::string& path, const std::string& text)
{
    const int fd = open(path.c_str(), O_WRONLY | O_CLOEXEC);
    if (fd < 0) return;
    [[maybe_unused]] const auto n = write(fd, text.data(), text.size());
    close(fd);
}

bool ethtool_flags(const std::string& name, std::uint32_t command, std::uint32_t& value)
{
    ::ethtool_value v{command, value};
    ifreq request{};
    name.copy(request.ifr_name, IFNAMSIZ - 1);
    request.ifr_data = reinterpret_cast<char*>(&v);
    const int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (s < 0) return false;
    const bool ok = ioctl(s, SIOCETHTOOL, &request) == 0;
    close(s);
    value = v.data;
    return ok;
}

}  // namespace

Result<Netdev, std::string> find_netdev(const std::string& name)
{
    if (name.empty() || name.size() >= IFNAMSIZ)
        return Error{fmt::format("\"{}\" can't be a network device: names have 1 to {} letters", name, IFNAMSIZ - 1)};
    NetlinkSocket netlink{NETLINK_ROUTE};
    if (!netlink.ok()) return Error{fmt::format("rtnetlink can't be opened: {}", std::strerror(errno))};
    NetlinkMessage ask{RTM_GETLINK, NLM_F_REQUEST | NLM_F_ACK, ifinfomsg{}};
    ask.text(IFLA_IFNAME, name);
    Netdev found;
    const int error = netlink.request(ask, [&](const NetlinkAnswer& a) { found = parse_link(a.payload); });
    if (error != 0 || found.index == 0) return Error{not_there(netlink, name)};
    found.driver = driver_of(found.name);
    return found;
}

Result<Netdev, std::string> find_usable_netdev(const std::string& name, bool force)
{
    auto found = find_netdev(name);
    if (!found) return found;
    if (!found->ethernet)
        return Error{fmt::format("{} is not an Ethernet device; a port carries Ethernet frames", name)};
    if (found->master != 0) {
        char master[IFNAMSIZ] = "?";
        if_indextoname(static_cast<unsigned>(found->master), master);
        return Error{fmt::format("{} belongs to {}; take it out first (ip link set {} nomaster)", name, master, name)};
    }
    if (!force) {
        NetlinkSocket netlink{NETLINK_ROUTE};
        if (holds_default_route(netlink, found->index))
            return Error{
                fmt::format("{} holds this machine's default route, and a port is taken from the kernel whole: "
                            "the machine would be cut off; `port kernel {} force` if that is meant",
                            name, name)};
    }
    return found;
}

Result<void, std::string> set_netdev_mtu(const Netdev& device, std::uint32_t mtu)
{
    NetlinkSocket netlink{NETLINK_ROUTE};
    if (const int e = set_mtu(netlink, device.index, mtu); e != 0)
        return Error{fmt::format("{} doesn't take an MTU of {} (at most {}): {}", device.name, mtu, device.max_mtu,
                                 std::strerror(e))};
    return {};
}

Result<NetdevState, std::string> NetdevState::put_aside(const Netdev& device)
{
    NetlinkSocket netlink{NETLINK_ROUTE};
    if (!netlink.ok()) return Error{fmt::format("rtnetlink can't be opened: {}", std::strerror(errno))};

    NetdevState s;
    s.device_ = device;
    s.routes_ = routes_of(netlink, device.index);
    // What a router advertised would stay for ever if we put it back: the kernel asks the routers again.
    std::erase_if(s.routes_, advertised);
    s.addresses_ = addresses_of(netlink, device.index);

    // Up first: it is what fails without the rights, and then nothing has changed yet.
    if (const int e = set_up(netlink, device.index, true); e != 0)
        return Error{fmt::format("{} can't be brought up: {}{}", device.name, std::strerror(e),
                                 e == EPERM ? "; culvert needs CAP_NET_ADMIN" : "")};

    const auto before = read_file(ipv6_switch(device.name));
    if (before && *before != "1") {
        s.disable_ipv6_ = before;
        write_file(ipv6_switch(device.name), "1");
    }
    // Secondary addresses first: with the primary one they would go, or become primary.
    for (auto a = s.addresses_.rbegin(); a != s.addresses_.rend(); ++a)
        if (header_of<ifaddrmsg>(*a).ifa_family == AF_INET || !before) replay(netlink, RTM_DELADDR, 0, *a);

    // Packets that large receive offload made of several can't be taken apart again.
    std::uint32_t flags = 0;
    if (ethtool_flags(device.name, ETHTOOL_GFLAGS, flags) && (flags & ETH_FLAG_LRO) != 0) {
        s.ethtool_flags_ = flags;
        std::uint32_t without = flags & ~std::uint32_t{ETH_FLAG_LRO};
        ethtool_flags(device.name, ETHTOOL_SFLAGS, without);
    }
    return s;
}

void NetdevState::restore() const
{
    // It may have been renamed, or be gone and another have its name.
    char name[IFNAMSIZ] = "";
    if (!if_indextoname(static_cast<unsigned>(device_.index), name)) return;

    NetlinkSocket netlink{NETLINK_ROUTE};
    if (!netlink.ok()) return;
    set_mtu(netlink, device_.index, device_.mtu);
    if (ethtool_flags_) {
        std::uint32_t flags = *ethtool_flags_;
        ethtool_flags(name, ETHTOOL_SFLAGS, flags);
    }
    if (!device_.up) set_up(netlink, device_.index, false);
    if (disable_ipv6_) write_file(ipv6_switch(name), *disable_ipv6_);
    for (const auto& a : addresses_) replay(netlink, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, a);
    // A route's gateway must be reachable by one that came before: connected ones first, however they were listed.
    for (const bool with_gateway : {false, true})
        for (const auto& r : routes_)
            if (netlink_attribute(r, sizeof(rtmsg), RTA_GATEWAY).empty() != with_gateway)
                replay(netlink, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, r);
}

}  // namespace culvert::io
