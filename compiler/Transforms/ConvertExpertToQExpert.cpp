// Quantizes experts in the default class: formats/spec/quantization-v1.md says what the result means, this file how its
// numbers are chosen.
#include "compiler/Dialect/Elements.h"
#include "compiler/Dialect/Expert/Layers.h"
#include "compiler/Dialect/QExpert/QExpert.h"
#include "compiler/Transforms/Passes.h"
#include "formats/quant/Constants.h"

#include <algorithm>
#include <cmath>

namespace kimic {
#define GEN_PASS_DEF_CONVERTEXPERTTOQEXPERT
#include "compiler/Transforms/Passes.h.inc"
} // namespace kimic

using namespace mlir;
using namespace kimic;
using kimic::expert::Layer;
using kimic::expert::Layers;
using kimic::expert::Range;
using kimic::quant::CodeKind;

namespace {

/// What calibration saw maps to +-8191, so that codes saturate only at four times the range.
constexpr double kCalibratedCode = 8191;
constexpr std::int64_t kMaxSum = 0x7FFFFFFF;
/// A bias takes at most half of the accumulator's range, so that the weights keep the other half.
constexpr double kMaxBias = 0x1p30;
/// Ranges below are no signal; their reciprocals would not fit float32.
constexpr double kMinRange = 1e-30;
constexpr double kMaxWeight = 127;

/// Largest |code| of inputs and of unbounded layers, tightest last: 4, 2 and 1 times the calibrated range.
constexpr std::int32_t kCodeBounds[] = {32768, 16384, 8192};

/// A code and what it stands for: value = (code - zeroPoint) * scale.
struct Code {
  double scale;
  std::int32_t zeroPoint;
  std::uint32_t producer; ///< 0: the inputs, l: layer l - 1; whose bounds hold if it is not bounded by its function
  bool isBounded;         ///< |code| <= 8192 by its function
};

/// A producer's bounds for codes, tightened until the sums of its readers fit.
struct Bounds {
  unsigned step = 0; ///< index into kCodeBounds

  std::int64_t largest() const { return kCodeBounds[step]; }
  float lo() const { return -static_cast<float>(kCodeBounds[step]); }
  float hi() const { return static_cast<float>(std::min(kCodeBounds[step], 32767)); }
};

struct QuantizedLayer {
  std::vector<std::int8_t> weights;
  std::vector<std::int32_t> bias;
  std::vector<double> scale; ///< of the sums: real value of one unit
  std::vector<float> multiplier;
  std::vector<float> limit;  ///< empty if no group is clamped
  std::vector<bool> clamped; ///< by run
  double outputScale = 1;    ///< of the codes of unbounded functions
};

double magnitude(const Range &range) { return std::max(std::fabs(range[0]), std::fabs(range[1])); }

/// From which |t| on clamping t at it changes no value of the function: by quantization-v1, bounded functions are
/// constant there up to what float32 resolves. Infinity for functions that are not.
double saturationOf(Activation function) {
  switch (function) {
  case Activation::Threshold:
  case Activation::ThresholdSymmetric:
  case Activation::GaussianStepwise:
    return 0;
  case Activation::LinearPiece:
  case Activation::LinearPieceSymmetric:
    return 1;
  case Activation::SigmoidStepwise:
  case Activation::SigmoidSymmetricStepwise:
    return 2.7;
  case Activation::Sigmoid:
  case Activation::SigmoidSymmetric:
    return 5.8; // the tanh core's own clamp
  case Activation::Gaussian:
  case Activation::GaussianSymmetric:
    return 9.5; // exp(-90)
  default:
    return std::numeric_limits<double>::infinity();
  }
}

class Quantizer {
public:
  Quantizer(expert::DefineOp define, const Layers &layers, double uniformInputRatio)
      : define(define), layers(layers), uniformInputRatio(uniformInputRatio) {}

  LogicalResult run() {
    if (failed(quantizeInputs()))
      return failure();
    bounds.assign(layers.layers.size() + 1, {});
    quantized.resize(layers.layers.size());
    for (std::size_t l = 0; l < layers.layers.size(); ++l)
      quantizeLayer(l);
    // Bounds only ever tighten, and what a layer needs does not depend on later layers.
    for (std::size_t l = 0; l < layers.layers.size(); ++l)
      fitSums(l);
    for (std::size_t l = 0; l < layers.layers.size(); ++l)
      if (failed(finishLayer(l)))
        return failure();
    emit();
    return success();
  }

private:
  expert::DefineOp define;
  const Layers &layers;
  double uniformInputRatio;
  std::vector<float> inputScale; ///< codes per unit
  std::vector<Code> codes;
  std::vector<Bounds> bounds; ///< by producer
  std::vector<QuantizedLayer> quantized;

  LogicalResult quantizeInputs() {
    double largest = 0, smallest = std::numeric_limits<double>::infinity();
    for (const Range &range : layers.inputRange) {
      double m = magnitude(range);
      largest = std::max(largest, m);
      if (m >= kMinRange)
        smallest = std::min(smallest, m);
    }
    if (largest < kMinRange)
      largest = smallest = 1;
    bool isUniform = largest <= smallest * uniformInputRatio;
    for (const Range &range : layers.inputRange) {
      double m = magnitude(range);
      auto scale = static_cast<float>(kCalibratedCode / (isUniform || m < kMinRange ? largest : m));
      if (!std::isnormal(scale))
        return define.emitOpError() << "input " << inputScale.size() << " has the range [" << range[0] << ", "
                                    << range[1] << "], too large for a scale in float32";
      inputScale.push_back(scale);
      codes.push_back({1.0 / scale, 0, 0, false});
    }
    return success();
  }

  /// Real value of one unit of code k times the weight of row n that reads it.
  double effectiveWeight(const Layer &layer, std::size_t n, std::size_t k) const {
    return static_cast<double>(layer.weights[n * layer.fanIn() + k]) * codes[layer.readBegin + k].scale;
  }

  void quantizeLayer(std::size_t l) {
    const Layer &layer = layers.layers[l];
    QuantizedLayer &out = quantized[l];
    out.weights.resize(layer.weights.size());
    out.bias.resize(layer.outputs());
    out.scale.resize(layer.outputs());
    for (std::size_t n = 0; n < layer.outputs(); ++n) {
      double largest = 0;
      for (std::size_t k = 0; k < layer.fanIn(); ++k)
        largest = std::max(largest, std::fabs(effectiveWeight(layer, n, k)));
      double scale = largest / kMaxWeight;
      // A bias that is huge beside the weights makes them coarser; a row of zeros only needs a scale for its bias.
      if (std::fabs(layer.bias[n]) > kMaxBias * scale)
        scale = std::fabs(layer.bias[n]) / kMaxBias;
      if (scale == 0)
        scale = 1;
      quantizeRow(l, n, scale);
    }
    if (l + 1 == layers.layers.size())
      return;

    double unboundedRange = 0;
    std::vector<Activation> functions = layer.functions();
    for (std::size_t n = 0; n < functions.size(); ++n)
      if (quant::codeKindOf(functions[n]) == CodeKind::Unbounded)
        unboundedRange = std::max(unboundedRange, magnitude(layer.range[n]));
    out.outputScale = (unboundedRange < kMinRange ? 1 : unboundedRange) / kCalibratedCode;
    for (Activation function : functions) {
      CodeKind kind = quant::codeKindOf(function);
      bool isBounded = kind != CodeKind::Unbounded;
      codes.push_back({isBounded ? static_cast<double>(quant::codeScaleOf(kind)) : out.outputScale,
                       quant::zeroPointOf(kind), static_cast<std::uint32_t>(l + 1), isBounded});
    }
  }

  void quantizeRow(std::size_t l, std::size_t n, double scale) {
    const Layer &layer = layers.layers[l];
    QuantizedLayer &out = quantized[l];
    out.scale[n] = scale;
    std::int64_t zeroPoints = 0;
    for (std::size_t k = 0; k < layer.fanIn(); ++k) {
      double q = std::nearbyint(effectiveWeight(layer, n, k) / scale);
      out.weights[n * layer.fanIn() + k] = static_cast<std::int8_t>(std::clamp(q, -kMaxWeight, kMaxWeight));
      zeroPoints +=
          static_cast<std::int64_t>(out.weights[n * layer.fanIn() + k]) * codes[layer.readBegin + k].zeroPoint;
    }
    // Both are below 2^31: |bias| <= 2^30 by the choice of scale, and the proof counts their sum.
    std::int64_t bias = std::llrint(layer.bias[n] / scale) - zeroPoints;
    out.bias[n] = static_cast<std::int32_t>(std::clamp<std::int64_t>(bias, -kMaxSum, kMaxSum));
  }

  std::int64_t boundOf(const Code &code) const {
    return code.isBounded ? quant::kCodeLimit : bounds[code.producer].largest();
  }

  /// |bias| + sum |weight| * bound(code): no sum of the row can be larger.
  std::int64_t largestSum(std::size_t l, std::size_t n) const {
    const Layer &layer = layers.layers[l];
    std::int64_t sum = std::llabs(quantized[l].bias[n]);
    for (std::size_t k = 0; k < layer.fanIn(); ++k)
      sum += std::abs(quantized[l].weights[n * layer.fanIn() + k]) * boundOf(codes[layer.readBegin + k]);
    return sum;
  }

  /// Makes every row's sum fit i32: by tighter bounds of the codes that it reads (those of the inputs first, as their
  /// margin beyond the calibrated range is the least likely to be used), then by a coarser scale of the row.
  void fitSums(std::size_t l) {
    const Layer &layer = layers.layers[l];
    for (std::size_t n = 0; n < layer.outputs(); ++n) {
      while (largestSum(l, n) > kMaxSum) {
        unsigned widest = std::size(kCodeBounds) - 1;
        std::uint32_t producer = 0;
        bool canTighten = false;
        for (std::size_t k = 0; k < layer.fanIn(); ++k) {
          const Code &code = codes[layer.readBegin + k];
          if (!code.isBounded && bounds[code.producer].step < widest) {
            widest = bounds[code.producer].step;
            producer = code.producer;
            canTighten = true;
          }
        }
        if (canTighten)
          ++bounds[producer].step;
        else
          quantizeRow(l, n, quantized[l].scale[n] * (largestSum(l, n) > 2 * kMaxSum ? 2 : 1.0625));
      }
    }
  }

  LogicalResult finishLayer(std::size_t l) {
    const Layer &layer = layers.layers[l];
    QuantizedLayer &out = quantized[l];
    std::vector<float> limit;
    std::size_t n = 0;
    bool anyClamped = false;
    for (const expert::Run &run : layer.runs) {
      bool isUnbounded = l + 1 < layers.layers.size() && quant::codeKindOf(run.function) == CodeKind::Unbounded;
      double unit = isUnbounded ? out.outputScale : 1;
      bool clamped = false;
      for (std::uint32_t i = 0; i < run.count; ++i, ++n) {
        auto multiplier = static_cast<float>(out.scale[n] / unit);
        if (!std::isfinite(multiplier))
          return define.emitOpError() << "neuron " << i << " of layer " << l + 1
                                      << " has weights too large for a multiplier in float32";
        out.multiplier.push_back(multiplier);
        if (layer.limit.empty())
          continue;
        // In units of what is clamped; half a unit in the last place aside, t cannot be larger than this.
        double largest = static_cast<double>(largestSum(l, n)) * multiplier * (1 + 0x1p-20);
        double limitOfRow = layer.limit[n] / unit;
        clamped |= largest > limitOfRow && limitOfRow < saturationOf(run.function);
        limit.push_back(static_cast<float>(std::min<double>(limitOfRow, std::numeric_limits<float>::max())));
      }
      if (!clamped && !limit.empty())
        std::fill(limit.end() - run.count, limit.end(), 0.0f);
      out.clamped.push_back(clamped);
      anyClamped |= clamped;
    }
    if (anyClamped)
      out.limit = std::move(limit);
    return success();
  }

  void emit() {
    MLIRContext *context = define.getContext();
    OpBuilder builder(define);
    Location loc = define.getLoc();
    auto out = builder.create<qexpert::DefineOp>(loc, define.getSymName(), layers.inputs, define.getOutputs());
    builder.setInsertionPointToEnd(&out.getBody().front());
    auto codesOf = [&](std::int64_t length) { return RankedTensorType::get({length}, builder.getI16Type()); };
    auto boundsOf = [&](float bound) { return builder.getF32FloatAttr(bound); };

    Value all = builder.create<qexpert::QuantizeOp>(loc, codesOf(layers.inputs), out.getInput(),
                                                    toElements(context, inputScale), boundsOf(bounds[0].lo()),
                                                    boundsOf(bounds[0].hi()));
    std::uint32_t end = layers.inputs;
    struct Segment {
      std::uint32_t begin;
      Value value;
    };
    std::vector<Segment> segments{{0, all}};
    std::size_t allSegments = 1; // `all` is the concatenation of that many
    auto concat = [&](ArrayRef<Value> parts, std::int64_t length) -> Value {
      return parts.size() == 1 ? parts.front() : builder.create<qexpert::ConcatOp>(loc, codesOf(length), parts);
    };

    Value result;
    for (auto [l, layer] : llvm::enumerate(layers.layers)) {
      const QuantizedLayer &q = quantized[l];
      Value input;
      if (layer.readBegin == 0) {
        for (; allSegments < segments.size(); ++allSegments)
          all = concat({all, segments[allSegments].value},
                       allSegments + 1 < segments.size() ? segments[allSegments + 1].begin : end);
        input = all;
      } else {
        SmallVector<Value> parts;
        for (const Segment &segment : segments)
          if (segment.begin >= layer.readBegin)
            parts.push_back(segment.value);
        input = concat(parts, end - layer.readBegin);
      }
      std::int64_t outputs = layer.outputs();
      Value sum = builder.create<qexpert::LinearOp>(
          loc, RankedTensorType::get({outputs}, builder.getI32Type()), input,
          cast<DenseIntElementsAttr>(toElements(context, {outputs, layer.fanIn()}, q.weights)),
          cast<DenseIntElementsAttr>(toElements(context, q.bias)));
      SmallVector<Attribute> groups;
      for (auto [run, clamped] : llvm::zip(layer.runs, q.clamped))
        groups.push_back(qexpert::GroupAttr::get(context, run.function, run.count, clamped));
      bool isLast = l + 1 == layers.layers.size();
      Type type = isLast ? RankedTensorType::get({outputs}, builder.getF32Type()) : codesOf(outputs);
      result = builder.create<qexpert::ActivationOp>(
          loc, type, sum, builder.getArrayAttr(groups), toElements(context, q.multiplier),
          q.limit.empty() ? DenseElementsAttr() : toElements(context, q.limit),
          isLast ? FloatAttr() : boundsOf(bounds[l + 1].lo()), isLast ? FloatAttr() : boundsOf(bounds[l + 1].hi()));
      segments.push_back({end, result});
      end += outputs;
    }
    if (layers.outputAffine)
      result = builder.create<qexpert::AffineOp>(loc, result.getType(), result,
                                                 toElements(context, layers.outputAffine->scale),
                                                 toElements(context, layers.outputAffine->offset));
    builder.create<qexpert::YieldOp>(loc, result);
    define.erase();
  }
};

struct ConvertExpertToQExpert : kimic::impl::ConvertExpertToQExpertBase<ConvertExpertToQExpert> {
  using ConvertExpertToQExpertBase::ConvertExpertToQExpertBase;

  void runOnOperation() override {
    for (auto define : llvm::make_early_inc_range(getOperation().getOps<expert::DefineOp>())) {
      auto layers = expert::layersOf(define);
      if (failed(layers) || failed(verifyReady(define, *layers)) ||
          failed(Quantizer(define, *layers, uniformInputRatio).run()))
        return signalPassFailure();
    }
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
