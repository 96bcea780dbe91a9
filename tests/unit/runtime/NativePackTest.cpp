#include "runtime/native/NativePack.h"

#include "tests/support/KernelCases.h"
#include "tests/support/TestPack.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <limits>

namespace kimic::runtime {
namespace {

using kimic::testing::constantExpert;
using kimic::testing::ExpertGenerator;
using kimic::testing::referenceOutputs;
using kimic::testing::TestPack;

TEST(NativePack, RefusesABonusThatIsNoShare) {
  TestPack pack;
  pack.add(constantExpert(2, {1}));
  for (float bonus : {-0.5f, 1.5f, std::numeric_limits<float>::quiet_NaN()}) {
    NativeOptions options;
    options.residentBonus = bonus;
    EXPECT_EQ(NativePack::open(pack.bytes(), options).error().id, ErrorId::OptionMalformed);
  }
}

TEST(NativePack, RunsEveryExpertAsTheReferenceDoes) {
  TestPack pack;
  ExpertGenerator generator(11, {40, 5, 40, 4, quant::kWeightFormatCount, quant::kHeadCount});
  for (int i = 0; i < 100; ++i)
    pack.add(generator.expert());
  Result<NativePack> opened = NativePack::open(pack.bytes());
  ASSERT_TRUE(opened.ok());
  for (std::uint32_t expert = 0; expert < 100; ++expert) {
    std::uint32_t rows = 1 + expert % 3;
    std::vector<float> x(rows * pack.experts[expert].signature.inputs);
    for (float &value : x)
      value = generator.real(-2, 2);
    Result<std::vector<float>> y = opened->run(expert, x, rows);
    ASSERT_TRUE(y.ok());
    std::vector<float> expected = referenceOutputs(pack.experts[expert], x);
    ASSERT_EQ(y->size(), expected.size());
    EXPECT_EQ(std::memcmp(y->data(), expected.data(), expected.size() * sizeof(float)), 0) << expert;
  }
}

TestPack routed() {
  TestPack pack;
  pack.add(constantExpert(2, {10}));
  pack.add(constantExpert(2, {20}));
  pack.addRouter(constantExpert(2, {3, 3}), 2, pack::Merge::Average);
  return pack;
}

TEST(NativePack, RoutesRunsAndMerges) {
  Result<NativePack> opened = NativePack::open(routed().bytes());
  ASSERT_TRUE(opened.ok());
  EXPECT_EQ(opened->info().routerExpert, 2u);
  float x[2] = {1, 2};
  Result<NativePack::RoutedRun> both = opened->runRouted(x);
  ASSERT_TRUE(both.ok());
  EXPECT_EQ(both->y, std::vector<float>{15});
  EXPECT_EQ(both->route.scores, (std::vector<float>{0.5f, 0.5f}));
  Result<NativePack::RoutedRun> one = opened->runRouted(x, 1);
  ASSERT_TRUE(one.ok());
  EXPECT_EQ(one->y, std::vector<float>{10});
  Result<NativePack::Route> tooMany = opened->route(x, 3);
  ASSERT_FALSE(tooMany.ok());
  EXPECT_EQ(tooMany.error(), makeError(ErrorId::TooManyChoices, 3, 2));
}

TEST(NativePack, RefusesInputsOfTheWrongLength) {
  Result<NativePack> opened = NativePack::open(routed().bytes());
  ASSERT_TRUE(opened.ok());
  float x[3] = {};
  EXPECT_EQ(opened->run(0, x, 1).error(), makeError(ErrorId::InputLength, 3, 1, 2));
  EXPECT_EQ(opened->route(x).error().id, ErrorId::InputLength);
  EXPECT_EQ(opened->run(9, x, 1).error().id, ErrorId::UnknownExpert);
  EXPECT_EQ(opened->run(0, std::span<const float>(), 0).error().id, ErrorId::NothingToRun);
}

TEST(NativePack, ReadsFilesOnDemand) {
  TestPack pack = routed();
  pack.contents.meta = R"({"name":"routed"})";
  std::vector<std::uint8_t> bytes = pack.bytes();
  std::string path = ::testing::TempDir() + "native_pack_test.kpk";
  std::FILE *file = std::fopen(path.c_str(), "wb");
  ASSERT_NE(file, nullptr);
  ASSERT_EQ(std::fwrite(bytes.data(), 1, bytes.size(), file), bytes.size());
  std::fclose(file);
  Result<NativePack> opened = NativePack::openFile(path);
  ASSERT_TRUE(opened.ok());
  float x[2] = {};
  EXPECT_EQ(*opened->run(1, x, 1), std::vector<float>{20});
  EXPECT_EQ(*opened->metadata(), R"({"name":"routed"})");
  std::filesystem::remove(path);
}

TEST(NativePack, SaysWhyAFileDoesNotOpen) {
  EXPECT_EQ(NativePack::openFile("/nowhere/at/all.kpk").error().id, ErrorId::FileNotFound);
  EXPECT_EQ(NativePack::openFile(::testing::TempDir()).error().id, ErrorId::FileUnreadable);
}

/// Writes 7 to the only output of each row.
void sevens(const std::uint8_t *, const float *, float *y, std::uint8_t *, std::uint32_t rows) {
  std::fill(y, y + rows, 7.0f);
}

TEST(NativePack, RunsTheFunctionsThatItsCallerMakes) {
  TestPack pack = routed(); // experts 0 and 1 share a kernel
  std::vector<std::vector<std::uint8_t>> asked;
  NativeOptions options;
  options.link = [&](std::span<const std::uint8_t> signature) {
    asked.emplace_back(signature.begin(), signature.end());
    return sevens;
  };
  Result<NativePack> opened = NativePack::open(pack.bytes(), options);
  ASSERT_TRUE(opened.ok());
  EXPECT_TRUE(asked.empty());
  float x[4] = {};
  EXPECT_EQ(*opened->run(0, x, 2), (std::vector<float>{7, 7}));
  EXPECT_EQ(*opened->run(1, std::span(x, 2), 1), std::vector<float>{7});
  EXPECT_EQ(asked, (std::vector<std::vector<std::uint8_t>>{quant::encode(pack.experts[0].signature)}));
  EXPECT_EQ(opened->expertInfo(1)->variant, static_cast<std::uint32_t>(KIMIC_VARIANT_NATIVE));
  EXPECT_EQ(opened->stats().linkedKernels, 1u);
}

TEST(NativePack, RunsTheReferenceWhereTheCallerHasNoFunction) {
  unsigned asked = 0;
  NativeOptions options;
  options.link = [&](std::span<const std::uint8_t>) -> KernelFunction {
    ++asked;
    return nullptr;
  };
  Result<NativePack> opened = NativePack::open(routed().bytes(), options);
  ASSERT_TRUE(opened.ok());
  float x[2] = {};
  EXPECT_EQ(*opened->run(0, x, 1), std::vector<float>{10});
  EXPECT_EQ(*opened->run(1, x, 1), std::vector<float>{20});
  EXPECT_EQ(asked, 1u);
  EXPECT_EQ(opened->expertInfo(1)->variant, static_cast<std::uint32_t>(KIMIC_VARIANT_GENERIC));
}

TEST(NativePack, WorksUnderASmallCap) {
  TestPack pack;
  for (std::int32_t i = 0; i < 8; ++i)
    pack.add(constantExpert(128, std::vector<std::int32_t>(128, i)));
  Result<NativePack> opened = NativePack::open(pack.bytes(), {KIMIC_MINIMUM_ARENA});
  ASSERT_TRUE(opened.ok());
  std::vector<float> x(128);
  for (std::uint32_t i = 0; i < 80; ++i)
    ASSERT_EQ((*opened->run(i % 8, x, 1))[0], static_cast<float>(i % 8));
  EXPECT_GT(opened->stats().evictions, 0u);
}

} // namespace
} // namespace kimic::runtime
