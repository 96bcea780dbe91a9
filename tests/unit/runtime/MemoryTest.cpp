// The cap: who is evicted, who is not, and what happens when that is not enough.
#include "runtime/include/kimic/Runtime.h"
#include "tests/support/FakeHost.h"
#include "tests/support/TestPack.h"

#include <gtest/gtest.h>

namespace kimic::runtime {
namespace {

using kimic::testing::FakeHost;
using kimic::testing::kCapForFour;
using kimic::testing::packOfSixteen;

bool isResident(FakeHost &host, std::uint32_t expert) {
  KimicExpertInfo info;
  return kimic_expert_info(host.runtime, expert, &info) == KIMIC_OK;
}

float firstOutput(FakeHost &host, std::uint32_t expert) {
  std::vector<float> x(256), y(128);
  EXPECT_EQ(kimic_run(host.runtime, expert, x.data(), 1, y.data()), KIMIC_OK);
  return y[0];
}

TEST(Memory, StaysUnderTheCapWhateverIsLoaded) {
  FakeHost host(packOfSixteen(), kCapForFour);
  ASSERT_EQ(host.open(), KIMIC_OK);
  for (int round = 0; round < 20; ++round)
    for (std::uint32_t expert = 0; expert < 16; ++expert) {
      ASSERT_EQ(host.load(expert), KIMIC_OK);
      ASSERT_EQ(firstOutput(host, expert), 100.0f + expert);
    }
  KimicStats stats = host.stats();
  EXPECT_LE(stats.arenaPeak, kCapForFour);
  EXPECT_EQ(stats.arenaCap, kCapForFour);
  EXPECT_EQ(stats.misses, 320u);
  EXPECT_EQ(stats.evictions, 320u - stats.residentExperts);
  EXPECT_GE(stats.residentExperts, 3u);
  EXPECT_LE(stats.residentBytes, stats.arenaUsed);
}

TEST(Memory, EvictsTheLeastRecentlyUsed) {
  FakeHost host(packOfSixteen(), kCapForFour);
  ASSERT_EQ(host.open(), KIMIC_OK);
  for (std::uint32_t expert : {0, 1, 2})
    ASSERT_EQ(host.load(expert), KIMIC_OK);
  ASSERT_EQ(host.stats().evictions, 0u);
  ASSERT_EQ(host.load(0), KIMIC_OK);
  for (std::uint32_t expert = 3; host.stats().evictions == 0; ++expert)
    ASSERT_EQ(host.load(expert), KIMIC_OK);
  EXPECT_TRUE(isResident(host, 0));
  EXPECT_FALSE(isResident(host, 1));
}

TEST(Memory, CountsHitsAndMisses) {
  FakeHost host(packOfSixteen());
  ASSERT_EQ(host.open(), KIMIC_OK);
  for (std::uint32_t expert : {0, 1, 0, 0, 1})
    ASSERT_EQ(host.load(expert), KIMIC_OK);
  EXPECT_EQ(host.stats().misses, 2u);
  EXPECT_EQ(host.stats().hits, 3u);
}

TEST(Memory, KeepsPinnedExperts) {
  FakeHost host(packOfSixteen(), kCapForFour);
  ASSERT_EQ(host.open(), KIMIC_OK);
  ASSERT_EQ(host.load(5), KIMIC_OK);
  ASSERT_EQ(kimic_pin(host.runtime, 5), KIMIC_OK);
  for (std::uint32_t expert = 6; expert < 16; ++expert)
    ASSERT_EQ(host.load(expert), KIMIC_OK);
  EXPECT_TRUE(isResident(host, 5));
  ASSERT_EQ(kimic_unpin(host.runtime, 5), KIMIC_OK);
  for (std::uint32_t expert = 6; expert < 16; ++expert)
    ASSERT_EQ(host.load(expert), KIMIC_OK);
  EXPECT_FALSE(isResident(host, 5));
}

TEST(Memory, SaysWhenPinnedExpertsFillIt) {
  FakeHost host(packOfSixteen(), kCapForFour);
  ASSERT_EQ(host.open(), KIMIC_OK);
  std::uint32_t expert = 0;
  std::int32_t status;
  while ((status = host.load(expert)) == KIMIC_OK)
    ASSERT_EQ(kimic_pin(host.runtime, expert++), KIMIC_OK);
  EXPECT_EQ(status, static_cast<int>(ErrorId::ArenaExhausted));
  EXPECT_EQ(host.lastError().args[2], kCapForFour);
  EXPECT_GE(expert, 3u);
  // What is there still runs, and one unpinned expert makes room.
  EXPECT_EQ(firstOutput(host, 0), 100.0f);
  ASSERT_EQ(kimic_unpin(host.runtime, 0), KIMIC_OK);
  EXPECT_EQ(host.load(expert), KIMIC_OK);
  EXPECT_EQ(firstOutput(host, expert), 100.0f + expert);
}

TEST(Memory, EvictsOnDemandButNotWhatIsPinned) {
  FakeHost host(packOfSixteen());
  ASSERT_EQ(host.open(), KIMIC_OK);
  ASSERT_EQ(host.load(0), KIMIC_OK);
  ASSERT_EQ(kimic_pin(host.runtime, 0), KIMIC_OK);
  EXPECT_EQ(kimic_evict(host.runtime, 0), static_cast<int>(ErrorId::ExpertPinned));
  ASSERT_EQ(kimic_unpin(host.runtime, 0), KIMIC_OK);
  std::uint64_t resident = host.stats().residentBytes;
  EXPECT_EQ(kimic_evict(host.runtime, 0), KIMIC_OK);
  EXPECT_GT(resident, 0u);
  EXPECT_EQ(host.stats().residentBytes, 0u);
  EXPECT_EQ(kimic_evict(host.runtime, 0), KIMIC_OK); // not resident: nothing to do
}

TEST(Memory, GivesTheHostMemoryByEvicting) {
  FakeHost host(packOfSixteen(), kCapForFour);
  ASSERT_EQ(host.open(), KIMIC_OK);
  for (std::uint32_t expert : {0, 1, 2})
    ASSERT_EQ(host.load(expert), KIMIC_OK);
  void *memory = kimic_allocate(host.runtime, 200 << 10);
  ASSERT_NE(memory, nullptr);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(memory) % 16, 0u);
  EXPECT_GT(host.stats().evictions, 0u);
  EXPECT_EQ(kimic_allocate(host.runtime, kCapForFour), nullptr);
  EXPECT_EQ(host.lastError().id, ErrorId::ArenaExhausted);
  kimic_free(host.runtime, memory);
}

TEST(Memory, TooSmallACapIsAnErrorNotACrash) {
  FakeHost host(packOfSixteen(), KIMIC_MINIMUM_ARENA);
  ASSERT_EQ(host.open(), KIMIC_OK);
  void *most = kimic_allocate(host.runtime, 100 << 10);
  EXPECT_NE(most, nullptr);
  EXPECT_EQ(host.load(0), static_cast<int>(ErrorId::ArenaExhausted));
  kimic_free(host.runtime, most);
  EXPECT_EQ(host.load(0), KIMIC_OK);
}

TEST(Memory, RefusesCapsOutOfRange) {
  for (std::uint64_t bytes : {std::uint64_t{0}, std::uint64_t{KIMIC_MINIMUM_ARENA - 1}, std::uint64_t{1} << 33}) {
    KimicOptions options{bytes, 0, 0};
    EXPECT_EQ(kimic_create(&options), nullptr) << bytes;
  }
}

TEST(Memory, IsTheSameAfterManyLoadsAsAfterFew) {
  FakeHost host(packOfSixteen(), kCapForFour);
  ASSERT_EQ(host.open(), KIMIC_OK);
  for (std::uint32_t i = 0; i < 64; ++i)
    ASSERT_EQ(host.load(i * 7 % 16), KIMIC_OK);
  std::uint64_t used = host.stats().arenaUsed;
  for (std::uint32_t i = 0; i < 6400; ++i)
    ASSERT_EQ(host.load(i * 7 % 16), KIMIC_OK);
  EXPECT_EQ(host.stats().arenaUsed, used);
}

} // namespace
} // namespace kimic::runtime
