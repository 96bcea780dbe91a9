// Experts that read each other: what they compute, in which order and groups they run, and what happens when memory is
// short or a plan and its kernels disagree.
#include "runtime/include/kimic/Plan.h"
#include "formats/base/Diagnostic.h"
#include "tests/support/BadPack.h"
#include "tests/support/FakeHost.h"
#include "tests/support/TestPack.h"

#include <gtest/gtest.h>

#include <cstring>

namespace kimic::runtime {
namespace {

using kimic::testing::constantExpert;
using kimic::testing::FakeHost;
using kimic::testing::RandomExpert;
using kimic::testing::TestPack;

/// An expert of one output for each list of weights: the sum of weight * input, exact for small whole numbers.
RandomExpert sums(const std::vector<std::vector<std::int8_t>> &weights) {
  RandomExpert expert =
      constantExpert(static_cast<std::uint32_t>(weights[0].size()), std::vector<std::int32_t>(weights.size()));
  std::vector<std::int8_t> &all = expert.parameters.layers[0].weights;
  all.clear();
  for (const std::vector<std::int8_t> &row : weights)
    all.insert(all.end(), row.begin(), row.end());
  return expert;
}

pack::Source request(std::uint32_t first, std::uint32_t count) { return {pack::kNoExpert, first, count}; }

enum Number : std::uint32_t { kTop, kOther, kLeft, kRight, kUnread, kRouter };

/// Of requests a, b: top answers (left.0 + 10 right.1 + 100 b, left.1), other (2 left.0, b), left (a + b, a - b), right
/// (3 a, 5 b), unread (7, 7). The router prefers top, then other.
TestPack makePack() {
  TestPack pack;
  pack.add(sums({{1, 0, 10, 100}, {0, 1, 0, 0}}));
  pack.add(sums({{2, 0}, {0, 1}}));
  pack.add(sums({{1, 1}, {1, -1}}));
  pack.add(sums({{3, 0}, {0, 5}}));
  pack.add(constantExpert(2, {7, 7}));
  pack.addRouter(constantExpert(2, {9, 8, 0, 0, 0}), 2, pack::Merge::Average);
  pack.contents.experts[kTop].reads = {{kLeft, 0, 2}, {kRight, 1, 1}, request(1, 1)};
  pack.contents.experts[kOther].reads = {{kLeft, 0, 1}, request(1, 1)};
  pack.contents.features = 2;
  return pack;
}

struct PlanHost : FakeHost {
  explicit PlanHost(TestPack pack = makePack(), std::uint64_t cap = 1 << 20) : FakeHost(pack.bytes(), cap) {
    EXPECT_EQ(open(), KIMIC_OK);
  }
  std::int32_t makePlan(const std::vector<KimicChoice> &choices) {
    return finish([&] {
      return kimic_plan(runtime, choices.data(), static_cast<std::uint32_t>(choices.size()), &plan, steps.data());
    });
  }
  /// Runs the plan for the row.
  std::int32_t runPlan(const std::vector<KimicChoice> &choices, std::uint32_t merge, const std::vector<float> &x,
                       std::vector<float> &y) {
    values.assign(plan.values, -1);
    for (KimicStep &step : steps)
      step.isDone = 0;
    return finish([&] {
      return kimic_run_plan(runtime, steps.data(), plan.steps, choices.data(),
                            static_cast<std::uint32_t>(choices.size()), merge, x.data(), values.data(), y.data());
    });
  }
  std::vector<std::uint32_t> order() const {
    std::vector<std::uint32_t> experts;
    for (std::uint32_t i = 0; i < plan.steps; ++i)
      experts.push_back(steps[i].expert);
    return experts;
  }
  std::vector<std::uint32_t> groups() const {
    std::vector<std::uint32_t> groups;
    for (std::uint32_t i = 0; i < plan.steps; ++i)
      groups.push_back(steps[i].group);
    return groups;
  }
  bool isResident(std::uint32_t expert) {
    KimicExpertInfo info;
    return kimic_expert_info(runtime, expert, &info) == KIMIC_OK;
  }

  KimicPlan plan{};
  std::vector<KimicStep> steps = std::vector<KimicStep>(KIMIC_MOST_STEPS);
  std::vector<float> values;
};

using Floats = std::vector<float>;
using Numbers = std::vector<std::uint32_t>;

TEST(Plan, AnExpertComputesWithWhatItReads) {
  PlanHost host;
  ASSERT_EQ(host.load(kTop), KIMIC_OK);
  const Floats x = {4, 3, 10, -2};
  Floats y(4);
  ASSERT_EQ(kimic_run(host.runtime, kTop, x.data(), 2, y.data()), KIMIC_OK);
  // 7 + 10 * 15 + 300 and 1; 8 + 10 * -10 - 200 and 12.
  EXPECT_EQ(y, (Floats{457, 1, -292, 12}));
}

TEST(Plan, LoadingAnExpertLoadsWhatItReads) {
  PlanHost host;
  ASSERT_EQ(host.load(kTop), KIMIC_OK);
  EXPECT_TRUE(host.isResident(kLeft));
  EXPECT_TRUE(host.isResident(kRight));
  EXPECT_FALSE(host.isResident(kUnread));
}

TEST(Plan, WhatAnExpertReadsIsPinnedWithIt) {
  PlanHost host;
  ASSERT_EQ(host.load(kTop), KIMIC_OK);
  ASSERT_EQ(kimic_pin(host.runtime, kTop), KIMIC_OK);
  EXPECT_EQ(kimic_evict(host.runtime, kLeft), static_cast<std::int32_t>(ErrorId::ExpertPinned));
  ASSERT_EQ(kimic_unpin(host.runtime, kTop), KIMIC_OK);
  EXPECT_EQ(kimic_evict(host.runtime, kLeft), KIMIC_OK);
}

TEST(Plan, UnpinningAnExpertThatIsNotPinnedLeavesThePinsOfOthers) {
  PlanHost host;
  ASSERT_EQ(host.load(kTop), KIMIC_OK);
  ASSERT_EQ(kimic_pin(host.runtime, kLeft), KIMIC_OK);
  ASSERT_EQ(kimic_unpin(host.runtime, kTop), KIMIC_OK);
  EXPECT_EQ(kimic_evict(host.runtime, kLeft), static_cast<std::int32_t>(ErrorId::ExpertPinned));
}

TEST(Plan, AnExpertWithoutWhatItReadsDoesNotRun) {
  PlanHost host;
  ASSERT_EQ(host.load(kTop), KIMIC_OK);
  ASSERT_EQ(kimic_evict(host.runtime, kRight), KIMIC_OK);
  const Floats x = {4, 3};
  Floats y(2);
  EXPECT_EQ(kimic_run(host.runtime, kTop, x.data(), 1, y.data()),
            static_cast<std::int32_t>(ErrorId::ExpertNotResident));
  EXPECT_EQ(host.lastError(), makeError(ErrorId::ExpertNotResident, kRight));
}

TEST(Plan, RowsForAnExpertThatReadsOthersAreRequests) {
  PlanHost host;
  ASSERT_EQ(host.load(kTop), KIMIC_OK);
  KimicExpertInfo info;
  ASSERT_EQ(kimic_expert_info(host.runtime, kTop, &info), KIMIC_OK);
  EXPECT_EQ(info.inputs, 2u);
}

TEST(Plan, AskingLoadsRunsAndMergesWhatTheChosenRead) {
  PlanHost host;
  const Floats x = {4, 3, 1, 1};
  Floats y(4);
  std::vector<KimicChoice> choices(4);
  ASSERT_EQ(host.finish([&] {
    return kimic_ask(host.runtime, x.data(), 2, 0, KIMIC_MERGE_AVERAGE, choices.data(), nullptr, y.data(), 2);
  }),
            KIMIC_OK);
  // top: 457 1, other: 14 3; top: 2 + 50 + 100 and 0, other: 4 1.
  EXPECT_EQ(y, (Floats{235.5f, 2, 78, 0.5f}));
  EXPECT_FALSE(host.isResident(kUnread));
}

TEST(Plan, AskingAgainAllocatesNothing) {
  PlanHost host;
  const Floats x = {4, 3};
  Floats y(2);
  std::vector<KimicChoice> choices(2);
  auto ask = [&] {
    return kimic_ask(host.runtime, x.data(), 1, 0, KIMIC_MERGE_AVERAGE, choices.data(), nullptr, y.data(), 2);
  };
  ASSERT_EQ(host.finish(ask), KIMIC_OK);
  KimicMemory before, after;
  kimic_memory(host.runtime, &before);
  ASSERT_EQ(ask(), KIMIC_OK);
  kimic_memory(host.runtime, &after);
  EXPECT_EQ(after.allocations, before.allocations);
}

TEST(Plan, HasEveryExpertOnceBehindAllThatItReads) {
  PlanHost host;
  ASSERT_EQ(host.makePlan({{kOther, 0, 1}, {kTop, 0, 1}, {kLeft, 0, 1}}), KIMIC_OK);
  EXPECT_EQ(host.order(), (Numbers{kLeft, kRight, kOther, kTop}));
  EXPECT_EQ(host.groups(), (Numbers{0, 0, 1, 1}));
  EXPECT_EQ(host.plan.groups, 2u);
}

TEST(Plan, OfAnExpertThatReadsTheRequestIsThatExpert) {
  PlanHost host;
  ASSERT_EQ(host.makePlan({{kUnread, 0, 1}}), KIMIC_OK);
  EXPECT_EQ(host.order(), Numbers{kUnread});
  EXPECT_EQ(host.steps[0].level, 0u);
}

TEST(Plan, EstimatesWhatItTakes) {
  PlanHost host;
  ASSERT_EQ(host.makePlan({{kTop, 0, 1}}), KIMIC_OK);
  std::uint64_t bytes = 0;
  float microseconds = 0;
  for (std::uint32_t i = 0; i < 3; ++i) {
    KimicExpertInfo info;
    ASSERT_EQ(host.load(host.steps[i].expert), KIMIC_OK);
    ASSERT_EQ(kimic_expert_info(host.runtime, host.steps[i].expert, &info), KIMIC_OK);
    EXPECT_EQ(host.steps[i].bytes, info.parameterBytes);
    EXPECT_EQ(host.steps[i].outputs, info.outputs);
    bytes += info.parameterBytes;
    microseconds += 0.05f + static_cast<float>(info.parameterBytes) / 32768;
  }
  EXPECT_EQ(host.plan.bytes, bytes);
  EXPECT_EQ(host.plan.microseconds, microseconds);
  EXPECT_GT(host.plan.missingBytes, 0u);
  ASSERT_EQ(host.makePlan({{kTop, 0, 1}}), KIMIC_OK);
  EXPECT_EQ(host.plan.missingBytes, 0u);
}

TEST(Plan, ReadsNoParameters) {
  PlanHost host;
  ASSERT_EQ(host.makePlan({{kTop, 0, 1}}), KIMIC_OK);
  EXPECT_FALSE(host.isResident(kLeft));
}

TEST(Plan, RunsToTheSameBitsAsAllAtOnce) {
  PlanHost host;
  const std::vector<KimicChoice> choices = {{kTop, 0.75f, 0.7f}, {kOther, 0.25f, 0.3f}};
  const Floats x = {4, 3};
  for (std::uint32_t merge : {KIMIC_MERGE_AVERAGE, KIMIC_MERGE_WEIGHTED, KIMIC_MERGE_BEST, KIMIC_MERGE_LEARNED,
                              KIMIC_MERGE_VOTE, KIMIC_MERGE_CASCADE}) {
    Floats planned(2), atOnce(2);
    ASSERT_EQ(host.makePlan(choices), KIMIC_OK);
    ASSERT_EQ(host.runPlan(choices, merge, x, planned), KIMIC_OK);
    ASSERT_EQ(host.load(kTop), KIMIC_OK);
    ASSERT_EQ(host.load(kOther), KIMIC_OK);
    ASSERT_EQ(kimic_run_chosen(host.runtime, choices.data(), 2, merge, x.data(), atOnce.data()), KIMIC_OK);
    EXPECT_EQ(planned, atOnce) << "merge " << merge;
  }
}

TEST(Plan, ARequestDoesNotSeeTheOutputsOfTheOneBefore) {
  PlanHost host;
  ASSERT_EQ(host.load(kTop), KIMIC_OK);
  const KimicChoice top{kTop, 0, 1};
  Floats x = {4, 3}, y(2);
  ASSERT_EQ(kimic_run_chosen(host.runtime, &top, 1, KIMIC_MERGE_BEST, x.data(), y.data()), KIMIC_OK);
  x = {1, 0};
  ASSERT_EQ(kimic_run_chosen(host.runtime, &top, 1, KIMIC_MERGE_BEST, x.data(), y.data()), KIMIC_OK);
  EXPECT_EQ(y, (Floats{1, 1}));
}

/// An expert (256 inputs, 128 outputs, 33 KB that do not compress) that reads two others of that size, which read the
/// request.
TestPack makeLargePack() {
  TestPack pack;
  std::uint32_t state = 1;
  for (int i = 0; i < 3; ++i) {
    RandomExpert expert = constantExpert(256, std::vector<std::int32_t>(128, 1));
    for (std::int8_t &weight : expert.parameters.layers[0].weights) {
      state = state * 1664525 + 1013904223;
      weight = static_cast<std::int8_t>(static_cast<std::int32_t>(state >> 24) % 255 - 127);
    }
    pack.add(expert);
  }
  pack.contents.experts[2].reads = {{0, 0, 128}, {1, 0, 128}};
  pack.contents.features = 256;
  return pack;
}

Floats largeRequest() {
  Floats x(256);
  for (std::size_t i = 0; i < x.size(); ++i)
    x[i] = static_cast<float>(i % 3);
  return x;
}

TEST(Plan, AGroupThatDoesNotFitIsSplitAndComputesTheSameBits) {
  const std::vector<KimicChoice> choices = {{2, 1, 1}};
  const Floats x = largeRequest();
  PlanHost roomy(makeLargePack());
  Floats expected(128);
  ASSERT_EQ(roomy.makePlan(choices), KIMIC_OK);
  EXPECT_EQ(roomy.groups(), (Numbers{0, 0, 1}));
  ASSERT_EQ(roomy.load(2), KIMIC_OK);
  ASSERT_EQ(kimic_run(roomy.runtime, 2, x.data(), 1, expected.data()), KIMIC_OK);

  PlanHost host(makeLargePack(), KIMIC_MINIMUM_ARENA);
  ASSERT_EQ(host.makePlan(choices), KIMIC_OK);
  EXPECT_EQ(host.groups(), (Numbers{0, 1, 2}));
  Floats y(128);
  ASSERT_EQ(host.runPlan(choices, KIMIC_MERGE_BEST, x, y), KIMIC_OK) << kimic::message(host.lastError());
  EXPECT_EQ(y, expected);
  KimicMemory memory;
  kimic_memory(host.runtime, &memory);
  EXPECT_LE(memory.peak, std::uint64_t{KIMIC_MINIMUM_ARENA});
}

TEST(Plan, GroupsThatFitByTheirEstimateRunEvenIfTheyDoNot) {
  PlanHost host(makeLargePack(), KIMIC_MINIMUM_ARENA);
  const std::vector<KimicChoice> choices = {{2, 1, 1}};
  const Floats x = largeRequest();
  Floats expected(128), y(128);
  ASSERT_EQ(host.makePlan(choices), KIMIC_OK);
  ASSERT_EQ(host.runPlan(choices, KIMIC_MERGE_BEST, x, expected), KIMIC_OK);
  host.steps[1].group = 0; // as if both had room
  host.steps[2].group = 1;
  ASSERT_EQ(host.runPlan(choices, KIMIC_MERGE_BEST, x, y), KIMIC_OK) << kimic::message(host.lastError());
  EXPECT_EQ(y, expected);
}

TEST(Plan, AnExpertThatHasNoRoomIsAnError) {
  PlanHost host(makeLargePack(), KIMIC_MINIMUM_ARENA);
  void *taken = kimic_allocate(host.runtime, 60000);
  ASSERT_NE(taken, nullptr);
  EXPECT_EQ(host.makePlan({{2, 1, 1}}), static_cast<std::int32_t>(ErrorId::ExpertTooLarge));
  const Error error = host.lastError();
  EXPECT_EQ(error.args[0], 0u);
  EXPECT_GT(error.args[1], error.args[2]);
}

TEST(Plan, BuffersThatALoadCouldNotHaveAreNotWrittenTo) {
  TestPack pack;
  pack.add(constantExpert(2, {1, 2}));
  pack.add(constantExpert(2, {3, 4}));
  const std::uint32_t wide = pack.add(constantExpert(2, std::vector<std::int32_t>(4000, 1)));
  PlanHost host(pack, KIMIC_MINIMUM_ARENA);
  const std::vector<KimicChoice> choices = {{0, 1, 1}, {1, 1, 1}};
  const Floats x = {4, 3};
  Floats y(2);
  ASSERT_EQ(host.makePlan(choices), KIMIC_OK);
  ASSERT_EQ(host.runPlan(choices, KIMIC_MERGE_AVERAGE, x, y), KIMIC_OK);
  ASSERT_EQ(host.load(wide), static_cast<std::int32_t>(ErrorId::ArenaExhausted));
  EXPECT_EQ(kimic_run_plan(host.runtime, host.steps.data(), host.plan.steps, choices.data(), 2, KIMIC_MERGE_AVERAGE,
                           x.data(), host.values.data(), y.data()),
            static_cast<std::int32_t>(ErrorId::ExpertNotResident));
  EXPECT_EQ(host.lastError(), makeError(ErrorId::ExpertNotResident, 0));
}

TEST(Plan, WhatIsPinnedMakesNoRoomForOthers) {
  PlanHost host(makeLargePack(), KIMIC_MINIMUM_ARENA);
  ASSERT_NE(kimic_allocate(host.runtime, 30000), nullptr);
  ASSERT_EQ(host.load(0), KIMIC_OK);
  ASSERT_EQ(host.makePlan({{1, 1, 1}}), KIMIC_OK) << "expert 0 can go";
  ASSERT_EQ(kimic_pin(host.runtime, 0), KIMIC_OK);
  EXPECT_EQ(host.makePlan({{1, 1, 1}}), static_cast<std::int32_t>(ErrorId::ExpertTooLarge));
  EXPECT_EQ(host.makePlan({{0, 1, 1}}), KIMIC_OK) << "it is there";
}

TEST(Plan, OfMoreThan256ExpertsIsRefused) {
  TestPack pack;
  for (int i = 0; i < 256; ++i)
    pack.add(constantExpert(2, {1, 1}));
  for (std::uint32_t half : {0u, 128u}) {
    const std::uint32_t reader = pack.add(constantExpert(128, {1, 1}));
    for (std::uint32_t i = 0; i < 128; ++i)
      pack.contents.experts[reader].reads.push_back({half + i, 0, 1});
  }
  pack.contents.features = 2;
  PlanHost host(pack);
  EXPECT_EQ(host.makePlan({{256, 0, 1}}), KIMIC_OK);
  EXPECT_EQ(host.plan.steps, 129u);
  EXPECT_EQ(host.makePlan({{256, 0, 1}, {257, 0, 1}}), static_cast<std::int32_t>(ErrorId::PlanTooLarge));
}

/// Damages numbers of the plan (pack-v1 §15) that a host delivers, and makes the hashes right again.
struct Damaged : FakeHost {
  Damaged(std::size_t index, std::uint32_t value) : FakeHost(damaged(index, value)) {}

  static std::vector<std::uint8_t> damaged(std::size_t index, std::uint32_t value) {
    std::string problem;
    auto bad = test::readBadPack(KIMIC_GOLDEN_DIR,
                                 "base planned\nplan " + std::to_string(index) + " " + std::to_string(value) +
                                     "\nrehash\nexpect PackPlanInputs\n",
                                 problem);
    EXPECT_TRUE(bad) << problem;
    return bad->file;
  }
  /// Asks for expert 3, which reads 2, which reads 0, 1 and the request.
  Error answer() {
    std::int32_t status = open();
    if (status == KIMIC_OK)
      status = load(3);
    std::vector<float> x(1 << 17), y(8);
    if (status == KIMIC_OK)
      status = kimic_run(runtime, 3, x.data(), 1, y.data());
    return status == KIMIC_OK ? Error() : lastError();
  }
};

TEST(HostilePlan, WithOtherEndsIsNotRead) {
  for (std::size_t index : {1u, 6u, 7u, 10u, 11u})
    for (std::uint32_t value : {0u, 1u, 1000u, 0xFFFFFFFFu}) {
      const ErrorId id = Damaged(index, value).answer().id;
      // Fewer needs of expert 2 are more of expert 3, which only a verifier refuses.
      EXPECT_TRUE(id != ErrorId::None || (index == 6 && value < 2)) << index << " " << value;
    }
}

TEST(HostilePlan, ThatIsRefusedIsNotUsed) {
  for (std::size_t index : {1u, 2u, 3u, 6u, 7u, 10u, 11u}) {
    Damaged host(index, 0x7FFFFFFFu);
    EXPECT_EQ(host.open(), static_cast<std::int32_t>(ErrorId::PackPlanLength)) << index;
    EXPECT_EQ(kimic_load(host.runtime, 2), static_cast<std::int32_t>(ErrorId::PackNotOpen)) << index;
    EXPECT_EQ(kimic_prefetch(host.runtime, 2), static_cast<std::int32_t>(ErrorId::PackNotOpen)) << index;
    kimic_cancel(host.runtime, 2);
  }
}

TEST(HostilePlan, OfALevelThatIsTooHighIsAnError) {
  for (std::size_t index : {5u, 9u}) // of experts 2 and 3
    for (std::uint32_t level : {17u, 0xFFFFFFFFu}) {
      Damaged host(index, level);
      ASSERT_EQ(host.open(), KIMIC_OK);
      const KimicChoice choice{3, 1, 1};
      KimicPlan plan;
      std::vector<KimicStep> steps(KIMIC_MOST_STEPS);
      host.finish([&] { return kimic_plan(host.runtime, &choice, 1, &plan, steps.data()); });
      EXPECT_EQ(host.lastError(), makeError(ErrorId::PackPlanLevel, index == 5 ? 2 : 3, level, 16));
    }
}

TEST(HostilePlan, WithAnotherNeedIsAnError) {
  for (std::size_t index : {14u, 15u, 16u}) // those of expert 3
    for (std::uint32_t value : {3u, 4u, 5u, 0xFFFFFFFFu})
      EXPECT_NE(Damaged(index, value).answer().id, ErrorId::None) << index << " " << value;
}

TEST(HostilePlan, WithASourceThatIsNotThereIsAnError) {
  for (std::size_t index : {17u, 20u, 23u, 26u}) // experts
    for (std::uint32_t value : {3u, 4u, 100u})
      EXPECT_NE(Damaged(index, value).answer().id, ErrorId::None) << index << " " << value;
  for (std::size_t index : {18u, 19u, 21u, 22u, 24u, 25u, 27u, 28u}) // first ones and counts
    for (std::uint32_t value : {3u, 65536u, 0x7FFFFFFFu, 0xFFFFFFFFu})
      EXPECT_EQ(Damaged(index, value).answer().id, ErrorId::PackPlanInputs) << index << " " << value;
}

TEST(HostilePlan, OfARequestThatExpertsCannotReadIsAnError) {
  EXPECT_EQ(Damaged(0, 3).answer(), makeError(ErrorId::PackPlanInputs, 0, 2, 3));
}

TEST(Plan, OfNothingIsRefused) {
  PlanHost host;
  EXPECT_EQ(host.makePlan({}), static_cast<std::int32_t>(ErrorId::NothingToRun));
}

TEST(Plan, OfAnUnknownExpertIsRefused) {
  PlanHost host;
  EXPECT_EQ(host.makePlan({{9, 0, 1}}), static_cast<std::int32_t>(ErrorId::UnknownExpert));
}

TEST(Plan, BeforeThePackIsOpenIsRefused) {
  FakeHost host(makePack().bytes());
  const KimicChoice choice{0, 0, 1};
  KimicPlan plan;
  std::vector<KimicStep> steps(KIMIC_MOST_STEPS);
  EXPECT_EQ(kimic_plan(host.runtime, &choice, 1, &plan, steps.data()), static_cast<std::int32_t>(ErrorId::PackNotOpen));
  Floats x(2), y(2), values(2);
  EXPECT_EQ(kimic_run_plan(host.runtime, steps.data(), 1, &choice, 1, 0, x.data(), values.data(), y.data()),
            static_cast<std::int32_t>(ErrorId::PackNotOpen));
}

TEST(Plan, IsReadWhenThePackIsOpened) {
  FakeHost host(makePack().bytes());
  ASSERT_EQ(host.open(), KIMIC_OK);
  EXPECT_EQ(host.seen.size(), 2u);
}

TEST(Plan, ThatIsDamagedIsRefusedAndReadAgain) {
  FakeHost host(makePack().bytes());
  host.onRequest = [&](const KimicRequest &request) {
    host.answer(request);
    if (request.offset)
      *host.addressOf(request) ^= 1;
  };
  EXPECT_EQ(host.open(), static_cast<std::int32_t>(ErrorId::PackBlockHash));
  host.onRequest = nullptr;
  EXPECT_EQ(host.open(), KIMIC_OK);
}

TEST(Plan, CancellingAnExpertCancelsWhatItReads) {
  PlanHost host;
  EXPECT_EQ(kimic_load(host.runtime, kTop), KIMIC_PENDING); // asks for the leaf
  host.take();
  host.answerAll();
  EXPECT_EQ(kimic_load(host.runtime, kTop), KIMIC_PENDING); // for parameters and signatures
  kimic_cancel(host.runtime, kTop);
  KimicRequest request;
  std::size_t data = 0;
  while (kimic_next_request(host.runtime, KIMIC_PREFETCH, &request))
    data += request.kind == KIMIC_REQUEST_READ;
  EXPECT_EQ(data, 1u) << "the signatures of the group of kernels, and no parameters";
}

} // namespace
} // namespace kimic::runtime
