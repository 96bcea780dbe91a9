// Where the memory is, that runs take none, and that it does not grow. A program of its own, because it replaces the
// process's operator new.
#include "runtime/include/kimic/Runtime.h"
#include "tests/support/FakeHost.h"
#include "tests/support/TestPack.h"

#include <cstdlib>
#include <gtest/gtest.h>
#include <new>
#include <random>

// Counts what the process allocates; the runtime's containers do so natively, its arena does not.
static std::uint64_t processAllocations = 0;
void *operator new(std::size_t bytes) {
  ++processAllocations;
  if (void *memory = std::malloc(bytes ? bytes : 1))
    return memory;
  std::abort();
}
void *operator new(std::size_t bytes, const std::nothrow_t &) noexcept { return operator new(bytes); }
void operator delete(void *memory) noexcept { std::free(memory); }
void operator delete(void *memory, std::size_t) noexcept { std::free(memory); }

namespace kimic::runtime {
namespace {

using kimic::testing::constantExpert;
using kimic::testing::diagonalExpert;
using kimic::testing::FakeHost;
using kimic::testing::TestPack;

constexpr std::uint32_t kExperts = 16, kInputs = 64;

// Sixteen experts of about 10 KiB and a router whose score of expert n follows from input n.
std::vector<std::uint8_t> routedPack(std::uint32_t topK = 1) {
  TestPack pack;
  for (std::int32_t i = 0; i < static_cast<std::int32_t>(kExperts); ++i)
    pack.add(constantExpert(kInputs, std::vector<std::int32_t>(128, 100 + i)));
  pack.addRouter(diagonalExpert(kInputs, kExperts), topK, pack::Merge::Weighted);
  return pack.bytes();
}

// Room for the bookkeeping, an expert on its way and about four at home.
constexpr std::uint64_t kCap = 140 << 10;

std::vector<float> featuresFor(std::uint32_t expert) {
  std::vector<float> x(kInputs);
  x[expert] = 1;
  return x;
}

KimicMemory memoryOf(FakeHost &host) {
  KimicMemory memory;
  kimic_memory(host.runtime, &memory);
  return memory;
}

TEST(MemoryUsage, IsTheSumOfItsUses) {
  FakeHost host(routedPack());
  ASSERT_EQ(host.open(), KIMIC_OK);
  ASSERT_EQ(host.load(1), KIMIC_OK);
  ASSERT_EQ(host.load(2), KIMIC_OK);
  ASSERT_EQ(kimic_pin(host.runtime, 2), KIMIC_OK);
  void *mine = kimic_allocate(host.runtime, 1000);
  ASSERT_EQ(kimic_load(host.runtime, 3), KIMIC_PENDING);
  KimicMemory memory = memoryOf(host);
  std::uint64_t sum = 0;
  for (std::uint64_t bytes : memory.byUse)
    sum += bytes;
  EXPECT_EQ(sum, memory.used);
  EXPECT_EQ(memory.used, host.stats().arenaUsed);
  EXPECT_GE(memory.byUse[KIMIC_MEMORY_EXPERTS], host.stats().residentBytes);
  EXPECT_LT(memory.byUse[KIMIC_MEMORY_EXPERTS], host.stats().residentBytes + 2 * 64);
  EXPECT_EQ(memory.byUse[KIMIC_MEMORY_HOST], 1024u); // 1000, a header of 16, rounded up
  EXPECT_GT(memory.byUse[KIMIC_MEMORY_COMPRESSED], 0u);  // of expert 3
  EXPECT_GT(memory.byUse[KIMIC_MEMORY_SCRATCH], 0u);
  EXPECT_EQ(memory.residentExperts, 2u);
  EXPECT_EQ(memory.pinnedExperts, 1u);
  EXPECT_EQ(memory.pinnedBytes, host.stats().residentBytes / 2);
  EXPECT_GE(memory.linear, memory.used);
  kimic_free(host.runtime, mine);
  EXPECT_EQ(memoryOf(host).byUse[KIMIC_MEMORY_HOST], 0u);
}

TEST(MemoryUsage, KnowsTheLargestBlockThatCostsNoExpert) {
  FakeHost host(routedPack(), kCap);
  ASSERT_EQ(host.open(), KIMIC_OK);
  ASSERT_EQ(host.load(1), KIMIC_OK);
  std::uint64_t largest = memoryOf(host).largestFree;
  void *all = kimic_allocate(host.runtime, largest - 16);
  ASSERT_NE(all, nullptr);
  EXPECT_EQ(host.stats().evictions, 0u);
  kimic_free(host.runtime, all);
  kimic_allocate(host.runtime, largest);
  EXPECT_EQ(host.stats().evictions, 1u);
}

TEST(MemoryUsage, RunsOnResidentExpertsAllocateNothing) {
  FakeHost host(routedPack(3), 64u << 20);
  ASSERT_EQ(host.open(), KIMIC_OK);
  std::vector<float> x = featuresFor(3), y(128), scores(kExperts);
  std::vector<KimicChoice> choices(3);
  std::vector<KimicExplanation> explanations(kExperts);
  std::uint32_t chosen = 0;
  auto ask = [&] {
    return kimic_ask(host.runtime, x.data(), 1, 3, KIMIC_MERGE_WEIGHTED, choices.data(), nullptr, y.data(), 128);
  };
  ASSERT_EQ(host.finish(ask), KIMIC_OK);
  const std::uint64_t inArena = memoryOf(host).allocations, inProcess = processAllocations;
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(ask(), KIMIC_OK);
    EXPECT_EQ(kimic_route(host.runtime, x.data(), 3, choices.data(), &chosen, scores.data()), KIMIC_OK);
    EXPECT_EQ(kimic_explain(host.runtime, x.data(), 3, choices.data(), &chosen, explanations.data()), KIMIC_OK);
    for (std::uint32_t merge = KIMIC_MERGE_AVERAGE; merge <= KIMIC_MERGE_CASCADE; ++merge)
      EXPECT_EQ(kimic_run_chosen(host.runtime, choices.data(), chosen, merge, x.data(), y.data()), KIMIC_OK);
    EXPECT_EQ(kimic_run(host.runtime, choices[0].expert, x.data(), 1, y.data()), KIMIC_OK);
    EXPECT_EQ(kimic_load(host.runtime, choices[0].expert), KIMIC_OK);
  }
  EXPECT_EQ(memoryOf(host).allocations, inArena);
  EXPECT_EQ(processAllocations, inProcess);
}

// A million requests over a pack twenty times the cap; fewer where sanitizers make each of them slow.
TEST(MemoryUsage, IsFlatOverAMillionRequests) {
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
  constexpr int kRequests = 20'000;
#else
  constexpr int kRequests = 1'000'000;
#endif
#else
  constexpr int kRequests = 1'000'000;
#endif
  constexpr std::uint32_t kMany = 300;
  constexpr std::uint64_t kSmallCap = 256 << 10;
  TestPack pack;
  for (std::int32_t i = 0; i < static_cast<std::int32_t>(kMany); ++i)
    pack.add(constantExpert(128, std::vector<std::int32_t>(128, i)));
  std::uint64_t parameterBytes = 0;
  for (const auto &expert : pack.contents.experts)
    parameterBytes += expert.parameters.size();
  ASSERT_GE(parameterBytes, 20 * kSmallCap);
  FakeHost host(pack.bytes(), kSmallCap);
  ASSERT_EQ(host.open(), KIMIC_OK);
  std::mt19937 random(7);
  std::vector<float> x(128), y(128);
  KimicMemory warm{};
  std::uint32_t domain = 0;
  for (int i = 0; i < kRequests; ++i) {
    if (random() % 64 == 0) // sticky: a few experts for a while
      domain = random() % (kMany / 6);
    std::uint32_t expert = random() % 16 ? domain * 6 + random() % 6 : random() % kMany;
    host.seen.clear();
    ASSERT_EQ(host.load(expert), KIMIC_OK);
    ASSERT_EQ(kimic_run(host.runtime, expert, x.data(), 1, y.data()), KIMIC_OK);
    ASSERT_EQ(y[0], static_cast<float>(expert));
    if (i == kRequests / 10)
      warm = memoryOf(host);
  }
  KimicMemory end = memoryOf(host);
  EXPECT_LE(end.peak, kSmallCap);
  EXPECT_EQ(end.linear, warm.linear);
  EXPECT_LE(end.used, warm.used + (20 << 10)); // an expert more or less
  EXPECT_GT(host.stats().evictions, 1000u);
}

} // namespace
} // namespace kimic::runtime
