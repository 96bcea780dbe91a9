// Writes the kernels of signatures as functions of the `wasm` dialect.
//
// formats/spec/quantization-v1.md says what it computes, formats/spec/kernel-abi-v1.md how it is called. The scalar and
// the simd128 kernel of a signature yield the same bits.
#pragma once

#include "compiler/Dialect/Wasm/Wasm.h"
#include "formats/abi/KernelAbi.h"
#include "formats/quant/Layout.h"

namespace kimic {

/// Writes a module of kernels at the insertion point of an OpBuilder.
class KernelModuleBuilder {
public:
  KernelModuleBuilder(mlir::OpBuilder &builder, mlir::Location loc);

  /// Appends the kernel of `signature` as @name; the i-th one is exported as `k<i>`.
  /// REQUIRES: layout == layoutOf(signature), and a variant other than Relaxed.
  void add(llvm::StringRef name, const quant::Signature &signature, const quant::Layout &layout, abi::Variant variant);

  /// Appends the custom section.
  void finish();

  wasm::ModuleOp module() const { return kernels; }

private:
  wasm::ModuleOp kernels;
  mlir::OpBuilder builder;
  unsigned count = 0;
};

} // namespace kimic
