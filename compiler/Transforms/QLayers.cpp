// Reads a body in order, with the numbers of the codes that each value stands for.
#include "compiler/Transforms/QLayers.h"

#include "compiler/Dialect/Elements.h"
#include "formats/base/Diagnostic.h"

#include "llvm/ADT/DenseMap.h"

using namespace mlir;
using namespace kimic;
using namespace kimic::qexpert;

namespace {
/// Numbers of consecutive codes.
struct Interval {
  std::uint32_t begin, end;
};

class BodyReader {
public:
  explicit BodyReader(DefineOp define) : define(define) {}

  FailureOr<QuantizedExpert> read() {
    for (Operation &op : define.getBody().front()) {
      LogicalResult ok = success();
      if (auto quantize = dyn_cast<QuantizeOp>(op))
        ok = readQuantize(quantize);
      else if (auto concat = dyn_cast<ConcatOp>(op))
        ok = readConcat(concat);
      else if (auto linear = dyn_cast<LinearOp>(op))
        ok = readLinear(linear);
      else if (auto activation = dyn_cast<ActivationOp>(op))
        ok = readActivation(activation);
      else if (auto affine = dyn_cast<AffineOp>(op))
        ok = readAffine(affine);
      else if (auto yield = dyn_cast<YieldOp>(op))
        ok = readYield(yield);
      else
        ok = op.emitOpError() << "is not an operation of the qexpert dialect";
      if (failed(ok))
        return failure();
    }
    if (auto valid = quant::validate(out.signature); !valid)
      return define.emitOpError() << message(valid.error());
    return std::move(out);
  }

private:
  DefineOp define;
  QuantizedExpert out;
  llvm::DenseMap<Value, Interval> codes;
  std::uint32_t end = 0;
  Value pendingSum;
  Value result; ///< f32, of the last layer

  LogicalResult readQuantize(QuantizeOp op) {
    if (op.getInput() != define.getInput() || end != 0)
      return op.emitOpError() << "is not the only one on the input";
    out.signature.inputs = define.getInputs();
    out.parameters.inputScale = toVector<float>(op.getScale());
    out.parameters.inputLow = op.getLo().convertToFloat();
    out.parameters.inputHigh = op.getHi().convertToFloat();
    end = out.signature.inputs;
    codes[op.getResult()] = {0, end};
    return success();
  }

  LogicalResult readConcat(ConcatOp op) {
    Interval whole{0, 0};
    for (auto [i, input] : llvm::enumerate(op.getInputs())) {
      auto found = codes.find(input);
      if (found == codes.end() || (i > 0 && found->second.begin != whole.end))
        return op.emitOpError() << "operand " << i << " does not follow the one before it in the order of layers";
      whole = {i == 0 ? found->second.begin : whole.begin, found->second.end};
    }
    codes[op.getResult()] = whole;
    return success();
  }

  LogicalResult readLinear(LinearOp op) {
    auto found = codes.find(op.getInput());
    if (pendingSum || result || found == codes.end() || found->second.end != end)
      return op.emitOpError() << "does not read up to the latest of the codes before it";
    quant::LayerSignature &layer = out.signature.layers.emplace_back();
    layer.readBegin = found->second.begin;
    quant::LayerParameters &numbers = out.parameters.layers.emplace_back();
    numbers.weights = toVector<std::int8_t>(op.getWeights());
    numbers.bias = toVector<std::int32_t>(op.getBias());
    pendingSum = op.getResult();
    return success();
  }

  LogicalResult readActivation(ActivationOp op) {
    if (!pendingSum || op.getInput() != pendingSum || !pendingSum.hasOneUse())
      return op.emitOpError() << "is not the one use of the linear before it";
    pendingSum = nullptr;
    quant::LayerSignature &layer = out.signature.layers.back();
    for (auto group : op.getGroups().getAsRange<GroupAttr>())
      layer.groups.push_back({group.getFunction(), group.getClamped(), group.getCount()});
    quant::LayerParameters &numbers = out.parameters.layers.back();
    numbers.multiplier = toVector<float>(op.getMultiplier());
    if (op.getLimit())
      numbers.limit = toVector<float>(*op.getLimit());
    if (!op.getLo()) {
      result = op.getResult();
      return success();
    }
    numbers.codeLow = op.getLo()->convertToFloat();
    numbers.codeHigh = op.getHi()->convertToFloat();
    codes[op.getResult()] = {end, end + layer.outputs()};
    end += layer.outputs();
    return success();
  }

  LogicalResult readAffine(AffineOp op) {
    if (!result || op.getInput() != result || out.signature.outputAffine)
      return op.emitOpError() << "is not the only one on the result of the last layer";
    out.signature.outputAffine = true;
    out.parameters.outputGain = toVector<float>(op.getGain());
    out.parameters.outputOffset = toVector<float>(op.getOffset());
    result = op.getResult();
    return success();
  }

  LogicalResult readYield(YieldOp op) {
    if (!result || pendingSum || op.getValue() != result)
      return op.emitOpError() << "does not yield the result of the last layer";
    return success();
  }
};
} // namespace

FailureOr<QuantizedExpert> qexpert::quantizedExpertOf(DefineOp define) { return BodyReader(define).read(); }
