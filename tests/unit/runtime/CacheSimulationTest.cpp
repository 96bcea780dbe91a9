#include "runtime/simulate/CacheSimulation.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <random>

namespace kimic::runtime {
namespace {

std::vector<TraceStep> uses(std::initializer_list<std::uint32_t> experts) {
  std::vector<TraceStep> trace;
  for (std::uint32_t expert : experts)
    trace.push_back({{expert}, {}});
  return trace;
}

std::uint64_t hits(const std::vector<TraceStep> &trace, std::size_t experts, CachePolicy policy, std::uint64_t memory) {
  return simulate(trace, std::vector<std::uint32_t>(experts, 1), policy, {memory}).hits;
}

TEST(CacheSimulation, LruEvictsWhatWasUsedLongestAgo) {
  EXPECT_EQ(hits(uses({0, 1, 0, 2, 0, 1}), 3, CachePolicy::Lru, 2), 2u); // 0, 0
}

TEST(CacheSimulation, LfuEvictsWhatWasUsedLeast) {
  EXPECT_EQ(hits(uses({0, 0, 1, 2, 0, 1, 2, 0}), 3, CachePolicy::Lfu, 2), 3u); // 0, 0, 0
}

TEST(CacheSimulation, ScoreAverageKeepsWhatScoresHighWithoutUse) {
  std::vector<TraceStep> trace = {
      {{0}, {0.9f, 0.1f, 0}}, {{1}, {0.4f, 0.6f, 0}}, {{2}, {0.4f, 0, 0.6f}}, {{0}, {1, 0, 0}}};
  EXPECT_EQ(hits(trace, 3, CachePolicy::ScoreAverage, 2), 1u);
  EXPECT_EQ(hits(trace, 3, CachePolicy::Lru, 2), 0u);
}

TEST(CacheSimulation, AdaptiveKeepsWhatWasUsedAgainThroughAScan) {
  std::vector<TraceStep> trace = uses({0, 0, 1, 1});
  for (std::uint32_t expert = 2; expert < 12; ++expert)
    trace.push_back({{expert}, {}});
  trace.push_back({{0}, {}});
  trace.push_back({{1}, {}});
  EXPECT_EQ(hits(trace, 12, CachePolicy::Adaptive, 4), 4u);
  EXPECT_EQ(hits(trace, 12, CachePolicy::Lru, 4), 2u);
}

TEST(CacheSimulation, BeladyDoesNotKeepWhatIsUsedLast) {
  EXPECT_EQ(hits(uses({0, 1, 2, 0, 1, 2, 0, 1, 2}), 3, CachePolicy::Belady, 2), 4u);
  EXPECT_EQ(hits(uses({0, 1, 2, 0, 1, 2, 0, 1, 2}), 3, CachePolicy::Lru, 2), 0u);
}

/// The most hits that any decisions lead to, by trying them all.
std::uint64_t best(const std::vector<TraceStep> &trace, std::size_t at, std::uint32_t in, std::size_t room,
                   std::map<std::pair<std::size_t, std::uint32_t>, std::uint64_t> &known) {
  if (at == trace.size())
    return 0;
  if (auto found = known.find({at, in}); found != known.end())
    return found->second;
  std::uint32_t bit = 1u << trace[at].experts[0];
  std::uint64_t most = 0;
  if (in & bit) {
    most = 1 + best(trace, at + 1, in, room, known);
  } else {
    most = best(trace, at + 1, in, room, known);
    for (std::uint32_t rest = in;; rest = (rest - 1) & in) { // whatever stays of those that are in
      if (static_cast<std::size_t>(__builtin_popcount(rest)) < room)
        most = std::max(most, best(trace, at + 1, rest | bit, room, known));
      if (rest == 0)
        break;
    }
  }
  return known[{at, in}] = most;
}

TEST(CacheSimulation, BeladyIsTheOptimumForEqualSizes) {
  std::mt19937 random(2);
  for (int round = 0; round < 30; ++round) {
    std::vector<TraceStep> trace;
    for (int i = 0; i < 24; ++i)
      trace.push_back({{static_cast<std::uint32_t>(random() % 6)}, {}});
    std::map<std::pair<std::size_t, std::uint32_t>, std::uint64_t> known;
    std::uint64_t optimum = best(trace, 0, 0, 3, known);
    ASSERT_EQ(hits(trace, 6, CachePolicy::Belady, 3), optimum);
    ASSERT_GE(mostHits(trace, std::vector<std::uint32_t>(6, 1), 3), optimum);
  }
}

TEST(CacheSimulation, NoPolicyBeatsTheBound) {
  std::mt19937 random(4);
  std::vector<std::uint32_t> bytes(64);
  for (std::uint32_t &size : bytes)
    size = 1000 + random() % 9000;
  std::vector<TraceStep> trace;
  for (int i = 0; i < 4000; ++i)
    trace.push_back({{static_cast<std::uint32_t>(std::min(random() % 64, random() % 64))}, {}});
  for (std::uint64_t memory : {20000u, 80000u, 160000u})
    for (unsigned policy = 0; policy < kCachePolicyCount; ++policy) {
      CacheOutcome outcome = simulate(trace, bytes, static_cast<CachePolicy>(policy), {memory});
      EXPECT_LE(outcome.hits, mostHits(trace, bytes, memory)) << nameOf(static_cast<CachePolicy>(policy));
      EXPECT_GT(outcome.hits, 0u);
    }
}

TEST(CacheSimulation, CountsTheBytesOfMisses) {
  std::vector<std::uint32_t> bytes = {10, 20, 500};
  CacheOutcome outcome = simulate(uses({0, 1, 0, 2, 2}), bytes, CachePolicy::Lru, {100});
  EXPECT_EQ(outcome.stalledBytes, 1030u); // expert 2 does not fit
  EXPECT_EQ(outcome.hits, 1u);
  EXPECT_EQ(outcome.evictions, 0u);
}

TEST(CacheSimulation, DoesNotEvictTheExpertsOfTheSameStep) {
  std::vector<TraceStep> trace = {{{0, 1, 2}, {}}, {{0, 1}, {}}};
  EXPECT_EQ(hits(trace, 3, CachePolicy::Lru, 2), 2u);
}

// Topics stay for a while, four of 128 experts are used at a time: what the bonus does for the hits, and what it costs.
TEST(CacheSimulation, ABonusForResidentExpertsBringsHitsNearTheOptimum) {
  std::mt19937 random(9);
  std::normal_distribution<float> normal;
  std::vector<float> topic(128);
  std::vector<TraceStep> trace;
  for (int i = 0; i < 3000; ++i) {
    if (i % 50 == 0)
      for (float &value : topic)
        value = normal(random);
    TraceStep step;
    double sum = 0;
    std::vector<double> scores;
    for (float value : topic)
      sum += scores.emplace_back(std::exp(1.5 * value + 0.5 * normal(random)));
    for (double &score : scores)
      step.scores.push_back(static_cast<float>(score / sum));
    std::vector<std::uint32_t> order(128);
    for (std::uint32_t e = 0; e < 128; ++e)
      order[e] = e;
    std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return step.scores[a] > step.scores[b]; });
    step.experts.assign(order.begin(), order.begin() + 4);
    trace.push_back(std::move(step));
  }
  std::vector<std::uint32_t> bytes(128, 1);
  double optimum = simulate(trace, bytes, CachePolicy::Belady, {13}).hitRate();
  CacheOutcome plain = simulate(trace, bytes, CachePolicy::ScoreAverage, {13});
  CacheOutcome helped = simulate(trace, bytes, CachePolicy::ScoreAverage, {13, 0.05f});
  EXPECT_EQ(plain.scoreMass, 1.0);
  EXPECT_GT(helped.hitRate(), plain.hitRate());
  EXPECT_GE(helped.hitRate(), 0.85 * optimum);
  EXPECT_GT(helped.scoreMass, 0.9);
  std::printf("belady %.3f, score average %.3f, with bonus 0.05 %.3f at %.3f of the score mass\n", optimum,
              plain.hitRate(), helped.hitRate(), helped.scoreMass);
}

// A domain stays for a hundred requests and has few experts.
TEST(CacheSimulation, StickyTracesReachTheOptimum) {
  std::mt19937 random(6);
  std::vector<TraceStep> trace;
  std::uint32_t domain = 0;
  for (int i = 0; i < 20000; ++i) {
    if (random() % 100 == 0)
      domain = static_cast<std::uint32_t>(random() % 8);
    trace.push_back({{static_cast<std::uint32_t>(domain * 8 + random() % 8)}, {}});
  }
  double optimum = static_cast<double>(hits(trace, 64, CachePolicy::Belady, 16));
  EXPECT_GE(static_cast<double>(hits(trace, 64, CachePolicy::Lru, 16)), 0.95 * optimum);
  EXPECT_GE(static_cast<double>(hits(trace, 64, CachePolicy::Adaptive, 16)), 0.95 * optimum);
}

} // namespace
} // namespace kimic::runtime
