// The numbers of an expert, in natural order, and the parameter block that kernels read.
//
// Specification: formats/spec/kernel-abi-v1.md, "Parameter block"; the meaning of the numbers:
// formats/spec/quantization-v1.md. A block holds nothing but these numbers, the constants of Constants.h and padding.
#pragma once

#include "formats/quant/Layout.h"

namespace kimic::quant {

struct LayerParameters {
  std::vector<std::int8_t> weights;         ///< [outputs][fanIn], row-major
  std::vector<std::int32_t> bias;           ///< [outputs], in units of the accumulator
  std::vector<float> multiplier;            ///< [outputs], finite: t = f32(accumulator) * multiplier
  std::vector<float> limit;                 ///< [outputs] if a group is clamped (0 for outputs of others), else empty
  float codeLow = -32768, codeHigh = 32767; ///< bounds of the codes of unbounded functions; the last layer has none

  friend bool operator==(const LayerParameters &, const LayerParameters &) = default;
};

struct ExpertParameters {
  float inputLow = -32768, inputHigh = 32767; ///< bounds of the input codes
  std::vector<float> inputScale;              ///< [inputs], finite
  std::vector<LayerParameters> layers;
  std::vector<float> outputGain, outputOffset; ///< [outputs] if the signature has outputAffine, else empty

  friend bool operator==(const ExpertParameters &, const ExpertParameters &) = default;
};

/// The parameter block: layout.parameterBytes bytes, padding included, a pure function of the arguments.
/// REQUIRES: layout == layoutOf(signature), every array of `parameters` has the length stated above.
std::vector<std::uint8_t> packParameters(const Signature &signature, const Layout &layout,
                                         const ExpertParameters &parameters);

/// The inverse of packParameters, for the last layer's bounds up to their defaults. Refuses a block that
/// packParameters would not write: ParametersSize, ParametersMalformed (constants, padding), ParameterNotFinite.
Result<ExpertParameters> unpackParameters(const Signature &signature, const Layout &layout,
                                          std::span<const std::uint8_t> block);

/// The largest |code| that each code can take, for codes 0 .. signature.codesBefore(last layer) - 1: from the bounds
/// for inputs and unbounded functions, 8192 for bounded functions, 0 for GaussianStepwise.
std::vector<std::int32_t> codeBounds(const Signature &signature, const ExpertParameters &parameters);

/// Success if no accumulator can leave i32 whatever the input: for every row, |bias| + sum |weight| * bound(code) is at
/// most 2^31 - 1. Otherwise AccumulatorOverflow with the layer, the row and that sum.
Result<void> proveNoOverflow(const Signature &signature, const ExpertParameters &parameters);

} // namespace kimic::quant
