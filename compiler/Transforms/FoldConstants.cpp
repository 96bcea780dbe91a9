// Moves neurons of constant value into the biases of their readers.
#include "compiler/Transforms/Evaluate.h"
#include "compiler/Transforms/Passes.h"

#include <algorithm>

namespace kimic {
#define GEN_PASS_DEF_FOLDCONSTANTS
#include "compiler/Transforms/Passes.h.inc"
} // namespace kimic

using namespace kimic;
using namespace kimic::expert;

/// The value of neuron n if it does not depend on the inputs.
static std::optional<double> constantOf(const Layer &layer, std::size_t n, Activation function) {
  if (function == Activation::GaussianStepwise)
    return 0;
  auto row = layer.weights.begin() + n * layer.fanIn();
  if (std::any_of(row, row + layer.fanIn(), [](float weight) { return weight != 0; }))
    return std::nullopt;
  double t = layer.bias[n];
  if (!layer.limit.empty())
    t = std::clamp<double>(t, -layer.limit[n], layer.limit[n]);
  return activate(function, t);
}

/// Replaces reads of value number `value` by biases. Returns whether there were any.
static bool foldReads(Layers &layers, std::size_t firstReader, std::uint32_t value, double constant) {
  bool changed = false;
  for (std::size_t l = firstReader; l < layers.layers.size(); ++l) {
    Layer &reader = layers.layers[l];
    if (value < reader.readBegin)
      continue;
    std::size_t fanIn = reader.fanIn();
    for (std::size_t n = 0; n < reader.outputs(); ++n) {
      float &weight = reader.weights[n * fanIn + value - reader.readBegin];
      if (weight == 0)
        continue;
      reader.bias[n] = static_cast<float>(reader.bias[n] + weight * constant);
      weight = 0;
      changed = true;
    }
  }
  return changed;
}

namespace {
struct FoldConstants : kimic::impl::FoldConstantsBase<FoldConstants> {
  void runOnOperation() override {
    for (auto define : getOperation().getOps<DefineOp>()) {
      auto layers = layersOf(define);
      if (failed(layers))
        return signalPassFailure();
      for (const Layer &layer : layers->layers)
        if (!layer.steepness.empty()) {
          define.emitOpError() << "has a steepness: run expert-fold-steepness first";
          return signalPassFailure();
        }
      // In order: a neuron that only reads constants becomes one.
      for (std::size_t l = 0; l + 1 < layers->layers.size(); ++l) {
        std::vector<Activation> functions = layers->layers[l].functions();
        std::uint32_t begin = layers->valuesBefore(l);
        for (std::uint32_t n = 0; n < functions.size(); ++n)
          if (auto constant = constantOf(layers->layers[l], n, functions[n]))
            numFolded += foldReads(*layers, l + 1, begin + n, *constant);
      }
      setLayers(define, *layers);
    }
  }
};
} // namespace
