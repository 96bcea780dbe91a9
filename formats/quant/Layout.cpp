#include "formats/quant/Layout.h"

#include "formats/quant/Constants.h"

#include <algorithm>

namespace kimic::quant {
namespace {

/// REQUIRES: `multiple` is a power of two.
constexpr std::uint64_t roundUp(std::uint64_t value, std::uint64_t multiple) {
  return (value + multiple - 1) & ~(multiple - 1);
}

/// Hands out 16-byte-aligned ranges one after another, in 64 bits: 4096 layers of the largest size cannot wrap it.
class Arena {
public:
  /// Not inlined: a dozen copies weigh on the size of the runtime.
  [[gnu::noinline]] std::uint32_t take(std::uint64_t bytes) {
    std::uint64_t offset = size_;
    size_ += roundUp(bytes, 16);
    return static_cast<std::uint32_t>(std::min(offset, std::uint64_t{kMaxBlockBytes}));
  }
  [[gnu::noinline]] std::uint32_t takeIf(bool isNeeded, std::uint64_t bytes) { return isNeeded ? take(bytes) : kNone; }
  std::uint64_t size() const { return size_; }

private:
  std::uint64_t size_ = 0;
};

} // namespace

std::uint32_t Layout::constantsOffset(ConstantTable table) const {
  for (const ConstantsLayout &entry : constants)
    if (entry.table == table)
      return entry.offset;
  return kNone;
}

std::uint64_t weightBytes(WeightFormat format, const LayerLayout &layer) {
  std::uint64_t blocked = layer.blockedOutputs(), rows = layer.rowOutputs, fanIn = layer.fanIn;
  return format == WeightFormat::Float32 ? layer.outputs * (fanIn + 1) * 4
                                         : blocked * (std::uint64_t{layer.kPairs} * 2 + 4) + rows * (fanIn + 4);
}

Result<void> layoutOf(const Signature &signature, Layout &layout) {
  Arena parameters;

  bool isFloat = signature.weights() == WeightFormat::Float32;
  bool hasResiduals = signature.weights() == WeightFormat::Int8Residual;
  bool used[kConstantTableCount] = {};
  for (const LayerSignature &layer : signature.layers)
    for (const ActivationGroup &group : layer.groups)
      if (std::optional<ConstantTable> table = constantTableOf(group.function, layer.weights))
        used[static_cast<unsigned>(*table)] = true;
  if (signature.head == Head::Softmax)
    used[static_cast<unsigned>(ConstantTable::PreciseExp)] = true;
  layout.constants.renew(std::count(used, used + kConstantTableCount, true));
  ConstantsLayout *next = layout.constants.data();
  for (unsigned t = 0; t < kConstantTableCount; ++t)
    if (used[t]) {
      ConstantTable table = static_cast<ConstantTable>(t);
      *next++ = {table, parameters.take(constantsOf(table).size() * 4)};
    }

  layout.inputBoundsOffset = parameters.take(8);
  layout.inputScaleOffset = parameters.takeIf(!isFloat, roundUp(signature.inputs, 8) * 4);
  std::uint32_t blockOutputs = isFloat ? kFloatBlockOutputs : kBlockOutputs,
                groupOutputs = isFloat ? kFloatGroupOutputs : kGroupOutputs;

  std::uint64_t codes = signature.inputs;
  std::uint64_t widestVector = 0;
  layout.layers.renew(signature.layers.size());
  for (std::size_t i = 0; i < signature.layers.size(); ++i) {
    const LayerSignature &layer = signature.layers[i];
    bool isLast = i + 1 == signature.layers.size();
    LayerLayout &l = layout.layers[i];
    l.fanIn = static_cast<std::uint32_t>(codes - layer.readBegin);
    l.outputs = layer.outputs();
    l.kPairs = l.fanIn / 2 + l.fanIn % 2;
    l.rowOutputs = l.outputs % groupOutputs;
    l.fullBlocks = l.blockedOutputs() / blockOutputs;
    l.tailOutputs = l.blockedOutputs() % blockOutputs;
    // One group starts at output 0; with several, a vector of 4 may start at any output.
    l.vectorLength = static_cast<std::uint32_t>(roundUp(layer.groups.size() == 1 ? l.outputs : l.outputs + 3, 4));
    l.codesBegin = static_cast<std::uint32_t>(codes);

    std::uint64_t bytes = weightBytes(layer.weights, l);
    l.blocksOffset = parameters.take(bytes);
    // Past a block that is too large, which is refused below, offsets mean nothing.
    std::uint64_t rowBytes = std::uint64_t{l.rowOutputs} * (isFloat ? (l.fanIn + 1) * 4 : l.fanIn + 4);
    l.rowsOffset = static_cast<std::uint32_t>(l.blocksOffset + bytes - rowBytes);
    l.boundsOffset = parameters.takeIf(!isLast && !isFloat, 8);
    l.multiplierOffset = parameters.takeIf(!isFloat, std::uint64_t{l.vectorLength} * 4);
    bool isClamped = std::any_of(layer.groups.begin(), layer.groups.end(),
                                 [](const ActivationGroup &group) { return group.clamped; });
    l.limitOffset = parameters.takeIf(isClamped, std::uint64_t{l.vectorLength} * 4);
    l.residualCountOffset = parameters.takeIf(hasResiduals, 4);

    widestVector = std::max<std::uint64_t>(widestVector, l.vectorLength);
    if (!isLast)
      codes += l.outputs;
  }

  std::uint64_t lastVector = layout.layers.back().vectorLength;
  layout.outputGainOffset = parameters.takeIf(signature.outputAffine, lastVector * 4);
  layout.outputOffsetOffset = parameters.takeIf(signature.outputAffine, lastVector * 4);
  layout.headScaleOffset = parameters.takeIf(signature.head == Head::Softmax, 4);

  Arena scratch;
  layout.codesOffset = scratch.take((codes + kCodePadding) * (isFloat ? 4 : 2));
  layout.correctionOffset = scratch.take(16);
  layout.accumulatorsOffset = scratch.take(widestVector * 4);
  layout.residualsOffset = scratch.takeIf(hasResiduals, widestVector * 4);
  layout.logitsOffset = scratch.takeIf(signature.head != Head::None, lastVector * 4);
  layout.activeOffset = scratch.takeIf(signature.sparseInputs, 4 + std::uint64_t{layout.layers.front().kPairs} * 2);

  if (parameters.size() > kMaxBlockBytes)
    return makeError(ErrorId::ParametersTooLarge, parameters.size(), kMaxBlockBytes);
  std::uint64_t scratchBytes = scratch.size() * kTileRows;
  if (scratchBytes > kMaxBlockBytes)
    return makeError(ErrorId::ScratchTooLarge, scratchBytes, kMaxBlockBytes);
  layout.parameterBytes = static_cast<std::uint32_t>(parameters.size());
  layout.scratchRowBytes = static_cast<std::uint32_t>(scratch.size());
  layout.scratchBytes = static_cast<std::uint32_t>(scratchBytes);
  return {};
}

} // namespace kimic::quant
