#include "runtime/plan/Planner.h"

namespace kimic::runtime {

Status Planner::describe(KimicStep &step) {
  Expert *record;
  KIMIC_STEP(session_.fetch(step.expert, record));
  const pack::LeafEntry &entry = record->entry;
  KIMIC_STEP(linker_.fetch(entry.kernel));
  const Kernel &kernel = linker_.kernel(entry.kernel);
  step.inputs = session_.rowOf(step.expert, kernel.signature.inputs);
  step.outputs = kernel.outputs;
  step.bytes = entry.data.rawLength;
  step.missingBytes = record->isResident() ? 0 : entry.data.storedLength;
  // While the expert arrives, it is there twice: as stored and as decoded. So may be what it differs from.
  if (!record->isResident() || !record->pins)
    step.loadBytes = entry.data.storedLength + (entry.base == pack::kNoExpert ? 1 : 2) * step.bytes;
  step.threshold = entry.confidenceThreshold;
  // A call, and 32 weights a nanosecond, as large simd128 kernels do them.
  step.microseconds = 0.05f + static_cast<float>(step.bytes) / 32768;
  if (history_) {
    KimicExperience experience;
    core_.parts.experienceOf(*history_, step.expert, experience);
    if (experience.microseconds > 0)
      step.microseconds = experience.microseconds;
  }
  return KIMIC_OK;
}

Status Planner::plan(std::span<const KimicChoice> choices, KimicPlan &plan, KimicStep *steps) {
  plan = KimicPlan{};
  for (std::uint32_t level = 0; level <= pack::kMaxPlanLevel; ++level)
    for (const KimicChoice &choice : choices)
      for (std::uint32_t expert, i = 0; session_.needed(choice.expert, i, expert); ++i) {
        if (expert >= session_.header().experts)
          return core_.fail(ErrorId::UnknownExpert, expert, session_.header().experts);
        const pack::Plan::Entry *entry = session_.plan().find(expert);
        const std::uint32_t levelOf = entry ? entry->level : 0;
        if (levelOf > pack::kMaxPlanLevel)
          return core_.fail(ErrorId::PackPlanLevel, expert, levelOf, pack::kMaxPlanLevel);
        std::uint32_t known = 0;
        while (known < plan.steps && steps[known].expert != expert)
          ++known;
        if (known < plan.steps || levelOf != level)
          continue;
        if (known == KIMIC_MOST_STEPS)
          return core_.fail(ErrorId::PlanTooLarge, KIMIC_MOST_STEPS);
        steps[known] = KimicStep{};
        steps[known].expert = expert;
        steps[known].level = level;
        ++plan.steps;
      }
  if (plan.steps == 0)
    return core_.fail(ErrorId::NothingToRun);
  Status outcome = KIMIC_OK;
  for (std::uint32_t i = 0; i < plan.steps; ++i) {
    Status status = describe(steps[i]);
    if (status > 0)
      return status;
    if (status != KIMIC_OK)
      outcome = status;
    steps[i].first = plan.values;
    plan.values += steps[i].outputs;
    plan.microseconds += steps[i].microseconds;
    plan.bytes += steps[i].bytes;
    plan.missingBytes += steps[i].missingBytes;
  }
  if (outcome != KIMIC_OK)
    return outcome;
  // What experts may have: all but what is in use for something else, or pinned.
  KimicMemory memory{};
  core_.cache.survey(memory);
  const std::size_t taken = core_.arena.used() -
                            static_cast<std::size_t>(core_.stats.residentBytes - memory.pinnedBytes) +
                            sizeof(float) * plan.values;
  const std::size_t room = core_.arena.cap() > taken ? core_.arena.cap() - taken : 0;
  std::size_t left = 0;
  for (std::uint32_t i = 0; i < plan.steps; ++i) {
    KimicStep &step = steps[i];
    if (step.loadBytes > room)
      return core_.fail(ErrorId::ExpertTooLarge, step.expert, step.loadBytes, room);
    if (i == 0 || step.loadBytes > left || step.level != steps[i - 1].level) {
      ++plan.groups;
      left = room;
    }
    left -= step.loadBytes;
    step.group = plan.groups - 1;
  }
  return KIMIC_OK;
}

} // namespace kimic::runtime
