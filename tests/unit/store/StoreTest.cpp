#include "compiler/Store/Store.h"

#include <atomic>
#include <filesystem>
#include <fstream>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <thread>

namespace kimic::store {
namespace {

namespace fs = std::filesystem;

Bytes bytesOf(std::string_view text) { return {text.begin(), text.end()}; }

class StoreTest : public testing::Test {
protected:
  std::string folder_ = testing::TempDir() + "kimic-store-" +
                        testing::UnitTest::GetInstance()->current_test_info()->name() + std::to_string(::getpid());
  Digest key_ = sha256(bytesOf("a key"));
  Bytes content_ = bytesOf("eight bytes, or more");
  ActionResult result_{bytesOf("record"), {contentRefOf(content_)}};

  void TearDown() override { fs::remove_all(folder_); }

  std::unique_ptr<Store> open() { return openDirectoryStore(folder_).value(); }

  std::string actionFile() const {
    std::string hex = hexOf(key_);
    return folder_ + "/ac/" + hex.substr(0, 2) + "/" + hex;
  }
  std::string contentFile() const {
    std::string hex = hexOf(result_.contents[0].sha256);
    return folder_ + "/cas/" + hex.substr(0, 2) + "/" + hex;
  }
  static void spoil(const std::string &file, std::streamoff at) {
    std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
    stream.seekg(at);
    char byte = static_cast<char>(stream.get());
    stream.seekp(at);
    stream.put(static_cast<char>(byte ^ 1));
  }
};

TEST_F(StoreTest, ActionIsTheProtocolBufferThatRemoteCachesKnow) {
  Bytes encoded = encodeAction(key_, {bytesOf("r"), {{Digest{0xAB}, 300}}});
  std::string hex = "ab" + std::string(62, '0');
  // ActionResult.output_files { path: "0" digest { hash: "ab00..." size_bytes: 300 } }, stdout_raw: "r", stderr_raw: 32
  std::string expected = std::string("\x12\x4A") +
                         "\x0A\x01"
                         "0" +
                         "\x12\x45" + "\x0A\x40" + hex + "\x10\xAC\x02" + "\x2A\x01r" + "\x3A\x20";
  EXPECT_EQ(std::string(encoded.begin(), encoded.end() - 32), expected);
  EXPECT_EQ(decodeAction(key_, encoded), (ActionResult{bytesOf("r"), {{Digest{0xAB}, 300}}}));
}

TEST_F(StoreTest, ActionOfAnotherKeyIsNone) {
  EXPECT_FALSE(decodeAction(sha256(bytesOf("other")), encodeAction(key_, result_)));
}

TEST_F(StoreTest, ActionWithAnyBitChangedOrByteMissingIsNone) {
  Bytes encoded = encodeAction(key_, result_);
  for (std::size_t i = 0; i < encoded.size(); ++i) {
    EXPECT_FALSE(decodeAction(key_, std::span(encoded).first(i)));
    for (unsigned bit = 0; bit < 8; ++bit) {
      encoded[i] ^= static_cast<std::uint8_t>(1u << bit);
      EXPECT_FALSE(decodeAction(key_, encoded)) << i;
      encoded[i] ^= static_cast<std::uint8_t>(1u << bit);
    }
  }
}

TEST_F(StoreTest, FindsWhatWasPut) {
  auto store = open();
  EXPECT_TRUE(store->putContent(content_));
  EXPECT_TRUE(store->putAction(key_, result_));
  auto again = open();
  EXPECT_EQ(again->findAction(key_), result_);
  EXPECT_EQ(again->findContent(result_.contents[0]), content_);
  EXPECT_EQ(again->counters().hits, 2u);
}

TEST_F(StoreTest, MissesWhatWasNotPut) {
  auto store = open();
  EXPECT_FALSE(store->findAction(key_));
  EXPECT_FALSE(store->findContent(result_.contents[0]));
  EXPECT_EQ(store->counters().misses, 2u);
  EXPECT_EQ(store->counters().failures, 0u);
}

TEST_F(StoreTest, LeavesNoTemporaryFile) {
  auto store = open();
  store->putContent(content_);
  EXPECT_TRUE(fs::is_empty(folder_ + "/tmp"));
}

TEST_F(StoreTest, DamagedActionIsIgnoredAndWrittenAnew) {
  auto store = open();
  store->putAction(key_, result_);
  spoil(actionFile(), 5);
  EXPECT_FALSE(store->findAction(key_));
  EXPECT_EQ(store->counters().damaged, 1u);
  EXPECT_FALSE(fs::exists(actionFile()));
  store->putAction(key_, result_);
  EXPECT_EQ(store->findAction(key_), result_);
}

TEST_F(StoreTest, DamagedContentIsIgnoredAndWrittenAnew) {
  auto store = open();
  store->putContent(content_);
  spoil(contentFile(), 0);
  EXPECT_FALSE(store->findContent(result_.contents[0]));
  store->putContent(content_);
  EXPECT_EQ(store->findContent(result_.contents[0]), content_);
}

TEST_F(StoreTest, LongerContentIsIgnored) {
  auto store = open();
  store->putContent(content_);
  std::ofstream(contentFile(), std::ios::app) << std::string(1 << 20, 'x');
  EXPECT_FALSE(store->findContent(result_.contents[0]));
}

TEST_F(StoreTest, TruncatedContentIsIgnored) {
  auto store = open();
  store->putContent(content_);
  fs::resize_file(contentFile(), 3);
  EXPECT_FALSE(store->findContent(result_.contents[0]));
}

TEST_F(StoreTest, OutOfReachIsAWarning) {
  auto store = open();
  std::ofstream(folder_ + "/ac/" + hexOf(key_).substr(0, 2)) << "a file where a folder should be";
  EXPECT_FALSE(store->putAction(key_, result_));
  EXPECT_FALSE(store->findAction(key_));
  EXPECT_EQ(store->counters().failures, 2u);
  EXPECT_THAT(store->takeWarnings(), testing::Contains(testing::HasSubstr("Not a directory")));
  EXPECT_TRUE(store->takeWarnings().empty());
}

TEST_F(StoreTest, FileIsNoFolder) {
  std::ofstream(folder_) << "a file";
  EXPECT_EQ(openDirectoryStore(folder_).error().id, ErrorId::StoreUnusable);
}

TEST_F(StoreTest, ManyWritersOfOneKeyLeaveOneWholeEntry) {
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&] {
      auto store = open();
      for (int i = 0; i < 50; ++i) {
        wrong += !store->putContent(content_);
        wrong += store->findContent(result_.contents[0]) != content_;
      }
    });
  for (std::thread &thread : threads)
    thread.join();
  EXPECT_EQ(wrong, 0);
}

} // namespace
} // namespace kimic::store
