#include "formats/quant/Signature.h"
#include "tests/support/RandomExpert.h"

#include <gtest/gtest.h>

namespace kimic::quant {
namespace {

using Bytes = std::vector<std::uint8_t>;

/// 2 inputs, a layer of 300 clamped tanh outputs, one linear output, with output scaling.
Signature example() {
  Signature signature;
  signature.inputs = 2;
  signature.layers = {{WeightFormat::Int8, 0, {{Activation::SigmoidSymmetric, true, 300}}},
                      {WeightFormat::Int8, 2, {{Activation::Linear, false, 1}}}};
  signature.outputAffine = true;
  return signature;
}
const Bytes kExampleBytes = {1, 1, 2, 2, /*layer 0*/ 0, 0, 1, 0x85, 0xAC, 0x02, /*layer 1*/ 0, 2, 1, 0x00, 1};

ErrorId errorOf(const Bytes &bytes) {
  Result<Signature> result = decodeSignature(bytes);
  return result.ok() ? ErrorId::None : result.error().id;
}
ErrorId errorOf(const Signature &signature) {
  Result<void> result = validate(signature);
  return result.ok() ? ErrorId::None : result.error().id;
}

TEST(Signature, HasTheSpecifiedBytes) { EXPECT_EQ(encode(example()), kExampleBytes); }

TEST(Signature, HasTheBytesOfTheSpecificationsExample) {
  Signature signature;
  signature.inputs = 3;
  signature.layers = {{WeightFormat::Int8, 0, {{Activation::SigmoidSymmetric, false, 2}}},
                      {WeightFormat::Int8, 3, {{Activation::Linear, true, 1}}}};
  signature.outputAffine = true;
  EXPECT_EQ(encode(signature), (Bytes{1, 1, 3, 2, 0, 0, 1, 5, 2, 0, 3, 1, 0x80, 1}));
}

TEST(Signature, IsReadBackFromItsBytes) {
  Result<Signature> decoded = decodeSignature(kExampleBytes);
  ASSERT_TRUE(decoded.ok());
  EXPECT_EQ(*decoded, example());
}

TEST(Signature, CountsCodesAndFanIn) {
  Signature signature = example();
  EXPECT_EQ(signature.codesBefore(1), 302u);
  EXPECT_EQ(signature.fanIn(0), 2u);
  EXPECT_EQ(signature.fanIn(1), 300u);
  EXPECT_EQ(signature.outputs(), 1u);
}

TEST(Signature, RandomOnesSurviveEncoding) {
  testing::ExpertGenerator generator(7, {40, 5, 40, 4, kWeightFormatCount, kHeadCount, true});
  for (int i = 0; i < 500; ++i) {
    Signature signature = generator.signature();
    ASSERT_TRUE(validate(signature).ok());
    Result<Signature> decoded = decodeSignature(encode(signature));
    ASSERT_TRUE(decoded.ok());
    ASSERT_EQ(*decoded, signature);
  }
}

TEST(Signature, RefusesEveryTruncation) {
  for (std::size_t size = 0; size < kExampleBytes.size(); ++size)
    EXPECT_EQ(errorOf(Bytes(kExampleBytes.begin(), kExampleBytes.begin() + size)), ErrorId::SignatureMalformed) << size;
}

TEST(Signature, RefusesBytesAfterTheEnd) {
  Bytes bytes = kExampleBytes;
  bytes.push_back(0);
  EXPECT_EQ(errorOf(bytes), ErrorId::SignatureMalformed);
}

TEST(Signature, RefusesAnotherVersion) {
  Bytes bytes = kExampleBytes;
  bytes[0] = 2;
  EXPECT_EQ(errorOf(bytes), ErrorId::SignatureMalformed);
}

TEST(Signature, RefusesUnknownFlags) {
  Bytes bytes = kExampleBytes;
  bytes[1] = 16;
  EXPECT_EQ(errorOf(bytes), ErrorId::SignatureMalformed);
}

TEST(Signature, HoldsTheHeadInBits1And2OfTheFlags) {
  Signature signature = example();
  signature.head = Head::Softmax;
  EXPECT_EQ(encode(signature)[1], 0x03);
  signature.head = Head::Argmax;
  EXPECT_EQ(encode(signature)[1], 0x05);
}

TEST(Signature, SaysInBit3OfTheFlagsThatInputsAreSparse) {
  Signature signature = example();
  signature.sparseInputs = true;
  EXPECT_EQ(encode(signature)[1], 0x09);
  EXPECT_EQ(decodeSignature(encode(signature)).value(), signature);
}

TEST(Signature, RefusesTheHeadThatDoesNotExist) {
  Bytes bytes = kExampleBytes;
  bytes[1] = 6;
  EXPECT_EQ(errorOf(bytes), ErrorId::SignatureHead);
}

TEST(Signature, HasOneOutputIfItsHeadIsArgmax) {
  Signature signature = example();
  signature.layers[1].groups[0].count = 7;
  signature.head = Head::Argmax;
  EXPECT_EQ(signature.logits(), 7u);
  EXPECT_EQ(signature.outputs(), 1u);
}

TEST(Signature, RefusesNumbersNotInShortestForm) {
  EXPECT_EQ(errorOf(Bytes{1, 0, 0x82, 0x00, 1, 0, 0, 1, 0, 1}), ErrorId::SignatureMalformed);
}

TEST(Signature, RefusesNumbersPast32Bits) {
  EXPECT_EQ(errorOf(Bytes{1, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0x1F, 1, 0, 0, 1, 0, 1}), ErrorId::SignatureMalformed);
}

TEST(Signature, RefusesCountsThatTheBytesCannotHold) {
  EXPECT_EQ(errorOf(Bytes{1, 0, 2, 0xFF, 0x1F, 0, 0, 1, 0, 1}), ErrorId::SignatureMalformed);
  EXPECT_EQ(errorOf(Bytes{1, 0, 2, 1, 0, 0, 0xFF, 0xFF, 0x03, 0, 1}), ErrorId::SignatureMalformed);
}

TEST(Signature, EveryChangedByteIsRefusedOrCanonical) {
  for (std::size_t i = 0; i < kExampleBytes.size(); ++i)
    for (int value = 0; value < 256; ++value) {
      Bytes bytes = kExampleBytes;
      bytes[i] = static_cast<std::uint8_t>(value);
      Result<Signature> decoded = decodeSignature(bytes);
      if (decoded.ok()) {
        EXPECT_EQ(encode(*decoded), bytes);
      }
    }
}

TEST(SignatureValidation, RefusesNoInputs) {
  Signature signature = example();
  signature.inputs = 0;
  EXPECT_EQ(errorOf(signature), ErrorId::SignatureInputs);
}

TEST(SignatureValidation, RefusesTooManyInputs) {
  Signature signature = example();
  signature.inputs = kMaxWidth + 1;
  EXPECT_EQ(errorOf(signature), ErrorId::SignatureInputs);
}

TEST(SignatureValidation, RefusesNoLayers) {
  Signature signature = example();
  signature.layers.clear();
  EXPECT_EQ(errorOf(signature), ErrorId::SignatureLayers);
}

TEST(SignatureValidation, RefusesTooManyLayers) {
  Signature signature = example();
  signature.layers.resize(kMaxLayers + 1, signature.layers[1]);
  EXPECT_EQ(errorOf(signature), ErrorId::SignatureLayers);
}

TEST(SignatureValidation, RefusesALayerWithoutOutputs) {
  Signature signature = example();
  signature.layers[0].groups.clear();
  EXPECT_EQ(errorOf(signature), ErrorId::SignatureWidth);
}

TEST(SignatureValidation, RefusesALayerThatIsTooWide) {
  Signature signature = example();
  signature.layers[0].groups = {{Activation::Linear, false, 0xFFFFFFFFu}, {Activation::Linear, true, 2}};
  EXPECT_EQ(errorOf(signature), ErrorId::SignatureWidth);
}

TEST(SignatureValidation, RefusesReadingCodesThatDoNotExist) {
  Signature signature = example();
  signature.layers[1].readBegin = 302;
  Result<void> result = validate(signature);
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error(), makeError(ErrorId::SignatureReadsPastCodes, 1, 302, 302));
}

TEST(SignatureValidation, RefusesUnknownWeightFormats) {
  Signature signature = example();
  signature.layers[0].weights = signature.layers[1].weights = static_cast<WeightFormat>(3);
  EXPECT_EQ(errorOf(signature), ErrorId::SignatureWeightFormat);
}

TEST(SignatureValidation, RefusesLayersOfDifferentFormats) {
  Signature signature = example();
  signature.layers[1].weights = WeightFormat::Int8Residual;
  Result<void> result = validate(signature);
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error(), makeError(ErrorId::SignatureMixedFormats, 1, 1, 0));
}

TEST(SignatureValidation, RefusesFloatLayersThatAreNotClamped) {
  Signature signature = example();
  for (LayerSignature &layer : signature.layers)
    layer.weights = WeightFormat::Float32;
  EXPECT_EQ(errorOf(signature), ErrorId::SignatureUnclamped);
  signature.layers[1].groups[0].clamped = true;
  EXPECT_EQ(errorOf(signature), ErrorId::None);
}

TEST(SignatureValidation, RefusesUnknownHeads) {
  Signature signature = example();
  signature.head = static_cast<Head>(3);
  EXPECT_EQ(errorOf(signature), ErrorId::SignatureHead);
}

TEST(SignatureValidation, RefusesUnknownFunctions) {
  Signature signature = example();
  signature.layers[1].groups[0].function = static_cast<Activation>(20);
  EXPECT_EQ(errorOf(signature), ErrorId::SignatureFunction);
}

TEST(SignatureValidation, RefusesAnEmptyGroup) {
  Signature signature = example();
  signature.layers[0].groups[0].count = 0;
  EXPECT_EQ(errorOf(signature), ErrorId::SignatureEmptyGroup);
}

TEST(SignatureValidation, RefusesASplitGroup) {
  Signature signature = example();
  signature.layers[0].groups.push_back(signature.layers[0].groups[0]);
  EXPECT_EQ(errorOf(signature), ErrorId::SignatureSplitGroup);
}

TEST(SignatureValidation, RefusesTooManyGroups) {
  Signature signature = example();
  signature.layers.resize(3);
  for (LayerSignature &layer : signature.layers) {
    layer.readBegin = 0;
    layer.groups.clear();
    for (std::uint32_t i = 0; i < 30000; ++i)
      layer.groups.push_back({Activation::Linear, i % 2 == 1, 1});
  }
  EXPECT_EQ(errorOf(signature), ErrorId::SignatureTooLarge);
}

} // namespace
} // namespace kimic::quant
