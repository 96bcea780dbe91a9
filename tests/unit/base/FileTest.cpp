#include "formats/base/File.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <gtest/gtest.h>

namespace kimic {
namespace {

class FileTest : public testing::Test {
protected:
  void SetUp() override { std::filesystem::create_directories(folder_); }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string path(const std::string &name) const { return (folder_ / name).string(); }
  std::size_t files() const {
    return static_cast<std::size_t>(
        std::distance(std::filesystem::directory_iterator(folder_), std::filesystem::directory_iterator()));
  }
  void write(const std::string &name, std::string_view bytes) {
    ASSERT_TRUE(writeFileAtomically(path(name), bytes, false).ok());
  }

private:
  std::filesystem::path folder_ = testing::TempDir() +
                                  std::to_string(::testing::UnitTest::GetInstance()->random_seed()) +
                                  testing::UnitTest::GetInstance()->current_test_info()->name();
};

TEST_F(FileTest, ReadsWhereOneWants) {
  write("a", "0123456789");
  auto file = InputFile::open(path("a"));
  ASSERT_TRUE(file.ok());
  std::array<std::uint8_t, 3> bytes;
  ASSERT_TRUE(file->read(4, bytes).ok());
  EXPECT_EQ(bytes, (std::array<std::uint8_t, 3>{'4', '5', '6'}));
  EXPECT_EQ(file->size(), 10u);
}

TEST_F(FileTest, ReadingBehindTheEndSaysWhere) {
  write("a", "0123456789");
  std::array<std::uint8_t, 3> bytes;
  auto read = InputFile::open(path("a"))->read(8, bytes);
  ASSERT_FALSE(read.ok());
  EXPECT_EQ(read.error().id, ErrorId::FileUnreadable);
  EXPECT_EQ(read.error().found, "end of file at byte 10");
  EXPECT_EQ(read.error().expected, "1 more bytes");
}

TEST_F(FileTest, FoldersAreNotOpened) {
  EXPECT_EQ(InputFile::open(path("")).error().id, ErrorId::FileUnreadable);
  EXPECT_EQ(InputFile::open(path("none")).error().id, ErrorId::FileNotFound);
}

TEST_F(FileTest, HasItsNameOnlyOnceItIsWhole) {
  auto file = AtomicFile::create(path("a"));
  ASSERT_TRUE(file.ok() && file->append("01").ok() && file->append("23").ok());
  EXPECT_FALSE(std::filesystem::exists(path("a")));
  EXPECT_EQ(*file->map(), "0123");
  ASSERT_TRUE(file->commit(false).ok());
  EXPECT_EQ(*readFile(path("a"), 100), "0123");
}

TEST_F(FileTest, LeavesNothingWithoutCommit) {
  {
    auto file = AtomicFile::create(path("a"));
    ASSERT_TRUE(file.ok() && file->append("01").ok());
    EXPECT_EQ(files(), 1u);
  }
  EXPECT_EQ(files(), 0u);
}

TEST_F(FileTest, AnExistingFileIsReplacedOnlyIfThatIsWanted) {
  write("a", "old");
  auto kept = writeFileAtomically(path("a"), "new", false);
  ASSERT_FALSE(kept.ok());
  EXPECT_EQ(kept.error().id, ErrorId::FileExists);
  EXPECT_EQ(*readFile(path("a"), 100), "old");
  ASSERT_TRUE(writeFileAtomically(path("a"), "new", true).ok());
  EXPECT_EQ(*readFile(path("a"), 100), "new");
  EXPECT_EQ(files(), 1u);
}

} // namespace
} // namespace kimic
