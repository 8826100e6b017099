#pragma once

#include "base/ids.h"
#include "base/ip.h"
#include "base/time.h"

#include <array>
#include <atomic>
#include <cstdint>
#include <type_traits>

// ESP (RFC 4303) as the control plane tells it and hears of it. What is protected and how its outer packets look goes
// by the FIB channel (SetProtection), keys go by the command ring of the protection's owner (InstallSa).
namespace culvert::api {

enum class EspAlgorithm : std::uint8_t {
    AesGcm128,  // RFC 4106, ICV of 16 octets
    AesGcm256,
    ChaCha20Poly1305,  // RFC 7634
    AesCbc128Sha256,   // RFC 3602 with RFC 4868: HMAC-SHA2-256-128
    AesCbc256Sha256,
    AesCbc128Sha384,  // HMAC-SHA2-384-192
    AesCbc256Sha384,
    AesCbc128Sha512,  // HMAC-SHA2-512-256
    AesCbc256Sha512,
};
inline constexpr std::size_t kEspAlgorithms = 9;

enum class EspMode : std::uint8_t { Tunnel, Transport };

// What an algorithm needs, octets. `cipher_key` then `salt` (AEAD) or `mac_key` (CBC) is the order of InstallSa::key,
// which is that of KEYMAT, RFC 7296 2.17.
struct EspTraits {
    std::uint8_t cipher_key;
    std::uint8_t salt;
    std::uint8_t mac_key;
    std::uint8_t iv;     // explicit, in each packet
    std::uint8_t block;  // text, padding and its two octets of trailer are a multiple of it
    std::uint8_t icv;

    constexpr std::size_t key_octets() const noexcept { return std::size_t{cipher_key} + salt + mac_key; }
    constexpr bool aead() const noexcept { return mac_key == 0; }
};
constexpr EspTraits esp_traits(EspAlgorithm a) noexcept
{
    switch (a) {
        case EspAlgorithm::AesGcm128: return {16, 4, 0, 8, 4, 16};
        case EspAlgorithm::AesGcm256:
        case EspAlgorithm::ChaCha20Poly1305: return {32, 4, 0, 8, 4, 16};
        case EspAlgorithm::AesCbc128Sha256: return {16, 0, 32, 16, 16, 16};
        case EspAlgorithm::AesCbc256Sha256: return {32, 0, 32, 16, 16, 16};
        case EspAlgorithm::AesCbc128Sha384: return {16, 0, 48, 16, 16, 24};
        case EspAlgorithm::AesCbc256Sha384: return {32, 0, 48, 16, 16, 24};
        case EspAlgorithm::AesCbc128Sha512: return {16, 0, 64, 16, 16, 32};
        case EspAlgorithm::AesCbc256Sha512: return {32, 0, 64, 16, 16, 32};
    }
    return {};
}
inline constexpr std::size_t kMaxEspKey = 96;  // octets: AES-256 with HMAC-SHA2-512

inline constexpr std::size_t kEspHeader = 8;   // SPI and sequence number
inline constexpr std::size_t kEspTrailer = 2;  // pad length and next header
inline constexpr std::size_t kUdpEncapsulation = 8;

constexpr std::size_t ip_header_octets(Family family) noexcept { return family == Family::Ipv4 ? 20 : 40; }

// How many octets an IP packet of `length` octets grows by on its way through the SA. Exact: padding is in it.
// `outer` is the family of the packet that leaves; in transport mode that of the packet itself, which has no options.
constexpr std::size_t esp_overhead(EspAlgorithm algorithm, EspMode mode, Family outer, bool udp,
                                   std::size_t length) noexcept
{
    const auto t = esp_traits(algorithm);
    const std::size_t header = ip_header_octets(outer);
    const std::size_t text = (mode == EspMode::Tunnel ? length : length - header) + kEspTrailer;
    const std::size_t padding = (t.block - text % t.block) % t.block;
    return (mode == EspMode::Tunnel ? header : 0) + (udp ? kUdpEncapsulation : 0) + kEspHeader + t.iv + padding +
           kEspTrailer + t.icv;
}

// The longest IP packet that leaves the SA within `mtu` octets; 0 if none does.
constexpr std::size_t esp_largest(EspAlgorithm algorithm, EspMode mode, Family outer, bool udp,
                                  std::size_t mtu) noexcept
{
    const auto t = esp_traits(algorithm);
    const std::size_t header = ip_header_octets(outer);
    const std::size_t fixed = header + (udp ? kUdpEncapsulation : 0) + kEspHeader + t.iv + t.icv;
    if (mtu < fixed + t.block) return 0;
    const std::size_t text = (mtu - fixed) / t.block * t.block - kEspTrailer;
    return mode == EspMode::Tunnel ? text : text + header;
}

// ---- FIB channel ---------------------------------------------------------------------------------------------------

enum class EspDf : std::uint8_t { Copy, Set, Clear };        // of an outer IPv4 header, tunnel mode
enum class EspEcn : std::uint8_t { Normal, Compatibility };  // RFC 6040 4.3: of outgoing packets
enum class EspFragmentation : std::uint8_t {
    Before,  // packets that would not fit are cut before they are encrypted, by the tunnel's MTU
    After,   // the outer packet is cut; its DF is clear
};
// What comes out of its SAs.
enum class EspInner : std::uint8_t {
    Ip,   // a VTI: any IP packet; it enters by `interface`, in that one's VRF. Tunnel mode only
    Gre,  // GRE from `remote` to `local`, in transport or tunnel mode; goes to the GRE input of `outer_vrf`
};

// What IPsec protects. Nothing of it leaves in clear: without a live outbound SA its packets are dropped.
struct SetProtection {
    ProtectionId id;
    InterfaceId interface;  // of kind Tunnel, that it belongs to
    VrfId outer_vrf;
    EspInner inner{};
    EspDf df{};
    EspEcn ecn{};
    EspFragmentation fragmentation{};
    bool copy_dscp : 1 = true;  // tunnel mode: the inner's; else `dscp`
    std::uint8_t dscp = 0;      // 0..63
    std::uint8_t ttl = 64;      // of an outer header, tunnel mode; 0 is the inner's
    // UDP to this port of `outer_vrf`'s local addresses is ESP (RFC 3948), but for what begins with the non-ESP marker.
    std::uint16_t udp_port = 4500;
    IpAddress local{};  // Gre: the ends of the GRE packets, whatever the outer addresses become on the way
    IpAddress remote{};
};
struct DeleteProtection {
    ProtectionId id;
};

// ---- control -> worker ---------------------------------------------------------------------------------------------

enum class SaDirection : std::uint8_t { Inbound, Outbound };
enum class SaActivation : std::uint8_t {
    Now,         // sending goes over to it at once
    WhenProven,  // at the first authenticated packet on the inbound SA of the same `child`, by ActivateSa, or when the
                 // current one has come to its end
};

// One direction of a child SA. Zeroed in the ring as soon as it is read. Answered by SaInstalled.
//
// All inbound SAs of a protection receive until they are deleted or expire; of the outbound ones one sends. Lifetimes:
// soft is told once (SaSoftExpired), hard ends the SA (SaHardExpired): its keys are gone then.
struct InstallSa {
    static constexpr std::uint32_t kNoReplayWindow = 0;

    ProtectionId protection;
    std::uint64_t sequence;  // of this command; repeated in SaInstalled
    std::uint32_t child;     // pairs inbound and outbound: chosen by control, unique in the protection
    std::uint32_t spi;       // 256 and up; inbound: ours, unique with `local` and `outer_vrf`
    SaDirection direction;
    EspMode mode;
    EspAlgorithm algorithm;
    SaActivation activation{};  // outbound
    bool esn = false;           // RFC 4303 2.2.1
    bool udp = false;           // in UDP, RFC 3948
    bool follow_peer = false;   // inbound, udp: authenticated packets from a new place move the outbound SAs there
    // Sequence numbers, 64..65536; rounded up to 64s. kNoReplayWindow: repeated packets are taken (manual keys).
    std::uint32_t replay_window = 4096;
    VrfId outer_vrf{};
    // Outer addresses, with ports if `udp`: source and destination of what is sent. Inbound: `local` is where packets
    // arrive (unspecified: any address), `remote` where they come from, not looked at.
    Endpoint local{};
    Endpoint remote{};
    // Outbound: the last sequence number that was used before (0 of new keys). Inbound: the highest seen.
    std::uint64_t initial_sequence = 0;
    // XORed into the counter that is the explicit IV. Random for keys that may have been in use before (manual ones).
    std::uint64_t iv_mask = 0;
    TimePoint soft_at = kNever;
    TimePoint hard_at = kNever;
    std::uint64_t soft_octets = ~std::uint64_t{0};  // of inner packets
    std::uint64_t hard_octets = ~std::uint64_t{0};
    std::uint64_t soft_packets = ~std::uint64_t{0};
    std::uint64_t hard_packets = ~std::uint64_t{0};
    std::uint16_t keepalive = 0;  // outbound, udp: seconds without a packet after which a keepalive leaves; 0: never
    std::array<std::uint8_t, kMaxEspKey> key{};  // esp_traits(algorithm).key_octets() of them
};
// The peer has (or will not get) its side: send on this one.
struct ActivateSa {
    ProtectionId protection;
    std::uint32_t child;
};
// Answered by SaDeleted, also when there is none.
struct DeleteSa {
    ProtectionId protection;
    std::uint64_t sequence;
    std::uint32_t child;
    SaDirection direction;
};
// Outbound SAs in UDP send there from now on (IKE saw the peer move).
struct MoveSas {
    ProtectionId protection;
    Endpoint remote;
};

// ---- worker -> control ---------------------------------------------------------------------------------------------

enum class SaRefusal : std::uint8_t {
    None,
    SpiTaken,
    BadParameter,  // SPI, algorithm, mode or protection that can't be
    NoRoom,
};
// An inbound SA that was taken receives from here on.
struct SaInstalled {
    ProtectionId protection;
    std::uint64_t sequence;
    SaRefusal refusal{};
};
struct SaDeleted {
    ProtectionId protection;
    std::uint64_t sequence;
};
// The first authenticated packet came on the inbound SA of `child`.
struct SaProven {
    ProtectionId protection;
    std::uint32_t child;
};
enum class SaLimit : std::uint8_t { Time, Octets, Packets, Sequence };
struct SaSoftExpired {
    ProtectionId protection;
    std::uint32_t child;
    SaDirection direction;
    SaLimit limit;
};
// It is gone. Sequence: an outbound SA has used its last sequence number.
struct SaHardExpired {
    ProtectionId protection;
    std::uint32_t child;
    SaDirection direction;
    SaLimit limit;
};
// A packet wanted to leave, but there is no SA that may send. At most one a second for each protection.
struct SaWanted {
    ProtectionId protection;
};
// An authenticated packet came from a new place (udp, follow_peer); outbound SAs send there from now on.
struct SaPeerMoved {
    ProtectionId protection;
    Endpoint remote;
};

// ---- what a protection's SAs did, read by control at its leisure ---------------------------------------------------

inline constexpr std::size_t kMaxProtections = 1 << 16;  // ids

// One writer (the owning worker), relaxed. Times are TimePoint counts; 0 is "never".
struct ProtectionActivity {
    std::atomic<std::uint64_t> sent_packets{0}, sent_octets{0};          // of inner packets
    std::atomic<std::uint64_t> received_packets{0}, received_octets{0};  // authenticated; of inner packets
    std::atomic<std::uint64_t> dropped_no_sa{0};                         // on the way out
    std::atomic<std::uint64_t> dropped_replay{0}, dropped_authentication{0};
    std::atomic<std::int64_t> last_sent{0}, last_received{0};
    std::atomic<std::uint32_t> sending_spi{0};         // 0: none may send
    std::atomic<std::uint64_t> sending_sequence{0};    // the last one used
    std::atomic<std::uint32_t> receiving_spi{0};       // of the last authenticated packet
    std::atomic<std::uint64_t> receiving_sequence{0};  // the highest authenticated one of that SA
};

}  // namespace culvert::api
