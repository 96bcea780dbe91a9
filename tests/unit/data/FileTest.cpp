// Whole files: caps, atomic replacement, refusal to overwrite.
#include "formats/base/File.h"

#include <filesystem>
#include <gtest/gtest.h>
#include <unistd.h>

using namespace kimic;
namespace fs = std::filesystem;

namespace {

class File : public ::testing::Test {
protected:
  fs::path folder = fs::temp_directory_path() / ("kimic-file-" + std::to_string(::getpid()));
  std::string path = (folder / "a.bin").string();

  void SetUp() override { fs::create_directory(folder); }
  void TearDown() override { fs::remove_all(folder); }
  std::size_t fileCount() const { return static_cast<std::size_t>(std::distance(fs::directory_iterator(folder), {})); }
};

TEST_F(File, ReadsBackWhatWasWritten) {
  std::string bytes("a\0b\r\n", 5);
  ASSERT_TRUE(writeFileAtomically(path, bytes, false).ok());
  auto read = readFile(path, 5);
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(*read, bytes);
  EXPECT_EQ(fileCount(), 1u) << "no temporary file is left";
}

TEST_F(File, RefusesToOverwriteUnlessForced) {
  ASSERT_TRUE(writeFileAtomically(path, "old", false).ok());
  auto again = writeFileAtomically(path, "new", false);
  ASSERT_FALSE(again.ok());
  EXPECT_EQ(again.error().message(), path + ": file exists already");
  EXPECT_EQ(*readFile(path, 3), "old");
  ASSERT_TRUE(writeFileAtomically(path, "new", true).ok());
  EXPECT_EQ(*readFile(path, 3), "new");
  EXPECT_EQ(fileCount(), 1u) << "no temporary file is left";
}

TEST_F(File, RefusesLargeFiles) {
  ASSERT_TRUE(writeFileAtomically(path, "four", false).ok());
  auto read = readFile(path, 3);
  ASSERT_FALSE(read.ok());
  EXPECT_EQ(read.error().message(), path + ": file is too large: found 4 bytes, expected at most 3 bytes");
}

TEST_F(File, RefusesEndlessDevices) {
  auto read = readFile("/dev/zero", 1000);
  ASSERT_FALSE(read.ok());
  EXPECT_EQ(read.error().id, ErrorId::FileTooLarge);
}

TEST_F(File, SaysWhyItCannotWrite) {
  auto written = writeFileAtomically((folder / "no" / "a.bin").string(), "x", false);
  ASSERT_FALSE(written.ok());
  EXPECT_EQ(written.error().id, ErrorId::FileNotWritten);
  EXPECT_EQ(written.error().found, "No such file or directory");
}

} // namespace
