#pragma once

#include "base/result.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace culvert::io {

enum class MemoryMode : std::uint8_t {
    Auto,       // huge pages when a mapping of the wanted size succeeds, else anonymous
    HugePages,  // fails when there are not enough
    Anonymous,  // ordinary pages
};

struct EalOptions {
    MemoryMode memory = MemoryMode::Auto;
    std::size_t octets = 0;  // what EAL reserves for packet buffers and drivers; 0: kDefaultMemory
    // With Auto: when another process takes the huge pages between the probe and EAL's start (which can't be repeated
    // in a process), start this program afresh with anonymous memory. Only for a main that has done nothing yet.
    bool restart_program = false;
};

inline constexpr std::size_t kDefaultMemory = std::size_t{128} << 20;

struct EalError {
    std::string message;  // what failed, EAL's own last lines, and the cure
};

// DPDK's environment, once per process. Starts no thread that does work: workers are threads of ours, each with an
// LcoreRegistration. The caller's affinity is what it was before; no PCI device is probed before a port names it; EAL's
// own log lines go to base/log, area "dpdk". Takes 0.15-0.4 s.
class Eal {
public:
    static Result<std::unique_ptr<Eal>, EalError> start(const EalOptions& options);
    ~Eal();
    Eal(const Eal&) = delete;
    Eal& operator=(const Eal&) = delete;

    MemoryMode memory() const noexcept { return memory_; }  // HugePages or Anonymous
    std::size_t octets() const noexcept { return octets_; }

private:
    Eal(MemoryMode memory, std::size_t octets) : memory_(memory), octets_(octets) {}

    MemoryMode memory_;
    std::size_t octets_;
};

// Whether `octets` of huge pages can be had now: maps and touches them, and gives them back.
bool huge_pages_available(std::size_t octets);

}  // namespace culvert::io
