#include "runtime/core/ReplacementPolicy.h"

namespace kimic::runtime {

namespace {

/// Weight of the newest score in a moving average: about the last sixteen steps count.
constexpr double kNewest = 1.0 / 16;
/// Instead of all averages becoming smaller with each step, what is added becomes larger: only their order counts.
constexpr double kGrowth = 1 / (1 - kNewest);
constexpr double kLargestWeight = 1e100;
constexpr double kLargestRank = 1e300;

} // namespace

ReplacementPolicy::ReplacementPolicy(KimicCachePolicy kind, bool hasAverages, std::span<Standing> standings,
                                     std::uint64_t capacity)
    : kind_(kind), hasAverages_(hasAverages || kind == KIMIC_CACHE_SCORE), standings_(standings),
      capacity_(static_cast<double>(capacity)), weight_(kNewest) {
  for (Standing &standing : standings_)
    standing = Standing{};
}

void ReplacementPolicy::tell(std::span<const float> scores) {
  scored_ = static_cast<std::uint32_t>(scores.size());
  for (std::uint32_t i = 0; i < scored_; ++i)
    standings_[i].told = (rows_ ? standings_[i].told : 0) + scores[i];
  ++rows_;
}

void ReplacementPolicy::advance() {
  weight_ *= kGrowth;
  if (weight_ < kLargestWeight)
    return;
  for (Standing &standing : standings_)
    standing.average /= weight_;
  weight_ = 1;
}

double ReplacementPolicy::averageOf(std::uint32_t expert) const {
  const Standing &standing = standings_[expert];
  if (rows_ == 0 || expert >= scored_)
    return standing.average;
  return standing.average + weight_ * kGrowth * static_cast<double>(standing.told) / rows_;
}

void ReplacementPolicy::begin() {
  ++request_;
  if (rows_ == 0)
    return;
  for (std::uint32_t expert = 0; expert < scored_; ++expert)
    standings_[expert].average = averageOf(expert);
  rows_ = 0;
  advance();
}

// Puts the expert at the end of a list. Of residents only the bytes are counted: their order is the cache's.
void ReplacementPolicy::move(std::uint32_t expert, Place to) {
  Standing &standing = standings_[expert];
  List &from = lists_[standing.place];
  from.bytes -= standing.bytes;
  if (standing.place >= RecentGhost) {
    (standing.older == kNone ? from.oldest : standings_[standing.older].newer) = standing.newer;
    (standing.newer == kNone ? from.newest : standings_[standing.newer].older) = standing.older;
  }
  standing.place = to;
  List &list = lists_[to];
  list.bytes += standing.bytes;
  if (to < RecentGhost)
    return;
  standing.newer = kNone;
  standing.older = list.newest;
  (list.newest == kNone ? list.oldest : standings_[list.newest].newer) = expert;
  list.newest = expert;
}

void ReplacementPolicy::use(std::uint32_t expert) {
  Standing &standing = standings_[expert];
  if (standing.usedIn == request_)
    return;
  standing.usedIn = request_;
  if (hasAverages_ && expert >= scored_) {
    if (scored_ == 0)
      advance();
    standing.average += weight_;
  }
  const Place was = standing.place;
  if (was >= RecentGhost) {
    const auto own = static_cast<double>(lists_[was].bytes);
    const auto other = static_cast<double>(lists_[was == RecentGhost ? FrequentGhost : RecentGhost].bytes);
    const double change = standing.bytes * (other > own ? other / own : 1);
    target_ += was == RecentGhost ? change : -change;
    target_ = target_ < 0 ? 0 : target_ > capacity_ ? capacity_ : target_;
  }
  move(expert, was == Nowhere ? Recent : Frequent);
}

void ReplacementPolicy::note(Event event, std::uint32_t expert, std::uint32_t bytes) {
  Standing &standing = standings_[expert];
  lists_[standing.place].bytes += bytes - standing.bytes; // known when it arrives first
  standing.bytes = bytes;
  standing.isFresh = event == Event::Arrived;
  standing.isResident = event <= Event::Used;
  if (event == Event::Used)
    use(expert);
  if (event < Event::Evicted || (standing.place != Recent && standing.place != Frequent))
    return;
  const Place ghost = standing.place == Recent ? RecentGhost : FrequentGhost;
  move(expert, event == Event::Evicted && kind_ == KIMIC_CACHE_ADAPTIVE ? ghost : Nowhere);
  while (static_cast<double>(lists_[ghost].bytes) > capacity_)
    move(lists_[ghost].oldest, Nowhere);
}

double ReplacementPolicy::rank(std::uint32_t expert) const {
  const Standing &standing = standings_[expert];
  if (kind_ == KIMIC_CACHE_LRU)
    return 0;
  if (standing.isFresh)
    return kLargestRank;
  if (kind_ == KIMIC_CACHE_SCORE)
    return averageOf(expert);
  const bool isRecentFirst = static_cast<double>(lists_[Recent].bytes) > target_;
  return (standing.place == Frequent) == isRecentFirst ? 1 : 0;
}

std::uint32_t ReplacementPolicy::likely(std::span<std::uint32_t> experts) const {
  std::uint32_t count = 0;
  for (std::uint32_t expert = 0; expert < scored_; ++expert) {
    const double average = averageOf(expert);
    if (standings_[expert].isResident || !(average > 0))
      continue;
    std::uint32_t at = count < experts.size() ? count++ : count;
    for (; at > 0 && averageOf(experts[at - 1]) < average; --at)
      if (at < experts.size())
        experts[at] = experts[at - 1];
    if (at < experts.size())
      experts[at] = expert;
  }
  return count;
}

} // namespace kimic::runtime
