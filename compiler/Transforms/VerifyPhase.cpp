// Checks on exit of a phase what later phases rely on.
#include "compiler/Dialect/Expert/Layers.h"
#include "compiler/Transforms/Passes.h"
#include "compiler/Transforms/QLayers.h"
#include "formats/base/Diagnostic.h"

#include "llvm/ADT/DenseSet.h"

#include <algorithm>
#include <cmath>

namespace kimic {
#define GEN_PASS_DEF_VERIFYPHASE
#include "compiler/Transforms/Passes.h.inc"
} // namespace kimic

using namespace mlir;
using namespace kimic;

/// Phases before which experts are still in the expert dialect, in order.
enum class ExpertPhase { Import, Normalize, Calibrate };

static LogicalResult verifyFinite(Operation *op) {
  for (NamedAttribute attribute : op->getAttrs()) {
    auto numbers = dyn_cast<DenseFPElementsAttr>(attribute.getValue());
    if (!numbers)
      continue;
    for (float number : numbers.getValues<float>())
      if (!std::isfinite(number))
        return op->emitOpError() << attribute.getName().getValue() << " holds a number that is not finite";
  }
  return success();
}

static LogicalResult verifyExpert(expert::DefineOp define, ExpertPhase phase) {
  WalkResult walked = define->walk(
      [](Operation *op) { return failed(verifyFinite(op)) ? WalkResult::interrupt() : WalkResult::advance(); });
  if (walked.wasInterrupted())
    return failure();
  auto layers = expert::layersOf(define);
  if (failed(layers) || phase == ExpertPhase::Import)
    return failed(layers) ? failure() : success();

  if (layers->inputAffine)
    return define.emitOpError() << "still scales its input";
  for (auto [l, layer] : llvm::enumerate(layers->layers)) {
    if (!layer.steepness.empty())
      return define.emitOpError() << "layer " << l + 1 << " still has a steepness";
    std::vector<Activation> functions = layer.functions();
    if (l + 1 < layers->layers.size() && !std::is_sorted(functions.begin(), functions.end()))
      return define.emitOpError() << "layer " << l + 1 << " is not grouped by function";
    if (phase == ExpertPhase::Calibrate && (layer.range.empty() || layer.sumRange.empty()))
      return define.emitOpError() << "layer " << l + 1 << " has no range";
  }
  if (phase == ExpertPhase::Calibrate && layers->inputRange.empty())
    return define.emitOpError() << "input has no range";
  return success();
}

static LogicalResult verifyQuantized(qexpert::DefineOp define) {
  auto expert = qexpert::quantizedExpertOf(define);
  if (failed(expert))
    return failure();
  auto finite = [](const std::vector<float> &numbers) {
    return std::all_of(numbers.begin(), numbers.end(), [](float number) { return std::isfinite(number); });
  };
  bool isFinite = finite(expert->parameters.inputScale) && finite(expert->parameters.outputGain) &&
                  finite(expert->parameters.outputOffset);
  for (const quant::LayerParameters &layer : expert->parameters.layers)
    isFinite &= finite(layer.multiplier) && finite(layer.limit);
  if (!isFinite)
    return define.emitOpError() << "holds a number that is not finite";
  if (auto proof = quant::proveNoOverflow(expert->signature, expert->parameters); !proof)
    return define.emitOpError() << message(proof.error());
  return success();
}

/// A packed expert: its block holds what its kernel may be given.
static LogicalResult verifyPacked(qexpert::ExpertOp expert) {
  if (!expert.getSignature())
    return expert.emitOpError() << "has no signature";
  quant::Signature signature = expert.getSignature()->toSignature();
  auto layout = quant::layoutOf(signature);
  if (!layout)
    return expert.emitOpError() << message(layout.error());
  auto values = expert.getParameters().getValues<std::int8_t>();
  std::vector<std::uint8_t> block(values.begin(), values.end());
  auto parameters = quant::unpackParameters(signature, *layout, block);
  if (!parameters)
    return expert.emitOpError() << message(parameters.error());
  if (auto proof = quant::proveNoOverflow(signature, *parameters); !proof)
    return expert.emitOpError() << message(proof.error());
  return success();
}

static LogicalResult verifyOutlined(ModuleOp module) {
  SymbolTable symbols(module);
  llvm::DenseSet<Attribute> signatures;
  for (auto kernel : module.getOps<qexpert::KernelOp>())
    if (!signatures.insert(kernel.getSignature()).second)
      return kernel.emitOpError() << "has the signature of another kernel";
  for (auto expert : module.getOps<qexpert::ExpertOp>()) {
    if (!expert.getKernel())
      return expert.emitOpError() << "still has a signature";
    auto kernel = symbols.lookup<qexpert::KernelOp>(*expert.getKernel());
    if (!kernel)
      return expert.emitOpError() << "names the kernel @" << *expert.getKernel() << ", which does not exist";
    auto bytes = expert.getParameters().getNumElements();
    // Residual rows come after what the kernel's layout knows.
    bool hasResiduals = kernel.getSignature().getWeights() == quant::WeightFormat::Int8Residual;
    if (hasResiduals ? bytes < static_cast<std::int64_t>(kernel.getParameterBytes())
                     : bytes != static_cast<std::int64_t>(kernel.getParameterBytes()))
      return expert.emitOpError() << "has " << bytes << " bytes of parameters, but its kernel reads "
                                  << kernel.getParameterBytes();
  }
  return success();
}

/// Whether every operation of the module is one of Ops.
template <class... Ops> static LogicalResult verifyOnly(ModuleOp module, StringRef phase) {
  for (Operation &op : *module.getBody())
    if (!isa<Ops...>(op))
      return op.emitOpError() << "may not remain after phase '" << phase << "'";
  return success();
}

static LogicalResult verifyPhase(ModuleOp module, StringRef phase) {
  auto eachExpert = [&](ExpertPhase expertPhase) -> LogicalResult {
    if (failed(verifyOnly<expert::DefineOp>(module, phase)))
      return failure();
    for (auto define : module.getOps<expert::DefineOp>())
      if (failed(verifyExpert(define, expertPhase)))
        return failure();
    return success();
  };
  if (phase == "import")
    return eachExpert(ExpertPhase::Import);
  if (phase == "normalize")
    return eachExpert(ExpertPhase::Normalize);
  if (phase == "calibrate")
    return eachExpert(ExpertPhase::Calibrate);
  if (phase == "quantize") {
    if (failed(verifyOnly<qexpert::DefineOp, qexpert::ExpertOp>(module, phase)))
      return failure();
    for (auto define : module.getOps<qexpert::DefineOp>())
      if (failed(verifyQuantized(define)))
        return failure();
    for (auto expert : module.getOps<qexpert::ExpertOp>())
      if (failed(verifyPacked(expert)))
        return failure();
    return success();
  }
  if (phase == "pack") {
    if (failed(verifyOnly<qexpert::ExpertOp>(module, phase)))
      return failure();
    for (auto expert : module.getOps<qexpert::ExpertOp>())
      if (failed(verifyPacked(expert)))
        return failure();
    return success();
  }
  if (phase == "outline")
    return failure(failed(verifyOnly<qexpert::ExpertOp, qexpert::KernelOp>(module, phase)) ||
                   failed(verifyOutlined(module)));
  return module.emitOpError() << "phase '" << phase
                              << "' has no contract; the phases are import, normalize, calibrate, quantize, pack and "
                                 "outline";
}

namespace {
struct VerifyPhase : kimic::impl::VerifyPhaseBase<VerifyPhase> {
  using VerifyPhaseBase::VerifyPhaseBase;

  void runOnOperation() override {
    if (failed(verifyPhase(getOperation(), phase)))
      return signalPassFailure();
    markAllAnalysesPreserved();
  }
};
} // namespace
