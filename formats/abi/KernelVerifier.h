// Decides whether bytes are a kernel module: formats/spec/kernel-abi-v1.md, "Must reject".
//
// It decodes the whole module, so that an engine is only ever given code that can do nothing but arithmetic, loops and
// accesses to the imported memory: no calls, no growth, no state. It does not check types; engines do when they
// compile.
#pragma once

#include "formats/abi/KernelAbi.h"
#include "formats/base/Result.h"

#include <span>

namespace kimic::abi {

/// Success if `bytes` is a module with exactly the functions k0 .. k<kernels-1> of the kernel ABI that uses only
/// instructions of `variant`. Otherwise the first error found, with its byte offset as first argument. Allocates
/// nothing; time is linear in bytes.size().
Result<void> verifyKernelModule(std::span<const std::uint8_t> bytes, std::uint32_t kernels, Variant variant);

} // namespace kimic::abi
