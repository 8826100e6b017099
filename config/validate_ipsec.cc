#include "config/validator.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <map>

namespace culvert::config {

void Validator::manual_sas()
{
    std::map<std::uint32_t, std::string> spis;
    std::map<std::string, std::string> keys;
    for (const auto& [name, sa] : model_.manual_sas) {
        const auto path = path_of({.node = Node::ManualSa, .name = name});
        const bool aead = sa.cipher != EspCipher::AesCbc128 && sa.cipher != EspCipher::AesCbc256;
        if (aead && sa.integrity != EspIntegrity::None)
            wrong(path, "integrity", "the cipher authenticates packets itself", "`no integrity`");
        if (!aead && sa.integrity == EspIntegrity::None)
            unfinished(path, fmt::format("manual SA {}: aes-cbc alone does not authenticate packets", name),
                       "add `integrity hmac-sha256`, or use aes-gcm-256");
        if (sa.local_address && sa.remote_address && sa.local_address->family != sa.remote_address->family)
            wrong(path, "remote-address", "the two ends are of different families", "name two of one");
        if (sa.esn && sa.replay_window == 0)
            wrong(path, "esn", "extended sequence numbers can't be told without a replay window",
                  "`no replay window`, or `no esn` (RFC 4303 2.2.1)");
        direction(sa, sa.inbound, "inbound", path, keys);
        direction(sa, sa.outbound, "outbound", path, keys);
        if (sa.inbound.spi == 0) continue;
        const auto [it, fresh] = spis.emplace(sa.inbound.spi, name);
        if (!fresh)
            wrong(path, "inbound", fmt::format("SPI {} is the inbound one of {} already", sa.inbound.spi, it->second),
                  "packets are told apart by it: use another, at the other end too");
    }
}

void Validator::direction(const ManualSa& sa, const ManualSa::Direction& direction, const char* statement,
                          const std::string& path, std::map<std::string, std::string>& keys)
{
    if (!direction.key) {
        unfinished(path, fmt::format("manual SA {} has no {} keys", sa.name, statement),
                   fmt::format("add `{} spi NUMBER key-file FILE`", statement));
        return;
    }
    secret(direction.key, path, statement);
    const auto& key = *direction.key;
    const auto use = fmt::format("`{}` of {}", statement, sa.name);
    const auto [it, fresh] = keys.emplace(key.file.empty() ? key.value : key.file, use);
    if (!fresh)
        wrong(path, statement, fmt::format("{} has the same key", it->second),
              "a key is for one direction of one SA: with a nonce used twice both packets are readable");
    if (!key.file.empty()) return;
    const bool hexadecimal =
        std::ranges::all_of(key.value, [](char c) { return std::isxdigit(static_cast<unsigned char>(c)) != 0; });
    if (!hexadecimal || key.value.size() != 2 * sa.key_octets())
        wrong(
            path, statement,
            hexadecimal ? fmt::format("the key has {} octets", key.value.size() / 2) : "the key is not in hexadecimal",
            fmt::format("these algorithms need {0} octets: `openssl rand -hex {0}`", sa.key_octets()));
}

void Validator::ipsec_profile(const IpsecProfile& profile)
{
    const auto path = path_of({.node = Node::IpsecProfile, .name = profile.name});
    if (profile.manual_sa.empty())
        unfinished(path, fmt::format("the IPsec profile {} does not say where keys come from", profile.name),
                   "add `set manual-sa NAME`");
    else if (!model_.manual_sas.contains(profile.manual_sa))
        wrong(path, "set manual-sa", fmt::format("there is no manual SA {}", profile.manual_sa),
              fmt::format("add `crypto ipsec manual-sa {}`", profile.manual_sa));
}

}  // namespace culvert::config
