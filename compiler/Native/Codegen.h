// From a signature to machine code: writes the kernel's IR and runs LLVM's code generator on it.
#pragma once

#include "compiler/Native/Target.h"
#include "formats/base/Diagnostic.h"
#include "formats/base/Result.h"
#include "formats/quant/Signature.h"

#include "llvm/ADT/SmallString.h"

namespace kimic::native {

/// The function that an object file defines.
inline constexpr char kKernelSymbol[] = "kimic_kernel";

/// Signatures with more layers and groups have no native kernel: compiling would take seconds.
inline constexpr std::size_t kMaxParts = 512;

/// KernelNotCompiled because of what was `found`.
Diagnostic kernelNotCompiled(std::string found);

/// A relocatable object file, or assembly text. KernelNotCompiled: the signature breaks a rule, has too many parts, or
/// LLVM has no code generator for this machine.
Result<llvm::SmallString<0>, Diagnostic> compileKernel(const quant::Signature &signature, const Target &target,
                                                       bool asText);

} // namespace kimic::native
