// Damage to whole files: whatever happens to a small pack, a verifier notices.
#include "formats/base/Diagnostic.h"
#include "formats/pack/PackReader.h"
#include "formats/pack/PackVerify.h"
#include "tests/support/BadPack.h"
#include "tests/support/PackRehash.h"

#include <gtest/gtest.h>

#include <random>

namespace kimic::pack {
namespace {

std::vector<std::uint8_t> goodPack(const std::string &name) {
  std::string problem;
  std::optional<std::vector<std::uint8_t>> file = test::readGoodPack(KIMIC_GOLDEN_DIR, name, problem);
  EXPECT_TRUE(file) << problem;
  return file.value_or(std::vector<std::uint8_t>());
}

/// Of a good pack: one with a router, and one with a plan besides.
class Corruption : public testing::TestWithParam<const char *> {};

INSTANTIATE_TEST_SUITE_P(Golden, Corruption, testing::Values("routed", "planned"),
                         [](const auto &info) { return std::string(info.param); });

TEST_P(Corruption, EveryFlippedBitIsNoticed) {
  std::vector<std::uint8_t> file = goodPack(GetParam());
  for (std::size_t bit = 0; bit < 8 * file.size(); ++bit) {
    file[bit / 8] ^= static_cast<std::uint8_t>(1u << bit % 8);
    ASSERT_FALSE(verifyPack(file).ok()) << "byte " << bit / 8 << " bit " << bit % 8;
    file[bit / 8] ^= static_cast<std::uint8_t>(1u << bit % 8);
  }
  EXPECT_TRUE(verifyPack(file).ok());
}

TEST_P(Corruption, EveryTruncationIsNoticed) {
  const std::vector<std::uint8_t> file = goodPack(GetParam());
  for (std::size_t length = 0; length < file.size(); ++length) {
    // A copy of its own, so that a sanitizer sees every read past the end.
    const std::vector<std::uint8_t> shorter(file.begin(), file.begin() + static_cast<std::ptrdiff_t>(length));
    ASSERT_FALSE(verifyPack(shorter).ok()) << length;
  }
}

TEST(Damage, TruncationOfTheHeaderIsCalledSo) {
  const std::vector<std::uint8_t> file = goodPack("routed");
  EXPECT_EQ(parseHeader(std::span(file).first(255)).error(), makeError(ErrorId::PackTruncated, 255, 256));
}

TEST(Damage, OtherParametersUnderRightHashesAreAnotherValidPack) {
  std::vector<std::uint8_t> file = goodPack("pair");
  file[1088 + 100] ^= 1; // in the stored parameters of expert 0
  ASSERT_FALSE(verifyPack(file).ok());
  test::rehashPack(file);
  Result<void> result = verifyPack(file);
  EXPECT_TRUE(result.ok()) << message(result.error());
}

TEST_P(Corruption, DamageUnderRightHashesNeverCrashes) {
  const std::vector<std::uint8_t> file = goodPack(GetParam());
  std::mt19937 random(1);
  for (int round = 0; round < 4000; ++round) {
    std::vector<std::uint8_t> damaged = file;
    for (std::uint32_t i = random() % 3; i < 3; ++i) {
      std::size_t at = random() % (random() % 2 ? damaged.size() : 1024);
      damaged[at] = static_cast<std::uint8_t>(random() % 2 ? random() : damaged[at] + 1);
    }
    test::rehashPack(damaged);
    // Damaged parameters with right hashes are another valid pack.
    (void)verifyPack(damaged);
  }
}

} // namespace
} // namespace kimic::pack
