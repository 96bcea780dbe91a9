#include "runtime/core/Arena.h"

#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <vector>

namespace kimic::runtime {
namespace {

class ArenaTest : public ::testing::Test {
protected:
  static constexpr std::size_t kBytes = 65536;
  alignas(16) std::uint8_t region_[kBytes];
  Arena arena_;

  void SetUp() override { arena_.reset(region_, kBytes, kBytes, nullptr); }
};

TEST_F(ArenaTest, GivesAlignedMemoryInsideTheRegion) {
  for (std::size_t bytes : {0, 1, 15, 16, 17, 1000}) {
    auto *memory = static_cast<std::uint8_t *>(arena_.allocate(bytes));
    ASSERT_NE(memory, nullptr);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(memory) % 16, 0u);
    EXPECT_GE(memory, region_);
    EXPECT_LE(memory + bytes, region_ + kBytes);
  }
}

TEST_F(ArenaTest, GivesTheWholeRegionButItsHeader) {
  EXPECT_EQ(arena_.allocate(kBytes), nullptr);
  void *all = arena_.allocate(kBytes - 16);
  EXPECT_NE(all, nullptr);
  EXPECT_EQ(arena_.used(), kBytes);
  EXPECT_EQ(arena_.allocate(1), nullptr);
  arena_.free(all);
  EXPECT_EQ(arena_.used(), 0u);
  EXPECT_EQ(arena_.peak(), kBytes);
}

TEST_F(ArenaTest, MergesFreedNeighboursInAnyOrder) {
  int orders[][3] = {{0, 1, 2}, {2, 1, 0}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}};
  for (auto &order : orders) {
    void *parts[3];
    for (void *&part : parts)
      part = arena_.allocate(20000);
    for (int i : order)
      arena_.free(parts[i]);
    void *all = arena_.allocate(kBytes - 16);
    EXPECT_NE(all, nullptr);
    arena_.free(all);
  }
}

TEST_F(ArenaTest, TakesTheSmallestFreeBlockThatFitsOrTheLowest) {
  void *large = arena_.allocate(2000);
  arena_.allocate(16);
  void *small = arena_.allocate(500);
  arena_.allocate(16);
  arena_.free(large);
  arena_.free(small);
  EXPECT_EQ(arena_.allocate(400), small);
  EXPECT_EQ(arena_.allocate(40, Arena::Placement::Lowest), large);
}

TEST_F(ArenaTest, KeepsContentsApartUnderRandomUse) {
  struct Live {
    std::uint8_t *memory;
    std::size_t bytes;
    std::uint8_t fill;
  };
  std::vector<Live> live;
  std::mt19937 random(1);
  for (int step = 0; step < 20000; ++step) {
    if (live.empty() || random() % 2) {
      std::size_t bytes = random() % 3000;
      if (auto *memory = static_cast<std::uint8_t *>(arena_.allocate(bytes))) {
        live.push_back({memory, bytes, static_cast<std::uint8_t>(random())});
        std::memset(memory, live.back().fill, bytes);
      }
    } else {
      std::size_t i = random() % live.size();
      for (std::size_t b = 0; b < live[i].bytes; ++b)
        ASSERT_EQ(live[i].memory[b], live[i].fill);
      arena_.free(live[i].memory);
      live[i] = live.back();
      live.pop_back();
    }
  }
  for (Live &one : live)
    arena_.free(one.memory);
  EXPECT_EQ(arena_.used(), 0u);
  EXPECT_NE(arena_.allocate(kBytes - 16), nullptr);
}

// A region that grows, as WebAssembly's memory does.
std::size_t grown;
bool mayGrow;
bool grow(std::size_t bytes) {
  if (mayGrow)
    grown += bytes;
  return mayGrow;
}

TEST(GrowingArena, GrowsOnDemandUpToItsCap) {
  grown = 0;
  mayGrow = true;
  std::vector<std::uint8_t> memory(300016);
  auto *base = reinterpret_cast<std::uint8_t *>((reinterpret_cast<std::uintptr_t>(memory.data()) + 15) & ~15ull);
  Arena arena;
  arena.reset(base, 4096, 300000, grow);
  EXPECT_NE(arena.allocate(4000), nullptr);
  EXPECT_EQ(grown, 0u);
  EXPECT_NE(arena.allocate(100000), nullptr);
  EXPECT_GE(4096 + grown, 104000u);
  EXPECT_NE(arena.allocate(150000), nullptr);
  EXPECT_EQ(arena.allocate(50000), nullptr);
  EXPECT_LE(4096 + grown, 300000u);
  EXPECT_LE(arena.used(), arena.cap());
}

TEST(GrowingArena, SaysWhenTheSystemRefuses) {
  mayGrow = false;
  alignas(16) std::uint8_t region[4096];
  Arena arena;
  arena.reset(region, sizeof region, 1 << 20, grow);
  EXPECT_EQ(arena.allocate(8000), nullptr);
  EXPECT_NE(arena.allocate(4000), nullptr);
}

} // namespace
} // namespace kimic::runtime
