// Numbers without locale: the same float that the C library's strtof gives.
#include "formats/data/TextScanner.h"

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <gtest/gtest.h>
#include <random>

using namespace kimic;

namespace {

NumberStatus read(const std::string &text, float &value, std::size_t *used = nullptr) {
  TextScanner scanner(text);
  NumberStatus status = scanner.readFloat(value);
  if (used)
    *used = scanner.offset();
  return status;
}

TEST(TextScanner, RoundsAsStrtofDoes) {
  std::mt19937_64 random(1);
  const char *const formats[] = {"%.20e", "%.6f", "%.9g", "%.3e", "%.17g", "%.25f"};
  for (int i = 0; i < 200000; ++i) {
    std::uint64_t bits = random();
    double number;
    std::memcpy(&number, &bits, sizeof number);
    if (i % 2)
      number = std::ldexp(static_cast<double>(static_cast<std::int64_t>(bits)), -63 - static_cast<int>(bits % 160));
    if (!std::isfinite(number))
      continue;
    char text[400];
    std::snprintf(text, sizeof text, formats[bits % 6], number);
    float expected = std::strtof(text, nullptr);
    float value = 0;
    NumberStatus status = read(text, value);
    if (std::isinf(expected)) {
      ASSERT_EQ(status, NumberStatus::NotFinite) << text;
      continue;
    }
    ASSERT_EQ(status, NumberStatus::Ok) << text;
    ASSERT_EQ(std::memcmp(&value, &expected, sizeof value), 0) << text << ": " << value << " instead of " << expected;
  }
}

TEST(TextScanner, RoundsHalfwayCasesOnce) {
  // Just above the middle of 1 and the next float: rounding to double first would fall on the middle, then to even.
  float value = 0;
  ASSERT_EQ(read("1.00000005960464477539062500000000000001", value), NumberStatus::Ok);
  EXPECT_EQ(value, 1.00000011920928955078125f);
}

TEST(TextScanner, TakesACommaOnlyBeforeADigit) {
  float value = 0;
  std::size_t used = 0;
  ASSERT_EQ(read("1,5", value, &used), NumberStatus::Ok);
  EXPECT_EQ(value, 1.5f);
  ASSERT_EQ(read("1, 5", value, &used), NumberStatus::Ok);
  EXPECT_EQ(value, 1.0f);
  EXPECT_EQ(used, 1u);
  ASSERT_EQ(read("1,5e-001", value, &used), NumberStatus::Ok);
  EXPECT_EQ(value, 0.15f);
}

TEST(TextScanner, RefusesWhatIsNoNumber) {
  float value = 0;
  for (std::string text : {"", " ", "-", "+", ".", ",", ",x", "e5", "x1", "--1", "+-1"})
    EXPECT_EQ(read(text, value), NumberStatus::NotANumber) << text;
  EXPECT_EQ(read(std::string(5000, '1'), value), NumberStatus::NotANumber);
}

TEST(TextScanner, CountsLinesOfEveryKind) {
  EXPECT_EQ(lineAt("a\nb\r\nc\rd", 0), 1u);
  EXPECT_EQ(lineAt("a\nb\r\nc\rd", 2), 2u);
  EXPECT_EQ(lineAt("a\nb\r\nc\rd", 5), 3u);
  EXPECT_EQ(lineAt("a\nb\r\nc\rd", 7), 4u);
}

TEST(TextScanner, ShortensExcerpts) {
  EXPECT_EQ(excerpt("  word next\nline"), "'word'");
  EXPECT_EQ(excerpt("word next\nline", true), "'word next'");
  EXPECT_EQ(excerpt("\x01\xff"), "'\\x01\\xff'");
  EXPECT_EQ(excerpt(std::string(50, 'a')), "'" + std::string(40, 'a') + "...'");
  EXPECT_EQ(excerpt(" \n"), "end of text");
}

} // namespace
