// From the outputs of a router's network to the experts that it chooses.
//
// Scores are softmax(logits / temperature), computed in f64 with an exponential of its own, so that they have the same
// bits on every platform. A logit that is not a number counts as the lowest one; infinities count as the largest
// finite numbers.
#pragma once

#include "runtime/include/kimic/Runtime.h"

#include <span>

namespace kimic::runtime {

/// e^x for x <= 0, to within 1e-15 relative; 0 below -708. Only f64 additions, multiplications and bit operations.
double expNonPositive(double x);

/// Chooses the choices.size() highest logits, best first, equal ones in the order of their ids, and sets their weights.
/// Makes all logits finite. Allocates nothing; time is logits.size() and what the choices cost to keep in order.
/// REQUIRES: 1 <= choices.size() <= logits.size(), temperature > 0.
void choose(std::span<float> logits, float temperature, std::span<KimicChoice> choices);

/// Sets the scores of what choose() chose. `scores`, if not empty, gets the probability of every expert.
/// REQUIRES: `logits` as choose() left them, `scores` empty or as long as they are.
void score(std::span<const float> logits, float temperature, std::span<KimicChoice> choices, std::span<float> scores);

} // namespace kimic::runtime
