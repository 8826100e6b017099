#include "dataplane/api/esp.h"

#include <gtest/gtest.h>

namespace culvert::api {
namespace {

// By hand: IPv4 20, ESP 8, IV 8, text 1400 + 2 padded to 1404 (2 of padding), ICV 16.
static_assert(esp_overhead(EspAlgorithm::AesGcm128, EspMode::Tunnel, Family::Ipv4, false, 1400) ==
              20 + 8 + 8 + 2 + 2 + 16);
// IPv6 40, UDP 8, ESP 8, IV 16, 1400 + 2 is 10 past a block of 16: 6 of padding, ICV 32.
static_assert(esp_overhead(EspAlgorithm::AesCbc256Sha512, EspMode::Tunnel, Family::Ipv6, true, 1400) ==
              40 + 8 + 8 + 16 + 6 + 2 + 32);
// Transport: only what follows the header is padded: 1380 + 2, 2 of padding.
static_assert(esp_overhead(EspAlgorithm::ChaCha20Poly1305, EspMode::Transport, Family::Ipv4, false, 1400) ==
              8 + 8 + 2 + 2 + 16);

// The largest packet fits, and one octet more does not.
TEST(EspOverhead, AgreesWithTheLargestPacket)
{
    for (std::size_t a = 0; a < kEspAlgorithms; ++a) {
        const auto algorithm = static_cast<EspAlgorithm>(a);
        for (const auto mode : {EspMode::Tunnel, EspMode::Transport}) {
            for (const auto family : {Family::Ipv4, Family::Ipv6}) {
                for (const bool udp : {false, true}) {
                    for (std::size_t mtu = 128; mtu < 1600; ++mtu) {
                        const auto length = esp_largest(algorithm, mode, family, udp, mtu);
                        if (length <= ip_header_octets(family)) continue;
                        EXPECT_LE(length + esp_overhead(algorithm, mode, family, udp, length), mtu);
                        EXPECT_GT(length + 1 + esp_overhead(algorithm, mode, family, udp, length + 1), mtu);
                    }
                    EXPECT_EQ(esp_largest(algorithm, mode, family, udp, 40), 0U);
                }
            }
        }
    }
}

}  // namespace
}  // namespace culvert::api
