#include "config/bfd_statements.h"

#include "config/behaviour.h"
#include "config/statement_table.h"

#include <fmt/format.h>

#include <array>

namespace culvert::config {
namespace {

// The interval of the line: of the variables NAME (milliseconds) and NAME_us (microseconds) the one typed.
std::optional<Microseconds> interval_of(const Args& args, const std::string& name)
{
    if (const auto ms = args.number(name)) return Milliseconds{*ms};
    if (const auto us = args.number(name + "_us")) return Microseconds{*us};
    return std::nullopt;
}

template <auto Member>
Outcome set_interval(Edit& edit)
{
    auto* settings = edit.object<BfdSettings>();
    if (!settings) return edit.refusal();
    settings->*Member = edit.no ? std::nullopt : interval_of(edit.args, "interval");
    return {};
}

template <auto Member>
void show_interval(const Statement& self, const View& view, Lines& out)
{
    const auto* settings = view.object<BfdSettings>();
    if (!settings || !(settings->*Member)) return;
    out.text(
        self, view,
        fmt::format("{} {}", self.syntax.substr(0, self.syntax.find(" {")), bfd_interval_text(*(settings->*Member))));
}

struct AuthenticationWord {
    std::string_view word;
    BfdAuthenticationType type;
};
constexpr std::array kAuthentications{
    AuthenticationWord{"simple", BfdAuthenticationType::SimplePassword},
    AuthenticationWord{"md5", BfdAuthenticationType::KeyedMd5},
    AuthenticationWord{"meticulous-md5", BfdAuthenticationType::MeticulousKeyedMd5},
    AuthenticationWord{"sha-1", BfdAuthenticationType::KeyedSha1},
    AuthenticationWord{"meticulous-sha-1", BfdAuthenticationType::MeticulousKeyedSha1},
};

BfdPeerKey peer_key(const Args& args)
{
    return {.vrf = vrf_or_default(args.text("vrf")),
            .peer = args.address("address").value(),
            .local = args.address("source"),
            .interface = args.text("interface"),
            .multihop = args.has("multihop")};
}

}  // namespace

std::string bfd_peer_options(const BfdPeerKey& key)
{
    std::string text;
    if (key.multihop) text += " multihop";
    if (key.local) text += " local-address " + key.local->to_string();
    if (!key.interface.empty()) text += " interface " + key.interface;
    if (!key.vrf.empty()) text += " vrf " + key.vrf;
    return text;
}

std::string bfd_interval_text(Microseconds interval)
{
    const auto ms = std::chrono::floor<Milliseconds>(interval);
    if (ms == interval && ms >= Milliseconds{10}) return std::to_string(ms.count());
    return fmt::format("microseconds {}", interval.count());
}

namespace {

// ---- the `bfd` block ----

Outcome bfd_block(Edit& edit)
{
    if (edit.no) {
        edit.model.bfd_peers.clear();
        edit.model.bfd_profiles.clear();
    } else {
        edit.position.node = Node::Bfd;
    }
    return {};
}

void show_bfd_block(const Statement& self, const View& view, Lines& out)
{
    out.block(self, "bfd", Node::Bfd, view, "exit", false);
}

Outcome bfd_profile_block(Edit& edit)
{
    const auto name = edit.args.text("profile");
    if (edit.no) {
        if (edit.model.bfd_profiles.erase(name) == 0) return edit.refuse("there is no profile " + name);
        return {};
    }
    edit.model.bfd_profiles[name].name = name;
    edit.position.node = Node::BfdProfile;
    edit.position.name = name;
    return {};
}

void show_bfd_profile_blocks(const Statement& self, const View& view, Lines& out)
{
    for (const auto& [name, profile] : view.model->bfd_profiles) {
        View inside = view;
        inside.bfd_profile = &profile;
        out.block(self, "profile " + name, Node::BfdProfile, inside, "exit");
    }
}

Outcome bfd_peer_block(Edit& edit)
{
    const auto key = peer_key(edit.args);
    const auto name = key.peer.to_string() + bfd_peer_options(key);
    if (edit.no) {
        if (edit.model.bfd_peers.erase(key) == 0) return edit.refuse("there is no peer " + name);
        return {};
    }
    if (key.peer.is_unspecified() || key.peer.is_multicast())
        return edit.refuse(key.peer.to_string() + " can't be a peer's address");
    if (key.local && key.local->family != key.peer.family)
        return edit.refuse(fmt::format("{} is not of the family of {}", key.local->to_string(), key.peer.to_string()));
    if (key.multihop && !key.local)
        return edit.refuse("a multihop session needs to know its own address",
                           fmt::format("peer {} multihop local-address ADDRESS", key.peer.to_string()));
    if (key.peer.is_link_local() && key.interface.empty())
        return edit.refuse(fmt::format("{} may be on any link", key.peer.to_string()),
                           fmt::format("peer {} interface IFNAME", key.peer.to_string()));
    edit.model.bfd_peers[key].key = key;
    edit.position.node = Node::BfdPeer;
    edit.position.bfd_peer = key;
    return {};
}

void show_bfd_peer_blocks(const Statement& self, const View& view, Lines& out)
{
    for (const auto& [key, peer] : view.model->bfd_peers) {
        View inside = view;
        inside.bfd_peer = &peer;
        out.block(self, "peer " + key.peer.to_string() + bfd_peer_options(key), Node::BfdPeer, inside, "exit");
    }
}

// ---- in a peer and in a profile ----

Outcome bfd_receive_interval(Edit& edit) { return set_interval<&BfdSettings::receive_interval>(edit); }
void show_bfd_receive_interval(const Statement& self, const View& view, Lines& out)
{
    show_interval<&BfdSettings::receive_interval>(self, view, out);
}

Outcome bfd_transmit_interval(Edit& edit) { return set_interval<&BfdSettings::transmit_interval>(edit); }
void show_bfd_transmit_interval(const Statement& self, const View& view, Lines& out)
{
    show_interval<&BfdSettings::transmit_interval>(self, view, out);
}

Outcome bfd_echo_receive_interval(Edit& edit)
{
    auto* settings = edit.object<BfdSettings>();
    if (!settings) return edit.refusal();
    settings->echo_receive_interval = edit.no                     ? std::nullopt
                                      : edit.args.has("disabled") ? Microseconds{0}
                                                                  : interval_of(edit.args, "interval");
    return {};
}

void show_bfd_echo_receive_interval(const Statement& self, const View& view, Lines& out)
{
    const auto* settings = view.object<BfdSettings>();
    if (!settings || !settings->echo_receive_interval) return;
    if (*settings->echo_receive_interval == Microseconds{0})
        out.text(self, view, "echo receive-interval disabled");
    else
        show_interval<&BfdSettings::echo_receive_interval>(self, view, out);
}

Outcome bfd_echo_transmit_interval(Edit& edit) { return set_interval<&BfdSettings::echo_transmit_interval>(edit); }
void show_bfd_echo_transmit_interval(const Statement& self, const View& view, Lines& out)
{
    show_interval<&BfdSettings::echo_transmit_interval>(self, view, out);
}

Outcome bfd_echo_interval(Edit& edit)
{
    if (auto set = bfd_echo_transmit_interval(edit); !set) return set;
    return set_interval<&BfdSettings::echo_receive_interval>(edit);
}

Outcome bfd_authentication(Edit& edit)
{
    auto* settings = edit.object<BfdSettings>();
    if (!settings) return edit.refusal();
    settings->authentication.reset();
    if (edit.no) return {};
    for (const auto& [word, type] : kAuthentications)
        if (edit.args.has(word)) settings->authentication = BfdAuthentication{type, edit.args.text("chain")};
    return {};
}

void show_bfd_authentication(const Statement& self, const View& view, Lines& out)
{
    const auto* settings = view.object<BfdSettings>();
    if (!settings || !settings->authentication) return;
    for (const auto& [word, type] : kAuthentications)
        if (type == settings->authentication->type)
            out.text(self, view,
                     fmt::format("authentication {} keychain {}", word, settings->authentication->key_chain));
}

#define INTERVAL " {<" BFD_MS "$interval|microseconds " BFD_US "$interval_us>}"
// What a peer and a profile of BFD both take.
#define BFD_SETTINGS(node)                                                                                             \
    {node,                                                                                                             \
     "detect-multiplier {(1-255)$multiplier}",                                                                         \
     Setting,                                                                                                          \
     Cost::Apply,                                                                                                      \
     "After how many packets that did not come the peer is given up. Default: 3.",                                     \
     kValue<&BfdSettings::multiplier>},                                                                                \
        {node,                                                                                                         \
         "receive-interval" INTERVAL,                                                                                  \
         Setting,                                                                                                      \
         Cost::Apply,                                                                                                  \
         "How often the peer may send at most. Default: 300 milliseconds.",                                            \
         {bfd_receive_interval, show_bfd_receive_interval}},                                                           \
        {node,                                                                                                         \
         "transmit-interval" INTERVAL,                                                                                 \
         Setting,                                                                                                      \
         Cost::Apply,                                                                                                  \
         "How often we send at most; the slower end decides. Default: 300 milliseconds.",                              \
         {bfd_transmit_interval, show_bfd_transmit_interval}},                                                         \
        {node,                                                                                                         \
         "echo-mode",                                                                                                  \
         Setting,                                                                                                      \
         Cost::Apply,                                                                                                  \
         "Sends echo packets, which the peer's forwarding sends back. Not of multihop sessions.",                      \
         kFlag<&BfdSettings::echo_mode>},                                                                              \
        {node,                                                                                                         \
         "echo receive-interval {<disabled|" BFD_MS "$interval|microseconds " BFD_US "$interval_us>}",                 \
         Setting,                                                                                                      \
         Cost::Apply,                                                                                                  \
         "How often the peer may send echo packets for us to send back. Default: 50 milliseconds.",                    \
         {bfd_echo_receive_interval, show_bfd_echo_receive_interval}},                                                 \
        {node,                                                                                                         \
         "echo transmit-interval" INTERVAL,                                                                            \
         Setting,                                                                                                      \
         Cost::Apply,                                                                                                  \
         "How often we send echo packets. Default: 50 milliseconds.",                                                  \
         {bfd_echo_transmit_interval, show_bfd_echo_transmit_interval}},                                               \
        {node,                                                                                                         \
         "echo-interval" INTERVAL,                                                                                     \
         Setting,                                                                                                      \
         Cost::Apply,                                                                                                  \
         "FRR's older word for both intervals of echo packets.",                                                       \
         {bfd_echo_interval, nullptr}},                                                                                \
        {node,                                                                                                         \
         "minimum-ttl {(1-254)$ttl}",                                                                                  \
         Setting,                                                                                                      \
         Cost::Apply,                                                                                                  \
         "Multihop: packets with a lower TTL are dropped. Default: 254.",                                              \
         kValue<&BfdSettings::minimum_ttl>},                                                                           \
        {node,                                                                                                         \
         "passive-mode",                                                                                               \
         Setting,                                                                                                      \
         Cost::Apply,                                                                                                  \
         "Says nothing until the peer has spoken.",                                                                    \
         kFlag<&BfdSettings::passive>},                                                                                \
        {node,                                                                                                         \
         "demand-mode",                                                                                                \
         Setting,                                                                                                      \
         Cost::Apply,                                                                                                  \
         "Asks the peer to be silent while the session is up (RFC 5880 6.6). Something else has to see it fail then.", \
         kFlag<&BfdSettings::demand>},                                                                                 \
        {node,                                                                                                         \
         "authentication {<simple|md5|meticulous-md5|sha-1|meticulous-sha-1> keychain WORD$chain}",                    \
         Setting,                                                                                                      \
         Cost::Apply,                                                                                                  \
         "Takes only packets signed with a key of the chain, and signs with its first (RFC 5880 6.7).",                \
         {bfd_authentication, show_bfd_authentication}},                                                               \
    {                                                                                                                  \
        node, "shutdown", Setting, Cost::Apply, "Keeps the session down, and tells the peer.",                         \
            kFlag<&BfdSettings::shutdown>                                                                              \
    }

constexpr Statement kBfd[] = {
    {Top, "bfd", Setting, Cost::Apply, "Sessions and profiles of BFD (RFC 5880).", {bfd_block, show_bfd_block}},
    {Node::Bfd,
     "profile WORD$profile",
     Setting,
     Cost::Apply,
     "What several sessions share.",
     {bfd_profile_block, show_bfd_profile_blocks}},
    BFD_SETTINGS(Node::BfdProfile),
    {Node::Bfd,
     "peer ADDRESS$address [<multihop|local-address ADDRESS$source|interface IFNAME$interface|vrf VRF$vrf>]...",
     Setting,
     Cost::Apply,
     "A session. Its settings may stand in a profile; what stands here goes before.",
     {bfd_peer_block, show_bfd_peer_blocks}},
    {Node::BfdPeer, "profile {WORD$profile}", Setting, Cost::Apply, "Takes what is not set here from a profile.",
     kValue<&BfdPeer::profile>},
    BFD_SETTINGS(Node::BfdPeer),
};

}  // namespace

std::span<const Statement> bfd_statements() { return kBfd; }

// ---- where sessions are wanted ----

Outcome interface_bfd_interval(Edit& edit)
{
    auto* interface = edit.object<Interface>();
    if (!interface) return edit.refusal();
    interface->bfd.reset();
    if (edit.no) return {};
    interface->bfd = InterfaceBfd{.transmit = interval_of(edit.args, "transmit").value(),
                                  .receive = interval_of(edit.args, "receive").value(),
                                  .multiplier = static_cast<std::uint8_t>(edit.args.number("multiplier").value())};
    return {};
}

void show_interface_bfd_interval(const Statement& self, const View& view, Lines& out)
{
    const auto& bfd = view.interface->bfd;
    if (!bfd) return;
    const auto in_ms = [](Microseconds t) { return !bfd_interval_text(t).starts_with("micro"); };
    if (in_ms(bfd->transmit) && in_ms(bfd->receive))
        out.text(self, view,
                 fmt::format("bfd interval {} min_rx {} multiplier {}", bfd_interval_text(bfd->transmit),
                             bfd_interval_text(bfd->receive), bfd->multiplier));
    else
        out.text(self, view,
                 fmt::format("bfd interval microseconds {} min_rx {} multiplier {}", bfd->transmit.count(),
                             bfd->receive.count(), bfd->multiplier));
}

namespace {

// A line about BFD turns it on for the neighbor; `no` of one that is off finds nothing to do.
BgpBfd* neighbor_bfd_of(Edit& edit, BgpBfd& none)
{
    auto* neighbor = edit.object<BgpNeighbor>();
    if (!neighbor) return nullptr;
    if (neighbor->bfd) return &*neighbor->bfd;
    return edit.no ? &none : &neighbor->bfd.emplace();
}

std::string neighbor_bfd_text(const View& view, std::string_view rest)
{
    return fmt::format("neighbor {} bfd{}", view.neighbor->name().to_string(), rest);
}

}  // namespace

Outcome neighbor_bfd(Edit& edit)
{
    auto* neighbor = edit.object<BgpNeighbor>();
    if (!neighbor) return edit.refusal();
    if (edit.no) {
        neighbor->bfd.reset();
        return {};
    }
    if (!neighbor->bfd) neighbor->bfd.emplace();
    if (edit.args.given("multiplier"))
        neighbor->bfd->timers =
            BgpBfd::Timers{.multiplier = static_cast<std::uint8_t>(edit.args.number("multiplier").value()),
                           .receive = Milliseconds{edit.args.number("receive").value()},
                           .transmit = Milliseconds{edit.args.number("transmit").value()}};
    return {};
}

void show_neighbor_bfd(const Statement& self, const View& view, Lines& out)
{
    const auto& bfd = view.neighbor->bfd;
    if (!bfd) return;
    std::string timers;
    if (bfd->timers)
        timers = fmt::format(" {} {} {}", bfd->timers->multiplier, bfd->timers->receive.count(),
                             bfd->timers->transmit.count());
    out.text(self, view, neighbor_bfd_text(view, timers));
}

Outcome neighbor_bfd_profile(Edit& edit)
{
    BgpBfd none;
    auto* bfd = neighbor_bfd_of(edit, none);
    if (!bfd) return edit.refusal();
    bfd->profile = edit.no ? std::string{} : edit.args.text("profile");
    return {};
}

void show_neighbor_bfd_profile(const Statement& self, const View& view, Lines& out)
{
    const auto& bfd = view.neighbor->bfd;
    if (bfd && !bfd->profile.empty()) out.text(self, view, neighbor_bfd_text(view, " profile " + bfd->profile));
}

Outcome neighbor_bfd_check(Edit& edit)
{
    BgpBfd none;
    auto* bfd = neighbor_bfd_of(edit, none);
    if (!bfd) return edit.refusal();
    bfd->check_control_plane_failure = !edit.no;
    return {};
}

void show_neighbor_bfd_check(const Statement& self, const View& view, Lines& out)
{
    const auto& bfd = view.neighbor->bfd;
    if (bfd && bfd->check_control_plane_failure)
        out.text(self, view, neighbor_bfd_text(view, " check-control-plane-failure"));
}

Outcome neighbor_bfd_strict(Edit& edit)
{
    BgpBfd none;
    auto* bfd = neighbor_bfd_of(edit, none);
    if (!bfd) return edit.refusal();
    bfd->strict = !edit.no;
    bfd->strict_hold =
        edit.no
            ? BgpBfd{}.strict_hold
            : Seconds{edit.args.number("seconds").value_or(static_cast<std::uint64_t>(BgpBfd{}.strict_hold.count()))};
    return {};
}

void show_neighbor_bfd_strict(const Statement& self, const View& view, Lines& out)
{
    const auto& bfd = view.neighbor->bfd;
    if (!bfd || !bfd->strict) return;
    out.text(self, view,
             neighbor_bfd_text(view, bfd->strict_hold == BgpBfd{}.strict_hold
                                         ? " strict"
                                         : fmt::format(" strict hold-time {}", bfd->strict_hold.count())));
}

}  // namespace culvert::config
