#pragma once

#include "controlplane/wireguard/message.h"
#include "controlplane/wireguard/tai64n.h"
#include "crypto/blake2s.h"
#include "crypto/random.h"
#include "crypto/secret.h"
#include "crypto/x25519.h"

#include <cstdint>
#include <optional>

namespace culvert::wireguard {

// Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s as WireGuard uses it (paper, 5.4): the arithmetic of both roles, without memory
// of peers, time or sockets. What a function returns as none was wrong or meant for somebody else.

using Cookie = Mac;

// Our side, and what follows from the key alone.
struct Identity {
    crypto::Secret<32> private_key;
    crypto::PublicKey public_key{};
    crypto::Blake2sHash mac1_key{};    // of messages to us
    crypto::Blake2sHash first_hash{};  // of a handshake with us as the responder
};

// A peer, as seen by one identity.
struct Remote {
    crypto::PublicKey public_key{};
    crypto::Secret<32> preshared_key;                 // zeros: none
    std::optional<crypto::Secret<32>> static_shared;  // DH of both static keys; none if its key is of low order
    crypto::Blake2sHash mac1_key{};                   // of messages to it
    crypto::Blake2sHash cookie_key{};                 // of cookies it sends
    crypto::Blake2sHash first_hash{};                 // of a handshake with it as the responder
};

struct TransportKeys {
    crypto::Secret<32> sending;
    crypto::Secret<32> receiving;
};

// The initiator's memory between initiation and response.
struct InitiatorState {
    crypto::Secret<32> chaining_key;
    crypto::Blake2sHash hash{};
    crypto::Secret<32> ephemeral;
};

// The responder's, while it works on one initiation.
struct ResponderState {
    crypto::Secret<32> chaining_key;
    crypto::Blake2sHash hash{};
    crypto::PublicKey remote_static{};
    crypto::PublicKey remote_ephemeral{};
};

// One for each thread: holds hash contexts.
class Noise {
public:
    Noise();

    Identity identity(crypto::Secret<32> private_key);
    Remote remote(const Identity& us, const crypto::PublicKey& public_key, crypto::Secret<32> preshared_key);

    // Initiator. Macs are left empty.
    std::optional<InitiatorState> write_initiation(const Identity& us, const Remote& peer, std::uint32_t sender,
                                                   const Tai64n& timestamp, crypto::Random& random, Initiation& out);
    // The state is untouched, so that a forged response costs nothing but time.
    std::optional<TransportKeys> read_response(const Identity& us, const Remote& peer, const InitiatorState& state,
                                               const Response& in);

    // Responder: who says it is (not yet proven), then that it is, then our answer. Macs are left empty.
    std::optional<ResponderState> read_static(const Identity& us, const Initiation& in);
    std::optional<Tai64n> read_timestamp(const Remote& peer, ResponderState& state, const Initiation& in);
    std::optional<TransportKeys> write_response(const Remote& peer, ResponderState& state, std::uint32_t sender,
                                                std::uint32_t receiver, crypto::Random& random, Response& out);

    // Section 5.4.4. `message` is a whole initiation or response.
    bool mac1_fits(const Identity& us, Bytes message);
    Mac write_macs(const Remote& peer, const Cookie* cookie, MutableBytes message);  // returns mac1
    std::optional<Cookie> open_cookie(const Remote& peer, const Mac& mac1_sent, const CookieReply& in);

private:
    void mix_hash(crypto::Blake2sHash& hash, Bytes data);

    crypto::Blake2s blake_;
    crypto::Blake2sHash first_chaining_key_{};
};

}  // namespace culvert::wireguard
