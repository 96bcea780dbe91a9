#include "compiler/Transforms/CostModel.h"

#include <cmath>

namespace kimic {

/// Making a mask of 32 pairs, and leaving the loop over its bits at a place that no predictor knows.
static constexpr double kMaskCost = 20;
static constexpr unsigned kMaskPairs = 32;
/// Putting a pair on the list, and for each block, its addresses.
static constexpr double kListCost = 1, kAddressCost = 0.75;
/// What must be saved: a part of what the layer takes, and at least so much, 50 ns.
static constexpr double kLeastPart = 0.25, kLeastCost = 128;

/// The sums of a layer's blocks, for one row.
static double costOfBlocks(const quant::LayerLayout &layer) {
  return static_cast<double>(layer.kPairs) * (layer.blockedOutputs() / quant::kGroupOutputs);
}

/// The same with only the active pairs: finding them, and what is left of the sums.
static double costOfActivePairs(const quant::LayerLayout &layer, double activity) {
  double pairs = activity * layer.kPairs, masks = std::ceil(static_cast<double>(layer.kPairs) / kMaskPairs);
  double groups = layer.blockedOutputs() / quant::kGroupOutputs;
  double blocks = layer.fullBlocks + (layer.tailOutputs > 0);
  return masks * kMaskCost + pairs * (kListCost + blocks * kAddressCost + groups);
}

bool shouldSkipInputs(const quant::Layout &layout, double activity) {
  const quant::LayerLayout &first = layout.layers.front();
  double dense = costOfBlocks(first), saved = dense - costOfActivePairs(first, activity);
  return saved >= kLeastPart * dense && saved >= kLeastCost;
}

} // namespace kimic
