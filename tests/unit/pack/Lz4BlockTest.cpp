#include "formats/pack/Lz4Block.h"

#include <gtest/gtest.h>
#include <lz4.h>
#include <lz4hc.h>

#include <random>

namespace kimic::pack {
namespace {

using Bytes = std::vector<std::uint8_t>;

/// Bytes like those of parameter blocks and directories: noise, runs, repeats of earlier bytes.
Bytes makeBytes(std::size_t length, std::mt19937 &random) {
  Bytes bytes;
  while (bytes.size() < length) {
    std::size_t count = std::min<std::size_t>(random() % 300 + 1, length - bytes.size());
    switch (random() % 4) {
    case 0:
      bytes.insert(bytes.end(), count, static_cast<std::uint8_t>(random()));
      break;
    case 1:
      if (!bytes.empty()) {
        std::size_t from = random() % bytes.size();
        for (std::size_t i = 0; i < count; ++i)
          bytes.push_back(bytes[from + i]);
        break;
      }
      [[fallthrough]];
    default:
      for (std::size_t i = 0; i < count; ++i)
        bytes.push_back(static_cast<std::uint8_t>(random()));
    }
  }
  return bytes;
}

ErrorId errorOf(const Bytes &block, std::size_t rawLength) {
  Bytes output(rawLength);
  Result<void> result = decodeLz4(block, output);
  return result.ok() ? ErrorId::None : result.error().id;
}

TEST(Lz4Block, DecodesWhatLiblz4Writes) {
  std::mt19937 random(1);
  for (int round = 0; round < 400; ++round) {
    const Bytes raw = makeBytes(random() % 20000 + 1, random);
    Bytes block(static_cast<std::size_t>(LZ4_compressBound(static_cast<int>(raw.size()))));
    const char *from = reinterpret_cast<const char *>(raw.data());
    char *to = reinterpret_cast<char *>(block.data());
    const int size = static_cast<int>(raw.size()), capacity = static_cast<int>(block.size());
    const int level = round % 13;
    block.resize(static_cast<std::size_t>(level == 0 ? LZ4_compress_default(from, to, size, capacity)
                                                     : LZ4_compress_HC(from, to, size, capacity, level)));
    Bytes output(raw.size());
    ASSERT_TRUE(decodeLz4(block, output).ok()) << round;
    ASSERT_EQ(output, raw) << round;
  }
}

TEST(Lz4Block, EncodesWhatLiblz4Decodes) {
  std::mt19937 random(2);
  for (int round = 0; round < 200; ++round) {
    const Bytes raw = makeBytes(random() % 20000 + 1, random);
    const Bytes block = encodeLz4(raw);
    if (block.empty())
      continue;
    Bytes output(raw.size());
    ASSERT_EQ(LZ4_decompress_safe(reinterpret_cast<const char *>(block.data()), reinterpret_cast<char *>(output.data()),
                                  static_cast<int>(block.size()), static_cast<int>(output.size())),
              static_cast<int>(raw.size()));
    ASSERT_EQ(output, raw);
  }
}

/// Whether some sequence of a block that liblz4 accepts has offset 0, which liblz4 lets pass.
bool hasZeroOffset(const Bytes &block, std::size_t rawLength) {
  return errorOf(block, rawLength) == ErrorId::PackLz4Offset;
}

TEST(Lz4Block, AgreesWithLiblz4OnDamagedBlocks) {
  std::mt19937 random(3);
  int accepted = 0, refused = 0;
  for (int round = 0; round < 20000; ++round) {
    const Bytes raw = makeBytes(random() % 200 + 1, random);
    Bytes block(static_cast<std::size_t>(LZ4_compressBound(static_cast<int>(raw.size()))));
    block.resize(static_cast<std::size_t>(
        LZ4_compress_default(reinterpret_cast<const char *>(raw.data()), reinterpret_cast<char *>(block.data()),
                             static_cast<int>(raw.size()), static_cast<int>(block.size()))));
    for (std::uint32_t damage = random() % 3; damage < 3; ++damage)
      block[random() % block.size()] = static_cast<std::uint8_t>(random() % 4 ? random() % 32 : random());
    const std::size_t rawLength = raw.size() + random() % 3 - (raw.size() > 1 ? 1 : 0);

    Bytes ours(rawLength), theirs(rawLength + 1);
    const bool isOurs = decodeLz4(block, ours).ok();
    const int length =
        LZ4_decompress_safe(reinterpret_cast<const char *>(block.data()), reinterpret_cast<char *>(theirs.data()),
                            static_cast<int>(block.size()), static_cast<int>(rawLength));
    theirs.resize(rawLength);
    if (isOurs) {
      ++accepted;
      ASSERT_EQ(length, static_cast<int>(rawLength)) << round;
      ASSERT_EQ(ours, theirs) << round;
    } else {
      ++refused;
      ASSERT_TRUE(length != static_cast<int>(rawLength) || hasZeroOffset(block, rawLength)) << round;
    }
  }
  EXPECT_GT(accepted, 1000);
  EXPECT_GT(refused, 1000);
}

TEST(Lz4Block, DecodesLiteralsOnly) {
  const Bytes block = {0x30, 'a', 'b', 'c'};
  Bytes output(3);
  ASSERT_TRUE(decodeLz4(block, output).ok());
  EXPECT_EQ(output, (Bytes{'a', 'b', 'c'}));
}

TEST(Lz4Block, RepeatsWhatAMatchItselfWrites) {
  // Two literals, a match of 10 at offset 2, five literals.
  const Bytes block = {0x26, 'a', 'b', 2, 0, 0x50, '1', '2', '3', '4', '5'};
  Bytes output(17);
  ASSERT_TRUE(decodeLz4(block, output).ok());
  EXPECT_EQ(std::string(output.begin(), output.end()), "abababababab12345");
}

TEST(Lz4Block, ReportsWhereItFailed) {
  const Bytes block = {0x26, 'a', 'b', 3, 0, 0x50, '1', '2', '3', '4', '5'};
  Bytes output(17);
  EXPECT_EQ(decodeLz4(block, output).error(), makeError(ErrorId::PackLz4Offset, 0, 2, 3));
}

TEST(Lz4Block, RefusesAnEmptyBlock) { EXPECT_EQ(errorOf({}, 1), ErrorId::PackLz4Truncated); }

TEST(Lz4Block, RefusesLiteralsPastTheBlock) { EXPECT_EQ(errorOf({0x30, 'a', 'b'}, 3), ErrorId::PackLz4Truncated); }

TEST(Lz4Block, RefusesALengthThatDoesNotEnd) { EXPECT_EQ(errorOf({0xf0, 255, 255}, 600), ErrorId::PackLz4Truncated); }

TEST(Lz4Block, RefusesAMatchLengthThatDoesNotEnd) {
  EXPECT_EQ(errorOf({0x2f, 'a', 'b', 2, 0, 255}, 600), ErrorId::PackLz4Truncated);
}

TEST(Lz4Block, RefusesHalfAnOffset) { EXPECT_EQ(errorOf({0x26, 'a', 'b', 2}, 17), ErrorId::PackLz4Truncated); }

TEST(Lz4Block, RefusesABlockThatEndsWithAMatch) {
  EXPECT_EQ(errorOf({0x26, 'a', 'b', 2, 0}, 17), ErrorId::PackLz4Truncated);
}

TEST(Lz4Block, RefusesOffsetZero) {
  EXPECT_EQ(errorOf({0x26, 'a', 'b', 0, 0, 0x50, '1', '2', '3', '4', '5'}, 17), ErrorId::PackLz4Offset);
}

TEST(Lz4Block, RefusesLessOutputThanPromised) { EXPECT_EQ(errorOf({0x30, 'a', 'b', 'c'}, 4), ErrorId::PackLz4Length); }

TEST(Lz4Block, RefusesMoreLiteralsThanPromised) {
  EXPECT_EQ(errorOf({0x30, 'a', 'b', 'c'}, 2), ErrorId::PackLz4Length);
}

TEST(Lz4Block, RefusesALongerMatchThanPromised) {
  EXPECT_EQ(errorOf({0x2f, 'a', 'b', 2, 0, 255, 0, 0x50, '1', '2', '3', '4', '5'}, 17), ErrorId::PackLz4Length);
}

TEST(Lz4Block, RefusesBytesAfterTheEnd) {
  EXPECT_EQ(errorOf({0x30, 'a', 'b', 'c', 0x10, 'd'}, 3), ErrorId::PackLz4Offset);
  EXPECT_EQ(errorOf({0x26, 'a', 'b', 2, 0, 0x50, '1', '2', '3', '4', '5', 0}, 17), ErrorId::PackLz4Truncated);
}

TEST(Lz4Block, RefusesAMatchInTheLastFiveBytes) {
  EXPECT_EQ(errorOf({0x27, 'a', 'b', 2, 0, 0x40, '1', '2', '3', '4'}, 17), ErrorId::PackLz4End);
}

TEST(Lz4Block, RefusesAMatchThatStartsInTheLastTwelveBytes) {
  EXPECT_EQ(errorOf({0x20, 'a', 'b', 2, 0, 0x50, '1', '2', '3', '4', '5'}, 11), ErrorId::PackLz4End);
}

TEST(Lz4Block, DoesNotEncodeWhatWouldNotBecomeSmaller) {
  std::mt19937 random(4);
  Bytes noise(1000);
  for (std::uint8_t &byte : noise)
    byte = static_cast<std::uint8_t>(random());
  EXPECT_TRUE(encodeLz4(noise).empty());
  EXPECT_TRUE(encodeLz4(Bytes{0}).empty());
  EXPECT_TRUE(encodeLz4({}).empty());
}

TEST(Lz4Block, StaysUnderTheRatioThatReadersAccept) {
  const Bytes zeros(16u << 20);
  const Bytes block = encodeLz4(zeros);
  EXPECT_LE(zeros.size(), 255 * block.size() + 64);
}

} // namespace
} // namespace kimic::pack
