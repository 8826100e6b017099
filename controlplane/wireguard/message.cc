#include "controlplane/wireguard/message.h"

#include <algorithm>
#include <cstring>

namespace culvert::wireguard {
namespace {

constexpr std::size_t kMacs = 32;  // mac1 and mac2, at the end of an initiation and a response

// Reads straight on; the caller has checked the length, which is the only thing that can be wrong with a layout.
class Fields {
public:
    Fields(Bytes message) noexcept : in_(message) { in_.skip(4); }
    std::uint32_t le32() noexcept { return in_.le32(); }
    std::uint64_t le64() noexcept { return in_.le64(); }
    template <std::size_t N>
    void octets(std::array<std::uint8_t, N>& out) noexcept
    {
        const Bytes from = in_.take(N);
        std::copy(from.begin(), from.end(), out.begin());
    }

private:
    Reader in_;
};

class Layout {
public:
    Layout(MessageType type, std::uint8_t* out) noexcept : at_(out) { little(static_cast<std::uint32_t>(type)); }
    void little(std::unsigned_integral auto v) noexcept
    {
        for (std::size_t i = 0; i < sizeof v; ++i) *at_++ = static_cast<std::uint8_t>(v >> (8 * i));
    }
    template <std::size_t N>
    void octets(const std::array<std::uint8_t, N>& in) noexcept
    {
        at_ = std::copy(in.begin(), in.end(), at_);
    }

private:
    std::uint8_t* at_;
};

bool is(Bytes message, MessageType type, std::size_t size) noexcept
{
    return message.size() == size && type_of(message) == type;
}

}  // namespace

std::optional<MessageType> type_of(Bytes message) noexcept
{
    Reader in{message};
    const std::uint32_t type = in.le32();
    if (!in.ok() || type < 1 || type > 4) return std::nullopt;
    return static_cast<MessageType>(type);
}

std::optional<Initiation> Initiation::decode(Bytes message) noexcept
{
    if (!is(message, MessageType::Initiation, kInitiationSize)) return std::nullopt;
    Initiation m;
    Fields in{message};
    m.sender = in.le32();
    in.octets(m.ephemeral);
    in.octets(m.sealed_static);
    in.octets(m.sealed_timestamp);
    in.octets(m.mac1);
    in.octets(m.mac2);
    return m;
}

void Initiation::encode(std::span<std::uint8_t, kInitiationSize> out) const noexcept
{
    Layout to{MessageType::Initiation, out.data()};
    to.little(sender);
    to.octets(ephemeral);
    to.octets(sealed_static);
    to.octets(sealed_timestamp);
    to.octets(mac1);
    to.octets(mac2);
}

std::optional<Response> Response::decode(Bytes message) noexcept
{
    if (!is(message, MessageType::Response, kResponseSize)) return std::nullopt;
    Response m;
    Fields in{message};
    m.sender = in.le32();
    m.receiver = in.le32();
    in.octets(m.ephemeral);
    in.octets(m.sealed_nothing);
    in.octets(m.mac1);
    in.octets(m.mac2);
    return m;
}

void Response::encode(std::span<std::uint8_t, kResponseSize> out) const noexcept
{
    Layout to{MessageType::Response, out.data()};
    to.little(sender);
    to.little(receiver);
    to.octets(ephemeral);
    to.octets(sealed_nothing);
    to.octets(mac1);
    to.octets(mac2);
}

std::optional<CookieReply> CookieReply::decode(Bytes message) noexcept
{
    if (!is(message, MessageType::CookieReply, kCookieReplySize)) return std::nullopt;
    CookieReply m;
    Fields in{message};
    m.receiver = in.le32();
    in.octets(m.nonce);
    in.octets(m.sealed_cookie);
    return m;
}

void CookieReply::encode(std::span<std::uint8_t, kCookieReplySize> out) const noexcept
{
    Layout to{MessageType::CookieReply, out.data()};
    to.little(receiver);
    to.octets(nonce);
    to.octets(sealed_cookie);
}

std::optional<DataHeader> DataHeader::decode(Bytes message) noexcept
{
    if (message.size() < kDataHeaderSize + 16 || type_of(message) != MessageType::Data) return std::nullopt;
    DataHeader m;
    Fields in{message};
    m.receiver = in.le32();
    m.counter = in.le64();
    return m;
}

void DataHeader::encode(std::span<std::uint8_t, kDataHeaderSize> out) const noexcept
{
    Layout to{MessageType::Data, out.data()};
    to.little(receiver);
    to.little(counter);
}

Bytes covered_by_mac1(Bytes message) noexcept { return message.first(message.size() - kMacs); }
Bytes covered_by_mac2(Bytes message) noexcept { return message.first(message.size() - kMacs / 2); }

}  // namespace culvert::wireguard
