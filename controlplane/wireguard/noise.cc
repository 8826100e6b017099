#include "controlplane/wireguard/noise.h"

#include "crypto/chacha20_poly1305.h"

#include <algorithm>
#include <string_view>
#include <utility>

namespace culvert::wireguard {
namespace {

using crypto::PublicKey;
using crypto::Secret;
using crypto::x25519;

Bytes text(std::string_view t) noexcept { return {reinterpret_cast<const std::uint8_t*>(t.data()), t.size()}; }

constexpr std::string_view kConstruction = "Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s";
constexpr std::string_view kIdentifier = "WireGuard v1 zx2c4 Jason@zx2c4.com";
constexpr std::string_view kLabelMac1 = "mac1----";
constexpr std::string_view kLabelCookie = "cookie--";

}  // namespace

Noise::Noise() : first_chaining_key_(blake_.hash({text(kConstruction)})) {}

void Noise::mix_hash(crypto::Blake2sHash& hash, Bytes data) { hash = blake_.hash({hash, data}); }

Identity Noise::identity(Secret<32> private_key)
{
    Identity us;
    us.public_key = crypto::public_key_of(private_key);
    us.private_key = std::move(private_key);
    us.mac1_key = blake_.hash({text(kLabelMac1), us.public_key});
    us.first_hash = blake_.hash({first_chaining_key_, text(kIdentifier)});
    mix_hash(us.first_hash, us.public_key);
    return us;
}

Remote Noise::remote(const Identity& us, const PublicKey& public_key, Secret<32> preshared_key)
{
    Remote peer;
    peer.public_key = public_key;
    peer.preshared_key = std::move(preshared_key);
    peer.static_shared = x25519(us.private_key, public_key);
    peer.mac1_key = blake_.hash({text(kLabelMac1), public_key});
    peer.cookie_key = blake_.hash({text(kLabelCookie), public_key});
    peer.first_hash = blake_.hash({first_chaining_key_, text(kIdentifier)});
    mix_hash(peer.first_hash, public_key);
    return peer;
}

std::optional<InitiatorState> Noise::write_initiation(const Identity& us, const Remote& peer, std::uint32_t sender,
                                                      const Tai64n& timestamp, crypto::Random& random, Initiation& out)
{
    if (!peer.static_shared) return std::nullopt;
    InitiatorState state;
    state.hash = peer.first_hash;
    state.ephemeral = crypto::generate_private_key(random);

    out.sender = sender;
    out.ephemeral = crypto::public_key_of(state.ephemeral);
    blake_.kdf(first_chaining_key_, out.ephemeral, {&state.chaining_key});
    mix_hash(state.hash, out.ephemeral);

    Secret<32> key;
    const auto shared = x25519(state.ephemeral, peer.public_key);
    if (!shared) return std::nullopt;
    blake_.kdf(state.chaining_key.reveal(), shared->reveal(), {&state.chaining_key, &key});
    crypto::seal(key.reveal(), 0, state.hash, us.public_key, out.sealed_static);
    mix_hash(state.hash, out.sealed_static);

    blake_.kdf(state.chaining_key.reveal(), peer.static_shared->reveal(), {&state.chaining_key, &key});
    crypto::seal(key.reveal(), 0, state.hash, timestamp.octets, out.sealed_timestamp);
    mix_hash(state.hash, out.sealed_timestamp);
    return state;
}

std::optional<TransportKeys> Noise::read_response(const Identity& us, const Remote& peer, const InitiatorState& state,
                                                  const Response& in)
{
    Secret<32> chaining_key, key, tau;
    auto hash = state.hash;
    blake_.kdf(state.chaining_key.reveal(), in.ephemeral, {&chaining_key});
    mix_hash(hash, in.ephemeral);

    const auto ephemerals = x25519(state.ephemeral, in.ephemeral);
    const auto with_static = x25519(us.private_key, in.ephemeral);
    if (!ephemerals || !with_static) return std::nullopt;
    blake_.kdf(chaining_key.reveal(), ephemerals->reveal(), {&chaining_key});
    blake_.kdf(chaining_key.reveal(), with_static->reveal(), {&chaining_key});

    blake_.kdf(chaining_key.reveal(), peer.preshared_key.reveal(), {&chaining_key, &tau, &key});
    mix_hash(hash, tau.reveal());
    if (!crypto::open(key.reveal(), 0, hash, in.sealed_nothing, {})) return std::nullopt;

    TransportKeys keys;
    blake_.kdf(chaining_key.reveal(), {}, {&keys.sending, &keys.receiving});
    return keys;
}

std::optional<ResponderState> Noise::read_static(const Identity& us, const Initiation& in)
{
    ResponderState state;
    state.hash = us.first_hash;
    state.remote_ephemeral = in.ephemeral;
    blake_.kdf(first_chaining_key_, in.ephemeral, {&state.chaining_key});
    mix_hash(state.hash, in.ephemeral);

    Secret<32> key;
    const auto shared = x25519(us.private_key, in.ephemeral);
    if (!shared) return std::nullopt;
    blake_.kdf(state.chaining_key.reveal(), shared->reveal(), {&state.chaining_key, &key});
    if (!crypto::open(key.reveal(), 0, state.hash, in.sealed_static, state.remote_static)) return std::nullopt;
    mix_hash(state.hash, in.sealed_static);
    return state;
}

std::optional<Tai64n> Noise::read_timestamp(const Remote& peer, ResponderState& state, const Initiation& in)
{
    if (!peer.static_shared) return std::nullopt;
    Secret<32> key;
    blake_.kdf(state.chaining_key.reveal(), peer.static_shared->reveal(), {&state.chaining_key, &key});
    Tai64n timestamp;
    if (!crypto::open(key.reveal(), 0, state.hash, in.sealed_timestamp, timestamp.octets)) return std::nullopt;
    mix_hash(state.hash, in.sealed_timestamp);
    return timestamp;
}

std::optional<TransportKeys> Noise::write_response(const Remote& peer, ResponderState& state, std::uint32_t sender,
                                                   std::uint32_t receiver, crypto::Random& random, Response& out)
{
    const auto ephemeral = crypto::generate_private_key(random);
    out.sender = sender;
    out.receiver = receiver;
    out.ephemeral = crypto::public_key_of(ephemeral);
    blake_.kdf(state.chaining_key.reveal(), out.ephemeral, {&state.chaining_key});
    mix_hash(state.hash, out.ephemeral);

    const auto ephemerals = x25519(ephemeral, state.remote_ephemeral);
    const auto with_static = x25519(ephemeral, peer.public_key);
    if (!ephemerals || !with_static) return std::nullopt;
    blake_.kdf(state.chaining_key.reveal(), ephemerals->reveal(), {&state.chaining_key});
    blake_.kdf(state.chaining_key.reveal(), with_static->reveal(), {&state.chaining_key});

    Secret<32> tau, key;
    blake_.kdf(state.chaining_key.reveal(), peer.preshared_key.reveal(), {&state.chaining_key, &tau, &key});
    mix_hash(state.hash, tau.reveal());
    crypto::seal(key.reveal(), 0, state.hash, {}, out.sealed_nothing);
    mix_hash(state.hash, out.sealed_nothing);

    TransportKeys keys;
    blake_.kdf(state.chaining_key.reveal(), {}, {&keys.receiving, &keys.sending});
    return keys;
}

bool Noise::mac1_fits(const Identity& us, Bytes message)
{
    const auto covered = covered_by_mac1(message);
    const auto mac1 = blake_.mac(us.mac1_key, {covered});
    return crypto::equal_in_constant_time(mac1, message.subspan(covered.size(), mac1.size()));
}

Mac Noise::write_macs(const Remote& peer, const Cookie* cookie, MutableBytes message)
{
    const auto covered = covered_by_mac1(message);
    const Mac mac1 = blake_.mac(peer.mac1_key, {covered});
    std::copy(mac1.begin(), mac1.end(), message.begin() + static_cast<std::ptrdiff_t>(covered.size()));
    if (cookie != nullptr) {
        const Mac mac2 = blake_.mac(*cookie, {covered_by_mac2(message)});
        std::copy(mac2.begin(), mac2.end(), message.end() - static_cast<std::ptrdiff_t>(mac2.size()));
    }
    return mac1;
}

std::optional<Cookie> Noise::open_cookie(const Remote& peer, const Mac& mac1_sent, const CookieReply& in)
{
    Cookie cookie;
    if (!crypto::xopen(peer.cookie_key, in.nonce, mac1_sent, in.sealed_cookie, cookie)) return std::nullopt;
    return cookie;
}

}  // namespace culvert::wireguard
