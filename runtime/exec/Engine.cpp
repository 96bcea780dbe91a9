#include "runtime/exec/Engine.h"

#include "formats/reference/Reference.h"
#include "runtime/exec/Router.h"

namespace kimic::runtime {

Result<Expert *> Engine::resident(std::uint32_t expert) {
  if (expert >= session_.header().experts)
    return makeError(ErrorId::UnknownExpert, expert, session_.header().experts);
  Expert *record = session_.expert(expert);
  if (!record || !record->isResident())
    return makeError(ErrorId::ExpertNotResident, expert);
  return record;
}

Result<void> Engine::reserve(const Kernel &kernel) {
  if (std::uint32_t bytes = kernel.layout.scratchBytes; bytes > scratch_.size()) {
    cache_.free(scratch_.data());
    scratch_ = {};
    KIMIC_ASSIGN(std::uint8_t * scratch, cache_.allocate(bytes));
    scratch_ = {scratch, bytes};
  }
  if (std::uint32_t outputs = kernel.signature.outputs(); outputs > outputRoom_) {
    cache_.free(sums_);
    sums_ = nullptr;
    outputRoom_ = 0;
    KIMIC_ASSIGN(std::uint8_t * room, cache_.allocate(outputs * (sizeof(double) + sizeof(float))));
    sums_ = reinterpret_cast<double *>(room);
    outputs_ = reinterpret_cast<float *>(sums_ + outputs);
    outputRoom_ = outputs;
  }
  return {};
}

void Engine::call(const Expert &expert, const float *x, std::uint32_t rows, float *y) {
  const Kernel &kernel = *expert.kernel;
  if (kernel.function)
    kernel.function(expert.parameters.data(), x, y, scratch_.data(), rows);
  else
    reference::run(kernel.signature, kernel.layout, expert.parameters.data(), x, y, scratch_.data(), rows);
}

Result<void> Engine::run(std::uint32_t expert, const float *x, std::uint32_t rows, float *y) {
  KIMIC_ASSIGN(Expert * record, resident(expert));
  if (rows == 0)
    return makeError(ErrorId::NothingToRun);
  call(*record, x, rows, y);
  return {};
}

Result<void> Engine::route(const float *x, std::span<KimicChoice> choices, float *scores) {
  const pack::Router &router = *session_.root().router;
  KIMIC_ASSIGN(Expert * record, resident(router.expert));
  if (std::uint32_t outputs = record->kernel->signature.outputs(); outputs != router.routed)
    return makeError(ErrorId::RouterOutputs, outputs, router.routed);
  call(*record, x, 1, outputs_);
  std::span<float> allScores = scores ? std::span(scores, router.routed) : std::span<float>();
  choose(std::span(outputs_, router.routed), router.temperature, choices, allScores);
  return {};
}

Result<void> Engine::runChosen(std::span<const KimicChoice> choices, std::uint32_t merge, const float *x, float *y) {
  if (choices.empty())
    return makeError(ErrorId::NothingToRun);
  if (merge > KIMIC_MERGE_BEST)
    return makeError(ErrorId::UnknownMerge, merge);
  std::size_t best = 0;
  std::uint32_t inputs = 0, outputs = 0;
  for (std::size_t i = 0; i < choices.size(); ++i) {
    KIMIC_ASSIGN(Expert * record, resident(choices[i].expert));
    const quant::Signature &signature = record->kernel->signature;
    if (i == 0) {
      inputs = signature.inputs;
      outputs = signature.outputs();
    }
    if (signature.inputs != inputs)
      return makeError(ErrorId::InputsDiffer, record->id, signature.inputs, inputs);
    if (signature.outputs() != outputs)
      return makeError(ErrorId::OutputsDiffer, record->id, signature.outputs(), outputs);
    if (choices[i].score > choices[best].score)
      best = i;
  }
  if (merge == KIMIC_MERGE_BEST || choices.size() == 1) {
    call(*session_.expert(choices[best].expert), x, 1, y);
    return {};
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
  return {};
}

} // namespace kimic::runtime
