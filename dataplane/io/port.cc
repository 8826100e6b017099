#include "dataplane/io/port.h"

#include "base/check.h"
#include "dataplane/io/ethdev_port.h"
#include "dataplane/io/guardian.h"
#include "dataplane/io/packet_port.h"

namespace culvert::io {

Result<std::unique_ptr<Port>, api::PortError> open_port(const api::PortSpec& spec, const PortOptions& options)
{
    CULVERT_CHECK(options.pool != nullptr);
    if (spec.kind != api::PortKind::Kernel) return EthdevPort::open(spec, options);
    CULVERT_CHECK(options.guardian != nullptr && index(options.own_id) >= kFirstOwnPort);
    return PacketPort::open(spec, options);
}

Result<void, api::PortError> check_port(const api::PortSpec& spec)
{
    if (spec.kind != api::PortKind::Kernel) return EthdevPort::check(spec);
    if (const auto fine = check_netdev(spec.device, spec.force); !fine) return Error{api::PortError{fine.error()}};
    return {};
}

}  // namespace culvert::io
