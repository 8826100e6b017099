#include "crypto/key_file.h"

#include <fmt/format.h>
#include <sodium.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace culvert::crypto {
namespace {

constexpr std::size_t kKeyText = 44;  // characters
constexpr std::size_t kFileMax = 256;

bool decode(std::string_view base64, std::span<std::uint8_t, 32> out) noexcept
{
    std::size_t octets = 0;
    const char* end = nullptr;
    return base64.size() == kKeyText &&
           sodium_base642bin(out.data(), out.size(), base64.data(), base64.size(), nullptr, &octets, &end,
                             sodium_base64_VARIANT_ORIGINAL) == 0 &&
           octets == out.size() && end == base64.data() + base64.size();
}

std::string_view trimmed(std::string_view text) noexcept
{
    constexpr std::string_view kWhite = " \t\r\n";
    const auto first = text.find_first_not_of(kWhite);
    if (first == std::string_view::npos) return {};
    return text.substr(first, text.find_last_not_of(kWhite) - first + 1);
}

struct Descriptor {
    int fd;
    ~Descriptor()
    {
        if (fd >= 0) close(fd);
    }
};

Error<KeyFileError> failure(const std::string& path, std::string_view what)
{
    return Error{KeyFileError{fmt::format("key file {}: {}", path, what)}};
}

// Reads a regular file that only its owner may read. `parse` gets its text without the white space around it.
template <class Key, class Parse>
Result<Key, KeyFileError> read_key(const std::string& path, std::string_view cure, Parse&& parse,
                                   std::string_view expected)
{
    // Not blocking: the name may be that of a pipe.
    const Descriptor file{open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
    if (file.fd < 0) {
        if (errno == ENOENT) return failure(path, fmt::format("does not exist ({})", cure));
        return failure(path, std::strerror(errno));
    }
    struct stat status {};
    if (fstat(file.fd, &status) != 0) return failure(path, std::strerror(errno));
    if (!S_ISREG(status.st_mode)) return failure(path, "not a regular file");
    if ((status.st_mode & 077) != 0)
        return failure(path, fmt::format("others than its owner may use it, mode {:04o} (cure: chmod 600 {})",
                                         status.st_mode & 07777, path));

    std::array<char, kFileMax + 1> text;
    std::size_t size = 0;
    bool failed = false;
    while (size < text.size() && !failed) {
        const ssize_t got = read(file.fd, text.data() + size, text.size() - size);
        if (got == 0) break;
        if (got > 0)
            size += static_cast<std::size_t>(got);
        else
            failed = errno != EINTR;
    }
    const int error = errno;
    auto key = size <= kFileMax ? parse(trimmed({text.data(), size})) : std::nullopt;
    wipe(text.data(), text.size());
    if (failed) return failure(path, std::strerror(error));
    if (!key) return failure(path, fmt::format("not a key: {}", expected));
    return std::move(*key);
}

}  // namespace

std::optional<Secret<32>> parse_secret_key(std::string_view base64) noexcept
{
    Secret<32> key;
    if (!decode(base64, key.reveal_for_writing())) return std::nullopt;
    return key;
}

std::optional<std::array<std::uint8_t, 32>> parse_public_key(std::string_view base64) noexcept
{
    std::array<std::uint8_t, 32> key;
    if (!decode(base64, key)) return std::nullopt;
    return key;
}

std::string to_base64(const std::array<std::uint8_t, 32>& key)
{
    char text[kKeyText + 1];
    sodium_bin2base64(text, sizeof text, key.data(), key.size(), sodium_base64_VARIANT_ORIGINAL);
    return text;
}

std::optional<HexKey> parse_hex_key(std::string_view hex, std::size_t octets) noexcept
{
    HexKey key;
    std::size_t got = 0;
    const char* end = nullptr;
    if (octets > kMaxHexKey || hex.size() != 2 * octets) return std::nullopt;
    const auto out = key.reveal_for_writing();
    if (sodium_hex2bin(out.data(), out.size(), hex.data(), hex.size(), nullptr, &got, &end) != 0 || got != octets ||
        end != hex.data() + hex.size())
        return std::nullopt;
    return key;
}

Result<Secret<32>, KeyFileError> read_key_file(const std::string& path)
{
    return read_key<Secret<32>>(
        path, fmt::format("make one: (umask 077; wg genkey > {})", path),
        [](auto text) { return parse_secret_key(text); },
        "expected 32 octets in base64 (44 characters), as `wg genkey` prints");
}

Result<HexKey, KeyFileError> read_hex_key_file(const std::string& path, std::size_t octets)
{
    return read_key<HexKey>(
        path, fmt::format("make one: (umask 077; openssl rand -hex {} > {})", octets, path),
        [octets](auto text) { return parse_hex_key(text, octets); },
        fmt::format("expected {} octets in hexadecimal ({} digits)", octets, 2 * octets));
}

}  // namespace culvert::crypto
