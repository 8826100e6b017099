// The codec of WireGuard's messages: what decodes encodes to the same octets, and nothing else is taken.
#include "controlplane/wireguard/message.h"

#include <algorithm>
#include <cstdlib>

using namespace culvert;
using namespace culvert::wireguard;

namespace {

template <class Message, std::size_t kSize>
bool same(Bytes input)
{
    const auto message = Message::decode(input);
    if (!message) return false;
    std::array<std::uint8_t, kSize> out;
    message->encode(out);
    if (!std::equal(out.begin(), out.end(), input.begin())) std::abort();
    return true;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    const Bytes input{data, size};
    const int taken = same<Initiation, kInitiationSize>(input) + same<Response, kResponseSize>(input) +
                      same<CookieReply, kCookieReplySize>(input) + same<DataHeader, kDataHeaderSize>(input);
    if (taken > 1) std::abort();
    if (taken == 1 && !type_of(input)) std::abort();
    return 0;
}
