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
// The kernel takes about a millisecond for a device; the caller comes again as long as some came.
constexpr std::size_t kOpenAtOnce = 4;
const IpPrefix kLinkLocal{Ipv6Address::from_words(0xfe80ULL << 48, 0), 64};

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

// The same for a TUN in a namespace that is not ours, before it is up.
void silence(const std::string& device)
{
    for (const auto& [setting, value] : {std::pair{"addr_gen_mode", "1"}, {"accept_ra", "0"}, {"accept_dad", "0"}}) {
        const auto path = "/proc/sys/net/ipv6/conf/" + device + "/" + setting;
        const Descriptor fd{open(path.c_str(), O_WRONLY | O_CLOEXEC)};
        if (fd) [[maybe_unused]]
            const auto n = write(fd.get(), value, std::strlen(value));
    }
}

Result<Descriptor, SystemError> make_tun(const std::string& name)
{
    Descriptor fd{open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK)};
    if (!fd) return Error{SystemError{std::string{"/dev/net/tun: "} + std::strerror(errno) + " (load the tun module)"}};
    ifreq request{};
    std::snprintf(request.ifr_name, IFNAMSIZ, "%s", name.c_str());
    request.ifr_flags = IFF_TUN | IFF_NO_PI;
    if (ioctl(fd.get(), TUNSETIFF, &request) != 0)
        return Error{SystemError{"TUN device " + name + ": " + std::strerror(errno)}};
    if (name != request.ifr_name) return Error{SystemError{"TUN device " + name + ": not a name of a device"}};
    return fd;
}

}  // namespace

Result<HostLink, SystemError> HostLink::open(VrfId, const std::string& netns)
{
    auto ns = netns.empty() ? Namespace::anonymous() : Namespace::named(netns);
    if (!ns) return Error{ns.error()};
    auto tun = ns->inside([&] {
        if (netns.empty()) apply_settings();
        return make_tun(kTunName);
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

Result<HostLink::OpenLink, SystemError> HostLink::open_link(InterfaceId id, const Link& link)
{
    OpenLink out{link.name, {}, 0, link.mtu, {}};
    auto name = link.name;
    auto tun = namespace_.inside([&] {
        auto made = make_tun(name);
        if (!made) {
            name = kTunName + std::to_string(index(id));
            made = make_tun(name);
        }
        if (made) silence(name);
        return made;
    });
    if (!tun) return Error{tun.error()};
    out.tun = std::move(*tun);
    const auto at = netlink_.link_index(name);
    if (!at) return Error{at.error()};
    out.index = *at;
    if (auto up = netlink_.set_up(out.index, out.mtu); !up) return Error{up.error()};
    if (auto r = netlink_.replace_route(out.index, kLinkLocal, {}, 0); !r) return Error{r.error()};
    return out;
}

HostLink::LinkChanges HostLink::sync_links(const std::map<InterfaceId, Link>& links)
{
    LinkChanges out;
    for (auto it = links_.begin(); it != links_.end();) {
        const auto wanted = links.find(it->first);
        if (wanted != links.end() && wanted->second.name == it->second.name) {
            ++it;
            continue;
        }
        out.closed.push_back(it->first);
        it = links_.erase(it);
    }
    for (const auto& [id, link] : links) {
        const auto note = [&, &name = link.name](const Result<void, SystemError>& r) {
            if (!r) out.refused.push_back({name + ": " + r.error().message});
            return r.has_value();
        };
        auto at = links_.find(id);
        if (at == links_.end()) {
            if (out.opened.size() >= kOpenAtOnce) continue;
            auto opened = open_link(id, link);
            if (!opened) {
                out.refused.push_back({link.name + ": " + opened.error().message});
                continue;
            }
            at = links_.emplace(id, std::move(*opened)).first;
            out.opened.push_back(id);
        }
        auto& open = at->second;
        if (open.mtu != link.mtu && note(netlink_.set_up(open.index, link.mtu))) open.mtu = link.mtu;
        for (auto a = open.addresses.begin(); a != open.addresses.end();) {
            if (link.addresses.contains(*a)) {
                ++a;
                continue;
            }
            note(netlink_.delete_address(open.index, *a));
            a = open.addresses.erase(a);
        }
        for (const auto& address : link.addresses) {
            if (!open.addresses.contains(address) && note(netlink_.add_address(open.index, address)))
                open.addresses.insert(address);
        }
    }
    return out;
}

std::uint32_t HostLink::scope(InterfaceId id) const
{
    const auto at = links_.find(id);
    return at == links_.end() ? 0 : static_cast<std::uint32_t>(at->second.index);
}

std::vector<InterfaceId> HostLink::links() const
{
    std::vector<InterfaceId> out;
    out.reserve(links_.size());
    for (const auto& [id, link] : links_) out.push_back(id);
    return out;
}

}  // namespace culvert::runtime
