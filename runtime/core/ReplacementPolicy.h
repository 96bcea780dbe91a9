// Who makes room when memory is short, other than whoever was used longest ago; and what is likely to be wanted next.
//
// Two things are kept of every expert, resident or not. The moving average of the router's scores: an expert that is
// scored highly will be chosen, even if it was not yet. And its place in ARC (Megiddo and Modha, 2003), here by bytes:
// what was used once is `Recent`, what was used again `Frequent`, and what was evicted from either leaves a ghost,
// whose return says that its list was too short. Nothing allocates; the standings are the caller's. Not thread-safe.
#pragma once

#include "runtime/include/kimic/Cache.h"

#include <cstdint>
#include <span>

namespace kimic::runtime {

class ReplacementPolicy {
public:
  enum Place : std::uint8_t { Nowhere, Recent, Frequent, RecentGhost, FrequentGhost, kPlaces };
  static constexpr std::uint32_t kNone = ~0u;

  /// What is known of one expert.
  struct Standing {
    double average = 0; ///< of its scores, in a unit that grows with every step
    float told = 0;     ///< sum of its scores in the request that has not run yet
    std::uint32_t bytes = 0;
    std::uint32_t newer = kNone, older = kNone; ///< neighbours, of a ghost
    Place place = Nowhere;
    bool isResident = false;
    bool isFresh = false;     ///< loaded, and not run yet
    std::uint32_t usedIn = 0; ///< the request that used it last
  };

  /// What happens to an expert.
  enum class Event : std::uint32_t { Arrived, ArrivedAhead, Used, Evicted, Dropped };

  /// `capacity`: bytes that residents can have at most; ghosts of either list are remembered for as many.
  /// `hasAverages`: keep them though the policy does not go by them.
  ReplacementPolicy(KimicCachePolicy kind, bool hasAverages, std::span<Standing> standings, std::uint64_t capacity);

  /// Scores have to be told. They may be computed at scores(), which is behind the standings.
  bool hasAverages() const { return hasAverages_; }
  float *scores() const { return reinterpret_cast<float *>(standings_.data() + standings_.size()); }

  /// Forgets what was told of a request that did not run.
  void forget() { rows_ = 0; }
  /// The scores of experts 0 .. scores.size() - 1 in a row of the next request.
  void tell(std::span<const float> scores);
  /// The request runs: what was told counts. The mean of its rows is one step of the averages.
  void begin();

  /// Uses count once in a request. While no scores were told, each is a step of its own with a score of 1; later only
  /// experts that the router does not score get that.
  void note(Event event, std::uint32_t expert, std::uint32_t bytes);

  /// The resident expert with the least rank goes; of equals, that used longest ago.
  double rank(std::uint32_t expert) const;

  /// Scored experts that are not resident, highest averages first; how many.
  std::uint32_t likely(std::span<std::uint32_t> experts) const;

private:
  struct List {
    std::uint32_t oldest = kNone, newest = kNone; ///< of ghosts
    std::uint64_t bytes = 0;
  };
  void advance();
  /// What is told of it included.
  double averageOf(std::uint32_t expert) const;
  void use(std::uint32_t expert);
  void move(std::uint32_t expert, Place to);

  KimicCachePolicy kind_;
  bool hasAverages_;
  std::span<Standing> standings_;
  double capacity_;
  double target_ = 0; ///< Adaptive: bytes that Recent may have
  double weight_;     ///< of a score now
  std::uint32_t rows_ = 0, scored_ = 0, request_ = 1;
  List lists_[kPlaces];
};

} // namespace kimic::runtime
