// What an answer needs: the chosen experts and all that they read, in which order, in which groups, at which cost.
// Native only.
#pragma once

#include "runtime/include/kimic/Plan.h"
#include "runtime/load/KernelLinker.h"

#include <span>

namespace kimic::runtime {

class Planner {
public:
  Planner(Core &core, PackSession &session, KernelLinker &linker) : core_(core), session_(session), linker_(linker) {}

  /// kimic_plan(). REQUIRES: the session is open.
  Status plan(std::span<const KimicChoice> choices, KimicPlan &plan, KimicStep *steps);

private:
  Status describe(KimicStep &step);

  Core &core_;
  PackSession &session_;
  KernelLinker &linker_;
};

} // namespace kimic::runtime
