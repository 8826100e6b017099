#include "controlplane/bgp/message.h"

#include "tests/unit/bgp/wire.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace culvert::bgp {
namespace {

constexpr std::string_view kMarkerHex = "ffffffffffffffffffffffffffffffff";

Octets header(std::string_view length_and_type) { return hex(kMarkerHex) + hex(length_and_type); }

// Everything the reader gives for the stream, cut into chunks of `size`.
struct Read {
    std::vector<std::pair<MessageType, Octets>> messages;
    std::optional<Notification> error;
};

Read read_all(Bytes stream, std::size_t size, bool extended = false)
{
    Read out;
    MessageReader reader;
    if (extended) reader.allow_extended();
    for (std::size_t at = 0; at < stream.size() && !out.error; at += size) {
        // A copy: spans into it must not be needed later.
        const auto part = stream.subspan(at, std::min(size, stream.size() - at));
        const Octets chunk(part.begin(), part.end());
        reader.feed(chunk);
        for (;;) {
            const auto message = reader.next();
            if (!message) {
                out.error = message.error();
                break;
            }
            if (!*message) break;
            out.messages.emplace_back((*message)->type, Octets((*message)->body.begin(), (*message)->body.end()));
        }
    }
    return out;
}

TEST(MessageReader, GivesTheSameMessagesHoweverTheStreamIsCut)
{
    const auto stream = message(MessageType::Keepalive, {}) + message(MessageType::Update, hex("0000 0000")) +
                        message(MessageType::Update, Octets(4000, 7)) + message(MessageType::Keepalive, {}) +
                        message(MessageType::Notification, hex("0602"));
    const auto whole = read_all(stream, stream.size());
    ASSERT_EQ(whole.messages.size(), 5U);
    EXPECT_EQ(whole.messages[2].second, Octets(4000, 7));
    for (std::size_t size = 1; size < 200; ++size) {
        const auto cut = read_all(stream, size);
        EXPECT_FALSE(cut.error);
        EXPECT_EQ(cut.messages, whole.messages) << size;
    }
}

TEST(MessageReader, RefusesABadHeaderAsRfc4271Section61Says)
{
    const auto error = [](const Octets& stream) { return read_all(stream, 1).error.value_or(Notification{}); };
    auto unmarked = message(MessageType::Keepalive, {});
    unmarked[15] = 0xfe;
    EXPECT_EQ(error(unmarked), (Notification{ErrorCode::MessageHeader, 1, {}}));
    EXPECT_EQ(error(header("0012 04")), (Notification{ErrorCode::MessageHeader, 2, hex("0012")}));
    EXPECT_EQ(error(header("0014 04")), (Notification{ErrorCode::MessageHeader, 2, hex("0014")}));
    EXPECT_EQ(error(header("1001 02")), (Notification{ErrorCode::MessageHeader, 2, hex("1001")}));
    EXPECT_EQ(error(header("001c 01")), (Notification{ErrorCode::MessageHeader, 2, hex("001c")}));
    EXPECT_EQ(error(header("0016 02")), (Notification{ErrorCode::MessageHeader, 2, hex("0016")}));
    EXPECT_EQ(error(header("0014 03")), (Notification{ErrorCode::MessageHeader, 2, hex("0014")}));
    EXPECT_EQ(error(header("0016 05")), (Notification{ErrorCode::MessageHeader, 2, hex("0016")}));
    EXPECT_EQ(error(header("0013 06")), (Notification{ErrorCode::MessageHeader, 3, hex("06")}));
    EXPECT_EQ(error(header("0013 00")), (Notification{ErrorCode::MessageHeader, 3, hex("00")}));
}

TEST(MessageReader, TakesMessagesOfThe64KiBOnlyWhenAllowed)
{
    const auto large = message(MessageType::Update, Octets(kMaxExtendedMessage - kHeaderLength, 0));
    EXPECT_TRUE(read_all(large, 1000).error);
    EXPECT_EQ(read_all(large, 1000, true).messages.size(), 1U);
    // RFC 8654 4: OPEN stays as it was.
    EXPECT_TRUE(read_all(message(MessageType::Open, Octets(4096, 0)), 5000, true).error);
}

Open full_open()
{
    Open open;
    open.asn = Asn{4200000001};
    open.hold_time = 90;
    open.router_id = *Ipv4Address::parse("10.0.0.1");
    auto& c = open.capabilities;
    c.any = true;
    c.multiprotocol = {{Afi::Ipv4, Safi::Unicast}, {Afi::Ipv6, Safi::Unicast}};
    c.four_octet_as = open.asn;
    c.route_refresh = c.route_refresh_old = c.enhanced_route_refresh = c.extended_message = true;
    c.extended_next_hop = true;
    c.hostname = "hq";
    c.domain = "example.net";
    c.graceful_restart = GracefulRestart{true, false, 120, {{{Afi::Ipv4, Safi::Unicast}, true}}};
    return open;
}

Octets body_of(const Octets& whole) { return {whole.begin() + kHeaderLength, whole.end()}; }

TEST(Open, ComesBackAsItWasWritten)
{
    Octets out;
    encode_open(full_open(), out);
    const auto open = decode_open(body_of(out));
    ASSERT_TRUE(open);
    EXPECT_EQ(*open, full_open());
    EXPECT_EQ(read_all(out, 10).messages.size(), 1U);
}

TEST(Open, IsAsTheRfcDrawsIt)
{
    Open open;
    open.asn = Asn{65001};
    open.router_id = *Ipv4Address::parse("10.0.0.1");
    Octets out;
    encode_open(open, out);
    EXPECT_EQ(out, header("001d 01") + hex("04 fde9 00b4 0a000001 00"));

    out.clear();
    open.asn = Asn{70000};
    open.capabilities.any = true;
    open.capabilities.four_octet_as = open.asn;
    encode_open(open, out);
    EXPECT_EQ(out, header("0025 01") + hex("04 5ba0 00b4 0a000001 08 02 06 41 04 00011170"));
}

TEST(Open, WithManyParametersUsesRfc9072BothWays)
{
    auto open = full_open();
    open.capabilities.multiprotocol.clear();
    for (std::uint16_t afi = 1; afi < 100; ++afi) open.capabilities.multiprotocol.push_back({Afi{afi}, Safi::Unicast});
    Octets out;
    encode_open(open, out);
    EXPECT_EQ(out[28], 255);
    EXPECT_EQ(out[29], 255);
    const auto read = decode_open(body_of(out));
    ASSERT_TRUE(read);
    open.extended_parameters = true;
    EXPECT_EQ(*read, open);
}

TEST(Open, InExtendedFormMayBeShort)  // RFC 9072 2: whatever the length octet says, if it is not zero
{
    const auto open = decode_open(hex("04 fde9 00b4 0a000001 01 ff 0005 02 0002 02 00"));
    ASSERT_TRUE(open);
    EXPECT_TRUE(open->capabilities.route_refresh);
    EXPECT_TRUE(open->extended_parameters);
}

struct BadOpen {
    const char* name;
    const char* body;
    std::uint8_t subcode;
};

class OpenErrors : public testing::TestWithParam<BadOpen> {};

TEST_P(OpenErrors, AreNamed)
{
    const auto open = decode_open(hex(GetParam().body));
    ASSERT_FALSE(open);
    EXPECT_EQ(open.error().code, ErrorCode::OpenMessage);
    EXPECT_EQ(open.error().subcode, GetParam().subcode);
}

INSTANTIATE_TEST_SUITE_P(
    Rfc4271Section62, OpenErrors,
    testing::Values(BadOpen{"version", "03 fde9 00b4 0a000001 00", 1},
                    BadOpen{"as_zero", "04 0000 00b4 0a000001 00", 2},
                    BadOpen{"as_trans_without_capability", "04 5ba0 00b4 0a000001 00", 2},
                    BadOpen{"as_zero_in_capability", "04 fde9 00b4 0a000001 08 02 06 41 04 00000000", 2},
                    BadOpen{"identifier_zero", "04 fde9 00b4 00000000 00", 3},
                    BadOpen{"parameter_type", "04 fde9 00b4 0a000001 02 01 00", 4},
                    BadOpen{"hold_1", "04 fde9 0001 0a000001 00", 6}, BadOpen{"hold_2", "04 fde9 0002 0a000001 00", 6},
                    BadOpen{"parameters_shorter_than_said", "04 fde9 00b4 0a000001 04 02 00", 0},
                    BadOpen{"parameters_longer_than_said", "04 fde9 00b4 0a000001 02 02 00 00", 0},
                    BadOpen{"parameter_overruns", "04 fde9 00b4 0a000001 02 02 05", 0},
                    BadOpen{"capability_overruns", "04 fde9 00b4 0a000001 04 02 02 41 04", 0},
                    BadOpen{"capability_length", "04 fde9 00b4 0a000001 07 02 05 41 03 000001", 0},
                    BadOpen{"multiprotocol_length", "04 fde9 00b4 0a000001 07 02 05 01 03 000100", 0},
                    BadOpen{"graceful_restart_length", "04 fde9 00b4 0a000001 07 02 05 40 03 000100", 0},
                    BadOpen{"truncated", "04 fde9 00", 0}),
    [](const auto& info) { return info.param.name; });

TEST(Open, KeepsWhatItDoesNotKnowAndMasksNames)
{
    const auto open = decode_open(hex("04 fde9 00b4 0a000001 10 02 0e 49 05 02 61 07 01 0a  47 01 00  80 00  80 00"));
    ASSERT_TRUE(open) << open.error().to_string();
    EXPECT_EQ(open->capabilities.unknown, hex("47"));
    EXPECT_EQ(open->capabilities.hostname, "a?");
    EXPECT_EQ(open->capabilities.domain, "?");
    EXPECT_TRUE(open->capabilities.route_refresh_old);
    EXPECT_FALSE(open->capabilities.route_refresh);
}

TEST(NotificationMessage, ComesBackAndSpeaksFrrsWords)
{
    Notification n{ErrorCode::Cease, cease::kAdministrativeShutdown, shutdown_communication("maintenance\n")};
    Octets out;
    encode_notification(n, out);
    const auto read = decode_notification(body_of(out));
    EXPECT_EQ(read, n);
    EXPECT_EQ(read.shutdown_communication(), "maintenance?");
    EXPECT_EQ(read.to_string(), "Cease/Administrative Shutdown");
    EXPECT_EQ((Notification{ErrorCode::HoldTimerExpired, 0, {}}.to_string()), "Hold Timer Expired");
    EXPECT_EQ((Notification{ErrorCode::Cease, 10, {}}.to_string()), "Cease/BFD Down");
    EXPECT_EQ((Notification{ErrorCode::OpenMessage, 11, {}}.to_string()), "OPEN Message Error/Role Mismatch");
    EXPECT_EQ((Notification{ErrorCode::Cease, 0, {}}.to_string()), "Cease/Unspecific");
    EXPECT_EQ((Notification{ErrorCode{99}, 3, {}}.to_string()), "Error 99/3");
}

TEST(NotificationMessage, ShutdownCommunicationIsBoundedAndChecked)  // RFC 9003
{
    EXPECT_TRUE(shutdown_communication("").empty());
    std::string text(254, 'a');
    text += "\xc3\xa4";  // a character of two octets across the limit
    EXPECT_EQ(shutdown_communication(text)[0], 254);
    EXPECT_EQ((Notification{ErrorCode::Cease, 2, hex("05 61 62")}.shutdown_communication()), "");
    EXPECT_EQ((Notification{ErrorCode::Cease, 3, hex("01 61")}.shutdown_communication()), "");
}

TEST(RouteRefreshMessage, ReadsRfc2918And7313)
{
    Octets out;
    const RouteRefresh refresh{{Afi::Ipv6, Safi::Unicast}, RouteRefresh::Kind::Begin};
    encode_route_refresh(refresh, out);
    EXPECT_EQ(out, header("0017 05") + hex("0002 01 01"));
    const auto read = decode_route_refresh(body_of(out), true);
    ASSERT_TRUE(read);
    EXPECT_EQ(*read, refresh);
    // Not negotiated: the octet is reserved and only 0 is a request.
    EXPECT_EQ(*decode_route_refresh(body_of(out), false), std::nullopt);
    EXPECT_EQ(*decode_route_refresh(hex("0001 07 01"), true), std::nullopt);
    EXPECT_EQ(*decode_route_refresh(hex("0001 00 01 01 80 0000"), true), std::nullopt);  // ORF

    const auto wrong = decode_route_refresh(hex("0001 02 01 00"), true);
    ASSERT_FALSE(wrong);
    EXPECT_EQ(wrong.error(), (Notification{ErrorCode::RouteRefresh, 1, header("0018 05") + hex("0001 02 01 00")}));
}

}  // namespace
}  // namespace culvert::bgp
