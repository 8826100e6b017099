#include "dataplane/node/loans.h"

#include "dataplane/node/context.h"
#include "dataplane/node/stages.h"

#include <rte_pause.h>

#include <sched.h>

namespace culvert::node {

using State = Batch::State;

namespace {

// The packets of a burst of one or two are out sooner if they don't wait for another thread.
constexpr std::size_t kWorthLending = 8;

void end(Context& ctx, Batch& batch) noexcept
{
    switch (batch.craft) {
        case Craft::EspSeal: return end_encap_esp(ctx, batch);
        case Craft::EspOpen: return end_decap_esp(ctx, batch);
        case Craft::WireguardSeal: return end_encap_wireguard(ctx, batch);
        case Craft::WireguardOpen: return end_decap_wireguard(ctx, batch);
    }
}

}  // namespace

LoanDesk::LoanDesk() : own_(std::make_unique<Batch>()) {}
LoanDesk::~LoanDesk() = default;

void LoanDesk::open(WorkerId self, crypto::AeadContext& aead, std::vector<Lender> lenders)
{
    self_ = self;
    aead_ = &aead;
    lenders_ = std::move(lenders);
    if (!lenders_.empty() && batches_ == nullptr) batches_ = std::make_unique<Batch[]>(kBatches);
}

Batch* LoanDesk::find_free() noexcept
{
    if (waiting_ == kBatches) return nullptr;
    for (std::size_t i = 0; i < kBatches; ++i) {
        Batch& batch = batches_[i];
        if (batch.state.load(std::memory_order_acquire) != State::Free) continue;
        return &batch;
    }
    return nullptr;
}

Batch& LoanDesk::next(Context& ctx) noexcept
{
    if (waiting_ == 0 && (!pressed_ || lenders_.empty())) return *own_;
    for (;;) {
        if (Batch* const batch = find_free()) return *batch;
        // Without any that waits, all are in boxes whose workers don't look.
        if (waiting_ == 0) return *own_;
        finish_first();
        end_first(ctx);
    }
}

bool LoanDesk::lend(Context& ctx, Batch& batch) noexcept
{
    if (&batch == own_.get()) return false;
    ctx.sas.keep();
    ctx.peers.keep();
    queue(batch);
    if (pressed_ && batch.packets.size() >= kWorthLending) {
        batch.state.store(State::Offered, std::memory_order_release);
        for (std::size_t i = 0; i < lenders_.size(); ++i) {
            const auto& lender = lenders_[next_lender_];
            next_lender_ = (next_lender_ + 1) % lenders_.size();
            if (!lender.box->offer(self_, &batch)) continue;
            lender.wake->signal();
            ++lent_;
            return true;
        }
    }
    batch.run(*aead_);
    batch.state.store(State::Done, std::memory_order_relaxed);
    return true;
}

void LoanDesk::finish_first() noexcept
{
    Batch& batch = *queue_[first_];
    auto expected = State::Offered;
    if (batch.state.compare_exchange_strong(expected, State::Withdrawn, std::memory_order_acquire)) {
        batch.run(*aead_);
        return;
    }
    // A lender is at it, for some microseconds; or for as long as the system keeps it from running.
    for (unsigned spins = 0; expected == State::Taken; ++spins) {
        spins < 1000 ? rte_pause() : static_cast<void>(sched_yield());
        expected = batch.state.load(std::memory_order_acquire);
    }
}

// Its place is free afterwards, unless a lender's box still names it: then the lender says so.
void LoanDesk::end_first(Context& ctx) noexcept
{
    Batch& batch = *queue_[first_];
    first_ = (first_ + 1) % kBatches;
    --waiting_;
    end(ctx, batch);
    ctx.sas.unkeep();
    ctx.peers.unkeep();
    for (std::size_t i = 0; i < batch.packets.size(); ++i) ctx.emit(batch.packets[i]);
    batch.packets.clear();
    if (batch.state.load(std::memory_order_relaxed) == State::Done)
        batch.state.store(State::Free, std::memory_order_relaxed);
}

void LoanDesk::settle(Context& ctx, bool idle) noexcept
{
    while (waiting_ != 0) {
        if (!due()) {
            if (!idle || queue_[first_]->state.load(std::memory_order_relaxed) == State::Taken) return;
            finish_first();
        }
        end_first(ctx);
    }
}

void LoanDesk::shut_down(Context& ctx) noexcept
{
    while (waiting_ != 0) {
        finish_first();
        end_first(ctx);
    }
}

}  // namespace culvert::node
