// Multiplies the steepness into weights and biases: t is the weighted sum itself from then on.
#include "compiler/Dialect/Expert/Layers.h"
#include "compiler/Transforms/Passes.h"

#include <limits>

namespace kimic {
#define GEN_PASS_DEF_FOLDSTEEPNESS
#include "compiler/Transforms/Passes.h.inc"
} // namespace kimic

using namespace kimic;
using namespace kimic::expert;

static void foldSteepness(Layer &layer) {
  std::size_t fanIn = layer.fanIn();
  for (std::size_t n = 0; n < layer.outputs(); ++n) {
    for (std::size_t k = 0; k < fanIn; ++k)
      layer.weights[n * fanIn + k] *= layer.steepness[n];
    layer.bias[n] *= layer.steepness[n];
    // FANN: 150 / 0 is infinite, which clamps nothing; IR keeps numbers finite.
    if (layer.clamp)
      layer.limit.push_back(std::min(150.0f / layer.steepness[n], std::numeric_limits<float>::max()));
  }
  layer.clamp = false;
  layer.steepness.clear();
}

namespace {
struct FoldSteepness : kimic::impl::FoldSteepnessBase<FoldSteepness> {
  void runOnOperation() override {
    for (auto define : getOperation().getOps<DefineOp>()) {
      auto layers = layersOf(define);
      if (failed(layers))
        return signalPassFailure();
      for (Layer &layer : layers->layers)
        if (!layer.steepness.empty())
          foldSteepness(layer);
      setLayers(define, *layers);
    }
  }
};
} // namespace
