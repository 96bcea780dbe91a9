#include "formats/reference/Reference.h"

#include "formats/reference/FloatOps.h"

#include <algorithm>

namespace kimic::reference {
namespace {

using namespace quant;

float loadF32(const std::uint8_t *array, std::size_t index) {
  float value;
  std::memcpy(&value, array + index * 4, sizeof value);
  return value;
}

std::uint32_t loadU32(const std::uint8_t *array, std::size_t index) {
  std::uint32_t value;
  std::memcpy(&value, array + index * 4, sizeof value);
  return value;
}

std::int16_t saturate(std::uint32_t bits) {
  std::int32_t value = static_cast<std::int32_t>(bits);
  return static_cast<std::int16_t>(value < -32768 ? -32768 : value > 32767 ? 32767 : value);
}

/// accumulators[n] = bias[n] + sum_k q[n][k] * codes[k] mod 2^32, for the outputs of all blocks, padding included.
void accumulate(const LayerLayout &layer, const std::uint8_t *blocks, const std::int16_t *codes,
                std::uint32_t *accumulators) {
  std::uint32_t padded = layer.fullBlocks * kBlockOutputs + layer.tailOutputs;
  for (std::uint32_t first = 0; first < padded; first += kBlockOutputs) {
    std::size_t outputs = std::min(kBlockOutputs, padded - first);
    for (std::size_t group = 0; group < outputs / 8; ++group) {
      // Four low outputs and four high ones share 16-bit words; the bias of a low one contains 256 times its partner's.
      std::uint32_t sums[8];
      for (std::size_t l = 0; l < 4; ++l) {
        std::uint32_t high = loadU32(blocks, group * 8 + 4 + l);
        sums[l] = loadU32(blocks, group * 8 + l) - (high << 8);
        sums[4 + l] = high;
      }
      const std::uint8_t *weights = blocks + outputs * 4 + group * 16;
      for (std::size_t k = 0; k < layer.fanIn; ++k) {
        const std::uint8_t *words = weights + k / 2 * outputs * 2 + (k % 2) * 2;
        std::int32_t code = codes[k];
        for (std::size_t l = 0; l < 4; ++l) {
          sums[l] += static_cast<std::uint32_t>(static_cast<std::int8_t>(words[4 * l] ^ 0x80) * code);
          sums[4 + l] += static_cast<std::uint32_t>(static_cast<std::int8_t>(words[4 * l + 1]) * code);
        }
      }
      std::copy(sums, sums + 8, accumulators + first + group * 8);
    }
    blocks += blockBytes(static_cast<std::uint32_t>(outputs), layer.kPairs);
  }
}

/// t of output n: the accumulator scaled and clamped.
float preActivation(const LayerLayout &layer, bool isClamped, const std::uint8_t *params,
                    const std::uint32_t *accumulators, FloatOps &ops, std::uint32_t n) {
  float t =
      static_cast<float>(static_cast<std::int32_t>(accumulators[n])) * loadF32(params + layer.multiplierOffset, n);
  if (!isClamped)
    return t;
  float limit = loadF32(params + layer.limitOffset, n);
  return clamp(ops, -limit, limit, t);
}

} // namespace

void run(const Signature &signature, const Layout &layout, const std::uint8_t *params, const float *x, float *y,
         std::uint8_t *scratch, std::uint32_t rows) {
  auto *codes = reinterpret_cast<std::int16_t *>(scratch + layout.codesOffset);
  auto *accumulators = reinterpret_cast<std::uint32_t *>(scratch + layout.accumulatorsOffset);
  std::size_t lastLayer = layout.layers.size() - 1;
  for (; rows > 0; --rows) {
    FloatOps noTable(nullptr);
    float low = loadF32(params + layout.inputBoundsOffset, 0), high = loadF32(params + layout.inputBoundsOffset, 1);
    for (std::uint32_t k = 0; k < signature.inputs; ++k) {
      float v = *x++ * loadF32(params + layout.inputScaleOffset, k);
      codes[k] = saturate(roundToCode(noTable, clamp(noTable, low, high, v)));
    }

    for (std::size_t l = 0; l <= lastLayer; ++l) {
      const LayerLayout &layer = layout.layers[l];
      accumulate(layer, params + layer.blocksOffset, codes + signature.layers[l].readBegin, accumulators);
      std::uint32_t n = 0;
      for (const ActivationGroup &group : signature.layers[l].groups) {
        std::optional<ConstantTable> table = constantTableOf(group.function);
        FloatOps ops(table ? params + layout.constantsOffset(*table) : nullptr);
        bool isUnbounded = codeKindOf(group.function) == CodeKind::Unbounded;
        for (std::uint32_t end = n + group.count; n < end; ++n) {
          float t = preActivation(layer, group.clamped, params, accumulators, ops, n);
          if (l < lastLayer) {
            float v = evaluateCode(ops, group.function, t);
            if (isUnbounded)
              v = clamp(ops, loadF32(params + layer.boundsOffset, 0), loadF32(params + layer.boundsOffset, 1), v);
            codes[layer.codesBegin + n] = saturate(roundToCode(ops, v));
            continue;
          }
          float value = evaluateOutput(ops, group.function, t);
          if (signature.outputAffine)
            value =
                value * loadF32(params + layout.outputGainOffset, n) + loadF32(params + layout.outputOffsetOffset, n);
          *y++ = value;
        }
      }
    }
  }
}

} // namespace kimic::reference
