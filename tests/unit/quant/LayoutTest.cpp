#include "formats/quant/Layout.h"
#include "tests/support/RandomExpert.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace kimic::quant {
namespace {

Signature oneLayer(std::uint32_t inputs, std::vector<ActivationGroup> groups) {
  Signature signature;
  signature.inputs = inputs;
  signature.layers = {{WeightFormat::Int8, 0, std::move(groups)}};
  return signature;
}

TEST(Layout, OfTheSpecificationsExample) {
  // 3 inputs, 2 tanh outputs, 1 clamped linear output, with output scaling: kernel-abi-v1, "Example".
  Signature signature;
  signature.inputs = 3;
  signature.layers = {{WeightFormat::Int8, 0, {{Activation::SigmoidSymmetric, false, 2}}},
                      {WeightFormat::Int8, 3, {{Activation::Linear, true, 1}}}};
  signature.outputAffine = true;
  Result<Layout> layout = layoutOf(signature);
  ASSERT_TRUE(layout.ok());
  EXPECT_EQ(layout->constantsOffset(ConstantTable::Tanh), 0u);
  EXPECT_EQ(layout->inputBoundsOffset, 48u);
  EXPECT_EQ(layout->inputScaleOffset, 64u);
  EXPECT_EQ(layout->layers[0].rowOutputs, 2u);
  EXPECT_EQ(layout->layers[0].rowsOffset, 96u);
  EXPECT_EQ(layout->layers[0].boundsOffset, 112u);
  EXPECT_EQ(layout->layers[0].multiplierOffset, 128u);
  EXPECT_EQ(layout->layers[0].limitOffset, kNone);
  EXPECT_EQ(layout->layers[1].rowsOffset, 144u);
  EXPECT_EQ(layout->layers[1].boundsOffset, kNone);
  EXPECT_EQ(layout->layers[1].multiplierOffset, 160u);
  EXPECT_EQ(layout->layers[1].limitOffset, 176u);
  EXPECT_EQ(layout->outputGainOffset, 192u);
  EXPECT_EQ(layout->outputOffsetOffset, 208u);
  EXPECT_EQ(layout->parameterBytes, 224u);
  EXPECT_EQ(layout->codesOffset, 0u);
  EXPECT_EQ(layout->correctionOffset, 32u);
  EXPECT_EQ(layout->accumulatorsOffset, 48u);
  EXPECT_EQ(layout->scratchRowBytes, 64u);
  EXPECT_EQ(layout->scratchBytes, 256u);
}

TEST(Layout, OfTheSpecificationsExampleOfABlock) {
  Result<Layout> layout = layoutOf(oneLayer(3, {{Activation::Linear, false, 8}}));
  ASSERT_TRUE(layout.ok());
  EXPECT_EQ(layout->layers[0].blocksOffset, 48u);
  EXPECT_EQ(layout->layers[0].rowOutputs, 0u);
  EXPECT_EQ(layout->layers[0].multiplierOffset, 112u);
  EXPECT_EQ(layout->parameterBytes, 144u);
}

TEST(Layout, OfTheSpecificationsResidualExample) {
  Signature signature = oneLayer(3, {{Activation::Linear, false, 9}});
  signature.layers[0].weights = WeightFormat::Int8Residual;
  Result<Layout> layout = layoutOf(signature);
  ASSERT_TRUE(layout.ok());
  EXPECT_EQ(layout->inputBoundsOffset, 0u);
  EXPECT_EQ(layout->inputScaleOffset, 16u);
  EXPECT_EQ(layout->layers[0].blocksOffset, 48u);
  EXPECT_EQ(layout->layers[0].rowsOffset, 112u);
  EXPECT_EQ(layout->layers[0].multiplierOffset, 128u);
  EXPECT_EQ(layout->layers[0].residualCountOffset, 176u);
  EXPECT_EQ(layout->parameterBytes, 192u);
  EXPECT_EQ(residualRowBytes(3), 16u);
  EXPECT_EQ(layout->codesOffset, 0u);
  EXPECT_EQ(layout->accumulatorsOffset, 48u);
  EXPECT_EQ(layout->residualsOffset, 96u);
  EXPECT_EQ(layout->scratchRowBytes, 144u);
}

TEST(Layout, OfTheSpecificationsFloatExample) {
  Signature signature = oneLayer(2, {{Activation::Linear, true, 6}});
  signature.layers[0].weights = WeightFormat::Float32;
  signature.head = Head::Softmax;
  Result<Layout> layout = layoutOf(signature);
  ASSERT_TRUE(layout.ok());
  EXPECT_EQ(layout->constantsOffset(ConstantTable::PreciseExp), 0u);
  EXPECT_EQ(layout->inputBoundsOffset, 32u);
  EXPECT_EQ(layout->inputScaleOffset, kNone);
  EXPECT_EQ(layout->layers[0].blocksOffset, 48u);
  EXPECT_EQ(layout->layers[0].fullBlocks, 0u);
  EXPECT_EQ(layout->layers[0].tailOutputs, 4u);
  EXPECT_EQ(layout->layers[0].rowsOffset, 96u);
  EXPECT_EQ(layout->layers[0].multiplierOffset, kNone);
  EXPECT_EQ(layout->layers[0].limitOffset, 128u);
  EXPECT_EQ(layout->headScaleOffset, 160u);
  EXPECT_EQ(layout->parameterBytes, 176u);
  EXPECT_EQ(layout->accumulatorsOffset, 64u);
  EXPECT_EQ(layout->residualsOffset, kNone);
  EXPECT_EQ(layout->logitsOffset, 96u);
  EXPECT_EQ(layout->scratchRowBytes, 128u);
}

TEST(Layout, HasRoomForAListOfPairsWithSparseInputs) {
  Signature signature;
  signature.inputs = 9;
  signature.layers = {{WeightFormat::Int8, 0, {{Activation::Linear, false, 8}}}};
  Layout dense = layoutOf(signature).value();
  signature.sparseInputs = true;
  Layout sparse = layoutOf(signature).value();
  EXPECT_EQ(dense.activeOffset, kNone);
  EXPECT_EQ(sparse.activeOffset, dense.scratchRowBytes);
  EXPECT_EQ(sparse.scratchRowBytes, dense.scratchRowBytes + 16); // 4 bytes, 5 pairs of 2
  EXPECT_EQ(sparse.parameterBytes, dense.parameterBytes);
}

TEST(Layout, SplitsFloatOutputsIntoBlocksOf16ATailAndRows) {
  struct {
    std::uint32_t outputs, fullBlocks, tail, rows;
  } cases[] = {{1, 0, 0, 1}, {12, 0, 12, 0}, {15, 0, 12, 3}, {16, 1, 0, 0}, {17, 1, 0, 1}, {301, 18, 12, 1}};
  for (auto c : cases) {
    Signature signature = oneLayer(1, {{Activation::Linear, true, c.outputs}});
    signature.layers[0].weights = WeightFormat::Float32;
    Result<Layout> layout = layoutOf(signature);
    ASSERT_TRUE(layout.ok());
    EXPECT_EQ(layout->layers[0].fullBlocks, c.fullBlocks) << c.outputs;
    EXPECT_EQ(layout->layers[0].tailOutputs, c.tail) << c.outputs;
    EXPECT_EQ(layout->layers[0].rowOutputs, c.rows) << c.outputs;
  }
}

TEST(Layout, HoldsOnlyTheTablesInUseInEnumOrder) {
  Result<Layout> layout = layoutOf(oneLayer(1, {{Activation::Cos, false, 1}, {Activation::Sigmoid, false, 1}}));
  ASSERT_TRUE(layout.ok());
  ASSERT_EQ(layout->constants.size(), 2u);
  EXPECT_EQ(layout->constants[0].table, ConstantTable::Tanh);
  EXPECT_EQ(layout->constants[1].table, ConstantTable::Sine);
  EXPECT_EQ(layout->constantsOffset(ConstantTable::Exp), kNone);
}

TEST(Layout, SplitsOutputsIntoBlocksOf32ATailAndRows) {
  struct {
    std::uint32_t outputs, fullBlocks, tail, rows;
  } cases[] = {{1, 0, 0, 1},   {7, 0, 0, 7},  {8, 0, 8, 0},  {9, 0, 8, 1},
               {31, 0, 24, 7}, {32, 1, 0, 0}, {33, 1, 0, 1}, {300, 9, 8, 4}};
  for (auto c : cases) {
    Result<Layout> layout = layoutOf(oneLayer(1, {{Activation::Linear, false, c.outputs}}));
    ASSERT_TRUE(layout.ok());
    EXPECT_EQ(layout->layers[0].fullBlocks, c.fullBlocks) << c.outputs;
    EXPECT_EQ(layout->layers[0].tailOutputs, c.tail) << c.outputs;
    EXPECT_EQ(layout->layers[0].rowOutputs, c.rows) << c.outputs;
  }
}

TEST(Layout, PadsNoWeights) {
  testing::ExpertGenerator generator(4, {300, 12, 300, 6, kWeightFormatCount, kHeadCount});
  for (int i = 0; i < 100; ++i) {
    Signature signature = generator.signature();
    Result<Layout> layout = layoutOf(signature);
    ASSERT_TRUE(layout.ok());
    for (const LayerLayout &layer : layout->layers) {
      std::uint64_t weights = std::uint64_t{layer.outputs} * layer.fanIn, biases = layer.outputs * 4u;
      // An odd input of blocks of 8-bit weights is all there is.
      std::uint64_t odd = layer.fanIn % 2 * layer.blockedOutputs();
      bool isFloat = signature.weights() == WeightFormat::Float32;
      ASSERT_EQ(weightBytes(signature.weights(), layer), isFloat ? weights * 4 + biases : weights + odd + biases);
    }
  }
}

TEST(Layout, PadsArraysForVectorsFromAnyGroup) {
  EXPECT_EQ(layoutOf(oneLayer(1, {{Activation::Linear, false, 16}}))->layers[0].vectorLength, 16u);
  EXPECT_EQ(
      layoutOf(oneLayer(1, {{Activation::Linear, false, 9}, {Activation::Cos, false, 7}}))->layers[0].vectorLength,
      20u);
}

TEST(Layout, RefusesParametersPast16MiB) {
  Result<Layout> layout = layoutOf(oneLayer(65536, {{Activation::Linear, false, 65536}}));
  ASSERT_FALSE(layout.ok());
  EXPECT_EQ(layout.error().id, ErrorId::ParametersTooLarge);
}

TEST(Layout, CountsParametersInMoreThan32Bits) {
  Signature signature = oneLayer(65536, {{Activation::Linear, false, 65536}});
  signature.layers.resize(kMaxLayers, signature.layers[0]);
  Result<Layout> layout = layoutOf(signature);
  ASSERT_FALSE(layout.ok());
  EXPECT_GT(layout.error().args[0], std::uint64_t{1} << 50);
}

TEST(Layout, PartsFollowEachOtherAlignedAndDisjoint) {
  testing::ExpertGenerator generator(3, {300, 12, 300, 6, kWeightFormatCount, kHeadCount});
  for (int i = 0; i < 200; ++i) {
    Signature signature = generator.signature();
    Result<Layout> result = layoutOf(signature);
    ASSERT_TRUE(result.ok());
    const Layout &layout = *result;
    std::vector<std::pair<std::uint32_t, std::uint32_t>> parts; // offset, bytes
    for (const ConstantsLayout &constants : layout.constants)
      parts.push_back({constants.offset, constantsOf(constants.table).size() * 4});
    parts.push_back({layout.inputBoundsOffset, 8});
    bool isFloat = signature.weights() == WeightFormat::Float32;
    auto bytesOf = [&](const LayerLayout &layer, std::uint32_t outputs) {
      return isFloat ? floatBlockBytes(outputs, layer.fanIn) : blockBytes(outputs, layer.kPairs);
    };
    auto push = [&](std::uint32_t offset, std::uint32_t bytes) {
      if (offset != kNone)
        parts.push_back({offset, bytes});
    };
    push(layout.inputScaleOffset, (signature.inputs + 7) / 8 * 8 * 4);
    for (const LayerLayout &layer : layout.layers) {
      std::uint32_t blocks = layer.fullBlocks * bytesOf(layer, isFloat ? 16 : 32) + bytesOf(layer, layer.tailOutputs);
      std::uint32_t rows = layer.rowOutputs * (isFloat ? 4 * layer.fanIn + 4 : layer.fanIn + 4);
      ASSERT_EQ(layer.rowsOffset, layer.blocksOffset + blocks);
      push(layer.blocksOffset, blocks + rows);
      push(layer.boundsOffset, 8);
      push(layer.multiplierOffset, layer.vectorLength * 4);
      push(layer.limitOffset, layer.vectorLength * 4);
      push(layer.residualCountOffset, 4);
    }
    push(layout.outputGainOffset, layout.layers.back().vectorLength * 4);
    push(layout.outputOffsetOffset, layout.layers.back().vectorLength * 4);
    push(layout.headScaleOffset, 4);
    std::uint32_t end = 0;
    for (auto [offset, bytes] : parts) {
      ASSERT_EQ(offset, (end + 15) / 16 * 16);
      end = offset + bytes;
    }
    ASSERT_EQ(layout.parameterBytes, (end + 15) / 16 * 16);
  }
}

} // namespace
} // namespace kimic::quant
