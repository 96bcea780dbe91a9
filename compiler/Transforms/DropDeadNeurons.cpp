// Removes hidden neurons that nothing reads.
#include "compiler/Dialect/Expert/Layers.h"
#include "compiler/Transforms/Passes.h"

#include <algorithm>

namespace kimic {
#define GEN_PASS_DEF_DROPDEADNEURONS
#include "compiler/Transforms/Passes.h.inc"
} // namespace kimic

using namespace kimic;
using namespace kimic::expert;

static bool isRead(const Layers &layers, std::size_t firstReader, std::uint32_t value) {
  for (std::size_t l = firstReader; l < layers.layers.size(); ++l) {
    const Layer &reader = layers.layers[l];
    if (value < reader.readBegin)
      continue;
    std::size_t fanIn = reader.fanIn();
    for (std::size_t n = 0; n < reader.outputs(); ++n)
      if (reader.weights[n * fanIn + value - reader.readBegin] != 0)
        return true;
  }
  return false;
}

/// Removes the values begin .. begin + kept.size()-1 that `kept` does not mark from what later layers read.
static void dropValues(Layers &layers, std::size_t firstReader, std::uint32_t begin, const std::vector<bool> &kept) {
  auto dropped = static_cast<std::uint32_t>(std::count(kept.begin(), kept.end(), false));
  for (std::size_t l = firstReader; l < layers.layers.size(); ++l) {
    Layer &reader = layers.layers[l];
    if (reader.readBegin > begin) {
      reader.readBegin -= dropped;
      continue;
    }
    std::vector<bool> columns(reader.fanIn(), true);
    std::copy(kept.begin(), kept.end(), columns.begin() + (begin - reader.readBegin));
    reader.keepColumns(columns);
  }
}

namespace {
struct DropDeadNeurons : kimic::impl::DropDeadNeuronsBase<DropDeadNeurons> {
  void runOnOperation() override {
    for (auto define : getOperation().getOps<DefineOp>()) {
      auto layers = layersOf(define);
      if (failed(layers))
        return signalPassFailure();
      for (std::size_t l = layers->layers.size() - 1; l-- > 0;) {
        Layer &layer = layers->layers[l];
        std::uint32_t begin = layers->valuesBefore(l);
        std::vector<bool> kept(layer.outputs());
        for (std::uint32_t n = 0; n < kept.size(); ++n)
          kept[n] = isRead(*layers, l + 1, begin + n);
        if (std::count(kept.begin(), kept.end(), true) == 0)
          kept[0] = true;
        if (std::count(kept.begin(), kept.end(), false) == 0)
          continue;
        numDropped += std::count(kept.begin(), kept.end(), false);
        dropValues(*layers, l + 1, begin, kept);
        layer.keepOutputs(kept);
      }
      setLayers(define, *layers);
    }
  }
};
} // namespace
