// Quantizes experts: formats/spec/quantization-v1.md says what the result means, compiler/Quantize chooses the numbers.
#include "compiler/Dialect/Elements.h"
#include "compiler/Dialect/Expert/Layers.h"
#include "compiler/Dialect/QExpert/QExpert.h"
#include "compiler/Transforms/Passes.h"
#include "formats/base/Diagnostic.h"

#include <cmath>

namespace kimic {
#define GEN_PASS_DEF_CONVERTEXPERTTOQEXPERT
#include "compiler/Transforms/Passes.h.inc"
} // namespace kimic

using namespace mlir;
using namespace kimic;
using kimic::expert::Layer;
using kimic::expert::Layers;

/// The same network without IR. REQUIRES: normalized and calibrated.
static quantize::Network toNetwork(const Layers &layers) {
  quantize::Network out;
  out.inputs = layers.inputs;
  out.inputRange = layers.inputRange;
  for (const Layer &layer : layers.layers) {
    quantize::Layer &to = out.layers.emplace_back();
    to.readBegin = layer.readBegin;
    to.weights = layer.weights;
    to.bias = layer.bias;
    for (const expert::Run &run : layer.runs)
      to.runs.push_back({run.function, run.count});
    to.limit = layer.limit;
    to.range = layer.range;
  }
  if (layers.outputAffine) {
    out.outputGain = layers.outputAffine->scale;
    out.outputOffset = layers.outputAffine->offset;
  }
  out.head = layers.head;
  out.headScale = layers.headScale;
  return out;
}

/// The operations of qexpert.define are those of plain 8-bit experts.
static bool hasOperations(const quant::Signature &signature) {
  return signature.weights() == quant::WeightFormat::Int8 && signature.head == quant::Head::None;
}

/// Null: no pair of inputs is ever 0.
static FloatAttr activityOf(MLIRContext *context, const quantize::Quantized &quantized) {
  auto activity = static_cast<float>(quantized.inputActivity);
  return activity < 1 ? FloatAttr::get(Float32Type::get(context), activity) : FloatAttr();
}

/// Replaces `define` by its signature and parameter block.
static LogicalResult emitPacked(expert::DefineOp define, const quantize::Quantized &quantized) {
  auto layout = quant::layoutOf(quantized.signature);
  if (!layout)
    return define.emitOpError() << message(layout.error());
  if (quant::parameterBytesOf(*layout, quantized.parameters) > quant::kMaxBlockBytes)
    return define.emitOpError() << "needs a parameter block of more than " << quant::kMaxBlockBytes << " bytes";
  std::vector<std::uint8_t> block = quant::packParameters(quantized.signature, *layout, quantized.parameters);
  std::vector<std::int8_t> bytes(block.begin(), block.end());
  MLIRContext *context = define.getContext();
  OpBuilder(define).create<qexpert::ExpertOp>(
      define.getLoc(), define.getSymName(), qexpert::SignatureAttr::get(context, quantized.signature),
      FlatSymbolRefAttr(), cast<DenseIntElementsAttr>(toElements(context, bytes)), activityOf(context, quantized));
  define.erase();
  return success();
}

namespace {
/// Writes a quantized expert after the expert.define that it replaces.
class Emitter {
public:
  Emitter(expert::DefineOp define, const quantize::Quantized &quantized)
      : define(define), signature(quantized.signature), parameters(quantized.parameters),
        activity(activityOf(define.getContext(), quantized)) {}

  void emit() {
    builder.setInsertionPoint(define);
    auto out = builder.create<qexpert::DefineOp>(loc, define.getSymName(), signature.inputs, signature.outputs());
    if (activity)
      out.setActivityAttr(activity);
    builder.setInsertionPointToEnd(&out.getBody().front());
    all = quantizeInputs(out.getInput());
    end = signature.inputs;
    segments.push_back({0, all});
    for (auto [l, layer] : llvm::enumerate(signature.layers))
      emitLayer(layer, parameters.layers[l], l + 1 == signature.layers.size());
    Value result = segments.back().value;
    if (signature.outputAffine)
      result = builder.create<qexpert::AffineOp>(loc, result.getType(), result, floats(parameters.outputGain),
                                                 floats(parameters.outputOffset));
    builder.create<qexpert::YieldOp>(loc, result);
    define.erase();
  }

private:
  struct Segment {
    std::uint32_t begin;
    Value value;
  };

  expert::DefineOp define;
  const quant::Signature &signature;
  const quant::ExpertParameters &parameters;
  FloatAttr activity;
  MLIRContext *context = define.getContext();
  OpBuilder builder{define};
  Location loc = define.getLoc();
  std::vector<Segment> segments; ///< codes by who makes them
  Value all;                     ///< the concatenation of the first allSegments of them
  std::size_t allSegments = 1;
  std::uint32_t end = 0;

  DenseElementsAttr floats(const std::vector<float> &values) { return toElements(context, values); }
  Type codesOf(std::int64_t length) { return RankedTensorType::get({length}, builder.getI16Type()); }

  Value quantizeInputs(Value input) {
    return builder.create<qexpert::QuantizeOp>(loc, codesOf(signature.inputs), input, floats(parameters.inputScale),
                                               builder.getF32FloatAttr(parameters.inputLow),
                                               builder.getF32FloatAttr(parameters.inputHigh));
  }

  Value concat(ArrayRef<Value> parts, std::int64_t length) {
    return parts.size() == 1 ? parts.front() : builder.create<qexpert::ConcatOp>(loc, codesOf(length), parts);
  }

  /// Everything from code readBegin on.
  Value inputOf(std::uint32_t readBegin) {
    if (readBegin > 0) {
      SmallVector<Value> parts;
      for (const Segment &segment : segments)
        if (segment.begin >= readBegin)
          parts.push_back(segment.value);
      return concat(parts, end - readBegin);
    }
    for (; allSegments < segments.size(); ++allSegments)
      all = concat({all, segments[allSegments].value},
                   allSegments + 1 < segments.size() ? segments[allSegments + 1].begin : end);
    return all;
  }

  void emitLayer(const quant::LayerSignature &layer, const quant::LayerParameters &numbers, bool isLast) {
    Value input = inputOf(layer.readBegin);
    std::int64_t outputs = layer.outputs(), fanIn = end - layer.readBegin;
    Value sum = builder.create<qexpert::LinearOp>(
        loc, RankedTensorType::get({outputs}, builder.getI32Type()), input,
        cast<DenseIntElementsAttr>(toElements(context, {outputs, fanIn}, numbers.weights)),
        cast<DenseIntElementsAttr>(toElements(context, numbers.bias)));
    SmallVector<Attribute> groups;
    for (const quant::ActivationGroup &group : layer.groups)
      groups.push_back(qexpert::GroupAttr::get(context, group.function, group.count, group.clamped));
    Type type = isLast ? RankedTensorType::get({outputs}, builder.getF32Type()) : codesOf(outputs);
    Value value =
        builder.create<qexpert::ActivationOp>(loc, type, sum, builder.getArrayAttr(groups), floats(numbers.multiplier),
                                              numbers.limit.empty() ? DenseElementsAttr() : floats(numbers.limit),
                                              isLast ? FloatAttr() : builder.getF32FloatAttr(numbers.codeLow),
                                              isLast ? FloatAttr() : builder.getF32FloatAttr(numbers.codeHigh));
    segments.push_back({end, value});
    end += layer.outputs();
  }
};

struct ConvertExpertToQExpert : kimic::impl::ConvertExpertToQExpertBase<ConvertExpertToQExpert> {
  using ConvertExpertToQExpertBase::ConvertExpertToQExpertBase;
  explicit ConvertExpertToQExpert(const QuantizeInput &input) : given(&input) {}

  const QuantizeInput *given = nullptr;

  void runOnOperation() override {
    for (auto define : llvm::make_early_inc_range(getOperation().getOps<expert::DefineOp>())) {
      auto layers = expert::layersOf(define);
      if (failed(layers) || failed(verifyReady(define, *layers)) || failed(convert(define, *layers)))
        return signalPassFailure();
    }
  }

  LogicalResult convert(expert::DefineOp define, const Layers &layers) {
    quantize::Options options{sequential,  clipSearch, errorCompensation, biasCorrection,
                              sensitivity, wideCodes,  balancedInputs,    uniformInputRatio};
    if (given)
      options = given->options;
    Matrix generated;
    if (!given) {
      std::vector<float> lo, hi;
      for (const expert::Range &range : layers.inputRange) {
        lo.push_back(range[0]);
        hi.push_back(range[1]);
      }
      generated = generateRows(lo, hi, std::max<std::uint32_t>(rows, 1));
    } else if (given->rows.cols != layers.inputs || given->rows.rows == 0) {
      return define.emitOpError() << "has " << layers.inputs << " inputs, but the calibration data has "
                                  << given->rows.rows << " rows of " << given->rows.cols << " columns";
    }
    auto quantized = quantize::quantize(toNetwork(layers), given ? given->rows : generated,
                                        given ? given->plan : quantize::Plan(), options);
    if (!quantized)
      return define.emitOpError() << message(quantized.error());
    if (hasOperations(quantized->signature))
      Emitter(define, *quantized).emit();
    else if (failed(emitPacked(define, *quantized)))
      return failure();
    if (given && given->result)
      *given->result = std::move(*quantized);
    return success();
  }

  LogicalResult verifyReady(expert::DefineOp define, const Layers &layers) {
    if (layers.inputAffine)
      return define.emitOpError() << "scales its input: run expert-fold-affine first";
    if (layers.inputRange.empty())
      return define.emitOpError() << "has no ranges: run expert-calibrate first";
    for (const Layer &layer : layers.layers) {
      if (!layer.steepness.empty())
        return define.emitOpError() << "has a steepness: run expert-fold-steepness first";
      if (layer.range.empty())
        return define.emitOpError() << "has no ranges: run expert-calibrate first";
    }
    return success();
  }
};

} // namespace

std::unique_ptr<mlir::Pass> kimic::createConvertExpertToQExpert(const QuantizeInput &input) {
  return std::make_unique<ConvertExpertToQExpert>(input);
}
