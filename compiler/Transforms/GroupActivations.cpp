// Sorts the neurons of hidden layers by activation function.
#include "compiler/Dialect/Expert/Layers.h"
#include "compiler/Transforms/Passes.h"

#include <algorithm>
#include <numeric>

namespace kimic {
#define GEN_PASS_DEF_GROUPACTIVATIONS
#include "compiler/Transforms/Passes.h.inc"
} // namespace kimic

using namespace kimic;
using namespace kimic::expert;

/// New value begin + i is old value begin + order[i], for all layers that read it.
static void permuteValues(Layers &layers, std::size_t firstReader, std::uint32_t begin,
                          const std::vector<std::uint32_t> &order) {
  std::vector<float> old(order.size());
  for (std::size_t l = firstReader; l < layers.layers.size(); ++l) {
    Layer &reader = layers.layers[l];
    if (reader.readBegin > begin)
      continue;
    for (std::size_t n = 0; n < reader.outputs(); ++n) {
      float *weights = reader.weights.data() + n * reader.fanIn() + (begin - reader.readBegin);
      std::copy_n(weights, order.size(), old.begin());
      for (std::size_t i = 0; i < order.size(); ++i)
        weights[i] = old[order[i]];
    }
  }
}

namespace {
struct GroupActivations : kimic::impl::GroupActivationsBase<GroupActivations> {
  void runOnOperation() override {
    for (auto define : getOperation().getOps<DefineOp>()) {
      auto layers = layersOf(define);
      if (failed(layers))
        return signalPassFailure();
      for (std::size_t l = 0; l < layers->layers.size(); ++l) {
        Layer &layer = layers->layers[l];
        std::vector<Activation> functions = layer.functions();
        layer.setFunctions(functions); // merges neighbours
        if (l + 1 == layers->layers.size() || std::is_sorted(functions.begin(), functions.end()))
          continue;
        std::vector<std::uint32_t> order(functions.size());
        std::iota(order.begin(), order.end(), 0);
        std::sort(order.begin(), order.end(), [&](std::uint32_t a, std::uint32_t b) {
          return functions[a] != functions[b] ? functions[a] < functions[b] : a < b;
        });
        permuteValues(*layers, l + 1, layers->valuesBefore(l), order);
        layer.permuteOutputs(order);
      }
      setLayers(define, *layers);
    }
  }
};
} // namespace
