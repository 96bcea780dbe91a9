#include "runtime/plan/Planner.h"

namespace kimic::runtime {

// As deep as a plan has levels; a cycle would have none.
bool Needs::add(const pack::Plan &plan, std::uint32_t expert) {
  for (std::uint32_t known : *this)
    if (known == expert)
      return true;
  if (const pack::Plan::Entry *entry = plan.find(expert))
    for (const pack::Source &source : plan.sourcesOf(*entry))
      if (source.expert != pack::kNoExpert && !add(plan, source.expert))
        return false;
  if (count_ == KIMIC_MOST_STEPS)
    return false;
  experts_[count_++] = expert;
  return true;
}

Status Planner::plan(std::span<const KimicChoice> choices, KimicPlan &plan, KimicStep *steps) {
  Needs needs;
  for (const KimicChoice &choice : choices) {
    if (choice.expert >= session_.header().experts)
      return core_.fail(ErrorId::UnknownExpert, choice.expert, session_.header().experts);
    if (!needs.add(session_.plan(), choice.expert))
      return core_.fail(ErrorId::PlanTooLarge, KIMIC_MOST_STEPS);
  }
  if (choices.empty())
    return core_.fail(ErrorId::NothingToRun);
  plan = KimicPlan{};
  Status outcome = KIMIC_OK;
  // By rising level, in the order of the choices.
  for (std::uint32_t level = 0; level <= pack::kMaxPlanLevel; ++level)
    for (std::uint32_t expert : needs) {
      if (session_.plan().levelOf(expert) != level)
        continue;
      Expert *record;
      Status status = session_.fetch(expert, record);
      pack::LeafEntry entry;
      if (status == KIMIC_OK) {
        entry = record->entry; // other records may take its place
        plan.missingBytes += record->isResident() ? 0 : entry.data.storedLength;
        status = linker_.fetch(entry.kernel);
      }
      if (status > 0)
        return status;
      KimicStep &step = steps[plan.steps++];
      if (status == KIMIC_PENDING) {
        outcome = status;
        continue;
      }
      const Kernel &kernel = linker_.kernel(entry.kernel);
      step = KimicStep{};
      step.expert = expert;
      step.level = level;
      step.inputs = session_.rowOf(expert, kernel.signature.inputs);
      step.outputs = kernel.outputs;
      step.first = plan.values;
      step.bytes = entry.data.rawLength;
      // While the expert arrives, it is there twice: as stored and as decoded. So may be what it differs from.
      step.loadBytes = step.bytes + (entry.base == pack::kNoExpert ? 0 : step.bytes) + entry.data.storedLength;
      step.threshold = entry.confidenceThreshold;
      step.microseconds = 0.05f + static_cast<float>(step.bytes) / 32768;
      plan.values += step.outputs;
      plan.bytes += step.bytes;
      plan.microseconds += step.microseconds;
    }
  if (outcome != KIMIC_OK)
    return outcome;
  // What experts may have: all but what is in use for something else.
  const std::uint64_t taken = core_.arena.used() - core_.cache.residentBytes() + std::uint64_t{4} * plan.values;
  const std::uint64_t room = core_.arena.cap() > taken ? core_.arena.cap() - taken : 0;
  std::uint64_t together = 0;
  for (std::uint32_t i = 0; i < plan.steps; ++i) {
    KimicStep &step = steps[i];
    together += step.loadBytes;
    if (step.loadBytes > room)
      return core_.fail(ErrorId::ExpertTooLarge, step.expert, step.loadBytes, room);
    if (i == 0 || together > room || step.level != steps[i - 1].level) {
      ++plan.groups;
      together = step.loadBytes;
    }
    step.group = plan.groups - 1;
  }
  return KIMIC_OK;
}

} // namespace kimic::runtime
