// Finds the range of every value by evaluating the experts on calibration data.
#include "compiler/Transforms/Evaluate.h"
#include "compiler/Transforms/Passes.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace kimic {
#define GEN_PASS_DEF_CALIBRATE
#include "compiler/Transforms/Passes.h.inc"
} // namespace kimic

using namespace kimic;
using namespace kimic::expert;

namespace {
/// SplitMix64: a generator whose numbers are the same everywhere.
class Random {
public:
  /// Uniform in [0, 1), a multiple of 2^-24.
  float next() {
    std::uint64_t z = state += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return static_cast<float>((z ^ (z >> 31)) >> 40) * 0x1p-24f;
  }

private:
  std::uint64_t state = 0;
};
} // namespace

Matrix kimic::generateRows(std::span<const float> lo, std::span<const float> hi, std::size_t rows) {
  Matrix out{rows, lo.size(), std::vector<float>(rows * lo.size())};
  Random random;
  for (std::size_t r = 0; r < rows; ++r)
    for (std::size_t i = 0; i < lo.size(); ++i) {
      float at = r == 0 ? 0 : r == 1 ? 1 : random.next();
      out.row(r)[i] = r == 1 ? hi[i] : static_cast<float>(lo[i] + (static_cast<double>(hi[i]) - lo[i]) * at);
    }
  return out;
}

namespace {
/// Least and greatest of what it is given, in float32 rounded to nearest.
void extend(Range &range, double value) {
  range[0] = std::min(range[0], static_cast<float>(value));
  range[1] = std::max(range[1], static_cast<float>(value));
}

struct Calibrate : kimic::impl::CalibrateBase<Calibrate> {
  using CalibrateBase::CalibrateBase;
  explicit Calibrate(const Matrix &rows) : data(&rows) {}

  const Matrix *data = nullptr;

  void runOnOperation() override {
    for (auto define : getOperation().getOps<DefineOp>()) {
      auto layers = layersOf(define);
      if (failed(layers) || failed(calibrate(define, *layers)))
        return signalPassFailure();
      setLayers(define, *layers);
    }
  }

  mlir::LogicalResult calibrate(DefineOp define, Layers &layers) {
    Matrix generated;
    if (!data)
      generated = generateRows(std::vector<float>(layers.inputs, lo), std::vector<float>(layers.inputs, hi), rows);
    const Matrix &inputs = data ? *data : generated;
    if (inputs.rows == 0)
      return define.emitOpError() << "has no calibration data";
    if (inputs.cols != layers.inputs)
      return define.emitOpError() << "has " << layers.inputs << " inputs, but the calibration data has " << inputs.cols
                                  << " columns";

    constexpr Range kEmpty = {std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity()};
    layers.inputRange.assign(layers.inputs, kEmpty);
    for (Layer &layer : layers.layers) {
      layer.sumRange.assign(layer.outputs(), kEmpty);
      layer.range.assign(layer.outputs(), kEmpty);
    }
    std::vector<double> values, sums;
    for (std::size_t r = 0; r < inputs.rows; ++r) {
      std::span<const float> row = inputs.row(r);
      evaluate(layers, row, values, sums);
      for (std::size_t i = 0; i < row.size(); ++i)
        extend(layers.inputRange[i], row[i]);
      std::size_t v = layers.inputs;
      for (std::size_t l = 0; l < layers.layers.size(); ++l)
        for (std::uint32_t n = 0; n < layers.layers[l].outputs(); ++n, ++v) {
          // NaN would leave the range alone.
          if (!(std::fabs(sums[v]) <= std::numeric_limits<float>::max()) ||
              !(std::fabs(values[v]) <= std::numeric_limits<float>::max()))
            return define.emitOpError() << "neuron " << n << " of layer " << l + 1
                                        << " leaves float32 on calibration row " << r;
          extend(layers.layers[l].sumRange[n], sums[v]);
          extend(layers.layers[l].range[n], values[v]);
        }
    }
    return mlir::success();
  }
};
} // namespace

std::unique_ptr<mlir::Pass> kimic::createCalibrate(const Matrix &rows) { return std::make_unique<Calibrate>(rows); }
