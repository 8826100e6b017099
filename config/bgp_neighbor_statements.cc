#include "config/behaviour.h"
#include "config/bfd_statements.h"
#include "config/bgp_statements.h"
#include "config/statement_table.h"

#include <fmt/format.h>

namespace culvert::config {
namespace {

Outcome remote_as(Edit& edit)
{
    auto* neighbor = edit.object<BgpNeighbor>();
    if (!neighbor) return edit.refusal();
    if (edit.no) {
        edit.object<Bgp>()->neighbors.erase(neighbor->name());
        return {};
    }
    if (!neighbor->unnumbered() && (neighbor->address.is_unspecified() || neighbor->address.is_multicast()))
        return edit.refuse(neighbor->address.to_string() + " can't be a neighbor's address");
    neighbor->remote_as = {};
    if (edit.args.has("internal"))
        neighbor->remote_as.kind = RemoteAs::Kind::Internal;
    else if (edit.args.has("external"))
        neighbor->remote_as.kind = RemoteAs::Kind::External;
    else
        neighbor->remote_as = {RemoteAs::Kind::Number, static_cast<Asn>(edit.args.number("asn").value())};
    return {};
}

// `neighbor eth0 interface ...`, unnumbered, and `neighbor fe80::2 interface eth0`.
Outcome neighbor_interface(Edit& edit)
{
    auto* neighbor = edit.object<BgpNeighbor>();
    if (!neighbor) return edit.refusal();
    if (!neighbor->unnumbered())
        return edit.refuse(fmt::format("neighbor {} interface: which one?", neighbor->name().to_string()),
                           "neighbor ADDRESS interface IFNAME, or neighbor IFNAME interface remote-as external");
    if (edit.no) {
        edit.object<Bgp>()->neighbors.erase(neighbor->name());
        return {};
    }
    neighbor->v6only = edit.args.has("v6only");
    return edit.args.has("remote-as") ? remote_as(edit) : Outcome{};
}

Outcome neighbor_link(Edit& edit)
{
    auto* neighbor = edit.object<BgpNeighbor>();
    if (!neighbor) return edit.refusal();
    if (neighbor->unnumbered())
        return edit.refuse(fmt::format("neighbor {} is behind interface {}", neighbor->interface, neighbor->interface),
                           fmt::format("neighbor {} interface remote-as external", neighbor->interface));
    if (edit.no) {
        neighbor->interface.clear();
        return {};
    }
    if (!neighbor->address.is_v6() || !neighbor->address.is_link_local())
        return edit.refuse(
            fmt::format("{} is no link-local address: routes tell its interface", neighbor->address.to_string()),
            fmt::format("`neighbor {} update-source IFNAME` chooses the source address",
                        neighbor->address.to_string()));
    neighbor->interface = edit.args.text("interface");
    return {};
}

void show_remote_as(const Statement& self, const View& view, Lines& out)
{
    const auto& neighbor = *view.neighbor;
    const auto& remote = neighbor.remote_as;
    std::string text = neighbor.unnumbered() ? neighbor.v6only ? "interface v6only" : "interface" : "";
    const auto said = [&](const std::string& as) { text += (text.empty() ? "remote-as " : " remote-as ") + as; };
    switch (remote.kind) {
        case RemoteAs::Kind::Unset: break;
        case RemoteAs::Kind::Number: said(std::to_string(index(remote.asn))); break;
        case RemoteAs::Kind::Internal: said("internal"); break;
        case RemoteAs::Kind::External: said("external"); break;
    }
    if (!text.empty()) out.text(self, view, neighbor_text(view, text));
}

void show_neighbor_link(const Statement& self, const View& view, Lines& out)
{
    const auto& neighbor = *view.neighbor;
    if (!neighbor.unnumbered() && !neighbor.interface.empty())
        out.text(self, view, neighbor_text(view, "interface " + neighbor.interface));
}

Outcome remove_neighbor(Edit& edit)
{
    if (!edit.no)
        return edit.refuse("`neighbor PEER` alone says nothing",
                           "neighbor ADDRESS remote-as <(1-4294967295)|internal|external>");
    auto* neighbor = edit.object<BgpNeighbor>();
    if (!neighbor) return edit.refusal();
    edit.object<Bgp>()->neighbors.erase(neighbor->name());
    return {};
}

Outcome neighbor_shutdown(Edit& edit)
{
    auto* neighbor = edit.object<BgpNeighbor>();
    if (!neighbor) return edit.refusal();
    neighbor->shutdown = !edit.no;
    neighbor->shutdown_message = edit.no ? std::string{} : edit.args.text("text");
    return {};
}

void show_neighbor_shutdown(const Statement& self, const View& view, Lines& out)
{
    if (!view.neighbor->shutdown) return;
    const auto& message = view.neighbor->shutdown_message;
    out.text(self, view, neighbor_text(view, message.empty() ? "shutdown" : "shutdown message " + message));
}

Outcome update_source(Edit& edit)
{
    auto* neighbor = edit.object<BgpNeighbor>();
    if (!neighbor) return edit.refusal();
    neighbor->update_source.clear();
    if (edit.no) return {};
    if (const auto address = edit.args.address("address")) {
        if (neighbor->unnumbered() || neighbor->address.is_link_local())
            return edit.refuse(fmt::format("neighbor {} is spoken to from the link-local address of its interface",
                                           neighbor->name().to_string()));
        if (address->family != neighbor->address.family)
            return edit.refuse(fmt::format("{} is not of the family of neighbor {}", address->to_string(),
                                           neighbor->address.to_string()));
        neighbor->update_source = address->to_string();
    } else {
        neighbor->update_source = edit.args.text("interface");
    }
    return {};
}

void show_update_source(const Statement& self, const View& view, Lines& out)
{
    if (!view.neighbor->update_source.empty())
        out.text(self, view, neighbor_text(view, "update-source " + view.neighbor->update_source));
}

Outcome ebgp_multihop(Edit& edit)
{
    auto* neighbor = edit.object<BgpNeighbor>();
    if (!neighbor) return edit.refusal();
    neighbor->ebgp_multihop.reset();
    if (edit.no) return {};
    if (neighbor->ttl_security_hops)
        return edit.refuse("ebgp-multihop and ttl-security exclude each other",
                           fmt::format("`no neighbor {} ttl-security` first", neighbor->name().to_string()));
    neighbor->ebgp_multihop = static_cast<std::uint8_t>(edit.args.number("hops").value_or(255));
    return {};
}

void show_ebgp_multihop(const Statement& self, const View& view, Lines& out)
{
    const auto& hops = view.neighbor->ebgp_multihop;
    if (hops)
        out.text(self, view,
                 neighbor_text(view, *hops == 255 ? "ebgp-multihop" : fmt::format("ebgp-multihop {}", *hops)));
}

Outcome ttl_security(Edit& edit)
{
    auto* neighbor = edit.object<BgpNeighbor>();
    if (!neighbor) return edit.refusal();
    neighbor->ttl_security_hops.reset();
    if (edit.no) return {};
    if (neighbor->ebgp_multihop)
        return edit.refuse("ttl-security and ebgp-multihop exclude each other",
                           fmt::format("`no neighbor {} ebgp-multihop` first", neighbor->name().to_string()));
    neighbor->ttl_security_hops = static_cast<std::uint8_t>(edit.args.number("hops").value());
    return {};
}

Outcome neighbor_timers(Edit& edit)
{
    auto* neighbor = edit.object<BgpNeighbor>();
    if (!neighbor) return edit.refusal();
    neighbor->keepalive.reset();
    neighbor->hold.reset();
    if (edit.no) return {};
    const auto hold = edit.args.number("hold").value();
    if (auto refused = refuse_hold(edit, hold); !refused) return refused;
    neighbor->keepalive = Seconds{edit.args.number("keepalive").value()};
    neighbor->hold = Seconds{hold};
    return {};
}

void show_neighbor_timers(const Statement& self, const View& view, Lines& out)
{
    const auto& n = *view.neighbor;
    if (n.keepalive && n.hold) out.statement(self, view, {value_text(*n.keepalive), value_text(*n.hold)});
}

constexpr auto RouterBgp = Node::RouterBgp;
using N = BgpNeighbor;

constexpr Statement kNeighbors[] = {
    {RouterBgp,
     "neighbor PEER$peer remote-as {<(1-4294967295)$asn|internal|external>}",
     Setting,
     Cost::Session,
     "A neighbor and its AS. `no` removes the neighbor.",
     {remote_as, show_remote_as}},
    {RouterBgp,
     "neighbor PEER$peer",
     Setting,
     Cost::Session,
     "`no neighbor PEER` removes the neighbor.",
     {remove_neighbor, nullptr}},
    {RouterBgp,
     "neighbor PEER$peer interface [v6only] [remote-as <(1-4294967295)$asn|internal|external>]",
     Setting,
     Cost::Session,
     "An unnumbered neighbor, called by the interface that it is behind: router advertisements tell its link-local "
     "address. Only on ports.",
     {neighbor_interface, nullptr}},
    {RouterBgp,
     "neighbor PEER$peer interface {IFNAME$interface}",
     Setting,
     Cost::Session,
     "The interface that a neighbor with a link-local address is behind.",
     {neighbor_link, show_neighbor_link}},
    {RouterBgp, "neighbor PEER$peer local-as {(1-4294967295)$asn}", Setting, Cost::Session,
     "The AS that this neighbor sees us in.", kValue<&N::local_as>},
    {RouterBgp, "neighbor PEER$peer description {LINE$text}", Setting, Cost::Apply, "A note for people.",
     kValue<&N::description>},
    {RouterBgp,
     "neighbor PEER$peer shutdown [message LINE$text]",
     Setting,
     Cost::Session,
     "Keeps the session down; the message is told to the neighbor (RFC 9003).",
     {neighbor_shutdown, show_neighbor_shutdown}},
    {RouterBgp, "neighbor PEER$peer password-file {FILE$file}", Setting, Cost::Session,
     "The file with the TCP-MD5 key (RFC 2385).", kSecretFile<&N::password>},
    {RouterBgp, "neighbor PEER$peer password {LINE$key}", Setting, Cost::Session, "The TCP-MD5 key itself (RFC 2385).",
     kSecretValue<&N::password>},
    {RouterBgp, "neighbor PEER$peer passive", Setting, Cost::Session, "Waits for the neighbor to connect.",
     kFlag<&N::passive>},
    {RouterBgp, "neighbor PEER$peer port {(1-65535)$port}", Setting, Cost::Session,
     "The neighbor's TCP port. Default: 179.", kValue<&N::port>},
    {RouterBgp,
     "neighbor PEER$peer ebgp-multihop [(1-255)$hops]",
     Setting,
     Cost::Session,
     "The neighbor may be this many hops away. Default: 1; 255 when no number is given.",
     {ebgp_multihop, show_ebgp_multihop}},
    {RouterBgp,
     "neighbor PEER$peer ttl-security hops {(1-254)$hops}",
     Setting,
     Cost::Session,
     "Takes only packets that came at most this many hops (RFC 5082).",
     {ttl_security, show_value<&N::ttl_security_hops>}},
    {RouterBgp, "neighbor PEER$peer disable-connected-check", Setting, Cost::Session,
     "One hop, but not on a subnet of ours: between loopbacks.", kFlag<&N::disable_connected_check>},
    {RouterBgp,
     "neighbor PEER$peer update-source {<ADDRESS$address|IFNAME$interface>}",
     Setting,
     Cost::Session,
     "What the session is sent from. Default: the address of the interface on the way.",
     {update_source, show_update_source}},
    {RouterBgp, "neighbor PEER$peer advertisement-interval {(0-600)$seconds}", Setting, Cost::Apply,
     "At least this long between two updates of a prefix. Default: 0.", kValue<&N::advertisement_interval>},
    {RouterBgp,
     "neighbor PEER$peer timers {(0-65535)$keepalive (0-65535)$hold}",
     Setting,
     Cost::Session,
     "As `timers bgp`, for one neighbor.",
     {neighbor_timers, show_neighbor_timers}},
    {RouterBgp, "neighbor PEER$peer timers connect {(1-65535)$seconds}", Setting, Cost::Apply,
     "Seconds between attempts to connect. Default: 120.", kValue<&N::connect_retry>},
    {RouterBgp, "neighbor PEER$peer dont-capability-negotiate", Setting, Cost::Session, "Opens without capabilities.",
     kFlag<&N::dont_capability_negotiate>},

    {RouterBgp,
     "neighbor PEER$peer bfd profile {WORD$profile}",
     Setting,
     Cost::Apply,
     "The BFD profile of the neighbor's session.",
     {neighbor_bfd_profile, show_neighbor_bfd_profile}},
    {RouterBgp,
     "neighbor PEER$peer bfd check-control-plane-failure",
     Setting,
     Cost::Apply,
     "Says in BFD packets that ours outlives our control plane; and a BFD session that goes down while the neighbor's "
     "BGP "
     "restarts, and that does not say the same, is not acted on.",
     {neighbor_bfd_check, show_neighbor_bfd_check}},
    {RouterBgp,
     "neighbor PEER$peer bfd strict [hold-time (1-4294967295)$seconds]",
     Setting,
     Cost::Session,
     "BGP waits for BFD to be up before it starts, and starts anew after so many seconds (30) without it.",
     {neighbor_bfd_strict, show_neighbor_bfd_strict}},
    {RouterBgp,
     "neighbor PEER$peer bfd [(1-255)$multiplier " BFD_MS "$receive " BFD_MS "$transmit]",
     Setting,
     Cost::Apply,
     "Ends the BGP session as soon as BFD finds the neighbor gone.",
     {neighbor_bfd, show_neighbor_bfd}},
};

}  // namespace

std::span<const Statement> bgp_neighbor_statements() { return kNeighbors; }

}  // namespace culvert::config
