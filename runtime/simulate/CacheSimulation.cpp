#include "runtime/simulate/CacheSimulation.h"

#include "runtime/core/ReplacementPolicy.h"

#include <algorithm>
#include <limits>
#include <memory>

namespace kimic::runtime {

const char *nameOf(CachePolicy policy) {
  constexpr const char *kNames[kCachePolicyCount] = {"lru", "lfu", "score", "adaptive", "belady"};
  return kNames[static_cast<unsigned>(policy)];
}

namespace {

constexpr std::size_t kNeverUsed = std::numeric_limits<std::size_t>::max();

/// What all caches have in common: who is in memory, and for whom there is room.
class Cache {
public:
  Cache(std::span<const std::uint32_t> bytes, std::uint64_t memory)
      : bytes_(bytes), memory_(memory), in_(bytes.size()) {}
  virtual ~Cache() = default;

  bool has(std::uint32_t expert) const { return in_[expert]; }

  /// A new step.
  virtual void begin(const TraceStep &) {}
  /// A use of an expert that is in memory.
  virtual void hit(std::uint32_t expert) = 0;

  /// Brings the expert in, if it fits when others but those of `kept` leave.
  void miss(std::uint32_t expert, std::span<const std::uint32_t> kept) {
    if (!wants(expert))
      return;
    while (used_ + bytes_[expert] > memory_) {
      std::uint32_t victim = choose(expert, kept);
      if (victim == expert)
        return;
      remove(victim);
      in_[victim] = false;
      used_ -= bytes_[victim];
      ++evictions;
    }
    in_[expert] = true;
    used_ += bytes_[expert];
    insert(expert);
  }

  std::uint64_t evictions = 0;

protected:
  /// Who has to leave for the expert; the expert itself if nobody.
  virtual std::uint32_t choose(std::uint32_t expert, std::span<const std::uint32_t> kept) = 0;
  virtual void insert(std::uint32_t expert) = 0;
  virtual void remove(std::uint32_t expert) = 0;
  virtual bool wants(std::uint32_t expert) { return bytes_[expert] <= memory_; }

  static bool contains(std::span<const std::uint32_t> list, std::uint32_t expert) {
    return std::find(list.begin(), list.end(), expert) != list.end();
  }

  std::span<const std::uint32_t> bytes_;
  std::uint64_t memory_, used_ = 0;
  std::vector<bool> in_;
};

/// Evicts the expert with the least rank, of equals the one that was used longest ago.
class RankedCache : public Cache {
public:
  using Cache::Cache;

  void hit(std::uint32_t expert) override { lastUse_[expert] = ++now_; }

protected:
  virtual double rank(std::uint32_t expert) const = 0;

  std::uint32_t choose(std::uint32_t expert, std::span<const std::uint32_t> kept) override {
    std::uint32_t victim = expert;
    for (std::uint32_t other : members_)
      if (!contains(kept, other) && (victim == expert || rank(other) < rank(victim) ||
                                     (rank(other) == rank(victim) && lastUse_[other] < lastUse_[victim])))
        victim = other;
    return victim;
  }
  void insert(std::uint32_t expert) override {
    members_.push_back(expert);
    lastUse_[expert] = ++now_;
  }
  void remove(std::uint32_t expert) override { std::erase(members_, expert); }

  std::vector<std::uint32_t> members_;
  std::vector<std::uint64_t> lastUse_ = std::vector<std::uint64_t>(bytes_.size());
  std::uint64_t now_ = 0;
};

class Lfu : public RankedCache {
public:
  using RankedCache::RankedCache;
  void hit(std::uint32_t expert) override {
    RankedCache::hit(expert);
    ++count_[expert];
  }

protected:
  double rank(std::uint32_t expert) const override { return static_cast<double>(count_[expert]); }
  void insert(std::uint32_t expert) override {
    RankedCache::insert(expert);
    ++count_[expert];
  }
  std::vector<std::uint64_t> count_ = std::vector<std::uint64_t>(bytes_.size());
};

/// The runtime's own policies. A step without scores counts as one that gave those that it used a score of 1.
class RuntimeCache : public RankedCache {
public:
  RuntimeCache(std::span<const std::uint32_t> bytes, std::uint64_t memory, KimicCachePolicy policy)
      : RankedCache(bytes, memory), standings_(bytes.size()), policy_(policy, false, standings_, memory) {}

  void begin(const TraceStep &step) override {
    std::vector<float> scores = step.scores;
    if (scores.empty()) {
      scores.resize(bytes_.size());
      for (std::uint32_t expert : step.experts)
        scores[expert] = 1;
    }
    policy_.tell(scores);
    policy_.begin();
  }
  void hit(std::uint32_t expert) override {
    RankedCache::hit(expert);
    note(ReplacementPolicy::Event::Used, expert);
  }

protected:
  double rank(std::uint32_t expert) const override { return policy_.rank(expert); }
  void insert(std::uint32_t expert) override {
    RankedCache::insert(expert);
    note(ReplacementPolicy::Event::Arrived, expert);
    note(ReplacementPolicy::Event::Used, expert);
  }
  void remove(std::uint32_t expert) override {
    RankedCache::remove(expert);
    note(ReplacementPolicy::Event::Evicted, expert);
  }

private:
  void note(ReplacementPolicy::Event event, std::uint32_t expert) { policy_.note(event, expert, bytes_[expert]); }

  std::vector<ReplacementPolicy::Standing> standings_;
  ReplacementPolicy policy_;
};

/// Positions of all uses, counted over the whole trace.
struct Uses {
  explicit Uses(std::span<const TraceStep> trace, std::size_t experts) {
    std::vector<std::size_t> following(experts, kNeverUsed);
    for (const TraceStep &step : trace)
      count += step.experts.size();
    next.resize(count);
    std::size_t at = count;
    for (std::size_t s = trace.size(); s-- > 0;)
      for (std::size_t e = trace[s].experts.size(); e-- > 0;) {
        std::uint32_t expert = trace[s].experts[e];
        next[--at] = following[expert];
        following[expert] = at;
      }
  }
  std::size_t count = 0;
  std::vector<std::size_t> next; ///< of each use: the position of the expert's next one, or kNeverUsed
};

class Belady : public Cache {
public:
  Belady(std::span<const TraceStep> trace, std::span<const std::uint32_t> bytes, std::uint64_t memory)
      : Cache(bytes, memory), uses_(trace, bytes.size()), next_(bytes.size(), kNeverUsed) {}
  void hit(std::uint32_t expert) override { use(expert); }

protected:
  bool wants(std::uint32_t expert) override {
    use(expert);
    return Cache::wants(expert) && next_[expert] != kNeverUsed;
  }
  std::uint32_t choose(std::uint32_t expert, std::span<const std::uint32_t>) override {
    std::uint32_t victim = expert;
    for (std::uint32_t other : members_)
      if (next_[other] > next_[victim])
        victim = other;
    return victim;
  }
  void insert(std::uint32_t expert) override { members_.push_back(expert); }
  void remove(std::uint32_t expert) override { std::erase(members_, expert); }

private:
  void use(std::uint32_t expert) { next_[expert] = uses_.next[at_++]; }

  Uses uses_;
  std::size_t at_ = 0;
  std::vector<std::size_t> next_; ///< position of each expert's next use
  std::vector<std::uint32_t> members_;
};

/// The experts of a step when residence counts: the best one, then by score and bonus, ties to the lower number.
std::vector<std::uint32_t> chooseWith(const Cache &cache, const TraceStep &step, float bonus) {
  std::vector<std::uint32_t> chosen;
  while (chosen.size() < step.experts.size()) {
    std::size_t best = step.scores.size();
    double bestKey = 0;
    for (std::uint32_t i = 0; i < step.scores.size(); ++i) {
      double key = static_cast<double>(step.scores[i]);
      if (!chosen.empty() && cache.has(i))
        key += static_cast<double>(bonus);
      bool isTaken = std::find(chosen.begin(), chosen.end(), i) != chosen.end();
      if (!isTaken && (best == step.scores.size() || key > bestKey)) {
        best = i;
        bestKey = key;
      }
    }
    if (best == step.scores.size())
      break;
    chosen.push_back(static_cast<std::uint32_t>(best));
  }
  return chosen;
}

} // namespace

CacheOutcome simulate(std::span<const TraceStep> trace, std::span<const std::uint32_t> bytes, CachePolicy policy,
                      const CacheSimulation &options) {
  std::unique_ptr<Cache> cache;
  switch (policy) {
  case CachePolicy::Lru:
    cache = std::make_unique<RuntimeCache>(bytes, options.memory, KIMIC_CACHE_LRU);
    break;
  case CachePolicy::Lfu:
    cache = std::make_unique<Lfu>(bytes, options.memory);
    break;
  case CachePolicy::ScoreAverage:
    cache = std::make_unique<RuntimeCache>(bytes, options.memory, KIMIC_CACHE_SCORE);
    break;
  case CachePolicy::Adaptive:
    cache = std::make_unique<RuntimeCache>(bytes, options.memory, KIMIC_CACHE_ADAPTIVE);
    break;
  case CachePolicy::Belady:
    cache = std::make_unique<Belady>(trace, bytes, options.memory);
    break;
  }
  CacheOutcome out;
  double recorded = 0, used = 0;
  for (const TraceStep &step : trace) {
    cache->begin(step);
    bool chooses = options.residentBonus > 0 && !step.scores.empty() && policy != CachePolicy::Belady;
    std::vector<std::uint32_t> experts = chooses ? chooseWith(*cache, step, options.residentBonus) : step.experts;
    for (std::uint32_t expert : experts) {
      ++out.uses;
      if (cache->has(expert)) {
        ++out.hits;
        cache->hit(expert);
      } else {
        out.stalledBytes += bytes[expert];
        cache->miss(expert, experts);
      }
    }
    if (step.scores.empty())
      continue;
    for (std::uint32_t expert : step.experts)
      recorded += static_cast<double>(step.scores[expert]);
    for (std::uint32_t expert : experts)
      used += static_cast<double>(step.scores[expert]);
  }
  out.evictions = cache->evictions;
  if (recorded > 0)
    out.scoreMass = used / recorded;
  return out;
}

std::uint64_t mostHits(std::span<const TraceStep> trace, std::span<const std::uint32_t> bytes, std::uint64_t memory) {
  Uses uses(trace, bytes.size());
  // What it takes to keep an expert from one use to its next: bytes times uses in between.
  std::vector<double> costs;
  std::size_t at = 0;
  for (const TraceStep &step : trace)
    for (std::uint32_t expert : step.experts) {
      if (uses.next[at] != kNeverUsed && bytes[expert] <= memory)
        costs.push_back(static_cast<double>(bytes[expert]) * static_cast<double>(uses.next[at] - at));
      ++at;
    }
  std::sort(costs.begin(), costs.end());
  double budget = static_cast<double>(memory) * static_cast<double>(uses.count);
  std::uint64_t hits = 0;
  for (double cost : costs) {
    budget -= cost;
    if (budget < 0)
      break;
    ++hits;
  }
  return hits;
}

} // namespace kimic::runtime
