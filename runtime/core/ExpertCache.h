// Which experts are resident, and who has to go when memory is short.
//
// Resident experts are on one list in order of use. An expert that is pinned stays on the list but is passed over by
// eviction. All memory of the runtime that is not bookkeeping is allocated here, because an allocation may evict.
#pragma once

#include "runtime/core/Arena.h"

#include <cstddef>
#include <cstdint>
#include <span>

namespace kimic::runtime {

struct Kernel;

/// What the runtime keeps about an expert that was loaded at least once.
struct Expert {
  std::uint32_t id = 0;
  std::uint32_t pins = 0;
  const Kernel *kernel = nullptr;     ///< what runs it, set when it becomes resident
  std::span<std::uint8_t> parameters; ///< 16-byte aligned; empty unless resident
  Expert *newer = nullptr, *older = nullptr;

  bool isResident() const { return !parameters.empty(); }
};

class ExpertCache {
public:
  explicit ExpertCache(Arena &arena) : arena_(arena) {}

  /// 16-byte-aligned memory, after evicting as many experts as it takes, least recently used first; null if it does not
  /// fit even then.
  std::uint8_t *allocate(std::size_t bytes);
  void free(void *address) { arena_.free(address); }

  /// Adds an expert whose parameters lie in memory of allocate(), which the cache now owns.
  void insert(Expert &expert, std::span<std::uint8_t> parameters);

  /// Makes the expert the most recently used. REQUIRES: it is resident.
  void touch(Expert &expert);

  /// Frees the expert's parameters. REQUIRES: it is resident.
  void evict(Expert &expert);

  std::uint64_t residentBytes() const { return residentBytes_; }
  std::uint32_t residentExperts() const { return residentExperts_; }
  /// Experts that allocate() evicted.
  std::uint64_t evictions() const { return evictions_; }

private:
  bool evictOldest();
  void unlink(Expert &expert);
  void append(Expert &expert);

  Arena &arena_;
  Expert *oldest_ = nullptr, *newest_ = nullptr;
  std::uint64_t residentBytes_ = 0, evictions_ = 0;
  std::uint32_t residentExperts_ = 0;
};

} // namespace kimic::runtime
