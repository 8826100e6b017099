#pragma once

#include "dataplane/node/metadata.h"

#include <cstddef>

namespace culvert::node {

// Packets in order, oldest first, linked through their metadata: no bound and no allocation.
class PacketList {
public:
    bool empty() const noexcept { return head_ == nullptr; }
    std::size_t size() const noexcept { return size_; }
    rte_mbuf* front() const noexcept { return head_; }
    void push(rte_mbuf* m) noexcept
    {
        metadata(m).next = nullptr;
        (head_ == nullptr ? head_ : metadata(tail_).next) = m;
        tail_ = m;
        ++size_;
    }
    rte_mbuf* pop() noexcept
    {
        rte_mbuf* m = head_;
        head_ = metadata(m).next;
        --size_;
        return m;
    }
    void append(PacketList& other) noexcept
    {
        if (other.empty()) return;
        (head_ == nullptr ? head_ : metadata(tail_).next) = other.head_;
        tail_ = other.tail_;
        size_ += other.size_;
        other = {};
    }

private:
    rte_mbuf* head_ = nullptr;
    rte_mbuf* tail_ = nullptr;
    std::size_t size_ = 0;
};

}  // namespace culvert::node
