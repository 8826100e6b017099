#include "dataplane/api/bfd.h"

namespace culvert::api {

std::string_view to_string(TimestampSource source) noexcept
{
    switch (source) {
        case TimestampSource::None: return "none";
        case TimestampSource::NicMbuf: return "nic";
        case TimestampSource::NicTimesync: return "nic-timesync";
        case TimestampSource::Tsc: return "tsc";
    }
    return "none";
}

}  // namespace culvert::api
