#include "dataplane/io/gso.h"

#include <cstring>

namespace culvert::io {
namespace {

constexpr std::uint16_t kIpv4 = 0x0800, kIpv6 = 0x86dd, kVlan = 0x8100, kQinq = 0x88a8;
constexpr std::uint8_t kTcp = 6, kUdp = 17;
constexpr std::uint8_t kFin = 0x01, kPsh = 0x08, kCwr = 0x80;

std::uint16_t get16(const std::uint8_t* p) noexcept { return static_cast<std::uint16_t>(p[0] << 8 | p[1]); }
std::uint32_t get32(const std::uint8_t* p) noexcept
{
    return static_cast<std::uint32_t>(get16(p)) << 16 | get16(p + 2);
}
void put16(std::uint8_t* p, std::size_t v) noexcept
{
    p[0] = static_cast<std::uint8_t>(v >> 8);
    p[1] = static_cast<std::uint8_t>(v);
}
void put32(std::uint8_t* p, std::uint32_t v) noexcept
{
    put16(p, v >> 16);
    put16(p + 2, v & 0xffff);
}

// The ones' complement sum of RFC 1071 in the machine's own byte order: its folded value, stored as it is, is in
// network order. 32-bit words into 64-bit lanes can't overflow below 16 GiB, and compilers make vectors of it.
std::uint64_t sum(const std::uint8_t* p, std::size_t n) noexcept
{
    std::uint64_t lanes[4] = {};
    for (; n >= 16; n -= 16, p += 16) {
        std::uint32_t w[4];
        std::memcpy(w, p, 16);
        for (int i = 0; i < 4; ++i) lanes[i] += w[i];
    }
    std::uint64_t s = lanes[0] + lanes[1] + lanes[2] + lanes[3];
    for (; n >= 2; n -= 2, p += 2) {
        std::uint16_t w;
        std::memcpy(&w, p, 2);
        s += w;
    }
    if (n == 1) {
        std::uint16_t w = 0;
        std::memcpy(&w, p, 1);
        s += w;
    }
    return s;
}

void store_checksum(std::uint8_t* at, std::uint64_t s, bool never_zero) noexcept
{
    while (s >> 16 != 0) s = (s & 0xffff) + (s >> 16);
    auto folded = static_cast<std::uint16_t>(~s);
    if (folded == 0 && never_zero) folded = 0xffff;
    std::memcpy(at, &folded, 2);
}

// A pseudo header's protocol and length, as the words that RFC 9293 3.1 and RFC 8200 8.1 add.
std::uint64_t pseudo(std::uint8_t protocol, std::size_t length) noexcept
{
    std::uint8_t words[6];
    put32(words, static_cast<std::uint32_t>(length));
    words[4] = 0;
    words[5] = protocol;
    return sum(words, sizeof words);
}

}  // namespace

bool complete_checksum(MutableBytes frame, std::size_t start, std::size_t offset) noexcept
{
    if (start + offset + 2 > frame.size()) return false;
    // UDP says "no checksum" with zero (RFC 768); for TCP either zero means the same.
    store_checksum(frame.data() + start + offset, sum(frame.data() + start, frame.size() - start), true);
    return true;
}

std::optional<Segmenter> Segmenter::make(Bytes head, Bytes rest, const VnetHeader& vnet) noexcept
{
    const std::uint8_t kind = vnet.gso_type & static_cast<std::uint8_t>(~kGsoEcn);
    const bool tcp = kind == kGsoTcp4 || kind == kGsoTcp6;
    if ((!tcp && kind != kGsoUdpL4) || vnet.gso_size == 0) return {};

    std::size_t at = 12;
    if (head.size() < 14 + 20 + 8) return {};
    std::uint16_t type = get16(head.data() + at);
    for (int tags = 0; (type == kVlan || type == kQinq) && tags < 2; ++tags) {
        at += 4;
        type = get16(head.data() + at);
    }
    at += 2;

    Segmenter s;
    s.l3_ = static_cast<std::uint32_t>(at);
    std::uint8_t protocol;
    if (type == kIpv4 && kind != kGsoTcp6) {
        if (head.size() < at + 20) return {};
        const std::size_t length = (head[at] & 15U) * 4;
        protocol = head[at + 9];
        at += length;
        if (length < 20) return {};
    } else if (type == kIpv6 && kind != kGsoTcp4) {
        if (head.size() < at + 40) return {};
        s.ipv6_ = true;
        protocol = head[at + 6];
        at += 40;
        // Hop-by-hop and destination options (RFC 8200 4), their lengths in units of 8 octets. Behind a routing header
        // the checksum is that of another destination: not cut.
        while (protocol == 0 || protocol == 60) {
            if (head.size() < at + 8) return {};
            protocol = head[at];
            at += (head[at + 1] + 1U) * 8;
        }
    } else {
        return {};
    }

    s.l4_ = static_cast<std::uint32_t>(at);
    if (protocol != (tcp ? kTcp : kUdp)) return {};
    if ((vnet.flags & kVnetNeedsChecksum) != 0 && vnet.csum_start != at) return {};
    if (head.size() < at + (tcp ? 20 : 8)) return {};
    const std::size_t l4_length = tcp ? (head[at + 12] >> 4) * 4U : 8;
    if (l4_length < (tcp ? 20U : 8U)) return {};
    at += l4_length;
    if (at > head.size() || at > kMaxHeaders || at + vnet.gso_size - s.l3_ > 0xffff) return {};

    s.head_ = head;
    s.rest_ = rest;
    s.headers_ = static_cast<std::uint32_t>(at);
    s.payload_ = static_cast<std::uint32_t>(head.size() + rest.size() - at);
    s.mss_ = vnet.gso_size;
    s.tcp_ = tcp;
    if (s.payload_ == 0) return {};
    return s;
}

void Segmenter::write_next(std::uint8_t* out) noexcept
{
    const std::size_t n = next_payload();
    const bool first = sent_ == 0;
    const bool last = sent_ + n == payload_;

    std::memcpy(out, head_.data(), headers_);
    std::size_t from = headers_ + sent_;
    std::size_t done = 0;
    if (from < head_.size()) {
        done = n < head_.size() - from ? n : head_.size() - from;
        std::memcpy(out + headers_, head_.data() + from, done);
        from += done;
    }
    if (done < n) std::memcpy(out + headers_ + done, rest_.data() + (from - head_.size()), n - done);

    std::uint8_t* ip = out + l3_;
    std::uint8_t* l4 = out + l4_;
    const std::size_t l4_size = headers_ - l4_ + n;
    std::uint64_t check = 0;
    if (ipv6_) {
        put16(ip + 4, headers_ - l3_ - 40 + n);
        check = sum(ip + 8, 32);
    } else {
        put16(ip + 2, headers_ - l3_ + n);
        put16(ip + 4, get16(ip + 4) + std::size_t{index_});
        put16(ip + 10, 0);
        store_checksum(ip + 10, sum(ip, l4_ - l3_), false);
        check = sum(ip + 12, 8);
    }

    if (tcp_) {
        put32(l4 + 4, get32(l4 + 4) + sent_);
        if (!last) l4[13] &= static_cast<std::uint8_t>(~(kFin | kPsh));
        if (!first) l4[13] &= static_cast<std::uint8_t>(~kCwr);  // RFC 3168 6.1.2: once
        put16(l4 + 16, 0);
    } else {
        put16(l4 + 4, l4_size);
        put16(l4 + 6, 0);
    }
    check += pseudo(tcp_ ? kTcp : kUdp, l4_size) + sum(l4, l4_size);
    store_checksum(l4 + (tcp_ ? 16 : 6), check, !tcp_);

    sent_ += static_cast<std::uint32_t>(n);
    ++index_;
}

}  // namespace culvert::io
