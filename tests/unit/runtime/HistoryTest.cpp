// Moving averages of experts, and histories that come from outside.
#include "runtime/history/History.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <span>
#include <vector>

namespace kimic::runtime {
namespace {

constexpr std::uint32_t kExperts = 5000;
const Digest kPack = {1, 2, 3};

/// Of all that it vouches for.
Digest digestOf(std::span<const std::uint8_t> bytes) {
  return bytes.size() < 32 ? Digest{} : sha256(bytes.first(bytes.size() - 32));
}

Error importInto(History &history, std::span<const std::uint8_t> bytes) {
  return history.import(bytes, digestOf(bytes), kPack, kExperts);
}

std::vector<std::uint8_t> exported(const History &history) {
  std::vector<std::uint8_t> bytes(history.exportBytes());
  history.exportTo(bytes.data(), kPack);
  const Digest digest = digestOf(bytes);
  std::copy(digest.begin(), digest.end(), bytes.end() - 32);
  return bytes;
}

History small() {
  History history;
  history.observe(7, true, 50, 0.5f);
  history.observe(3, false, 200, 0.25f);
  history.observe(7, true, 100, 1);
  return history;
}

/// small() with one number changed, and the hash made anew.
std::vector<std::uint8_t> changed(std::size_t at, std::uint32_t word) {
  std::vector<std::uint8_t> bytes = exported(small());
  std::memcpy(bytes.data() + at, &word, 4);
  Digest digest = digestOf(bytes);
  std::memcpy(bytes.data() + bytes.size() - 32, digest.data(), 32);
  return bytes;
}

std::uint32_t bitsOf(float value) {
  std::uint32_t bits;
  std::memcpy(&bits, &value, 4);
  return bits;
}

void expectRefused(const std::vector<std::uint8_t> &bytes, const Error &expected) {
  History history = small();
  EXPECT_EQ(importInto(history, bytes), expected);
  EXPECT_EQ(exported(history), exported(small())) << "what was known is lost";
}

TEST(History, AveragesTheFirstRuns) {
  History history = small();
  const HistoryEntry *entry = history.find(7);
  ASSERT_NE(entry, nullptr);
  EXPECT_EQ(entry->runs, 2u);
  EXPECT_EQ(entry->success, 1.0f);
  EXPECT_EQ(entry->microseconds, 75.0f);
  EXPECT_EQ(entry->confidence, 0.75f);
}

TEST(History, ForgetsExponentiallyAfterTheFirstRuns) {
  History history;
  double expected = 0;
  for (int run = 1; run <= 200; ++run) {
    double x = run % 10 ? 1 : 0;
    history.observe(0, run % 10 != 0, 1, 1);
    expected += (x - expected) / std::min(run, 32);
  }
  EXPECT_NEAR(history.find(0)->success, expected, 1e-5);
}

TEST(History, KnowsNothingOfExpertsThatNeverRan) { EXPECT_EQ(small().find(4), nullptr); }

TEST(History, BringsValuesIntoTheirRange) {
  History history;
  history.observe(0, true, std::numeric_limits<float>::quiet_NaN(), 7);
  history.observe(1, true, std::numeric_limits<float>::infinity(), -1);
  EXPECT_EQ(history.find(0)->microseconds, 0.0f);
  EXPECT_EQ(history.find(0)->confidence, 1.0f);
  EXPECT_EQ(history.find(1)->microseconds, 1e9f);
  EXPECT_EQ(history.find(1)->confidence, 0.0f);
}

TEST(History, RemembersTheExpertsThatWereSeenLast) {
  History history;
  for (std::uint32_t expert = 0; expert < kHistoryEntries; ++expert)
    history.observe(expert, true, 1, 1);
  history.observe(0, true, 1, 1);
  history.observe(4000, true, 1, 1);
  EXPECT_EQ(history.size(), kHistoryEntries);
  EXPECT_EQ(history.find(1), nullptr);
  EXPECT_NE(history.find(0), nullptr);
  EXPECT_NE(history.find(4000), nullptr);
}

TEST(History, GivesWhatARouterMayRead) {
  KimicExperience seen = small().experienceOf(7);
  EXPECT_EQ(seen.success, 1.0f);
  EXPECT_EQ(seen.confidence, 0.75f);
  EXPECT_EQ(seen.latency, 75.0f / 175.0f);
  EXPECT_EQ(seen.microseconds, 75.0f);
  EXPECT_EQ(seen.runs, 2u);
}

TEST(History, KnowsNothingOfAnExpertThatItHasNotSeen) {
  KimicExperience seen = small().experienceOf(8);
  for (float feature : {seen.success, seen.confidence, seen.latency})
    EXPECT_EQ(feature, 0.5f);
  EXPECT_EQ(seen.runs, 0u);
}

TEST(History, AFailureLeavesLatencyAndConfidence) {
  History history = small();
  history.observeFailure(7);
  KimicExperience seen = history.experienceOf(7);
  EXPECT_EQ(seen.success, 1 - 1.0f / 3);
  EXPECT_EQ(seen.confidence, 0.75f);
  EXPECT_EQ(seen.microseconds, 75.0f);
  EXPECT_EQ(seen.runs, 3u);
}

TEST(History, IsWhatItWasAfterExportAndImport) {
  std::mt19937 random(1);
  History history;
  for (int i = 0; i < 20000; ++i)
    history.observe(random() % kExperts, random() % 3 != 0, static_cast<float>(random() % 1000), 0.5f);
  std::vector<std::uint8_t> bytes = exported(history);
  History other = small();
  ASSERT_EQ(importInto(other, bytes), Error{});
  EXPECT_EQ(exported(other), bytes);
  other.observe(1, true, 3, 0.5f);
  history.observe(1, true, 3, 0.5f);
  EXPECT_EQ(exported(other), exported(history));
}

TEST(History, RefusesWhatIsTooShort) {
  std::vector<std::uint8_t> bytes = exported(small());
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    History history;
    EXPECT_NE(importInto(history, std::span(bytes).first(size)), Error{}) << size;
  }
}

TEST(History, RefusesEveryFlippedBit) {
  std::vector<std::uint8_t> bytes = exported(small());
  for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    bytes[bit / 8] ^= 1 << bit % 8;
    History history;
    EXPECT_NE(importInto(history, bytes), Error{}) << bit;
    bytes[bit / 8] ^= 1 << bit % 8;
  }
}

TEST(History, RefusesAnotherMagic) {
  expectRefused(changed(0, 0x5349484C), makeError(ErrorId::HistoryMalformed, 0, 'L', 'K'));
}

TEST(History, RefusesAnotherVersion) { expectRefused(changed(4, 2), makeError(ErrorId::HistoryVersion, 2, 1)); }

TEST(History, RefusesAHistoryOfAnotherPack) { expectRefused(changed(16, 5), makeError(ErrorId::HistoryOfOtherPack)); }

TEST(History, RefusesMoreEntriesThanItKeeps) {
  expectRefused(changed(8, 1025), makeError(ErrorId::HistoryMalformed, 8, 1025, 1024));
}

TEST(History, RefusesALengthThatIsNotThatOfItsEntries) {
  expectRefused(changed(8, 3), makeError(ErrorId::HistoryMalformed, 8, 128, 152));
}

TEST(History, RefusesExpertsThatDoNotRise) {
  expectRefused(changed(48 + 24, 3), makeError(ErrorId::HistoryMalformed, 72, 3, 4));
}

TEST(History, RefusesExpertsThatThePackDoesNotHave) {
  expectRefused(changed(48 + 24, kExperts), makeError(ErrorId::HistoryMalformed, 72, kExperts, kExperts - 1));
}

TEST(History, RefusesAnExpertWithoutARun) {
  expectRefused(changed(52, 0), makeError(ErrorId::HistoryMalformed, 52, 0, 1));
}

TEST(History, RefusesAnObservationOfTheFuture) {
  expectRefused(changed(56, 4), makeError(ErrorId::HistoryMalformed, 56, 4, 3));
}

TEST(History, RefusesNumbersOutOfTheirRange) {
  for (std::size_t at : {60, 64, 68})
    for (float value : {-1.0f, 2e9f, std::numeric_limits<float>::quiet_NaN()})
      expectRefused(changed(at, bitsOf(value)),
                    makeError(ErrorId::HistoryMalformed, at, bitsOf(value), bitsOf(at == 64 ? 1e9f : 1.0f)));
}

} // namespace
} // namespace kimic::runtime
