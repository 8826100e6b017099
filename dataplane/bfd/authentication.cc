#include "dataplane/bfd/authentication.h"

#include "crypto/secret.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace culvert::bfd {
namespace {

using api::BfdAuthentication;
using api::BfdKey;

constexpr std::size_t kPasswordHeader = 3;  // type, length, key id
constexpr std::size_t kDigestHeader = 8;    // ..., reserved, sequence number
constexpr std::size_t kDigestAt = kMandatory + kDigestHeader;

constexpr std::size_t digest_length(BfdAuthentication type) noexcept
{
    switch (type) {
        case BfdAuthentication::KeyedMd5:
        case BfdAuthentication::MeticulousKeyedMd5: return 16;
        case BfdAuthentication::KeyedSha1:
        case BfdAuthentication::MeticulousKeyedSha1: return 20;
        default: return 0;
    }
}

constexpr bool meticulous(BfdAuthentication type) noexcept
{
    return type == BfdAuthentication::MeticulousKeyedMd5 || type == BfdAuthentication::MeticulousKeyedSha1;
}

Bytes secret(const BfdKey& key) noexcept { return Bytes{key.secret}.first(std::min<std::size_t>(key.length, 20)); }

// The digest of a packet in whose digest field the key stands in place of it, filled up with zeros.
void digest(crypto::OldDigests& digests, const BfdKey& key, std::span<std::uint8_t, kMaxPacket> packet,
            std::span<std::uint8_t, 20> out) noexcept
{
    const auto n = digest_length(key.type);
    const auto octets = secret(key);
    std::memset(&packet[kDigestAt], 0, n);
    std::memcpy(&packet[kDigestAt], octets.data(), std::min(octets.size(), n));
    const Bytes all = Bytes{packet}.first(kDigestAt + n);
    if (n == 16)
        digests.md5(all, out.first<16>());
    else
        digests.sha1(all, out);
}

// Circular: is `sequence` at most `window` after `from`?
constexpr bool within(std::uint32_t sequence, std::uint32_t from, std::uint32_t window) noexcept
{
    return sequence - from <= window;
}

}  // namespace

std::size_t section_length(const BfdKey& key) noexcept
{
    if (key.type == BfdAuthentication::None) return 0;
    if (key.type == BfdAuthentication::SimplePassword) return kPasswordHeader + secret(key).size();
    return kDigestHeader + digest_length(key.type);
}

void Authenticator::sign(const BfdKey& key, std::uint32_t sequence, std::span<std::uint8_t, kMaxPacket> packet) noexcept
{
    const auto section = packet.subspan(kMandatory);
    section[0] = static_cast<std::uint8_t>(key.type);
    section[1] = static_cast<std::uint8_t>(section_length(key));
    section[2] = key.id;
    if (key.type == BfdAuthentication::SimplePassword) {
        std::ranges::copy(secret(key), section.begin() + kPasswordHeader);
        return;
    }
    section[3] = 0;
    const be32 number{sequence};
    std::memcpy(&section[4], &number, sizeof number);
    std::array<std::uint8_t, 20> out;
    digest(digests_, key, packet, out);
    std::memcpy(&section[kDigestHeader], out.data(), digest_length(key.type));
}

bool Authenticator::verify(std::span<const BfdKey> keys, const ControlPacket& packet,
                           ReceivedSequence& received) noexcept
{
    // 6.8.6: the A bit must be what the session's bfd.AuthType says.
    const auto section = packet.authentication;
    if (section.empty() || keys.empty()) return section.empty() && keys.empty();
    if (section.size() < kPasswordHeader || packet.whole.size() != kMandatory + section.size()) return false;

    // Key ids are unique among those of one type, so at most one fits.
    const auto key = std::ranges::find_if(
        keys, [&](const BfdKey& k) { return static_cast<std::uint8_t>(k.type) == section[0] && k.id == section[2]; });
    if (key == keys.end() || section.size() != section_length(*key)) return false;
    if (key->type == BfdAuthentication::SimplePassword)
        return crypto::equal_in_constant_time(section.subspan(kPasswordHeader), secret(*key));

    const auto n = digest_length(key->type);
    if (n == 0) return false;
    Reader in{section.subspan(4, 4)};
    const auto sequence = in.u32();
    // The window is of the multiplier in the packet: so many of the peer's packets can be lost while it is alive.
    const std::uint32_t window = 3U * packet.multiplier;
    const bool next_only = meticulous(key->type);
    if (received.known &&
        !(next_only ? within(sequence, received.value + 1, window - 1) : within(sequence, received.value, window)))
        return false;

    std::array<std::uint8_t, kMaxPacket> copy{};
    std::memcpy(copy.data(), packet.whole.data(), std::min(packet.whole.size(), copy.size()));
    std::array<std::uint8_t, 20> expected;
    digest(digests_, *key, copy, expected);
    crypto::wipe(&copy[kDigestAt], n);
    if (!crypto::equal_in_constant_time(section.subspan(kDigestHeader), Bytes{expected}.first(n))) return false;
    // Only now: a forged packet must not move the window (the RFC's text has it before the digest is looked at).
    received = {true, sequence};
    return true;
}

}  // namespace culvert::bfd
