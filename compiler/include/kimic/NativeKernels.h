// Kernels for the processor of this machine: compiled when they are first used, kept in memory and on disk.
//
// A native kernel computes the bits of every other kernel of its signature (formats/spec/quantization-v1.md) and is
// called as one (formats/spec/kernel-abi-v1.md).
#pragma once

#include "formats/base/Diagnostic.h"
#include "formats/base/Result.h"

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace kimic::native {

/// Parameter block, x, y, scratch, rows; addresses as in kernel-abi-v1, "Calling a kernel". Thread-safe for distinct y
/// and scratch. REQUIRES: what the evaluator formats/reference/Reference.h requires.
using Function = void (*)(const std::uint8_t *, const float *, float *, std::uint8_t *, std::uint32_t);

/// The vectors that kernels use, narrowest first.
enum class Vectors : std::uint8_t {
  Bits128, ///< 128 bits, on every processor
  Avx2,    ///< 256 bits
  Avx512,  ///< 512 bits, and VNNI
  Widest,  ///< what the processor has
};

/// Lower case: "bits128", "avx2", "avx512", "widest".
const char *nameOf(Vectors vectors);

struct Options {
  Vectors vectors = Vectors::Widest; ///< at most; fewer if the processor has fewer
  std::string cacheDirectory;        ///< where compiled kernels are kept; empty: nowhere
};

/// $KIMIC_NATIVE_CACHE, or else kimic/native in $XDG_CACHE_HOME or ~/.cache. Empty if that variable is "off", and if
/// there is no home.
std::string defaultCacheDirectory();

struct Statistics {
  std::uint64_t compiled = 0; ///< by LLVM
  std::uint64_t read = 0;     ///< from the cache on disk
};

/// Thread-safe. The functions live as long as this object.
class Kernels {
public:
  explicit Kernels(Options options);
  ~Kernels();
  Kernels(const Kernels &) = delete;
  Kernels &operator=(const Kernels &) = delete;

  /// The kernel of the signature with these canonical bytes (kernel-abi-v1, "Signature"). Threads that ask for the same
  /// one wait for one compilation. KernelNotCompiled: the
  /// signature is not valid, has very many layers, or LLVM cannot make code here.
  Result<Function, Diagnostic> get(std::span<const std::uint8_t> signature);

  /// The vectors that kernels use here.
  Vectors vectors() const;
  Statistics statistics() const;

private:
  class Impl;
  std::unique_ptr<Impl> impl;
};

/// The kernels of this process, with default options. They live until it ends.
Kernels &kernelsOfProcess();

/// The same as get() of kernelsOfProcess(), or null: for runtime::NativeOptions::link.
Function kernelOrNull(std::span<const std::uint8_t> signature);

/// The kernel as text in the processor's assembly language, as it would be scheduled for the processor of LLVM's name
/// `tuning` (this one if empty): for tests and for the curious.
Result<std::string, Diagnostic> assemblyOf(std::span<const std::uint8_t> signature, Vectors vectors,
                                           std::string_view tuning = {});

} // namespace kimic::native
