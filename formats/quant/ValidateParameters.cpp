// What the runtime checks of a parameter block. Apart from Parameters.cpp, which the runtime does not hold.
#include "formats/quant/Constants.h"
#include "formats/quant/Parameters.h"

namespace kimic::quant {
namespace {

std::uint32_t loadU32(const std::uint8_t *at) {
  std::uint32_t value = 0;
  for (unsigned i = 0; i < 4; ++i)
    value |= static_cast<std::uint32_t>(at[i]) << (8 * i);
  return value;
}

/// Looks for numbers that are not finite, and remembers the first one.
class FiniteCheck {
public:
  explicit FiniteCheck(const std::uint8_t *bytes) : bytes_(bytes) {}

  /// `count` f32 at `offset`; nothing if there is no such array.
  void check(std::uint32_t offset, std::size_t count) {
    if (offset == kNone || notFinite_ != kNone)
      return;
    for (std::size_t i = 0; i < count; ++i)
      if (std::size_t at = offset + i * 4; (loadU32(bytes_ + at) & 0x7F800000u) == 0x7F800000u) {
        notFinite_ = static_cast<std::uint32_t>(at);
        return;
      }
  }
  Result<void> result() const {
    if (notFinite_ != kNone)
      return makeError(ErrorId::ParameterNotFinite, notFinite_);
    return {};
  }

private:
  const std::uint8_t *bytes_;
  std::uint32_t notFinite_ = kNone;
};

/// Checks every f32 array before the residual blocks.
Result<void> checkFixedPart(const Signature &signature, const Layout &layout, const std::uint8_t *bytes) {
  FiniteCheck floats(bytes);
  for (const ConstantsLayout &constants : layout.constants)
    floats.check(constants.offset, constantsOf(constants.table).size());
  floats.check(layout.inputBoundsOffset, 2);
  floats.check(layout.inputScaleOffset, signature.inputs);
  for (const LayerLayout &layer : layout.layers) {
    if (signature.weights() == WeightFormat::Float32)
      floats.check(layer.blocksOffset, (std::size_t{layer.fullBlocks} * kFloatBlockOutputs + layer.tailOutputs) *
                                           (std::size_t{layer.fanIn} + 1));
    floats.check(layer.boundsOffset, 2);
    floats.check(layer.multiplierOffset, layer.vectorLength);
    floats.check(layer.limitOffset, layer.vectorLength);
  }
  floats.check(layout.outputGainOffset, layout.layers.back().vectorLength);
  floats.check(layout.outputOffsetOffset, layout.layers.back().vectorLength);
  floats.check(layout.headScaleOffset, 1);
  return floats.result();
}

/// Checks the residual blocks of one layer, which start at `offset`.
Result<void> checkResiduals(std::size_t layer, const LayerLayout &layout, const std::uint8_t *bytes,
                            std::uint32_t offset) {
  std::uint32_t count = loadU32(bytes + layout.residualCountOffset), least = 0;
  FiniteCheck floats(bytes);
  for (std::uint32_t i = 0; i < count; ++i, offset += residualBlockBytes(layout.kPairs)) {
    std::uint32_t group = loadU32(bytes + offset);
    if (group < least || group >= residualGroups(layout.outputs))
      return makeError(ErrorId::ResidualGroup, layer, i, group);
    least = group + 1;
    floats.check(offset + kResidualMultiplierOffset, kResidualOutputs);
  }
  return floats.result();
}

} // namespace

Result<void> validateParameters(const Signature &signature, const Layout &layout, std::span<const std::uint8_t> block) {
  if (block.size() < layout.parameterBytes)
    return makeError(ErrorId::ParametersSize, block.size(), layout.parameterBytes);
  if (block.size() > kMaxBlockBytes)
    return makeError(ErrorId::ParametersTooLarge, block.size(), kMaxBlockBytes);
  const std::uint8_t *bytes = block.data();
  std::uint64_t size = layout.parameterBytes;
  if (signature.weights() == WeightFormat::Int8Residual)
    for (std::size_t l = 0; l < layout.layers.size(); ++l) {
      const LayerLayout &layer = layout.layers[l];
      std::uint32_t count = loadU32(bytes + layer.residualCountOffset);
      if (count > residualGroups(layer.outputs))
        return makeError(ErrorId::ResidualCount, l, count, residualGroups(layer.outputs));
      size += std::uint64_t{count} * residualBlockBytes(layer.kPairs);
    }
  if (block.size() != size)
    return makeError(ErrorId::ParametersSize, block.size(), size);

  KIMIC_TRY(checkFixedPart(signature, layout, bytes));
  std::uint32_t offset = layout.parameterBytes;
  if (signature.weights() == WeightFormat::Int8Residual)
    for (std::size_t l = 0; l < layout.layers.size(); ++l) {
      const LayerLayout &layer = layout.layers[l];
      KIMIC_TRY(checkResiduals(l, layer, bytes, offset));
      offset += loadU32(bytes + layer.residualCountOffset) * residualBlockBytes(layer.kPairs);
    }
  return {};
}

} // namespace kimic::quant
