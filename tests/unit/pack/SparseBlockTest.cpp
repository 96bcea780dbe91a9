#include "formats/pack/SparseBlock.h"
#include "tests/support/SparseOracle.h"

#include <gtest/gtest.h>
#include <random>

namespace kimic::pack {
namespace {

using Bytes = std::vector<std::uint8_t>;

/// As many bytes, of which `density` are not 0; those differ from 0 by up to `magnitude`.
Bytes makeBytes(std::size_t length, double density, int magnitude, std::mt19937 &random) {
  Bytes bytes(length);
  for (std::uint8_t &byte : bytes)
    if (std::uniform_real_distribution<double>()(random) < density)
      byte = static_cast<std::uint8_t>(std::uniform_int_distribution<int>(-magnitude, magnitude)(random));
  return bytes;
}

ErrorId errorOf(const Bytes &block, std::size_t rawLength, const Bytes &base = {}) {
  Bytes output(rawLength);
  Result<void> result = base.empty() ? decodeSparse(block, output) : decodeDelta(block, base, output);
  return result.ok() ? ErrorId::None : result.error().id;
}

TEST(SparseBlock, DecodesWhatWasEncoded) {
  std::mt19937 random(1);
  unsigned smaller = 0;
  for (std::size_t length : {1u, 2u, 17u, 64u, 1000u, 70'001u})
    for (double density : {0.0, 0.0005, 0.01, 0.1, 0.3, 0.9})
      for (int magnitude : {1, 3, 20, 127})
        for (bool isPaired : {false, true}) {
          Bytes raw = makeBytes(length, density, magnitude, random);
          for (std::size_t i = 0; isPaired && i < length; i += 2)
            raw[i] += 0x80;
          const Bytes block = encodeSparse(raw);
          if (block.empty())
            continue;
          ++smaller;
          ASSERT_LT(block.size(), raw.size());
          Bytes output(length);
          ASSERT_TRUE(decodeSparse(block, output).ok());
          ASSERT_EQ(output, raw);
          ASSERT_EQ(test::decodeAsSpecified(block, {}, length), raw);
        }
  EXPECT_GT(smaller, 100u);
}

TEST(SparseBlock, DecodesDifferencesFromABase) {
  std::mt19937 random(2);
  for (double density : {0.02, 0.1, 0.3})
    for (int magnitude : {1, 10, 60}) {
      const Bytes base = makeBytes(5000, 1, 127, random);
      Bytes raw = base;
      const Bytes change = makeBytes(5000, density, magnitude, random);
      for (std::size_t i = 0; i < raw.size(); ++i)
        raw[i] += change[i];
      const Bytes block = encodeDelta(raw, base);
      ASSERT_FALSE(block.empty());
      Bytes output(raw.size());
      ASSERT_TRUE(decodeDelta(block, base, output).ok());
      EXPECT_EQ(output, raw);
    }
}

TEST(SparseBlock, AgreesWithTheSpecificationOnAnyBits) {
  std::mt19937 random(3);
  unsigned good = 0;
  for (int round = 0; round < 60'000; ++round) {
    std::size_t length = 1 + random() % 400;
    Bytes block(1 + random() % 40);
    const unsigned kind = random() % 3;
    for (std::uint8_t &byte : block)
      byte = static_cast<std::uint8_t>(kind == 1 && random() % 3 ? 0xFF : random() % 4 ? random() : 0);
    block[0] = static_cast<std::uint8_t>((random() % 8) | (random() % 9) << 3 | (random() % 2) << 7);
    if (kind == 2) {
      const Bytes written = encodeSparse(makeBytes(length, 0.1, 20, random));
      if (written.empty())
        continue;
      block = written;
      block[random() % block.size()] ^= static_cast<std::uint8_t>(random() % 3 ? 0 : 1 << random() % 8);
    }
    const Bytes base = random() % 2 ? Bytes(length, 7) : Bytes();
    const std::optional<Bytes> expected = test::decodeAsSpecified(block, base, length);
    Bytes output(length);
    const Result<void> found = base.empty() ? decodeSparse(block, output) : decodeDelta(block, base, output);
    ASSERT_EQ(found.ok(), expected.has_value()) << round;
    if (expected) {
      ++good;
      ASSERT_EQ(output, *expected) << round;
    }
  }
  EXPECT_GT(good, 10'000u);
}

TEST(SparseBlock, EveryTruncationIsRefused) {
  std::mt19937 random(4);
  const Bytes raw = makeBytes(2000, 0.1, 127, random), block = encodeSparse(raw);
  for (std::size_t length = 0; length < block.size(); ++length)
    EXPECT_EQ(errorOf(Bytes(block.begin(), block.begin() + static_cast<std::ptrdiff_t>(length)), raw.size()),
              ErrorId::PackSparseMalformed)
        << length;
}

TEST(SparseBlock, ABlockWithoutBytesIsRefused) {
  EXPECT_EQ(errorOf({}, 5), ErrorId::PackSparseMalformed);
  EXPECT_EQ(errorOf({}, 5, Bytes(5)), ErrorId::PackSparseMalformed);
}

TEST(SparseBlock, DifferencesHaveNoPairs) {
  EXPECT_EQ(errorOf({0x40 | 0x80, 0x00}, 8, Bytes(8)), ErrorId::PackSparseMalformed);
}

TEST(SparseBlock, UnknownParametersAreRefused) { EXPECT_EQ(errorOf({9 << 3, 0x00}, 8), ErrorId::PackSparseMalformed); }

} // namespace
} // namespace kimic::pack
