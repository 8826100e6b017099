#include "config/behaviour.h"
#include "config/bfd_statements.h"
#include "config/statement_table.h"
#include "config/tunnel_statements.h"

#include <fmt/format.h>

#include <algorithm>

namespace culvert::config {
namespace {

bool is_loopback_name(std::string_view name)
{
    if (name == "lo") return true;
    if (!name.starts_with("loopback") || name.size() == 8) return false;
    return std::ranges::all_of(name.substr(8), [](char c) { return c >= '0' && c <= '9'; });
}

Outcome interface_block(Edit& edit)
{
    const auto name = edit.args.text("interface");
    if (edit.no) {
        if (edit.model.interfaces.erase(name) == 0) return edit.refuse("there is no interface " + name);
        return {};
    }
    auto& interface = edit.model.interfaces[name];
    if (interface.name.empty()) {
        interface.name = name;
        if (is_loopback_name(name)) interface.kind = Loopback{};
    }
    if (edit.args.has("vrf")) interface.vrf = vrf_or_default(edit.args.text("vrf"));
    edit.position.node = Node::Interface;
    edit.position.interface = name;
    return {};
}

void show_interface_blocks(const Statement& self, const View& view, Lines& out)
{
    for (const auto& [name, interface] : view.model->interfaces) {
        View inside = view;
        inside.interface = &interface;
        out.block(self, "interface " + name, Node::Interface, inside, "exit");
    }
}

// An interface is one thing: what would make it another is refused.
template <class Kind>
Outcome become(Edit& edit, Kind kind)
{
    auto* interface = edit.object<Interface>();
    if (!interface) return edit.refusal();
    if (edit.no) {
        if (std::holds_alternative<Kind>(interface->kind)) interface->kind = std::monostate{};
        return {};
    }
    if (!std::holds_alternative<std::monostate>(interface->kind) && !std::holds_alternative<Kind>(interface->kind))
        return edit.refuse(fmt::format("interface {} is {}", interface->name, kind_name(*interface)),
                           fmt::format("`no interface {}` first, or use another name", interface->name));
    interface->kind = std::move(kind);
    return {};
}

Outcome port(Edit& edit)
{
    Port port;
    port.kind = edit.args.has("kernel") ? Port::Kind::Kernel
                : edit.args.has("pci")  ? Port::Kind::Pci
                                        : Port::Kind::Vdev;
    port.device = edit.args.text("device");
    port.force = edit.args.has("force");
    return become(edit, std::move(port));
}

template <Port::Kind K>
void show_port(const Statement& self, const View& view, Lines& out)
{
    const auto* port = std::get_if<Port>(&view.interface->kind);
    if (!port || port->kind != K) return;
    auto text = std::string{self.syntax.substr(0, self.syntax.find('{'))} + port->device;
    if (port->force) text += " force";
    out.text(self, view, text);
}

Outcome encapsulation(Edit& edit)
{
    const auto& name = edit.position.interface;
    const auto dot = name.rfind('.');
    if (dot == name.npos || dot == 0)
        return edit.refuse(fmt::format("interface {} does not name the interface it is part of", name),
                           "name it PARENT.NUMBER, as wan0.100");
    return become(edit,
                  Subinterface{name.substr(0, dot), static_cast<std::uint16_t>(edit.args.number("vlan").value_or(0))});
}

void show_encapsulation(const Statement& self, const View& view, Lines& out)
{
    if (const auto* sub = std::get_if<Subinterface>(&view.interface->kind))
        out.statement(self, view, {std::to_string(sub->vlan)});
}

Outcome tunnel_mode_wireguard(Edit& edit)
{
    auto* interface = edit.object<Interface>();
    if (!edit.no && interface && std::holds_alternative<Wireguard>(interface->kind)) return {};
    return become(edit, Wireguard{});
}

void show_tunnel_mode_wireguard(const Statement& self, const View& view, Lines& out)
{
    if (std::holds_alternative<Wireguard>(view.interface->kind)) out.statement(self, view);
}

Outcome address(Edit& edit)
{
    auto* interface = edit.object<Interface>();
    if (!interface) return edit.refusal();
    auto& addresses = interface->addresses;
    if (!edit.args.given("address")) {
        const auto family = edit.args.has("ipv6") ? Family::Ipv6 : Family::Ipv4;
        std::erase_if(addresses, [&](const auto& a) { return a.address.family == family; });
        return {};
    }
    const auto address = InterfaceAddress::parse(edit.args.text("address")).value();
    const auto at = std::ranges::find(addresses, address);
    if (edit.no) {
        if (at == addresses.end())
            return edit.refuse(fmt::format("{} is not on {}", address.to_string(), interface->name));
        addresses.erase(at);
    } else if (at == addresses.end()) {
        // IPv4 before IPv6, each in the order typed: so they are shown, and so they come back.
        const auto place = address.address.is_v4()
                               ? std::ranges::find_if(addresses, [](const auto& a) { return a.address.is_v6(); })
                               : addresses.end();
        addresses.insert(place, address);
    }
    return {};
}

template <Family F>
void show_addresses(const Statement& self, const View& view, Lines& out)
{
    for (const auto& address : view.interface->addresses)
        if (address.address.family == F) out.statement(self, view, {address.to_string()});
}

Outcome adjust_mss(Edit& edit)
{
    auto* interface = edit.object<Interface>();
    if (!interface) return edit.refusal();
    if (edit.no) {
        interface->adjust_mss.reset();
        return {};
    }
    AdjustMss adjust;
    if (const auto mss = edit.args.number("mss")) adjust.value = static_cast<std::uint16_t>(*mss);
    interface->adjust_mss = adjust;
    return {};
}

void show_adjust_mss(const Statement& self, const View& view, Lines& out)
{
    const auto& adjust = view.interface->adjust_mss;
    if (!adjust) return;
    out.text(self, view, "ip tcp adjust-mss " + (adjust->value ? std::to_string(*adjust->value) : "auto"));
}

constexpr auto Port_ = Node::Interface;

constexpr Statement kInterfaces[] = {
    {Top,
     "interface IFNAME$interface [vrf VRF$vrf]",
     Setting,
     Cost::Apply,
     "An interface of the router. `lo` and `loopbackN` are loopbacks; what any other is, its `port`, `encapsulation` "
     "or "
     "`tunnel mode` says.",
     {interface_block, show_interface_blocks}},
    {Port_, "description {LINE$text}", Setting, Cost::Apply, "A note for people.", kValue<&Interface::description>},
    {Port_,
     "port kernel {IFNAME$device [force]}",
     Setting,
     Cost::Apply,
     "A network device of the kernel, taken whole: the kernel's own stack does not answer on it while culvertd runs. "
     "`force` "
     "takes it even when the machine's default route uses it.",
     {port, show_port<Port::Kind::Kernel>}},
    {Port_,
     "port pci {PCI$device}",
     Setting,
     Cost::Apply,
     "A network card that is bound for userspace (vfio-pci).",
     {port, show_port<Port::Kind::Pci>}},
    {Port_,
     "port vdev {WORD$device}",
     Setting,
     Cost::Apply,
     "A virtual device of DPDK, with its arguments.",
     {port, show_port<Port::Kind::Vdev>}},
    {Port_,
     "encapsulation dot1q {(1-4094)$vlan}",
     Setting,
     Cost::Apply,
     "Makes an interface PARENT.NUMBER a VLAN of its parent.",
     {encapsulation, show_encapsulation}},
    {Port_,
     "tunnel mode wireguard",
     Setting,
     Cost::Apply,
     "Makes the interface a WireGuard tunnel.",
     {tunnel_mode_wireguard, show_tunnel_mode_wireguard}},
    {Port_,
     "tunnel mode {<gre <ip|ipv6|multipoint>|ipsec <ipv4|ipv6>>}",
     Setting,
     Cost::Session,
     "Makes the interface a GRE tunnel over IPv4 or IPv6, to one end or to many, or an IPsec tunnel. Any of them "
     "carries "
     "IPv4 and IPv6.",
     {tunnel_mode, show_tunnel_mode}},
    {Port_, "vrf {VRF$vrf}", Setting, Cost::Apply,
     "The VRF that the interface's packets are routed in. Default: the default VRF.", kVrf<&Interface::vrf>},
    {Port_,
     "tunnel source {<ADDRESS$address|IFNAME$interface>}",
     Setting,
     Cost::Session,
     "What the tunnel's own packets are sent from. Default: the address of the way to the peer.",
     {tunnel_source, show_tunnel_source}},
    {Port_,
     "tunnel vrf {VRF$vrf}",
     Setting,
     Cost::Session,
     "The VRF of the tunnel's own packets. Default: the default VRF.",
     {tunnel_vrf, show_tunnel_vrf}},
    {Port_, "tunnel destination {ADDRESS$address}", Setting, Cost::Session,
     "GRE and IPsec: the other end of the tunnel.", kValue<&Tunnel::destination>},
    {Port_, "tunnel key {(0-4294967295)$number}", Setting, Cost::Session,
     "GRE: a number that both ends put into each packet (RFC 2890); it is no secret.", kValue<&Tunnel::key>},
    {Port_, "tunnel checksum", Setting, Cost::Session, "GRE: a checksum, which is asked for on the way in too.",
     kFlag<&Tunnel::checksum>},
    {Port_, "tunnel sequence-datagrams", Setting, Cost::Session,
     "GRE: sequence numbers; what comes late is dropped (RFC 2890).", kFlag<&Tunnel::sequence>},
    {Port_,
     "tunnel ttl {<(1-255)$ttl|inherit>}",
     Setting,
     Cost::Apply,
     "GRE and IPsec: the TTL of the tunnel's own packets; `inherit`: the inner packet's. Default: 255.",
     {tunnel_ttl, show_tunnel_ttl}},
    {Port_, "tunnel tos {(0-255)$tos}", Setting, Cost::Apply,
     "GRE: the TOS octet of the tunnel's own packets. Default: the inner packet's DSCP, and ECN as RFC 6040 says.",
     kValue<&Tunnel::tos>},
    {Port_,
     "tunnel path-mtu-discovery [age-timer <(10-30)$minutes|infinite>]",
     Setting,
     Cost::Apply,
     "GRE and IPsec: the inner packet's Don't Fragment goes to the outer one, and what errors say of the way is "
     "believed for a while. The default, for 10 minutes.",
     {tunnel_path_mtu, show_tunnel_path_mtu}},
    {Port_,
     "keepalive [(1-32767)$seconds [(1-255)$retries]]",
     Setting,
     Cost::Apply,
     "GRE: asks the other end to send a packet back this often; the interface is down after so many that did not come. "
     "Default of both: 10, 3.",
     {tunnel_keepalive, show_tunnel_keepalive}},
    {Port_, "tunnel protection ipsec profile {WORD$profile}", Setting, Cost::Session,
     "GRE and IPsec: what is enciphered with. With it nothing leaves in clear, and nothing that comes in clear is "
     "taken.",
     kValue<&Tunnel::ipsec_profile>},
    {Port_,
     "ip nhrp map {A.B.C.D$nexthop ADDRESS$endpoint}",
     Setting,
     Cost::Apply,
     "GRE multipoint: which end of the tunnel a next hop is behind.",
     {nhrp_map, show_nhrp_map4}},
    {Port_,
     "ipv6 nhrp map {X:X::X:X$nexthop ADDRESS$endpoint}",
     Setting,
     Cost::Apply,
     "GRE multipoint: which end of the tunnel a next hop is behind.",
     {nhrp_map, show_nhrp_map6}},
    {Port_, "wireguard private-key-file {FILE$file}", Setting, Cost::Session,
     "The file with this end's private key, as `wg genkey` writes it, readable by nobody else.",
     kSecretFile<&Wireguard::private_key>},
    {Port_, "wireguard private-key {BASE64$key}", Setting, Cost::Session,
     "This end's private key itself. A file keeps it out of the configuration.", kSecretValue<&Wireguard::private_key>},
    {Port_, "wireguard listen-port {(1-65535)$port}", Setting, Cost::Session, "The UDP port. Default: 51820.",
     kValue<&Wireguard::listen_port>},
    {Port_, "wireguard rekey-after {(2-120)$seconds}", Setting, Cost::Apply,
     "After how many seconds a session gets new keys. Default: 120, as the protocol says.",
     kValue<&Wireguard::rekey_after>},
    {Port_,
     "ip address {A.B.C.D/M$address}",
     Setting,
     Cost::Apply,
     "An IPv4 address and the length of its subnet. The first one is the primary.",
     {address, show_addresses<Family::Ipv4>}},
    {Port_,
     "ipv6 address {X:X::X:X/M$address}",
     Setting,
     Cost::Apply,
     "An IPv6 address and the length of its subnet.",
     {address, show_addresses<Family::Ipv6>}},
    {Port_, "mtu {(68-65535)$octets}", Setting, Cost::Apply, "The link's MTU. Default: the device's.",
     kValue<&Interface::mtu>},
    {Port_, "ip mtu {(68-65535)$octets}", Setting, Cost::Apply,
     "The largest IP packet. Default: the link's MTU; of a tunnel, what its outer path leaves.",
     kValue<&Interface::ip_mtu>},
    {Port_,
     "ip tcp adjust-mss {<auto|(500-65495)$mss>}",
     Setting,
     Cost::Apply,
     "Lowers the segment size that TCP connections through the interface agree on; `auto`: to what the path takes.",
     {adjust_mss, show_adjust_mss}},
    {Port_,
     "bfd interval {<" BFD_MS "$transmit min_rx " BFD_MS "$receive|microseconds " BFD_US "$transmit_us min_rx " BFD_US
     "$receive_us> multiplier (1-255)$multiplier}",
     Setting,
     Cost::Apply,
     "The timers of BFD sessions over the interface that have none of their own. Where its subnet has but one other "
     "address (/30, /31, /127) there is a session with it.",
     {interface_bfd_interval, show_interface_bfd_interval}},
    {Port_, "bfd echo", Setting, Cost::Apply, "BFD sessions over the interface send echo packets.",
     kFlag<&Interface::bfd_echo>},
    {Port_, "link-detect", Setting, Cost::Apply, "Accepted because FRR writes it; a lost link is always seen.",
     kIgnored},
    {Port_, "shutdown", Setting, Cost::Apply, "Takes the interface out of use.", kFlag<&Interface::shutdown>},
};

}  // namespace

std::span<const Statement> interface_statements() { return kInterfaces; }

}  // namespace culvert::config
