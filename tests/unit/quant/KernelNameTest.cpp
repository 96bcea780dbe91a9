#include "formats/quant/KernelName.h"
#include "tests/support/RandomExpert.h"

#include <gtest/gtest.h>

namespace kimic::quant {
namespace {

Signature layered(std::vector<std::uint32_t> widths, std::vector<ActivationGroup> functions) {
  Signature signature;
  signature.inputs = widths[0];
  std::uint32_t readBegin = 0, codes = widths[0];
  for (std::size_t l = 1; l < widths.size(); ++l) {
    ActivationGroup group = functions[l - 1];
    group.count = widths[l];
    signature.layers.push_back({WeightFormat::Int8, readBegin, {group}});
    readBegin = codes;
    codes += widths[l];
  }
  return signature;
}
constexpr ActivationGroup kTanh{Activation::SigmoidSymmetric}, kLinear{Activation::Linear},
    kClampedLinear{Activation::Linear, true};

TEST(KernelName, NamesACommonFunctionOnce) {
  EXPECT_EQ(kernelName(layered({64, 128, 64, 16}, {kTanh, kTanh, kTanh})), "w8a14_64-128-64-16_sigmoid_symmetric");
}

TEST(KernelName, NamesTheFunctionsOfHiddenAndLastLayer) {
  EXPECT_EQ(kernelName(layered({8, 6, 6, 1}, {kTanh, kTanh, kClampedLinear})),
            "w8a14_8-6-6-1_sigmoid_symmetric-clamped_linear");
}

TEST(KernelName, NamesAllFunctionsIfHiddenLayersDiffer) {
  EXPECT_EQ(kernelName(layered({8, 6, 6, 1}, {kTanh, kLinear, kTanh})),
            "w8a14_8-6-6-1_sigmoid_symmetric-linear-sigmoid_symmetric");
}

TEST(KernelName, SaysThatOutputsAreScaled) {
  Signature signature = layered({3, 1}, {kLinear});
  signature.outputAffine = true;
  EXPECT_EQ(kernelName(signature), "w8a14_3-1_linear_affine");
}

TEST(KernelName, BeginsWithTheWeightFormat) {
  Signature signature = layered({3, 1}, {kClampedLinear});
  signature.layers[0].weights = WeightFormat::Int8Residual;
  EXPECT_EQ(kernelName(signature), "w16a14_3-1_clamped_linear");
  signature.layers[0].weights = WeightFormat::Float32;
  EXPECT_EQ(kernelName(signature), "f32_3-1_linear");
}

TEST(KernelName, EndsWithTheHead) {
  Signature signature = layered({3, 4}, {kLinear});
  signature.head = Head::Softmax;
  EXPECT_EQ(kernelName(signature), "w8a14_3-4_linear_softmax");
  signature.outputAffine = true;
  signature.head = Head::Argmax;
  EXPECT_EQ(kernelName(signature), "w8a14_3-4_linear_affine_argmax");
}

TEST(KernelName, EndsWithTheSchedule) {
  Signature signature = layered({3, 4}, {kLinear});
  signature.head = Head::Softmax;
  signature.sparseInputs = true;
  EXPECT_EQ(kernelName(signature), "w8a14_3-4_linear_softmax_sparse");
}

// FNV-1a of the bytes 01 00 03 02, 00 00 01 05 02, 00 00 01 05 01.
TEST(KernelName, HashesWhatIsNotLayered) {
  Signature signature = layered({3, 2, 1}, {kTanh, kTanh});
  signature.layers[1].readBegin = 0;
  EXPECT_EQ(kernelName(signature), "w8a14_3-x1-1_9cec70c892cc68b0");
}

TEST(KernelName, HashesWhatHasSeveralFunctionsInALayer) {
  Signature signature = layered({3, 2}, {kTanh});
  signature.layers[0].groups.push_back({Activation::Cos, false, 1});
  EXPECT_EQ(kernelName(signature).rfind("w8a14_3-x0-3_", 0), 0u);
}

TEST(KernelName, HashesWhatWouldBeTooLong) {
  Signature deep = layered(std::vector<std::uint32_t>(31, 100), std::vector<ActivationGroup>(30, kTanh));
  EXPECT_EQ(kernelName(deep).rfind("w8a14_100-x29-100_", 0), 0u);
}

TEST(KernelName, NamesItsSignatureIfItIsRegular) {
  testing::ExpertGenerator generator(3, {40, 4, 40, 1, kWeightFormatCount, kHeadCount, true});
  unsigned regular = 0;
  for (int i = 0; i < 500; ++i) {
    Signature signature = generator.signature();
    signature.sparseInputs = signature.weights() != WeightFormat::Float32 && i % 2;
    const std::string name = kernelName(signature);
    if (std::optional<Signature> named = signatureNamed(name)) {
      ++regular;
      ASSERT_EQ(*named, signature) << name;
    } else {
      ASSERT_TRUE(name.find("-x") != name.npos) << name;
    }
  }
  EXPECT_GT(regular, 100u);
}

TEST(KernelName, OfNoKernelHasNoSignature) {
  for (const char *name :
       {"", "w8a14_", "w8a14_4", "w8a14_4-2", "w8a14_4-2_", "w8a14_4-2_nothing", "w8a14_4--2_linear",
        "w8a14_04-2_linear", "w8a14_4-2_linear_", "w8a14_4-2_linear_sparse_softmax", "w9a14_4-2_linear",
        "w8a14_4-2-2_linear-linear", "w8a14_4-99999999999_linear", "w8a14_3-x1-1_9cec70c892cc68b0"})
    EXPECT_FALSE(signatureNamed(name)) << name;
}

} // namespace
} // namespace kimic::quant
