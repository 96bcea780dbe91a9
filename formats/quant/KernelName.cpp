#include "formats/quant/KernelName.h"

#include <charconv>
#include <vector>

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

bool consume(std::string_view &text, std::string_view prefix) {
  if (!text.starts_with(prefix))
    return false;
  text.remove_prefix(prefix.size());
  return true;
}

bool consumeEnd(std::string_view &text, std::string_view suffix) {
  if (!text.ends_with(suffix))
    return false;
  text.remove_suffix(suffix.size());
  return true;
}

std::vector<std::string_view> split(std::string_view text) {
  std::vector<std::string_view> parts;
  for (;;) {
    std::size_t at = text.find('-');
    parts.push_back(text.substr(0, at));
    if (at == std::string_view::npos)
      return parts;
    text.remove_prefix(at + 1);
  }
}

std::optional<Activation> activationNamed(std::string_view name) {
  for (unsigned function = 0; function < kActivationCount; ++function)
    if (name == nameOf(static_cast<Activation>(function)))
      return static_cast<Activation>(function);
  return std::nullopt;
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

std::optional<Signature> signatureNamed(std::string_view name) {
  std::string_view text = name;
  Signature signature;
  WeightFormat format;
  if (consume(text, "w8a14_"))
    format = WeightFormat::Int8;
  else if (consume(text, "w16a14_"))
    format = WeightFormat::Int8Residual;
  else if (consume(text, "f32_"))
    format = WeightFormat::Float32;
  else
    return std::nullopt;
  signature.sparseInputs = consumeEnd(text, "_sparse");
  if (consumeEnd(text, "_softmax"))
    signature.head = Head::Softmax;
  else if (consumeEnd(text, "_argmax"))
    signature.head = Head::Argmax;
  signature.outputAffine = consumeEnd(text, "_affine");
  std::size_t end = text.find('_');
  if (end == std::string_view::npos)
    return std::nullopt;
  std::vector<std::string_view> widths = split(text.substr(0, end)), functions = split(text.substr(end + 1));
  std::size_t layers = widths.size() - 1;
  std::uint32_t codes = 0, begin = 0;
  for (std::size_t l = 0; l <= layers; ++l) {
    std::uint32_t count = 0; // of what is no number in its shortest form: the name that is made at the end shows it
    std::from_chars(widths[l].data(), widths[l].data() + widths[l].size(), count);
    if (l == 0) {
      signature.inputs = codes = count;
      continue;
    }
    std::size_t which = functions.size() == layers ? l - 1 : functions.size() == 2 ? (l == layers) : 0;
    std::string_view function = functions[which];
    bool isClamped = consume(function, "clamped_") || format == WeightFormat::Float32;
    std::optional<Activation> activation = activationNamed(function);
    if (!activation)
      return std::nullopt;
    signature.layers.push_back({format, begin, {{*activation, isClamped, count}}});
    begin = codes;
    codes += count;
  }
  if (layers == 0 || !validate(signature) || kernelName(signature) != name)
    return std::nullopt;
  return signature;
}

} // namespace kimic::quant
