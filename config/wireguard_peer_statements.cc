#include "config/behaviour.h"
#include "config/statement_table.h"

#include <algorithm>

namespace culvert::config {
namespace {

Outcome wireguard_peer_block(Edit& edit)
{
    auto* tunnel = edit.object<Wireguard>();
    if (!tunnel) return edit.refusal();
    const auto name = edit.args.text("name");
    if (edit.no) {
        if (tunnel->peers.erase(name) == 0) return edit.refuse("there is no peer " + name);
        return {};
    }
    tunnel->peers[name].name = name;
    edit.position.node = Node::WireguardPeer;
    edit.position.peer = name;
    return {};
}

void show_wireguard_peer_blocks(const Statement& self, const View& view, Lines& out)
{
    const auto* tunnel = view.object<Wireguard>();
    if (!tunnel) return;
    for (const auto& [name, peer] : tunnel->peers) {
        View inside = view;
        inside.peer = &peer;
        out.block(self, "wireguard peer " + name, Node::WireguardPeer, inside, "exit");
    }
}

Outcome public_key(Edit& edit)
{
    auto* peer = edit.object<WireguardPeer>();
    if (!peer) return edit.refusal();
    peer->public_key = edit.no ? Key32{} : decode_key(edit.args.text("key")).value();
    return {};
}

void show_public_key(const Statement& self, const View& view, Lines& out)
{
    if (view.peer->public_key != Key32{}) out.statement(self, view, {encode_key(view.peer->public_key)});
}

Outcome allowed_ips(Edit& edit)
{
    auto* peer = edit.object<WireguardPeer>();
    if (!peer) return edit.refusal();
    const auto named = edit.args.all("prefix");
    if (named.empty()) peer->allowed_ips.clear();
    for (const auto& text : named) {
        const auto prefix = IpPrefix::parse(text).value();
        std::erase(peer->allowed_ips, prefix);
        if (!edit.no) peer->allowed_ips.insert(std::ranges::upper_bound(peer->allowed_ips, prefix), prefix);
    }
    return {};
}

void show_allowed_ips(const Statement& self, const View& view, Lines& out)
{
    for (const auto& prefix : view.peer->allowed_ips) out.text(self, view, "allowed-ips " + prefix.to_string());
}

constexpr auto Peer = Node::WireguardPeer;

constexpr Statement kPeers[] = {
    {Node::Interface,
     "wireguard peer WORD$name",
     Setting,
     Cost::Apply,
     "The other end of a tunnel, under a name of your choice.",
     {wireguard_peer_block, show_wireguard_peer_blocks}},

    {Peer, "description {LINE$text}", Setting, Cost::Apply, "A note for people.", kValue<&WireguardPeer::description>},
    {Peer,
     "public-key {BASE64$key}",
     Setting,
     Cost::Session,
     "The peer's public key: not the interface's own.",
     {public_key, show_public_key}},
    {Peer, "preshared-key-file {FILE$file}", Setting, Cost::Apply,
     "The file with the key that both ends share beside the public ones. A new key counts from the next handshake on.",
     kSecretFile<&WireguardPeer::preshared_key>},
    {Peer, "preshared-key {BASE64$key}", Setting, Cost::Apply, "The preshared key itself.",
     kSecretValue<&WireguardPeer::preshared_key>},
    {Peer, "endpoint {ADDRESS:PORT$endpoint}", Setting, Cost::Apply,
     "Where the peer is at first; it is followed when it moves. Without it the peer has to call.",
     kValue<&WireguardPeer::endpoint>},
    {Peer,
     "allowed-ips {PREFIX$prefix...}",
     Setting,
     Cost::Apply,
     "What the peer may send from and what is sent to it. Each line adds. A prefix belongs to one peer of the "
     "interface: "
     "where `wg` moves it to the one that names it last, culvert refuses the second.",
     {allowed_ips, show_allowed_ips}},
    {Peer, "persistent-keepalive {(1-65535)$seconds}", Setting, Cost::Apply,
     "Sends something this often, so that a NAT on the way keeps its state. Default: off.",
     kValue<&WireguardPeer::persistent_keepalive>},
    {Peer, "routes bgp", Setting, Cost::Apply, "The peer may also carry what BGP routes to it, and send from it.",
     kFlag<&WireguardPeer::routes_bgp>},
};

}  // namespace

std::span<const Statement> wireguard_peer_statements() { return kPeers; }

}  // namespace culvert::config
