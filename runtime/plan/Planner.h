// What an answer needs: the chosen experts and all that they read, in which order, in which groups, at which cost.
#pragma once

#include "runtime/load/KernelLinker.h"

#include <span>

namespace kimic::runtime {

/// Experts that are needed, each behind all that it reads.
class Needs {
public:
  /// Adds the expert and what it needs. False if that is more than KIMIC_MOST_STEPS together.
  bool add(const pack::Plan &plan, std::uint32_t expert);

  const std::uint32_t *begin() const { return experts_; }
  const std::uint32_t *end() const { return experts_ + count_; }

private:
  std::uint32_t count_ = 0;
  std::uint32_t experts_[KIMIC_MOST_STEPS];
};

class Planner {
public:
  Planner(Core &core, PackSession &session, KernelLinker &linker) : core_(core), session_(session), linker_(linker) {}

  /// kimic_plan(). REQUIRES: the session is open.
  Status plan(std::span<const KimicChoice> choices, KimicPlan &plan, KimicStep *steps);

private:
  Core &core_;
  PackSession &session_;
  KernelLinker &linker_;
};

} // namespace kimic::runtime
