// The passes that lower kernels: what they do is in Passes.td.
#pragma once

#include "compiler/Dialect/Wasm/Wasm.h"
#include "formats/abi/KernelAbi.h"

#include "mlir/IR/BuiltinOps.h"
#include "mlir/Pass/Pass.h"

namespace kimic {

#define GEN_PASS_DECL
#include "compiler/Conversion/Passes.h.inc"

#define GEN_PASS_REGISTRATION
#include "compiler/Conversion/Passes.h.inc"

} // namespace kimic
