#pragma once

#include "dataplane/fib/rcu.h"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

namespace culvert::fib {

// A hash map with one writer and readers without locks. `Hash` is size_t(const Key&) and spreads well in its low bits.
// An entry is never changed once published; a pointer to a value is good until the reader's next quiescent state.
template <class Key, class Value, class Hash>
class RcuMap {
public:
    explicit RcuMap(Reclaimer& reclaimer) : reclaimer_(reclaimer), table_(new Table{8}) {}
    // No reader may be online any more.
    ~RcuMap()
    {
        const auto* t = table_.load(std::memory_order_relaxed);
        for (std::size_t i = 0; i <= t->mask; ++i)
            if (const auto* e = t->at(i); is_entry(e)) delete e;
        delete t;
    }
    RcuMap(const RcuMap&) = delete;
    RcuMap& operator=(const RcuMap&) = delete;

    // ---- readers
    const Value* find(const Key& key) const noexcept
    {
        const auto* t = table_.load(std::memory_order_acquire);
        for (auto i = Hash{}(key)&t->mask;; i = (i + 1) & t->mask) {
            const auto* e = t->at(i);
            if (e == nullptr) return nullptr;
            if (e != gone() && e->key == key) return &e->value;
        }
    }

    // ---- the writer
    void set(const Key& key, Value value)
    {
        auto next = std::make_unique<Entry>(Entry{key, std::move(value)});
        auto* t = table_.load(std::memory_order_relaxed);
        auto place = t->mask + 1;  // the first that may be taken
        auto i = Hash{}(key)&t->mask;
        for (;; i = (i + 1) & t->mask) {
            const auto* e = t->at(i);
            if (e == nullptr) break;
            if (e == gone()) {
                if (place > t->mask) place = i;
            } else if (e->key == key) {
                reclaimer_.retire(std::unique_ptr<const Entry>(e));
                t->places[i].store(next.release(), std::memory_order_release);
                return;
            }
        }
        if (place > t->mask) {
            place = i;
            ++used_;
        }
        t->places[place].store(next.release(), std::memory_order_release);
        ++size_;
        if (used_ * 2 > t->mask) rebuild();
    }
    // False: it was not there.
    bool erase(const Key& key)
    {
        auto* t = table_.load(std::memory_order_relaxed);
        for (auto i = Hash{}(key)&t->mask;; i = (i + 1) & t->mask) {
            const auto* e = t->at(i);
            if (e == nullptr) return false;
            if (e == gone() || !(e->key == key)) continue;
            t->places[i].store(gone(), std::memory_order_release);
            reclaimer_.retire(std::unique_ptr<const Entry>(e));
            --size_;
            return true;
        }
    }
    // f(key, value) for each; the writer's.
    template <class F>
    void for_each(F&& f) const
    {
        const auto* t = table_.load(std::memory_order_relaxed);
        for (std::size_t i = 0; i <= t->mask; ++i)
            if (const auto* e = t->at(i); is_entry(e)) f(e->key, e->value);
    }
    std::size_t size() const noexcept { return size_; }
    std::size_t bytes() const noexcept
    {
        return size_ * sizeof(Entry) + (table_.load(std::memory_order_relaxed)->mask + 1) * sizeof(void*);
    }

private:
    struct Entry {
        Key key;
        Value value;
    };
    struct Table {
        explicit Table(std::size_t size) : mask(size - 1), places(std::make_unique<std::atomic<const Entry*>[]>(size))
        {}
        const Entry* at(std::size_t i) const noexcept { return places[i].load(std::memory_order_acquire); }

        std::size_t mask;
        std::unique_ptr<std::atomic<const Entry*>[]> places;
    };

    // Where an entry was: a search goes on behind it.
    static const Entry* gone() noexcept
    {
        alignas(Entry) static const std::byte mark[sizeof(Entry)]{};
        return reinterpret_cast<const Entry*>(mark);
    }
    static bool is_entry(const Entry* e) noexcept { return e != nullptr && e != gone(); }

    // Into a table of which at most a quarter is taken. Readers of the old one find the same entries.
    void rebuild()
    {
        const auto* old = table_.load(std::memory_order_relaxed);
        std::size_t size = 8;
        while (size < size_ * 4) size *= 2;
        auto next = std::make_unique<Table>(size);
        for (std::size_t i = 0; i <= old->mask; ++i) {
            const auto* e = old->at(i);
            if (!is_entry(e)) continue;
            auto at = Hash{}(e->key) & next->mask;
            while (next->at(at) != nullptr) at = (at + 1) & next->mask;
            next->places[at].store(e, std::memory_order_relaxed);
        }
        used_ = size_;
        table_.store(next.release(), std::memory_order_release);
        reclaimer_.retire(std::unique_ptr<const Table>(old));
    }

    Reclaimer& reclaimer_;
    std::atomic<Table*> table_;
    std::size_t size_ = 0;
    std::size_t used_ = 0;  // places that were ever taken since the last rebuild
};

}  // namespace culvert::fib
