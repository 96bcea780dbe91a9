#include "compiler/Conversion/KernelBuilder.h"

#include "compiler/Conversion/KernelWriter.h"

using namespace mlir;

namespace kimic {

using namespace wasm;
using quant::Layout;
using quant::Signature;

KernelModuleBuilder::KernelModuleBuilder(OpBuilder &at, Location loc) : builder(at.getContext()) {
  kernels = at.create<ModuleOp>(loc, abi::kImportModule, abi::kImportMemory);
  builder.setInsertionPointToEnd(&kernels.getBody().emplaceBlock());
}

void KernelModuleBuilder::add(StringRef name, const Signature &signature, const Layout &layout, abi::Variant variant) {
  SmallVector<Type> parameters(abi::kParameterCount, builder.getI32Type());
  std::string exportName = abi::kExportPrefix + std::to_string(count++);
  auto func = builder.create<FuncOp>(kernels.getLoc(), name, builder.getFunctionType(parameters, {}), exportName);

  CodeBuilder code(kernels.getLoc(), builder.getContext());
  auto make = variant == abi::Variant::Scalar ? makeScalarWriter : makeSimdWriter;
  make(code, signature, layout)->write(func.getBody().front());
}

void KernelModuleBuilder::finish() {
  const char version = abi::kVersion;
  builder.create<CustomOp>(kernels.getLoc(), abi::kCustomSection, StringRef(&version, 1));
}

} // namespace kimic
