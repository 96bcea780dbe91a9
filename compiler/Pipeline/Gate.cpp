// Limits, in the order of the manifest's schema.
#include "compiler/Pipeline/Gate.h"

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>

namespace kimic {

/// A rise of this part of the targets' variance is nothing: without it, a float original without errors could not be
/// compiled.
static constexpr double kNegligibleNmse = 1e-6;
static constexpr double kWishedSqnrDb = 40;

manifest::AccuracyBudget defaultBudget(const Measurement &measurement) {
  manifest::AccuracyBudget budget;
  if (measurement.kl) {
    budget.maxKl = 1e-5f;
    budget.minTopKAgreement = 0.999f;
  } else if (measurement.agreement) {
    budget.minAgreement = 0.997f;
    budget.maxDrop = 0.0025f;
  } else if (measurement.floatNmse) {
    budget.maxNmseRise = 0.01f;
  } else {
    budget.minSqnrDb = 38;
  }
  return budget;
}

bool statesNothing(const manifest::AccuracyBudget &budget) {
  return !budget.maxDrop && !budget.minAgreement && !budget.maxError && !budget.minSqnrDb && !budget.maxNmseRise &&
         !budget.maxKl && !budget.minTopKAgreement;
}

unsigned wishesMetBy(const Measurement &m) {
  bool hasLoss = m.floatAccuracy && *m.floatAccuracy > *m.compiledAccuracy;
  return (m.sqnrDb >= kWishedSqnrDb) + !hasLoss;
}

/// loss / allowed, where no loss needs no allowance. A loss that is no number is infinite.
static double useOf(double loss, double allowed) {
  if (!(loss > 0))
    return std::isnan(loss) ? std::numeric_limits<double>::infinity() : 0;
  return loss / allowed;
}

std::string LimitUse::text() const {
  char text[96];
  std::snprintf(text, sizeof text, "%s %.6g, %s %.6g", key, found, isUpper ? "at most" : "at least", allowed);
  return text;
}

std::optional<LimitUse> tightestLimit(const manifest::AccuracyBudget &budget, const Measurement &m) {
  std::optional<LimitUse> tightest;
  auto consider = [&](LimitUse use) {
    if (!tightest || use.used > tightest->used)
      tightest = use;
  };
  /// A limit as the text of the manifest says it: 0.997, not the float32 next to it.
  auto decimal = [](float limit) {
    char text[32];
    std::snprintf(text, sizeof text, "%.7g", static_cast<double>(limit));
    return std::strtod(text, nullptr);
  };
  auto atMost = [&](const char *key, const std::optional<float> &limit, const std::optional<double> &found) {
    if (limit && found)
      consider({key, *found, decimal(*limit), true, useOf(*found, decimal(*limit))});
  };
  auto atLeast = [&](const char *key, const std::optional<float> &limit, const std::optional<double> &found) {
    if (limit && found)
      consider({key, *found, decimal(*limit), false, useOf(1 - *found, 1 - decimal(*limit))});
  };
  if (m.floatAccuracy)
    atMost("max_drop", budget.maxDrop, *m.floatAccuracy - *m.compiledAccuracy);
  atLeast("min_agreement", budget.minAgreement, m.agreement);
  atMost("max_error", budget.maxError, m.maxError);
  if (budget.minSqnrDb) {
    double allowed = decimal(*budget.minSqnrDb);
    double used = std::pow(10, (allowed - m.sqnrDb) / 20);
    consider(
        {"min_sqnr_db", m.sqnrDb, allowed, false, std::isnan(used) ? std::numeric_limits<double>::infinity() : used});
  }
  if (budget.maxNmseRise && m.floatNmse) {
    double rise = *m.compiledNmse - *m.floatNmse, allowed = decimal(*budget.maxNmseRise);
    consider({"max_nmse_rise", rise <= 0 ? 0 : rise / *m.floatNmse, allowed, true,
              useOf(rise, allowed * *m.floatNmse + kNegligibleNmse)});
  }
  atMost("max_kl", budget.maxKl, m.kl);
  atLeast("min_top_k_agreement", budget.minTopKAgreement, m.topKAgreement);
  return tightest;
}

} // namespace kimic
