// Makes one kernel per distinct signature.
#include "compiler/Dialect/QExpert/QExpert.h"
#include "compiler/Transforms/Passes.h"
#include "formats/quant/KernelName.h"

#include "llvm/ADT/MapVector.h"

namespace kimic {
#define GEN_PASS_DEF_OUTLINEKERNELS
#include "compiler/Transforms/Passes.h.inc"
} // namespace kimic

using namespace mlir;
using namespace kimic;
using namespace kimic::qexpert;

namespace {
struct OutlineKernels : kimic::impl::OutlineKernelsBase<OutlineKernels> {
  void runOnOperation() override {
    ModuleOp module = getOperation();
    SymbolTable symbols(module);
    llvm::DenseMap<SignatureAttr, KernelOp> kernels;
    for (KernelOp kernel : module.getOps<KernelOp>())
      kernels[kernel.getSignature()] = kernel;

    // Kernels stand before the experts, in order of first use.
    OpBuilder builder(module.getContext());
    Block::iterator begin = module.getBody()->begin();
    for (ExpertOp expert : module.getOps<ExpertOp>()) {
      if (!expert.getSignature())
        continue;
      KernelOp &kernel = kernels[*expert.getSignature()];
      if (!kernel) {
        builder.setInsertionPoint(module.getBody(), begin);
        // An expert may have taken the name; SymbolTable::insert then appends a number.
        kernel = builder.create<KernelOp>(expert.getLoc(), quant::kernelName(expert.getSignature()->toSignature()),
                                          *expert.getSignature());
        symbols.insert(kernel);
        ++numKernels;
      }
      expert.setKernelAttr(FlatSymbolRefAttr::get(kernel.getSymNameAttr()));
      expert.removeSignatureAttr();
    }
  }
};
} // namespace
