#include "runtime/exec/Router.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

namespace kimic::runtime {
namespace {

struct Chosen {
  std::vector<KimicChoice> choices;
  std::vector<float> scores;
  std::vector<std::uint32_t> ids() const {
    std::vector<std::uint32_t> ids;
    for (const KimicChoice &choice : choices)
      ids.push_back(choice.expert);
    return ids;
  }
};

Chosen chooseFrom(std::vector<float> logits, std::size_t count, float temperature = 1) {
  Chosen result;
  result.choices.resize(count);
  result.scores.resize(logits.size());
  choose(logits, temperature, result.choices);
  score(logits, temperature, result.choices, result.scores);
  return result;
}

using Ids = std::vector<std::uint32_t>;

TEST(Router, ChoosesTheHighestLogitsBestFirst) { EXPECT_EQ(chooseFrom({1, 5, 3, 4}, 3).ids(), (Ids{1, 3, 2})); }

TEST(Router, GivesTiesToTheLowerId) { EXPECT_EQ(chooseFrom({2, 7, 7, 2, 7}, 4).ids(), (Ids{1, 2, 4, 0})); }

TEST(Router, ScoresAreTheSoftmaxOfAllExperts) {
  Chosen even = chooseFrom({3, 3, 3, 3}, 2);
  EXPECT_EQ(even.scores, (std::vector<float>{0.25f, 0.25f, 0.25f, 0.25f}));
  Chosen uneven = chooseFrom({1, 0}, 1);
  EXPECT_EQ(uneven.scores, (std::vector<float>{0.7310585786f, 0.2689414214f})); // 1 / (1 + e^-1), 1 / (1 + e)
  EXPECT_EQ(uneven.choices[0].score, 0.7310585786f);
}

TEST(Router, WeightsAreTheSharesAmongTheChosen) {
  Chosen even = chooseFrom({3, 3, 3, 3}, 2);
  EXPECT_EQ(even.choices[0].weight, 0.5f);
  EXPECT_EQ(even.choices[1].weight, 0.5f);
  Chosen uneven = chooseFrom({-9, 1, 0}, 2);
  EXPECT_EQ(uneven.choices[0].weight, 0.7310585786f);
  EXPECT_EQ(uneven.choices[1].weight, 0.2689414214f);
  EXPECT_EQ(chooseFrom({4, 9}, 1).choices[0].weight, 1.0f);
}

TEST(Router, TemperatureDividesTheLogits) { EXPECT_EQ(chooseFrom({2, 0}, 1, 2).scores, chooseFrom({1, 0}, 1).scores); }

TEST(Router, SubtractsTheHighestLogitSoNothingOverflows) {
  EXPECT_EQ(chooseFrom({30000, 30000}, 1).scores, (std::vector<float>{0.5f, 0.5f}));
  EXPECT_EQ(chooseFrom({-30000, -30000}, 1).scores, (std::vector<float>{0.5f, 0.5f}));
}

TEST(Router, TellsApartExpertsWhoseScoresVanish) {
  Chosen chosen = chooseFrom({0, -5000, -4000, 9000}, 4);
  EXPECT_EQ(chosen.ids(), (Ids{3, 0, 2, 1}));
  EXPECT_EQ(chosen.scores[1], 0.0f);
}

TEST(Router, CountsNotANumberAsTheLowestLogit) {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN(), kInf = std::numeric_limits<float>::infinity();
  EXPECT_EQ(chooseFrom({kNan, -3, kNan, 5}, 4).ids(), (Ids{3, 1, 0, 2}));
  EXPECT_EQ(chooseFrom({kNan, kNan}, 2).scores, (std::vector<float>{0.5f, 0.5f}));
  EXPECT_EQ(chooseFrom({1, kInf, -kInf}, 3).ids(), (Ids{1, 0, 2}));
  EXPECT_EQ(chooseFrom({1, kInf, -kInf}, 3).scores, (std::vector<float>{0, 1, 0}));
}

TEST(Router, ExponentialIsThatOfTheLibrary) {
  EXPECT_EQ(expNonPositive(0), 1.0);
  for (double x = -700; x <= 0; x += 0.0137)
    ASSERT_NEAR(expNonPositive(x) / std::exp(x), 1.0, 1e-15) << x;
  EXPECT_EQ(expNonPositive(-1e300), 0.0);
}

} // namespace
} // namespace kimic::runtime
