// Small packs for tests of what uses packs: experts with given numbers, kernels that do nothing.
#pragma once

#include "formats/abi/KernelAbi.h"
#include "formats/pack/PackWriter.h"
#include "formats/quant/Parameters.h"
#include "tests/support/RandomExpert.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

namespace kimic::testing {

/// A valid kernel module of functions with these bodies (locals, instructions, end).
inline std::vector<std::uint8_t> kernelModule(const std::vector<std::vector<std::uint8_t>> &bodies) {
  using Bytes = std::vector<std::uint8_t>;
  auto leb = [](Bytes &out, std::uint32_t value) {
    for (; value >= 0x80; value >>= 7)
      out.push_back(static_cast<std::uint8_t>(value | 0x80));
    out.push_back(static_cast<std::uint8_t>(value));
  };
  auto name = [&](Bytes &out, const std::string &text) {
    leb(out, static_cast<std::uint32_t>(text.size()));
    out.insert(out.end(), text.begin(), text.end());
  };
  Bytes module = {0, 'a', 's', 'm', 1, 0, 0, 0};
  auto section = [&](std::uint8_t id, const Bytes &content) {
    module.push_back(id);
    leb(module, static_cast<std::uint32_t>(content.size()));
    module.insert(module.end(), content.begin(), content.end());
  };
  section(1, {1, 0x60, 5, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0});
  Bytes imports = {1};
  name(imports, "env");
  name(imports, "memory");
  imports.insert(imports.end(), {2, 0, 0});
  section(2, imports);
  std::uint32_t kernels = static_cast<std::uint32_t>(bodies.size());
  Bytes functions, exports, code;
  leb(functions, kernels);
  leb(exports, kernels);
  leb(code, kernels);
  for (std::uint32_t i = 0; i < kernels; ++i) {
    functions.push_back(0);
    name(exports, "k" + std::to_string(i));
    exports.push_back(0);
    leb(exports, i);
    leb(code, static_cast<std::uint32_t>(bodies[i].size()));
    code.insert(code.end(), bodies[i].begin(), bodies[i].end());
  }
  section(3, functions);
  section(7, exports);
  section(10, code);
  return module;
}

/// A valid kernel module of `kernels` functions that return at once.
inline std::vector<std::uint8_t> emptyKernelModule(std::uint32_t kernels) {
  return kernelModule(std::vector<std::vector<std::uint8_t>>(kernels, {0, 0x0b}));
}

/// An expert of one linear layer whose outputs are these whole numbers, whatever the input.
inline RandomExpert constantExpert(std::uint32_t inputs, const std::vector<std::int32_t> &outputs) {
  RandomExpert expert;
  expert.signature.inputs = inputs;
  quant::LayerSignature layer;
  layer.groups.push_back({Activation::Linear, false, static_cast<std::uint32_t>(outputs.size())});
  expert.signature.layers.push_back(layer);
  expert.parameters.inputScale.assign(inputs, 1.0f);
  quant::LayerParameters numbers;
  numbers.weights.assign(inputs * outputs.size(), 0);
  numbers.bias = outputs;
  numbers.multiplier.assign(outputs.size(), 1.0f);
  expert.parameters.layers.push_back(numbers);
  return expert;
}

/// An expert of one linear layer whose output n is 8 times input n. REQUIRES: outputs <= inputs.
inline RandomExpert diagonalExpert(std::uint32_t inputs, std::uint32_t outputs) {
  RandomExpert expert = constantExpert(inputs, std::vector<std::int32_t>(outputs));
  for (std::uint32_t n = 0; n < outputs; ++n)
    expert.parameters.layers[0].weights[n * inputs + n] = 8;
  return expert;
}

/// Collects experts; equal signatures share a kernel.
class TestPack {
public:
  /// The number of the signature's kernel, which is new if there was none.
  std::uint32_t addKernel(const quant::Signature &signature) {
    std::vector<std::uint8_t> encoded = quant::encode(signature);
    std::uint32_t kernel = 0;
    while (kernel < contents.signatures.size() && contents.signatures[kernel] != encoded)
      ++kernel;
    if (kernel == contents.signatures.size()) {
      contents.signatures.push_back(encoded);
      signatures.push_back(signature);
    }
    return kernel;
  }

  /// The number of the new expert.
  std::uint32_t add(const RandomExpert &expert) {
    std::uint32_t kernel = addKernel(expert.signature);
    Result<quant::Layout> layout = quant::layoutOf(expert.signature);
    EXPECT_TRUE(layout.ok());
    pack::PackContents::Expert entry;
    entry.kernel = kernel;
    entry.parameters = packParameters(expert.signature, *layout, expert.parameters);
    contents.experts.push_back(entry);
    experts.push_back(expert);
    return static_cast<std::uint32_t>(contents.experts.size() - 1);
  }

  /// Adds the router's network; all experts before it can be chosen.
  void addRouter(const RandomExpert &network, std::uint32_t topK, pack::Merge merge, float temperature = 1) {
    pack::Router router;
    router.routed = add(network);
    router.strategy = topK == 1 ? pack::Strategy::Top1 : pack::Strategy::TopK;
    router.merge = merge;
    router.topK = topK;
    router.temperature = temperature;
    contents.router = router;
  }

  /// Adds a column behind the parameters of the router's network; in the order of the record's flags.
  void addColumn(bool pack::Router::*isThere, const std::vector<float> &numbers) {
    (*contents.router).*isThere = true;
    auto *bytes = reinterpret_cast<const std::uint8_t *>(numbers.data());
    std::vector<std::uint8_t> &parameters = contents.experts.back().parameters;
    parameters.insert(parameters.end(), bytes, bytes + numbers.size() * sizeof(float));
  }

  std::uint32_t kernelsPerGroup() const { return 1u << contents.groupLog2; }

  /// The pack's bytes, with modules that do nothing for variants that have none yet.
  std::vector<std::uint8_t> bytes() {
    for (unsigned variant : {0u, 1u})
      if (contents.modules[variant].empty())
        for (std::size_t first = 0; first < signatures.size(); first += kernelsPerGroup())
          contents.modules[variant].push_back(emptyKernelModule(
              static_cast<std::uint32_t>(std::min<std::size_t>(kernelsPerGroup(), signatures.size() - first))));
    Result<std::vector<std::uint8_t>> written = pack::writePack(contents);
    EXPECT_TRUE(written.ok());
    return written.ok() ? *written : std::vector<std::uint8_t>();
  }

  pack::PackContents contents;
  std::vector<quant::Signature> signatures; ///< by kernel
  std::vector<RandomExpert> experts;
};

/// Sixteen experts of about 40 KiB, the i-th with 128 outputs of 100 + i for 256 inputs.
inline std::vector<std::uint8_t> packOfSixteen() {
  TestPack pack;
  for (std::int32_t i = 0; i < 16; ++i)
    pack.add(constantExpert(256, std::vector<std::int32_t>(128, 100 + i)));
  return pack.bytes();
}

/// A memory cap for packOfSixteen: the bookkeeping, an expert on its way (stored and decoded) and four at home.
constexpr std::uint64_t kCapForFour = 280 << 10;

} // namespace kimic::testing
