// Who makes room, by policy; what averages of scores say about the experts to come. The simulator, which runs the same
// policies on a list of uses, tells what the runtime has to do.
#include "runtime/include/kimic/Cache.h"
#include "runtime/simulate/CacheSimulation.h"
#include "tests/support/FakeHost.h"
#include "tests/support/TestPack.h"

#include <algorithm>
#include <gtest/gtest.h>
#include <random>

namespace kimic::runtime {
namespace {

using kimic::testing::constantExpert;
using kimic::testing::diagonalExpert;
using kimic::testing::FakeHost;
using kimic::testing::TestPack;

constexpr std::uint32_t kExperts = 16, kInputs = 256;

// Sixteen experts of about 32 KiB and a router whose score of expert n follows from input n.
std::vector<std::uint8_t> routedPack() {
  TestPack pack;
  for (std::int32_t i = 0; i < static_cast<std::int32_t>(kExperts); ++i)
    pack.add(constantExpert(kInputs, std::vector<std::int32_t>(128, 100 + i)));
  pack.addRouter(diagonalExpert(kInputs, kExperts), 1, pack::Merge::Weighted);
  return pack.bytes();
}

constexpr std::uint64_t kCap = kimic::testing::kCapForFour;

struct PolicyHost : FakeHost {
  explicit PolicyHost(std::uint32_t policy, std::uint32_t hasAverages = 0, std::uint64_t cap = kCap)
      : FakeHost(routedPack(), cap) {
    EXPECT_EQ(open(), KIMIC_OK);
    EXPECT_EQ(load(kExperts), KIMIC_OK);
    EXPECT_EQ(kimic_pin(runtime, kExperts), KIMIC_OK);
    EXPECT_EQ(kimic_set_cache(runtime, policy, hasAverages), KIMIC_OK);
  }
  bool isResident(std::uint32_t expert) {
    KimicExpertInfo info;
    return kimic_expert_info(runtime, expert, &info) == KIMIC_OK;
  }
  void run(std::uint32_t expert) {
    float x[kInputs] = {}, y[128];
    ASSERT_EQ(load(expert), KIMIC_OK);
    ASSERT_EQ(kimic_run(runtime, expert, x, 1, y), KIMIC_OK);
    ASSERT_EQ(y[0], static_cast<float>(100 + expert));
  }
  using Features = std::vector<std::pair<std::uint32_t, float>>;
  /// The router's choice for a request with these features: the first of the highest.
  KimicChoice route(const Features &features, std::vector<float> *scores = nullptr) {
    float x[kInputs] = {};
    for (const auto &[feature, value] : features)
      x[feature] = value;
    KimicChoice choice{};
    std::uint32_t chosen = 0;
    EXPECT_EQ(kimic_route(runtime, x, 1, &choice, &chosen, scores ? scores->data() : nullptr), KIMIC_OK);
    return choice;
  }
  void answer(const Features &features, std::vector<float> *scores = nullptr) {
    const KimicChoice choice = route(features, scores);
    float x[kInputs] = {}, y[128];
    ASSERT_EQ(load(choice.expert), KIMIC_OK);
    ASSERT_EQ(kimic_run_chosen(runtime, &choice, 1, KIMIC_MERGE_BEST, x, y), KIMIC_OK);
  }
  std::vector<std::uint32_t> likely(std::uint32_t room = 16) {
    std::vector<std::uint32_t> experts(16);
    experts.resize(kimic_next_experts(runtime, KIMIC_NO_EXPERT, experts.data(), room));
    return experts;
  }
};

// Runs experts that were not used yet, one after another, until one has to go.
void runUntilOneGoes(PolicyHost &host, std::uint32_t first) {
  const std::uint64_t before = host.stats().evictions;
  for (std::uint32_t expert = first; expert < kExperts && host.stats().evictions == before; ++expert)
    host.run(expert);
  ASSERT_GT(host.stats().evictions, before);
}

TEST(CachePolicy, LruDropsWhatWasUsedLongestAgoHoweverOften) {
  PolicyHost host(KIMIC_CACHE_LRU, 1);
  for (int i = 0; i < 9; ++i)
    host.run(0);
  runUntilOneGoes(host, 1);
  EXPECT_FALSE(host.isResident(0));
}

TEST(CachePolicy, ScoreKeepsWhatRanOften) {
  PolicyHost host(KIMIC_CACHE_SCORE);
  for (int i = 0; i < 9; ++i)
    host.run(0);
  runUntilOneGoes(host, 1);
  EXPECT_TRUE(host.isResident(0));
}

TEST(CachePolicy, ScoreDropsWhatTheRouterScoresLowest) {
  PolicyHost host(KIMIC_CACHE_SCORE);
  host.answer({{2, 1}});
  host.answer({{3, 1}});
  for (int i = 0; i < 30; ++i)
    host.answer({{1, 1}, {2, 0.99f}}); // 2 scores second and is not used
  const std::uint64_t before = host.stats().evictions;
  for (std::uint32_t expert = 4; host.stats().evictions == before; ++expert)
    host.answer({{expert, 1}});
  EXPECT_TRUE(host.isResident(2));
  EXPECT_FALSE(host.isResident(3));
}

TEST(CachePolicy, AdaptiveKeepsWhatRanAgainDuringAScan) {
  PolicyHost host(KIMIC_CACHE_ADAPTIVE);
  for (std::uint32_t expert : {0, 1, 0, 1})
    host.run(expert);
  for (std::uint32_t expert = 2; expert < kExperts; ++expert)
    host.run(expert);
  EXPECT_GT(host.stats().evictions, 5u);
  EXPECT_TRUE(host.isResident(0));
  EXPECT_TRUE(host.isResident(1));
}

TEST(CachePolicy, AdaptiveGivesRoomToRecencyWhenItsGhostsReturn) {
  PolicyHost host(KIMIC_CACHE_ADAPTIVE);
  for (std::uint32_t expert : {0, 1, 0, 1})
    host.run(expert);
  // A loop longer than what is left of the memory: each miss is on a ghost of the recent ones.
  for (int round = 0; round < 12; ++round)
    for (std::uint32_t expert = 2; expert < 10; ++expert)
      host.run(expert);
  EXPECT_FALSE(host.isResident(0) && host.isResident(1));
}

TEST(CachePolicy, ACallThatRunsAnExpertForManyRowsIsOneUse) {
  PolicyHost host(KIMIC_CACHE_ADAPTIVE);
  float x[8 * kInputs] = {}, y[8 * 128];
  for (std::uint32_t row = 0; row < 8; ++row)
    x[row * kInputs] = 1;
  KimicChoice choices[8];
  ASSERT_EQ(host.finish([&] { return kimic_ask(host.runtime, x, 8, 1, KIMIC_MERGE_BEST, choices, nullptr, y, 128); }),
            KIMIC_OK);
  runUntilOneGoes(host, 1);
  EXPECT_FALSE(host.isResident(0)); // used once, longest ago
}

TEST(CachePolicy, WhatIsLoadedAndDidNotRunYetGoesLast) {
  for (std::uint32_t policy : {KIMIC_CACHE_SCORE, KIMIC_CACHE_ADAPTIVE}) {
    PolicyHost host(policy);
    for (std::uint32_t expert : {0, 1, 2, 3, 0, 1, 2, 3})
      host.run(expert);
    ASSERT_EQ(host.load(7), KIMIC_OK);
    ASSERT_EQ(host.load(8), KIMIC_OK);
    EXPECT_TRUE(host.isResident(7)) << "policy " << policy;
  }
}

TEST(CachePolicy, EveryOneStaysUnderTheCapAndSparesPins) {
  for (std::uint32_t policy : {KIMIC_CACHE_LRU, KIMIC_CACHE_SCORE, KIMIC_CACHE_ADAPTIVE}) {
    PolicyHost host(policy, 1);
    ASSERT_EQ(host.load(5), KIMIC_OK);
    ASSERT_EQ(kimic_pin(host.runtime, 5), KIMIC_OK);
    std::mt19937 random(policy);
    for (int i = 0; i < 3000; ++i) {
      const auto expert = static_cast<std::uint32_t>(std::min(random() % kExperts, random() % kExperts));
      if (random() % 50 == 0)
        kimic_evict(host.runtime, expert);
      if (random() % 50 == 0)
        kimic_prefetch(host.runtime, static_cast<std::uint32_t>(random() % kExperts));
      random() % 2 ? host.run(expert) : host.answer({{expert, 1}});
      ASSERT_TRUE(host.isResident(expert));
    }
    KimicMemory memory;
    kimic_memory(host.runtime, &memory);
    EXPECT_LE(memory.peak, kCap);
    EXPECT_TRUE(host.isResident(5)) << "policy " << policy;
    EXPECT_EQ(memory.pinnedExperts, 2u);
  }
}

// Requests that come in bursts, of experts that are not equally popular.
std::vector<std::uint32_t> someRequests() {
  std::mt19937 random(3);
  std::vector<std::uint32_t> requests;
  std::uint32_t topic = 0;
  for (int i = 0; i < 4000; ++i) {
    if (random() % 24 == 0)
      topic = static_cast<std::uint32_t>(std::min(random() % 6, random() % 6));
    requests.push_back(random() % 4 == 0 ? static_cast<std::uint32_t>(random() % kExperts)
                                         : (topic * 3 + static_cast<std::uint32_t>(random() % 3)) % kExperts);
  }
  return requests;
}

TEST(CachePolicy, EveryOneDoesWhatTheSimulatorSays) {
  const std::vector<std::uint32_t> requests = someRequests();
  for (CachePolicy policy : {CachePolicy::Lru, CachePolicy::ScoreAverage, CachePolicy::Adaptive}) {
    const std::uint32_t kind = policy == CachePolicy::Lru            ? KIMIC_CACHE_LRU
                               : policy == CachePolicy::ScoreAverage ? KIMIC_CACHE_SCORE
                                                                     : KIMIC_CACHE_ADAPTIVE;
    PolicyHost host(kind, 1);
    KimicExpertInfo info;
    host.run(0);
    ASSERT_EQ(kimic_expert_info(host.runtime, 0, &info), KIMIC_OK);
    ASSERT_EQ(kimic_evict(host.runtime, 0), KIMIC_OK);
    ASSERT_EQ(kimic_set_cache(host.runtime, kind, 1), KIMIC_OK); // which forgets that run
    std::vector<TraceStep> trace;
    std::uint32_t mostResident = 0;
    const std::uint64_t before = host.stats().misses;
    for (std::uint32_t request : requests) {
      TraceStep step{{request}, std::vector<float>(kExperts)};
      host.answer({{request, 1}}, &step.scores);
      trace.push_back(step);
      mostResident = std::max(mostResident, host.stats().residentExperts - 1); // not the router
    }
    const std::vector<std::uint32_t> bytes(kExperts, info.parameterBytes);
    CacheSimulation options;
    options.memory = std::uint64_t{mostResident} * info.parameterBytes;
    const CacheOutcome expected = simulate(trace, bytes, policy, options);
    const auto misses = static_cast<double>(host.stats().misses - before);
    const auto simulated = static_cast<double>(expected.uses - expected.hits);
    // ARC remembers ghosts for as many bytes as the cap, which in the runtime is not all for experts.
    EXPECT_NEAR(misses, simulated, policy == CachePolicy::Adaptive ? 0.01 * simulated : 0) << nameOf(policy);
  }
}

TEST(CachePolicy, OneThatDoesNotExistIsRefused) {
  PolicyHost host(KIMIC_CACHE_LRU);
  EXPECT_EQ(kimic_set_cache(host.runtime, KIMIC_CACHE_ADAPTIVE + 1, 0),
            static_cast<std::int32_t>(ErrorId::OptionMalformed));
}

TEST(CachePolicy, NeedsAnOpenPack) {
  FakeHost host(routedPack());
  EXPECT_EQ(kimic_set_cache(host.runtime, KIMIC_CACHE_SCORE, 0), static_cast<std::int32_t>(ErrorId::PackNotOpen));
}

TEST(CachePolicy, WithoutMemoryForItTheOldestGoes) {
  PolicyHost host(KIMIC_CACHE_SCORE);
  host.run(0);
  ASSERT_EQ(kimic_set_cache(host.runtime, KIMIC_CACHE_LRU, 0), KIMIC_OK);
  KimicMemory memory;
  kimic_memory(host.runtime, &memory);
  std::vector<void *> taken;
  while (void *block = kimic_allocate(host.runtime, 256))
    taken.push_back(block);
  EXPECT_EQ(kimic_set_cache(host.runtime, KIMIC_CACHE_SCORE, 0), static_cast<std::int32_t>(ErrorId::ArenaExhausted));
  for (void *block : taken)
    kimic_free(host.runtime, block);
  host.run(0);
}

TEST(Averages, NameAbsentExpertsHighestFirst) {
  PolicyHost host(KIMIC_CACHE_LRU, 1, 64u << 20);
  for (int i = 0; i < 20; ++i)
    host.answer({{7, 1}});
  for (int i = 0; i < 3; ++i)
    host.answer({{4, 1}});
  EXPECT_NE(host.likely()[0], 7u); // it is there
  ASSERT_EQ(kimic_evict(host.runtime, 7), KIMIC_OK);
  ASSERT_EQ(kimic_evict(host.runtime, 4), KIMIC_OK);
  const std::vector<std::uint32_t> likely = host.likely();
  ASSERT_EQ(likely.size(), KIMIC_LIKELY_EXPERTS);
  EXPECT_EQ(likely[0], 7u);
  EXPECT_EQ(likely[1], 4u);
  EXPECT_EQ(host.likely(1), std::vector<std::uint32_t>{7});
}

TEST(Averages, ForgetARequestThatDidNotRun) {
  PolicyHost host(KIMIC_CACHE_LRU, 1, 64u << 20);
  host.answer({{4, 1}});
  ASSERT_EQ(kimic_evict(host.runtime, 4), KIMIC_OK);
  for (int i = 0; i < 20; ++i)
    host.route({{7, 1}});
  host.route({{3, 1}});
  EXPECT_EQ(host.likely(1), std::vector<std::uint32_t>{3}); // the request to come
  host.answer({{4, 1}});
  ASSERT_EQ(kimic_evict(host.runtime, 4), KIMIC_OK);
  EXPECT_EQ(host.likely(1), std::vector<std::uint32_t>{4});
}

TEST(Averages, StayFiniteAndInOrderOverAHundredThousandRequests) {
  PolicyHost host(KIMIC_CACHE_LRU, 1, 64u << 20);
  for (int i = 0; i < 100'000; ++i)
    host.answer({{static_cast<std::uint32_t>(i % 3), 1}});
  for (int i = 0; i < 20; ++i)
    host.answer({{9, 1}});
  for (std::uint32_t expert : {0, 1, 2, 9})
    ASSERT_EQ(kimic_evict(host.runtime, expert), KIMIC_OK);
  EXPECT_EQ(host.likely(), (std::vector<std::uint32_t>{9, 0, 2, 1})); // 99,999 % 3 is 0
}

TEST(Averages, AreNotKeptUnasked) {
  PolicyHost host(KIMIC_CACHE_ADAPTIVE);
  host.answer({{7, 1}});
  EXPECT_TRUE(host.likely().empty());
}

} // namespace
} // namespace kimic::runtime
