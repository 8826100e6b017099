#pragma once

#include "base/time.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <functional>
#include <string>
#include <thread>

namespace culvert::io::lab {

// What a command prints, and its standard error.
inline std::string output(const std::string& command)
{
    FILE* pipe = popen((command + " 2>&1").c_str(), "r");
    std::string text;
    if (!pipe) return text;
    std::array<char, 4096> part;
    while (const std::size_t n = fread(part.data(), 1, part.size(), pipe)) text.append(part.data(), n);
    pclose(pipe);
    return text;
}

inline void must(const std::string& command)
{
    const std::string text = output(command + " && echo done-well");
    if (!text.ends_with("done-well\n")) ADD_FAILURE() << command << ": " << text;
}

// A network namespace "iohPID-NAME" for as long as the object lives.
class Namespace {
public:
    explicit Namespace(const std::string& name) : name_(fmt::format("ioh{}-{}", getpid(), name))
    {
        must("ip netns add " + name_ + " && ip -n " + name_ + " link set lo up");
    }
    ~Namespace() { output("ip netns del " + name_); }
    Namespace(const Namespace&) = delete;
    Namespace& operator=(const Namespace&) = delete;

    const std::string& name() const { return name_; }
    void ip(const std::string& arguments) const { must("ip -n " + name_ + " " + arguments); }
    std::string run(const std::string& command) const { return output("ip netns exec " + name_ + " " + command); }

    // On a thread that lives and ends inside.
    void inside(const std::function<void()>& work) const
    {
        std::thread([&] {
            const int fd = open(("/run/netns/" + name_).c_str(), O_RDONLY | O_CLOEXEC);
            ASSERT_GE(fd, 0);
            ASSERT_EQ(setns(fd, CLONE_NEWNET), 0);
            close(fd);
            work();
        }).join();
    }

private:
    std::string name_;
};

inline void veth(const Namespace& a, const std::string& name_a, const Namespace& b, const std::string& name_b)
{
    must(fmt::format("ip -n {} link add {} type veth peer name {} netns {}", a.name(), name_a, name_b, b.name()));
    a.ip("link set " + name_a + " up");
    b.ip("link set " + name_b + " up");
}

// All that must be as before when a netdev was given back.
inline std::string picture(const Namespace& ns, const std::string& device)
{
    std::string text;
    for (const std::string command : {"ip -d addr show dev ", "ip route show table all dev ",
                                      "ip -6 route show table all dev ", "ethtool -k ", "cat /proc/sys/net/ipv6/conf/"})
        text += ns.run(command + device + (command.starts_with("cat") ? "/disable_ipv6" : ""));
    text += ns.run("nft list ruleset");
    // Duplicate detection of the addresses that came back runs for a second or two.
    for (std::size_t at; (at = text.find(" tentative")) != std::string::npos;) text.erase(at, 10);
    return text;
}

}  // namespace culvert::io::lab
