// What to do when something goes wrong, by the kind of the error alone: try again, make room, take another expert, or
// give up; when to try again; and which experts to leave alone for a while.
//
// Time and chance come from outside, so that every path can be tested. Not thread-safe.
#pragma once

#include "formats/base/Error.h"

#include <cstdint>
#include <functional>
#include <unordered_map>

namespace kimic::runtime {

using Milliseconds = std::uint64_t; ///< since any moment that stays the same
inline constexpr Milliseconds kNever = ~Milliseconds{0};

struct RecoveryOptions {
  std::uint32_t attempts = 4; ///< loads of one expert before another one is taken
  enum class Backoff : std::uint8_t { Fixed, Exponential } backoff = Backoff::Exponential;
  Milliseconds firstDelay = 50; ///< before the second attempt; each further one waits twice as long if Exponential
  Milliseconds longestDelay = 2000;
  double jitter = 0.5;              ///< 0..1: the part of a delay that is left to chance
  std::uint32_t failuresToOpen = 5; ///< in a row, until an expert is left alone
  Milliseconds openFor = 5000;      ///< before one attempt is allowed again
  bool allowsDegraded = true;       ///< an answer of fallbacks, or of fewer experts than chosen, is better than none
  Milliseconds deadline = kNever;   ///< of a question, from its first step
};

enum class Remedy : std::uint8_t {
  Retry,         ///< the same again, after a delay
  EvictAndRetry, ///< the same again, after freeing all memory that can be freed
  Fallback,      ///< another expert
  Fail,          ///< nothing helps
};

/// The remedy for an error, `attempt` (1 for the first) having ended with it. `hasCleanedUp`: EvictAndRetry was tried.
///   Unavailable, DataLoss (a reply may be damaged on its way): Retry until attempts are used up, then Fallback
///   ResourceExhausted: EvictAndRetry once, then as Unavailable, for what others use may become free
///   Internal (a kernel that trapped), Unsupported, Untrusted, NotFound: Fallback, for the same would happen again
///   InvalidArgument, FailedPrecondition, Cancelled and the rest: Fail
Remedy remedyFor(ErrorKind kind, std::uint32_t attempt, bool hasCleanedUp, const RecoveryOptions &options);

/// How long to wait after `attempt` (1 for the first) failed: between (1 - jitter) and 1 of the full delay. `chance` is
/// in [0, 1).
Milliseconds delayAfter(std::uint32_t attempt, double chance, const RecoveryOptions &options);

/// Leaves an expert alone that has failed again and again. Closed: attempts pass. Open: none do, until `openFor` is
/// over. Half-open: one may; its success closes the breaker, its failure opens it again.
class CircuitBreaker {
public:
  enum class State : std::uint8_t { Closed, Open, HalfOpen };

  /// Whether an attempt may start now; if so, success(), failure() or abandon() must follow.
  bool admits(Milliseconds now);
  void success();
  void failure(ErrorKind kind, Milliseconds now, const RecoveryOptions &options);
  /// The attempt ended without an outcome.
  void abandon();

  State state() const { return state_; }
  std::uint32_t failures() const { return failures_; }
  Milliseconds opensUntil() const { return until_; }

private:
  State state_ = State::Closed;
  bool isTrying_ = false; ///< half-open: the one attempt is under way
  std::uint32_t failures_ = 0;
  Milliseconds until_ = 0;
};

/// What questions to one pack share.
struct Recovery {
  RecoveryOptions options;
  std::function<double()> chance;                                  ///< uniform in [0, 1)
  std::unordered_map<std::uint32_t, CircuitBreaker> breakers = {}; ///< of experts that were tried

  struct Counts {
    std::uint64_t retries = 0, cleanUps = 0, fallbacks = 0, dropped = 0, refusedByBreaker = 0;
  } counts = {};
};

} // namespace kimic::runtime
