#include "controlplane/runtime/password.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace culvert::runtime {
namespace {

constexpr std::size_t kLongest = 80;  // TCP_MD5SIG_MAXKEYLEN

}  // namespace

Result<std::string, SystemError> read_password(const config::Secret& secret)
{
    if (secret.file.empty()) return secret.value;
    const auto refused = [&](const std::string& why) { return Error{SystemError{secret.file + ": " + why}}; };
    const Descriptor fd{open(secret.file.c_str(), O_RDONLY | O_CLOEXEC)};
    if (!fd) return refused(std::string{std::strerror(errno)} + "; write the key into this file and: chmod 600");
    struct stat about;
    if (fstat(fd.get(), &about) != 0) return refused(std::strerror(errno));
    if (!S_ISREG(about.st_mode)) return refused("not a regular file");
    if ((about.st_mode & 077) != 0) return refused("others may read it; chmod 600 " + secret.file);
    std::array<char, kLongest + 2> buffer;
    const auto n = read(fd.get(), buffer.data(), buffer.size());
    if (n < 0) return refused(std::strerror(errno));
    std::string line{buffer.data(), static_cast<std::size_t>(n)};
    explicit_bzero(buffer.data(), buffer.size());
    line.resize(std::min(line.find_first_of("\r\n"), line.size()));
    if (line.empty()) return refused("holds no key");
    if (line.size() > kLongest) return refused("a TCP-MD5 key has at most 80 octets");
    return line;
}

}  // namespace culvert::runtime
