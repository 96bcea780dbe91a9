// Turns quantized experts into signatures and parameter blocks.
#include "compiler/Dialect/Elements.h"
#include "compiler/Transforms/Passes.h"
#include "compiler/Transforms/QLayers.h"
#include "formats/base/Diagnostic.h"

namespace kimic {
#define GEN_PASS_DEF_PACKWEIGHTS
#include "compiler/Transforms/Passes.h.inc"
} // namespace kimic

using namespace mlir;
using namespace kimic;
using namespace kimic::qexpert;

static LogicalResult pack(DefineOp define) {
  auto expert = quantizedExpertOf(define);
  if (failed(expert))
    return failure();
  auto layout = quant::layoutOf(expert->signature);
  if (!layout)
    return define.emitOpError() << message(layout.error());
  std::vector<std::uint8_t> block = quant::packParameters(expert->signature, *layout, expert->parameters);
  std::vector<std::int8_t> bytes(block.begin(), block.end());
  MLIRContext *context = define.getContext();
  OpBuilder(define).create<ExpertOp>(define.getLoc(), define.getSymName(),
                                     SignatureAttr::get(context, expert->signature), FlatSymbolRefAttr(),
                                     cast<DenseIntElementsAttr>(toElements(context, bytes)), define.getActivityAttr());
  define.erase();
  return success();
}

namespace {
struct PackWeights : kimic::impl::PackWeightsBase<PackWeights> {
  void runOnOperation() override {
    for (auto define : llvm::make_early_inc_range(getOperation().getOps<DefineOp>()))
      if (failed(pack(define)))
        return signalPassFailure();
  }
};
} // namespace
