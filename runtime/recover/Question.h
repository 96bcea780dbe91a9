// One question to a pack from beginning to end: route, load what was chosen, run, merge; and recover on the way.
//
// A question never waits. Whoever asks it steps it whenever a reply has arrived or wakeAt() has come, and lets the host
// take the runtime's requests in between. It pins what it has loaded until it ends. Any number of questions may be
// under way on one runtime.
#pragma once

#include "formats/base/Error.h"
#include "runtime/include/kimic/Runtime.h"
#include "runtime/recover/Recovery.h"

#include <span>
#include <vector>

namespace kimic::runtime {

/// What a pack's metadata say about an expert, as far as recovery wants to know it.
struct ExpertFacts {
  std::uint32_t fallback = KIMIC_NO_EXPERT; ///< of the same shape
  std::uint32_t domain = 0;
};

class Question {
public:
  enum class State : std::uint8_t {
    Pending,
    Answered, ///< by the experts that the router chose
    Degraded, ///< by fallbacks, or by fewer experts: error() says why
    Failed,   ///< error() says why
  };

  /// `x` is one row of inputs. `facts`, by expert and perhaps empty, and `recovery` must outlive the question, which
  /// must not outlive the runtime.
  Question(KimicRuntime *runtime, Recovery &recovery, std::span<const ExpertFacts> facts, std::vector<float> x);
  Question(const Question &) = delete;
  Question &operator=(const Question &) = delete;
  ~Question();

  /// Does what can be done now.
  State step(Milliseconds now);
  /// Gives up: Failed with OperationCancelled, unless it has ended.
  void cancel();

  State state() const { return state_; }
  /// When step() is due although no reply arrived; kNever if only a reply helps.
  Milliseconds wakeAt() const { return wakeAt_; }

  const std::vector<float> &answer() const { return y_; }
  /// The experts that answered, with the weights that counted.
  const std::vector<KimicChoice> &choices() const { return choices_; }
  const Error &error() const { return error_; }

private:
  enum class Progress : std::uint8_t { Waits, Ready, Lost };
  /// An expert that is wanted, or the one that stands in for it.
  struct Slot {
    KimicChoice choice{};
    std::uint32_t attempts = 0;
    bool isAdmitted = false; ///< by the expert's breaker
    bool hasCleanedUp = false, isPinned = false, isFatal = false;
    Milliseconds retryAt = 0;
    Error error; ///< the last one
    std::vector<std::uint32_t> tried = {};
  };

  Progress advance(Slot &slot, Milliseconds now);
  bool substitute(Slot &slot);
  /// Whether it was wanted in any place, or stood in: it is not taken again.
  bool isTaken(std::uint32_t expert) const;
  State route();
  State run();
  State end(State state, const Error &error);
  void unpin(Slot &slot);
  Error lastError() const;
  CircuitBreaker &breakerOf(std::uint32_t expert) { return recovery_.breakers[expert]; }

  KimicRuntime *runtime_;
  Recovery &recovery_;
  std::span<const ExpertFacts> facts_;
  std::vector<float> x_, y_, scores_;
  KimicPackInfo info_{};
  Slot router_;
  std::vector<Slot> slots_;
  std::vector<KimicChoice> choices_;
  State state_ = State::Pending;
  bool hasStarted_ = false, isRouted_ = false;
  Milliseconds deadline_ = kNever, wakeAt_ = 0;
  Error error_;
};

} // namespace kimic::runtime
