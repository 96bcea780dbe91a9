#include "formats/quant/Parameters.h"
#include "tests/support/RandomExpert.h"

#include <gtest/gtest.h>

#include <cstring>
#include <limits>

namespace kimic::quant {
namespace {

using testing::ExpertGenerator;
using testing::RandomExpert;

/// 3 inputs, 2 outputs of a bounded function and 1 unbounded clamped one, then 1 linear output.
RandomExpert smallExpert() {
  RandomExpert expert;
  expert.signature.inputs = 3;
  expert.signature.layers = {
      {WeightFormat::Int8, 0, {{Activation::SigmoidSymmetric, false, 2}, {Activation::Linear, true, 1}}},
      {WeightFormat::Int8, 3, {{Activation::Linear, false, 1}}}};
  expert.parameters.inputScale = {1, 2, 3};
  expert.parameters.layers.resize(2);
  expert.parameters.layers[0].weights = {1, -2, 3, -4, 5, -6, 127, -128, 0};
  expert.parameters.layers[0].bias = {10, -20, 30};
  expert.parameters.layers[0].multiplier = {0.5f, 0.25f, 2};
  expert.parameters.layers[0].limit = {0, 0, 150};
  expert.parameters.layers[0].codeLow = -100;
  expert.parameters.layers[0].codeHigh = 200;
  expert.parameters.layers[1].weights = {7, 8, -9};
  expert.parameters.layers[1].bias = {11};
  expert.parameters.layers[1].multiplier = {1};
  return expert;
}

Layout layoutOfValid(const Signature &signature) {
  Result<Layout> layout = layoutOf(signature);
  EXPECT_TRUE(layout.ok());
  return *layout;
}

ErrorId unpackError(const RandomExpert &expert, const std::vector<std::uint8_t> &block) {
  Result<ExpertParameters> result = unpackParameters(expert.signature, layoutOfValid(expert.signature), block);
  return result.ok() ? ErrorId::None : result.error().id;
}

TEST(Parameters, BlocksInterleaveTwoOutputsAndTwoInputs) {
  RandomExpert expert = smallExpert();
  Layout layout = layoutOfValid(expert.signature);
  std::vector<std::uint8_t> block = packParameters(expert.signature, layout, expert.parameters);
  const std::uint8_t *weights = block.data() + layout.layers[0].blocksOffset + 8 * 4;
  // Inputs 0 and 1 of outputs 0 (and 4, padding), 1 (5), 2 (6), 3 (7); low bytes are stored xor 0x80.
  std::vector<std::uint8_t> first(weights, weights + 16);
  EXPECT_EQ(first, (std::vector<std::uint8_t>{0x81, 0, 0x7E, 0, 0x7C, 0, 0x85, 0, 0xFF, 0, 0x00, 0, 0x80, 0, 0x80, 0}));
  // Input 2 and the padded input 3, whose bytes are zero.
  std::vector<std::uint8_t> second(weights + 16, weights + 32);
  EXPECT_EQ(second, (std::vector<std::uint8_t>{0x83, 0, 0, 0, 0x7A, 0, 0, 0, 0x80, 0, 0, 0, 0x80, 0, 0, 0}));
}

/// kernel-abi-v1, section 2, "Example": bytes 48 .. 56 and 96 .. 160.
TEST(Parameters, HaveTheBytesOfTheSpecificationsExample) {
  RandomExpert expert = smallExpert();
  expert.signature.layers[0].groups = {{Activation::SigmoidSymmetric, false, 2}};
  LayerParameters &layer = expert.parameters.layers[0];
  layer.weights = {1, -2, 3, -4, 5, -6};
  layer.bias = {10, -20};
  layer.multiplier = {1, 1};
  layer.limit = {};
  expert.parameters.layers[1].weights = {1, 1};
  Layout layout = layoutOfValid(expert.signature);
  std::vector<std::uint8_t> block = packParameters(expert.signature, layout, expert.parameters);
  EXPECT_EQ(std::vector<std::uint8_t>(block.begin() + 48, block.begin() + 56),
            (std::vector<std::uint8_t>{0, 0, 0, 0xC7, 0, 0xFE, 0xFF, 0x46}));
  EXPECT_EQ(std::vector<std::uint8_t>(block.begin() + 96, block.begin() + 160),
            (std::vector<std::uint8_t>{0x0A, 0, 0,    0, 0xEC, 0xFF, 0xFF, 0xFF, 0,    0, 0,    0, 0,    0, 0,    0,
                                       0,    0, 0,    0, 0,    0,    0,    0,    0,    0, 0,    0, 0,    0, 0,    0,
                                       0x81, 0, 0x7E, 0, 0x7C, 0,    0x85, 0,    0x80, 0, 0x80, 0, 0x80, 0, 0x80, 0,
                                       0x83, 0, 0,    0, 0x7A, 0,    0,    0,    0x80, 0, 0,    0, 0x80, 0, 0,    0}));
}

TEST(Parameters, BiasOfALowOutputContains256TimesItsPartners) {
  RandomExpert expert = smallExpert();
  expert.signature.layers.erase(expert.signature.layers.begin());
  expert.signature.layers[0].readBegin = 0;
  expert.signature.layers[0].groups[0].count = 5;
  LayerParameters layer;
  layer.weights.resize(15);
  layer.bias = {1, 2, 3, 4, -5};
  layer.multiplier.resize(5);
  expert.parameters.layers = {layer};
  Layout layout = layoutOfValid(expert.signature);
  std::vector<std::uint8_t> block = packParameters(expert.signature, layout, expert.parameters);
  std::vector<std::int32_t> bias(8);
  std::memcpy(bias.data(), block.data() + layout.layers[0].blocksOffset, 32);
  EXPECT_EQ(bias, (std::vector<std::int32_t>{1 - 5 * 256, 2, 3, 4, -5, 0, 0, 0}));
}

TEST(Parameters, RandomOnesSurvivePacking) {
  ExpertGenerator generator(11);
  for (int i = 0; i < 200; ++i) {
    RandomExpert expert = generator.expert();
    Layout layout = layoutOfValid(expert.signature);
    std::vector<std::uint8_t> block = packParameters(expert.signature, layout, expert.parameters);
    ASSERT_EQ(block.size(), layout.parameterBytes);
    Result<ExpertParameters> unpacked = unpackParameters(expert.signature, layout, block);
    ASSERT_TRUE(unpacked.ok());
    ASSERT_EQ(*unpacked, expert.parameters);
  }
}

TEST(Parameters, UnpackingRefusesAnotherSize) {
  RandomExpert expert = smallExpert();
  std::vector<std::uint8_t> block =
      packParameters(expert.signature, layoutOfValid(expert.signature), expert.parameters);
  block.push_back(0);
  EXPECT_EQ(unpackError(expert, block), ErrorId::ParametersSize);
}

TEST(Parameters, UnpackingRefusesOtherConstants) {
  RandomExpert expert = smallExpert();
  std::vector<std::uint8_t> block =
      packParameters(expert.signature, layoutOfValid(expert.signature), expert.parameters);
  block[0] ^= 1;
  EXPECT_EQ(unpackError(expert, block), ErrorId::ParametersMalformed);
}

TEST(Parameters, UnpackingRefusesWeightsInPadding) {
  RandomExpert expert = smallExpert();
  Layout layout = layoutOfValid(expert.signature);
  std::vector<std::uint8_t> block = packParameters(expert.signature, layout, expert.parameters);
  block[layout.layers[0].blocksOffset + 32 + 16 + 2] = 1;
  EXPECT_EQ(unpackError(expert, block), ErrorId::ParametersMalformed);
}

TEST(Parameters, UnpackingRefusesNumbersThatAreNotFinite) {
  RandomExpert expert = smallExpert();
  expert.parameters.layers[0].multiplier[1] = std::numeric_limits<float>::infinity();
  Layout layout = layoutOfValid(expert.signature);
  std::vector<std::uint8_t> block = packParameters(expert.signature, layout, expert.parameters);
  Result<ExpertParameters> result = unpackParameters(expert.signature, layout, block);
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error(), makeError(ErrorId::ParameterNotFinite, layout.layers[0].multiplierOffset + 4));
}

TEST(CodeBounds, FollowBoundsAndFunctions) {
  RandomExpert expert = smallExpert();
  expert.parameters.inputLow = -4000.5f;
  expert.parameters.inputHigh = 3999;
  EXPECT_EQ(codeBounds(expert.signature, expert.parameters),
            (std::vector<std::int32_t>{4000, 4000, 4000, 8192, 8192, 200}));
}

TEST(CodeBounds, AreThoseOfI16ByDefaultAndForBoundsPastIt) {
  RandomExpert expert = smallExpert();
  expert.parameters.layers[0].codeHigh = 1e30f;
  EXPECT_EQ(codeBounds(expert.signature, expert.parameters),
            (std::vector<std::int32_t>{32768, 32768, 32768, 8192, 8192, 32768}));
}

TEST(OverflowProof, AcceptsARowThatCanJustReachTheLimit) {
  RandomExpert expert = smallExpert();
  // 6 * 32768 and the bias make 2^31 - 1.
  expert.parameters.layers[0].bias[0] = 2147483647 - 6 * 32768;
  EXPECT_TRUE(proveNoOverflow(expert.signature, expert.parameters).ok());
}

TEST(OverflowProof, NamesTheRowThatCanPassTheLimit) {
  RandomExpert expert = smallExpert();
  expert.parameters.layers[0].bias[1] = -(2147483647 - 15 * 32768) - 1;
  Result<void> result = proveNoOverflow(expert.signature, expert.parameters);
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error(), makeError(ErrorId::AccumulatorOverflow, 0, 1, 2147483648));
}

TEST(OverflowProof, UsesTheBoundsOfEarlierLayers) {
  RandomExpert expert = smallExpert();
  expert.parameters.layers[1].bias[0] = 2147483647 - (7 * 8192 + 8 * 8192 + 9 * 200);
  EXPECT_TRUE(proveNoOverflow(expert.signature, expert.parameters).ok());
  ++expert.parameters.layers[1].bias[0];
  Result<void> result = proveNoOverflow(expert.signature, expert.parameters);
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error(), makeError(ErrorId::AccumulatorOverflow, 1, 0, 2147483648));
}

} // namespace
} // namespace kimic::quant
