// One expert through the phases that are IR: from its network to a signature and a parameter block.
#pragma once

#include "compiler/Import/Head.h"
#include "compiler/Quantize/Quantize.h"
#include "formats/base/Diagnostic.h"
#include "formats/base/Result.h"
#include "formats/data/Matrix.h"
#include "formats/fann/Network.h"
#include "formats/quant/Signature.h"
#include "kimic/Compiler.h"

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace kimic {

/// The most calibration rows that are looked at; of more, that many evenly spaced ones are.
inline constexpr std::size_t kMaxCalibrationRows = 4096;

namespace expert {
struct Layers;
} // namespace expert

struct CompiledExpert {
  quant::Signature signature;
  std::vector<std::uint8_t> parameters;
  quantize::Plan plan;                          ///< what it was compiled with
  std::shared_ptr<const expert::Layers> layers; ///< the normalized float network that was quantized
  quantize::Quantized quantized;                ///< with the errors that the noise model predicts
  std::string ir;                               ///< after options.stopAfter, which is then the last phase that was run
};

/// Runs the phases Import to Outline, or to options.stopAfter, in a context of its own: thread-safe. Checks the
/// contract of each phase. REQUIRES: calibration.cols == network.numInputs, rows >= 1. ExpertNotCompilable with the
/// pass's message, CompilationCancelled, IrTreeNotWritable; key is `id`.
Result<CompiledExpert, Diagnostic> compileExpert(const std::string &id, const fann::Network &network,
                                                 const Matrix &calibration, const CompileOptions &options,
                                                 const quantize::Plan &plan = {}, const Head &head = {});

/// The wasm dialect of the simd128 kernels of `signatures`: what there is after phase Lower.
Result<std::string, Diagnostic> lowerKernels(std::span<const quant::Signature> signatures);

/// Writes `text` to `folder`/`name`.mlir, making the folder. IrTreeNotWritable.
Result<void, Diagnostic> writeIr(const std::string &folder, const std::string &name, const std::string &text);

} // namespace kimic
