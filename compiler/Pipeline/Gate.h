// Accuracy budgets: what holds where nobody says anything, and what an expert misses. docs/accuracy.md.
#pragma once

#include "kimic/Compiler.h"

#include <optional>
#include <string>

namespace kimic {

/// The compiler's own limits, for what could be measured.
manifest::AccuracyBudget defaultBudget(const Measurement &measurement);

/// No limit at all.
bool statesNothing(const manifest::AccuracyBudget &budget);

/// Where nobody states a budget, what is wished beside the defaults: this many things, for at most this part more
/// bytes.
inline constexpr unsigned kWishes = 2;
inline constexpr double kWishCost = 0.25;
/// How many of them are met: at least 40 dB, and no loss of accuracy.
unsigned wishesMetBy(const Measurement &measurement);

/// A limit, what was found, and how much of what it allows is used: more than 1 is too much.
struct LimitUse {
  const char *key = ""; ///< as in the manifest
  double found = 0;
  double allowed = 0;
  bool isUpper = true; ///< `found` may be at most `allowed`
  double used = 0;

  bool isMissed() const { return used > 1 + 1e-9; } // 0.9 - 0.8 is not quite 0.1
  /// "min_agreement 0.991, at least 0.997".
  std::string text() const;
};

/// The limit of the budget of which most is used; nothing if none of the budget's limits applies.
std::optional<LimitUse> tightestLimit(const manifest::AccuracyBudget &budget, const Measurement &measurement);

} // namespace kimic
