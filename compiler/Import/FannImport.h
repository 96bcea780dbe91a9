// Networks to the expert dialect.
#pragma once

#include "compiler/Dialect/Expert/Expert.h"
#include "compiler/Import/Head.h"
#include "formats/fann/Network.h"

#include "mlir/IR/BuiltinOps.h"

namespace kimic {

struct FannImportOptions {
  /// Puts the network's scaling parameters, if it has some, before the first and after the last layer.
  bool applyScaling = true;
  Head head = {};
};

/// Appends `network` to `module` as the expert.define `name`, a body of layers (Layers.h):
///
///  * neurons of value 1 (bias neurons, neurons without connections) become biases; one among the outputs becomes a
///    linear neuron of bias 1,
///  * connections that do not exist become zero weights, several from one source their sum,
///  * a sigmoid head becomes the function of the last layer, FANN's sigmoid of half the sum; others follow that layer,
///  * a layer reads all values from the first layer that one of its connections reaches (at least the one before it).
///
/// Reports an error at the define if a sigmoid head is on outputs that are not linear or are scaled, if a sum of
/// weights leaves float32, or if the network is larger than a signature can be (quant::kMaxWidth, kMaxLayers) or than a
/// parameter block can hold (quant::kMaxBlockBytes weights).
mlir::FailureOr<expert::DefineOp> importFann(mlir::ModuleOp module, llvm::StringRef name, const fann::Network &network,
                                             FannImportOptions options = {});

} // namespace kimic
