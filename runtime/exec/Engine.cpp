#include "runtime/exec/Engine.h"

#include "formats/reference/Reference.h"
#include "runtime/exec/Router.h"

namespace kimic::runtime {

Expert *Engine::resident(std::uint32_t expert) {
  Expert *record = nullptr;
  if (!session_.isOpen())
    core_.fail(ErrorId::PackNotOpen);
  else if (expert >= session_.header().experts)
    core_.fail(ErrorId::UnknownExpert, expert, session_.header().experts);
  else if (record = session_.expert(expert); !record || !record->isResident()) {
    core_.fail(ErrorId::ExpertNotResident, expert);
    record = nullptr;
  }
  return record;
}

Status Engine::reserve(const Kernel &kernel) {
  if (std::uint32_t bytes = kernel.layout.scratchBytes; bytes > scratchBytes_) {
    core_.cache.free(scratch_);
    scratchBytes_ = 0;
    scratch_ = core_.allocate(bytes);
    if (!scratch_)
      return core_.failure();
    scratchBytes_ = bytes;
  }
  if (std::uint32_t outputs = kernel.outputs; outputs > outputRoom_) {
    core_.cache.free(sums_);
    outputRoom_ = 0;
    sums_ = reinterpret_cast<double *>(core_.allocate(outputs * (sizeof(double) + sizeof(float))));
    if (!sums_)
      return core_.failure();
    outputs_ = reinterpret_cast<float *>(sums_ + outputs);
    outputRoom_ = outputs;
  }
  return KIMIC_OK;
}

// The resident expert, if the buffers that it needs are there.
Expert *Engine::runnable(std::uint32_t expert) {
  Expert *record = resident(expert);
  if (record && (record->kernel->layout.scratchBytes > scratchBytes_ || record->kernel->outputs > outputRoom_)) {
    core_.fail(ErrorId::ExpertNotResident, expert);
    record = nullptr;
  }
  return record;
}

void Engine::call(const Expert &expert, const float *x, std::uint32_t rows, float *y) {
  const Kernel &kernel = *expert.kernel;
  if (kernel.function)
    kernel.function(expert.parameters.data(), x, y, scratch_, rows);
  else
    reference::run(kernel.signature, kernel.layout, expert.parameters.data(), x, y, scratch_, rows);
}

Status Engine::run(std::uint32_t expert, const float *x, std::uint32_t rows, float *y) {
  Expert *record = runnable(expert);
  if (!record)
    return core_.failure();
  if (rows == 0)
    return core_.fail(ErrorId::NothingToRun);
  call(*record, x, rows, y);
  return KIMIC_OK;
}

Status Engine::route(const float *x, std::span<KimicChoice> choices, bool isScored, float *scores) {
  const pack::Router &router = *session_.root().router;
  Expert *record = runnable(session_.header().listed());
  if (!record)
    return core_.failure();
  if (std::uint32_t outputs = record->kernel->outputs; outputs != router.routed)
    return core_.fail(ErrorId::RouterOutputs, outputs, router.routed);
  call(*record, x, 1, outputs_);
  std::span logits(outputs_, router.routed);
  choose(logits, router.temperature, choices);
  if (isScored)
    score(logits, router.temperature, choices, {scores, scores ? logits.size() : 0});
  return KIMIC_OK;
}

Status Engine::runChosen(std::span<const KimicChoice> choices, std::uint32_t merge, const float *x, float *y) {
  if (choices.empty())
    return core_.fail(ErrorId::NothingToRun);
  if (merge > KIMIC_MERGE_BEST)
    return core_.fail(ErrorId::UnknownMerge, merge);
  const KimicChoice *best = &choices[0];
  std::uint32_t inputs = 0, outputs = 0;
  for (const KimicChoice &choice : choices) {
    Expert *record = runnable(choice.expert);
    if (!record)
      return core_.failure();
    const Kernel &kernel = *record->kernel;
    if (&choice == &choices[0]) {
      inputs = kernel.signature.inputs;
      outputs = kernel.outputs;
    }
    if (kernel.signature.inputs != inputs)
      return core_.fail(ErrorId::InputsDiffer, record->id, kernel.signature.inputs, inputs);
    if (kernel.outputs != outputs)
      return core_.fail(ErrorId::OutputsDiffer, record->id, kernel.outputs, outputs);
    if (choice.score > best->score)
      best = &choice;
  }
  if (merge == KIMIC_MERGE_BEST || choices.size() == 1) {
    call(*session_.expert(best->expert), x, 1, y);
    return KIMIC_OK;
  }
  for (std::uint32_t n = 0; n < outputs; ++n)
    sums_[n] = 0;
  for (const KimicChoice &choice : choices) {
    call(*session_.expert(choice.expert), x, 1, outputs_);
    double weight = merge == KIMIC_MERGE_WEIGHTED ? static_cast<double>(choice.weight) : 1;
    for (std::uint32_t n = 0; n < outputs; ++n)
      sums_[n] += weight * static_cast<double>(outputs_[n]);
  }
  double divisor = merge == KIMIC_MERGE_AVERAGE ? static_cast<double>(choices.size()) : 1;
  for (std::uint32_t n = 0; n < outputs; ++n)
    y[n] = static_cast<float>(sums_[n] / divisor);
  return KIMIC_OK;
}

} // namespace kimic::runtime
