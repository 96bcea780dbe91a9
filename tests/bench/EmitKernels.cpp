// Writes kernels by name, with numbers to run them on: what the kernel benchmarks measure.
//
//   emit-bench-kernels OUTPUT_DIRECTORY ROWS NAME...
//
// NAME is a regular kernel name (kernel-abi-v1, "Kernel names"). For the i-th name, <i>.wasm is the simd128 module with
// the one kernel k0, and <i>.bin holds the parameter block, ROWS rows of x, and the y of the reference evaluator.
// all.wasm is the module of all of them. kernels.json says for each: name, inputs, outputs, bytes of the parameters and
// of scratch, multiplications per row.
#include "compiler/Target/KernelModule.h"
#include "formats/quant/KernelName.h"
#include "tests/support/KernelCases.h"

#include <cstdio>
#include <cstring>
#include <fstream>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace kimic {
namespace {

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

/// The signature whose name is `name`, if that is a regular one.
std::optional<quant::Signature> signatureNamed(std::string_view name) {
  std::string_view text = name;
  quant::Signature signature;
  quant::WeightFormat format;
  if (consume(text, "w8a14_"))
    format = quant::WeightFormat::Int8;
  else if (consume(text, "w16a14_"))
    format = quant::WeightFormat::Int8Residual;
  else if (consume(text, "f32_"))
    format = quant::WeightFormat::Float32;
  else
    return std::nullopt;
  if (consumeEnd(text, "_softmax"))
    signature.head = quant::Head::Softmax;
  else if (consumeEnd(text, "_argmax"))
    signature.head = quant::Head::Argmax;
  signature.outputAffine = consumeEnd(text, "_affine");
  std::size_t end = text.find('_');
  if (end == std::string_view::npos)
    return std::nullopt;
  std::vector<std::string_view> widths = split(text.substr(0, end)), functions = split(text.substr(end + 1));
  std::size_t layers = widths.size() - 1;
  std::uint32_t codes = 0, begin = 0;
  for (std::size_t l = 0; l <= layers; ++l) {
    std::string width(widths[l]);
    std::uint32_t count = static_cast<std::uint32_t>(std::strtoul(width.c_str(), nullptr, 10));
    if (l == 0) {
      signature.inputs = codes = count;
      continue;
    }
    std::size_t which = functions.size() == layers ? l - 1 : functions.size() == 2 ? (l == layers) : 0;
    std::string_view function = functions[which];
    bool isClamped = consume(function, "clamped_") || format == quant::WeightFormat::Float32;
    std::optional<Activation> activation = activationNamed(function);
    if (!activation)
      return std::nullopt;
    signature.layers.push_back({format, begin, {{*activation, isClamped, count}}});
    begin = codes;
    codes += count;
  }
  if (layers == 0 || !quant::validate(signature) || quant::kernelName(signature) != name)
    return std::nullopt;
  return signature;
}

bool write(const std::string &path, std::initializer_list<std::pair<const void *, std::size_t>> parts) {
  std::ofstream file(path, std::ios::binary);
  for (auto [data, size] : parts)
    file.write(static_cast<const char *>(data), static_cast<std::streamsize>(size));
  return static_cast<bool>(file.flush());
}

int run(const std::string &directory, std::uint32_t rows, std::span<char *> names) {
  std::string json = "[";
  std::vector<quant::Signature> signatures;
  for (std::size_t i = 0; i < names.size(); ++i) {
    std::optional<quant::Signature> signature = signatureNamed(names[i]);
    if (!signature) {
      std::fprintf(stderr, "%s is not the name of a regular kernel\n", names[i]);
      return 1;
    }
    signatures.push_back(*signature);
    auto module = emitKernelModule(std::span(&*signature, 1), abi::Variant::Simd128);
    if (!module) {
      std::fprintf(stderr, "%s: %s\n", names[i], module.error().message().c_str());
      return 1;
    }
    testing::ExpertGenerator generator(1);
    quant::ExpertParameters parameters = generator.parameters(*signature);
    quant::Layout layout = quant::layoutOf(*signature).value();
    std::vector<std::uint8_t> block = packParameters(*signature, layout, parameters);
    std::vector<float> x(std::size_t{rows} * signature->inputs);
    for (float &value : x)
      value = generator.real(-1, 1);
    std::vector<float> y = testing::referenceOutputs(*signature, layout, block, x);

    std::uint64_t products = 0;
    for (std::size_t l = 0; l < signature->layers.size(); ++l)
      products += std::uint64_t{signature->fanIn(l)} * signature->layers[l].outputs();
    std::string path = directory + "/" + std::to_string(i);
    if (!write(path + ".wasm", {{module->data(), module->size()}}) ||
        !write(path + ".bin", {{block.data(), block.size()}, {x.data(), x.size() * 4}, {y.data(), y.size() * 4}})) {
      std::fprintf(stderr, "%s: cannot be written\n", path.c_str());
      return 1;
    }
    char line[512];
    std::snprintf(line, sizeof line,
                  "%s\n{\"name\": \"%s\", \"inputs\": %u, \"outputs\": %u, \"rows\": %u, \"parameterBytes\": %zu, "
                  "\"scratchBytes\": %u, \"moduleBytes\": %zu, \"macs\": %llu}",
                  i ? "," : "", names[i], signature->inputs, signature->outputs(), rows, block.size(),
                  layout.scratchBytes, module->size(), static_cast<unsigned long long>(products));
    json += line;
  }
  json += "\n]\n";
  auto all = emitKernelModule(signatures, abi::Variant::Simd128);
  if (!all) {
    std::fprintf(stderr, "all kernels: %s\n", all.error().message().c_str());
    return 1;
  }
  bool isWritten = write(directory + "/all.wasm", {{all->data(), all->size()}}) &&
                   write(directory + "/kernels.json", {{json.data(), json.size()}});
  return isWritten ? 0 : 1;
}

} // namespace
} // namespace kimic

int main(int argc, char **argv) {
  if (argc < 4) {
    std::fprintf(stderr, "usage: emit-bench-kernels OUTPUT_DIRECTORY ROWS NAME...\n");
    return 2;
  }
  return kimic::run(argv[1], static_cast<std::uint32_t>(std::strtoul(argv[2], nullptr, 10)),
                    std::span(argv + 3, static_cast<std::size_t>(argc - 3)));
}
