// Writes the kernel of a signature as LLVM IR, in vectors of the size that the target has.
//
// formats/spec/quantization-v1.md says what it computes, formats/spec/kernel-abi-v1.md how it is called. The IR is
// meant to go straight to LLVM's code generator: it is already unrolled, vectorised and in the order that is wanted,
// and LLVM's passes over IR would only reassociate the sums again.
#pragma once

#include "compiler/Native/Target.h"
#include "formats/quant/Layout.h"

#include "llvm/ADT/StringRef.h"
#include "llvm/IR/Module.h"

namespace kimic::native {

/// The digest of the sources that decide what a kernel's code is: 64 hexadecimal digits. Kernels that other sources
/// compiled are not used.
const char *generatorId();

/// Appends the function `name` to `module`. REQUIRES: layout == layoutOf(signature).
void writeKernel(llvm::Module &module, llvm::StringRef name, const quant::Signature &signature,
                 const quant::Layout &layout, const Target &target);

} // namespace kimic::native
