// The body of a qexpert.define as a signature and its numbers.
#pragma once

#include "compiler/Dialect/QExpert/QExpert.h"
#include "formats/quant/Parameters.h"

namespace kimic::qexpert {

struct QuantizedExpert {
  quant::Signature signature;
  quant::ExpertParameters parameters;
};

/// Reports an error at the operation that a kernel cannot compute: the body must be a quantize, then layers of linear
/// and activation (a layer reads codes up to the latest, through at most concats), then at most one affine.
/// The signature is valid, the parameters have its lengths.
mlir::FailureOr<QuantizedExpert> quantizedExpertOf(DefineOp define);

} // namespace kimic::qexpert
