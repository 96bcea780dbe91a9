#include "formats/quant/Parameters.h"

#include "formats/quant/ActivationMath.h"

#include <algorithm>
#include <cassert>
#include <cstring>

namespace kimic::quant {
namespace {

void storeU32(std::uint8_t *at, std::uint32_t value) {
  for (unsigned i = 0; i < 4; ++i)
    at[i] = static_cast<std::uint8_t>(value >> (8 * i));
}

std::uint32_t loadU32(const std::uint8_t *at) {
  std::uint32_t value = 0;
  for (unsigned i = 0; i < 4; ++i)
    value |= static_cast<std::uint32_t>(at[i]) << (8 * i);
  return value;
}

void storeF32(std::uint8_t *at, float value) {
  std::uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  storeU32(at, bits);
}

float loadF32(const std::uint8_t *at) {
  std::uint32_t bits = loadU32(at);
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

void storeF32s(std::uint8_t *at, std::span<const float> values) {
  for (std::size_t i = 0; i < values.size(); ++i)
    storeF32(at + 4 * i, values[i]);
}

std::vector<float> loadF32s(const std::uint8_t *at, std::size_t count) {
  std::vector<float> values(count);
  for (std::size_t i = 0; i < count; ++i)
    values[i] = loadF32(at + 4 * i);
  return values;
}

/// Where the numbers of one output stand in a layer's blocks.
struct OutputPlace {
  std::size_t blockOffset; ///< of the block, from the layer's first one
  std::uint32_t blockOutputs;
  std::size_t group, lane; ///< group of 8 in the block, i32 lane of the group
  bool isHigh;             ///< in the high byte of the 16-bit words
};

OutputPlace placeOf(const LayerLayout &layer, std::uint32_t output) {
  std::uint32_t block = output / kBlockOutputs, inBlock = output % kBlockOutputs;
  OutputPlace place;
  place.blockOffset = std::size_t{block} * blockBytes(kBlockOutputs, layer.kPairs);
  place.blockOutputs = block < layer.fullBlocks ? kBlockOutputs : layer.tailOutputs;
  place.group = inBlock / kGroupOutputs;
  place.lane = inBlock % 4;
  place.isHigh = inBlock % kGroupOutputs >= 4;
  return place;
}

/// Offset of the weight (output, k) from the first weight of its block.
std::size_t weightOffset(const OutputPlace &place, std::uint32_t k) {
  std::size_t pairBytes = place.blockOutputs * std::size_t{2};
  return k / 2 * pairBytes + place.group * 16 + place.lane * 4 + k % 2 * std::size_t{2} + (place.isHigh ? 1 : 0);
}

std::size_t biasOffset(const OutputPlace &place, bool isHigh) {
  return place.group * 32 + (isHigh ? 16 : 0) + place.lane * 4;
}

/// What a weight's byte is stored xor with.
std::uint8_t maskOf(const OutputPlace &place) { return place.isHigh ? 0 : 0x80; }

void packLayer(const LayerLayout &layout, const LayerParameters &layer, std::uint8_t *bytes) {
  const std::int8_t *row = layer.weights.data();
  for (std::uint32_t n = 0; n < layout.blockedOutputs(); ++n, row += layout.fanIn) {
    OutputPlace place = placeOf(layout, n);
    std::uint8_t *block = bytes + layout.blocksOffset + place.blockOffset;
    for (std::uint32_t k = 0; k < layout.fanIn; ++k)
      block[place.blockOutputs * 4 + weightOffset(place, k)] = static_cast<std::uint8_t>(row[k]) ^ maskOf(place);
    auto biasOf = [&](std::uint32_t output) { return static_cast<std::uint32_t>(layer.bias[output]); };
    std::uint32_t word = place.isHigh ? biasOf(n) : biasOf(n) + 256 * biasOf(n + 4);
    storeU32(block + biasOffset(place, place.isHigh), word);
  }
  std::uint8_t *rows = bytes + layout.rowsOffset;
  for (std::uint32_t i = 0; i < layout.rowOutputs; ++i)
    storeU32(rows + 4 * i, static_cast<std::uint32_t>(layer.bias[layout.blockedOutputs() + i]));
  std::memcpy(rows + std::size_t{layout.rowOutputs} * 4, row, std::size_t{layout.rowOutputs} * layout.fanIn);
}

void unpackLayer(const LayerLayout &layout, const std::uint8_t *bytes, LayerParameters &layer) {
  layer.weights.resize(std::size_t{layout.outputs} * layout.fanIn);
  layer.bias.resize(layout.outputs);
  std::int8_t *row = layer.weights.data();
  for (std::uint32_t n = 0; n < layout.blockedOutputs(); ++n, row += layout.fanIn) {
    OutputPlace place = placeOf(layout, n);
    const std::uint8_t *block = bytes + layout.blocksOffset + place.blockOffset;
    for (std::uint32_t k = 0; k < layout.fanIn; ++k)
      row[k] = static_cast<std::int8_t>(
          static_cast<std::uint8_t>(block[place.blockOutputs * 4 + weightOffset(place, k)] ^ maskOf(place)));
    std::uint32_t high = loadU32(block + biasOffset(place, true));
    std::uint32_t bias = place.isHigh ? high : loadU32(block + biasOffset(place, false)) - 256 * high;
    layer.bias[n] = static_cast<std::int32_t>(bias);
  }
  const std::uint8_t *rows = bytes + layout.rowsOffset;
  for (std::uint32_t i = 0; i < layout.rowOutputs; ++i)
    layer.bias[layout.blockedOutputs() + i] = static_cast<std::int32_t>(loadU32(rows + 4 * i));
  std::memcpy(row, rows + std::size_t{layout.rowOutputs} * 4, std::size_t{layout.rowOutputs} * layout.fanIn);
}

void packResidual(const ResidualRow &residual, std::uint8_t *row) {
  storeU32(row, residual.output);
  storeF32(row + kResidualMultiplierOffset, residual.multiplier);
  std::memcpy(row + kResidualWeightsOffset, residual.weights.data(), residual.weights.size());
}

ResidualRow unpackResidual(const LayerLayout &layout, const std::uint8_t *row) {
  ResidualRow residual{loadU32(row), std::vector<std::int8_t>(layout.fanIn), loadF32(row + kResidualMultiplierOffset)};
  std::memcpy(residual.weights.data(), row + kResidualWeightsOffset, layout.fanIn);
  return residual;
}

/// Offset of the number (output, i) of a Float32 layer in the parameter block; i = 0: the bias, else weight i - 1.
std::size_t floatOffset(const LayerLayout &layer, std::uint32_t output, std::uint32_t i) {
  if (output >= layer.blockedOutputs()) {
    std::size_t row = output - layer.blockedOutputs();
    return layer.rowsOffset + 4 * (i == 0 ? row : layer.rowOutputs + row * layer.fanIn + i - 1);
  }
  std::uint32_t block = output / kFloatBlockOutputs, inBlock = output % kFloatBlockOutputs;
  std::size_t blockOutputs = block < layer.fullBlocks ? kFloatBlockOutputs : layer.tailOutputs;
  return layer.blocksOffset + std::size_t{block} * floatBlockBytes(kFloatBlockOutputs, layer.fanIn) +
         (i * blockOutputs + inBlock) * 4;
}

void packFloatLayer(const LayerLayout &layout, const LayerParameters &layer, std::uint8_t *bytes) {
  for (std::uint32_t n = 0; n < layout.outputs; ++n) {
    storeF32(bytes + floatOffset(layout, n, 0), layer.floatBias[n]);
    for (std::uint32_t k = 0; k < layout.fanIn; ++k)
      storeF32(bytes + floatOffset(layout, n, k + 1), layer.floatWeights[std::size_t{n} * layout.fanIn + k]);
  }
}

void unpackFloatLayer(const LayerLayout &layout, const std::uint8_t *bytes, LayerParameters &layer) {
  layer.floatWeights.resize(std::size_t{layout.outputs} * layout.fanIn);
  layer.floatBias.resize(layout.outputs);
  for (std::uint32_t n = 0; n < layout.outputs; ++n) {
    layer.floatBias[n] = loadF32(bytes + floatOffset(layout, n, 0));
    for (std::uint32_t k = 0; k < layout.fanIn; ++k)
      layer.floatWeights[std::size_t{n} * layout.fanIn + k] = loadF32(bytes + floatOffset(layout, n, k + 1));
  }
}

/// No |sat16(rnd(v))| with v in [low, high] is larger.
std::int32_t boundOf(float low, float high) {
  auto boundOfMagnitude = [](float v) {
    float magnitude = v < 0 ? -v : v;
    // Not the converse, so that a NaN gets the bound of every code.
    return magnitude < 32768 ? static_cast<std::int32_t>((magnitude + kMagic) - kMagic) : 32768;
  };
  return std::max(boundOfMagnitude(low), boundOfMagnitude(high));
}

std::int32_t boundOf(Activation function, const LayerParameters &layer) {
  if (function == Activation::GaussianStepwise)
    return 0;
  return codeKindOf(function) == CodeKind::Unbounded ? boundOf(layer.codeLow, layer.codeHigh) : kCodeLimit;
}

} // namespace

std::uint64_t parameterBytesOf(const Layout &layout, const ExpertParameters &parameters) {
  std::uint64_t bytes = layout.parameterBytes;
  for (std::size_t l = 0; l < layout.layers.size(); ++l)
    bytes += std::uint64_t{parameters.layers[l].residuals.size()} * residualRowBytes(layout.layers[l].fanIn);
  return (bytes + 15) / 16 * 16;
}

std::vector<std::uint8_t> packParameters(const Signature &signature, const Layout &layout,
                                         const ExpertParameters &parameters) {
  assert(parameters.layers.size() == signature.layers.size() && "parameters do not belong to the signature");
  std::vector<std::uint8_t> block(parameterBytesOf(layout, parameters));
  std::uint8_t *bytes = block.data();
  std::uint8_t *residuals = bytes + layout.parameterBytes;
  bool isFloat = signature.weights() == WeightFormat::Float32;
  for (const ConstantsLayout &constants : layout.constants)
    storeF32s(bytes + constants.offset, constantsOf(constants.table));
  storeF32(bytes + layout.inputBoundsOffset, parameters.inputLow);
  storeF32(bytes + layout.inputBoundsOffset + 4, parameters.inputHigh);
  assert(parameters.inputScale.size() == (isFloat ? 0 : signature.inputs) && "one scale per input");
  if (!isFloat)
    storeF32s(bytes + layout.inputScaleOffset, parameters.inputScale);

  for (std::size_t l = 0; l < layout.layers.size(); ++l) {
    const LayerLayout &place = layout.layers[l];
    const LayerParameters &layer = parameters.layers[l];
    if (isFloat) {
      assert(layer.floatWeights.size() == std::size_t{place.outputs} * place.fanIn && "one per output and input");
      assert(layer.floatBias.size() == place.outputs && "one per output");
      packFloatLayer(place, layer, bytes);
    } else {
      assert(layer.weights.size() == std::size_t{place.outputs} * place.fanIn && "one weight per output and input");
      assert(layer.bias.size() == place.outputs && layer.multiplier.size() == place.outputs && "one per output");
      packLayer(place, layer, bytes);
      storeF32s(bytes + place.multiplierOffset, layer.multiplier);
    }
    if (place.boundsOffset != kNone) {
      storeF32(bytes + place.boundsOffset, layer.codeLow);
      storeF32(bytes + place.boundsOffset + 4, layer.codeHigh);
    }
    assert((layer.residuals.empty() || place.residualCountOffset != kNone) && "only Int8Residual has residuals");
    if (place.residualCountOffset != kNone)
      storeU32(bytes + place.residualCountOffset, static_cast<std::uint32_t>(layer.residuals.size()));
    for (const ResidualRow &residual : layer.residuals) {
      assert(residual.weights.size() == place.fanIn && "one weight per input");
      packResidual(residual, residuals);
      residuals += residualRowBytes(place.fanIn);
    }
    if (place.limitOffset == kNone)
      continue;
    assert(layer.limit.size() == place.outputs && "one limit per output");
    std::uint32_t n = 0;
    for (const ActivationGroup &group : signature.layers[l].groups) {
      if (group.clamped)
        storeF32s(bytes + place.limitOffset + std::size_t{n} * 4, std::span(layer.limit).subspan(n, group.count));
      n += group.count;
    }
  }
  if (signature.outputAffine) {
    assert(parameters.outputGain.size() == signature.logits() && "one gain per logit");
    assert(parameters.outputOffset.size() == signature.logits() && "one offset per logit");
    storeF32s(bytes + layout.outputGainOffset, parameters.outputGain);
    storeF32s(bytes + layout.outputOffsetOffset, parameters.outputOffset);
  }
  if (layout.headScaleOffset != kNone)
    storeF32(bytes + layout.headScaleOffset, parameters.headScale);
  return block;
}

Result<ExpertParameters> unpackParameters(const Signature &signature, const Layout &layout,
                                          std::span<const std::uint8_t> block) {
  KIMIC_TRY(validateParameters(signature, layout, block));
  const std::uint8_t *bytes = block.data(), *residuals = bytes + layout.parameterBytes;
  bool isFloat = signature.weights() == WeightFormat::Float32;

  ExpertParameters parameters;
  parameters.inputLow = loadF32(bytes + layout.inputBoundsOffset);
  parameters.inputHigh = loadF32(bytes + layout.inputBoundsOffset + 4);
  if (!isFloat)
    parameters.inputScale = loadF32s(bytes + layout.inputScaleOffset, signature.inputs);
  for (const LayerLayout &place : layout.layers) {
    LayerParameters layer;
    if (isFloat) {
      unpackFloatLayer(place, bytes, layer);
    } else {
      unpackLayer(place, bytes, layer);
      layer.multiplier = loadF32s(bytes + place.multiplierOffset, place.outputs);
    }
    if (place.boundsOffset != kNone) {
      layer.codeLow = loadF32(bytes + place.boundsOffset);
      layer.codeHigh = loadF32(bytes + place.boundsOffset + 4);
    }
    if (place.limitOffset != kNone)
      layer.limit = loadF32s(bytes + place.limitOffset, place.outputs);
    std::uint32_t count = place.residualCountOffset == kNone ? 0 : loadU32(bytes + place.residualCountOffset);
    for (; count > 0; --count) {
      layer.residuals.push_back(unpackResidual(place, residuals));
      residuals += residualRowBytes(place.fanIn);
    }
    parameters.layers.push_back(std::move(layer));
  }
  if (signature.outputAffine) {
    parameters.outputGain = loadF32s(bytes + layout.outputGainOffset, signature.logits());
    parameters.outputOffset = loadF32s(bytes + layout.outputOffsetOffset, signature.logits());
  }
  if (layout.headScaleOffset != kNone)
    parameters.headScale = loadF32(bytes + layout.headScaleOffset);

  // Whatever is not a parameter - constants, padding, unused limits - has only one right value.
  std::vector<std::uint8_t> expected = packParameters(signature, layout, parameters);
  auto [found, wanted] = std::mismatch(block.begin(), block.end(), expected.begin());
  if (found != block.end())
    return makeError(ErrorId::ParametersMalformed, static_cast<std::size_t>(found - block.begin()), *found, *wanted);
  return parameters;
}

std::vector<std::int32_t> codeBounds(const Signature &signature, const ExpertParameters &parameters) {
  std::vector<std::int32_t> bounds(signature.inputs, boundOf(parameters.inputLow, parameters.inputHigh));
  for (std::size_t l = 0; l + 1 < signature.layers.size(); ++l)
    for (const ActivationGroup &group : signature.layers[l].groups)
      bounds.insert(bounds.end(), group.count, boundOf(group.function, parameters.layers[l]));
  return bounds;
}

Result<void> proveNoOverflow(const Signature &signature, const ExpertParameters &parameters) {
  if (signature.weights() == WeightFormat::Float32)
    return {};
  std::vector<std::int32_t> bounds = codeBounds(signature, parameters);
  std::size_t codes = signature.inputs;
  for (std::size_t l = 0; l < signature.layers.size(); ++l) {
    const LayerParameters &layer = parameters.layers[l];
    std::size_t readBegin = signature.layers[l].readBegin, fanIn = codes - readBegin;
    // The largest |sum| of row `n` of `weights`. At most 2^28 terms of at most 2^22 each: 64 bits hold it.
    auto reachOf = [&](const std::vector<std::int8_t> &weights, std::size_t n) {
      std::int64_t sum = 0;
      for (std::size_t k = 0; k < fanIn; ++k) {
        std::int64_t weight{weights[n * fanIn + k]};
        sum += (weight < 0 ? -weight : weight) * bounds[readBegin + k];
      }
      return sum;
    };
    for (std::size_t n = 0; n < layer.bias.size(); ++n) {
      std::int64_t bias = layer.bias[n], sum = (bias < 0 ? -bias : bias) + reachOf(layer.weights, n);
      if (sum > INT32_MAX)
        return makeError(ErrorId::AccumulatorOverflow, l, n, static_cast<std::uint64_t>(sum));
    }
    for (const ResidualRow &residual : layer.residuals)
      if (std::int64_t sum = reachOf(residual.weights, 0); sum > INT32_MAX)
        return makeError(ErrorId::AccumulatorOverflow, l, residual.output, static_cast<std::uint64_t>(sum));
    codes += layer.bias.size();
  }
  return {};
}

} // namespace kimic::quant
