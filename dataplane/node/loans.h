#pragma once

#include "base/ids.h"
#include "crypto/aead.h"
#include "dataplane/api/wake.h"
#include "dataplane/esp/sa_table.h"
#include "dataplane/node/burst.h"
#include "dataplane/wg/peer_table.h"

#include <boost/lockfree/spsc_queue.hpp>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace culvert::node {

struct Context;

// A tunnel has one owner, which alone gives out its sequence numbers and moves its replay window. What takes the time
// is the cipher, and that can be lent: the owner begins a burst, any worker runs its cipher, the owner ends the burst;
// bursts end in the order in which they began, so that nothing overtakes.

// What a burst to be sealed by ESP needs after the cipher.
struct EspOutgoing {
    ProtectionId protection;
    const esp::Outbound* how;  // the SA table keeps it until the burst has ended
    std::uint8_t tos;          // of the inner packet
    std::uint8_t ttl;
    bool dont_fragment;
    std::uint8_t header;  // transport mode: octets of IP header
};

enum class Craft : std::uint8_t { EspSeal, EspOpen, WireguardSeal, WireguardOpen };

// A burst between its beginning and its end.
struct Batch {
    enum class State : std::uint8_t {
        Free,
        Offered,    // in a lender's box, not begun
        Taken,      // a lender is at it
        Done,       // the cipher is through
        Withdrawn,  // the owner did it; the lender's box still names it
    };

    void run(crypto::AeadContext& aead) noexcept
    {
        switch (craft) {
            case Craft::EspSeal: return work.ciphers.seal(aead);
            case Craft::EspOpen: return work.ciphers.open(aead);
            case Craft::WireguardSeal: return wireguard.ciphers.seal(aead);
            case Craft::WireguardOpen: return wireguard.ciphers.open(aead);
        }
    }

    std::atomic<State> state{State::Free};
    Craft craft{};
    Burst packets;                            // jobs[i] is of packets[i]
    std::array<std::uint8_t, kBurstMax> ecn;  // what the other header is to take over
    esp::Work work;
    std::array<esp::SealJob, kBurstMax> seals;
    std::array<EspOutgoing, kBurstMax> outgoing;
    std::array<esp::OpenJob, kBurstMax> opens;
    wg::Work wireguard;
    std::array<wg::SealJob, kBurstMax> wireguard_seals;
    std::array<wg::OpenJob, kBurstMax> wireguard_opens;
};

// Where the other workers leave batches for this one.
class LoanBox {
public:
    static constexpr std::size_t kDepth = 2;  // batches of one owner: what it can do meanwhile itself it keeps

    explicit LoanBox(std::size_t workers) : from_(workers)
    {
        for (auto& f : from_) f = std::make_unique<Queue>();
    }

    // Any thread, each for its own id. False: there are enough of its batches here.
    bool offer(WorkerId owner, Batch* batch) noexcept { return from_[index(owner)]->push(batch); }
    // The lender's thread: runs what is here; `tell` is void(WorkerId owner), after each. True if there was any.
    template <class Tell>
    bool work(crypto::AeadContext& aead, Tell&& tell) noexcept
    {
        bool any = false;
        for (std::size_t owner = 0; owner < from_.size(); ++owner) {
            Batch* batch;
            while (from_[owner]->pop(batch)) {
                any = true;
                auto expected = Batch::State::Offered;
                if (!batch->state.compare_exchange_strong(expected, Batch::State::Taken, std::memory_order_acquire)) {
                    batch->state.store(Batch::State::Free, std::memory_order_release);  // withdrawn
                    continue;
                }
                batch->run(aead);
                batch->state.store(Batch::State::Done, std::memory_order_release);
                tell(WorkerId{static_cast<std::uint8_t>(owner)});
            }
        }
        return any;
    }
    bool empty() const noexcept
    {
        for (const auto& f : from_)
            if (f->read_available() != 0) return false;
        return true;
    }

private:
    using Queue = boost::lockfree::spsc_queue<Batch*, boost::lockfree::capacity<kDepth>>;
    std::vector<std::unique_ptr<Queue>> from_;
};

// A worker's batches, as their owner.
class LoanDesk {
public:
    struct Lender {
        LoanBox* box;
        api::Wake* wake;
    };

    LoanDesk();
    LoanDesk(const LoanDesk&) = delete;
    LoanDesk& operator=(const LoanDesk&) = delete;
    ~LoanDesk();

    // Who may be asked. Nothing is lent before.
    void open(WorkerId self, crypto::AeadContext& aead, std::vector<Lender> lenders);
    // More comes in than this worker gets done: lend.
    void press(bool pressed) noexcept { pressed_ = pressed; }

    // For the next burst. Ends earlier ones if there is no place left.
    Batch& next(Context& ctx) noexcept;
    // False: lend() will not take it, its cipher runs at once.
    bool may_lend(const Batch& batch) const noexcept { return &batch != own_.get(); }
    // The batch has begun. True: it waits its turn, its packets are the desk's now. False: run it and end it.
    bool lend(Context& ctx, Batch& batch) noexcept;
    // Ends the batches whose turn has come; their packets are emitted. `idle`: the caller has nothing better to do than
    // the cipher itself.
    void settle(Context& ctx, bool idle) noexcept;
    // Waits for what is lent, and ends all packets so.
    void shut_down(Context& ctx) noexcept;

    bool empty() const noexcept { return waiting_ == 0; }
    bool due() const noexcept
    {
        return waiting_ != 0 && queue_[first_]->state.load(std::memory_order_acquire) == Batch::State::Done;
    }
    std::uint64_t lent() const noexcept { return lent_; }

private:
    static constexpr std::size_t kBatches = 16;

    Batch* find_free() noexcept;
    void queue(Batch& batch) noexcept { queue_[(first_ + waiting_++) % kBatches] = &batch; }
    // The first one's cipher is through after this.
    void finish_first() noexcept;
    void end_first(Context& ctx) noexcept;

    std::unique_ptr<Batch> own_;  // for bursts that are not lent
    std::unique_ptr<Batch[]> batches_;
    std::array<Batch*, kBatches> queue_{};  // in the order of their beginning
    std::size_t first_ = 0;
    std::size_t waiting_ = 0;
    std::vector<Lender> lenders_;
    std::size_t next_lender_ = 0;
    crypto::AeadContext* aead_ = nullptr;
    WorkerId self_{};
    bool pressed_ = false;
    std::uint64_t lent_ = 0;
};

}  // namespace culvert::node
