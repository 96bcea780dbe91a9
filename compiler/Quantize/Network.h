// A network as the quantizer takes it: normalized (no steepness, no scaling of inputs) and calibrated.
//
// The values of a network are numbered: the inputs are values 0 .. inputs-1, every layer appends its outputs. A layer
// reads the values from `readBegin` to the end of what exists when it starts, as in quant::Signature.
#pragma once

#include "formats/quant/Signature.h"

#include <array>
#include <cstdint>
#include <vector>

namespace kimic::quantize {

/// Least and greatest value over the calibration rows.
using Range = std::array<float, 2>;

struct Run {
  Activation function = Activation::Linear;
  std::uint32_t count = 0;
};

struct Layer {
  std::uint32_t readBegin = 0;
  std::vector<float> weights; ///< [outputs][fanIn], row-major
  std::vector<float> bias;    ///< [outputs]
  std::vector<Run> runs;      ///< together all outputs
  std::vector<float> limit;   ///< [outputs]: t is clamped to +-limit; empty: no clamp
  std::vector<Range> range;   ///< [outputs], of the activations

  std::uint32_t outputs() const { return static_cast<std::uint32_t>(bias.size()); }
  std::uint32_t fanIn() const { return static_cast<std::uint32_t>(weights.size() / bias.size()); }
};

struct Network {
  std::uint32_t inputs = 0;
  std::vector<Range> inputRange; ///< [inputs]
  std::vector<Layer> layers;     ///< at least one
  /// Outputs are y * gain[n] + offset[n]; both empty: they are y.
  std::vector<float> outputGain, outputOffset;
  quant::Head head = quant::Head::None;
  float headScale = 1; ///< Softmax: 1 / temperature
};

} // namespace kimic::quantize
