// Which experts are resident, and who has to go when memory is short.
//
// Resident experts are on one of two lists: those that were used, in order of use, and those that were only fetched
// ahead, in order of arrival, which have to go first. Which of a list goes is the oldest, or what a policy says
// (ReplacementPolicy). An expert that is pinned stays on its list but is passed over by
// eviction. All memory of the runtime that is not bookkeeping is allocated here, because an allocation may evict.
#pragma once

#include "formats/pack/PackFormat.h"
#include "runtime/core/Arena.h"
#include "runtime/include/kimic/Runtime.h"
#include "runtime/parts/Parts.h"

#include <cstddef>
#include <cstdint>
#include <span>

namespace kimic::runtime {

struct Kernel;

/// What the runtime keeps about an expert that is resident or on its way.
struct Expert {
  std::uint32_t id = 0;
  pack::LeafEntry entry;
  std::uint32_t pins = 0;
  const Kernel *kernel = nullptr;      ///< what runs it, set when it becomes resident
  std::span<std::uint8_t> parameters;  ///< 16-byte aligned; empty unless resident
  KimicPriority list = KIMIC_DEMANDED; ///< KIMIC_PREFETCH: resident and never used
  bool isAsked = false;                ///< pinned by the call that is running
  Expert *nextAsked = nullptr;         ///< another such expert
  float *outputs = nullptr;            ///< where its outputs stay for whoever reads them, in packs with a plan
  std::uint64_t epoch = 0;             ///< of the request for which it ran last
  Expert *newer = nullptr, *older = nullptr;
  Expert *sibling = nullptr; ///< the next record of a list of PackSession

  bool isResident() const { return !parameters.empty(); }
};

class ExpertCache {
public:
  /// Counts in `stats`.
  ExpertCache(Arena &arena, KimicStats &stats, const Parts &parts) : arena_(arena), stats_(stats), parts_(parts) {}

  /// Who goes from now on; null: whoever was used longest ago. REQUIRES of all but null: the parts are there.
  void follow(ReplacementPolicy *policy) { policy_ = policy; }
  ReplacementPolicy *policy() const { return policy_; }
  void note(ReplacementPolicy::Event event, const Expert &expert) {
    if (policy_)
      parts_.note(*policy_, event, expert);
  }

  /// 16-byte-aligned memory, after evicting as many experts as it takes: those that were never used, then, unless the
  /// memory is for KIMIC_PREFETCH, others. Null if it does not fit even then.
  std::uint8_t *allocate(std::size_t bytes, KimicPriority priority);
  void free(void *address) { arena_.free(address); }

  /// Adds an expert whose parameters lie in memory of allocate(), which the cache now owns. KIMIC_DEMANDED: as used
  /// now.
  void insert(Expert &expert, std::span<std::uint8_t> parameters, KimicPriority priority);

  /// Makes the expert the most recently used. REQUIRES: it is resident.
  void touch(Expert &expert);

  /// Frees the expert's parameters. REQUIRES: it is resident.
  void evict(Expert &expert);

  /// Evicts every expert that is not pinned, so that neighbours merge and a large block may fit again.
  void evictAll() {
    while (evictFrom(lists_[KIMIC_PREFETCH]) || evictFrom(lists_[KIMIC_DEMANDED]))
      ;
  }

  /// The fields of `memory` that are about experts, which are 0 before.
  void survey(KimicMemory &memory) const;

private:
  struct List {
    Expert *oldest = nullptr, *newest = nullptr;
  };
  bool evictFrom(const List &list);
  void unlink(Expert &expert);
  void append(Expert &expert, KimicPriority list);

  Arena &arena_;
  KimicStats &stats_;
  const Parts &parts_;
  ReplacementPolicy *policy_ = nullptr;
  List lists_[2]; ///< by KimicPriority
};

} // namespace kimic::runtime
