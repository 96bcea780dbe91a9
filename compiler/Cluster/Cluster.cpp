#include "compiler/Cluster/Cluster.h"

#include <algorithm>
#include <deque>
#include <limits>
#include <numeric>

namespace kimic::cluster {

namespace {

constexpr std::size_t kMaxOpenSequences = 65536;
/// Of a step, and of the one before it: pairs are counted among the best of them only.
constexpr std::size_t kMaxPaired = 16;
constexpr std::size_t kMinRoom = 8, kMaxRoom = 32, kAllRoom = 1u << 24;

struct Pair {
  std::uint32_t a, b; ///< a < b
  std::uint64_t weight;
};

/// Every pair that the counts know of, once, the heaviest first. Experts that are left out have no pairs.
std::vector<Pair> pairsOf(const Usage &usage, const std::vector<bool> &isLeftOut) {
  std::vector<Pair> pairs;
  auto add = [&](std::uint32_t expert, const Partners &partners, std::uint64_t factor) {
    for (const Partners::Entry &entry : partners.entries())
      if (entry.expert != expert && !isLeftOut[entry.expert])
        pairs.push_back({std::min(expert, entry.expert), std::max(expert, entry.expert), factor * entry.count});
  };
  for (std::uint32_t expert = 0; expert < usage.chosen().size(); ++expert) {
    if (isLeftOut[expert])
      continue;
    add(expert, usage.together()[expert], 1); // both partners count it
    add(expert, usage.next()[expert], 2);
  }
  std::sort(pairs.begin(), pairs.end(),
            [](const Pair &x, const Pair &y) { return x.a != y.a ? x.a < y.a : x.b < y.b; });
  std::size_t kept = 0;
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    if (kept && pairs[kept - 1].a == pairs[i].a && pairs[kept - 1].b == pairs[i].b)
      pairs[kept - 1].weight += pairs[i].weight;
    else
      pairs[kept++] = pairs[i];
  }
  pairs.resize(kept);
  std::stable_sort(pairs.begin(), pairs.end(), [](const Pair &x, const Pair &y) { return x.weight > y.weight; });
  return pairs;
}

/// Chains of experts: at first each its own.
class Chains {
public:
  explicit Chains(std::uint32_t experts) : chainOf_(experts), members_(experts) {
    for (std::uint32_t expert = 0; expert < experts; ++expert) {
      chainOf_[expert] = expert;
      members_[expert].push_back(expert);
    }
    place_.resize(experts);
    origin_.resize(experts);
  }

  /// Joins the chains of a and b, so that the two are as near as possible; the shorter chain moves.
  void join(std::uint32_t a, std::uint32_t b) {
    if (chainOf_[a] == chainOf_[b])
      return;
    if (members_[chainOf_[a]].size() < members_[chainOf_[b]].size())
      std::swap(a, b);
    std::uint32_t to = chainOf_[a], from = chainOf_[b];
    auto &stays = members_[to];
    auto &moves = members_[from];
    std::int64_t before = indexOf(a), after = static_cast<std::int64_t>(stays.size()) - 1 - before;
    std::int64_t head = indexOf(b), tail = static_cast<std::int64_t>(moves.size()) - 1 - head;
    bool atFront = before < after;
    // b's nearer end goes next to a's chain.
    bool headFirst = head <= tail;
    while (!moves.empty()) {
      std::uint32_t expert = headFirst ? moves.front() : moves.back();
      headFirst ? moves.pop_front() : moves.pop_back();
      chainOf_[expert] = to;
      if (atFront) {
        --origin_[to];
        place_[expert] = origin_[to];
        stays.push_front(expert);
      } else {
        place_[expert] = origin_[to] + static_cast<std::int64_t>(stays.size());
        stays.push_back(expert);
      }
    }
    std::deque<std::uint32_t>().swap(moves);
  }

  const std::deque<std::uint32_t> &members(std::uint32_t chain) const { return members_[chain]; }

private:
  std::int64_t indexOf(std::uint32_t expert) const { return place_[expert] - origin_[chainOf_[expert]]; }

  std::vector<std::uint32_t> chainOf_;
  std::vector<std::deque<std::uint32_t>> members_;
  std::vector<std::int64_t> place_;  ///< counts from a fixed point of its chain
  std::vector<std::int64_t> origin_; ///< by chain: the place of its first member
};

std::vector<Next> likelyNext(const Usage &usage, std::uint32_t expert, const ArrangeOptions &options) {
  std::vector<Partners::Entry> entries(usage.next()[expert].entries().begin(), usage.next()[expert].entries().end());
  std::sort(entries.begin(), entries.end(),
            [](const auto &x, const auto &y) { return x.count != y.count ? x.count > y.count : x.expert < y.expert; });
  std::vector<Next> out;
  unsigned left = 256;
  std::uint64_t all = usage.followed(expert);
  for (const Partners::Entry &entry : entries) {
    if (out.size() == options.maxNext)
      break;
    if (entry.expert == expert)
      continue;
    // Partners' counts may be too large when there are many: chances still add up to 256 at most.
    unsigned chance =
        static_cast<unsigned>(std::min<std::uint64_t>({255, left, 256 * std::uint64_t{entry.count} / all}));
    if (chance < options.minChance || chance == 0)
      break;
    out.push_back({entry.expert, static_cast<std::uint8_t>(chance)});
    left -= chance;
  }
  return out;
}

} // namespace

void Partners::add(std::uint32_t expert, std::size_t room) {
  Entry *least = nullptr;
  for (Entry &entry : entries_) {
    if (entry.expert == expert) {
      entry.count += entry.count != std::numeric_limits<std::uint32_t>::max();
      return;
    }
    if (!least || entry.count < least->count)
      least = &entry;
  }
  if (entries_.size() < room)
    entries_.push_back({expert, 1});
  else
    *least = {expert, least->count + (least->count != std::numeric_limits<std::uint32_t>::max())};
}

Usage::Usage(std::uint32_t experts)
    : room_(std::clamp(kAllRoom / experts, kMinRoom, kMaxRoom)), chosen_(experts), followed_(experts),
      together_(experts), next_(experts) {}

void Usage::add(const trace::Step &step) {
  ++steps_;
  for (std::uint32_t expert : step.experts)
    ++chosen_[expert];
  std::span<const std::uint32_t> best(step.experts.data(), std::min(step.experts.size(), kMaxPaired));
  for (std::uint32_t a : best)
    for (std::uint32_t b : best)
      if (a != b)
        together_[a].add(b, room_);

  auto [at, isNew] = sequences_.try_emplace(step.sequence);
  for (std::uint32_t before : at->second.last)
    for (std::uint32_t now : best) {
      next_[before].add(now, room_);
      ++followed_[before];
    }
  at->second.last.assign(best.begin(), best.end());
  at->second.step = steps_;
  if (sequences_.size() > kMaxOpenSequences) {
    // Half of the sequences, those that went on the longest ago, are taken to be over.
    std::vector<std::uint64_t> lastSteps;
    for (const auto &[name, sequence] : sequences_)
      lastSteps.push_back(sequence.step);
    auto middle = lastSteps.begin() + kMaxOpenSequences / 2;
    std::nth_element(lastSteps.begin(), middle, lastSteps.end());
    std::erase_if(sequences_, [limit = *middle](const auto &entry) { return entry.second.step < limit; });
  }
}

Arrangement arrange(const Usage &usage, ArrangeOptions options) {
  auto chosen = usage.chosen();
  auto count = static_cast<std::uint32_t>(chosen.size());
  Arrangement out;
  std::uint64_t total = std::accumulate(chosen.begin(), chosen.end(), std::uint64_t{0});

  std::vector<std::uint32_t> hottest(count);
  std::iota(hottest.begin(), hottest.end(), 0u);
  std::stable_sort(hottest.begin(), hottest.end(),
                   [&](std::uint32_t a, std::uint32_t b) { return chosen[a] > chosen[b]; });
  double least = options.hotFactor * static_cast<double>(total) / count;
  auto mostHot = static_cast<std::size_t>(options.maxHotFraction * count);
  std::vector<bool> isPlaced(count);
  for (std::uint32_t expert : hottest) {
    if (out.order.size() == mostHot || chosen[expert] == 0 || static_cast<double>(chosen[expert]) < least)
      break;
    out.order.push_back(expert);
    isPlaced[expert] = true;
  }
  out.hot = static_cast<std::uint32_t>(out.order.size());

  Chains chains(count);
  for (const Pair &pair : pairsOf(usage, isPlaced))
    chains.join(pair.a, pair.b);
  struct Chain {
    std::uint32_t id;
    double mean; ///< times that its members were chosen
  };
  std::vector<Chain> list;
  for (std::uint32_t id = 0; id < count; ++id) {
    const auto &members = chains.members(id);
    if (members.empty() || isPlaced[id])
      continue;
    std::uint64_t sum = 0;
    for (std::uint32_t expert : members)
      sum += chosen[expert];
    if (sum)
      list.push_back({id, static_cast<double>(sum) / static_cast<double>(members.size())});
  }
  std::stable_sort(list.begin(), list.end(), [](const Chain &x, const Chain &y) { return x.mean > y.mean; });
  for (const Chain &chain : list)
    for (std::uint32_t expert : chains.members(chain.id)) {
      out.order.push_back(expert);
      isPlaced[expert] = true;
    }
  for (std::uint32_t expert = 0; expert < count; ++expert)
    if (!isPlaced[expert])
      out.order.push_back(expert);

  out.next.resize(count);
  for (std::uint32_t expert = 0; expert < count; ++expert)
    if (usage.followed(expert))
      out.next[expert] = likelyNext(usage, expert, options);
  return out;
}

} // namespace kimic::cluster
