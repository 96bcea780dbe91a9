// Recovery: what is done for each kind of error, and that a question always ends, with the right answer or a reason.
#include "runtime/recover/Exchange.h"
#include "runtime/recover/Question.h"
#include "tests/support/FakeHost.h"
#include "tests/support/TestPack.h"

#include <gtest/gtest.h>

#include <limits>
#include <map>
#include <memory>
#include <random>

namespace kimic::runtime {
namespace {

using kimic::testing::constantExpert;
using kimic::testing::FakeHost;
using kimic::testing::RandomExpert;
using kimic::testing::TestPack;

//===--------------------------------------------------------------------===//
// Remedies, delays, breakers
//===--------------------------------------------------------------------===//

TEST(Remedy, RetriesWhatMayPassUntilAttemptsAreUsedUp) {
  RecoveryOptions options;
  for (ErrorKind kind : {ErrorKind::Unavailable, ErrorKind::DataLoss}) {
    EXPECT_EQ(remedyFor(kind, 1, false, options), Remedy::Retry);
    EXPECT_EQ(remedyFor(kind, 3, false, options), Remedy::Retry);
    EXPECT_EQ(remedyFor(kind, 4, false, options), Remedy::Fallback);
  }
}

TEST(Remedy, MakesRoomOnce) {
  RecoveryOptions options;
  EXPECT_EQ(remedyFor(ErrorKind::ResourceExhausted, 1, false, options), Remedy::EvictAndRetry);
  EXPECT_EQ(remedyFor(ErrorKind::ResourceExhausted, 2, true, options), Remedy::Retry);
  EXPECT_EQ(remedyFor(ErrorKind::ResourceExhausted, 4, true, options), Remedy::Fallback);
}

TEST(Remedy, DoesNotRetryATrapOrWhatStaysWrong) {
  RecoveryOptions options;
  for (ErrorKind kind : {ErrorKind::Internal, ErrorKind::Unsupported, ErrorKind::Untrusted, ErrorKind::NotFound})
    EXPECT_EQ(remedyFor(kind, 1, false, options), Remedy::Fallback);
}

TEST(Remedy, FailsWhenTheCallerIsWrongOrHasLeft) {
  RecoveryOptions options;
  for (ErrorKind kind : {ErrorKind::InvalidArgument, ErrorKind::FailedPrecondition, ErrorKind::Cancelled})
    EXPECT_EQ(remedyFor(kind, 1, false, options), Remedy::Fail);
}

TEST(Delay, DoublesUpToTheLongest) {
  RecoveryOptions options;
  options.firstDelay = 50;
  options.longestDelay = 300;
  std::vector<Milliseconds> delays;
  for (std::uint32_t attempt = 1; attempt <= 5; ++attempt)
    delays.push_back(delayAfter(attempt, 0, options));
  EXPECT_EQ(delays, (std::vector<Milliseconds>{50, 100, 200, 300, 300}));
  EXPECT_EQ(delayAfter(4000000000u, 0, options), 300u);
}

TEST(Delay, StaysTheSameIfFixed) {
  RecoveryOptions options;
  options.backoff = KIMIC_BACKOFF_FIXED;
  EXPECT_EQ(delayAfter(1, 0, options), 50u);
  EXPECT_EQ(delayAfter(9, 0, options), 50u);
}

TEST(Delay, IsPartlyLeftToChance) {
  RecoveryOptions options;
  options.jitter = 0.5;
  EXPECT_EQ(delayAfter(2, 0, options), 100u);
  EXPECT_EQ(delayAfter(2, 0.5, options), 75u);
}

TEST(CircuitBreaker, OpensAfterFailuresInARow) {
  RecoveryOptions options;
  options.failuresToOpen = 3;
  CircuitBreaker breaker;
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(breaker.admits(0));
    breaker.failure(ErrorKind::Unavailable, 0, options);
  }
  ASSERT_TRUE(breaker.admits(0));
  breaker.success();
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(breaker.admits(0));
    breaker.failure(ErrorKind::Unavailable, 0, options);
  }
  EXPECT_EQ(breaker.state(), CircuitBreaker::State::Open);
  EXPECT_FALSE(breaker.admits(options.openFor - 1));
}

TEST(CircuitBreaker, LetsOneAttemptThroughWhenHalfOpen) {
  RecoveryOptions options;
  CircuitBreaker breaker;
  ASSERT_TRUE(breaker.admits(0));
  breaker.failure(ErrorKind::Internal, 0, options); // a trap opens it at once
  EXPECT_FALSE(breaker.admits(0));
  EXPECT_TRUE(breaker.admits(options.openFor));
  EXPECT_EQ(breaker.state(), CircuitBreaker::State::HalfOpen);
  EXPECT_FALSE(breaker.admits(options.openFor));
  breaker.abandon();
  EXPECT_TRUE(breaker.admits(options.openFor));
  breaker.failure(ErrorKind::Unavailable, options.openFor, options);
  EXPECT_FALSE(breaker.admits(2 * options.openFor - 1));
  EXPECT_TRUE(breaker.admits(2 * options.openFor));
  breaker.success();
  EXPECT_EQ(breaker.state(), CircuitBreaker::State::Closed);
  EXPECT_TRUE(breaker.admits(2 * options.openFor));
}

TEST(CircuitBreaker, IsNotToldOfLackOfMemoryOrOfCallersWhoLeave) {
  RecoveryOptions options;
  options.failuresToOpen = 1;
  CircuitBreaker breaker;
  for (ErrorKind kind : {ErrorKind::Cancelled, ErrorKind::ResourceExhausted}) {
    ASSERT_TRUE(breaker.admits(0));
    breaker.settle(kind, 0, options);
  }
  EXPECT_EQ(breaker.state(), CircuitBreaker::State::Closed);
  EXPECT_EQ(breaker.failures(), 0u);
}

TEST(CircuitBreakers, KeepTheOnesThatStayOpenLongest) {
  RecoveryOptions options;
  CircuitBreakers breakers;
  for (std::uint32_t expert = 0; expert < CircuitBreakers::kCount + 1; ++expert)
    breakers[expert].failure(ErrorKind::Internal, expert, options);
  EXPECT_EQ(breakers[CircuitBreakers::kCount].state(), CircuitBreaker::State::Open);
  EXPECT_EQ(breakers[1].state(), CircuitBreaker::State::Open);
  EXPECT_EQ(breakers[0].state(), CircuitBreaker::State::Closed) << "forgotten: it would have closed first";
}

//===--------------------------------------------------------------------===//
// The C API
//===--------------------------------------------------------------------===//

constexpr std::uint32_t kWell = 0, kUnavailable = static_cast<std::uint32_t>(ErrorKind::Unavailable);

TEST(RecoveryApi, TriesNothingAgainUntilItIsTold) {
  FakeHost host({});
  double delay = -1;
  EXPECT_EQ(kimic_remedy(host.runtime, 0, kUnavailable, 1, 0, 0, 0, &delay), KIMIC_REMEDY_FALLBACK);
}

TEST(RecoveryApi, GivesRemedyAndDelay) {
  FakeHost host({});
  const KimicRecovery recovery{100, 300, 1000, 3, 2, KIMIC_BACKOFF_EXPONENTIAL, 0.5f};
  ASSERT_EQ(kimic_set_recovery(host.runtime, &recovery), KIMIC_OK);
  double delay = -1;
  ASSERT_EQ(kimic_admit(host.runtime, 7, 50), KIMIC_OK);
  EXPECT_EQ(kimic_remedy(host.runtime, 7, kUnavailable, 2, 0, 50, 0.5, &delay), KIMIC_REMEDY_RETRY);
  EXPECT_EQ(delay, 150); // 200, of which half is left to chance
  EXPECT_EQ(kimic_remedy(host.runtime, 7, kUnavailable, 3, 0, 60, 0.5, &delay), KIMIC_REMEDY_FALLBACK);
  EXPECT_EQ(kimic_admit(host.runtime, 7, 100), static_cast<std::int32_t>(ErrorId::CircuitOpen));
  EXPECT_EQ(host.lastError(), makeError(ErrorId::CircuitOpen, 7, 2, 960));
  EXPECT_EQ(kimic_admit(host.runtime, 7, 1060), KIMIC_OK);
  EXPECT_EQ(kimic_remedy(host.runtime, 7, kWell, 1, 0, 1060, 0, &delay), KIMIC_REMEDY_FAIL); // there is nothing to do
  EXPECT_EQ(kimic_admit(host.runtime, 7, 1060), KIMIC_OK);
}

TEST(RecoveryApi, LeavesAnExpertAloneForGood) {
  FakeHost host({});
  const KimicRecovery recovery{0, 0, std::numeric_limits<double>::infinity(), 1, 1, KIMIC_BACKOFF_FIXED, 0};
  ASSERT_EQ(kimic_set_recovery(host.runtime, &recovery), KIMIC_OK);
  double delay = -1;
  ASSERT_EQ(kimic_admit(host.runtime, 7, 0), KIMIC_OK);
  EXPECT_EQ(kimic_remedy(host.runtime, 7, kUnavailable, 1, 0, 0, 0, &delay), KIMIC_REMEDY_FALLBACK);
  EXPECT_EQ(kimic_admit(host.runtime, 7, 1e300), static_cast<std::int32_t>(ErrorId::CircuitOpen));
  EXPECT_EQ(host.lastError(), makeError(ErrorId::CircuitOpen, 7, 1, std::uint64_t{1} << 53));
}

TEST(RecoveryApi, RefusesAJitterThatIsNoShare) {
  FakeHost host({});
  KimicRecovery recovery{};
  for (float jitter : {-0.1f, 1.5f, std::numeric_limits<float>::quiet_NaN()}) {
    recovery.jitter = jitter;
    EXPECT_EQ(kimic_set_recovery(host.runtime, &recovery), static_cast<std::int32_t>(ErrorId::OptionMalformed));
  }
}

//===--------------------------------------------------------------------===//
// Questions whose replies fail in a given way
//===--------------------------------------------------------------------===//

// Experts 0 .. 3 answer 1, 2, 4, 8; the router (4) prefers 1, then 3, 2, 0, and two of them answer.
TestPack fourExperts(pack::Merge merge = pack::Merge::Average) {
  TestPack pack;
  for (std::int32_t value : {1, 2, 4, 8})
    pack.add(constantExpert(2, {value}));
  pack.addRouter(constantExpert(2, {1, 4, 2, 3}), 2, merge);
  return pack;
}

struct QuestionHost : FakeHost {
  explicit QuestionHost(TestPack pack, std::uint64_t arenaBytes = 64u << 20)
      : FakeHost(pack.bytes(), arenaBytes), facts(4) {
    EXPECT_EQ(open(), KIMIC_OK);
    recovery.chance = [] { return 0.0; };
  }

  /// Which expert a read is for: its data block has these bytes.
  bool isFor(const KimicRequest &request, std::uint32_t expert) {
    return dataOffsets.contains(expert) && dataOffsets[expert] == request.offset;
  }

  /// Answers with what `reply` says about a read, until the question has ended.
  Question::State ask(Question &question, const std::function<ErrorId(const KimicRequest &)> &reply) {
    for (int rounds = 0; rounds < 1000 && question.step(now) == Question::State::Pending; ++rounds) {
      take();
      if (waiting.empty()) {
        EXPECT_NE(question.wakeAt(), kNever) << "hangs";
        now = question.wakeAt();
        continue;
      }
      std::vector<KimicRequest> requests = std::move(waiting);
      waiting.clear();
      for (const KimicRequest &request : requests) {
        ErrorId error = reply(request);
        if (error == ErrorId::None)
          answer(request);
        else
          kimic_complete(runtime, request.id, static_cast<std::int32_t>(error), 0);
      }
    }
    return question.state();
  }

  Recovery recovery;
  std::vector<ExpertFacts> facts;
  std::map<std::uint32_t, std::uint64_t> dataOffsets; ///< learned by loading
  Milliseconds now = 0;
};

/// Where the experts' blocks lie, found by loading them in another runtime.
std::map<std::uint32_t, std::uint64_t> dataOffsetsOf(TestPack pack) {
  FakeHost host(pack.bytes());
  EXPECT_EQ(host.open(), KIMIC_OK);
  EXPECT_EQ(host.load(4), KIMIC_OK);
  std::map<std::uint32_t, std::uint64_t> offsets;
  for (std::uint32_t expert = 0; expert < 4; ++expert) {
    host.seen.clear();
    EXPECT_EQ(host.load(expert), KIMIC_OK);
    if (!host.seen.empty())
      offsets[expert] = host.seen.back().offset;
  }
  return offsets;
}

/// A host on which reading expert 1 ends with `error` the first `times` times.
struct FailingHost : QuestionHost {
  explicit FailingHost(ErrorId error, int times, pack::Merge merge = pack::Merge::Average)
      : QuestionHost(fourExperts(merge)), error(error), times(times) {
    dataOffsets = dataOffsetsOf(fourExperts(merge));
  }
  Question::State ask(Question &question) {
    return QuestionHost::ask(question, [&](const KimicRequest &request) {
      if (!isFor(request, 1) || times == 0)
        return ErrorId::None;
      --times;
      ++failed;
      return error;
    });
  }
  ErrorId error;
  int times, failed = 0;
};

TEST(Question, AnswersWithWhatTheRouterChose) {
  FailingHost host(ErrorId::None, 0);
  Question question(host.runtime, host.recovery, host.facts, {0, 0});
  ASSERT_EQ(host.ask(question), Question::State::Answered);
  EXPECT_EQ(question.answer(), std::vector<float>{5}); // (2 + 8) / 2
  EXPECT_EQ(question.error().id, ErrorId::None);
}

TEST(Question, RetriesAfterTheDelay) {
  FailingHost host(ErrorId::SourceReadFailed, 2);
  Question question(host.runtime, host.recovery, host.facts, {0, 0});
  ASSERT_EQ(host.ask(question), Question::State::Answered);
  EXPECT_EQ(question.answer(), std::vector<float>{5});
  EXPECT_EQ(host.now, 150u); // 50 + 100
  EXPECT_EQ(host.recovery.counts.retries, 2u);
}

TEST(Question, TakesTheFallbackWhenAttemptsAreUsedUp) {
  FailingHost host(ErrorId::SourceReadFailed, 100);
  host.facts[1].fallback = 0;
  Question question(host.runtime, host.recovery, host.facts, {0, 0});
  ASSERT_EQ(host.ask(question), Question::State::Degraded);
  EXPECT_EQ(question.answer(), std::vector<float>{4.5f}); // (1 + 8) / 2
  EXPECT_EQ(question.error().id, ErrorId::SourceReadFailed);
  EXPECT_EQ(host.failed, 4);
}

TEST(Question, TakesTheBestOfTheDomainWithoutAFallback) {
  FailingHost host(ErrorId::LinkFailed, 100);
  host.facts[2].domain = host.facts[1].domain = host.facts[0].domain = 3;
  Question question(host.runtime, host.recovery, host.facts, {0, 0});
  ASSERT_EQ(host.ask(question), Question::State::Degraded);
  EXPECT_EQ(question.choices()[0].expert, 2u); // which the router likes better than 0
  EXPECT_EQ(question.answer(), std::vector<float>{6});
  EXPECT_EQ(host.failed, 1); // unsupported: not tried again
}

TEST(Question, TakesNoneThatWasLostInAnotherPlace) {
  QuestionHost host(fourExperts());
  host.dataOffsets = dataOffsetsOf(fourExperts());
  Question question(host.runtime, host.recovery, host.facts, {0, 0});
  auto reply = [&](const KimicRequest &request) {
    return host.isFor(request, 1) || host.isFor(request, 3) ? ErrorId::SourceReadFailed : ErrorId::None;
  };
  ASSERT_EQ(host.ask(question, reply), Question::State::Degraded);
  EXPECT_EQ(question.answer(), std::vector<float>{2.5}); // (4 + 1) / 2
  EXPECT_EQ(host.recovery.counts.fallbacks, 2u);
}

TEST(Question, AnswersInPartWithTheReason) {
  FailingHost host(ErrorId::LinkFailed, 100, pack::Merge::Weighted);
  host.facts.clear();
  Question question(host.runtime, host.recovery, host.facts, {0, 0});
  ASSERT_EQ(host.ask(question), Question::State::Degraded);
  EXPECT_EQ(question.answer(), std::vector<float>{8}); // expert 3 has all the weight
  EXPECT_EQ(question.choices()[0].weight, 1.0f);
  EXPECT_EQ(question.error().id, ErrorId::LinkFailed);
}

TEST(Question, FailsInsteadIfToldTo) {
  FailingHost host(ErrorId::LinkFailed, 100);
  host.recovery.options.allowsDegraded = false;
  Question question(host.runtime, host.recovery, host.facts, {0, 0});
  ASSERT_EQ(host.ask(question), Question::State::Failed);
  EXPECT_EQ(question.error().id, ErrorId::LinkFailed);
}

TEST(Question, DoesNotTryAKernelThatTrappedAgain) {
  FailingHost host(ErrorId::RuntimeTrapped, 100);
  Question first(host.runtime, host.recovery, host.facts, {0, 0});
  host.ask(first);
  EXPECT_EQ(host.failed, 1);
  Question second(host.runtime, host.recovery, host.facts, {0, 0});
  EXPECT_EQ(host.ask(second), Question::State::Degraded);
  EXPECT_EQ(host.failed, 1);
  EXPECT_EQ(second.error(), makeError(ErrorId::CircuitOpen, 1, 1, 5000));
}

TEST(Question, TriesAnExpertAgainWhenItsBreakerIsHalfOpen) {
  FailingHost host(ErrorId::RuntimeTrapped, 1);
  Question first(host.runtime, host.recovery, host.facts, {0, 0});
  host.ask(first);
  host.now += host.recovery.options.openFor;
  Question second(host.runtime, host.recovery, host.facts, {0, 0});
  EXPECT_EQ(host.ask(second), Question::State::Answered);
  EXPECT_EQ(host.recovery.breakers[1].state(), CircuitBreaker::State::Closed);
}

TEST(Question, FailsWithoutTheRouter) {
  QuestionHost host(fourExperts());
  Question question(host.runtime, host.recovery, host.facts, {0, 0});
  ASSERT_EQ(host.ask(question, [](const KimicRequest &) { return ErrorId::SourceReadFailed; }),
            Question::State::Failed);
  EXPECT_EQ(question.error().id, ErrorId::SourceReadFailed);
}

TEST(Question, EndsAtItsDeadline) {
  QuestionHost host(fourExperts());
  host.recovery.options.deadline = 120;
  Question question(host.runtime, host.recovery, host.facts, {0, 0});
  ASSERT_EQ(host.ask(question, [](const KimicRequest &) { return ErrorId::SourceReadFailed; }),
            Question::State::Failed);
  EXPECT_EQ(question.error(), makeError(ErrorId::DeadlinePassed, 120));
  EXPECT_EQ(host.now, 120u);
}

TEST(Question, EndsWhenCancelledAndUnpins) {
  FailingHost host(ErrorId::SourceReadFailed, 100);
  Question question(host.runtime, host.recovery, host.facts, {0, 0});
  question.step(0);
  question.cancel();
  EXPECT_EQ(question.step(0), Question::State::Failed);
  EXPECT_EQ(question.error().id, ErrorId::OperationCancelled);
  host.take();
  host.answerAll();
  EXPECT_EQ(kimic_evict(host.runtime, 4), KIMIC_OK);
}

TEST(Question, RefusesARowOfTheWrongLength) {
  FailingHost host(ErrorId::None, 0);
  Question question(host.runtime, host.recovery, host.facts, {0, 0, 0});
  ASSERT_EQ(host.ask(question), Question::State::Failed);
  EXPECT_EQ(question.error(), makeError(ErrorId::InputLength, 3, 1, 2));
}

TEST(Question, MakesRoomWhenMemoryIsShort) {
  TestPack pack;
  for (std::int32_t value : {1, 2, 4, 8})
    pack.add(constantExpert(256, std::vector<std::int32_t>(80, value)));
  pack.addRouter(constantExpert(256, {1, 4, 2, 3}), 1, pack::Merge::Average);
  pack.contents.meta = R"({"text":")" + std::string(30000, 'x') + R"("})";
  QuestionHost host(pack, KIMIC_MINIMUM_ARENA);
  KimicBytes metadata;
  ASSERT_EQ(host.finish([&] { return kimic_metadata(host.runtime, &metadata); }), KIMIC_OK);
  std::vector<void *> ballast;
  while (void *block = kimic_allocate(host.runtime, 1 << 10))
    ballast.push_back(block);
  // Room for the router and for an expert's stored bytes; its 20 KiB fit where the metadata are.
  for (int i = 0; i < 12; ++i, ballast.pop_back())
    kimic_free(host.runtime, ballast.back());
  Question question(host.runtime, host.recovery, host.facts, std::vector<float>(256));
  ASSERT_EQ(host.ask(question, [](const KimicRequest &) { return ErrorId::None; }), Question::State::Answered);
  EXPECT_EQ(question.answer()[0], 2.0f);
  EXPECT_GT(host.recovery.counts.cleanUps, 0u);
}

//===--------------------------------------------------------------------===//
// The exchange
//===--------------------------------------------------------------------===//

TEST(Exchange, CompletesWhatIsOverdueAndDropsWhatComesLate) {
  FakeHost host(fourExperts().bytes());
  Exchange exchange(host.runtime, 100);
  ASSERT_EQ(kimic_open(host.runtime), KIMIC_PENDING);
  KimicRequest first;
  ASSERT_TRUE(exchange.next(first, 7));
  EXPECT_EQ(exchange.nextDeadline(), 107u);
  EXPECT_EQ(exchange.expire(106), 0u);
  EXPECT_EQ(exchange.expire(107), 1u);
  EXPECT_EQ(kimic_open(host.runtime), static_cast<int>(ErrorId::ReadStalled));
  EXPECT_EQ(host.lastError().args[0], 100u);
  EXPECT_FALSE(exchange.deliver(first.id, host.pack));
  ASSERT_EQ(kimic_open(host.runtime), KIMIC_PENDING);
  KimicRequest second;
  ASSERT_TRUE(exchange.next(second, 107));
  EXPECT_TRUE(exchange.deliver(second.id, host.pack));
  EXPECT_FALSE(exchange.deliver(second.id, host.pack)) << "a reply that comes twice";
  EXPECT_EQ(kimic_open(host.runtime), KIMIC_OK);
}

//===--------------------------------------------------------------------===//
// Soak
//===--------------------------------------------------------------------===//

#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
constexpr int kQuestions = 10000;
#else
constexpr int kQuestions = 100000;
#endif

// 24 experts of some KiB behind a router that depends on the input, in an arena that does not hold half of them.
TestPack soakPack() {
  TestPack pack;
  std::mt19937 random(3);
  auto scatter = [&](RandomExpert expert) {
    for (auto &weight : expert.parameters.layers[0].weights)
      weight = static_cast<std::int32_t>(random() % 255) - 127;
    return expert;
  };
  for (std::int32_t i = 0; i < 24; ++i)
    pack.add(scatter(constantExpert(8, std::vector<std::int32_t>(1200, i))));
  pack.addRouter(scatter(constantExpert(8, std::vector<std::int32_t>(24, 0))), 2, pack::Merge::Weighted, 100);
  return pack;
}

// A network that loses, delays, cuts, damages, repeats and reorders replies, on a clock of its own.
class BadNetwork {
public:
  BadNetwork(FakeHost &host, Exchange &exchange) : host_(host), exchange_(exchange) {}

  void send(const KimicRequest &request, Milliseconds now) {
    std::vector<std::uint8_t> bytes(host_.pack.begin() + static_cast<std::ptrdiff_t>(request.offset),
                                    host_.pack.begin() + static_cast<std::ptrdiff_t>(std::min<std::uint64_t>(
                                                             request.offset + request.length, host_.pack.size())));
    Reply reply{request.id, ErrorId::None, std::move(bytes)};
    Milliseconds at = now + 1 + random_() % 20; // in any order
    if (random_() % 10 < 3) {
      ++faults;
      switch (random_() % 6) {
      case 0: // lost
        return;
      case 1: // late
        at += 200;
        break;
      case 2: // short
        reply.bytes.resize(random_() % reply.bytes.size());
        break;
      case 3: // damaged
        reply.bytes[random_() % reply.bytes.size()] ^= static_cast<std::uint8_t>(1 + random_() % 255);
        break;
      case 4: // twice
        replies_.emplace(at + random_() % 50, reply);
        break;
      case 5:
        reply.error = ErrorId::SourceReadFailed;
        break;
      }
    }
    replies_.emplace(at, std::move(reply));
  }

  Milliseconds nextAt() const { return replies_.empty() ? kNever : replies_.begin()->first; }

  void deliver(Milliseconds now) {
    for (; !replies_.empty() && replies_.begin()->first <= now; replies_.erase(replies_.begin())) {
      const Reply &reply = replies_.begin()->second;
      if (reply.error == ErrorId::None)
        exchange_.deliver(reply.request, reply.bytes);
      else
        exchange_.fail(reply.request, reply.error);
    }
  }

  std::uint64_t faults = 0;

private:
  struct Reply {
    std::uint32_t request;
    ErrorId error;
    std::vector<std::uint8_t> bytes;
  };
  FakeHost &host_;
  Exchange &exchange_;
  std::mt19937 random_{11};
  std::multimap<Milliseconds, Reply> replies_;
};

TEST(Soak, EveryQuestionEndsWithTheRightAnswerOrATypedError) {
  TestPack pack = soakPack();
  FakeHost truth(pack.bytes());
  ASSERT_EQ(truth.open(), KIMIC_OK);
  for (std::uint32_t expert = 0; expert <= 24; ++expert)
    ASSERT_EQ(truth.load(expert), KIMIC_OK);

  constexpr std::uint64_t kCap = 240 << 10;
  FakeHost host(pack.bytes(), kCap);
  Exchange exchange(host.runtime, 100);
  BadNetwork network(host, exchange);
  std::mt19937 random(5);
  Recovery recovery;
  recovery.options.deadline = 60000;
  recovery.chance = [&] { return static_cast<double>(random() % 1024) / 1024; };
  std::vector<ExpertFacts> facts(24);
  for (std::uint32_t i = 0; i < 24; ++i)
    facts[i] = {(i + 1) % 24, i % 8};

  Milliseconds now = 0;
  auto pump = [&](Milliseconds wakeAt) {
    for (KimicRequest request; exchange.next(request, now);)
      network.send(request, now);
    Milliseconds next = std::min({wakeAt, network.nextAt(), exchange.nextDeadline()});
    ASSERT_NE(next, kNever) << "hangs";
    now = std::max(now, next);
    network.deliver(now);
    exchange.expire(now);
  };
  // Opening ends with an error of the network, or does not.
  std::int32_t status;
  while ((status = kimic_open(host.runtime)) != KIMIC_OK) {
    if (status == KIMIC_PENDING)
      pump(kNever);
    else
      ASSERT_TRUE(kindOf(static_cast<ErrorId>(status)) == ErrorKind::Unavailable ||
                  kindOf(static_cast<ErrorId>(status)) == ErrorKind::DataLoss ||
                  kindOf(static_cast<ErrorId>(status)) == ErrorKind::Unsupported)
          << status;
  }

  struct Asked {
    std::vector<float> x;
    std::unique_ptr<Question> question;
    Milliseconds since;
  };
  std::vector<Asked> active;
  std::map<Question::State, int> ended;
  std::map<ErrorId, int> failures;
  int asked = 0;
  while (asked < kQuestions || !active.empty()) {
    while (asked < kQuestions && active.size() < 6) {
      std::vector<float> x(8);
      for (float &value : x)
        value = static_cast<float>(static_cast<int>(random() % 64) - 32);
      active.push_back(
          {x, std::make_unique<Question>(host.runtime, recovery, std::span<const ExpertFacts>(facts), x), now});
      ++asked;
    }
    Milliseconds wakeAt = kNever;
    bool hasEnded = false;
    for (std::size_t i = 0; i < active.size();) {
      Question &question = *active[i].question;
      if (question.step(now) == Question::State::Pending) {
        wakeAt = std::min(wakeAt, question.wakeAt());
        ASSERT_LE(now - active[i].since, 60000u);
        ++i;
        continue;
      }
      hasEnded = true;
      ++ended[question.state()];
      const float *x = active[i].x.data();
      if (question.state() == Question::State::Failed) {
        ASSERT_NE(question.error().id, ErrorId::None);
        ++failures[question.error().id];
      } else {
        std::vector<KimicChoice> choices(2);
        std::uint32_t chosen = 0;
        ASSERT_EQ(kimic_route(truth.runtime, x, 0, choices.data(), &chosen, nullptr), KIMIC_OK);
        if (question.state() == Question::State::Degraded) {
          ASSERT_NE(question.error().id, ErrorId::None);
          choices = question.choices();
        }
        std::vector<float> expected(1200);
        ASSERT_EQ(kimic_run_chosen(truth.runtime, choices.data(), static_cast<std::uint32_t>(choices.size()),
                                   KIMIC_MERGE_WEIGHTED, x, expected.data()),
                  KIMIC_OK);
        ASSERT_EQ(question.answer(), expected);
      }
      active.erase(active.begin() + static_cast<std::ptrdiff_t>(i));
    }
    if (!hasEnded && !active.empty())
      pump(wakeAt);
  }
  KimicStats stats = host.stats();
  EXPECT_LE(stats.arenaPeak, kCap);
  EXPECT_GT(network.faults, static_cast<std::uint64_t>(kQuestions) / 10);
  EXPECT_GT(ended[Question::State::Answered], kQuestions * 8 / 10);
  std::printf(
      "answered %d, degraded %d, failed %d; faults %llu, retries %llu, fallbacks %llu, clean-ups %llu, refused by "
      "breakers %llu\n",
      ended[Question::State::Answered], ended[Question::State::Degraded], ended[Question::State::Failed],
      static_cast<unsigned long long>(network.faults), static_cast<unsigned long long>(recovery.counts.retries),
      static_cast<unsigned long long>(recovery.counts.fallbacks),
      static_cast<unsigned long long>(recovery.counts.cleanUps),
      static_cast<unsigned long long>(recovery.counts.refusedByBreaker));
  for (auto [id, count] : failures)
    std::printf("failed with %u: %d\n", static_cast<unsigned>(id), count);
}

} // namespace
} // namespace kimic::runtime
