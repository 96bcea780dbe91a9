// What the runtime checks of a parameter block. Apart from Parameters.cpp, which the runtime does not hold.
#include "formats/base/Bytes.h"
#include "formats/quant/Parameters.h"

namespace kimic::quant {
namespace {

/// Looks for an f32 that is not finite in bytes [begin, end). What else lies there, counts, outputs and padding, is too
/// small to look like one.
Result<void> checkFinite(const std::uint8_t *bytes, std::uint32_t begin, std::uint32_t end) {
  for (std::uint32_t at = begin; at < end; at += 4)
    if ((load<std::uint32_t>(bytes + at) & 0x7F800000u) == 0x7F800000u)
      return makeError(ErrorId::ParameterNotFinite, at);
  return {};
}

} // namespace

Result<void> validateParameters(const Signature &signature, const Layout &layout, std::span<const std::uint8_t> block) {
  std::uint64_t size = layout.parameterBytes;
  bool hasResiduals = signature.weights() == WeightFormat::Int8Residual;
  const std::uint8_t *bytes = block.data();
  if (hasResiduals && block.size() >= size)
    for (std::size_t l = 0; l < layout.layers.size(); ++l) {
      const LayerLayout &layer = layout.layers[l];
      std::uint32_t count = load<std::uint32_t>(bytes + layer.residualCountOffset);
      if (count > layer.outputs)
        return makeError(ErrorId::ResidualCount, l, count, layer.outputs);
      size += std::uint64_t{count} * residualRowBytes(layer.fanIn);
    }
  size = (size + 15) / 16 * 16;
  if (block.size() != size)
    return makeError(ErrorId::ParametersSize, block.size(), size);
  if (size > kMaxBlockBytes)
    return makeError(ErrorId::ParametersTooLarge, size, kMaxBlockBytes);

  // Weights of 8 bits are all that is no number of 4 bytes, so blocks of them are left out.
  std::uint32_t begin = 0, residual = layout.parameterBytes;
  for (std::size_t l = 0; l < layout.layers.size(); ++l) {
    const LayerLayout &layer = layout.layers[l];
    if (signature.weights() != WeightFormat::Float32) {
      KIMIC_TRY(checkFinite(bytes, begin, layer.blocksOffset));
      begin = layer.boundsOffset == kNone ? layer.multiplierOffset : layer.boundsOffset;
    }
    std::uint32_t count = hasResiduals ? load<std::uint32_t>(bytes + layer.residualCountOffset) : 0, least = 0;
    for (std::uint32_t i = 0; i < count; ++i, residual += residualRowBytes(layer.fanIn)) {
      std::uint32_t output = load<std::uint32_t>(bytes + residual);
      if (output < least || output >= layer.outputs)
        return makeError(ErrorId::ResidualOutput, l, i, output);
      least = output + 1;
      KIMIC_TRY(checkFinite(bytes, residual, residual + kResidualWeightsOffset));
    }
  }
  return checkFinite(bytes, begin, layout.parameterBytes);
}

} // namespace kimic::quant
