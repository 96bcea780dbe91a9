#include "formats/quant/Signature.h"

namespace kimic::quant {
namespace {

constexpr std::uint8_t kEncodingVersion = 1;
constexpr std::uint8_t kOutputAffineFlag = 0x01;
constexpr unsigned kHeadShift = 1;
constexpr std::uint8_t kHeadMask = 0x03;
constexpr std::uint8_t kSparseInputsFlag = 0x08;
constexpr std::uint8_t kAllFlags = 0x0F;
constexpr std::uint8_t kClampedFlag = 0x80;

void writeVarint(std::vector<std::uint8_t> &bytes, std::uint32_t value) {
  for (; value >= 0x80; value >>= 7)
    bytes.push_back(static_cast<std::uint8_t>(value) | 0x80);
  bytes.push_back(static_cast<std::uint8_t>(value));
}

/// Reads the encoding front to back. After a failure `failed` stays set and every read yields 0.
class Reader {
public:
  explicit Reader(std::span<const std::uint8_t> bytes) : bytes_(bytes) {}

  std::uint8_t byte() {
    if (failed_ || position_ == bytes_.size()) {
      failed_ = true;
      return 0;
    }
    return bytes_[position_++];
  }

  std::uint32_t varint() {
    std::uint32_t value = 0;
    for (unsigned shift = 0; shift < 35; shift += 7) {
      std::uint8_t b = byte();
      bool overflows = shift == 28 && b > 0x0F;
      bool padded = shift > 0 && b == 0;
      if (failed_ || overflows || padded)
        break;
      value |= static_cast<std::uint32_t>(b & 0x7F) << shift;
      if (b < 0x80)
        return value;
    }
    failed_ = true;
    return 0;
  }

  void refuse() { failed_ = true; }
  bool failed() const { return failed_; }
  std::size_t position() const { return position_; }
  std::size_t remaining() const { return bytes_.size() - position_; }

private:
  std::span<const std::uint8_t> bytes_;
  std::size_t position_ = 0;
  bool failed_ = false;
};

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
  std::vector<std::uint8_t> bytes;
  bytes.push_back(kEncodingVersion);
  bytes.push_back((signature.outputAffine ? kOutputAffineFlag : 0) | (signature.sparseInputs ? kSparseInputsFlag : 0) |
                  static_cast<std::uint8_t>(static_cast<unsigned>(signature.head) << kHeadShift));
  writeVarint(bytes, signature.inputs);
  writeVarint(bytes, static_cast<std::uint32_t>(signature.layers.size()));
  for (const LayerSignature &layer : signature.layers) {
    bytes.push_back(static_cast<std::uint8_t>(layer.weights));
    writeVarint(bytes, layer.readBegin);
    writeVarint(bytes, static_cast<std::uint32_t>(layer.groups.size()));
    for (const ActivationGroup &group : layer.groups) {
      bytes.push_back(static_cast<std::uint8_t>(group.function) | (group.clamped ? kClampedFlag : 0));
      writeVarint(bytes, group.count);
    }
  }
  return bytes;
}

Result<void> decodeSignature(std::span<const std::uint8_t> bytes, Signature &signature) {
  // Least bytes that a layer and a group take: they bound every allocation by the size of the input.
  constexpr std::size_t kLayerBytes = 5, kGroupBytes = 2;
  Reader reader(bytes);
  auto malformed = [&] { return makeError(ErrorId::SignatureMalformed, reader.position(), bytes.size()); };
  if (reader.byte() != kEncodingVersion)
    return malformed();
  std::uint8_t flags = reader.byte();
  if (flags > kAllFlags)
    return malformed();
  signature.outputAffine = (flags & kOutputAffineFlag) != 0;
  signature.head = static_cast<Head>(flags >> kHeadShift & kHeadMask);
  signature.sparseInputs = (flags & kSparseInputsFlag) != 0;
  signature.inputs = reader.varint();
  std::uint32_t layers = reader.varint();
  if (reader.failed() || layers > reader.remaining() / kLayerBytes)
    return malformed();
  if (layers > kMaxLayers)
    return makeError(ErrorId::SignatureLayers, layers, kMaxLayers);
  signature.layers = std::vector<LayerSignature>(layers);
  for (LayerSignature &layer : signature.layers) {
    layer.weights = static_cast<WeightFormat>(reader.byte());
    layer.readBegin = reader.varint();
    std::uint32_t groups = reader.varint();
    if (reader.failed() || groups > reader.remaining() / kGroupBytes)
      return malformed();
    layer.groups = std::vector<ActivationGroup>(groups);
    for (ActivationGroup &group : layer.groups) {
      std::uint8_t function = reader.byte();
      group.clamped = (function & kClampedFlag) != 0;
      group.function = static_cast<Activation>(function & ~kClampedFlag);
      group.count = reader.varint();
    }
  }
  if (reader.failed() || reader.remaining() != 0)
    return malformed();
  return validate(signature);
}

} // namespace kimic::quant
