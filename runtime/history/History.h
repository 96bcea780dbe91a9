// How experts did so far: moving averages of success, latency and confidence, kept across visits
// (formats/spec/history-v1.md).
//
// At most kHistoryEntries experts are remembered, those that were seen last; the memory is fixed and nothing allocates.
// Not thread-safe.
#pragma once

#include "formats/base/Error.h"
#include "formats/base/Sha256.h"
#include "runtime/include/kimic/History.h"

#include <cstdint>
#include <span>

namespace kimic::runtime {

inline constexpr std::uint32_t kHistoryEntries = 1024;

/// One expert's averages, as in memory so in a file (little-endian).
struct HistoryEntry {
  std::uint32_t expert;
  std::uint32_t runs;     ///< observations, at least 1; stays at its maximum
  std::uint32_t lastSeen; ///< number of the observation that was its last one
  float success;          ///< 0..1: share of runs that ended well
  float microseconds;     ///< latency of a run, >= 0
  float confidence;       ///< 0..1
};
static_assert(sizeof(HistoryEntry) == 24);

class History {
public:
  /// The first so many runs weigh the same; from then on the newest one weighs 1 / kWindow.
  static constexpr std::uint32_t kWindow = 32;

  /// Adds a run: each average a becomes a + (x - a) / min(runs, kWindow), in float32, the first run x itself. Values
  /// that are no numbers count as 0, others are brought into their range.
  void observe(std::uint32_t expert, bool isSuccess, float microseconds, float confidence);

  /// The same for a run that was not to be had: the averages of latency and confidence stay.
  void observeFailure(std::uint32_t expert);

  /// Null if the expert is not remembered.
  const HistoryEntry *find(std::uint32_t expert) const;

  /// What a router may read about an expert.
  KimicExperience experienceOf(std::uint32_t expert) const;

  std::uint32_t size() const { return count_; }
  void clear() { count_ = now_ = 0; }

  /// Bytes of exportTo().
  std::size_t exportBytes() const { return kHeaderBytes + count_ * sizeof(HistoryEntry) + sizeof(Digest); }
  /// Writes the history of the pack with this digest, but for the SHA-256 of all that, which are the last bytes of an
  /// exported history. REQUIRES: room for exportBytes().
  void exportTo(std::uint8_t *out, const Digest &pack) const;

  /// Replaces the history by an exported one, or leaves it alone and says what is wrong: HistoryMalformed,
  /// HistoryVersion, HistoryOfOtherPack. `digest`: of all but the last bytes, if there are as many; `experts`: how many
  /// the pack has.
  Error import(std::span<const std::uint8_t> bytes, const Digest &digest, const Digest &pack, std::uint32_t experts);

private:
  static constexpr std::size_t kHeaderBytes = 48;

  HistoryEntry *lowerBound(std::uint32_t expert);

  HistoryEntry entries_[kHistoryEntries]; ///< the first count_, by rising expert
  std::uint32_t count_ = 0;
  std::uint32_t now_ = 0; ///< observations so far; stays at its maximum
};

} // namespace kimic::runtime
