#include "compiler/Conversion/KernelBuilder.h"
#include "compiler/Conversion/Passes.h"
#include "compiler/Dialect/QExpert/QExpert.h"

#include "mlir/IR/DialectRegistry.h"

namespace kimic {

#define GEN_PASS_DEF_CONVERTQEXPERTTOWASM
#include "compiler/Conversion/Passes.h.inc"

namespace {

class ConvertQExpertToWasm : public impl::ConvertQExpertToWasmBase<ConvertQExpertToWasm> {
public:
  using ConvertQExpertToWasmBase::ConvertQExpertToWasmBase;

  void runOnOperation() override {
    mlir::OpBuilder builder = mlir::OpBuilder::atBlockEnd(getOperation().getBody());
    llvm::SmallVector<qexpert::KernelOp> kernels(getOperation().getOps<qexpert::KernelOp>());
    KernelModuleBuilder code(builder, builder.getUnknownLoc());
    for (qexpert::KernelOp kernel : kernels) {
      quant::Signature signature = qexpert::signatureOf(kernel);
      // The kernel's verifier has laid it out already.
      code.add(kernel.getSymName(), signature, quant::layoutOf(signature).value(), variant);
    }
    code.finish();
  }
};

} // namespace
} // namespace kimic
