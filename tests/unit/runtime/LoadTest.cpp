// Loading against a host that is late, wrong or gone.
#include "runtime/include/kimic/Runtime.h"
#include "tests/support/FakeHost.h"
#include "tests/support/TestPack.h"

#include <gtest/gtest.h>

namespace kimic::runtime {
namespace {

using kimic::testing::constantExpert;
using kimic::testing::FakeHost;
using kimic::testing::TestPack;

std::vector<std::uint8_t> packOfThree() {
  TestPack pack;
  pack.add(constantExpert(2, {10, 11}));
  pack.add(constantExpert(2, {20, 21}));
  pack.add(constantExpert(3, {30}));
  pack.contents.meta = R"({"name":"three"})";
  return pack.bytes();
}

std::vector<float> run(FakeHost &host, std::uint32_t expert, std::uint32_t outputs) {
  float x[3] = {1, 2, 3};
  std::vector<float> y(outputs, -1);
  EXPECT_EQ(kimic_run(host.runtime, expert, x, 1, y.data()), KIMIC_OK);
  return y;
}

TEST(Load, OpensAPackWithOneRead) {
  FakeHost host(packOfThree());
  EXPECT_EQ(kimic_open(host.runtime), KIMIC_PENDING);
  host.take();
  ASSERT_EQ(host.seen.size(), 1u);
  EXPECT_EQ(host.seen[0].offset, 0u);
  EXPECT_EQ(host.seen[0].length, 16384u);
  host.answerAll();
  EXPECT_EQ(kimic_open(host.runtime), KIMIC_OK);
  KimicPackInfo info;
  ASSERT_EQ(kimic_pack_info(host.runtime, &info), KIMIC_OK);
  EXPECT_EQ(info.packBytes, host.pack.size());
  EXPECT_EQ(info.experts, 3u);
  EXPECT_EQ(info.kernels, 2u);
  EXPECT_EQ(info.routerExpert, KIMIC_NO_EXPERT);
}

TEST(Load, NothingWorksBeforeThePackIsOpen) {
  FakeHost host(packOfThree());
  KimicPackInfo info;
  KimicBytes json;
  float number = 0;
  EXPECT_EQ(kimic_pack_info(host.runtime, &info), static_cast<int>(ErrorId::PackNotOpen));
  EXPECT_EQ(kimic_load(host.runtime, 0), static_cast<int>(ErrorId::PackNotOpen));
  EXPECT_EQ(kimic_metadata(host.runtime, &json), static_cast<int>(ErrorId::PackNotOpen));
  EXPECT_EQ(kimic_run(host.runtime, 0, &number, 1, &number), static_cast<int>(ErrorId::PackNotOpen));
}

TEST(Load, ReadsMetadataOnRequestOnly) {
  FakeHost host(packOfThree());
  ASSERT_EQ(host.open(), KIMIC_OK);
  KimicBytes json{};
  ASSERT_EQ(host.finish([&] { return kimic_metadata(host.runtime, &json); }), KIMIC_OK);
  EXPECT_EQ(std::string(reinterpret_cast<const char *>(json.address), json.length), R"({"name":"three"})");
  std::uint64_t used = host.stats().arenaUsed;
  kimic_release_metadata(host.runtime);
  EXPECT_LT(host.stats().arenaUsed, used);
}

TEST(Load, RunsAnExpertAfterItsBlocksArrived) {
  FakeHost host(packOfThree());
  ASSERT_EQ(host.open(), KIMIC_OK);
  ASSERT_EQ(host.load(1), KIMIC_OK);
  EXPECT_EQ(run(host, 1, 2), (std::vector<float>{20, 21}));
}

TEST(Load, AnExpertThatIsNotResidentDoesNotRun) {
  FakeHost host(packOfThree());
  ASSERT_EQ(host.open(), KIMIC_OK);
  float x[3] = {}, y[3];
  EXPECT_EQ(kimic_run(host.runtime, 2, x, 1, y), static_cast<int>(ErrorId::ExpertNotResident));
  EXPECT_EQ(kimic_run(host.runtime, 3, x, 1, y), static_cast<int>(ErrorId::UnknownExpert));
  EXPECT_EQ(kimic_load(host.runtime, 3), static_cast<int>(ErrorId::UnknownExpert));
  EXPECT_EQ(host.lastError(), makeError(ErrorId::UnknownExpert, 3, 3));
}

TEST(Load, IsTheSameInAnyOrderOfAnswers) {
  FakeHost host(packOfThree());
  host.newestFirst = true;
  ASSERT_EQ(host.open(), KIMIC_OK);
  auto loadAll = [&] {
    std::int32_t worst = KIMIC_OK;
    for (std::uint32_t expert = 0; expert < 3; ++expert)
      if (std::int32_t status = kimic_load(host.runtime, expert); status != KIMIC_OK)
        worst = status;
    return worst;
  };
  ASSERT_EQ(host.finish(loadAll), KIMIC_OK);
  EXPECT_EQ(run(host, 0, 2), (std::vector<float>{10, 11}));
  EXPECT_EQ(run(host, 1, 2), (std::vector<float>{20, 21}));
  EXPECT_EQ(run(host, 2, 1), (std::vector<float>{30}));
}

TEST(Load, ReadsWhatExpertsShareOnce) {
  FakeHost host(packOfThree());
  ASSERT_EQ(host.open(), KIMIC_OK);
  host.seen.clear();
  for (int round = 0; round < 8; ++round) {
    for (std::uint32_t expert : {0, 1, 2, 0, 1})
      kimic_load(host.runtime, expert);
    host.take();
    host.answerAll();
  }
  // One leaf, one block of signatures, three of parameters; every place once.
  EXPECT_EQ(host.seen.size(), 5u);
  for (std::size_t i = 0; i < host.seen.size(); ++i)
    for (std::size_t j = 0; j < i; ++j)
      EXPECT_NE(host.seen[i].offset, host.seen[j].offset);
  EXPECT_EQ(host.stats().residentExperts, 3u);
  EXPECT_EQ(host.stats().misses, 3u);
}

TEST(Load, WaitsForLateAnswers) {
  FakeHost host(packOfThree());
  ASSERT_EQ(host.open(), KIMIC_OK);
  ASSERT_EQ(kimic_load(host.runtime, 0), KIMIC_PENDING);
  host.take();
  for (int i = 0; i < 5; ++i)
    EXPECT_EQ(kimic_load(host.runtime, 0), KIMIC_PENDING);
  host.take();
  EXPECT_EQ(host.waiting.size(), 1u);
  EXPECT_EQ(host.load(0), KIMIC_OK);
}

TEST(Load, SurvivesAnswersThatNeverCome) {
  auto host = std::make_unique<FakeHost>(packOfThree());
  ASSERT_EQ(host->open(), KIMIC_OK);
  ASSERT_EQ(kimic_load(host->runtime, 0), KIMIC_PENDING);
  host->take();
  host.reset();
}

TEST(Load, SaysThatAReadWasTooShortAndTriesAgain) {
  FakeHost host(packOfThree());
  ASSERT_EQ(host.open(), KIMIC_OK);
  KimicRequest cut{};
  host.onRequest = [&](const KimicRequest &request) {
    cut = request;
    kimic_complete(host.runtime, request.id, 0, request.length - 1);
  };
  EXPECT_EQ(host.load(0), static_cast<int>(ErrorId::ReadTooShort));
  EXPECT_EQ(host.lastError(), makeError(ErrorId::ReadTooShort, cut.offset, cut.length, cut.length - 1));
  host.onRequest = nullptr;
  EXPECT_EQ(host.load(0), KIMIC_OK);
}

TEST(Load, RefusesMoreBytesThanAsked) {
  FakeHost host(packOfThree());
  host.onRequest = [&](const KimicRequest &request) {
    kimic_complete(host.runtime, request.id, 0, std::size_t{request.length} + 1);
  };
  EXPECT_EQ(host.open(), static_cast<int>(ErrorId::ReadTooShort));
}

// A corrupt byte in the n-th read of opening and loading is noticed before anything is decoded.
TEST(Load, RefusesEveryBlockWithAWrongByteAndTriesAgain) {
  for (int corrupt = 0;; ++corrupt) {
    FakeHost host(packOfThree());
    int reads = 0;
    host.onRequest = [&](const KimicRequest &request) {
      bool isIt = reads++ == corrupt;
      if (isIt)
        host.pack[request.offset + 5] ^= 1;
      host.answer(request);
      if (isIt)
        host.pack[request.offset + 5] ^= 1;
    };
    std::int32_t opened = host.open();
    std::int32_t loaded = opened == KIMIC_OK ? host.load(2) : opened;
    if (reads <= corrupt) {
      EXPECT_EQ(loaded, KIMIC_OK);
      EXPECT_EQ(corrupt, 4); // root, leaf, signatures, parameters
      break;
    }
    EXPECT_EQ(kindOf(static_cast<ErrorId>(loaded)), ErrorKind::DataLoss) << corrupt;
    if (opened != KIMIC_OK) {
      EXPECT_EQ(host.open(), KIMIC_OK);
    }
    EXPECT_EQ(host.load(2), KIMIC_OK);
    EXPECT_EQ(run(host, 2, 1), (std::vector<float>{30}));
  }
}

TEST(Load, PassesTheHostsErrorOnAndTriesAgain) {
  FakeHost host(packOfThree());
  ASSERT_EQ(host.open(), KIMIC_OK);
  KimicRequest failed{};
  host.onRequest = [&](const KimicRequest &request) {
    failed = request;
    kimic_complete(host.runtime, request.id, static_cast<std::int32_t>(ErrorId::HttpStatus), 503);
  };
  EXPECT_EQ(host.load(0), static_cast<int>(ErrorId::HttpStatus));
  EXPECT_EQ(host.lastError(), makeError(ErrorId::HttpStatus, 503, failed.offset, failed.length));
  host.onRequest = nullptr;
  EXPECT_EQ(host.load(0), KIMIC_OK);
}

TEST(Load, ReadsAgainWhatTheHostCancelled) {
  FakeHost host(packOfThree());
  ASSERT_EQ(host.open(), KIMIC_OK);
  int cancelled = 0;
  host.onRequest = [&](const KimicRequest &request) {
    if (cancelled++ < 2)
      kimic_complete(host.runtime, request.id, static_cast<std::int32_t>(ErrorId::OperationCancelled), 0);
    else
      host.answer(request);
  };
  EXPECT_EQ(host.load(0), KIMIC_OK);
}

TEST(Load, FreesWhatFailedOrCancelledLoadsLeftBehind) {
  FakeHost host(packOfThree());
  ASSERT_EQ(host.open(), KIMIC_OK);
  ASSERT_EQ(host.load(0), KIMIC_OK);
  ASSERT_EQ(host.load(1), KIMIC_OK);
  std::uint64_t used = host.stats().arenaUsed;
  // The parameters of expert 2 are cancelled, and nobody asks for it again.
  ASSERT_EQ(kimic_load(host.runtime, 2), KIMIC_PENDING);
  host.take();
  for (const KimicRequest &request : host.waiting)
    kimic_complete(host.runtime, request.id, static_cast<std::int32_t>(ErrorId::OperationCancelled), 0);
  ASSERT_EQ(kimic_evict(host.runtime, 1), KIMIC_OK);
  host.waiting.clear();
  ASSERT_EQ(host.load(1), KIMIC_OK);
  EXPECT_EQ(host.stats().arenaUsed, used);
}

TEST(Load, AnswersOnceOnly) {
  FakeHost host(packOfThree());
  ASSERT_EQ(kimic_open(host.runtime), KIMIC_PENDING);
  EXPECT_EQ(kimic_complete(host.runtime, 1, 0, 0), static_cast<int>(ErrorId::UnknownRequest)); // not taken yet
  host.take();
  KimicRequest request = host.waiting[0];
  host.answerAll();
  EXPECT_EQ(kimic_complete(host.runtime, request.id, 0, 16384), static_cast<int>(ErrorId::UnknownRequest));
  EXPECT_EQ(kimic_complete(host.runtime, 77, 0, 0), static_cast<int>(ErrorId::UnknownRequest));
  EXPECT_EQ(kimic_open(host.runtime), KIMIC_OK);
}

} // namespace
} // namespace kimic::runtime
