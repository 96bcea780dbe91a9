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
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

namespace kimic {
namespace {

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
    std::optional<quant::Signature> signature = quant::signatureNamed(names[i]);
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
