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

/// Offset of the weight (output, k) in its block.
std::size_t weightOffset(const OutputPlace &place, std::uint32_t k) {
  std::size_t pairBytes = place.blockOutputs * std::size_t{2};
  return 2 * pairBytes + k / 2 * pairBytes + place.group * 16 + place.lane * 4 + k % 2 * std::size_t{2} +
         (place.isHigh ? 1 : 0);
}

std::size_t biasOffset(const OutputPlace &place, bool isHigh) {
  return place.group * 32 + (isHigh ? 16 : 0) + place.lane * 4;
}

/// What a weight's byte is stored xor with.
std::uint8_t maskOf(const OutputPlace &place) { return place.isHigh ? 0 : 0x80; }

void packLayer(const LayerLayout &layout, const LayerParameters &layer, std::uint8_t *blocks) {
  std::uint32_t padded = layout.fullBlocks * kBlockOutputs + layout.tailOutputs;
  for (std::uint32_t n = 0; n < padded; ++n) {
    OutputPlace place = placeOf(layout, n);
    std::uint8_t *block = blocks + place.blockOffset;
    for (std::uint32_t k = 0; k < layout.fanIn; ++k) {
      std::int8_t weight = n < layout.outputs ? layer.weights[std::size_t{n} * layout.fanIn + k] : std::int8_t{0};
      block[weightOffset(place, k)] = static_cast<std::uint8_t>(weight) ^ maskOf(place);
    }
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
    for (std::uint32_t k = 0; k < layout.fanIn; ++k)
      layer.weights[std::size_t{n} * layout.fanIn + k] =
          static_cast<std::int8_t>(static_cast<std::uint8_t>(block[weightOffset(place, k)] ^ maskOf(place)));
    std::uint32_t high = loadU32(block + biasOffset(place, true));
    std::uint32_t bias = place.isHigh ? high : loadU32(block + biasOffset(place, false)) - 256 * high;
    layer.bias[n] = static_cast<std::int32_t>(bias);
  }
}

bool isFinite(float value) {
  std::uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return (bits & 0x7F800000u) != 0x7F800000u;
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

std::vector<std::uint8_t> packParameters(const Signature &signature, const Layout &layout,
                                         const ExpertParameters &parameters) {
  assert(parameters.layers.size() == signature.layers.size() && "parameters do not belong to the signature");
  std::vector<std::uint8_t> block(layout.parameterBytes);
  std::uint8_t *bytes = block.data();
  for (const ConstantsLayout &constants : layout.constants)
    storeF32s(bytes + constants.offset, constantsOf(constants.table));
  storeF32(bytes + layout.inputBoundsOffset, parameters.inputLow);
  storeF32(bytes + layout.inputBoundsOffset + 4, parameters.inputHigh);
  assert(parameters.inputScale.size() == signature.inputs && "one scale per input");
  storeF32s(bytes + layout.inputScaleOffset, parameters.inputScale);

  for (std::size_t l = 0; l < layout.layers.size(); ++l) {
    const LayerLayout &place = layout.layers[l];
    const LayerParameters &layer = parameters.layers[l];
    assert(layer.weights.size() == std::size_t{place.outputs} * place.fanIn && "one weight per output and input");
    assert(layer.bias.size() == place.outputs && layer.multiplier.size() == place.outputs && "one per output");
    packLayer(place, layer, bytes + place.blocksOffset);
    if (place.boundsOffset != kNone) {
      storeF32(bytes + place.boundsOffset, layer.codeLow);
      storeF32(bytes + place.boundsOffset + 4, layer.codeHigh);
    }
    storeF32s(bytes + place.multiplierOffset, layer.multiplier);
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
    assert(parameters.outputGain.size() == signature.outputs() && "one gain per output");
    assert(parameters.outputOffset.size() == signature.outputs() && "one offset per output");
    storeF32s(bytes + layout.outputGainOffset, parameters.outputGain);
    storeF32s(bytes + layout.outputOffsetOffset, parameters.outputOffset);
  }
  return block;
}

Result<ExpertParameters> unpackParameters(const Signature &signature, const Layout &layout,
                                          std::span<const std::uint8_t> block) {
  if (block.size() != layout.parameterBytes)
    return makeError(ErrorId::ParametersSize, block.size(), layout.parameterBytes);
  const std::uint8_t *bytes = block.data();
  std::size_t notFinite = block.size();
  auto load = [&](std::uint32_t offset, std::uint32_t count) {
    std::vector<float> values = loadF32s(bytes + offset, count);
    for (std::size_t i = 0; i < count; ++i)
      if (!isFinite(values[i]))
        notFinite = std::min(notFinite, offset + 4 * i);
    return values;
  };

  ExpertParameters parameters;
  std::vector<float> bounds = load(layout.inputBoundsOffset, 2);
  parameters.inputLow = bounds[0];
  parameters.inputHigh = bounds[1];
  parameters.inputScale = load(layout.inputScaleOffset, signature.inputs);
  for (const LayerLayout &place : layout.layers) {
    LayerParameters layer;
    unpackLayer(place, bytes + place.blocksOffset, layer);
    if (place.boundsOffset != kNone) {
      bounds = load(place.boundsOffset, 2);
      layer.codeLow = bounds[0];
      layer.codeHigh = bounds[1];
    }
    layer.multiplier = load(place.multiplierOffset, place.outputs);
    if (place.limitOffset != kNone)
      layer.limit = load(place.limitOffset, place.outputs);
    parameters.layers.push_back(std::move(layer));
  }
  if (signature.outputAffine) {
    parameters.outputGain = load(layout.outputGainOffset, signature.outputs());
    parameters.outputOffset = load(layout.outputOffsetOffset, signature.outputs());
  }
  if (notFinite != block.size())
    return makeError(ErrorId::ParameterNotFinite, notFinite);

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
  std::vector<std::int32_t> bounds = codeBounds(signature, parameters);
  std::size_t codes = signature.inputs;
  for (std::size_t l = 0; l < signature.layers.size(); ++l) {
    const LayerParameters &layer = parameters.layers[l];
    std::size_t readBegin = signature.layers[l].readBegin, fanIn = codes - readBegin;
    for (std::size_t n = 0; n < layer.bias.size(); ++n) {
      // At most 2^28 terms of at most 2^22 each: 64 bits hold the sum.
      std::int64_t bias = layer.bias[n], sum = bias < 0 ? -bias : bias;
      for (std::size_t k = 0; k < fanIn; ++k) {
        std::int64_t weight{layer.weights[n * fanIn + k]};
        sum += (weight < 0 ? -weight : weight) * bounds[readBegin + k];
      }
      if (sum > INT32_MAX)
        return makeError(ErrorId::AccumulatorOverflow, l, n, static_cast<std::uint64_t>(sum));
    }
    codes += layer.bias.size();
  }
  return {};
}

} // namespace kimic::quant
