#include "dataplane/bfd/packet.h"

#include <cstring>

namespace culvert::bfd {
namespace {

constexpr std::uint8_t kVersion = 1;
constexpr std::uint32_t kEchoMark = 0x63766265;  // a datagram that we didn't make is told at a glance

enum Bit : std::uint8_t {
    kMultipoint = 1,
    kDemand = 2,
    kAuthentication = 4,
    kControlPlaneIndependent = 8,
    kFinal = 16,
    kPoll = 32,
};

template <class T>
void put(std::uint8_t* at, T value) noexcept
{
    const BigEndian<T> wire{value};
    std::memcpy(at, &wire, sizeof wire);
}

}  // namespace

// The checks of 6.8.6 in its order; what needs the session is the session's.
Result<ControlPacket, Defect> decode(Bytes payload) noexcept
{
    Reader in{payload};
    ControlPacket p;
    const auto version = in.u8();
    const auto flags = in.u8();
    p.multiplier = in.u8();
    const std::size_t length = in.u8();
    p.my_discriminator = in.u32();
    p.your_discriminator = in.u32();
    p.desired_min_tx = in.u32();
    p.required_min_rx = in.u32();
    p.required_min_echo_rx = in.u32();
    if (!in.ok()) return Error{Defect::Truncated};

    p.diagnostic = BfdDiagnostic{static_cast<std::uint8_t>(version & 0x1f)};
    p.state = BfdState{static_cast<std::uint8_t>(flags >> 6)};
    p.poll = (flags & kPoll) != 0;
    p.final = (flags & kFinal) != 0;
    p.control_plane_independent = (flags & kControlPlaneIndependent) != 0;
    p.demand = (flags & kDemand) != 0;
    const bool authenticated = (flags & kAuthentication) != 0;

    if (version >> 5 != kVersion) return Error{Defect::Version};
    if (length < kMandatory + (authenticated ? 2U : 0U)) return Error{Defect::Length};
    if (length > payload.size()) return Error{Defect::Truncated};
    if (p.multiplier == 0) return Error{Defect::Multiplier};
    if ((flags & kMultipoint) != 0) return Error{Defect::Multipoint};
    if (p.my_discriminator == 0) return Error{Defect::MyDiscriminator};
    if (p.your_discriminator == 0 && p.state != BfdState::Down && p.state != BfdState::AdminDown)
        return Error{Defect::YourDiscriminator};

    p.whole = payload.first(length);
    if (authenticated) {
        const auto section = p.whole.subspan(kMandatory);
        const std::size_t octets = section[1];
        if (octets < 2 || octets > section.size()) return Error{Defect::Authentication};
        p.authentication = section.first(octets);
    }
    return p;
}

void encode(const ControlPacket& p, std::size_t length, std::span<std::uint8_t, kMaxPacket> out) noexcept
{
    out[0] = static_cast<std::uint8_t>(kVersion << 5 | static_cast<std::uint8_t>(p.diagnostic));
    out[1] = static_cast<std::uint8_t>(static_cast<std::uint8_t>(p.state) << 6 | (p.poll ? kPoll : 0) |
                                       (p.final ? kFinal : 0) |
                                       (p.control_plane_independent ? kControlPlaneIndependent : 0) |
                                       (length > kMandatory ? kAuthentication : 0) | (p.demand ? kDemand : 0));
    out[2] = p.multiplier;
    out[3] = static_cast<std::uint8_t>(length);
    put(&out[4], p.my_discriminator);
    put(&out[8], p.your_discriminator);
    put(&out[12], p.desired_min_tx);
    put(&out[16], p.required_min_rx);
    put(&out[20], p.required_min_echo_rx);
}

Result<EchoPacket, Defect> decode_echo(Bytes payload) noexcept
{
    Reader in{payload};
    const auto mark = in.u32();
    EchoPacket p;
    p.discriminator = in.u32();
    p.sequence = in.u32();
    in.skip(4);
    p.proof = in.u64();
    if (!in.ok()) return Error{Defect::Truncated};
    if (mark != kEchoMark) return Error{Defect::Version};
    return p;
}

void encode(const EchoPacket& p, std::span<std::uint8_t, kEchoPacket> out) noexcept
{
    put(&out[0], kEchoMark);
    put(&out[4], p.discriminator);
    put(&out[8], p.sequence);
    put(&out[12], std::uint32_t{0});
    put(&out[16], p.proof);
}

}  // namespace culvert::bfd
