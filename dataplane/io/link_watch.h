#pragma once

namespace culvert::io {

// The kernel's word that the state of some network device changed, in the namespace of the thread that made this. It
// says when to look at Port::link_up(), not what to find there.
class LinkWatch {
public:
    LinkWatch();
    ~LinkWatch();
    LinkWatch(const LinkWatch&) = delete;
    LinkWatch& operator=(const LinkWatch&) = delete;

    // Readable when there is something to look at; -1: the kernel gave none, and only looking often helps.
    int fd() const noexcept { return fd_; }
    // Did anything change since the last call? A fifth of a microsecond when nothing did.
    bool changed() noexcept;

private:
    int fd_;
};

}  // namespace culvert::io
