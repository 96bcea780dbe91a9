// Removes the scaling of inputs, and that of outputs where the last layer can take it.
#include "compiler/Dialect/Expert/Layers.h"
#include "compiler/Transforms/Passes.h"

#include <algorithm>

namespace kimic {
#define GEN_PASS_DEF_FOLDAFFINE
#include "compiler/Transforms/Passes.h.inc"
} // namespace kimic

using namespace kimic;
using namespace kimic::expert;

/// w * (scale * x + offset) + b = (w * scale) * x + (w * offset + b)
static void foldInput(Layers &layers) {
  const Affine &affine = *layers.inputAffine;
  for (Layer &layer : layers.layers) {
    std::size_t fanIn = layer.fanIn();
    for (std::size_t n = 0; n < layer.outputs(); ++n) {
      double bias = layer.bias[n];
      for (std::size_t i = layer.readBegin; i < layers.inputs; ++i) {
        float &weight = layer.weights[n * fanIn + i - layer.readBegin];
        bias += static_cast<double>(weight) * affine.offset[i];
        weight *= affine.scale[i];
      }
      layer.bias[n] = static_cast<float>(bias);
    }
  }
  layers.inputAffine.reset();
}

static bool canFoldOutput(const Layers &layers) {
  const Layer &last = layers.layers.back();
  return last.limit.empty() && !last.clamp && last.steepness.empty() &&
         std::all_of(last.runs.begin(), last.runs.end(),
                     [](const Run &run) { return run.function == Activation::Linear; });
}

static void foldOutput(Layers &layers) {
  const Affine &affine = *layers.outputAffine;
  Layer &last = layers.layers.back();
  std::size_t fanIn = last.fanIn();
  for (std::size_t n = 0; n < last.outputs(); ++n) {
    for (std::size_t k = 0; k < fanIn; ++k)
      last.weights[n * fanIn + k] *= affine.scale[n];
    last.bias[n] = static_cast<float>(static_cast<double>(last.bias[n]) * affine.scale[n] + affine.offset[n]);
  }
  layers.outputAffine.reset();
}

namespace {
struct FoldAffine : kimic::impl::FoldAffineBase<FoldAffine> {
  void runOnOperation() override {
    for (auto define : getOperation().getOps<DefineOp>()) {
      auto layers = layersOf(define);
      if (failed(layers))
        return signalPassFailure();
      if (layers->inputAffine)
        foldInput(*layers);
      if (layers->outputAffine && canFoldOutput(*layers))
        foldOutput(*layers);
      setLayers(define, *layers);
    }
  }
};
} // namespace
