#include "runtime/recover/Recovery.h"

#include <algorithm>

namespace kimic::runtime {

Remedy remedyFor(ErrorKind kind, std::uint32_t attempt, bool hasCleanedUp, const KimicRecovery &options) {
  switch (kind) {
  case ErrorKind::ResourceExhausted:
    if (!hasCleanedUp)
      return Remedy::EvictAndRetry;
    [[fallthrough]];
  case ErrorKind::Unavailable:
  case ErrorKind::DataLoss:
    return attempt < options.attempts ? Remedy::Retry : Remedy::Fallback;
  case ErrorKind::Internal:
  case ErrorKind::Unsupported:
  case ErrorKind::Untrusted:
  case ErrorKind::NotFound:
    return Remedy::Fallback;
  case ErrorKind::InvalidArgument:
  case ErrorKind::FailedPrecondition:
  case ErrorKind::Cancelled:
  case ErrorKind::AccuracyLoss:
    break;
  }
  return Remedy::Fail;
}

Milliseconds delayAfter(std::uint32_t attempt, double chance, const KimicRecovery &options) {
  Milliseconds delay = options.firstDelay;
  if (options.backoff == KIMIC_BACKOFF_EXPONENTIAL)
    for (std::uint32_t i = 1; i < attempt && delay < options.longestDelay; ++i)
      delay *= 2;
  return std::min(delay, options.longestDelay) * (1 - static_cast<double>(options.jitter) * chance);
}

bool CircuitBreaker::admits(Milliseconds now) {
  if (state_ == State::Open && now >= until_)
    state_ = State::HalfOpen;
  if (state_ == State::Open || isTrying_)
    return false;
  isTrying_ = state_ == State::HalfOpen;
  return true;
}

void CircuitBreaker::success() {
  state_ = State::Closed;
  isTrying_ = false;
  failures_ = 0;
}

void CircuitBreaker::failure(ErrorKind kind, Milliseconds now, const KimicRecovery &options) {
  ++failures_;
  isTrying_ = false;
  // A trap is a bug, which does not go away.
  bool opens = state_ == State::HalfOpen || kind == ErrorKind::Internal || failures_ >= options.failuresToOpen;
  if (!opens)
    return;
  state_ = State::Open;
  until_ = now + options.openFor;
}

void CircuitBreaker::abandon() { isTrying_ = false; }

void CircuitBreaker::settle(ErrorKind kind, Milliseconds now, const KimicRecovery &options) {
  abandon();
  if (kind == kNoError)
    success();
  else if (kind != ErrorKind::Cancelled && kind != ErrorKind::ResourceExhausted)
    failure(kind, now, options);
}

CircuitBreaker &CircuitBreakers::operator[](std::uint32_t expert) {
  // A breaker without failures says nothing; of the others the one that stays open longest has to stay.
  auto worthOf = [](const Entry &entry) { return entry.breaker.failures() ? 1 + entry.breaker.opensUntil() : 0; };
  Entry *least = entries_;
  for (Entry &entry : entries_) {
    if (entry.expert == expert)
      return entry.breaker;
    if (worthOf(entry) < worthOf(*least))
      least = &entry;
  }
  *least = {expert, {}};
  return least->breaker;
}

} // namespace kimic::runtime
