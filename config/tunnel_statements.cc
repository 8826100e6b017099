#include "config/tunnel_statements.h"

#include "config/behaviour.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace culvert::config {
namespace {

struct ModeWords {
    std::string_view kind, variant;
    Tunnel::Mode mode;
};
constexpr std::array kModes{
    ModeWords{"gre", "ip", Tunnel::Mode::GreIpv4},
    ModeWords{"gre", "ipv6", Tunnel::Mode::GreIpv6},
    ModeWords{"gre", "multipoint", Tunnel::Mode::GreMultipoint},
    ModeWords{"ipsec", "ipv4", Tunnel::Mode::IpsecIpv4},
    ModeWords{"ipsec", "ipv6", Tunnel::Mode::IpsecIpv6},
};

template <Family F>
void show_nhrp_map(const Statement& self, const View& view, Lines& out)
{
    const auto* tunnel = view.object<Tunnel>();
    if (!tunnel) return;
    for (const auto& [nexthop, endpoint] : tunnel->nhrp_map)
        if (nexthop.family == F) out.statement(self, view, {nexthop.to_string(), endpoint.to_string()});
}

}  // namespace

Outcome tunnel_mode(Edit& edit)
{
    auto* interface = edit.object<Interface>();
    if (!interface) return edit.refusal();
    auto* tunnel = std::get_if<Tunnel>(&interface->kind);
    if (edit.no) {
        if (tunnel || std::holds_alternative<Wireguard>(interface->kind)) interface->kind = std::monostate{};
        return {};
    }
    if (!tunnel && !std::holds_alternative<std::monostate>(interface->kind))
        return edit.refuse(fmt::format("interface {} is {}", interface->name, kind_name(*interface)),
                           fmt::format("`no interface {}` first, or use another name", interface->name));
    if (!tunnel) tunnel = &interface->kind.emplace<Tunnel>();
    for (const auto& [kind, variant, mode] : kModes)
        if (edit.args.has(kind) && edit.args.has(variant)) tunnel->mode = mode;
    return {};
}

void show_tunnel_mode(const Statement& self, const View& view, Lines& out)
{
    const auto* tunnel = view.object<Tunnel>();
    if (!tunnel) return;
    const auto& words = *std::ranges::find(kModes, tunnel->mode, &ModeWords::mode);
    out.text(self, view, fmt::format("tunnel mode {} {}", words.kind, words.variant));
}

namespace {

template <class T>
void set_source(Edit& edit, T& tunnel)
{
    tunnel.source_interface.clear();
    tunnel.source_address.reset();
    if (edit.no) return;
    tunnel.source_address = edit.args.address("address");
    tunnel.source_interface = edit.args.text("interface");
}

template <class T>
void show_source(const Statement& self, const View& view, Lines& out, const T& tunnel)
{
    if (tunnel.source_address) out.text(self, view, "tunnel source " + tunnel.source_address->to_string());
    if (!tunnel.source_interface.empty()) out.text(self, view, "tunnel source " + tunnel.source_interface);
}

bool is_wireguard(Edit& edit)
{
    const auto* interface = edit.object<Interface>();
    return interface && std::holds_alternative<Wireguard>(interface->kind);
}

}  // namespace

Outcome tunnel_source(Edit& edit)
{
    if (is_wireguard(edit)) {
        set_source(edit, *edit.object<Wireguard>());
        return {};
    }
    auto* tunnel = edit.object<Tunnel>();
    if (!tunnel) return edit.refusal();
    set_source(edit, *tunnel);
    return {};
}

void show_tunnel_source(const Statement& self, const View& view, Lines& out)
{
    if (const auto* wireguard = view.object<Wireguard>()) show_source(self, view, out, *wireguard);
    if (const auto* tunnel = view.object<Tunnel>()) show_source(self, view, out, *tunnel);
}

Outcome tunnel_vrf(Edit& edit)
{
    return is_wireguard(edit) ? set_vrf<&Wireguard::outer_vrf>(edit) : set_vrf<&Tunnel::outer_vrf>(edit);
}

void show_tunnel_vrf(const Statement& self, const View& view, Lines& out)
{
    show_value<&Wireguard::outer_vrf>(self, view, out);
    show_value<&Tunnel::outer_vrf>(self, view, out);
}

Outcome tunnel_ttl(Edit& edit)
{
    auto* tunnel = edit.object<Tunnel>();
    if (!tunnel) return edit.refusal();
    tunnel->ttl = edit.no                    ? Tunnel{}.ttl
                  : edit.args.has("inherit") ? 0
                                             : static_cast<std::uint8_t>(edit.args.number("ttl").value());
    return {};
}

void show_tunnel_ttl(const Statement& self, const View& view, Lines& out)
{
    const auto* tunnel = view.object<Tunnel>();
    if (!tunnel || tunnel->ttl == Tunnel{}.ttl) return;
    out.text(self, view, "tunnel ttl " + (tunnel->ttl == 0 ? "inherit" : std::to_string(tunnel->ttl)));
}

Outcome tunnel_path_mtu(Edit& edit)
{
    auto* tunnel = edit.object<Tunnel>();
    if (!tunnel) return edit.refusal();
    tunnel->path_mtu_discovery = !edit.no;
    tunnel->path_mtu_age = Tunnel{}.path_mtu_age;
    if (edit.no) return {};
    if (const auto minutes = edit.args.number("minutes")) tunnel->path_mtu_age = std::chrono::minutes{*minutes};
    if (edit.args.has("infinite")) tunnel->path_mtu_age.reset();
    return {};
}

void show_tunnel_path_mtu(const Statement& self, const View& view, Lines& out)
{
    const auto* tunnel = view.object<Tunnel>();
    if (!tunnel) return;
    if (!tunnel->path_mtu_discovery)
        out.text(self, view, "no tunnel path-mtu-discovery");
    else if (!tunnel->path_mtu_age)
        out.text(self, view, "tunnel path-mtu-discovery age-timer infinite");
    else if (tunnel->path_mtu_age != Tunnel{}.path_mtu_age)
        out.text(self, view, fmt::format("tunnel path-mtu-discovery age-timer {}", tunnel->path_mtu_age->count() / 60));
}

Outcome tunnel_keepalive(Edit& edit)
{
    auto* tunnel = edit.object<Tunnel>();
    if (!tunnel) return edit.refusal();
    tunnel->keepalive.reset();
    if (edit.no) return {};
    auto& keepalive = tunnel->keepalive.emplace();
    if (const auto seconds = edit.args.number("seconds")) keepalive.period = Seconds{*seconds};
    if (const auto retries = edit.args.number("retries")) keepalive.retries = static_cast<std::uint8_t>(*retries);
    return {};
}

void show_tunnel_keepalive(const Statement& self, const View& view, Lines& out)
{
    const auto* tunnel = view.object<Tunnel>();
    if (tunnel && tunnel->keepalive)
        out.text(self, view,
                 fmt::format("keepalive {} {}", tunnel->keepalive->period.count(), tunnel->keepalive->retries));
}

Outcome nhrp_map(Edit& edit)
{
    auto* tunnel = edit.object<Tunnel>();
    if (!tunnel) return edit.refusal();
    if (!edit.args.given("nexthop")) {
        const auto family = edit.args.has("ipv6") ? Family::Ipv6 : Family::Ipv4;
        std::erase_if(tunnel->nhrp_map, [&](const auto& m) { return m.first.family == family; });
        return {};
    }
    const auto nexthop = edit.args.address("nexthop").value();
    if (!edit.no)
        tunnel->nhrp_map[nexthop] = edit.args.address("endpoint").value();
    else if (tunnel->nhrp_map.erase(nexthop) == 0)
        return edit.refuse(fmt::format("{} is not mapped", nexthop.to_string()));
    return {};
}

void show_nhrp_map4(const Statement& self, const View& view, Lines& out)
{
    show_nhrp_map<Family::Ipv4>(self, view, out);
}

void show_nhrp_map6(const Statement& self, const View& view, Lines& out)
{
    show_nhrp_map<Family::Ipv6>(self, view, out);
}

}  // namespace culvert::config
