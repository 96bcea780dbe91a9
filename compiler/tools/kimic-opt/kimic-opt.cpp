// Runs any pass of kimic on any file of its IR: for tests, and for looking at one step.
#include "compiler/Conversion/Passes.h"
#include "compiler/Dialect/Expert/Expert.h"
#include "compiler/Dialect/QExpert/QExpert.h"
#include "compiler/Dialect/Wasm/Wasm.h"
#include "compiler/Transforms/Passes.h"

#include "mlir/IR/DialectRegistry.h"
#include "mlir/Tools/mlir-opt/MlirOptMain.h"

int main(int argc, char **argv) {
  mlir::DialectRegistry registry;
  registry.insert<kimic::expert::ExpertDialect, kimic::qexpert::QExpertDialect, kimic::wasm::WasmDialect>();
  kimic::registerKimicPasses();
  kimic::registerKimicConversionPasses();
  return mlir::asMainReturnCode(mlir::MlirOptMain(argc, argv, "kimic's optimizer driver\n", registry));
}
