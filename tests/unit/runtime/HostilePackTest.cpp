// Packs that are cut, changed or lie: an error every time, never a crash, never more memory than the cap.
#include "formats/pack/PackReader.h"
#include "formats/pack/PackVerify.h"
#include "runtime/include/kimic/Runtime.h"
#include "tests/support/FakeHost.h"
#include "tests/support/PackRehash.h"
#include "tests/support/TestPack.h"

#include <gtest/gtest.h>

#include <random>

namespace kimic::runtime {
namespace {

using kimic::testing::constantExpert;
using kimic::testing::ExpertGenerator;
using kimic::testing::FakeHost;
using kimic::testing::RandomExpert;
using kimic::testing::TestPack;

TestPack somePack() {
  TestPack pack;
  ExpertGenerator generator(3, {12, 3, 12, 3});
  for (int i = 0; i < 5; ++i)
    pack.add(generator.expert());
  pack.addRouter(constantExpert(4, {1, 2, 3, 4, 5}), 2, pack::Merge::Weighted);
  return pack;
}

// Opens, loads and runs everything that lets itself; the number of experts that ran.
int useEverything(std::vector<std::uint8_t> bytes) {
  FakeHost host(std::move(bytes), 1 << 20, 3);
  host.linkError = ErrorId::LinkDeclined;
  if (host.open() != KIMIC_OK)
    return 0;
  KimicPackInfo info;
  EXPECT_EQ(kimic_pack_info(host.runtime, &info), KIMIC_OK);
  KimicBytes json;
  host.finish([&] { return kimic_metadata(host.runtime, &json); });
  int ran = 0;
  for (std::uint32_t expert = 0; expert < info.experts && expert < 8; ++expert) {
    if (host.load(expert) != KIMIC_OK)
      continue;
    KimicExpertInfo facts;
    EXPECT_EQ(kimic_expert_info(host.runtime, expert, &facts), KIMIC_OK);
    std::vector<float> x(facts.inputs, 0.5f), y(facts.outputs);
    EXPECT_EQ(kimic_run(host.runtime, expert, x.data(), 1, y.data()), KIMIC_OK);
    ++ran;
  }
  EXPECT_LE(host.stats().arenaPeak, std::uint64_t{1} << 20);
  return ran;
}

TEST(HostilePack, TheUnchangedPackRuns) { EXPECT_EQ(useEverything(somePack().bytes()), 6); }

TEST(HostilePack, CutAnywhereItIsRefused) {
  std::vector<std::uint8_t> whole = somePack().bytes();
  // What follows the data is not needed to run.
  const std::size_t end = pack::parseHeader(whole)->data.end();
  for (std::size_t length = 0; length < end; length += length < 1200 ? 1 : 37)
    EXPECT_LT(useEverything({whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length)}), 6) << length;
}

TEST(HostilePack, AnyChangedByteIsNoticedOrIrrelevant) {
  std::vector<std::uint8_t> whole = somePack().bytes();
  std::mt19937 random(5);
  for (int i = 0; i < 400; ++i) {
    std::vector<std::uint8_t> changed = whole;
    changed[random() % changed.size()] ^= static_cast<std::uint8_t>(1 + random() % 255);
    useEverything(std::move(changed));
  }
}

TEST(HostilePack, ParametersOfAnotherSizeAreRefused) {
  TestPack pack;
  pack.add(constantExpert(2, {1}));
  pack.add(constantExpert(90, {1, 2, 3}));
  for (unsigned i : {0u, 1u}) { // nothing that repeats, so that the leaf is not compressed
    pack.contents.experts[i].domain = i ? Domain::Coding : Domain::Planning;
    pack.contents.experts[i].confidenceThreshold = i ? 0.3f : 0.7f;
  }
  std::vector<std::uint8_t> bytes = pack.bytes();
  // The leaf begins with the kernels of both experts, the second as a difference in zigzag: let both have kernel 0.
  std::size_t leaf = pack::parseHeader(bytes)->leaves.offset;
  ASSERT_EQ(bytes[leaf], 0u);
  ASSERT_EQ(bytes[leaf + 1], 2u);
  bytes[leaf + 1] = 0;
  test::rehashPack(bytes);
  FakeHost host(bytes);
  ASSERT_EQ(host.open(), KIMIC_OK);
  EXPECT_EQ(host.load(0), KIMIC_OK);
  EXPECT_EQ(host.load(1), static_cast<int>(ErrorId::PackParameterBytes));
}

TEST(HostilePack, ARouterThatDoesNotFitItsRecordIsRefused) {
  std::vector<std::uint8_t> bytes = somePack().bytes();
  std::size_t routed = pack::kRootOffset + 4;
  ASSERT_EQ(bytes[routed], 5u);
  bytes[routed] = 4;
  test::rehashPack(bytes);
  FakeHost host(bytes);
  ASSERT_EQ(host.open(), KIMIC_OK);
  ASSERT_EQ(host.load(5), KIMIC_OK);
  float x[4] = {};
  KimicChoice choices[4];
  std::uint32_t chosen;
  EXPECT_EQ(kimic_route(host.runtime, x, 0, choices, &chosen, nullptr), static_cast<int>(ErrorId::RouterOutputs));
  EXPECT_EQ(host.lastError(), makeError(ErrorId::RouterOutputs, 5, 4));
}

TEST(HostilePack, ParametersOfAnyFiniteContentRun) {
  TestPack pack = somePack();
  std::mt19937 random(7);
  for (auto &expert : pack.contents.experts)
    for (std::uint8_t &byte : expert.parameters)
      byte = static_cast<std::uint8_t>(random() & 0xBF); // no f32 has all bits of its exponent
  EXPECT_EQ(useEverything(pack.bytes()), 6);
}

/// Changes 4 bytes of the only expert's parameter block; the error with which loading it ends. verifyPack finds it,
/// too.
int loadChanged(TestPack pack, std::size_t offset, std::uint32_t value) {
  for (unsigned i = 0; i < 4; ++i)
    pack.contents.experts[0].parameters[offset + i] = static_cast<std::uint8_t>(value >> 8 * i);
  std::vector<std::uint8_t> bytes = pack.bytes();
  FakeHost host(bytes);
  EXPECT_EQ(host.open(), KIMIC_OK);
  int error = host.load(0);
  Result<void> verified = pack::verifyPack(bytes);
  EXPECT_EQ(verified.ok() ? 0 : static_cast<int>(verified.error().id), error);
  return error;
}

/// One layer of 20 outputs with residual blocks for groups 0 and 2.
TestPack residualPack() {
  ExpertGenerator generator(17);
  RandomExpert expert;
  expert.signature.inputs = 30;
  expert.signature.layers = {{quant::WeightFormat::Int8Residual, 0, {{Activation::Linear, false, 20}}}};
  expert.parameters = generator.parameters(expert.signature);
  std::vector<quant::ResidualGroup> &residuals = expert.parameters.layers[0].residuals;
  residuals.clear();
  for (std::uint32_t group : {0u, 2u})
    residuals.push_back({group, std::vector<std::int8_t>((group ? 4 : 8) * 30, 5), std::vector<float>(group ? 4 : 8)});
  TestPack pack;
  pack.add(expert);
  return pack;
}

TEST(HostilePack, ResidualBlocksOutsideOfTheirLayerAreRefused) {
  TestPack pack = residualPack();
  quant::Layout layout = *quant::layoutOf(pack.signatures[0]);
  std::uint32_t second = layout.parameterBytes + quant::residualBlockBytes(15);
  EXPECT_EQ(loadChanged(pack, second, 3), static_cast<int>(ErrorId::ResidualGroup));
  EXPECT_EQ(loadChanged(pack, second, 0xFFFFFFFF), static_cast<int>(ErrorId::ResidualGroup));
  EXPECT_EQ(loadChanged(pack, layout.layers[0].residualCountOffset, 3), static_cast<int>(ErrorId::ParametersSize));
  EXPECT_EQ(loadChanged(pack, layout.layers[0].residualCountOffset, 0x10000001),
            static_cast<int>(ErrorId::ResidualCount));
}

TEST(HostilePack, ParametersThatAreNotNumbersAreRefused) {
  TestPack pack = residualPack();
  quant::Layout layout = *quant::layoutOf(pack.signatures[0]);
  EXPECT_EQ(loadChanged(pack, layout.inputScaleOffset, 0x7FC00000), static_cast<int>(ErrorId::ParameterNotFinite));
}

TEST(HostilePack, SomethingElseIsNotAPack) {
  std::string page = "<!doctype html><title>404</title>";
  FakeHost host({page.begin(), page.end()});
  EXPECT_EQ(host.open(), static_cast<int>(ErrorId::PackMagic));
  EXPECT_EQ(host.lastError(), makeError(ErrorId::PackMagic, 0, '<', 0x89));
  FakeHost empty({});
  EXPECT_EQ(kindOf(static_cast<ErrorId>(empty.open())), ErrorKind::DataLoss);
}

} // namespace
} // namespace kimic::runtime
