#include "dataplane/esp/sa_table.h"

#include "base/bytes.h"

#include <algorithm>
#include <cstring>
#include <utility>
#include <variant>

namespace culvert::esp {
namespace {

using api::SaDirection;
using api::SaLimit;
using api::SaRefusal;
using api::Verdict;
using crypto::CipherSuite;

constexpr std::uint32_t kFirstSpi = 256;  // RFC 4303 2.1: those below are reserved

// RFC 4303 2.4: 1, 2, 3, ...
constexpr std::array<std::uint8_t, 16> kPadding{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
constexpr std::array<std::uint8_t, 16> kZeroIv{};

constexpr std::uint8_t kIpv4 = 4, kIpv6 = 41, kNoNext = 59;  // next headers

void store_be32(std::uint8_t* at, std::uint32_t v) noexcept
{
    const be32 wire{v};
    std::memcpy(at, &wire, sizeof wire);
}
void store_be64(std::uint8_t* at, std::uint64_t v) noexcept
{
    const be64 wire{v};
    std::memcpy(at, &wire, sizeof wire);
}
std::uint32_t load_be32(const std::uint8_t* at) noexcept
{
    be32 wire;
    std::memcpy(&wire, at, sizeof wire);
    return wire;
}

crypto::HmacSha2 hash_of(api::EspTraits traits) noexcept
{
    return traits.mac_key == 32   ? crypto::HmacSha2::Sha256_128
           : traits.mac_key == 48 ? crypto::HmacSha2::Sha384_192
                                  : crypto::HmacSha2::Sha512_256;
}

CipherSuite suite_of(api::EspAlgorithm algorithm) noexcept
{
    switch (algorithm) {
        case api::EspAlgorithm::AesGcm128: return CipherSuite::Aes128Gcm;
        case api::EspAlgorithm::AesGcm256: return CipherSuite::Aes256Gcm;
        case api::EspAlgorithm::ChaCha20Poly1305: return CipherSuite::ChaCha20Poly1305;
        default: return CipherSuite::CbcHmac;
    }
}

// The length of the IP packet at the start of `text`; what is behind it is TFC padding, RFC 4303 2.7.
Verdict trim(const std::uint8_t* text, std::uint32_t length, std::uint8_t next_header, std::uint32_t& inner) noexcept
{
    if (next_header != kIpv4 && next_header != kIpv6) return Verdict::DropEspInner;
    if (length == 0) return Verdict::DropTruncated;
    if (text[0] >> 4 != (next_header == kIpv4 ? 4 : 6)) return Verdict::DropIpVersion;
    if (next_header == kIpv4) {
        if (length < 20) return Verdict::DropTruncated;
        const auto header = 4U * (text[0] & 0x0f);
        inner = static_cast<std::uint32_t>(text[2] << 8 | text[3]);
        if (header < 20) return Verdict::DropIpHeader;
        return inner >= header && inner <= length ? Verdict::Forward : Verdict::DropTruncated;
    }
    if (length < 40) return Verdict::DropTruncated;
    inner = 40U + static_cast<std::uint32_t>(text[4] << 8 | text[5]);
    return inner <= length ? Verdict::Forward : Verdict::DropTruncated;
}

// Behind the padding are the trailer's two octets and the ICV: eight can be read.
bool padding_intact(const std::uint8_t* padding, std::size_t length) noexcept
{
    if (length < 8) [[likely]] {
        std::uint64_t is, wanted;
        std::memcpy(&is, padding, sizeof is);
        std::memcpy(&wanted, kPadding.data(), sizeof wanted);
        return ((is ^ wanted) & ((std::uint64_t{1} << 8 * length) - 1)) == 0;
    }
    unsigned differ = 0;
    for (std::size_t i = 0; i < length; ++i) differ |= padding[i] ^ static_cast<std::uint8_t>(i + 1);
    return differ == 0;
}

constexpr auto kAead = api::esp_traits(api::EspAlgorithm::AesGcm128);
static_assert(kAead.aead() && kAead.iv == 8 && kAead.block == 4 && kAead.icv == 16);
static_assert([] {
    for (const auto a : {api::EspAlgorithm::AesGcm256, api::EspAlgorithm::ChaCha20Poly1305})
        if (const auto t = api::esp_traits(a); t.iv != kAead.iv || t.block != kAead.block || t.icv != kAead.icv)
            return false;
    return true;
}());

// Is a packet that was made ready for `a` right for `b`?
bool same_shape(const Outbound& a, const Outbound& b) noexcept
{
    return a.mode == b.mode && a.udp == b.udp && a.front == b.front;
}

// ProtectionActivity has one writer: plain loads and stores, no locked instruction.
template <class T>
void put(std::atomic<T>& field, T value) noexcept
{
    field.store(value, std::memory_order_relaxed);
}
template <class T>
void add(std::atomic<T>& field, T value) noexcept
{
    field.store(field.load(std::memory_order_relaxed) + value, std::memory_order_relaxed);
}

std::int64_t count_of(TimePoint t) noexcept { return t.time_since_epoch().count(); }

}  // namespace

SaTable::SaTable(crypto::AeadContext& aead, std::span<api::ProtectionActivity> activity)
    : aead_(aead), activity_(activity), protections_(activity.size()), events_(kEvents)
{}

SaTable::~SaTable()
{
    for (const auto& p : protections_) {
        if (!p) continue;
        for (const auto& sa : p->sas)
            if (sa->key != nullptr) keys_.release(sa->key);
    }
}

SaTable::Protection* SaTable::find(ProtectionId id) const noexcept
{
    return index(id) < protections_.size() ? protections_[index(id)].get() : nullptr;
}

Sa* SaTable::find(ProtectionId id, std::uint32_t child, SaDirection direction) const noexcept
{
    if (const auto* p = find(id))
        for (const auto& sa : p->sas)
            if (sa->child == child && sa->direction == direction) return sa.get();
    return nullptr;
}

// ---- commands ------------------------------------------------------------------------------------------------------

bool SaTable::apply(const api::WorkerCommand& command, TimePoint now)
{
    if (const auto* c = std::get_if<api::InstallSa>(&command)) {
        const auto refusal = install(*c, now);
        raise(api::SaInstalled{c->protection, c->sequence, refusal});
    } else if (const auto* c = std::get_if<api::ActivateSa>(&command)) {
        auto* sa = find(c->protection, c->child, SaDirection::Outbound);
        if (sa != nullptr && sa->key != nullptr) send_on(*find(c->protection), *sa);
    } else if (const auto* c = std::get_if<api::DeleteSa>(&command)) {
        remove(*c);
        raise(api::SaDeleted{c->protection, c->sequence});
    } else if (const auto* c = std::get_if<api::MoveSas>(&command)) {
        move(c->protection, c->remote);
    } else {
        return false;
    }
    release_retired();
    plan(now);
    return true;
}

SaRefusal SaTable::install(const api::InstallSa& c, TimePoint now)
{
    if (c.protection == kNoProtection || index(c.protection) >= protections_.size() || c.spi < kFirstSpi ||
        static_cast<std::size_t>(c.algorithm) >= api::kEspAlgorithms || c.mode > api::EspMode::Transport)
        return SaRefusal::BadParameter;
    const bool outbound = c.direction == SaDirection::Outbound;
    const std::uint64_t last = c.esn ? ~std::uint64_t{0} : ~std::uint32_t{0};
    if (c.initial_sequence >= last) return SaRefusal::BadParameter;
    if (outbound && (c.mode == api::EspMode::Tunnel || c.udp) &&
        (c.local.address.is_unspecified() || c.remote.address.is_unspecified() ||
         c.local.address.family != c.remote.address.family))
        return SaRefusal::BadParameter;
    if (c.udp && outbound && (c.local.port == 0 || c.remote.port == 0)) return SaRefusal::BadParameter;
    if (find(c.protection, c.child, c.direction) != nullptr) return SaRefusal::BadParameter;

    auto& p = protections_[index(c.protection)];
    if (p && p->sas.size() >= kMaxSas) return SaRefusal::NoRoom;

    auto sa = std::make_unique<Sa>();
    sa->sequence = c.initial_sequence;
    sa->iv_mask = c.iv_mask;
    sa->spi = c.spi;
    sa->protection = c.protection;
    sa->suite = suite_of(c.algorithm);
    sa->traits = api::esp_traits(c.algorithm);
    sa->esn = c.esn;
    sa->follow_peer = c.follow_peer;
    sa->outbound = {c.mode,      c.udp,   static_cast<std::uint8_t>(api::kEspHeader + sa->traits.iv),
                    c.outer_vrf, c.local, c.remote};
    sa->child = c.child;
    sa->direction = c.direction;
    sa->waiting = outbound && c.activation == api::SaActivation::WhenProven;
    sa->last = last;
    sa->soft_at = c.soft_at;
    sa->hard_at = c.hard_at;
    sa->soft_octets = c.soft_octets;
    sa->hard_octets = c.hard_octets;
    sa->soft_packets = c.soft_packets;
    sa->hard_packets = c.hard_packets;
    sa->last_sent = now;
    if (outbound) {
        // So that no number is ever used twice: the packets that may be sent are no more than the numbers left. Control
        // hears of it while an eighth of them remains.
        const std::uint64_t left = last - c.initial_sequence;
        sa->hard_packets = std::min(sa->hard_packets, left);
        sa->soft_by_sequence = left - left / 8 < sa->soft_packets;
        if (sa->soft_by_sequence) sa->soft_packets = left - left / 8;
        sa->keepalive = c.udp ? std::chrono::seconds{c.keepalive} : Duration{};
    } else {
        sa->received.reset(c.replay_window, c.esn, c.initial_sequence);
        if (!inbound_.insert(sa.get())) return SaRefusal::SpiTaken;
    }
    set_marks(*sa);

    sa->key = keys_.acquire();
    if (sa->key == nullptr) {
        if (!outbound) inbound_.erase(sa.get());
        return SaRefusal::NoRoom;
    }
    expand(c, *sa);

    if (!p) p = std::make_unique<Protection>();
    if (p->sas.empty()) owned_.push_back(c.protection);
    p->sas.push_back(std::move(sa));
    keepalives_.reserve(owned_.size());
    retired_.reserve(keys_.in_use());
    if (outbound) {
        Sa& newest = *p->sas.back();
        const bool idle = p->sending == nullptr || p->sending->key == nullptr;
        if (!newest.waiting || idle) send_on(*p, newest);
    }
    return SaRefusal::None;
}

void SaTable::expand(const api::InstallSa& c, Sa& sa)
{
    const auto t = sa.traits;
    const std::span all{c.key};
    const auto cipher_key = all.first(t.cipher_key);
    switch (suite_of(c.algorithm)) {
        case CipherSuite::Aes128Gcm:
        case CipherSuite::Aes256Gcm: aead_.expand_aes_gcm(cipher_key, sa.key->gcm); break;
        case CipherSuite::ChaCha20Poly1305:
            std::copy(cipher_key.begin(), cipher_key.end(), sa.key->chacha.begin());
            break;
        case CipherSuite::CbcHmac:
            aead_.expand_cbc_hmac(cipher_key, hash_of(t), all.subspan(t.cipher_key, t.mac_key), sa.key->cbc);
            break;
    }
    if (t.salt != 0) std::memcpy(&sa.salt, all.data() + t.cipher_key, sizeof sa.salt);
}

void SaTable::remove(const api::DeleteSa& c)
{
    Sa* const sa = find(c.protection, c.child, c.direction);
    if (sa == nullptr) return;
    Protection& p = *find(c.protection);
    if (sa->key != nullptr) retired_.push_back(std::exchange(sa->key, nullptr));
    if (sa->direction == SaDirection::Inbound) inbound_.erase(sa);
    if (p.sending == sa) {
        p.sending = nullptr;
        put(activity_[index(c.protection)].sending_spi, std::uint32_t{0});
        send_on_next(p);
    }
    const auto at = std::find_if(p.sas.begin(), p.sas.end(), [sa](const auto& other) { return other.get() == sa; });
    removed_.push_back(std::move(*at));
    p.sas.erase(at);
    if (p.sas.empty()) std::erase(owned_, c.protection);
}

void SaTable::move(ProtectionId id, const Endpoint& remote)
{
    if (auto* p = find(id))
        for (const auto& sa : p->sas)
            if (sa->outbound.udp) sa->outbound.remote = remote;
}

void SaTable::send_on(Protection& p, Sa& sa)
{
    p.sending = &sa;
    sa.waiting = false;
    auto& activity = activity_[index(sa.protection)];
    put(activity.sending_spi, sa.spi);
    put(activity.sending_sequence, sa.sequence);
}

void SaTable::send_on_next(Protection& p)
{
    for (auto at = p.sas.rbegin(); at != p.sas.rend(); ++at)
        if ((*at)->waiting && (*at)->key != nullptr) return send_on(p, **at);
}

void SaTable::prove(Sa& sa)
{
    sa.proven = true;
    raise(api::SaProven{sa.protection, sa.child});
    Sa* const pair = find(sa.protection, sa.child, SaDirection::Outbound);
    if (pair != nullptr && pair->waiting && pair->key != nullptr) send_on(*find(sa.protection), *pair);
}

// ---- lifetimes -----------------------------------------------------------------------------------------------------

void SaTable::set_marks(Sa& sa) noexcept
{
    sa.packets_mark = sa.told_soft ? sa.hard_packets : std::min(sa.soft_packets, sa.hard_packets);
    sa.octets_mark = sa.told_soft ? sa.hard_octets : std::min(sa.soft_octets, sa.hard_octets);
}

// May it take another packet of so many octets? Tells control of what comes to its end.
bool SaTable::within_limits(Sa& sa, std::uint32_t octets)
{
    const bool outbound = sa.direction == SaDirection::Outbound;
    if (sa.packets >= sa.hard_packets) {
        end(sa, outbound && sa.sequence == sa.last ? SaLimit::Sequence : SaLimit::Packets);
        return false;
    }
    if (octets > sa.hard_octets - std::min(sa.octets, sa.hard_octets)) {
        end(sa, SaLimit::Octets);
        return false;
    }
    if (sa.packets >= sa.soft_packets) {
        soften(sa, sa.soft_by_sequence ? SaLimit::Sequence : SaLimit::Packets);
    } else if (octets > sa.soft_octets - std::min(sa.octets, sa.soft_octets)) {
        soften(sa, SaLimit::Octets);
    }
    return true;
}

void SaTable::soften(Sa& sa, SaLimit limit)
{
    if (sa.told_soft) return;
    sa.told_soft = true;
    set_marks(sa);
    raise(api::SaSoftExpired{sa.protection, sa.child, sa.direction, limit});
}

// Its key is gone, but it stays until it is deleted: to say why packets are dropped.
void SaTable::end(Sa& sa, SaLimit limit)
{
    if (sa.key == nullptr) return;
    retired_.push_back(std::exchange(sa.key, nullptr));
    sa.ended_by = limit;
    raise(api::SaHardExpired{sa.protection, sa.child, sa.direction, limit});
    Protection& p = *find(sa.protection);
    if (p.sending != &sa) return;
    put(activity_[index(sa.protection)].sending_spi, std::uint32_t{0});
    send_on_next(p);
}

void SaTable::release_retired()
{
    if (kept_ != 0) return;
    for (SaKey* const key : retired_) keys_.release(key);
    retired_.clear();
    removed_.clear();
}

void SaTable::raise(const api::WorkerEvent& event)
{
    if (event_count_ < events_.size())
        events_[event_count_++] = event;
    else
        ++lost_events_;
}

void SaTable::expire(TimePoint now) noexcept
{
    if (now < next_deadline_) return;
    for (const auto id : owned_) {
        Protection& p = *find(id);
        for (const auto& sa : p.sas) {
            if (sa->key == nullptr) continue;
            if (now >= sa->hard_at)
                end(*sa, SaLimit::Time);
            else if (now >= sa->soft_at)
                soften(*sa, SaLimit::Time);
        }
        release_retired();
        Sa* const sa = p.sending;
        if (sa == nullptr || sa->key == nullptr || sa->keepalive == Duration{}) continue;
        if (now - sa->last_sent < sa->keepalive || keepalives_.size() == keepalives_.capacity()) continue;
        sa->last_sent = now;
        keepalives_.push_back({id, sa->outbound.outer_vrf, sa->outbound.local, sa->outbound.remote});
    }
    plan(now);
}

void SaTable::plan(TimePoint now)
{
    next_deadline_ = kNever;
    for (const auto id : owned_) {
        const Protection& p = *find(id);
        for (const auto& sa : p.sas) {
            if (sa->key == nullptr) continue;
            next_deadline_ = std::min({next_deadline_, sa->hard_at, sa->told_soft ? kNever : sa->soft_at});
            if (p.sending == sa.get() && sa->keepalive != Duration{})
                next_deadline_ = std::min(next_deadline_, sa->last_sent + sa->keepalive);
        }
    }
    if (next_deadline_ != kNever) next_deadline_ = std::max(next_deadline_, now + kTick);
}

// ---- sealing -------------------------------------------------------------------------------------------------------

const Outbound* SaTable::sending(ProtectionId id) const noexcept
{
    const auto* p = find(id);
    return p != nullptr && p->sending != nullptr && p->sending->key != nullptr ? &p->sending->outbound : nullptr;
}

Verdict SaTable::refuse(ProtectionId id, TimePoint now) noexcept
{
    if (id != kNoProtection && index(id) < activity_.size()) {
        add(activity_[index(id)].dropped_no_sa, std::uint64_t{1});
        auto& asked = asked_[index(id) % asked_.size()];
        if (asked == TimePoint{} || now - asked >= kAskInterval) {
            asked = now;
            raise(api::SaWanted{id});
        }
    }
    const auto* p = find(id);
    if (p == nullptr || p->sending == nullptr) return Verdict::DropEspNoSa;
    return p->sending->ended_by == SaLimit::Sequence ? Verdict::DropEspExhausted : Verdict::DropEspExpired;
}

void SaTable::seal(std::span<SealJob> jobs, TimePoint now) noexcept
{
    for (; !jobs.empty(); jobs = jobs.subspan(std::min(Work::kMax, jobs.size()))) {
        begin_seal(jobs.first(std::min(Work::kMax, jobs.size())), now, work_);
        work_.ciphers.seal(aead_);
        release_retired();
    }
}

// Header, padding, trailer. Returns the length of the text with the latter two.
std::uint32_t SaTable::surround(const Sa& sa, SealJob& job, std::uint32_t number, std::uint32_t iv, std::uint32_t block,
                                std::uint32_t icv) noexcept
{
    std::uint8_t* const header = job.data - api::kEspHeader - iv;
    std::uint8_t* const end = job.data + job.length;
    const std::uint32_t padding = (0U - job.length - static_cast<std::uint32_t>(api::kEspTrailer)) & (block - 1U);
    const std::uint32_t text = job.length + padding + static_cast<std::uint32_t>(api::kEspTrailer);

    store_be64(header, std::uint64_t{sa.spi} << 32 | number);
    std::memcpy(end, kPadding.data(), block == 4 ? 4 : kPadding.size());  // one store; the trailer goes over the rest
    const auto trailer = static_cast<std::uint16_t>(padding | job.next_header << 8);
    std::memcpy(end + padding, &trailer, sizeof trailer);
    job.sealed_length = static_cast<std::uint32_t>(api::kEspHeader) + iv + text + icv;
    return text;
}

// What AEADs have in common is known here (RFC 4106, 7634): their packets are the ones that are to be fast.
inline void SaTable::encrypt(const Sa& sa, SealJob& job, Work& work, std::size_t at, std::uint64_t number) noexcept
{
    if (sa.suite == CipherSuite::CbcHmac) return encrypt_cbc(sa, job, work, number);
    const auto text = surround(sa, job, static_cast<std::uint32_t>(number), kAead.iv, kAead.block, kAead.icv);
    std::uint8_t* const header = job.data - api::kEspHeader - kAead.iv;
    auto& cipher = work.ciphers.add(sa.suite);
    const std::uint64_t iv = number ^ sa.iv_mask;
    store_be64(header + api::kEspHeader, iv);
    std::memcpy(cipher.nonce.data(), &sa.salt, sizeof sa.salt);
    store_be64(cipher.nonce.data() + sizeof sa.salt, iv);
    cipher.key = sa.key;
    cipher.length = text;
    cipher.source = job.data;
    cipher.destination = job.data;
    cipher.tag = job.data + text;
    associate(sa, header, number, work.scratch[at], cipher);
}

void SaTable::encrypt_cbc(const Sa& sa, SealJob& job, Work& work, std::uint64_t number) noexcept
{
    const auto t = sa.traits;
    const auto text = surround(sa, job, static_cast<std::uint32_t>(number), t.iv, t.block, t.icv);
    std::uint8_t* const header = job.data - api::kEspHeader - t.iv;
    std::uint8_t* const icv = job.data + text;
    // The IV must not be foretold: it is the first block of the ciphertext of a counter (NIST SP 800-38A, C).
    std::uint8_t* const iv = header + api::kEspHeader;
    store_be64(iv, number ^ sa.iv_mask);
    std::memset(iv + 8, 0, 8);
    auto& cipher = work.ciphers.add_cbc();
    cipher.key = &sa.key->cbc;
    cipher.data = header;
    cipher.cipher_offset = api::kEspHeader;
    cipher.cipher_length = t.iv + text;
    cipher.hash_length = static_cast<std::uint32_t>(api::kEspHeader) + t.iv + text;
    cipher.iv = kZeroIv.data();
    cipher.tag = icv;
    if (sa.esn) {  // RFC 4303 2.2.1: authenticated behind the packet, never sent; the ICV is written over it
        store_be32(icv, static_cast<std::uint32_t>(number >> 32));
        cipher.hash_length += 4;
    }
}

// What an AEAD authenticates beside the text: the header, with ESN's upper half in it (RFC 4106 5).
inline void SaTable::associate(const Sa& sa, const std::uint8_t* header, std::uint64_t number, Work::Scratch& scratch,
                               crypto::AeadJob& cipher) noexcept
{
    cipher.aad = header;
    cipher.aad_length = api::kEspHeader;
    if (!sa.esn) return;
    store_be32(scratch.aad.data(), sa.spi);
    store_be64(scratch.aad.data() + 4, number);
    cipher.aad = scratch.aad.data();
    cipher.aad_length = 12;
}

// 1. pick each packet's SA and number, write what surrounds the text
// 2. the order to encrypt
void SaTable::begin_seal(std::span<SealJob> jobs, TimePoint now, Work& work) noexcept
{
    work.ciphers.clear();
    for (std::size_t first = 0; first < jobs.size();) {
        const auto id = jobs[first].protection;
        std::size_t end = first + 1;
        while (end < jobs.size() && jobs[end].protection == id) ++end;
        const Protection* const p = find(id);
        Sa* sa = p != nullptr ? p->sending : nullptr;
        const Outbound* const prepared = sending(id);  // what the caller has gone by
        std::uint64_t packets = 0, octets = 0;
        for (std::size_t i = first; i < end; ++i) {
            SealJob& job = jobs[i];
            while (sa != nullptr && sa->key != nullptr &&
                   (sa->packets >= sa->packets_mark ||
                    job.length > sa->octets_mark - std::min(sa->octets, sa->octets_mark))) [[unlikely]] {
                if (within_limits(*sa, job.length)) break;
                sa = p->sending;
            }
            if (sa == nullptr || sa->key == nullptr ||
                (&sa->outbound != prepared && !same_shape(*prepared, sa->outbound))) [[unlikely]] {
                job.verdict = refuse(id, now);
                continue;
            }
            ++sa->packets;
            sa->octets += job.length;
            ++packets;
            octets += job.length;
            encrypt(*sa, job, work, i, ++sa->sequence);
            job.verdict = Verdict::Forward;
        }
        if (packets != 0) {
            sa->last_sent = now;
            auto& activity = activity_[index(id)];
            add(activity.sent_packets, packets);
            add(activity.sent_octets, octets);
            put(activity.last_sent, count_of(now));
            put(activity.sending_sequence, sa->sequence);
        }
        first = end;
    }
}

// ---- opening -------------------------------------------------------------------------------------------------------

void SaTable::open(std::span<OpenJob> jobs, TimePoint now) noexcept
{
    for (; !jobs.empty(); jobs = jobs.subspan(std::min(Work::kMax, jobs.size()))) {
        begin_open(jobs.first(std::min(Work::kMax, jobs.size())), work_);
        work_.ciphers.open(aead_);
        end_open(now, work_);
        release_retired();
    }
}

// The order to the cipher. Returns where its answer will be.
inline const bool* SaTable::decrypt(const OpenJob& job, const Sa& sa, Work& work, std::size_t at,
                                    std::uint64_t number) noexcept
{
    if (sa.suite == CipherSuite::CbcHmac) return decrypt_cbc(job, sa, work, at, number);
    constexpr std::uint32_t kFront = api::kEspHeader + kAead.iv;
    std::uint8_t* const text = job.data + kFront;
    auto& cipher = work.ciphers.add(sa.suite);
    std::memcpy(cipher.nonce.data(), &sa.salt, sizeof sa.salt);
    std::memcpy(cipher.nonce.data() + sizeof sa.salt, job.data + api::kEspHeader, kAead.iv);
    cipher.key = sa.key;
    cipher.length = job.length - kFront - kAead.icv;
    cipher.source = text;
    cipher.destination = text;
    cipher.tag = text + cipher.length;
    associate(sa, job.data, number, work.scratch[at], cipher);
    return &cipher.ok;
}

const bool* SaTable::decrypt_cbc(const OpenJob& job, const Sa& sa, Work& work, std::size_t at,
                                 std::uint64_t number) noexcept
{
    auto& scratch = work.scratch[at];
    const auto t = sa.traits;
    std::uint8_t* const iv = job.data + api::kEspHeader;
    std::uint8_t* const text = iv + t.iv;
    const auto length = static_cast<std::uint32_t>(job.length - api::kEspHeader - t.iv - t.icv);
    std::uint8_t* const icv = text + length;
    std::memcpy(scratch.icv.data(), icv, t.icv);
    auto& cipher = work.ciphers.add_cbc();
    cipher.key = &sa.key->cbc;
    cipher.data = job.data;
    cipher.cipher_offset = static_cast<std::uint32_t>(api::kEspHeader) + t.iv;
    cipher.cipher_length = length;
    cipher.hash_length = cipher.cipher_offset + length;
    cipher.iv = iv;
    cipher.tag = scratch.icv.data();
    if (sa.esn) {
        store_be32(icv, static_cast<std::uint32_t>(number >> 32));
        cipher.hash_length += 4;
    }
    return &cipher.ok;
}

// What the authenticated packet carries, RFC 4303 3.4.4.
Verdict SaTable::unwrap(const Sa& sa, OpenJob& job) noexcept
{
    const auto t = sa.traits;
    std::uint8_t* const text = job.data + api::kEspHeader + t.iv;
    const auto length = static_cast<std::uint32_t>(job.length - api::kEspHeader - t.iv - t.icv);
    const std::uint32_t padding = text[length - 2];
    if (padding + api::kEspTrailer > length) return Verdict::DropEspPadding;
    job.inner = text;
    job.inner_length = length - static_cast<std::uint32_t>(api::kEspTrailer) - padding;
    job.next_header = text[length - 1];
    job.mode = sa.outbound.mode;
    if (!padding_intact(text + job.inner_length, padding)) return Verdict::DropEspPadding;
    if (job.next_header == kNoNext) return Verdict::EspDummy;
    if (job.mode == api::EspMode::Transport) return Verdict::Forward;
    return trim(text, job.inner_length, job.next_header, job.inner_length);
}

// A late packet must not move the peer back to where it was: neither its number nor its SA may be an older one.
void SaTable::follow(Sa& sa, const Endpoint& from)
{
    const auto& sas = find(sa.protection)->sas;
    for (auto at = sas.rbegin(); at != sas.rend() && at->get() != &sa; ++at)
        if ((*at)->direction == SaDirection::Inbound && (*at)->proven) return;
    move(sa.protection, from);
    raise(api::SaPeerMoved{sa.protection, from});
}

// 1. find each packet's SA and whole number
// 2. the order to decrypt
void SaTable::begin_open(std::span<OpenJob> jobs, Work& work) noexcept
{
    std::size_t count = 0;
    for (const OpenJob& job : jobs)
        if (job.length >= api::kEspHeader) inbound_.prefetch(load_be32(job.data));

    work.ciphers.clear();
    Sa* sa = nullptr;  // packets of one come in runs
    for (OpenJob& job : jobs) {
        job.protection = kNoProtection;
        job.inner = nullptr;
        job.inner_length = 0;
        if (job.length < api::kEspHeader) {
            job.verdict = Verdict::DropEspMalformed;
            continue;
        }
        const auto spi = load_be32(job.data);
        if (sa == nullptr || sa->spi != spi || !sa->takes(job.vrf, job.to)) sa = inbound_.find(spi, job.vrf, job.to);
        if (sa == nullptr) {
            job.verdict = Verdict::DropEspSpi;
            continue;
        }
        if (sa->key == nullptr) {
            job.verdict = Verdict::DropEspExpired;
            continue;
        }
        const auto t = sa->traits;
        const std::uint32_t around = static_cast<std::uint32_t>(api::kEspHeader) + t.iv + t.icv;
        if (job.length < around + t.block || (job.length - around) % t.block != 0) {
            job.verdict = Verdict::DropEspMalformed;
            continue;
        }
        const auto number = sa->received.infer(load_be32(job.data + 4));
        if (!number || !sa->received.fresh(*number)) {
            add(activity_[index(sa->protection)].dropped_replay, std::uint64_t{1});
            job.verdict = Verdict::DropEspReplay;
            continue;
        }
        work.opened[count] = {&job, sa, *number, decrypt(job, *sa, work, count, *number)};
        ++count;
    }

    work.opened_count = count;
}

// Those with the right ICV move the window.
void SaTable::end_open(TimePoint now, Work& work) noexcept
{
    // Activity is written once for each run of packets of the same SA.
    Sa* of = nullptr;
    std::uint64_t packets = 0, octets = 0;
    const auto note = [&] {
        if (packets == 0) return;
        auto& activity = activity_[index(of->protection)];
        add(activity.received_packets, packets);
        add(activity.received_octets, octets);
        put(activity.last_received, count_of(now));
        put(activity.receiving_spi, of->spi);
        put(activity.receiving_sequence, of->received.highest());
        packets = octets = 0;
    };
    for (const auto& opened : std::span{work.opened}.first(work.opened_count)) {
        OpenJob& job = *opened.job;
        Sa& sa = *opened.sa;
        if (&sa != of) {
            note();
            of = &sa;
        }
        if (!*opened.ok) {
            add(activity_[index(sa.protection)].dropped_authentication, std::uint64_t{1});
            job.verdict = Verdict::DropEspAuth;
            continue;
        }
        const bool newest = opened.number > sa.received.highest();
        if (!sa.received.accept(opened.number)) {  // its twin is in the same burst, or the window has moved on
            add(activity_[index(sa.protection)].dropped_replay, std::uint64_t{1});
            job.verdict = Verdict::DropEspReplay;
            continue;
        }
        job.protection = sa.protection;
        job.verdict = unwrap(sa, job);
        const std::uint32_t length = job.verdict == Verdict::Forward ? job.inner_length : 0;
        if (sa.key == nullptr || sa.packets >= sa.packets_mark ||
            length > sa.octets_mark - std::min(sa.octets, sa.octets_mark)) [[unlikely]] {
            if (sa.key == nullptr || !within_limits(sa, length)) {
                job.verdict = Verdict::DropEspExpired;
                continue;
            }
        }
        ++sa.packets;
        sa.octets += length;
        ++packets;
        octets += length;
        if (!sa.proven) [[unlikely]]
            prove(sa);
        if (sa.follow_peer && job.udp && newest && job.from != sa.outbound.remote) [[unlikely]]
            follow(sa, job.from);
    }
    note();
}

}  // namespace culvert::esp
