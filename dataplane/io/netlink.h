#pragma once

#include "base/bytes.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string_view>
#include <vector>

struct nlmsghdr;

namespace culvert::io {

// One netlink request being written: header, the protocol's own header, attributes.
class NetlinkMessage {
public:
    template <class Header>
    NetlinkMessage(std::uint16_t type, std::uint16_t flags, const Header& header)
        : NetlinkMessage(type, flags, Bytes{reinterpret_cast<const std::uint8_t*>(&header), sizeof header})
    {}
    NetlinkMessage(std::uint16_t type, std::uint16_t flags, Bytes header);

    void attribute(std::uint16_t type, Bytes value);
    void text(std::uint16_t type, std::string_view value);  // with its final zero
    void u32(std::uint16_t type, std::uint32_t value);      // the machine's order
    void be32(std::uint16_t type, std::uint32_t value);
    std::size_t begin(std::uint16_t type);  // a nest
    void end(std::size_t nest);

    // Length filled in, padded.
    Bytes bytes(std::uint32_t sequence);

private:
    void pad();
    std::vector<std::uint8_t> data_;
};

// A message of the kernel's answer: its type, and what follows the netlink header.
struct NetlinkAnswer {
    std::uint16_t type = 0;
    Bytes payload;
};

// The value of an attribute behind the protocol's own header of `header` octets; data() is null when it isn't there.
Bytes netlink_attribute(Bytes payload, std::size_t header, std::uint16_t type) noexcept;

// A blocking netlink socket in the calling thread's network namespace. Errors are errno values, 0 is success.
class NetlinkSocket {
public:
    explicit NetlinkSocket(int protocol);
    ~NetlinkSocket();
    NetlinkSocket(NetlinkSocket&& other) noexcept;
    NetlinkSocket& operator=(NetlinkSocket&&) = delete;

    bool ok() const noexcept { return fd_ >= 0; }
    // Sends a request and waits for its acknowledgement; `on_answer` sees what comes before that.
    int request(NetlinkMessage& message, const std::function<void(const NetlinkAnswer&)>& on_answer = {});
    int dump(NetlinkMessage& message, const std::function<void(const NetlinkAnswer&)>& on_answer);
    // Several messages as one transaction (nf_tables): the first error of any of them.
    int batch(std::span<NetlinkMessage> messages);

private:
    int receive(std::uint32_t last, bool dump, const std::function<void(const NetlinkAnswer&)>& on_answer);

    int fd_;
    std::uint32_t sequence_ = 1;
};

}  // namespace culvert::io
