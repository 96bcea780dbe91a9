// The body of an expert.define as layers: the form in which passes change networks.
//
// The values of a network are numbered: the inputs (after scaling, if there is an input affine) are values
// 0 .. inputs-1, every layer appends its outputs. A layer reads the values from `readBegin` to the end of what exists
// when it starts. Import only makes bodies of this form, and every pass leaves one behind.
#pragma once

#include "compiler/Dialect/Expert/Expert.h"
#include "formats/quant/Signature.h"

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

namespace kimic::expert {

/// Least and greatest value over the calibration data.
using Range = std::array<float, 2>;

struct Run {
  Activation function = Activation::Linear;
  std::uint32_t count = 0;

  friend bool operator==(const Run &, const Run &) = default;
};

struct Layer {
  std::uint32_t readBegin = 0;
  std::vector<float> weights;   ///< [outputs][fanIn], row-major
  std::vector<float> bias;      ///< [outputs]
  std::vector<Run> runs;        ///< together all outputs
  std::vector<float> steepness; ///< [outputs], or empty once it is folded
  bool clamp = false;           ///< t is clamped to +-150/steepness; only with a steepness
  std::vector<float> limit;     ///< [outputs]: t is clamped to +-limit; empty: no clamp, or not yet folded
  std::vector<Range> sumRange;  ///< [outputs] of the weighted sums, or empty before calibration
  std::vector<Range> range;     ///< [outputs] of the activations, or empty before calibration

  std::uint32_t outputs() const { return static_cast<std::uint32_t>(bias.size()); }
  std::uint32_t fanIn() const { return static_cast<std::uint32_t>(weights.size() / bias.size()); }

  /// The function of every output.
  std::vector<Activation> functions() const;
  /// Sets `runs` from one function per output.
  void setFunctions(const std::vector<Activation> &functions);
  /// Keeps the outputs that `kept` marks, all attributes included. At least one must remain.
  void keepOutputs(const std::vector<bool> &kept);
  /// Keeps the columns of the weights that `kept` marks, one flag per value read.
  void keepColumns(const std::vector<bool> &kept);
  /// New output i is old output order[i].
  void permuteOutputs(const std::vector<std::uint32_t> &order);
};

struct Affine {
  std::vector<float> scale;
  std::vector<float> offset;
};

struct Layers {
  std::uint32_t inputs = 0;
  std::vector<Range> inputRange; ///< [inputs], or empty before calibration
  std::optional<Affine> inputAffine;
  std::optional<Affine> outputAffine;
  std::vector<Layer> layers;
  quant::Head head = quant::Head::None;
  float headScale = 1; ///< Softmax: 1 / temperature

  /// Values that exist when layer `layer` starts.
  std::uint32_t valuesBefore(std::size_t layer) const;
};

/// The layers of a body, or an error at the operation that is not of this form.
mlir::FailureOr<Layers> layersOf(DefineOp define);

/// Replaces the body (and the input's range) of `define`.
void setLayers(DefineOp define, const Layers &layers);

} // namespace kimic::expert
