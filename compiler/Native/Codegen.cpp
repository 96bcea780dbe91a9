#include "compiler/Native/Codegen.h"

#include "compiler/Native/KernelIr.h"
#include "formats/quant/KernelName.h"

#include "llvm/IR/LLVMContext.h"
#include "llvm/IR/LegacyPassManager.h"
#include "llvm/IR/Verifier.h"
#include "llvm/Support/raw_ostream.h"
#include "llvm/Target/TargetMachine.h"

namespace kimic::native {

Diagnostic kernelNotCompiled(std::string found) {
  Diagnostic diagnostic;
  diagnostic.id = ErrorId::KernelNotCompiled;
  diagnostic.key = "native";
  diagnostic.found = std::move(found);
  return diagnostic;
}

Result<llvm::SmallString<0>, Diagnostic> compileKernel(const quant::Signature &signature, const Target &target,
                                                       bool asText) {
  if (auto valid = quant::validate(signature); !valid)
    return kernelNotCompiled(message(valid.error()));
  auto layout = quant::layoutOf(signature);
  if (!layout)
    return kernelNotCompiled(message(layout.error()));
  std::size_t parts = signature.layers.size();
  for (const quant::LayerSignature &layer : signature.layers)
    parts += layer.groups.size();
  if (parts > kMaxParts)
    return kernelNotCompiled(std::to_string(parts) + " layers and groups");

  std::string reason;
  std::unique_ptr<llvm::TargetMachine> machine = machineOf(target, reason);
  if (!machine)
    return kernelNotCompiled(reason);
  llvm::LLVMContext context;
  llvm::Module module(quant::kernelName(signature), context);
  module.setTargetTriple(target.triple);
  module.setDataLayout(machine->createDataLayout());
  writeKernel(module, kKernelSymbol, signature, *layout, target);
  assert(!llvm::verifyModule(module, &llvm::errs()) && "the kernel writer breaks a rule of LLVM IR");

  llvm::SmallString<0> code;
  llvm::raw_svector_ostream stream(code);
  llvm::legacy::PassManager passes;
  auto type = asText ? llvm::CodeGenFileType::AssemblyFile : llvm::CodeGenFileType::ObjectFile;
  if (machine->addPassesToEmitFile(passes, stream, nullptr, type))
    return kernelNotCompiled("no code generator for " + target.triple);
  passes.run(module);
  return code;
}

} // namespace kimic::native
