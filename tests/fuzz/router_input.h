#pragma once

#include "base/check.h"
#include "tests/fuzz/up_to.h"
#include "tests/unit/node/router.h"

namespace culvert::fuzz {

using dataplane::test::header4;
using dataplane::test::header6;
using dataplane::test::Octets;
using dataplane::test::Router;

// The router of a process, made once: it lives on from input to input.
template <class Populate>
Router& router(Populate&& populate)
{
    dataplane::test::pool();
    static auto* const router = [&] {
        auto* r = new Router;
        populate(*r);
        return r;
    }();
    return *router;
}

// A piece of the input: its length in 16 bits, then its octets.
inline Octets piece(Reader& in, std::size_t most = 2000)
{
    const auto bytes = up_to(in.u16() % most, in);
    return {bytes.begin(), bytes.end()};
}

// Lengths and checksum of an IP header as they ought to be, so that the fuzzer needn't find them.
inline void mend(Octets& p)
{
    if (p.size() >= 20 && p[0] >> 4 == 4 && 4u * (p[0] & 15) <= p.size()) {
        header4(p).total_length = static_cast<std::uint16_t>(p.size());
        header4(p).compute_checksum();
    } else if (p.size() >= 40 && p[0] >> 4 == 6) {
        header6(p).payload_length = static_cast<std::uint16_t>(p.size() - 40);
    }
}

// Every packet has ended exactly once.
inline void end(Router& r)
{
    r.sent.clear();
    r.host.clear();
    r.events();
    r.punts();
    r.pipeline.shut_down();
    CULVERT_CHECK(dataplane::test::pool().in_use() == 0);
}

}  // namespace culvert::fuzz
