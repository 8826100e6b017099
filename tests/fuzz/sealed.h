#pragma once

#include "base/bytes.h"
#include "base/time.h"
#include "crypto/aead.h"
#include "dataplane/api/verdict.h"
#include "tests/fuzz/up_to.h"

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <set>
#include <vector>

namespace culvert::fuzz {

using Packet = std::vector<std::uint8_t>;

inline crypto::AeadContext& cipher()
{
    static crypto::AeadContext aead;  // takes milliseconds to set up
    return aead;
}

// Two ends of a tunnel: the input alters, repeats, reorders and makes up packets between them, in bursts. What is
// accepted is what was sealed, whole, and never twice. An Ends has
//   kOperations              of the input: four, or five where it can craft
//   Packet seal(inner)       one end's, of an IP packet
//   bool craft(in, packets)  appends a packet of the input's own under the right key, unless it is not one for that
//   bool crafted(packet)
//   open(packets)            the other end's, in place: what is inside of each that is accepted
template <class Ends>
void between(Ends& ends, Reader& in)
{
    std::vector<Packet> sealed;  // what was sent; number i carries i
    std::set<std::uint32_t> arrived;
    while (!in.empty()) {
        const std::size_t burst = 1 + in.u8() % 8;
        std::vector<Packet> packets;
        for (std::size_t i = 0; i < burst; ++i) {
            const std::uint8_t op = in.u8();
            const int what = op % Ends::kOperations;
            if (what == 4 && ends.craft(in, packets)) continue;
            if (what == 0 || sealed.empty()) {
                Packet inner(24u + in.u8());
                const auto number = static_cast<std::uint32_t>(sealed.size());
                inner[0] = 0x45;
                inner[2] = static_cast<std::uint8_t>(inner.size() >> 8);
                inner[3] = static_cast<std::uint8_t>(inner.size());
                std::memcpy(inner.data() + 20, &number, 4);
                sealed.push_back(ends.seal(inner));
                packets.push_back(sealed.back());
            } else if (what == 1) {
                packets.push_back(sealed[in.u8() % sealed.size()]);
            } else if (what == 2) {
                auto altered = sealed[in.u8() % sealed.size()];
                altered[in.u16() % altered.size()] ^= static_cast<std::uint8_t>(in.u8() | 1);
                if (op & 0x80) altered.resize(in.u8() % (altered.size() + 1));
                packets.push_back(std::move(altered));
            } else {
                const Bytes bytes = up_to(in.u8(), in);
                packets.emplace_back(bytes.begin(), bytes.end());
            }
        }
        const auto original = packets;
        const std::vector<std::optional<Bytes>> accepted = ends.open(packets);
        for (std::size_t i = 0; i < packets.size(); ++i) {
            if (!accepted[i]) continue;
            // Whatever is handed out lies within the packet.
            const Bytes inner = *accepted[i];
            const auto* begin = packets[i].data();
            if (inner.data() < begin || inner.data() + inner.size() > begin + packets[i].size()) std::abort();
            if (ends.crafted(original[i])) continue;
            std::uint32_t number;
            std::memcpy(&number, inner.data() + 20, 4);
            if (number >= sealed.size() || original[i] != sealed[number] || !arrived.insert(number).second)
                std::abort();
        }
    }
}

// The jobs of a burst, and what they accepted.
template <class Job, class Table>
std::vector<std::optional<Bytes>> open_all(Table& table, std::vector<Packet>& packets, const Job& like, TimePoint now)
{
    std::vector<Job> jobs(packets.size(), like);
    for (std::size_t i = 0; i < jobs.size(); ++i) {
        jobs[i].data = packets[i].data();
        jobs[i].length = static_cast<std::uint32_t>(packets[i].size());
    }
    table.open(jobs, now);
    std::vector<std::optional<Bytes>> out(jobs.size());
    for (std::size_t i = 0; i < jobs.size(); ++i)
        if (jobs[i].verdict == api::Verdict::Forward) out[i] = Bytes{jobs[i].inner, jobs[i].inner_length};
    return out;
}

}  // namespace culvert::fuzz
