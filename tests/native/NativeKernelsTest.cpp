// Native kernels against the reference evaluator, to the bit.
#include "formats/reference/Reference.h"
#include "kimic/NativeKernels.h"
#include "tests/support/RandomExpert.h"

#include <cstring>
#include <gtest/gtest.h>
#include <limits>

namespace kimic::native {
namespace {

using quant::Layout;
using quant::Signature;
using testing::ExpertGenerator;
using testing::RandomExpert;
using testing::RandomExpertLimits;

constexpr std::size_t kGuard = 64;
constexpr std::uint8_t kGuardByte = 0xA5;

/// Bytes that start at a multiple of 16 but of no more, between bytes that must stay what they are.
class Guarded {
public:
  explicit Guarded(std::size_t size) : size_(size), bytes_(size + 2 * kGuard + 64, kGuardByte) {
    auto address = reinterpret_cast<std::uintptr_t>(bytes_.data());
    begin_ = kGuard + (16 + 32 - address % 32) % 32;
  }
  std::uint8_t *data() { return bytes_.data() + begin_; }
  float *floats() { return reinterpret_cast<float *>(data()); }
  bool isIntact() const {
    auto isGuard = [](std::uint8_t byte) { return byte == kGuardByte; };
    return std::all_of(bytes_.begin(), bytes_.begin() + begin_, isGuard) &&
           std::all_of(bytes_.begin() + begin_ + size_, bytes_.end(), isGuard);
  }

private:
  std::size_t size_, begin_;
  std::vector<std::uint8_t> bytes_;
};

std::vector<float> inputsFor(ExpertGenerator &generator, std::size_t count) {
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

/// Sums wrap; inputs saturate.
void makeExtreme(ExpertGenerator &generator, quant::ExpertParameters &parameters) {
  auto weight = [&] {
    const std::int8_t weights[] = {-128, -127, 127, 0};
    return weights[generator.integer(0, 3)];
  };
  for (float &scale : parameters.inputScale)
    scale = 1e7f;
  for (quant::LayerParameters &layer : parameters.layers) {
    for (std::int8_t &q : layer.weights)
      q = weight();
    for (quant::ResidualGroup &residual : layer.residuals)
      for (std::int8_t &q : residual.weights)
        q = weight();
    for (std::int32_t &bias : layer.bias)
      bias = generator.integer(std::numeric_limits<std::int32_t>::min(), std::numeric_limits<std::int32_t>::max());
    const float floats[] = {3e38f, -3e38f, 1e-42f, -1e30f, 0.0f, 1.0f};
    for (float &w : layer.floatWeights)
      w = floats[generator.integer(0, 5)];
    for (float &bias : layer.floatBias)
      bias = floats[generator.integer(0, 5)];
  }
}

class NativeKernels : public ::testing::TestWithParam<Vectors> {
protected:
  void SetUp() override {
    if (kernels.vectors() != GetParam())
      GTEST_SKIP() << "this processor has no " << nameOf(GetParam());
  }

  /// The native kernel's outputs are the reference's, and nothing else is written.
  void expectSameBits(const RandomExpert &expert, std::uint32_t rows, ExpertGenerator &generator,
                      const std::string &what) {
    const Signature &signature = expert.signature;
    ASSERT_TRUE(validate(signature).ok()) << what;
    Layout layout = quant::layoutOf(signature).value();
    std::vector<std::uint8_t> block = packParameters(signature, layout, expert.parameters);
    auto function = kernels.get(encode(signature));
    ASSERT_TRUE(function.ok()) << what << ": " << function.error().message();

    std::vector<float> x = inputsFor(generator, std::size_t{rows} * signature.inputs);
    std::size_t outputs = std::size_t{rows} * signature.outputs();
    Guarded params(block.size()), inputs(x.size() * 4), expected(outputs * 4), found(outputs * 4),
        scratch(layout.scratchBytes);
    std::memcpy(params.data(), block.data(), block.size());
    std::memcpy(inputs.data(), x.data(), x.size() * 4);
    reference::run(signature, layout, params.data(), inputs.floats(), expected.floats(), scratch.data(), rows);
    std::memset(scratch.data(), 0x7F, layout.scratchBytes);
    (*function)(params.data(), inputs.floats(), found.floats(), scratch.data(), rows);

    for (std::size_t i = 0; i < outputs; ++i)
      ASSERT_EQ(std::memcmp(expected.data() + 4 * i, found.data() + 4 * i, 4), 0)
          << what << ": row " << i / signature.outputs() << ", output " << i % signature.outputs() << " is "
          << found.floats()[i] << ", the reference computes " << expected.floats()[i];
    EXPECT_TRUE(params.isIntact() && inputs.isIntact() && found.isIntact() && scratch.isIntact()) << what;
    EXPECT_EQ(std::memcmp(params.data(), block.data(), block.size()), 0) << what;
  }

  Kernels kernels{{GetParam(), ""}};
};

std::string vectorsOf(const ::testing::TestParamInfo<Vectors> &info) { return nameOf(info.param); }
INSTANTIATE_TEST_SUITE_P(Widths, NativeKernels, ::testing::Values(Vectors::Bits128, Vectors::Avx2, Vectors::Avx512),
                         vectorsOf);

Signature everyFunction(quant::WeightFormat format, unsigned function, bool isClamped, std::uint32_t width) {
  quant::ActivationGroup group{static_cast<Activation>(function), isClamped, width};
  Signature signature;
  signature.inputs = 11;
  signature.layers = {{format, 0, {group}}, {format, 11, {group}}};
  return signature;
}

Signature tanhLayers(quant::WeightFormat format, std::initializer_list<std::uint32_t> widths) {
  bool isClamped = format == quant::WeightFormat::Float32;
  Signature signature;
  std::uint32_t begin = 0, codes = *widths.begin();
  signature.inputs = codes;
  for (auto width = widths.begin() + 1; width != widths.end(); ++width) {
    signature.layers.push_back({format, begin, {{Activation::SigmoidSymmetric, isClamped, *width}}});
    begin = codes;
    codes += *width;
  }
  return signature;
}

TEST_P(NativeKernels, ComputeTheReferencesBitsForEveryFunction) {
  ExpertGenerator generator(1);
  for (unsigned function = 0; function < kActivationCount; ++function)
    for (auto format : {quant::WeightFormat::Int8, quant::WeightFormat::Float32}) {
      bool isClamped = format == quant::WeightFormat::Float32 || function % 2 == 0;
      RandomExpert expert{everyFunction(format, function, isClamped, 21), {}};
      expert.parameters = generator.parameters(expert.signature);
      expectSameBits(expert, 6, generator,
                     std::string(nameOf(static_cast<Activation>(function))) + ", format " +
                         std::to_string(static_cast<int>(format)));
    }
}

TEST_P(NativeKernels, ComputeTheReferencesBitsForBlocksOfEverySize) {
  ExpertGenerator generator(2);
  for (unsigned format = 0; format < quant::kWeightFormatCount; ++format)
    for (std::uint32_t width : {1u, 3u, 8u, 9u, 17u, 25u, 32u, 40u, 64u, 81u, 121u, 160u})
      for (std::uint32_t inputs : {1u, 7u, 16u, 37u}) {
        RandomExpert expert{tanhLayers(static_cast<quant::WeightFormat>(format), {inputs, width}), {}};
        expert.parameters = generator.parameters(expert.signature);
        std::uint32_t rows = static_cast<std::uint32_t>(generator.integer(1, 9));
        expectSameBits(expert, rows, generator,
                       std::to_string(inputs) + "-" + std::to_string(width) + ", format " + std::to_string(format) +
                           ", " + std::to_string(rows) + " rows");
      }
}

TEST_P(NativeKernels, ComputeTheReferencesBitsForEveryHead) {
  ExpertGenerator generator(3);
  for (unsigned format = 0; format < quant::kWeightFormatCount; ++format)
    for (quant::Head head : {quant::Head::Softmax, quant::Head::Argmax})
      for (std::uint32_t width : {1u, 2u, 7u, 8u, 21u}) {
        Signature signature = tanhLayers(static_cast<quant::WeightFormat>(format), {4, width});
        signature.layers[0].groups[0].function = Activation::Linear;
        signature.outputAffine = width % 2 == 0;
        signature.head = head;
        expectSameBits({signature, generator.parameters(signature)}, 9, generator,
                       "head " + std::to_string(static_cast<int>(head)) + " of " + std::to_string(width));
      }
}

struct Batch {
  const char *name;
  RandomExpertLimits limits;
  unsigned count;
  bool isExtreme;
};
const Batch kBatches[] = {
    {"small", {8, 3, 8, 3}, 40, false},
    {"odd sizes and several groups", {40, 5, 40, 4}, 40, false},
    {"several blocks", {300, 3, 300, 5}, 25, false},
    {"deep", {20, 12, 24, 3}, 20, false},
    {"extreme", {100, 3, 70, 3}, 30, true},
};

TEST_P(NativeKernels, ComputeTheReferencesBitsForRandomExperts) {
  std::uint32_t seed = 100;
  for (Batch batch : kBatches)
    for (unsigned i = 0; i < batch.count; ++i, ++seed) {
      batch.limits.weightFormats = quant::kWeightFormatCount;
      batch.limits.heads = quant::kHeadCount;
      ExpertGenerator generator(seed, batch.limits);
      RandomExpert expert = generator.expert();
      if (batch.isExtreme)
        makeExtreme(generator, expert.parameters);
      std::uint32_t rows = static_cast<std::uint32_t>(generator.integer(1, 9));
      expectSameBits(expert, rows, generator, std::string(batch.name) + ", seed " + std::to_string(seed));
    }
}

TEST_P(NativeKernels, RunRowsOneByOneWhereATileWouldNeedMuchStack) {
  ExpertGenerator generator(4);
  RandomExpert expert{tanhLayers(quant::WeightFormat::Int8, {9000, 3}), {}};
  expert.parameters = generator.parameters(expert.signature);
  expectSameBits(expert, 5, generator, "9000-3");
}

} // namespace
} // namespace kimic::native
