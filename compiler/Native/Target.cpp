#include "compiler/Native/Target.h"

#include "llvm/ADT/StringMap.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/Support/TargetSelect.h"
#include "llvm/Target/TargetMachine.h"
#include "llvm/TargetParser/Host.h"
#include "llvm/TargetParser/Triple.h"

#include <algorithm>
#include <mutex>
#include <vector>

namespace kimic::native {

static Vectors widestOf(const llvm::StringMap<bool> &features) {
  auto has = [&](std::initializer_list<const char *> names) {
    return std::all_of(names.begin(), names.end(), [&](const char *name) { return features.lookup(name); });
  };
  if (has({"avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512vnni"}))
    return Vectors::Avx512;
  return has({"avx2", "fma", "bmi2"}) ? Vectors::Avx2 : Vectors::Bits128;
}

Target hostTarget(Vectors vectors) {
  Target target{};
  target.triple = llvm::sys::getProcessTriple();
  target.isX86 = llvm::Triple(target.triple).getArch() == llvm::Triple::x86_64;
  target.tuning = llvm::sys::getHostCPUName().str();
  llvm::StringMap<bool> features = llvm::sys::getHostCPUFeatures();
  Vectors widest = target.isX86 ? widestOf(features) : Vectors::Bits128;
  target.vectors = std::min(vectors, widest);

  if (!target.isX86 || target.vectors == Vectors::Avx512) {
    // A processor may lack what its name promises: virtual machines hide features.
    std::vector<std::string> names;
    for (const llvm::StringMapEntry<bool> &feature : features)
      names.push_back((feature.second ? "+" : "-") + feature.first().str());
    std::sort(names.begin(), names.end());
    for (const std::string &name : names)
      target.features += (target.features.empty() ? "" : ",") + name;
    // Intel's tuning takes VNNI's fused product apart for its latency, which is nothing to loops of many sums.
    if (target.isX86)
      target.features += ",+fast-dpwssd";
    target.cpu = target.tuning;
  } else {
    target.cpu = target.vectors == Vectors::Avx2 ? "x86-64-v3" : "x86-64";
  }
  return target;
}

void initializeLlvm() {
  static std::once_flag initialized;
  std::call_once(initialized, [] {
    llvm::InitializeNativeTarget();
    llvm::InitializeNativeTargetAsmPrinter();
  });
}

std::unique_ptr<llvm::TargetMachine> machineOf(const Target &target, std::string &reason) {
  initializeLlvm();
  const llvm::Target *found = llvm::TargetRegistry::lookupTarget(target.triple, reason);
  if (!found)
    return nullptr;
  llvm::TargetOptions options;
  options.AllowFPOpFusion = llvm::FPOpFusion::Strict; // every operation is rounded by itself
  return std::unique_ptr<llvm::TargetMachine>(
      found->createTargetMachine(target.triple, target.cpu, target.features, options, llvm::Reloc::PIC_,
                                 llvm::CodeModel::Small, llvm::CodeGenOptLevel::Default, true));
}

} // namespace kimic::native
