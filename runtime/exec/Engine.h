// Runs resident experts, the router and what it chooses. Nothing here allocates except reserve(), which loading calls.
#pragma once

#include "runtime/exec/Router.h"
#include "runtime/history/History.h"
#include "runtime/include/kimic/Plan.h"
#include "runtime/load/KernelLinker.h"

#include <span>

namespace kimic::runtime {

class Engine {
public:
  /// `residentBonus`: KimicOptions::residentBonus.
  Engine(Core &core, PackSession &session, const KernelLinker &linker, float residentBonus)
      : core_(core), session_(session), linker_(linker), residentBonus_(residentBonus) {}

  /// The resident expert with this id; or null, and noted is PackNotOpen, UnknownExpert or ExpertNotResident.
  Expert *resident(std::uint32_t expert);

  /// Makes the buffers large enough to run this expert. ArenaExhausted; then experts count as not resident whose
  /// buffers are lost.
  Status reserve(Expert &expert);

  /// From now on every run is timed and remembered in `history`; with a null clock it is not.
  void time(KimicClock clock, History *history) {
    clock_ = clock;
    history_ = history;
  }

  /// What rows for an expert and its answers look like.
  struct Shape {
    std::uint32_t inputs = 0, outputs = 0;
    float threshold = 0; ///< of confidence
  };
  /// Of an expert that can be run, or has been as a step: false, and the errors of resident() noted, of others.
  bool shapeOf(std::uint32_t expert, Shape &shape);

  /// From now on, what is done of these steps is not run again: its outputs are in `values`.
  void use(std::span<const KimicStep> steps, const float *values) {
    steps_ = steps;
    values_ = values;
    ++epoch_;
  }
  /// The outputs of the expert for the request `x`, run with all that it needs and has not been run for it; until the
  /// next call. Null if something is missing, with the errors of resident(), or PackPlanInputs: the plan is wrong.
  const float *outputsOf(std::uint32_t expert, const float *x);

  /// y[rows][outputs] = expert(x[rows][inputs]). NothingToRun and the errors of resident().
  Status run(std::uint32_t expert, const float *x, std::uint32_t rows, float *y);

  /// Runs the router's network on one row and chooses at most choices.size() experts; how many goes to `chosen`.
  /// REQUIRES: the pack has a router, at least one choice and at most as many as routed experts.
  /// RouterOutputs, FeatureNotFinite and the errors of resident().
  Status route(const float *x, std::span<KimicChoice> choices, std::uint32_t &chosen, Details details);

  /// Runs the chosen experts on one row and merges their outputs. `inputs`, `outputs`: how many numbers all of them
  /// have to read and give; kAsFirst: as many as the first one. NothingToRun, UnknownMerge, InputsDiffer,
  /// OutputsDiffer, VoteUndecided and the errors of resident().
  Status runChosen(std::span<const KimicChoice> choices, std::uint32_t merge, const float *x, float *y,
                   std::uint32_t inputs = kAsFirst, std::uint32_t outputs = kAsFirst);
  static constexpr std::uint32_t kAsFirst = ~0u;

private:
  Expert *runnable(std::uint32_t expert);
  std::uint32_t roomFor(const Expert &expert) const;
  const KimicStep *stepOf(std::uint32_t expert) const;
  const float *knownOutputsOf(std::uint32_t expert, std::uint32_t &count) const;
  const float *runOnce(std::uint32_t expert, const float *x, bool isRead);
  void call(const Expert &expert, const float *x, std::uint32_t rows, float *y);

  Core &core_;
  PackSession &session_;
  const KernelLinker &linker_;
  float residentBonus_;
  KimicClock clock_ = nullptr;
  History *history_ = nullptr;
  std::uint8_t *scratch_ = nullptr;
  std::uint32_t scratchBytes_ = 0;
  float *outputs_ = nullptr; ///< room for one row of outputs, and behind it, with a plan, for one of inputs
  double *sums_ = nullptr;   ///< room for the sums of outputs, and for the router's workspace
  std::uint32_t room_ = 0;   ///< numbers in a row of them
  std::span<const KimicStep> steps_;
  const float *values_ = nullptr;
  std::uint64_t epoch_ = 0; ///< of the request that is answered
};

} // namespace kimic::runtime
