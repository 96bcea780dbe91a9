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
  place.group = inBlock / 8;
  place.lane = inBlock % 4;
  place.isHigh = inBlock % 8 >= 4;
  return place;
}

/// Where output `row` of a residual block stands in it.
OutputPlace residualPlaceOf(std::uint32_t row) { return {0, kResidualOutputs, 0, row % 4, row >= 4}; }

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

/// Writes a row of weights, zeros if it is empty, to the weights of its block.
void packRow(const OutputPlace &place, std::span<const std::int8_t> row, std::uint32_t fanIn, std::uint8_t *weights) {
  for (std::uint32_t k = 0; k < fanIn; ++k)
    weights[weightOffset(place, k)] = static_cast<std::uint8_t>(row.empty() ? std::int8_t{0} : row[k]) ^ maskOf(place);
}

void unpackRow(const OutputPlace &place, const std::uint8_t *weights, std::span<std::int8_t> row) {
  for (std::uint32_t k = 0; k < row.size(); ++k)
    row[k] = static_cast<std::int8_t>(static_cast<std::uint8_t>(weights[weightOffset(place, k)] ^ maskOf(place)));
}

/// The n-th row of a matrix of `length` columns, or nothing past its last row.
std::span<const std::int8_t> rowOf(const std::vector<std::int8_t> &weights, std::uint32_t length, std::uint32_t n) {
  std::size_t begin = std::size_t{n} * length;
  return begin < weights.size() ? std::span(weights).subspan(begin, length) : std::span<const std::int8_t>();
}

void packLayer(const LayerLayout &layout, const LayerParameters &layer, std::uint8_t *blocks) {
  std::uint32_t padded = layout.fullBlocks * kBlockOutputs + layout.tailOutputs;
  for (std::uint32_t n = 0; n < padded; ++n) {
    OutputPlace place = placeOf(layout, n);
    std::uint8_t *block = blocks + place.blockOffset;
    packRow(place, rowOf(layer.weights, layout.fanIn, n), layout.fanIn, block + place.blockOutputs * 4);
    auto biasOf = [&](std::uint32_t output) {
      return output < layout.outputs ? static_cast<std::uint32_t>(layer.bias[output]) : 0;
    };
    std::uint32_t word = place.isHigh ? biasOf(n) : biasOf(n) + 256 * biasOf(n + 4);
    storeU32(block + biasOffset(place, place.isHigh), word);
  }
}

void unpackLayer(const LayerLayout &layout, const std::uint8_t *blocks, LayerParameters &layer) {
  layer.weights.resize(std::size_t{layout.outputs} * layout.fanIn);
  layer.bias.resize(layout.outputs);
  for (std::uint32_t n = 0; n < layout.outputs; ++n) {
    OutputPlace place = placeOf(layout, n);
    const std::uint8_t *block = blocks + place.blockOffset;
    unpackRow(place, block + place.blockOutputs * 4,
              std::span(layer.weights).subspan(std::size_t{n} * layout.fanIn, layout.fanIn));
    std::uint32_t high = loadU32(block + biasOffset(place, true));
    std::uint32_t bias = place.isHigh ? high : loadU32(block + biasOffset(place, false)) - 256 * high;
    layer.bias[n] = static_cast<std::int32_t>(bias);
  }
}

void packResidual(const LayerLayout &layout, const ResidualGroup &residual, std::uint8_t *block) {
  storeU32(block, residual.group);
  storeF32s(block + kResidualMultiplierOffset, residual.multiplier);
  for (std::uint32_t row = 0; row < kResidualOutputs; ++row)
    packRow(residualPlaceOf(row), rowOf(residual.weights, layout.fanIn, row), layout.fanIn,
            block + kResidualWeightsOffset);
}

ResidualGroup unpackResidual(const LayerLayout &layout, const std::uint8_t *block) {
  ResidualGroup residual;
  residual.group = loadU32(block);
  std::uint32_t rows = std::min(kResidualOutputs, layout.outputs - residual.group * kResidualOutputs);
  residual.multiplier = loadF32s(block + kResidualMultiplierOffset, rows);
  residual.weights.resize(std::size_t{rows} * layout.fanIn);
  for (std::uint32_t row = 0; row < rows; ++row)
    unpackRow(residualPlaceOf(row), block + kResidualWeightsOffset,
              std::span(residual.weights).subspan(std::size_t{row} * layout.fanIn, layout.fanIn));
  return residual;
}

/// Offset of the number (output, i) in a Float32 layer's blocks; i = 0: the bias, else weight i - 1.
std::size_t floatOffset(const LayerLayout &layer, std::uint32_t output, std::uint32_t i) {
  std::uint32_t block = output / kFloatBlockOutputs, inBlock = output % kFloatBlockOutputs;
  std::size_t blockOutputs = block < layer.fullBlocks ? kFloatBlockOutputs : layer.tailOutputs;
  return std::size_t{block} * floatBlockBytes(kFloatBlockOutputs, layer.fanIn) + (i * blockOutputs + inBlock) * 4;
}

void packFloatLayer(const LayerLayout &layout, const LayerParameters &layer, std::uint8_t *blocks) {
  for (std::uint32_t n = 0; n < layout.outputs; ++n) {
    storeF32(blocks + floatOffset(layout, n, 0), layer.floatBias[n]);
    for (std::uint32_t k = 0; k < layout.fanIn; ++k)
      storeF32(blocks + floatOffset(layout, n, k + 1), layer.floatWeights[std::size_t{n} * layout.fanIn + k]);
  }
}

void unpackFloatLayer(const LayerLayout &layout, const std::uint8_t *blocks, LayerParameters &layer) {
  layer.floatWeights.resize(std::size_t{layout.outputs} * layout.fanIn);
  layer.floatBias.resize(layout.outputs);
  for (std::uint32_t n = 0; n < layout.outputs; ++n) {
    layer.floatBias[n] = loadF32(blocks + floatOffset(layout, n, 0));
    for (std::uint32_t k = 0; k < layout.fanIn; ++k)
      layer.floatWeights[std::size_t{n} * layout.fanIn + k] = loadF32(blocks + floatOffset(layout, n, k + 1));
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
    bytes += std::uint64_t{parameters.layers[l].residuals.size()} * residualBlockBytes(layout.layers[l].kPairs);
  return bytes;
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
      packFloatLayer(place, layer, bytes + place.blocksOffset);
    } else {
      assert(layer.weights.size() == std::size_t{place.outputs} * place.fanIn && "one weight per output and input");
      assert(layer.bias.size() == place.outputs && layer.multiplier.size() == place.outputs && "one per output");
      packLayer(place, layer, bytes + place.blocksOffset);
      storeF32s(bytes + place.multiplierOffset, layer.multiplier);
    }
    if (place.boundsOffset != kNone) {
      storeF32(bytes + place.boundsOffset, layer.codeLow);
      storeF32(bytes + place.boundsOffset + 4, layer.codeHigh);
    }
    assert((layer.residuals.empty() || place.residualCountOffset != kNone) && "only Int8Residual has residuals");
    if (place.residualCountOffset != kNone)
      storeU32(bytes + place.residualCountOffset, static_cast<std::uint32_t>(layer.residuals.size()));
    for (const ResidualGroup &residual : layer.residuals) {
      packResidual(place, residual, residuals);
      residuals += residualBlockBytes(place.kPairs);
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
      unpackFloatLayer(place, bytes + place.blocksOffset, layer);
    } else {
      unpackLayer(place, bytes + place.blocksOffset, layer);
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
      residuals += residualBlockBytes(place.kPairs);
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
    for (const ResidualGroup &residual : layer.residuals)
      for (std::size_t row = 0; row < residual.multiplier.size(); ++row)
        if (std::int64_t sum = reachOf(residual.weights, row); sum > INT32_MAX)
          return makeError(ErrorId::AccumulatorOverflow, l, residual.group * std::size_t{kResidualOutputs} + row,
                           static_cast<std::uint64_t>(sum));
    codes += layer.bias.size();
  }
  return {};
}

} // namespace kimic::quant
