// Bodies to layers and back.
#include "compiler/Dialect/Expert/Layers.h"

#include "compiler/Dialect/Elements.h"

#include "llvm/ADT/DenseMap.h"

using namespace mlir;
using namespace kimic;
using namespace kimic::expert;

//===--------------------------------------------------------------------===//
// Layer
//===--------------------------------------------------------------------===//

std::vector<Activation> Layer::functions() const {
  std::vector<Activation> out;
  out.reserve(bias.size());
  for (const Run &run : runs)
    out.insert(out.end(), run.count, run.function);
  return out;
}

void Layer::setFunctions(const std::vector<Activation> &functions) {
  runs.clear();
  for (Activation function : functions)
    if (!runs.empty() && runs.back().function == function)
      ++runs.back().count;
    else
      runs.push_back({function, 1});
}

void Layer::permuteOutputs(const std::vector<std::uint32_t> &order) {
  auto permute = [&](auto &values, std::size_t width) {
    if (values.empty())
      return;
    std::remove_reference_t<decltype(values)> out;
    out.reserve(order.size() * width);
    for (std::uint32_t n : order)
      out.insert(out.end(), values.begin() + n * width, values.begin() + (n + 1) * width);
    values = std::move(out);
  };
  std::vector<Activation> functionOf = functions();
  permute(weights, fanIn());
  permute(bias, 1);
  permute(steepness, 1);
  permute(limit, 1);
  permute(sumRange, 1);
  permute(range, 1);
  permute(functionOf, 1);
  setFunctions(functionOf);
}

void Layer::keepOutputs(const std::vector<bool> &kept) {
  std::vector<std::uint32_t> order;
  for (std::uint32_t n = 0; n < kept.size(); ++n)
    if (kept[n])
      order.push_back(n);
  permuteOutputs(order);
}

void Layer::keepColumns(const std::vector<bool> &kept) {
  std::vector<float> out;
  out.reserve(weights.size());
  for (std::size_t i = 0; i < weights.size(); ++i)
    if (kept[i % kept.size()])
      out.push_back(weights[i]);
  weights = std::move(out);
}

std::uint32_t Layers::valuesBefore(std::size_t layer) const {
  std::uint32_t values = inputs;
  for (std::size_t i = 0; i < layer; ++i)
    values += layers[i].outputs();
  return values;
}

//===--------------------------------------------------------------------===//
// layersOf
//===--------------------------------------------------------------------===//

static std::vector<Range> toRanges(std::optional<DenseElementsAttr> attribute) {
  std::vector<Range> ranges;
  if (!attribute)
    return ranges;
  std::vector<float> numbers = toVector<float>(*attribute);
  for (std::size_t i = 0; i + 1 < numbers.size(); i += 2)
    ranges.push_back({numbers[i], numbers[i + 1]});
  return ranges;
}

static std::vector<float> optionalVector(std::optional<DenseElementsAttr> attribute) {
  return attribute ? toVector<float>(*attribute) : std::vector<float>();
}

namespace {
/// Numbers of consecutive values of the network.
struct Interval {
  std::uint32_t begin, end;
};

class BodyReader {
public:
  explicit BodyReader(DefineOp define) : define(define) {}

  FailureOr<Layers> read() {
    out.inputs = define.getInputs();
    out.inputRange = toRanges(define.getRange());
    values[define.getInput()] = {0, out.inputs};
    end = out.inputs;
    for (Operation &op : define.getBody().front()) {
      LogicalResult result = success();
      if (auto affine = dyn_cast<AffineOp>(op))
        result = readAffine(affine);
      else if (auto concat = dyn_cast<ConcatOp>(op))
        result = readConcat(concat);
      else if (auto linear = dyn_cast<LinearOp>(op))
        result = readLinear(linear);
      else if (auto activation = dyn_cast<ActivationOp>(op))
        result = readActivation(activation);
      else if (auto softmax = dyn_cast<SoftmaxOp>(op))
        result = readHead(op, quant::Head::Softmax, softmax.getScale().convertToFloat());
      else if (isa<ArgmaxOp>(op))
        result = readHead(op, quant::Head::Argmax, 1);
      else if (auto yield = dyn_cast<YieldOp>(op))
        result = readYield(yield);
      else
        result = op.emitOpError() << "is not an operation of the expert dialect";
      if (failed(result))
        return failure();
    }
    return std::move(out);
  }

private:
  DefineOp define;
  Layers out;
  llvm::DenseMap<Value, Interval> values;
  std::uint32_t end = 0;
  Value pendingSum; ///< a linear's result, to be consumed by the activation that follows
  Value result;     ///< of the last layer, of the output affine or of the head

  LogicalResult readAffine(AffineOp op) {
    Affine affine{toVector<float>(op.getScale()), toVector<float>(op.getOffset())};
    if (op.getInput() == define.getInput() && out.layers.empty() && !out.inputAffine) {
      if (!op.getInput().hasOneUse())
        return op.emitOpError() << "scales the input, so nothing else may read it";
      out.inputAffine = std::move(affine);
      values.erase(op.getInput());
      values[op.getResult()] = {0, out.inputs};
      return success();
    }
    if (op.getInput() != result || out.outputAffine || out.head != quant::Head::None)
      return op.emitOpError() << "is neither on the input nor on the result of the last layer";
    out.outputAffine = std::move(affine);
    result = op.getResult();
    return success();
  }

  LogicalResult readConcat(ConcatOp op) {
    Interval whole{0, 0};
    for (auto [i, input] : llvm::enumerate(op.getInputs())) {
      auto found = values.find(input);
      if (found == values.end() || (i > 0 && found->second.begin != whole.end))
        return op.emitOpError() << "operand " << i << " does not follow the one before it in the order of layers";
      whole = {i == 0 ? found->second.begin : whole.begin, found->second.end};
    }
    values[op.getResult()] = whole;
    return success();
  }

  LogicalResult readLinear(LinearOp op) {
    if (pendingSum)
      return op.emitOpError() << "follows another linear without an activation between them";
    if (out.outputAffine || out.head != quant::Head::None)
      return op.emitOpError() << "follows the scaling of the outputs or the head";
    auto found = values.find(op.getInput());
    if (found == values.end() || found->second.end != end)
      return op.emitOpError() << "does not read up to the latest of the values before it";
    Layer &layer = out.layers.emplace_back();
    layer.readBegin = found->second.begin;
    layer.weights = toVector<float>(op.getWeights());
    layer.bias = toVector<float>(op.getBias());
    layer.sumRange = toRanges(op.getRange());
    pendingSum = op.getResult();
    return success();
  }

  LogicalResult readActivation(ActivationOp op) {
    if (!pendingSum || op.getInput() != pendingSum)
      return op.emitOpError() << "is not applied to the linear before it";
    if (!pendingSum.hasOneUse())
      return op.emitOpError() << "shares its input with another operation";
    pendingSum = nullptr;
    Layer &layer = out.layers.back();
    for (auto run : op.getFunctions().getAsRange<RunAttr>())
      layer.runs.push_back({run.getFunction(), run.getCount()});
    layer.steepness = optionalVector(op.getSteepness());
    layer.clamp = op.getClamp();
    layer.limit = optionalVector(op.getLimit());
    layer.range = toRanges(op.getRange());
    values[op.getResult()] = {end, end + layer.outputs()};
    end += layer.outputs();
    result = op.getResult();
    return success();
  }

  LogicalResult readHead(Operation &op, quant::Head head, float scale) {
    if (op.getOperand(0) != result || out.head != quant::Head::None)
      return op.emitOpError() << "is not on the result of the last layer";
    out.head = head;
    out.headScale = scale;
    result = op.getResult(0);
    return success();
  }

  LogicalResult readYield(YieldOp op) {
    if (out.layers.empty() || pendingSum || op.getValue() != result)
      return op.emitOpError() << "does not yield the result of the last layer";
    return success();
  }
};
} // namespace

FailureOr<Layers> expert::layersOf(DefineOp define) { return BodyReader(define).read(); }

//===--------------------------------------------------------------------===//
// setLayers
//===--------------------------------------------------------------------===//

static DenseElementsAttr rangesAttribute(MLIRContext *context, const std::vector<Range> &ranges) {
  if (ranges.empty())
    return {};
  std::vector<float> numbers;
  for (const Range &range : ranges)
    numbers.insert(numbers.end(), range.begin(), range.end());
  return toElements(context, {static_cast<std::int64_t>(ranges.size()), 2}, numbers);
}

static DenseElementsAttr optionalElements(MLIRContext *context, const std::vector<float> &values) {
  return values.empty() ? DenseElementsAttr() : toElements(context, values);
}

void expert::setLayers(DefineOp define, const Layers &layers) {
  MLIRContext *context = define.getContext();
  Location loc = define.getLoc();
  Block &block = define.getBody().front();
  block.dropAllDefinedValueUses();
  for (Operation &op : llvm::make_early_inc_range(llvm::reverse(block))) {
    op.dropAllUses();
    op.erase();
  }

  OpBuilder builder = OpBuilder::atBlockEnd(&block);
  auto vectorOf = [&](std::uint32_t length) { return RankedTensorType::get({length}, builder.getF32Type()); };
  define.setRangeAttr(rangesAttribute(context, layers.inputRange));

  Value last = define.getInput();
  auto scale = [&](const Affine &affine) {
    last = builder.create<AffineOp>(loc, last.getType(), last, toElements(context, affine.scale),
                                    toElements(context, affine.offset));
  };
  if (layers.inputAffine)
    scale(*layers.inputAffine);

  // segments[i]: the values of one layer; `all` grows by one concat per layer, so that a cascade needs no longer ones.
  struct Segment {
    std::uint32_t begin;
    Value value;
  };
  std::vector<Segment> segments{{0, last}};
  Value all = last;
  std::uint32_t end = layers.inputs, allEnd = layers.inputs;
  std::size_t allSegments = 1;
  auto concat = [&](ArrayRef<Value> parts, std::uint32_t length) -> Value {
    if (parts.size() == 1)
      return parts.front();
    return builder.create<ConcatOp>(loc, vectorOf(length), parts);
  };
  for (const Layer &layer : layers.layers) {
    Value input;
    if (layer.readBegin == 0) {
      for (; allSegments < segments.size(); ++allSegments) {
        Segment &next = segments[allSegments];
        allEnd = allSegments + 1 < segments.size() ? segments[allSegments + 1].begin : end;
        all = concat({all, next.value}, allEnd);
      }
      input = all;
    } else {
      SmallVector<Value> parts;
      for (const Segment &segment : segments)
        if (segment.begin >= layer.readBegin)
          parts.push_back(segment.value);
      input = concat(parts, end - layer.readBegin);
    }
    std::int64_t outputs = layer.outputs();
    Value sum = builder.create<LinearOp>(loc, vectorOf(outputs), input,
                                         toElements(context, {outputs, layer.fanIn()}, layer.weights),
                                         toElements(context, layer.bias), rangesAttribute(context, layer.sumRange));
    SmallVector<Attribute> runs;
    for (const Run &run : layer.runs)
      runs.push_back(RunAttr::get(context, run.function, run.count));
    last = builder.create<ActivationOp>(loc, sum.getType(), sum, builder.getArrayAttr(runs),
                                        optionalElements(context, layer.steepness),
                                        layer.clamp ? builder.getUnitAttr() : UnitAttr(),
                                        optionalElements(context, layer.limit), rangesAttribute(context, layer.range));
    segments.push_back({end, last});
    end += layer.outputs();
  }
  if (layers.outputAffine)
    scale(*layers.outputAffine);
  if (layers.head == quant::Head::Softmax)
    last = builder.create<SoftmaxOp>(loc, last.getType(), last, builder.getF32FloatAttr(layers.headScale));
  else if (layers.head == quant::Head::Argmax)
    last = builder.create<ArgmaxOp>(loc, vectorOf(1), last);
  builder.create<YieldOp>(loc, last);
}
