#pragma once

#include <cstddef>

namespace culvert::io {

// Gives the memory its pages now, so that no worker has to wait for the kernel when it first touches them: a fault
// takes locks that ordinary threads hold, and under a hypervisor perhaps its memory too. What it holds stays as it is,
// but nobody else may be changing it.
void make_resident(void* memory, std::size_t octets) noexcept;

}  // namespace culvert::io
