#include "runtime/exec/Engine.h"

#include "formats/pack/PackReader.h"

#include <cstring>

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

// Numbers in the rows that the expert takes.
std::uint32_t Engine::roomFor(const Expert &expert) const {
  return expert.kernel->outputs + (session_.hasPlan() ? expert.kernel->signature.inputs : 0);
}

Status Engine::reserve(Expert &expert) {
  if (std::uint32_t bytes = expert.kernel->layout.scratchBytes; bytes > scratchBytes_) {
    core_.cache.free(scratch_);
    scratchBytes_ = 0;
    scratch_ = core_.allocate(bytes);
    if (!scratch_)
      return core_.failure();
    Arena::tag(scratch_, KIMIC_MEMORY_SCRATCH);
    scratchBytes_ = bytes;
  }
  if (std::uint32_t room = roomFor(expert); room > room_) {
    core_.cache.free(sums_);
    room_ = 0;
    sums_ = reinterpret_cast<double *>(core_.allocate(workspaceSize(room) * sizeof(double) + room * sizeof(float)));
    if (!sums_)
      return core_.failure();
    Arena::tag(sums_, KIMIC_MEMORY_SCRATCH);
    outputs_ = reinterpret_cast<float *>(sums_ + workspaceSize(room));
    room_ = room;
  }
  if (session_.hasPlan() && !expert.outputs) {
    expert.outputs = reinterpret_cast<float *>(core_.allocate(expert.kernel->outputs * sizeof(float)));
    if (!expert.outputs)
      return core_.failure();
  }
  return KIMIC_OK;
}

// The resident expert, if the buffers that it needs are there.
Expert *Engine::runnable(std::uint32_t expert) {
  Expert *record = resident(expert);
  if (record && (record->kernel->layout.scratchBytes > scratchBytes_ || roomFor(*record) > room_ ||
                 (session_.hasPlan() && !record->outputs))) {
    core_.fail(ErrorId::ExpertNotResident, expert);
    record = nullptr;
  }
  return record;
}

static std::uint32_t largestOf(const float *y, std::uint32_t outputs) {
  std::uint32_t best = 0;
  for (std::uint32_t n = 1; n < outputs; ++n)
    if (y[n] > y[best])
      best = n;
  return best;
}

// How sure the answer is: of a single output, of either class.
static float confidenceOf(const float *y, std::uint32_t outputs) {
  float largest = y[largestOf(y, outputs)];
  return outputs == 1 && largest < 0.5f ? 1 - largest : largest;
}

void Engine::call(const Expert &expert, const float *x, std::uint32_t rows, float *y) {
  const double start = clock_ ? clock_() : 0;
  linker_.run(*expert.kernel, expert.parameters.data(), x, y, scratch_, rows);
  if (clock_)
    core_.parts.observeRun(*history_, expert.id, true, static_cast<float>((clock_() - start) / rows),
                           confidenceOf(y, expert.kernel->outputs));
  core_.cache.note(ReplacementPolicy::Event::Used, expert);
}

// What has been done of the expert.
const KimicStep *Engine::stepOf(std::uint32_t expert) const {
  for (const KimicStep &step : steps_)
    if (step.expert == expert && step.isDone)
      return &step;
  return nullptr;
}

bool Engine::shapeOf(std::uint32_t expert, Shape &shape) {
  if (const KimicStep *step = stepOf(expert)) {
    shape = {step->inputs, step->outputs, step->threshold};
    return true;
  }
  const Expert *record = runnable(expert);
  if (record)
    shape = {session_.rowOf(expert, record->kernel->signature.inputs), record->kernel->outputs,
             record->entry.confidenceThreshold};
  return record;
}

// The outputs that the expert has for this request, and how many; null if it was not run for it.
const float *Engine::knownOutputsOf(std::uint32_t expert, std::uint32_t &count) const {
  if (const KimicStep *step = stepOf(expert)) {
    count = step->outputs;
    return values_ + step->first;
  }
  const Expert *record = session_.expert(expert);
  if (!record || record->epoch != epoch_)
    return nullptr;
  count = record->kernel->outputs;
  return record->outputs;
}

// Runs the expert alone, unless it has been run for this request; what it reads must have been. `isRead`: by an expert
// that was asked with the request, so that it has to read all of that if it has no sources.
const float *Engine::runOnce(std::uint32_t expert, const float *x, bool isRead) {
  std::uint32_t count;
  if (const float *known = knownOutputsOf(expert, count))
    return known;
  Expert *record = runnable(expert);
  if (!record)
    return nullptr;
  const pack::Plan &plan = session_.plan();
  const std::uint32_t inputs = record->kernel->signature.inputs;
  std::uint32_t fed = isRead ? plan.features : inputs;
  if (const pack::Plan::Entry *entry = plan.find(expert)) {
    float *to = outputs_ + record->kernel->outputs;
    fed = 0;
    for (const pack::Source &source : plan.sourcesOf(*entry)) {
      count = plan.features;
      const float *from = source.expert == pack::kNoExpert ? x : knownOutputsOf(source.expert, count);
      if (!from || source.first > count || source.count > count - source.first || source.count > inputs - fed) {
        fed = ~0u; // the plan's fault
        break;
      }
      std::memcpy(to + fed, from + source.first, source.count * sizeof(float));
      fed += source.count;
    }
    x = to;
  }
  if (fed != inputs) {
    core_.fail(ErrorId::PackPlanInputs, expert, inputs, fed);
    return nullptr;
  }
  float *y = record->outputs ? record->outputs : outputs_;
  call(*record, x, 1, y);
  record->epoch = epoch_;
  return y;
}

const float *Engine::outputsOf(std::uint32_t expert, const float *x) {
  const float *outputs = nullptr;
  for (std::uint32_t needed, i = 0; session_.needed(expert, i, needed); ++i)
    if (outputs = runOnce(needed, x, needed != expert); !outputs)
      break;
  return outputs;
}

Status Engine::run(std::uint32_t expert, const float *x, std::uint32_t rows, float *y) {
  Expert *record = runnable(expert);
  if (!record)
    return core_.failure();
  if (rows == 0)
    return core_.fail(ErrorId::NothingToRun);
  if (!session_.plan().find(expert)) {
    call(*record, x, rows, y);
    return KIMIC_OK;
  }
  const std::uint32_t outputs = record->kernel->outputs;
  for (; rows; --rows) {
    ++epoch_;
    const float *from = outputsOf(expert, x);
    if (!from)
      return core_.failure();
    std::memcpy(y, from, outputs * sizeof(float));
    x += session_.plan().features;
    y += outputs;
  }
  return KIMIC_OK;
}

Status Engine::route(const float *x, std::span<KimicChoice> choices, std::uint32_t &chosen, Details details) {
  const pack::Router &router = *session_.root().router;
  Expert *record = runnable(session_.header().listed());
  if (!record)
    return core_.failure();
  std::uint32_t outputs = record->kernel->outputs;
  if (!pack::checkRouter(router, outputs).ok())
    return core_.fail(ErrorId::RouterOutputs, outputs, router.routed);
  for (std::uint32_t i = 0; i < record->kernel->signature.inputs; ++i)
    if (!(x[i] - x[i] == 0))
      return core_.fail(ErrorId::FeatureNotFinite, i);
  call(*record, x, 1, outputs_);
  Routing routing{router, pack::columnsOf(router, record->parameters), residentBonus_,
                  [](const void *session, std::uint32_t expert) {
                    const Expert *found = static_cast<const PackSession *>(session)->expert(expert);
                    return found && found->isResident();
                  },
                  &session_};
  std::span<const float> logits(outputs_, outputs);
  std::span<double> workspace(sums_, workspaceSize(outputs));
  const ReplacementPolicy *policy = core_.cache.policy();
  if (policy && policy->hasAverages()) {
    if (!details.scores)
      details.scores = policy->scores();
    chosen = choose(routing, logits, workspace, choices, details);
    core_.parts.tell(*core_.cache.policy(), details.scores, router.routed);
  } else {
    chosen = choose(routing, logits, workspace, choices, details);
  }
  if (chosen == 0 && router.fallback != pack::kNoExpert) {
    choices[0] = {router.fallback, 0, 1};
    chosen = 1;
  }
  return KIMIC_OK;
}

Status Engine::runChosen(std::span<const KimicChoice> choices, std::uint32_t merge, const float *x, float *y,
                         std::uint32_t inputs, std::uint32_t outputs) {
  if (choices.empty())
    return core_.fail(ErrorId::NothingToRun);
  if (merge > KIMIC_MERGE_CASCADE)
    return core_.fail(ErrorId::UnknownMerge, merge);
  const KimicChoice *best = &choices[0];
  ++epoch_;
  for (const KimicChoice &choice : choices) {
    Shape shape;
    if (!shapeOf(choice.expert, shape)) {
      if (merge == KIMIC_MERGE_CASCADE && &choice != &choices[0] && core_.lastError.id == ErrorId::ExpertNotResident)
        continue;
      return core_.failure();
    }
    if (inputs == kAsFirst)
      inputs = shape.inputs;
    if (outputs == kAsFirst)
      outputs = shape.outputs;
    if (shape.inputs != inputs)
      return core_.fail(ErrorId::InputsDiffer, choice.expert, shape.inputs, inputs);
    if (shape.outputs != outputs)
      return core_.fail(ErrorId::OutputsDiffer, choice.expert, shape.outputs, outputs);
    if (choice.score > best->score)
      best = &choice;
  }
  if (merge == KIMIC_MERGE_BEST || (choices.size() == 1 && merge < KIMIC_MERGE_VOTE)) {
    const float *from = outputsOf(best->expert, x);
    if (!from)
      return core_.failure();
    std::memcpy(y, from, outputs * sizeof(float));
    return KIMIC_OK;
  }
  if (outputs > room_) // steps that are done do not have it
    return core_.fail(ErrorId::ExpertNotResident, choices[0].expert);
  for (std::uint32_t n = 0; n < outputs; ++n)
    sums_[n] = 0;
  float most = 0; // cascade: confidence of the answer so far
  for (const KimicChoice &choice : choices) {
    const float *from = outputsOf(choice.expert, x);
    if (!from)
      return core_.failure();
    if (merge == KIMIC_MERGE_VOTE) {
      if (outputs > 1 || from[0] >= 0.5f)
        sums_[largestOf(from, outputs)] += 1;
    } else if (merge == KIMIC_MERGE_CASCADE) {
      float confidence = confidenceOf(from, outputs);
      Shape shape;
      bool isSure = shapeOf(choice.expert, shape) && confidence >= shape.threshold;
      if (isSure || confidence > most || &choice == &choices[0]) {
        most = confidence;
        for (std::uint32_t n = 0; n < outputs; ++n)
          y[n] = from[n];
      }
      if (isSure)
        break;
    } else {
      double weight = merge == KIMIC_MERGE_AVERAGE ? 1 : static_cast<double>(choice.weight);
      for (std::uint32_t n = 0; n < outputs; ++n)
        sums_[n] += weight * static_cast<double>(from[n]);
    }
  }
  if (merge == KIMIC_MERGE_CASCADE)
    return KIMIC_OK;
  auto count = static_cast<double>(choices.size());
  double divisor = merge == KIMIC_MERGE_AVERAGE || merge == KIMIC_MERGE_VOTE ? count : 1;
  for (std::uint32_t n = 0; n < outputs; ++n)
    y[n] = static_cast<float>(sums_[n] / divisor);
  if (merge != KIMIC_MERGE_VOTE)
    return KIMIC_OK;
  double votes = outputs == 1 && sums_[0] * 2 < count ? count - sums_[0] : sums_[largestOf(y, outputs)];
  const std::optional<pack::Router> &router = session_.root().router;
  std::uint32_t needed = router ? router->minVotes : 1;
  if (votes < needed)
    return core_.fail(ErrorId::VoteUndecided, static_cast<std::uint32_t>(votes), choices.size(), needed);
  return KIMIC_OK;
}

} // namespace kimic::runtime
