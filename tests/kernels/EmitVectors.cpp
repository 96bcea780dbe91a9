// Writes kernel modules of random experts and what they must compute: the input of checkVectors.mjs.
//
//   emit-kernel-vectors OUTPUT_DIRECTORY
//
// vectors.bin holds, as little-endian u32 words: "KVEC", the number of groups; per group the number of kernels, then
// the scalar and the simd128 module (byte length, bytes padded to 4); per kernel inputs, outputs, rows, bytes of the
// parameters, bytes of scratch, the parameters, x and the y of the reference evaluator.
// Kernels 0, 1 and 2 of group 0 are the same 64-128-64-16 in int8, with residual rows for all outputs, and in f32.
// The modules also lie beside it as group<i>.<variant>.wasm, for tools that take one module.
#include "compiler/Target/KernelModule.h"
#include "formats/abi/KernelVerifier.h"
#include "tests/support/KernelCases.h"

#include <cstdio>
#include <cstring>
#include <ctime>
#include <fstream>
#include <string>

namespace kimic {
namespace {

using testing::everyFunction;
using testing::ExpertGenerator;
using testing::RandomExpert;
using testing::RandomExpertLimits;
using testing::tanhLayers;

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

/// Most numbers become 0, now and then all.
void makeSparse(ExpertGenerator &generator, std::vector<float> &x) {
  bool isEmpty = generator.chance(8);
  for (float &value : x)
    if (isEmpty || !generator.chance(6))
      value = 0;
}

class Emitter {
public:
  explicit Emitter(std::string directory) : directory(std::move(directory)) {}

  void add(RandomExpert expert, std::uint32_t rows, ExpertGenerator &generator) {
    Case one{std::move(expert), rows, {}};
    one.x = testing::kernelInputs(generator, std::size_t{rows} * one.expert.signature.inputs);
    if (one.expert.signature.sparseInputs)
      makeSparse(generator, one.x);
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
    std::vector<float> y = testing::referenceOutputs(signature, layout, block, one.x);

    for (std::uint32_t word : {signature.inputs, signature.outputs(), one.rows,
                               static_cast<std::uint32_t>(block.size()), layout.scratchBytes})
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

/// Residual rows for `count` outputs of layer `l`, any of them.
void listResiduals(ExpertGenerator &generator, RandomExpert &expert, std::size_t l, std::uint32_t count) {
  quant::LayerParameters &layer = expert.parameters.layers[l];
  std::uint32_t fanIn = expert.signature.fanIn(l), outputs = expert.signature.layers[l].outputs();
  layer.residuals.clear();
  for (std::uint32_t n = 0; n < outputs; ++n) {
    bool isListed =
        count > 0 && generator.integer(1, static_cast<std::int32_t>(outputs - n)) <= static_cast<std::int32_t>(count);
    if (!isListed)
      continue;
    --count;
    quant::ResidualRow residual{n, {}, layer.multiplier[n] * generator.real(-0.25f, 0.25f)};
    for (std::uint32_t k = 0; k < fanIn; ++k)
      residual.weights.push_back(static_cast<std::int8_t>(generator.integer(-127, 127)));
    layer.residuals.push_back(std::move(residual));
  }
}

RandomExpert standardExpert(ExpertGenerator &generator, quant::WeightFormat format) {
  RandomExpert expert{tanhLayers(format, {64, 128, 64, 16}), {}};
  expert.parameters = generator.parameters(expert.signature);
  if (format == quant::WeightFormat::Int8Residual)
    for (std::size_t l = 0; l < 3; ++l)
      listResiduals(generator, expert, l, expert.signature.layers[l].outputs());
  return expert;
}

/// Every number of residual rows, of layers with and without a rest of a vector.
void addResidualCounts(Emitter &emitter, ExpertGenerator &generator) {
  for (std::uint32_t inputs : {1u, 5u, 8u, 11u})
    for (std::uint32_t width : {3u, 4u, 9u}) {
      quant::Signature signature = tanhLayers(quant::WeightFormat::Int8Residual, {inputs, width, width});
      for (std::uint32_t first = 0; first <= width; ++first)
        for (std::uint32_t second : {0u, first, width}) {
          RandomExpert expert{signature, generator.parameters(signature)};
          listResiduals(generator, expert, 0, first);
          listResiduals(generator, expert, 1, second);
          emitter.add(std::move(expert), 2, generator);
        }
    }
}

/// Every number of outputs, in blocks and in rows, with every rest of a vector of inputs.
void addWidths(Emitter &emitter, ExpertGenerator &generator) {
  for (quant::WeightFormat format : {quant::WeightFormat::Int8, quant::WeightFormat::Float32})
    for (std::uint32_t width = 1; width <= 17; ++width)
      for (std::uint32_t inputs = 1; inputs <= 17; ++inputs) {
        quant::Signature signature = tanhLayers(format, {inputs, width});
        emitter.add({signature, generator.parameters(signature)}, 2, generator);
      }
}

/// First layers that skip pairs of inputs: every rest of a mask of 32 pairs, with blocks of every size, behind each
/// other and with rows.
void addSparse(Emitter &emitter, ExpertGenerator &generator) {
  for (quant::WeightFormat format : {quant::WeightFormat::Int8, quant::WeightFormat::Int8Residual})
    for (std::uint32_t inputs = 1; inputs <= 140; inputs += inputs < 70 ? 1 : 7)
      for (std::uint32_t width : {8u, 27u, 48u}) {
        quant::Signature signature = tanhLayers(format, {inputs, width, 5});
        signature.sparseInputs = true;
        emitter.add({signature, generator.parameters(signature)}, 1 + inputs % 6, generator);
      }
}

/// Each head over every number of logits up to three vectors, from each kind of weights.
void addHeads(Emitter &emitter, ExpertGenerator &generator) {
  for (unsigned format = 0; format < quant::kWeightFormatCount; ++format)
    for (quant::Head head : {quant::Head::Softmax, quant::Head::Argmax})
      for (std::uint32_t width = 1; width <= 12; ++width) {
        quant::Signature signature = tanhLayers(static_cast<quant::WeightFormat>(format), {4, width});
        signature.layers[0].groups[0].function = Activation::Linear;
        signature.outputAffine = width % 2 == 0;
        signature.head = head;
        emitter.add({signature, generator.parameters(signature)}, 9, generator);
      }
}

int run(const std::string &directory) {
  Emitter emitter(directory);
  ExpertGenerator first(1);
  // The shape whose time and size design texts and reports name comes first, in each format.
  for (unsigned format = 0; format < quant::kWeightFormatCount; ++format)
    emitter.add(standardExpert(first, static_cast<quant::WeightFormat>(format)), 9, first);

  for (unsigned function = 0; function < kActivationCount; ++function)
    for (bool isClamped : {false, true})
      for (std::uint32_t width : {3u, 21u, 48u}) {
        RandomExpert expert{everyFunction(quant::WeightFormat::Int8, function, isClamped, width), {}};
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
        testing::makeExtreme(generator, expert);
      emitter.add(std::move(expert), static_cast<std::uint32_t>(generator.integer(1, 9)), generator);
    }
  for (unsigned function = 0; function < kActivationCount; ++function)
    for (std::uint32_t width : {3u, 21u, 48u}) {
      RandomExpert expert{everyFunction(quant::WeightFormat::Float32, function, true, width), {}};
      expert.parameters = first.parameters(expert.signature);
      emitter.add(expert, 3, first);
    }
  addWidths(emitter, first);
  addResidualCounts(emitter, first);
  addHeads(emitter, first);
  addSparse(emitter, first);
  for (Batch batch : batches)
    for (unsigned i = 0; i < batch.count; ++i) {
      batch.limits.weightFormats = quant::kWeightFormatCount;
      batch.limits.heads = quant::kHeadCount;
      batch.limits.maybeSparse = true;
      ExpertGenerator generator(seed++, batch.limits);
      RandomExpert expert = generator.expert();
      if (batch.isExtreme)
        testing::makeExtreme(generator, expert);
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
