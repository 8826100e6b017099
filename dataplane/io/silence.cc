#include "dataplane/io/silence.h"

#include <fmt/format.h>

#include <arpa/inet.h>
#include <linux/bpf.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <utility>
#include <vector>

namespace culvert::io {
namespace {

// Newer than Debian 12's headers.
constexpr std::uint32_t kTableOwner = 0x2;   // NFT_TABLE_F_OWNER, Linux 5.12
constexpr std::uint32_t kNetdevIngress = 0;  // NF_NETDEV_INGRESS
constexpr std::uint32_t kNetdevEgress = 1;   // NF_NETDEV_EGRESS, Linux 5.16
constexpr std::uint32_t kTcxIngress = 46;    // BPF_TCX_INGRESS, Linux 6.6
constexpr std::uint32_t kTcxEgress = 47;
constexpr int kPriority = -500;  // before whatever else filters there

nfgenmsg family(std::uint8_t f, std::uint16_t resource)
{
    nfgenmsg g{};
    g.nfgen_family = f;
    g.version = NFNETLINK_V0;
    g.res_id = htons(resource);
    return g;
}

NetlinkMessage nft(std::uint16_t type, std::uint16_t flags)
{
    return {static_cast<std::uint16_t>(NFNL_SUBSYS_NFTABLES << 8 | type),
            static_cast<std::uint16_t>(NLM_F_REQUEST | NLM_F_ACK | flags), family(NFPROTO_NETDEV, 0)};
}

NetlinkMessage batch_mark(std::uint16_t type) { return {type, NLM_F_REQUEST, family(AF_UNSPEC, NFNL_SUBSYS_NFTABLES)}; }

NetlinkMessage drop_chain(const std::string& table, const char* chain, std::uint32_t hook, const std::string& device)
{
    auto m = nft(NFT_MSG_NEWCHAIN, NLM_F_CREATE);
    m.text(NFTA_CHAIN_TABLE, table);
    m.text(NFTA_CHAIN_NAME, chain);
    const auto nest = m.begin(NLA_F_NESTED | NFTA_CHAIN_HOOK);
    m.be32(NFTA_HOOK_HOOKNUM, hook);
    m.be32(NFTA_HOOK_PRIORITY, static_cast<std::uint32_t>(kPriority));
    m.text(NFTA_HOOK_DEV, device);
    m.end(nest);
    m.be32(NFTA_CHAIN_POLICY, NF_DROP);
    m.text(NFTA_CHAIN_TYPE, "filter");
    return m;
}

// One expression of a rule; `fill` writes its attributes.
template <class Fill>
void expression(NetlinkMessage& m, const char* name, Fill fill)
{
    const auto element = m.begin(NLA_F_NESTED | NFTA_LIST_ELEM);
    m.text(NFTA_EXPR_NAME, name);
    const auto data = m.begin(NLA_F_NESTED | NFTA_EXPR_DATA);
    fill();
    m.end(data);
    m.end(element);
}

// meta mark kOwnMark accept
NetlinkMessage accept_own(const std::string& table, const char* chain)
{
    auto m = nft(NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND);
    m.text(NFTA_RULE_TABLE, table);
    m.text(NFTA_RULE_CHAIN, chain);
    const auto list = m.begin(NLA_F_NESTED | NFTA_RULE_EXPRESSIONS);
    expression(m, "meta", [&] {
        m.be32(NFTA_META_DREG, NFT_REG_1);
        m.be32(NFTA_META_KEY, NFT_META_MARK);
    });
    expression(m, "cmp", [&] {
        m.be32(NFTA_CMP_SREG, NFT_REG_1);
        m.be32(NFTA_CMP_OP, NFT_CMP_EQ);
        const auto value = m.begin(NLA_F_NESTED | NFTA_CMP_DATA);
        m.u32(NFTA_DATA_VALUE, kOwnMark);
        m.end(value);
    });
    expression(m, "immediate", [&] {
        m.be32(NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
        const auto data = m.begin(NLA_F_NESTED | NFTA_IMMEDIATE_DATA);
        const auto verdict = m.begin(NLA_F_NESTED | NFTA_DATA_VERDICT);
        m.be32(NFTA_VERDICT_CODE, NF_ACCEPT);
        m.end(verdict);
        m.end(data);
    });
    m.end(list);
    return m;
}

int bpf_call(int command, bpf_attr& attributes, std::size_t size)
{
    return static_cast<int>(syscall(SYS_bpf, command, &attributes, size));
}

int load(const std::vector<bpf_insn>& program)
{
    static const char license[] = "Apache-2.0";
    bpf_attr a{};
    a.prog_type = BPF_PROG_TYPE_SCHED_CLS;
    a.insns = reinterpret_cast<std::uintptr_t>(program.data());
    a.insn_cnt = static_cast<std::uint32_t>(program.size());
    a.license = reinterpret_cast<std::uintptr_t>(license);
    return bpf_call(BPF_PROG_LOAD, a, sizeof a);
}

// The link's descriptor, which alone keeps it in place; -1 with errno.
int link(const std::vector<bpf_insn>& program, int ifindex, std::uint32_t hook)
{
    const int loaded = load(program);
    if (loaded < 0) return -1;
    bpf_attr a{};
    a.link_create.prog_fd = static_cast<std::uint32_t>(loaded);
    a.link_create.target_fd = static_cast<std::uint32_t>(ifindex);
    a.link_create.attach_type = hook;
    const int fd = bpf_call(BPF_LINK_CREATE, a, sizeof a);
    const int error = errno;
    close(loaded);
    errno = error;
    return fd;
}

constexpr bpf_insn kExit{BPF_JMP | BPF_EXIT, 0, 0, 0, 0};
constexpr bpf_insn verdict(std::int32_t v) { return {BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, v}; }
constexpr std::int32_t kTcxNext = -1, kTcxDrop = 2;

}  // namespace

int Silence::by_nftables(const std::string& device, int ifindex)
{
    NetlinkSocket socket{NETLINK_NETFILTER};
    if (!socket.ok()) return errno;
    const std::string table = fmt::format("culvert-{}", ifindex);

    std::vector<NetlinkMessage> ingress;
    ingress.push_back(batch_mark(NFNL_MSG_BATCH_BEGIN));
    ingress.push_back(nft(NFT_MSG_NEWTABLE, NLM_F_CREATE | NLM_F_EXCL));
    ingress.back().text(NFTA_TABLE_NAME, table);
    ingress.back().be32(NFTA_TABLE_FLAGS, kTableOwner);
    ingress.push_back(drop_chain(table, "in", kNetdevIngress, device));
    ingress.push_back(batch_mark(NFNL_MSG_BATCH_END));
    if (const int e = socket.batch(ingress); e != 0) return e;

    // Without egress hooks (before Linux 5.16) the device merely isn't quiet when some program sends on it: it has no
    // addresses and no IPv6, so the kernel has no reason of its own to.
    std::vector<NetlinkMessage> egress;
    egress.push_back(batch_mark(NFNL_MSG_BATCH_BEGIN));
    egress.push_back(drop_chain(table, "out", kNetdevEgress, device));
    egress.push_back(accept_own(table, "out"));
    egress.push_back(batch_mark(NFNL_MSG_BATCH_END));
    [[maybe_unused]] const int ignored = socket.batch(egress);

    owner_.emplace(std::move(socket));
    return 0;
}

int Silence::by_tcx(int ifindex)
{
    ingress_link_ = link({verdict(kTcxDrop), kExit}, ifindex, kTcxIngress);
    if (ingress_link_ < 0) return errno;
    const bpf_insn load_mark{BPF_LDX | BPF_MEM | BPF_W, 0, 1, static_cast<std::int16_t>(offsetof(__sk_buff, mark)), 0};
    const bpf_insn skip_unless_own{BPF_JMP | BPF_JNE | BPF_K, 0, 0, 2, static_cast<std::int32_t>(kOwnMark)};
    egress_link_ =
        link({load_mark, skip_unless_own, verdict(kTcxNext), kExit, verdict(kTcxDrop), kExit}, ifindex, kTcxEgress);
    return egress_link_ < 0 ? errno : 0;
}

Result<Silence, std::string> Silence::impose(const std::string& device, int ifindex)
{
    Silence s;
    const int nft_error = s.by_nftables(device, ifindex);
    if (nft_error == 0) return s;
    const int tcx_error = s.by_tcx(ifindex);
    if (tcx_error == 0) return s;
    return Error{
        fmt::format("{}: the kernel's own stack can't be silenced on it: nf_tables says \"{}\", tcx \"{}\"; culvert "
                    "needs CAP_NET_ADMIN, and a kernel with nf_tables (netdev family, 5.12) or tcx (6.6)",
                    device, std::strerror(nft_error), std::strerror(tcx_error))};
}

Silence::Silence(Silence&& other) noexcept
    : owner_(std::move(other.owner_)),
      ingress_link_(std::exchange(other.ingress_link_, -1)),
      egress_link_(std::exchange(other.egress_link_, -1))
{
    other.owner_.reset();
}

Silence::~Silence()
{
    if (ingress_link_ >= 0) close(ingress_link_);
    if (egress_link_ >= 0) close(egress_link_);
}

}  // namespace culvert::io
