// What recorded routing says about a pack: in which order experts should lie, which are hot, which come next.
//
// Everything is counted in whole numbers in the order of the trace, and ties go to smaller numbers: the same trace
// gives the same pack.
#pragma once

#include "formats/trace/TraceReader.h"

#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

namespace kimic::cluster {

/// The most frequent partners of one expert, in bounded memory (Space-Saving): counts are exact as long as there are no
/// more partners than room, else too large by at most the smallest count that is kept.
class Partners {
public:
  struct Entry {
    std::uint32_t expert, count;
  };
  void add(std::uint32_t expert, std::size_t room);
  std::span<const Entry> entries() const { return entries_; }

private:
  std::vector<Entry> entries_;
};

/// Counts of a trace, in memory proportional to the number of experts, whatever the length of the trace.
class Usage {
public:
  /// REQUIRES: experts >= 1.
  explicit Usage(std::uint32_t experts);

  void add(const trace::Step &step);

  std::uint64_t steps() const { return steps_; }
  std::span<const std::uint64_t> chosen() const { return chosen_; } ///< by expert: steps that chose it
  std::span<const Partners> together() const { return together_; }  ///< by expert: chosen in the same step
  std::span<const Partners> next() const { return next_; }          ///< by expert: chosen in the sequence's next step
  std::uint64_t followed(std::uint32_t expert) const { return followed_[expert]; } ///< all its pairs in next()

private:
  std::size_t room_;
  std::uint64_t steps_ = 0;
  std::vector<std::uint64_t> chosen_, followed_;
  std::vector<Partners> together_, next_;
  struct Sequence {
    std::vector<std::uint32_t> last; ///< what its last step chose
    std::uint64_t step = 0;          ///< the number of that step
  };
  std::unordered_map<std::uint64_t, Sequence> sequences_;
};

struct Next {
  std::uint32_t expert;
  std::uint8_t chance; ///< of 256
  friend bool operator==(const Next &, const Next &) = default;
};

struct Arrangement {
  std::vector<std::uint32_t> order;    ///< all experts, each once
  std::uint32_t hot = 0;               ///< the first of them, which everybody needs
  std::vector<std::vector<Next>> next; ///< by expert: most likely ones first; chances add up to at most 256
};

struct ArrangeOptions {
  double hotFactor = 4;         ///< a hot expert is chosen so many times as often as the mean expert
  double maxHotFraction = 0.05; ///< of all experts
  std::size_t maxNext = 4;      ///< most likely next experts that are named
  std::uint8_t minChance = 8;   ///< less likely ones are not named
};

/// First the hot experts, the hottest first; then chains of experts that are used together or after one another, the
/// most used chain first (Pettis and Hansen's method for the layout of code: the heaviest pair first, two chains are
/// joined so that the pair comes as near to each other as their ends allow); then those that no step chose, ascending.
/// Time and memory are near-linear in experts.
Arrangement arrange(const Usage &usage, ArrangeOptions options = {});

} // namespace kimic::cluster
