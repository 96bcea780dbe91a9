#include "formats/base/DiskCache.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>

namespace kimic {
namespace {

class DiskCacheTest : public ::testing::Test {
protected:
  DiskCacheTest() { std::filesystem::remove_all(directory); }
  ~DiskCacheTest() override { std::filesystem::remove_all(directory); }

  std::string directory = ::testing::TempDir() + "kimic-disk-cache-test";
  DiskCache cache{directory};
  Digest key = sha256({});
};

TEST_F(DiskCacheTest, FindsWhatWasAddedUnderAKey) {
  EXPECT_FALSE(cache.find(key).has_value());
  cache.add(key, "result");
  EXPECT_EQ(cache.find(key), "result");
  EXPECT_EQ(DiskCache(directory).find(key), "result");
  Digest other = key;
  other[31] ^= 1;
  EXPECT_FALSE(cache.find(other).has_value());
}

TEST_F(DiskCacheTest, ReplacesAnEntry) {
  cache.add(key, "first");
  cache.add(key, "second");
  EXPECT_EQ(cache.find(key), "second");
}

TEST_F(DiskCacheTest, KeepsAnEmptyResult) {
  cache.add(key, "");
  EXPECT_EQ(cache.find(key), "");
}

TEST_F(DiskCacheTest, DoesNotFindADamagedEntry) {
  cache.add(key, "result");
  std::string path = cache.pathOf(key);
  for (std::uintmax_t bytes : {std::uintmax_t{37}, std::uintmax_t{31}, std::uintmax_t{0}}) {
    std::filesystem::resize_file(path, bytes);
    EXPECT_FALSE(cache.find(key).has_value()) << bytes;
  }
  cache.add(key, "result");
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(34);
  file.put('X');
  file.close();
  EXPECT_FALSE(cache.find(key).has_value());
}

TEST_F(DiskCacheTest, DoesNotFindTheEntryOfAnotherKey) {
  Digest other = key;
  other[31] ^= 1;
  cache.add(key, "result");
  std::filesystem::rename(cache.pathOf(key), cache.pathOf(other));
  EXPECT_FALSE(cache.find(other).has_value());
}

TEST_F(DiskCacheTest, GoesWithoutADirectoryThatCannotBeMade) {
  std::ofstream(directory) << "a file";
  cache.add(key, "result");
  EXPECT_FALSE(cache.find(key).has_value());
  EXPECT_FALSE(DiskCache("").find(key).has_value());
}

TEST(CacheDirectory, IsTheOneOfTheXdgSpecification) {
  ::setenv("HOME", "/home/someone", 1);
  ::setenv("XDG_CACHE_HOME", "/var/cache/someone", 1);
  EXPECT_EQ(cacheDirectory("native"), "/var/cache/someone/kimic/native");
  ::setenv("XDG_CACHE_HOME", "relative", 1);
  EXPECT_EQ(cacheDirectory("native"), "/home/someone/.cache/kimic/native");
  ::unsetenv("XDG_CACHE_HOME");
  EXPECT_EQ(cacheDirectory("native"), "/home/someone/.cache/kimic/native");
  ::unsetenv("HOME");
  EXPECT_EQ(cacheDirectory("native"), "");
}

} // namespace
} // namespace kimic
