#include "controlplane/runtime/host_link.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

namespace culvert::runtime {
namespace {

constexpr auto kTunName = "culvert";
constexpr std::uint32_t kTunMtu = 9000;  // routes say less where the path takes less

// The kernel's own chatter (router solicitations, MLD for link-local addresses) stays off the TUN, and its checks of
// the return path are the dataplane's business.
constexpr std::pair<const char*, const char*> kSettings[] = {
    {"/proc/sys/net/ipv4/conf/all/rp_filter", "0"},
    {"/proc/sys/net/ipv4/conf/default/rp_filter", "0"},
    {"/proc/sys/net/ipv4/conf/all/send_redirects", "0"},
    {"/proc/sys/net/ipv4/conf/default/send_redirects", "0"},
    {"/proc/sys/net/ipv4/ip_forward", "0"},
    {"/proc/sys/net/ipv4/icmp_ratelimit", "0"},
    {"/proc/sys/net/ipv4/icmp_msgs_per_sec", "10000"},
    {"/proc/sys/net/ipv6/conf/default/addr_gen_mode", "1"},
    {"/proc/sys/net/ipv6/conf/default/accept_ra", "0"},
    {"/proc/sys/net/ipv6/conf/default/router_solicitations", "0"},
    {"/proc/sys/net/ipv6/conf/default/accept_dad", "0"},
    {"/proc/sys/net/ipv6/icmp/ratelimit", "0"},
};

void apply_settings()
{
    for (const auto& [path, value] : kSettings) {
        const Descriptor fd{open(path, O_WRONLY | O_CLOEXEC)};
        // A kernel without one of them has nothing to be silenced there.
        if (fd) [[maybe_unused]]
            const auto n = write(fd.get(), value, std::strlen(value));
    }
}

Result<Descriptor, SystemError> make_tun()
{
    Descriptor fd{open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK)};
    if (!fd) return Error{SystemError{std::string{"/dev/net/tun: "} + std::strerror(errno) + " (load the tun module)"}};
    ifreq request{};
    std::snprintf(request.ifr_name, IFNAMSIZ, "%s", kTunName);
    request.ifr_flags = IFF_TUN | IFF_NO_PI;
    if (ioctl(fd.get(), TUNSETIFF, &request) != 0)
        return Error{SystemError{std::string{"TUN device: "} + std::strerror(errno)}};
    return fd;
}

}  // namespace

Result<HostLink, SystemError> HostLink::open(VrfId, const std::string& netns)
{
    auto ns = netns.empty() ? Namespace::anonymous() : Namespace::named(netns);
    if (!ns) return Error{ns.error()};
    auto tun = ns->inside([&] {
        if (netns.empty()) apply_settings();
        return make_tun();
    });
    if (!tun) return Error{tun.error()};
    auto netlink = Netlink::open(*ns);
    if (!netlink) return Error{netlink.error()};
    const auto link = netlink->link_index(kTunName);
    if (!link) return Error{link.error()};
    if (auto up = netlink->set_up(*link, kTunMtu); !up) return Error{up.error()};
    if (const auto lo = netlink->link_index("lo")) (void)netlink->set_up(*lo, 0);
    return HostLink{std::move(*ns), std::move(*tun), std::move(*netlink), *link};
}

std::vector<SystemError> HostLink::sync(const std::set<IpAddress>& addresses, const std::map<IpPrefix, Route>& routes)
{
    std::vector<SystemError> refused;
    const auto note = [&](const Result<void, SystemError>& r, const std::string& what) {
        if (!r) refused.push_back({what + ": " + r.error().message});
        return r.has_value();
    };

    for (const auto& [prefix, route] : routes_) {
        if (!routes.contains(prefix)) (void)netlink_.delete_route(link_, prefix);
    }
    for (const auto& address : addresses_) {
        if (!addresses.contains(address)) (void)netlink_.delete_address(link_, address);
    }
    std::set<IpAddress> have;
    for (const auto& address : addresses) {
        if (addresses_.contains(address) || note(netlink_.add_address(link_, address), address.to_string()))
            have.insert(address);
    }
    std::map<IpPrefix, Route> now;
    for (const auto& [prefix, route] : routes) {
        const auto old = routes_.find(prefix);
        const bool source_fresh = !addresses_.contains(route.source);
        if (old != routes_.end() && old->second == route && !source_fresh) {
            now.insert(*old);
        } else if (note(netlink_.replace_route(link_, prefix, route.source, route.mtu), prefix.to_string())) {
            now.emplace(prefix, route);
        }
    }
    addresses_ = std::move(have);
    routes_ = std::move(now);
    return refused;
}

}  // namespace culvert::runtime
