#pragma once

#include "base/ids.h"
#include "base/ip.h"
#include "base/time.h"
#include "dataplane/node/packet_list.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace culvert::node {

// The fragments of datagrams for this box that are not whole yet: of one worker, which owns the datagram by the hash of
// what its fragments share. RFC 791 3.2, RFC 8200 4.5.
//
// Strangers fill it, so all of it is bounded: datagrams, fragments, datagrams of one sender, fragments of one datagram,
// time. When it is full, of datagrams or of buffers, the oldest datagram goes: the fragments of an honest one follow
// each other closely. Fragments
// that overlap spoil the whole datagram and those of it still to come (RFC 5722, RFC 8200 4.5; IPv4 is held to the
// same); an exact repetition is dropped alone. Fragments that came by different protections never meet.
//
// The buffers of a datagram stay its own until it is whole: its fragments are then copied behind the first one's.
// Not here: TTL and ECN other than RFC 3168 5.3's (a CE mark on any fragment marks the whole).
class Reassembly {
public:
    struct Limits {
        std::size_t datagrams = 512;
        std::size_t fragments = 1024;  // buffers in all
        std::size_t of_sender = 64;    // datagrams; senders share by hash
        std::size_t of_datagram = 64;  // fragments
        std::size_t largest = 9000;    // octets of a whole packet, headers included
        Duration patience = 2s;        // from the first fragment that came
    };

    explicit Reassembly(const Limits& limits, std::uint64_t seed);
    Reassembly(const Reassembly&) = delete;
    Reassembly& operator=(const Reassembly&) = delete;
    // Empty by now: release_all() was called.
    ~Reassembly();

    // Of a fragment's datagram; the same on every worker of a box.
    static std::uint64_t hash(rte_mbuf* m, std::uint64_t seed) noexcept;

    // Takes a fragment. What is done with is in `out`, each with its stage: the whole packet for the lookup, fragments
    // with their final verdict.
    void add(rte_mbuf* m, TimePoint now, PacketList& out) noexcept;
    // What has waited too long; its first fragment is answered with "reassembly time exceeded".
    void expire(TimePoint now, PacketList& out) noexcept;
    PacketList release_all() noexcept;
    TimePoint next_deadline() const noexcept;

    std::size_t datagrams() const noexcept { return used_; }
    std::size_t fragments() const noexcept { return fragments_; }

private:
    static constexpr std::uint16_t kNone = 0xffff;
    static constexpr std::size_t kSenders = 1024;

    struct Key {
        IpAddress source{};
        IpAddress destination{};
        std::uint32_t id = 0;
        VrfId vrf{};
        ProtectionId protection{kNoProtection};
        std::uint8_t protocol = 0;
        friend bool operator==(const Key&, const Key&) = default;
    };
    // What one fragment says of itself.
    struct Piece {
        Key key;
        std::size_t header = 0;  // octets in front of its part of the datagram
        std::size_t offset = 0;  // of its part, octets
        std::size_t length = 0;
        bool more = false;
        std::size_t link = 0;  // IPv6: where the number of the fragment header stands
        std::size_t fragment_header = 0;
    };
    // The first one has its header still; the others' is off.
    struct Part {
        rte_mbuf* packet;
        std::uint16_t offset;
        std::uint16_t length;
    };
    struct Datagram {
        Key key;
        std::uint64_t hash = 0;
        TimePoint since{};
        Piece first;            // of the one with offset 0, once it is there
        std::size_t count = 0;  // of parts, which are at the slot's place in parts_, by offset
        std::size_t have = 0;   // octets of payload
        bool congested = false;
        std::size_t end = 0;  // where the last one ends; 0: not known
        bool spoilt = false;
        std::uint16_t next = kNone;  // of the bucket, or of the free slots
        std::uint16_t older = kNone, newer = kNone;
    };

    static bool dissect(rte_mbuf* m, Piece& piece) noexcept;
    static std::uint64_t hash_of(const Key& key, std::uint64_t seed) noexcept;
    std::uint16_t& bucket(std::uint64_t hash) noexcept { return buckets_[hash & (buckets_.size() - 1)]; }
    std::uint16_t& sender(const Key& key) noexcept;
    std::uint16_t find(const Key& key, std::uint64_t hash) noexcept;
    std::uint16_t start(const Key& key, std::uint64_t hash, TimePoint now, PacketList& out) noexcept;
    Part* parts(std::uint16_t at) noexcept { return &parts_[at * limits_.of_datagram]; }
    api::Verdict insert(std::uint16_t at, rte_mbuf* m, const Piece& piece) noexcept;
    void join(std::uint16_t at, PacketList& out) noexcept;
    void make_place(std::uint16_t keep, PacketList& out) noexcept;
    void drop_parts(std::uint16_t at, api::Verdict verdict, PacketList& out) noexcept;
    void forget(std::uint16_t at) noexcept;

    Limits limits_;
    std::uint64_t seed_;
    std::vector<Datagram> slots_;
    std::vector<Part> parts_;
    std::vector<std::uint16_t> buckets_;
    std::array<std::uint16_t, kSenders> senders_{};
    std::uint16_t free_ = kNone;
    std::uint16_t oldest_ = kNone, newest_ = kNone;
    std::size_t used_ = 0;
    std::size_t fragments_ = 0;
};

}  // namespace culvert::node
