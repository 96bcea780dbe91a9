#include "compiler/Target/KernelModule.h"

#include "compiler/Conversion/KernelBuilder.h"
#include "compiler/Target/WasmEncoder.h"
#include "formats/abi/KernelVerifier.h"
#include "formats/quant/Layout.h"

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"
#include "mlir/IR/Verifier.h"

#include <string>

namespace kimic {
namespace {

Diagnostic diagnose(const Error &error, std::string key) {
  Diagnostic diagnostic;
  diagnostic.id = ErrorId::KernelNotCompiled;
  diagnostic.key = std::move(key);
  diagnostic.found = message(error);
  return diagnostic;
}

} // namespace

Result<std::vector<std::uint8_t>, Diagnostic> emitKernelModule(std::span<const quant::Signature> signatures,
                                                               abi::Variant variant) {
  mlir::MLIRContext context(mlir::MLIRContext::Threading::DISABLED);
  context.loadDialect<wasm::WasmDialect>();
  mlir::OpBuilder builder(&context);
  KernelModuleBuilder kernels(builder, builder.getUnknownLoc());
  mlir::OwningOpRef<wasm::ModuleOp> module = kernels.module();
  for (std::size_t i = 0; i < signatures.size(); ++i) {
    std::string name = "k" + std::to_string(i);
    if (auto valid = quant::validate(signatures[i]); !valid)
      return diagnose(valid.error(), name);
    auto layout = quant::layoutOf(signatures[i]);
    if (!layout)
      return diagnose(layout.error(), name);
    kernels.add(name, signatures[i], *layout, variant);
  }
  kernels.finish();
  assert(mlir::succeeded(mlir::verify(*module)) && "the kernel writer breaks a rule of the wasm dialect");

  std::vector<std::uint8_t> bytes = wasm::encodeModule(*module);
  auto verified = abi::verifyKernelModule(bytes, static_cast<std::uint32_t>(signatures.size()), variant);
  if (!verified)
    return diagnose(verified.error(), "kernel module");
  return bytes;
}

} // namespace kimic
