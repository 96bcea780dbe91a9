// Translates a file of kimic's IR to another format: for tests, and for looking at one step.
#include "compiler/Dialect/Wasm/Wasm.h"
#include "compiler/Target/WasmEncoder.h"

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/DialectRegistry.h"
#include "mlir/Tools/mlir-translate/MlirTranslateMain.h"
#include "mlir/Tools/mlir-translate/Translation.h"

using namespace mlir;

static LogicalResult toWasm(Operation *op, llvm::raw_ostream &output) {
  auto module = dyn_cast<kimic::wasm::ModuleOp>(op);
  if (auto outer = dyn_cast<mlir::ModuleOp>(op)) {
    auto inner = outer.getOps<kimic::wasm::ModuleOp>();
    if (!llvm::hasSingleElement(inner))
      return outer.emitError() << "has " << std::distance(inner.begin(), inner.end()) << " wasm modules, expected 1";
    module = *inner.begin();
  }
  if (!module)
    return op->emitError("is not a wasm module");
  std::vector<std::uint8_t> bytes = kimic::wasm::encodeModule(module);
  output.write(reinterpret_cast<const char *>(bytes.data()), bytes.size());
  return success();
}

int main(int argc, char **argv) {
  TranslateFromMLIRRegistration registration(
      "mlir-to-wasm", "encode the one wasm.module",
      [](Operation *op, llvm::raw_ostream &output) { return toWasm(op, output); },
      [](DialectRegistry &registry) { registry.insert<kimic::wasm::WasmDialect>(); });
  return failed(mlirTranslateMain(argc, argv, "kimic's translation driver\n"));
}
