// From a network in real numbers to the numbers of its kernel: formats/spec/quantization-v1.md says what the result
// means, this library chooses it. No MLIR, no threads: the same arguments give the same bytes.
//
// Layers are quantized in order, each against the codes that the quantized layers before it really give for the
// calibration rows. docs/accuracy.md describes the method and what each part of it gains.
#pragma once

#include "compiler/Quantize/Network.h"
#include "formats/base/Result.h"
#include "formats/data/Matrix.h"
#include "formats/quant/Parameters.h"

#include <cstdint>
#include <vector>

namespace kimic::quantize {

/// Parts of the method, which an ablation can switch off. With all of them off, weights are rounded to nearest at the
/// scale of the largest.
struct Options {
  bool sequential = true;        ///< fit each row to the float network's sums, given the codes there are
  bool clipSearch = true;        ///< try scales at which the largest weights saturate
  bool errorCompensation = true; ///< round weights so as to undo the errors of the others (GPTQ), then descend
  bool biasCorrection = true;    ///< choose the bias after the weights
  bool sensitivity = true;       ///< weigh rows of data by what an error there does to the outputs
  bool wideCodes = true;         ///< inputs and unbounded layers: calibrated range at 16383 where sums allow, not 8191
  bool balancedInputs = true;    ///< inputs get scales that even out the largest weights of each, if that is better
  float uniformInputRatio = 16;  ///< without that, inputs whose ranges differ by more get a scale each

  static Options plain() { return {false, false, false, false, false, false, false, 16}; }
};

/// The precision of an expert.
struct Plan {
  quant::WeightFormat weights = quant::WeightFormat::Int8;
  /// Int8Residual: by layer, the rows that get a second plane. Missing layers: none.
  std::vector<std::vector<std::uint32_t>> residualRows;
  bool allResidual = false; ///< Int8Residual: every row has a second plane, so weights have 16 bits
};

/// What one row's own rounding does on the calibration rows, given its inputs.
struct RowError {
  std::uint32_t layer = 0, row = 0;
  double relative = 0;     ///< mean squared error after the activation / variance there
  double contribution = 0; ///< predicted squared error of all outputs on all rows, from this row alone
  bool hasResidual = false;
};

struct Quantized {
  quant::Signature signature;
  quant::ExpertParameters parameters;
  /// By layer, then row. Empty for Float32.
  std::vector<RowError> rows;
  double inputActivity = 1;     ///< share of the pairs of inputs of which a code is not 0, on the calibration rows
  double inputContribution = 0; ///< as RowError::contribution, of rounding the inputs
  double signal = 0;            ///< sum of the squared float logits on the rows that were used
  double noise = 0;             ///< sum of the squared errors of the quantized logits there

  /// 10 log10(signal / predicted noise): rows err independently, as far as derivatives tell.
  double predictedSqnrDb() const;
  /// The same, as it is on the calibration rows. Infinite if there is no error.
  double measuredSqnrDb() const;
};

/// Quantizes `network`, whose ranges come from `calibration` or wider data. At most kMaxRows evenly spaced calibration
/// rows are used; fewer than 1024 are joined by random mixtures of two, always the same. The result is valid and
/// proveNoOverflow holds. Errors: InputRangeTooLarge, WeightsTooLarge. REQUIRES: calibration.cols == network.inputs,
/// calibration.rows >= 1, everything is finite.
Result<Quantized> quantize(const Network &network, const Matrix &calibration, const Plan &plan = {},
                           const Options &options = {});

inline constexpr std::size_t kMaxRows = 2048;

/// Numbers of rows to give second planes, in the order to try them: 1, 2, 3, 4, 6, 8, 12 ... below `all`; of many rows
/// no fewer than 1/64.
std::vector<std::size_t> residualSteps(std::size_t all);

/// The `count` rows with the largest contributions per weight, for Plan::residualRows.
std::vector<std::vector<std::uint32_t>> noisiestRows(const Quantized &quantized, std::size_t count);

} // namespace kimic::quantize
