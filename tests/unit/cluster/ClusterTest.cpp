#include "compiler/Cluster/Cluster.h"

#include <algorithm>
#include <cstdio>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <numeric>
#include <random>
#include <set>

namespace kimic::cluster {
namespace {

using testing::ElementsAre;

trace::Step step(std::vector<std::uint32_t> experts, std::uint64_t sequence = 0) {
  trace::Step out;
  out.experts = std::move(experts);
  out.sequence = sequence;
  return out;
}

Usage usageOf(std::uint32_t experts, const std::vector<trace::Step> &steps) {
  Usage usage(experts);
  for (const trace::Step &step : steps)
    usage.add(step);
  return usage;
}

TEST(Partners, AreExactWhileThereIsRoom) {
  Partners partners;
  for (std::uint32_t expert : {3, 1, 3, 2, 3})
    partners.add(expert, 3);
  ASSERT_EQ(partners.entries().size(), 3u);
  EXPECT_EQ(partners.entries()[0].expert, 3u);
  EXPECT_EQ(partners.entries()[0].count, 3u);
}

TEST(Partners, KeepFrequentOnesInBoundedRoom) {
  Partners partners;
  for (std::uint32_t i = 0; i < 10'000; ++i) {
    partners.add(7, 8);
    partners.add(100 + i % 1000, 8);
  }
  EXPECT_EQ(partners.entries().size(), 8u);
  auto most = std::ranges::max_element(partners.entries(), {}, &Partners::Entry::count);
  EXPECT_EQ(most->expert, 7u);
}

TEST(Arrange, WithoutStepsTheOrderIsThatOfTheNumbers) {
  Arrangement arrangement = arrange(Usage(4));
  EXPECT_THAT(arrangement.order, ElementsAre(0, 1, 2, 3));
  EXPECT_EQ(arrangement.hot, 0u);
}

TEST(Arrange, ExpertsOfOneStepLieTogetherAndUnusedOnesLast) {
  Usage usage = usageOf(6, {step({0, 4}, 1), step({0, 4}, 2), step({1, 5}, 3)});
  EXPECT_THAT(arrange(usage).order, ElementsAre(0, 4, 1, 5, 2, 3));
}

TEST(Arrange, FollowersLieNextToEachOther) {
  Usage usage = usageOf(5, {step({3}, 1), step({0}, 1), step({4}, 1), step({1}, 2), step({2}, 2)});
  auto order = arrange(usage).order;
  EXPECT_THAT(order, testing::AnyOf(ElementsAre(3, 0, 4, 1, 2), ElementsAre(4, 0, 3, 1, 2), ElementsAre(4, 0, 3, 2, 1),
                                    ElementsAre(3, 0, 4, 2, 1)));
}

TEST(Arrange, HotExpertsComeFirst) {
  std::vector<trace::Step> steps;
  for (std::uint32_t i = 0; i < 100; ++i)
    steps.push_back(step({77, i}, i));
  Arrangement arrangement = arrange(usageOf(100, steps));
  EXPECT_EQ(arrangement.hot, 1u);
  EXPECT_EQ(arrangement.order[0], 77u);
}

TEST(Arrange, NamesLikelyNextExperts) {
  std::vector<trace::Step> steps;
  for (std::uint64_t i = 0; i < 4; ++i) {
    steps.push_back(step({0}, i));
    steps.push_back(step({i == 3 ? 2u : 1u}, i));
  }
  Arrangement arrangement = arrange(usageOf(3, steps));
  EXPECT_THAT(arrangement.next[0], ElementsAre(Next{1, 192}, Next{2, 64}));
  EXPECT_TRUE(arrangement.next[1].empty());
}

TEST(Arrange, DoesNotNameAnExpertAsItsOwnNext) {
  Arrangement arrangement = arrange(usageOf(2, {step({0}), step({0}), step({0}), step({1})}));
  EXPECT_THAT(arrangement.next[0], ElementsAre(Next{1, 85}));
}

TEST(Usage, InterleavedSequencesAreKeptApart) {
  Usage usage = usageOf(4, {step({0}, 1), step({2}, 2), step({1}, 1), step({3}, 2)});
  EXPECT_EQ(usage.next()[0].entries()[0].expert, 1u);
  EXPECT_EQ(usage.next()[2].entries()[0].expert, 3u);
}

TEST(Usage, ManyOpenSequencesAreBounded) {
  Usage usage(2);
  for (std::uint64_t i = 0; i < 200'000; ++i)
    usage.add(step({static_cast<std::uint32_t>(i % 2)}, i));
  EXPECT_EQ(usage.steps(), 200'000u);
}

/// Sessions of 24 steps that stay in one of 100 topics with 97 %; a topic is 20 experts of 2,000, in any places.
std::vector<trace::Step> stickyTrace(unsigned sessions, unsigned seed) {
  std::mt19937 topicsRandom(1), random(seed);
  std::vector<std::uint32_t> shuffled(2000);
  std::iota(shuffled.begin(), shuffled.end(), 0u);
  for (std::size_t i = shuffled.size(); i > 1; --i)
    std::swap(shuffled[i - 1], shuffled[topicsRandom() % i]);
  std::vector<trace::Step> steps;
  for (unsigned session = 0; session < sessions; ++session) {
    unsigned topic = random() % 100;
    for (unsigned i = 0; i < 24; ++i) {
      if (random() % 100 < 3)
        topic = random() % 100;
      std::uint32_t first = random() % 20, second = (first + 1 + random() % 19) % 20;
      steps.push_back(step({shuffled[topic * 20 + first], shuffled[topic * 20 + second]}, session));
    }
  }
  return steps;
}

struct Cost {
  double ranges = 0, bytes = 0; ///< of a session
};

/// What sessions read, each from an empty cache: per step what it lacks and, as a runtime does it, what is likely next;
/// experts are 17 KiB, gaps of up to 32 KiB are read too.
Cost costOf(const std::vector<trace::Step> &steps, const std::vector<std::uint32_t> &order,
            const std::vector<std::vector<Next>> &next) {
  constexpr std::uint32_t kExpertBytes = 17 * 1024, kGap = 2; // experts
  std::vector<std::uint32_t> placeOf(order.size());
  for (std::uint32_t place = 0; place < order.size(); ++place)
    placeOf[order[place]] = place;
  Cost cost;
  std::set<std::uint32_t> resident; // places
  unsigned sessions = 0;
  for (std::size_t i = 0; i < steps.size(); ++i) {
    if (i == 0 || steps[i].sequence != steps[i - 1].sequence) {
      resident.clear();
      ++sessions;
    }
    std::set<std::uint32_t> wanted;
    for (std::uint32_t expert : steps[i].experts)
      if (!resident.contains(placeOf[expert])) {
        wanted.insert(placeOf[expert]);
        for (const Next &likely : next[expert])
          if (!resident.contains(placeOf[likely.expert]))
            wanted.insert(placeOf[likely.expert]);
      }
    std::int64_t end = -1;
    for (std::uint32_t place : wanted) {
      bool isNear = end >= 0 && place <= end + kGap;
      cost.ranges += !isNear;
      std::uint32_t first = isNear ? static_cast<std::uint32_t>(end) : place;
      cost.bytes += static_cast<double>(place + 1 - first) * kExpertBytes;
      for (std::uint32_t read = first; read <= place; ++read)
        resident.insert(read);
      end = place + 1;
    }
  }
  cost.ranges /= sessions;
  cost.bytes /= sessions;
  return cost;
}

TEST(Arrange, ClusteredOrderTakesFewerRangesThanTheManifestsOnAStickyTrace) {
  Arrangement arrangement = arrange(usageOf(2000, stickyTrace(2000, 11)));
  std::vector<trace::Step> unseen = stickyTrace(300, 12);
  std::vector<std::uint32_t> manifest(2000);
  std::iota(manifest.begin(), manifest.end(), 0u);
  Cost before = costOf(unseen, manifest, arrangement.next), after = costOf(unseen, arrangement.order, arrangement.next);
  std::printf("session: manifest's order %.1f ranges, %.0f KiB; clustered %.1f ranges, %.0f KiB\n", before.ranges,
              before.bytes / 1024, after.ranges, after.bytes / 1024);
  EXPECT_LT(after.ranges, 0.5 * before.ranges);
  EXPECT_LT(after.bytes, 1.25 * before.bytes);
}

TEST(Arrange, AMillionExpertsTakeSeconds) {
  Usage usage(1'000'000);
  std::mt19937 random(3);
  auto pick = [&random](std::uint32_t below) { return static_cast<std::uint32_t>(random() % below); };
  for (unsigned i = 0; i < 1'000'000; ++i) {
    std::uint32_t topic = pick(10'000);
    usage.add(step({topic * 100 + pick(50), topic * 100 + 50 + pick(50)}, i / 10));
  }
  Arrangement arrangement = arrange(usage);
  std::vector<std::uint32_t> sorted = arrangement.order;
  std::sort(sorted.begin(), sorted.end());
  EXPECT_EQ(sorted.front(), 0u);
  EXPECT_EQ(sorted.back(), 999'999u);
  EXPECT_TRUE(std::adjacent_find(sorted.begin(), sorted.end()) == sorted.end());
}

} // namespace
} // namespace kimic::cluster
