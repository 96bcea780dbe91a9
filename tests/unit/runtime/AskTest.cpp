// Answers in one call: as routing and running apart, and what happens when something is missing.
#include "runtime/include/kimic/Runtime.h"
#include "tests/support/FakeHost.h"
#include "tests/support/TestPack.h"

#include <gtest/gtest.h>

namespace kimic::runtime {
namespace {

using kimic::testing::constantExpert;
using kimic::testing::FakeHost;
using kimic::testing::TestPack;

// Four experts that answer {1, -1}, {2, -2}, {4, -4}, {8, -8} behind a router that prefers the last ones.
TestPack packOfFour() {
  TestPack pack;
  for (std::int32_t value : {1, 2, 4, 8})
    pack.add(constantExpert(3, {value, -value}));
  pack.addRouter(constantExpert(3, {1, 2, 3, 4}), 2, pack::Merge::Average);
  return pack;
}

struct AskHost : FakeHost {
  explicit AskHost(TestPack pack = packOfFour(), std::uint64_t cap = 64u << 20) : FakeHost(pack.bytes(), cap) {
    EXPECT_EQ(open(), KIMIC_OK);
  }
  std::int32_t askOnce(std::uint32_t rows = 1, std::uint32_t count = 0, std::uint32_t merge = KIMIC_MERGE_AVERAGE) {
    return kimic_ask(runtime, x.data(), rows, count, merge, choices.data(), scores.data(), y.data(), 2);
  }
  std::int32_t ask(std::uint32_t rows = 1, std::uint32_t count = 0, std::uint32_t merge = KIMIC_MERGE_AVERAGE) {
    return finish([&] { return askOnce(rows, count, merge); });
  }
  std::vector<float> x = std::vector<float>(9, 0.5f), y = std::vector<float>(6, 99), scores = std::vector<float>(12);
  std::vector<KimicChoice> choices = std::vector<KimicChoice>(12);
};

TEST(Ask, LoadsRoutesRunsAndMerges) {
  AskHost host;
  ASSERT_EQ(host.ask(), KIMIC_OK);
  EXPECT_EQ(host.choices[0].expert, 3u);
  EXPECT_EQ(host.choices[1].expert, 2u);
  EXPECT_EQ(host.y[0], 6.0f);
  EXPECT_EQ(host.y[1], -6.0f);
  EXPECT_EQ(host.y[2], 99.0f);
}

TEST(Ask, IsRoutingAndRunningApartToTheBit) {
  AskHost host;
  for (std::uint32_t merge : {KIMIC_MERGE_AVERAGE, KIMIC_MERGE_WEIGHTED, KIMIC_MERGE_BEST}) {
    ASSERT_EQ(host.ask(1, 3, merge), KIMIC_OK);
    std::vector<KimicChoice> choices(3);
    std::vector<float> scores(4), y(2);
    std::uint32_t chosen;
    ASSERT_EQ(kimic_route(host.runtime, host.x.data(), 3, choices.data(), &chosen, scores.data()), KIMIC_OK);
    ASSERT_EQ(kimic_run_chosen(host.runtime, choices.data(), 3, merge, host.x.data(), y.data()), KIMIC_OK);
    for (int i = 0; i < 3; ++i) {
      EXPECT_EQ(host.choices[i].expert, choices[i].expert);
      EXPECT_EQ(host.choices[i].weight, choices[i].weight);
    }
    for (int i = 0; i < 4; ++i)
      EXPECT_EQ(host.scores[i], scores[i]);
    for (int i = 0; i < 2; ++i)
      EXPECT_EQ(host.y[i], y[i]);
  }
}

TEST(Ask, AnswersEveryRow) {
  // The router's logits are 4 * x0 and -4 * x0: the sign of x0 chooses.
  TestPack pack;
  pack.add(constantExpert(3, {10, 11}));
  pack.add(constantExpert(3, {20, 21}));
  kimic::testing::RandomExpert router = constantExpert(3, {0, 0});
  router.parameters.layers[0].weights = {4, 0, 0, -4, 0, 0};
  pack.addRouter(router, 1, pack::Merge::Best);
  AskHost host(pack);
  host.x = {5, 0, 0, -5, 0, 0, 7, 0, 0};
  ASSERT_EQ(host.ask(3), KIMIC_OK);
  EXPECT_EQ(host.y, (std::vector<float>{10, 11, 20, 21, 10, 11}));
  EXPECT_EQ(host.choices[1].expert, 1u);
}

TEST(Ask, AsksForNothingWhenAllIsResident) {
  AskHost host;
  ASSERT_EQ(host.ask(), KIMIC_OK);
  host.seen.clear();
  EXPECT_EQ(host.askOnce(), KIMIC_OK);
  host.take();
  EXPECT_TRUE(host.seen.empty());
}

TEST(Ask, DoesNotAllocateWhenAllIsResident) {
  AskHost host;
  ASSERT_EQ(host.ask(3), KIMIC_OK);
  std::uint64_t used = host.stats().arenaUsed, peak = host.stats().arenaPeak;
  for (int i = 0; i < 100; ++i)
    ASSERT_EQ(host.askOnce(3), KIMIC_OK);
  EXPECT_EQ(host.stats().arenaUsed, used);
  EXPECT_EQ(host.stats().arenaPeak, peak);
}

TEST(Ask, LeavesNothingPinned) {
  AskHost host;
  ASSERT_EQ(host.ask(), KIMIC_OK);
  for (std::uint32_t expert = 0; expert < 5; ++expert)
    EXPECT_EQ(kimic_evict(host.runtime, expert), KIMIC_OK);
  EXPECT_EQ(host.askOnce(), KIMIC_PENDING);
  EXPECT_EQ(host.ask(), KIMIC_OK);
}

TEST(Ask, ReadsAllThatIsMissingTogether) {
  AskHost host;
  ASSERT_EQ(host.load(4), KIMIC_OK);
  ASSERT_EQ(host.load(0), KIMIC_OK);
  EXPECT_EQ(host.askOnce(), KIMIC_PENDING);
  host.take();
  EXPECT_EQ(host.waiting.size(), 2u); // the parameters of experts 3 and 2
}

TEST(Ask, RefusesWhatCannotBeAnswered) {
  AskHost host;
  ASSERT_EQ(host.ask(), KIMIC_OK);
  EXPECT_EQ(host.askOnce(0), static_cast<std::int32_t>(ErrorId::NothingToRun));
  EXPECT_EQ(host.askOnce(1, 5), static_cast<std::int32_t>(ErrorId::TooManyChoices));
  EXPECT_EQ(host.askOnce(1, 2, 7), static_cast<std::int32_t>(ErrorId::UnknownMerge));
  EXPECT_EQ(
      kimic_ask(host.runtime, host.x.data(), 1, 0, KIMIC_MERGE_BEST, host.choices.data(), nullptr, host.y.data(), 3),
      static_cast<std::int32_t>(ErrorId::OutputsDiffer));
  EXPECT_EQ(host.lastError(), makeError(ErrorId::OutputsDiffer, 3, 2, 3));
}

TEST(Ask, RefusesExpertsWithOtherInputsThanTheRouter) {
  TestPack pack;
  pack.add(constantExpert(4, {1, 2}));
  pack.addRouter(constantExpert(3, {1}), 1, pack::Merge::Best);
  AskHost host(pack);
  EXPECT_EQ(host.ask(), static_cast<std::int32_t>(ErrorId::InputsDiffer));
}

TEST(Ask, NeedsARouter) {
  TestPack pack;
  pack.add(constantExpert(3, {1, 2}));
  AskHost host(pack);
  EXPECT_EQ(host.askOnce(), static_cast<std::int32_t>(ErrorId::PackHasNoRouter));
}

TEST(Ask, SaysWhenItsExpertsDoNotFitTogether) {
  TestPack pack;
  for (std::int32_t i = 0; i < 6; ++i)
    pack.add(constantExpert(256, std::vector<std::int32_t>(128, i)));
  pack.addRouter(constantExpert(256, {1, 2, 3, 4, 5, 6}), 6, pack::Merge::Average);
  FakeHost host(pack.bytes(), 200 << 10);
  ASSERT_EQ(host.open(), KIMIC_OK);
  std::vector<float> x(256), y(128);
  std::vector<KimicChoice> choices(6);
  EXPECT_EQ(host.finish([&] {
    return kimic_ask(host.runtime, x.data(), 1, 0, KIMIC_MERGE_AVERAGE, choices.data(), nullptr, y.data(), 128);
  }),
            static_cast<std::int32_t>(ErrorId::ArenaExhausted));
  for (std::uint32_t expert = 0; expert < 7; ++expert)
    EXPECT_EQ(kimic_evict(host.runtime, expert), KIMIC_OK);
}

} // namespace
} // namespace kimic::runtime
