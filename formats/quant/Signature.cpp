#include "formats/quant/Signature.h"

#include "formats/base/Bytes.h"

#include <new>

namespace kimic::quant {
namespace {

constexpr std::uint8_t kEncodingVersion = 1;
constexpr std::uint8_t kOutputAffineFlag = 0x01;
constexpr unsigned kHeadShift = 1;
constexpr std::uint8_t kHeadMask = 0x03;
constexpr std::uint8_t kSparseInputsFlag = 0x08;
constexpr std::uint8_t kAllFlags = 0x0F;
constexpr std::uint8_t kClampedFlag = 0x80;

} // namespace

std::uint32_t LayerSignature::outputs() const {
  std::uint32_t sum = 0;
  for (const ActivationGroup &group : groups)
    sum += group.count;
  return sum;
}

std::uint32_t Signature::codesBefore(std::size_t layer) const {
  std::uint32_t codes = inputs;
  for (std::size_t i = 0; i < layer; ++i)
    codes += layers[i].outputs();
  return codes;
}

Result<void> validate(const Signature &signature) {
  if (signature.inputs == 0 || signature.inputs > kMaxWidth)
    return makeError(ErrorId::SignatureInputs, signature.inputs, kMaxWidth);
  if (signature.layers.empty() || signature.layers.size() > kMaxLayers)
    return makeError(ErrorId::SignatureLayers, signature.layers.size(), kMaxLayers);
  std::uint64_t codes = signature.inputs;
  std::size_t groups = 0;
  for (std::size_t l = 0; l < signature.layers.size(); ++l) {
    const LayerSignature &layer = signature.layers[l];
    unsigned format = static_cast<unsigned>(layer.weights);
    if (format >= kWeightFormatCount)
      return makeError(ErrorId::SignatureWeightFormat, l, format);
    if (layer.weights != signature.weights())
      return makeError(ErrorId::SignatureMixedFormats, l, format, static_cast<unsigned>(signature.weights()));
    if (layer.readBegin >= codes)
      return makeError(ErrorId::SignatureReadsPastCodes, l, layer.readBegin, codes);
    groups += layer.groups.size();
    if (groups > kMaxGroups)
      return makeError(ErrorId::SignatureTooLarge, l, groups, kMaxGroups);
    std::uint64_t outputs = 0;
    for (std::size_t g = 0; g < layer.groups.size(); ++g) {
      const ActivationGroup &group = layer.groups[g];
      if (static_cast<unsigned>(group.function) >= kActivationCount)
        return makeError(ErrorId::SignatureFunction, l, g, static_cast<unsigned>(group.function));
      if (group.count == 0)
        return makeError(ErrorId::SignatureEmptyGroup, l, g);
      if (g > 0 && group.function == layer.groups[g - 1].function && group.clamped == layer.groups[g - 1].clamped)
        return makeError(ErrorId::SignatureSplitGroup, l, g);
      if (layer.weights == WeightFormat::Float32 && !group.clamped)
        return makeError(ErrorId::SignatureUnclamped, l, g);
      outputs += group.count;
    }
    if (outputs == 0 || outputs > kMaxWidth)
      return makeError(ErrorId::SignatureWidth, l, outputs, kMaxWidth);
    codes += outputs;
  }
  if (static_cast<unsigned>(signature.head) >= kHeadCount)
    return makeError(ErrorId::SignatureHead, static_cast<unsigned>(signature.head));
  return {};
}

std::vector<std::uint8_t> encode(const Signature &signature) {
  ByteWriter bytes;
  bytes.u8(kEncodingVersion);
  bytes.u8((signature.outputAffine ? kOutputAffineFlag : 0) | (signature.sparseInputs ? kSparseInputsFlag : 0) |
           static_cast<std::uint8_t>(static_cast<unsigned>(signature.head) << kHeadShift));
  bytes.varint(signature.inputs);
  bytes.varint(signature.layers.size());
  for (const LayerSignature &layer : signature.layers) {
    bytes.u8(static_cast<std::uint8_t>(layer.weights));
    bytes.varint(layer.readBegin);
    bytes.varint(layer.groups.size());
    for (const ActivationGroup &group : layer.groups) {
      bytes.u8(static_cast<std::uint8_t>(group.function) | (group.clamped ? kClampedFlag : 0));
      bytes.varint(group.count);
    }
  }
  return std::move(bytes).take();
}

Result<void> decodeSignature(std::span<const std::uint8_t> bytes, Signature &signature) {
  // Least bytes that a layer and a group take: they bound every allocation by the size of the input.
  constexpr std::size_t kLayerBytes = 5, kGroupBytes = 2;
  ByteReader reader(bytes);
  auto malformed = [&] { return makeError(ErrorId::SignatureMalformed, reader.position(), bytes.size()); };
  if (reader.u8() != kEncodingVersion)
    return malformed();
  std::uint8_t flags = reader.u8();
  if (flags > kAllFlags)
    return malformed();
  signature.outputAffine = (flags & kOutputAffineFlag) != 0;
  signature.head = static_cast<Head>(flags >> kHeadShift & kHeadMask);
  signature.sparseInputs = (flags & kSparseInputsFlag) != 0;
  signature.inputs = reader.varint32();
  std::uint32_t layers = reader.varint32();
  if (!reader.ok() || layers > reader.remaining() / kLayerBytes)
    return malformed();
  if (layers > kMaxLayers)
    return makeError(ErrorId::SignatureLayers, layers, kMaxLayers);
  // Vectors are made in place: code that destroys old ones weighs on the size of the runtime.
  new (&signature.layers) std::vector<LayerSignature>(layers);
  for (LayerSignature &layer : signature.layers) {
    layer.weights = static_cast<WeightFormat>(reader.u8());
    layer.readBegin = reader.varint32();
    std::uint32_t groups = reader.varint32();
    if (!reader.ok() || groups > reader.remaining() / kGroupBytes)
      return malformed();
    new (&layer.groups) std::vector<ActivationGroup>(groups);
    for (ActivationGroup &group : layer.groups) {
      std::uint8_t function = reader.u8();
      group.clamped = (function & kClampedFlag) != 0;
      group.function = static_cast<Activation>(function & ~kClampedFlag);
      group.count = reader.varint32();
    }
  }
  if (!reader.ok() || reader.remaining() != 0)
    return malformed();
  return validate(signature);
}

} // namespace kimic::quant
