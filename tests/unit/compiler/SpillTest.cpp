#include "compiler/Pipeline/Spill.h"

#include <gtest/gtest.h>

namespace kimic {
namespace {

using Bytes = std::vector<std::uint8_t>;

TEST(Spill, GivesBackWhatItGotInMemoryAndBeyond) {
  Spill spill(/*mostInMemory=*/10);
  const Bytes blocks[] = {Bytes(6, 1), Bytes(5, 2), Bytes(4, 3), {}, Bytes(100'000, 4), Bytes(7, 5)};
  for (std::uint32_t i = 0; i < std::size(blocks); ++i)
    ASSERT_TRUE(spill.put(5 - i, blocks[i]).ok());
  for (std::uint32_t i = 0; i < std::size(blocks); ++i)
    EXPECT_EQ(*spill.get(5 - i), blocks[i]) << i;
}

TEST(Spill, SaysIfThereIsNoFolderForItsFile) {
  const char *before = ::getenv("TMPDIR");
  const std::string old = before ? before : "";
  ::setenv("TMPDIR", "/proc/none", 1);
  Spill spill(/*mostInMemory=*/0);
  auto kept = spill.put(0, {1});
  before ? ::setenv("TMPDIR", old.c_str(), 1) : ::unsetenv("TMPDIR");
  ASSERT_FALSE(kept.ok());
  EXPECT_EQ(kept.error().id, ErrorId::FileNotWritten);
}

} // namespace
} // namespace kimic
