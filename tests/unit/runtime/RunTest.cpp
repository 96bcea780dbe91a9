// Running experts, routing and merging, with numbers on the page.
#include "runtime/include/kimic/Runtime.h"
#include "tests/support/FakeHost.h"
#include "tests/support/TestPack.h"

#include <gtest/gtest.h>

#include <cmath>

namespace kimic::runtime {
namespace {

using kimic::testing::constantExpert;
using kimic::testing::FakeHost;
using kimic::testing::TestPack;

// Four experts that answer {1, -1}, {2, -2}, {4, -4}, {8, -8} behind a router with fixed logits.
TestPack routedPack(const std::vector<std::int32_t> &logits, std::uint32_t topK, pack::Merge merge,
                    float temperature = 1) {
  TestPack pack;
  for (std::int32_t value : {1, 2, 4, 8})
    pack.add(constantExpert(3, {value, -value}));
  pack.addRouter(constantExpert(3, logits), topK, merge, temperature);
  return pack;
}

struct RoutedHost : FakeHost {
  explicit RoutedHost(TestPack pack) : FakeHost(pack.bytes()) {
    EXPECT_EQ(open(), KIMIC_OK);
    for (std::uint32_t expert = 0; expert < pack.contents.experts.size(); ++expert)
      EXPECT_EQ(load(expert), KIMIC_OK);
  }
  std::vector<KimicChoice> route(std::uint32_t count = 0) {
    std::vector<KimicChoice> choices(4);
    std::uint32_t chosen = 0;
    EXPECT_EQ(kimic_route(runtime, x, count, choices.data(), &chosen, nullptr), KIMIC_OK);
    choices.resize(chosen);
    return choices;
  }
  std::vector<float> merge(const std::vector<KimicChoice> &choices, std::uint32_t how) {
    std::vector<float> y(2, 99);
    EXPECT_EQ(kimic_run_chosen(runtime, choices.data(), static_cast<std::uint32_t>(choices.size()), how, x, y.data()),
              KIMIC_OK);
    return y;
  }
  float x[3] = {0.5f, -1, 2};
};

TEST(Run, ComputesEveryRow) {
  // y = x0 * 3 + x1 * -2 + 5: input scale 1, one linear output.
  kimic::testing::RandomExpert expert = constantExpert(2, {5});
  expert.parameters.layers[0].weights = {3, -2};
  TestPack pack;
  pack.add(expert);
  FakeHost host(pack.bytes());
  ASSERT_EQ(host.open(), KIMIC_OK);
  ASSERT_EQ(host.load(0), KIMIC_OK);
  float x[6] = {1, 2, 10, 0, -4, 7}, y[3];
  ASSERT_EQ(kimic_run(host.runtime, 0, x, 3, y), KIMIC_OK);
  EXPECT_EQ(y[0], 4.0f);
  EXPECT_EQ(y[1], 35.0f);
  EXPECT_EQ(y[2], -21.0f);
  EXPECT_EQ(kimic_run(host.runtime, 0, x, 0, y), static_cast<int>(ErrorId::NothingToRun));
}

TEST(Run, TellsTheShapeOfAnExpert) {
  RoutedHost host(routedPack({1, 2, 3, 4}, 2, pack::Merge::Weighted));
  KimicExpertInfo info;
  ASSERT_EQ(kimic_expert_info(host.runtime, 4, &info), KIMIC_OK);
  EXPECT_EQ(info.inputs, 3u);
  EXPECT_EQ(info.outputs, 4u);
  EXPECT_EQ(info.kernel, 1u);
}

TEST(Features, ThatAreNoNumbersAreRefusedAndChangeNothing) {
  RoutedHost host(routedPack({1, 4, 2, 3}, 1, pack::Merge::Best));
  const std::vector<KimicChoice> before = host.route();
  for (float bad : {std::nanf(""), INFINITY, -INFINITY}) {
    float x[3] = {0, bad, 0}, y[2] = {-1, -1};
    KimicChoice choice{77, 0, 0};
    std::uint32_t chosen = 5;
    EXPECT_EQ(kimic_route(host.runtime, x, 1, &choice, &chosen, nullptr), static_cast<int>(ErrorId::FeatureNotFinite));
    EXPECT_EQ(host.lastError(), makeError(ErrorId::FeatureNotFinite, 1));
    EXPECT_EQ(choice.expert, 77u);
    EXPECT_EQ(kimic_ask(host.runtime, x, 1, 1, 0, &choice, nullptr, y, 2), static_cast<int>(ErrorId::FeatureNotFinite));
    EXPECT_EQ(y[0], -1);
  }
  EXPECT_EQ(host.route()[0].expert, before[0].expert);
}

TEST(Route, ChoosesAsManyAsThePackOrTheCallSays) {
  RoutedHost host(routedPack({1, 4, 2, 3}, 2, pack::Merge::Average));
  std::vector<KimicChoice> choices = host.route();
  ASSERT_EQ(choices.size(), 2u);
  EXPECT_EQ(choices[0].expert, 1u);
  EXPECT_EQ(choices[1].expert, 3u);
  EXPECT_EQ(host.route(3).size(), 3u);
  EXPECT_EQ(host.route(4)[3].expert, 0u);
}

TEST(Route, GivesScoresOfAllExpertsOnRequest) {
  RoutedHost host(routedPack({5, 5, 5, 5}, 1, pack::Merge::Average));
  KimicChoice choice;
  std::uint32_t chosen;
  float scores[4];
  ASSERT_EQ(kimic_route(host.runtime, host.x, 0, &choice, &chosen, scores), KIMIC_OK);
  EXPECT_EQ(choice.expert, 0u);
  for (float score : scores)
    EXPECT_EQ(score, 0.25f);
}

TEST(Route, UsesThePacksTemperature) {
  RoutedHost hot(routedPack({2, 0, 0, 0}, 1, pack::Merge::Average, 2.0f));
  RoutedHost cold(routedPack({1, 0, 0, 0}, 1, pack::Merge::Average, 1.0f));
  EXPECT_EQ(hot.route()[0].score, cold.route()[0].score);
  EXPECT_EQ(cold.route()[0].score, 0.475366890f); // e / (e + 3)
}

TEST(Route, RefusesWhatItCannotChoose) {
  RoutedHost host(routedPack({1, 2, 3, 4}, 2, pack::Merge::Average));
  KimicChoice choices[8];
  std::uint32_t chosen;
  EXPECT_EQ(kimic_route(host.runtime, host.x, 5, choices, &chosen, nullptr), static_cast<int>(ErrorId::TooManyChoices));
  ASSERT_EQ(kimic_evict(host.runtime, 4), KIMIC_OK);
  EXPECT_EQ(kimic_route(host.runtime, host.x, 1, choices, &chosen, nullptr),
            static_cast<int>(ErrorId::ExpertNotResident));
  TestPack unrouted;
  unrouted.add(constantExpert(1, {1}));
  FakeHost other(unrouted.bytes());
  ASSERT_EQ(other.open(), KIMIC_OK);
  EXPECT_EQ(kimic_route(other.runtime, host.x, 1, choices, &chosen, nullptr),
            static_cast<int>(ErrorId::PackHasNoRouter));
}

TEST(Merge, AveragesTheChosen) {
  RoutedHost host(routedPack({1, 4, 2, 3}, 2, pack::Merge::Average));
  EXPECT_EQ(host.merge(host.route(), KIMIC_MERGE_AVERAGE), (std::vector<float>{5, -5})); // (2 + 8) / 2
  EXPECT_EQ(host.merge(host.route(3), KIMIC_MERGE_AVERAGE),
            (std::vector<float>{static_cast<float>(14.0 / 3), static_cast<float>(-14.0 / 3)}));
}

TEST(Merge, WeighsTheChosen) {
  RoutedHost host(routedPack({1, 4, 2, 3}, 2, pack::Merge::Weighted));
  // Shares 1 / (1 + e^-1) and 1 / (1 + e), in f32, of 2 and 8.
  double expected = double(0.7310585786f) * 2 + double(0.2689414214f) * 8;
  EXPECT_EQ(host.merge(host.route(), KIMIC_MERGE_WEIGHTED),
            (std::vector<float>{static_cast<float>(expected), static_cast<float>(-expected)}));
}

TEST(Merge, TakesTheBestOfTheChosen) {
  RoutedHost host(routedPack({1, 4, 2, 3}, 2, pack::Merge::Best));
  EXPECT_EQ(host.merge(host.route(), KIMIC_MERGE_BEST), (std::vector<float>{2, -2}));
  std::vector<KimicChoice> reversed = host.route();
  std::swap(reversed[0], reversed[1]);
  EXPECT_EQ(host.merge(reversed, KIMIC_MERGE_BEST), (std::vector<float>{2, -2}));
}

TEST(Merge, WeighsByTheLearnedWeights) {
  TestPack pack = routedPack({1, 4, 2, 3}, 2, pack::Merge::Learned);
  pack.addColumn(&pack::Router::hasWeights, {1, 3, 1, 1});
  RoutedHost host(pack);
  std::vector<KimicChoice> choices = host.route();
  EXPECT_EQ(choices[0].weight, 0.75f);
  EXPECT_EQ(choices[1].weight, 0.25f);
  EXPECT_EQ(host.merge(choices, KIMIC_MERGE_LEARNED), (std::vector<float>{3.5f, -3.5f})); // 0.75 * 2 + 0.25 * 8
}

// Experts that answer with whole numbers, all chosen.
RoutedHost votingHost(const std::vector<std::vector<std::int32_t>> &answers, std::uint32_t minVotes,
                      pack::Merge merge = pack::Merge::Vote, float sureFrom = 0) {
  TestPack pack;
  for (const auto &answer : answers)
    pack.add(constantExpert(3, answer));
  pack.addRouter(constantExpert(3, std::vector<std::int32_t>(answers.size(), 0)),
                 static_cast<std::uint32_t>(answers.size()), merge);
  pack.contents.router->minVotes = minVotes;
  for (auto &expert : pack.contents.experts)
    expert.confidenceThreshold = sureFrom;
  return RoutedHost(pack);
}

TEST(Vote, CountsTheLargestOutputOfEach) {
  RoutedHost host = votingHost({{0, 5, 1}, {2, 2, 1}, {0, 3, 9}, {0, 1, 0}}, 2);
  EXPECT_EQ(host.lastError().id, ErrorId::None);
  std::vector<float> y(3);
  std::vector<KimicChoice> choices = host.route();
  ASSERT_EQ(kimic_run_chosen(host.runtime, choices.data(), 4, KIMIC_MERGE_VOTE, host.x, y.data()), KIMIC_OK);
  EXPECT_EQ(y, (std::vector<float>{0.25f, 0.5f, 0.25f}));
}

TEST(Vote, IsUndecidedBelowTheMinimum) {
  RoutedHost host = votingHost({{0, 5}, {2, 1}, {0, 3}, {9, 1}}, 3);
  float y[2];
  std::vector<KimicChoice> choices = host.route();
  EXPECT_EQ(kimic_run_chosen(host.runtime, choices.data(), 4, KIMIC_MERGE_VOTE, host.x, y),
            static_cast<int>(ErrorId::VoteUndecided));
  EXPECT_EQ(host.lastError(), makeError(ErrorId::VoteUndecided, 2, 4, 3));
}

TEST(Vote, CountsBothSidesOfASingleOutput) {
  float y;
  RoutedHost against = votingHost({{0}, {0}, {1}}, 2);
  std::vector<KimicChoice> choices = against.route();
  ASSERT_EQ(kimic_run_chosen(against.runtime, choices.data(), 3, KIMIC_MERGE_VOTE, against.x, &y), KIMIC_OK);
  EXPECT_EQ(y, static_cast<float>(1.0 / 3));
}

TEST(Cascade, StopsAtTheFirstSureExpert) {
  RoutedHost host = votingHost({{0, 0}, {1, 0}, {0, 1}}, 0, pack::Merge::Cascade, 0.75f);
  ASSERT_EQ(kimic_evict(host.runtime, 2), KIMIC_OK); // it does not run, so it need not be there
  std::vector<KimicChoice> choices = host.route();
  float y[2];
  ASSERT_EQ(kimic_run_chosen(host.runtime, choices.data(), 3, KIMIC_MERGE_CASCADE, host.x, y), KIMIC_OK);
  EXPECT_EQ(y[0], 1.0f);
}

TEST(Cascade, NeedsTheNextExpertWhenThisOneIsUnsure) {
  RoutedHost host = votingHost({{0, 0}, {1, 0}}, 0, pack::Merge::Cascade, 0.75f);
  ASSERT_EQ(kimic_evict(host.runtime, 1), KIMIC_OK);
  std::vector<KimicChoice> choices = host.route();
  float y[2];
  EXPECT_EQ(kimic_run_chosen(host.runtime, choices.data(), 2, KIMIC_MERGE_CASCADE, host.x, y),
            static_cast<int>(ErrorId::ExpertNotResident));
  EXPECT_EQ(host.lastError(), makeError(ErrorId::ExpertNotResident, 1));
}

TEST(Cascade, TakesTheMostConfidentIfNoneIsSure) {
  RoutedHost host = votingHost({{-3, -1}, {-2, 0}, {-1, -1}}, 0, pack::Merge::Cascade, 0.75f);
  std::vector<KimicChoice> choices = host.route();
  float y[2];
  ASSERT_EQ(kimic_run_chosen(host.runtime, choices.data(), 3, KIMIC_MERGE_CASCADE, host.x, y), KIMIC_OK);
  EXPECT_EQ(y[0], -2.0f);
}

TEST(Cascade, IsSureOfASingleOutputOnEitherSide) {
  RoutedHost host = votingHost({{0}, {1}}, 0, pack::Merge::Cascade, 0.75f);
  std::vector<KimicChoice> choices = host.route();
  float y;
  ASSERT_EQ(kimic_run_chosen(host.runtime, choices.data(), 2, KIMIC_MERGE_CASCADE, host.x, &y), KIMIC_OK);
  EXPECT_EQ(y, 0.0f); // 1 - 0 is a confidence of 1
}

TEST(Route, ChoosesByTheBiasThatArrivesWithTheNetwork) {
  TestPack pack = routedPack({0, 0, 0, 0}, 2, pack::Merge::Weighted);
  pack.contents.router->head = pack::Head::Sigmoid;
  pack.addColumn(&pack::Router::hasBias, {0, 0.25f, 0, 0.5f});
  RoutedHost host(pack);
  std::vector<KimicChoice> choices = host.route();
  EXPECT_EQ(choices[0].expert, 3u);
  EXPECT_EQ(choices[1].expert, 1u);
  EXPECT_EQ(choices[0].score, 0.5f);
}

TEST(Route, RefusesColumnsWithoutMeaning) {
  TestPack pack = routedPack({0, 0, 0, 0}, 2, pack::Merge::Weighted);
  pack.addColumn(&pack::Router::hasThresholds, {0, 0.25f, 2, 0.5f});
  FakeHost host(pack.bytes());
  ASSERT_EQ(host.open(), KIMIC_OK);
  EXPECT_EQ(host.load(4), static_cast<int>(ErrorId::PackRouterColumn));
  EXPECT_EQ(host.lastError(), makeError(ErrorId::PackRouterColumn, 2, 2));
}

TEST(Route, AnswersWithTheFallbackWhenItAbstains) {
  TestPack pack = routedPack({0, 0, 0, 0}, 2, pack::Merge::Weighted);
  pack.contents.router->threshold = 0.5f;
  {
    RoutedHost abstaining(pack);
    EXPECT_EQ(abstaining.route().size(), 0u);
  }
  pack.contents.router->fallback = 2;
  RoutedHost host(pack);
  std::vector<KimicChoice> choices = host.route();
  ASSERT_EQ(choices.size(), 1u);
  EXPECT_EQ(choices[0].expert, 2u);
  EXPECT_EQ(choices[0].score, 0.0f);
  EXPECT_EQ(host.merge(choices, KIMIC_MERGE_WEIGHTED), (std::vector<float>{4, -4}));
}

TEST(Route, PrefersResidentExpertsIfToldTo) {
  TestPack pack = routedPack({3, 2, 2, 2}, 2, pack::Merge::Weighted);
  for (float bonus : {0.0f, 0.1f}) {
    FakeHost host(pack.bytes(), 64u << 20, 0, bonus);
    ASSERT_EQ(host.open(), KIMIC_OK);
    ASSERT_EQ(host.load(4), KIMIC_OK);
    ASSERT_EQ(host.load(3), KIMIC_OK);
    float x[3] = {};
    KimicChoice choices[2];
    std::uint32_t chosen;
    ASSERT_EQ(kimic_route(host.runtime, x, 0, choices, &chosen, nullptr), KIMIC_OK);
    EXPECT_EQ(choices[0].expert, 0u);
    EXPECT_EQ(choices[1].expert, bonus > 0 ? 3u : 1u);
  }
}

TEST(Route, ExplainsItself) {
  RoutedHost host(routedPack({0, 0, 0, 0}, 2, pack::Merge::Weighted));
  KimicChoice choices[2];
  KimicExplanation explanations[4];
  std::uint32_t chosen;
  ASSERT_EQ(kimic_explain(host.runtime, host.x, 0, choices, &chosen, explanations), KIMIC_OK);
  EXPECT_EQ(chosen, 2u);
  EXPECT_EQ(explanations[1].reason, static_cast<std::uint32_t>(KIMIC_CHOSEN));
  EXPECT_EQ(explanations[2].reason, static_cast<std::uint32_t>(KIMIC_OUTRANKED));
  EXPECT_EQ(explanations[3].score, 0.25f);
}

TEST(Merge, RefusesExpertsOfDifferentShapes) {
  TestPack pack;
  pack.add(constantExpert(3, {1, 2}));
  pack.add(constantExpert(3, {1}));
  pack.add(constantExpert(2, {1, 2}));
  RoutedHost host(pack);
  KimicChoice outputs[2] = {{0, 0.5f, 0.5f}, {1, 0.5f, 0.5f}}, inputs[2] = {{0, 0.5f, 0.5f}, {2, 0.5f, 0.5f}};
  float y[2];
  EXPECT_EQ(kimic_run_chosen(host.runtime, outputs, 2, KIMIC_MERGE_AVERAGE, host.x, y),
            static_cast<int>(ErrorId::OutputsDiffer));
  EXPECT_EQ(host.lastError(), makeError(ErrorId::OutputsDiffer, 1, 1, 2));
  EXPECT_EQ(kimic_run_chosen(host.runtime, inputs, 2, KIMIC_MERGE_AVERAGE, host.x, y),
            static_cast<int>(ErrorId::InputsDiffer));
  EXPECT_EQ(kimic_run_chosen(host.runtime, inputs, 0, KIMIC_MERGE_AVERAGE, host.x, y),
            static_cast<int>(ErrorId::NothingToRun));
  EXPECT_EQ(kimic_run_chosen(host.runtime, inputs, 1, 6, host.x, y), static_cast<int>(ErrorId::UnknownMerge));
}

} // namespace
} // namespace kimic::runtime
