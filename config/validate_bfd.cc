#include "config/validator.h"

#include <fmt/format.h>

#include <algorithm>

namespace culvert::config {

void Validator::key_chain(const KeyChain& chain)
{
    for (const auto& [id, key] : chain.keys) {
        const auto path = path_of({.node = Node::KeyChainKey, .name = chain.name, .key = id});
        if (!key.secret)
            unfinished(path, fmt::format("key {} of {} has no secret", id, chain.name),
                       "add `key-string TEXT` or `key-file FILE`");
        secret(key.secret, path, key.secret && key.secret->file.empty() ? "key-string" : "key-file");
    }
}

void Validator::bfd_settings(const BfdSettings& settings, const std::string& path)
{
    if (!settings.authentication) return;
    const auto& [type, name] = *settings.authentication;
    const auto it = model_.key_chains.find(name);
    if (it == model_.key_chains.end()) {
        wrong(path, "authentication", fmt::format("there is no key chain {}", name),
              fmt::format("add `key chain {}`", name));
        return;
    }
    constexpr std::size_t kMost = 4;  // that a session takes at a time
    const auto& keys = it->second.keys;
    if (keys.size() > kMost)
        wrong(path, "authentication", fmt::format("key chain {} has {} keys", name, keys.size()),
              fmt::format("a session takes {} at a time: remove old ones", kMost));
    if (std::ranges::none_of(keys, [](const auto& k) { return k.second.secret && !k.second.accept_only; }))
        wrong(path, "authentication", fmt::format("key chain {} has no key to sign with", name),
              "add `key NUMBER` with a `key-string`, or take `accept-only` from one");
    const bool sha = type == BfdAuthenticationType::KeyedSha1 || type == BfdAuthenticationType::MeticulousKeyedSha1;
    const std::size_t most = sha ? 20 : 16;
    for (const auto& [id, key] : keys)
        if (key.secret && key.secret->file.empty() && key.secret->value.size() > most)
            wrong(path, "authentication",
                  fmt::format("key {} of {} has {} characters", id, name, key.secret->value.size()),
                  fmt::format("this authentication takes at most {} (RFC 5880 4.2 to 4.4)", most));
}

void Validator::known_bfd_profile(const std::string& name, const std::string& path, const std::string& statement)
{
    if (name.empty() || model_.bfd_profiles.contains(name)) return;
    wrong(path, statement, fmt::format("there is no BFD profile {}", name),
          fmt::format("add `profile {}` below `bfd`", name));
}

void Validator::bfd_peer(const BfdPeer& peer)
{
    const auto& key = peer.key;
    const auto name = key.peer.to_string();
    const auto path = path_of({.node = Node::BfdPeer, .bfd_peer = key});
    known_vrf(key.vrf, path, {});
    known_bfd_profile(peer.profile, path, "profile");
    bfd_settings(peer.settings, path);
    if (is_own_address(key.vrf, key.peer))
        wrong(path, {}, fmt::format("{} is this router's own address", name), "name the other router's address");
    if (key.local && !is_own_address(key.vrf, *key.local))
        wrong(path, {}, fmt::format("no interface of {} has the address {}", vrf_name(key.vrf), key.local->to_string()),
              "name an address of this router");
    if (!key.interface.empty()) {
        const auto it = model_.interfaces.find(key.interface);
        if (it == model_.interfaces.end())
            wrong(path, {}, fmt::format("there is no interface {} that {} could be on", key.interface, name),
                  fmt::format("add `interface {}`, or name another", key.interface));
        else if (it->second.vrf != key.vrf)
            wrong(path, {},
                  fmt::format("interface {} is in {}, the peer in {}", key.interface, vrf_name(it->second.vrf),
                              vrf_name(key.vrf)),
                  fmt::format("add `vrf {}`", it->second.vrf.empty() ? "default" : it->second.vrf));
    }
    if (key.multihop && peer.settings.echo_mode)
        wrong(path, "echo-mode", "a multihop session has no echo (RFC 5883 3)", "`no echo-mode`");
    if (!key.multihop && peer.settings.minimum_ttl)
        wrong(path, "minimum-ttl", "on one hop the TTL is always 255 (RFC 5881 5)",
              "`no minimum-ttl`, or say `multihop` in the peer's line");
}

}  // namespace culvert::config
