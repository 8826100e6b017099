#include "config/shell/protocol.h"

#include <gtest/gtest.h>

namespace culvert::config::shell {
namespace {

std::string_view without_newline(std::string_view message)
{
    EXPECT_TRUE(message.ends_with('\n'));
    message.remove_suffix(1);
    EXPECT_EQ(message.find('\n'), message.npos);
    return message;
}

TEST(Protocol, RequestsComeBack)
{
    const Request request{.id = 7, .line = "description \"x\"\n\ttab \xc3\xa4", .interactive = true};
    EXPECT_EQ(encode(Request{.id = 7, .line = "show version"}), "{\"v\":1,\"id\":7,\"line\":\"show version\"}\n");
    const auto message = encode(request);
    EXPECT_EQ(decode_request(without_newline(message)).value(), request);
}

TEST(Protocol, RepliesComeBack)
{
    for (const Reply& reply : {Reply{Text{1, "a\nb\n"}}, Reply{shell::Run{2, {"ping", "-c", "3", "10.0.0.1"}}},
                               Reply{Done{3, 1, "hq(config)# ", "config", "% no", true}},
                               Reply{Done{.id = 4, .prompt = "hq# ", .mode = "exec"}}}) {
        const auto message = encode(reply);
        EXPECT_TRUE(decode_reply(without_newline(message)).value() == reply) << message;
    }
}

TEST(Protocol, RefusesWhatIsNoMessage)
{
    for (const auto* bad : {"", "x", "[]", "1", "{", "{\"id\":1}", "{\"v\":1,\"line\":\"x\"}garbage", "{\"text\":1}",
                            "{\"exec\":{}}", "{\"exec\":{\"argv\":[]}}", "{\"exec\":{\"argv\":[1]}}", "[[[[[[[[[[[["}) {
        EXPECT_FALSE(decode_reply(bad)) << bad;
        EXPECT_FALSE(decode_request(bad)) << bad;
    }
    EXPECT_FALSE(decode_request(std::string(kMaxLine + 1, ' ')));
}

TEST(LineBuffer, CutsAStreamIntoMessages)
{
    LineBuffer buffer;
    EXPECT_TRUE(buffer.append("one\ntw"));
    EXPECT_EQ(buffer.next(), "one");
    EXPECT_EQ(buffer.next(), std::nullopt);
    EXPECT_TRUE(buffer.append("o\n\n"));
    EXPECT_EQ(buffer.next(), "two");
    EXPECT_EQ(buffer.next(), "");
    EXPECT_EQ(buffer.next(), std::nullopt);
}

TEST(LineBuffer, RefusesAMessageThatIsTooLong)
{
    LineBuffer buffer;
    EXPECT_TRUE(buffer.append(std::string(kMaxLine, 'x')));
    EXPECT_FALSE(buffer.append("x"));
}

}  // namespace
}  // namespace culvert::config::shell
