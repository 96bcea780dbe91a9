// The numbers of an expert, in natural order, and the parameter block that kernels read.
//
// Specification: formats/spec/kernel-abi-v1.md, "Parameter block"; the meaning of the numbers:
// formats/spec/quantization-v1.md. A block holds nothing but these numbers, the constants of Constants.h and padding.
#pragma once

#include "formats/quant/Layout.h"

namespace kimic::quant {

/// The second weights of an output.
struct ResidualRow {
  std::uint32_t output = 0;
  std::vector<std::int8_t> weights; ///< [fanIn]
  float multiplier = 0;             ///< finite: f32(sum of weights * codes) * multiplier is added to t

  friend bool operator==(const ResidualRow &, const ResidualRow &) = default;
};

struct LayerParameters {
  std::vector<std::int8_t> weights;         ///< [outputs][fanIn], row-major
  std::vector<std::int32_t> bias;           ///< [outputs], in units of the accumulator
  std::vector<float> multiplier;            ///< [outputs], finite: t = f32(accumulator) * multiplier
  std::vector<float> limit;                 ///< [outputs] if a group is clamped (0 for outputs of others), else empty
  float codeLow = -32768, codeHigh = 32767; ///< bounds of the codes of unbounded functions; the last layer has none
  std::vector<ResidualRow> residuals;       ///< Int8Residual: in ascending order of their outputs; else empty
  /// Float32: [outputs][fanIn] and [outputs], finite; `weights`, `bias` and `multiplier` are empty then. Else empty.
  std::vector<float> floatWeights, floatBias;

  friend bool operator==(const LayerParameters &, const LayerParameters &) = default;
};

struct ExpertParameters {
  float inputLow = -32768, inputHigh = 32767; ///< bounds of the input codes; Float32: of the inputs themselves
  std::vector<float> inputScale;              ///< [inputs], finite; Float32: empty
  std::vector<LayerParameters> layers;
  std::vector<float> outputGain, outputOffset; ///< [logits] if the signature has outputAffine, else empty
  float headScale = 1;                         ///< Softmax: 1 / temperature, finite; else 1

  friend bool operator==(const ExpertParameters &, const ExpertParameters &) = default;
};

/// The parameter block: layout.parameterBytes bytes and the residual rows, padding included, a pure function of the
/// arguments.
/// REQUIRES: layout == layoutOf(signature), every array of `parameters` has the length stated above.
std::vector<std::uint8_t> packParameters(const Signature &signature, const Layout &layout,
                                         const ExpertParameters &parameters);

/// The inverse of packParameters, for the last layer's bounds up to their defaults. Refuses a block that
/// packParameters would not write: an error of validateParameters, ParametersMalformed (constants, padding).
Result<ExpertParameters> unpackParameters(const Signature &signature, const Layout &layout,
                                          std::span<const std::uint8_t> block);

/// What a kernel of the signature relies on, checked before it may run: the size of the block, the numbers and outputs
/// of residual rows, and that every f32 is finite. ParametersSize, ParametersTooLarge, ResidualCount, ResidualOutput,
/// ParameterNotFinite. Allocates nothing. REQUIRES: layout == layoutOf(signature).
Result<void> validateParameters(const Signature &signature, const Layout &layout, std::span<const std::uint8_t> block);

/// Bytes of the block that packParameters makes.
std::uint64_t parameterBytesOf(const Layout &layout, const ExpertParameters &parameters);

/// The largest |code| that each code can take, for codes 0 .. signature.codesBefore(last layer) - 1: from the bounds
/// for inputs and unbounded functions, 8192 for bounded functions, 0 for GaussianStepwise. REQUIRES: not Float32.
std::vector<std::int32_t> codeBounds(const Signature &signature, const ExpertParameters &parameters);

/// Success if no accumulator can leave i32 whatever the input: for every row, |bias| + sum |weight| * bound(code) is at
/// most 2^31 - 1, and so is the sum of every residual row, which has no bias. Otherwise AccumulatorOverflow with the
/// layer, the row and that sum. Float32 has nothing to prove.
Result<void> proveNoOverflow(const Signature &signature, const ExpertParameters &parameters);

} // namespace kimic::quant
