#include "dataplane/io/netlink.h"

#include <linux/netlink.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace culvert::io {
namespace {

constexpr std::size_t aligned(std::size_t n) noexcept { return (n + 3) & ~std::size_t{3}; }

}  // namespace

NetlinkMessage::NetlinkMessage(std::uint16_t type, std::uint16_t flags, Bytes header)
{
    nlmsghdr h{};
    h.nlmsg_type = type;
    h.nlmsg_flags = flags;
    data_.resize(sizeof h + header.size());
    std::memcpy(data_.data(), &h, sizeof h);
    std::copy(header.begin(), header.end(), data_.begin() + sizeof h);
    pad();
}

void NetlinkMessage::pad() { data_.resize(aligned(data_.size())); }

std::size_t NetlinkMessage::begin(std::uint16_t type)
{
    const std::size_t at = data_.size();
    const nlattr a{0, type};
    data_.resize(at + sizeof a);
    std::memcpy(data_.data() + at, &a, sizeof a);
    return at;
}

void NetlinkMessage::end(std::size_t nest)
{
    const auto length = static_cast<std::uint16_t>(data_.size() - nest);
    std::memcpy(data_.data() + nest, &length, sizeof length);
    pad();
}

void NetlinkMessage::attribute(std::uint16_t type, Bytes value)
{
    const std::size_t at = begin(type);
    data_.insert(data_.end(), value.begin(), value.end());
    end(at);
}

void NetlinkMessage::text(std::uint16_t type, std::string_view value)
{
    const std::size_t at = begin(type);
    data_.insert(data_.end(), value.begin(), value.end());
    data_.push_back(0);
    end(at);
}

void NetlinkMessage::u32(std::uint16_t type, std::uint32_t value)
{
    attribute(type, Bytes{reinterpret_cast<const std::uint8_t*>(&value), sizeof value});
}

void NetlinkMessage::be32(std::uint16_t type, std::uint32_t value) { u32(type, byteswap(value)); }

Bytes NetlinkMessage::bytes(std::uint32_t sequence)
{
    nlmsghdr h;
    std::memcpy(&h, data_.data(), sizeof h);
    h.nlmsg_len = static_cast<std::uint32_t>(data_.size());
    h.nlmsg_seq = sequence;
    std::memcpy(data_.data(), &h, sizeof h);
    return data_;
}

Bytes netlink_attribute(Bytes payload, std::size_t header, std::uint16_t type) noexcept
{
    std::size_t at = aligned(header);
    while (at + sizeof(nlattr) <= payload.size()) {
        nlattr a;
        std::memcpy(&a, payload.data() + at, sizeof a);
        if (a.nla_len < sizeof a || at + a.nla_len > payload.size()) return {};
        if ((a.nla_type & NLA_TYPE_MASK) == type) return payload.subspan(at + sizeof a, a.nla_len - sizeof a);
        at += aligned(a.nla_len);
    }
    return {};
}

NetlinkSocket::NetlinkSocket(int protocol) : fd_(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol))
{
    if (fd_ < 0) return;
    // The kernel answers at once; a limit all the same, so that nothing can hang on it.
    const timeval limit{5, 0};
    setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
}

NetlinkSocket::~NetlinkSocket()
{
    if (fd_ >= 0) close(fd_);
}

NetlinkSocket::NetlinkSocket(NetlinkSocket&& other) noexcept : fd_(other.fd_), sequence_(other.sequence_)
{
    other.fd_ = -1;
}

int NetlinkSocket::request(NetlinkMessage& message, const std::function<void(const NetlinkAnswer&)>& on_answer)
{
    const std::uint32_t sequence = sequence_++;
    const Bytes bytes = message.bytes(sequence);
    if (send(fd_, bytes.data(), bytes.size(), 0) < 0) return errno;
    return receive(sequence, false, on_answer);
}

int NetlinkSocket::dump(NetlinkMessage& message, const std::function<void(const NetlinkAnswer&)>& on_answer)
{
    const std::uint32_t sequence = sequence_++;
    const Bytes bytes = message.bytes(sequence);
    if (send(fd_, bytes.data(), bytes.size(), 0) < 0) return errno;
    return receive(sequence, true, on_answer);
}

int NetlinkSocket::batch(std::span<NetlinkMessage> messages)
{
    std::vector<std::uint8_t> all;
    std::uint32_t last = 0;
    for (auto& m : messages) {
        const std::uint32_t sequence = sequence_++;
        const Bytes bytes = m.bytes(sequence);
        nlmsghdr h;
        std::memcpy(&h, bytes.data(), sizeof h);
        if ((h.nlmsg_flags & NLM_F_ACK) != 0) last = sequence;
        all.insert(all.end(), bytes.begin(), bytes.end());
    }
    if (send(fd_, all.data(), all.size(), 0) < 0) return errno;
    return receive(last, false, {});
}

int NetlinkSocket::receive(std::uint32_t last, bool dump, const std::function<void(const NetlinkAnswer&)>& on_answer)
{
    std::vector<std::uint8_t> buffer(std::size_t{1} << 16);
    int result = 0;
    for (;;) {
        const auto n = recv(fd_, buffer.data(), buffer.size(), 0);
        if (n < 0) {
            if (errno == EINTR) continue;
            return errno;
        }
        std::size_t at = 0;
        const auto size = static_cast<std::size_t>(n);
        while (at + sizeof(nlmsghdr) <= size) {
            nlmsghdr h;
            std::memcpy(&h, buffer.data() + at, sizeof h);
            if (h.nlmsg_len < sizeof h || at + h.nlmsg_len > size) return EBADMSG;
            const Bytes payload{buffer.data() + at + sizeof h, h.nlmsg_len - sizeof h};
            at += aligned(h.nlmsg_len);

            if (h.nlmsg_type == NLMSG_DONE) {
                if (dump && h.nlmsg_seq == last) return result;
            } else if (h.nlmsg_type == NLMSG_ERROR) {
                nlmsgerr e{};
                std::memcpy(&e, payload.data(), std::min(sizeof e, payload.size()));
                if (e.error != 0 && result == 0) result = -e.error;
                // A transaction that is refused as a whole is answered once, for its first message.
                if (h.nlmsg_seq == last || e.error != 0) return result;
            } else if (h.nlmsg_seq == last && on_answer) {
                on_answer({h.nlmsg_type, payload});
            }
        }
    }
}

}  // namespace culvert::io
