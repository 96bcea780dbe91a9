#include "runtime/exec/Router.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>
#include <vector>

namespace kimic::runtime {
namespace {

using Ids = std::vector<std::uint32_t>;
using Floats = std::vector<float>;

/// A router's record with its columns, and what it makes of outputs.
struct TestRouter {
  pack::Router record;
  Floats bias, weights, thresholds;
  float bonus = 0;
  Ids residents = {};

  explicit TestRouter(pack::Strategy strategy = pack::Strategy::TopK, pack::Head head = pack::Head::Softmax) {
    record.strategy = strategy;
    record.head = head;
  }

  Routing routing() const {
    return {record,
            {bias, weights, thresholds},
            bonus,
            [](const void *context, std::uint32_t expert) {
              const Ids &ids = *static_cast<const Ids *>(context);
              return std::find(ids.begin(), ids.end(), expert) != ids.end();
            },
            &residents};
  }
};

struct Chosen {
  std::vector<KimicChoice> choices;
  Floats scores;
  std::vector<KimicExplanation> explanations;

  Ids ids() const {
    Ids ids;
    for (const KimicChoice &choice : choices)
      ids.push_back(choice.expert);
    return ids;
  }
  Floats weights() const {
    Floats weights;
    for (const KimicChoice &choice : choices)
      weights.push_back(choice.weight);
    return weights;
  }
  Ids reasons() const {
    Ids reasons;
    for (const KimicExplanation &explanation : explanations)
      reasons.push_back(explanation.reason);
    return reasons;
  }
};

Chosen chooseFrom(TestRouter router, Floats outputs, std::size_t count) {
  if (router.record.head != pack::Head::ProductKeys)
    router.record.routed = static_cast<std::uint32_t>(outputs.size());
  Chosen result;
  result.choices.resize(count);
  result.scores.resize(router.record.routed);
  result.explanations.resize(router.record.routed);
  std::vector<double> workspace(workspaceSize(outputs.size()));
  std::vector<KimicChoice> explained(count);
  std::uint32_t chosen = choose(router.routing(), outputs, workspace, result.choices, {true, result.scores.data()});
  EXPECT_EQ(choose(router.routing(), outputs, workspace, explained, {true, nullptr, result.explanations.data()}),
            chosen);
  result.choices.resize(chosen);
  explained.resize(chosen);
  for (std::size_t c = 0; c < chosen; ++c) {
    EXPECT_EQ(explained[c].expert, result.choices[c].expert);
    EXPECT_EQ(explained[c].weight, result.choices[c].weight);
  }
  return result;
}

Chosen chooseFrom(Floats logits, std::size_t count, float temperature = 1) {
  TestRouter router;
  router.record.temperature = temperature;
  return chooseFrom(router, std::move(logits), count);
}

TEST(Router, ChoosesTheHighestLogitsBestFirst) { EXPECT_EQ(chooseFrom({1, 5, 3, 4}, 3).ids(), (Ids{1, 3, 2})); }

TEST(Router, GivesTiesToTheLowerId) { EXPECT_EQ(chooseFrom({2, 7, 7, 2, 7}, 4).ids(), (Ids{1, 2, 4, 0})); }

TEST(Router, ScoresAreTheSoftmaxOfAllExperts) {
  Chosen even = chooseFrom({3, 3, 3, 3}, 2);
  EXPECT_EQ(even.scores, (Floats{0.25f, 0.25f, 0.25f, 0.25f}));
  Chosen uneven = chooseFrom({1, 0}, 1);
  EXPECT_EQ(uneven.scores, (Floats{0.7310585786f, 0.2689414214f})); // 1 / (1 + e^-1), 1 / (1 + e)
  EXPECT_EQ(uneven.choices[0].score, 0.7310585786f);
}

TEST(Router, WeightsAreTheSharesAmongTheChosen) {
  EXPECT_EQ(chooseFrom({3, 3, 3, 3}, 2).weights(), (Floats{0.5f, 0.5f}));
  EXPECT_EQ(chooseFrom({-9, 1, 0}, 2).weights(), (Floats{0.7310585786f, 0.2689414214f}));
  EXPECT_EQ(chooseFrom({4, 9}, 1).weights(), Floats{1.0f});
}

TEST(Router, TemperatureDividesTheLogits) { EXPECT_EQ(chooseFrom({2, 0}, 1, 2).scores, chooseFrom({1, 0}, 1).scores); }

TEST(Router, SubtractsTheHighestLogitSoNothingOverflows) {
  EXPECT_EQ(chooseFrom({30000, 30000}, 1).scores, (Floats{0.5f, 0.5f}));
  EXPECT_EQ(chooseFrom({-30000, -30000}, 1).scores, (Floats{0.5f, 0.5f}));
}

TEST(Router, TellsApartExpertsWhoseScoresVanish) {
  Chosen chosen = chooseFrom({0, -5000, -4000, 9000}, 4);
  EXPECT_EQ(chosen.ids(), (Ids{3, 0, 2, 1}));
  EXPECT_EQ(chosen.scores[1], 0.0f);
}

TEST(Router, CountsNotANumberAsTheLowestLogit) {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN(), kInf = std::numeric_limits<float>::infinity();
  EXPECT_EQ(chooseFrom({kNan, -3, kNan, 5}, 4).ids(), (Ids{3, 1, 0, 2}));
  EXPECT_EQ(chooseFrom({kNan, kNan}, 2).scores, (Floats{0.5f, 0.5f}));
  EXPECT_EQ(chooseFrom({1, kInf, -kInf}, 3).ids(), (Ids{1, 0, 2}));
  EXPECT_EQ(chooseFrom({1, kInf, -kInf}, 3).scores, (Floats{0, 1, 0}));
}

TEST(Router, ExponentialIsThatOfTheLibrary) {
  EXPECT_EQ(expNonPositive(0), 1.0);
  for (double x = -700; x <= 0; x += 0.0137)
    ASSERT_NEAR(expNonPositive(x) / std::exp(x), 1.0, 1e-15) << x;
  EXPECT_EQ(expNonPositive(-1e300), 0.0);
}

//===--------------------------------------------------------------------===//
// Sigmoid scores with a selection bias: Kimi-K2's router
//===--------------------------------------------------------------------===//

TestRouter kimiRouter(Floats bias) {
  TestRouter router(pack::Strategy::TopK, pack::Head::Sigmoid);
  router.bias = std::move(bias);
  router.record.hasBias = !router.bias.empty();
  router.record.scale = 2.827f;
  return router;
}

TEST(SigmoidRouter, ScoresEveryExpertByItself) {
  Chosen chosen = chooseFrom(kimiRouter({}), {0, 1, -1, 800, -800}, 1);
  EXPECT_EQ(chosen.scores, (Floats{0.5f, 0.7310585786f, 0.2689414214f, 1, 0}));
}

TEST(SigmoidRouter, UsesTheBiasForChoosingOnly) {
  // Scores 0.5, 0.731, 0.269 become 0.5, 0.731, 0.769 for the choice.
  Chosen chosen = chooseFrom(kimiRouter({0, 0, 0.5f}), {0, 1, -1}, 2);
  EXPECT_EQ(chosen.ids(), (Ids{2, 1}));
  EXPECT_EQ(chosen.choices[0].score, 0.2689414214f);
  // Their scores add up to 1.
  EXPECT_EQ(chosen.weights(), (Floats{static_cast<float>(0.2689414213699951 * static_cast<double>(2.827f)),
                                      static_cast<float>(0.7310585786300049 * static_cast<double>(2.827f))}));
}

TEST(SigmoidRouter, WeightsAreScaledScoresWhenNotNormalised) {
  TestRouter router = kimiRouter({});
  router.record.isNormalised = false;
  router.record.scale = 2;
  EXPECT_EQ(chooseFrom(router, {0, 0, -900}, 2).weights(), (Floats{1, 1}));
}

TEST(SigmoidRouter, GivesTiesToTheLowerIdUnderABias) {
  EXPECT_EQ(chooseFrom(kimiRouter({0.25f, 0.25f, 0.25f, -0.25f}), {3, 3, 3, 3}, 4).ids(), (Ids{0, 1, 2, 3}));
}

TEST(SigmoidRouter, ChoosesByNegativeBiasesToo) {
  EXPECT_EQ(chooseFrom(kimiRouter({-3, -1, -2}), {0, 0, 0}, 2).ids(), (Ids{1, 2}));
}

// The published definition, in f64 and with a sort.
TEST(SigmoidRouter, IsTheDefinition) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  for (int round = 0; round < 200; ++round) {
    std::size_t experts = 1 + random() % 64, k = 1 + random() % experts;
    Floats logits(experts), bias(experts);
    for (std::size_t i = 0; i < experts; ++i) {
      logits[i] = normal(random) * 3;
      bias[i] = normal(random) * 0.2f;
    }
    Chosen chosen = chooseFrom(kimiRouter(bias), logits, k);
    std::vector<double> s(experts);
    for (std::size_t i = 0; i < experts; ++i)
      s[i] = 1 / (1 + std::exp(-static_cast<double>(logits[i])));
    Ids order(experts);
    std::iota(order.begin(), order.end(), 0u);
    std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return s[a] + bias[a] > s[b] + bias[b]; });
    order.resize(k);
    ASSERT_EQ(chosen.ids(), order);
    double sum = 1e-20;
    for (auto i : order)
      sum += s[i];
    for (std::size_t c = 0; c < k; ++c)
      ASSERT_NEAR(chosen.choices[c].weight, s[order[c]] / sum * 2.827, 1e-6);
  }
}

//===--------------------------------------------------------------------===//
// Thresholds
//===--------------------------------------------------------------------===//

TEST(RouterThreshold, AbstainsIfTheBestIsUnsure) {
  TestRouter router;
  router.record.threshold = 0.75f;
  EXPECT_EQ(chooseFrom(router, {1, 0}, 1).ids(), Ids{}); // 0.731
  router.record.threshold = 0.7310585786f;
  EXPECT_EQ(chooseFrom(router, {1, 0}, 2).ids(), (Ids{0, 1}));
}

TEST(RouterThreshold, MayDifferFromExpertToExpert) {
  TestRouter router;
  router.thresholds = {0.9f, 0.1f};
  EXPECT_EQ(chooseFrom(router, {1, 0}, 1).ids(), Ids{});
  EXPECT_EQ(chooseFrom(router, {0, 1}, 1).ids(), Ids{1});
}

TEST(RouterThreshold, EnsembleHasWhoeverReachesIt) {
  TestRouter router(pack::Strategy::Threshold, pack::Head::Sigmoid);
  router.record.threshold = 0.5f;
  Chosen three = chooseFrom(router, {2, -1, 0, 5}, 4);
  EXPECT_EQ(three.ids(), (Ids{3, 0, 2}));
  EXPECT_EQ(chooseFrom(router, {2, -1, 0, 5}, 2).ids(), (Ids{3, 0}));
  EXPECT_EQ(chooseFrom(router, {-2, -1, -3, -5}, 4).ids(), Ids{});
}

TEST(RouterThreshold, EnsemblePassesOverTheUnsure) {
  TestRouter router(pack::Strategy::Threshold, pack::Head::Sigmoid);
  router.thresholds = {0.5f, 0.99f, 0.5f};
  EXPECT_EQ(chooseFrom(router, {1, 2, 0}, 3).ids(), (Ids{0, 2}));
}

//===--------------------------------------------------------------------===//
// Explanations
//===--------------------------------------------------------------------===//

TEST(RouterExplanation, SaysWhyEachExpertWasChosenOrNot) {
  TestRouter ensemble(pack::Strategy::Threshold, pack::Head::Sigmoid);
  ensemble.record.threshold = 0.5f;
  EXPECT_EQ(chooseFrom(ensemble, {2, -1, 0, -5}, 3).reasons(),
            (Ids{KIMIC_CHOSEN, KIMIC_BELOW_THRESHOLD, KIMIC_CHOSEN, KIMIC_OUTRANKED}));
  TestRouter two;
  two.thresholds = {0.9f, 0.1f, 0};
  EXPECT_EQ(chooseFrom(two, {1, 0, -1}, 2).reasons(),
            (Ids{KIMIC_BELOW_THRESHOLD, KIMIC_ROUTER_ABSTAINED, KIMIC_OUTRANKED}));
}

TEST(RouterExplanation, HasLogitScoreSelectionAndThreshold) {
  TestRouter router = kimiRouter({0.25f, 0});
  router.bonus = 0.125f;
  router.residents = {0, 1};
  router.thresholds = {0.0f, 0.5f};
  Chosen chosen = chooseFrom(router, {0, 0}, 1);
  const KimicExplanation &first = chosen.explanations[0], &second = chosen.explanations[1];
  EXPECT_EQ(first.logit, 0.0f);
  EXPECT_EQ(first.score, 0.5f);
  EXPECT_EQ(first.selection, 0.75f); // the best is chosen without the bonus
  EXPECT_EQ(second.selection, 0.625f);
  EXPECT_EQ(second.threshold, 0.5f);
  EXPECT_EQ(second.isResident, 1u);
}

//===--------------------------------------------------------------------===//
// Residence
//===--------------------------------------------------------------------===//

TEST(ResidentBonus, MovesResidentExpertsUp) {
  TestRouter router(pack::Strategy::TopK, pack::Head::Sigmoid);
  router.residents = {2};
  EXPECT_EQ(chooseFrom(router, {2, 0.5f, 0.4f}, 2).ids(), (Ids{0, 1}));
  router.bonus = 0.05f; // sigmoid(0.5) = 0.622, sigmoid(0.4) + 0.05 = 0.649
  EXPECT_EQ(chooseFrom(router, {2, 0.5f, 0.4f}, 2).ids(), (Ids{0, 2}));
}

TEST(ResidentBonus, HonoursTheBestExpert) {
  TestRouter router;
  router.residents = {1, 2};
  router.bonus = 1;
  EXPECT_EQ(chooseFrom(router, {1, 0.9f, 0.8f}, 1).ids(), Ids{0});
  EXPECT_EQ(chooseFrom(router, {1, 0.9f, 0.95f, 0.99f}, 3).ids(), (Ids{0, 2, 1}));
}

TEST(ResidentBonus, LeavesScoresAlone) {
  TestRouter router;
  Floats plain = chooseFrom(router, {1, 0.9f, 0.8f}, 2).scores;
  router.residents = {2};
  router.bonus = 0.5f;
  EXPECT_EQ(chooseFrom(router, {1, 0.9f, 0.8f}, 2).scores, plain);
}

//===--------------------------------------------------------------------===//
// Learned weights
//===--------------------------------------------------------------------===//

TEST(LearnedWeights, AreSharedAmongTheChosen) {
  TestRouter router;
  router.weights = {1, 7, 3};
  EXPECT_EQ(chooseFrom(router, {5, 1, 4}, 2).weights(), (Floats{0.25f, 0.75f}));
}

//===--------------------------------------------------------------------===//
// Product keys
//===--------------------------------------------------------------------===//

TestRouter gridRouter(std::uint32_t rows, std::uint32_t columns) {
  TestRouter router(pack::Strategy::TopK, pack::Head::ProductKeys);
  router.record.routed = rows * columns;
  return router;
}

TEST(ProductKeys, AreChosenAndExplainedWithoutTheBonus) {
  TestRouter router = gridRouter(2, 2);
  router.bonus = 0.5f;
  router.residents = {0, 3};
  Chosen chosen = chooseFrom(router, {1, 2, 1, 2}, 2);
  EXPECT_EQ(chosen.ids(), (Ids{3, 1}));
  for (std::size_t expert = 0; expert < 4; ++expert)
    EXPECT_EQ(chosen.explanations[expert].selection, chosen.scores[expert]) << expert;
}

TEST(ProductKeys, FindTheirGrid) {
  pack::Router router;
  router.head = pack::Head::ProductKeys;
  router.routed = 20000;
  EXPECT_EQ(pack::productRows(router, 300), 100u); // 100 * 200
  EXPECT_EQ(pack::productRows(router, 301), 0u);
  router.routed = 1000000;
  EXPECT_EQ(pack::productRows(router, 2000), 1000u);
}

TEST(ProductKeys, AddTheLogitsOfRowAndColumn) {
  // Rows 1, 3; columns 0, 10, 5: sums 1 11 6 / 3 13 8.
  Chosen chosen = chooseFrom(gridRouter(2, 3), {1, 3, 0, 10, 5}, 6);
  EXPECT_EQ(chosen.ids(), (Ids{4, 1, 5, 2, 3, 0}));
  EXPECT_EQ(chosen.explanations[4].logit, 13.0f);
}

TEST(ProductKeys, GiveTiesToTheLowerId) {
  EXPECT_EQ(chooseFrom(gridRouter(2, 2), {1, 2, 2, 1}, 4).ids(), (Ids{2, 0, 3, 1})); // sums 3 2 / 4 3
  EXPECT_EQ(chooseFrom(gridRouter(2, 2), {0, 0, 0, 0}, 4).ids(), (Ids{0, 1, 2, 3}));
}

// Every choice is that of sorting all sums, which are exact in long double; keys from a small set make many ties.
TEST(ProductKeys, AreExact) {
  std::mt19937 random(7);
  for (int round = 0; round < 1000; ++round) {
    std::uint32_t rows = 1 + random() % 9, columns = rows + random() % 9, experts = rows * columns;
    Floats keys(rows + columns);
    for (float &key : keys)
      key = round % 3 ? static_cast<float>(static_cast<int>(random() % 7) - 3)
                      : std::ldexp(static_cast<float>(random() % 1000), static_cast<int>(random() % 40) - 20);
    std::vector<long double> sums(experts);
    for (std::uint32_t i = 0; i < experts; ++i)
      sums[i] = static_cast<long double>(keys[i / columns]) + static_cast<long double>(keys[rows + i % columns]);
    Ids order(experts);
    std::iota(order.begin(), order.end(), 0u);
    std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return sums[a] > sums[b]; });
    std::size_t k = 1 + random() % experts;
    order.resize(k);
    ASSERT_EQ(chooseFrom(gridRouter(rows, columns), keys, k).ids(), order) << "round " << round;
  }
}

TEST(ProductKeys, ScoreAsTheSoftmaxOfAllSums) {
  Floats keys = {0.5f, -1, 2, 0, 1}, sums;
  for (int row : {0, 1})
    for (int column : {2, 3, 4})
      sums.push_back(keys[row] + keys[column]);
  Chosen grid = chooseFrom(gridRouter(2, 3), keys, 2), plain = chooseFrom(sums, 2);
  for (std::size_t i = 0; i < 6; ++i)
    EXPECT_NEAR(grid.scores[i], plain.scores[i], 1e-7);
  EXPECT_EQ(grid.ids(), plain.ids());
}

} // namespace
} // namespace kimic::runtime
