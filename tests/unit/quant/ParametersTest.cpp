#include "formats/quant/Parameters.h"
#include "formats/base/File.h"
#include "tests/support/RandomExpert.h"

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <limits>
#include <set>

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

std::vector<std::uint8_t> bytesAt(const std::vector<std::uint8_t> &block, std::uint32_t begin, std::uint32_t end) {
  return {block.begin() + begin, block.begin() + end};
}

/// kernel-abi-v1, section 2, "Example": bytes 48 .. 56 and 96 .. 112.
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
  EXPECT_EQ(bytesAt(block, 48, 56), (std::vector<std::uint8_t>{0, 0, 0, 0xC7, 0, 0xFE, 0xFF, 0x46}));
  EXPECT_EQ(bytesAt(block, 96, 112), (std::vector<std::uint8_t>{0x0A, 0, 0, 0, 0xEC, 0xFF, 0xFF, 0xFF, 0x01, 0xFE, 0x03,
                                                                0xFC, 0x05, 0xFA, 0, 0}));
}

/// kernel-abi-v1, section 2, "Example of a block".
TEST(Parameters, BlocksInterleaveTwoOutputsAndTwoInputs) {
  RandomExpert expert;
  expert.signature.inputs = 3;
  expert.signature.layers = {{WeightFormat::Int8, 0, {{Activation::Linear, false, 8}}}};
  expert.parameters.inputScale = {1, 1, 1};
  LayerParameters layer;
  layer.weights.resize(24);
  const std::int8_t first[] = {1, -2, 3, -4, 5, -6}, fourth[] = {7, 8, 9};
  std::copy_n(first, 6, layer.weights.begin());
  std::copy_n(fourth, 3, layer.weights.begin() + 12);
  layer.bias = {10, -20, 0, 0, 3, 0, 0, 0};
  layer.multiplier.resize(8);
  expert.parameters.layers = {layer};
  Layout layout = layoutOfValid(expert.signature);
  EXPECT_EQ(bytesAt(packParameters(expert.signature, layout, expert.parameters), 48, 112),
            (std::vector<std::uint8_t>{0x0A, 3, 0,    0, 0xEC, 0xFF, 0xFF, 0xFF, 0,    0, 0,    0, 0,    0, 0,    0,
                                       3,    0, 0,    0, 0,    0,    0,    0,    0,    0, 0,    0, 0,    0, 0,    0,
                                       0x81, 7, 0x7E, 8, 0x7C, 0,    0x85, 0,    0x80, 0, 0x80, 0, 0x80, 0, 0x80, 0,
                                       0x83, 9, 0,    0, 0x7A, 0,    0,    0,    0x80, 0, 0,    0, 0x80, 0, 0,    0}));
}

TEST(Parameters, RandomOnesSurvivePacking) {
  ExpertGenerator generator(11, {40, 5, 40, 4, kWeightFormatCount, kHeadCount});
  for (int i = 0; i < 200; ++i) {
    RandomExpert expert = generator.expert();
    Layout layout = layoutOfValid(expert.signature);
    std::vector<std::uint8_t> block = packParameters(expert.signature, layout, expert.parameters);
    ASSERT_EQ(block.size(), parameterBytesOf(layout, expert.parameters));
    ASSERT_TRUE(validateParameters(expert.signature, layout, block).ok());
    Result<ExpertParameters> unpacked = unpackParameters(expert.signature, layout, block);
    ASSERT_TRUE(unpacked.ok());
    ASSERT_EQ(*unpacked, expert.parameters);
  }
}

/// kernel-abi-v1, section 2, "Example with residuals": 3 inputs, 9 outputs, a residual row for output 8.
RandomExpert residualExpert() {
  RandomExpert expert;
  expert.signature.inputs = 3;
  expert.signature.layers = {{WeightFormat::Int8Residual, 0, {{Activation::Linear, false, 9}}}};
  expert.parameters.inputScale = {1, 1, 1};
  LayerParameters layer;
  layer.weights.resize(27);
  layer.bias.resize(9);
  layer.multiplier.assign(9, 1);
  layer.residuals = {{8, {1, -2, 3}, 0.5f}};
  expert.parameters.layers = {layer};
  return expert;
}

TEST(Parameters, ResidualRowsHaveTheBytesOfTheSpecificationsExample) {
  RandomExpert expert = residualExpert();
  Layout layout = layoutOfValid(expert.signature);
  std::vector<std::uint8_t> block = packParameters(expert.signature, layout, expert.parameters);
  EXPECT_EQ(block.size(), 208u);
  EXPECT_EQ(bytesAt(block, 176, 180), (std::vector<std::uint8_t>{1, 0, 0, 0}));
  EXPECT_EQ(bytesAt(block, 192, 208),
            (std::vector<std::uint8_t>{8, 0, 0, 0, 0, 0, 0, 0x3F, 1, 0xFE, 3, 0, 0, 0, 0, 0}));
}

/// kernel-abi-v1, section 2, "Blocks and rows of f32 weights": 2 inputs, 6 outputs.
TEST(Parameters, FloatBlocksHoldBiasesThenTheWeightsOfEachInputAndRowsThoseOfAnOutput) {
  RandomExpert expert;
  expert.signature.inputs = 2;
  expert.signature.layers = {{WeightFormat::Float32, 0, {{Activation::Linear, true, 6}}}};
  LayerParameters layer;
  layer.floatWeights = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
  layer.floatBias = {-1, -2, -3, -4, -5, -6};
  layer.limit.assign(6, 150);
  expert.parameters.layers = {layer};
  Layout layout = layoutOfValid(expert.signature);
  std::vector<std::uint8_t> block = packParameters(expert.signature, layout, expert.parameters);
  std::vector<float> numbers(18);
  std::memcpy(numbers.data(), block.data() + layout.layers[0].blocksOffset, 72);
  EXPECT_EQ(numbers, (std::vector<float>{-1, -2, -3, -4, 1, 3, 5, 7, 2, 4, 6, 8, -5, -6, 9, 10, 11, 12}));
}

/// The error of a residual expert's block whose u32 at `offset` is replaced.
Result<void> validateChanged(std::size_t offset, std::uint32_t value) {
  RandomExpert expert = residualExpert();
  Layout layout = layoutOfValid(expert.signature);
  std::vector<std::uint8_t> block = packParameters(expert.signature, layout, expert.parameters);
  for (unsigned i = 0; i < 4; ++i)
    block[offset + i] = static_cast<std::uint8_t>(value >> 8 * i);
  return validateParameters(expert.signature, layout, block);
}

TEST(ParameterValidation, AcceptsWhatIsPacked) { EXPECT_TRUE(validateChanged(192, 8).ok()); }

TEST(ParameterValidation, AcceptsEveryOutputOfTheLayer) { EXPECT_TRUE(validateChanged(192, 0).ok()); }

TEST(ParameterValidation, RefusesAnOutputPastTheLayer) {
  EXPECT_EQ(validateChanged(192, 9).error(), makeError(ErrorId::ResidualOutput, 0, 0, 9));
  EXPECT_EQ(validateChanged(192, 0xFFFFFFFF).error(), makeError(ErrorId::ResidualOutput, 0, 0, 0xFFFFFFFF));
}

TEST(ParameterValidation, RefusesMoreRowsThanOutputs) {
  EXPECT_EQ(validateChanged(176, 10).error(), makeError(ErrorId::ResidualCount, 0, 10, 9));
}

TEST(ParameterValidation, RefusesCountsThatTheSizeBelies) {
  EXPECT_EQ(validateChanged(176, 2).error(), makeError(ErrorId::ParametersSize, 208, 224));
  EXPECT_EQ(validateChanged(176, 0).error(), makeError(ErrorId::ParametersSize, 208, 192));
}

TEST(ParameterValidation, RefusesOutputsOutOfOrder) {
  RandomExpert expert = residualExpert();
  std::vector<ResidualRow> &residuals = expert.parameters.layers[0].residuals;
  residuals.push_back({7, std::vector<std::int8_t>(3), 0});
  Layout layout = layoutOfValid(expert.signature);
  EXPECT_EQ(
      validateParameters(expert.signature, layout, packParameters(expert.signature, layout, expert.parameters)).error(),
      makeError(ErrorId::ResidualOutput, 0, 1, 7));
  residuals[1].output = 8;
  EXPECT_EQ(
      validateParameters(expert.signature, layout, packParameters(expert.signature, layout, expert.parameters)).error(),
      makeError(ErrorId::ResidualOutput, 0, 1, 8));
}

TEST(ParameterValidation, RefusesResidualMultipliersThatAreNotFinite) {
  EXPECT_EQ(validateChanged(196, 0x7F800000).error(), makeError(ErrorId::ParameterNotFinite, 196));
}

TEST(ParameterValidation, NeedsNoFixedPartToRefuseAShortBlock) {
  RandomExpert expert = residualExpert();
  EXPECT_EQ(validateParameters(expert.signature, layoutOfValid(expert.signature), {}).error(),
            makeError(ErrorId::ParametersSize, 0, 192));
}

TEST(ParameterValidation, FindsEveryNumberThatIsNotFinite) {
  ExpertGenerator generator(12, {12, 3, 12, 3, kWeightFormatCount, kHeadCount});
  for (int i = 0; i < 100; ++i) {
    RandomExpert expert = generator.expert();
    LayerParameters &layer = expert.parameters.layers[generator.integer(0, expert.parameters.layers.size() - 1)];
    std::vector<std::vector<float> *> arrays = {&layer.multiplier,
                                                &layer.limit,
                                                &layer.floatWeights,
                                                &layer.floatBias,
                                                &expert.parameters.inputScale,
                                                &expert.parameters.outputOffset};
    std::vector<float> &array = *arrays[generator.integer(0, 5)];
    if (array.empty())
      continue;
    float &number = array[generator.integer(0, array.size() - 1)];
    if (&array == &layer.limit && number == 0)
      continue; // the limit of an output that is not clamped is not stored
    number = generator.chance(2) ? std::numeric_limits<float>::infinity() : std::numeric_limits<float>::quiet_NaN();
    Layout layout = layoutOfValid(expert.signature);
    Result<void> valid =
        validateParameters(expert.signature, layout, packParameters(expert.signature, layout, expert.parameters));
    ASSERT_FALSE(valid.ok());
    ASSERT_EQ(valid.error().id, ErrorId::ParameterNotFinite);
  }
}

TEST(Parameters, UnpackingRefusesBytesInAResidualRowsPadding) {
  RandomExpert expert = residualExpert();
  std::vector<std::uint8_t> block =
      packParameters(expert.signature, layoutOfValid(expert.signature), expert.parameters);
  block[204] = 1;
  EXPECT_EQ(unpackError(expert, block), ErrorId::ParametersMalformed);
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
  block[layout.layers[0].rowsOffset + 3 * 4 + 3 * 3] = 1;
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

TEST(OverflowProof, CoversResidualRows) {
  RandomExpert expert = residualExpert();
  expert.signature.inputs = 520;
  expert.parameters.inputScale.resize(520);
  LayerParameters &layer = expert.parameters.layers[0];
  layer.weights.assign(9 * 520, 0);
  layer.residuals[0].weights.assign(520, 127); // 520 * 127 * 32768 = 2163998720
  Result<void> result = proveNoOverflow(expert.signature, expert.parameters);
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error(), makeError(ErrorId::AccumulatorOverflow, 0, 8, 2163998720));
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

/// corpus/expert: the length of a signature in a byte, the signature, the block. What the names say is bad is not here.
TEST(FuzzSeeds, AreBlocksThatKernelsMayBeRunWith) {
  const std::set<std::string> bad = {"too-large", "truncated"};
  for (const auto &entry : std::filesystem::directory_iterator(std::string(KIMIC_FUZZ_CORPUS_DIR) + "/expert")) {
    const std::string name = entry.path().filename().string();
    if (bad.count(name))
      continue;
    const std::string seed = readFile(entry.path().string(), 1 << 20).value();
    const std::span bytes(reinterpret_cast<const std::uint8_t *>(seed.data()), seed.size());
    ASSERT_LT(bytes[0], bytes.size()) << name;
    const Signature signature = decodeSignature(bytes.subspan(1, bytes[0])).value();
    EXPECT_TRUE(unpackParameters(signature, layoutOfValid(signature), bytes.subspan(1 + bytes[0])).ok()) << name;
  }
}

} // namespace
} // namespace kimic::quant
