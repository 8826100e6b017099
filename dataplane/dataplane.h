#pragma once

#include "base/result.h"
#include "dataplane/api/dataplane.h"
#include "dataplane/io/eal.h"

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

namespace culvert::io {
class Guardian;
}

namespace culvert::dataplane {

struct Options {
    std::size_t workers = 0;     // 0: one less than the CPUs, at least 1, at most 4
    std::vector<unsigned> cpus;  // `workers cpu LIST`: one pinned worker on each; `workers` is not read then
    bool poll_busy = false;      // workers never sleep
    bool realtime = true;        // workers that have BFD sessions go before all other threads (docs/adr/0021)
    io::MemoryMode memory = io::MemoryMode::Auto;
    std::size_t memory_octets = 0;                 // for EAL; 0: its default
    bool restart_program = false;                  // see io::EalOptions
    std::size_t max_peers = std::size_t{1} << 15;  // WireGuard peers: PeerIds are below
    io::Guardian* guardian = nullptr;              // for ports that are kernel netdevs; must outlive the dataplane
    bool eal_runs = false;  // the caller has started EAL (it can't be started twice in a process)
};

// How many workers the options mean on this machine.
std::size_t worker_count(const Options& options);

// Starts EAL, the fib-writer, the host link and the workers. They end when the object goes: held packets are dropped,
// ports given back. The error is a sentence with the cure.
Result<std::unique_ptr<api::Dataplane>, std::string> make_dataplane(const Options& options);

}  // namespace culvert::dataplane
