// From the outputs of a router's network to the experts that it chooses (pack-v1 §4).
//
// Everything is computed in f64 with an exponential of its own and rounded to f32 once, so that scores and weights have
// the same bits on every platform. A logit that is not a number counts as the lowest one; infinities count as the
// largest finite numbers. Nothing here allocates.
#pragma once

#include "formats/pack/PackFormat.h"
#include "runtime/include/kimic/Runtime.h"

#include <span>

namespace kimic::runtime {

/// e^x for x <= 0, to within 1e-15 relative; 0 below -708. Only f64 additions, multiplications and bit operations.
double expNonPositive(double x);

/// What decides on the choice beside the network's outputs.
struct Routing {
  pack::Router record;
  pack::RouterColumns columns;
  /// Cache-conditional routing: added to the score of a resident expert when the second and further experts are
  /// chosen. 0: residence plays no role, and neither does it for product keys, whose choice would not stay exact.
  float bonus = 0;
  bool (*isResident)(const void *residents, std::uint32_t expert) = nullptr; ///< called if bonus > 0
  const void *residents = nullptr;
};

/// Room that choose() needs: numbers for a network of that many outputs.
constexpr std::size_t workspaceSize(std::size_t outputs) { return 3 * outputs; }

/// What the router makes of every routed expert, beside the choice.
struct Details {
  bool areChoicesScored = true;             ///< without, their scores are 0, which costs less
  float *scores = nullptr;                  ///< null, or gets the score of each expert
  KimicExplanation *explanations = nullptr; ///< null, or gets what became of each expert, and why
};

/// Writes the experts that answer, best first, and returns how many: at most choices.size(), 0 if the router abstains.
/// Time is outputs.size() and what the choices cost to keep in order, for product keys choices.size()^2 more.
/// REQUIRES: 1 <= choices.size() <= record.routed; workspace of workspaceSize(outputs.size()); pack::checkRouter
/// accepts the record with that many outputs.
std::uint32_t choose(const Routing &routing, std::span<const float> outputs, std::span<double> workspace,
                     std::span<KimicChoice> choices, Details details);

} // namespace kimic::runtime
