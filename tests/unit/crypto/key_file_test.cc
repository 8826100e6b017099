#include "crypto/key_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <string>

namespace culvert::crypto {
namespace {

using testing::HasSubstr;

constexpr const char* kKey = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

class KeyFile : public testing::Test {
protected:
    void SetUp() override
    {
        char name[] = "/tmp/culvert-key-XXXXXX";
        ASSERT_NE(mkdtemp(name), nullptr);
        folder_ = name;
        path_ = folder_ + "/wg0.key";
    }
    void TearDown() override
    {
        unlink(path_.c_str());
        rmdir(path_.c_str());
        rmdir(folder_.c_str());
    }
    void write(const std::string& text, mode_t mode = 0600)
    {
        std::FILE* const f = std::fopen(path_.c_str(), "w");
        ASSERT_NE(f, nullptr);
        std::fwrite(text.data(), 1, text.size(), f);
        std::fclose(f);
        ASSERT_EQ(chmod(path_.c_str(), mode), 0);
    }
    std::string error()
    {
        const auto key = read_key_file(path_);
        return key ? "no error" : key.error().message;
    }

    std::string folder_;
    std::string path_;
};

TEST_F(KeyFile, ReadsWhatWgGenkeyWrites)
{
    write(std::string(kKey) + "\n");
    const auto key = read_key_file(path_);
    ASSERT_TRUE(key) << key.error().message;
    for (std::size_t i = 0; i < 32; ++i) EXPECT_EQ(key->reveal()[i], i);
}

TEST_F(KeyFile, MissingNamesTheCure)
{
    EXPECT_THAT(error(), HasSubstr(path_));
    EXPECT_THAT(error(), HasSubstr("does not exist"));
    EXPECT_THAT(error(), HasSubstr("wg genkey"));
}

TEST_F(KeyFile, ReadableByOthersNamesTheCure)
{
    for (const mode_t mode : {0640, 0604, 0620, 0644, 0610}) {
        write(kKey, mode);
        EXPECT_THAT(error(), HasSubstr("chmod 600 " + path_)) << mode;
    }
    write(kKey, 0400);
    EXPECT_EQ(error(), "no error");
}

TEST_F(KeyFile, AnythingElseIsNoKey)
{
    for (const std::string& text :
         {std::string{}, std::string{"\n"}, std::string{"hello"}, std::string{kKey, 43}, std::string{kKey} + "=",
          std::string{"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh9="}, std::string{kKey} + "\n" + kKey,
          std::string{"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh-="}, std::string(10'000, 'A')}) {
        write(text);
        EXPECT_THAT(error(), HasSubstr("not a key")) << text.substr(0, 60);
        EXPECT_THAT(error(), testing::Not(HasSubstr("AAEC"))) << "a message must not hold what might be a key";
    }
}

TEST_F(KeyFile, AFolderIsNoKeyFile)
{
    ASSERT_EQ(mkdir(path_.c_str(), 0700), 0);
    EXPECT_THAT(error(), HasSubstr("not a regular file"));
}

TEST_F(KeyFile, APipeDoesNotBlock)
{
    ASSERT_EQ(mkfifo(path_.c_str(), 0600), 0);
    EXPECT_THAT(error(), HasSubstr("not a regular file"));
}

TEST(Base64Key, RoundTrip)
{
    const auto key = parse_public_key(kKey);
    ASSERT_TRUE(key);
    EXPECT_EQ(to_base64(*key), kKey);
    EXPECT_FALSE(parse_public_key(""));
    EXPECT_TRUE(parse_secret_key(kKey));
}

}  // namespace
}  // namespace culvert::crypto
