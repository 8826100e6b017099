#include "dataplane/wg/peer_table.h"

#include "base/bytes.h"

#include <algorithm>
#include <cstring>
#include <variant>

namespace culvert::wg {
namespace {

using api::Verdict;

constexpr std::uint8_t kTypeData = 4;
constexpr Duration kAskInterval = 1s;  // between two HandshakeWanted of one peer

// WireGuard counts in little endian.
void store_le32(std::uint8_t* at, std::uint32_t v) noexcept
{
    if constexpr (std::endian::native == std::endian::big) v = byteswap(v);
    std::memcpy(at, &v, sizeof v);
}
void store_le64(std::uint8_t* at, std::uint64_t v) noexcept
{
    if constexpr (std::endian::native == std::endian::big) v = byteswap(v);
    std::memcpy(at, &v, sizeof v);
}
std::uint32_t load_le32(const std::uint8_t* at) noexcept
{
    std::uint32_t v;
    std::memcpy(&v, at, sizeof v);
    return std::endian::native == std::endian::big ? byteswap(v) : v;
}
std::uint64_t load_le64(const std::uint8_t* at) noexcept
{
    std::uint64_t v;
    std::memcpy(&v, at, sizeof v);
    return std::endian::native == std::endian::big ? byteswap(v) : v;
}

// The eight octets of counter in the header are the last eight of the nonce.
void set_nonce(crypto::AeadNonce& nonce, const std::uint8_t* header) noexcept
{
    std::memset(nonce.data(), 0, 4);
    std::memcpy(nonce.data() + 4, header + 8, 8);
}

// Octets of inner packet with padding: up to the next 16, but never past the MTU.
std::uint32_t padded(std::uint32_t length, std::uint16_t mtu) noexcept
{
    const std::uint32_t up = (length + 15) & ~std::uint32_t{15};
    return mtu == 0 || length > mtu ? up : std::min<std::uint32_t>(up, mtu);
}

// The length of the IP packet at the start of `text`, whose padding is unknown to anyone else.
Verdict trim(const std::uint8_t* text, std::uint32_t length, std::uint32_t& inner) noexcept
{
    const unsigned version = text[0] >> 4;
    if (version == 4) {
        if (length < 20) return Verdict::DropTruncated;
        inner = static_cast<std::uint32_t>(text[2] << 8 | text[3]);
        return inner >= 20 && inner <= length ? Verdict::Forward : Verdict::DropTruncated;
    }
    if (version == 6) {
        if (length < 40) return Verdict::DropTruncated;
        inner = 40U + static_cast<std::uint32_t>(text[4] << 8 | text[5]);
        return inner <= length ? Verdict::Forward : Verdict::DropTruncated;
    }
    return Verdict::DropIpVersion;
}

std::int64_t count_of(TimePoint t) noexcept { return t.time_since_epoch().count(); }

// PeerActivity has one writer: plain loads and stores, no locked instruction.
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
void put_if_zero(std::atomic<std::int64_t>& field, std::int64_t value) noexcept
{
    if (field.load(std::memory_order_relaxed) == 0) put(field, value);
}

// What a run of packets to one peer was.
struct Sent {
    std::uint64_t packets = 0;
    std::uint64_t octets = 0;
    bool data = false;
    std::uint64_t counter = 0;  // of the packet after them
};

void note_sent(api::PeerActivity& activity, const Sent& sent, std::int64_t now) noexcept
{
    put(activity.last_any_sent, now);
    put(activity.first_data_received_unanswered, std::int64_t{0});
    if (sent.data) {
        put(activity.last_data_sent, now);
        put_if_zero(activity.first_data_sent_unanswered, now);
    }
    put(activity.sending_counter, sent.counter);
    add(activity.sent_packets, sent.packets);
    add(activity.sent_octets, sent.octets);
}

void note_received(api::PeerActivity& activity, bool data, std::uint32_t octets, std::int64_t now) noexcept
{
    put(activity.last_any_received, now);
    put(activity.first_data_sent_unanswered, std::int64_t{0});
    if (data) {
        put(activity.last_data_received, now);
        put_if_zero(activity.first_data_received_unanswered, now);
    }
    add(activity.received_packets, std::uint64_t{1});
    add(activity.received_octets, std::uint64_t{octets});
}

}  // namespace

bool is_data(Bytes payload) noexcept { return payload.size() >= 4 && load_le32(payload.data()) == kTypeData; }

bool is_handshake(Bytes payload) noexcept
{
    if (payload.size() < 4) return false;
    const std::uint32_t type = load_le32(payload.data());
    return type >= 1 && type <= 3;
}

PeerTable::PeerTable(crypto::AeadContext& aead, std::span<api::PeerActivity> activity)
    : aead_(aead), activity_(activity), peers_(activity.size()), by_index_(4 * activity.size() + 1), events_(kEvents)
{
    retired_.reserve(4 * Work::kMax);
    ready_.reserve(4 * Work::kMax);
}

PeerTable::~PeerTable() = default;

PeerTable::Peer* PeerTable::find(PeerId peer) noexcept
{
    return peer != kNoPeer && index(peer) < peers_.size() ? &peers_[index(peer)] : nullptr;
}
const PeerTable::Peer* PeerTable::find(PeerId peer) const noexcept
{
    return peer != kNoPeer && index(peer) < peers_.size() ? &peers_[index(peer)] : nullptr;
}

bool PeerTable::apply(const api::WorkerCommand& command, TimePoint now)
{
    if (const auto* keys = std::get_if<api::InstallKeys>(&command)) {
        if (find(keys->peer) == nullptr) return false;
        install(*keys);
        return true;
    }
    if (const auto* forgotten = std::get_if<api::ForgetKeys>(&command)) {
        Peer* const peer = find(forgotten->peer);
        if (peer == nullptr) return false;
        forget(*peer);
        put(activity_[index(forgotten->peer)].first_data_sent_unanswered, std::int64_t{0});
        put(activity_[index(forgotten->peer)].first_data_received_unanswered, std::int64_t{0});
        return true;
    }
    if (const auto* keepalive = std::get_if<api::SendKeepalive>(&command)) {
        Peer* const peer = find(keepalive->peer);
        if (peer == nullptr) return false;
        if (can_send(keepalive->peer, now))
            ready_.push_back({keepalive->peer, true});
        else
            want_handshake(keepalive->peer, *peer, now);
        return true;
    }
    if (const auto* moved = std::get_if<api::MovePeer>(&command)) {
        Peer* const peer = find(moved->peer);
        if (peer == nullptr) return false;
        peer->endpoint = moved->endpoint;
        return true;
    }
    return false;
}

// As the initiator we know from the response that the peer has the keys: they become current, and what was current (and
// the keys of a handshake of the peer's that crossed ours) stays for what is still on its way. As the responder we must
// not send under them before the peer has.
void PeerTable::install(const api::InstallKeys& keys)
{
    Peer& peer = *find(keys.peer);
    Session* const session = pool_.acquire();
    if (session == nullptr || !by_index_.insert(keys.local_index, session)) {
        if (session != nullptr) pool_.release(session);
        return;  // no ack: the handshake is tried again
    }
    session->sending = keys.sending;
    session->receiving = keys.receiving;
    session->created = keys.created;
    session->peer = keys.peer;
    session->local_index = keys.local_index;
    session->remote_index = keys.remote_index;

    if (keys.initiator) {
        outdate(peer, peer.current);
        outdate(peer, peer.next);
        peer.current = session;
        peer.has_asked = false;
        put(activity_[index(keys.peer)].sending_counter, std::uint64_t{0});
        ready_.push_back({keys.peer, true});
    } else {
        retire(peer.next);
        peer.next = session;
    }
    release_retired();
    raise(api::KeysInstalled{keys.peer, keys.sequence});
}

void PeerTable::promote(PeerId id, Peer& peer)
{
    outdate(peer, peer.current);
    peer.current = std::exchange(peer.next, nullptr);
    peer.has_asked = false;
    put(activity_[index(id)].sending_counter, std::uint64_t{0});
    raise(api::KeysProven{id, peer.current->local_index});
    ready_.push_back({id, false});
}

void PeerTable::forget(Peer& peer)
{
    retire(peer.previous[0]);
    retire(peer.previous[1]);
    retire(peer.current);
    retire(peer.next);
    release_retired();
    peer.has_asked = false;
}

void PeerTable::outdate(Peer& peer, Session*& session)
{
    if (session == nullptr) return;
    retire(peer.previous[1]);
    peer.previous[1] = peer.previous[0];
    peer.previous[0] = std::exchange(session, nullptr);
}

void PeerTable::retire(Session*& session)
{
    if (session == nullptr) return;
    by_index_.erase(session->local_index);
    retired_.push_back(std::exchange(session, nullptr));
}

void PeerTable::release_retired()
{
    if (kept_ != 0) return;
    for (Session* const session : retired_) pool_.release(session);
    retired_.clear();
}

void PeerTable::want_handshake(PeerId id, Peer& peer, TimePoint now)
{
    if (peer.has_asked && now - peer.asked < kAskInterval) return;
    peer.has_asked = true;
    peer.asked = now;
    raise(api::HandshakeWanted{id});
}

void PeerTable::raise(const api::WorkerEvent& event)
{
    if (event_count_ < events_.size())
        events_[event_count_++] = event;
    else
        ++lost_events_;
}

bool PeerTable::can_send(PeerId id, TimePoint now) const noexcept
{
    const Peer* const peer = find(id);
    return peer != nullptr && peer->current != nullptr && now - peer->current->created < kRejectAfterTime &&
           peer->current->send_counter < kRejectAfterMessages;
}

Endpoint PeerTable::endpoint(PeerId id) const noexcept
{
    const Peer* const peer = find(id);
    return peer != nullptr ? peer->endpoint : Endpoint{};
}

void PeerTable::seal(std::span<SealJob> jobs, TimePoint now) noexcept
{
    for (; !jobs.empty(); jobs = jobs.subspan(std::min(Work::kMax, jobs.size()))) {
        begin_seal(jobs.first(std::min(Work::kMax, jobs.size())), now, work_);
        work_.ciphers.seal(aead_);
    }
}

// 1. pick each packet's key and counter, write header and padding
// 2. the order to encrypt
// 3. note what is sent
void PeerTable::begin_seal(std::span<SealJob> jobs, TimePoint now, Work& work) noexcept
{
    std::array<SealJob*, Work::kMax> sealed;
    std::array<std::uint64_t, Work::kMax> counters;
    std::size_t count = 0;

    work.ciphers.clear();
    PeerId id{kNoPeer};
    Peer* peer = nullptr;
    bool usable = false;
    for (SealJob& job : jobs) {
        if (job.peer != id) {
            id = job.peer;
            peer = find(id);
            usable = can_send(id, now);
        }
        if (peer == nullptr) {
            job.verdict = Verdict::DropWireguardNoPeer;
            continue;
        }
        if (peer->endpoint.port == 0) {
            job.verdict = Verdict::DropWireguardNoEndpoint;
            continue;
        }
        if (!usable || peer->current->send_counter >= kRejectAfterMessages) {
            want_handshake(id, *peer, now);
            job.verdict = Verdict::HoldHandshake;
            continue;
        }
        Session& session = *peer->current;
        const std::uint32_t length = padded(job.length, job.mtu);
        std::memset(job.data + job.length, 0, kMaxPadding + 1);  // one store; the tag goes over what is too much

        std::uint8_t* const header = job.data - kDataHeader;
        store_le32(header, kTypeData);
        store_le32(header + 4, session.remote_index);
        counters[count] = session.send_counter;
        store_le64(header + 8, session.send_counter++);

        crypto::AeadJob& cipher = work.ciphers.add(crypto::CipherSuite::ChaCha20Poly1305);
        cipher.key = session.sending.data();
        set_nonce(cipher.nonce, header);
        cipher.length = length;
        cipher.source = job.data;
        cipher.destination = job.data;
        cipher.tag = job.data + length;
        cipher.aad_length = 0;
        job.sealed_length = static_cast<std::uint32_t>(length + kDataOverhead);
        job.to = peer->endpoint;
        job.verdict = Verdict::Forward;
        sealed[count++] = &job;
    }

    for (std::size_t i = 0; i < count;) {
        Sent sent;
        for (id = sealed[i]->peer; i < count && sealed[i]->peer == id; ++i) {
            ++sent.packets;
            sent.octets += sealed[i]->sealed_length;
            sent.data |= sealed[i]->length != 0;
            sent.counter = counters[i] + 1;
        }
        note_sent(activity_[index(id)], sent, count_of(now));
    }
}

void PeerTable::open(std::span<OpenJob> jobs, TimePoint now) noexcept
{
    for (; !jobs.empty(); jobs = jobs.subspan(std::min(Work::kMax, jobs.size()))) {
        begin_open(jobs.first(std::min(Work::kMax, jobs.size())), now, work_);
        work_.ciphers.open(aead_);
        end_open(now, work_);
        release_retired();
    }
}

// 1. find each packet's session; refuse what is malformed, expired or surely a replay without touching the cipher
// 2. the order to decrypt the others
void PeerTable::begin_open(std::span<OpenJob> jobs, TimePoint now, Work& work) noexcept
{
    std::size_t count = 0;
    work.ciphers.clear();

    for (const OpenJob& job : jobs)
        if (job.length >= kDataOverhead) by_index_.prefetch(load_le32(job.data + 4));

    for (OpenJob& job : jobs) {
        job.peer = kNoPeer;
        job.inner = nullptr;
        job.inner_length = 0;
        if (job.length < kDataOverhead || !is_data({job.data, job.length})) {
            job.verdict = Verdict::DropWireguardMalformed;
            continue;
        }
        Session* const session = by_index_.find(load_le32(job.data + 4));
        if (session == nullptr) {
            job.verdict = Verdict::DropWireguardIndex;
            continue;
        }
        const std::uint64_t counter = load_le64(job.data + 8);
        if (now - session->created >= kRejectAfterTime || counter >= kRejectAfterMessages) {
            job.verdict = Verdict::DropWireguardKeyExpired;
            continue;
        }
        if (!session->received.fresh(counter)) {
            job.verdict = Verdict::DropWireguardReplay;
            continue;
        }
        crypto::AeadJob& cipher = work.ciphers.add(crypto::CipherSuite::ChaCha20Poly1305);
        cipher.key = session->receiving.data();
        set_nonce(cipher.nonce, job.data);
        cipher.length = static_cast<std::uint32_t>(job.length - kDataOverhead);
        cipher.source = job.data + kDataHeader;
        cipher.destination = job.data + kDataHeader;
        cipher.tag = job.data + kDataHeader + cipher.length;
        cipher.aad_length = 0;
        work.opened[count++] = {&job, session, counter, &cipher};
    }
    work.opened_count = count;
}

// In order of arrival: move the replay window, promote keys, follow the peer, note what came.
void PeerTable::end_open(TimePoint now, Work& work) noexcept
{
    for (const auto& opened : std::span{work.opened}.first(work.opened_count)) {
        OpenJob& job = *opened.job;
        Session& session = *opened.session;
        // Its keys were forgotten while another thread worked with them.
        if (!retired_.empty() && by_index_.find(session.local_index) != &session) [[unlikely]] {
            job.verdict = Verdict::DropWireguardIndex;
            continue;
        }
        if (!opened.cipher->ok) {
            job.verdict = Verdict::DropWireguardAuth;
            continue;
        }
        const bool newest = opened.counter >= session.received.next();
        if (!session.received.accept(opened.counter)) {  // its twin is in the same burst
            job.verdict = Verdict::DropWireguardReplay;
            continue;
        }
        job.peer = session.peer;
        Peer& peer = peers_[index(session.peer)];
        if (&session == peer.next) promote(session.peer, peer);
        // A late packet must not move the peer back to where it was.
        if (newest && &session == peer.current && job.from != peer.endpoint) {
            peer.endpoint = job.from;
            raise(api::EndpointMoved{session.peer, job.from});
        }
        const std::uint32_t length = opened.cipher->length;
        note_received(activity_[index(session.peer)], length != 0, job.length, count_of(now));
        if (length == 0) {
            job.verdict = Verdict::KeepaliveReceived;
            continue;
        }
        job.inner = job.data + kDataHeader;
        job.verdict = trim(job.inner, length, job.inner_length);
    }
}

}  // namespace culvert::wg
