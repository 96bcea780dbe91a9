// Fetching ahead: what it may take, what it may not, and how it is stopped.
#include "runtime/include/kimic/Runtime.h"
#include "tests/support/FakeHost.h"
#include "tests/support/TestPack.h"

#include <gtest/gtest.h>

#include <random>

namespace kimic::runtime {
namespace {

using kimic::testing::constantExpert;
using kimic::testing::FakeHost;
using kimic::testing::kCapForFour;
using kimic::testing::packOfSixteen;
using kimic::testing::RandomExpert;
using kimic::testing::TestPack;

struct PrefetchHost : FakeHost {
  explicit PrefetchHost(std::uint64_t cap = 64u << 20) : FakeHost(packOfSixteen(), cap) { EXPECT_EQ(open(), KIMIC_OK); }
  std::int32_t prefetch(std::uint32_t expert) {
    return finish([&] { return kimic_prefetch(runtime, expert); });
  }
  bool isResident(std::uint32_t expert) {
    KimicExpertInfo info;
    return kimic_expert_info(runtime, expert, &info) == KIMIC_OK;
  }
  std::uint32_t prefetchedResidents() {
    std::uint32_t count = 0;
    for (std::uint32_t expert = 8; expert < 16; ++expert)
      count += isResident(expert);
    return count;
  }
};

TEST(Prefetch, MakesAnExpertResident) {
  PrefetchHost host;
  ASSERT_EQ(host.prefetch(3), KIMIC_OK);
  std::vector<float> x(256), y(128);
  EXPECT_EQ(kimic_run(host.runtime, 3, x.data(), 1, y.data()), KIMIC_OK);
  EXPECT_EQ(y[0], 103.0f);
}

TEST(Prefetch, AsksWithItsOwnPriority) {
  PrefetchHost host;
  host.seen.clear();
  ASSERT_EQ(host.prefetch(3), KIMIC_OK);
  ASSERT_FALSE(host.seen.empty());
  for (const KimicRequest &request : host.seen)
    EXPECT_EQ(request.priority, static_cast<std::uint32_t>(KIMIC_PREFETCH));
}

TEST(Prefetch, IsNotSeenByAHostThatTakesOnlyWhatIsDemanded) {
  PrefetchHost host;
  ASSERT_EQ(host.load(0), KIMIC_OK);
  host.lowest = KIMIC_DEMANDED;
  ASSERT_EQ(kimic_prefetch(host.runtime, 1), KIMIC_PENDING);
  host.take();
  EXPECT_TRUE(host.waiting.empty());
}

TEST(Prefetch, ComesAfterWhatIsDemanded) {
  PrefetchHost host;
  ASSERT_EQ(host.load(0), KIMIC_OK);
  ASSERT_EQ(kimic_prefetch(host.runtime, 1), KIMIC_PENDING);
  ASSERT_EQ(kimic_load(host.runtime, 2), KIMIC_PENDING);
  host.take();
  ASSERT_EQ(host.waiting.size(), 2u);
  EXPECT_EQ(host.waiting[0].priority, static_cast<std::uint32_t>(KIMIC_DEMANDED));
  EXPECT_EQ(host.waiting[1].priority, static_cast<std::uint32_t>(KIMIC_PREFETCH));
}

TEST(Prefetch, BecomesDemandedWhenSomebodyWaits) {
  PrefetchHost host;
  ASSERT_EQ(host.load(0), KIMIC_OK);
  host.lowest = KIMIC_DEMANDED;
  ASSERT_EQ(kimic_prefetch(host.runtime, 1), KIMIC_PENDING);
  ASSERT_EQ(kimic_load(host.runtime, 1), KIMIC_PENDING);
  host.take();
  EXPECT_EQ(host.waiting.size(), 1u);
  EXPECT_EQ(host.load(1), KIMIC_OK);
}

TEST(Prefetch, IsReadOnceWithALoadOfTheSameExpert) {
  PrefetchHost host;
  ASSERT_EQ(host.load(0), KIMIC_OK);
  host.seen.clear();
  ASSERT_EQ(kimic_prefetch(host.runtime, 1), KIMIC_PENDING);
  host.take();
  ASSERT_EQ(kimic_load(host.runtime, 1), KIMIC_PENDING);
  host.take();
  EXPECT_EQ(host.seen.size(), 1u);
}

TEST(Prefetch, NeverEvictsWhatWasUsed) {
  PrefetchHost host(kCapForFour);
  for (std::uint32_t expert : {0, 1, 2})
    ASSERT_EQ(host.load(expert), KIMIC_OK);
  for (std::uint32_t expert = 8; expert < 16; ++expert) {
    std::int32_t status = host.prefetch(expert);
    EXPECT_TRUE(status == KIMIC_OK || status == static_cast<std::int32_t>(ErrorId::ArenaExhausted)) << status;
  }
  for (std::uint32_t expert : {0, 1, 2})
    EXPECT_TRUE(host.isResident(expert)) << expert;
}

TEST(Prefetch, MakesRoomForALoadFirst) {
  PrefetchHost host(kCapForFour);
  ASSERT_EQ(host.load(0), KIMIC_OK);
  for (std::uint32_t expert = 8; expert < 12; ++expert)
    host.prefetch(expert);
  ASSERT_GE(host.prefetchedResidents(), 2u);
  for (std::uint32_t expert : {1, 2})
    ASSERT_EQ(host.load(expert), KIMIC_OK);
  EXPECT_TRUE(host.isResident(0));
}

TEST(Prefetch, ReplacesOlderPrefetches) {
  PrefetchHost host(kCapForFour);
  ASSERT_EQ(host.load(0), KIMIC_OK);
  for (std::uint32_t expert = 8; expert < 16; ++expert)
    ASSERT_EQ(host.prefetch(expert), KIMIC_OK);
  EXPECT_FALSE(host.isResident(8));
  EXPECT_TRUE(host.isResident(15));
}

TEST(Prefetch, IsCountedWhenItWasWorthIt) {
  PrefetchHost host;
  for (std::uint32_t expert : {3, 4})
    ASSERT_EQ(host.prefetch(expert), KIMIC_OK);
  ASSERT_EQ(host.load(4), KIMIC_OK);
  KimicStats stats = host.stats();
  EXPECT_EQ(stats.prefetched, 2u);
  EXPECT_EQ(stats.prefetchedUsed, 1u);
  EXPECT_EQ(stats.hits, 1u);
  EXPECT_EQ(stats.misses, 0u);
}

TEST(Prefetch, OfAResidentExpertIsNoUseOfIt) {
  PrefetchHost host(kCapForFour);
  for (std::uint32_t expert : {0, 1, 2})
    ASSERT_EQ(host.load(expert), KIMIC_OK);
  ASSERT_EQ(host.prefetch(0), KIMIC_OK);
  while (host.stats().evictions == 0)
    ASSERT_EQ(host.load(3 + host.stats().residentExperts), KIMIC_OK);
  EXPECT_FALSE(host.isResident(0));
}

TEST(Cancel, TakesBackWhatTheHostHasNotSeen) {
  PrefetchHost host;
  ASSERT_EQ(host.load(0), KIMIC_OK);
  std::uint64_t used = host.stats().arenaUsed;
  ASSERT_EQ(kimic_prefetch(host.runtime, 1), KIMIC_PENDING);
  ASSERT_GT(host.stats().arenaUsed, used);
  kimic_cancel(host.runtime, 1);
  EXPECT_EQ(host.stats().arenaUsed, used);
  host.take();
  EXPECT_TRUE(host.waiting.empty());
}

TEST(Cancel, DropsWhatArrivesLater) {
  PrefetchHost host;
  ASSERT_EQ(host.load(0), KIMIC_OK);
  std::uint64_t used = host.stats().arenaUsed;
  ASSERT_EQ(kimic_load(host.runtime, 1), KIMIC_PENDING);
  host.take();
  kimic_cancel(host.runtime, 1);
  host.answerAll();
  kimic_cancel(host.runtime, 1);
  EXPECT_EQ(host.stats().arenaUsed, used);
  EXPECT_FALSE(host.isResident(1));
}

TEST(Cancel, DoesNotHarmWhoeverAsksAgain) {
  PrefetchHost host;
  ASSERT_EQ(host.load(0), KIMIC_OK);
  host.seen.clear();
  ASSERT_EQ(kimic_load(host.runtime, 1), KIMIC_PENDING);
  host.take();
  kimic_cancel(host.runtime, 1);
  EXPECT_EQ(host.load(1), KIMIC_OK);
  EXPECT_EQ(host.seen.size(), 1u);
}

/// Expert 1 is stored as its difference from expert 0.
TestPack packWithBase() {
  RandomExpert base = constantExpert(64, std::vector<std::int32_t>(64, 1));
  std::minstd_rand random(1);
  for (std::int8_t &weight : base.parameters.layers[0].weights)
    weight = static_cast<std::int8_t>(random() % 255 - 127);
  RandomExpert other = base;
  for (std::size_t i = 0; i < other.parameters.layers[0].weights.size(); i += 7)
    other.parameters.layers[0].weights[i] /= 2;
  TestPack pack;
  pack.add(base);
  pack.add(other);
  pack.add(constantExpert(64, std::vector<std::int32_t>(64, 1)));
  return pack;
}

/// A host that was asked for expert 1 and has seen the reads of its base, first, and of itself; all else is there.
struct BaseHost : FakeHost {
  BaseHost() : FakeHost(packWithBase().bytes()) {
    EXPECT_EQ(open(), KIMIC_OK);
    EXPECT_EQ(load(2), KIMIC_OK);
    EXPECT_EQ(kimic_load(runtime, 1), KIMIC_PENDING);
    take();
    EXPECT_EQ(waiting.size(), 2u);
  }
};

std::uint64_t storedBytes(const FakeHost &host) {
  KimicMemory memory;
  kimic_memory(host.runtime, &memory);
  return memory.byUse[KIMIC_MEMORY_COMPRESSED];
}

TEST(Cancel, DropsTheBaseThatArrivesLater) {
  BaseHost host;
  ASSERT_GT(storedBytes(host), 0u);
  kimic_cancel(host.runtime, 1);
  host.answerAll();
  EXPECT_EQ(storedBytes(host), 0u);
}

TEST(Load, DropsTheBaseOfAnExpertThatFailed) {
  BaseHost host;
  kimic_complete(host.runtime, host.waiting[1].id, static_cast<std::int32_t>(ErrorId::SourceReadFailed), 0);
  EXPECT_EQ(kimic_load(host.runtime, 1), static_cast<std::int32_t>(ErrorId::SourceReadFailed));
  host.answer(host.waiting[0]);
  EXPECT_EQ(storedBytes(host), 0u);
}

TEST(Cancel, DropsTheLeafThatArrivesLater) {
  PrefetchHost host;
  ASSERT_EQ(kimic_load(host.runtime, 0), KIMIC_PENDING);
  host.take();
  ASSERT_GT(storedBytes(host), 0u);
  kimic_cancel(host.runtime, 0);
  host.answerAll();
  EXPECT_EQ(storedBytes(host), 0u);
}

TEST(Cancel, OfAnythingElseIsNothing) {
  PrefetchHost host;
  ASSERT_EQ(host.load(0), KIMIC_OK);
  for (std::uint32_t expert : {0u, 5u, 16u, 0xFFFFFFFFu})
    kimic_cancel(host.runtime, expert);
  EXPECT_TRUE(host.isResident(0));
}

TEST(Prefetch, SurvivesEveryFailureOfTheHost) {
  for (ErrorId error : {ErrorId::SourceReadFailed, ErrorId::OperationCancelled, ErrorId::HttpStatus}) {
    PrefetchHost host;
    host.onRequest = [&](const KimicRequest &request) {
      kimic_complete(host.runtime, request.id, static_cast<std::int32_t>(error), 0);
    };
    EXPECT_NE(host.prefetch(3), KIMIC_OK);
    host.onRequest = nullptr;
    EXPECT_EQ(host.prefetch(3), KIMIC_OK);
  }
}

TEST(NextExperts, AreThoseOfThePackOnceItsLeafWasRead) {
  TestPack pack;
  for (std::int32_t i = 0; i < 4; ++i)
    pack.add(constantExpert(2, {i}));
  pack.contents.experts[1].next = {{3, 200}, {0, 40}};
  FakeHost host(pack.bytes());
  std::uint32_t next[16] = {};
  EXPECT_EQ(kimic_next_experts(host.runtime, 1, next, 16), 0u);
  ASSERT_EQ(host.open(), KIMIC_OK);
  ASSERT_EQ(host.load(1), KIMIC_OK);
  ASSERT_EQ(kimic_next_experts(host.runtime, 1, next, 16), 2u);
  EXPECT_EQ(next[0], 3u);
  EXPECT_EQ(next[1], 0u);
  EXPECT_EQ(kimic_next_experts(host.runtime, 1, next, 1), 1u);
  for (std::uint32_t expert : {0u, 4u, 0xFFFFFFFFu})
    EXPECT_EQ(kimic_next_experts(host.runtime, expert, next, 16), 0u) << expert;
}

TEST(Digest, OpensThePackThatHasIt) {
  FakeHost first(packOfSixteen());
  ASSERT_EQ(first.open(), KIMIC_OK);
  KimicPackInfo info;
  ASSERT_EQ(kimic_pack_info(first.runtime, &info), KIMIC_OK);
  FakeHost again(packOfSixteen());
  kimic_require_digest(again.runtime, info.digest);
  EXPECT_EQ(again.open(), KIMIC_OK);
}

TEST(Digest, RefusesEveryOtherPack) {
  FakeHost host(packOfSixteen());
  std::uint8_t digest[KIMIC_DIGEST_BYTES] = {};
  kimic_require_digest(host.runtime, digest);
  EXPECT_EQ(host.open(), static_cast<std::int32_t>(ErrorId::PackDigest));
  KimicPackInfo info;
  EXPECT_EQ(kimic_pack_info(host.runtime, &info), static_cast<std::int32_t>(ErrorId::PackNotOpen));
}

} // namespace
} // namespace kimic::runtime
