#include "config/bfd_statements.h"

#include "config/behaviour.h"

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

// ---- key chains ----

Outcome key_chain_block(Edit& edit)
{
    const auto name = edit.args.text("name");
    if (edit.no) {
        if (edit.model.key_chains.erase(name) == 0) return edit.refuse("there is no key chain " + name);
        return {};
    }
    edit.model.key_chains[name].name = name;
    edit.position.node = Node::KeyChain;
    edit.position.name = name;
    return {};
}

void show_key_chain_blocks(const Statement& self, const View& view, Lines& out)
{
    for (const auto& [name, chain] : view.model->key_chains) {
        View inside = view;
        inside.key_chain = &chain;
        out.block(self, "key chain " + name, Node::KeyChain, inside, "exit");
    }
}

Outcome key_block(Edit& edit)
{
    auto* chain = edit.object<KeyChain>();
    if (!chain) return edit.refusal();
    const auto id = static_cast<std::uint8_t>(edit.args.number("key").value());
    if (edit.no) {
        if (chain->keys.erase(id) == 0) return edit.refuse(fmt::format("there is no key {} in {}", id, chain->name));
        return {};
    }
    chain->keys[id];
    edit.position.node = Node::KeyChainKey;
    edit.position.key = id;
    return {};
}

void show_key_blocks(const Statement& self, const View& view, Lines& out)
{
    for (const auto& [id, key] : view.key_chain->keys) {
        View inside = view;
        inside.key = &key;
        out.block(self, fmt::format("key {}", id), Node::KeyChainKey, inside, "exit");
    }
}

}  // namespace culvert::config
