// Which instructions native kernels are made of.
#pragma once

#include "kimic/NativeKernels.h"

#include <memory>
#include <string>

namespace llvm {
class TargetMachine;
} // namespace llvm

namespace kimic::native {

struct Target {
  Vectors vectors; ///< never Widest
  bool isX86;
  std::string triple, cpu, tuning, features;

  /// Bytes of the vectors that kernels are written with.
  unsigned vectorBytes() const { return vectors == Vectors::Avx512 ? 64 : vectors == Vectors::Avx2 ? 32 : 16; }
};

/// This machine with vectors of at most this kind; Widest is what it has.
Target hostTarget(Vectors vectors);

/// Before LLVM makes or links code. Thread-safe.
void initializeLlvm();

/// Null, with a reason, if LLVM was built without this machine.
std::unique_ptr<llvm::TargetMachine> machineOf(const Target &target, std::string &reason);

} // namespace kimic::native
