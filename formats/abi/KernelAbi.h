// The names and numbers on which kernels, the compiler and the runtime agree: formats/spec/kernel-abi-v1.md.
#pragma once

#include <cstdint>

namespace kimic::abi {

inline constexpr std::uint32_t kVersion = 1;

/// Which instructions a kernel module may use. All variants of a signature compute the same bits.
enum class Variant : std::uint8_t {
  Scalar = 1,  ///< WebAssembly 1.0 plus sign extension and saturating conversion
  Simd128 = 2, ///< and fixed-width SIMD
  Relaxed = 3, ///< and relaxed SIMD
};

constexpr const char *nameOf(Variant variant) {
  return variant == Variant::Scalar ? "scalar" : variant == Variant::Simd128 ? "simd128" : "relaxed";
}

/// The one import of a kernel module: the memory `env.memory`.
inline constexpr char kImportModule[] = "env";
inline constexpr char kImportMemory[] = "memory";
/// Function i of a module is exported as `k<i>`.
inline constexpr char kExportPrefix[] = "k";
/// The only custom section a kernel module may have: one byte, kVersion.
inline constexpr char kCustomSection[] = "kimic.kernel";

/// Parameters of every kernel, all i32: params, x, y, scratch, rows; no result.
inline constexpr std::uint32_t kParameterCount = 5;
inline constexpr std::uint32_t kAlignment = 16; ///< of params and scratch, in bytes

/// Kernels of one group, and so of one module, as the pack groups them.
inline constexpr std::uint32_t kGroupKernels = 64;
inline constexpr std::uint32_t kMaxKernels = 256; ///< functions that the verifier accepts in one module
inline constexpr std::uint32_t kMaxModuleBytes = 16u << 20;
inline constexpr std::uint32_t kMaxBodyBytes = 1u << 20;
/// Of one function, its parameters included.
inline constexpr std::uint32_t kMaxLocals = 16384;
inline constexpr std::uint32_t kMaxNesting = 64;

} // namespace kimic::abi
