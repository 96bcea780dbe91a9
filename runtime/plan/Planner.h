// What an answer needs: the chosen experts and all that they read, in which order, in which groups, at which cost.
#pragma once

#include "runtime/history/History.h"
#include "runtime/include/kimic/Plan.h"
#include "runtime/load/KernelLinker.h"

#include <span>

namespace kimic::runtime {

class Planner {
public:
  /// `history`: what is known of earlier runs, or null.
  Planner(Core &core, PackSession &session, KernelLinker &linker, const History *history)
      : core_(core), session_(session), linker_(linker), history_(history) {}

  /// kimic_plan(). REQUIRES: the session is open.
  Status plan(std::span<const KimicChoice> choices, KimicPlan &plan, KimicStep *steps);

private:
  Status describe(KimicStep &step);

  Core &core_;
  PackSession &session_;
  KernelLinker &linker_;
  const History *history_;
};

} // namespace kimic::runtime
