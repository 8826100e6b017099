// Fragments in any order, of any size, from anybody, through the reassembly alone: it stays within its bounds, every
// buffer ends exactly once, and a datagram that comes out is made of what went in, octet for octet.
//
// Input: pieces of { what, id, offset 16, length 16 }. The octets of a datagram are a function of its id and place; a
// forged piece has others, which must never meet those at the same place.

#include "dataplane/node/reassembly.h"

#include "base/check.h"
#include "tests/unit/node/router.h"

#include <algorithm>

using namespace culvert;
using namespace culvert::dataplane::test;
using node::PacketList;
using node::Reassembly;

namespace {

constexpr Reassembly::Limits kLimits{.datagrams = 16, .fragments = 64, .of_sender = 12, .of_datagram = 16};

std::uint8_t octet(std::uint8_t id, std::size_t at) { return static_cast<std::uint8_t>(at * 31 + id * 7 + (at >> 8)); }

Octets fragment(bool v6, std::uint8_t id, std::size_t offset, std::size_t length, bool more, std::uint8_t forged)
{
    Octets out(v6 ? 48 : 20);
    const auto sender = id % 4u;
    if (v6) {
        auto from = ip6("2001:db8::1");
        from.octets[15] = static_cast<std::uint8_t>(sender);
        header6(out) = {6u << 28, static_cast<std::uint16_t>(8 + length), 44, 64, from, ip6("2001:db8::ff")};
        *reinterpret_cast<wire::Ipv6FragmentHeader*>(out.data() + 40) = {
            17, 0, static_cast<std::uint16_t>(offset | (more ? 1 : 0)), id};
    } else {
        header4(out) = {0x45,
                        0,
                        static_cast<std::uint16_t>(20 + length),
                        id,
                        static_cast<std::uint16_t>(offset / 8 | (more ? 0x2000 : 0)),
                        64,
                        17,
                        {},
                        0x0a000000u + sender,
                        0x0a090001u};
        header4(out).compute_checksum();
    }
    for (std::size_t i = 0; i < length; ++i) out.push_back(static_cast<std::uint8_t>(octet(id, offset + i) ^ forged));
    return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    pool();
    {
        Reassembly table{kLimits, 5};
        TimePoint now{1h};
        std::size_t made = 0, ended = 0, joined = 0;
        const auto take = [&](PacketList& out) {
            while (!out.empty()) {
                rte_mbuf* m = out.pop();
                ++ended;
                const auto& meta = node::metadata(m);
                if (meta.stage == node::Stage::Lookup4 || meta.stage == node::Stage::Lookup6) {
                    const auto bytes = node::data(m);
                    const bool v6 = bytes[0] >> 4 == 6;
                    const std::size_t header = v6 ? 40 : 20;
                    CULVERT_CHECK(bytes.size() <= kLimits.largest && meta.length == bytes.size());
                    Octets whole(bytes.begin(), bytes.end());
                    CULVERT_CHECK(v6 || (checksum4_intact(whole) && +header4(whole).fragment == 0));
                    // Each octet is the true one or a forged one; nothing else was ever sent.
                    const auto id = v6 ? std::uint8_t{0} : static_cast<std::uint8_t>(header4(whole).id);
                    if (!v6) {
                        for (std::size_t i = header; i < whole.size(); ++i) {
                            const auto want = octet(id, i - header);
                            CULVERT_CHECK(whole[i] == want || whole[i] == static_cast<std::uint8_t>(want ^ 0x5a));
                        }
                    }
                    ++joined;
                }
                rte_pktmbuf_free(m);
            }
        };
        Reader in{{data, size}};
        while (!in.empty()) {
            const auto what = in.u8();
            const auto id = in.u8();
            const std::size_t offset = in.u16() % 9200 / 8 * 8;
            std::size_t length = in.u16() % 600;
            if ((what & 7) == 7) {
                now += Duration{10ms} * id;
                PacketList out;
                table.expire(now, out);
                take(out);
                continue;
            }
            const bool more = (what & 0x10) != 0;
            if (more && (what & 0x20) == 0) length = length / 8 * 8;
            rte_mbuf* m = buffer(fragment((what & 8) != 0, id, offset, length, more, (what & 0x40) != 0 ? 0x5a : 0));
            ++made;
            auto& meta = node::begin(m, now);
            meta.length = m->data_len;
            meta.protection = ProtectionId{static_cast<std::uint32_t>(what >> 7)};
            PacketList out;
            table.add(m, now, out);
            take(out);
            CULVERT_CHECK(table.datagrams() <= kLimits.datagrams && table.fragments() <= kLimits.fragments);
            CULVERT_CHECK(made == ended + table.fragments());
            CULVERT_CHECK(pool().in_use() == table.fragments());
        }
        auto rest = table.release_all();
        take(rest);
        CULVERT_CHECK(made == ended && table.datagrams() == 0);
    }
    CULVERT_CHECK(pool().in_use() == 0);
    return 0;
}
