#pragma once

#include "dataplane/fib/tables.h"

namespace culvert::node {

// Interfaces of a burst repeat.
class InterfaceCache {
public:
    explicit InterfaceCache(const fib::Tables& tables) noexcept : tables_(tables) {}
    const fib::Interface* find(InterfaceId id) noexcept
    {
        if (id != id_) {
            id_ = id;
            interface_ = id == kNoInterface ? nullptr : tables_.interface(id);
        }
        return interface_;
    }

private:
    const fib::Tables& tables_;
    InterfaceId id_{kNoInterface};
    const fib::Interface* interface_ = nullptr;
};

}  // namespace culvert::node
