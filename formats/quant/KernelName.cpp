#include "formats/quant/KernelName.h"

namespace kimic::quant {
namespace {

constexpr std::size_t kMaxLength = 72;

/// Every layer has one group and reads exactly the outputs of the layer before it.
bool isRegular(const Signature &signature) {
  std::uint32_t previousBegin = 0, codes = signature.inputs;
  for (const LayerSignature &layer : signature.layers) {
    if (layer.groups.size() != 1 || layer.readBegin != previousBegin)
      return false;
    previousBegin = codes;
    codes += layer.outputs();
  }
  return true;
}

std::string functionName(const LayerSignature &layer) {
  const ActivationGroup &group = layer.groups.front();
  bool isWorthSaying = group.clamped && layer.weights != WeightFormat::Float32;
  return (isWorthSaying ? "clamped_" : "") + std::string(nameOf(group.function));
}

const char *formatName(WeightFormat weights) {
  switch (weights) {
  case WeightFormat::Int8:
    return "w8a14_";
  case WeightFormat::Int8Residual:
    return "w16a14_";
  case WeightFormat::Float32:
    return "f32_";
  }
  return "";
}

const char *headName(Head head) {
  switch (head) {
  case Head::None:
    return "";
  case Head::Softmax:
    return "_softmax";
  case Head::Argmax:
    return "_argmax";
  }
  return "";
}

/// One function if all layers have the same, two if all hidden layers have the same, otherwise one per layer.
std::string functionNames(const Signature &signature) {
  std::string first = functionName(signature.layers.front()), last = functionName(signature.layers.back());
  std::string all = first;
  bool isSameHidden = true;
  for (std::size_t l = 1; l < signature.layers.size(); ++l) {
    std::string name = functionName(signature.layers[l]);
    isSameHidden = isSameHidden && (l + 1 == signature.layers.size() || name == first);
    all += "-" + name;
  }
  if (!isSameHidden)
    return all;
  return first == last ? first : first + "-" + last;
}

std::string hexDigits(std::uint64_t value) {
  std::string digits(16, '0');
  for (std::size_t i = 16; i-- > 0; value >>= 4)
    digits[i] = "0123456789abcdef"[value & 15];
  return digits;
}

std::uint64_t fnv1a(std::span<const std::uint8_t> bytes) {
  std::uint64_t hash = 0xcbf29ce484222325u;
  for (std::uint8_t b : bytes)
    hash = (hash ^ b) * 0x100000001b3u;
  return hash;
}

} // namespace

std::string kernelName(const Signature &signature) {
  std::string prefix = formatName(signature.weights()) + std::to_string(signature.inputs);
  std::string suffix = (signature.outputAffine ? "_affine" : "") + std::string(headName(signature.head)) +
                       (signature.sparseInputs ? "_sparse" : "");
  if (isRegular(signature) && signature.layers.size() < kMaxLength) {
    std::string name = prefix;
    for (const LayerSignature &layer : signature.layers)
      name += "-" + std::to_string(layer.outputs());
    name += "_" + functionNames(signature) + suffix;
    if (name.size() <= kMaxLength)
      return name;
  }
  return prefix + "-x" + std::to_string(signature.layers.size() - 1) + "-" + std::to_string(signature.logits()) +
         suffix + "_" + hexDigits(fnv1a(encode(signature)));
}

} // namespace kimic::quant
