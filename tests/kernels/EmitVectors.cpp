// Writes kernel modules of random experts and what they must compute: the input of checkVectors.mjs.
//
//   emit-kernel-vectors OUTPUT_DIRECTORY
//
// vectors.bin holds, as little-endian u32 words: "KVEC", the number of groups; per group the number of kernels, then
// the scalar and the simd128 module (byte length, bytes padded to 4); per kernel inputs, outputs, rows, bytes of the
// parameters, bytes of scratch, the parameters, x and the y of the reference evaluator.
// The modules also lie beside it as group<i>.<variant>.wasm, for tools that take one module.
#include "compiler/Target/KernelModule.h"
#include "formats/abi/KernelVerifier.h"
#include "formats/reference/Reference.h"
#include "tests/support/RandomExpert.h"

#include <cstdio>
#include <cstring>
#include <ctime>
#include <fstream>
#include <limits>
#include <string>

namespace kimic {
namespace {

using testing::ExpertGenerator;
using testing::RandomExpert;
using testing::RandomExpertLimits;

struct Aligned {
  alignas(16) std::uint8_t bytes[16];
};

class Words {
public:
  void u32(std::uint32_t value) { bytes_.append(reinterpret_cast<const char *>(&value), 4); }
  void append(const void *data, std::size_t size) {
    bytes_.append(static_cast<const char *>(data), size);
    bytes_.resize((bytes_.size() + 3) / 4 * 4);
  }
  const std::string &bytes() const { return bytes_; }

private:
  std::string bytes_;
};

/// Inputs that reach every part of the input quantization: ordinary ones, ties, saturation, NaN and infinities.
std::vector<float> makeInputs(ExpertGenerator &generator, std::size_t count) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const float special[] = {0.0f,       -0.0f,     0.5f,    1.5f,
                           1e-30f,     1e30f,     -1e30f,  std::numeric_limits<float>::quiet_NaN(),
                           -kInfinity, kInfinity, -1e-42f, 32768.0f};
  bool isSpecial = generator.chance(3);
  std::vector<float> x(count);
  for (float &value : x)
    value = isSpecial && generator.chance(4) ? special[generator.integer(0, 11)] : generator.real(-2, 2);
  return x;
}

/// Rows of only the largest and smallest weights, codes at their bounds, biases anywhere: sums wrap.
void makeExtreme(ExpertGenerator &generator, quant::ExpertParameters &parameters) {
  const std::int8_t weights[] = {-128, -127, 127, 0};
  for (float &scale : parameters.inputScale)
    scale = 1e7f;
  for (quant::LayerParameters &layer : parameters.layers) {
    for (std::int8_t &weight : layer.weights)
      weight = weights[generator.integer(0, 3)];
    for (std::int32_t &bias : layer.bias)
      bias = generator.integer(std::numeric_limits<std::int32_t>::min(), std::numeric_limits<std::int32_t>::max());
  }
}

class Emitter {
public:
  explicit Emitter(std::string directory) : directory(std::move(directory)) {}

  void add(RandomExpert expert, std::uint32_t rows, ExpertGenerator &generator) {
    Case one{std::move(expert), rows, {}};
    one.x = makeInputs(generator, std::size_t{rows} * one.expert.signature.inputs);
    pending.push_back(std::move(one));
    if (pending.size() == abi::kGroupKernels)
      flush();
  }

  bool flush() {
    if (pending.empty())
      return true;
    std::vector<quant::Signature> signatures;
    for (const Case &one : pending)
      signatures.push_back(one.expert.signature);
    body.u32(static_cast<std::uint32_t>(pending.size()));
    for (abi::Variant variant : {abi::Variant::Scalar, abi::Variant::Simd128})
      emitModule(signatures, variant);
    for (const Case &one : pending)
      emitCase(one);
    kernels += pending.size();
    ++groups;
    pending.clear();
    return isOk;
  }

  bool finish() {
    flush();
    std::ofstream file(directory + "/vectors.bin", std::ios::binary);
    Words header;
    header.append("KVEC", 4);
    header.u32(groups);
    file << header.bytes() << body.bytes();
    std::printf("%zu kernels in %u groups, %.0f emitted per second and core\n", kernels, groups, 2 * kernels / seconds);
    return isOk && static_cast<bool>(file.flush());
  }

private:
  struct Case {
    RandomExpert expert;
    std::uint32_t rows;
    std::vector<float> x;
  };

  void emitModule(const std::vector<quant::Signature> &signatures, abi::Variant variant) {
    std::clock_t begin = std::clock();
    auto module = emitKernelModule(signatures, variant);
    seconds += static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
    if (!module) {
      std::fprintf(stderr, "group %u: %s\n", groups, module.error().message().c_str());
      isOk = false;
      return;
    }
    body.u32(static_cast<std::uint32_t>(module->size()));
    body.append(module->data(), module->size());
    std::ofstream file(directory + "/group" + std::to_string(groups) + "." + abi::nameOf(variant) + ".wasm",
                       std::ios::binary);
    file.write(reinterpret_cast<const char *>(module->data()), static_cast<std::streamsize>(module->size()));
  }

  void emitCase(const Case &one) {
    const quant::Signature &signature = one.expert.signature;
    quant::Layout layout = quant::layoutOf(signature).value();
    std::vector<std::uint8_t> block = packParameters(signature, layout, one.expert.parameters);
    std::vector<Aligned> params(block.size() / 16), scratch(layout.scratchBytes / 16);
    std::memcpy(params.data(), block.data(), block.size());
    std::vector<float> y(std::size_t{one.rows} * signature.outputs());
    reference::run(signature, layout, params.data()->bytes, one.x.data(), y.data(), scratch.data()->bytes, one.rows);

    for (std::uint32_t word :
         {signature.inputs, signature.outputs(), one.rows, layout.parameterBytes, layout.scratchBytes})
      body.u32(word);
    body.append(block.data(), block.size());
    body.append(one.x.data(), one.x.size() * 4);
    body.append(y.data(), y.size() * 4);
  }

  std::string directory;
  Words body;
  std::vector<Case> pending;
  std::uint32_t groups = 0;
  std::size_t kernels = 0;
  double seconds = 0;
  bool isOk = true;
};

/// The same shape for each of the twenty functions, hidden and at the end, clamped and not.
quant::Signature everyFunction(unsigned function, bool isClamped, std::uint32_t width) {
  quant::ActivationGroup group{static_cast<Activation>(function), isClamped, width};
  quant::Signature signature;
  signature.inputs = 11;
  signature.layers = {{quant::WeightFormat::Int8, 0, {group}}, {quant::WeightFormat::Int8, 11, {group}}};
  return signature;
}

quant::Signature tanhLayers(std::initializer_list<std::uint32_t> widths) {
  quant::Signature signature;
  std::uint32_t begin = 0, codes = *widths.begin();
  signature.inputs = codes;
  for (auto width = widths.begin() + 1; width != widths.end(); ++width) {
    signature.layers.push_back({quant::WeightFormat::Int8, begin, {{Activation::SigmoidSymmetric, false, *width}}});
    begin = codes;
    codes += *width;
  }
  return signature;
}

int run(const std::string &directory) {
  Emitter emitter(directory);
  ExpertGenerator first(1);
  // The shape whose time and size design texts and reports name comes first: kernel 0 of group 0.
  RandomExpert standard{tanhLayers({64, 128, 64, 16}), {}};
  standard.parameters = first.parameters(standard.signature);
  emitter.add(standard, 9, first);

  for (unsigned function = 0; function < kActivationCount; ++function)
    for (bool isClamped : {false, true})
      for (std::uint32_t width : {3u, 21u, 48u}) {
        RandomExpert expert{everyFunction(function, isClamped, width), {}};
        expert.parameters = first.parameters(expert.signature);
        emitter.add(expert, 3, first);
      }

  struct Batch {
    RandomExpertLimits limits;
    unsigned count;
    bool isExtreme;
  };
  const Batch batches[] = {
      {{8, 3, 8, 3}, 100, false},    // tails shorter than a vector
      {{40, 5, 40, 4}, 120, false},  // odd sizes, several groups
      {{300, 3, 300, 5}, 60, false}, // several blocks
      {{20, 12, 24, 3}, 60, false},  // deep, shortcut
      {{100, 3, 70, 3}, 60, true},   // sums wrap, inputs saturate
  };
  std::uint32_t seed = 2;
  for (const Batch &batch : batches)
    for (unsigned i = 0; i < batch.count; ++i) {
      ExpertGenerator generator(seed++, batch.limits);
      RandomExpert expert = generator.expert();
      if (batch.isExtreme)
        makeExtreme(generator, expert.parameters);
      emitter.add(std::move(expert), static_cast<std::uint32_t>(generator.integer(1, 9)), generator);
    }
  return emitter.finish() ? 0 : 1;
}

} // namespace
} // namespace kimic

int main(int argc, char **argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: emit-kernel-vectors OUTPUT_DIRECTORY\n");
    return 2;
  }
  return kimic::run(argv[1]);
}
