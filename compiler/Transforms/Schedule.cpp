// Chooses how the kernels of packed experts go through their sums. No schedule changes a bit of any result.
#include "compiler/Dialect/QExpert/QExpert.h"
#include "compiler/Transforms/CostModel.h"
#include "compiler/Transforms/Passes.h"

namespace kimic {
#define GEN_PASS_DEF_SCHEDULE
#include "compiler/Transforms/Passes.h.inc"
} // namespace kimic

using namespace mlir;
using namespace kimic;
using namespace kimic::qexpert;

namespace {
struct Schedule : kimic::impl::ScheduleBase<Schedule> {
  void runOnOperation() override {
    for (ExpertOp expert : getOperation().getOps<ExpertOp>()) {
      if (!expert.getSignature() || !expert.getActivity())
        continue;
      quant::Signature signature = expert.getSignature()->toSignature();
      // The expert's verifier has laid it out already.
      quant::Layout layout = quant::layoutOf(signature).value();
      signature.sparseInputs = signature.weights() != quant::WeightFormat::Float32 &&
                               shouldSkipInputs(layout, expert.getActivity()->convertToFloat());
      expert.setSignatureAttr(SignatureAttr::get(&getContext(), signature));
      expert.removeActivityAttr();
      numSparse += signature.sparseInputs;
    }
  }
};
} // namespace
