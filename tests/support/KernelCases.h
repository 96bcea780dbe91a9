// What kernels are run with: shapes, extreme parameters, inputs that reach every branch, and what the reference
// evaluator makes of them.
#pragma once

#include "formats/reference/Reference.h"
#include "tests/support/RandomExpert.h"

#include <cstring>
#include <limits>

namespace kimic::testing {

/// Memory that starts at a multiple of 16 and is no larger than stated (rounded up to 16), so that a sanitizer sees
/// every access past its end.
class AlignedBytes {
public:
  explicit AlignedBytes(std::size_t size, std::uint8_t fill = 0) : blocks_((size + 15) / 16) {
    if (size > 0)
      std::memset(data(), fill, blocks_.size() * 16);
  }
  explicit AlignedBytes(const std::vector<std::uint8_t> &bytes) : AlignedBytes(bytes.size()) {
    std::copy(bytes.begin(), bytes.end(), data());
  }
  std::uint8_t *data() { return blocks_.data()->bytes; }

private:
  struct Block {
    alignas(16) std::uint8_t bytes[16];
  };
  std::vector<Block> blocks_;
};

/// The reference evaluator's outputs, [rows, outputs], for a packed block of parameters and x, [rows, inputs].
inline std::vector<float> referenceOutputs(const quant::Signature &signature, const quant::Layout &layout,
                                           const std::vector<std::uint8_t> &block, const std::vector<float> &x) {
  std::uint32_t rows = static_cast<std::uint32_t>(x.size() / signature.inputs);
  AlignedBytes params(block), scratch(layout.scratchBytes, 0xA5);
  std::vector<float> y(std::size_t{rows} * signature.outputs());
  reference::run(signature, layout, params.data(), x.data(), y.data(), scratch.data(), rows);
  return y;
}

inline std::vector<float> referenceOutputs(const RandomExpert &expert, const std::vector<float> &x) {
  quant::Layout layout = quant::layoutOf(expert.signature).value();
  return referenceOutputs(expert.signature, layout, packParameters(expert.signature, layout, expert.parameters), x);
}

/// Layers one after another, widths[0] inputs first, all with one function.
inline quant::Signature layered(quant::WeightFormat format, Activation function,
                                const std::vector<std::uint32_t> &widths) {
  bool isClamped = format == quant::WeightFormat::Float32;
  quant::Signature signature;
  std::uint32_t begin = 0, codes = widths[0];
  signature.inputs = codes;
  for (std::size_t i = 1; i < widths.size(); ++i) {
    signature.layers.push_back({format, begin, {{function, isClamped, widths[i]}}});
    begin = codes;
    codes += widths[i];
  }
  return signature;
}

inline quant::Signature tanhLayers(quant::WeightFormat format, const std::vector<std::uint32_t> &widths) {
  return layered(format, Activation::SigmoidSymmetric, widths);
}

/// The same shape for each of the twenty functions, hidden and at the end, clamped and not.
inline quant::Signature everyFunction(quant::WeightFormat format, unsigned function, bool isClamped,
                                      std::uint32_t width) {
  quant::ActivationGroup group{static_cast<Activation>(function), isClamped, width};
  quant::Signature signature;
  signature.inputs = 11;
  signature.layers = {{format, 0, {group}}, {format, 11, {group}}};
  return signature;
}

/// Inputs, [rows, inputs], that reach every part of the input quantization: ordinary ones, ties, saturation, NaN and
/// infinities; for kernels of sparse inputs mostly zeros, now and then nothing else.
inline std::vector<float> kernelInputs(ExpertGenerator &generator, const quant::Signature &signature,
                                       std::uint32_t rows) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const float special[] = {0.0f,       -0.0f,     0.5f,    1.5f,
                           1e-30f,     1e30f,     -1e30f,  std::numeric_limits<float>::quiet_NaN(),
                           -kInfinity, kInfinity, -1e-42f, 32768.0f};
  bool isSpecial = generator.chance(3), isAllZero = signature.sparseInputs && generator.chance(6);
  std::vector<float> x(std::size_t{rows} * signature.inputs);
  for (float &value : x)
    value = isSpecial && generator.chance(4) ? special[generator.integer(0, 11)] : generator.real(-2, 2);
  for (float &value : x)
    if (signature.sparseInputs && (isAllZero || !generator.chance(3)))
      value = 0;
  return x;
}

/// Integers: only the largest and smallest weights, codes at their bounds, biases anywhere, so that sums wrap.
/// Floats: sums that overflow to infinities and cancel to NaN, and weights that are subnormal.
inline void makeExtreme(ExpertGenerator &generator, RandomExpert &expert) {
  if (expert.signature.weights() == quant::WeightFormat::Float32) {
    const float weights[] = {3e38f, -3e38f, 1e-42f, -1e30f, 0.0f, 1.0f};
    for (quant::LayerParameters &layer : expert.parameters.layers) {
      for (float &weight : layer.floatWeights)
        weight = weights[generator.integer(0, 5)];
      for (float &bias : layer.floatBias)
        bias = weights[generator.integer(0, 5)];
      for (float &limit : layer.limit)
        limit = generator.chance(3) ? 3e38f : limit;
    }
    return;
  }
  auto extremeWeight = [&] {
    const std::int8_t weights[] = {-128, -127, 127, 0};
    return weights[generator.integer(0, 3)];
  };
  for (float &scale : expert.parameters.inputScale)
    scale = 1e7f;
  for (quant::LayerParameters &layer : expert.parameters.layers) {
    for (std::int8_t &weight : layer.weights)
      weight = extremeWeight();
    for (quant::ResidualRow &residual : layer.residuals)
      for (std::int8_t &weight : residual.weights)
        weight = extremeWeight();
    for (std::int32_t &bias : layer.bias)
      bias = generator.integer(std::numeric_limits<std::int32_t>::min(), std::numeric_limits<std::int32_t>::max());
  }
}

} // namespace kimic::testing
