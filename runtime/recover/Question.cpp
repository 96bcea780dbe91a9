#include "runtime/recover/Question.h"

#include <algorithm>

namespace kimic::runtime {

Question::Question(KimicRuntime *runtime, Recovery &recovery, std::span<const ExpertFacts> facts, std::vector<float> x)
    : runtime_(runtime), recovery_(recovery), facts_(facts), x_(std::move(x)) {}

Question::~Question() { end(State::Failed, makeError(ErrorId::OperationCancelled)); }

void Question::cancel() { end(State::Failed, makeError(ErrorId::OperationCancelled)); }

Error Question::lastError() const {
  KimicErrorInfo info;
  kimic_last_error(runtime_, &info);
  return makeError(static_cast<ErrorId>(info.id), info.args[0], info.args[1], info.args[2]);
}

void Question::unpin(Slot &slot) {
  if (slot.isPinned)
    kimic_unpin(runtime_, slot.choice.expert);
  else if (slot.isAdmitted)
    breakerOf(slot.choice.expert).abandon();
  slot.isPinned = slot.isAdmitted = false;
}

Question::State Question::end(State state, const Error &error) {
  if (state_ != State::Pending)
    return state_;
  unpin(router_);
  for (Slot &slot : slots_)
    unpin(slot);
  wakeAt_ = kNever;
  error_ = error;
  return state_ = state;
}

bool Question::isTaken(std::uint32_t expert) const {
  return std::any_of(slots_.begin(), slots_.end(), [&](const Slot &slot) {
    return slot.choice.expert == expert || std::find(slot.tried.begin(), slot.tried.end(), expert) != slot.tried.end();
  });
}

// Puts another expert in place of one that cannot be had: its fallback, else the routed expert of the same domain that
// the router likes best. False if there is none.
bool Question::substitute(Slot &slot) {
  std::uint32_t lost = slot.choice.expert;
  slot.tried.push_back(lost);
  if (!recovery_.options.allowsDegraded || slots_.empty() || lost >= facts_.size())
    return false;
  std::uint32_t found = facts_[lost].fallback;
  if (found >= info_.experts || isTaken(found)) {
    found = KIMIC_NO_EXPERT;
    for (std::uint32_t expert = 0; expert < info_.routedExperts && expert < facts_.size(); ++expert)
      if (facts_[expert].domain == facts_[lost].domain && !isTaken(expert) &&
          (found == KIMIC_NO_EXPERT || scores_[expert] > scores_[found]))
        found = expert;
  }
  if (found == KIMIC_NO_EXPERT)
    return false;
  slot.choice.expert = found;
  slot.attempts = 0;
  slot.hasCleanedUp = false;
  slot.retryAt = 0;
  ++recovery_.counts.fallbacks;
  return true;
}

Question::Progress Question::advance(Slot &slot, Milliseconds now) {
  while (!slot.isPinned) {
    if (now < slot.retryAt) {
      wakeAt_ = std::min(wakeAt_, slot.retryAt);
      return Progress::Waits;
    }
    std::uint32_t expert = slot.choice.expert;
    CircuitBreaker &breaker = breakerOf(expert);
    if (!slot.isAdmitted && !breaker.admits(now)) {
      ++recovery_.counts.refusedByBreaker;
      slot.error = breaker.refusal(expert, now);
      if (!substitute(slot))
        return Progress::Lost;
      continue;
    }
    slot.isAdmitted = true;
    std::int32_t status = kimic_load(runtime_, expert);
    if (status == KIMIC_PENDING)
      return Progress::Waits;
    slot.isAdmitted = false;
    if (status == KIMIC_OK) {
      breaker.success();
      kimic_pin(runtime_, expert);
      slot.isPinned = true;
      break;
    }
    slot.error = lastError();
    ErrorKind kind = slot.error.kind();
    breaker.settle(kind, now, recovery_.options);
    switch (remedyFor(kind, ++slot.attempts, slot.hasCleanedUp, recovery_.options)) {
    case Remedy::Retry:
      ++recovery_.counts.retries;
      slot.retryAt = now + std::max<Milliseconds>(1, delayAfter(slot.attempts, recovery_.chance(), recovery_.options));
      break;
    case Remedy::EvictAndRetry:
      slot.hasCleanedUp = true;
      kimic_clean_up(runtime_);
      ++recovery_.counts.cleanUps;
      break;
    case Remedy::Fallback:
      if (!substitute(slot))
        return Progress::Lost;
      break;
    case Remedy::Fail:
      slot.isFatal = true;
      return Progress::Lost;
    }
  }
  return Progress::Ready;
}

Question::State Question::route() {
  KimicExpertInfo shape;
  if (kimic_expert_info(runtime_, info_.routerExpert, &shape) != KIMIC_OK)
    return end(State::Failed, lastError());
  if (shape.inputs != x_.size())
    return end(State::Failed, makeError(ErrorId::InputLength, x_.size(), 1, shape.inputs));
  std::vector<KimicChoice> choices(info_.topK);
  scores_.resize(info_.routedExperts);
  std::uint32_t chosen = 0;
  if (kimic_route(runtime_, x_.data(), 0, choices.data(), &chosen, scores_.data()) != KIMIC_OK)
    return end(State::Failed, lastError());
  if (chosen == 0)
    return end(State::Failed, makeError(ErrorId::RouterAbstained));
  for (std::uint32_t c = 0; c < chosen; ++c)
    slots_.emplace_back().choice = choices[c];
  isRouted_ = true;
  return State::Pending;
}

Question::State Question::run() {
  Error reason;
  double wanted = 0, there = 0;
  for (const Slot &slot : slots_) {
    wanted += static_cast<double>(slot.choice.weight);
    if (!slot.tried.empty() || !slot.isPinned)
      reason = slot.error;
    if (!slot.isPinned)
      continue;
    there += static_cast<double>(slot.choice.weight);
    choices_.push_back(slot.choice);
  }
  if (choices_.empty())
    return end(State::Failed, reason);
  // Those that are there share the weight of those that are not.
  if (choices_.size() < slots_.size() && there > 0)
    for (KimicChoice &choice : choices_)
      choice.weight = static_cast<float>(static_cast<double>(choice.weight) * wanted / there);
  KimicExpertInfo shape;
  if (kimic_expert_info(runtime_, choices_[0].expert, &shape) != KIMIC_OK)
    return end(State::Failed, lastError());
  y_.resize(shape.outputs);
  if (kimic_run_chosen(runtime_, choices_.data(), static_cast<std::uint32_t>(choices_.size()), info_.merge, x_.data(),
                       y_.data()) != KIMIC_OK)
    return end(State::Failed, lastError());
  return end(reason.id == ErrorId::None ? State::Answered : State::Degraded, reason);
}

Question::State Question::step(Milliseconds now) {
  if (state_ != State::Pending)
    return state_;
  if (!hasStarted_) {
    hasStarted_ = true;
    if (kimic_pack_info(runtime_, &info_) != KIMIC_OK)
      return end(State::Failed, lastError());
    if (info_.routerExpert == KIMIC_NO_EXPERT)
      return end(State::Failed, makeError(ErrorId::PackHasNoRouter));
    router_.choice.expert = info_.routerExpert;
    if (recovery_.options.deadline != kNever)
      deadline_ = now + recovery_.options.deadline;
  }
  if (now >= deadline_)
    return end(State::Failed,
               makeError(ErrorId::DeadlinePassed, static_cast<std::uint64_t>(recovery_.options.deadline)));
  wakeAt_ = deadline_;
  if (!isRouted_) {
    Progress progress = advance(router_, now);
    if (progress == Progress::Waits)
      return state_;
    if (progress == Progress::Lost)
      return end(State::Failed, router_.error);
    if (route() != State::Pending)
      return state_;
  }
  bool waits = false;
  for (Slot &slot : slots_) {
    if (slot.isPinned || slot.isFatal)
      continue;
    Progress progress = advance(slot, now);
    waits |= progress == Progress::Waits;
    if (progress == Progress::Lost) {
      if (slot.error.kind() == ErrorKind::Cancelled || !recovery_.options.allowsDegraded)
        return end(State::Failed, slot.error);
      slot.isFatal = true;
      ++recovery_.counts.dropped;
    }
  }
  return waits ? state_ : run();
}

} // namespace kimic::runtime
