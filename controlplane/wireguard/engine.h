#pragma once

#include "base/bytes.h"
#include "base/ids.h"
#include "base/ip.h"
#include "base/time.h"
#include "controlplane/wireguard/index_table.h"
#include "controlplane/wireguard/message.h"
#include "controlplane/wireguard/tai64n.h"
#include "crypto/random.h"
#include "crypto/secret.h"
#include "crypto/x25519.h"
#include "dataplane/api/worker_link.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

namespace culvert::wireguard {

// The handshakes and timers of one WireGuard interface: all that is not data. Bytes, events and the time go in;
// datagrams, commands for the workers and deadlines come out.
//
// How keys come to be used without a packet lost:
//
//   we initiate                                       the peer initiates
//   1. initiation ->                                  1. -> initiation: keys are derived
//   2. <- response: keys are derived                  2. InstallKeys(initiator=false): the worker takes data under them
//   3. InstallKeys(initiator=true): the worker        3. KeysInstalled: only now the response leaves
//      sends on them at once (what is held, or        4. KeysProven: the first packet under them came; the worker
//      an empty packet, which proves them to the         sends on them from here on
//      peer), and goes on taking the old ones
//
// A handshake that fails or is never finished touches no session that exists. Timers follow the WireGuard paper
// (6.1-6.5) and the Linux kernel where the paper is silent; they know the data path by snapshots of api::PeerActivity,
// which the engine asks for (Output::poll) when a timer might depend on one.
//
// Not here: being under load (answering with cookies), which only floods need; cookies sent *to* us are used.

// Section 6.1 of the paper.
inline constexpr Duration kRekeyAfterTime = 120s;
inline constexpr Duration kRejectAfterTime = 180s;
inline constexpr Duration kRekeyAttemptTime = 90s;
inline constexpr Duration kRekeyTimeout = 5s;
inline constexpr Duration kKeepaliveTimeout = 10s;
inline constexpr Duration kCookieLifetime = 120s;
inline constexpr Duration kForgetAfter = 3 * kRejectAfterTime;
inline constexpr Duration kInitiationInterval = 20ms;  // a peer's initiations are taken no faster
inline constexpr std::uint64_t kRekeyAfterMessages = 1ULL << 60;

struct PeerConfig {
    crypto::PublicKey public_key{};
    crypto::Secret<32> preshared_key{};  // zeros: none
    std::optional<Endpoint> endpoint;
    Duration persistent_keepalive{};  // zero: off
};

// A handshake message on its way out.
struct Datagram {
    PeerId peer{kNoPeer};
    Endpoint to{};
    IpAddress from{};  // 0.0.0.0: the address of the interface it leaves by
    std::uint16_t length = 0;
    std::array<std::uint8_t, kMaxHandshakeMessage> octets{};

    Bytes bytes() const noexcept { return Bytes{octets}.first(length); }
};

// All that the engine wants done, in the order given. Holds keys: to be used at once and let go.
struct Output {
    std::vector<Datagram> send;
    std::vector<api::WorkerCommand, crypto::WipingAllocator<api::WorkerCommand>> commands;  // each to its peer's owner
    std::vector<PeerId> poll;  // on_activity() is wanted for these, now

    void append(Output&& other);
};

// What became of a message, for counters and tests.
enum class Handling : std::uint8_t {
    Accepted,
    Malformed,    // no handshake message, or a wrong length
    WrongMac1,    // not meant for this interface's key
    WrongKey,     // does not decrypt
    UnknownPeer,  // an initiation by a key that is no peer
    Replayed,     // an initiation with a timestamp not newer than the last
    TooFast,      // more than 50 initiations a second of one peer
    Unexpected,   // answers nothing that we sent
};
inline constexpr std::size_t kHandlingCount = 8;
std::string_view name(Handling handling) noexcept;

// PeerActivity at one moment. Times as there; kNone is "never".
struct ActivitySnapshot {
    std::optional<TimePoint> last_data_sent;
    std::optional<TimePoint> last_data_received;
    std::optional<TimePoint> last_any_sent;
    std::optional<TimePoint> last_any_received;
    std::optional<TimePoint> first_data_sent_unanswered;
    std::optional<TimePoint> first_data_received_unanswered;
    std::uint64_t sent_packets = 0;
    std::uint64_t sent_octets = 0;
    std::uint64_t received_packets = 0;
    std::uint64_t received_octets = 0;
    std::uint64_t sending_counter = 0;
};
ActivitySnapshot snapshot(const api::PeerActivity& activity) noexcept;

enum class PeerState : std::uint8_t {
    Down,         // no session, none wanted
    Handshaking,  // no session, but initiations are being sent
    Up,           // a session younger than kRejectAfterTime
};
std::string_view name(PeerState state) noexcept;

struct PeerView {
    PeerId id{kNoPeer};
    crypto::PublicKey public_key{};
    bool has_preshared_key = false;
    PeerState state = PeerState::Down;
    std::optional<Endpoint> endpoint;           // where it was last heard of, or configured
    std::optional<TimePoint> latest_handshake;  // completed
    bool initiator = false;                     // of the current session: we
    Duration persistent_keepalive{};
    std::uint64_t handshakes = 0;  // completed
    std::uint64_t initiations_sent = 0;
    std::uint64_t sent_octets = 0;  // as of the last snapshot
    std::uint64_t received_octets = 0;
};

struct EngineConfig {
    crypto::Secret<32> private_key{};
    Duration rekey_after = kRekeyAfterTime;  // 1 s .. kRekeyAfterTime; values outside are brought inside
};

class Engine {
public:
    Engine(EngineConfig config, IndexTable& indices, crypto::Random& random, TimestampSource& timestamps);
    ~Engine();
    Engine(Engine&&) noexcept;
    Engine& operator=(Engine&&) noexcept;

    const crypto::PublicKey& public_key() const noexcept;

    // Adds a peer, or changes one: then its sessions live on, unless its public key is another. No two peers may have
    // the same public key (the configuration is checked for that; here the later one takes the key over).
    Output set_peer(PeerId id, PeerConfig config, TimePoint now);
    Output remove_peer(PeerId id, TimePoint now);
    // Another private key ends every session; another rekey_after ends none.
    Output set_config(EngineConfig config, TimePoint now);
    // The interface came up (or went): while down nothing is sent or answered and every session is forgotten. An engine
    // begins up.
    Output set_up(bool up, TimePoint now);

    // A UDP payload of type 1, 2 or 3 (others are counted as malformed), from where it came and the address it came to.
    Output on_message(Bytes message, const Endpoint& from, const IpAddress& to, TimePoint now);
    // HandshakeWanted, KeysInstalled, KeysProven, EndpointMoved of peers of this engine; others are ignored.
    Output on_event(const api::WorkerEvent& event, TimePoint now);
    Output on_activity(PeerId id, const ActivitySnapshot& activity, TimePoint now);
    TimePoint next_deadline() const noexcept;
    Output on_time(TimePoint now);

    bool has_peer(PeerId id) const noexcept;
    std::optional<PeerView> peer(PeerId id, TimePoint now) const;
    std::vector<PeerView> peers(TimePoint now) const;  // by id
    std::uint64_t count(Handling handling) const noexcept;

private:
    class State;
    std::unique_ptr<State> state_;
};

}  // namespace culvert::wireguard
