// The reference evaluator against plain arithmetic on the unpacked numbers.
#include "formats/reference/Reference.h"
#include "formats/reference/FloatOps.h"
#include "tests/support/KernelCases.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace kimic::reference {
namespace {

using namespace quant;
using kimic::testing::ExpertGenerator;
using kimic::testing::RandomExpert;
using kimic::testing::referenceOutputs;

constexpr kimic::testing::RandomExpertLimits kEveryClass{40, 5, 40, 4, kWeightFormatCount, kHeadCount};

/// Round to nearest, ties to even, then to i16: in float64, without the reference's bit tricks.
std::int64_t toCode(float v) { return std::int64_t(std::fmin(32767, std::fmax(-32768, std::nearbyint(double(v))))); }

float bounded(float low, float high, float v) {
  if (std::isnan(v))
    return low;
  return v < low ? low : v > high ? high : v;
}

/// What the head makes of the logits.
std::vector<float> applyHead(const RandomExpert &expert, std::vector<float> v) {
  if (expert.signature.head == Head::Argmax)
    return {static_cast<float>(std::max_element(v.begin(), v.end()) - v.begin())};
  if (expert.signature.head == Head::None)
    return v;
  for (float &value : v)
    value *= expert.parameters.headScale;
  float largest = *std::max_element(v.begin(), v.end());
  FloatOps ops(constantsOf(ConstantTable::PreciseExp).data());
  for (float &value : v)
    value = evaluateExp(ops, value - largest);
  // Four sums of every fourth value, as far as there are four, then the values that are left.
  float lane[4] = {}, sum = 0;
  std::size_t whole = v.size() / 4 * 4;
  for (std::size_t n = 0; n < whole; ++n)
    lane[n % 4] += v[n];
  sum = (lane[0] + lane[1]) + (lane[2] + lane[3]);
  for (std::size_t n = whole; n < v.size(); ++n)
    sum += v[n];
  for (float &value : v)
    value /= sum;
  return v;
}

std::vector<float> runFloatsNaively(const RandomExpert &expert, const float *x) {
  const Signature &signature = expert.signature;
  const ExpertParameters &parameters = expert.parameters;
  std::vector<float> values;
  for (std::uint32_t k = 0; k < signature.inputs; ++k)
    values.push_back(bounded(parameters.inputLow, parameters.inputHigh, x[k]));
  for (std::size_t l = 0; l < signature.layers.size(); ++l) {
    const LayerParameters &layer = parameters.layers[l];
    std::vector<float> read(values.begin() + signature.layers[l].readBegin, values.end());
    std::size_t n = 0;
    for (const ActivationGroup &group : signature.layers[l].groups)
      for (std::uint32_t i = 0; i < group.count; ++i, ++n) {
        bool isRow = n >= layer.floatBias.size() / 4 * 4;
        float sums[4] = {isRow ? 0 : layer.floatBias[n]};
        for (std::size_t k = 0; k < read.size(); ++k) {
          float product = layer.floatWeights[n * read.size() + k] * read[k];
          sums[isRow ? k % 4 : 0] += product;
        }
        float sum = sums[0];
        if (isRow)
          sum = layer.floatBias[n] + ((sums[0] + sums[2]) + (sums[1] + sums[3]));
        std::optional<ConstantTable> table = constantTableOf(group.function, WeightFormat::Float32);
        FloatOps ops(table ? constantsOf(*table).data() : nullptr);
        values.push_back(
            evaluate(ops, group.function, bounded(-layer.limit[n], layer.limit[n], sum), Rendering::Precise));
      }
  }
  std::vector<float> y(values.end() - signature.logits(), values.end());
  if (signature.outputAffine)
    for (std::size_t n = 0; n < y.size(); ++n) {
      y[n] = y[n] * parameters.outputGain[n];
      y[n] = y[n] + parameters.outputOffset[n];
    }
  return applyHead(expert, std::move(y));
}

/// r of output `n`, summed in 64 bits; 0 if it has no residual row.
float residualOf(const LayerParameters &layer, std::size_t n, const std::vector<std::int64_t> &read) {
  for (const ResidualRow &residual : layer.residuals)
    if (residual.output == n) {
      std::int64_t sum = 0;
      for (std::size_t k = 0; k < read.size(); ++k)
        sum += residual.weights[k] * read[k];
      EXPECT_EQ(sum, static_cast<std::int32_t>(sum));
      return static_cast<float>(sum) * residual.multiplier;
    }
  return 0;
}

/// The specification once more, from the natural order of the numbers and in 64-bit integers.
std::vector<float> runNaively(const RandomExpert &expert, const float *x) {
  const Signature &signature = expert.signature;
  const ExpertParameters &parameters = expert.parameters;
  if (signature.weights() == WeightFormat::Float32)
    return runFloatsNaively(expert, x);
  std::vector<std::int64_t> codes;
  std::vector<float> y;
  for (std::uint32_t k = 0; k < signature.inputs; ++k)
    codes.push_back(toCode(bounded(parameters.inputLow, parameters.inputHigh, x[k] * parameters.inputScale[k])));
  for (std::size_t l = 0; l < signature.layers.size(); ++l) {
    const LayerParameters &layer = parameters.layers[l];
    std::vector<std::int64_t> read(codes.begin() + signature.layers[l].readBegin, codes.end());
    std::size_t n = 0;
    for (const ActivationGroup &group : signature.layers[l].groups)
      for (std::uint32_t i = 0; i < group.count; ++i, ++n) {
        std::int64_t sum = layer.bias[n];
        for (std::size_t k = 0; k < read.size(); ++k)
          sum += layer.weights[n * read.size() + k] * read[k];
        EXPECT_EQ(sum, static_cast<std::int32_t>(sum));
        float t = static_cast<float>(sum) * layer.multiplier[n];
        t = t + residualOf(layer, n, read);
        if (group.clamped)
          t = bounded(-layer.limit[n], layer.limit[n], t);
        std::optional<ConstantTable> table = constantTableOf(group.function);
        FloatOps ops(table ? constantsOf(*table).data() : nullptr);
        if (l + 1 < signature.layers.size()) {
          float v = evaluateCode(ops, group.function, t);
          if (codeKindOf(group.function) == CodeKind::Unbounded)
            v = bounded(layer.codeLow, layer.codeHigh, v);
          codes.push_back(toCode(v));
        } else {
          float v = evaluateOutput(ops, group.function, t);
          if (signature.outputAffine) {
            v = v * parameters.outputGain[n];
            v = v + parameters.outputOffset[n];
          }
          y.push_back(v);
        }
      }
  }
  return applyHead(expert, std::move(y));
}

void expectAgreement(const RandomExpert &expert, std::vector<float> x) {
  ASSERT_TRUE(proveNoOverflow(expert.signature, expert.parameters).ok());
  std::vector<float> y = referenceOutputs(expert, x);
  std::size_t inputs = expert.signature.inputs, outputs = expert.signature.outputs();
  for (std::size_t row = 0; row * inputs < x.size(); ++row) {
    std::vector<float> expected = runNaively(expert, x.data() + row * inputs);
    ASSERT_EQ(std::vector<float>(y.begin() + row * outputs, y.begin() + (row + 1) * outputs), expected);
  }
}

std::vector<float> randomRows(ExpertGenerator &generator, std::uint32_t inputs, std::uint32_t rows) {
  std::vector<float> x(std::size_t{inputs} * rows);
  for (float &v : x)
    v = generator.real(-3, 3);
  return x;
}

TEST(Reference, AgreesWithPlainArithmeticOnSmallRandomExperts) {
  ExpertGenerator generator(21, kEveryClass);
  for (int i = 0; i < 400; ++i) {
    RandomExpert expert = generator.expert();
    expectAgreement(expert, randomRows(generator, expert.signature.inputs, 3));
  }
}

TEST(Reference, AgreesWithPlainArithmeticOnLargeRandomExperts) {
  ExpertGenerator generator(22, {300, 12, 300, 6, kWeightFormatCount, kHeadCount});
  for (int i = 0; i < 8; ++i) {
    RandomExpert expert = generator.expert();
    expectAgreement(expert, randomRows(generator, expert.signature.inputs, 2));
  }
}

TEST(Reference, AgreesWithPlainArithmeticOnEveryFunction) {
  ExpertGenerator generator(23);
  for (unsigned i = 0; i < kActivationCount * kWeightFormatCount; ++i) {
    unsigned f = i % kActivationCount;
    WeightFormat weights = static_cast<WeightFormat>(i / kActivationCount);
    bool isFloat = weights == WeightFormat::Float32;
    RandomExpert expert;
    expert.signature.inputs = 5;
    expert.signature.layers = {{weights, 0, {{static_cast<Activation>(f), isFloat || f % 2 == 0, 37}}},
                               {weights, 5, {{static_cast<Activation>(f), isFloat || f % 2 == 1, 11}}}};
    expert.parameters = generator.parameters(expert.signature);
    expectAgreement(expert, randomRows(generator, 5, 20));
  }
}

TEST(Reference, AgreesWithPlainArithmeticOnExtremeInputs) {
  ExpertGenerator generator(24, kEveryClass);
  float infinity = std::numeric_limits<float>::infinity();
  float extremes[] = {0.0f,  -0.0f, 1e30f,    -1e30f,    std::numeric_limits<float>::denorm_min(),
                      4.09f, -4.1f, infinity, -infinity, std::numeric_limits<float>::quiet_NaN()};
  for (int i = 0; i < 100; ++i) {
    RandomExpert expert = generator.expert();
    std::vector<float> x;
    for (std::uint32_t k = 0; k < 4 * expert.signature.inputs; ++k)
      x.push_back(extremes[generator.integer(0, 9)]);
    expectAgreement(expert, x);
  }
}

/// One linear layer of weights and inputs at the ends of their ranges: the sums themselves, without rounding.
TEST(Reference, SumsExtremeWeightsAndCodesExactly) {
  ExpertGenerator generator(25);
  for (int i = 0; i < 300; ++i) {
    RandomExpert expert;
    std::uint32_t inputs = generator.integer(1, 256), outputs = generator.integer(1, 40);
    expert.signature.inputs = inputs;
    expert.signature.layers = {{WeightFormat::Int8, 0, {{Activation::Linear, false, outputs}}}};
    expert.parameters.inputScale.assign(inputs, 1);
    LayerParameters layer;
    layer.multiplier.assign(outputs, 1);
    for (std::uint32_t n = 0; n < outputs; ++n)
      layer.bias.push_back(generator.integer(-1000000, 1000000));
    for (std::uint32_t j = 0; j < inputs * outputs; ++j)
      layer.weights.push_back(generator.chance(2) ? -128 : 127);
    expert.parameters.layers = {layer};
    std::vector<float> x;
    for (std::uint32_t k = 0; k < inputs; ++k)
      x.push_back(generator.chance(2) ? -32768.0f : 32767.0f);
    std::vector<float> y = referenceOutputs(expert, x);
    for (std::uint32_t n = 0; n < outputs; ++n) {
      std::int64_t sum = layer.bias[n];
      for (std::uint32_t k = 0; k < inputs; ++k)
        sum += layer.weights[n * inputs + k] * static_cast<std::int64_t>(x[k]);
      ASSERT_EQ(y[n], static_cast<float>(sum));
    }
  }
}

/// The identity that lets kernels sum two outputs at once, on the packed words themselves (quantization-v1, "Two
/// outputs per word").
TEST(Reference, WordSumsOfTheKernelsGiveTheSameAccumulators) {
  ExpertGenerator generator(26);
  for (int i = 0; i < 300; ++i) {
    std::uint32_t inputs = generator.integer(1, 256);
    Signature signature;
    signature.inputs = inputs;
    signature.layers = {{WeightFormat::Int8, 0, {{Activation::Linear, false, 8}}}};
    ExpertParameters parameters;
    parameters.inputScale.assign(inputs, 1);
    LayerParameters layer;
    layer.multiplier.assign(8, 1);
    for (int n = 0; n < 8; ++n)
      layer.bias.push_back(generator.integer(-1000000, 1000000));
    bool isExtreme = generator.chance(2);
    for (std::uint32_t j = 0; j < inputs * 8; ++j)
      layer.weights.push_back(isExtreme ? (generator.chance(2) ? -128 : 127) : generator.integer(-128, 127));
    parameters.layers = {layer};
    std::vector<std::int16_t> codes;
    for (std::uint32_t k = 0; k < inputs; ++k)
      codes.push_back(isExtreme ? (generator.chance(2) ? -32768 : 32767) : generator.integer(-32768, 32767));
    codes.push_back(12345); // what a kernel may find past the end

    Result<Layout> layout = layoutOf(signature);
    ASSERT_TRUE(layout.ok());
    std::vector<std::uint8_t> block = packParameters(signature, *layout, parameters);
    const std::uint8_t *words = block.data() + layout->layers[0].blocksOffset + 32;
    std::uint32_t codeSum = 0;
    for (std::uint32_t k = 0; k < inputs; ++k)
      codeSum += static_cast<std::uint32_t>(codes[k]);
    for (unsigned l = 0; l < 4; ++l) {
      std::uint32_t a, b;
      std::memcpy(&a, words - 32 + l * 4, 4);
      std::memcpy(&b, words - 16 + l * 4, 4);
      a -= 128 * codeSum;
      for (std::uint32_t pair = 0; pair < layout->layers[0].kPairs; ++pair)
        for (unsigned odd = 0; odd < 2; ++odd) {
          std::int16_t word;
          std::memcpy(&word, words + pair * 16 + l * 4 + odd * 2, 2);
          a += static_cast<std::uint32_t>(word * codes[2 * pair + odd]);
          b += static_cast<std::uint32_t>((word >> 8) * codes[2 * pair + odd]);
        }
      std::int64_t low = layer.bias[l], high = layer.bias[4 + l];
      for (std::uint32_t k = 0; k < inputs; ++k) {
        low += layer.weights[l * inputs + k] * codes[k];
        high += layer.weights[(4 + l) * inputs + k] * codes[k];
      }
      ASSERT_EQ(static_cast<std::int32_t>(a - (b << 8)), low);
      ASSERT_EQ(static_cast<std::int32_t>(b), high);
    }
  }
}

TEST(Reference, GarbageParametersAreHarmless) {
  ExpertGenerator generator(27, kEveryClass);
  for (int i = 0; i < 300; ++i) {
    Signature signature = generator.signature();
    Result<Layout> layout = layoutOf(signature);
    ASSERT_TRUE(layout.ok());
    std::vector<std::uint8_t> block(layout->parameterBytes);
    for (std::uint8_t &b : block)
      b = static_cast<std::uint8_t>(generator.integer(0, 255));
    for (const LayerLayout &layer : layout->layers)
      if (layer.residualCountOffset != kNone)
        std::memset(block.data() + layer.residualCountOffset, 0, 4);
    std::vector<float> x = randomRows(generator, signature.inputs, 2);
    EXPECT_EQ(referenceOutputs(signature, *layout, block, x).size(), 2 * signature.outputs());
  }
}

/// An expert of one linear layer without inputs that matter: its logits are these.
RandomExpert constantLogits(const std::vector<float> &logits, Head head) {
  RandomExpert expert;
  expert.signature.inputs = 1;
  std::uint32_t count = static_cast<std::uint32_t>(logits.size());
  expert.signature.layers = {{WeightFormat::Float32, 0, {{Activation::Linear, true, count}}}};
  expert.signature.head = head;
  LayerParameters layer;
  layer.floatWeights.assign(count, 0);
  layer.floatBias = logits;
  layer.limit.assign(count, 3e38f);
  expert.parameters.layers = {layer};
  return expert;
}

TEST(Heads, SoftmaxIsThatOfFloat64) {
  ExpertGenerator generator(29);
  for (int i = 0; i < 200; ++i) {
    std::vector<float> logits;
    for (std::int32_t n = generator.integer(1, 40); n > 0; --n)
      logits.push_back(generator.real(-20, 20));
    RandomExpert expert = constantLogits(logits, Head::Softmax);
    expert.parameters.headScale = generator.real(0.1f, 3);
    std::vector<float> y = referenceOutputs(expert, {0});
    double sum = 0;
    for (float v : logits)
      sum += std::exp(double(v) * expert.parameters.headScale);
    ASSERT_EQ(y.size(), logits.size());
    // The product of logit and scale is an f32, off by 2^-24 of up to 60; nothing else is as far off.
    for (std::size_t n = 0; n < y.size(); ++n)
      ASSERT_NEAR(y[n], std::exp(double(logits[n]) * expert.parameters.headScale) / sum, 2e-6);
  }
}

TEST(Heads, SoftmaxOfLogitsFarApartIsFinite) {
  EXPECT_EQ(referenceOutputs(constantLogits({-3e38f, 3e38f, 0}, Head::Softmax), {0}),
            (std::vector<float>{0x1p-125f, 1, 0x1p-125f}));
}

TEST(Heads, SoftmaxOfOneLogitIsOne) {
  EXPECT_EQ(referenceOutputs(constantLogits({-7}, Head::Softmax), {0}), std::vector<float>{1});
}

TEST(Heads, ArgmaxTakesTheFirstOfEqualLogits) {
  EXPECT_EQ(referenceOutputs(constantLogits({1, 2, -3, 2}, Head::Argmax), {0}), std::vector<float>{1});
  EXPECT_EQ(referenceOutputs(constantLogits({-0.0f, 0.0f}, Head::Argmax), {0}), std::vector<float>{0});
}

TEST(Heads, ArgmaxYieldsOneNumberPerRow) {
  EXPECT_EQ(referenceOutputs(constantLogits({1, 2, 3, 2}, Head::Argmax), {0, 1, 2}), (std::vector<float>{2, 2, 2}));
}

/// `outputs` linear outputs that sum all of `inputs` inputs.
RandomExpert sumOfInputs(std::uint32_t inputs, std::uint32_t outputs) {
  RandomExpert expert;
  expert.signature.inputs = inputs;
  expert.signature.layers = {{WeightFormat::Float32, 0, {{Activation::Linear, true, outputs}}}};
  expert.parameters.layers.resize(1);
  expert.parameters.layers[0].floatWeights.assign(inputs * outputs, 1);
  expert.parameters.layers[0].floatBias.assign(outputs, 0);
  expert.parameters.layers[0].limit.assign(outputs, 3e38f);
  expert.parameters.inputLow = -1e30f;
  expert.parameters.inputHigh = 1e30f;
  return expert;
}

TEST(Float32, SumsOfFourOutputsAreInOrderWithTwoRoundings) {
  RandomExpert expert = sumOfInputs(3, 4);
  EXPECT_EQ(referenceOutputs(expert, {0x1p25f, 1, -0x1p25f}), std::vector<float>(4, 0));
  EXPECT_EQ(referenceOutputs(expert, {0x1p25f, -0x1p25f, 1}), std::vector<float>(4, 1));
}

TEST(Float32, SumsOfASingleOutputAreInterleaved) {
  RandomExpert expert = sumOfInputs(5, 1);
  // 0 + 4, then 2, then 1 and 3.
  EXPECT_EQ(referenceOutputs(expert, {0x1p25f, 1, 0, 0, -0x1p25f}), std::vector<float>{1});
  EXPECT_EQ(referenceOutputs(expert, {0x1p25f, 1, -0x1p25f, 0, 0}), std::vector<float>{1});
  EXPECT_EQ(referenceOutputs(expert, {0x1p25f, -0x1p25f, 1, 0, 0}), std::vector<float>{0});
}

TEST(Float32, SumsThatAreNotNumbersBecomeTheLowerLimit) {
  RandomExpert expert;
  expert.signature.inputs = 2;
  expert.signature.layers = {{WeightFormat::Float32, 0, {{Activation::Linear, true, 1}}}};
  expert.parameters.layers.resize(1);
  expert.parameters.layers[0].floatWeights = {3e38f, -3e38f};
  expert.parameters.layers[0].floatBias = {0};
  expert.parameters.layers[0].limit = {150};
  expert.parameters.inputLow = -1e30f;
  expert.parameters.inputHigh = 1e30f;
  EXPECT_EQ(referenceOutputs(expert, {1e30f, 1e30f}), std::vector<float>{-150});
}

TEST(Float32, InputsThatAreNotNumbersBecomeTheLowerBound) {
  RandomExpert expert = constantLogits({0}, Head::None);
  expert.parameters.layers[0].floatWeights = {1};
  expert.parameters.inputLow = -5;
  expert.parameters.inputHigh = 6;
  EXPECT_EQ(referenceOutputs(expert, {std::numeric_limits<float>::quiet_NaN(), 7}), (std::vector<float>{-5, 6}));
}

TEST(Reference, RowsAreIndependent) {
  ExpertGenerator generator(28, kEveryClass);
  for (int i = 0; i < 50; ++i) {
    RandomExpert expert = generator.expert();
    std::vector<float> x = randomRows(generator, expert.signature.inputs, 5);
    std::vector<float> together = referenceOutputs(expert, x), apart;
    for (std::size_t row = 0; row < 5; ++row) {
      auto begin = x.begin() + row * expert.signature.inputs;
      std::vector<float> y = referenceOutputs(expert, {begin, begin + expert.signature.inputs});
      apart.insert(apart.end(), y.begin(), y.end());
    }
    ASSERT_EQ(together, apart);
  }
}

} // namespace
} // namespace kimic::reference
