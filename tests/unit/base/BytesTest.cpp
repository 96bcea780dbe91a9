#include "formats/base/Bytes.h"

#include <gtest/gtest.h>

namespace kimic {
namespace {

using Bytes = std::vector<std::uint8_t>;

TEST(ByteReader, ReadsLittleEndian) {
  const Bytes bytes = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  ByteReader in(bytes);
  EXPECT_EQ(in.u8(), 0x01);
  EXPECT_EQ(in.u16(), 0x0302);
  EXPECT_EQ(in.u32(), 0x07060504u);
  EXPECT_EQ(in.u64(), 0x0f0e0d0c0b0a0908u);
  EXPECT_TRUE(in.ok());
  EXPECT_EQ(in.remaining(), 0u);
}

TEST(ByteReader, StaysFailedAfterAReadPastTheEnd) {
  const Bytes bytes = {1, 2, 3};
  ByteReader in(bytes);
  EXPECT_EQ(in.u32(), 0u);
  EXPECT_EQ(in.u8(), 0u);
  EXPECT_FALSE(in.ok());
  EXPECT_EQ(in.position(), 0u);
}

TEST(ByteReader, TakesNothingPastTheEnd) {
  const Bytes bytes = {1, 2, 3};
  ByteReader in(bytes);
  EXPECT_TRUE(in.take(4).empty());
  EXPECT_FALSE(in.ok());
}

TEST(ByteReader, ReadsTheLargestVarint) {
  const Bytes bytes = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01};
  ByteReader in(bytes);
  EXPECT_EQ(in.varint(), ~std::uint64_t{0});
  EXPECT_TRUE(in.ok());
}

class MalformedVarint : public testing::TestWithParam<Bytes> {};

TEST_P(MalformedVarint, IsAFailure) {
  ByteReader in(GetParam());
  in.varint();
  EXPECT_FALSE(in.ok());
}

INSTANTIATE_TEST_SUITE_P(Bytes, MalformedVarint,
                         testing::Values(Bytes{}, Bytes{0x80}, Bytes{0x80, 0x00}, Bytes{0xff, 0x80, 0x00},
                                         Bytes{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02},
                                         Bytes{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x81, 0x00}));

TEST(ByteWriter, WritesVarintsThatTheReaderReads) {
  ByteWriter out;
  const std::uint64_t numbers[] = {0, 1, 127, 128, 16383, 16384, 0xffffffff, ~std::uint64_t{0}};
  for (std::uint64_t number : numbers)
    out.varint(number);
  const Bytes bytes = std::move(out).take();
  ByteReader in(bytes);
  for (std::uint64_t number : numbers)
    EXPECT_EQ(in.varint(), number);
  EXPECT_EQ(in.remaining(), 0u);
}

TEST(ByteWriter, CodesSmallNegativeNumbersInOneByte) {
  ByteWriter out;
  for (std::int64_t number : {0, -1, 1, -2, 63, -64})
    out.zigzag(number);
  EXPECT_EQ(std::move(out).take(), (Bytes{0, 1, 2, 3, 126, 127}));
}

TEST(ByteWriter, WritesZigzagNumbersThatTheReaderReads) {
  const std::int64_t numbers[] = {0, -65, 1000000, INT64_MAX, INT64_MIN};
  ByteWriter out;
  for (std::int64_t number : numbers)
    out.zigzag(number);
  const Bytes bytes = std::move(out).take();
  ByteReader in(bytes);
  for (std::int64_t number : numbers)
    EXPECT_EQ(in.zigzag(), number);
}

} // namespace
} // namespace kimic
