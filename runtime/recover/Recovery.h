// What to do when something goes wrong, by the kind of the error alone: try again, make room, take another expert, or
// give up; when to try again; and which experts to leave alone for a while.
//
// Time and chance come from outside, so that every path can be tested. Not thread-safe.
#pragma once

#include "formats/base/Error.h"
#include "runtime/include/kimic/Runtime.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>

namespace kimic::runtime {

/// The kind of an attempt that ended well.
inline constexpr ErrorKind kNoError{};

using Milliseconds = double; ///< since any moment that stays the same
inline constexpr Milliseconds kNever = HUGE_VAL;

struct RecoveryOptions : KimicRecovery {
  constexpr RecoveryOptions() : KimicRecovery{50, 2000, 5000, 4, 5, KIMIC_BACKOFF_EXPONENTIAL, 0.5f} {}

  bool allowsDegraded = true;     ///< an answer of fallbacks, or of fewer experts than chosen, is better than none
  Milliseconds deadline = kNever; ///< of a question, from its first step
};

enum class Remedy : std::uint8_t {
  Retry = KIMIC_REMEDY_RETRY,
  EvictAndRetry = KIMIC_REMEDY_EVICT,
  Fallback = KIMIC_REMEDY_FALLBACK,
  Fail = KIMIC_REMEDY_FAIL,
};

/// The remedy for an error, `attempt` (1 for the first) having ended with it. `hasCleanedUp`: EvictAndRetry was tried.
///   Unavailable, DataLoss (a reply may be damaged on its way): Retry until attempts are used up, then Fallback
///   ResourceExhausted: EvictAndRetry once, then as Unavailable, for what others use may become free
///   Internal (a kernel that trapped), Unsupported, Untrusted, NotFound: Fallback, for the same would happen again
///   InvalidArgument, FailedPrecondition, Cancelled and the rest: Fail
Remedy remedyFor(ErrorKind kind, std::uint32_t attempt, bool hasCleanedUp, const KimicRecovery &options);

/// How long to wait after `attempt` (1 for the first) failed: between (1 - jitter) and 1 of the full delay. `chance` is
/// in [0, 1).
Milliseconds delayAfter(std::uint32_t attempt, double chance, const KimicRecovery &options);

/// Leaves an expert alone that has failed again and again. Closed: attempts pass. Open: none do, until `openFor` is
/// over. Half-open: one may; its success closes the breaker, its failure opens it again.
class CircuitBreaker {
public:
  enum class State : std::uint8_t { Closed, Open, HalfOpen };

  /// Whether an attempt may start now; if so, success(), failure() or abandon() must follow.
  bool admits(Milliseconds now);
  void success();
  void failure(ErrorKind kind, Milliseconds now, const KimicRecovery &options);
  /// The attempt ended without an outcome.
  void abandon();
  /// The attempt ended with an error of this kind, or well if it is none: success(), failure() or abandon(). A lack of
  /// memory is not the expert's fault.
  void settle(ErrorKind kind, Milliseconds now, const KimicRecovery &options);
  /// Why admits() said no.
  Error refusal(std::uint32_t expert, Milliseconds now) const {
    // It may stay open for ever, which no integer holds.
    return makeError(ErrorId::CircuitOpen, expert, failures_,
                     static_cast<std::uint64_t>(until_ > now ? std::min(until_ - now, 0x1p53) : 0));
  }

  State state() const { return state_; }
  std::uint32_t failures() const { return failures_; }
  Milliseconds opensUntil() const { return until_; }

private:
  State state_ = State::Closed;
  bool isTrying_ = false; ///< half-open: the one attempt is under way
  std::uint32_t failures_ = 0;
  Milliseconds until_ = 0;
};

/// The breakers of a pack's experts, in fixed memory: of those that failed last. All others are closed.
class CircuitBreakers {
public:
  static constexpr unsigned kCount = 64;

  /// The expert's breaker, perhaps a new one in place of the one that would close first. Valid until the next call.
  CircuitBreaker &operator[](std::uint32_t expert);

private:
  struct Entry {
    std::uint32_t expert = 0;
    CircuitBreaker breaker;
  };
  Entry entries_[kCount];
};

/// What questions to one pack share.
struct Recovery {
  RecoveryOptions options;
  std::function<double()> chance; ///< uniform in [0, 1)
  CircuitBreakers breakers = {};

  struct Counts {
    std::uint64_t retries = 0, cleanUps = 0, fallbacks = 0, dropped = 0, refusedByBreaker = 0;
  } counts = {};
};

} // namespace kimic::runtime
