// What the C API remembers of runs, with a clock that the test winds.
#include "runtime/include/kimic/History.h"
#include "runtime/include/kimic/Plan.h"
#include "tests/support/FakeHost.h"
#include "tests/support/TestPack.h"

#include <gtest/gtest.h>

namespace kimic::runtime {
namespace {

using kimic::testing::constantExpert;
using kimic::testing::FakeHost;
using kimic::testing::TestPack;

double now = 0;
/// Every look at the clock takes 30 us.
double clockOfTheTest() { return now += 30; }

// Experts that answer {1, -1} and {2, -2} behind a router that likes the second one.
struct ExperiencedHost : FakeHost {
  ExperiencedHost() : FakeHost(packBytes()) { EXPECT_EQ(open(), KIMIC_OK); }

  static std::vector<std::uint8_t> packBytes() {
    TestPack pack;
    pack.add(constantExpert(3, {1, -1}));
    pack.add(constantExpert(3, {2, -2}));
    pack.addRouter(constantExpert(3, {1, 2}), 1, pack::Merge::Best, 1);
    return pack.bytes();
  }
  KimicExperience experience(std::uint32_t expert) {
    KimicExperience seen;
    kimic_experience(runtime, expert, &seen);
    return seen;
  }
  std::vector<std::uint8_t> history() {
    std::uint32_t length = 0;
    EXPECT_EQ(kimic_export_history(runtime, nullptr, 0, &length), KIMIC_OK);
    std::vector<std::uint8_t> bytes(length);
    EXPECT_EQ(kimic_export_history(runtime, bytes.data(), length, &length), KIMIC_OK);
    return bytes;
  }
  std::int32_t ask() {
    KimicChoice choice;
    return finish([&] { return kimic_ask(runtime, x, 1, 1, KIMIC_MERGE_BEST, &choice, nullptr, y, 2); });
  }

  float x[6] = {0.5f, -1, 2, 0, 0, 0};
  float y[4];
};

TEST(Experience, WithoutAClockNothingIsRemembered) {
  ExperiencedHost host;
  ASSERT_EQ(host.ask(), KIMIC_OK);
  EXPECT_EQ(host.experience(1).runs, 0u);
  EXPECT_EQ(host.experience(1).success, 0.5f);
}

TEST(Experience, EveryRunIsTimed) {
  ExperiencedHost host;
  ASSERT_EQ(kimic_set_clock(host.runtime, clockOfTheTest), KIMIC_OK);
  ASSERT_EQ(host.ask(), KIMIC_OK);
  const KimicExperience seen = host.experience(1);
  EXPECT_EQ(seen.runs, 1u);
  EXPECT_EQ(seen.microseconds, 30.0f);
  EXPECT_EQ(seen.success, 1.0f);
  EXPECT_EQ(seen.confidence, 1.0f); // an output of 2, brought into its range
  EXPECT_EQ(host.experience(0).runs, 0u);
  EXPECT_GT(host.experience(2).runs, 0u) << "the router is an expert too";
}

TEST(Experience, ManyRowsAreOneRunWithTheTimeOfARow) {
  ExperiencedHost host;
  ASSERT_EQ(kimic_set_clock(host.runtime, clockOfTheTest), KIMIC_OK);
  ASSERT_EQ(host.load(0), KIMIC_OK);
  ASSERT_EQ(kimic_run(host.runtime, 0, host.x, 2, host.y), KIMIC_OK);
  EXPECT_EQ(host.experience(0).runs, 1u);
  EXPECT_EQ(host.experience(0).microseconds, 15.0f);
}

TEST(Experience, ALoadThatFailsIsAFailure) {
  ExperiencedHost host;
  ASSERT_EQ(kimic_set_clock(host.runtime, clockOfTheTest), KIMIC_OK);
  host.onRequest = [&](const KimicRequest &request) {
    kimic_complete(host.runtime, request.id, static_cast<std::int32_t>(ErrorId::SourceReadFailed), 0);
  };
  ASSERT_NE(host.load(0), KIMIC_OK);
  EXPECT_EQ(host.experience(0).runs, 1u);
  EXPECT_EQ(host.experience(0).success, 0.0f);
}

TEST(Experience, TheClockCanBeTakenAway) {
  ExperiencedHost host;
  ASSERT_EQ(kimic_set_clock(host.runtime, clockOfTheTest), KIMIC_OK);
  ASSERT_EQ(host.ask(), KIMIC_OK);
  ASSERT_EQ(kimic_set_clock(host.runtime, nullptr), KIMIC_OK);
  ASSERT_EQ(host.ask(), KIMIC_OK);
  EXPECT_EQ(host.experience(1).runs, 1u);
}

TEST(Experience, IsKeptForTheNextVisit) {
  ExperiencedHost host, next;
  ASSERT_EQ(kimic_set_clock(host.runtime, clockOfTheTest), KIMIC_OK);
  ASSERT_EQ(host.ask(), KIMIC_OK);
  const std::vector<std::uint8_t> bytes = host.history();
  ASSERT_EQ(kimic_import_history(next.runtime, bytes.data(), static_cast<std::uint32_t>(bytes.size())), KIMIC_OK);
  EXPECT_EQ(next.experience(1).microseconds, 30.0f);
  EXPECT_EQ(next.history(), bytes);
}

TEST(Experience, ADamagedHistoryIsRefusedAndTheOldOneKept) {
  ExperiencedHost host;
  ASSERT_EQ(kimic_set_clock(host.runtime, clockOfTheTest), KIMIC_OK);
  ASSERT_EQ(host.ask(), KIMIC_OK);
  std::vector<std::uint8_t> bytes = host.history();
  bytes[50] ^= 1;
  EXPECT_EQ(kimic_import_history(host.runtime, bytes.data(), static_cast<std::uint32_t>(bytes.size())),
            static_cast<std::int32_t>(ErrorId::HistoryMalformed));
  EXPECT_EQ(host.experience(1).runs, 1u);
}

TEST(Experience, NeedsAnOpenPack) {
  FakeHost host(ExperiencedHost::packBytes());
  std::uint32_t length;
  const auto notOpen = static_cast<std::int32_t>(ErrorId::PackNotOpen);
  EXPECT_EQ(kimic_set_clock(host.runtime, clockOfTheTest), notOpen);
  EXPECT_EQ(kimic_export_history(host.runtime, nullptr, 0, &length), notOpen);
  EXPECT_EQ(kimic_import_history(host.runtime, nullptr, 0), notOpen);
}

TEST(Experience, TellsPlansHowLongRunsTake) {
  ExperiencedHost host;
  ASSERT_EQ(kimic_set_clock(host.runtime, clockOfTheTest), KIMIC_OK);
  ASSERT_EQ(host.ask(), KIMIC_OK);
  KimicPlan plan;
  std::vector<KimicStep> steps(KIMIC_MOST_STEPS);
  const KimicChoice choice{1, 1, 1};
  ASSERT_EQ(host.finish([&] { return kimic_plan(host.runtime, &choice, 1, &plan, steps.data()); }), KIMIC_OK);
  EXPECT_EQ(steps[0].microseconds, 30.0f);
}

} // namespace
} // namespace kimic::runtime
