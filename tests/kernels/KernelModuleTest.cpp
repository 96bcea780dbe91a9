// What emitKernelModule promises besides the numbers, which runVectors.mjs checks.
#include "compiler/Target/KernelModule.h"
#include "compiler/Dialect/Wasm/ByteWriter.h"
#include "formats/abi/KernelVerifier.h"
#include "tests/support/RandomExpert.h"

#include <gmock/gmock.h>

#include <thread>

namespace kimic {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Bytes = std::vector<std::uint8_t>;

std::vector<quant::Signature> randomSignatures(std::uint32_t seed, unsigned count) {
  testing::RandomExpertLimits limits;
  limits.weightFormats = quant::kWeightFormatCount;
  limits.heads = quant::kHeadCount;
  testing::ExpertGenerator generator(seed, limits);
  std::vector<quant::Signature> signatures;
  for (unsigned i = 0; i < count; ++i)
    signatures.push_back(generator.signature());
  return signatures;
}

Bytes emitted(std::span<const quant::Signature> signatures, abi::Variant variant) {
  auto module = emitKernelModule(signatures, variant);
  EXPECT_TRUE(module.ok());
  return module.ok() ? *module : Bytes();
}

Bytes signedLeb(std::int32_t value) {
  wasm::ByteWriter writer;
  writer.signedLeb(value);
  return writer.take();
}

Bytes unsignedLeb(std::uint32_t value) {
  wasm::ByteWriter writer;
  writer.unsignedLeb(value);
  return writer.take();
}

TEST(ByteWriter, WritesTheShortestLeb128) {
  EXPECT_THAT(unsignedLeb(0), ElementsAre(0));
  EXPECT_THAT(unsignedLeb(127), ElementsAre(0x7F));
  EXPECT_THAT(unsignedLeb(128), ElementsAre(0x80, 0x01));
  EXPECT_THAT(unsignedLeb(0xFFFFFFFF), ElementsAre(0xFF, 0xFF, 0xFF, 0xFF, 0x0F));
  EXPECT_THAT(signedLeb(63), ElementsAre(0x3F));
  EXPECT_THAT(signedLeb(64), ElementsAre(0xC0, 0x00));
  EXPECT_THAT(signedLeb(-64), ElementsAre(0x40));
  EXPECT_THAT(signedLeb(-65), ElementsAre(0xBF, 0x7F));
  EXPECT_THAT(signedLeb(-128), ElementsAre(0x80, 0x7F));
  EXPECT_THAT(signedLeb(INT32_MIN), ElementsAre(0x80, 0x80, 0x80, 0x80, 0x78));
}

TEST(KernelModule, BytesDoNotDependOnThreads) {
  auto signatures = randomSignatures(7, 16);
  Bytes expected = emitted(signatures, abi::Variant::Simd128);
  std::vector<Bytes> found(4);
  std::vector<std::thread> threads;
  for (Bytes &bytes : found)
    threads.emplace_back([&] { bytes = emitted(signatures, abi::Variant::Simd128); });
  for (std::thread &thread : threads)
    thread.join();
  for (const Bytes &bytes : found)
    EXPECT_EQ(bytes, expected);
}

TEST(KernelModule, ScalarKernelsPassTheScalarVerifier) {
  auto signatures = randomSignatures(8, 64);
  EXPECT_TRUE(abi::verifyKernelModule(emitted(signatures, abi::Variant::Scalar), 64, abi::Variant::Scalar).ok());
}

TEST(KernelModule, Simd128KernelsNeedSimd) {
  auto signatures = randomSignatures(9, 1);
  Bytes module = emitted(signatures, abi::Variant::Simd128);
  EXPECT_TRUE(abi::verifyKernelModule(module, 1, abi::Variant::Simd128).ok());
  EXPECT_FALSE(abi::verifyKernelModule(module, 1, abi::Variant::Scalar).ok());
}

TEST(KernelModule, NamesTheFunctionOfAnInvalidSignature) {
  auto signatures = randomSignatures(10, 2);
  signatures[1].layers[0].readBegin = signatures[1].inputs;
  auto module = emitKernelModule(signatures, abi::Variant::Simd128);
  ASSERT_FALSE(module.ok());
  EXPECT_EQ(module.error().id, ErrorId::KernelNotCompiled);
  EXPECT_EQ(module.error().key, "k1");
  EXPECT_THAT(module.error().message(), HasSubstr("layer 0 of the kernel reads from code"));
}

TEST(KernelModule, RefusesCodePastTheLimitOfTheAbi) {
  // 20000 neurons in turns of two functions: each is a group with code of its own.
  quant::Signature patchwork;
  patchwork.inputs = 2;
  patchwork.layers.resize(1);
  for (unsigned i = 0; i < 20000; ++i)
    patchwork.layers[0].groups.push_back({i % 2 ? Activation::Sin : Activation::SigmoidSymmetric, false, 1});
  auto module = emitKernelModule(std::span(&patchwork, 1), abi::Variant::Simd128);
  ASSERT_FALSE(module.ok());
  EXPECT_EQ(module.error().id, ErrorId::KernelNotCompiled);
  EXPECT_EQ(module.error().key, "kernel module");
}

} // namespace
} // namespace kimic
