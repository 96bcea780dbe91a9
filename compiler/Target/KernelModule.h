// From signatures to a kernel module of the ABI (formats/spec/kernel-abi-v1.md).
#pragma once

#include "formats/abi/KernelAbi.h"
#include "formats/base/Diagnostic.h"
#include "formats/base/Result.h"
#include "formats/quant/Signature.h"

#include <span>
#include <vector>

namespace kimic {

/// The module of `variant` (Scalar or Simd128) whose function k<i> is the kernel of signatures[i]: a pure function of
/// the arguments, thread-safe. The module passes abi::verifyKernelModule.
///
/// KernelNotCompiled if a signature (the key is its function) is not valid or its parameters are too large, or if the
/// module (the key is `kernel module`) exceeds a limit of the ABI.
Result<std::vector<std::uint8_t>, Diagnostic> emitKernelModule(std::span<const quant::Signature> signatures,
                                                               abi::Variant variant);

} // namespace kimic
