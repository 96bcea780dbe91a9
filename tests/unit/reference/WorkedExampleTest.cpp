// The examples of formats/spec/quantization-v1.md, section 12, number by number.
#include "formats/quant/Parameters.h"
#include "formats/reference/FloatOps.h"
#include "formats/reference/Reference.h"

#include <gtest/gtest.h>

namespace kimic::reference {
namespace {

using namespace quant;

class WorkedExample : public ::testing::Test {
protected:
  WorkedExample() {
    signature_.inputs = 2;
    signature_.layers = {
        {WeightFormat::Int8, 0, {{Activation::SigmoidSymmetric, false, 2}, {Activation::Gaussian, false, 1}}},
        {WeightFormat::Int8, 2, {{Activation::Sigmoid, false, 1}}}};
    signature_.outputAffine = true;
    ExpertParameters parameters;
    parameters.inputScale = {4096, 4096};
    parameters.layers.resize(2);
    parameters.layers[0].weights = {100, -50, -127, 3, 64, 64};
    parameters.layers[0].bias = {1000, -2000, 0};
    parameters.layers[0].multiplier = {0x1p-18f, 0x1p-18f, 0x1p-18f};
    parameters.layers[1].weights = {90, -70, 40};
    parameters.layers[1].bias = {327780};
    parameters.layers[1].multiplier = {0x1p-20f};
    parameters.outputGain = {2};
    parameters.outputOffset = {-0.5f};
    Result<Layout> layout = layoutOf(signature_);
    EXPECT_TRUE(layout.ok());
    layout_ = *layout;
    std::vector<std::uint8_t> block = packParameters(signature_, layout_, parameters);
    EXPECT_LE(block.size(), sizeof params_);
    EXPECT_LE(layout_.scratchBytes, sizeof scratch_);
    std::memcpy(params_, block.data(), block.size());
    run(signature_, layout_, params_, x_, &y_, scratch_, 1);
  }

  std::int32_t code(std::uint32_t index) const {
    std::int16_t code;
    std::memcpy(&code, scratch_ + layout_.codesOffset + index * 2, 2);
    return code;
  }

  Signature signature_;
  Layout layout_;
  alignas(16) std::uint8_t params_[1024];
  alignas(16) std::uint8_t scratch_[1024];
  float x_[2] = {0.5f, -1.25f};
  float y_ = 0;
};

std::uint32_t bitsOf(float value) { return FloatOps(nullptr).bits(value); }

TEST_F(WorkedExample, HasTheCodesOfTheInputs) {
  EXPECT_EQ(code(0), 2048);
  EXPECT_EQ(code(1), -5120);
}

TEST_F(WorkedExample, HasTheCodesOfTheHiddenLayer) {
  EXPECT_EQ(code(2), 7722);
  EXPECT_EQ(code(3), -6431);
  EXPECT_EQ(code(4), 1143);
}

TEST_F(WorkedExample, HasTheAccumulatorOfTheOutput) {
  std::int32_t accumulator;
  std::memcpy(&accumulator, scratch_ + layout_.accumulatorsOffset, 4);
  EXPECT_EQ(accumulator, 1518650);
}

TEST_F(WorkedExample, HasTheOutput) { EXPECT_EQ(bitsOf(y_), 0x3FB29B0Eu); }

TEST(WorkedFunctions, RoundTheSpecifiedValues) {
  FloatOps tanh(constantsOf(ConstantTable::Tanh).data()), exp(constantsOf(ConstantTable::Exp).data());
  EXPECT_EQ(bitsOf(evaluateCode(tanh, Activation::SigmoidSymmetric, 1.7616272f)), 0x45F1538Bu);
  EXPECT_EQ(bitsOf(evaluateCode(tanh, Activation::SigmoidSymmetric, -1.0584106f)), 0xC5C8F9ACu);
  EXPECT_EQ(bitsOf(evaluateCode(exp, Activation::Gaussian, -0.75f)), 0x448EE9E8u);
  EXPECT_EQ(bitsOf(evaluateOutput(tanh, Activation::Sigmoid, 1.4482975f)), 0x3F729B0Eu);
}

std::vector<std::uint32_t> outputBits(const Signature &signature, const ExpertParameters &parameters) {
  Result<Layout> layout = layoutOf(signature);
  EXPECT_TRUE(layout.ok());
  std::vector<std::uint8_t> block = packParameters(signature, *layout, parameters);
  alignas(16) std::uint8_t params[1024], scratch[1024];
  EXPECT_LE(block.size(), sizeof params);
  EXPECT_LE(layout->scratchBytes, sizeof scratch);
  std::memcpy(params, block.data(), block.size());
  const float x[2] = {0.5f, -1.25f};
  std::vector<float> y(signature.outputs());
  run(signature, *layout, params, x, y.data(), scratch, 1);
  std::vector<std::uint32_t> bits;
  for (float value : y)
    bits.push_back(bitsOf(value));
  return bits;
}

TEST(WorkedResiduals, HaveTheOutput) {
  Signature signature;
  signature.inputs = 2;
  signature.layers = {{WeightFormat::Int8Residual, 0, {{Activation::Linear, false, 1}}}};
  ExpertParameters parameters;
  parameters.inputScale = {4096, 4096};
  parameters.layers.resize(1);
  parameters.layers[0].weights = {100, -50};
  parameters.layers[0].bias = {0};
  parameters.layers[0].multiplier = {0x1p-18f};
  parameters.layers[0].residuals = {{0, {3, -7}, 0x1p-26f}};
  EXPECT_EQ(outputBits(signature, parameters), (std::vector<std::uint32_t>{0x3FE11480}));
}

class WorkedFloat32 : public ::testing::Test {
protected:
  WorkedFloat32() {
    signature_.inputs = 2;
    signature_.layers = {{WeightFormat::Float32, 0, {{Activation::SigmoidSymmetric, true, 1}}},
                         {WeightFormat::Float32, 2, {{Activation::Linear, true, 3}}}};
    parameters_.layers.resize(2);
    parameters_.layers[0].floatWeights = {0.75f, -0.5f};
    parameters_.layers[0].floatBias = {0.125f};
    parameters_.layers[0].limit = {150};
    parameters_.layers[1].floatWeights = {1.5f, -2, 0.75f};
    parameters_.layers[1].floatBias = {0.1f, 0.25f, -0.5f};
    parameters_.layers[1].limit = {150, 150, 150};
  }

  Signature signature_;
  ExpertParameters parameters_;
};

TEST_F(WorkedFloat32, HasTheLogits) {
  EXPECT_EQ(outputBits(signature_, parameters_), (std::vector<std::uint32_t>{0x3FA82F91, 0xBFAF2E5A, 0x3DDB1620}));
}

TEST_F(WorkedFloat32, HasTheSoftmax) {
  signature_.head = Head::Softmax;
  parameters_.headScale = 0.5f;
  EXPECT_EQ(outputBits(signature_, parameters_), (std::vector<std::uint32_t>{0x3F0D8F86, 0x3E141437, 0x3E9AD6D8}));
}

TEST_F(WorkedFloat32, HasTheArgmax) {
  signature_.head = Head::Argmax;
  EXPECT_EQ(outputBits(signature_, parameters_), std::vector<std::uint32_t>{0});
}

/// The bits of the tables in sections 6 and 7.
TEST(WorkedConstants, HaveTheSpecifiedBits) {
  const std::vector<std::uint32_t> tables[kConstantTableCount] = {
      {0xC0B9999A, 0x40B9999A, 0x48564209, 0x4B7CE15C, 0x4D0996FE, 0x41D64209, 0x44FCE15C, 0x468996FE, 0x439B4CCB,
       0x45F6A2BB, 0x468997D1},
      {0xBFB8AA3B, 0xC2FA0000, 0x3C1D015B, 0x3D64FE3A, 0x3E7601BC, 0x3F317096},
      {0xC7800000, 0x47800000, 0x3EA2F983, 0x40490000, 0x3A7DAA22, 0xB9407670, 0x3C0815C4, 0xBE2AA5C0, 0x3F7FFFC6},
      {0xC0800000, 0x40800000, 0xC02962C1, 0xBFBC71B0, 0xBF0C9F54, 0x3F0C9F54, 0x3FBC71AF, 0x402962C3,
       0,          0x3D1CF19E, 0x3E5DE7EF, 0x3EE90570, 0x3E5DE7F1, 0x3D1CF19D, 0,          0,
       0x3DD9ED89, 0x3EBCF279, 0x3F000000, 0x3F2186C3, 0x3F64C24F, 0x3F800000},
      {0xC0800000, 0x40800000, 0xC02962C3, 0xBFBC71AF, 0xBF0C9F54, 0x3F0C9F54, 0x3FBC71AF, 0x402962C3,
       0,          0x3D9CF19D, 0x3EDDE7F1, 0x3F690570, 0x3EDDE7F1, 0x3D9CF19D, 0,          0xBF800000,
       0xBF49849E, 0xBE861B0D, 0,          0x3E861B0D, 0x3F49849E, 0x3F800000},
      {0x3C23D70A},
      {0x3FB8AA3B, 0xC2FA0000, 0x39242AE2, 0x3AAFE877, 0x3C1D921E, 0x3D6356BF, 0x3E75FDF2, 0x3F317219},
      {0xC7800000, 0x47800000, 0x3EA2F983, 0x40490000, 0x3A7E0000, 0xB5ABBBD3, 0x362F2C98, 0xB94FC1A2, 0x3C0887CD,
       0xBE2AAAAB, 0x3F800000}};
  for (unsigned t = 0; t < kConstantTableCount; ++t) {
    std::vector<std::uint32_t> bits;
    for (float value : constantsOf(static_cast<ConstantTable>(t)))
      bits.push_back(bitsOf(value));
    EXPECT_EQ(bits, tables[t]) << "table " << t;
  }
}

} // namespace
} // namespace kimic::reference
