// The compiler's own passes: what they do is in Passes.td. One file each, named after the pass.
#pragma once

#include "compiler/Quantize/Quantize.h"
#include "formats/data/Matrix.h"

#include "mlir/IR/BuiltinOps.h"
#include "mlir/Pass/Pass.h"

#include <memory>

namespace kimic {

namespace expert {
class ExpertDialect;
}
namespace qexpert {
class QExpertDialect;
}

#define GEN_PASS_DECL
#include "compiler/Transforms/Passes.h.inc"

/// expert-calibrate on `rows` instead of generated ones. REQUIRES: rows outlive the pass, their columns are the
/// experts' inputs.
std::unique_ptr<mlir::Pass> createCalibrate(const Matrix &rows);

/// What expert-calibrate generates: `rows` x `inputs` numbers, all lo, all hi, then uniform ones between lo[i] and
/// hi[i]; the same for the same arguments, on every machine. REQUIRES: lo and hi have an element per input.
Matrix generateRows(std::span<const float> lo, std::span<const float> hi, std::size_t rows);

/// What convert-expert-to-qexpert works with in a compilation.
struct QuantizeInput {
  const Matrix &rows; ///< calibration data
  quantize::Plan plan = {};
  quantize::Options options = {};
  quantize::Quantized *result = nullptr; ///< if not null: what the (last) expert became
};

/// convert-expert-to-qexpert on calibration data instead of rows generated from the ranges. REQUIRES: `input` outlives
/// the pass, its columns are the experts' inputs.
std::unique_ptr<mlir::Pass> createConvertExpertToQExpert(const QuantizeInput &input);

#define GEN_PASS_REGISTRATION
#include "compiler/Transforms/Passes.h.inc"

} // namespace kimic
