#include "formats/reference/Reference.h"

#include "formats/base/Bytes.h"
#include "formats/reference/FloatOps.h"

#include <algorithm>

namespace kimic::reference {
namespace {

using namespace quant;

float loadF32(const std::uint8_t *array, std::size_t index) { return load<float>(array + index * 4); }

std::uint32_t loadU32(const std::uint8_t *array, std::size_t index) { return load<std::uint32_t>(array + index * 4); }

std::int16_t saturate(std::uint32_t bits) {
  std::int32_t value = static_cast<std::int32_t>(bits);
  return static_cast<std::int16_t>(value < -32768 ? -32768 : value > 32767 ? 32767 : value);
}

/// sum_k q[k] * codes[k] mod 2^32.
std::uint32_t dot(const std::uint8_t *weights, const std::int16_t *codes, std::uint32_t fanIn) {
  std::uint32_t sum = 0;
  for (std::size_t k = 0; k < fanIn; ++k)
    sum += static_cast<std::uint32_t>(static_cast<std::int8_t>(weights[k]) * std::int32_t{codes[k]});
  return sum;
}

/// accumulators[n] = bias[n] + sum_k q[n][k] * codes[k] mod 2^32.
void accumulate(const LayerLayout &layer, const std::uint8_t *params, const std::int16_t *codes,
                std::uint32_t *accumulators) {
  const std::uint8_t *block = params + layer.blocksOffset;
  std::uint32_t blocked = layer.blockedOutputs();
  for (std::uint32_t first = 0; first < blocked; first += kBlockOutputs) {
    std::uint32_t outputs = std::min(kBlockOutputs, blocked - first);
    for (std::size_t group = 0; group < outputs / kGroupOutputs; ++group) {
      // Four low outputs and four high ones share 16-bit words; the bias of a low one contains 256 times its partner's.
      std::uint32_t *sums = accumulators + first + group * kGroupOutputs;
      for (std::size_t l = 0; l < 4; ++l) {
        std::uint32_t high = loadU32(block, group * 8 + 4 + l);
        sums[l] = loadU32(block, group * 8 + l) - (high << 8);
        sums[4 + l] = high;
      }
      for (std::size_t k = 0; k < layer.fanIn; ++k) {
        const std::uint8_t *words = block + outputs * (4 + k / 2 * 2) + group * 16 + (k % 2) * 2;
        std::int32_t code = codes[k];
        for (std::size_t l = 0; l < 4; ++l) {
          sums[l] += static_cast<std::uint32_t>(static_cast<std::int8_t>(words[4 * l] ^ 0x80) * code);
          sums[4 + l] += static_cast<std::uint32_t>(static_cast<std::int8_t>(words[4 * l + 1]) * code);
        }
      }
    }
    block += blockBytes(outputs, layer.kPairs);
  }
  const std::uint8_t *rows = params + layer.rowsOffset, *weights = rows + std::size_t{layer.rowOutputs} * 4;
  for (std::size_t i = 0; i < layer.rowOutputs; ++i, weights += layer.fanIn)
    accumulators[blocked + i] = loadU32(rows, i) + dot(weights, codes, layer.fanIn);
}

/// residuals[n] = f32(sum_k q2[n][k] * codes[k]) * multiplier2[n] for the outputs of the `count` residual rows, 0 for
/// all others. Returns the end of the rows.
const std::uint8_t *evaluateResiduals(const LayerLayout &layer, std::uint32_t count, const std::uint8_t *row,
                                      const std::int16_t *codes, float *residuals) {
  std::fill(residuals, residuals + layer.outputs, 0.0f);
  for (; count > 0; --count, row += residualRowBytes(layer.fanIn)) {
    std::uint32_t sum = dot(row + kResidualWeightsOffset, codes, layer.fanIn);
    residuals[loadU32(row, 0)] =
        static_cast<float>(static_cast<std::int32_t>(sum)) * loadF32(row + kResidualMultiplierOffset, 0);
  }
  return row;
}

/// In blocks: sums[n] = bias[n] + w[n][0] * values[0] + w[n][1] * values[1] ..., two roundings each. For rows, four
/// interleaved sums, then their sum.
void accumulateFloats(const LayerLayout &layer, const std::uint8_t *params, const float *values, float *sums) {
  const std::uint8_t *block = params + layer.blocksOffset;
  std::uint32_t blocked = layer.blockedOutputs();
  for (std::uint32_t first = 0; first < blocked; first += kFloatBlockOutputs) {
    std::uint32_t outputs = std::min(kFloatBlockOutputs, blocked - first);
    for (std::size_t i = 0; i < outputs; ++i) {
      float sum = loadF32(block, i);
      for (std::size_t k = 0; k < layer.fanIn; ++k)
        sum = sum + loadF32(block, (k + 1) * outputs + i) * values[k];
      sums[first + i] = sum;
    }
    block += floatBlockBytes(outputs, layer.fanIn);
  }
  const std::uint8_t *rows = params + layer.rowsOffset, *weights = rows + std::size_t{layer.rowOutputs} * 4;
  for (std::size_t i = 0; i < layer.rowOutputs; ++i, weights += std::size_t{layer.fanIn} * 4) {
    float p[4] = {};
    for (std::size_t k = 0; k < layer.fanIn; ++k)
      p[k % 4] = p[k % 4] + loadF32(weights, k) * values[k];
    sums[blocked + i] = loadF32(rows, i) + ((p[0] + p[2]) + (p[1] + p[3]));
  }
}

/// One row from x to y.
class RowEvaluator {
public:
  RowEvaluator(const Signature &signature, const Layout &layout, const std::uint8_t *params, std::uint8_t *scratch)
      : signature_(signature), layout_(layout), params_(params),
        codes_(reinterpret_cast<std::int16_t *>(scratch + layout.codesOffset)),
        values_(reinterpret_cast<float *>(scratch + layout.codesOffset)),
        accumulators_(reinterpret_cast<std::uint32_t *>(scratch + layout.accumulatorsOffset)),
        sums_(reinterpret_cast<float *>(scratch + layout.accumulatorsOffset)),
        residuals_(signature.weights() == WeightFormat::Int8Residual
                       ? reinterpret_cast<float *>(scratch + layout.residualsOffset)
                       : nullptr),
        logits_(signature.head == Head::None ? nullptr : reinterpret_cast<float *>(scratch + layout.logitsOffset)) {}

  void evaluate(const float *x, float *y) {
    readInputs(x);
    const std::uint8_t *residualRow = params_ + layout_.parameterBytes;
    for (std::size_t l = 0; l < layout_.layers.size(); ++l) {
      const LayerLayout &layer = layout_.layers[l];
      std::uint32_t readBegin = signature_.layers[l].readBegin;
      if (isFloat())
        accumulateFloats(layer, params_, values_ + readBegin, sums_);
      else
        accumulate(layer, params_, codes_ + readBegin, accumulators_);
      if (residuals_)
        residualRow = evaluateResiduals(layer, loadU32(params_ + layer.residualCountOffset, 0), residualRow,
                                        codes_ + readBegin, residuals_);
      finishLayer(l, logits_ ? logits_ : y);
    }
    if (signature_.head == Head::Softmax)
      softmax(y);
    else if (signature_.head == Head::Argmax)
      *y = argmax();
  }

private:
  bool isFloat() const { return signature_.weights() == WeightFormat::Float32; }

  void readInputs(const float *x) {
    FloatOps ops(nullptr);
    float low = loadF32(params_ + layout_.inputBoundsOffset, 0), high = loadF32(params_ + layout_.inputBoundsOffset, 1);
    for (std::uint32_t k = 0; k < signature_.inputs; ++k) {
      if (isFloat()) {
        values_[k] = clamp(ops, low, high, x[k]);
        continue;
      }
      float v = x[k] * loadF32(params_ + layout_.inputScaleOffset, k);
      codes_[k] = saturate(roundToCode(ops, clamp(ops, low, high, v)));
    }
  }

  /// From the sums of layer `l` to its codes, or to the logits.
  void finishLayer(std::size_t l, float *logits) {
    const LayerLayout &layer = layout_.layers[l];
    bool isLast = l + 1 == layout_.layers.size();
    const Rendering rendering = isFloat() ? Rendering::Precise : isLast ? Rendering::Output : Rendering::Code;
    std::uint32_t n = 0;
    for (const ActivationGroup &group : signature_.layers[l].groups) {
      std::optional<ConstantTable> table = constantTableOf(group.function, signature_.weights());
      FloatOps ops(table ? params_ + layout_.constantsOffset(*table) : nullptr);
      for (std::uint32_t end = n + group.count; n < end; ++n) {
        float v = quant::evaluate(ops, group.function, preActivation(layer, group.clamped, ops, n), rendering);
        if (isLast)
          logits[n] = logit(v, n);
        else if (isFloat())
          values_[layer.codesBegin + n] = v;
        else
          codes_[layer.codesBegin + n] = code(ops, layer, group.function, v);
      }
    }
  }

  /// t of output n: its sum, scaled and clamped.
  float preActivation(const LayerLayout &layer, bool isClamped, FloatOps &ops, std::uint32_t n) const {
    float t = isFloat() ? sums_[n]
                        : static_cast<float>(static_cast<std::int32_t>(accumulators_[n])) *
                              loadF32(params_ + layer.multiplierOffset, n);
    if (residuals_)
      t = t + residuals_[n];
    if (!isClamped)
      return t;
    float limit = loadF32(params_ + layer.limitOffset, n);
    return clamp(ops, -limit, limit, t);
  }

  std::int16_t code(FloatOps &ops, const LayerLayout &layer, Activation function, float v) const {
    if (codeKindOf(function) == CodeKind::Unbounded)
      v = clamp(ops, loadF32(params_ + layer.boundsOffset, 0), loadF32(params_ + layer.boundsOffset, 1), v);
    return saturate(roundToCode(ops, v));
  }

  float logit(float value, std::uint32_t n) const {
    if (signature_.outputAffine)
      value = value * loadF32(params_ + layout_.outputGainOffset, n) + loadF32(params_ + layout_.outputOffsetOffset, n);
    return value;
  }

  void softmax(float *y) {
    FloatOps ops(params_ + layout_.constantsOffset(ConstantTable::PreciseExp));
    std::uint32_t count = signature_.logits();
    float scale = loadF32(params_ + layout_.headScaleOffset, 0);
    for (std::uint32_t n = 0; n < count; ++n)
      logits_[n] = logits_[n] * scale;
    float largest = fold(logits_, count, true);
    for (std::uint32_t n = 0; n < count; ++n)
      y[n] = evaluateExp(ops, logits_[n] - largest);
    float sum = fold(y, count, false);
    for (std::uint32_t n = 0; n < count; ++n)
      y[n] = y[n] / sum;
  }

  /// The largest value or the sum: of every fourth value, then of the four results, then with the values that are left.
  [[gnu::noinline]] static float fold(const float *values, std::uint32_t count, bool isLargest) {
    auto next = [&](float a, float b) { return isLargest ? FloatOps(nullptr).pmax(a, b) : a + b; };
    std::uint32_t n = 0;
    float result = values[n++];
    if (count >= 4) {
      float lanes[] = {values[0], values[1], values[2], values[3]};
      for (n = 4; n + 4 <= count; n += 4)
        for (unsigned i = 0; i < 4; ++i)
          lanes[i] = next(lanes[i], values[n + i]);
      result = next(next(lanes[0], lanes[1]), next(lanes[2], lanes[3]));
    }
    for (; n < count; ++n)
      result = next(result, values[n]);
    return result;
  }

  float argmax() const {
    std::uint32_t best = 0;
    for (std::uint32_t n = 1; n < signature_.logits(); ++n)
      if (logits_[best] < logits_[n])
        best = n;
    return static_cast<float>(best);
  }

  const Signature &signature_;
  const Layout &layout_;
  const std::uint8_t *params_;
  std::int16_t *codes_;
  float *values_; ///< what codes_ are in Float32 experts
  std::uint32_t *accumulators_;
  float *sums_; ///< what accumulators_ are in Float32 experts
  float *residuals_, *logits_;
};

} // namespace

void run(const Signature &signature, const Layout &layout, const std::uint8_t *params, const float *x, float *y,
         std::uint8_t *scratch, std::uint32_t rows) {
  RowEvaluator evaluator(signature, layout, params, scratch);
  for (; rows > 0; --rows, x += signature.inputs, y += signature.outputs())
    evaluator.evaluate(x, y);
}

} // namespace kimic::reference
