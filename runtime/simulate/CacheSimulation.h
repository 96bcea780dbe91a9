// How often experts would have been in memory: a recorded sequence of uses, replayed against cache policies and against
// the best that any policy could have done. Native only; a pure function of its arguments.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace kimic::runtime {

/// One request: the experts that it used, in the order of the router, and perhaps the scores of all routed experts.
struct TraceStep {
  std::vector<std::uint32_t> experts;
  std::vector<float> scores; ///< by expert; empty if they were not recorded
};

enum class CachePolicy : std::uint8_t {
  Lru,          ///< evicts what was used longest ago
  Lfu,          ///< evicts what was used least often, of equals what was used longest ago
  ScoreAverage, ///< evicts what has the lowest moving average of its scores; without scores a use counts as 1
  Adaptive,     ///< ARC (Megiddo and Modha, 2003) by bytes: balances recency and frequency by what it evicted wrongly
  Belady,       ///< knows the future: evicts, or does not keep, what is used again last. The optimum for equal sizes
};
inline constexpr unsigned kCachePolicyCount = 5;
/// "lru", "lfu", "score", "adaptive", "belady".
const char *nameOf(CachePolicy policy);

struct CacheOutcome {
  std::uint64_t uses = 0, hits = 0;
  std::uint64_t stalledBytes = 0; ///< of the experts that had to be read before their request could go on
  std::uint64_t evictions = 0;
  double scoreMass = 1; ///< sum of the scores of the used experts over that of the recorded ones

  double hitRate() const { return uses ? static_cast<double>(hits) / static_cast<double>(uses) : 0; }
};

struct CacheSimulation {
  std::uint64_t memory = 0; ///< bytes for experts
  /// Resident experts get this much more score when the second and further experts of a step are chosen; steps without
  /// scores, and Belady, which has no choice to make, go by what was recorded.
  float residentBonus = 0;
};

/// Replays the trace on an empty cache. `bytes`: of every expert in memory. Experts that do not fit are never kept. A
/// step's own experts are not evicted for each other. REQUIRES: every expert of the trace has bytes, scores are as
/// many.
CacheOutcome simulate(std::span<const TraceStep> trace, std::span<const std::uint32_t> bytes, CachePolicy policy,
                      const CacheSimulation &options);

/// No policy has more hits, whatever the sizes: keeps first what takes the least memory for the shortest time until its
/// next use, up to memory * time (the bound PFOO-U of Berger, Beckmann and Harchol-Balter, 2018). It lets experts share
/// memory in ways that no cache could, so it may not be reachable.
std::uint64_t mostHits(std::span<const TraceStep> trace, std::span<const std::uint32_t> bytes, std::uint64_t memory);

} // namespace kimic::runtime
