#include "dataplane/io/packet_port.h"

#include "base/log.h"
#include "dataplane/io/packet_pool.h"
#include "dataplane/io/receive_stamps.h"
#include "dataplane/io/resident.h"
#include "dataplane/io/silence.h"

#include <fmt/format.h>
#include <rte_mbuf.h>

#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <ctime>

namespace culvert::io {
namespace {

constexpr unsigned kRxSlots = 32;  // frames a recvmmsg
constexpr unsigned kTxSlots = 32;
constexpr std::size_t kSpill = 65536 + 64;  // the part of a large segment that its mbuf has no room for
constexpr int kSocketBuffer = 8 << 20;
constexpr std::uint16_t kVlan = 0x8100;
constexpr int kIgnoreOutgoing = 23;  // PACKET_IGNORE_OUTGOING, Linux 4.20

struct AuxControl {
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(tpacket_auxdata)) + CMSG_SPACE(sizeof(timespec))> octets;
};

template <class T>
int set_option(int fd, int level, int name, const T& value)
{
    return setsockopt(fd, level, name, &value, sizeof value) == 0 ? 0 : errno;
}

// One writer: the queue's thread.
void add(std::atomic<std::uint64_t>& counter, std::uint64_t n) noexcept
{
    counter.store(counter.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
}

// What rx_[1] hears and rx_[0] doesn't: ARP and neighbour discovery; IPv4 and IPv6 of precedence 6 and 7; BFD whatever
// its precedence.
std::vector<sock_filter> control_filter(bool control)
{
    constexpr std::uint32_t kAll = 0x40000;
    const std::uint32_t yes = control ? kAll : 0, no = control ? 0 : kAll;
    // Jumps are to places counted from the next instruction; the last two are yes and no.
    enum : std::uint8_t { kYes = 28, kNo = 29 };
    std::vector<sock_filter> p;
    const auto to = [&](std::uint8_t place) { return static_cast<std::uint8_t>(place - p.size() - 1); };
    const auto load = [&](std::uint16_t width, std::uint32_t at) {
        p.push_back(BPF_STMT(static_cast<std::uint16_t>(BPF_LD | width | BPF_ABS), at));
    };
    const auto equal = [&](std::uint32_t value, std::uint8_t then, std::uint8_t otherwise) {
        p.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, to(then), to(otherwise)));
    };
    load(BPF_H, 12);                                                          // 0
    equal(ETH_P_ARP, kYes, 2);                                                // 1
    equal(ETH_P_IP, 4, 3);                                                    // 2
    equal(ETH_P_IPV6, 15, kNo);                                               // 3
    load(BPF_B, 15);                                                          // 4: type of service
    p.push_back(BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 0xc0, to(kYes), to(6)));  // 5
    load(BPF_B, 23);                                                          // 6
    equal(IPPROTO_UDP, 8, kNo);                                               // 7
    load(BPF_H, 20);                                                          // 8: only whole packets and first parts
    p.push_back(BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 0x1fff, to(kNo), to(10)));  // 9
    p.push_back(BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 14));                        // 10: header length
    p.push_back(BPF_STMT(BPF_LD | BPF_H | BPF_IND, 16));                         // 11: destination port
    equal(3784, kYes, 13);                                                       // 12
    equal(3785, kYes, 14);                                                       // 13
    equal(4784, kYes, kNo);                                                      // 14
    load(BPF_H, 14);                                                             // 15: version, traffic class
    p.push_back(BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0x0fff));                    // 16
    p.push_back(BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 0x0c00, to(kYes), to(18)));  // 17
    load(BPF_B, 20);                                                             // 18
    equal(IPPROTO_UDP, 24, 20);                                                  // 19
    equal(IPPROTO_ICMPV6, 21, kNo);                                              // 20
    load(BPF_B, 54);                                                             // 21: neighbour discovery, RFC 4861
    p.push_back(BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 133, to(23), to(kNo)));      // 22
    p.push_back(BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, 137, to(kNo), to(kYes)));    // 23
    load(BPF_H, 56);                                                             // 24
    equal(3784, kYes, 26);                                                       // 25
    equal(3785, kYes, 27);                                                       // 26
    equal(4784, kYes, kNo);                                                      // 27
    p.push_back(BPF_STMT(BPF_RET | BPF_K, yes));                                 // 28
    p.push_back(BPF_STMT(BPF_RET | BPF_K, no));                                  // 29
    return p;
}

}  // namespace

// What one thread needs of the port, in its own cache lines.
class alignas(64) PacketPort::Queue {
public:
    Queue(rte_mempool* pool, std::uint16_t port) : pool_(pool), port_(port)
    {
        make_resident(spill_.get(), kRxSlots * kSpill);  // the kernel writes there in our time
        for (unsigned i = 0; i < kRxSlots; ++i) {
            rx_iov_[i] = {{{&rx_vnet_[i], sizeof rx_vnet_[i]}, {nullptr, kRoom}, {spill(i), kSpill}}};
            rx_messages_[i].msg_hdr.msg_iov = rx_iov_[i].data();
            rx_messages_[i].msg_hdr.msg_iovlen = rx_iov_[i].size();
            rx_messages_[i].msg_hdr.msg_control = rx_control_[i].octets.data();
        }
    }
    ~Queue()
    {
        for (const int fd : rx_)
            if (fd >= 0) close(fd);
        if (tx_ >= 0) close(tx_);
        for (unsigned i = 0; i < kRxSlots; ++i) rte_pktmbuf_free(slots_[i]);
    }
    Queue(const Queue&) = delete;
    Queue& operator=(const Queue&) = delete;

    // `fanout`: the group to join; 0 makes one. None when there is only one queue.
    int open(int ifindex, bool first, bool shared, std::uint16_t& fanout);

    std::uint16_t receive(rte_mbuf** frames, std::uint16_t max) noexcept;
    std::uint16_t transmit(rte_mbuf** frames, std::uint16_t count) noexcept;
    bool pending() const noexcept { return next_ < filled_; }
    std::span<const int> rx_fds() const noexcept { return {rx_.data(), rx_[1] >= 0 ? 2U : 1U}; }
    bool apart() const noexcept { return from_ == 1; }
    // Frames that the kernel dropped because we didn't fetch them. Any thread.
    std::uint64_t missed() noexcept
    {
        for (const int fd : rx_fds()) {
            tpacket_stats stats{};
            socklen_t size = sizeof stats;
            // Reading them sets them to zero.
            if (getsockopt(fd, SOL_PACKET, PACKET_STATISTICS, &stats, &size) == 0)
                missed_.fetch_add(stats.tp_drops, std::memory_order_relaxed);
        }
        return missed_.load(std::memory_order_relaxed);
    }

    std::atomic<std::uint64_t> rx_packets{0}, rx_octets{0}, rx_dropped{0}, rx_errors{0};
    std::atomic<std::uint64_t> tx_packets{0}, tx_octets{0}, tx_dropped{0};

private:
    // Room for a frame in an mbuf of ours, behind kHeadroom and before kTailroom.
    static constexpr std::size_t kRoom = kDataRoom - kHeadroom - kTailroom;

    static int open_rx(int fd, int ifindex, bool control);
    std::uint8_t* spill(unsigned slot) const noexcept { return spill_.get() + slot * kSpill; }
    unsigned fill() noexcept;
    unsigned fetch(unsigned which, unsigned slots) noexcept;
    rte_mbuf* finish(unsigned slot) noexcept;
    unsigned cut(rte_mbuf** frames, unsigned max) noexcept;
    bool finish_by_control(rte_mbuf& m, const msghdr& message) const noexcept;
    static bool restore_tag(rte_mbuf& m, const tpacket_auxdata& aux) noexcept;

    rte_mempool* pool_;
    std::uint16_t port_;
    StampField stamps_;
    std::array<int, 2> rx_{-1, -1};  // all else, control traffic
    unsigned from_ = 0;              // whose frames the slots hold
    bool full_ = false;              // the last fetch that found any filled every slot
    int tx_ = -1;
    std::atomic<std::uint64_t> missed_{0};

    // The frames of the last recvmmsg: [next_, filled_) are still to be handed out.
    unsigned next_ = 0, filled_ = 0;
    std::optional<Segmenter> segmenter_;  // of slot next_
    std::array<rte_mbuf*, kRxSlots> slots_{};
    std::array<VnetHeader, kRxSlots> rx_vnet_{};
    std::array<std::array<iovec, 3>, kRxSlots> rx_iov_{};
    std::array<mmsghdr, kRxSlots> rx_messages_{};
    std::array<AuxControl, kRxSlots> rx_control_{};
    std::unique_ptr<std::uint8_t[]> spill_ = std::make_unique_for_overwrite<std::uint8_t[]>(kRxSlots * kSpill);
};

// A socket that hears one part of what comes in.
int PacketPort::Queue::open_rx(int fd, int ifindex, bool control)
{
    // More than net.core.rmem_max needs CAP_NET_ADMIN; without it the kernel's limit has to do.
    if (set_option(fd, SOL_SOCKET, SO_RCVBUFFORCE, kSocketBuffer) != 0)
        set_option(fd, SOL_SOCKET, SO_RCVBUF, kSocketBuffer);
    const int one = 1;
    for (const int name : {PACKET_VNET_HDR, PACKET_AUXDATA, kIgnoreOutgoing})
        if (const int e = set_option(fd, SOL_PACKET, name, one); e != 0) return e;
    set_option(fd, SOL_SOCKET, SO_TIMESTAMPNS, one);  // a gain, not a need
    auto filter = control_filter(control);
    const sock_fprog program{static_cast<unsigned short>(filter.size()), filter.data()};
    if (const int e = set_option(fd, SOL_SOCKET, SO_ATTACH_FILTER, program); e != 0) return e;

    sockaddr_ll address{};
    address.sll_family = AF_PACKET;
    address.sll_ifindex = ifindex;
    address.sll_protocol = htons(ETH_P_ALL);
    return bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 ? 0 : errno;
}

int PacketPort::Queue::open(int ifindex, bool first, bool shared, std::uint16_t& fanout)
{
    // Protocol 0: hears nothing until bind names one, when everything is set.
    for (auto& fd : rx_) {
        if (&fd != &rx_[0] && !first) break;
        fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0) return errno;
    }
    tx_ = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (tx_ < 0) return errno;
    if (set_option(tx_, SOL_SOCKET, SO_SNDBUFFORCE, kSocketBuffer) != 0)
        set_option(tx_, SOL_SOCKET, SO_SNDBUF, kSocketBuffer);

    // Multicast of every group (neighbour discovery, RFC 4861) past the NIC's filter, for as long as the socket lives.
    packet_mreq all{};
    all.mr_ifindex = ifindex;
    all.mr_type = PACKET_MR_ALLMULTI;
    if (const int e = set_option(rx_[0], SOL_PACKET, PACKET_ADD_MEMBERSHIP, all); e != 0) return e;
    if (first)
        if (const int e = open_rx(rx_[1], ifindex, true); e != 0) return e;
    if (const int e = open_rx(rx_[0], ifindex, false); e != 0) return e;

    sockaddr_ll address{};
    address.sll_family = AF_PACKET;
    address.sll_ifindex = ifindex;
    if (shared) {
        // By flow, and never with PACKET_FANOUT_FLAG_DEFRAG. The kernel picks a group nobody has: two routers in one
        // network namespace must not meet in one.
        const int type = PACKET_FANOUT_HASH | (fanout == 0 ? PACKET_FANOUT_FLAG_UNIQUEID : 0);
        const int group = fanout | type << 16;
        if (const int e = set_option(rx_[0], SOL_PACKET, PACKET_FANOUT, group); e != 0) return e;
        int made = 0;
        socklen_t size = sizeof made;
        if (getsockopt(rx_[0], SOL_PACKET, PACKET_FANOUT, &made, &size) != 0) return errno;
        fanout = static_cast<std::uint16_t>(made & 0xffff);
    }

    set_option(tx_, SOL_PACKET, PACKET_QDISC_BYPASS, 1);  // a gain, not a need
    if (const int e = set_option(tx_, SOL_SOCKET, SO_MARK, kOwnMark); e != 0) return e;
    address.sll_protocol = 0;
    if (bind(tx_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) return errno;
    return 0;
}

// The kernel strips a frame's outer VLAN tag into its own metadata; it goes back between the addresses and the type.
bool PacketPort::Queue::restore_tag(rte_mbuf& m, const tpacket_auxdata& aux) noexcept
{
    if ((aux.tp_status & TP_STATUS_VLAN_VALID) == 0) return false;
    const std::uint16_t type = (aux.tp_status & TP_STATUS_VLAN_TPID_VALID) != 0 ? aux.tp_vlan_tpid : kVlan;
    auto* frame = reinterpret_cast<std::uint8_t*>(rte_pktmbuf_prepend(&m, 4));
    if (!frame) return false;
    std::memmove(frame, frame + 4, 12);
    const std::uint16_t tag[2] = {htons(type), htons(aux.tp_vlan_tci)};
    std::memcpy(frame + 12, tag, sizeof tag);
    return true;
}

// What the kernel says beside the frame: its VLAN tag, and when it came.
bool PacketPort::Queue::finish_by_control(rte_mbuf& m, const msghdr& message) const noexcept
{
    bool tagged = false;
    for (const cmsghdr* c = CMSG_FIRSTHDR(&message); c;
         c = CMSG_NXTHDR(const_cast<msghdr*>(&message), const_cast<cmsghdr*>(c))) {
        if (c->cmsg_level == SOL_PACKET && c->cmsg_type == PACKET_AUXDATA) {
            tpacket_auxdata aux;
            std::memcpy(&aux, CMSG_DATA(c), sizeof aux);
            tagged = restore_tag(m, aux);
        } else if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMPNS) {
            timespec t;
            std::memcpy(&t, CMSG_DATA(c), sizeof t);
            stamps_.put(m,
                        static_cast<std::uint64_t>(t.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(t.tv_nsec));
        }
    }
    return tagged;
}

// Gets the next frames from the kernel. Zero: nothing there, or no buffer.
unsigned PacketPort::Queue::fill() noexcept
{
    // Slots that were handed out as they came need a new mbuf.
    unsigned ready = 0;
    for (; ready < kRxSlots; ++ready) {
        if (!slots_[ready]) {
            slots_[ready] = rte_pktmbuf_alloc(pool_);
            if (!slots_[ready]) break;
            slots_[ready]->data_off = kHeadroom;
            rx_iov_[ready][1].iov_base = rte_pktmbuf_mtod(slots_[ready], void*);
        }
        rx_messages_[ready].msg_hdr.msg_controllen = sizeof(AuxControl);
    }
    next_ = filled_ = 0;
    if (ready == 0) return 0;

    // Control traffic first; but when it fills a burst, the rest has its turn.
    const bool other_first = from_ == 1 && full_;
    for (const unsigned which : {other_first ? 0U : 1U, other_first ? 1U : 0U}) {
        filled_ = rx_[which] >= 0 ? fetch(which, ready) : 0;
        if (filled_ == 0) continue;
        full_ = filled_ == ready;
        return filled_;
    }
    from_ = 0;
    return 0;
}

unsigned PacketPort::Queue::fetch(unsigned which, unsigned slots) noexcept
{
    from_ = which;
    for (int tries = 0; tries < 8; ++tries) {
        const int n = recvmmsg(rx_[which], rx_messages_.data(), slots, MSG_DONTWAIT, nullptr);
        if (n > 0) return static_cast<unsigned>(n);
        if (n == 0 || errno == EAGAIN || errno == EWOULDBLOCK) return 0;
        // An error of one frame: a kind of large segment that virtio headers can't describe (EINVAL). The kernel has
        // let it go. Or the state of the device (ENETDOWN), told once.
        if (errno == EINVAL) add(rx_errors, 1);
    }
    return 0;
}

// The frame of a slot as it came, or null when it can't be passed on; the mbuf isn't the slot's any more.
rte_mbuf* PacketPort::Queue::finish(unsigned slot) noexcept
{
    const std::size_t received = rx_messages_[slot].msg_len;
    rte_mbuf* const m = slots_[slot];
    const std::size_t length = received - sizeof(VnetHeader);
    if (received < sizeof(VnetHeader) + ETH_HLEN) {
        add(rx_errors, 1);
        return nullptr;
    }
    if (length > kRoom) {
        add(rx_dropped, 1);
        return nullptr;
    }
    m->data_len = static_cast<std::uint16_t>(length);
    m->pkt_len = static_cast<std::uint32_t>(length);
    m->port = port_;
    const VnetHeader& vnet = rx_vnet_[slot];
    if ((vnet.flags & kVnetNeedsChecksum) != 0 &&
        !complete_checksum({rte_pktmbuf_mtod(m, std::uint8_t*), length}, vnet.csum_start, vnet.csum_offset)) {
        add(rx_errors, 1);
        return nullptr;
    }
    finish_by_control(*m, rx_messages_[slot].msg_hdr);
    slots_[slot] = nullptr;
    return m;
}

// Frames out of the large segment of slot next_.
unsigned PacketPort::Queue::cut(rte_mbuf** frames, unsigned max) noexcept
{
    unsigned n = 0;
    while (n < max && !segmenter_->done()) {
        const std::size_t size = segmenter_->next_size();
        rte_mbuf* const m = size <= kRoom ? rte_pktmbuf_alloc(pool_) : nullptr;
        if (!m) {
            // The rest of the segment is lost, as a NIC would lose what it has no buffer for.
            add(rx_dropped, 1);
            segmenter_.reset();
            break;
        }
        m->data_off = kHeadroom;
        m->data_len = static_cast<std::uint16_t>(size);
        m->pkt_len = static_cast<std::uint32_t>(size);
        m->port = port_;
        segmenter_->write_next(rte_pktmbuf_mtod(m, std::uint8_t*));
        finish_by_control(*m, rx_messages_[next_].msg_hdr);
        frames[n++] = m;
    }
    return n;
}

std::uint16_t PacketPort::Queue::receive(rte_mbuf** frames, std::uint16_t max) noexcept
{
    unsigned n = 0;
    std::uint64_t octets = 0;
    // One system call a burst: what it left is handed out first.
    if (next_ == filled_ && fill() == 0) return 0;
    while (n < max && next_ < filled_) {
        const unsigned before = n;
        const VnetHeader& vnet = rx_vnet_[next_];
        if (!segmenter_ && vnet.gso_type != 0) {
            const msghdr& message = rx_messages_[next_].msg_hdr;
            const std::size_t received = rx_messages_[next_].msg_len;
            if (received > sizeof(VnetHeader) && (message.msg_flags & MSG_TRUNC) == 0) {
                const std::size_t length = received - sizeof(VnetHeader);
                const std::size_t in_mbuf = std::min(length, kRoom);
                segmenter_ = Segmenter::make({rte_pktmbuf_mtod(slots_[next_], const std::uint8_t*), in_mbuf},
                                             {spill(next_), length - in_mbuf}, vnet);
            }
            if (!segmenter_) {
                add(rx_errors, 1);
                ++next_;
                continue;
            }
        }
        if (segmenter_) {
            n += cut(frames + n, max - n);
            if (!segmenter_ || segmenter_->done()) {
                segmenter_.reset();
                ++next_;
            }
        } else {
            if (rte_mbuf* const m = finish(next_)) frames[n++] = m;
            ++next_;
        }
        for (unsigned i = before; i < n; ++i) octets += frames[i]->pkt_len;
    }
    add(rx_packets, n);
    add(rx_octets, octets);
    return static_cast<std::uint16_t>(n);
}

std::uint16_t PacketPort::Queue::transmit(rte_mbuf** frames, std::uint16_t count) noexcept
{
    constexpr unsigned kSegments = 4;
    std::array<mmsghdr, kTxSlots> messages;
    std::array<std::array<iovec, kSegments>, kTxSlots> iov;

    std::uint16_t done = 0;
    std::uint64_t sent = 0, octets = 0, dropped = 0;
    while (done < count) {
        unsigned n = 0;
        for (; n < kTxSlots && done + n < count; ++n) {
            rte_mbuf* const m = frames[done + n];
            if (m->nb_segs > kSegments && rte_pktmbuf_linearize(m) != 0) break;
            unsigned segments = 0;
            for (const rte_mbuf* s = m; s; s = s->next) iov[n][segments++] = {rte_pktmbuf_mtod(s, void*), s->data_len};
            messages[n] = {};
            messages[n].msg_hdr.msg_iov = iov[n].data();
            messages[n].msg_hdr.msg_iovlen = segments;
        }
        int accepted = n > 0 ? sendmmsg(tx_, messages.data(), n, MSG_DONTWAIT) : -1;
        if (accepted < 0) {
            if (n > 0 && errno == EINTR) continue;
            if (n > 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) break;
            // The first frame can't be sent: too large for the device, the device is down, its queue full (ENOBUFS).
            rte_pktmbuf_free(frames[done]);
            ++done;
            ++dropped;
            continue;
        }
        for (int i = 0; i < accepted; ++i) octets += frames[done + i]->pkt_len;
        rte_pktmbuf_free_bulk(frames + done, static_cast<unsigned>(accepted));
        sent += static_cast<unsigned>(accepted);
        done = static_cast<std::uint16_t>(done + accepted);
    }
    add(tx_packets, sent);
    add(tx_octets, octets);
    add(tx_dropped, dropped);
    return done;
}

PacketPort::PacketPort(Netdev device, const PortOptions& options)
    : device_(std::move(device)),
      name_(device_.name),
      id_(options.own_id),
      guardian_(*options.guardian),
      control_(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0)),
      mtu_(static_cast<std::uint16_t>(device_.mtu))
{}

PacketPort::~PacketPort()
{
    queues_.clear();
    if (control_ >= 0) close(control_);
    guardian_.release(name_);
}

Result<void, api::PortError> PacketPort::open_queues(std::uint16_t count, rte_mempool* pool)
{
    std::uint16_t fanout = 0;
    for (std::uint16_t i = 0; i < count; ++i) {
        auto q = std::make_unique<Queue>(pool, index(id_));
        if (const int e = q->open(device_.index, queues_.empty(), count > 1, fanout); e != 0)
            return Error{
                api::PortError{fmt::format("{}: packet socket: {}{}", name_, std::strerror(e),
                                           e == EPERM ? "; culvert needs CAP_NET_RAW and CAP_NET_ADMIN" : "")}};
        queues_.push_back(std::move(q));
    }
    return {};
}

Result<std::unique_ptr<Port>, api::PortError> PacketPort::open(const api::PortSpec& spec, const PortOptions& options)
{
    if (spec.mtu > kLargestMtu)
        return Error{api::PortError{
            fmt::format("{}: culvert's packets have at most {} octets, not {}", spec.device, kLargestMtu, spec.mtu)}};
    if (const auto taken = options.guardian->take({spec.device, spec.mtu, spec.force}); !taken)
        return Error{api::PortError{taken.error()}};
    auto device = find_netdev(spec.device);
    if (!device) {
        options.guardian->release(spec.device);
        return Error{api::PortError{device.error()}};
    }
    std::unique_ptr<PacketPort> port{new PacketPort{std::move(*device), options}};
    if (const auto opened = port->open_queues(std::max<std::uint16_t>(options.queues, 1), options.pool); !opened)
        return Error{opened.error()};
    log::info("port", "{} ({}) is taken from the kernel: MTU {}, {} queue{}", port->name_, port->device_.driver,
              port->mtu_.load(), port->queues_.size(), port->queues_.size() == 1 ? "" : "s");
    return std::unique_ptr<Port>{std::move(port)};
}

std::uint16_t PacketPort::rx_burst(std::uint16_t queue, rte_mbuf** frames, std::uint16_t max) noexcept
{
    return queues_[queue]->receive(frames, max);
}

std::uint16_t PacketPort::tx_burst(std::uint16_t queue, rte_mbuf** frames, std::uint16_t count) noexcept
{
    return queues_[queue]->transmit(frames, count);
}

std::span<const int> PacketPort::wait_fds(std::uint16_t queue) const noexcept { return queues_[queue]->rx_fds(); }

Port::Progress PacketPort::progress(std::uint16_t queue, std::size_t n) const noexcept
{
    return n != 0 && queues_[queue]->apart() ? Progress::Apart : Port::progress(queue, n);
}

std::optional<std::uint64_t> PacketPort::stamp_clock() const noexcept
{
    timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return static_cast<std::uint64_t>(t.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(t.tv_nsec);
}

bool PacketPort::pending(std::uint16_t queue) const noexcept { return queues_[queue]->pending(); }

bool PacketPort::link_up() const noexcept
{
    ifreq request{};
    // By index: the device may have been renamed meanwhile.
    request.ifr_ifindex = device_.index;
    if (ioctl(control_, SIOCGIFNAME, &request) != 0) return false;
    if (ioctl(control_, SIOCGIFFLAGS, &request) != 0) return false;
    constexpr int kWanted = IFF_UP | IFF_RUNNING;
    return (request.ifr_flags & kWanted) == kWanted;
}

api::PortInfo PacketPort::info() const
{
    api::PortInfo i;
    i.id = id_;
    i.mac = device_.mac;
    i.mtu = mtu_.load(std::memory_order_relaxed);
    i.max_mtu = static_cast<std::uint16_t>(std::min<std::uint32_t>(device_.max_mtu, kLargestMtu));
    i.link_up = link_up();
    i.driver = device_.driver;
    i.queues = static_cast<std::uint16_t>(queues_.size());
    return i;
}

Result<void, api::PortError> PacketPort::set_mtu(std::uint16_t mtu)
{
    if (mtu > kLargestMtu)
        return Error{api::PortError{
            fmt::format("{}: culvert's packets have at most {} octets, not {}", name_, kLargestMtu, mtu)}};
    if (const auto done = guardian_.set_mtu(name_, mtu); !done) return Error{api::PortError{done.error()}};
    mtu_.store(mtu, std::memory_order_relaxed);
    return {};
}

api::PortCounters PacketPort::counters() const
{
    api::PortCounters c;
    for (const auto& q : queues_) {
        c.rx_packets += q->rx_packets.load(std::memory_order_relaxed);
        c.rx_octets += q->rx_octets.load(std::memory_order_relaxed);
        c.rx_dropped += q->rx_dropped.load(std::memory_order_relaxed) + q->missed();
        c.rx_errors += q->rx_errors.load(std::memory_order_relaxed);
        c.tx_packets += q->tx_packets.load(std::memory_order_relaxed);
        c.tx_octets += q->tx_octets.load(std::memory_order_relaxed);
        c.tx_dropped += q->tx_dropped.load(std::memory_order_relaxed);
    }
    return c;
}

}  // namespace culvert::io
