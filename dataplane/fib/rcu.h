#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>

namespace culvert::fib {

// Quiescent-state based reclamation: readers (workers) look at the tables without locks; the fib-writer frees what it
// took out of them only when every reader has since said that it holds no pointer. Nobody ever spins here.
//
// Reader:  online(); for (;;) { ...one poll round...; quiescent(); }   offline() before it sleeps.
// Writer:  take out; token = start(); ...; if (check(token)) free.
class Rcu {
public:
    using Token = std::uint64_t;
    static constexpr std::size_t kMaxReaders = 64;

    // A reader's place, given back by the destructor. Used by one thread at a time; offline at first.
    class Reader {
    public:
        Reader() = default;
        Reader(Reader&& other) noexcept;
        Reader& operator=(Reader&& other) noexcept;
        ~Reader();

        // "I hold no pointer into the tables now." Two plain moves on x86.
        void quiescent() noexcept
        {
            slot_->seen.store(rcu_->counter_.load(std::memory_order_acquire), std::memory_order_release);
        }
        // Before a sleep: the writer does not wait for this reader until online().
        void offline() noexcept { slot_->seen.store(kOffline, std::memory_order_release); }
        void online() noexcept;

    private:
        friend class Rcu;
        Reader(Rcu& rcu, std::size_t place) noexcept;
        void release() noexcept;

        Rcu* rcu_ = nullptr;
        struct alignas(64) SlotBase {
            std::atomic<Token> seen{0};
        };
        SlotBase* slot_ = nullptr;
    };

    Rcu() = default;
    Rcu(const Rcu&) = delete;
    Rcu& operator=(const Rcu&) = delete;

    // Any thread, at set-up; aborts past kMaxReaders.
    Reader register_reader();

    // Writer: begins a grace period for all that was taken out before.
    Token start() noexcept { return counter_.fetch_add(1, std::memory_order_seq_cst) + 1; }
    // Writer: has every online reader been quiescent since start() gave `token`? Never waits.
    bool check(Token token) const noexcept;

private:
    static constexpr Token kOffline = 0;

    alignas(64) std::atomic<Token> counter_{1};
    std::array<Reader::SlotBase, kMaxReaders> slots_;
    std::mutex registering_;
    std::atomic<std::uint64_t> taken_{0};  // a bit per place
};

// What the writer took out of the tables, in order, until no reader can hold it any more. Writer thread only.
class Reclaimer {
public:
    using Free = void (*)(void* context, std::uint64_t what) noexcept;

    explicit Reclaimer(Rcu& rcu) : rcu_(rcu) {}
    Reclaimer(const Reclaimer&) = delete;
    Reclaimer& operator=(const Reclaimer&) = delete;
    // No reader may be online any more.
    ~Reclaimer() { drain(); }

    // `bytes` is only for the sum that bytes() tells.
    void retire(Free free, void* context, std::uint64_t what, std::size_t bytes);
    template <class T>
    void retire(std::unique_ptr<T> object)
    {
        if (!object) return;
        retire([](void*, std::uint64_t p) noexcept { delete reinterpret_cast<T*>(p); }, nullptr,
               reinterpret_cast<std::uint64_t>(object.release()), sizeof(T));
    }

    // Ends the open set: it is freed by a collect() after the grace period that begins here.
    Rcu::Token seal();
    // Frees what is past its grace period. Never waits.
    void collect();
    // Frees everything at once: at the end, when nobody reads.
    void drain();

    std::size_t waiting() const noexcept { return entries_.size(); }
    std::size_t bytes() const noexcept { return bytes_; }
    const Rcu& rcu() const noexcept { return rcu_; }

private:
    struct Entry {
        Free free;
        void* context;
        std::uint64_t what;
        std::size_t bytes;
    };
    struct Sealed {
        Rcu::Token token;
        std::uint64_t end;  // sequence number one past its last entry
    };
    void free_front();

    Rcu& rcu_;
    std::deque<Entry> entries_;
    std::deque<Sealed> sealed_;
    std::uint64_t first_ = 0;  // sequence number of entries_.front()
    std::size_t bytes_ = 0;
};

}  // namespace culvert::fib
