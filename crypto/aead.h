#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

struct IMB_MGR;

namespace culvert::crypto {

inline constexpr std::size_t kAeadTag = 16;    // octets
inline constexpr std::size_t kAeadNonce = 12;  // octets
inline constexpr std::size_t kChaChaKey = 32;  // octets

using AeadNonce = std::array<std::uint8_t, kAeadNonce>;

// One packet of a burst. `source` and `destination` are the same address or don't overlap.
struct AeadJob {
    const void* key = nullptr;  // as the algorithm's functions below want it; must outlive the call
    AeadNonce nonce{};
    std::uint32_t length = 0;  // octets of text, without the tag
    const std::uint8_t* source = nullptr;
    std::uint8_t* destination = nullptr;
    const std::uint8_t* aad = nullptr;
    std::uint32_t aad_length = 0;
    bool ok = false;              // open: the tag is right. Otherwise `destination` is filled with zeros
    std::uint8_t* tag = nullptr;  // 16 octets: seal writes them, open compares with them
};

// Authenticated encryption of bursts of packets, by IPsec-MB with what vector instructions the CPU has. One for each
// thread. An algorithm is a pair of functions, which differ in what a job's key points to.
class AeadContext {
public:
    AeadContext();  // aborts if the CPU has none of what the library needs (SSE4.2 and AES-NI)
    ~AeadContext();
    AeadContext(AeadContext&&) noexcept;
    AeadContext& operator=(AeadContext&&) noexcept;

    // RFC 8439 2.8. Keys are 32 octets.
    void seal_chacha20_poly1305(std::span<AeadJob> jobs) noexcept;
    void open_chacha20_poly1305(std::span<AeadJob> jobs) noexcept;

    // "IPsec-MB 2.0.0, AVX2"
    std::string implementation() const;

private:
    struct Free {
        void operator()(IMB_MGR* manager) const noexcept;
    };
    std::unique_ptr<IMB_MGR, Free> manager_;
};

}  // namespace culvert::crypto
